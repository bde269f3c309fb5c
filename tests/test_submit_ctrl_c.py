"""Ctrl-C at every moment of submit.py's life: real processes on a real terminal. In most tests the
queue is real; where a moment must be hit, a stub."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.processes import ROOT, Process, World, pythons, run, wait_for
from tests.support.scripts import load
from tests.support.stub_live_queue import StubLiveQueue
from tests.support.stubs import AS_SHELL, fake_nvcc
from tests.support.students import Student

pytestmark = [pytest.mark.once, pytest.mark.processes]
submit = load("submit")
COLUMNS = 100  # of a terminal
LONGER = "submit.SECOND_SECONDS = 60"  # between two, on a busy machine


@pytest.fixture
def student(world: World) -> Iterator[Callable[..., Student]]:
    """Starts submit.py on a terminal."""
    students: list[Student] = []

    def start(auth: Path, *arguments: Any, **options: Any) -> Student:
        one = Student(world, auth, *arguments, **{"columns": COLUMNS, "patch": LONGER, **options})
        students.append(one)
        return one

    yield start
    for one in students:
        one.stop()


def press(student: Student) -> None:
    student.popen.send_signal(signal.SIGINT)


def start_host(world: World) -> Process:
    return world.start_executor(world.executor("gpu1"), nvcc=fake_nvcc(world.folder, AS_SHELL))


def job(world: World, auth: Path, number: int) -> dict[str, Any]:
    return world.request(auth, "GET", f"/jobs/{number}")[2]


# --- On a terminal, with a real queue ----------------------------------------------------


@pytest.mark.end_to_end
def test_the_first_says_what_it_is_about_and_a_second_stops_the_job(
    world: World, student: Any
) -> None:
    """S2: on an idle queue, too, and the next submission runs at once. The lease is so long that
    only the heartbeats of a job that is watched bring the word in time."""
    alice = world.user("alice")
    world.start_server(TELERUN_LEASE_SECONDS=300)
    start_host(world)
    script = f"echo begun; until [ -e {world.folder}/go ]; do sleep 0.02; done; echo on; sleep 99"
    one = student(alice, world.source(script))
    one.wait_until_shown(b"begun")
    press(one)
    one.wait_until_shown(b"Job 1 is running. Ctrl-C again within 60 s stops it.")
    (world.folder / "go").touch()
    one.wait_until_shown(b"on\r\n")  # it goes on to watch
    press(one)
    assert one.wait() == 130
    text = one.out.decode()
    assert "Job 1 is told to stop." in text
    assert text.count("begun") == text.count("on\r\n") == 1
    assert "was cancelled" in text
    assert "Traceback" not in text
    assert job(world, alice, 1)["state"] == "cancelled"
    done = world.submit(alice, world.source("echo next"))
    assert (done.status, done.out.count("next\n")) == (0, 1)


@pytest.mark.end_to_end
def test_a_job_that_waits_is_taken_out_by_the_second(world: World, student: Any) -> None:
    alice = world.user("alice")
    world.start_server()
    one = student(alice, world.source("x"))
    one.wait_until_shown(b"waiting")  # from then on the first one only says what it is about
    press(one)
    one.wait_until_shown(b"Job 1 waits in the queue. Ctrl-C again within 60 s takes it out.")
    assert job(world, alice, 1)["state"] == "queued"
    press(one)
    assert one.wait() == 130
    assert b"Job 1 is cancelled." in one.out
    assert job(world, alice, 1)["state"] == "cancelled"


@pytest.mark.end_to_end
def test_who_attaches_only_watches(world: World, student: Any) -> None:
    """S7, and S18: the hint can be typed as it stands."""
    alice = world.user("alice")
    world.start_server()
    source = world.source("echo it ran")
    first = student(alice, source)
    first.wait_until_shown(b"job 1")
    other = student(alice, "--attach", "last")
    other.wait_until_shown(b"waiting")
    press(other)
    assert other.wait() == 130
    assert b"Job 1 waits, and goes on" in other.out
    assert job(world, alice, 1)["state"] == "queued"
    assert first.popen.poll() is None
    quiet = Student(world, alice, "--attach", 1)  # without a patch, as it is typed
    quiet.wait_until_told("waiting")
    press(quiet)
    assert quiet.wait() == 130
    start_host(world)
    assert first.wait() == 0
    hint = re.search(r"to see it: (.*)", quiet.err)[1]
    told = subprocess.run(hint, shell=True, capture_output=True, cwd=world.folder, text=True)
    assert (told.returncode, "it ran\n" in told.stdout) == (0, True)


@pytest.mark.end_to_end
def test_one_is_enough_where_nobody_could_be_asked(world: World) -> None:
    """A script's: a job that waits is taken out, one that runs goes on, and that is said."""
    alice = world.user("alice")
    world.start_server()
    waits = Student(world, alice, world.source("x"))
    waits.wait_until_told("next in the queue")
    press(waits)
    assert waits.wait() == 130
    assert "Job 1 is cancelled." in waits.err
    start_host(world)
    runs = Student(world, alice, world.source("echo begun; sleep 99"))
    runs.wait_until_shown(b"begun")
    press(runs)
    assert runs.wait() == 130
    assert "Job 2 is running, and goes on; to see it: " in runs.err
    assert "\nTo stop it: " in runs.err
    assert job(world, alice, 2)["state"] == "running"
    stop = re.search(r"To stop it: (.*)", runs.err)[1]
    told = subprocess.run(stop, shell=True, capture_output=True, cwd=world.folder, text=True)
    assert (told.returncode, told.stderr) == (0, "Job 2 is told to stop.\n")


