"""What a student sees on a terminal: a line that is written anew, and the program's output.

submit.py runs on a real pty; what that gets is drawn by a real emulator. A stub for the queue.
"""

import ctypes
import fcntl
import os
import random
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.processes import ROOT, World, pythons, wait_for
from tests.support.rendered import Rendered
from tests.support.scripts import load
from tests.support.stub_live_queue import StubLiveQueue
from tests.support.students import Student

pytestmark = [pytest.mark.once, pytest.mark.processes]
submit = load("submit")
LIMITS = {"compile_seconds": 30, "execute_seconds": 60}
ESCAPE = re.compile(rb"\x1b\[[0-9;:]*m|\x1b")


@pytest.fixture
def queue(world: World) -> Iterator[StubLiveQueue]:
    queue = StubLiveQueue(world)
    queue.job["limits"] = LIMITS
    yield queue
    queue.close()


class Terminal:
    """submit.py on a terminal."""

    def __init__(self, student: Student, columns: int) -> None:
        self.student = student
        self.columns = columns

    @property
    def seen(self) -> Rendered:
        return Rendered(self.student.out, self.columns)

    def wait_until(self, is_seen: Callable[[Rendered], Any]) -> Rendered:
        def look() -> Rendered | None:
            assert self.student.popen.poll() is None, self.seen.lines
            return seen if is_seen(seen := self.seen) else None

        return wait_for(look, f"something else than {self.seen.lines}")

    def wait_until_last(self, pattern: str) -> str:
        """The last line, once it is like that."""
        return self.wait_until(lambda seen: re.fullmatch(pattern, seen.last)).last


@pytest.fixture
def terminal(world: World, queue: StubLiveQueue) -> Iterator[Callable[..., Terminal]]:
    students: list[Student] = []

    def start(
        *arguments: Any, columns: int = 80, is_watching: bool = True, **options: Any
    ) -> Terminal:
        options = {"TERM": "xterm-256color", "NO_COLOR": "", **options}
        arguments = arguments or (world.source("x").name,)
        students.append(Student(world, queue.auth(), *arguments, columns=columns, **options))
        if is_watching:
            queue.wait_until_watched(len(students))
        return Terminal(students[-1], columns)

    yield start
    for one in students:
        one.stop()


# --- The line that is written anew -------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        ({"queue_position": 1, "queue_length": 1}, "next in the queue"),
        ({"queue_position": 1, "queue_length": 3, "jobs_before": 0}, "next in the queue"),
        ({"queue_position": 1, "queue_length": 3, "jobs_before": 2}, "first in the queue"),
        ({"queue_position": 2, "queue_length": 3}, "2nd of 3"),
        ({"queue_position": 3, "queue_length": 1}, "3rd of 3"),
        ({"queue_position": 111, "queue_length": None}, "111th in the queue"),
        ({"queue_position": 22}, "22nd in the queue"),
        ({"queue_position": None}, "in the queue"),
    ],
)
def test_its_place(shown: dict[str, Any], words: str) -> None:
    """S13: next is only who has nobody before, not even a job that runs."""
    assert submit.place_in_words(shown) == words


def test_one_line_says_what_the_job_waits_for(terminal: Any, queue: StubLiveQueue) -> None:
    alice = terminal()
    start = {"from_seconds": 120, "to_seconds": 240}
    for place in range(13, 3, -1):
        queue.becomes(queue_position=place, queue_length=13, jobs_before=6, expected_start=start)
    line = alice.wait_until_last(r"○ 4th of 13 · starts in about .*")
    assert re.match(r"○ 4th of 13 · starts in about [12]-4 min · 6 jobs end first", line)
    queue.runs(phase="compiling")
    alice.wait_until_last(r"◐ compiling on gpu1 · 0:0\d of 0:30 · starts .*")
    queue.becomes(phase="waiting", waiting_for="gpu", jobs_before=1, expected_start=None)
    alice.wait_until_last(r"◐ compiled on gpu1, waits for a GPU · 1 job ends first .*")
    queue.becomes(phase="executing", waiting_for=None, jobs_before=None)
    for seconds in ("00", "01", "02"):  # it goes on while nothing happens
        alice.wait_until_last(rf"● running on gpu1 · 0:{seconds} of 1:00 +job 7")
    assert len(alice.seen.lines) == 2
    queue.finishes(b"")
    assert alice.student.wait() == 0
    assert [line for line in alice.seen.lines if "job 7" in line][1:] == [
        "--- job 7 succeeded: compiled in 1.00 s, ran in 2.00 s, on gpu1 ---"
    ]
    assert b"\x1b[?" not in alice.student.out


