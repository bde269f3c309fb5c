"""400, 403, 404 and 500: a problem document under /api/, a page elsewhere.

Django's own views for them look into a form for its token, and fail once more where the form is
what is wrong.
"""

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string

from foundation.middleware import is_for_staff
from foundation.problems import API_PREFIX, document, plain_response


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """400."""
    if not _is_for_programs(request):
        return _page(request, 400)
    detail = "The request is malformed."
    return plain_response(document(400, "malformed-request", "Bad request", detail))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """403. The API answers its own."""
    return _page(request, 403)


def form_refused(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """403, for a form without the token that came with its page."""
    return _page(request, 403, "403_csrf.html")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """404."""
    if not _is_for_programs(request):
        return _page(request, 404)
    detail = "There is nothing at this address; this server speaks /api/v1."
    return plain_response(document(404, "not-found", "Not found", detail))


def server_error(request: HttpRequest) -> HttpResponseBase:
    """500; the traceback is in the log alone."""
    if not _is_for_programs(request):
        return _page(request, 500)
    detail = "The queue failed; see its log."
    return plain_response(document(500, "internal-error", "Internal error", detail))


def _page(request: HttpRequest, status: int, template: str = "") -> HttpResponse:
    """The page, which leads back to where its reader was: the admin, or the students' page."""
    context = {"is_for_staff": is_for_staff(request)}
    return HttpResponse(render_to_string(template or f"{status}.html", context), status=status)


def _is_for_programs(request: HttpRequest) -> bool:
    """Whether a program asks, which is answered with JSON, and not a browser."""
    return request.path.startswith(API_PREFIX) or request.path == "/healthz"
