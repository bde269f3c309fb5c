"""The driver as real hosts have it: what it prints, what is missing after boot, what it needs.

The fixtures are forms that real drivers printed; tests/data/nvidia/SOURCES.md says where. The tools
are stubs that print them.
"""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import wait_for
from tests.support.scripts import load

pytestmark = pytest.mark.once
executor = load("executor")

DATA = Path(__file__).parent / "data/nvidia"
XML = """<?xml version="1.0" ?><nvidia_smi_log><gpu><mig_devices>
<mig_device><index>0</index><gpu_instance_id>1</gpu_instance_id><compute_instance_id>0</compute_instance_id></mig_device>
<mig_device><index>1</index><gpu_instance_id>9</gpu_instance_id><compute_instance_id>0</compute_instance_id></mig_device>
<mig_device><index>10</index><gpu_instance_id>11</gpu_instance_id><compute_instance_id>0</compute_instance_id></mig_device>
</mig_devices></gpu></nvidia_smi_log>"""


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


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubTools:
    tools = StubTools(tmp_path)
    monkeypatch.setenv("PATH", f"{tools.folder}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(executor, "gpus_on_bus", lambda: set())
    return tools


def options(*arguments: str, count: int = 1) -> Any:
    given = ["--nproc-compile", "1", "--nproc-execute", str(count), "--sandbox", "none"]
    return executor.parse([*given, *arguments])


# --- Finding GPUs, in the forms that drivers print ---------------------------------------


def found(tools: StubTools, name: str) -> tuple[list[Any], str]:
    tools.says("listing", form(name))
    return executor.list_gpus()


@pytest.mark.processes
def test_gpus_as_r535_and_r550_print_them(tools: StubTools) -> None:
    gpus, not_yet = found(tools, "listing-r535-a100")
    assert [(gpu.index, gpu.architecture, gpu.driver) for gpu in gpus] == [
        ("0", "sm_80", "535.161.08"),
        ("1", "sm_80", "535.161.08"),
    ]
    assert not not_yet
    (gpu,), _ = found(tools, "listing-r550-l4")
    assert (gpu.name, gpu.bus) == ("NVIDIA L4, Rev. B", "00000001:00:00.0")


@pytest.mark.processes
@pytest.mark.parametrize(
    ("name", "indexes", "words"),
    [
        ("listing-r570-h100-one-lost", ["0", "2"], r"\[Unknown Error\], \[Unknown Error\]"),
        ("listing-r580-lost-older-form", ["0"], "device handle for GPU1: 0000:34:00.0: Unknown"),
        ("listing-r580-reset", ["1"], r"capability '\[GPU requires reset\]'"),
        ("listing-r590-insufficient", ["0"], "^$"),
    ],
)
def test_one_that_is_lost_or_unreadable_hides_no_other_and_may_come_back(
    tools: StubTools, name: str, indexes: list[str], words: str
) -> None:
    gpus, not_yet = found(tools, name)
    assert [gpu.index for gpu in gpus] == indexes
    assert executor.re.search(words, not_yet)
    if words == "^$":
        return
    with pytest.raises(executor.DriverNotReady, match="Not ready: "):
        executor.gpus_for_workers(options(count=len(gpus) + 1))


@pytest.mark.processes
def test_what_cannot_be_read_of_a_gpu_is_no_name_and_no_driver(tools: StubTools) -> None:
    (gpu,), _ = found(tools, "listing-r580-reset")
    assert (gpu.name, gpu.driver) == ("NVIDIA GPU", "unknown")
    assert executor.kind_of(gpu.name) == "gpu"


@pytest.mark.processes
@pytest.mark.parametrize("mode", ["listing-r595-mig", "listing-r590-insufficient"])
def test_instances_are_found_also_where_the_mode_cannot_be_read(
    tools: StubTools, mode: str
) -> None:
    whole = form(mode).split(", ")[1]
    tools.says(
        "-L", form("instances-r570-h100").replace("GPU-c08d9100-e324-655c-71ba-000000000010", whole)
    )
    tools.says("-x", XML)
    gpus, _ = found(tools, mode)
    assert [(gpu.index, gpu.instance, gpu.name.partition(" MIG ")[2]) for gpu in gpus] == [
        ("0:0", "gi1/ci0", "1c.3g.40gb"),
        ("0:1", "gi9/ci0", "1g.10gb+me"),
        ("0:10", "gi11/ci0", "1g.10gb"),
    ]


def test_instances_of_before_r470() -> None:
    whole = "GPU-5d5ba000-d33d-2b2c-524d-000000000016"
    listed = executor.listed_instances(form("instances-r470-a100"), whole)
    assert listed == [("3g.20gb", "0", f"MIG-{whole}/1/0")]


@pytest.mark.processes
def test_a_split_gpu_whose_instances_are_not_made_yet_is_waited_for(tools: StubTools) -> None:
    tools.says("-x", "<nvidia_smi_log/>")
    gpus, not_yet = found(tools, "listing-r595-mig")
    assert (gpus, not_yet) == ([], "GPU 0 is split (MIG) and has no instances")


@pytest.mark.parametrize(
    ("field", "lacking", "failure"),
    [
        *((text, True, False) for text in ("[N/A]", "N/A", "[Not Supported]", "None", "", "[n/a]")),
        *((text, False, True) for text in ("[Unknown Error]", "[Insufficient Permissions]")),
        *((text, False, True) for text in ("ERR!", "[GPU requires reset]")),
        *((text, False, True) for text in ("[GPU is lost]", "[Not Found]")),
        *((text, False, False) for text in ("0", "41", "0x0000000000000000", "Reset", "P0")),
    ],
)  # fmt: skip
def test_what_stands_in_brackets(field: str, lacking: bool, failure: bool) -> None:
    assert executor.is_lacking(field) is lacking
    assert executor.is_failure(field) is failure
    assert executor.is_value(field) is not (lacking or failure)


# --- A driver that is not up yet ---------------------------------------------------------


@pytest.mark.processes
@pytest.mark.parametrize("name", ["not-loaded", "no-devices", "mismatch"])
@pytest.mark.parametrize("allowed", [None, "0", "GPU-9c73eb00"])
def test_a_driver_that_is_not_up_is_waited_for_whatever_gpu_is_named(
    tools: StubTools, monkeypatch: pytest.MonkeyPatch, name: str, allowed: str | None
) -> None:
    if allowed:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    tools.says("listing", form(name))
    with pytest.raises(executor.DriverNotReady) as raised:
        executor.gpus_for_workers(options())
    assert form(name).split("\n")[0] in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.processes
def test_a_wrong_number_or_name_is_not_waited_for(
    tools: StubTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools.says("listing", form("listing-r535-a100"))
    for name in (None, "7"):
        if name:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", name)
        with pytest.raises(executor.BadSetup) as raised:
            executor.gpus_for_workers(options(count=3))
        assert not isinstance(raised.value, executor.DriverNotReady)


@pytest.mark.processes
def test_a_gpu_on_the_bus_that_nvidia_smi_does_not_list_is_waited_for(
    tools: StubTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools.says("listing", form("listing-r535-a100"))
    places = {(0, 0x07, 0, 0), (0, 0x0F, 0, 0), (0, 0x47, 0, 0)}
    monkeypatch.setattr(executor, "gpus_on_bus", lambda: places)
    with pytest.raises(executor.DriverNotReady, match="1 of NVIDIA's GPUs on the bus are not list"):
        executor.gpus_for_workers(options(count=3))
    assert len(executor.gpus_for_workers(options(count=2))) == 2


@pytest.mark.processes
@pytest.mark.parametrize("on_bus", [False, True])
def test_without_nvidia_smi_the_bus_decides(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, on_bus: bool
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(executor, "gpus_on_bus", lambda: {(0, 1, 0, 0)} if on_bus else set())
    with pytest.raises(executor.BadSetup, match="nvidia-smi cannot be run: No such file") as raised:
        executor.gpus_for_workers(options())
    assert isinstance(raised.value, executor.DriverNotReady) is on_bus


def test_gpus_on_the_bus(tmp_path: Path) -> None:
    devices = {
        "0000:07:00.0": ("0x10de", "0x030200", "nvidia"),
        "0000:0f:00.0": ("0x10de", "0x030000", None),
        "0000:0f:00.1": ("0x10de", "0x040300", "snd_hda_intel"),
        "0000:47:00.0": ("0x10de", "0x030200", "vfio-pci"),
        "0000:48:00.0": ("0x1a03", "0x030000", "ast"),
        "10000:01:00.0": ("0x10de", "0x068000", "nvidia-nvswitch"),
    }
    for name, (vendor, kind, driver) in devices.items():
        folder = tmp_path / "sys/bus/pci/devices" / name
        folder.mkdir(parents=True)
        (folder / "vendor").write_text(vendor + "\n")
        (folder / "class").write_text(kind + "\n")
        if driver:
            target = tmp_path / "sys/bus/pci/drivers" / driver
            target.mkdir(parents=True, exist_ok=True)
            (folder / "driver").symlink_to(target)
    assert executor.gpus_on_bus(tmp_path) == {(0, 0x07, 0, 0), (0, 0x0F, 0, 0)}


@pytest.mark.processes
def test_waiting_says_so_once_and_ends_when_the_driver_is_up(
    tools: StubTools, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tools.says("listing", form("not-loaded"))
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            tools.says("listing", form("listing-r535-a100"))

    monkeypatch.setattr(executor.time, "sleep", sleep)
    assert [gpu.index for gpu in executor.gpus_when_ready(options(count=2))] == ["0", "1"]
    told = capsys.readouterr().err
    assert told.count("Waiting for the driver, up to 1") == 1
    assert "couldn't communicate with the NVIDIA driver" in told
    assert len(told.splitlines()) == 1


@pytest.mark.processes
def test_waiting_has_an_end(tools: StubTools, monkeypatch: pytest.MonkeyPatch) -> None:
    tools.says("listing", form("no-devices"))
    monkeypatch.setattr(executor, "DRIVER_SECONDS", 0)
    with pytest.raises(executor.DriverNotReady, match="No devices were found"):
        executor.gpus_when_ready(options())


# --- Device files ------------------------------------------------------------------------


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


@pytest.mark.processes
def test_the_uvm_module_is_loaded_before_gpus_are_looked_for(tools: StubTools) -> None:
    tools.script("nvidia-modprobe", "")
    tools.says("listing", form("listing-r535-a100"))
    executor.gpus_when_ready(options())
    assert tools.calls[0][:2] == ["nvidia-modprobe", ["-u", "-c", "0"]]


@pytest.mark.processes
def test_a_host_without_nvidia_modprobe_starts_if_nothing_is_missing(
    tools: StubTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "TOOL_FOLDERS", "/nowhere")
    monkeypatch.setenv("PATH", str(tools.folder))
    tools.says("listing", form("listing-r535-a100"))
    assert executor.nvidia_modprobe(["-u"]) == "nvidia-modprobe is not installed"
    assert len(executor.gpus_when_ready(options())) == 1


@pytest.mark.processes
def test_a_tool_that_does_not_end_is_left_behind(tools: StubTools) -> None:
    tools.script("nvidia-modprobe", "import time\ntime.sleep(600)")
    assert (
        executor.run_tool("nvidia-modprobe", [], 0.5) == "nvidia-modprobe does not end within 0.5 s"
    )


# --- The limit of descriptors ------------------------------------------------------------


@pytest.mark.processes
@pytest.mark.parametrize(("own", "theirs"), [(4096, 1024), (512, 1024)])
def test_nvidias_tools_may_have_few_files_open(tools: StubTools, own: int, theirs: int) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    tools.script("nvidia-modprobe", "")
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (own, before[1]))
        executor.list_gpus()
        executor.run_tool("nvidia-modprobe", [], 60)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert {(name, soft) for name, _, (soft, _) in tools.calls} == {
        ("nvidia-smi", theirs),
        ("nvidia-modprobe", theirs),
    }
    assert {hard for _, _, (_, hard) in tools.calls} == {before[1]}


# --- Persistence -------------------------------------------------------------------------


def gpus(*uuids: str) -> list[Any]:
    return [executor.Gpu(str(n), uuid, "Stub", "sm_80", "535") for n, uuid in enumerate(uuids)]


@pytest.mark.processes
@pytest.mark.parametrize(
    ("answer", "after", "off", "words"),
    [
        ("persistence-enabled", "Enabled", set(), ""),
        ("persistence-daemon-refuses", "Enabled", set(), ""),
        ("persistence-refused", "Disabled", {"GPU-b"}, "off on 1 GPUs (Unable to set persistence"),
    ],
)
def test_root_turns_persistence_mode_on(
    tools: StubTools,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
    after: str,
    off: set[str],
    words: str,
) -> None:
    monkeypatch.setattr(executor.os, "geteuid", lambda: 0)
    tools.says("modes", "GPU-a, Enabled\nGPU-b, Disabled\nGPU-c, Disabled\n")
    tools.says("modes-after", f"GPU-a, Enabled\nGPU-b, {after}\nGPU-c, Disabled\n")
    tools.says("pm", form(answer))
    assert executor.without_persistence(gpus("GPU-a", "GPU-b")) == off
    asked = [asked for _, asked, _ in tools.calls if "-pm" in asked]
    assert asked == [["-pm", "1", "-i", "GPU-b"]]  # and no GPU of others
    assert words in capsys.readouterr().err


@pytest.mark.processes
def test_a_user_leaves_persistence_mode_alone(
    tools: StubTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor.os, "geteuid", lambda: 1000)
    tools.says("modes", "GPU-a, Disabled\n")
    part = executor.Gpu("0:0", "MIG-1", "Stub", "sm_80", "535", whole="GPU-a")
    assert executor.without_persistence([part]) == {"GPU-a"}
    assert not [asked for _, asked, _ in tools.calls if "-pm" in asked]


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Any]:
    """A stub for a device file: a plain one."""
    (tmp_path / "stub-nvidia0").touch()
    held = executor.HeldOpen(str(tmp_path / "stub-nvidia0"))
    yield held
    held.release()


@pytest.mark.processes
def test_a_device_file_is_held_open_until_it_is_released(held: Any, tmp_path: Path) -> None:
    assert not held.is_open
    held.hold()
    wait_for(lambda: held.is_open, "it is open")
    process = held._process
    assert os.readlink(f"/proc/{process.pid}/fd/3") == str(tmp_path / "stub-nvidia0")
    held.hold()
    assert held._process is process
    process.kill()
    process.wait()
    assert not held.is_open
    held.hold()
    wait_for(lambda: held.is_open, "it is open again")
    held.release()
    assert not held.is_open


@pytest.mark.processes
def test_what_holds_a_device_file_dies_with_the_executor(tmp_path: Path) -> None:
    (tmp_path / "stub-nvidia0").touch()
    script = f"""
import sys, time
sys.path.insert(0, {str(Path(executor.__file__).parent)!r})
import executor
held = executor.HeldOpen({str(tmp_path / "stub-nvidia0")!r})
held.hold()
print(held._process.pid, flush=True)
time.sleep(600)
"""
    one = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert one.stdout
    holder = int(one.stdout.readline())
    one.send_signal(signal.SIGKILL)
    one.wait()
    one.stdout.close()
    wait_for(lambda: not executor.is_running(holder), "it is gone")


# --- How long a look may take ------------------------------------------------------------


class StubReader:
    """Writes down whether the driver was given time to start, and answers, or not."""

    def __init__(self) -> None:
        self.patience: list[bool] = []
        self.is_slow = False

    def read(self, may_start: bool) -> Any:
        self.patience.append(may_start)
        if self.is_slow:
            raise executor.SmiSlow("nvidia-smi does not answer within 15 s")
        row = {"memory.used": "4", "clocks.sm": "1", "clocks.mem": "1", "temperature.gpu": "1"}
        return executor.Reading(row, [])


class StubHeld:
    is_open = False

    def hold(self) -> None:
        self.is_open = True

    def release(self) -> None:
        self.is_open = False


def gate_with(held: Any) -> tuple[Any, StubReader]:
    gate = executor.Gate(gpus("GPU-a")[0], None, held)
    gate._reader = reader = StubReader()
    return gate, reader


def test_the_first_look_waits_for_the_driver_and_the_next_do_not() -> None:
    assert executor.START_SECONDS > 30  # which was seen on real hosts
    gate, reader = gate_with(None)
    for _ in range(3):
        gate.look()
    assert reader.patience == [True, False, False]


def test_a_driver_that_nobody_keeps_up_is_waited_for_at_each_look() -> None:
    held = StubHeld()
    gate, reader = gate_with(held)
    gate.look()
    gate.look()
    gate.passed()
    gate.look()
    gate.quarantine("it fails")
    assert not held.is_open  # so that it can be reset
    gate.look()
    gate.passed()
    gate.look()
    assert reader.patience == [True, True, False, True, False]


def test_one_that_is_slow_twice_is_waited_for_from_then_on() -> None:
    gate, reader = gate_with(None)
    gate.look()
    reader.is_slow = True
    for _ in range(3):
        with pytest.raises(executor.SmiSlow):
            gate.look()
    reader.is_slow = False
    gate.look()
    gate.look()
    assert reader.patience == [True, False, False, True, True, True]


# --- Places, and the kernel's log --------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("00000000:0A:00.0", (0, 10, 0, 0)),
        ("0000:0a:00.0", (0, 10, 0, 0)),
        ("PCI:0000:0a:00", (0, 10, 0, 0)),
        ("00010000:E1:00.0", (0x10000, 0xE1, 0, 0)),
        ("10000:e1:00.1", (0x10000, 0xE1, 0, 1)),
        ("[N/A]", ()),
        ("", ()),
        ("0a:00.0", ()),
    ],
)
def test_places_on_the_bus(text: str, place: tuple[int, ...]) -> None:
    assert executor.pci_place(text) == place


def test_xids_in_the_forms_of_the_kernels_log(tmp_path: Path) -> None:
    path = tmp_path / "stub-kmsg"
    path.touch()
    buses = ("00000000:01:00.0", "00010000:E1:00.0", "00000000:03:00.0", "")
    logs = [(bus, executor.KernelLog(path)) for bus in buses]
    path.write_text(form("xids"))
    seen = [[xid for xid, _ in log.new_xids(bus)] for bus, log in logs]
    assert seen == [[79, 154, 109, 94], [119], [14], []]


# --- Driver versions ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("driver", "words"),
    [
        ("580.95.05", "install 580.178.04 or newer"),
        ("580.178.03", "install 580.178.04 or newer"),
        ("580.178.04", ""),
        ("580.200.01", ""),
        ("595.71.05", "install 595.91.07 or newer"),
        ("595.91.07", ""),
        ("610.43.02", "install 610.57.04 or newer"),
        ("615.71.09", ""),
        ("620.10.01", ""),
        *((driver, "there is no mended version") for driver in
          ("470.256.02", "535.309.01", "550.90.07", "570.211.01", "590.48.01", "600.1")),
        ("unknown", ""),
        ("[N/A]", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_drivers_with_known_vulnerabilities_are_warned_of(driver: str, words: str) -> None:
    warning = executor.driver_warning(driver)
    assert words in warning
    assert bool(warning) is bool(words)
    if words:
        assert "bulletin" in warning


def test_each_driver_is_warned_of_once() -> None:
    two = [gpu._replace(driver="580.95.05") for gpu in gpus("GPU-a", "GPU-b")]
    assert len(executor.driver_warnings(two)) == 1
