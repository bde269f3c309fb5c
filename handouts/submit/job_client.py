"""One job: submitting it, waiting for it, cancelling it."""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Iterator
from typing import Any

from handouts.client.answer import Answer
from handouts.client.errors import Unreachable
from handouts.client.retries import delays
from handouts.submit.as_typed import as_typed
from handouts.submit.client_versions import hint_at_newer
from handouts.submit.job_events import Events
from handouts.submit.job_lines import is_over, status_line, what_changes
from handouts.submit.live import Live
from handouts.submit.persistent import Persistent
from handouts.submit.refusals import refusal_of_wishes
from handouts.submit.screen import Screen
from handouts.submit.stop import REFUSED, UNREACHABLE, Stop
from handouts.submit.streams import StreamingQueue
from handouts.submit.submission import Submission
from handouts.submit.waiting_line import WaitingLine

WAIT_SECONDS = 25  # how long one request is held open at the queue
SUBMIT_PATIENCE_SECONDS = 120  # how long to try to submit: a server may be restarted meanwhile
ASK_PATIENCE_SECONDS = 20  # and to ask something, which loses nothing
INTERRUPT_PATIENCE_SECONDS = 3  # after Ctrl-C
WAIT_PATIENCE_SECONDS = 900  # and once the job is in: long enough for Wi-Fi to come back
TURN_PAUSE_SECONDS = 5.0  # between tries, where there is nothing to wait for
MAX_IN_VAIN = 2  # streams that say nothing


