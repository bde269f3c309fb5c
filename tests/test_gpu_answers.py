"""The raw answers that `make gpu-check` keeps: all that is asked, and nobody's names."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gpu_check import table
from tests.gpu_check.anonymous import Anonymous
from tests.gpu_check.checks import raw_answers
from tests.gpu_check.deadline import Deadline
from tests.gpu_check.host import Host
from tests.support.gpus import StubGpus

pytestmark = pytest.mark.once

UUID = "GPU-5a1c7d2e-93b4-4f60-8d17-2be09c4af311"
MIG = "MIG-0f4e5d6c-7b8a-5910-a1b2-c3d4e5f60718"
# The form of `nvidia-smi -q -x`, after https://docs.nvidia.com/deploy/nvidia-smi/ and the document
# type nvsmi_device_v12.dtd. Made up, but for the names of the fields.
XML = f"""<nvidia_smi_log>
	<gpu id="00000000:19:00.0">
		<product_name>NVIDIA H200</product_name>
		<serial>1654923011225</serial>
		<uuid>{UUID}</uuid>
		<pdi>0x3e4a91c2b70d5f18</pdi>
		<platformInfo><chassis_serial_number>N/A</chassis_serial_number></platformInfo>
		<mig_device><uuid>{MIG}</uuid></mig_device>
		<processes><process_info>
			<pid>31337</pid><type>C</type>
			<process_name>/home/alice/secret-project/train</process_name>
		</process_info></processes>
	</gpu>
</nvidia_smi_log>
"""
# The form of `nvidia-smi -q`, of the same GPU.
LINES = f"""Product Name                          : NVIDIA H200
    Serial Number                         : 1654923011225
    Chassis Serial Number                 : N/A
    GPU UUID                              : {UUID}
    GPU PDI                               : 0x3e4a91c2b70d5f18
        Process ID                        : 31337
            Name                          : /home/alice/secret-project/train
    Host is gpu-node-17.cs.example.edu
"""
SECRETS = (
    UUID[4:], MIG[4:], "1654923011225", "3e4a91c2b70d5f18", "31337", "alice", "secret-project",
    "gpu-node-17",
)  # fmt: skip


def names() -> Anonymous:
    return Anonymous(["gpu-node-17", "gpu-node-17.cs.example.edu"])


@pytest.mark.parametrize("text", [XML, LINES])
def test_what_tells_whose_machine_it_is_goes(text: str) -> None:
    told = names().text(text)
    assert [secret for secret in SECRETS if secret in told] == []
    assert "NVIDIA H200" in told
    assert len(told.splitlines()) == len(text.splitlines())


def test_the_same_has_the_same_stand_in_wherever_it_is() -> None:
    anonymous = names()
    in_xml, in_lines = anonymous.text(XML), anonymous.text(LINES)
    uuid = in_lines.partition("GPU UUID")[2].split()[1]
    serial = in_lines.partition("Serial Number")[2].split()[1]
    pid = in_lines.partition("Process ID")[2].split()[1]
    for stand_in in (f"<uuid>{uuid}</uuid>", f"<serial>{serial}</serial>", f"<pid>{pid}</pid>"):
        assert stand_in in in_xml
    assert anonymous.apps(f"{UUID}, 31337, /home/alice/secret-project/train\n") == (
        f"{uuid}, {pid}, /home/user/program1\n"
    )
    other = anonymous.text(UUID.replace("5a1c", "5a1d"))
    assert other not in (uuid, UUID)
    assert other.startswith("GPU-")


@pytest.mark.parametrize(
    "text",
    [
        "<serial>N/A</serial>", "<serial>[Unknown Error]</serial>", "<pdi>0x0</pdi>",
        "Serial Number : [Insufficient Permissions]", "GPU-00000000-0000-0000-0000-000000000000",
        "GPU-????????-????-????-????-????????????", "00000000:19:00.0, 580.159.03, [N/A]",
        "No devices were found",
    ],
)  # fmt: skip
def test_what_names_nobody_stays_as_it_is(text: str) -> None:
    """The odd answers are what fixtures are for."""
    assert names().text(text) == text


@pytest.fixture
def stub_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    stub = StubGpus(tmp_path, 1)
    stub.change(0, uuid=UUID, processes=[])
    monkeypatch.setenv("PATH", stub.path)
    stub_host = Host(tmp_path / "kept")
    yield stub_host
    stub_host.close()


def run(stub_host: Host) -> table.Outcome:
    check = next(one for one in table.CHECKS if one.test is raw_answers.raw_answers)
    return table.run(check, stub_host, Deadline(600))


@pytest.mark.processes
def test_every_question_is_kept_with_its_answer(stub_host: Host) -> None:
    before = os.environ["PATH"]
    done = run(stub_host)
    assert done.result == table.PASSED, done.seen
    folder = stub_host.keep / "raw"
    told = [path.read_text() for path in sorted(folder.glob("nvidia-smi-*.txt"))]
    questions = "".join(text.partition("\n")[0] for text in told)
    for asked in ("-L", "-q -x", "memory.used", "mig.mode.current", "--query-compute-apps"):
        assert asked in questions
    assert "(exit status 6)" in questions  # of a GPU that is not there
    assert UUID not in "".join(told)
    assert "00000001-0000-4000-8000-000000000001" in "".join(told)
    assert {path.name for path in folder.glob("*-files.txt")} == {"driver-files.txt", "device-files.txt"}  # fmt: skip  # noqa: E501
    assert (os.environ["PATH"], list(stub_host.keep.glob("recorded"))) == (before, [])


@pytest.mark.processes
def test_answers_that_still_name_a_gpu_fail_the_check(
    stub_host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Anonymous, "text", lambda _, text: text)
    done = run(stub_host)
    assert done.result == table.FAILED
    assert "still names a GPU's UUID" in done.seen


def test_the_drivers_files_are_kept_as_they_are(tmp_path: Path) -> None:
    for path, text in {
        "proc/driver/nvidia/params": "ModifyDeviceFiles: 1\n",
        "proc/driver/nvidia/gpus/0000:19:00.0/information": f"GPU UUID: {UUID}\nDevice Minor: 0\n",
        "proc/driver/nvidia/capabilities/gpu0/mig/gi1/access": "DeviceFileMinor: 12\n",
        "proc/devices": "195 nvidia\n  7 vcs\n",
        "sys/bus/pci/devices/0000:19:00.0/vendor": "0x10de\n",
        "sys/bus/pci/devices/0000:19:00.0/numa_node": "-1\n",
        "sys/bus/pci/devices/0000:1a:00.0/vendor": "0x8086\n",
        "dev/nvidia0": "",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    folder = tmp_path / "kept"
    folder.mkdir()
    raw_answers.keep_driver(folder, names(), tmp_path)
    driver = (folder / "driver-files.txt").read_text()
    for words in ("ModifyDeviceFiles: 1", "Device Minor: 0", "DeviceFileMinor: 12", "195 nvidia"):
        assert words in driver
    assert UUID not in driver
    assert "numa_node: -1" in (folder / "bus.txt").read_text()
    assert "1a:00.0" not in (folder / "bus.txt").read_text()
    assert "/dev/nvidia0" in (folder / "device-files.txt").read_text()
