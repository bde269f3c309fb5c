"""The power fails, again and again: nothing that anybody was told is lost.

A real server's writes are traced (tests/support/power.py), and the disk is put together anew as it
may be at any moment.
"""

import contextlib
import json
import os
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.changed import changed
from tests.support.power import Cut, Trace, cuts
from tests.support.processes import World

pytestmark = [pytest.mark.end_to_end, pytest.mark.once, pytest.mark.hardening]

STUDENTS = 6
SECONDS = 3.0
MAY_BE = {"queued": ("queued", "running", "finished"), "finished": ("finished",)}
CUTS = int(os.environ.get("TELERUN_POWER_CUTS", "200"))  # `make power-cuts`: thousands


class Client:
    """Requests over one connection, each answer noted as soon as it is known."""

    def __init__(self, world: World, auth: Path, trace: Trace) -> None:
        self._stack = contextlib.ExitStack()
        self._connection = self._stack.enter_context(world.connection())
        token = json.loads(auth.read_text())["token"]
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._trace = trace

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        data = None if body is None else json.dumps(body)
        self._connection.request(method, f"/api/v1{path}", data, {**self._headers, **named})
        answer = self._connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if content else None

    def submit_until(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            status, job = self.ask("POST", "/jobs", {"source": "x"})
            assert status == 201, job
            self._trace.told(f"queued {job['id']}")
            self._follow(job["id"])

    def _follow(self, job_id: int) -> None:
        """Reads the job's stream to its end."""
        path = f"/api/v1/jobs/{job_id}/events"
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        for line in answer:
            if line.startswith(b"data: "):
                job = json.loads(line[6:])
                if job["state"] == "finished":
                    self._trace.told(f"finished {job_id}")

    def execute_until(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            status, claimed = self.ask("POST", "/claims", {}, Prefer="wait=1")
            if status != 201:
                continue
            attempt = claimed["attempt"]
            lease = {"lease_token": attempt["lease_token"]}
            beat = {**lease, "phase": "executing"}
            assert self.ask("POST", f"/attempts/{attempt['id']}/heartbeat", beat)[0] == 200
            result = {**lease, "outcome": "succeeded", "execute_log": "x" * 3000}
            assert self.ask("PUT", f"/attempts/{attempt['id']}/result", result)[0] == 200
            self._trace.told(f"finished {claimed['job']['id']}")


def traced(world: World, **environment: Any) -> Iterator[Cut]:
    """Cuts of a server that some students and an executor keep busy for a while."""
    trace = Trace(world.folder)
    students = world.users(STUDENTS)
    executor = world.executor("gpu1")
    before = {path.name: path.read_bytes() for path in world.data.iterdir() if path.is_file()}
    world.start_server(
        **trace.environment,
        TELERUN_SUBMITS_PER_MINUTE=0,
        **environment,
    )
    deadline = time.monotonic() + SECONDS
    threads = [
        threading.Thread(target=Client(world, auth, trace).submit_until, args=(deadline,))
        for auth in students
    ]
    # It goes on for as long as a student may wait for the last job.
    runs = Client(world, executor, trace).execute_until
    threads.append(threading.Thread(target=runs, args=(deadline + 2,)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    world.kill_server()
    records = trace.records()
    seed = random.randrange(2**32)
    print(f"{len(records)} records, seed {seed}")
    return cuts(records, before, CUTS, random.Random(seed))


def faults(cut: Cut, folder: Path) -> list[str]:
    """What somebody was told and the disk does not know."""
    for name, content in cut.files.items():
        (folder / name).write_bytes(content)
    (folder / "db.sqlite3-shm").unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(folder / "db.sqlite3")) as database:
        try:
            states = dict(database.execute("SELECT id, state FROM jobs_job"))
            entries = [
                entry for (entry,) in database.execute("SELECT id FROM jobs_auditentry ORDER BY id")
            ]
        except sqlite3.DatabaseError as error:
            return [f"the database is broken: {error}"]
    found = []
    for told in set(cut.told):
        state, job_id = told.split()
        if states.get(int(job_id)) not in MAY_BE[state]:
            found.append(f"{told}: it is {states.get(int(job_id))}")
    if entries != list(range(1, len(entries) + 1)):
        found.append("the audit log has a gap")
    lines = cut.files["audit_log.jsonl"].split(b"\n")[:-1]
    if lines and json.loads(lines[-1])["id"] > (entries[-1] if entries else 0):
        found.append("the audit file is ahead of its table")
    return found


@pytest.mark.timeout(600)
def test_nothing_that_anybody_was_told_is_lost(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    told = 0
    for cut in traced(world):
        assert faults(cut, folder) == []
        told = max(told, len(cut.told))
    assert told > 20, "there was something to lose"


WITHOUT_THE_WAIT = "SharedSync.wait = lambda self: None"


@pytest.mark.timeout(600)
def test_the_cuts_find_what_is_lost_without_the_wait(world: World, tmp_path: Path) -> None:
    """A test that cannot fail would be none."""
    folder = tmp_path / "disk"
    folder.mkdir()
    environment = changed(tmp_path, "foundation.database.durability", WITHOUT_THE_WAIT)
    found = [faults(cut, folder) for cut in traced(world, **environment)]
    assert any(found)
