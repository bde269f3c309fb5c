"""What an executor offers, and how many jobs it claims: the rules alone, without processes."""

import random
from typing import Any

import pytest

from tests.support.scripts import load

pytestmark = pytest.mark.once
executor = load("executor")


# --- Names and architectures -------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H100 PCIe", "h100"),
        ("NVIDIA H100 NVL", "h100"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA H20", "h20"),
        ("NVIDIA GH200 480GB", "gh200"),
        ("NVIDIA GH200 144G HBM3e", "gh200"),
        ("NVIDIA B200", "b200"),
        ("NVIDIA B300 SXM6 AC", "b300"),
        ("NVIDIA GB10", "gb10"),
        ("NVIDIA A100-SXM4-40GB", "a100"),
        ("NVIDIA A100-PCIE-40GB", "a100"),
        ("NVIDIA A100 80GB PCIe", "a100"),
        ("Tesla V100-SXM2-32GB", "v100"),
        ("Tesla V100-FHHL-16GB", "v100"),
        ("Tesla P100-PCIE-16GB", "p100"),
        ("Tesla K80", "k80"),
        ("Tesla T4", "t4"),
        ("NVIDIA L4", "l4"),
        ("NVIDIA L40S", "l40s"),
        ("NVIDIA A10G", "a10g"),
        ("NVIDIA RTX A6000", "rtx-a6000"),
        ("NVIDIA RTX A2000 12GB", "rtx-a2000"),
        ("NVIDIA RTX 4000 Ada Generation", "rtx4000-ada"),
        ("NVIDIA RTX 4000 SFF Ada Generation", "rtx4000-sff-ada"),
        ("NVIDIA RTX 6000 Ada Generation", "rtx6000-ada"),
        ("NVIDIA RTX 5000 Ada Generation Laptop GPU", "rtx5000-ada-laptop"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "rtx-pro6000-blackwell"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "rtx-pro6000-blackwell"),
        ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", "rtx-pro6000-blackwell-max-q"),
        ("NVIDIA GeForce RTX 4090", "rtx4090"),
        ("NVIDIA GeForce RTX 3080 Ti", "rtx3080-ti"),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", "rtx4070-ti-super"),
        ("NVIDIA GeForce RTX 3050 6GB Laptop GPU", "rtx3050-laptop"),
        ("NVIDIA GeForce RTX 5090 D", "rtx5090-d"),
        ("GeForce GTX 1080 Ti", "gtx1080-ti"),
        ("NVIDIA GeForce GT 1030", "gt1030"),
        ("NVIDIA GeForce MX450", "mx450"),
        ("NVIDIA T1000 8GB", "t1000"),
        ("Quadro RTX 6000", "quadro-rtx6000"),
        ("Quadro P4000", "quadro-p4000"),
        ("NVIDIA TITAN V", "titan-v"),
        ("NVIDIA TITAN RTX", "titan-rtx"),
        ("NVIDIA TITAN X (Pascal)", "titan-x-pascal"),
        ("GRID T4-16Q", "grid-t4-16q"),
        ("NVIDIA PG506-232", "pg506-232"),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", "h100-mig-1g.10gb"),
        ("NVIDIA A100-SXM4-40GB MIG 1c.3g.20gb", "a100-mig-1c.3g.20gb"),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb+me", "h100-mig-1g.10gb-me"),
        ("NVIDIA", "gpu"),
        ("", "gpu"),
        ("NVIDIA CUDA GPU", "nvidia-cuda-gpu"),
        ("cpu", "gpu-cpu"),
        ("Karte™ Größe 7000", "karte-gr-e7000"),
    ],
)  # fmt: skip
def test_the_short_name_of_a_kind(name: str, kind: str) -> None:
    assert executor.kind_of(name) == kind


