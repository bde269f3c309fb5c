"""submit.py shows what a program prints as it comes. Real processes; a stub for the queue."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.processes import ROOT, World, pythons, wait_for
from tests.support.scripts import load
from tests.support.stub_live_queue import StubLiveQueue
from tests.support.students import Student

pytestmark = [pytest.mark.once, pytest.mark.processes]
submit = load("submit")
executor = load("executor")
LAST_LINE = b"--- job 7 succeeded: compiled in 1.00 s, ran in 2.00 s, on gpu1 ---\n"
# Every byte, in an order that has characters of two to four bytes too.
EVERY_BYTE = bytes(range(256)) + "äöü € 🙂\n".encode() + b"\xf0\x9f\r\n"


@pytest.fixture
def queue(world: World) -> Iterator[StubLiveQueue]:
    queue = StubLiveQueue(world)
    yield queue
    queue.posts_held.set()
    queue.close()


@pytest.fixture
def student(world: World, queue: StubLiveQueue) -> Iterator[Callable[..., Student]]:
    """Starts submit.py with these arguments, or for a program, and waits until it watches."""
    students: list[Student] = []

    def start(*arguments: Any, is_watching: bool = True, **options: Any) -> Student:
        before = len(queue.asked)
        one = Student(world, queue.auth(), *(arguments or [world.source("x")]), **options)
        students.append(one)
        if is_watching:
            queue.wait_until_watched(before + 1)
        return one

    yield start
    for one in students:
        one.stop()


def printed(log: bytes, title: str = "program") -> bytes:
    """A log as it always stood on standard output."""
    end = b"" if log.endswith(b"\n") else b"\n"
    return b"--- %b ---\n%b%b" % (title.encode(), log, end) if log else b""


# --- As it comes -------------------------------------------------------------------------


@pytest.mark.parametrize("python", pythons())
def test_each_line_is_there_before_the_next_is_printed(
    student: Any, queue: StubLiveQueue, world: World, python: str
) -> None:
    alice = student(python=python)
    queue.runs(phase="compiling")
    queue.prints(b"warning: unused\n", log="compile")
    alice.wait_until_shown(b"--- compiler ---\nwarning: unused\n")
    queue.becomes(phase="executing")
    lines = [b"step %d \xff\n" % n for n in range(3)]
    for n, line in enumerate(lines, 1):
        queue.prints(line)
        alice.wait_until_shown(b"--- program ---\n" + b"".join(lines[:n]))
    queue.finishes(b"".join(lines), b"warning: unused\n")
    assert alice.wait() == 0
    right = printed(b"warning: unused\n", "compiler") + printed(b"".join(lines)) + LAST_LINE
    assert alice.out == right
    saved = world.folder / "telerun-out/7"
    assert (saved / "execute-log.txt").read_bytes() == b"".join(lines)
    again = student("--attach", 7, python=python, is_watching=False)  # all at once
    assert again.wait() == 0
    assert again.out == right
    assert len(queue.asked) == 1


def test_a_line_without_an_end_gets_one_as_before(student: Any, queue: StubLiveQueue) -> None:
    alice = student()
    queue.runs()
    queue.prints(b"compiled", log="compile")
    queue.prints(b"50 %")
    alice.wait_until_shown(b"--- compiler ---\ncompiled\n--- program ---\n50 %")
    queue.finishes(b"50 % 100 %", b"compiled")
    assert alice.wait() == 0
    assert alice.out == printed(b"compiled", "compiler") + printed(b"50 % 100 %") + LAST_LINE


def test_who_comes_late_sees_it_from_its_beginning(student: Any, queue: StubLiveQueue) -> None:
    queue.runs()
    queue.prints(b"one\n")
    queue.prints(b"two\n")
    alice = student("--attach", 7)
    alice.wait_until_shown(b"--- program ---\none\ntwo\n")
    queue.prints(b"three\n")
    alice.wait_until_shown(b"--- program ---\none\ntwo\nthree\n")
    queue.finishes(b"one\ntwo\nthree\n")
    assert alice.wait() == 0
    assert alice.out == printed(b"one\ntwo\nthree\n") + LAST_LINE


def test_what_came_through_no_stream_is_shown_at_the_end(
    student: Any, queue: StubLiveQueue
) -> None:
    """An executor that is older sends nothing before the result; a stream may miss the last."""
    alice, late = student(), student()
    queue.runs()
    queue.finishes(EVERY_BYTE, b"warning")
    right = printed(b"warning", "compiler") + printed(EVERY_BYTE) + LAST_LINE
    for one in (alice, late):
        assert one.wait() == 0
        assert one.out == right


@pytest.mark.parametrize("seed", range(6))
def test_order_and_bytes_are_exact_however_the_stream_breaks(
    student: Any, queue: StubLiveQueue, seed: int
) -> None:
    """Pieces of any size, some twice and overlapping; streams cut anywhere; two that watch."""
    dice = random.Random(seed)
    log = b"".join(
        dice.choice([EVERY_BYTE, b"a line\n", b"\n", dice.randbytes(99)]) for _ in "x" * 40
    )
    queue.cut_after = [dice.randrange(4) for _ in range(12)]
    patch = "submit.LASTED_SECONDS = 0.0; submit.MAX_IN_VAIN = 99"
    alice, late = student(patch=patch), None
    queue.runs(phase="compiling")
    queue.prints(EVERY_BYTE[:100], log="compile")
    place = 0
    while place < len(log):
        size = dice.choice([1, 2, 7, 100, 1000])
        back = dice.choice([0, 0, 0, 5, 500])  # again, what came before
        begin = max(0, place - back)
        queue.send_output(begin, log[begin : place + size])
        place = min(len(log), place + size)
        if place > len(log) // 2 and late is None:
            late = student("--attach", 7, patch=patch)
        if dice.random() < 0.1:
            alice.wait_until_shown(log[:place])
    queue.finishes(log, EVERY_BYTE)
    right = printed(EVERY_BYTE, "compiler") + printed(log) + LAST_LINE
    assert alice.wait() == 0
    # What it had not seen of the compiler's when the program began is told at the end.
    halves = printed(EVERY_BYTE[:100], "compiler") + printed(log)
    assert alice.out == halves + printed(EVERY_BYTE[100:], "compiler") + LAST_LINE
    assert late.wait() == 0
    assert late.out in (right, alice.out)


def test_a_proxy_that_cuts_every_stream_after_a_moment(student: Any, queue: StubLiveQueue) -> None:
    """Nothing is lost, and nothing is said about it."""
    queue.cut_seconds = 0.3
    alice = student(patch="submit.LASTED_SECONDS = 0.2")
    queue.runs()
    for n in range(1, 6):
        queue.wait_until_watched(2 * n)  # some have nothing to say, and count as streams
        queue.prints(b"%d\n" % n)
        alice.wait_until_shown(b"%d\n" % n)
    queue.cut_seconds = 0
    queue.finishes(b"1\n2\n3\n4\n5\n")
    assert alice.wait() == 0
    assert alice.out == printed(b"1\n2\n3\n4\n5\n") + LAST_LINE
    assert not [line for line in alice.err.splitlines() if "again" in line]


# --- What was left out -------------------------------------------------------------------


def bounded(log: bytes, maximum: int) -> bytes:
    """As the executor's real code keeps a log."""
    kept = executor.BoundedLog(maximum)
    kept.add(log)
    return kept.content()


