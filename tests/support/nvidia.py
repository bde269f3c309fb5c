"""NVIDIA's tools and driver as stubs: they print what real ones were seen to print."""

import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.processes import ROOT

DATA = ROOT / "tests/data/nvidia"  # its SOURCES.md says where each form was seen


def form(name: str) -> str:
    return (DATA / f"{name}.txt").read_text()


class StubTools:
    """An nvidia-smi that prints what the test says, an nvidia-modprobe, and a log of both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "stub-tools"
        self.folder.mkdir()
        self.says("listing", "")
        self.says("-L", "")
        self.says("-x", "")
        self.says("modes", "")
        self.script(
            "nvidia-smi",
            """
name = "-L" if "-L" in asked else "-x" if "-x" in asked else "listing"
if "-pm" in asked:
    open(folder + "/modes", "w").write(open(folder + "/modes-after").read())
    name = "pm"
if any("persistence_mode" in one for one in asked):
    name = "modes"
print(open(folder + "/" + name).read(), end="")
""",
        )

    def says(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def script(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(
            f"#!{sys.executable} -IS\nimport json, resource, sys\nasked = sys.argv[1:]\n"
            f"folder = {str(self.folder)!r}\nlimit = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
            f"open(folder + '/calls', 'a').write(json.dumps([{name!r}, asked, limit]) + '\\n')\n"
            + text
        )
        path.chmod(0o755)

    @property
    def calls(self) -> list[Any]:
        path = self.folder / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def stub_tools(executor: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch) -> StubTools:
    """In the place of the machine's own, which has no GPU on its bus either."""
    tools = StubTools(folder)
    monkeypatch.setenv("PATH", f"{tools.folder}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(executor, "gpus_on_bus", lambda: set())
    return tools


def options_of(executor: ModuleType, *arguments: str, count: int = 1) -> Any:
    """Of an executor with so many GPUs."""
    given = ["--nproc-compile", "1", "--nproc-execute", str(count), "--sandbox", "none"]
    return executor.parse([*given, *arguments])


def gpus_of(executor: ModuleType, *uuids: str) -> list[Any]:
    return [executor.Gpu(str(n), uuid, "Stub", "sm_80", "535") for n, uuid in enumerate(uuids)]
