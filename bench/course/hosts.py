"""The course's hosts: what they report, what they take, and how what they run ends."""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

from accounts import executors, operations, platforms
from accounts.models import Executor
from bench.course.clock import Clock
from bench.course.programs import Fate
from foundation.problems import Problem
from jobs import claiming, leases, reporting
from jobs.models import Attempt, Job
from jobs.states import Phase, State

LANGUAGES = ["cuda", "cpp", "python"]
ADA, H100 = "NVIDIA RTX 4000 SFF Ada Generation", "NVIDIA H100 80GB HBM3"
WHY_ILL = (
    "Xid 79: GPU has fallen off the bus (pci 0000:41:00.0), seen in the kernel's log 3 times "
    "within ten minutes; nvidia-smi answers 'Unable to determine the device handle for GPU "
    "0000:41:00.0: Unknown Error'. The probe program failed with cudaErrorNoDevice. It is tried "
    "again every ten minutes; a bus that has lost a GPU mostly needs a cold restart."
)
WHY_BACK = (
    "the GPU was not in order after the program before: 1 of 2 GPUs is in quarantine (Xid 79), and "
    "no other one became free within 60 s"
)
LONG_NAME = "basement-lab-ada-workstation-with-a-very-long-name-07.cs.example-university.edu"
HOSTS: tuple[tuple[str, dict[str, int], tuple[str, ...]], ...] = (
    ("ada1", {"cuda": 2}, (ADA, ADA)),
    ("ada2", {"cuda": 1}, (ADA,)),
    ("dgx", {"h100": 2, "cuda": 1}, (H100, H100, H100)),
    ("cpu1", {"cpu": 2}, ()),
    (LONG_NAME, {"cuda": 2}, (ADA, ADA)),
)
BEAT_SECONDS = 20
HEARD_SECONDS = 12 * 3600  # from one sign of an idle host to the next; a real one gives more
_waiting = Job.objects.filter(state=State.QUEUED).order_by().distinct()


@dataclass
class Host:
    """An executor's program; `free` are its places that are free, by platform."""

    executor: Executor
    about: dict[str, Any]
    free: Counter[str] = field(default_factory=Counter)
    is_up: bool = True
    is_ill: bool = False

    def is_heard(self) -> None:
        """The queue notes that it was heard of, and what it says of itself if that is new."""
        executors.seen(self.executor, self.about)
        self.executor.about = self.about


