"""A driver that nobody keeps up: what keeps it, and how long a look at its GPU may take."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.nvidia import StubTools, form, gpus_of, stub_tools
from tests.support.processes import wait_for
from tests.support.scripts import load

pytestmark = pytest.mark.once
executor = load("executor")
gpus = partial(gpus_of, executor)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubTools:
    return stub_tools(executor, tmp_path, monkeypatch)


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


# --- How long a look may take ----------------------------------------------------------


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
