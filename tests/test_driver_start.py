"""A driver that is not up yet, as after a boot, and the tools that bring it up."""

import resource
from functools import partial
from pathlib import Path

import pytest

from tests.support.nvidia import StubTools, form, options_of, stub_tools
from tests.support.scripts import load

pytestmark = pytest.mark.once
executor = load("executor")
options = partial(options_of, executor)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubTools:
    return stub_tools(executor, tmp_path, monkeypatch)


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


# --- NVIDIA's tools --------------------------------------------------------------------


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
