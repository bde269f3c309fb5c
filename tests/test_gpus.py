"""GPUs as executor.py finds and watches them, with a stub nvidia-smi and a stub kernel log."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.gpus import StubGpus
from tests.support.nvidia import form
from tests.support.scripts import load

pytestmark = pytest.mark.once
executor = load("executor")

ASLEEP, HEAT, POWER = 0x1, 0x60, 0x4
SPLIT = [["1g.10gb", "MIG-aaaa-1", 7, 0], ["2g.20gb", "MIG-aabb-2", 3, 1]]


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubGpus:
    stub = StubGpus(tmp_path, 3)
    for number, uuid in enumerate(("GPU-aaaa-0", "GPU-aabb-1", "GPU-cccc-2")):
        stub.change(number, uuid=uuid)
    monkeypatch.setenv("PATH", stub.path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return stub


# --- Finding -----------------------------------------------------------------------------


def test_what_is_found(stub: StubGpus) -> None:
    first, second, _ = executor.find_gpus()
    assert first == executor.Gpu(
        "0", "GPU-aaaa-0", "Stub GPU", "sm_90", "580.00.00", "00000000:0A:00.0"
    )
    assert second.index == "1"


def test_one_that_fell_off_the_bus_hides_no_other(stub: StubGpus) -> None:
    stub.change(1, missing=True)
    assert [gpu.index for gpu in executor.find_gpus()] == ["0", "2"]


@pytest.mark.processes
def test_without_nvidia_smi_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert executor.find_gpus() == []
    assert executor.why_no_gpu() == "nvidia-smi cannot be run: No such file or directory"


def test_what_nvidia_smi_says_of_no_gpu_is_told(stub: StubGpus) -> None:
    for number in range(3):
        stub.change(number, missing=True)
    options = executor.parse(["--nproc-compile", "1", "--nproc-execute", "1"])
    with pytest.raises(executor.BadSetup, match=r"there are \(0; nvidia-smi says: No devices were"):
        executor.gpus_for_workers(options)


@pytest.mark.parametrize(
    ("allowed", "found"),
    [
        ("0", ["0"]),
        ("2,0", ["2", "0"]),
        (" 1 , 2 ", ["1", "2"]),
        ("GPU-cccc-2", ["2"]),
        ("GPU-c,GPU-aaa", ["2", "0"]),
    ],
)
def test_an_inherited_choice_is_kept(
    stub: StubGpus, monkeypatch: pytest.MonkeyPatch, allowed: str, found: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    assert [gpu.index for gpu in executor.find_gpus()] == found


@pytest.mark.parametrize(
    ("allowed", "words"),
    [
        ("", "'', and so gives this executor no GPU"),
        ("-1", "gives this executor no GPU"),
        ("0,", "gives this executor no GPU"),
        ("0,-1", "gives this executor no GPU"),
        ("3", "3 is the name of no GPU here"),
        ("NoDevFiles", "NoDevFiles is the name of no GPU here"),
        ("GPU-dddd", "GPU-dddd is the name of no GPU here"),
        ("MIG-aaaa-1", "MIG-aaaa-1 is the name of no GPU here"),
        ("GPU-aa", "GPU-aa is the name of several GPUs"),
        ("G", "G is the name of no GPU here"),
        ("1,GPU-aabb-1", "names GPU 1 twice"),
    ],
)
def test_a_choice_that_is_none_is_an_error_and_never_all_gpus(
    stub: StubGpus, monkeypatch: pytest.MonkeyPatch, allowed: str, words: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    with pytest.raises(executor.BadSetup) as raised:
        executor.find_gpus()
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_instances_of_a_gpu_that_is_split_are_gpus(stub: StubGpus) -> None:
    stub.change(1, **{"mig.mode.current": "Enabled", "instances": SPLIT})
    gpus = executor.find_gpus()
    assert [gpu.index for gpu in gpus] == ["0", "1:0", "1:1", "2"]
    assert gpus[1]._asdict() == {
        "index": "1:0",
        "uuid": "MIG-aaaa-1",
        "name": "Stub GPU MIG 1g.10gb",
        "architecture": "sm_90",
        "driver": "580.00.00",
        "bus": "00000000:0B:00.0",
        "whole": "GPU-aabb-1",
        "instance": "gi7/ci0",
    }


@pytest.mark.parametrize(
    ("allowed", "found"),
    [
        ("MIG-aabb-2", ["1:1"]),
        ("MIG-aab,MIG-aaa", ["1:1", "1:0"]),
        ("1", ["1:0", "1:1"]),
        ("1:1", ["1:1"]),
        ("GPU-aabb-1,0", ["1:0", "1:1", "0"]),
        ("GPU-aab", ["1:0", "1:1"]),
        ("MIG-GPU-aabb-1/7/0", ["1:0"]),  # as Slurm may write it
    ],
)
def test_instances_are_chosen_too(
    stub: StubGpus, monkeypatch: pytest.MonkeyPatch, allowed: str, found: list[str]
) -> None:
    stub.change(1, **{"mig.mode.current": "Enabled", "instances": SPLIT})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    assert [gpu.index for gpu in executor.find_gpus()] == found


def test_the_beginning_of_two_instances_names_neither(
    stub: StubGpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.change(1, **{"mig.mode.current": "Enabled", "instances": SPLIT})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-aa")
    with pytest.raises(executor.BadSetup, match="MIG-aa is the name of several GPUs"):
        executor.find_gpus()


def test_a_gpu_that_is_split_without_instances_is_none(stub: StubGpus) -> None:
    stub.change(1, **{"mig.mode.current": "Enabled"})
    assert [gpu.index for gpu in executor.find_gpus()] == ["0", "2"]


# --- The gate ----------------------------------------------------------------------------


@pytest.fixture
def gate(stub: StubGpus, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Of GPU 1, which was found well."""
    monkeypatch.setattr(executor, "SETTLE_SECONDS", 0.5)
    gate = executor.Gate(executor.find_gpus()[1], executor.KernelLog(stub.kernel_log))
    gate.check(lambda: None)
    assert gate.passed()
    return gate


