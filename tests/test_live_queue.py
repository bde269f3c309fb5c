"""Live output at the queue: what an executor sends is what those who watch are told, exactly.

The executor here is a stub: it claims, and feeds what it likes to the API.
"""

import io
import json
import random
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from accounts.models import Executor, User
from foundation.database import connections
from foundation.serving import waiting
from jobs import cancelling, leases, staff
from jobs.api.v1 import express
from jobs.live import pieces, reading, retention, taking, watching
from jobs.models import Attempt, AuditEntry, Job
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


# --- Who may send, and what is refused ---------------------------------------------------


def test_the_fence_holds(
    student: Api, stub: StubExecutor, as_gpu2: Api, job_id: int, bob: User
) -> None:
    path, body = f"/attempts/{stub.attempt['id']}/output", {"log": "execute", "offset": 0}
    mine = {**body, "text": "x", "lease_token": stub.attempt["lease_token"]}
    assert problem(stub.send(0, "x", lease_token="other")) == (409, "lease-lost")
    assert problem(as_gpu2.post(path, mine)) == (404, "not-found")
    assert problem(stub.api.post("/attempts/999999/output", mine)) == (404, "not-found")
    assert problem(student.post(path, mine)) == (403, "wrong-token-kind")
    assert problem(Api(None).post(path, mine)) == (401, "not-authenticated")
    assert stub.send(0, "x").status_code == 200
    stub.api.finish(stub.claimed)
    assert problem(stub.send(1, "y")) == (409, "lease-lost")


@pytest.mark.parametrize(
    "wrong",
    [
        {"log": "other"}, {"log": None}, {"offset": -1}, {"offset": 2**53}, {"offset": True},
        {"offset": "x"}, {"offset": 1.5}, {"text": 5}, {"text": None}, {"text": "\ud800"},
        {"lease_token": None},
    ],
)  # fmt: skip
def test_what_is_no_output_is_refused(stub: StubExecutor, wrong: dict[str, Any]) -> None:
    body = {"log": "execute", "offset": 0, "text": "x", "lease_token": stub.attempt["lease_token"]}
    answer = stub.api.post(f"/attempts/{stub.attempt['id']}/output", {**body, **wrong})
    assert problem(answer) == (400, "invalid-request")


def test_a_request_is_bounded(stub: StubExecutor) -> None:
    assert stub.send(0, b"\xff" * taking.MAX_BYTES).status_code == 200
    assert problem(stub.send(0, b"\xff" * (taking.MAX_BYTES + 1))) == (413, "body-too-large")


def test_too_many_requests_of_an_attempt_are_refused(
    stub: StubExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "BURST", 3)
    monkeypatch.setattr(taking, "A_SECOND", 0.001)
    monkeypatch.setattr(taking, "_rates", taking._Rates())
    assert [stub.send(0, "x").status_code for _ in range(4)] == [200, 200, 200, 429]


def test_it_renews_no_lease_and_changes_no_job(stub: StubExecutor, job_id: int) -> None:
    def rows() -> list[Any]:
        return [list(model.objects.values()) for model in (Job, Attempt, Executor)]

    Executor.objects.update(last_seen_at=timezone.now() - timedelta(hours=1))
    before = rows()
    stub.feed(b"hello")
    assert rows() == before


def test_it_takes_no_writers_turn_and_waits_for_no_transaction(
    stub: StubExecutor, job_id: int, student: Api
) -> None:
    """While somebody writes to the database, for as long as it takes."""
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Job.objects.filter(pk=job_id).update(filename="held.cu")
            held.set()
            over.wait(20)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(20)
    try:
        stub.feed(b"hello")
        assert not over.is_set()
    finally:
        over.set()
        thread.join()


def test_what_is_plain_goes_without_the_frameworks(stub: StubExecutor) -> None:
    body = {"log": "execute", "offset": 0, "text": "\udcff", **lease(stub)}
    plain = environ(stub, body)
    assert express.answer(plain) == b'{"watched":false}'
    assert kept_size() == (1, 1)
    assert plain["wsgi.input"].read() == json.dumps(body).encode()
    odd = (
        {"HTTP_ACCEPT": "text/html"}, {"CONTENT_TYPE": "text/plain"}, {"CONTENT_LENGTH": ""},
        {"HTTP_AUTHORIZATION": "Basic x"}, {"HTTP_AUTHORIZATION": "Bearer tlre_x"},
        {"HTTP_CONTENT_ENCODING": "gzip"}, {"HTTP_TRANSFER_ENCODING": "chunked"},
        {"CONTENT_LENGTH": "65537"}, {"PATH_INFO": "/api/v1/attempts/x/output"},
        {"REQUEST_METHOD": "PUT"}, {"QUERY_STRING": "x=1"},
    )  # fmt: skip
    for more in odd:
        assert express.answer({**environ(stub, body), **more}) is None
    for wrong in ({"log": "x"}, {"offset": True}, {"more": 1}, {"text": None}):
        assert express.answer(environ(stub, {**body, **wrong})) is None


