"""Two kinds of GPU, CPU slots, four hosts and 200 jobs: whose turn it was, and who was idle.

A real server, and hosts that are emulated by what they ask of it. What is checked is read from
the audit log alone.
"""

import random
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import World, side_by_side

pytestmark = [pytest.mark.end_to_end, pytest.mark.hardening]

# Name: what it offers, with as many places as threads ask.
HOSTS = {
    "big": {"cuda": 1, "h100": 1},
    "mixed": {"cuda": 1, "h100": 1, "cpu": 1},
    "small": {"cuda": 1},
    "plain": {"cpu": 1},
}
USERS, JOBS = 20, 200
PLATFORMS = ("cuda", "h100", "cpu")
# How many others may act while one claim looks and takes: a place of each host.
AT_ONCE = len(HOSTS)


class Queue:
    """The queue as the audit log tells it, an entry at a time."""

    def __init__(self) -> None:
        self.jobs: dict[int, tuple[str, str]] = {}  # of those that wait: owner and platform
        self.turns: dict[tuple[str, str], int] = defaultdict(int)
        self.turn_of_job: dict[int, int] = {}
        self.claims = 0

    def submitted(self, job: int, owner: str, platform: str) -> None:
        self.jobs[job] = (owner, platform)
        self.turn_of_job[job] = self.turns[owner, platform]

    def better(self, job: int, platforms: set[str]) -> list[int]:
        """Of the jobs for these platforms, those that come before it.

        Two who are served at the same moment have turns in one order and entries in the other.
        """
        turn = self.turn_of_job[job]
        return [
            other
            for other, (_, platform) in self.jobs.items()
            if platform in platforms
            and (
                self.turn_of_job[other] + AT_ONCE <= turn
                or (self.turn_of_job[other] == turn and other < job)
            )
        ]

    def claimed(self, job: int) -> None:
        owner, platform = self.jobs.pop(job)
        self.claims += 1
        self.turns[owner, platform] = self.claims
        for other, about in self.jobs.items():
            if about == (owner, platform):
                self.turn_of_job[other] = self.claims


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The audit log of a night: 200 jobs of 20 users on four hosts."""
    settings = {"TELERUN_MAX_QUEUED_PER_USER": 50, "TELERUN_SUBMITS_PER_MINUTE": 0}
    with World(tmp_path_factory.mktemp("hosts"), **settings) as world:
        world.start_server()
        hosts = {name: world.executor(name) for name in HOSTS}
        users = world.users(USERS)
        for name, auth in hosts.items():
            about = {"offers": HOSTS[name], "languages": ["cuda", "cpp"]}
            assert world.request(auth, "PUT", "/executor", about)[0] == 204
        done = threading.Event()
        side_by_side(
            *(lambda n=n: submit_all(world, users[n::4], n) for n in range(4)),
            *(lambda name=name: serve(world, name, hosts[name], done) for name in HOSTS),
            lambda: wait_for_the_end(world, done),
        )
        return world.audit_lines()


def submit_all(world: World, users: list[Path], number: int) -> None:
    chance = random.Random(number)
    for place in range(JOBS // 4):
        platform = chance.choice(PLATFORMS)
        body = {"source": "x", "platform": platform, "filename": f"a{number}-{place}.cpp"}
        status, _, job = world.request(chance.choice(users), "POST", "/jobs", body)
        assert status == 201, job


def serve(world: World, name: str, auth: Path, done: threading.Event) -> None:
    """One place for whatever comes, as a host with one GPU."""
    chance = random.Random(name)
    about = {"offers": HOSTS[name], "languages": ["cuda", "cpp"], "platforms": HOSTS[name]}
    while not done.is_set():
        status, _, claim = world.request(auth, "POST", "/claims", about, Prefer="wait=2")
        if status == 204:
            continue
        assert claim["job"]["platform"] in HOSTS[name]
        time.sleep(chance.choice((0, 0.01, 0.05)))
        body = {"lease_token": claim["attempt"]["lease_token"], "outcome": "succeeded"}
        path = f"/attempts/{claim['attempt']['id']}/result"
        assert world.request(auth, "PUT", path, body)[0] == 200


def wait_for_the_end(world: World, done: threading.Event) -> None:
    try:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            ends = [line for line in world.audit_lines() if line["action"] == "finished"]
            if len(ends) == JOBS:
                return
            time.sleep(0.5)
        raise AssertionError(f"{len(ends)} of {JOBS} jobs ended")
    finally:
        done.set()


def host_of(line: dict[str, Any]) -> str:
    return line["username"].removeprefix("executor:")


def test_every_job_ran_once_where_it_could(audit: list[dict[str, Any]]) -> None:
    asked = {x["job_id"]: x["request"]["platform"] for x in audit if x["action"] == "submitted"}
    claims = [line for line in audit if line["action"] == "claimed"]
    assert len(asked) == len(claims) == len({line["job_id"] for line in claims}) == JOBS
    assert all(asked[line["job_id"]] in HOSTS[host_of(line)] for line in claims)
    assert len({host_of(line) for line in claims}) == len(HOSTS)


def test_each_turn_was_the_right_one(audit: list[dict[str, Any]]) -> None:
    """Who was passed over was being served, or submitted, at that moment: the entry of that may
    come a little before or after."""
    queue, passed_over = Queue(), 0
    whose = {x["job_id"]: x["username"] for x in audit if x["action"] == "submitted"}
    owners = [whose.get(line["job_id"]) for line in audit]
    for place, line in enumerate(audit):
        if line["action"] == "submitted":
            queue.submitted(line["job_id"], line["username"], line["request"]["platform"])
        elif line["action"] == "claimed":
            better = queue.better(line["job_id"], set(HOSTS[host_of(line)]))
            passed_over += len(better)
            at_work = owners[max(0, place - 4 * AT_ONCE) : place + 4 * AT_ONCE]
            assert {queue.jobs[job][0] for job in better} <= set(at_work), (line, better)
            queue.claimed(line["job_id"])
    assert not queue.jobs
    assert passed_over < JOBS  # a rare thing, not the rule


def test_no_host_was_idle_while_a_job_waited_that_it_could_run(
    audit: list[dict[str, Any]],
) -> None:
    """From a host's last result to its next claim, others take a few jobs at most that it could
    have had: those that they were at already, and a turn of each while its request travels."""
    waits: dict[int, str] = {}
    missed = dict.fromkeys(HOSTS, 0)
    idle = set(HOSTS)
    longest = 0
    for line in audit:
        if line["action"] == "submitted":
            waits[line["job_id"]] = line["request"]["platform"]
        elif line["action"] == "claimed":
            platform = waits.pop(line["job_id"])
            host = host_of(line)
            idle.discard(host)
            missed[host] = 0
            for other in idle:
                could = any(platform in HOSTS[other] for platform in waits.values())
                missed[other] = missed[other] + 1 if could and platform in HOSTS[other] else 0
            longest = max(longest, *missed.values())
        elif line["action"] == "finished":
            idle.add(host_of(line))
    assert longest <= 4 * AT_ONCE