def check(gate: Any) -> list[str]:
    """Whether it passes, and whether it was probed: "passed", or why not."""
    said: list[str] = []
    try:
        gate.check(lambda: said.append("probed"))
        said.append("passed")
    except executor.GpuTrouble as trouble:
        said.append(str(trouble))
    return said


def test_a_gpu_is_probed_at_first_and_then_only_where_there_is_doubt(
    stub: StubGpus, gate: Any
) -> None:
    assert check(gate) == ["passed"]
    gate.look_after(executor.Ended("ended", exit_code=0))
    assert check(gate) == ["passed"]
    gate.look_after(executor.Ended("ended", exit_code=1))
    assert check(gate) == ["passed"]
    for ended in (executor.Ended("time"), executor.Ended("ended", signal=11)):
        assert gate.look_after(ended) == ""
        assert check(gate) == ["probed", "passed"]


def test_where_xids_cannot_be_seen_a_failure_raises_doubt(stub: StubGpus) -> None:
    gate = executor.Gate(executor.find_gpus()[1], None)
    assert check(gate) == ["probed", "passed"]
    gate.look_after(executor.Ended("ended", exit_code=1))
    assert check(gate) == ["probed", "passed"]


def test_what_is_stamped(stub: StubGpus, gate: Any) -> None:
    stub.change(1, **{"clocks_event_reasons.active": f"0x{ASLEEP | HEAT | POWER:016x}"})
    gate.look_after(executor.Ended("ended", exit_code=0))
    assert gate.stamp() == {
        "index": "1",
        "uuid": "GPU-aabb-1",
        "name": "Stub GPU",
        "architecture": "sm_90",
        "driver": "580.00.00",
        "sm_clock_mhz": 1980,
        "memory_clock_mhz": 2619,
        "temperature_c": 41,
        "throttled": ["heat", "power cap"],
    }


@pytest.mark.parametrize(
    ("unknown", "throttled"),
    [
        (["clocks_event_reasons.active"], ["power cap"]),
        (["gpu_recovery_action"], []),
        (["clocks_event_reasons.active", "clocks_throttle_reasons.active",
          "gpu_recovery_action"], None),
    ],
)  # fmt: skip
def test_an_older_driver_is_asked_for_what_it_knows(
    stub: StubGpus, unknown: list[str], throttled: Any
) -> None:
    stub.unknown_fields = unknown
    stub.change(1, **{"clocks_throttle_reasons.active": f"0x{POWER:016x}"})
    gate = executor.Gate(executor.find_gpus()[1], None)
    assert check(gate) == ["probed", "passed"]
    assert gate.reading["throttled"] == throttled


