"""All addresses of the site."""

import functools
from pathlib import Path

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from telerun_site import error_pages, handed_out
from telerun_site.health import healthz

OPENAPI = Path(__file__).with_name("openapi.json")  # made by `make openapi`


@functools.cache
def openapi() -> bytes:
    """The document, read once a process."""
    return OPENAPI.read_bytes()


@csrf_exempt
@require_safe
def schema(_request: HttpRequest) -> HttpResponse:
    """The OpenAPI document, for everyone."""
    return HttpResponse(openapi(), content_type="application/vnd.oai.openapi+json")


urlpatterns = [
    path("", include("pages.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/", include("accounts.api.urls")),
    path("api/v1/", include("jobs.api.v1.urls")),
    path("api/v1/", include("pages.api.urls")),
    path("api/v1/schema", schema, name="schema"),
    path("api/v1/client", handed_out.client, name="client"),
    path("submit.py", handed_out.submit_script, name="submit-script"),
    path("server.cert", handed_out.server_certificate, name="server-certificate"),
    path("healthz", healthz),
]

handler400 = error_pages.bad_request
handler403 = error_pages.forbidden
handler404 = error_pages.not_found
handler500 = error_pages.server_error