def test_names_stay_names_whatever_the_driver_says() -> None:
    dice = random.Random(1)
    words = ["NVIDIA", "MIG", "1g.10gb", "..", "-", "RTX", "6000", "Ä", "\n", "x" * 50, "80GB", "+"]
    for _ in range(2000):
        name = " ".join(dice.choices(words, k=dice.randrange(9)))
        kind = executor.kind_of(name)
        assert 1 <= len(kind) <= 40, (name, kind)
        assert set(kind) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-"), (name, kind)
        assert kind[0] not in ".-", (name, kind)
        assert kind not in ("cuda", "cpu"), name


@pytest.mark.parametrize(
    ("architectures", "flags"),
    [
        ([], []),
        (["sm_80"], ["-arch=sm_80"]),
        (["sm_90a"], ["-gencode=arch=compute_90a,code=sm_90a"]),
        (["sm_80", "sm_90a"], ["-gencode=arch=compute_80,code=sm_80",
                               "-gencode=arch=compute_90a,code=sm_90a"]),
    ],
)  # fmt: skip
def test_what_nvcc_is_told(architectures: list[str], flags: list[str]) -> None:
    assert executor.architecture_flags(architectures) == flags


@pytest.mark.parametrize(
    ("architecture", "nvcc", "best"),
    [
        ("sm_89", "13.0", "sm_89"),
        ("sm_90", "13.0", "sm_90a"),
        ("sm_90", "11.8", "sm_90"),
        ("sm_120", "13.0", "sm_120a"),
        ("sm_[N/A]", "13.0", "sm_[N/A]"),
    ],
)
def test_the_variant_that_can_all_of_it(architecture: str, nvcc: str, best: str) -> None:
    assert executor.full_architecture(architecture, nvcc) == best


# --- Free places -------------------------------------------------------------------------


class StubGate:
    def __init__(self) -> None:
        self.ready, self.quarantined = True, ""


def workers(*kinds: str) -> list[Any]:
    """Idle ones: "cpu", "cuda" as with --no-gpu, or a GPU of a kind."""
    made = [
        executor.Worker((kind,)) if kind in ("cpu", "cuda")
        else executor.Worker(("cuda", kind), StubGate())
        for kind in kinds
    ]  # fmt: skip
    for worker in made:
        worker.idle = True
    return made


def free(host: list[Any], ahead: int, *untaken: str, pending: Any = ()) -> dict[str, int]:
    return executor.free_places(host, ahead, untaken, [set(names) for names in pending])


def test_the_places_of_one_kind() -> None:
    host = workers("h100", "h100", "h100")
    assert free(host, 2) == {"cuda": 3, "h100": 3}
    assert free(host, 2, "cuda", "h100") == {"cuda": 1, "h100": 1}
    for worker in host:
        worker.idle = False
    assert free(host, 2) == {"cuda": 2, "h100": 2}
    assert free(host, 2, "cuda", "h100") == {}
    assert free(workers("cuda", "cuda"), 1, "cuda") == {"cuda": 1}


def test_a_full_kind_leaves_the_places_of_others() -> None:
    host = workers("h100", "a100", "cpu", "cpu")
    host[0].idle = False
    assert free(host, 1) == {"cuda": 2, "h100": 1, "a100": 1, "cpu": 2}
    assert free(host, 1, "h100") == {"cuda": 1, "a100": 1, "cpu": 2}
    assert free(host, 1, "h100", "cuda") == {"cpu": 2}
    assert free(host, 1, "cuda") == {"cuda": 1, "h100": 1, "a100": 1, "cpu": 2}
    assert free(host, 1, "h100", "h100", "h100") == {"cuda": 1, "a100": 1, "cpu": 2}
    assert free(host, 1, "cpu", "cpu", "cuda", "cuda") == {}


def test_what_a_claim_may_bring_counts() -> None:
    host = workers("h100", "a100", "cpu")
    assert free(host, 1, pending=[("cpu",)]) == {"cuda": 2, "h100": 1, "a100": 1}
    assert free(host, 1, pending=[("cuda", "h100", "cpu")]) == {"cuda": 1, "a100": 1}
    assert free(host, 1, pending=[("cuda", "h100"), ("cuda", "a100", "cpu")]) == {}


