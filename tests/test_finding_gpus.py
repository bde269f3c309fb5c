"""Which GPUs are found, in the forms in which drivers print them."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.nvidia import StubTools, form, options_of, stub_tools
from tests.support.scripts import load

pytestmark = pytest.mark.once
executor = load("executor")
options = partial(options_of, executor)
XML = """<?xml version="1.0" ?><nvidia_smi_log><gpu><mig_devices>
<mig_device><index>0</index><gpu_instance_id>1</gpu_instance_id><compute_instance_id>0</compute_instance_id></mig_device>
<mig_device><index>1</index><gpu_instance_id>9</gpu_instance_id><compute_instance_id>0</compute_instance_id></mig_device>
<mig_device><index>10</index><gpu_instance_id>11</gpu_instance_id><compute_instance_id>0</compute_instance_id></mig_device>
</mig_devices></gpu></nvidia_smi_log>"""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubTools:
    return stub_tools(executor, tmp_path, monkeypatch)


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


# --- Places on the bus -----------------------------------------------------------------


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
