"""Which groups programs get for the GPUs' device files: as few as can be, and never root's.

The files are plain ones with the modes and owners of device files: the functions look at nothing
else. Modes as the driver and its tools make them: NVreg_DeviceFileMode (default 0666), and
DeviceFileMode of a capability, 292 = 0444 for MIG instances, 256 = 0400 for "config" and "monitor"
(https://docs.nvidia.com/datacenter/tesla/mig-user-guide, "Device Nodes and Capabilities").
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripts import load

pytestmark = pytest.mark.once
executor = load("executor")
VIDEO, RENDER, OWN = 44, 105, 60600  # groups; the last is a sandbox's own
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root, to give files away")


def node(folder: Path, name: str, mode: int, gid: int) -> str:
    path = folder / name
    path.touch()
    os.chown(path, 0, gid)
    path.chmod(mode)
    return str(path)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user can reach, unlike a test's own."""
    folder = Path(tempfile.mkdtemp(prefix="telerun-nodes-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def devices(*nodes: str) -> Any:
    found = executor.GpuDevices(own=range(OWN, OWN + 4))
    found._nodes = {"GPU-1": list(nodes)}
    return found


@needs_root
@pytest.mark.parametrize(
    ("name", "mode", "gid", "groups"),
    [
        ("nvidia0", 0o666, 0, []),
        ("nvidia0", 0o666, VIDEO, []),
        ("nvidia0", 0o660, VIDEO, [VIDEO]),
        ("nvidia0", 0o664, VIDEO, [VIDEO]),
        ("nvidia-cap12", 0o444, 0, []),  # G3: this was [0]
        ("nvidia-cap12", 0o664, 0, []),
        ("nvidia-cap12", 0o440, VIDEO, [VIDEO]),
        ("nvidia-cap12", 0o640, VIDEO, [VIDEO]),
    ],
)
def test_a_group_is_asked_for_only_where_it_is_needed(
    tmp_path: Path, name: str, mode: int, gid: int, groups: list[int]
) -> None:
    assert devices(node(tmp_path, name, mode, gid)).groups == groups


@needs_root
@pytest.mark.parametrize(
    ("name", "mode", "gid", "says"),
    [
        ("nvidia0", 0o660, 0, "0660, root:root): chmod a+rw "),
        ("nvidia0", 0o600, VIDEO, "0600, root:video): chmod a+rw "),
        ("nvidia0", 0o644, 0, "0644, root:root): chmod a+rw "),
        ("nvidia0", 0o444, 0, "0444, root:root): chmod a+rw "),
        ("nvidia0", 0o640, VIDEO, "0640, root:video): chmod a+rw "),
        ("nvidia0", 0o660, OWN, "0660, root:60600): chmod a+rw "),  # another sandbox's group
        ("nvidia-cap1", 0o400, 0, "0400, root:root): chmod a+r "),
        ("nvidia-cap1", 0o440, 0, "0440, root:root): chmod a+r "),
    ],
)
def test_a_device_file_that_programs_cannot_use_is_an_error_that_says_what_mends_it(
    tmp_path: Path, name: str, mode: int, gid: int, says: str
) -> None:
    with pytest.raises(executor.BadSetup) as error:
        _ = devices(node(tmp_path, name, mode, gid)).groups
    message = str(error.value)
    assert says + str(tmp_path / name) in message
    assert "\n" not in message


@needs_root
def test_several_files_with_several_groups(tmp_path: Path) -> None:
    files = [
        node(tmp_path, "nvidiactl", 0o666, 0),
        node(tmp_path, "nvidia0", 0o660, VIDEO),
        node(tmp_path, "nvidia-uvm", 0o660, RENDER),
        node(tmp_path, "nvidia-cap12", 0o444, 0),
    ]
    assert devices(*files).groups == [VIDEO, RENDER]


@needs_root
def test_a_group_that_one_file_gives_must_not_close_another(tmp_path: Path) -> None:
    """To the members of a file's group the bits of others do not apply (path_resolution(7))."""
    files = [node(tmp_path, "nvidia0", 0o660, VIDEO), node(tmp_path, "nvidia1", 0o606, VIDEO)]
    with pytest.raises(executor.BadSetup, match=r"nvidia1 \(0606, root:video"):
        _ = devices(*files).groups


@needs_root
def test_the_kernel_agrees(place: Path) -> None:
    """A process with these groups alone can use the files; one without them cannot."""
    files = [node(place, "nvidia0", 0o660, VIDEO), node(place, "nvidia-cap12", 0o444, 0)]
    script = "import sys; open(sys.argv[1], 'r+b'), open(sys.argv[2], 'rb')"

    def ends_as_somebody(groups: list[int]) -> int:
        return subprocess.run(
            ["/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable,
             "-IS", "-c", script, *files],
            user=OWN, group=OWN, extra_groups=groups, stderr=subprocess.DEVNULL,
        ).returncode  # fmt: skip

    assert ends_as_somebody(devices(*files).groups) == 0
    assert ends_as_somebody([]) != 0


@needs_root
def test_an_ordinary_users_executor_asks_whether_it_may_itself(place: Path) -> None:
    """Its programs have its uid, and its groups."""
    path = node(place, "nvidia0", 0o660, 0)
    executor.check_own_access([path])  # as root
    script = (
        "import importlib.util as u, sys\n"
        f"s = u.spec_from_file_location('executor', {str(Path(executor.__file__))!r})\n"
        "m = u.module_from_spec(s); s.loader.exec_module(m)\n"
        "import os; os.setgroups([]); os.setgid(60999); os.setuid(60999)\n"
        "try: m.check_own_access(['/dev/null', sys.argv[1]])\n"
        "except m.BadSetup as error: print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True)
    assert f"0660, root:root): chmod a+rw {path}" in told.stdout, told


def test_it_asks_that_when_it_finds_its_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(executor, "device_nodes", lambda _gpu: ["/dev/nvidia-uvm", "/dev/nvidia3"])
    monkeypatch.setattr(executor, "check_own_access", asked.append)
    monkeypatch.setattr(executor.os, "geteuid", lambda: 1000)
    executor.GpuDevices().find([executor.Gpu("0", "GPU-1", "Stub", "sm_90", "535")])
    assert asked == [["/dev/nvidia-uvm", "/dev/nvidia3"]]
