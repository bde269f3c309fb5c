"""The host under test: a queue, an executor and a student of its own, all of them real."""

import os
import re
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

from tests.gpu_check.course import Course
from tests.support.processes import NVCC, ROOT, World
from tests.support.scripts import load

executor = load("executor")
NAMED_ARCHITECTURE = "sm_90"  # compiled for where there is no GPU to ask
# As tight as the hostile programs' own, but for what CUDA itself may need.
TIGHT = {
    "TELERUN_SUBMITS_PER_MINUTE": 0,
    "TELERUN_MAX_QUEUED_PER_USER": 100,
    "TELERUN_EXECUTE_SECONDS": 10,
    "TELERUN_OUTPUT_BYTES": 4 << 20,
    "TELERUN_MEMORY_BYTES": 1 << 30,
    "TELERUN_PROCESSES": 64,
    "TELERUN_DISK_BYTES": 64 << 20,
}
SETTINGS = ("persistence_mode", "compute_mode", "mig.mode.current", "ecc.mode.current", "power.limit")  # fmt: skip  # noqa: E501
# An nvidia-smi that changes nothing, before the real one on an executor's PATH: an executor turns
# persistence mode on, which is not this command's to decide.
GUARD = """#!/bin/sh
for word in "$@"; do
    case $word in
    -q | -x | -i | -L | --query* | --format* | --id* | --list* | --version) ;;
    -*)
        echo "gpu-check changes no settings; it was asked: nvidia-smi $*"
        exit 1
        ;;
    esac
done
exec "{real}" "$@"
"""
NVIDIA, DISPLAYS = "0x10de", ("0x0300", "0x0302")  # on the PCI bus: a maker, and kinds of device


class Host:
    """Closed at the end; `gpus` are those that executor.py finds here."""

    patience: ClassVar[int] = 90  # seconds for a job, on a GPU that may be in quarantine
    options: dict[str, Any] = {"nvcc": NVCC, "sandbox": "bubblewrap"}

    def __init__(
        self,
        keep: Path = ROOT / "build" / "gpu-check",
        may_change_settings: bool = False,
        is_without_sandbox: bool = False,
    ) -> None:
        """`keep`: a folder for what was seen. Raises BadSetup."""
        self.is_without_sandbox = is_without_sandbox
        if is_without_sandbox:
            self.options = {**self.options, "sandbox": "none"}
        self.keep = keep
        self.may_change_settings = may_change_settings
        self.gpus: list[Any] = executor.find_gpus()
        self.architecture = self.gpus[0].architecture if self.gpus else NAMED_ARCHITECTURE
        self._stack = ExitStack()
        self._course: Course | None = None
        self.settings = settings(self.gpus)
        self._guard = Path(tempfile.mkdtemp(prefix="telerun-gpu-check-"))
        self._name = ""  # by which `course_of` finds it again

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
    def course(self) -> Course:
        """One queue and one executor, on the first GPU if there is any, for most checks."""
        return self.course_of("tight", **TIGHT)

    def course_of(self, name: str, *arguments: Any, **environment: Any) -> Course:
        """The one that was begun under that name, if it is still there, else a new one."""
        if self._course is None or self._name != name:
            self.new_course(1, *arguments, **environment)
            self._name = name
        assert self._course
        return self._course

    def new_course(
        self, count: int, *arguments: Any, prefix: tuple[Any, ...] = (), **environment: Any
    ) -> Course:
        """Another queue, with an executor that has so many GPUs, started by way of `prefix`."""
        self.close_course()
        folder = Path(tempfile.mkdtemp(prefix="telerun-gpu-check-"))
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)
        world = self._stack.enter_context(World(folder, **environment))
        self._course = course = Course(world, self.patience)
        course.start_executor(self, count, *arguments, prefix=prefix)
        return course

    def close_course(self) -> None:
        """GPUs are an executor's alone, so there is one at a time."""
        self._course, self._name = None, ""
        stack, self._stack = self._stack, ExitStack()
        stack.close()

    def close(self) -> None:
        """Leaves nothing behind but what `keep` holds."""
        self.close_course()
        shutil.rmtree(self._guard, ignore_errors=True)

    def path(self) -> str:
        """The PATH of executors."""
        before = str(self.options.get("PATH", os.environ["PATH"]))
        real = shutil.which("nvidia-smi", path=before)
        if self.may_change_settings or not real:
            return before
        guard = self._guard / "nvidia-smi"
        guard.write_text(GUARD.format(real=real))
        guard.chmod(0o755)
        return f"{self._guard}:{before}"

    def executor_knows(self, option: str) -> bool:
        """Whether executor.py here has that option, as in "--seccomp-log"."""
        return f'"{option}"' in (ROOT / "executor.py").read_text()


def settings(gpus: list[Any]) -> dict[tuple[str, str], str]:
    """Those of each whole GPU that could be changed, by its UUID and the setting's name."""
    found: dict[tuple[str, str], str] = {}
    for gpu in dict.fromkeys(gpu.whole or gpu.uuid for gpu in gpus):
        asked = ["-i", gpu, f"--query-gpu={','.join(SETTINGS)}", "--format=csv,noheader"]
        try:
            answer = executor.ask_nvidia_smi(asked, seconds=60)[0]
        except executor.GpuTrouble:
            continue  # other checks say so
        values = (answer.splitlines() or [""])[-1].split(",")
        found |= {(gpu, name): value.strip() for name, value in zip(SETTINGS, values, strict=False)}
    return found


def nvidia_devices(root: Path = Path("/")) -> list[str]:
    """What says that this machine has GPUs by NVIDIA, whether or not a driver runs them."""
    found = [
        f"PCI device {place.name}"
        for place in sorted(root.glob("sys/bus/pci/devices/*"))
        if _first_word(place / "vendor") == NVIDIA and _first_word(place / "class")[:6] in DISPLAYS
    ]
    nodes = [
        path for path in sorted(root.glob("dev/*")) if re.search(r"/(nvidia\d+|dxg)$", str(path))
    ]
    return found + [f"/dev/{path.name}" for path in nodes]


def _first_word(path: Path) -> str:
    try:
        return (path.read_text().split() or [""])[0]
    except OSError:
        return ""


def is_root() -> bool:
    return os.geteuid() == 0
