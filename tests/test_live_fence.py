"""Live output: who may send, what is refused, and how much is kept."""

import io
import json
import random
import subprocess
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from accounts.models import Executor, User
from foundation.database import backup, connections
from jobs import invariants
from jobs.api.v1 import express
from jobs.live import pieces, reading, retention, taking, watching
from jobs.models import Attempt, Job
from tests.support.api import Api, problem
from tests.support.live import Ports, Watcher
from tests.support.live_api import Reader, Stream, StubExecutor, kept_size, output
from tests.support.processes import World, wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("own_watcher", "nothing_kept"),
]


# --- Who may send, and what is refused ---------------------------------------------------


def test_the_fence_holds(
    student: Api, host: StubExecutor, as_gpu2: Api, job_id: int, bob: User
) -> None:
    path, body = f"/attempts/{host.attempt['id']}/output", {"log": "execute", "offset": 0}
    mine = {**body, "text": "x", "lease_token": host.attempt["lease_token"]}
    assert problem(host.send(0, "x", lease_token="other")) == (409, "lease-lost")
    assert problem(as_gpu2.post(path, mine)) == (404, "not-found")
    assert problem(host.api.post("/attempts/999999/output", mine)) == (404, "not-found")
    assert problem(student.post(path, mine)) == (403, "wrong-token-kind")
    assert problem(Api(None).post(path, mine)) == (401, "not-authenticated")
    assert host.send(0, "x").status_code == 200
    host.api.finish(host.claimed)
    assert problem(host.send(1, "y")) == (409, "lease-lost")


@pytest.mark.parametrize(
    "wrong",
    [
        {"log": "other"}, {"log": None}, {"offset": -1}, {"offset": 2**53}, {"offset": True},
        {"offset": "x"}, {"offset": 1.5}, {"text": 5}, {"text": None}, {"text": "\ud800"},
        {"lease_token": None},
    ],
)  # fmt: skip
def test_what_is_no_output_is_refused(host: StubExecutor, wrong: dict[str, Any]) -> None:
    body = {"log": "execute", "offset": 0, "text": "x", "lease_token": host.attempt["lease_token"]}
    answer = host.api.post(f"/attempts/{host.attempt['id']}/output", {**body, **wrong})
    assert problem(answer) == (400, "invalid-request")


def test_a_request_is_bounded(host: StubExecutor) -> None:
    assert host.send(0, b"\xff" * taking.MAX_BYTES).status_code == 200
    assert problem(host.send(0, b"\xff" * (taking.MAX_BYTES + 1))) == (413, "body-too-large")


def test_too_many_requests_of_an_attempt_are_refused(
    host: StubExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "BURST", 3)
    monkeypatch.setattr(taking, "A_SECOND", 0.001)
    monkeypatch.setattr(taking, "_rates", taking._Rates())
    assert [host.send(0, "x").status_code for _ in range(4)] == [200, 200, 200, 429]


def test_it_renews_no_lease_and_changes_no_job(host: StubExecutor, job_id: int) -> None:
    def rows() -> list[Any]:
        return [list(model.objects.values()) for model in (Job, Attempt, Executor)]

    Executor.objects.update(last_seen_at=timezone.now() - timedelta(hours=1))
    before = rows()
    host.feed(b"hello")
    assert rows() == before


def test_it_takes_no_writers_turn_and_waits_for_no_transaction(
    host: StubExecutor, job_id: int, student: Api
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
        host.feed(b"hello")
        assert not over.is_set()
    finally:
        over.set()
        thread.join()


def test_what_is_plain_goes_without_the_frameworks(host: StubExecutor) -> None:
    body = {"log": "execute", "offset": 0, "text": "\udcff", **lease(host)}
    plain = environ(host, body)
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
        assert express.answer({**environ(host, body), **more}) is None
    for wrong in ({"log": "x"}, {"offset": True}, {"more": 1}, {"text": None}):
        assert express.answer(environ(host, {**body, **wrong})) is None


def lease(host: StubExecutor) -> dict[str, str]:
    return {"lease_token": host.attempt["lease_token"]}


def environ(host: StubExecutor, body: dict[str, Any]) -> dict[str, Any]:
    """As gunicorn makes it."""
    content = json.dumps(body).encode()
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": f"/api/v1/attempts/{host.attempt['id']}/output",
        "QUERY_STRING": "",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(content)),
        "HTTP_AUTHORIZATION": host.api._headers["Authorization"],
        "wsgi.input": io.BytesIO(content),
    }


def test_what_a_crash_took_is_a_gap(student: Api, host: StubExecutor, job_id: int) -> None:
    """PostgreSQL empties unlogged tables; SQLite's file may be lost."""
    stream = Stream(student, job_id)
    stream.next()
    host.feed(b"before")
    assert output(stream)["text"] == "before"
    connections.scratch().rows("DELETE FROM jobs_livepiece")
    host.feed(b"after", offset=6)
    assert output(stream)["offset"] == 6
    stream.close()
    late = Stream(student, job_id)
    late.next()
    assert output(late) == {"attempt": 1, "log": "execute", "offset": 6, "text": "after"}
    late.close()


# --- Bounds ------------------------------------------------------------------------------


