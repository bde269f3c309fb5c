"""Live output at the queue: what an executor sends is what those who watch are told, exactly.

The executor here is a stub: it claims, and feeds what it likes to the API.
"""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from accounts.models import Executor, User
from foundation.database import connections
from jobs import cancelling
from jobs.live import watching
from tests.support.api import Api, problem
from tests.support.events import Event, Shown, events
from tests.support.threads import later

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_watcher")]


@pytest.fixture(autouse=True)
def nothing_kept(db: None) -> None:
    """Of an earlier test: jobs have the same numbers again."""
    for table in ("jobs_livepiece", "jobs_livewatch"):
        connections.scratch().rows(f"DELETE FROM {table}")
    watching._process.pid = 0


class StubExecutor:
    """Claims a job and feeds output of it by the API, as a real one would, or otherwise."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.claimed = api.claim()
        self.attempt = self.claimed["attempt"]

    def send(self, offset: int, content: bytes | str, log: str = "execute", **more: Any) -> Any:
        text = content if isinstance(content, str) else content.decode("utf-8", "surrogateescape")
        body = {"log": log, "offset": offset, "text": text, **more}
        body = {"lease_token": self.attempt["lease_token"], **body}
        return self.api.post(f"/attempts/{self.attempt['id']}/output", body)

    def feed(self, content: bytes, log: str = "execute", offset: int = 0) -> bool:
        answer = self.send(offset, content, log)
        assert answer.status_code == 200, answer.content
        return answer.json()["watched"]

    def release(self, **logs: str) -> Any:
        body = {"lease_token": self.attempt["lease_token"], "reason": "it was cancelled", **logs}
        return self.api.post(f"/attempts/{self.attempt['id']}/release", body)


class Stream:
    """A job's stream, read as far as it goes without waiting for more."""

    def __init__(self, api: Api, job_id: int, last: str = "") -> None:
        self.answer = api.get(f"/jobs/{job_id}/events", Last_Event_ID=last)
        self._lines = (
            line for part in self.answer.streaming_content for line in part.splitlines(True)
        )
        self._events = events(self._lines)

    def next(self) -> Event | None:
        return next(self._events, None)

    def until_over(self) -> list[Event]:
        return list(self._events)

    def close(self) -> None:
        self.answer.close()


@pytest.fixture
def student(alice: User) -> Api:
    return Api(alice.issue_token())


@pytest.fixture
def job_id(student: Api) -> int:
    return student.submit()["id"]


@pytest.fixture
def stub(job_id: int, gpu1: Executor) -> StubExecutor:
    return StubExecutor(Api(gpu1.issue_token()))


def output(stream: Stream) -> dict[str, Any]:
    """The next event's data, which is output."""
    event = stream.next()
    assert event
    assert event.kind == "output"
    return event.data


# --- What is sent is what is told --------------------------------------------------------


def test_what_is_printed_is_told_as_it_comes(student: Api, stub: StubExecutor, job_id: int) -> None:
    assert stub.claimed["stream"] is True
    stream = Stream(student, job_id)
    assert stream.next().data["state"] == "running"
    assert stub.feed(b"compiling\n", "compile")
    assert output(stream) == {"attempt": 1, "log": "compile", "offset": 0, "text": "compiling\n"}
    assert stub.feed("é\n".encode())
    assert output(stream) == {"attempt": 1, "log": "execute", "offset": 0, "text": "é\n"}
    thread = later(0.3, lambda: stub.feed(b"more", offset=3))
    assert output(stream) == {"attempt": 1, "log": "execute", "offset": 3, "text": "more"}
    thread.join()
    stub.feed(b" and the end", offset=7)
    stub.api.finish(stub.claimed, execute_log="é\nmore and the end")
    assert [(e.kind, e.data.get("text")) for e in stream.until_over()] == [
        ("output", " and the end"),
        ("job", None),
    ]


def test_of_what_comes_again_only_what_is_new_is_taken(
    student: Api, stub: StubExecutor, job_id: int
) -> None:
    stub.feed(b"0123456789")
    for offset, content in ((0, b"0123456789"), (0, b"xxxx"), (3, b"xx"), (8, b"89abc"), (2, b"")):
        stub.feed(content, offset=offset)
    stub.feed(b"after a gap", offset=20)
    stub.feed(b"too late for it", offset=12)  # up to 27
    stream = Stream(student, job_id)
    assert stream.next().kind == "job"
    assert output(stream)["text"] == "0123456789abc"
    told = output(stream)
    assert (told["offset"], told["text"]) == (20, "after a gap")
    stream.close()


def test_any_bytes_pass_as_they_are(student: Api, stub: StubExecutor, job_id: int) -> None:
    binary = bytes(range(256)) + "é中😀".encode() + b"\xf0\x9f\x98"
    for offset in range(len(binary)):  # a byte a request, no newline
        stub.feed(binary[offset : offset + 1], offset=offset)
    stub.api.finish(stub.claimed)
    stream, shown = Stream(student, job_id, "1-0-0-1-0-0"), Shown()
    for event in stream.until_over():
        if event.kind == "output":
            shown.add(event.data)
    assert bytes(shown.logs["execute"]) == binary
    assert not shown.gaps["execute"]


