"""Live output without the frameworks: the one request that comes many times for one job.

Django and Django REST framework take three times as long for it as all that it does. What is plain
and right is answered here, on one look at the attempt and its executor together; all else, and
everything that is refused, goes the ordinary way (`jobs/api/v1/live.py`), which says why.
"""

import io
import json
import re
import secrets
from typing import Any

from django.conf import settings
from django.db import DatabaseError

from accounts import tokens
from foundation.database import connections
from foundation.database.statements import Parameter, Select
from foundation.problems import Problem
from foundation.serving.pages import Environment
from jobs.live import taking
from jobs.live.pieces import LOGS
from jobs.live.taking import MAX_OFFSET, Output
from jobs.models import Attempt

LARGEST = 64 * 1024  # of a body: what is larger is read beside the hub
_PATH = re.compile(r"/api/v1/attempts/(\d{1,18})/output", re.ASCII)
_MEMBERS = {"lease_token", "log", "offset", "text"}
_JSON = ("application/json", "application/json; charset=utf-8")
_UNUSUAL = ("HTTP_TRANSFER_ENCODING", "HTTP_CONTENT_ENCODING", "QUERY_STRING")
_ANY = (None, "*/*", "application/json")

_ATTEMPT_OF_TOKEN = Select(
    Attempt.objects.filter(pk=Parameter("attempt"), executor__token_digest=Parameter("digest"))
    .order_by().only("job", "lease_token", "ended_at")
)  # fmt: skip


def answer(environ: Environment) -> bytes | None:
    """The answer's JSON (200); None if the request is to go the ordinary way."""
    path = _PATH.fullmatch(environ["PATH_INFO"])
    if path is None or environ["REQUEST_METHOD"] != "POST" or not _is_plain(environ):
        return None
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    environ["wsgi.input"] = io.BytesIO(body)  # to be read again, if need be
    try:
        asked = _asked(body)
        return asked and _answer(environ["HTTP_AUTHORIZATION"], int(path[1]), *asked)
    except (DatabaseError, Problem):
        return None
    finally:
        connections.release()


def _is_plain(environ: Environment) -> bool:
    length = environ.get("CONTENT_LENGTH") or ""
    return (
        length.isdigit()
        and int(length) <= LARGEST
        and environ.get("CONTENT_TYPE") in _JSON
        and environ.get("HTTP_ACCEPT") in _ANY
        and environ.get("HTTP_AUTHORIZATION", "").startswith("Bearer ")
        and not any(environ.get(name) for name in _UNUSUAL)
        and "*" in settings.ALLOWED_HOSTS
    )


def _asked(body: bytes) -> tuple[str, Output] | None:
    """The lease token and the output, if the body is nothing else."""
    try:
        document: Any = json.loads(body.decode())
        if not isinstance(document, dict) or set(document) != _MEMBERS:
            return None
        token, log, offset, text = (document[name] for name in sorted(_MEMBERS))
        is_right = type(offset) is int and 0 <= offset <= MAX_OFFSET and log in LOGS
        if not is_right or not token.isascii():
            return None
        return token, Output(log, offset, text.encode("utf-8", "surrogateescape"))
    except (ValueError, AttributeError, TypeError, RecursionError):
        return None


def _answer(authorization: str, attempt_id: int, lease_token: str, output: Output) -> bytes | None:
    token = authorization.removeprefix("Bearer ")
    if not token.startswith(tokens.EXECUTOR_PREFIX):
        return None
    attempt = _ATTEMPT_OF_TOKEN.first(attempt=attempt_id, digest=tokens.digest(token))
    if attempt is None or attempt.ended_at is not None:
        return None
    if not secrets.compare_digest(attempt.lease_token.encode(), lease_token.encode()):
        return None
    return b'{"watched":true}' if taking.keep(attempt, output) else b'{"watched":false}'
