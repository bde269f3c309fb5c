"""A stub `nvidia-smi` and what belongs to it, for tests on machines without a GPU.

Its answers have the form of the real one's, taken from its documentation, and it knows no more
than its file of state, which the test changes while the executor works.
"""

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support.processes import ROOT
from tests.support.stubs import AS_SHELL, fake_nvcc

STUB_NVIDIA_SMI = """#!{python} -IS
import json, os, sys, time
state = json.loads(open({state!r}).read())
asked = sys.argv[1:]
if state["says"]:
    print(state["says"])
    sys.exit(9)
if "-pm" in asked:
    open({state!r} + ".persistent", "w")
    print("Enabled persistence mode for GPU 00000000:0A:00.0.")
    sys.exit()
of = asked[asked.index("-i") + 1] if "-i" in asked else None
gpus = [g for g in state["gpus"] if not g["missing"] and of in (None, g["uuid"])]
if state["hangs"] in (True, of):
    open({state!r} + ".hung", "a").write(str(os.getpid()) + "\\\\n")
    time.sleep(600)
if not gpus:
    print("No devices were found")
    sys.exit(6)

def query(fields, rows):
    for field in fields:
        if field in state["unknown_fields"]:
            print('Field "%s" is not a valid field to query.' % field)
            sys.exit(2)
    for row in rows:
        if os.path.exists({state!r} + ".persistent"):
            row["persistence_mode"] = "Enabled"
        print(", ".join(str(row.get(field, "[N/A]")) for field in fields))

for option in asked:
    name, _, fields = option.partition("=")
    if name == "--query-gpu":
        if any(g["missing"] for g in state["gpus"]) and of is None:
            print("Unable to determine the device handle for GPU1: 0000:02:00.0: Unknown Error")
        query(fields.split(","), gpus)
    elif name == "--query-compute-apps":
        apps = [(g["uuid"], *app) for g in gpus for app in g["processes"]]
        query(fields.split(","), [dict(zip(("gpu_uuid", "pid", "process_name"), a)) for a in apps])
    elif name == "-L":
        for g in gpus:
            print("GPU %s: %s (UUID: %s)" % (g["index"], g["name"], g["uuid"]))
            for n, (profile, uuid, _, _) in enumerate(g["instances"]):
                print("  MIG %-11s Device  %d: (UUID: %s)" % (profile, n, uuid))
    elif name == "-x":
        print('<?xml version="1.0" ?>\\\\n<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">')
        print("<nvidia_smi_log>")
        for g in gpus:
            print("<gpu><uuid>%s</uuid><mig_devices>" % g["uuid"])
            for n, (_, _, gi, ci) in enumerate(g["instances"]):
                print("<mig_device><index>%d</index><gpu_instance_id>%d</gpu_instance_id>"
                      "<compute_instance_id>%d</compute_instance_id></mig_device>" % (n, gi, ci))
            print("</mig_devices></gpu>")
        print("</nvidia_smi_log>")
""".replace("\\\\n", "\\n")

# Stands for the probe that nvcc would make of executor.py's CUDA source.
STUB_PROBE = """#!{python} -IS
import json, os, sys
for gpu in json.loads(open({state!r}).read())["gpus"]:
    if gpu["uuid"] == os.environ["CUDA_VISIBLE_DEVICES"] and gpu["computes"]:
        sys.exit(43)
print("cudaMalloc: unspecified launch failure, says the stub")
sys.exit(1)
"""


# Nobody can make a process that SIGKILL does not end, on purpose. So this stands for it: the real
# executor, but its slots kill everything save what is called so.
STUB_UNKILLABLE = """
_really_kill_group = kill_group


def kill_group(pid):
    if b"stub-unkillable" not in Path("/proc/%d/cmdline" % pid).read_bytes():
        _really_kill_group(pid)


"""
# Shell that starts such a process and goes on.
UNKILLABLE = (
    "setsid bash -c 'echo $$ >{pid_file}.part; mv {pid_file}.part {pid_file}; "
    "exec -a stub-unkillable sleep 600' &>/dev/null &\n"
    "until [ -e {pid_file} ]; do sleep 0.05; done\n"
)


