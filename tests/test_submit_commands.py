"""submit.py's other uses (--list, --status, --compare, --detach, --json and the rest) with
a real queue, a real executor and real processes; programs are shell scripts (a stub compiler)."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import ROOT, Process, World, pythons, wait_for
from tests.support.stubs import AS_SHELL, fake_nvcc
from tests.support.students import Student

pytestmark = [pytest.mark.once, pytest.mark.end_to_end]
SUBMIT = ROOT / "submit.py"
QUICK = "echo hello $1; mkdir -p out; echo frame $1 >out/frame.txt"


class Course(World):
    """A queue, a host, and a student who types."""

    def begin_course(self, has_host: bool = True) -> "Course":
        self.alice = self.user("alice")
        self.start_server()
        if has_host:
            self.start_host()
        return self

    def start_host(self) -> None:
        self.start_executor(self.executor("gpu1"), nvcc=fake_nvcc(self.folder, AS_SHELL))

    def types(self, *arguments: Any, **options: Any) -> tuple[int, str, str]:
        done = self.submit(self.alice, *arguments, **options).no_traceback()
        return done.status, done.out, done.err

    def answers(self, *arguments: Any) -> dict[str, Any]:
        """With --json: the one object on standard output."""
        status, out, _ = self.types(*arguments, "--json")
        assert out.count("\n") == 1
        document = json.loads(out)
        assert document["exit_status"] == status
        return document


@pytest.fixture
def course(tmp_path: Path) -> Any:
    with Course(tmp_path) as course:
        yield course


@pytest.mark.long(20)
def test_jobs_that_are_over(course: Course) -> None:
    """--list, --status, --attach last, --compare, --out twice, and each in JSON."""
    course.begin_course()
    empty = course.types("--list")
    assert empty == (0, "", "You have no job yet.\n")
    assert course.types("--attach", "last")[0] == 3
    quick, bad = course.source(QUICK, "quick.cu"), course.source("echo no; exit 3", "bad.cu")

    one = course.answers(quick, "1")
    assert one["job"]["result"]["execute_log"] == "hello 1\n"
    assert one["saved"] == [{"name": "frame.txt", "path": "telerun-out/1/frame.txt"}]
    assert (course.folder / one["saved"][0]["path"]).read_text() == "frame 1\n"
    assert "etag" not in one["job"]

    status, out, err = course.types(bad, "--quiet")
    assert (status, err) == (1, "")
    assert out.startswith("--- program ---\nno\n")

    status, out, _ = course.types("--list")
    rows = [re.split(r" {2,}", line.strip()) for line in out.splitlines()]
    assert [(row[0], row[1], row[2]) for row in rows] == [
        ("2", "bad.cu", "failed"),
        ("1", "quick.cu 1", "succeeded"),
    ]
    assert all(row[-1] == "just now" for row in rows)
    assert re.fullmatch(r"[\d.]+ m?s", rows[1][3])
    assert course.types("--list", "1")[1].count("\n") == 1
    listed = course.answers("--list")["jobs"]
    assert [job["id"] for job in listed] == [2, 1]
    assert listed[1]["execute_seconds"] > 0

    status, out, _ = course.types("--status")
    assert status == 0
    assert re.search(r"^cuda +1 +0 +0$", out, re.MULTILINE)
    assert "No job of yours waits or runs." in out
    told = course.answers("--status")
    assert (told["queue"]["running"], told["jobs"]) == (0, [])

    status, out, _ = course.types("--attach", "last")
    assert (status, "--- program ---\nno\n" in out) == (1, True)

    same = course.answers(quick, "2")["job"]["id"]
    status, out, _ = course.types("--compare", "1", "last")
    assert status == 0
    assert re.match(
        r"quick\.cu 2   [\d.]+ m?s → [\d.]+ m?s   \([\d.]+ \u00d7 as (?:fast|long)\)\n", out
    )
    assert "The same source." in out
    compared = course.answers("--compare", 1, same)
    assert compared["same_source"] is True
    assert [job["id"] for job in compared["jobs"]] == [1, same]
    status, out, _ = course.types("--compare", "1", "2")
    assert "as fast" not in out
    assert "Job 2 did not succeed: its time says little." in out
    assert "-echo hello $1; mkdir" in out
    assert "+echo no; exit 3" in out


@pytest.mark.long(10)
def test_out_twice(course: Course) -> None:
    """S8: a run's files replace those of the last one, and nobody else's."""
    course.begin_course()
    quick = course.source(QUICK, "quick.cu")
    out = course.folder / "res"
    assert course.types(quick, "1", "--out", "res")[0] == 0
    status, _, told = course.types(quick, "2", "--out", "res")
    assert status == 0
    assert "Saved res/frame.txt (8 bytes), in place of the last run's." in told
    assert (out / "frame.txt").read_text() == "frame 2\n"
    assert (out / "execute-log.txt").read_text() == "hello 2\n"
    # One that was changed since is the student's own.
    (out / "frame.txt").write_text("my notes\n")
    status, _, told = course.types(quick, "3", "--out", "res")
    assert status == 6
    assert "frame.txt was not saved: another file of that name is there, and is left" in told
    assert "--force replaces it" in told
    assert (out / "frame.txt").read_text() == "my notes\n"
    assert course.types(quick, "4", "--out", "res", "--force")[0] == 0
    assert (out / "frame.txt").read_text() == "frame 4\n"
    # What this run did not write is said to be an earlier one's.
    other = course.source("echo other; mkdir out; echo x >out/other.txt", "other.cu")
    status, _, told = course.types(other, "--out", "res")
    assert "In res from an earlier run: frame.txt." in told
    # A program cannot say what is ours.
    forge = 'mkdir -p out; echo \'{"files": {"mine": "0"}}\' >out/.telerun'
    (out / "mine").write_text("")
    status, _, told = course.types(course.source(forge, "f.cu"), "--out", "res")
    assert status == 0
    assert "mine" not in json.loads((out / ".telerun").read_text())["files"]


@pytest.mark.hardening
@pytest.mark.long(15)
def test_jobs_that_are_not(course: Course) -> None:
    """--detach, --list and --status of what waits and runs, --cancel; words for the shell."""
    course.begin_course()
    slow = course.source(
        f"echo begun; until [ -e {course.folder}/go ]; do sleep 0.05; done", "s.cu"
    )
    status, out, told = course.types(slow, "--detach")
    assert (status, out) == (0, "")
    assert told.splitlines()[0] == f"Submitted {slow} as job 1."
    wait_for(lambda: course.answers("--list")["jobs"][0]["phase"] == "executing", "it runs")
    assert course.answers(course.source("echo two", "two.cu"), "--detach")["job"]["id"] == 2
    status, out, _ = course.types("--list")
    assert re.search(r"^1  s\.cu +running", out, re.MULTILINE)
    assert "Your jobs:\n" in course.types("--status")[1]
    # S2: a job that waits behind one's own is told of it.
    waits = Student(course, course.alice, "--attach", "1")
    waits.wait_until_shown(b"begun")
    status, _, told = course.types("--cancel", "last")
    assert (status, told) == (0, "Job 2 is told to stop.\n")
    behind = Student(course, course.alice, course.folder / "two.cu")
    behind.wait_until_told("Your job 1 (s.cu) still runs, and this one may wait for it.")
    (course.folder / "go").touch()
    assert (waits.wait(), behind.wait()) == (0, 0)
    hint = re.search(r"To see it: (.*)", course.types(slow, "--detach")[2])[1]
    done = subprocess.run(
        hint, shell=True, capture_output=True, cwd=course.folder, env=course.environment
    )
    assert (done.returncode, b"begun\n" in done.stdout) == (0, True)
    assert course.answers("--cancel", "1") == {
        "exit_status": 3,
        "error": "Job 1 is finished already.",
    }


def test_a_series_is_handed_in(course: Course) -> None:
    """S15: each waits until the one before runs, in order, whatever the script's speed."""
    course.begin_course()
    until = f"until [ -e {course.folder}/go ]; do sleep 0.05; done"
    source = course.source(f"{until}; echo $1", "n.cu")
    loop = (
        f"for n in 1 2 3 4 5 6; do {pythons()[-1]} {SUBMIT} --auth {course.alice} "
        f"{source} $n --detach --wait-turn || exit 9; done"
    )
    log = course.folder / "series.log"
    series = Process("series", log, ["sh", "-c", loop], cwd=course.folder)
    series.wait_until_told("waits in the queue; the next is submitted once that runs.")
    (course.folder / "go").touch()
    assert series.popen.wait(90) == 0, series.told()
    assert series.told().count("Submitted") == 6
    assert course.types("--attach", "last")[0] == 0
    jobs = course.answers("--list", "9")["jobs"]
    assert [job["args"] for job in jobs] == [[str(n)] for n in (6, 5, 4, 3, 2, 1)]
    assert {job["outcome"] for job in jobs} == {"succeeded"}
    at_once = [Student(course, course.alice, source, n, "--wait-turn") for n in "abc"]
    assert [one.wait() for one in at_once] == [0, 0, 0], [one.err for one in at_once]
    assert b"".join(sorted(one.out.split(b"\n")[1] for one in at_once)) == b"abc"


