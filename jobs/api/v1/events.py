"""`/jobs/ID/events`: a job's changes, and what its program prints, as server-sent events.

(The HTML standard, 9.2.) One stream takes the place of a held request for each change. It holds no
connection to the database while it waits, and ends with the job, with its bearer's token, or as
the server stops: with the id of the last event, any server goes on from there.
"""

import contextlib
import json
import logging
import math
import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from rest_framework import status
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from accounts.api.views import UserView
from accounts.models import User
from foundation.api.answers import log_text
from foundation.api.description import answer, extend_schema, header, request_header
from foundation.database import connections
from foundation.database.statements import Parameter, Select
from foundation.serving import waiting
from jobs import outlook, placing
from jobs.api.v1 import answers
from jobs.api.v1.told import Told
from jobs.api.v1.users import own_job_of
from jobs.live import watching
from jobs.live.reading import Reader
from jobs.models import Attempt, Job
from jobs.outlook import Outlook
from jobs.states import FINAL, State

A, T = TypeVar("A"), TypeVar("T")

log = logging.getLogger(__name__)

EVENTS_TYPE = "text/event-stream"
COMMENT_SECONDS = 5.0  # a line at least so often, for proxies and clients that count on one
PROMISE = "Telerun-Comment-Seconds"  # by which a client knows how long a silence is one
COMMENT = b":\n\n"

_EVENT_ID = re.compile("-".join([r"(\d{1,18})"] * 6), re.ASCII)
_json = JSONRenderer()

# The user's job, while the token that the user came with still lets the user in.
_BEARER = User.objects.filter(
    pk=Parameter("user"), token_digest=Parameter("digest"), is_active=True
).order_by()
_JOB_OF_BEARER = Select(
    Job.objects.filter(pk=Parameter("job"), user=_BEARER.values("pk")[:1])
    .without_texts().order_by()
)  # fmt: skip


class EventId(NamedTuple):
    """What its reader knows after an event: enough for any server to go on."""

    attempt: int = 0  # the number of the latest
    compile_offset: int = 0  # bytes of its logs that were sent
    execute_offset: int = 0
    version: int = 0  # of the job
    place: int = 0  # in the queue; 0 for none
    # 1 for the last event: a power cut may have another one of the same version; 2 for a job that
    # no executor can run; else 0.
    status: int = 0

    def __str__(self) -> str:
        return "-".join(map(str, self))

    @classmethod
    def parse(cls, text: str) -> "EventId":
        """What `Last-Event-ID` says; one that is unknown is the beginning."""
        known = _EVENT_ID.fullmatch(text.strip())
        return cls(*map(int, known.groups())) if known else cls()


