"""Takes back the jobs of executors that fell silent: a thread in every server process.

Several sweepers at once do no harm: taking a job back is a conditional update.
"""

import logging
import time

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection

from foundation.serving import greenlets, waiting
from foundation.serving.greenlets import in_a_thread
from jobs import leases, quota
from jobs.audit.file import follow
from jobs.live import retention

log = logging.getLogger(__name__)

JUMP_SECONDS = 2.0


def start() -> greenlets.Running:
    """Starts sweeping in this process, until the server stops."""
    return greenlets.spawn(_run, "sweeper")


class _Clock:
    """Notices that the wall clock, which leases are on, was set."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def jumped(self) -> bool:
        """Whether it moved by more than JUMP_SECONDS against the monotonic clock."""
        before, self._offset = self._offset, time.time() - time.monotonic()
        return abs(self._offset - before) > JUMP_SECONDS


def _run() -> None:
    # While the server was down nobody could renew a lease: let them do it first. A lease
    # given since then does not run out sooner.
    clock = _Clock()
    waiting.stopping.wait(leases.seconds())
    while not waiting.stopping.wait(settings.TELERUN_SWEEP_SECONDS):
        in_a_thread(_sweep, clock.jumped())


def _sweep(clock_jumped: bool) -> None:
    close_old_connections()
    try:
        if clock_jumped:
            leases.renew_all()
        leases.expire()
        retention.look_after()
        quota.look_after()
        follow()  # catches up after a disk that was full
    except DatabaseError as error:
        log.warning("The sweep could not ask the database: %s", str(error).strip())
    except Exception:  # a sweeper that ended would leave jobs running for ever
        log.exception("A sweep failed")
    finally:
        connection.close()