@pytest.mark.hardening
def test_of_a_hundred_megabytes_the_beginning_and_the_end_are_kept(
    student: Api, host: StubExecutor, job_id: int
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
    host.api.finish(host.claimed)
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


def test_tiny_pieces_are_few(host: StubExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_events_are_bounded(student: Api, host: StubExecutor, job_id: int) -> None:
    """Whoever reads slowly holds one event, of which each byte may take six as JSON."""
    host.feed(b"\0" * taking.MAX_BYTES)
    answer = student.get(f"/jobs/{job_id}/events")
    parts = iter(answer.streaming_content)
    sizes = [len(next(parts)) for _ in range(5)]
    assert max(sizes) < 6 * reading.EVENT_BYTES + 500
    answer.close()


def test_past_the_bound_on_all_nothing_more_is_kept(
    student: Api, host: StubExecutor, job_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "MAX_BYTES", 1000)
    monkeypatch.setattr(retention, "_room", retention._Room())
    host.feed(b"x" * 2000)
    retention.look_after()
    host.feed(b"y" * 2000, offset=2000)
    assert kept_size() == (1, 2000)
    host.api.finish(host.claimed)
    Attempt.objects.update(ended_at=timezone.now() - timedelta(hours=1))
    retention.look_after()
    assert kept_size() == (0, 0)
    assert retention.has_room()


def test_it_is_kept_as_long_as_the_attempt_and_a_little_longer(
    student: Api, host: StubExecutor, job_id: int
) -> None:
    host.feed(b"x")
    retention.look_after()
    assert kept_size()[0] == 1
    host.api.finish(host.claimed)
    retention.look_after()
    assert kept_size()[0] == 1  # for those who are still reading
    Attempt.objects.update(ended_at=timezone.now() - timedelta(minutes=2))
    retention.look_after()
    assert kept_size()[0] == 0
    pieces.append(pieces.key_of("of a deleted job"), 999999, "execute", 0, b"x")
    pieces.append(pieces.key_of("before a power cut"), host.attempt["id"], "execute", 0, b"x")
    connections.scratch().rows(watching.NOTE, 1, 1, time.time() - 1)
    retention.look_after()
    assert kept_size()[0] == 0
    assert connections.scratch().rows("SELECT COUNT(*) FROM jobs_livewatch") == [(0,)]


def test_an_attempts_number_that_was_given_twice_shows_nobody_elses(
    student: Api, host: StubExecutor, job_id: int
) -> None:
    host.feed(b"of another life")
    Attempt.objects.update(lease_token="another")
    host.attempt["lease_token"] = "another"
    host.feed(b"mine")
    stream = Stream(student, job_id)
    stream.next()
    assert output(stream)["text"] == "mine"
    stream.close()


# --- For operators -----------------------------------------------------------------------


@pytest.mark.processes
def test_no_backup_holds_it(host: StubExecutor, tmp_path: Path) -> None:
    host.feed(b"a line that is nobody's business")
    assert kept_size()[0] == 1
    copy = tmp_path / "copy"
    backup.write(copy)
    content = copy.read_bytes()
    if connection.vendor == "postgresql":
        argv = ["pg_restore", "--file=-", copy]
        content = subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout
        assert b"CREATE UNLOGGED TABLE public.jobs_livepiece" in content
    assert b"jobs_job" in content
    assert b"nobody's business" not in content
    assert b"nobody's business".hex().encode() not in content


def test_check_says_where_it_cannot_be_kept(
    host: StubExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise OperationalError("unable to open database file")

    assert list(invariants._live_output_can_be_kept()) == []
    monkeypatch.setattr(retention, "look_after", away)
    (fault,) = invariants._live_output_can_be_kept()
    assert fault == "Live output cannot be kept: unable to open database file."


@pytest.mark.hardening
@pytest.mark.end_to_end
@pytest.mark.once
def test_a_broken_file_is_made_anew_and_stops_no_job(world: World) -> None:
    live = world.data / "live.sqlite3"
    live.write_bytes(b"garbage" * 1000)
    assert world.manage("telerun_db", "init-db").out == "The database is ready.\n"
    assert live.read_bytes().startswith(b"SQLite format 3")
    alice, gpu = world.user("alice"), world.executor("gpu1")
    world.start_server()
    world.request(alice, "POST", "/jobs", {"source": "x"})
    attempt = world.request(gpu, "POST", "/claims", {})[2]["attempt"]
    body = {"lease_token": attempt["lease_token"], "log": "execute", "offset": 0, "text": "x"}
    path = f"/attempts/{attempt['id']}"
    assert world.request(gpu, "POST", f"{path}/output", body)[0] == 200
    for name in ("live.sqlite3", "live.sqlite3-wal", "live.sqlite3-shm"):
        (world.data / name).unlink()
    live.mkdir()  # nothing can be made of it
    assert world.request(gpu, "POST", f"{path}/output", {**body, "offset": 1})[0] == 503
    beat = {"lease_token": attempt["lease_token"], "phase": "executing"}
    assert world.request(gpu, "POST", f"{path}/heartbeat", beat)[2]["watched"] is False
    watcher = Watcher(Ports(world, [world.port]), alice, 1)
    watcher.start()
    wait_for(lambda: watcher.state == "running", "the job is told of")
    release = {"lease_token": attempt["lease_token"], "reason": "it was cancelled"}
    assert world.request(gpu, "POST", f"{path}/release", {**release, "execute_log": "x"})[0] == 200
    wait_for(lambda: watcher.state == "queued", "that it was given back, too")
    assert world.request(alice, "POST", "/jobs/1/cancel")[2]["attempts"][0]["execute_log"] == "x"
    watcher.join(30)
    assert watcher.state == "cancelled"
    done = world.manage("telerun_db", "check", check=False).no_traceback()
    assert done.status == 1
    assert "Live output cannot be kept" in done.err
    live.rmdir()
    assert world.manage("telerun_db", "check").out.startswith("All is well")
