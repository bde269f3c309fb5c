"""One job, from its submission, or from --attach on, to its result."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from handouts.submit.answers_in_json import put_json
from handouts.submit.as_typed import as_typed
from handouts.submit.ending_lines import ending_line
from handouts.submit.hints import hint_at_arguments, hint_at_missing
from handouts.submit.interrupting import Interrupts, say_what_became, stop_job
from handouts.submit.job_client import INTERRUPT_PATIENCE_SECONDS, Client
from handouts.submit.job_lines import is_over
from handouts.submit.log_files import save_logs
from handouts.submit.notices import notice, tell
from handouts.submit.older_queue import call_off, is_wrong_without, left_out, older_queue
from handouts.submit.output_files import save_files, saved_files
from handouts.submit.own_files import OwnFiles
from handouts.submit.own_job_ahead import OwnJobAhead
from handouts.submit.own_jobs import number_of
from handouts.submit.printable import printable
from handouts.submit.show import show
from handouts.submit.stop import INTERRUPTED, SUCCEEDED, UNREACHABLE, UNSAVED, Stop
from handouts.submit.submission import Submission

SHOWN_LEFT_OVER = 5


class Watch:
    """What is asked for of one job."""

    def __init__(
        self, client: Client, options: argparse.Namespace, submission: Submission | None
    ) -> None:
        self.client = client
        self.options = options
        self.submission = submission  # None: it was submitted before
        self.job: dict[str, Any] | None = None
        self.is_shown = False  # all that it printed
        self.folder: Path | None = None  # where its files are

    def run(self) -> int:
        """The exit status. Raises Stop."""
        if not self.options.json:
            return self._run()
        self.client.screen.mute()
        status = self._run()
        saved = saved_files(self.job, self.folder) if self.job and self.folder else []
        put_json(status, job=self.job, saved=saved)
        return status

    def _run(self) -> int:
        try:
            self.job = self._begin()
            if self.options.detach:
                self._say_how_to_attach()
                return SUCCEEDED
            if self.submission:
                OwnJobAhead(self.client)
                with Interrupts(self.client):
                    self.job = self.client.wait(self.job)
            else:
                self.job = self.client.wait(self.job)
            return self._finish(self.job)
        except KeyboardInterrupt:
            return self._interrupted()
        except Stop as stop:
            raise self._with_a_way_back(stop) from None

    def _begin(self) -> dict[str, Any]:
        if self.submission is None:
            return self.client.get(number_of(self.client, self.options.attach))
        return submit(self.client, self.submission, self.options)

    def _say_how_to_attach(self) -> None:
        job = self.job or {}
        notice(f"To see it: {as_typed('--attach', str(job['id']))}")

    def _finish(self, job: dict[str, Any]) -> int:
        """Shows and saves what came of it; the exit status."""
        status = show(job, self.client.live)
        self.is_shown = True
        if self.submission and job.get("outcome") == "compile_error":
            hint_at_missing(self.submission, job["result"]["compile_log"])
        self.folder = self.options.out or Path("telerun-out", str(job["id"]))
        own = OwnFiles(self.folder, self.options.force) if self.options.out else None
        save_logs(job, self.folder, own)
        saved = save_files(self.client, job, self.folder, own)
        if own:
            say_left_over(own, self.folder)
        self.client.say_newer_script()
        has_all = saved and not self.client.screen.has_failed
        return UNSAVED if status == SUCCEEDED and not has_all else status

    def _interrupted(self) -> int:
        """After a Ctrl-C that counts; the exit status."""
        client = self.client
        client.queue.close()  # an answer may be under way on it
        client.screen.begin_line()
        client.patience = INTERRUPT_PATIENCE_SECONDS
        job = self.job
        try:
            if job is not None and is_over(job):
                return self._interrupted_at_the_end(job)
            if job is not None and self.submission is None:
                say_what_became(client.job or job)
                return INTERRUPTED
            return self._stopped(stop_job(client, job))
        except KeyboardInterrupt:
            tell("Interrupted." + self._how_to_see_it())
        except Stop as stop:
            if stop.status != UNREACHABLE:
                raise
            if job is None:
                tell(f"Interrupted. The queue could not be asked. {client.fate()}")
            else:
                see = self._how_to_see_it()
                tell(f"Interrupted. The queue could not be told to stop the job.{see}")
        return INTERRUPTED

    def _stopped(self, job: dict[str, Any] | None) -> int:
        """What a job that was told to stop printed until then; the exit status."""
        if job is None:
            is_unsent = self.submission and not self.client.may_have_it
            tell("Interrupted." + (" Your program was not sent." if is_unsent else ""))
            return INTERRUPTED
        was_told = self.job is not None and (self.client.job or {}).get("cancel_requested_at")
        self.job = job
        if job.get("cancel_requested_at") and not is_over(job) and not was_told:
            tell(f"Job {job['id']} is told to stop.")
            self.job = job = self.client.wait(job)
            status = self._finish(job)
            return INTERRUPTED if job["state"] == "cancelled" else status
        if is_over(job) and job["state"] != "cancelled":  # by itself, just now
            return self._finish(job)
        say_what_became(job)
        return INTERRUPTED

    def _interrupted_at_the_end(self, job: dict[str, Any]) -> int:
        """While its result was shown, or its files were saved."""
        if not self.is_shown:
            tell(ending_line(job))
        tell("Interrupted; not all is shown and saved." + self._how_to_see_it())
        return INTERRUPTED

    def _how_to_see_it(self) -> str:
        """A hint, to come after a sentence; "" if there is no job."""
        job = self.job or self.client.job
        return f" To see it: {as_typed('--attach', str(job['id']))}" if job else ""

    def _with_a_way_back(self, stop: Stop) -> Stop:
        self.client.screen.begin_line()
        if self.job is None or stop.status != UNREACHABLE:
            return stop
        return Stop(
            UNREACHABLE,
            f"{str(stop).rstrip('.')}. The queue keeps your job; "
            f"see it later with: {as_typed('--attach', str(self.job['id']))}",
        )


def say_left_over(own: OwnFiles, folder: Path) -> None:
    """Which files are not this run's."""
    names = own.left_over()
    if names:
        more = f" and {len(names) - SHOWN_LEFT_OVER} more" if len(names) > SHOWN_LEFT_OVER else ""
        listed = ", ".join(names[:SHOWN_LEFT_OVER])
        notice(printable(f"In {folder} from an earlier run: {listed}{more}."))


def submit(client: Client, submission: Submission, options: argparse.Namespace) -> dict[str, Any]:
    """Sends the program, and says what is sent; the job. Raises Stop."""
    hint_at_arguments(submission, options.file.parent)
    if submission.summary:
        notice(submission.summary)
    job = client.submit(submission, options.override_pending, options.wait_turn)
    passed_over = left_out(job, submission.body)
    if is_wrong_without(passed_over, submission.body):
        raise call_off(job, passed_over, client.cancel)
    notice(f"Submitted {options.file} as job {job['id']}.")
    if passed_over:
        notice(older_queue(passed_over))
    return job
