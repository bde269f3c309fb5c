"""What submit.py says to a queue and hears from it, with a stub of one in its own process."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripts import load

pytestmark = pytest.mark.once
submit = load("submit")
EVERY_BYTE = bytes(range(256))


def job(**more: Any) -> dict[str, Any]:
    shown = {"id": 7, "state": "finished", "outcome": "succeeded", "executor": "gpu1"}
    new = {"files": [], "flags": [], "platform": "cuda", "waiting_for": None}
    return {**shown, **new, "attempts": [{}], "result": result(), **more}


def result(compile_log: bytes = b"", execute_log: bytes = b"", **more: Any) -> dict[str, Any]:
    logs = {"compile_log": compile_log, "execute_log": execute_log}
    texts = {name: log.decode("utf-8", "surrogateescape") for name, log in logs.items()}
    return {**texts, "exit_code": 0, "signal": None, "files": [], **more}


class StubQueue:
    """Gives the answer it was made for to each submission, and the files it has."""

    server = "https://stub"
    turns = submit.Turns()

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        self.answer = submit.Answer(status, {}, body)
        self.files: dict[str, bytes] = {}
        self.taken: list[Any] = []

    def request(self, method: str, path: str, body: Any, *_: Any) -> Any:
        if "/files/" in path:
            return submit.Answer(200, {}, self.files[path.rpartition("/")[2]])
        if method == "POST":
            self.taken.append(body)
        return self.answer

    def close(self) -> None: ...


class Student:
    """A folder with a program, and submit.py with a stub for the queue."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, capsys: Any) -> None:
        self.folder = folder
        self._patch = patch
        self._capsys = capsys
        patch.chdir(folder)
        patch.setattr(submit, "auth_file", lambda given: given)
        patch.setattr(submit, "read_auth", lambda *_: None)

    def write(self, **files: str) -> None:
        for name, text in files.items():
            (self.folder / name.replace("__", ".")).write_text(text)

    def submit(self, queue: StubQueue, *arguments: str) -> tuple[int, str]:
        """The exit status, and standard error."""
        self._patch.setattr(submit, "StreamingQueue", lambda _auth: queue)
        status = submit.main(list(arguments))
        return status, self._capsys.readouterr().err

    def logs(self, folder: str = "telerun-out/7") -> dict[str, bytes]:
        saved = [path for path in (self.folder / folder).iterdir() if path.name != submit.RECORD]
        return {path.name: path.read_bytes() for path in saved}


