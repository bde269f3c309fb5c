"""What of the host is in the sandbox: of /sys, of /proc and of the driver's own files."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import need
from tests.support.driver_tree import GPU, HALF, OTHER, stub_host
from tests.support.processes import NVCC, has_sandbox
from tests.support.sandbox import own_uids
from tests.support.scripts import load

pytestmark = [pytest.mark.once, pytest.mark.processes]
executor = load("executor")
LIMITS = {**executor.DEFAULT_LIMITS, "log_bytes": 100_000, "output_bytes": 1 << 20}
PYTHON = "/usr/bin/python3"


@pytest.fixture(scope="module")
def host() -> Iterator[Path]:
    """A stub of a host's /sys and /proc, where every user can reach it."""
    folder = Path(tempfile.mkdtemp(prefix="telerun-host-"))
    folder.chmod(0o755)
    stub_host(folder)
    yield folder
    shutil.rmtree(folder)


class Box:
    """Runs a shell script as a program in the sandbox, with a GPU of the stub host or with none."""

    def __init__(self, folder: Path, host: Path | None, *more: str) -> None:
        options = executor.parse(
            ["--nproc-compile", "1", "--nproc-execute", "1",
             "--sandbox-uid-base", str(own_uids("box")), *more]
        )  # fmt: skip
        self._folder = folder
        self._box = executor.Bubblewrap(options, executor.find_nvcc(NVCC), folder / "sandbox")
        if host is not None:
            whole = options.sandbox_sys == "whole"
            self._box.devices = executor.GpuDevices(whole, (), host)
            self._box.devices._nodes = {gpu.uuid: ["/dev/null"] for gpu in (GPU, HALF, OTHER)}
        self._slot = executor.Slot(self._box)

    def run(self, script: str, gpu: Any = None) -> str:
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        (folder / "program").write_text(f"#!/bin/sh\n{script}\n")
        command = self._box.program(folder, [], "", gpu, folder / "archive", LIMITS)
        ended = self._slot.run(command, 30, LIMITS, lambda: True)
        return ended.log.decode()

    def close(self) -> None:
        self._slot.close()


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory, host: Path) -> Iterator[Box]:
    need("bubblewrap", has_sandbox())
    box = Box(tmp_path_factory.mktemp("box"), host)
    yield box
    box.close()


ALL_OF_SYS = "cd /sys 2>/dev/null && find . ! -type d | sort"
DEVICE = "sys/devices/pci0000:16/0000:16:01.0/0000:17:00.0"


def test_a_program_with_a_gpu_sees_of_sys_what_cuda_reads_of_this_gpu(box: Box) -> None:
    seen = set(box.run(ALL_OF_SYS, GPU).split())
    assert seen == {
        "./bus/pci/devices/0000:17:00.0",
        *(f"./{DEVICE.removeprefix('sys/')}/{name}" for name in ("config", "numa_node", "vendor")),
        "./devices/system/cpu/online",
        "./devices/system/memory/block_size_bytes",
        "./devices/system/node/node0/cpumap",
        "./devices/system/node/node0/meminfo",
        "./module/nvidia/initstate",
        "./module/nvidia_uvm/initstate",
    }


def test_the_device_is_found_by_its_link_as_on_the_host(box: Box) -> None:
    told = box.run(
        "cd /sys/bus/pci/devices; ls; cat 0000:17:00.0/numa_node; readlink 0000:17:00.0", GPU
    )
    assert told.split() == [
        "0000:17:00.0", "1", "../../../devices/pci0000:16/0000:16:01.0/0000:17:00.0",
    ]  # fmt: skip


def test_the_other_gpu_is_another_folder(box: Box) -> None:
    assert box.run("ls /sys/bus/pci/devices", OTHER).split() == ["10000:e1:00.0"]
    assert box.run("ls /proc/driver/nvidia/gpus", OTHER).split() == ["10000:e1:00.0"]


def test_all_that_libcuda_opens_is_there(box: Box) -> None:
    """As seen with strace and strings in libcuda 535.261.03, for what a host has of it."""
    told = (Path(__file__).parent / "data/nvidia/libcuda-reads.txt").read_text()
    paths = [line for line in told.splitlines() if line and not line.startswith("#")]
    assert len(paths) > 15
    paths.remove("/proc/modules")  # not on a kernel without modules
    there = " ".join(path.replace("ADDRESS", "0000:17:00.0") for path in paths)
    assert box.run(f"for f in {there}; do [ -r $f ] || echo no $f; done", GPU) == ""