def test_a_broken_gpu_has_no_place() -> None:
    host = workers("h100", "h100", "a100")
    host[0].gate.ready = False
    assert free(host, 1) == {"cuda": 2, "h100": 1, "a100": 1}
    host[1].gate.ready = False
    assert free(host, 3) == {"cuda": 3, "a100": 3}


# --- A host's life -----------------------------------------------------------------------


class StubConnection:
    def __init__(self) -> None:
        self.hung_up = 0

    def pick_up(self) -> None:
        pass

    def hang_up(self) -> None:
        self.hung_up += 1


class StubAttempt:
    def __init__(self, platform: str) -> None:
        self.platform = platform
        self.taken = executor.threading.Event()


class Life:
    """A host at random, step by step, at a queue that always has jobs of some platforms.

    What threads do in an executor is done here one after the other, in any order.
    """

    def __init__(self, host: list[Any], compile_workers: int, seed: int) -> None:
        self.dice = random.Random(seed)
        self.host = host
        self.ahead = compile_workers
        self.room = executor.Room(host, compile_workers)
        self.connections = [StubConnection() for _ in range(compile_workers)]
        self.claims: list[Any] = [None] * compile_workers
        self.compiling: list[Any] = [None] * compile_workers
        self.compiled: list[Any] = []
        self.running: dict[Any, Any] = {}
        self.claimed = 0

    def step(self, wanted: set[str]) -> None:
        kind = self.dice.choice(["compiler", "compiler", "worker"])
        if kind == "compiler":
            self.step_compiler(self.dice.randrange(self.ahead), wanted)
        else:
            self.step_worker(self.dice.choice(self.host))
        if self.dice.random() < 0.3:
            self.check()

    def step_compiler(self, number: int, wanted: set[str]) -> None:
        claim, attempt = self.claims[number], self.compiling[number]
        if attempt is not None:
            self.compiling[number] = None
            if self.dice.random() < 0.2:  # it does not compile
                self.room.remove(attempt)
            else:
                self.compiled.append(attempt)
        elif claim is None or not claim.named:  # it has none under way, or that was hung up
            claim = self.claims[number] = claim or executor.Claim(self.connections[number])
            self.room.over(claim)
            self.room.begin(claim)
        elif names := sorted(claim.may_bring & wanted):
            attempt = StubAttempt(self.dice.choice(names))
            within_rule = self.has_place(attempt.platform) or not {attempt.platform} <= claim.named
            assert within_rule, "more was claimed than there is room for"
            self.room.add(claim, attempt, True)
            self.claims[number], self.compiling[number] = None, attempt
            self.claimed += 1
        elif self.dice.random() < 0.1:  # the queue has nothing
            self.room.end(claim)
            self.claims[number] = None

    def has_place(self, platform: str) -> bool:
        untaken = [one.platform for one in (*self.compiled, *filter(None, self.compiling))]
        return platform in free(self.host, self.ahead, *untaken)

    def step_worker(self, worker: Any) -> None:
        if self.running.pop(worker, None):
            return
        job = next((one for one in self.compiled if one.platform in worker.platforms), None)
        if job is None:
            worker.idle = True
            self.room.update()
        else:
            self.compiled.remove(job)
            worker.idle = False
            job.taken.set()
            self.room.remove(job)
            self.running[worker] = job

    def check(self) -> None:
        """Once all who can ask have asked, somebody asks for what each idle worker can run."""
        for number in range(self.ahead):
            if self.compiling[number] is None and not (self.claims[number] or _NONE).named:
                self.step_compiler(number, set())
        if not any(self.claims):
            return  # all compile
        named = {name for claim in self.claims if claim for name in claim.named}
        untaken = [*self.compiled, *filter(None, self.compiling)]
        for worker in self.host:
            if worker.idle and not any(one.platform in worker.platforms for one in untaken):
                assert set(worker.platforms) <= named, f"{worker.platforms}, and only {named} named"