def note(count: int) -> bytes:
    return b"\n[... %d bytes left out ...]\n" % count


@pytest.mark.parametrize("seed", range(40))
def test_the_rest_of_a_log_is_what_was_not_shown(seed: int) -> None:
    """Against the executor's own bounds, with programs that print what looks like a note."""
    dice = random.Random(seed)
    words = [b"x", b"\n", note(5), note(100), note(100)[:9], note(70)[1:], b"abc\n"]
    log = b"".join(dice.choice(words) for _ in range(dice.randrange(1, 60)))
    maximum = dice.choice([40, 100, 400, 4000])
    kept, head = bounded(log, maximum), int(maximum * executor.HEAD_SHARE)
    tail = max(0, len(log) - (maximum - head))  # where the end of the log begins that is kept
    for place in range(len(log) + 1):
        rest = submit.rest_of(kept, log[:place])
        if kept == log or place <= head or kept.startswith(log[:place]):
            right = kept[place:]
        elif place >= tail:
            right = log[place:]
        else:
            right = note(tail - place) + log[tail:]
        assert rest == right, (log, maximum, place)


def test_a_log_full_of_notes_takes_no_long_time() -> None:
    words = note(1) * 60_000
    assert submit.rest_of(words + b"a", words + b"b") is None


@pytest.mark.parametrize(
    ("log", "shown", "rest"),
    [
        (b"abc", b"", b"abc"),
        (b"", b"", b""),
        (b"abc", b"abc", b""),
        (b"ab", b"abc", b""),  # the executor kept less than it had sent
        (b"abc", b"abd", None),
        (b"ab" + note(3), b"abxyz", b""),
    ],
)
def test_the_rest_of_a_log(log: bytes, shown: bytes, rest: bytes | None) -> None:
    assert submit.rest_of(log, shown) == rest


