"""Live output at the queue: what an executor sends is what those who watch are told, exactly."""

import random
import time
from collections.abc import Iterator

import pytest

from foundation.database import connections
from foundation.serving import waiting
from jobs import cancelling
from jobs.live import watching
from tests.support.api import Api, problem
from tests.support.events import Shown
from tests.support.live_api import Reader, Stream, StubExecutor, output
from tests.support.threads import later

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("own_watcher", "nothing_kept"),
]


def test_what_is_printed_is_told_as_it_comes(student: Api, host: StubExecutor, job_id: int) -> None:
    assert host.claimed["stream"] is True
    stream = Stream(student, job_id)
    assert stream.next().data["state"] == "running"
    assert host.feed(b"compiling\n", "compile")
    assert output(stream) == {"attempt": 1, "log": "compile", "offset": 0, "text": "compiling\n"}
    assert host.feed("é\n".encode())
    assert output(stream) == {"attempt": 1, "log": "execute", "offset": 0, "text": "é\n"}
    thread = later(0.3, lambda: host.feed(b"more", offset=3))
    assert output(stream) == {"attempt": 1, "log": "execute", "offset": 3, "text": "more"}
    thread.join()
    host.feed(b" and the end", offset=7)
    host.api.finish(host.claimed, execute_log="é\nmore and the end")
    assert [(e.kind, e.data.get("text")) for e in stream.until_over()] == [
        ("output", " and the end"),
        ("job", None),
    ]


def test_of_what_comes_again_only_what_is_new_is_taken(
    student: Api, host: StubExecutor, job_id: int
) -> None:
    host.feed(b"0123456789")
    for offset, content in ((0, b"0123456789"), (0, b"xxxx"), (3, b"xx"), (8, b"89abc"), (2, b"")):
        host.feed(content, offset=offset)
    host.feed(b"after a gap", offset=20)
    host.feed(b"too late for it", offset=12)  # up to 27
    stream = Stream(student, job_id)
    assert stream.next().kind == "job"
    assert output(stream)["text"] == "0123456789abc"
    told = output(stream)
    assert (told["offset"], told["text"]) == (20, "after a gap")
    stream.close()


def test_any_bytes_pass_as_they_are(student: Api, host: StubExecutor, job_id: int) -> None:
    binary = bytes(range(256)) + "é中😀".encode() + b"\xf0\x9f\x98"
    for offset in range(len(binary)):  # a byte a request, no newline
        host.feed(binary[offset : offset + 1], offset=offset)
    host.api.finish(host.claimed)
    stream, shown = Stream(student, job_id, "1-0-0-1-0-0"), Shown()
    for event in stream.until_over():
        if event.kind == "output":
            shown.add(event.data)
    assert bytes(shown.logs["execute"]) == binary
    assert not shown.gaps["execute"]


def test_a_character_is_told_whole_where_it_can_be(
    student: Api, host: StubExecutor, job_id: int
) -> None:
    stream = Stream(student, job_id)
    stream.next()
    smile = "😀".encode()
    host.feed(b"a" + smile[:2])
    assert output(stream)["text"] == "a"
    host.feed(smile[2:], offset=3)
    assert output(stream)["text"] == "😀"
    host.feed(smile[:3], offset=5)
    host.feed(b"after a gap", offset=9)  # what would complete it never comes
    assert output(stream)["text"].encode("utf-8", "surrogateescape") == smile[:3]
    assert output(stream)["text"] == "after a gap"
    host.feed(smile[:1], offset=20)
    cancelling.cancel(job_id, "alice")
    host.release()
    told = [e.data["text"] for e in stream.until_over() if e.kind == "output"]
    assert told == ["\udcf0"]


def feed_at_random(rng: random.Random, host: StubExecutor, whole: dict[str, bytes]) -> Iterator:
    """Sends the logs in pieces, some of them again; yields how much was sent by then."""
    sent = dict.fromkeys(whole, 0)
    while left := [log for log in whole if sent[log] < len(whole[log])]:
        log = rng.choice(left)
        offset = max(0, sent[log] - rng.choice((0, 0, 0, 1, 50, 5000)))
        stop = min(len(whole[log]), sent[log] + rng.choice((1, 2, 3, 80, 900)))
        if rng.random() < 0.2:
            stop = max(offset, sent[log] - rng.randint(0, 9))  # nothing new
        host.feed(whole[log][offset:stop], log, offset)
        sent[log] = max(sent[log], stop)
        yield sent