@pytest.fixture
def student(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Student:
    return Student(tmp_path, monkeypatch, capsys)


# --- What is sent ------------------------------------------------------------------------


def test_a_lab_is_sent_with_nothing_but_its_name(student: Student) -> None:
    main = '// TL+ {"platform": "h100", "compile_flags": ["-lcuda"]}\n#include "tma.cuh"\n'
    student.write(lab__cu=main, tma__cuh="int t;")
    queue = StubQueue(201, job())
    status, told = student.submit(queue, "lab.cu", "12")
    assert status == 0
    assert told.splitlines() == [
        "Sending lab.cu with tma.cuh, flags -lcuda, for h100.",
        "Submitted lab.cu as job 7.",
        "The logs are in telerun-out/7.",
    ]
    assert queue.taken == [
        {
            "source": main,
            "filename": "lab.cu",
            "args": ["12"],
            "includes": {"tma.cuh": "int t;"},
            "flags": ["-lcuda"],
            "platform": "h100",
        }
    ]


def test_an_argument_that_is_a_source_gets_a_hint(student: Student) -> None:
    student.write(two__cu="x", kernels__cu="k")
    _, told = student.submit(StubQueue(201, job()), "two.cu", "kernels.cu")
    assert told.startswith(
        "kernels.cu is an argument for the program; to send it: --with kernels.cu\nSubmitted"
    )


@pytest.mark.parametrize(
    ("outcome", "log", "is_said"),
    [
        ("compile_error", b"lab.cu:2:10: fatal error: none.cuh: No such file or directory\n", True),
        ("compile_error", b"lab.cu(9): error: identifier x is undefined\n", False),
        ("runtime_error", b"none.cuh\n", False),
    ],
)
def test_what_was_not_found_is_said_where_the_compiler_misses_it(
    student: Student, outcome: str, log: bytes, is_said: bool
) -> None:
    student.write(lab__cu='\n#include "none.cuh"\n')
    done = job(outcome=outcome, result=result(log))
    status, told = student.submit(StubQueue(201, done), "lab.cu")
    assert status == 1
    assert ('lab.cu:2: "none.cuh" was not found on this machine, and not sent.' in told) == is_said


# --- What is refused ---------------------------------------------------------------------


def problem(slug: str, detail: str, status: int = 422) -> StubQueue:
    return StubQueue(status, {"type": f"/problems/{slug}", "detail": detail})


FLAGS = '// telerun: --flag=-lm\n// TL+ {"compile_flags": ["-o", "-lm2", "-o"]}\n'


@pytest.mark.parametrize(
    ("detail", "arguments", "place"),
    [
        ("The flag -o is not allowed.", [], " It stands in lab.cu:2."),
        ('The flag "-lm" is not allowed.', [], " It stands in lab.cu:1."),
        ("Flag refused: -lm2", [], " It stands in lab.cu:2."),
        ("The flag -ccbin is not allowed.", ["--flag=-ccbin"], ""),
        ("Too many.", [], ""),
    ],
)
def test_a_flag_that_is_refused(
    student: Student, detail: str, arguments: list[str], place: str
) -> None:
    student.write(lab__cu=FLAGS)
    status, told = student.submit(problem("flag-refused", detail), "lab.cu", *arguments)
    assert status == 3
    assert told.splitlines()[1:] == [f"submit.py: {detail}{place}"]


@pytest.mark.parametrize("arguments", [[], ["--platform", "b200"]])
def test_a_platform_that_there_is_not(student: Student, arguments: list[str]) -> None:
    student.write(lab__cu='\n// TL {"platform": "b200"}\n')
    detail = "There is no platform b200; there are: cuda, h100."
    status, told = student.submit(problem("unknown-platform", detail), "lab.cu", *arguments)
    assert status == 3
    place = "" if arguments else " It stands in lab.cu:2."
    assert told.splitlines()[1:] == [f"submit.py: {detail}{place}"]


@pytest.mark.parametrize(
    ("detail", "words"),
    [
        ("includes: There is no such member.", "it takes one file only"),
        ("flags: There is no such member.", "it takes no flags"),
        ("Unknown members: flags, platform", "it takes no flags, it knows no platforms"),
        ("flags: Ensure this field has no more than 100 elements.", None),
        ("filename: A plain file name, without folders.", None),
    ],
)
def test_a_queue_that_refuses_what_it_does_not_know(
    student: Student, detail: str, words: str | None
) -> None:
    student.write(lab__cu='#include "a.h"', a__h="")
    queue = problem("invalid-request", detail, 400)
    status, told = student.submit(queue, "lab.cu", "--flag=-lm", "--platform=h100")
    assert status == 3
    older = f"This queue is older than this submit.py: {words}."
    assert told.splitlines()[-1] == "submit.py: " + (older if words else detail)


@pytest.mark.parametrize(
    ("detail", "place"),
    [
        ("platform: A name of small letters, digits, . and -.", "lab.cu:3."),
        ("flags: Ensure this field has no more than 64 elements.", "lab.cu:1, lab.cu:2."),
        ("flags.1: Not printable.", "lab.cu:2."),
        ("filename: too long, whatever platform it is for.", None),
    ],
)
def test_a_400_leads_to_the_line(student: Student, detail: str, place: str | None) -> None:
    student.write(lab__cu=FLAGS + '// TL+ {"platform": "a_b"}\n')
    status, told = student.submit(problem("invalid-request", detail, 400), "lab.cu")
    assert status == 3
    assert told.splitlines()[-1] == f"submit.py: {detail}" + (
        f" It stands in {place}" if place else ""
    )


class StubOlderQueue(StubQueue):
    """Passes over what it does not know, and cancels as it is told."""

    cancelled = 0

    def request(self, method: str, path: str, body: Any, *rest: Any) -> Any:
        if path == "/jobs/7/cancel":
            self.cancelled += 1
            return submit.Answer(*self.cancelling)
        return super().request(method, path, body, *rest)

    def __init__(self, *unknown: str, state: str = "queued") -> None:
        shown = job() if state == "finished" else job(state=state, result=None, outcome=None)
        super().__init__(201, {key: shown[key] for key in shown if key not in unknown})
        after = {"queued": "cancelled"}.get(state, state)
        self.cancelling: Any = (200, {}, {**self.answer.body, "state": after})


OLDER = ("files", "flags", "platform")


@pytest.mark.parametrize(
    ("main", "arguments", "words"),
    [
        ("lab.cu", ["--flag=-lm"], "it takes no flags"),
        ("lab.cu", ["--platform=h100"], "it knows no platforms"),
        ("lab.cu", ["--platform=cpu", "--asm"], "it knows no platforms, it knows no --asm"),
        ("lab.cpp", ["--platform=cuda"], "it knows no platforms"),
        ("lab.cu", ["--with=k.cu"], "it takes one file only"),
        ("lab.cu", ["--with=a.h", "--flag=-lm"], "it takes one file only, it takes no flags"),
    ],
)
def test_an_older_queue_runs_nothing_that_is_wrong(
    student: Student, main: str, arguments: list[str], words: str
) -> None:
    student.write(lab__cu="x", lab__cpp="x", k__cu="k", a__h="")
    queue = StubOlderQueue(*OLDER)
    status, told = student.submit(queue, main, *arguments)
    assert status == 3
    assert queue.cancelled == 1
    assert told.splitlines()[1:] == [
        f"submit.py: This queue is older than this submit.py: {words}. Job 7 is cancelled."
    ]


@pytest.mark.parametrize("state", ["running", "finished"])
def test_a_job_of_an_older_queue_that_runs_already(student: Student, state: str) -> None:
    student.write(lab__cu="x")
    queue = StubOlderQueue(*OLDER, state="running" if state == "running" else "finished")
    if state != "running":
        queue.cancelling = (409, {}, {"detail": "The job is over."})
    status, told = student.submit(queue, "lab.cu", "--flag=-lm")
    assert status == 3
    said = "is told to stop." if state == "running" else "could not be cancelled: The job is over."
    assert f"it takes no flags. Job 7 {said}" in told


@pytest.mark.parametrize(
    ("main", "arguments", "words"),
    [
        ("lab.cu", ["--asm"], "it knows no --asm"),
        ("lab.cu", ["--platform=cuda"], "it knows no platforms"),
        ("lab.cpp", ["--platform=cpu"], "it knows no platforms"),
        ("lab.cu", [], None),
    ],
)
def test_an_older_queue_runs_what_is_right(
    student: Student, main: str, arguments: list[str], words: str | None
) -> None:
    student.write(lab__cu="x", lab__cpp="x")
    queue = StubOlderQueue(*OLDER, state="finished")
    status, told = student.submit(queue, main, *arguments)
    assert status == 0
    assert queue.cancelled == 0
    assert ("older" in told) == bool(words)
    assert not words or f"This queue is older than this submit.py: {words}." in told.splitlines()


def test_a_queue_that_takes_all_is_not_older(student: Student) -> None:
    student.write(lab__cu='#include "a.h"', a__h="")
    _, told = student.submit(StubQueue(201, job()), "lab.cu", "--flag=-lm", "--asm")
    assert "older" not in told


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        ({"waiting_for": "no-executor", "platform": "h100"}, "no host for h100 is connected"),
        ({"waiting_for": "no-executor"}, "no host is connected"),
        ({"waiting_for": "no-executor", "platform": "cuda"}, "no GPU host is connected"),
        ({"waiting_for": "no-executor", "platform": "cpu"}, "no host for cpu is connected"),
        (
            {"waiting_for": "no-executor", "expected_start": {"from_seconds": 1, "to_seconds": 9}},
            "no host is connected",
        ),
        ({"waiting_for": "paused"}, "position 2 in the queue, but the queue is paused"),
        ({"waiting_for": "turn", "platform": "h100"}, "position 2 in the queue"),
        ({"waiting_for": "the-moon"}, "position 2 in the queue"),
    ],
)
def test_what_a_job_waits_for(shown: dict[str, Any], words: str) -> None:
    waiting = {"id": 7, "state": "queued", "queue_position": 2, **shown}
    line = submit.status_line(waiting)
    assert line.endswith(words)
    assert line.startswith("Job 7: waiting")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        ((0, 0), ", starts within 1 s"),
        ((0, 40), ", starts within 40 s"),
        ((5.4, 39.2), ", starts in about 5-40 s"),
        ((40, 40), ", starts in about 40 s"),
        ((30, 100), ", starts within 2 min"),
        ((119, 240), ", starts in about 1-4 min"),
        ((120, 240.5), ", starts in about 2-5 min"),
        ((3600, 7200), ", starts in about 1-2 h"),
        ((1, 1e12), ""),
        ((5, 4), ""),
        ((-5, 4), ""),
        (("x", 4), ""),
        ((None, None), ""),
        ((float("nan"), 4), ""),
    ],
)
def test_when_a_job_will_start(seconds: tuple[Any, Any], words: str) -> None:
    expected = {"from_seconds": seconds[0], "to_seconds": seconds[1]}
    assert submit.start_in_words({"expected_start": expected}) == words
    waiting = {"id": 7, "state": "queued", "queue_position": 3, "expected_start": expected}
    assert submit.status_line(waiting) == "Job 7: waiting, position 3 in the queue" + words
    compiled = {"state": "running", "phase": "waiting", "executor": "gpu1", "queue_position": 2}
    line = f"Job 7: compiled, waiting for a GPU on gpu1, position 2{words}"
    assert submit.status_line({**waiting, **compiled}) == line


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (None, ""),
        (0, ""),
        (1, ", 1 job ends first"),
        (12, ", 12 jobs end first"),
        (-1, ""),
        ("x", ""),
    ],
)
@pytest.mark.parametrize(
    ("shown", "begin"),
    [
        ({"state": "queued", "queue_position": 1}, "Job 7: waiting, {next} in the queue"),
        (
            {"state": "queued", "queue_position": 9, "waiting_for": "turn"},
            "Job 7: waiting, position 9 in the queue",
        ),
        (
            {"state": "running", "phase": "compiling", "executor": "gpu1"},
            "Job 7: compiling on gpu1",
        ),
        (
            {"state": "running", "phase": "waiting", "executor": "gpu1", "waiting_for": "gpu"},
            "Job 7: compiled, waiting for a GPU on gpu1",
        ),
    ],
)
def test_how_many_jobs_end_first(shown: dict[str, Any], begin: str, count: Any, words: str) -> None:
    """In each phase; and next in the queue is only who has nobody before, not one that runs."""
    begin = begin.format(next="position 1" if words else "next")
    later = {"expected_start": {"from_seconds": 5, "to_seconds": 40}}
    waiting = {"id": 7, "jobs_before": count, **shown}
    assert submit.status_line(waiting) == begin + words
    assert submit.status_line({**waiting, **later}) == f"{begin}{words}, starts in about 5-40 s"


