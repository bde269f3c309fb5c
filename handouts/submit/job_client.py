"""One job: submitting it, waiting for it, cancelling it."""

from __future__ import annotations

import os
import time
import urllib.parse
from collections.abc import Callable
from typing import Any

from handouts.client.answer import Answer, is_retryable
from handouts.client.errors import Unreachable
from handouts.client.retries import delays
from handouts.client.words import warn
from handouts.submit.job_events import Events
from handouts.submit.job_lines import is_over, status_line
from handouts.submit.refusals import refusal_of_wishes
from handouts.submit.stop import REFUSED, UNREACHABLE, Stop
from handouts.submit.streams import StreamingQueue
from handouts.submit.submission import Submission

WAIT_SECONDS = 25  # how long one request is held open at the queue
SUBMIT_PATIENCE_SECONDS = 20  # how long to try to reach the queue at first
INTERRUPT_PATIENCE_SECONDS = 3  # after Ctrl-C
MAX_IN_VAIN = 2  # streams that end before an event has come
WAIT_PATIENCE_SECONDS = 900  # and once the job is in: long enough for Wi-Fi to come back


class Client:
    """Asks the queue again until it answers, and says on standard error what it waits for."""

    def __init__(self, queue: StreamingQueue) -> None:
        self.queue = queue
        self._last_line = ""
        self._submission: Any = None  # the request, to be sent again after Ctrl-C

    def submit(self, submission: Submission, override: bool) -> dict[str, Any]:
        """Puts the program into the queue; the job. Sending it again makes no second job."""
        self._submission = (
            "POST",
            "/jobs?override_pending=1" if override else "/jobs",
            submission.body,
            {"Idempotency-Key": os.urandom(16).hex()},
        )
        answer = self._persist(*self._submission, patience=SUBMIT_PATIENCE_SECONDS)
        why = refusal_of_wishes(answer, submission.wishes, submission.body)
        if why:
            raise Stop(REFUSED, why)
        return self._job(answer)

    def submitted(self) -> dict[str, Any] | None:
        """The job whose submission was interrupted: sent again, it is the same one."""
        if self._submission is None:
            return None
        return self._job(self._persist(*self._submission, patience=INTERRUPT_PATIENCE_SECONDS))

    def get(self, job_id: int) -> dict[str, Any]:
        """The job as it is now."""
        return self._job(self._persist("GET", f"/jobs/{job_id}", patience=SUBMIT_PATIENCE_SECONDS))

    def cancel(self, job_id: int) -> dict[str, Any]:
        """Cancels a queued job, or asks for a running one to be stopped; the job."""
        return self._job(
            self._persist("POST", f"/jobs/{job_id}/cancel", patience=SUBMIT_PATIENCE_SECONDS)
        )

    def file(self, job_id: int, name: str) -> Answer:
        """One of a job's output files, as bytes."""
        path = f"/jobs/{job_id}/files/{urllib.parse.quote(name, safe='')}"
        return self._persist("GET", path, patience=SUBMIT_PATIENCE_SECONDS)

    def wait(self, job: dict[str, Any]) -> dict[str, Any]:
        """Returns the job once it is over; meanwhile says what it waits for."""
        if not is_over(job):
            self._say(status_line(job))
            job = self._follow(job)
        return job

    def _follow(self, job: dict[str, Any]) -> dict[str, Any]:
        """Reads the job's events until it is over; then the job, with its logs."""
        events, pauses, in_vain = Events(self.queue, job["id"]), delays(0.1, 2.0), 0
        while not is_over(job):
            self._persist_in(events.open, WAIT_PATIENCE_SECONDS)
            if not events.is_stream:  # an older queue; or there is nothing to come
                break
            try:
                for shown in events.read():
                    job = shown
                    if not is_over(job):
                        self._say(status_line(job))
            except Unreachable as error:
                if error.timed_out and not events.came:
                    break
                self._say(str(error).rstrip(".") + "; trying again.")
            in_vain = 0 if events.came else in_vain + 1
            if in_vain == MAX_IN_VAIN:  # something on the way keeps them back, or cuts them up
                break
            if not is_over(job):
                time.sleep(next(pauses))  # the server stops, or nobody reaches it
        return self._poll(job)

    def _poll(self, job: dict[str, Any]) -> dict[str, Any]:
        """The job once it is over, by a request for each change."""
        job = self.get(job["id"])
        while not is_over(job):
            self._say(status_line(job))
            answer = self._persist(
                "GET",
                f"/jobs/{job['id']}",
                headers={"Prefer": f"wait={WAIT_SECONDS}", "If-None-Match": job["etag"]},
                patience=WAIT_PATIENCE_SECONDS,
            )
            if answer.status != 304:
                job = self._job(answer)
        return job

    def _job(self, answer: Answer) -> dict[str, Any]:
        if answer.status >= 400:
            raise Stop(REFUSED, refusal(answer))
        if not {"id", "state", "result"} <= set(answer.body):
            raise Stop(
                UNREACHABLE,
                f"{self.queue.server} answers, but not as a Telerun queue does. "
                "Is the address right?",
            )
        return {**answer.body, "etag": answer.headers.get("etag", "")}

    def _persist(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        patience: float = 0.0,
    ) -> Answer:
        """Sends the request until the queue gives a final answer. Raises Stop after `patience`."""

        def send() -> Answer:
            return self.queue.request(method, path, body, headers, WAIT_SECONDS + 15)

        return self._persist_in(send, patience)

    def _persist_in(self, send: Callable[[], Answer], patience: float) -> Answer:
        """Does it until the queue gives a final answer. Raises Stop after `patience`."""
        deadline = time.monotonic() + patience
        for delay in delays():
            try:
                answer = send()
                if not is_retryable(answer):
                    return answer
                trouble, pause = answer.detail, max(delay, answer.retry_after)
                if answer.status == 429:  # it is there, and says when to come again
                    deadline += pause
            except Unreachable as error:
                trouble, pause = str(error), delay
            if time.monotonic() + pause > deadline:
                raise Stop(UNREACHABLE, trouble)
            self._say(trouble.rstrip(".") + "; trying again.")
            time.sleep(pause)
        raise AssertionError("delays() never ends")

    def _say(self, line: str) -> None:
        """Prints the line, unless it is the one that was printed last."""
        if line != self._last_line:
            self._last_line = line
            warn(line)


def refusal(answer: Answer) -> str:
    """What to say to the student about an answer with a status of 400 or more."""
    if answer.refuses_token:
        return "The queue does not accept the token in auth.json. " + answer.detail
    return answer.detail