def test_after_a_gap_a_file_gets_the_rest_from_the_result(
    student: Any, queue: StubLiveQueue
) -> None:
    alice = student()
    queue.runs()
    queue.prints(b"one\n")
    queue.prints(b"three\n", skip=4)
    queue.prints(b"four\n")
    queue.finishes(b"one\ntwo\nthree\nfour\nfive\n")
    assert alice.wait() == 0
    assert alice.out == printed(b"one\ntwo\nthree\nfour\nfive\n") + LAST_LINE


def test_after_a_gap_a_terminal_shows_what_comes_and_then_the_rest(
    student: Any, queue: StubLiveQueue
) -> None:
    alice = student(columns=80)
    queue.runs()
    queue.prints(b"one\n")
    queue.prints(b"three\n", skip=4)
    alice.wait_until_shown(b"one\r\n\r\n[... 4 bytes left out ...]\r\nthree\r\n")
    queue.prints(b"four\n")
    alice.wait_until_shown(b"three\r\nfour\r\n")
    queue.finishes(b"one\ntwo\nthree\nfour\nfive\n")
    assert alice.wait() == 0
    end = "--- program, from byte 4 on ---\ntwo\nthree\nfour\nfive\n".replace("\n", "\r\n")
    assert alice.out.count(end.encode()) == 1


def test_more_than_a_log_keeps(student: Any, queue: StubLiveQueue) -> None:
    """What came is shown; of the rest the result has the end."""
    log = b"".join(b"%d\n" % n for n in range(2000))
    alice = student()
    queue.runs()
    queue.prints(log[:6000])
    queue.finishes(bounded(log, 4000))
    assert alice.wait() == 6
    last = LAST_LINE.replace(b"succeeded", b"succeeded, but 4.78 KiB of output was left out")
    assert alice.out == printed(log[:6000] + note(len(log) - 7000) + log[-1000:]) + last


def test_a_stream_that_was_wrong_is_said_so(student: Any, queue: StubLiveQueue) -> None:
    alice = student()
    queue.runs()
    queue.prints(b"wrong\n")
    queue.finishes(b"right\n")
    assert alice.wait() == 0
    anew = printed(b"right\n", "program, all of it anew")
    assert alice.out == printed(b"wrong\n") + anew + LAST_LINE


@pytest.mark.parametrize(
    "output",
    [
        {}, {"attempt": 1}, {"attempt": 1, "log": "other", "offset": 0, "text": "x"},
        {"attempt": "x", "log": "execute", "offset": 0, "text": "x"},
        {"attempt": 1, "log": "execute", "offset": None, "text": "x"},
        {"attempt": 1, "log": "execute", "offset": 0, "text": 5},
        {"attempt": 1, "log": "execute", "offset": 0, "text": "\ud800"},
        {"attempt": 1, "log": ["execute"], "offset": 0, "text": "x"},
        {"attempt": 1, "log": "execute", "offset": -3, "text": "xyz"},
    ],
)  # fmt: skip
def test_output_that_makes_no_sense_is_passed_over(
    student: Any, queue: StubLiveQueue, output: Any
) -> None:
    alice = student()
    queue.runs()
    queue.send("output", output)
    queue.send("news", {"of": "a later version"})
    queue.prints(b"one\n")
    queue.finishes(b"one\n")
    assert alice.wait() == 0
    assert alice.out == printed(b"one\n") + LAST_LINE
    assert "Traceback" not in alice.err


# --- Attempts and endings ----------------------------------------------------------------

