"""What a request asks for beside its body: pages, switches, and the ETag that it knows."""

from django.utils.http import parse_etags
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request

_YES, _NO = ("1", "true"), ("0", "false", "")


class Pages(LimitOffsetPagination):
    """`limit` and `offset`; what is no number is refused, for whoever sent it meant something."""

    max_limit = 200

    def get_limit(self, request: Request) -> int:
        return min(_whole(request, "limit", self.default_limit, least=1), self.max_limit)

    def get_offset(self, request: Request) -> int:
        return _whole(request, "offset", 0, least=0)


def _whole(request: Request, name: str, default: int, least: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or (value := int(text[:19])) < least:
        raise ValidationError({name: [f"A whole number, {least} or more."]})
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