# --- At moments that a stub queue makes --------------------------------------------------


@pytest.fixture
def queue(world: World) -> Iterator[StubLiveQueue]:
    queue = StubLiveQueue(world)
    yield queue
    queue.posts_held.set()
    queue.close()


def test_as_the_job_ends_its_result_is_shown(
    world: World, queue: StubLiveQueue, student: Any
) -> None:
    """S19."""
    one = student(queue.auth(), world.source("x"))
    queue.wait_until_watched()
    queue.runs()
    queue.prints(b"one\n")
    one.wait_until_shown(b"one")
    press(one)
    one.wait_until_shown(b"Job 7 is running.")
    queue.finishes(b"one\ntwo\n")
    assert one.wait() == 0
    assert b"two\r\n" in one.out
    assert b"job 7 succeeded" in one.out
    assert b"--cancel" not in one.out


@pytest.mark.parametrize("columns", [0, COLUMNS])
def test_a_job_that_ended_a_moment_before_shows_its_result(
    world: World, queue: StubLiveQueue, student: Any, columns: int
) -> None:
    """S19: the queue knows it, and submit.py does not yet."""
    one = student(queue.auth(), world.source("x"), columns=columns)
    queue.wait_until_watched()
    queue.runs()
    queue.prints(b"one\n")
    one.wait_until_shown(b"one")
    events = list(queue.events)
    queue.finishes(b"one\ntwo\n", exit_code=3, outcome="runtime_error", silent=True)
    assert queue.events == events
    press(one)
    if columns:
        one.wait_until_shown(b"Job 7 is running.")
        press(one)
    assert one.wait() == 1
    assert one.out.replace(b"\r\n", b"\n").count(b"one\ntwo\n") == 1 or b"two" in one.out
    assert b"job 7 failed (exit status 3)" in one.out


def test_a_job_whose_submission_was_interrupted_is_stopped(
    world: World, queue: StubLiveQueue, student: Any
) -> None:
    """Nobody knows its number: it is not left running, and nothing is left unknown."""
    queue.posts_held.clear()
    one = student(queue.auth(), world.source("x"))
    wait_for(lambda: queue.requests, "it is sent")
    press(one)
    wait_for(lambda: len(queue.requests) > 1, "it is sent again, with the same key")
    queue.job = {**queue.job, "state": "cancelled"}
    queue.posts_held.set()
    assert one.wait() == 130
    assert b"Job 7 is cancelled." in one.out


def test_a_queue_that_is_away_when_it_is_to_be_stopped(
    world: World, queue: StubLiveQueue, student: Any
) -> None:
    patch = f"{LONGER}; submit.INTERRUPT_PATIENCE_SECONDS = 0; submit.WAIT_PATIENCE_SECONDS = 99"
    one = student(queue.auth(), world.source("x"), patch=patch)
    queue.wait_until_watched()
    queue.runs()
    queue.prints(b"one\n")
    one.wait_until_shown(b"one")
    queue.close()
    one.wait_until_shown(b"again")
    press(one)
    one.wait_until_shown(b"Job 7 is running.")
    press(one)
    assert one.wait() == 130
    assert b"could not be told to stop the job. To see it: " in one.out
    assert b"--attach 7" in one.out
    queue.open()


