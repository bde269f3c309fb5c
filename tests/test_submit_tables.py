"""What --list, --status and --compare say of jobs that a test makes up. No queue."""

import errno
import io
import time
from typing import Any

import pytest

from tests.support.scripts import load

pytestmark = pytest.mark.once
submit = load("submit")
H100 = {"name": "NVIDIA H100", "uuid": "GPU-1", "throttled": []}


def job(number: int = 7, **more: Any) -> dict[str, Any]:
    shown = {"id": number, "state": "finished", "outcome": "succeeded", "filename": "a.cu"}
    return {**shown, "args": [], "phase": None, "queue_position": None, **more}


def ran(number: int, seconds: Any, gpu: Any = None, **more: Any) -> dict[str, Any]:
    details = {"gpu": gpu, "execute_memory_bytes": 3 << 20}
    result = {"execute_seconds": seconds, "compile_seconds": 1.0, "details": details}
    return job(number, result=result, executor="gpu1", **more)


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch) -> Any:
    def has(count: int) -> None:
        monkeypatch.setattr(submit, "terminal_width", lambda: count)

    return has


@pytest.mark.parametrize("width", [80, 60, 40, 20])
def test_lists_fit_the_terminal(columns: Any, width: int) -> None:
    columns(width)
    names = ["a.cu", "a" * 100 + ".cu", "b\x1b[2J\u202e\n.cu", "ü.cu"]
    jobs = [job(n, filename=name, execute_seconds=n * 1.5) for n, name in enumerate(names, 1)]
    lines = submit.job_table(jobs)
    assert len(lines) == len(jobs)
    assert max(map(len, lines)) <= width
    assert all(line.isprintable() for line in lines)
    assert len({line.index("succ") for line in lines}) == 1 or width == 20


def test_those_that_wait_or_run_come_first() -> None:
    jobs = [job(4), job(3, state="running"), job(2), job(1, state="queued")]
    assert [one["id"] for one in submit.in_order(jobs)] == [3, 1, 4, 2]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"state": "queued", "outcome": None, "queue_position": 3}, "waiting, 3 in the queue"),
        ({"state": "queued", "outcome": None}, "waiting"),
        ({"state": "running", "outcome": None, "phase": "executing"}, "running"),
        ({"state": "running", "outcome": None, "phase": "waiting"}, "waiting for a GPU"),
        (
            {"state": "running", "outcome": None, "phase": "compiling", "cancel_requested_at": "x"},
            "compiling (stopping)",
        ),
        ({"outcome": "runtime_timeout"}, "stopped"),
        ({"outcome": "of a later\x1b version"}, "of a later\\x1b version"),
        ({"state": "cancelled", "outcome": None}, "cancelled"),
    ],
)
def test_states_in_a_word(more: dict[str, Any], words: str) -> None:
    assert submit.state_in_words(job(**more)) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(60.0, "1 min 0 s"), (1.31, "1.31 s"), (0.0123, "12.3 ms"), (None, ""), ("x", ""), (-1, ""),
     (float("nan"), "")],
)  # fmt: skip
def test_how_long_in_words(seconds: Any, words: str) -> None:
    assert submit.seconds_in_words(seconds) == words


@pytest.mark.parametrize(
    ("passed", "words"),
    [(-60, "just now"), (5, "just now"), (61, "1 min ago"), (3600, "60 min ago"),
     (3 * 3600 + 5, "3 h ago"), (3 * 86400 + 5, "3 days ago")],
)  # fmt: skip
def test_how_long_ago(passed: int, words: str) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - passed))
    assert submit.ago(stamp) == words
    for odd in (None, "", "yesterday", 5, "2026-01-01"):
        assert submit.ago(odd) in ("", *(f"{n} days ago" for n in range(9999)))


def test_two_runs_of_one_program() -> None:
    first, second = ran(295, 2.0, H100), ran(301, 1.31, {**H100, "uuid": "GPU-2"}, args=["2"])
    head, *lines = submit.compared(first, second)
    assert head == "a.cu 2   2.00 s → 1.31 s   (1.53 \u00d7 as fast)"
    assert submit.compared(second, first)[0].endswith("(1.53 \u00d7 as long)")
    assert "They ran on two GPUs of the same kind, which may differ by a few percent." in lines


@pytest.mark.parametrize(
    ("gpu", "words"),
    [
        ({**H100, "name": "NVIDIA L4"}, "different kinds of GPU: the times cannot be compared"),
        ({**H100, "throttled": ["heat"]}, "The GPU of job 2 was slowed down (heat)."),
        (H100, None),
        (None, None),
        ("odd", None),
    ],
)
def test_why_times_may_say_little(gpu: Any, words: str | None) -> None:
    remarks = submit.remarks(ran(1, 2.0, H100), ran(2, 1.0, gpu))
    assert bool(remarks) == bool(words)
    assert not words or words in remarks[0]


