"""One job: submitting it, waiting for it, cancelling it."""

from __future__ import annotations

import os
import time
import urllib.parse
from typing import Any

from handouts.client.answer import Answer
from handouts.client.errors import Unreachable
from handouts.client.retries import delays
from handouts.submit.job_events import Events
from handouts.submit.job_lines import is_over, status_line, what_changes
from handouts.submit.live import Live
from handouts.submit.persistent import Persistent
from handouts.submit.refusals import refusal_of_wishes
from handouts.submit.screen import Screen
from handouts.submit.stop import REFUSED, UNREACHABLE, Stop
from handouts.submit.streams import StreamingQueue
from handouts.submit.submission import Submission

WAIT_SECONDS = 25  # how long one request is held open at the queue
SUBMIT_PATIENCE_SECONDS = 20  # how long to try to reach the queue at first
INTERRUPT_PATIENCE_SECONDS = 3  # after Ctrl-C
WAIT_PATIENCE_SECONDS = 900  # and once the job is in: long enough for Wi-Fi to come back
MAX_IN_VAIN = 2  # streams that say nothing


class Client(Persistent):
    """Says on standard error what it waits for, and shows what the job prints."""

    def __init__(self, queue: StreamingQueue) -> None:
        super().__init__(queue, Screen())
        self.live = Live(self.screen)
        self._line: Any = None  # what is said of the job while it is waited for
        self._submission: Any = None  # the request, to be sent again after Ctrl-C

    def submit(self, submission: Submission, override: bool) -> dict[str, Any]:
        """Puts the program into the queue; the job. Sending it again makes no second job."""
        self._submission = (
            "POST",
            "/jobs?override_pending=1" if override else "/jobs",
            submission.body,
            {"Idempotency-Key": os.urandom(16).hex()},
        )
        answer = self.persist(*self._submission, patience=SUBMIT_PATIENCE_SECONDS)
        why = refusal_of_wishes(answer, submission.wishes, submission.body)
        if why:
            raise Stop(REFUSED, why)
        return self._job(answer)

    def submitted(self) -> dict[str, Any] | None:
        """The job whose submission was interrupted: sent again, it is the same one."""
        if self._submission is None:
            return None
        return self._job(self.persist(*self._submission, patience=INTERRUPT_PATIENCE_SECONDS))

    def get(self, job_id: int) -> dict[str, Any]:
        """The job as it is now."""
        return self._job(self.persist("GET", f"/jobs/{job_id}", patience=SUBMIT_PATIENCE_SECONDS))

    def cancel(self, job_id: int) -> dict[str, Any]:
        """Cancels a queued job, or asks for a running one to be stopped; the job."""
        return self._job(
            self.persist("POST", f"/jobs/{job_id}/cancel", patience=SUBMIT_PATIENCE_SECONDS)
        )

    def file(self, job_id: int, name: str) -> Answer:
        """One of a job's output files, as bytes."""
        path = f"/jobs/{job_id}/files/{urllib.parse.quote(name, safe='')}"
        return self.persist("GET", path, patience=SUBMIT_PATIENCE_SECONDS)

    def wait(self, job: dict[str, Any]) -> dict[str, Any]:
        """Returns the job once it is over; meanwhile shows what it prints or waits for."""
        from handouts.submit.waiting_line import WaitingLine

        self._line = WaitingLine(self.screen.status.look)
        if not is_over(job):
            self._look_at(job)
            try:
                job = self._follow(job)
            finally:
                self.screen.status.end()
        return job

    def _follow(self, job: dict[str, Any]) -> dict[str, Any]:
        """Reads the job's events until it is over; then the job, with its logs."""
        events, pauses, in_vain = Events(self.queue, job["id"]), delays(0.1, 2.0), 0
        while not is_over(job) and in_vain < MAX_IN_VAIN:
            if self.persist_in(events.open, WAIT_PATIENCE_SECONDS).status != 200:
                break  # an older queue; or there is nothing to come
            try:
                for kind, data in events.read():
                    if kind == "output":
                        self.live.take(data)
                    else:
                        job = data
                        self._look_at(job)
            except Unreachable as error:
                self._say_why_it_ended(events, error)
            # One that something on the way keeps back, or cuts up, says nothing.
            in_vain = 0 if events.came else in_vain + 1
            pauses = delays(0.1, 2.0) if events.lasted else pauses
            if not is_over(job):
                time.sleep(next(pauses))  # the server stops, or nobody reaches it
        return self._poll(job)

    def _say_why_it_ended(self, events: Events, error: Unreachable) -> None:
        """A stream that was cut is asked for anew, and that need not be said."""
        if error.timed_out and events.came:
            self.is_away = True
            self.say(f"Nothing has come from the queue for {events.silence:.0f} s; asking again.")
        elif not events.came and not error.timed_out:
            self.say(str(error).rstrip(".") + "; trying again.")

    def _poll(self, job: dict[str, Any]) -> dict[str, Any]:
        """The job once it is over, by a request for each change."""
        job = self.get(job["id"])
        while not is_over(job):
            self._look_at(job)
            answer = self.persist(
                "GET",
                f"/jobs/{job['id']}",
                headers={"Prefer": f"wait={WAIT_SECONDS}", "If-None-Match": job["etag"]},
                patience=WAIT_PATIENCE_SECONDS,
                held=WAIT_SECONDS,
            )
            if answer.status != 304:
                job = self._job(answer)
        return job

    def _look_at(self, job: dict[str, Any]) -> None:
        """Says what a job that is not over waits for."""
        self.live.look_at(job)
        if is_over(job):
            self.screen.status.end()
        elif self.screen.status.is_used:
            self._line.look_at(job)
            self.screen.show_status(self._line.words)
        else:
            self.say(status_line(job), what_changes(job))

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


def refusal(answer: Answer) -> str:
    """What to say to the student about an answer with a status of 400 or more."""
    if answer.refuses_token:
        return "The queue does not accept the token in auth.json. " + answer.detail
    return answer.detail
