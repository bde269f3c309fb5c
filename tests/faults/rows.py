"""The table of rows, and how one is played."""

import os
import random
import shutil
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults.ground import Ground, Template, on_postgresql
from tests.support import database
from tests.support.postgres import Postgres

Play = Callable[[Ground, int], None]


class Row(NamedTuple):
    """A row of the matrix: its number and fault in words, and what plays it."""

    number: int
    fault: str
    play: Play
    tries: int  # in `make faults`
    few: int  # in `make hardening`
    needs: tuple[str, ...]
    own_postgres: bool  # the row kills the database server, or fills its disk
    small_disk: int  # MiB of a disk of its own for the queue's data; 0 for none
    environment: dict[str, Any]


class Outcome(NamedTuple):
    """What came of a row."""

    row: Row
    database: str
    tries: int
    violations: list[str]
    seconds: float


ROWS: dict[int, Row] = {}


def row(
    number: int, fault: str, *, tries: int, few: int, needs: tuple[str, ...] = (),
    own_postgres: bool = False, small_disk: int = 0, **environment: Any,
) -> Callable[[Play], Play]:  # fmt: skip
    """Enters a function into the table. `environment` is the queue's."""

    def enter(play: Play) -> Play:
        ROWS[number] = Row(
            number, fault, play, tries, few, needs, own_postgres, small_disk, environment
        )
        return play

    return enter


# --- What a machine may lack -------------------------------------------------------------


def can_mount() -> bool:
    """Whether a small disk can be had."""
    folder = Path(tempfile.mkdtemp(prefix="telerun-mount-"))
    try:
        Disk(folder, 1).close()
    except (OSError, subprocess.SubprocessError):
        return False
    finally:
        folder.rmdir()
    return True


MOUNTING = "root or sudo, to mount a small disk"
COMPONENTS: dict[str, Callable[[], Any]] = {
    "g++": lambda: shutil.which("g++"),
    MOUNTING: can_mount,
}


def missing(row: Row) -> list[str]:
    """Names of what the row needs and this machine lacks."""
    return [name for name in row.needs if not COMPONENTS[name]()]


class Disk:
    """A small file system of its own (tmpfs), which can be filled."""

    def __init__(self, folder: Path, mib: int) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)],
            check=True, capture_output=True,
        )  # fmt: skip

    def fill(self) -> None:
        """Leaves no byte free."""
        with open(self.folder / "filling", "ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError:
                    continue

    def free(self) -> None:
        """Gives the space back."""
        (self.folder / "filling").unlink()

    def close(self) -> None:
        _as_root("umount", "-l", str(self.folder))


def _as_root(*argv: str) -> None:
    """As `.ci/run` does. Raises CalledProcessError, OSError."""
    sudo = [] if os.getuid() == 0 else ["sudo", "-n"]
    subprocess.run([*sudo, *argv], check=True, capture_output=True)


# --- Playing -----------------------------------------------------------------------------


def play(row: Row, template: Template, tries: int, seed: str) -> Outcome:
    """One row on a ground of its own, with the reckoning at the end."""
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix=f"telerun-fault{row.number}-"))
    with ExitStack() as stack:
        violations = _violations(row, template, tries, seed, folder, stack)
    if violations:
        violations.append(f"the logs of this row are kept in {folder}")
    else:
        shutil.rmtree(folder)
    return Outcome(row, database_name(), tries, violations, time.monotonic() - started)


def _violations(
    row: Row, template: Template, tries: int, seed: str, folder: Path, stack: ExitStack
) -> list[str]:
    ground = None
    try:
        disks = []
        if row.small_disk:
            disks.append(_disk(folder / "queue", row.small_disk, stack))
        if row.own_postgres and on_postgresql():
            template = _template_of_its_own(row, folder, disks, stack)
        randomness = random.Random(f"{seed}-{row.number}")
        with Ground(folder, template, randomness, **row.environment) as ground:
            ground.disks = disks
            row.play(ground, tries)
            return ground.settle()
    except Exception:
        return [*(ground.violations if ground else []), traceback.format_exc()]


def _disk(folder: Path, mib: int, stack: ExitStack) -> Disk:
    disk = Disk(folder, mib)
    stack.callback(disk.close)
    return disk


def _template_of_its_own(row: Row, folder: Path, disks: list[Disk], stack: ExitStack) -> Template:
    place = None
    if row.small_disk:
        place = Path(tempfile.mkdtemp(prefix="telerun-disk-"))  # where `postgres` may go
        stack.callback(place.rmdir)
        disks.append(_disk(place, 4 * row.small_disk, stack))
    server = Postgres(place)
    stack.callback(server.stop)
    return Template(folder / "made", server)


def database_name() -> str:
    return "PostgreSQL" if on_postgresql() else "SQLite"


def new_template(folder: Path) -> Template:
    """The template for all rows of a run, on the run's database."""
    return Template(folder, database.server)


def load() -> dict[int, Row]:
    """Every row, by number."""
    from tests.faults import (  # noqa: F401
        api_rows,
        client_rows,
        executor_rows,
        gpu_rows,
        lease_rows,
        server_rows,
    )

    return ROWS
