"""What stands on the terminal while a job waits, is to be stopped, or just begins to print."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.processes import World, wait_for
from tests.support.rendered import Rendered
from tests.support.scripts import load
from tests.support.stub_live_queue import StubLiveQueue, attempt
from tests.support.students import Student

pytestmark = [pytest.mark.once, pytest.mark.processes]
submit = load("submit")
JOB: dict[str, Any] = {"id": 70, "state": "queued", "phase": None, "executor": None,
                       "queue_position": 1, "queue_length": 3, "jobs_before": 2,
                       "waiting_for": "turn", "attempts": [], "result": None}  # fmt: skip
RUNS = {**JOB, "state": "running", "executor": "gpu1", "attempts": [attempt(1)]}


# --- The clock ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "job",
    [
        JOB,
        {**JOB, "waiting_for": "no-executor", "platform": "a-long-name"},
        {**JOB, "expected_start": {"from_seconds": 120, "to_seconds": 240}},
        {**RUNS, "phase": "waiting", "jobs_before": 3},
        {**RUNS, "phase": "compiling", "limits": {"compile_seconds": 30}},
        {**RUNS, "phase": "executing", "limits": {"execute_seconds": 60}},
    ],
)
@pytest.mark.parametrize("columns", [24, 30, 40, 48, 80, 200])
def test_the_clock_stays_on_a_narrow_terminal(job: dict[str, Any], columns: int) -> None:
    """Without it nothing is written for as long as nothing else changes."""
    line = submit.WaitingLine(submit.Look(submit.sys.stderr))
    line.look_at({**JOB, "phase": "another", "state": "running"})
    line.look_at(job)
    words = line.words(columns)
    assert "0:00" in words or "starts in about" in words
    assert submit.width_of(words) < columns


# --- Ctrl-C ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (JOB, "Job 70 waits in the queue. Ctrl-C again within 3 s takes it out."),
        (
            {**RUNS, "phase": "compiling"},
            "Job 70 is being compiled. Ctrl-C again within 3 s stops it.",
        ),
        ({**RUNS, "phase": "waiting"}, "Job 70 waits for a GPU. Ctrl-C again within 3 s stops it."),
        (
            {**RUNS, "phase": "waiting", "platform": "cpu"},
            "Job 70 waits for its turn. Ctrl-C again within 3 s stops it.",
        ),
        ({**RUNS, "phase": "executing"}, "Job 70 is running. Ctrl-C again within 3 s stops it."),
        (
            {**RUNS, "cancel_requested_at": "x"},
            "Job 70 is being stopped. Ctrl-C again within 3 s waits no longer.",
        ),
    ],
)
def test_what_the_first_ctrl_c_says(job: dict[str, Any], words: str) -> None:
    assert submit.first_words(job) == words
    assert submit.in_columns(words, 80) == words
    assert submit.in_columns(words, 40).startswith("Ctrl-C again within 3 s")
    assert "goes on, also when you close this terminal" in submit.how_to_leave(job)
    assert "--attach 70" in submit.how_to_leave(job)


@pytest.fixture
def queue(world: World) -> Iterator[StubLiveQueue]:
    queue = StubLiveQueue(world)
    yield queue
    queue.close()


@pytest.fixture
def student(world: World, queue: StubLiveQueue) -> Iterator[Callable[..., Student]]:
    students: list[Student] = []

    def start(*arguments: Any, **options: Any) -> Student:
        options = {"columns": 80, "TERM": "xterm-256color", "NO_COLOR": "1", **options}
        arguments = arguments or (world.source("x").name,)
        students.append(Student(world, queue.auth(), *arguments, **options))
        return students[-1]

    yield start
    for one in students:
        one.stop()


def seen(student: Student) -> Rendered:
    return Rendered(student.out, 80)


def test_what_it_says_is_gone_when_it_is_true_no_more(student: Any, queue: StubLiveQueue) -> None:
    one = student(patch="submit.SECOND_SECONDS = 1.0")
    queue.wait_until_watched()
    queue.runs()
    queue.prints(b"50 %")
    one.wait_until_shown(b"50 %")
    one.popen.send_signal(2)
    wait_for(lambda: "Ctrl-C again within 1 s stops it." in seen(one).last, "it is said")
    wait_for(lambda: seen(one).last.startswith("● running on gpu1"), "it is gone")
    assert not [line for line in seen(one).lines if "Ctrl-C again" in line]
    assert [line for line in seen(one).lines if "also when you close this terminal" in line]
    queue.finishes(b"50 %")
    assert one.wait() == 0


# --- A program that prints runs ----------------------------------------------------------


def test_a_program_that_prints_is_running(student: Any, queue: StubLiveQueue) -> None:
    """Its first line may be here before the queue has heard that it runs."""
    one = student()
    queue.wait_until_watched()
    queue.runs(phase="compiling")
    queue.becomes(expected_start={"from_seconds": 0, "to_seconds": 49})
    wait_for(lambda: seen(one).last.startswith("◐ compiling on gpu1"), "it is compiled")
    queue.prints(b"warning\n", log="compile")
    one.wait_until_shown(b"warning")
    assert seen(one).last.startswith("◐ compiling on gpu1")
    queue.prints(b"one\n")
    wait_for(lambda: seen(one).last.startswith("● running on gpu1"), "it runs")
    queue.becomes(jobs_before=1)  # as it was, and late
    queue.prints(b"two\n")
    one.wait_until_shown(b"two")
    assert seen(one).last.startswith("● running on gpu1")
    assert "starts within" not in seen(one).last
    queue.finishes(b"one\ntwo\n")
    assert one.wait() == 0


# --- A job that is in the way ------------------------------------------------------------


def test_a_job_in_the_way_names_every_way_out() -> None:
    answer = submit.Answer(409, {}, {"detail": "x", "type": "/problems/pending-job", "job": 12})
    said = submit.job_in_the_way(answer)
    assert said.startswith("You have a job in the queue already: job 12.")
    for way in ("--wait-turn", "--override-pending", "--cancel 12"):
        assert way in said
    older = submit.Answer(409, {}, {"detail": "Wait for it.", "type": "/problems/pending-job"})
    assert submit.job_in_the_way(older) == "Wait for it."


def test_waiting_for_ones_turn_shows_place_and_clock(
    student: Any, queue: StubLiveQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.job.update(queue_position=2, queue_length=5)
    refusal = {"type": "/problems/pending-job", "detail": "one waits", "job": 7}
    answers = [(409, refusal)]

    def post(handler: Any) -> None:
        handler.rfile.read(int(handler.headers["Content-Length"]))
        handler._answer(*(answers.pop() if answers else (201, queue.job)))

    monkeypatch.setattr("tests.support.stub_live_queue.StubLiveHandler.do_POST", post)
    one = student("--wait-turn", "x.cu")
    (one.folder / "x.cu").write_text("x")
    wait_for(lambda: re.match(r"○ 2nd of 5 · .*0:0\d", seen(one).last), f"the line in {one.out!r}")
    queue.runs()
    one.wait_until_shown(b"Submitted x.cu as job 7")
    queue.wait_until_watched()
    queue.finishes(b"x\n")
    assert one.wait() == 0


# --- The end -----------------------------------------------------------------------------


def test_what_to_do_about_a_long_output(student: Any, queue: StubLiveQueue) -> None:
    one = student()
    queue.wait_until_watched()
    queue.runs()
    queue.finishes(b"x" * 75 + b"\n[... 9542041 bytes left out ...]\n" + b"x" * 25)
    assert one.wait() == 6
    assert "write it to a file in out/." in " ".join(seen(one).lines)


def test_help_says_what_status_6_is() -> None:
    assert "printed output or files was left out" in submit.EPILOG


@pytest.mark.parametrize(
    "more", [{"cached": True}, {"result": {"details": {"compiled_before": True}}}]
)
def test_a_cached_compile_is_not_compared(more: dict[str, Any]) -> None:
    one = {"id": 1, "state": "finished", "outcome": "succeeded", "filename": "a.cu",
           "result": {"compile_seconds": 1.27, "execute_seconds": 1.0}}  # fmt: skip
    result = {"compile_seconds": 0.0005, "execute_seconds": 1.0, **more.get("result", {})}
    other = {**one, **more, "id": 2, "result": result}
    row = next(row for row in submit.compared(one, other) if row.startswith("compiled in"))
    assert re.fullmatch(r"compiled in +1.27 s +cached", row)
