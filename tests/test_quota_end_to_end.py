"""A student who fills the disk, on a real server (X6): what is kept stays within the quota."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import World, wait_for

pytestmark = [pytest.mark.end_to_end, pytest.mark.hardening]
MIB = 1 << 20
QUOTA = 60 * MIB


def send_file(world: World, executor: Path, claimed: dict[str, Any], content: bytes) -> None:
    headers = {
        "Authorization": "Bearer " + json.loads(executor.read_text())["token"],
        "Telerun-Lease": claimed["attempt"]["lease_token"],
        "Content-Type": "application/octet-stream",
    }
    with world.connection() as connection:
        path = f"/api/v1/attempts/{claimed['attempt']['id']}/files/big.bin"
        connection.request("PUT", path, content, headers)
        assert connection.getresponse().status == 200


def run(world: World, alice: Path, gpu: Path, source: str) -> int:
    """A job that leaves 15 MiB and two logs of 1 MiB; its number."""
    status, _, job = world.request(alice, "POST", "/jobs", {"source": source})
    assert status == 201, job
    claimed = world.request(gpu, "POST", "/claims", {})[2]
    send_file(world, gpu, claimed, os.urandom(15 * MIB))
    result = {
        "lease_token": claimed["attempt"]["lease_token"],
        "outcome": "succeeded",
        "compile_log": "c" * MIB,
        "execute_log": "e" * MIB,
        "files": [{"name": "big.bin", "size": 1}],
    }
    assert (
        world.request(gpu, "PUT", f"/attempts/{claimed['attempt']['id']}/result", result)[0] == 200
    )
    return job["id"]


def test_what_is_kept_stays_within_the_quota(world: World) -> None:
    alice, gpu = world.user("alice"), world.executor("gpu1")
    world.start_server(TELERUN_USER_QUOTA_BYTES=QUOTA, TELERUN_SUBMITS_PER_MINUTE=0)
    large = "/" * (MIB - 100) + "\n"
    jobs = [run(world, alice, gpu, large) for _ in range(20)]

    def kept() -> list[bool]:
        answers = [world.request(alice, "GET", f"/jobs/{job}")[2]["result"] for job in jobs]
        return ["removed" not in answer["files"][0] for answer in answers]

    wait_for(lambda: sum(kept()) <= 2, "room is made")
    assert kept()[-1]
    assert (sum(kept()[-2:]), sum(kept())) in ((1, 1), (2, 2)), "what is newest stays"

    attached = world.submit(alice, "--attach", "1")
    assert attached.status == 6
    assert "1 of 1 file was left out" in attached.out + attached.err
    assert "Not saved: big.bin: the queue removed it to make room for newer" in attached.err
    page = world.request(alice, "GET", "/jobs/1/files/big.bin")
    assert (page[0], page[2]["type"]) == (410, "/problems/file-removed")

    for _ in range(60):
        body = {"source": large}
        status, _, refused = world.request(alice, "POST", "/jobs?override_pending=1", body)
        if status != 201:
            break
    assert (status, refused["type"]) == (413, "/problems/quota-exceeded")
    if (world.data / "db.sqlite3").exists():
        log = (world.data / "db.sqlite3-wal").stat().st_size
        assert log < 200 * MIB, "of 500 MiB that were written"
    told = world.manage("telerun_db", "recount").out
    assert told == "Every count was right.\n"
    assert world.manage("telerun_db", "check").out.startswith("All is well")
