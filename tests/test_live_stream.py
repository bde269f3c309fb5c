"""The order and the pace of what one attempt prints, and whose turn it is: no processes, no queue.

Its parts are the executor's own; the slot and the queue are stubs, which the tests play.
"""

import threading
from typing import Any

import pytest

from tests.support.processes import wait_for
from tests.support.scripts import load

pytestmark = pytest.mark.once
executor = load("executor")


class Slot:
    """A stub: notes from which byte on it is asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, offset: int) -> None:
        self.asked.append(offset)


@pytest.fixture
def due() -> list[Any]:
    return []


@pytest.fixture
def stream(due: list[Any]) -> Any:
    return executor.LiveStream(7, "lease", True, due.append)


def printed(stream: Any, offset: int, data: bytes) -> None:
    stream.add(executor.Output(offset, data))


def test_the_compilers_log_comes_first_to_its_end(stream: Any) -> None:
    compiler, program = Slot(), Slot()
    stream.begin(compiler)
    assert stream.next() is None
    assert compiler.asked == [0]
    printed(stream, 0, b"warn")
    piece = stream.next()
    assert piece == ("compile", 0, b"warn")
    stream.sent(piece, True)
    assert stream.next() is None
    assert compiler.asked == [0, 4]
    stream.end()
    stream.compiled(b"warning\n", 100)
    stream.begin(program)
    piece = stream.next()
    assert piece == ("compile", 4, b"ing\n")
    assert stream.next() == piece  # it was not taken yet
    stream.sent(piece, True)
    assert program.asked == []
    assert stream.next() is None
    assert program.asked == [0]


def test_a_piece_under_way_when_the_compiler_ends_is_not_sent_again(stream: Any) -> None:
    stream.begin(Slot())
    printed(stream, 0, b"warn")
    piece = stream.next()
    stream.end()
    stream.compiled(b"warning\n", 100)
    stream.sent(piece, True)
    assert stream.next() == ("compile", 4, b"ing\n")


def test_of_a_log_that_was_cut_the_head_is_sent(stream: Any) -> None:
    """What the note in it stands for has no offsets."""
    log = executor.BoundedLog(100)
    log.add(b"x" * 75 + b"y" * 1000)
    stream.compiled(log.content(), 100)
    piece = stream.next()
    assert piece == ("compile", 0, b"x" * 75)
    stream.sent(piece, True)
    assert stream.next() is None


def test_asking_twice_and_overlapping_loses_and_repeats_nothing(stream: Any) -> None:
    stream.compiled(b"", 100)
    slot = Slot()
    stream.begin(slot)
    stream.next()
    printed(stream, 0, b"abc")
    first = stream.next()
    printed(stream, 0, b"abcdef")  # it was asked for twice
    stream.sent(first, True)
    stream.next()
    assert slot.asked == [0, 3]


def test_a_gap_is_kept(stream: Any) -> None:
    stream.compiled(b"", 100)
    slot = Slot()
    stream.begin(slot)
    stream.next()
    printed(stream, 5000, b"late")
    piece = stream.next()
    assert piece == ("execute", 5000, b"late")
    stream.sent(piece, True)
    stream.next()
    assert slot.asked == [0, 5004]


def test_while_nobody_watches_it_rests_and_a_heartbeat_ends_that(
    stream: Any, due: list[Any]
) -> None:
    stream.compiled(b"x", 100)
    stream.sent(stream.next(), False)
    assert stream.rests_until > 0
    count = len(due)
    stream.watch(False)
    stream.watch(None)  # an older queue's heartbeat says nothing
    assert (stream.rests_until > 0, len(due)) == (True, count)
    stream.watch(True)
    assert (stream.rests_until, len(due)) == (0.0, count + 1)
    stream.watch(True)  # that is known
    assert len(due) == count + 1


def test_less_and_less_until_nothing(stream: Any) -> None:
    stream.compiled(b"x" * 100_000, 1 << 20)
    sizes = []
    while piece := stream.next():
        sizes.append(len(piece.data))
        stream.too_large()
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == executor.FRAME_BYTES
    assert sizes[-1] >= executor.LEAST_BYTES
    stream.begin(Slot())
    assert stream.next() is None


def test_pauses_grow_and_end_when_something_was_taken(stream: Any) -> None:
    stream.compiled(b"xy", 100)
    pauses = []
    for _ in range(5):
        before = executor.time.monotonic()
        stream.failed()
        pauses.append(stream.rests_until - before)
    assert pauses[-1] > 4 * pauses[0]
    stream.failed(500)
    assert stream.rests_until > executor.time.monotonic() + 400
    stream.sent(stream.next(), True)
    assert stream.rests_until == 0


def test_closed_it_says_nothing_more(stream: Any) -> None:
    stream.compiled(b"x", 100)
    slot = Slot()
    stream.begin(slot)
    stream.close()
    assert stream.next() is None
    printed(stream, 0, b"late")
    assert stream.next() is None
    assert slot.asked == []


def test_more_streams_than_senders_take_turns(monkeypatch: Any) -> None:
    """Each has always something to send, and one sender serves them all."""
    senders, served, enough = executor.LiveSenders(None), [], threading.Event()
    monkeypatch.setitem(executor.LiveSenders.__init__.__globals__, "SENDERS_AT_MOST", 1)
    monkeypatch.setitem(executor.LiveSenders.__init__.__globals__, "HeldConnection", Connection)
    streams = []

    def send(_connection: Any, stream: Any, piece: Any) -> None:
        served.append(streams.index(stream))
        if len(served) >= 50:
            enough.set()
        stream.rests_until = 0.0 if len(served) % 2 else executor.time.monotonic() - 1
        stream._is_due(stream)

    senders._send = send
    streams += [executor.LiveStream(number, "", True, senders._put) for number in range(5)]
    for stream in streams:
        stream.compiled(b"x", 100)
    assert enough.wait(20)
    senders.close()
    for turn in range(5, 45, 5):
        assert sorted(served[turn : turn + 5]) == [0, 1, 2, 3, 4]


def test_what_comes_as_a_sender_leaves_is_sent(monkeypatch: Any) -> None:
    """It has waited for long enough when a stream is put: nobody else would see to that one."""
    senders, sent = executor.LiveSenders(None), threading.Event()
    monkeypatch.setitem(executor.LiveSenders.__init__.__globals__, "IDLE_SECONDS_OF_SENDER", 0.0)
    monkeypatch.setitem(executor.LiveSenders.__init__.__globals__, "HeldConnection", Connection)
    senders._send = lambda *_: sent.set()
    stream = executor.LiveStream(1, "", True, senders._put)
    stream.compiled(b"x", 100)
    assert sent.wait(5)
    wait_for(lambda: not senders._threads, "nothing is left to do")


class Connection:
    """A stub."""

    def __init__(self, _auth: Any) -> None:
        pass

    def close(self) -> None:
        pass