@pytest.mark.parametrize("odd", [{}, {"result": None}, {"result": {"details": 5}}, {"args": None}])
def test_jobs_without_what_is_compared(odd: dict[str, Any]) -> None:
    one = {**ran(1, None), **odd, "outcome": None, "state": "running"}
    text = "\n".join(submit.compared(one, ran(2, 1.0)))
    assert "as fast" not in text
    assert "is not over yet" in text


def test_how_sources_differ() -> None:
    old = {"a.cu": "one\ntwo\n", "k.h": "same\n"}
    assert submit.difference((1, old), (2, {"b.cu": "one\ntwo\n", "k.h": "same\n"})) == (True, [])
    is_same, lines = submit.difference((1, old), (2, {"a.cu": "one\n\x1b[2J\n", "k.h": "same\n"}))
    assert not is_same
    assert lines[:2] == ["--- a.cu (job 1)", "+++ a.cu (job 2)"]
    assert "+\\x1b[2J" in lines
    many = "".join(f"{n}\n" for n in range(500))
    _, lines = submit.difference((1, {"a.cu": ""}), (2, {"a.cu": many}))
    assert lines[-1] == f"... and {500 + 3 - submit.MOST_DIFFERENCES} lines more"


def test_how_the_queue_is() -> None:
    hosts = [{"name": "cuda", "executors": 1, "gpus": 2, "queued": 3}]
    queue = {"accepting": True, "starting": True, "queued": 3, "running": 1, "platforms": hosts}
    lines = submit.queue_lines(queue, [])
    assert lines[:2] == ["The queue is open.", "3 jobs wait, 1 runs."]
    assert lines[4].split() == ["cuda", "1", "2", "3"]
    for none in ([], [{**hosts[0], "executors": 0, "gpus": 0}], None):
        assert submit.NO_HOST in submit.queue_lines({**queue, "platforms": none}, [])
    without = {**queue, "platforms": [{**hosts[0], "gpus": 0}, {**hosts[0], "name": "cpu"}]}
    assert submit.queue_lines(without, [])[2].startswith("The hosts of cuda have no GPU")
    paused = {**queue, "starting": False, "message": "Back at\x1b 8."}
    assert submit.queue_lines(paused, [])[:2] == [
        "The queue takes jobs, but starts none at present.",
        "Back at\\x1b 8.",
    ]
    closed = submit.queue_lines({"accepting": False, "platforms": None, "announcements": 5}, [])
    assert closed[0] == "The queue takes no jobs at present."
    assert submit.NO_HOST in closed


# --- Standard output, on any system ------------------------------------------------------


class StubOutput(io.TextIOWrapper):
    """Standard output as on Windows: its text has CRLF and an encoding of its own."""

    def __init__(self, error: int = 0, is_terminal: bool = False, encoding: str = "cp1252") -> None:
        self.raw_bytes = io.BytesIO()
        self.error, self.is_terminal = error, is_terminal
        super().__init__(self.raw_bytes, encoding=encoding, newline="\r\n")

    def isatty(self) -> bool:
        return self.is_terminal

    def fileno(self) -> int:
        return -1

    def flush(self) -> None:
        if self.error:
            raise OSError(self.error, "as a closed pipe does")
        super().flush()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "1 → 2 ü\n".encode()),
        ({"is_terminal": True}, "1 -> 2 ü\n".encode("cp1252")),
        ({"is_terminal": True, "encoding": "utf-8"}, "1 → 2 ü\n".encode()),
        ({"is_terminal": True, "encoding": "ascii"}, b"1 -> 2 \\xfc\n"),
    ],
)
def test_lines_are_bytes_with_one_end_and_one_encoding(
    monkeypatch: pytest.MonkeyPatch, options: Any, expected: bytes
) -> None:
    """S26, simulated: UTF-8 and LF in a file or pipe, whatever the system's own are."""
    output = StubOutput(**options)
    monkeypatch.setattr(submit.sys, "stdout", output)
    submit.put_lines(["1 → 2 ü"])
    assert output.raw_bytes.getvalue() == expected


def test_json_is_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    output = StubOutput()
    monkeypatch.setattr(submit.sys, "stdout", output)
    submit.put_json(0, job={"log": "ü\udcff\u2028", "etag": "1"})
    assert output.raw_bytes.getvalue() == (
        b'{"exit_status": 0, "job": {"log": "\\u00fc\\udcff\\u2028"}}\n'
    )


@pytest.mark.parametrize("error", [errno.EINVAL, errno.EPIPE])
def test_a_reader_who_leaves_is_no_failure(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    """S26: Windows says EINVAL of a closed pipe."""
    monkeypatch.setattr(submit.os, "dup2", lambda *_: None)
    monkeypatch.setattr(submit.sys, "stdout", StubOutput(error))
    screen = submit.Screen()
    screen.write(b"one\n")
    screen.line("two")
    assert not screen.has_failed
    submit.put_lines(["three"])
    submit.put_json(0)
