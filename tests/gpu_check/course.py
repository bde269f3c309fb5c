"""A queue with an executor, and the jobs that go through it."""

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.processes import ROOT, Process, World

if TYPE_CHECKING:
    from tests.gpu_check.host import Host

PROGRAMS = ROOT / "tests" / "gpu"
SHARED = {"check.h": (PROGRAMS / "check.h").read_text()}  # which each program includes


def header(program: Path) -> dict[str, str]:
    """What the first lines of a program say of it: its flags, how it must end."""
    return dict(re.findall(r"^// (\w+): (.+)$", program.read_text(), re.MULTILINE))


class Course:
    """The executor is started after the rest, on some GPUs of the host."""

    executor: Process

    def __init__(self, world: World, patience: float) -> None:
        self.world = world
        self.patience = patience
        self.auth = world.executor("checked")
        self.alice = world.user("alice")
        world.start_server()

    def start_executor(
        self, host: "Host", count: int, *arguments: Any, prefix: tuple[Any, ...] = ()
    ) -> None:
        arch = [] if host.gpus else ["--arch", host.architecture]
        self.executor = self.world.start_executor(
            self.auth, *arch, *arguments, execute=count, gpus=bool(host.gpus), prefix=prefix,
            **{**host.options, "PATH": host.path()},
        )  # fmt: skip

    def submit(self, program: Path, *arguments: Any, flags: list[str] | None = None) -> int:
        """A program's job, by number."""
        body = {
            "source": program.read_text(),
            "filename": program.name,
            "args": [str(argument) for argument in arguments],
        }
        if program.parent == PROGRAMS:
            body["includes"] = SHARED
            body["flags"] = header(program).get("flags", "").split() if flags is None else flags
        status, _, job = self.world.request(self.alice, "POST", "/jobs", body)
        assert status == 201, f"{program.name} was refused: {job}"
        return int(job["id"])

    def wait(self, number: int, name: str) -> dict[str, Any]:
        """The job, once it is over."""
        path = f"/jobs/{number}"
        deadline = time.monotonic() + self.patience
        _, headers, job = self.world.request(self.alice, "GET", path)
        while job["state"] in ("queued", "running"):
            assert time.monotonic() < deadline, (
                f"{name} is still {job['state']}; {(self.executor.told().splitlines() or [''])[-1]}"
            )
            wait = {"Prefer": "wait=10", "If-None-Match": headers["etag"]}
            _, headers, changed = self.world.request(self.alice, "GET", path, **wait)
            job = changed or job  # nothing is sent of one that has not changed
        return dict(job)

    def run(self, program: Path, *arguments: Any, flags: list[str] | None = None) -> dict[str, Any]:
        """A program's job, once it is over."""
        return self.wait(self.submit(program, *arguments, flags=flags), program.name)

    def run_all(self, programs: list[Path]) -> list[dict[str, Any]]:
        """The jobs of several, handed in at once, so that one is compiled while another runs."""
        numbers = [self.submit(program) for program in programs]
        return [
            self.wait(number, program.name)
            for number, program in zip(numbers, programs, strict=True)
        ]

    def check(
        self, name: str, *arguments: Any, flags: list[str] | None = None, outcome: str = ""
    ) -> str:
        """Runs one of tests/gpu, which must end as its header says, or with that `outcome`; the
        last that it printed."""
        return self.as_wanted(
            name, self.run(PROGRAMS / f"{name}.cu", *arguments, flags=flags), outcome
        )

    def as_wanted(self, name: str, job: dict[str, Any], outcome: str = "") -> str:
        """The last that the job printed, if it ended as it must."""
        wanted = header(PROGRAMS / f"{name}.cu")
        result = job["result"] or {"compile_log": "", "execute_log": ""}
        log = result["compile_log"] + result["execute_log"]
        assert job["outcome"] in (outcome or wanted["outcome"]).split(), (
            f"{name}: {job['state']}, {job['outcome']}; it printed {log[-200:]!r}"
        )
        says = "" if outcome else wanted.get("says", "")
        for words in filter(None, says.split(", ")):
            assert words in log, f"{name}: no {words!r} in {log[-200:]!r}"
        return (log.strip().splitlines() or ["nothing was printed"])[-1]

    def quarantines(self) -> list[str]:
        """What the executor said of GPUs that it took out."""
        return [line for line in self.executor.told().splitlines() if "is quarantined" in line]

    def check_after(self, name: str, *arguments: Any, outcome: str = "") -> str:
        """As `check`; then the next job must find the GPU as if nothing had been."""
        before = len(self.quarantines())
        seen = self.check(name, *arguments, outcome=outcome)
        self.check("runs")
        assert len(self.quarantines()) == before, self.quarantines()[-1]
        return seen