def test_what_cannot_be_read_is_left_out(stub: StubGpus, gate: Any) -> None:
    stub.change(1, **{"clocks.mem": "[N/A]", "memory.used": "[N/A]",
                      "clocks_event_reasons.active": "[N/A]"})  # fmt: skip
    assert check(gate) == ["passed"]
    assert gate.reading["memory_clock_mhz"] is None
    assert gate.reading["throttled"] is None


def test_a_process_that_stays_fails_and_one_that_goes_does_not(stub: StubGpus, gate: Any) -> None:
    stub.change(1, processes=[[4711, "/usr/bin/python3"]])
    assert check(gate) == ["processes are on it: 4711 (python3)"]
    looks = []

    def goes() -> str:
        looks.append(look())
        stub.change(1, processes=[])
        return looks[-1]

    look, gate.look = gate.look, goes
    stub.change(1, processes=[[4711, "/usr/bin/python3"]])
    assert check(gate) == ["passed"]
    assert looks == ["processes are on it: 4711 (python3)", ""]


def test_a_process_whose_name_has_commas_is_one(stub: StubGpus, gate: Any) -> None:
    stub.change(1, processes=[[4711, "python3 train.py --a 1,2,3"]])
    assert check(gate) == ["processes are on it: 4711 (python3 train.py --a 1,2,3)"]


def test_a_process_on_another_gpu_is_no_matter(stub: StubGpus, gate: Any) -> None:
    stub.change(0, processes=[[4711, "python3"]])
    assert check(gate) == ["passed"]


def test_memory_that_nobody_gives_back_fails(stub: StubGpus, gate: Any) -> None:
    stub.change(1, **{"memory.used": 4 + executor.SPARE_MIB})
    assert check(gate) == ["passed"]
    stub.change(1, **{"memory.used": 5000})
    assert check(gate) == ["5000 MiB of its memory are in use and 4 were while it was idle"]


def test_memory_that_stays_in_use_is_normal_after_some_checks(
    stub: StubGpus, gate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "SETTLE_SECONDS", 0)
    stub.change(1, **{"memory.used": 500})
    words = "500 MiB of its memory are in use and 4 were while it was idle"
    assert [check(gate) for _ in range(2)] == [[words]] * 2
    stub.change(1, processes=[[4711, "python3"]])
    assert check(gate) == ["processes are on it: 4711 (python3)"]
    stub.change(1, processes=[])
    assert [check(gate) for _ in range(3)] == [[words]] * 3
    assert check(gate) == ["probed", "passed"]
    stub.change(1, **{"memory.used": 600})
    assert check(gate) == ["600 MiB of its memory are in use and 500 were while it was idle"]


def test_more_memory_than_drivers_keep_is_never_normal(
    stub: StubGpus, gate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "SETTLE_SECONDS", 0)
    stub.change(1, **{"memory.used": 10240})
    first = "10240 MiB of its memory are in use and 4 were while it was idle"
    then = (
        "10240 MiB of its memory are in use and no process is on it: "
        "nvidia-smi -pm 0 -i 1, then nvidia-smi --gpu-reset -i 1 mends that, or a reboot"
    )
    seen = [check(gate) for _ in range(8)]
    assert seen == [[first]] * 3 + [[then]] * 5
    stub.change(1, **{"memory.used": 4})
    assert check(gate)[-1] == "passed"


@pytest.mark.parametrize(("used", "is_well"), [(1024, True), (1088, True), (1089, False)])
def test_what_is_in_use_at_the_first_look(
    stub: StubGpus, monkeypatch: pytest.MonkeyPatch, used: int, is_well: bool
) -> None:
    monkeypatch.setattr(executor, "SETTLE_SECONDS", 0)
    stub.change(1, **{"memory.used": used})
    gate = executor.Gate(executor.find_gpus()[1], None)
    for _ in range(6):
        assert (check(gate)[-1] == "passed") is is_well