def test_other_lines_come_above_it(terminal: Any, queue: StubLiveQueue) -> None:
    alice = terminal()
    queue.runs()
    alice.wait_until_last("● running on gpu1 .*")
    queue.close()
    seen = alice.wait_until(lambda seen: "Connection refused" in "".join(seen.lines))
    queue.open()
    seen = alice.wait_until(lambda seen: "Connected again." in seen.lines)
    assert alice.wait_until_last("● running on gpu1 .*")
    seen = alice.seen
    assert sum("running on" in line for line in seen.lines) == 1
    queue.prints(b"one\ntwo\n")
    alice.wait_until(lambda seen: seen.lines[-3:-1] == ["one", "two"])
    queue.finishes(b"one\ntwo\n")
    assert alice.student.wait() == 0
    assert not any("running on" in line for line in alice.seen.lines)


def test_it_is_not_drawn_into_a_line_of_the_program(terminal: Any, queue: StubLiveQueue) -> None:
    alice = terminal()
    queue.runs()
    alice.wait_until_last("● running on gpu1 .*")
    for percent in (b"", b"\r50 %"):
        queue.prints(percent or b"10 %")
        alice.wait_until_last((percent or b"10 %").decode().strip())
    size = len(alice.student.out)
    with pytest.raises(subprocess.TimeoutExpired):  # two ticks, and nothing is drawn
        alice.student.popen.wait(2 * submit.TICK_SECONDS + 0.2)
    assert len(alice.student.out) == size
    queue.prints(b"\r100 %\n")
    alice.wait_until_last("● running on gpu1 .*")
    assert alice.seen.lines[-3:-1] == ["--- program ---", "100 %"]
    queue.finishes(b"10 %\r50 %\r100 %\n")
    assert alice.student.wait() == 0
    assert alice.seen.lines.count("100 %") == 1


@pytest.mark.parametrize("columns", [20, 40])
def test_a_narrow_terminal(terminal: Any, queue: StubLiveQueue, columns: int) -> None:
    alice = terminal(columns=columns)
    start = {"from_seconds": 120, "to_seconds": 240}
    queue.becomes(queue_position=4, queue_length=9, jobs_before=6, expected_start=start)
    right = {20: r"○ 4th of 9.*", 40: r"○ 4th of 9 · starts in about \d-\d min"}
    alice.wait_until_last(right[columns])
    queue.becomes(waiting_for="no-executor", no_executor_since="2026-01-01T00:00:00Z")
    alice.wait_until_last({20: "○ no GPU host si…", 40: r"○ no GPU host since .*"}[columns])
    queue.runs(executor="a-host-of-a-name-that-is-rather-long")
    alice.wait_until_last({20: "● running on a-h…", 40: r"● running on a-host-of-a-na\S*… · 0:0\d"}
                          [columns])  # fmt: skip
    queue.finishes(b"one\n", executor="gpu1")
    assert alice.student.wait() == 0
    words = " ".join(alice.seen.lines)
    assert words.count("running") == words.count("4th") == 0
    assert "one --- job 7 succeeded: compiled in 1.00 s, ran in 2.00 s, on gpu1 ---" in words


@pytest.mark.parametrize("columns", [20, 40, 80])
def test_the_key_that_a_terminal_shows_does_not_break_the_line(
    terminal: Any, queue: StubLiveQueue, columns: int
) -> None:
    """A terminal shows ^C where the cursor is: behind the line, which is then erased whole."""
    alice = terminal(columns=columns, owns_terminal=True)
    start = {"from_seconds": 120, "to_seconds": 240}
    queue.becomes(queue_position=4, queue_length=9, jobs_before=6, expected_start=start)
    alice.wait_until_last("○ 4th of 9.*")
    os.write(alice.student.terminal, b"\x03")
    alice.wait_until(lambda seen: "Ctrl-C again" in " ".join(seen.lines))
    alice.wait_until_last("○ 4th of 9.*")
    assert sum("4th of 9" in line for line in alice.seen.lines) == 1
    queue.runs()
    queue.finishes(b"")
    assert alice.student.wait() == 0