def test_a_rate_limit_is_waited_for(tmp_path: Path) -> None:
    """S15: with a line that says so."""
    with Course(tmp_path, TELERUN_SUBMITS_PER_MINUTE=1) as course:
        course.begin_course(has_host=False)
        source = course.source("x")
        assert course.types(source, "--detach")[0] == 0
        assert course.types("--cancel", "last")[0] == 0
        waits = Student(course, course.alice, source, "--wait-turn")
        waits.wait_until_told("The queue takes 1 of your submissions in a minute. Wait ")
        waits.popen.terminate()
        waits.wait()


def test_a_series_without_a_host_says_what_it_waits_for(course: Course) -> None:
    course.begin_course(has_host=False)
    source = course.source("x")
    assert course.types(source, "--detach")[0] == 0
    status, _, told = course.types(source, "--detach")
    assert (status, "job 1" in told) == (3, True)
    waits = Student(course, course.alice, source, "--wait-turn")
    waits.wait_until_told("Your job 1 waits in the queue; the next is submitted once that runs.")
    waits.popen.send_signal(2)
    assert waits.wait() == 130
    assert [job["id"] for job in course.answers("--list")["jobs"]] == [1]


def test_a_reader_who_leaves_changes_nothing_else(course: Course) -> None:
    """S6: 1.9 MB of output, and the program fails: its status, and its files, are right."""
    course.begin_course()
    script = "mkdir out; echo kept >out/kept.txt; seq 1 290000; exit 3"
    source = course.source(script, "fails.cu")
    for command in ("", "--attach last --out again"):
        words = command or f"{source} --out first"
        line = f"{pythons()[0]} {SUBMIT} --auth {course.alice} {words}"
        line = f"set -o pipefail; {line} | head -1"
        done = subprocess.run(
            ["bash", "-c", line], capture_output=True, cwd=course.folder, env=course.environment
        )
        assert done.stdout == b"--- program ---\n"
        assert done.returncode == 1, done.stderr
        folder = course.folder / ("again" if command else "first")
        assert (folder / "kept.txt").read_text() == "kept\n"
        assert (folder / "execute-log.txt").stat().st_size > 900_000
