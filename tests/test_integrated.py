"""GPUs without memory of their own are refused, or used with a warning. Stub nvidia-smi and trees.

Names and forms: NVIDIA's DGX Spark user guide and its forum (GB10, "Not Supported" and "[N/A]" for
memory), and JetPack 6's nvidia-smi on Jetson Orin ("Orin (nvgpu)", "N/A").
"""

from pathlib import Path
from typing import Any

import pytest

from tests.support.gpus import StubGpus
from tests.support.scripts import load

pytestmark = pytest.mark.once
executor = load("executor")


def gpu(name: str, bus: str = "00000000:01:00.0") -> Any:
    return executor.Gpu("0", "GPU-1", name, "sm_121", "580.95.05", bus)


@pytest.mark.parametrize(
    ("name", "total", "used", "integrated"),
    [
        ("NVIDIA GB10", "[N/A]", "[N/A]", True),
        ("NVIDIA GB10", "124610", "7000", True),  # should a driver once say the host's
        ("Orin (nvgpu)", "N/A", "N/A", True),
        ("NVIDIA Thor", "[N/A]", "[N/A]", True),
        ("NVIDIA Something New", "[N/A]", "[N/A]", True),
        ("NVIDIA Something New", "[Not Supported]", "[Not Supported]", True),
        ("NVIDIA Something New", "Not Supported", "Not Supported", True),
        ("NVIDIA H100 80GB HBM3", "81559", "4", False),
        ("NVIDIA GH200 480GB", "97871", "0", False),
        ("NVIDIA GB200", "189471", "0", False),
        ("NVIDIA GB100", "1", "0", False),
        ("NVIDIA GeForce GTX 1080 Ti", "11264", "0", False),
        # Not known to this user is not "none", and one field alone says little.
        (
            "NVIDIA A100-SXM4-40GB",
            "[Insufficient Permissions]",
            "[Insufficient Permissions]",
            False,
        ),
        ("NVIDIA A100-SXM4-40GB", "40960", "[N/A]", False),
        ("NVIDIA A100-SXM4-40GB", "[Unknown Error]", "[Unknown Error]", False),
    ],
)
def test_which_are(tmp_path: Path, name: str, total: str, used: str, integrated: bool) -> None:
    assert executor.is_integrated(gpu(name), total, used, tmp_path) is integrated


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("proc/device-tree/compatible", "nvidia,p3737-0000+p3701-0005\0nvidia,tegra234\0"),
        ("etc/nv_tegra_release", "# R36 (release), REVISION: 4.3\n"),
    ],
)
def test_on_a_tegra_it_is_the_one_without_a_place_on_the_bus(
    tmp_path: Path, path: str, text: str
) -> None:
    """An IGX Orin may have an RTX 6000 Ada beside its own."""
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(text)
    own, card = gpu("NVIDIA iGPU", "N/A"), gpu("NVIDIA RTX 6000 Ada Generation")
    assert executor.is_integrated(own, "7620", "1", tmp_path)
    assert not executor.is_integrated(card, "49140", "1", tmp_path)
    assert not executor.is_integrated(own, "7620", "1", tmp_path / "elsewhere")


@pytest.mark.processes
def test_it_is_refused_unless_it_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stub = StubGpus(tmp_path, 2)
    monkeypatch.setenv("PATH", stub.path)
    asked = ["--nproc-compile", "1", "--nproc-execute", "2"]
    gpus = executor.gpus_for_workers(executor.parse(asked))
    executor.refuse_integrated(gpus, False)
    stub.change(1, **{"memory.total": "[N/A]", "memory.used": "[N/A]"})
    with pytest.raises(
        executor.BadSetup, match=r"GPU 1 .*no memory of its own.*--allow-integrated"
    ):
        executor.refuse_integrated(gpus, False)
    assert not executor.parse(asked).allow_integrated_gpu
    executor.refuse_integrated(
        gpus, executor.parse([*asked, "--allow-integrated-gpu"]).allow_integrated_gpu
    )
    assert "WARNING: GPU 1 " in capsys.readouterr().err