VOID = b"--- the host was lost: what is above does not count ---\n"


def test_a_second_attempt_begins_anew_and_says_so(student: Any, queue: StubLiveQueue) -> None:
    alice = student()
    queue.runs("gpu1")
    queue.prints(b"a warning\n", log="compile")
    queue.prints(b"half a li")
    alice.wait_until_shown(b"half a li")
    queue.becomes(state="queued", phase=None, executor=None, queue_position=1,
                  attempts=[{**queue.job["attempts"][0], "ending": "expired"}])  # fmt: skip
    alice.wait_until_shown(VOID)
    queue.runs("gpu2")
    queue.prints(b"a whole line\n")
    alice.wait_until_shown(b"a whole line\n")
    queue.finishes(b"a whole line\nlast\n", executor="gpu2")
    assert alice.wait() == 0
    void = printed(b"a warning\n", "compiler") + printed(b"half a li") + VOID
    last = LAST_LINE.replace(b"gpu1", b"gpu2")
    assert alice.out == void + printed(b"a whole line\nlast\n") + last
    assert "Job 7: running on gpu2 (again: gpu1 was lost)\n" in alice.err


@pytest.mark.parametrize("printed_before", [b"", b"a whole"])
def test_an_attempt_that_ends_a_moment_before_its_job(
    student: Any, queue: StubLiveQueue, printed_before: bytes
) -> None:
    """The queue reads the job, then its attempts: a result may have come between."""
    alice = student()
    queue.runs()
    queue.prints(printed_before)
    *before, last = queue.job["attempts"]
    queue.becomes(attempts=[*before, {**last, "ending": "finished"}])
    queue.wait_until_watched(1)
    queue.finishes(b"a whole line\n")
    assert alice.wait() == 0
    assert alice.out == printed(b"a whole line\n") + LAST_LINE


def test_a_second_attempt_of_which_only_the_output_is_seen(
    student: Any, queue: StubLiveQueue
) -> None:
    """And late output of the first is none of it."""
    alice = student()
    queue.runs()
    queue.prints(b"first\n")
    queue.attempt = 2
    queue.send_output(0, b"second\n")
    queue.attempt = 1
    queue.send_output(6, b"too late\n")
    alice.wait_until_shown(b"second\n")
    queue.runs()
    queue.finishes(b"second\n")
    assert alice.wait() == 0
    assert alice.out == printed(b"first\n") + VOID + printed(b"second\n") + LAST_LINE


@pytest.mark.parametrize(
    ("state", "ending", "told"),
    [
        ("cancelled", "cancelled", "--- job 7 was cancelled ---"),
        ("failed", "expired", "--- job 7 could not be run: 1 hosts were lost with it."),
    ],
)
@pytest.mark.parametrize("is_streamed", [True, False])
def test_an_ending_without_a_result_shows_what_there_was(
    student: Any, queue: StubLiveQueue, world: World, state: str, ending: str, told: str,
    is_streamed: bool,
) -> None:  # fmt: skip
    alice = student()
    queue.runs()
    if is_streamed:
        queue.prints(b"a warning\n", log="compile")
        queue.prints(b"step 1\n")
        alice.wait_until_shown(b"step 1\n")
    kept = {"compile_log": b"a warning\n", "execute_log": b"step 1\nstep 2"}
    queue.ends(state, ending=ending, **kept)
    assert alice.wait() == 5
    right = printed(b"a warning\n", "compiler") + printed(b"step 1\nstep 2")
    assert alice.out == right
    assert told in alice.err
    assert VOID not in alice.out
    saved = (world.folder / "telerun-out/7/execute-log.txt").read_bytes()
    assert saved == b"step 1\nstep 2"
    again = student("--attach", 7, is_watching=False)
    assert again.wait() == 5
    assert again.out == right