def test_exact_at_random(student: Api, host: StubExecutor, job_id: int) -> None:
    """Random pieces, repeats and overlaps; readers that come, go, and go on anywhere."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    text = "".join(rng.choice("abc\né中😀\0\x1b") for _ in range(6000)).encode()
    whole = {"execute": text + rng.randbytes(2000) + text[:777], "compile": rng.randbytes(900)}
    readers = [Reader(student, job_id) for _ in range(2)]
    for reader in readers:
        reader.read()
    for sent in feed_at_random(rng, host, whole):
        reader = rng.choice(readers)
        if reader.has_more(sent) and rng.random() < 0.5:
            reader.read()
            if rng.random() < 0.3:
                reader.go_on()
    host.api.finish(host.claimed)
    readers.append(Reader(student, job_id, "0-0-0-1-1-0"))  # it was away all the time
    for reader in readers:
        reader.read_to_the_end()
        assert {log: bytes(shown) for log, shown in reader.shown.logs.items()} == whole
    ids = {last for reader in readers for last in reader.ids if last[-1] == "0" and last[0] != "0"}
    for last in sorted(ids):  # wherever one was cut off, the rest is the rest
        rest = dict.fromkeys(whole, b"")
        for event in Stream(student, job_id, last).until_over():
            if event.kind == "output":
                rest[event.data["log"]] += event.data["text"].encode("utf-8", "surrogateescape")
        _, compiled, executed, *_ = map(int, last.split("-"))
        wanted = whole["execute"][executed:], whole["compile"][compiled:]
        assert (rest["execute"], rest["compile"]) == wanted


def test_a_second_attempt_begins_anew(student: Api, host: StubExecutor, job_id: int) -> None:
    stream = Stream(student, job_id)
    stream.next()
    host.feed(b"of the first")
    told = stream.next()
    assert told.data["text"] == "of the first"
    host.api.release(host.claimed)
    assert stream.next().data["state"] == "queued"
    second = StubExecutor(host.api)
    assert stream.next().data["state"] == "running"
    assert second.feed(b"of the second")
    assert output(stream) == {
        "attempt": 2, "log": "execute", "offset": 0, "text": "of the second"
    }  # fmt: skip
    stream.close()
    stream = Stream(student, job_id, told.id)  # it was away meanwhile
    assert stream.next().kind == "job"
    assert output(stream)["attempt"] == 2
    stream.close()
    assert problem(host.send(12, b"late")) == (409, "lease-lost")


def test_who_comes_late_is_told_from_the_beginning(
    student: Api, host: StubExecutor, job_id: int
) -> None:
    for number in range(300):
        host.feed(b"%03d\n" % number, offset=4 * number)
    stream, text = Stream(student, job_id), ""
    assert stream.next().kind == "job"
    while len(text) < 1200:
        text += output(stream)["text"]
    assert text == "".join(f"{number:03}\n" for number in range(300))
    stream.close()


def test_a_finished_job_is_told_as_ever(student: Api, host: StubExecutor, job_id: int) -> None:
    """Its logs are at its own address."""
    host.feed(b"hello")
    host.api.finish(host.claimed, execute_log="hello")
    assert [event.kind for event in Stream(student, job_id).until_over()] == ["job"]


# --- Who watches -------------------------------------------------------------------------


def test_the_executor_learns_whether_anybody_watches(
    student: Api, host: StubExecutor, job_id: int
) -> None:
    assert host.feed(b"a") is False
    assert host.api.beat(host.claimed).json()["watched"] is False
    stream = Stream(student, job_id)
    stream.next()
    assert host.feed(b"b", offset=1) is True
    assert host.feed(b"", offset=2) is True  # it may only ask
    assert host.api.beat(host.claimed).json()["watched"] is True
    stream.close()
    assert waiting.is_read(job_id) is False
    assert host.feed(b"c", offset=2) is True  # cut off a moment ago: it may be back


def test_a_watcher_at_another_server_counts_while_its_note_lasts(
    host: StubExecutor, job_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    monkeypatch.setattr(watching.feeds, "tell", told.append)
    monkeypatch.setattr(watching, "KNOWN_SECONDS", 0.0)
    rows = connections.scratch().rows
    rows(watching.NOTE, job_id, 12345, time.time() + 20)
    assert host.feed(b"a") is True
    assert told == [job_id]
    rows(watching.NOTE, job_id, 12345, time.time() - 1)
    assert host.feed(b"b", offset=1) is False
    assert told == [job_id]


def test_somebody_who_waits_for_a_change_watches_nothing(
    student: Api, host: StubExecutor, job_id: int
) -> None:
    """A held request sees no output, so output does not wake it."""
    etag = student.get(f"/jobs/{job_id}")["ETag"]
    answers = []
    thread = later(0.3, lambda: answers.append(host.feed(b"a")))
    began = time.monotonic()
    answer = student.get(f"/jobs/{job_id}", Prefer="wait=2", If_None_Match=etag)
    thread.join()
    assert (answer.status_code, answers) == (304, [False])
    assert time.monotonic() - began >= 2


def test_a_claim_again_of_a_cancelled_job_wants_no_stream(
    student: Api, as_gpu1: Api, job_id: int
) -> None:
    assert as_gpu1.claim(Idempotency_Key="k")["stream"] is True
    cancelling.cancel(job_id, "alice")
    assert as_gpu1.claim(Idempotency_Key="k")["stream"] is False