class Client(Persistent):
    """Says on standard error what it waits for, and shows what the job prints."""

    def __init__(self, queue: StreamingQueue) -> None:
        super().__init__(queue, Screen())
        self.live = Live(self.screen)
        self.job: dict[str, Any] | None = None  # as it was seen last
        self.patience: float = ASK_PATIENCE_SECONDS  # with what is asked once
        self._line = WaitingLine(self.screen.status.look)
        self._printing: Any = None  # the number of the attempt whose program prints
        self._submission: Any = None  # the request, to be sent again after Ctrl-C
        self.newer_script = ""  # where there is a newer submit.py, to be said in the end

    def submit(
        self, submission: Submission, override: bool, wait_turn: bool = False
    ) -> dict[str, Any]:
        """Puts the program into the queue; the job. Sending it again makes no second job.

        With `wait_turn` it is sent again once a job that is in its way has left the queue.
        """
        request = (
            "POST",
            "/jobs?override_pending=1" if override else "/jobs",
            submission.body,
            {"Idempotency-Key": os.urandom(16).hex()},
        )
        while True:
            answer = self._send(request)
            if not wait_turn or answer.problem != "pending-job":
                break
            self._submission = None  # it was not taken
            self._wait_until_it_runs(answer.body.get("job"))
        if answer.problem == "pending-job":
            raise Stop(REFUSED, job_in_the_way(answer))
        why = refusal_of_wishes(answer, submission.wishes, submission.body)
        if why:
            raise Stop(REFUSED, why)
        self.newer_script = hint_at_newer(answer, self.queue.server)
        return self._job(answer)

    def _send(self, request: Any) -> Answer:
        """The answer to a submission. Raises Stop, which says whether the queue may have it."""
        self._submission, self.may_have_it = request, False
        try:
            return self.persist(*request, patience=SUBMIT_PATIENCE_SECONDS)
        except Stop as stop:
            raise Stop(stop.status, f"{str(stop).rstrip('.')}. {self.fate()}") from None

    def fate(self) -> str:
        """Whether a submission without an answer is at the queue, and what to do."""
        if self.may_have_it:
            return (
                "Your program was sent, but no answer came: it may be in the queue. Look before "
                f"you submit it again: {as_typed('--list')}"
            )
        return (
            "Your program was not sent: there is no job. Submit it again later. To look for what "
            f"is wrong: {as_typed('--doctor')}"
        )

    def say_newer_script(self) -> None:
        """Where a newer submit.py is, if the queue said so: the last line of all."""
        if self.newer_script:
            self.screen.warn(self.newer_script)

    def submitted(self) -> dict[str, Any] | None:
        """The job whose submission was interrupted: sent again, it is the same one."""
        if self._submission is None or not self.may_have_it:
            return None
        answer = self.persist(*self._submission, patience=INTERRUPT_PATIENCE_SECONDS)
        return self._job(answer) if answer.status < 400 else None

    def get(self, job_id: int) -> dict[str, Any]:
        """The job as it is now."""
        return self._job(self.persist("GET", f"/jobs/{job_id}", patience=self.patience))

    def ask(self, path: str) -> dict[str, Any]:
        """What the queue answers to a question. Raises Stop."""
        answer = self.persist("GET", path, patience=self.patience)
        if answer.status >= 400:
            raise Stop(REFUSED, refusal(answer))
        return dict(answer.body)

    def cancel(self, job_id: int) -> dict[str, Any]:
        """Cancels a queued job, or asks for a running one to be stopped; the job."""
        return self._job(self.persist("POST", f"/jobs/{job_id}/cancel", patience=self.patience))

    def file(self, job_id: int, name: str) -> Answer:
        """One of a job's output files, as bytes."""
        path = f"/jobs/{job_id}/files/{urllib.parse.quote(name, safe='')}"
        return self.persist("GET", path, patience=self.patience)

    def page_link(self) -> Answer:
        """A link that opens one's page in a browser, logged in."""
        return self.persist("POST", "/page-links", patience=ASK_PATIENCE_SECONDS)

    def wait(self, job: dict[str, Any]) -> dict[str, Any]:
        """Returns the job once it is over; meanwhile shows what it prints or waits for."""
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
                        self._note_printing(data)
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
                self.turns.sleep(next(pauses))  # the server stops, or nobody reaches it
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
        for changed in self._changes(job["id"]):
            job = changed
            if is_over(job):
                break
            self._look_at(job)
        return job

    def _wait_until_it_runs(self, number: Any) -> None:
        """Returns once that job of the student's waits in the queue no longer."""
        if not isinstance(number, int):  # an older queue does not say which one
            self.say("A job of yours waits in the queue; yours is submitted once that runs.")
            self.turns.sleep(TURN_PAUSE_SECONDS)
            return
        self.say(f"Your job {number} waits in the queue; the next is submitted once that runs.")
        line = WaitingLine(self.screen.status.look)
        try:
            for job in self._changes(number):
                if job["state"] != "queued":
                    break
                line.look_at(job)
                if self.screen.status.is_used:
                    self.screen.show_status(line.words)
        finally:
            self.screen.status.end()

    def _changes(self, number: int) -> Iterator[dict[str, Any]]:
        """The job as it is, and again whenever it has changed."""
        job = self.get(number)
        while True:
            yield job
            answer = self.persist(
                "GET",
                f"/jobs/{number}",
                headers={"Prefer": f"wait={WAIT_SECONDS}", "If-None-Match": job["etag"]},
                patience=WAIT_PATIENCE_SECONDS,
                held=WAIT_SECONDS,
            )
            if answer.status != 304:
                job = self._job(answer)

    def _note_printing(self, output: dict[str, Any]) -> None:
        """What prints is running, also if the queue has not heard of that yet."""
        self._printing = output.get("attempt") if output.get("log") == "execute" else None
        if self.job and self._printing and self.job != self._as_running(self.job):
            self._look_at(self.job)

    def _as_running(self, job: dict[str, Any]) -> dict[str, Any]:
        """The job, as one that runs if its program has printed something."""
        attempts = job.get("attempts") or [{}]
        is_late = job.get("phase") in ("compiling", "waiting")
        if not is_late or not self._printing or attempts[-1].get("number") != self._printing:
            return job
        unknown = dict.fromkeys(("expected_start", "jobs_before", "queue_position", "waiting_for"))
        return {**job, "phase": "executing", **unknown}

    def _look_at(self, job: dict[str, Any]) -> None:
        """Says what a job that is not over waits for."""
        job = self._as_running(job)
        self.job = job
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


def job_in_the_way(answer: Answer) -> str:
    """What a student can do who has a job in the queue already."""
    number = answer.body.get("job")
    if not isinstance(number, int):  # an older queue does not say which one
        return answer.detail
    return (
        f"You have a job in the queue already: job {number}. With --wait-turn this one is "
        "submitted once that runs; with --override-pending in its place. To take that one out: "
        f"{as_typed('--cancel', str(number))}"
    )


def refusal(answer: Answer) -> str:
    """What to say to the student about an answer with a status of 400 or more."""
    if answer.refuses_token:
        return "The queue does not accept the token in auth.json. " + answer.detail
    return answer.detail
