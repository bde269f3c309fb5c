"""A host as executor.py makes it, without a queue: what it makes of jobs as a claim brings them."""

import argparse
import glob
import json
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.processes import NVCC, ROOT
from tests.support.sandbox import own_uids
from tests.support.scripts import load

executor = load("executor")
LIMITS = {
    **executor.DEFAULT_LIMITS,
    "log_bytes": 1 << 20, "output_bytes": 16 << 20, "compile_seconds": 120, "execute_seconds": 30,
    "output_files": 16, "output_file_bytes": 64 << 20,
}  # fmt: skip


WHOLE = "a toolkit with cuBLAS, cuRAND, cuobjdump and nvdisasm"
_IN_IT = ("lib*/libcublas.so*", "lib*/libcurand.so*", "bin/cuobjdump", "bin/nvdisasm")


def whole_toolkit() -> str | None:
    """The nvcc of `WHOLE`: this machine's, or that of NVIDIA's wheels in the virtual
    environment."""
    wheels = glob.glob(str(ROOT / ".venv/lib/python3*/site-packages/nvidia/cu*/bin/nvcc"))
    for nvcc in [NVCC, "/usr/local/cuda/bin/nvcc", *wheels]:
        root = Path(nvcc).exists() and executor.toolkit_root(executor.find_nvcc(nvcc))
        if root and all(list(root.glob(pattern)) for pattern in _IN_IT):
            return nvcc
    return None


class Over(NamedTuple):
    """What became of a job."""

    report: dict[str, Any]
    given_back: str  # why; "" if it was not
    files: dict[str, bytes]

    @property
    def outcome(self) -> str | None:
        return self.report.get("outcome")

    @property
    def compile_log(self) -> str:
        return self.report.get("compile_log", "")

    @property
    def log(self) -> str:
        return self.report.get("execute_log", "")


class Lab:
    """One host with one slot."""

    def __init__(self, folder: Path, *arguments: Any) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        auth = folder / "auth.json"
        auth.write_text(json.dumps({"executor": "lab", "token": "secret-token"}))
        auth.chmod(0o600)
        self.options = self.parse(auth, *arguments)
        self.host = executor.Host(
            self.options, executor.Auth("lab", "secret-token", "https://localhost:1", [])
        )
        self.spool = executor.Spool(self.host.scratch / "spool")
        shutdown = executor.Shutdown(executor.JobsInHand(), executor.Room(self.host.workers, 1))
        faults = executor.HostFaults(self.host, shutdown)
        self._compiler = executor.Compiler(self.host, faults)
        self._runner = executor.Runner(self.host, self.spool, faults)
        self._slot = self.host.make_slot(None)
        self._jobs = 0

    def parse(self, auth: Path, *arguments: Any) -> argparse.Namespace:
        options = executor.parse(
            [*["--nproc-compile", "1", "--nproc-execute", "1", "--no-gpu", "--server", "https://localhost:1"],
             "--auth", str(auth), "--scratch-dir", str(self.folder / "scratch"),
             "--sandbox-uid-base", str(own_uids("labs")), *map(str, arguments)]
        )  # fmt: skip
        options.nvcc = options.nvcc or NVCC
        return options

    def close(self) -> None:
        self._slot.close()
        self.host.close()
        self.host._scratch_lock.close()

    def run(self, filename: str, source: str, **job: Any) -> Over:
        """Compiles and runs a job to its end."""
        self._jobs += 1
        limits = {**LIMITS, **job.pop("limits", {})}
        attempt = executor.Attempt(
            {
                "attempt": {"id": self._jobs, "lease_token": "t", "lease_seconds": 30},
                "job": {"id": self._jobs, "source": source, "filename": filename, "args": [],
                        "limits": limits, **job},
            },
            self.host.jobs,
        )  # fmt: skip
        if self._compiler.compile(attempt, self._slot):
            self._runner.execute(attempt, self._slot, None)
        if not attempt.stop_reason:
            self.spool.put(attempt.id, attempt.report, attempt.files)
        files = {file["name"]: self.spool.file(attempt.id, file) for file in attempt.files}
        return Over(attempt.report, attempt.stop_reason, files)
