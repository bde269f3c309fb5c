"""Which requests run on the hub, and all others whole in a native thread.

On the hub run the few addresses of every job's life: they ask the database in kept statements,
and never take long. Everything else may: a page of the admin, a list, a file, a password's hash.
"""

import errno
import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from foundation.database import connections
from foundation.hooks import Hook
from foundation.serving import greenlets
from foundation.serving.greenlets import in_a_thread

STRANGER_BYTES = 64 * 1024  # the body of a request by somebody who has not logged in
PAGE_BYTES = 4 * 1024 * 1024  # and by somebody who has: a roster
TOO_LARGE = "telerun.body_too_large"  # in a request's environment: its body was not read

_AT_ONCE = 4  # requests in native threads: each more would make the hub wait for Python longer
_BUSY_SECONDS = 6.0  # how long one waits for its turn, before it is answered 503
BUSY = "telerun.busy"
_JSON = [("Content-Type", "application/json"), ("X-Content-Type-Options", "nosniff")]

Environment = dict[str, Any]
Application = Callable[[Environment, Callable[..., Any]], Iterable[bytes]]

# Says whether a request is of somebody who has logged in; asked in a native thread.
has_logged_in: Hook[Callable[[Environment], bool]] = Hook("who has logged in")


class HubOrThread:
    """A WSGI application, each request of which runs where it disturbs nobody."""

    def __init__(
        self,
        application: Application,
        is_quick: Callable[[str, str], bool],
        may_be_lost: Callable[[str, str], bool],
        express: Callable[[Environment], bytes | None] = lambda _environ: None,
    ) -> None:
        """`is_quick` says, of a method and a path, whether it may run on the hub; `may_be_lost`
        whether a power cut may take back what was answered. `express` may answer a quick request
        with JSON (200), without the application."""
        self._application = application
        self._is_quick = is_quick
        self._may_be_lost = may_be_lost
        self._express = express
        self._free = greenlets.Slots(_AT_ONCE)

    def __call__(self, environ: Environment, start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        answer: Iterable[bytes]
        if self._is_quick(method, path):
            if (document := self._express(environ)) is not None:
                start_response("200 OK", [*_JSON, ("Content-Length", str(len(document)))])
                answer = [document]
            else:
                answer = self._application(environ, start_response)
        else:
            answer = self._in_a_thread(environ, start_response)
        try:
            if not self._may_be_lost(method, path):
                connections.wait_until_durable()
        except BaseException:
            if close := getattr(answer, "close", None):
                close()
            raise
        return answer

    def _in_a_thread(
        self, environ: Environment, start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        _read_body(environ)
        taken = self._free.acquire(timeout=_BUSY_SECONDS)
        environ[BUSY] = not taken
        try:
            return in_a_thread(_answer, self._application, environ, start_response)
        finally:
            if taken:
                self._free.release()


def _read_body(environ: Environment) -> None:
    """Reads it before the thread begins, so that no thread waits for a slow client.

    Of more than somebody may send nothing is read.
    """
    size = int(environ.get("CONTENT_LENGTH") or 0)
    chunked = "HTTP_TRANSFER_ENCODING" in environ  # refused by a middleware
    if chunked or not _may_send(environ, size):
        environ[TOO_LARGE] = not chunked
        environ["wsgi.input"] = io.BytesIO()
    else:
        body = environ["wsgi.input"].read(size)
        if len(body) < size:  # what is left of a form would be taken for the whole
            raise ConnectionResetError(errno.ECONNRESET, "the body was cut off")
        environ["wsgi.input"] = io.BytesIO(body)


def _may_send(environ: Environment, size: int) -> bool:
    if size <= STRANGER_BYTES:
        return True
    return size <= PAGE_BYTES and in_a_thread(has_logged_in.get(), environ)


def _answer(
    application: Application, environ: Environment, start_response: Callable[..., Any]
) -> Iterable[bytes]:
    """In the thread: the whole answer, or, if it is a stream, what gives its parts."""
    answer: Any = application(environ, start_response)
    if getattr(answer, "streaming", False):
        return _Parts(answer)
    try:
        return [b"".join(answer)]
    finally:
        answer.close()


class _Parts:
    """A stream's parts, each made in a native thread when the client has taken the one before."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self._parts = iter(answer)

    def __iter__(self) -> Iterator[bytes]:
        while (part := in_a_thread(next, self._parts, None)) is not None:
            connections.wait_until_durable()
            yield part

    def close(self) -> None:
        in_a_thread(self._answer.close)