def test_three_end_it_where_nothing_looks_at_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Such as while its output is stuck: a terminal that was stopped with Ctrl-S."""
    queue = SimpleNamespace(turns=submit.Turns())
    monkeypatch.setattr(submit.sys.stderr, "isatty", lambda: True, raising=False)
    with submit.Interrupts(submit.Client(queue)):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# --- Before there is anything to be stopped ----------------------------------------------

STUB_ARGPARSE = "import signal; print('importing', flush=True)\nwhile True: signal.pause()\n"


@pytest.mark.parametrize("python", pythons())
def test_while_it_starts(tmp_path: Path, python: str) -> None:
    """S25. A stub takes the place of the first module that it imports, and never ends."""
    (tmp_path / "argparse.py").write_text(STUB_ARGPARSE)
    process = subprocess.Popen(
        [python, ROOT / "submit.py", "x.cu"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert process.stdout.readline() == b"importing\n"
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert (process.returncode, told) == (130, b"Interrupted.\n")


def test_a_shell_that_ignores_it(tmp_path: Path) -> None:
    """As for a job in the background of a script: it stays ignored."""
    (tmp_path / "argparse.py").write_text(
        "import os, signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN); os._exit(0)"
    )
    argv = [sys.executable, str(ROOT / "submit.py"), "x.cu"]
    shell = ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh", *argv]
    assert run(shell, env={**os.environ, "PYTHONPATH": str(tmp_path)}).out == "True\n"


# --- Waiting in turns --------------------------------------------------------------------


class StubTls:
    """A connection in TLS as ShortReads sees it: a socket, of which parts of records are read."""

    def __init__(self, connection: Any) -> None:
        self.connection, self.timeouts = connection, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    def pending(self) -> int:
        return 0

    def recv_into(self, buffer: Any) -> int:
        self.timeouts += 1
        if self.timeouts < 3:  # the rest of the record is not here yet
            raise submit.socket.timeout
        return self.connection.recv_into(buffer)


@pytest.mark.parametrize("has_wake_up", [True, False])
def test_reads_are_short_and_lose_nothing(
    monkeypatch: pytest.MonkeyPatch, has_wake_up: bool
) -> None:
    """S26: how it is on Windows, where a read ends by nothing else, is simulated without the socket
    that signals are written to."""
    monkeypatch.setattr(submit, "TURN_SECONDS", 0.01)
    ours, theirs = submit.socket.socketpair()
    turns, ticks = submit.Turns(), []
    turns.add(lambda: ticks.append(len(ticks)))
    if has_wake_up:
        turns.watch_signals()
    turns.add(lambda: len(ticks) == 3 and theirs.sendall(b"late\n"))
    file = submit.io.BufferedReader(submit.ShortReads(StubTls(ours), turns, lambda: 60.0))
    assert file.readline() == b"late\n"
    assert len(ticks) >= 3
    turns.add(lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        file.readline()
    theirs.sendall(b"more\n")
    monkeypatch.setattr(turns, "_calls", [])
    assert file.readline() == b"more\n"
    turns.close()
    for one in (file, ours, theirs):
        one.close()


def test_silence_is_a_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "TURN_SECONDS", 0.01)
    ours, theirs = submit.socket.socketpair()
    turns = submit.Turns()
    file = submit.ShortReads(StubTls(ours), turns, lambda: 0.05)
    with pytest.raises(submit.socket.timeout):
        file.read(1)
    for one in (file, ours, theirs):
        one.close()


def test_a_signal_ends_a_turn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it is: the signal is written to a socket that is waited for too."""
    monkeypatch.setattr(submit, "TURN_SECONDS", 60)
    turns, seen = submit.Turns(), []
    monkeypatch.setattr(turns, "_next", time.monotonic() + 60)
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append("signal"))
    try:
        turns.watch_signals()
        turns.add(lambda: seen.append("turn"))
        os.kill(os.getpid(), signal.SIGUSR1)
        turns.wait(None, 0.0)
    finally:
        turns.close()
        signal.signal(signal.SIGUSR1, before)
    assert seen == ["signal", "turn"]
