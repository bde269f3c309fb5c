"""Programs that mean harm, `tests/hostile/`, each with the outcome it must get: real nvcc, the
real sandbox, one executor. After each a healthy job, which must find no trace of it."""

import ast
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import need
from tests.support.processes import NVCC, ROOT, Process, World, has_sandbox, wait_for
from tests.support.sandbox import cgroups, files_of, mounts, own_uids, processes_of

pytestmark = [pytest.mark.end_to_end, pytest.mark.once, pytest.mark.hardening]

FOLDER = ROOT / "tests" / "hostile"
HEALTHY = "healthy"
PROGRAMS = {path.stem: path for path in FOLDER.iterdir() if path.is_file()}
NAMES = sorted(PROGRAMS.keys() - {HEALTHY})
HEADER = r"^(?://|#) (?!ruff)(\w+): (.+)$"  # lines that say what must become of a program
# What is worth trying again where all slots and the executor itself have one uid.
SMALL_CUT = [
    "daemon", "exit_137", "fork_bomb", "forges_a_result", "incbin_token", "include_token",
    "kill_everything", "looks_at_the_host", "looks_for_the_token", "makes_device_files",
    "memory_hog_in_children", "network", "out_changed", "out_large", "out_links", "out_many",
    "out_names", "out_replaced", "proc", "reads_other_folders", "system_calls", "include_passwd",
    "python_kills_everything", "python_looks_around", "watches_others",
]  # fmt: skip
LIMITS = {
    "TELERUN_SUBMITS_PER_MINUTE": 0,
    "TELERUN_EXECUTE_SECONDS": 20,
    "TELERUN_OUTPUT_BYTES": 4 << 20,
    "TELERUN_MEMORY_BYTES": 512 << 20,
    "TELERUN_PROCESSES": 64,
    "TELERUN_DISK_BYTES": 64 << 20,
    "TELERUN_OUTPUT_FILE_BYTES": 16 << 20,
}
HASTY = {**LIMITS, "TELERUN_EXECUTE_SECONDS": 3}  # for programs that use up their time
USER = own_uids("a user")  # no account has it
PYTHON = "/usr/bin/python3"
RUNS_PYTHON = ("--python", PYTHON)  # an executor's options
# A file for the table of what became of each program (`make corpus`): then all of them are tried
# as an ordinary user too.
TABLE = os.environ.get("TELERUN_CORPUS_TABLE")


class Course:
    """A queue, one executor, and the jobs that go through it."""

    def __init__(
        self,
        world: World,
        auth: Path,
        scratch: Path,
        whose: str = "root",
        alice: Path | None = None,
    ) -> None:
        self.whose = whose
        self.world = world
        self.auth = auth
        self.scratch = scratch
        self.token = json.loads(auth.read_text())["token"]
        self.alice = alice or world.user("alice")

    def run(self, name: str) -> dict[str, Any]:
        """Submits one of the programs and returns its job once it is over."""
        source = PROGRAMS[name].read_text()
        for word, value in (
            ("AUTH", self.auth),
            ("SCRATCH", self.scratch),
            ("PORT", self.world.port),
        ):
            source = source.replace(f"@{word}@", str(value))
        body = {"source": source, "filename": PROGRAMS[name].name}
        status, _, job = self.world.request(self.alice, "POST", "/jobs", body)
        assert status == 201, job
        while job["state"] in ("queued", "running"):
            _, headers, told = self.world.request(self.alice, "GET", f"/jobs/{job['id']}")
            job = told
            if job["state"] in ("queued", "running"):
                wait = {"Prefer": "wait=20", "If-None-Match": headers["etag"]}
                self.world.request(self.alice, "GET", f"/jobs/{job['id']}", **wait)
        return job

    def faults(self, name: str) -> list[str]:
        """What is wrong with how a program ended: nothing, if it is as its header says."""
        job = self.run(name)
        self.got = job["outcome"] or job["state"]
        result = job["result"] or {}
        logs = result.get("compile_log", "") + result.get("execute_log", "")
        wanted = dict(re.findall(HEADER, PROGRAMS[name].read_text(), re.MULTILINE))
        found = []
        if job["outcome"] not in wanted.pop("outcome").split():
            found.append(f"outcome {job['outcome']}")
        if "log" in wanted and result["execute_log"] != ast.literal_eval(wanted.pop("log")):
            found.append("another log")
        found += [f"no {w!r}" for w in wanted.pop("says", "").split(", ") if w not in logs]
        found += files_faults(result, wanted)
        found += [
            f"{key} {result.get(key)}" for key, v in wanted.items() if str(result.get(key)) != v
        ]
        if self.token in logs or self.token[5:] in logs:
            found.append("the token")
        if job["outcome"] and job["outcome"].endswith(("_exceeded", "_timeout")):
            found += [] if result["details"].get("limit") else ["no limit told"]
        return [f"{name}: {what}; its logs: {logs[-300:]!r}" for what in found]


def files_faults(result: dict[str, Any], wanted: dict[str, str]) -> list[str]:
    """What of `out/` came back or stayed behind, if its program says what should."""
    details = result.get("details", {})
    names = {
        "files": sorted(file["name"] for file in result.get("files", [])),
        "left_out": sorted(file["name"] for file in details.get("files_left_out", [])),
    }
    found = []
    for what, told in names.items():
        if what in wanted and told != sorted(wanted.pop(what).split(", ")):
            found.append(f"{what} {told}")
    if len(names["files"]) > int(wanted.pop("most_files", 16)):
        found.append(f"{len(names['files'])} files")
    return found


