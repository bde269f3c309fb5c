"""The device files of a GPU: which they are, and what makes those that are missing."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.nvidia import StubTools, form, stub_tools
from tests.support.scripts import load

pytestmark = pytest.mark.once
executor = load("executor")


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubTools:
    return stub_tools(executor, tmp_path, monkeypatch)


class StubHost:
    """A driver's files in a folder: two A100s, the second one split, and not one device file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for place, name in (("0000:07:00.0", "initialised"), ("0000:0f:00.0", "uninitialised")):
            folder = root / "proc/driver/nvidia/gpus" / place
            folder.mkdir(parents=True)
            (folder / "information").write_text(form(f"proc-information-{name}"))
        for part, minor in (("gi1", 12), ("gi1/ci0", 13)):
            access = root / f"proc/driver/nvidia/capabilities/gpu1/mig/{part}/access"
            access.parent.mkdir(parents=True)
            text = form("proc-capability-access")
            access.write_text(text.replace("Minor: 12", f"Minor: {minor}"))
        (root / "dev/nvidia-caps").mkdir(parents=True)

    def make(self, *names: str) -> None:
        for name in names:
            (self.root / "dev" / name).touch()

    def nodes(self, **of: str) -> Any:
        return executor.device_nodes(
            executor.Gpu("0", "", "Stub", "sm_80", "535")._replace(**of), self.root
        )


FIRST = {"uuid": "GPU-9c73eb00-8d6d-6c0e-dc13-000000000001", "bus": "00000000:07:00.0"}
SECOND = {"uuid": "GPU-c92e2d00-4a69-f1cd-4df0-000000000002", "bus": "00000000:0F:00.0"}
PART = {"uuid": "MIG-1", "bus": "00000000:0F:00.0", "whole": SECOND["uuid"], "instance": "gi1/ci0"}


@pytest.fixture
def host(tmp_path: Path) -> StubHost:
    return StubHost(tmp_path / "host")


def test_a_gpu_that_nobody_used_yet_is_found_by_its_place_on_the_bus(host: StubHost) -> None:
    host.make("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia1", "nvidia3")
    shared = ["/dev/nvidiactl", "/dev/nvidia-uvm"]
    assert host.nodes(**FIRST) == [*shared, "/dev/nvidia3"]
    assert host.nodes(**SECOND) == [*shared, "/dev/nvidia1"]
    assert host.nodes(**{**FIRST, "bus": ""}) == [*shared, "/dev/nvidia3"]
    with pytest.raises(executor.BadSetup, match="The driver lists no GPU GPU-c92e2d00"):
        host.nodes(**{**SECOND, "bus": ""})


@pytest.mark.parametrize("removed", ["Device Minor: \t 1\n", None])
def test_a_gpu_whose_files_the_driver_does_not_tell_is_an_error(
    host: StubHost, removed: str | None
) -> None:
    path = host.root / "proc/driver/nvidia/gpus/0000:0f:00.0/information"
    text = path.read_text()
    path.write_text(text.replace(removed, "") if removed else "")
    with pytest.raises(executor.BadSetup, match="The driver lists no GPU"):
        host.nodes(**SECOND)


@pytest.mark.parametrize(
    ("there", "of", "missing", "command"),
    [
        ([], FIRST, "nvidiactl", "-c 255"),
        (["nvidiactl"], FIRST, "nvidia-uvm", "-u -c 0"),
        (["nvidiactl", "nvidia-uvm"], FIRST, "nvidia3", "-c 3"),
        (["nvidiactl", "nvidia-uvm"], PART, "nvidia1", "-c 1"),
        (["nvidiactl", "nvidia-uvm", "nvidia1"], PART, "nvidia-caps/nvidia-cap12",
         "-f /proc/driver/nvidia/capabilities/gpu1/mig/gi1/access"),
        (["nvidiactl", "nvidia-uvm", "nvidia1", "nvidia-caps/nvidia-cap12"], PART,
         "nvidia-caps/nvidia-cap13", "-f /proc/driver/nvidia/capabilities/gpu1/mig/gi1/ci0/access"),
    ],
)  # fmt: skip
def test_a_device_file_that_is_missing_is_named_with_what_makes_it(
    host: StubHost, there: list[str], of: dict[str, str], missing: str, command: str
) -> None:
    host.make(*there)
    with pytest.raises(executor.DriverNotReady) as raised:
        host.nodes(**of)
    assert str(raised.value) == f"/dev/{missing} is missing: nvidia-modprobe {command} makes it."


@pytest.mark.processes
def test_missing_device_files_are_made(
    host: StubHost, tools: StubTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a stub of nvidia-modprobe, which makes in the stub host what it is asked for."""
    nodes = executor.device_nodes
    monkeypatch.setattr(executor, "device_nodes", lambda gpu: nodes(gpu, host.root))
    tools.script(
        "nvidia-modprobe",
        f"""
import pathlib
dev = pathlib.Path({str(host.root / "dev")!r})
if asked[0] == "-f":
    access = pathlib.Path({str(host.root)!r} + asked[1]).read_text()
    (dev / "nvidia-caps" / ("nvidia-cap" + access.split()[1])).touch()
elif asked[0] == "-u":
    (dev / "nvidia-uvm").touch()
else:
    (dev / ("nvidiactl" if asked[1] == "255" else "nvidia" + asked[1])).touch()
""",
    )
    gpu = executor.Gpu("0:0", "", "Stub", "sm_80", "535")._replace(**PART)
    assert executor.make_nodes(gpu)[-2:] == [
        "/dev/nvidia-caps/nvidia-cap12",
        "/dev/nvidia-caps/nvidia-cap13",
    ]
    assert [asked for _, asked, _ in tools.calls] == [
        ["-c", "255"],
        ["-u", "-c", "0"],
        ["-c", "1"],
        ["-f", "/proc/driver/nvidia/capabilities/gpu1/mig/gi1/access"],
        ["-f", "/proc/driver/nvidia/capabilities/gpu1/mig/gi1/ci0/access"],
    ]


@pytest.mark.processes
def test_what_nvidia_modprobe_says_is_told_where_the_file_stays_missing(
    host: StubHost, tools: StubTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = executor.device_nodes
    monkeypatch.setattr(executor, "device_nodes", lambda gpu: nodes(gpu, host.root))
    host.make("nvidiactl", "nvidia3")
    tools.script(
        "nvidia-modprobe", "print('modprobe: FATAL: Module nvidia-uvm not found')\nsys.exit(1)"
    )
    gpu = executor.Gpu("0", "", "Stub", "sm_80", "535")._replace(**FIRST)
    with pytest.raises(executor.DriverNotReady) as raised:
        executor.make_nodes(gpu)
    assert str(raised.value) == (
        "/dev/nvidia-uvm is missing: nvidia-modprobe -u -c 0 makes it. It was tried: "
        "nvidia-modprobe says: modprobe: FATAL: Module nvidia-uvm not found."
    )
