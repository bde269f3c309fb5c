"""The host under test: a queue, an executor and a student of its own, all of them real."""

import re
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

from tests.support.processes import NVCC, ROOT, Process, World
from tests.support.scripts import load

executor = load("executor")
PROGRAMS = ROOT / "tests" / "gpu"
NAMED_ARCHITECTURE = "sm_90"  # compiled for where there is no GPU to ask
# As tight as the hostile programs' own, but for what CUDA itself may need.
TIGHT = {
    "TELERUN_EXECUTE_SECONDS": 10,
    "TELERUN_OUTPUT_BYTES": 4 << 20,
    "TELERUN_MEMORY_BYTES": 1 << 30,
    "TELERUN_PROCESSES": 64,
    "TELERUN_DISK_BYTES": 64 << 20,
}


class Host:
    """Closed at the end; `gpus` are those that executor.py finds here."""

    patience: ClassVar[int] = 240  # seconds for a job, on a GPU that may be in quarantine
    options: ClassVar[dict[str, Any]] = {"nvcc": NVCC, "sandbox": "bubblewrap"}

    def __init__(self) -> None:
        self.gpus: list[Any] = executor.find_gpus()
        self.architecture = self.gpus[0].architecture if self.gpus else NAMED_ARCHITECTURE
        self._stack = ExitStack()
        self._course: Course | None = None

    def lacks(self, needs: str) -> str:
        """What is not here of what a check needs, in words; "" if nothing is lacking."""
        if not self.gpus:
            return "no GPU" if needs else ""
        lacking = {
            "two GPUs": len(self.gpus) < 2,
            "a split GPU (MIG)": not any(gpu.whole for gpu in self.gpus),
        }
        return f"needs {needs}" if lacking.get(needs) else ""

    @property
    def course(self) -> "Course":
        """One queue and one executor, on the first GPU if there is any, for most checks."""
        if self._course is None:
            self._course = self.new_course(1, **TIGHT)
        return self._course

    def new_course(self, count: int, **environment: Any) -> "Course":
        """Another queue, with an executor that has so many GPUs."""
        self.close_course()
        folder = Path(tempfile.mkdtemp(prefix="telerun-gpu-check-"))
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        world = self._stack.enter_context(World(folder, **environment))
        self._course = Course(self, world, count)
        return self._course

    def close_course(self) -> None:
        """GPUs are an executor's alone, so there is one at a time."""
        self._course = None
        self._stack.close()
        self._stack = ExitStack()


class Course:
    """A queue, an executor with its GPUs, and the jobs that go through it."""

    def __init__(self, host: Host, world: World, count: int) -> None:
        self.world = world
        self.patience = host.patience
        self.auth = world.executor("checked")
        self.alice = world.user("alice")
        world.start_server()
        self.executor = self.start_executor(host, count)

    def start_executor(self, host: Host, count: int) -> Process:
        arch = [] if host.gpus else ["--arch", host.architecture]
        return self.world.start_executor(
            self.auth, *arch, execute=count, gpus=bool(host.gpus), **host.options
        )

    def run(self, program: Path, *arguments: str) -> dict[str, Any]:
        """A program's job, once it is over."""
        body = {
            "source": program.read_text(),
            "filename": program.name,
            "args": list(arguments),
        }
        _, _, job = self.world.request(self.alice, "POST", "/jobs", body)
        path = f"/jobs/{job['id']}"
        deadline = time.monotonic() + self.patience
        while job["state"] in ("queued", "running"):
            assert time.monotonic() < deadline, (
                f"{program.name} is still {job['state']}; {self.executor.told().splitlines()[-1]}"
            )
            _, headers, job = self.world.request(self.alice, "GET", path)
            if job["state"] in ("queued", "running"):
                wait = {"Prefer": "wait=10", "If-None-Match": headers["etag"]}
                self.world.request(self.alice, "GET", path, **wait)
        return job

    def check(self, name: str) -> str:
        """Runs one of tests/gpu, which must end as its header says; the last it printed."""
        program = PROGRAMS / f"{name}.cu"
        wanted = dict(re.findall(r"^// (\w+): (.+)$", program.read_text(), re.MULTILINE))
        job = self.run(program)
        result = job["result"] or {"compile_log": "", "execute_log": ""}
        log = result["compile_log"] + result["execute_log"]
        assert job["outcome"] in wanted["outcome"].split(), (
            f"{name}: {job['state']}, {job['outcome']}; it printed {log[-200:]!r}"
        )
        for words in filter(None, wanted.get("says", "").split(", ")):
            assert words in log, f"{name}: no {words!r} in {log[-200:]!r}"
        return (log.strip().splitlines() or ["nothing was printed"])[-1]

    def quarantines(self) -> list[str]:
        """What the executor said of GPUs that it took out."""
        return [line for line in self.executor.told().splitlines() if "is quarantined" in line]

    def check_after(self, name: str) -> str:
        """The same; then the next job must find the GPU as if nothing had been."""
        before = len(self.quarantines())
        seen = self.check(name)
        self.check("runs")
        assert len(self.quarantines()) == before, self.quarantines()[-1]
        return seen
