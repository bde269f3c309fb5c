"""400, 404 and 500: a problem document under /api/, a page elsewhere.

Django's own views for them look into a form for its token, and fail once more where the form is
what is wrong.
"""

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string

from foundation.problems import API_PREFIX, document, plain_response


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """400."""
    if not _is_for_programs(request):
        return _page(400)
    detail = "The request is malformed."
    return plain_response(document(400, "malformed-request", "Bad request", detail))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """404."""
    if not _is_for_programs(request):
        return _page(404)
    detail = "There is nothing at this address; this server speaks /api/v1."
    return plain_response(document(404, "not-found", "Not found", detail))


def server_error(request: HttpRequest) -> HttpResponseBase:
    """500; the traceback is in the log alone."""
    if not _is_for_programs(request):
        return _page(500)
    detail = "The queue failed; see its log."
    return plain_response(document(500, "internal-error", "Internal error", detail))


def _page(status: int) -> HttpResponse:
    return HttpResponse(render_to_string(f"{status}.html"), status=status)


def _is_for_programs(request: HttpRequest) -> bool:
    """Whether a program asks, which is answered with JSON, and not a browser."""
    return request.path.startswith(API_PREFIX) or request.path == "/healthz"
