"""All addresses of the site."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from telerun_site import problems
from telerun_site.health import healthz

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("api/v1/", include("jobs.urls")),
    path("healthz", healthz),
]

handler400 = problems.bad_request
handler404 = problems.not_found
handler500 = problems.server_error