class AnyAccepted(BaseContentNegotiation):
    """Answers the same whatever `Accept` says: a stream, and JSON for what is refused."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class JobEvents(UserView):
    """`/jobs/ID/events`."""

    content_negotiation_class = AnyAccepted

    @extend_schema(
        operation_id="get_job_events",
        summary="A job's changes and its program's output, as they happen, until it is over.",
        parameters=[
            request_header("Last-Event-ID", "The `id` of the last event that is known."),
            header("Cache-Control", "`no-cache`.", 200),
            header(PROMISE, "How often something comes at least.", 200),
        ],
        responses={
            (200, EVENTS_TYPE): answer(
                "`event: job`, and in its data the job without its logs: at once, and at each "
                "change. `event: output`, and in its data `attempt`, `log`, `offset`, `text`: "
                "what its program prints. A comment at least every 15 seconds. Ends after the "
                "event of a state that is over.",
                {"type": "string"},
            ),
            204: answer("`Last-Event-ID` is the last event that there will be."),
        },
        problems=(404,),
        own_problems={429: "`too-many-requests`: too many of your requests wait"},
    )
    def get(self, request: Request, job_id: int) -> Any:
        user, known = request.user, EventId.parse(request.headers.get("Last-Event-ID", ""))

        def look() -> Job | None:
            return _JOB_OF_BEARER.first(job=job_id, user=user.pk, digest=user.token_digest)

        return stream(request._request, own_job_of(user, job_id), known, look)


def stream(
    request: HttpRequest,
    job: Job,
    known: EventId,
    look: Callable[[], Job | None],
    reader: int | None = None,
) -> HttpResponseBase:
    """The answer with a job's events after the known one; 204 if there will be none.

    `look` finds the job as it is, and None once its reader may look at it no longer: it ends the
    stream. It is called on the hub. `reader`: the user whose requests it counts with, if that is
    not the job's owner. Raises TooMuchAtOnce.
    """
    if job.state in FINAL and (known.status, known.version) == (1, job.version):
        return HttpResponse(status=status.HTTP_204_NO_CONTENT)
    if request.method == "HEAD":
        return HttpResponse(content_type=EVENTS_TYPE)
    return StreamingHttpResponse(
        _Events(request, job, known, look, job.user_id if reader is None else reader),
        content_type=EVENTS_TYPE,
        headers={
            "Cache-Control": "no-cache",
            "X-Accel-Buffering": "no",
            PROMISE: str(math.ceil(COMMENT_SECONDS)),
        },
    )


class _Events:
    """The bytes of a stream, an event at a time. Raises TooMuchAtOnce as it is made."""

    def __init__(
        self,
        request: HttpRequest,
        job: Job,
        known: EventId,
        find: Callable[[], Job | None],
        reader: int,
    ) -> None:
        self._job_id, self._known, self._find = job.pk, known, find
        self._told, self._expected, self._is_news = Told(), Outlook(None), False
        self._over = False
        self._goes_on = True  # there may be more to say at once
        self._sent_at = 0.0
        self._has_seen = False
        self._runs = False  # as the job was seen last
        self._place = 0
        self._is_ending = False  # the job is over: what was printed comes first
        self._attempts: list[Attempt] = []  # for the next event
        self._reader: Reader | None = None  # of the latest attempt
        self._has_warned = False
        self._stack = contextlib.ExitStack()
        wait = waiting.begin(request, job.pk, reader, reads_output=True)
        self._wait = self._stack.enter_context(wait)

    def __iter__(self) -> "_Events":
        return self

    def __next__(self) -> bytes:
        while not self._over and (self._goes_on or self._wait.sleep(self._patience())):
            event = self._looked()
            connections.release()  # sending may take long
            if self._over:
                connections.wait_until_durable()
            event = event or self._comment()
            if event is not None:
                self._sent_at = time.monotonic()
                return event
        raise StopIteration

    def close(self) -> None:
        """Nobody reads any longer."""
        self._stack.close()

    def _looked(self) -> bytes | None:
        """While the database is away the stream goes on, and looks again later."""
        self._goes_on = False
        try:
            return self._wait.look(self._look)
        except (DatabaseError, InterfaceError) as error:
            log.warning("A stream waits for the database: %s", str(error).strip())
            return None

    def _patience(self) -> float:
        """Until it is time for a comment, or to say again of a job that runs that it is watched."""
        most = watching.RENEWED_SECONDS if self._runs else COMMENT_SECONDS
        return min(most, self._until_comment())

    def _until_comment(self) -> float:
        return max(0.0, self._sent_at + COMMENT_SECONDS - time.monotonic())

    def _comment(self) -> bytes | None:
        return None if self._over or self._until_comment() else COMMENT

    def _look(self) -> bytes | None:
        """The event of what is new; None if nothing is, or there will be nothing more."""
        job = None
        if self._wait.is_due() or self._is_ending:
            job = self._seen()
            if job is None:  # purged meanwhile, or its owner may look at it no longer
                self._over = True
                return None
        if self._runs:
            self._tried(watching.note, self._job_id)
        if job is not None and self._is_new(job) and job.state not in FINAL:
            return self._job_event(job)
        self._is_ending = job is not None and job.state in FINAL
        # What was printed is told before the end.
        if self._reader and (event := self._tried(self._output_event, self._reader)):
            return event
        self._over = self._is_ending
        return self._job_event(job) if job is not None and self._is_new(job) else None

    def _seen(self) -> Job | None:
        """The job as it is now. Nothing of it is kept: thousands may wait."""
        job = self._find()
        if job is None:
            return None
        self._place = job.queue_position or 0
        self._expected = outlook.of(job, self._place or None)
        self._is_news = self._told.is_news(self._expected)
        self._runs = job.state == State.RUNNING
        if self._is_new(job) or not self._has_seen:
            self._attempts = answers.attempts_without_logs(job)
            is_told = job.state not in FINAL or self._known.version  # or over before it was asked
            if self._attempts and is_told:
                self._begin(self._attempts[-1])
        self._has_seen = True
        return job

    def _is_new(self, job: Job) -> bool:
        _, _, _, *seen = self._known
        now = [job.version, self._place, _status(job, self._expected)]
        return self._is_news or seen != now

    def _begin(self, attempt: Attempt) -> None:
        """The output of the latest attempt is told, another one's from its beginning."""
        if self._reader is None or self._reader.number != attempt.number:
            self._reader = Reader(attempt)
        if attempt.number != self._known.attempt:
            known = {"attempt": attempt.number, "compile_offset": 0, "execute_offset": 0}
            self._known = self._known._replace(**known)

    def _job_event(self, job: Job) -> bytes:
        attempts, self._attempts = self._attempts, []
        document = answers.event(job, self._place or None, self._expected, attempts)
        self._told.note(self._expected)
        self._is_news = False
        self._goes_on = not self._known.version  # of one that ran before there may be output
        self._known = self._known._replace(
            attempt=attempts[-1].number if attempts else self._known.attempt,
            version=job.version,
            place=self._place,
            status=_status(job, self._expected),
        )
        return _event("job", self._known, _json.render(document))

    def _tried(self, function: Callable[[A], T], argument: A) -> T | None:
        """What it returns; the job's changes are told even while output cannot be."""
        try:
            return function(argument)
        except DatabaseError as error:
            if not self._has_warned:
                log.warning("A stream goes on without output: %s", str(error).strip())
            self._has_warned = True
            return None

    def _output_event(self, reader: Reader) -> bytes | None:
        offsets = self._known.compile_offset, self._known.execute_offset
        found = reader.next(offsets, is_over=self._is_ending)
        if found is None:
            return None
        piece, is_all = found
        self._goes_on = self._is_ending or not is_all
        self._known = self._known._replace(**{f"{piece.log}_offset": piece.stop})
        document: answers.OutputEvent = {
            "attempt": reader.number,
            "log": piece.log,
            "offset": piece.start,
            "text": log_text(piece.content),
        }
        return _event("output", self._known, json.dumps(document).encode())


def _event(name: str, known: EventId, data: bytes) -> bytes:
    return b"event: %b\nid: %b\ndata: %b\n\n" % (name.encode(), str(known).encode(), data)


def _status(job: Job, expected: Outlook) -> int:
    if job.state in FINAL:
        return 1
    return 2 if expected.waiting_for == placing.NOBODY else 0