def lease(stub: StubExecutor) -> dict[str, str]:
    return {"lease_token": stub.attempt["lease_token"]}


def environ(stub: StubExecutor, body: dict[str, Any]) -> dict[str, Any]:
    """As gunicorn makes it."""
    content = json.dumps(body).encode()
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": f"/api/v1/attempts/{stub.attempt['id']}/output",
        "QUERY_STRING": "",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(content)),
        "HTTP_AUTHORIZATION": stub.api._headers["Authorization"],
        "wsgi.input": io.BytesIO(content),
    }


def test_what_a_crash_took_is_a_gap(student: Api, stub: StubExecutor, job_id: int) -> None:
    """PostgreSQL empties unlogged tables; SQLite's file may be lost."""
    stream = Stream(student, job_id)
    stream.next()
    stub.feed(b"before")
    assert output(stream)["text"] == "before"
    connections.scratch().rows("DELETE FROM jobs_livepiece")
    stub.feed(b"after", offset=6)
    assert output(stream)["offset"] == 6
    stream.close()
    late = Stream(student, job_id)
    late.next()
    assert output(late) == {"attempt": 1, "log": "execute", "offset": 6, "text": "after"}
    late.close()


# --- Who watches -------------------------------------------------------------------------


def test_the_executor_learns_whether_anybody_watches(
    student: Api, stub: StubExecutor, job_id: int
) -> None:
    assert stub.feed(b"a") is False
    assert stub.api.beat(stub.claimed).json()["watched"] is False
    stream = Stream(student, job_id)
    stream.next()
    assert stub.feed(b"b", offset=1) is True
    assert stub.feed(b"", offset=2) is True  # it may only ask
    assert stub.api.beat(stub.claimed).json()["watched"] is True
    stream.close()
    assert waiting.is_read(job_id) is False
    assert stub.feed(b"c", offset=2) is True  # cut off a moment ago: it may be back


