"""From a program's line to its student's screen: real queue, real executor, real submit.py.

Programs that must not end before something was seen wait for a file that the test makes then.
"""

import contextlib
import random
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import need
from tests.support.processes import NVCC, ROOT, Process, World, free_port, has_sandbox, wait_for
from tests.support.stubs import AS_SHELL, fake_nvcc

pytestmark = [pytest.mark.end_to_end]


def until(path: Path) -> str:
    """In a program: wait for a file."""
    return f"until [ -e {path} ]; do sleep 0.02; done"


class Course(World):
    """A queue, a host whose programs are shell scripts, and a student."""

    def begin_course(self, *arguments: Any, **environment: Any) -> Process:
        self.start_server(**environment)
        self.student, self.gpu1 = self.user("student"), self.executor("gpu1")
        return self.start_host(self.gpu1, *arguments)

    def start_host(self, auth: Path, *arguments: Any) -> Process:
        return self.start_executor(auth, *arguments, nvcc=fake_nvcc(self.folder, AS_SHELL))

    def hand_in(self, script: str, auth: Path | None = None) -> Process:
        return self.show(auth or self.student, self.source(script, f"{len(self.processes)}.cu"))

    def watch(self, job: int) -> Process:
        return self.show(self.student, "--attach", str(job))

    def show(self, auth: Path, *arguments: Any) -> Process:
        """submit.py, its standard output by itself; standard error is in NAME.err."""
        name = f"submit-{len(self.processes)}"
        argv = [sys.executable, ROOT / "submit.py", "--auth", auth, *arguments]
        apart = ["/bin/sh", "-c", 'exec "$@" 2>"$0"', self.folder / f"{name}.err"]
        log = self.folder / f"{name}.log"
        process = Process(name, log, [*apart, *argv], env=self.environment, cwd=self.folder)
        self.processes.append(process)
        return process

    def file(self, name: str) -> Path:
        return self.folder / name


@pytest.fixture
def course(tmp_path: Path) -> Iterator[Course]:
    with Course(tmp_path) as course:
        yield course


def raw(process: Process) -> bytes:
    """What it has said, byte for byte."""
    return process.log.read_bytes()


def said(process: Process) -> bytes:
    """What is going on, as it has told it."""
    path = process.log.with_suffix(".err")
    return path.read_bytes() if path.exists() else b""


def ended(process: Process, status: int = 0) -> bytes:
    """All that the program printed, as it stands on standard output."""
    assert process.popen.wait(120) == status, said(process)
    return printed(process)


def printed(process: Process) -> bytes:
    """The same so far."""
    return raw(process).partition(b"--- program ---\n")[2].rpartition(b"--- job ")[0]


def sees(process: Process, words: bytes) -> None:
    wait_for(lambda: words in raw(process), f"{words!r} is on the screen; {said(process)!r}")


def test_each_line_is_on_the_screen_before_the_next_is_printed(course: Course) -> None:
    host = course.begin_course()
    lines = [f"line {n}" for n in range(5)]
    script = "".join(
        f"echo {line}; {until(course.file(line.replace(' ', '')))}\n" for line in lines
    )
    submit = course.hand_in(script)
    for number, line in enumerate(lines):
        sees(submit, line.encode() + b"\n")
        assert f"line {number + 1}" not in submit.told()
        course.file(line.replace(" ", "")).touch()
    assert ended(submit) == b"".join(line.encode() + b"\n" for line in lines)
    assert host.stop() == 0


@pytest.mark.hardening
def test_who_cancels_an_endless_program_sees_what_it_printed(course: Course) -> None:
    course.begin_course()
    submit = course.hand_in("echo line; printf 'no newline'; sleep 600")
    sees(submit, b"line\nno newline")
    assert course.submit(course.student, "--cancel", "1").status == 0
    assert submit.popen.wait(60) == 5
    assert b"--- program ---\nline\nno newline" in raw(submit)
    late = course.submit(course.student, "--attach", "1")
    assert "line\nno newline" in late.out
    job = course.request(course.student, "GET", "/jobs/1")[2]
    wait_for(
        lambda: course.request(course.student, "GET", "/jobs/1")[2]["attempts"][0]["ending"],
        "the attempt has ended",
    )
    job = course.request(course.student, "GET", "/jobs/1")[2]
    assert job["attempts"][0]["execute_log"] == "line\nno newline"


def test_two_watch_and_one_comes_late(course: Course) -> None:
    course.begin_course()
    go_on = course.file("go-on")
    octal = "".join(f"\\{n:o}" for n in range(256))
    submit = course.hand_in(f"printf '{octal}'; seq 1 20000; echo middle; {until(go_on)}; echo end")
    whole = bytes(range(256)) + b"".join(b"%d\n" % n for n in range(1, 20_001)) + b"middle\nend\n"
    sees(submit, b"middle\n")
    others = [course.watch(1), course.watch(1)]
    for other in others:
        sees(other, b"middle\n")
        assert b"end\n" not in raw(other)
    go_on.touch()
    for process in (submit, *others):
        assert ended(process) == whole


@pytest.mark.hardening
def test_exact_while_the_server_is_killed(course: Course) -> None:
    """kill -9 twice, while a program prints."""
    course.begin_course()
    steps = [course.file(f"step{n}") for n in range(3)]
    script = "".join(
        f"for n in {{1..500}}; do echo {place} $n; done; {until(step)}\n"
        for place, step in enumerate(steps)
    )
    submit = course.hand_in(script)
    whole = b"".join(b"%d %d\n" % (place, n) for place in range(3) for n in range(1, 501))
    for place, step in enumerate(steps):
        sees(submit, b"%d 500\n" % place)
        if place < 2:
            course.kill_server()
            step.touch()
            course.start_server()
        else:
            step.touch()
    assert ended(submit) == whole