@pytest.mark.parametrize("code", [13, 31, 43, 45, 63, 69, 94, 109, 137, 145, 157, 160])
def test_an_xid_of_a_programs_own_raises_doubt_alone(
    stub: StubGpus, gate: Any, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    stub.xid(1, code, "pid=1, name=program, Graphics Exception")
    assert gate.look_after(executor.Ended("ended", exit_code=1)) == ""
    assert check(gate) == ["probed", "passed"]
    assert f"GPU 1: Xid {code}: pid=1" in capsys.readouterr().err


@pytest.mark.parametrize(
    "code",
    [46, 48, 62, 64, 74, 79, 95, 110, 119, 120, 136, 140, 143, 151, 155, 156, 158],
)
def test_an_xid_that_asks_for_a_reset_fails_once(stub: StubGpus, gate: Any, code: int) -> None:
    stub.xid(1, code, "GPU has fallen off the bus.")
    words = f"Xid {code} (GPU has fallen off the bus.)"
    assert gate.look_after(executor.Ended("ended", exit_code=1)) == words
    assert check(gate) == [words]
    gate.quarantine(words)
    assert check(gate) == ["probed", "passed"]


@pytest.mark.parametrize(
    ("action", "fails"),
    [
        ("0x0 (None)", False),
        ("0x1 (GPU Reset Required)", True),
        ("0x1 (PF FLR)", True),
        ("0x2 (Node Reboot Required)", True),
        ("0x2 (OS Reboot)", True),
        ("0x3 (Drain P2P)", False),
        ("0x4 (Drain and Reset)", True),
        ("0x5 (Recover IMEX Domain)", False),
        ("0x5", False),
        ("0x5 (GPU Reset Bus)", True),
        ("0x6 (Bus Reset)", True),
        ("0x7 (System Reboot)", True),
        ("0x9 (Something New)", False),
        ("2", True),
        ("02", True),
    ],
)
def test_only_a_recovery_action_that_resets_voids_a_result(
    stub: StubGpus, gate: Any, action: str, fails: bool
) -> None:
    stub.xid(1, 154, f"GPU recovery action changed from 0x1 (GPU Reset Required) to {action}")
    broken = gate.look_after(executor.Ended("ended", exit_code=0))
    assert broken.startswith("Xid 154") is fails
    assert check(gate) == ([broken] if fails else ["probed", "passed"])


def test_xid_154_without_an_action_is_a_doubt(stub: StubGpus, gate: Any) -> None:
    stub.xid(1, 154, "")
    assert check(gate) == ["probed", "passed"]


@pytest.mark.parametrize(
    "action",
    ["Reset", "Reboot", "Drain and Reset", "GPU Reset Required", "Node Reboot Required",
     "reset", "DRAIN AND RESET", "Drain  and  Reset", "GPU_RESET", "System Reboot"],
)  # fmt: skip
def test_a_reset_that_the_driver_asks_for_fails(stub: StubGpus, gate: Any, action: str) -> None:
    stub.change(1, gpu_recovery_action=action)
    words = " ".join(action.split()) if "  " not in action else action
    assert gate.look_after(executor.Ended("ended", exit_code=0)) == f"the driver asks for: {words}"
    stub.change(1, gpu_recovery_action="None")
    check(gate)
    assert check(gate)[-1] == "passed"


@pytest.mark.parametrize("action", ["None", "none", "N/A", "[N/A]", "[Not Supported]", ""])
def test_no_recovery_action_is_no_doubt(stub: StubGpus, gate: Any, action: str) -> None:
    stub.change(1, gpu_recovery_action=action)
    assert check(gate) == ["passed"]


@pytest.mark.parametrize(
    "action",
    ["[Insufficient Permissions]", "[Unknown Error]", "Drain P2P", "ERR!", "Recover IMEX Domain",
     "[Not Found]", "[Reset]", "Something New"],
)  # fmt: skip
def test_any_other_recovery_action_is_a_doubt_once(stub: StubGpus, gate: Any, action: str) -> None:
    stub.change(1, gpu_recovery_action=action)
    assert gate.look_after(executor.Ended("ended", exit_code=0)) == ""
    assert check(gate) == ["probed", "passed"]
    assert check(gate) == ["passed"]  # it computed with that
    stub.change(1, gpu_recovery_action="None")
    assert check(gate) == ["passed"]
    stub.change(1, gpu_recovery_action=action)
    assert check(gate) == ["probed", "passed"]


@pytest.mark.parametrize("text", ["[Unknown Error]", "[Not Found]", "ERR!"])
@pytest.mark.parametrize("field", ["memory.used", "temperature.gpu", "clocks.sm", "clocks_event_reasons.active"])  # fmt: skip  # noqa: E501
def test_a_value_that_cannot_be_read_is_a_doubt_and_no_fault(
    stub: StubGpus, gate: Any, field: str, text: str
) -> None:
    stub.change(1, **{field: text})
    assert gate.look_after(executor.Ended("ended", exit_code=0)) == ""
    assert check(gate) == ["probed", "passed"]
    assert check(gate) == ["passed"]


@pytest.mark.parametrize("text", ["[GPU requires reset]", "[GPU is lost]", "GPU is lost"])
@pytest.mark.parametrize("field", ["memory.used", "clocks.sm", "gpu_recovery_action"])
def test_a_gpu_that_the_driver_calls_lost_voids_a_result(
    stub: StubGpus, gate: Any, field: str, text: str
) -> None:
    stub.change(1, **{field: text})
    words = f"nvidia-smi says of it: {text}"
    assert gate.look_after(executor.Ended("ended", exit_code=1)) == words
    assert check(gate) == [words]


def test_what_nvidia_smi_says_of_no_gpu_is_told_whole(stub: StubGpus, gate: Any) -> None:
    stub.says = (Path(__file__).parent / "data/nvidia/mismatch.txt").read_text()
    stub.write()
    assert "Driver/library version mismatch NVML library version" in check(gate)[0]


def test_a_context_switch_that_took_too_long_fails_only_if_the_driver_asks_for_a_reset(
    stub: StubGpus, gate: Any
) -> None:
    words = "pid=1, name=main, channel 0x00000018, errorString CTX SWITCH TIMEOUT, Info 0x5c02a"
    stub.xid(1, 109, words)
    assert gate.look_after(executor.Ended("time")) == ""
    assert check(gate) == ["probed", "passed"]
    stub.xid(1, 109, words)
    stub.change(1, gpu_recovery_action="Reset")
    assert gate.look_after(executor.Ended("time")) == "the driver asks for: Reset"


def test_a_process_that_nvidia_smi_may_not_name_is_one(stub: StubGpus, gate: Any) -> None:
    stub.change(1, processes=[[524, "[Insufficient Permissions]"]])
    assert check(gate) == ["processes are on it: 524 ([Insufficient Permissions])"]
    stub.change(1, processes=[["[N/A]", "[N/A]"]])
    assert check(gate) == ["passed"]


def test_xids_of_others_and_of_before_are_no_matter(stub: StubGpus, gate: Any) -> None:
    stub.xid(0, 79, "GPU has fallen off the bus.")
    with stub.kernel_log.open("a") as file:
        file.write("6,1,2,-;NVRM: Xid (PCI:zz): 79, nonsense\n NVRM: nothing\n")
    assert check(gate) == ["passed"]
    stub.xid(1, 79, "GPU has fallen off the bus.")
    assert check(executor.Gate(gate.gpu, executor.KernelLog(stub.kernel_log)))[-1] == "passed"


def test_a_line_of_the_log_that_comes_in_two_parts(stub: StubGpus, gate: Any) -> None:
    for part in ("4,1,2,-;NVRM: Xid (PCI:0000:0b", ":00 GPU-I:05): 95, uncontained"):
        with stub.kernel_log.open("a") as file:
            file.write(part)
        assert check(gate) == ["passed"]
    with stub.kernel_log.open("a") as file:
        file.write(" error\n")
    assert check(gate) == ["Xid 95 (uncontained error)"]


@pytest.mark.parametrize("emptied", [False, True])
def test_a_log_that_is_rotated_is_followed(stub: StubGpus, gate: Any, emptied: bool) -> None:
    stub.xid(1, 31, "of before the rotation")
    assert gate.look_after(executor.Ended("ended", exit_code=0)) == ""
    if emptied:
        stub.kernel_log.write_text("")
    else:
        stub.kernel_log.rename(stub.kernel_log.with_suffix(".1"))
    stub.xid(1, 79, "off")
    assert check(gate) == ["probed", "Xid 79 (off)"]
    stub.xid(1, 95, "again")
    assert check(gate) == ["Xid 95 (again)"]


def test_the_real_kernel_log_can_be_followed() -> None:
    try:
        log = executor.KernelLog(Path("/dev/kmsg"))
    except OSError as error:
        pytest.skip(f"needs a kernel log that can be read ({error.strerror})")
    assert log.new_xids("00000000:01:00.0") == []


def test_a_gpu_that_goes_missing_fails(stub: StubGpus, gate: Any) -> None:
    stub.change(1, missing=True)
    assert check(gate) == ["nvidia-smi does not find it: No devices were found"]


def test_an_nvidia_smi_that_hangs_is_left_behind(
    stub: StubGpus, gate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor.ask_nvidia_smi, "__kwdefaults__", {"seconds": 1})
    stub.hangs = "GPU-aabb-1"
    stub.write()
    began = time.monotonic()
    assert check(gate) == ["nvidia-smi does not answer within 1 s"]
    assert time.monotonic() - began < 30
    assert stub.hung()
    assert not any(map(executor.is_running, stub.hung()))
    assert check(executor.Gate(executor.find_gpus()[0], None)) == ["probed", "passed"]


def test_one_that_hangs_right_after_a_job_leaves_its_result(
    stub: StubGpus, gate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor.ask_nvidia_smi, "__kwdefaults__", {"seconds": 1})
    stub.hangs = "GPU-aabb-1"
    stub.write()
    assert gate.look_after(executor.Ended("ended", exit_code=0)) == ""
    assert "temperature_c" not in gate.stamp()
    assert check(gate) == ["nvidia-smi does not answer within 1 s"]
    stub.hangs = False
    stub.write()
    assert check(gate) == ["probed", "passed"]


def test_those_that_cannot_be_killed_do_not_add_up(
    stub: StubGpus, gate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stubs for processes in uninterruptible sleep, which nobody can make on purpose."""

    class Unkillable:
        def poll(self) -> None:
            return None

    monkeypatch.setattr(executor.HANGING, "processes", [Unkillable() for _ in range(8)])
    assert check(gate) == ["nvidia-smi hangs, and cannot be killed"]


def test_a_process_that_cannot_be_killed_keeps_its_gpu_out(stub: StubGpus, gate: Any) -> None:
    """This test's own process stands for it."""
    ended = executor.Ended("time", unkillable=[os.getpid()])
    words = f"process {os.getpid()} on it cannot be killed"
    assert gate.look_after(ended) == words
    assert check(gate) == [words]
    gate.quarantine(words)
    assert check(gate) == [words]
    gate.unkillable = [2**22 + 1]  # larger than any pid
    assert check(gate) == ["probed", "passed"]


def test_a_gpu_that_fails_again_soon_is_tried_ever_less_often(stub: StubGpus, gate: Any) -> None:
    least, most = executor.QUARANTINE_SECONDS
    pauses = []
    for _ in range(9):
        assert gate.quarantine("it fails")
        pauses.append(gate.pause())
        gate.check(lambda: None)
        assert gate.passed()
    assert pauses[0] <= least
    assert pauses[-1] >= most / 2
    gate._passed_at -= executor.STEADY_SECONDS
    gate.quarantine("it fails after long")
    assert gate.pause() <= least


def test_what_staff_are_told(stub: StubGpus, gate: Any) -> None:
    assert gate.about()["condition"] == "ready"
    assert gate.quarantine("Xid 79")
    assert not gate.quarantine("Xid 79")
    about = gate.about()
    assert (about["condition"], about["reason"]) == ("quarantined", "Xid 79")
    assert about["since"].endswith("Z")


def test_xids_in_the_forms_of_the_kernels_log(tmp_path: Path) -> None:
    path = tmp_path / "stub-kmsg"
    path.touch()
    buses = ("00000000:01:00.0", "00010000:E1:00.0", "00000000:03:00.0", "")
    logs = [(bus, executor.KernelLog(path)) for bus in buses]
    path.write_text(form("xids"))
    seen = [[xid for xid, _ in log.new_xids(bus)] for bus, log in logs]
    assert seen == [[79, 154, 109, 94], [119], [14], []]