@pytest.mark.parametrize("expected", [{}, {"from_seconds": 1}, [], "soon", 5, None])
def test_an_expectation_that_makes_no_sense_is_passed_over(expected: Any) -> None:
    assert submit.start_in_words({"expected_start": expected}) == ""


@pytest.mark.parametrize(
    ("ago", "form", "passed"),
    [
        (20, "%H:%M", ""),
        (61, "%H:%M", " (1 minute)"),
        (630, "%H:%M", " (10 minutes)"),
        (7230, "%H:%M", " (2 hours)"),
        (90_030, "%d %b %H:%M", " (25 hours)"),
        (3 * 86_400 + 30, "%d %b %H:%M", " (3 days)"),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/Los_Angeles"])
def test_since_when_no_host_is_connected(
    monkeypatch: pytest.MonkeyPatch, ago: int, form: str, passed: str, zone: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        then = time.time() - ago
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(then))
        shown = time.strftime(form, time.localtime(int(then)))
        for end in ("Z", ".123456Z", "+00:00"):
            waiting = {"id": 7, "state": "queued", "queue_position": 1, "platform": "cuda",
                       "waiting_for": "no-executor", "no_executor_since": stamp + end}  # fmt: skip
            line = submit.status_line(waiting)
            assert line.endswith(f", but no GPU host has been connected since {shown}{passed}")
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("stamp", [None, "", "yesterday", 5, [], "9999-99-99", "0001-01-01"])
def test_a_time_that_makes_no_sense_is_passed_over(stamp: Any) -> None:
    assert submit.since_in_words(stamp) in ("", " since 00:00")


def test_a_time_to_come_is_said_without_how_long_ago() -> None:
    """This machine's clock may be wrong."""
    assert submit.since_in_words("2999-01-01T00:30:00Z").count("(") == 0


# --- Logs on disk ------------------------------------------------------------------------


def test_logs_are_saved_byte_for_byte(tmp_path: Path) -> None:
    done = job(result=result(b"warning\n", EVERY_BYTE))
    for _ in range(2):  # a second time finds them there
        submit.save_logs(done, tmp_path)
        saved = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        assert saved == {"compile-log.txt": b"warning\n", "execute-log.txt": EVERY_BYTE}


def test_logs_come_with_a_job_that_is_attached_to(student: Student) -> None:
    status, told = student.submit(StubQueue(200, job(result=result(b"c", b"e"))), "--attach", "7")
    assert status == 0
    assert told == "The logs are in telerun-out/7.\n"
    assert student.logs() == {"compile-log.txt": b"c", "execute-log.txt": b"e"}


def test_nothing_is_written_over_and_the_exit_status_stays(student: Student) -> None:
    student.write(lab__cu="x")
    (student.folder / "mine").mkdir()
    (student.folder / "mine/execute-log.txt").write_text("my own")
    done = job(result=result(b"c", b"e"))
    status, told = student.submit(StubQueue(201, done), "lab.cu", "--out", "mine")
    assert status == 0
    assert "mine/execute-log.txt was not saved: another file of that name is there" in told
    assert student.logs("mine") == {"compile-log.txt": b"c", "execute-log.txt": b"my own"}


def test_a_folder_that_cannot_be_made_is_said_before_anything_is_sent(student: Student) -> None:
    student.write(lab__cu="x", mine="a file")
    status, told = student.submit(StubQueue(201, job()), "lab.cu", "--out", "mine/below")
    assert status == 2
    assert f"{Path('mine/below')}" in told
    assert "Not a directory" in told
    assert "Submitted" not in told


def test_a_programs_own_files_keep_their_names(student: Student) -> None:
    student.write(lab__cu="x")
    files = {"Compile-Log.txt": b"mine", "execute-log.txt": b"mine too"}
    listed = [{"name": name, "size": 1} for name in files]
    queue = StubQueue(201, job(result=result(b"c", b"e", files=listed)))
    queue.files = files
    for _ in range(2):
        status, told = student.submit(queue, "lab.cu")
        assert status == 0, told
    logs = {"compile-log-2.txt": b"c", "execute-log-2.txt": b"e"}
    assert student.logs() == {**files, **logs}


@pytest.mark.parametrize("state", ["cancelled", "failed"])
def test_a_job_without_a_result_has_no_logs(student: Student, state: str) -> None:
    student.write(lab__cu="x")
    over = job(state=state, outcome=None, result=None, attempts=[])
    status, told = student.submit(StubQueue(201, over), "lab.cu")
    assert status == 5
    assert "logs" not in told
    assert not (student.folder / "telerun-out").exists()