def test_a_watcher_at_another_server_counts_while_its_note_lasts(
    stub: StubExecutor, job_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    monkeypatch.setattr(watching.feeds, "tell", told.append)
    monkeypatch.setattr(watching, "KNOWN_SECONDS", 0.0)
    rows = connections.scratch().rows
    rows(watching.NOTE, job_id, 12345, time.time() + 20)
    assert stub.feed(b"a") is True
    assert told == [job_id]
    rows(watching.NOTE, job_id, 12345, time.time() - 1)
    assert stub.feed(b"b", offset=1) is False
    assert told == [job_id]


def test_somebody_who_waits_for_a_change_watches_nothing(
    student: Api, stub: StubExecutor, job_id: int
) -> None:
    """A held request sees no output, so output does not wake it."""
    etag = student.get(f"/jobs/{job_id}")["ETag"]
    answers = []
    thread = later(0.3, lambda: answers.append(stub.feed(b"a")))
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


# --- What is kept of an attempt that ends without a result -------------------------------


def attempts(student: Api, job_id: int) -> list[dict[str, Any]]:
    return student.get(f"/jobs/{job_id}").json()["attempts"]


ENDINGS = ("released", "cancelled", "expired", "requeued", "failed")


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_was_streamed_stays(
    ending: str, student: Api, stub: StubExecutor, job_id: int, ta: Any
) -> None:
    """S1, for every ending."""
    stub.feed(b"a warning\n", "compile")
    stub.feed(b"step 1\n\xff\0")
    if ending == "cancelled":
        student.post(f"/jobs/{job_id}/cancel")
    if ending == "failed":
        Job.objects.update(attempts_left=0)
    if ending == "requeued":
        staff.requeue(job_id, "ta")
    elif ending == "expired":
        leases.expire(timezone.now() + timedelta(days=1))
    else:
        assert stub.release().status_code == 200
    (attempt,) = attempts(student, job_id)
    assert attempt["ending"] == {"failed": "released"}.get(ending, ending)
    assert attempt["compile_log"] == "a warning\n"
    assert attempt["execute_log"] == "step 1\n\udcff\0"
    page = ta.get(f"/admin/jobs/job/{job_id}/change/").content.decode()
    assert "step 1\n\\xff\\x00" in page
    assert "a warning" in page


def test_of_one_that_printed_nothing_nothing_is_said(
    student: Api, stub: StubExecutor, job_id: int
) -> None:
    stub.release()
    (attempt,) = attempts(student, job_id)
    assert not {"compile_log", "execute_log"} & set(attempt)


def test_of_one_with_a_result_the_result_tells(
    student: Api, stub: StubExecutor, job_id: int
) -> None:
    stub.feed(b"streamed")
    stub.api.finish(stub.claimed, execute_log="the whole")
    job = student.get(f"/jobs/{job_id}").json()
    assert "execute_log" not in job["attempts"][0]
    assert job["result"]["execute_log"] == "the whole"
    staff.requeue(job_id, "ta")  # superseded: for staff alone, as ever
    assert "execute_log" not in attempts(student, job_id)[0]


def test_what_the_executor_gives_back_counts_more(
    student: Api, stub: StubExecutor, job_id: int
) -> None:
    stub.feed(b"compiled", "compile")
    stub.feed(b"some of ")
    assert stub.release(execute_log="some of it\udcff").status_code == 200
    (attempt,) = attempts(student, job_id)
    assert (attempt["compile_log"], attempt["execute_log"]) == ("compiled", "some of it\udcff")
    assert stub.release(execute_log="again").status_code == 200  # changes nothing more
    assert attempts(student, job_id) == [attempt]


def test_the_logs_of_a_cancelled_attempt_may_come_late_and_once(
    student: Api, stub: StubExecutor, job_id: int, audit_log: Any
) -> None:
    """Its lease ran out, or staff ended it, before its executor could say what was printed."""
    stub.feed(b"some of ")
    cancelling.cancel(job_id, "alice")
    leases.expire(timezone.now() + timedelta(days=1))
    answer = student.get(f"/jobs/{job_id}")
    assert answer.json()["state"] == "cancelled"
    entries = AuditEntry.objects.count()
    assert problem(stub.api.finish(stub.claimed)) == (409, "lease-lost")
    assert stub.release(execute_log="some of it").status_code == 200
    assert stub.release(execute_log="something else").status_code == 200
    after = student.get(f"/jobs/{job_id}")
    assert after.json()["attempts"][0]["execute_log"] == "some of it"
    assert after.json()["state"] == "cancelled"
    assert after["ETag"] != answer["ETag"]
    assert AuditEntry.objects.count() == entries


@pytest.mark.parametrize("why", ["expired", "another token", "too late"])
def test_late_logs_of_others_are_refused(
    why: str, student: Api, stub: StubExecutor, job_id: int
) -> None:
    stub.feed(b"streamed")
    if why != "expired":
        cancelling.cancel(job_id, "alice")
    leases.expire(timezone.now() + timedelta(days=1))
    if why == "another token":
        stub.attempt["lease_token"] = "x"
    if why == "too late":
        Attempt.objects.update(ended_at=timezone.now() - timedelta(hours=1))
    assert stub.release(execute_log="late").status_code == (200 if why == "too late" else 409)
    assert attempts(student, job_id)[0]["execute_log"] == "streamed"


def test_a_gap_is_noted_in_what_is_kept(student: Api, stub: StubExecutor, job_id: int) -> None:
    stub.feed(b"begin")
    stub.feed(b"end", offset=100)
    stub.release()
    kept = attempts(student, job_id)[0]["execute_log"]
    assert kept == "begin\n[... 95 bytes left out ...]\nend"


def test_what_is_kept_is_as_long_as_a_results_log(
    student: Api, stub: StubExecutor, job_id: int, settings: Any
) -> None:
    settings.TELERUN_LIMITS = {**settings.TELERUN_LIMITS, "log_bytes": 1000}
    stub.feed(b"a" * 900 + b"z" * 900)
    stub.release()
    kept = attempts(student, job_id)[0]["execute_log"]
    assert kept == "a" * 750 + "\n[... 800 bytes left out ...]\n" + "z" * 250


def test_an_answer_has_no_more_logs_than_two_results(
    student: Api, stub: StubExecutor, job_id: int, settings: Any
) -> None:
    """However often a job is lost: of the latest attempts, as much as fits."""
    settings.TELERUN_LIMITS = {**settings.TELERUN_LIMITS, "log_bytes": 1000}
    for number in range(4):
        stub.release(execute_log=f"{number}" * 900)
        staff.requeue(job_id, "ta")
        if number < 3:
            stub = StubExecutor(stub.api)
    shown = [attempt.get("execute_log", "")[:1] for attempt in attempts(student, job_id)]
    assert shown == ["", "", "2", "3"]


def test_an_end_does_not_depend_on_live_output(
    student: Api, stub: StubExecutor, job_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> Any:
        raise OperationalError("the disk is full")

    monkeypatch.setattr("jobs.transitions.partial_logs", away)
    assert stub.release().status_code == 200
    assert attempts(student, job_id)[0]["ending"] == "released"


# --- Bounds ------------------------------------------------------------------------------


def kept_size() -> tuple[int, int]:
    sql = "SELECT COUNT(*), COALESCE(SUM(stop - start), 0) FROM jobs_livepiece"
    ((count, size),) = connections.scratch().rows(sql)
    return count, int(size)


def test_of_a_hundred_megabytes_the_beginning_and_the_end_are_kept(
    student: Api, stub: StubExecutor, job_id: int
) -> None:
    attempt = Attempt.objects.get()
    block = random.Random(1).randbytes(64 * 1024)
    total = 100 * 1024 * 1024
    stream, shown = Reader(student, job_id), 0
    for offset in range(0, total, len(block)):
        content = offset.to_bytes(8, "big") + block[8:]
        assert taking.keep(attempt, taking.Output("execute", offset, content))
        if offset % (8 * 1024 * 1024) == 0:
            _, size = kept_size()
            shown = max(shown, size)
            stream.read()  # a slow one: left out is what is no longer there
    assert shown <= pieces.HEAD_BYTES + pieces.TAIL_BYTES + 2 * len(block)
    stub.api.finish(stub.claimed)
    stream.read_to_the_end()
    late = Reader(student, job_id, "1-0-0-2-0-0")
    late.read_to_the_end()
    for reader in (stream, late):
        log, ((begin, end),) = reader.shown.logs["execute"], reader.shown.gaps["execute"]
        assert len(log) == total
        assert begin >= (pieces.HEAD_BYTES if reader is late else 0)
        assert total - end >= pieces.TAIL_BYTES
        for start in range(0, total, len(block)):
            if start + len(block) <= begin or start >= end:
                wanted = start.to_bytes(8, "big") + block[8:]
                assert bytes(log[start : start + len(block)]) == wanted


def test_tiny_pieces_are_few(stub: StubExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "HEAD_PIECES", 20)
    monkeypatch.setattr(pieces, "TAIL_PIECES", 10)
    monkeypatch.setattr(pieces, "_PRUNED_EVERY_PIECES", 5)
    for offset in range(200):
        pieces.append(7, 1, "execute", offset, b"x")
    assert kept_size()[0] == 30
    stops = [
        stop
        for (stop,) in connections.scratch().rows("SELECT stop FROM jobs_livepiece ORDER BY stop")
    ]
    assert stops == [*range(1, 21), *range(191, 201)]


def test_events_are_bounded(student: Api, stub: StubExecutor, job_id: int) -> None:
    """Whoever reads slowly holds one event, of which each byte may take six as JSON."""
    stub.feed(b"\0" * taking.MAX_BYTES)
    answer = student.get(f"/jobs/{job_id}/events")
    parts = iter(answer.streaming_content)
    sizes = [len(next(parts)) for _ in range(5)]
    assert max(sizes) < 6 * reading.EVENT_BYTES + 500
    answer.close()


def test_past_the_bound_on_all_nothing_more_is_kept(
    student: Api, stub: StubExecutor, job_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "MAX_BYTES", 1000)
    monkeypatch.setattr(retention, "_room", retention._Room())
    stub.feed(b"x" * 2000)
    retention.look_after()
    stub.feed(b"y" * 2000, offset=2000)
    assert kept_size() == (1, 2000)
    stub.api.finish(stub.claimed)
    Attempt.objects.update(ended_at=timezone.now() - timedelta(hours=1))
    retention.look_after()
    assert kept_size() == (0, 0)
    assert retention.has_room()


def test_it_is_kept_as_long_as_the_attempt_and_a_little_longer(
    student: Api, stub: StubExecutor, job_id: int
) -> None:
    stub.feed(b"x")
    retention.look_after()
    assert kept_size()[0] == 1
    stub.api.finish(stub.claimed)
    retention.look_after()
    assert kept_size()[0] == 1  # for those who are still reading
    Attempt.objects.update(ended_at=timezone.now() - timedelta(minutes=2))
    retention.look_after()
    assert kept_size()[0] == 0
    pieces.append(pieces.key_of("of a deleted job"), 999999, "execute", 0, b"x")
    pieces.append(pieces.key_of("before a power cut"), stub.attempt["id"], "execute", 0, b"x")
    connections.scratch().rows(watching.NOTE, 1, 1, time.time() - 1)
    retention.look_after()
    assert kept_size()[0] == 0
    assert connections.scratch().rows("SELECT COUNT(*) FROM jobs_livewatch") == [(0,)]


def test_an_attempts_number_that_was_given_twice_shows_nobody_elses(
    student: Api, stub: StubExecutor, job_id: int
) -> None:
    stub.feed(b"of another life")
    Attempt.objects.update(lease_token="another")
    stub.attempt["lease_token"] = "another"
    stub.feed(b"mine")
    stream = Stream(student, job_id)
    stream.next()
    assert output(stream)["text"] == "mine"
    stream.close()