@pytest.mark.parametrize("columns", range(30, 100))
def test_the_dashes_of_a_last_line_stay_with_its_words(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    look = submit.Look(sys.stdout)
    look.is_terminal = True
    monkeypatch.setattr(submit.Look, "columns", columns)
    line = "--- job 7 did not compile (exit status 2): the compiler took 2.67 s, on gpu1 ---"
    wrapped = look.wrapped(line).split("\n")
    assert "---" not in wrapped
    assert " ".join(wrapped) == line


def test_a_terminal_that_is_resized(terminal: Any, queue: StubLiveQueue) -> None:
    alice = terminal(columns=80)
    queue.runs(executor="a-host-of-a-name-that-is-rather-long")
    alice.wait_until_last("● running on a-host-of-a-name-that-is-rather-long · 0:0.*job 7")
    alice.columns = 30
    size = struct.pack("HHHH", 24, 30, 0, 0)
    fcntl.ioctl(alice.student.terminal, termios.TIOCSWINSZ, size)
    before = len(alice.student.out)
    wait_for(lambda: "…" in alice.student.out[before:].decode(errors="ignore"), "it is cut")
    drawn = alice.student.out.split(b"\r")[-1]
    assert len(Rendered(drawn, 30).lines) == 1


def test_no_colour_of_ours_where_none_is_wanted(terminal: Any, queue: StubLiveQueue) -> None:
    alice = terminal(NO_COLOR="1")
    queue.runs()
    alice.wait_until_last("● running on gpu1 .*")
    queue.finishes(b"plain \x1b[31mred\x1b[0m\n", outcome="runtime_error", exit_code=1)
    assert alice.student.wait() == 1
    assert re.findall(rb"\x1b\[[0-9;]*m", alice.student.out) == [b"\x1b[31m", b"\x1b[0m"]


def test_a_dumb_terminal_gets_plain_lines(terminal: Any, queue: StubLiveQueue) -> None:
    alice = terminal(TERM="dumb")
    queue.runs()
    queue.prints(b"\x1b[31mred\r\n")
    queue.finishes(b"\x1b[31mred\r\n")
    assert alice.student.wait() == 0
    assert b"\x1b" not in alice.student.out
    assert alice.seen.lines[1:] == [
        "Job 7: waiting, next in the queue",
        "Job 7: running on gpu1",
        "--- program ---",
        r"\x1b[31mred\r",
        "--- job 7 succeeded: compiled in 1.00 s, ran in 2.00 s, on gpu1 ---",
        "The logs are in telerun-out/7.",
    ]


def test_a_terminal_without_our_characters(terminal: Any, queue: StubLiveQueue) -> None:
    alice = terminal(PYTHONIOENCODING="ascii", columns=40)
    queue.runs(executor="a-host-of-a-name-that-is-rather-long")
    alice.wait_until_last(r"\* running on a-host-of-a-na\S*~ - 0:0\d")
    queue.finishes("größer\n".encode())
    assert alice.student.wait() == 0
    assert b"gr\\xf6\\xdfer\r\n" in alice.student.out
    assert all(byte < 128 for byte in alice.student.out)


def test_where_only_the_output_is_a_file(world: World, queue: StubLiveQueue, terminal: Any) -> None:
    """The line is on the terminal, and the file has the bytes."""
    log = b"10 %\r\x1b[31m20 %\x1b[2J\n"
    with (world.folder / "output").open("wb") as file:
        alice = terminal(stdout=file)
    queue.runs()
    queue.prints(log[:9])
    alice.wait_until_last("● running on gpu1 .*")
    queue.prints(log[9:])
    queue.finishes(log)
    assert alice.student.wait() == 0
    end = b"--- job 7 succeeded: compiled in 1.00 s, ran in 2.00 s, on gpu1 ---\n"
    assert (world.folder / "output").read_bytes() == b"--- program ---\n" + log + end
    assert alice.seen.lines[1:] == ["The logs are in telerun-out/7."]


def test_it_stays_away_from_the_terminal_of_a_shell(world: World, queue: StubLiveQueue) -> None:
    """A program in the background, while the shell has the terminal."""
    script = (
        "import os, signal, subprocess, sys, time; signal.signal(signal.SIGTTOU, signal.SIG_IGN);"
        "job = subprocess.Popen(sys.argv[1:], preexec_fn=os.setpgrp); sys.exit(job.wait())"
    )
    command = [sys.executable, "-c", script, sys.executable, ROOT / "submit.py"]
    alice = Student(world, queue.auth(), world.source("x").name, columns=80, program=command,
                    TERM="xterm", owns_terminal=True)  # fmt: skip
    queue.wait_until_watched()
    queue.runs()
    queue.prints(b"one\n")
    alice.wait_until_shown(b"one\r\n")
    queue.finishes(b"one\n")
    assert alice.wait() == 0
    assert "●".encode() not in alice.out
    assert Rendered(alice.out).lines[1:3] == ["--- program ---", "one"]


class StubKernel:
    """Of Windows, with a console that knows escape sequences or does not."""

    def __init__(self, knows_them: bool) -> None:
        self.knows_them = knows_them
        self.mode = 3
        self.GetStdHandle = type("Function", (), {"__call__": lambda _, n: {-11: 70, -12: 71}[n]})()

    def GetConsoleMode(self, handle: Any, mode: Any) -> bool:  # noqa: N802
        mode._obj.value = self.mode
        return handle.value in (70, 71)

    def SetConsoleMode(self, _handle: Any, mode: int) -> bool:  # noqa: N802
        self.mode = mode if self.knows_them else self.mode
        return self.knows_them


@pytest.mark.parametrize("knows_them", [True, False])
def test_a_console_of_windows_is_told(monkeypatch: pytest.MonkeyPatch, knows_them: bool) -> None:
    """By simulation: there is no Windows here."""
    kernel = StubKernel(knows_them)
    windll = type("Windll", (), {"kernel32": kernel})
    assert not submit.turn_escapes_on(sys.__stderr__)  # nor is this one
    monkeypatch.setattr(ctypes, "windll", windll, raising=False)
    assert submit.turn_escapes_on(sys.__stderr__) == knows_them
    assert kernel.mode == (7 if knows_them else 3)


# --- What became of it -------------------------------------------------------------------

ERRORS = b"""\
./sub/a.cuh(1): error: identifier "x" is undefined

./prog.cu(5): error: expected a ";"

2 errors detected in the compilation of "./prog.cu".
"""
FIRST = '✗ 2 errors; the first: src/sub/a.cuh:1: identifier "x" is undefined'


@pytest.fixture
def in_src(world: World) -> str:
    """A program in a folder below."""
    (world.folder / "src").mkdir()
    return str(world.source("x", "src/prog.cu").relative_to(world.folder))


def test_errors_of_a_compiler_on_a_terminal(
    terminal: Any, queue: StubLiveQueue, in_src: str, world: World
) -> None:
    """S23: the path as typed, however the log is cut, and the first error at the end."""
    alice = terminal(in_src)
    queue.runs(phase="compiling")
    for place in range(0, 90, 9):
        queue.prints(ERRORS[place : place + 9], log="compile")
    queue.finishes(b"", ERRORS, outcome="compile_error", exit_code=2)
    assert alice.student.wait() == 1
    lines = alice.seen.lines
    assert 'src/sub/a.cuh:1: error: identifier "x" is undefined' in lines
    assert 'src/prog.cu:5: error: expected a ";"' in lines
    assert '2 errors detected in the compilation of "src/prog.cu".' in lines
    assert lines[-2:] == [FIRST, "The logs are in telerun-out/7."]
    assert alice.seen.look("✗").fg == "red"
    assert (world.folder / "telerun-out/7/compile-log.txt").read_bytes() == ERRORS


def test_errors_of_a_compiler_in_a_pipe(world: World, queue: StubLiveQueue, in_src: str) -> None:
    """Standard output has the log byte for byte."""
    alice = Student(world, queue.auth(), in_src)
    queue.wait_until_watched()
    queue.runs(phase="compiling")
    queue.prints(ERRORS[:30], log="compile")
    queue.finishes(b"", ERRORS, outcome="compile_error", exit_code=2)
    assert alice.wait() == 1
    assert alice.out.startswith(b"--- compiler ---\n" + ERRORS + b"--- job 7 did not compile (")
    assert FIRST in alice.err.splitlines()


@pytest.mark.parametrize("columns", [40, 80, 0])
def test_a_failure_is_explained_after_the_last_line(
    terminal: Any, queue: StubLiveQueue, columns: int
) -> None:
    alice = terminal(columns=columns)
    log = b"CUDA error: an illegal memory access was encountered\n"
    queue.runs()
    queue.prints(log)
    queue.finishes(log, outcome="runtime_error", exit_code=1)
    assert alice.student.wait() == 1
    out = alice.student.out if columns else alice.student.out + alice.student.err.encode()
    lines = Rendered(out.replace(b"\n", b"\r\n"), columns or 300).lines
    words = " ".join(lines)
    assert "failed (exit status 1)" in words
    assert words.index("What this often means: A kernel read or wrote outside") > words.index("---")
    assert not [line for line in lines[4:] if line.startswith(" ")]  # whole words
    again = terminal("--attach", 7, columns=columns, is_watching=False)
    assert again.student.wait() == 1
    assert "outside of its arrays" in (again.student.out + again.student.err.encode()).decode(
    ).replace("\r\n", " ").replace("\n", " ")  # fmt: skip


def test_a_program_that_succeeds_is_not_explained(terminal: Any, queue: StubLiveQueue) -> None:
    log = b"CUDA error: an illegal memory access was encountered\n"
    alice = terminal()
    queue.runs()
    queue.finishes(log)
    assert alice.student.wait() == 0
    assert b"often" not in alice.student.out


def test_what_is_left_out_is_exit_status_6(terminal: Any, queue: StubLiveQueue) -> None:
    """S9"""
    alice = terminal()
    queue.runs()
    left_out = [{"name": f"{n}.ppm", "reason": "no more than 16 files come back"} for n in "ab"]
    result = {"execute_log": "ok\n", "compile_log": "", "exit_code": 0, "signal": None, "files": [],
              "compile_seconds": 1.0, "details": {"files_left_out": left_out}}  # fmt: skip
    queue.finishes(result=result)
    assert alice.student.wait() == 6
    seen = alice.seen
    assert "--- job 7 succeeded, but 2 of 2 files were left out: compiled in" in " ".join(
        seen.lines
    )
    assert seen.look("--- job 7").fg == "brown"  # as that emulator calls yellow
    assert "Not saved: a.ppm and 1 more: no more than 16 files come back." in seen.lines


def test_a_job_that_was_replaced_says_by_which(terminal: Any, queue: StubLiveQueue) -> None:
    """S16"""
    alice = terminal()
    queue.becomes(state="cancelled", queue_position=None, replaced_by=92)
    assert alice.student.wait() == 5
    assert alice.seen.lines == [
        "Submitted prog.cu as job 7.",
        "--- job 7 was replaced by your job 92 ---",
    ]


# --- The program's output ----------------------------------------------------------------


@pytest.mark.parametrize("python", [pythons()[0], pythons()[-1]])
def test_colours_and_progress_bars(terminal: Any, queue: StubLiveQueue, python: str) -> None:
    """Colours go on over lines, and over lines of ours; those are in none of them."""
    log = (
        b"\x1b[32mPASS\x1b[0m first\n"
        b"\x1b[31mred\nstill red\n\x1b[m"
        + b"".join(b"\r%3d %%" % n for n in range(101))
        + b"\n12\b3\tx\n\x1b[1;35mend"
    )
    alice = terminal(python=python)
    queue.runs()
    first = log.index(b"still")
    queue.prints(log[:first])
    alice.wait_until_last("● running on gpu1 .*")
    assert alice.seen.look("running").fg == "default"
    queue.prints(log[first:])
    alice.wait_until_last("end")
    queue.becomes(cancel_requested_at="2026-01-01T00:00:00Z")
    queue.finishes(log)
    assert alice.student.wait() == 0
    seen = alice.seen
    at = seen.lines.index("--- program ---")
    assert seen.lines[at + 1 : at + 7] == [
        "PASS first", "red", "still red", "100 %", "13      x", "end",
    ]  # fmt: skip
    looks = [seen.look(text).fg for text in ("PASS", "first", "still red", "100 %", "end", "job 7")]
    assert looks == ["green", "default", "red", "default", "magenta", "green"]
    assert seen.look("The logs").fg == "default"
    assert not seen.look("The logs").bold


def test_a_program_cannot_touch_our_lines(terminal: Any, queue: StubLiveQueue) -> None:
    """Up, home, clear, a title, another screen, hidden text, and a backspace too many."""
    bad = [
        *(
            b"\x1b[A",
            b"\x1b[H",
            b"\x1b[2J",
            b"\x1b]0;evil\x07",
            b"\x1b[?1049h",
            b"\x1bM",
            b"\x1b[1S",
        ),
        *(
            b"\x9b2J",
            b"\xc2\x9b2J",
            b"\x0b",
            b"\x0c",
            b"\x1b[>4;1m",
            b"\x1b[?4m",
            b"\x1b7",
            b"\x0e",
        ),
        *("\u202e".encode(), b"\x1b[8m", b"\b" * 200, b"\r\r\b\b", b"\x1b#8", b"\x1bc"),
    ]
    log = b"x\n" + b"FAKE".join(bad) + b"\n"
    alice = terminal()
    queue.runs()
    for place in range(0, len(log), 3):
        queue.prints(log[place : place + 3])
    queue.finishes(log, outcome="runtime_error", exit_code=1)
    assert alice.student.wait() == 1
    seen = alice.seen
    at = seen.lines.index("--- program ---")
    assert seen.lines[at - 1] == "Submitted prog.cu as job 7."
    assert seen.lines[at + 1] == "x"
    last = next(line for line in seen.lines if line.startswith("--- job 7 failed"))
    assert seen.look(last[:16]).fg == "red"


PIECES = (
    *(b"\x1b", b"\x1b[", b"\x1b[3", b"1m", b"m", b";", b"\x1b[0m", b"\x1b[31", b"\x1b]0;x\x07"),
    *(b"\r", b"\b", b"\n", b"\t", b"\x1b[2J", b"\xc2", b"\x9b", "ä€🙂\u202e".encode(), b"ab"),
)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("takes_escapes", [True, False])
def test_whatever_is_printed_a_terminal_gets_colours_and_text(
    seed: int, takes_escapes: bool
) -> None:
    """In whatever pieces: no other sequence, nothing is lost, and all as in one piece."""
    dice = random.Random(seed)
    for _ in range(60):
        pieces = [
            dice.choice(PIECES) if dice.random() < 0.8 else dice.randbytes(dice.randrange(8))
            for _ in range(dice.randrange(30))
        ]
        look_at_what_is_shown(pieces, takes_escapes)


def look_at_what_is_shown(pieces: list[bytes], takes_escapes: bool) -> None:
    text, whole = submit.TerminalText(takes_escapes), submit.TerminalText(takes_escapes)
    shown = "".join(text.take(piece) for piece in pieces) + text.take(b"", is_last=True)
    log = b"".join(pieces)
    assert shown == whole.take(log, is_last=True)
    assert (text.in_line, text.colours) == (whole.in_line, whole.colours)
    plain = re.sub(r"\x1b\[[0-9;:]{0,64}m", "", shown)
    if not takes_escapes:
        assert plain == shown
    assert not submit.CONTROL.search(re.sub("[\r\b]" if takes_escapes else "$^", "", plain))
    # Each line goes no further back than to its beginning.
    for line in re.split("[\n\r]", plain):
        cells = 0
        for character in line:
            cells += -1 if character == "\b" else 1
            assert cells >= 0
    # Spelled out again, it is what was printed: nothing but a backspace is left out.
    spelled = submit.printable(log.decode("utf-8", "backslashreplace"))
    assert submit.printable(shown).replace(r"\x08", "") == spelled.replace(r"\x08", "")
    if text.in_line:
        assert plain
        assert not plain.endswith("\n")


def test_many_colours_are_not_kept_without_end() -> None:
    """Nor a colour that never ends."""
    text = submit.TerminalText(True)
    for log in (b"\x1b[31mab\x1b[0m\n" * 9_000, b"\x1b[" + b"1;" * 99_000, b"\x1b" * 99_000):
        shown = [text.take(log[at : at + 65536]) for at in range(0, len(log), 65536)]
        assert sum(map(len, shown)) >= len(log) - 131
    assert len(text.colours) <= submit.MOST_COLOURS