@pytest.mark.hardening
def test_after_a_lost_host_the_second_attempt_begins_anew(tmp_path: Path) -> None:
    with Course(tmp_path, TELERUN_LEASE_SECONDS=4, TELERUN_SWEEP_SECONDS=1) as course:
        host = course.begin_course()
        first = course.file("first")
        submit = course.hand_in(
            f"[ -e {first} ] && echo second try && exit; touch {first}; echo first try; sleep 600"
        )
        sees(submit, b"first try\n")
        host.kill()
        course.start_host(course.executor("gpu2"), "--scratch-dir", course.file("scratch2"))
        first_try, *between, second_try = ended(submit).splitlines()
        assert (first_try, second_try) == (b"first try", b"second try")
        assert any(b"the host was lost" in line for line in between)
        attempts = course.request(course.student, "GET", "/jobs/1")[2]["attempts"]
        assert attempts[0]["execute_log"] == "first try\n"
        assert attempts[1]["outcome"] == "succeeded"


class CuttingProxy:
    """Between clients and the queue: passes bytes on, and cuts every connection now and then."""

    def __init__(self, port: int, seconds: float) -> None:
        self.port, self.cuts = free_port(), 0
        self._to, self._seconds = port, seconds
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._is_over = threading.Event()
        self._start(self._accept)
        self._start(self._cut)

    def _start(self, function: Callable[..., None], *arguments: Any) -> None:
        self._threads.append(threading.Thread(target=function, args=arguments))
        self._threads[-1].start()

    def close(self) -> None:
        self._is_over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                self._open += [client, server]
                self._start(self._pass_on, client, server)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        back = threading.Thread(target=self._copy, args=(server, client))
        back.start()
        self._copy(client, server)
        back.join()
        client.close()
        server.close()

    @staticmethod
    def _copy(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)

    def _cut(self) -> None:
        is_over = False
        while not is_over:
            is_over = self._is_over.wait(self._seconds)
            self._open, found = [], self._open
            for connection in found:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                    self.cuts += 1


@pytest.mark.hardening
def test_exact_through_a_proxy_that_cuts_every_second(course: Course) -> None:
    """All of the student's connections, and the host's."""
    course.start_server()
    proxy = CuttingProxy(course.port, 1.0)
    course.server_url = f"https://localhost:{proxy.port}"
    course.student, gpu1 = course.user("student"), course.executor("gpu1")
    host = course.start_host(gpu1)
    script = "for n in {1..200}; do echo $n; printf '\\303'; sleep 0.02; printf '\\251\\n'; done"
    submit = course.hand_in(script)
    whole = b"".join(b"%d\n\xc3\xa9\n" % n for n in range(1, 201))
    assert ended(submit) == whole
    assert proxy.cuts > 4
    assert host.stop() == 0
    proxy.close()


@pytest.mark.hardening
def test_a_hundred_megabytes(course: Course) -> None:
    """More than a job may print: it is stopped, and its beginning and end are there."""
    course.begin_course()
    submit = course.hand_in("seq 1 20000000; sleep 600")
    assert submit.popen.wait(300) == 1
    log = course.request(course.student, "GET", "/jobs/1")[2]["result"]["execute_log"].encode()
    assert printed(submit) == log
    assert log.startswith(b"1\n2\n3\n")
    assert b"bytes left out" in log
    assert b"64 MiB" in raw(submit) + said(submit)


@pytest.mark.hardening
def test_many_lines_of_many_programs(course: Course) -> None:
    """Eight at once, each line of each in its place."""
    course.begin_course("--nproc-execute", 8)
    dice = random.Random(8)
    scripts = [
        "".join(
            f"echo {place} {n}; sleep {dice.choice(['0', '0.01', '0.1'])}\n" for n in range(150)
        )
        for place in range(8)
    ]
    students = course.users(8)
    running = [course.hand_in(script, auth) for auth, script in zip(students, scripts, strict=True)]
    for place, process in enumerate(running):
        assert ended(process) == b"".join(b"%d %d\n" % (place, n) for n in range(150))


# --- Real compilers, in the sandbox ----------------------------------------------------------

HANGS = r"""#include <cstdio>
int main() { printf("iteration 0 of 10 converged\n"); fprintf(stderr, "warning\n");
             printf("iteration 1"); for (volatile int i = 0;; i = i + 1) ; }
"""


@pytest.mark.hardening
def test_a_cuda_program_in_the_sandbox(course: Course) -> None:
    """The case `output-lost` as its student sees it, and that it can be stopped."""
    need("nvcc", NVCC)
    need("bubblewrap", has_sandbox())
    course.start_server()
    course.student = course.user("student")
    course.start_executor(course.executor("gpu1"))
    submit = course.hand_in(HANGS)
    sees(submit, b"iteration 0 of 10 converged\nwarning\n")
    submit.send(signal.SIGINT)
    submit.popen.wait(60)
    assert course.submit(course.student, "--cancel", "1").status == 0

    def attempt() -> Any:
        return course.request(course.student, "GET", "/jobs/1")[2]["attempts"][0]

    wait_for(lambda: attempt()["ending"] == "cancelled", "it is over")
    wait_for(lambda: attempt().get("execute_log"), "its log is there")
    assert attempt()["execute_log"] == "iteration 0 of 10 converged\nwarning\n"