@pytest.mark.parametrize("gpu", [GPU, None])
def test_nothing_in_sys_can_be_written(box: Box, gpu: Any) -> None:
    told = box.run("for f in $(find /sys) /sys/x; do echo 1 >$f; done 2>/dev/null && echo w", gpu)
    assert told == ""


def test_without_a_gpu_there_is_no_sys(box: Box) -> None:
    assert box.run(ALL_OF_SYS) == ""


def test_the_operators_way_back(tmp_path: Path, host: Path) -> None:
    need("bubblewrap", has_sandbox())
    box = Box(tmp_path, host, "--sandbox-sys", "whole")
    assert len(os.listdir("/sys")) == int(box.run("ls /sys | wc -l", GPU))
    box.close()


def test_a_gpu_without_an_address_shows_no_device(box: Box) -> None:
    nameless = GPU._replace(bus="[N/A]", uuid="GPU-cccc")
    box._box.devices._nodes["GPU-cccc"] = []
    assert box.run("ls /sys/bus/pci/devices; ls /sys/devices", nameless) == "system\n"


@pytest.mark.parametrize(
    ("told", "address"),
    [
        ("00000000:17:00.0", "0000:17:00.0"),
        ("00000000:C1:00.0", "0000:c1:00.0"),
        ("0000:17:00.0", "0000:17:00.0"),
        ("00010000:E1:00.0", "10000:e1:00.0"),  # behind Intel VMD, and on Azure: more digits
        ("00000009:01:00.0", "0009:01:00.0"),  # Grace Hopper: domains of its own
        ("", ""),
        ("[N/A]", ""),
    ],
)
def test_an_address_is_written_as_the_kernel_does(tmp_path: Path, told: str, address: str) -> None:
    gpu = GPU._replace(bus=told, uuid="GPU-none")
    assert executor.pci_address(gpu, tmp_path) == address


def test_without_nvidia_smis_address_the_drivers_own_list_is_asked(host: Path) -> None:
    assert executor.pci_address(GPU._replace(bus=""), host) == "0000:17:00.0"
    assert executor.pci_address(HALF._replace(bus=""), host) == "0000:17:00.0"


# --- /proc/driver ------------------------------------------------------------------------

ALL_OF_DRIVER = "cd /proc/driver && find . -type f | sort"


def test_a_program_sees_the_drivers_files_of_its_own_gpu(box: Box) -> None:
    assert box.run(ALL_OF_DRIVER, GPU).split() == [
        "./nvidia/gpus/0000:17:00.0/information",
        "./nvidia/gpus/0000:17:00.0/numa_status",
        "./nvidia/params",
        "./nvidia/version",
    ]


def test_an_instance_sees_its_own_capabilities(box: Box) -> None:
    seen = box.run(ALL_OF_DRIVER, HALF).split()
    assert [path for path in seen if "capabilities" in path] == [
        "./nvidia/capabilities/gpu3/mig/gi2/access",
        "./nvidia/capabilities/gpu3/mig/gi2/ci0/access",
    ]


def test_without_a_gpu_there_is_nothing_of_the_driver(box: Box) -> None:
    assert box.run(ALL_OF_DRIVER) == ""


def test_the_box_says_that_programs_make_no_device_files(box: Box) -> None:
    """G6: with 1 the driver's library runs nvidia-modprobe or mknod, which cannot work here."""
    told = box.run("cat /proc/driver/nvidia/params; echo 1 >/proc/driver/nvidia/params", GPU)
    assert "ModifyDeviceFiles: 0\n" in told
    assert "cannot create" in told


