"""400, 404 and 500: a problem document under /api/, Django's page elsewhere."""

from django.http import HttpRequest, HttpResponseBase
from django.views import defaults

from foundation.problems import API_PREFIX, document, plain_response


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """400."""
    if not _is_for_programs(request):
        return defaults.bad_request(request, exception)
    detail = "The request is malformed."
    return plain_response(document(400, "malformed-request", "Bad request", detail))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """404."""
    if not _is_for_programs(request):
        return defaults.page_not_found(request, exception)
    detail = "There is nothing at this address; this server speaks /api/v1."
    return plain_response(document(404, "not-found", "Not found", detail))


def server_error(request: HttpRequest) -> HttpResponseBase:
    """500; the traceback is in the log alone."""
    if not _is_for_programs(request):
        return defaults.server_error(request)
    detail = "The queue failed; see its log."
    return plain_response(document(500, "internal-error", "Internal error", detail))


def _is_for_programs(request: HttpRequest) -> bool:
    """Whether a program asks, which is answered with JSON, and not a browser."""
    return request.path.startswith(API_PREFIX) or request.path == "/healthz"