def test_a_character_is_told_whole_where_it_can_be(
    student: Api, stub: StubExecutor, job_id: int
) -> None:
    stream = Stream(student, job_id)
    stream.next()
    smile = "😀".encode()
    stub.feed(b"a" + smile[:2])
    assert output(stream)["text"] == "a"
    stub.feed(smile[2:], offset=3)
    assert output(stream)["text"] == "😀"
    stub.feed(smile[:3], offset=5)
    stub.feed(b"after a gap", offset=9)  # what would complete it never comes
    assert output(stream)["text"].encode("utf-8", "surrogateescape") == smile[:3]
    assert output(stream)["text"] == "after a gap"
    stub.feed(smile[:1], offset=20)
    cancelling.cancel(job_id, "alice")
    stub.release()
    told = [e.data["text"] for e in stream.until_over() if e.kind == "output"]
    assert told == ["\udcf0"]


class Reader:
    """Reads a job's stream, is cut off, and goes on from the last event."""

    def __init__(self, api: Api, job_id: int, last: str = "") -> None:
        self._api, self._job_id = api, job_id
        self._stream = Stream(api, job_id, last)
        self.shown = Shown()
        self.ids: list[str] = []

    def has_more(self, sent: dict[str, int]) -> bool:
        """Of what was sent at most three bytes, which begin a character, are not told yet."""
        return any(sent[log] - len(shown) > 3 for log, shown in self.shown.logs.items())

    def read(self) -> None:
        self._take(self._stream.next())

    def read_to_the_end(self) -> None:
        for event in self._stream.until_over():
            self._take(event)

    def _take(self, event: Event | None) -> None:
        assert event
        self.ids.append(event.id)
        if event.kind == "output":
            self.shown.add(event.data)

    def go_on(self) -> None:
        self._stream.close()
        self._stream = Stream(self._api, self._job_id, self.ids[-1])


def feed_at_random(rng: random.Random, stub: StubExecutor, whole: dict[str, bytes]) -> Iterator:
    """Sends the logs in pieces, some of them again; yields how much was sent by then."""
    sent = dict.fromkeys(whole, 0)
    while left := [log for log in whole if sent[log] < len(whole[log])]:
        log = rng.choice(left)
        offset = max(0, sent[log] - rng.choice((0, 0, 0, 1, 50, 5000)))
        stop = min(len(whole[log]), sent[log] + rng.choice((1, 2, 3, 80, 900)))
        if rng.random() < 0.2:
            stop = max(offset, sent[log] - rng.randint(0, 9))  # nothing new
        stub.feed(whole[log][offset:stop], log, offset)
        sent[log] = max(sent[log], stop)
        yield sent


def test_exact_at_random(student: Api, stub: StubExecutor, job_id: int) -> None:
    """Random pieces, repeats and overlaps; readers that come, go, and go on anywhere."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    text = "".join(rng.choice("abc\né中😀\0\x1b") for _ in range(6000)).encode()
    whole = {"execute": text + rng.randbytes(2000) + text[:777], "compile": rng.randbytes(900)}
    readers = [Reader(student, job_id) for _ in range(2)]
    for reader in readers:
        reader.read()
    for sent in feed_at_random(rng, stub, whole):
        reader = rng.choice(readers)
        if reader.has_more(sent) and rng.random() < 0.5:
            reader.read()
            if rng.random() < 0.3:
                reader.go_on()
    stub.api.finish(stub.claimed)
    readers.append(Reader(student, job_id, "0-0-0-1-1-0"))  # it was away all the time
    for reader in readers:
        reader.read_to_the_end()
        assert {log: bytes(shown) for log, shown in reader.shown.logs.items()} == whole
    ids = {last for reader in readers for last in reader.ids if last[-1] == "0" and last[0] != "0"}
    for last in rng.sample(sorted(ids), 30):  # wherever one was cut off, the rest is the rest
        rest = dict.fromkeys(whole, b"")
        for event in Stream(student, job_id, last).until_over():
            if event.kind == "output":
                rest[event.data["log"]] += event.data["text"].encode("utf-8", "surrogateescape")
        _, compiled, executed, *_ = map(int, last.split("-"))
        wanted = whole["execute"][executed:], whole["compile"][compiled:]
        assert (rest["execute"], rest["compile"]) == wanted


def test_a_second_attempt_begins_anew(student: Api, stub: StubExecutor, job_id: int) -> None:
    stream = Stream(student, job_id)
    stream.next()
    stub.feed(b"of the first")
    told = stream.next()
    assert told.data["text"] == "of the first"
    stub.api.release(stub.claimed)
    assert stream.next().data["state"] == "queued"
    second = StubExecutor(stub.api)
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
    assert problem(stub.send(12, b"late")) == (409, "lease-lost")


def test_who_comes_late_is_told_from_the_beginning(
    student: Api, stub: StubExecutor, job_id: int
) -> None:
    for number in range(300):
        stub.feed(b"%03d\n" % number, offset=4 * number)
    stream, text = Stream(student, job_id), ""
    assert stream.next().kind == "job"
    while len(text) < 1200:
        text += output(stream)["text"]
    assert text == "".join(f"{number:03}\n" for number in range(300))
    stream.close()


def test_a_finished_job_is_told_as_ever(student: Api, stub: StubExecutor, job_id: int) -> None:
    """Its logs are at its own address."""
    stub.feed(b"hello")
    stub.api.finish(stub.claimed, execute_log="hello")
    assert [event.kind for event in Stream(student, job_id).until_over()] == ["job"]
