"""What the queue hands out to everyone: its submit.py, and the certificate to trust."""

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import condition, require_safe

from accounts.public_address import certificate_file
from foundation.client_script import client_script


def _etag(_request: HttpRequest) -> str:
    return f'"{client_script().sha256}"'


@csrf_exempt
@require_safe
@condition(etag_func=_etag)
def submit_script(_request: HttpRequest) -> HttpResponse:
    """`/submit.py`."""
    return _attachment(client_script().text, "text/x-python; charset=utf-8", "submit.py")


@csrf_exempt
@require_safe
def server_certificate(_request: HttpRequest) -> HttpResponse:
    """`/server.cert`. It is no secret. That it is the right one is for others to say.

    Of the file nothing but the certificates: some proxies keep the key in the same one.
    """
    try:
        certificates = x509.load_pem_x509_certificates(certificate_file().read_bytes())
    except (OSError, ValueError):
        raise Http404 from None
    content = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)
    return _attachment(content, "application/x-pem-file", "server.cert")


@csrf_exempt
@require_safe
def client(_request: HttpRequest) -> JsonResponse:
    """`/api/v1/client`: which submit.py is handed out."""
    script = client_script()
    told = {"version": script.version, "sha256": script.sha256, "url": reverse("submit-script")}
    return JsonResponse(told)


def _attachment(content: bytes, kind: str, name: str) -> HttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-cache"}
    return HttpResponse(content, content_type=kind, headers=headers)
