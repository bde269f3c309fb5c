"""libcuda.so.1, wherever a host has it: found as programs find it, by the loader (G14).

The libraries here are real shared ones, compiled for it, with one function.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import need
from tests.support.processes import NVCC, has_sandbox
from tests.support.sandbox import own_uids
from tests.support.scripts import load

pytestmark = [pytest.mark.once, pytest.mark.processes]
executor = load("executor")
LIMITS = {**executor.DEFAULT_LIMITS, "log_bytes": 10_000, "output_bytes": 1 << 20}
GPU = executor.Gpu("0", "GPU-1", "Stub", "sm_90", "1.0")


@pytest.fixture
def place() -> Iterator[Path]:
    """Where every user can reach it."""
    folder = Path(tempfile.mkdtemp(prefix="telerun-driver-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def library(folder: Path) -> Path:
    """A shared library of that name."""
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "stub.c"
    source.write_text("int cuInit(unsigned flags) { return 100; }\n")
    path = folder / "libcuda.so.1"
    argv = ["gcc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", str(path), str(source)]
    subprocess.run(argv, check=True)
    return path


def checked(tmp_path: Path, driver: list[str]) -> tuple[int | None, str]:
    """The self-test of a sandbox with a GPU: its exit status and what it says."""
    need("bubblewrap", has_sandbox())
    options = executor.parse(
        ["--nproc-compile", "1", "--nproc-execute", "1",
         "--sandbox-uid-base", str(own_uids("driver"))]
    )  # fmt: skip
    libraries = executor.NO_LIBRARIES._replace(driver=driver)
    box = executor.Bubblewrap(options, "", tmp_path / "sandbox", libraries)
    box.devices._nodes = {GPU.uuid: []}
    command = box.check(tmp_path / "auth.json", tmp_path / "scratch", "", GPU)
    with closing(executor.Slot(box)) as slot:
        ended = slot.run(command, 30, LIMITS, lambda: True)
    return ended.exit_code, ended.log.decode()


def has_driver() -> bool:
    return bool(executor.finds_driver())


def test_a_sandbox_without_the_drivers_library_is_said_with_what_to_do(tmp_path: Path) -> None:
    if has_driver():
        pytest.skip("needs a machine without NVIDIA's driver")
    status, told = checked(tmp_path, [])
    assert status == 1
    assert told.startswith("libcuda.so.1, the driver's library, is not found in it")
    assert "run ldconfig, or start the executor with LD_LIBRARY_PATH=" in told
    assert len(told.splitlines()) == 1


def test_one_in_a_folder_of_its_own_is_shown_and_found(tmp_path: Path, place: Path) -> None:
    library(place / "compat")
    status, told = checked(tmp_path, [str(place / "compat")])
    assert (status, told) == (executor.CHECKED, "")


def test_one_behind_links_as_on_nixos_is_shown_and_found(tmp_path: Path, place: Path) -> None:
    """/run/opengl-driver is a link to a folder of links into another, by their full paths."""
    real = library(place / "store/driver/lib")
    links = place / "store/links/lib"
    links.mkdir(parents=True)
    (links / "libcuda.so.1").symlink_to(real)
    (place / "opengl-driver").symlink_to(place / "store/links")
    folder = str(place / "opengl-driver/lib")
    assert executor.leads_to([folder]) == [folder, str(real.parent)]
    status, told = checked(tmp_path, [folder])
    assert (status, told) == (executor.CHECKED, "")


def test_a_library_for_another_machine_is_not_taken_for_one(tmp_path: Path, place: Path) -> None:
    if has_driver():
        pytest.skip("needs a machine without NVIDIA's driver")
    (place / "libcuda.so.1").write_bytes(b"\x7fELF\x01\x01\x01" + bytes(200))
    status, told = checked(tmp_path, [str(place)])
    assert (status, "is not found in it" in told) == (1, True)


def test_what_the_operator_names_comes_first_then_the_loader_then_usual_places(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library(place / "compat")
    library(place / "wsl")
    (place / "empty").mkdir()
    monkeypatch.setattr(executor, "DRIVER_FOLDERS", ())
    search = f"{place}/empty::relative:{place}/compat"
    monkeypatch.setattr(executor, "finds_driver", lambda: True)
    assert executor.find_driver(search) == ([f"{place}/compat"], True)
    assert executor.find_driver("") == ([], True)
    monkeypatch.setattr(executor, "finds_driver", lambda: False)
    assert executor.find_driver(search) == ([f"{place}/compat"], True)
    assert executor.find_driver(f"{place}/empty") == ([], False)
    usual = (f"{place}/none", f"{place}/wsl", f"{place}/compat")
    assert executor.usual_folders(usual) == [f"{place}/wsl"]


def test_a_link_that_leads_nowhere_is_no_library(place: Path) -> None:
    (place / "libcuda.so.1").symlink_to("libcuda.so.535")
    assert executor.named_folders(str(place)) == []


def test_programs_are_told_where_it_is(tmp_path: Path, place: Path) -> None:
    """Also those in Python, and on a host without nvcc."""
    libraries: Any = executor.NO_LIBRARIES._replace(driver=[str(place)])
    box = executor.NoSandbox(libraries)
    for name in ("run", "src"):
        (tmp_path / name).mkdir()
    command = box.script(tmp_path, {}, ["/usr/bin/python3"], GPU, tmp_path / "archive", LIMITS)
    assert command.env["LD_LIBRARY_PATH"] == str(place)


def test_the_executors_own_search_path_is_asked(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library(place)
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{place}:{os.environ.get('LD_LIBRARY_PATH', '')}")
    assert executor.make_libraries("", "gcc", tmp_path / "libraries").driver == [str(place)]
    made = executor.make_libraries(executor.find_nvcc(NVCC), "gcc", tmp_path / "libraries")
    assert (list(made.driver), made.has_driver) == ([str(place)], True)