def test_an_ending_of_which_nothing_was_kept(student: Any, queue: StubLiveQueue) -> None:
    alice = student()
    queue.runs()
    queue.prints(b"step 1")
    queue.ends("cancelled", ending="cancelled")
    assert alice.wait() == 5
    assert alice.out == printed(b"step 1")
    assert "logs" not in alice.err


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ("runtime_timeout", b"ran too long and was stopped"),
        ("runtime_error", b"failed (exit status 3)"),
        ("compile_error", b"did not compile (exit status 3)"),
    ],
)
def test_an_ending_with_a_result(
    student: Any, queue: StubLiveQueue, outcome: str, words: bytes
) -> None:
    log = "compile" if outcome == "compile_error" else "execute"
    alice = student()
    queue.runs()
    queue.prints(b"one\n", log=log)
    queue.finishes(**{f"{log}_log": b"one\ntwo\n"}, outcome=outcome, exit_code=3)
    assert alice.wait() == 1
    assert alice.out.startswith(printed(b"one\ntwo\n", submit.TITLES[log]) + b"--- job 7 " + words)


# --- Readers that leave (S6) -------------------------------------------------------------


@pytest.mark.parametrize("is_live", [True, False])
def test_a_reader_that_leaves_changes_neither_files_nor_status(
    world: World, queue: StubLiveQueue, is_live: bool
) -> None:
    """`submit.py fails.cu | head -1`, and of its two outputs."""
    log = b"".join(b"line %d of a long log\n" % n for n in range(80_000))
    for redirect in ("", "2>&1"):
        argv = [sys.executable, ROOT / "submit.py", "--auth", queue.auth(), world.source("x")]
        command = " ".join(map(str, argv)) + f" {redirect} | head -1; exit ${{PIPESTATUS[0]}}"
        shell = subprocess.Popen(
            ["/bin/bash", "-c", command], cwd=world.folder, env=world.environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        if not queue.events:
            queue.wait_until_watched()
            queue.runs()
            if is_live:
                for place in range(0, len(log), 50_000):
                    queue.prints(log[place : place + 50_000])
            queue.finishes(log, outcome="runtime_error", exit_code=3)
        out, err = shell.communicate(timeout=60)
        assert shell.returncode == 1, err
        assert b"Traceback" not in err
        assert out in (
            b"--- program ---\n",
            b"Submitted %s/prog.cu as job 7.\n" % str(world.folder).encode(),
        )
        saved = world.folder / "telerun-out/7/execute-log.txt"
        assert saved.read_bytes() == log
        saved.unlink()


@pytest.mark.parametrize(("outcome", "status"), [("succeeded", 6), ("runtime_error", 1)])
def test_a_disk_that_is_full(world: World, queue: StubLiveQueue, outcome: str, status: int) -> None:
    with open("/dev/full", "w") as full:
        client = subprocess.Popen(
            [sys.executable, ROOT / "submit.py", "--auth", queue.auth(), world.source("x")],
            cwd=world.folder, env=world.environment, stdout=full, stderr=subprocess.PIPE,
        )  # fmt: skip
    queue.wait_until_watched()
    queue.runs()
    queue.prints(b"one\n")
    queue.finishes(b"one\ntwo\n", outcome=outcome)
    _, err = client.communicate(timeout=60)
    assert client.returncode == status
    assert err.count(b"submit.py: its output cannot be written: No space left on device.\n") == 1
    assert (world.folder / "telerun-out/7/execute-log.txt").read_bytes() == b"one\ntwo\n"


# --- Terminals ---------------------------------------------------------------------------


def test_on_a_terminal_nothing_moves_the_cursor(student: Any, queue: StubLiveQueue) -> None:
    """And a character that comes in two pieces is one."""
    alice = student(columns=40)
    queue.runs()
    for piece in (b"\x1b]0;evil\x07 \xe2", b"\x82\xac \xff\xf0\x9f", b"\r\xe2\x82"):
        queue.prints(piece)
    queue.finishes(b"\x1b]0;evil\x07 \xe2\x82\xac \xff\xf0\x9f\r\xe2\x82")
    assert alice.wait() == 0
    line = r"\x1b]0;evil\x07 € \xff\xf0\x9f\r\xe2\x82".encode()
    assert b"--- program ---\r\n" + line + b"\r\n--- job 7" in alice.out
    assert b"\x1b" not in alice.out


def test_on_a_terminal_what_is_said_begins_a_line(student: Any, queue: StubLiveQueue) -> None:
    alice = student(columns=40)
    queue.runs()
    queue.prints(b"50 %")
    alice.wait_until_shown(b"50 %")
    queue.becomes(cancel_requested_at="2026-09-01T12:00:00Z")
    alice.wait_until_shown(b"50 %\r\nJob 7: running on gpu1, being cancelled\r\n")
    queue.prints(b" 60 %")
    alice.wait_until_shown(b" 60 %")
    queue.ends("cancelled", ending="cancelled", execute_log=b"50 % 60 %")
    assert alice.wait() == 5
    assert alice.out.count(b" 60 %\r\n--- job 7 was") == 1


def test_ctrl_c_in_the_middle_of_a_line(student: Any, queue: StubLiveQueue) -> None:
    alice = student(columns=40, patch="submit.SECOND_SECONDS = 60")
    queue.runs()
    queue.prints(b"50 %")
    alice.wait_until_shown(b"50 %")
    os.kill(alice.popen.pid, signal.SIGINT)
    alice.wait_until_shown(b"50 %\r\nJob 7 is running. Ctrl-C again within\r\n60 s stops it.\r\n")
    os.kill(alice.popen.pid, signal.SIGINT)
    assert alice.wait() == 130


def test_a_reader_that_is_slow_misses_nothing(world: World, queue: StubLiveQueue) -> None:
    log = b"".join(b"line %d of a long log\n" % n for n in range(30_000))
    client = subprocess.Popen(
        [sys.executable, ROOT / "submit.py", "--auth", queue.auth(), world.source("x")],
        cwd=world.folder, env=world.environment, stdout=subprocess.PIPE,
    )  # fmt: skip
    queue.wait_until_watched()
    queue.runs()
    for place in range(0, len(log), 50_000):
        queue.prints(log[place : place + 50_000])
    queue.finishes(log)
    out, _ = client.communicate(timeout=60)
    assert client.returncode == 0
    assert out == printed(log) + LAST_LINE


# --- While it waits ----------------------------------------------------------------------


def test_a_line_for_each_change_and_not_for_each_place(student: Any, queue: StubLiveQueue) -> None:
    alice = student()
    for place, seconds in ((3, 240), (3, 238), (3, 120), (2, 110)):
        start = {"from_seconds": seconds / 2, "to_seconds": seconds}
        queue.becomes(queue_position=place, expected_start=start)
    queue.becomes(waiting_for="no-executor", expected_start=None)
    queue.becomes(waiting_for="turn")
    queue.runs(phase="compiling")
    queue.becomes(phase="waiting", waiting_for="gpu")
    queue.becomes(phase="executing", waiting_for=None)
    queue.finishes(b"")
    assert alice.wait() == 0
    assert alice.err.splitlines()[1:] == [
        "Job 7: waiting, next in the queue",
        "Job 7: waiting, position 2 in the queue, but no GPU host is connected",
        "Job 7: waiting, position 2 in the queue",
        "Job 7: compiling on gpu1",
        "Job 7: compiled, waiting for a GPU on gpu1",
        "Job 7: running on gpu1",
        "The logs are in telerun-out/7.",
    ]


def test_other_places_and_times_are_said_now_and_then(student: Any, queue: StubLiveQueue) -> None:
    alice = student(patch="submit.AGAIN_SECONDS = 0.0")
    for place, seconds in ((3, 240), (3, 240), (2, 120)):
        start = {"from_seconds": seconds, "to_seconds": seconds}
        queue.becomes(queue_position=place, expected_start=start)
    alice.wait_until_told(
        "position 3 in the queue, starts in about 4 min\n"
        "Job 7: waiting, position 2 in the queue, starts in about 2 min\n"
    )


# --- Networks ----------------------------------------------------------------------------


def test_after_an_outage_the_connection_is_said_to_be_back(
    student: Any, queue: StubLiveQueue
) -> None:
    """Before anything happens to the job."""
    alice = student()
    queue.runs()
    queue.prints(b"one\n")
    alice.wait_until_shown(b"one\n")
    queue.close()
    alice.wait_until_told("does not answer: Connection refused; trying again.")
    queue.open()
    alice.wait_until_told("Connected again.")
    queue.prints(b"two\n")
    alice.wait_until_shown(b"one\ntwo\n")
    queue.finishes(b"one\ntwo\n")
    assert alice.wait() == 0
    assert alice.out == printed(b"one\ntwo\n") + LAST_LINE
    told = [line for line in alice.err.splitlines() if line.endswith("again.")]
    assert len(told) == 2


def test_tries_come_quickly_at_first_and_never_all_at_once() -> None:
    """An outage of four seconds is over for all soon after."""
    for _ in range(200):
        tries, times = submit.delays(*submit.RETRY_SECONDS), [0.0]
        while times[-1] < 4:
            times.append(times[-1] + next(tries))
        assert len(times) >= 5
        assert times[1] <= 0.2
        assert times[-1] < 4 + 5
        assert max(next(tries) for _ in range(20)) <= 5


def test_a_stream_that_falls_silent_is_asked_for_anew(student: Any, queue: StubLiveQueue) -> None:
    alice = student(patch="submit.SILENCE_SECONDS = 1.0")
    queue.runs()
    queue.prints(b"one\n")
    queue.wait_until_watched(2)
    alice.wait_until_told(
        "Nothing has come from the queue for 1 s; asking again.\nConnected again."
    )
    queue.comment_seconds = 0.2
    queue.wait_until_watched(3)  # the last stream of those that say so little
    queue.prints(b"two\n")
    alice.wait_until_shown(b"two\n")
    queue.finishes(b"one\ntwo\n")
    assert alice.wait() == 0
    assert alice.out == printed(b"one\ntwo\n") + LAST_LINE


def test_a_queue_that_closes_after_each_answer(student: Any, queue: StubLiveQueue) -> None:
    """As a server that stops does, and some proxies always; silence is told there too."""
    queue.closes = True
    alice = student(patch="submit.SILENCE_SECONDS = 1.0")
    queue.runs()
    queue.prints(b"one\n")
    queue.wait_until_watched(2)
    alice.wait_until_told("Nothing has come from the queue for 1 s; asking again.")
    queue.comment_seconds = 0.2
    queue.wait_until_watched(3)
    queue.prints(b"two\n")
    alice.wait_until_shown(b"two\n")
    queue.finishes(b"one\ntwo\n")
    assert alice.wait() == 0
    assert alice.out == printed(b"one\ntwo\n") + LAST_LINE


def test_how_long_a_silence_is() -> None:
    """A comment comes every 15 s at least, or as often as the queue says."""
    assert 15 < submit.SILENCE_SECONDS <= 20
    assert submit.REQUEST_SECONDS <= submit.SUBMIT_PATIENCE_SECONDS / 2


def test_a_queue_that_says_how_often_it_says_something(student: Any, queue: StubLiveQueue) -> None:
    """A connection that is stalled for good is given up that much sooner."""
    queue.promises = "1"
    alice = student()
    queue.wait_until_watched(2)
    alice.wait_until_told(
        "Nothing has come from the queue for 4 s; asking again.\nConnected again."
    )


def test_an_answer_that_is_lost_is_asked_for_anew(student: Any, queue: StubLiveQueue) -> None:
    """A submission that a proxy holds up is sent again; it has a key."""
    queue.posts_held.clear()
    alice = student(patch="submit.REQUEST_SECONDS = 1.0", is_watching=False)
    wait_for(lambda: queue.requests.count("POST /api/v1/jobs") >= 2, "it is sent again")
    queue.posts_held.set()
    alice.wait_until_told("Connected again.\nSubmitted ")
    queue.runs()
    queue.finishes(b"one\n")
    assert alice.wait() == 0


def test_a_stream_that_is_kept_back_is_done_without(student: Any, queue: StubLiveQueue) -> None:
    queue.keeps_back = True
    alice = student(patch="submit.OPEN_SECONDS = 0.5")
    queue.wait_until_watched(2)
    wait_for(lambda: queue.requests.count("GET /api/v1/jobs/7") >= 2, "it asks for each change")
    queue.runs()
    queue.finishes(b"one\n")
    assert alice.wait() == 0
    assert alice.out == printed(b"one\n") + LAST_LINE
    assert len(queue.asked) == 2


def test_a_queue_without_events(student: Any, queue: StubLiveQueue) -> None:
    queue.has_no_events = True
    alice = student(is_watching=False)
    alice.wait_until_told("next in the queue")
    queue.runs()
    queue.finishes(EVERY_BYTE)
    assert alice.wait() == 0
    assert alice.out == printed(EVERY_BYTE) + LAST_LINE