@pytest.mark.parametrize(
    "text",
    [
        "ResmanDebugLevel: 4294967295\nRmLogonRC: 1\nModifyDeviceFiles: 1\nDeviceFileUID: 0\n",
        "ModifyDeviceFiles: 0\nDeviceFileMode: 438\n",
        "DeviceFileMode: 438\n",
        "ModifyDeviceFiles:1",
        None,
    ],
)
def test_whatever_the_drivers_parameters_are(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
        (tmp_path / "proc/driver/nvidia/params").write_text(text)
    told = executor.driver_params(tmp_path)
    lines = told.splitlines()
    assert lines.count("ModifyDeviceFiles: 0") == 1
    others = [line for line in (text or "").splitlines() if "ModifyDeviceFiles" not in line]
    assert [line for line in lines if "ModifyDeviceFiles" not in line] == others


def test_nvidia_modprobe_is_hidden_wherever_it_is(tmp_path: Path) -> None:
    """It is setuid root. Nothing can be mounted over a link: the file that it names is hidden."""
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/lib/nvidia").mkdir(parents=True)
    assert executor.hidden(tmp_path) == []
    (tmp_path / "usr/bin/nvidia-modprobe").touch()
    assert executor.hidden(tmp_path) == ["--ro-bind", "/dev/null", "/usr/bin/nvidia-modprobe"]
    (tmp_path / "usr/bin/nvidia-modprobe").unlink()
    (tmp_path / "usr/lib/nvidia/modprobe").touch()
    (tmp_path / "usr/bin/nvidia-modprobe").symlink_to("/nowhere")
    assert executor.hidden(tmp_path) == []
    (tmp_path / "usr/bin/nvidia-modprobe").unlink()
    (tmp_path / "usr/bin/nvidia-modprobe").symlink_to("../lib/nvidia/modprobe")
    (tmp_path / "usr/sbin").symlink_to("bin")
    assert executor.hidden(tmp_path) == ["--ro-bind", "/dev/null", "/usr/lib/nvidia/modprobe"]


def test_a_program_that_is_hidden_cannot_be_read_nor_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another program of this machine in nvidia-modprobe's place, which it hardly has."""
    need("bubblewrap", has_sandbox())
    monkeypatch.setattr(executor, "NVIDIA_MODPROBE", ("usr/bin/nproc",))
    box = Box(tmp_path, None)
    told = box.run("/usr/bin/nproc; cat /usr/bin/nproc; [ -u /usr/bin/nproc ] || echo no setuid")
    box.close()
    assert told.count("Permission denied") == 2
    assert told.endswith("no setuid\n")


# --- /proc -------------------------------------------------------------------------------


def test_files_of_proc_that_tell_of_the_host_and_of_others_cannot_be_read(box: Box) -> None:
    there = [name for name in executor.HIDDEN_FILES if Path("/proc", name).exists()]
    assert {"interrupts", "softirqs", "vmstat"} <= set(there)
    told = box.run(f"cd /proc; for f in {' '.join(there)}; do cat $f && echo $f; done 2>/dev/null")
    assert told == ""


def test_folders_of_proc_that_tell_of_the_host_are_empty(box: Box) -> None:
    there = [name for name in executor.HIDDEN_FOLDERS if Path("/proc", name).is_dir()]
    assert {"bus", "driver", "fs", "irq"} <= set(there)
    script = f"cd /proc; ls -A {' '.join(f'{name}/' for name in there)}; touch bus/x irq/x driver/x"
    told = box.run(script)
    assert [line for line in told.split("\n") if line and not line.endswith(":")] == [
        f"touch: cannot touch '{name}/x': Read-only file system"
        for name in ("bus", "irq", "driver")
    ]


def test_what_programs_read_of_proc_is_there(box: Box) -> None:
    """The C library, Python and libcuda do; and CUDA names its threads, from driver 570 on."""
    names = "cpuinfo meminfo stat devices filesystems mounts loadavg uptime version self/maps"
    names += " self/status sys/vm/mmap_min_addr sys/vm/overcommit_memory sys/kernel/osrelease"
    told = box.run(f"cd /proc; for f in {names}; do cat $f >/dev/null || echo no $f; done")
    assert told == ""
    named = box.run("echo mine >/proc/self/task/$$/comm; cat /proc/$$/comm", GPU)
    assert named.split() == ["mine"]


# --- Who is killed when the host is out of memory ----------------------------------------

LOWERS = """\
import os
for path in ["/proc/self/oom_score_adj", f"/proc/self/task/{os.getpid()}/oom_score_adj",
             "/proc/1/oom_score_adj", "/proc/self/oom_adj", "/proc/1/oom_adj"]:
    for value in ("0", "999", "-1", "-1000", "-17", "14"):
        try:
            open(path, "w").write(value)
        except OSError:
            pass
if os.fork() == 0:
    try:
        open("/proc/self/oom_score_adj", "w").write("0")
    except OSError:
        pass
    print(open("/proc/self/oom_score_adj").read().strip(), flush=True)
    os._exit(0)
os.wait()
print(open("/proc/self/oom_score_adj").read().strip(), open("/proc/1/oom_score_adj").read().strip())
"""


def has_capability(number: int) -> bool:
    told = Path("/proc/self/status").read_text()
    return bool(int(told.split("CapEff:")[1].split()[0], 16) >> number & 1)


@pytest.mark.parametrize("gpu", [None, GPU])
def test_a_program_cannot_make_others_die_in_its_place(box: Box, gpu: Any) -> None:
    """When the host is out of memory the kernel kills programs first, whatever they ask for."""
    need(PYTHON, Path(PYTHON).exists())
    told = box.run(f"{PYTHON} -IS - <<'END'\n{LOWERS}END\n", gpu)
    if gpu and not has_capability(24):  # the executor's own value is then the least (ADR 20)
        own = int(Path("/proc/self/oom_score_adj").read_text())
        assert len(told.split()) == 3
        assert min(map(int, told.split())) >= own
    else:
        assert told == "1000\n1000 1000\n"


def test_the_slot_itself_is_not_among_the_first(box: Box) -> None:
    own = Path("/proc/self/oom_score_adj").read_text()
    assert Path(f"/proc/{box._slot._process.pid}/oom_score_adj").read_text() == own


@pytest.mark.skipif(os.getuid() != 0, reason="only root has capabilities to give up")
def test_programs_have_no_capability_and_their_slot_uses_none(box: Box) -> None:
    told = box.run("grep Cap /proc/self/status")
    assert {line.split(":")[0] for line in told.splitlines() if int(line.split()[1], 16)} <= {
        "CapBnd"
    }
    status = Path(f"/proc/{box._slot._process.pid}/status").read_text()
    sets = {
        line.split(":")[0]: int(line.split()[1], 16)
        for line in status.splitlines()
        if "Cap" in line
    }
    assert sets["CapEff"] == sets["CapInh"] == sets["CapAmb"] == 0
    assert sets["CapPrm"] in (0, 1 << 24)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to give uids to others")
def test_the_one_capability_that_a_slot_keeps_goes_no_further(tmp_path: Path) -> None:
    """In a namespace of users, whose root has it, as this machine's may not."""
    script = tmp_path / "becomes.py"
    script.write_text(BECOMES.format(executor=str(Path(executor.__file__))))
    process = subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    if process.stdout.readline() != "alone\n":
        pytest.skip("needs a namespace of users")
    for name in ("uid_map", "gid_map"):
        Path(f"/proc/{process.pid}/{name}").write_text("0 0 65536")
    told, _ = process.communicate("go on\n", 60)
    resource = "0000000001000000"
    assert told.splitlines() == [
        f"it keeps {resource}, uses 0000000000000000",
        f"before a program starts {resource} 1000",
        "the program has 0000000000000000 0000000000000000",
    ]


BECOMES = """\
import ctypes, importlib.util, os, re, subprocess
spec = importlib.util.spec_from_file_location("executor", {executor!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)

def capabilities(which):
    return re.search("Cap" + which + r":\\s*(\\w+)", open("/proc/self/status").read())[1]

def prepare():
    module.be_killed_first()
    value = open("/proc/self/oom_score_adj").read().strip()
    print("before a program starts", capabilities("Eff"), value, flush=True)

CLONE_NEWUSER = 0x10000000
print("alone" if ctypes.CDLL(None).unshare(CLONE_NEWUSER) == 0 else "not alone", flush=True)
input()
os.setgid(0)
os.setuid(0)
module.become(60990, [])
print("it keeps " + capabilities("Prm") + ", uses " + capabilities("Eff"), flush=True)
shell = "the='the program has'; echo $the $(grep -E 'Cap(Prm|Eff)' /proc/self/status | cut -f2)"
subprocess.run(["sh", "-c", shell], preexec_fn=prepare)
"""