class Hosts:
    """All of them, on one clock."""

    def __init__(self, clock: Clock, chance: Random, fates: dict[int, Fate], actor: str) -> None:
        self._clock, self._chance, self._fates = clock, chance, fates
        self._claims = 0
        self.all = [self._new(*one, actor=actor) for one in HOSTS]
        clock.after(HEARD_SECONDS, self._are_heard)

    def _new(self, name: str, offers: dict[str, int], gpus: tuple[str, ...], *, actor: str) -> Host:
        executor, _ = operations.create_executor(name, actor)
        about = {
            "nvcc": "13.0.88" if gpus else None,
            "gpus": [_gpu(name, place, kind) for place, kind in enumerate(gpus)],
            "languages": LANGUAGES if gpus else ["cpp", "python"],
            "nproc_compile": 2,
            "nproc_execute": len(gpus),
            "nproc_cpu": offers.get("cpu", 0),
            "offers": offers,
            "sandbox": "bubblewrap 0.8.0",
        }
        host = Host(executor, about, Counter(offers))
        host.is_heard()
        return host

    def heard_of(self) -> None:
        """Those that are up were heard of just now."""
        for host in self.all:
            if host.is_up:
                host.is_heard()

    def _are_heard(self) -> None:
        self.heard_of()
        self._clock.after(HEARD_SECONDS, self._are_heard)

    def fall_ill(self, host: Host) -> None:
        """One of its GPUs is put into quarantine."""
        gpu = host.about["gpus"][-1]
        since = self._clock.now.isoformat(timespec="seconds")
        ill = {**gpu, "condition": "quarantined", "reason": WHY_ILL[:500], "since": since}
        host.about = {**host.about, "gpus": [*host.about["gpus"][:-1], ill]}
        host.free["cuda"] -= 1
        host.is_ill = True
        host.is_heard()

    def take(self) -> None:
        """Each that has room takes what it can get, in no order that can be foreseen."""
        while waits_for := set(_waiting.values_list("platform", flat=True).all()):
            hosts = [host for host in self.all if host.is_up]
            self._chance.shuffle(hosts)
            if not sum([self._claim(host, waits_for) for host in hosts]):  # each gets its turn
                return

    def _claim(self, host: Host, waits_for: set[str]) -> bool:
        free = {name: count for name, count in host.free.items() if count > 0}
        if not free.keys() & waits_for:
            return False
        self._claims += 1
        service = platforms.service(host.executor, free, host.about["languages"])
        key = f"claim-{self._claims}"
        attempt = claiming.claim(host.executor, key, self._clock.now, service)
        if attempt is None:
            return False
        platform = service.called(attempt.job.platform)
        host.free[platform] -= 1
        self._begin(host, platform, attempt)
        return True

    def _begin(self, host: Host, platform: str, attempt: Attempt) -> None:
        fate = self._fates[attempt.job_id]
        fate.attempts += 1
        running = (host, platform, attempt)
        is_first = fate.attempts == 1
        if fate.kind == "lost" or (fate.kind == "lost once" and is_first):
            self._clock.after(leases.seconds() + 1, self._lost, *running)
        elif is_first and (fate.kind == "released" or self._is_unlucky(host)):
            self._clock.after(24, self._give_back, *running)
        else:
            self._clock.after(fate.compile_seconds, self._compiled, *running, fate)

    def _is_unlucky(self, host: Host) -> bool:
        return host.is_ill and self._chance.random() < 0.1

    def _compiled(self, host: Host, platform: str, attempt: Attempt, fate: Fate) -> None:
        if fate.result["outcome"].startswith("compile"):
            return self._finish(host, platform, attempt, fate)
        if self._beat(host, attempt):
            left = fate.execute_seconds
            return self._clock.after(
                min(left, BEAT_SECONDS), self._run, host, platform, attempt, fate, left
            )
        return self._stopped(host, platform, attempt)

    def _run(self, host: Host, platform: str, attempt: Attempt, fate: Fate, left: float) -> None:
        """Heartbeats, until the program has ended."""
        left -= BEAT_SECONDS
        if left <= 0:
            self._finish(host, platform, attempt, fate)
        elif self._beat(host, attempt):
            again = (host, platform, attempt, fate, left)
            self._clock.after(min(left, BEAT_SECONDS), self._run, *again)
        else:
            self._stopped(host, platform, attempt)

    def _beat(self, host: Host, attempt: Attempt) -> bool:
        """Whether it may go on."""
        try:
            told = reporting.heartbeat(
                host.executor, attempt.pk, attempt.lease_token, Phase.EXECUTING
            )
        except Problem:  # staff took the job away
            return False
        return not told.cancel_requested

    def _finish(self, host: Host, platform: str, attempt: Attempt, fate: Fate) -> None:
        held = (host.executor, attempt.pk, attempt.lease_token)
        result = fate.result
        try:
            for name, content in fate.files.items():
                reporting.keep_file(*held, name, content)
            details = _details(self._chance, host, fate)
            reporting.finish(*held, reporting.Result(**result, details=details))
        except Problem:
            pass
        self._leave(host, platform)

    def _stopped(self, host: Host, platform: str, attempt: Attempt) -> None:
        logs = {"execute_log": b"step   0:   12.000 ms\n"}
        self._give_back(host, platform, attempt, "the job was cancelled", logs)

    def _give_back(
        self,
        host: Host,
        platform: str,
        attempt: Attempt,
        reason: str = WHY_BACK,
        logs: Any = None,
    ) -> None:
        held = (host.executor, attempt.pk, attempt.lease_token)
        with suppress(Problem):
            reporting.release(*held, reason, logs or {}, counts=False)
        self._leave(host, platform)

    def _lost(self, host: Host, platform: str, _attempt: Attempt) -> None:
        """Nothing was heard of it: the queue takes the job back, and the host is started again."""
        leases.expire(self._clock.now)
        self._clock.after(120, self._leave, host, platform)

    def _leave(self, host: Host, platform: str) -> None:
        host.free[platform] += 1
        if host.is_up:
            host.is_heard()
        self.take()


def _gpu(host: str, place: int, kind: str) -> dict[str, str]:
    return {
        "uuid": f"GPU-{sum(map(ord, host)):08x}-{place:04x}",
        "index": str(place),
        "name": kind,
        "architecture": "sm_90" if kind == H100 else "sm_89",
        "driver": "580.95.05",
        "condition": "fit",
    }


def _details(chance: Random, host: Host, fate: Fate) -> dict[str, Any]:
    details: dict[str, Any] = {
        "nvcc": host.about["nvcc"],
        "compile_memory_bytes": chance.randint(90, 400) << 20,
    }
    if host.about["gpus"]:
        details["gpu"] = chance.choice(host.about["gpus"])["name"]
    if fate.result["execute_seconds"] is not None:
        details["execute_memory_bytes"] = chance.randint(40, 900) << 20
        details["execute_cpu_seconds"] = round(fate.execute_seconds * 0.8, 3)
    if fate.files:
        details["files"] = [{"name": n, "size": len(c)} for n, c in fate.files.items()]
    return details