def kill_if_left(pid_file: Path) -> None:
    """Ends it."""
    with suppress(OSError, ValueError):
        pid = int(pid_file.read_text())
        if b"stub-unkillable" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)


def stub_executor(folder: Path) -> Path:
    """executor.py, but for that; and it tries GPUs again sooner, however often they failed."""
    before, main, after = (ROOT / "executor.py").read_text().partition('if __name__ == "__main__":')
    script = folder / "executor-with-stub-unkillable.py"
    sooner = "QUARANTINE_SECONDS = (1.0, 4.0)\n\n\n"
    script.write_text(before + STUB_UNKILLABLE + sooner + main + after)
    return script


class StubGpus:
    """Some GPUs that are not there, in a folder of their own."""

    def __init__(self, folder: Path, count: int = 1) -> None:
        self._bin = folder / "stub-gpus"
        self._bin.mkdir()
        self._state = self._bin / "state.json"
        self.kernel_log = self._bin / "stub-kmsg"
        self.kernel_log.touch()
        self.unknown_fields: list[str] = []
        self.hangs: bool | str = False
        self.says = ""  # instead of any answer: the driver is not up
        self.gpus = [stub_gpu(number, folder.name) for number in range(count)]
        self.write()
        self._script("nvidia-smi", STUB_NVIDIA_SMI)
        self._script("stub-probe", STUB_PROBE)
        self.nvcc = fake_nvcc(
            self._bin, f'[ "$src" = ./probe.cu ] && echo "exec {self._bin}/stub-probe" >"$src"\n'
            + AS_SHELL,
        )  # fmt: skip
        self.path = f"{self._bin}:{os.environ['PATH']}"

    def _script(self, name: str, text: str) -> None:
        path = self._bin / name
        path.write_text(text.format(python=sys.executable, state=str(self._state)))
        path.chmod(0o755)

    def write(self) -> None:
        """Shows the executor what was changed, whole."""
        state = {
            "gpus": self.gpus,
            "unknown_fields": self.unknown_fields,
            "hangs": self.hangs,
            "says": self.says,
        }
        draft = self._state.with_suffix(".part")
        draft.write_text(json.dumps(state))
        draft.replace(self._state)

    def change(self, number: int, **what: Any) -> None:
        self.gpus[number].update(what)
        self.write()

    def xid(self, number: int, code: int, words: str) -> None:
        """The driver reports an Xid error, in a line as the kernel's log has it."""
        bus = self.gpus[number]["pci.bus_id"][4:-2]
        with self.kernel_log.open("a") as file:
            file.write(f"4,1234,5678901234,-;NVRM: Xid (PCI:{bus}): {code}, {words}\n")

    def hung(self) -> list[int]:
        """The pids of those nvidia-smi that were asked and do not answer."""
        told = Path(f"{self._state}.hung")
        return [int(pid) for pid in told.read_text().split()] if told.exists() else []

    @property
    def options(self) -> dict[str, Any]:
        """For `start_executor`."""
        return {"gpus": True, "nvcc": self.nvcc, "PATH": self.path}


def stub_gpu(number: int, world: str) -> dict[str, Any]:
    """A GPU with the fields that the stub is asked for. Locks are the machine's, so each test
    has UUIDs of its own."""
    return {
        "index": number,
        "uuid": f"GPU-{number}{os.getpid():07d}-{world}",
        "name": "Stub GPU",
        "compute_cap": "9.0",
        "driver_version": "580.00.00",
        "pci.bus_id": f"00000000:{number + 10:02X}:00.0",
        "mig.mode.current": "Disabled",
        "memory.total": 81559,
        "memory.used": 4,
        "temperature.gpu": 41,
        "clocks.sm": 1980,
        "clocks.mem": 2619,
        "clocks_event_reasons.active": "0x0000000000000000",
        "clocks_throttle_reasons.active": "0x0000000000000000",
        "gpu_recovery_action": "None",
        "processes": [],
        "instances": [],
        "missing": False,
        "computes": True,
    }