_NONE = executor.Claim(StubConnection())


HOSTS = [
    ["h100", "a100", "cpu", "cpu"],
    ["h100", "h100", "a100", "a100", "t4"],
    ["h100", "cpu"],
    ["h100", "h100"],
    ["cuda", "cuda", "cuda", "cpu"],
    ["cpu"],
]


@pytest.mark.parametrize("compile_workers", [1, 2, 3, 6])
@pytest.mark.parametrize("kinds", HOSTS, ids="-".join)
def test_a_life(kinds: list[str], compile_workers: int) -> None:
    for seed in range(5):
        life = Life(workers(*kinds), compile_workers, seed)
        names = sorted({name for worker in life.host for name in worker.platforms})
        wanted = set(names)
        for number in range(600):
            if number % 50 == 0:
                wanted = set(life.dice.sample(names, life.dice.randint(1, len(names))))
            life.step(wanted)
        assert life.claimed > 20
        if len({worker.platforms for worker in life.host}) == 1:
            assert all(connection.hung_up == 0 for connection in life.connections)


def test_a_life_in_which_everything_is_run() -> None:
    """The queue has 30 jobs of each platform; no worker that could run one ends up idle."""
    for seed in range(20):
        life = Life(workers("h100", "a100", "cpu"), 1 + seed % 3, seed)
        left = dict.fromkeys(("cuda", "h100", "a100", "cpu"), 30)
        for _ in range(20000):
            before = life.claimed
            wanted = {name for name, count in left.items() if count}
            life.step(wanted)
            if life.claimed > before:
                newest = next(one for one in life.compiling if one and not hasattr(one, "seen"))
                newest.seen = True
                left[newest.platform] -= 1
            if not any(left.values()):
                break
        assert not any(left.values()), left


def test_a_worker_that_gets_free_as_a_claim_is_made() -> None:
    """After it was said what to name, and before a connection is there: no request is made."""
    host = workers("h100", "cpu")
    host[0].idle = False
    room = executor.Room(host, 1)
    waits = StubAttempt("cuda")
    room.add(begun(room, StubConnection()), waits, True)
    auth = executor.Auth("gpu1", "token", "https://localhost:9", [])
    connection = executor.HeldConnection(auth)
    claim = begun(room, connection)
    assert claim.named == {"cpu"}
    room.remove(waits)  # it was taken
    with pytest.raises(executor.Unreachable, match="it was hung up"):
        connection.request("POST", "/claims")
    assert claim.was_hung_up
    room.over(claim)
    assert room.begin(claim) == {"cuda": 1, "h100": 1, "cpu": 1}
    with pytest.raises(executor.Unreachable, match="refuse"):
        connection.request("POST", "/claims")


def begun(room: Any, connection: Any) -> Any:
    claim = executor.Claim(connection)
    assert room.begin(claim)
    return claim


def test_a_claim_that_is_closed_names_nothing() -> None:
    room = executor.Room(workers("cuda"), 1)
    connection = StubConnection()
    claim = executor.Claim(connection)
    assert room.begin(claim) == {"cuda": 1}
    room.close()
    assert connection.hung_up == 1
    assert claim.was_hung_up
    assert room.begin(claim) == {}
    room.wait(claim)  # does not


def test_an_older_queue_is_asked_only_when_there_is_room_for_what_it_gives() -> None:
    room = executor.Room(workers("h100", "cpu"), 1)
    claim = executor.Claim(StubConnection())
    assert room.begin(claim) == {"cuda": 1, "h100": 1, "cpu": 1}
    room.add(claim, StubAttempt("cuda"), False)
    assert room.begin(executor.Claim(StubConnection())) == {}
