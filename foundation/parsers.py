"""Request bodies: JSON, or the bytes of a file; of a bounded size."""

import contextlib
import json
from collections.abc import Iterator
from typing import IO, Any

from django.conf import settings
from rest_framework.exceptions import ParseError, UnsupportedMediaType
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from foundation.problems import BodyTooLarge, LengthRequired
from foundation.serving.greenlets import in_a_thread
from foundation.serving.memory import Budget, bearer

_PART_BYTES = 64 * 1024
LARGE_BYTES = 128 * 1024  # what takes longer to read than to hand to another thread


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_REFUSAL = "You are sending too much at once. Try again in 2 seconds."
_bodies = Budget(lambda: 2 * settings.TELERUN_MAX_BODY_BYTES, _REFUSAL)  # two of the largest
_files = Budget(lambda: 2 * settings.TELERUN_LIMITS["output_file_bytes"], _REFUSAL)


@contextlib.contextmanager
def _reserved(budget: Budget, request: Request, maximum: int) -> Iterator[None]:
    whose = bearer(request.user)
    text = request.META.get("CONTENT_LENGTH") or ""
    size = min(int(text) if text.isdigit() else 0, maximum)
    budget.take(whose, size)
    try:
        yield
    finally:
        budget.give_back(whose, size)


def reserved_for_json(request: Request) -> "contextlib.AbstractContextManager[None]":
    """Around the reading of a document. Raises TooMuchAtOnce."""
    return _reserved(_bodies, request, settings.TELERUN_MAX_BODY_BYTES)


def reserved_for_file(request: Request) -> "contextlib.AbstractContextManager[None]":
    """Around what has a whole file in memory. Raises TooMuchAtOnce."""
    return _reserved(_files, request, settings.TELERUN_LIMITS["output_file_bytes"])


class BoundedJSONParser(BaseParser):
    """Reads a JSON object of at most TELERUN_MAX_BODY_BYTES. Nothing is ever decompressed (415).

    Raises BodyTooLarge (413) before reading a body that says it is larger, and after
    reading one byte too many of a body that does not say; ParseError (400) for what is
    not JSON in UTF-8, or did not arrive whole.
    """

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None
    ) -> Any:
        request = parser_context["request"]
        with reserved_for_json(request):
            return self._parse(stream, media_type, request)

    def _parse(self, stream: IO[Any], media_type: str | None, request: Request) -> Any:
        maximum = settings.TELERUN_MAX_BODY_BYTES
        if request.META.get("HTTP_CONTENT_ENCODING", "identity") != "identity":
            raise UnsupportedMediaType(media_type, "Send the body as it is, not compressed.")
        if int(request.META.get("CONTENT_LENGTH") or 0) > maximum:
            raise BodyTooLarge
        try:
            body = stream.read(maximum + 1)
        except OSError as error:  # the client went away, or fell silent
            raise ParseError("The body did not arrive whole.") from error
        if len(body) > maximum:
            raise BodyTooLarge
        try:
            return _loaded(body)
        except (ValueError, RecursionError) as error:
            raise ParseError(f"The body is not valid JSON: {error}") from error


def _loaded(body: bytes) -> Any:
    """A large document is read beside the hub, since reading it takes long."""
    if len(body) > LARGE_BYTES:
        return in_a_thread(_loads, body)
    return _loads(body)


def _loads(body: bytes) -> Any:
    return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)


def read_bytes(request: Request, maximum: int) -> bytes:
    """The body as it is, whatever it says of its type.

    Raises LengthRequired (411), BodyTooLarge (413) and ParseError (400). One that is too large is
    read to its end, and thrown away: who is still sending would not see the answer.
    """
    length = request.META.get("CONTENT_LENGTH") or ""
    if not (length.isascii() and length.isdigit()):
        raise LengthRequired
    size = int(length)
    try:
        body = request._request.read(size) if size <= maximum else b""
        while size > maximum and request._request.read(_PART_BYTES):
            pass
    except OSError as error:
        raise ParseError("The body did not arrive whole.") from error
    if size > maximum:
        raise BodyTooLarge
    if len(body) < size:
        raise ParseError("The body did not arrive whole.")
    return body
