"""Large pages: each is in what its reader may fetch at once, until the browser has taken it.

A slow browser would otherwise cost the memory of a page for each of its connections.
"""

from collections.abc import Iterator

from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse

from accounts.models import User
from foundation.serving.memory import answers, bearer

LARGE_BYTES = 64 * 1024
_PART_BYTES = 256 * 1024


class _Parts:
    """A page's bytes, which are in the user's budget until they are closed."""

    def __init__(self, user: User, content: bytes) -> None:
        """Raises TooMuchAtOnce."""
        self._whose, self._content, self._taken = bearer(user), content, len(content)
        answers.take(self._whose, self._taken)

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self._content), _PART_BYTES):
            yield self._content[start : start + _PART_BYTES]

    def close(self) -> None:
        """The browser has them, or went away."""
        taken, self._taken = self._taken, 0
        if taken:
            answers.give_back(self._whose, taken)


def counted(user: User, response: HttpResponseBase) -> HttpResponseBase:
    """The response, a large one in parts. Raises TooMuchAtOnce."""
    if not isinstance(response, HttpResponse) or len(response.content) <= LARGE_BYTES:
        return response
    headers = {**response.headers, "Content-Length": str(len(response.content))}
    parts = _Parts(user, response.content)
    return StreamingHttpResponse(parts, status=response.status_code, headers=headers)
