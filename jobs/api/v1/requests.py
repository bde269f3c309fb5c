"""What a request asks for beside its body: pages, switches, keys, waiting, the ETag it knows."""

from django.conf import settings
from django.utils.http import parse_etags
from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request
from rest_framework.response import Response

MAX_KEY_LENGTH = 255

_YES, _NO = ("1", "true"), ("0", "false", "")


class Pages(LimitOffsetPagination):
    """`limit` and `offset`; what is no number is refused: its sender meant something else."""

    max_limit = 200

    def get_limit(self, request: Request) -> int:
        return min(_whole_number(request, "limit", self.default_limit, minimum=1), self.max_limit)

    def get_offset(self, request: Request) -> int:
        return _whole_number(request, "offset", 0, minimum=0)


def _whole_number(request: Request, name: str, default: int, minimum: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or (value := int(text[:19])) < minimum:
        raise ValidationError({name: [f"A whole number, {minimum} or more."]})
    return value


def is_set(request: Request, name: str) -> bool:
    """Whether a switch is on; absent, it is off. Raises ValidationError."""
    text = request.query_params.get(name, "0").lower()
    if text not in (*_YES, *_NO):
        raise ValidationError({name: ["1 or 0."]})
    return text in _YES


def differs(etag: str, known: str | None) -> bool:
    """Whether `etag` is none of those in an `If-None-Match` (RFC 9110, 13.1.2: weak comparison)."""
    if known is None:
        return True
    if known == etag:  # what the scripts send
        return False
    tags = parse_etags(known)
    return tags != ["*"] and etag not in [tag.removeprefix("W/") for tag in tags]


def idempotency_key(request: Request) -> str | None:
    """The `Idempotency-Key`. Raises ParseError for one that cannot be stored."""
    key = request.headers.get("Idempotency-Key", "")
    if len(key) > MAX_KEY_LENGTH or not key.isprintable():
        raise ParseError(f"An Idempotency-Key is at most {MAX_KEY_LENGTH} printable characters.")
    return key or None


def seconds_to_wait(request: Request) -> int:
    """N of `Prefer: wait=N` (RFC 7240), at most the server's maximum; 0 where there is none."""
    for preference in request.headers.get("Prefer", "").replace(";", ",").split(","):
        name, _, value = preference.partition("=")
        value = value.strip().strip('"')
        if name.strip().lower() == "wait" and value.isascii() and value.isdigit():
            return min(int(value[:9]), settings.TELERUN_MAX_WAIT_SECONDS)
    return 0


def with_wait_applied(request: Request, response: Response, seconds: int) -> Response:
    """The response, which says how long a wait was granted where one was asked for."""
    if "Prefer" in request.headers:
        response["Preference-Applied"] = f"wait={seconds}"
    return response
