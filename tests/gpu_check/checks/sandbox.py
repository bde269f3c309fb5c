"""What a program finds in the sandbox, beside its GPU."""

import threading
from pathlib import Path
from typing import Any

from tests.gpu_check.course import PROGRAMS, Course
from tests.gpu_check.host import Host, is_root
from tests.gpu_check.table import check
from tests.support.processes import wait_for


@check(
    "programs are not in the group root, and each device file that they see opens",
    "a GPU",
    in_sandbox=True,
)
def own_files(host: Host) -> str:
    course = host.course
    job: list[dict[str, Any]] = []
    running = threading.Thread(
        target=lambda: job.append(course.run(PROGRAMS / "opens_its_files.cu")), daemon=True
    )
    running.start()
    pid = wait_for(
        lambda: program_of(course) or not running.is_alive(), "the program is seen from outside"
    )
    rights = {} if pid is True else rights_of(Path(f"/proc/{pid}"))
    running.join()
    seen = course.as_wanted("opens_its_files", job[0])
    assert rights, "it was over before it could be looked at"
    as_root = {name: ids for name, ids in rights.items() if 0 in ids}
    assert not as_root or not is_root(), f"it runs with these of root: {as_root}"
    return f"{seen}; groups {rights['Groups']}"


def program_of(course: Course) -> int | None:
    """The job that runs in this course's sandbox: a descendant of its executor."""
    family, found = {course.executor.pid}, None
    for status in sorted(Path("/proc").glob("[0-9]*/status"), key=lambda path: int(path.parts[2])):
        try:
            fields = fields_of(status)
        except OSError:
            continue
        if int(fields["PPid"]) in family:
            pid = int(status.parts[2])
            family.add(pid)
            if fields["Name"].startswith("program"):
                found = pid
    return found


def rights_of(process: Path) -> dict[str, list[int]]:
    """Its uids, gids and groups, as this process counts them; {} if it is gone."""
    try:
        fields = fields_of(process / "status")
    except OSError:
        return {}
    return {name: [int(one) for one in fields[name].split()] for name in ("Uid", "Gid", "Groups")}


def fields_of(status: Path) -> dict[str, str]:
    """The lines of one of /proc's files. Raises OSError."""
    lines = status.read_text(errors="replace").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