def check(course: Course, name: str) -> None:
    found = course.faults(name)
    got = course.got + ("" if not found else ", and not as it must")
    after = course.faults(HEALTHY)
    note(name, course.whose, got, "healthy" if not after else "NOT healthy")
    found += [f"after it, {fault}" for fault in after]
    assert not found, "\n".join(found)
    wait_for(lambda: not list(course.scratch.glob("*/jobs/*")), "its folder is gone", 10)


def note(name: str, whose: str, got: str, after: str) -> None:
    """A line of the table, if one is wanted."""
    if not TABLE:
        return
    told = dict(re.findall(HEADER, PROGRAMS[name].read_text(), re.MULTILINE))
    expected = told["outcome"].replace(" ", " or ")
    with open(TABLE, "a") as file:
        if not file.tell():
            file.write(
                "| program | executor of | expected | got | next job |\n|---|---|---|---|---|\n"
            )
        file.write(f"| {name} | {whose} | {expected} | {got} | {after} |\n")


@contextmanager
def nothing_left(uids: range) -> Iterator[None]:
    """Afterwards there is no process, file, mount or cgroup."""
    assert processes_of(uids) == []
    yield
    wait_for(lambda: not processes_of(uids), f"no process is left of {processes_of(uids)}", 5)
    assert files_of(uids) == []
    assert (mounts(), cgroups()) == (set(), set())


@contextmanager
def new_course(folder: Path, first: int, limits: dict[str, int]) -> Iterator[Course]:
    """An executor started by root if the tests are, and so with a uid for each worker."""
    need("bubblewrap", has_sandbox())
    need(PYTHON, Path(PYTHON).exists())
    uids = range(first, first + 3) if os.getuid() == 0 else range(0)
    with nothing_left(uids), World(folder, **limits) as world:
        auth = world.executor("gpu1")
        world.start_server()
        executor = world.start_executor(auth, "--sandbox-uid-base", first, *RUNS_PYTHON)
        yield Course(world, auth, folder / "scratch")
        assert executor.stop() == 0


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    with new_course(tmp_path_factory.mktemp("hostile"), own_uids("hostile"), LIMITS) as course:
        yield course


@pytest.fixture(scope="module")
def hasty_course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    with new_course(tmp_path_factory.mktemp("hasty"), own_uids("hasty"), HASTY) as course:
        yield course


def uses_up_its_time(name: str) -> bool:
    return " outcome: runtime_timeout" in PROGRAMS[name].read_text()


@pytest.mark.long(100)
@pytest.mark.parametrize("name", [name for name in NAMES if not uses_up_its_time(name)])
def test_a_hostile_program(course: Course, name: str) -> None:
    check(course, name)


@pytest.mark.long(100)
@pytest.mark.parametrize("name", list(filter(uses_up_its_time, NAMES)))
def test_a_hostile_program_that_uses_up_its_time(hasty_course: Course, name: str) -> None:
    check(hasty_course, name)


def test_staff_see_the_sandbox_and_how_limits_are_kept(course: Course) -> None:
    told = course.world.aside(
        "shell", "-v0", "-c",
        "import json; from accounts.models import Executor as E;"
        "print(json.dumps(E.objects.get().about))",
    ).out  # fmt: skip
    about = json.loads(told)
    assert about["sandbox"].startswith("bubblewrap")
    assert about["limits"] in ("cgroup v2", "rlimits and a watchdog")


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A folder that USER can reach and owns."""
    folder = Path(tempfile.mkdtemp(prefix="telerun-home-"))
    os.chown(folder, USER, USER)
    yield folder
    shutil.rmtree(folder)


def reachable_nvcc(home: Path) -> Path:
    """nvcc for USER: as it is, or its toolkit copied out of a home folder."""
    real = Path(NVCC).resolve()
    if all(folder.stat().st_mode & 0o001 for folder in real.parents):
        return real
    shutil.copytree(real.parent.parent, home / "toolkit", symlinks=True)
    return home / "toolkit" / "bin" / real.name


@pytest.fixture(scope="module")
def course_of_a_user(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Iterator[Course]:
    """An executor that an ordinary user started."""
    need("bubblewrap", has_sandbox())
    need(PYTHON, Path(PYTHON).exists())
    folder = tmp_path_factory.mktemp("user")
    uids = range(USER, USER + 1)
    with World(folder, **{**LIMITS, "TELERUN_EXECUTE_SECONDS": 8}) as world:
        shutil.copy(ROOT / "executor.py", home)
        shutil.copy(world.data / "server.cert", home)
        auth = Path(shutil.copy(world.executor("gpu1"), home / "auth.json"))
        auth.write_text(json.dumps({**json.loads(auth.read_text()), "certificate": "server.cert"}))
        os.chown(auth, USER, USER)
        world.start_server()
        executor = Process(
            "executor",
            folder / "executor.log",
            [PYTHON, home / "executor.py", "--nproc-compile", 1, "--nproc-execute", 1,
             "--no-gpu", "--nvcc", reachable_nvcc(home), "--min-free-mib", 16, *RUNS_PYTHON],
            env={"PATH": "/usr/bin:/bin"}, user=USER, group=USER, extra_groups=[], cwd=home,
        )  # fmt: skip
        world.processes.append(executor)
        executor.wait_until_told(" workers, queue ")
        yield Course(world, auth, home / "executor-scratch", "a user")
        assert executor.stop() == 0
        wait_for(lambda: not processes_of(uids), "no process is left", 5)
        assert [f for f in files_of(uids) if not f.startswith(str(home))] == []


@pytest.mark.long(110)
@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become another user")
@pytest.mark.parametrize("name", NAMES if TABLE else SMALL_CUT)
def test_a_hostile_program_where_the_executor_is_a_user(
    course_of_a_user: Course, name: str
) -> None:
    check(course_of_a_user, name)
