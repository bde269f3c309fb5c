"""`manage.py telerun_db`, also `python3 -m submission_queue.db`: the job queue's database."""

import argparse
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from foundation.commands import TelerunCommand
from foundation.database import backup, connections
from foundation.database.schema import bring_schema_up_to_date
from foundation.figures import counted
from foundation.problems import Problem
from jobs import cancelling, invariants, purging, retention, staff
from jobs.audit.file import follow
from jobs.live import retention as live

ACTOR = "command"  # who the audit log says did it


class Command(TelerunCommand):
    """One subcommand an operation."""

    help = "Administer the job queue's database."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

        def add(name: str, function: Any) -> argparse.ArgumentParser:
            command = commands.add_parser(name, help=function.__doc__, description=function.__doc__)
            command.set_defaults(function=function)
            return command

        add("init-db", init_db)
        reset = add("reset-submissions", reset_submissions)
        reset.add_argument("--yes", action="store_true", help="do not ask at a terminal")
        requeue_one = add("requeue", requeue)
        requeue_one.add_argument("job", metavar="ID", type=int)
        cancel_one = add("cancel", cancel)
        cancel_one.add_argument("job", metavar="ID", type=int)
        add("check", check)
        add("recount", recount)
        back_up = add("backup", backup_to)
        back_up.add_argument("file", metavar="FILE", type=Path)
        prune_old = add("prune", prune)
        prune_old.add_argument("--days", type=_days, metavar="N", help="how old a job may be")
        prune_old.add_argument(
            "--sources-older-than",
            type=_days,
            metavar="N",
            help="how old a job may be, and keep its programs and logs",
        )
        add("vacuum", vacuum)

    def run(self, **options: Any) -> str:
        try:
            return options["function"](options)
        except Problem as error:
            raise CommandError(str(error)) from error


def init_db(_options: dict[str, Any]) -> str:
    """Make the database's tables, or bring them up to date. Nothing is lost."""
    bring_schema_up_to_date()
    live.look_after()  # makes its file on SQLite, anew if it is broken
    follow(set_aside=True)
    return "The database is ready."


def reset_submissions(options: dict[str, Any]) -> str:
    """Delete every job, finished or not. Users, executors and the audit log stay."""
    if sys.stdin.isatty() and not options["yes"]:
        answer = input("Delete every job, finished or not? Type 'yes': ")
        if answer != "yes":
            raise CommandError("Nothing was deleted.")
    count = retention.reset_submissions(ACTOR)
    return f"Deleted {counted(count, 'job')}; the audit log keeps every submission."


def requeue(options: dict[str, Any]) -> str:
    """Have a job run again, whatever became of it."""
    job = staff.requeue(options["job"], ACTOR)
    return f"Job {job.pk} is {job.state}."


def cancel(options: dict[str, Any]) -> str:
    """Cancel a queued job, or have a running one stopped."""
    job = cancelling.cancel(options["job"], ACTOR)
    stopping = " and told to stop" if job.cancel_requested_at and not job.is_over else ""
    return f"Job {job.pk} is {job.state}{stopping}."


def check(_options: dict[str, Any]) -> str:
    """Verify that nothing is lost, doubled or stuck: database, audit table and audit file."""
    if faults := invariants.violations():
        raise CommandError("\n".join([*faults, counted(len(faults), "violation") + "."]))
    more = " A purge was not ended: say purge-user again." if purging.unfinished() else ""
    return f"All is well: database, audit table and audit file agree.{more}"


def recount(_options: dict[str, Any]) -> str:
    """Count anew how many bytes are kept of each user, if check says that it is wrong."""
    count = retention.recount()
    if not count:
        return "Every count was right."
    return f"Of {counted(count, 'user')} the count was wrong; it is right now."


def backup_to(options: dict[str, Any]) -> str:
    """Write a consistent copy of the database to a new file, while the server runs."""
    try:
        backup.write(options["file"])
    except backup.BackupFailed as error:
        raise CommandError(str(error)) from error
    return f"Wrote {options['file']} ({options['file'].stat().st_size} bytes)."


def prune(options: dict[str, Any]) -> str:
    """Delete jobs that were over long ago, with their results; or the programs and logs alone, in
    the audit log too, which keeps digests and sizes."""
    days, of_sources = options["days"], options["sources_older_than"]
    if days is None and of_sources is None:
        raise CommandError("Say --days N, --sources-older-than N, or both.")
    connections.forget_thoroughly()
    told = []
    if days is not None:
        count = retention.prune(_ago(days), ACTOR)
        deleted = counted(count, "job that was", "jobs that were")
        told.append(f"Deleted {deleted} over before {_ago(days):%Y-%m-%d %H:%M} UTC.")
    if of_sources is not None:
        before = _ago(of_sources)
        dropped = retention.drop_texts(before, ACTOR)
        follow(at_once=True)
        of_jobs = counted(dropped.jobs, "job that was", "jobs that were")
        of_entries = counted(dropped.entries, "audit entry", "audit entries")
        told.append(
            f"Dropped the programs and logs of {of_jobs} over before "
            f"{before:%Y-%m-%d %H:%M} UTC, and the programs of {of_entries}."
        )
    return "\n".join(told)


def vacuum(_options: dict[str, Any]) -> str:
    """Overwrite what was deleted, and give its room back. On SQLite nobody writes meanwhile."""
    if not connections.wipe(most_bytes=None):
        raise CommandError("It could not be done now; the log says why. Try again.")
    return "Nothing that was deleted is left in the database's file."


def _ago(days: int) -> datetime:
    return timezone.now() - timedelta(days=days)


def _days(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 <= int(text) <= 36500):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days, 0 or more")
    return int(text)
