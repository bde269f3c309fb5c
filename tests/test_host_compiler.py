"""The operator's host compiler and flags for nvcc: --ccbin, --nvcc-flags, and the environment that
conda, Spack and clusters' modules set."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import need
from tests.support.gpus import StubGpus
from tests.support.processes import NVCC, World, has_sandbox
from tests.support.scripts import load

pytestmark = pytest.mark.once
executor = load("executor")
ODD = "a b, (c)'s"  # names of folders that are legal


def program(path: Path, text: str = "#!/bin/sh\n") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def wished(ccbin: str | None = None, flags: str = "", **environment: str) -> Any:
    return executor.host_compiler(ccbin, flags, environment)


# --- What is wished ----------------------------------------------------------------------


def test_nothing_is_the_default() -> None:
    nothing = wished()
    assert (nothing.flags(), list(nothing.after), list(nothing.folders)) == ([], [], [])
    assert nothing.about() is None
    assert wished(NVCC_CCBIN="", NVCC_PREPEND_FLAGS=" ") == nothing


@pytest.mark.parametrize("name", ["g++", "x86_64-conda-linux-gnu-c++", "clang++-18"])
def test_a_compiler_may_be_named_in_many_ways(tmp_path: Path, name: str) -> None:
    path = program(tmp_path / ODD / name)
    quoted = "'" + path.replace("'", "'\\''") + "'"
    for given in (
        wished(path),
        wished(NVCC_CCBIN=path),
        wished(NVCC_PREPEND_FLAGS=f" -ccbin={quoted}"),  # as conda's activation has it
        wished(NVCC_PREPEND_FLAGS=f"-ccbin {quoted}"),
        wished(NVCC_APPEND_FLAGS=f"--compiler-bindir {quoted}"),
        wished(flags=f"--compiler-bindir={quoted}"),
    ):
        assert given.flags() == ["-ccbin", path]
        assert given.after == []
        assert [str(folder) for folder in given.folders] == [path]


def test_the_operators_option_is_stronger_than_the_environment(tmp_path: Path) -> None:
    one, two, three = (program(tmp_path / name / "g++") for name in ("1", "2", "3"))
    both = {"NVCC_CCBIN": three, "NVCC_PREPEND_FLAGS": f"-ccbin {two} -lineinfo"}
    assert wished(one, **both).flags() == ["-lineinfo", "-ccbin", one]
    assert wished(**both).flags() == ["-lineinfo", "-ccbin", two]


def test_flags_have_the_order_that_nvcc_gives_them() -> None:
    given = wished(flags="-O2 '-Xcompiler=-Wl, a b'", NVCC_PREPEND_FLAGS="-g",
                   NVCC_APPEND_FLAGS="-w --threads=2")  # fmt: skip
    assert given.flags() == ["-g", "-O2", "-Xcompiler=-Wl, a b"]
    assert given.after == ["-w", "--threads=2"]
    assert given.about() == "-g -O2 '-Xcompiler=-Wl, a b' -w --threads=2"


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"flags": "'-O2"}, "--nvcc-flags"),
        ({"NVCC_PREPEND_FLAGS": '"'}, "NVCC_PREPEND_FLAGS"),
        ({"NVCC_APPEND_FLAGS": "\\"}, "NVCC_APPEND_FLAGS"),
        ({"ccbin": "/no/such/g++"}, "/no/such/g++"),
        ({"NVCC_CCBIN": "no-such-compiler"}, "NVCC_CCBIN"),
        ({"ccbin": "/proc/sys"}, "/proc/sys"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(given: dict[str, str], names: str) -> None:
    with pytest.raises(executor.BadSetup, match=names) as error:
        wished(**given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["my g++", "$x/g++", "a`b/g++", 'a"b/g++', "g++;ls", "g++&"])
def test_what_nvcc_cannot_call_is_refused(tmp_path: Path, name: str) -> None:
    """It calls it by way of a shell."""
    with pytest.raises(executor.BadSetup, match="Make a link to it that has another name"):
        wished(program(tmp_path / name))


def test_of_a_folder_the_compiler_in_it_is_taken(tmp_path: Path) -> None:
    folder = tmp_path / ODD
    path = program(folder / "clang++")
    assert wished(str(folder)).path == path
    path = program(folder / "g++")
    assert wished(str(folder)).path == path


# --- What the sandbox must show ----------------------------------------------------------


def test_of_a_compiler_with_parts_its_installation_is_shown(tmp_path: Path) -> None:
    """As in a conda environment, where `gcc` is a link to the real one."""
    real = program(tmp_path / "env/bin/x86_64-conda-linux-gnu-g++")
    (tmp_path / "env/libexec/gcc").mkdir(parents=True)
    assert list(wished(real).folders) == [tmp_path / "env"]
    link = tmp_path / "home/bin/g++"
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    assert set(wished(str(link)).folders) == {tmp_path / "env", link}  # and no home


@pytest.mark.parametrize(
    ("compiler", "cc", "cxx"),
    [
        ("x86_64-conda-linux-gnu-c++", "x86_64-conda-linux-gnu-cc", "x86_64-conda-linux-gnu-c++"),
        ("aarch64-conda-linux-gnu-g++", "aarch64-conda-linux-gnu-gcc",
         "aarch64-conda-linux-gnu-g++"),
        ("g++-12", "gcc-12", "g++-12"),
        ("gcc-12", "gcc-12", "g++-12"),
        ("clang++-18", "clang-18", "clang++-18"),
        ("clang", "clang", "clang++"),
        ("nvc++", "", ""),
    ],
)  # fmt: skip
def test_the_compilers_for_c_and_for_cpp_are_of_one_make(
    tmp_path: Path, compiler: str, cc: str, cxx: str
) -> None:
    for name in {compiler, cc, cxx} - {""}:
        program(tmp_path / name)
    found = [executor.sibling(str(tmp_path / compiler), for_c) for for_c in (True, False)]
    assert [os.path.basename(path) for path in found] == [cc, cxx]


def test_headers_are_found_where_conda_has_them(tmp_path: Path) -> None:
    nvcc = program(tmp_path / "bin/nvcc")
    (tmp_path / "bin/nvcc.profile").touch()
    (tmp_path / "include").mkdir()
    headers = tmp_path / "targets/x86_64-linux/include"
    headers.mkdir(parents=True)
    (headers / "cuda.h").touch()
    assert executor.include_folder(nvcc) == headers
    (tmp_path / "include/cuda.h").touch()
    assert executor.include_folder(nvcc) == tmp_path / "include"


# --- Real compiles -----------------------------------------------------------------------


def odd_compiler(folder: Path) -> Path:
    """Calls the system's, and defines a macro by which its work is known."""
    path = folder / ODD / "odd-g++"
    program(path, '#!/bin/sh\nexec /usr/bin/g++ -DBY_THE_ODD_ONE "$@"\n')
    return path


SOURCE = """#include <cstdio>
int main() {
#if defined(BY_THE_ODD_ONE) && defined(WISHED) && LAST == 2
    puts("by the odd one, as wished");
#endif
}
"""


@pytest.mark.hardening
@pytest.mark.end_to_end
@pytest.mark.processes
def test_a_compiler_outside_of_usr_compiles_in_the_sandbox(world: World) -> None:
    need("bubblewrap", has_sandbox())
    need("g++ in /usr/bin", shutil.which("/usr/bin/g++") is not None)
    alice = world.user("alice")
    world.start_server()
    compiler = odd_compiler(world.folder / "outside")
    world.folder.chmod(0o755)
    gpu1 = world.executor("gpu1")
    host = world.start_executor(
        gpu1, "--ccbin", compiler, "--nvcc-flags=-DWISHED -DLAST=1", nvcc=NVCC,
        NVCC_APPEND_FLAGS="-ULAST -DLAST=2",
    )  # fmt: skip
    for compiled_before in (False, True):
        done = world.submit(alice, world.source(SOURCE, "odd.cu"))
        assert "\nby the odd one, as wished\n" in done.out, done.err
        assert ("compiled before" in done.out) is compiled_before
    assert " with -DWISHED -DLAST=1 -ccbin " in host.told()
    assert host.stop() == 0
    compiler.write_text(compiler.read_text().replace("-DBY", "-DNOT_BY"))  # another compiler now
    os.utime(compiler, (1, 1))
    more = ("--nvcc-flags=-DWISHED -DLAST=2", "--drain-seconds", 60)
    host = world.start_executor(gpu1, "--ccbin", compiler, *more, nvcc=NVCC)
    assert "by the odd one" not in world.submit(alice, world.source(SOURCE, "odd.cu")).out
    told = world.aside(
        "shell", "-v0", "-c",
        "import json; from accounts.models import Executor;"
        "print(json.dumps(Executor.objects.get().about))",
    )  # fmt: skip
    about = json.loads(told.out)
    assert about["nvcc_flags"].startswith("-DWISHED -DLAST=2 -ccbin ")
    assert host.stop() == 0


@pytest.mark.end_to_end
@pytest.mark.parametrize("name", ["NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS"])
def test_the_program_that_tries_gpus_is_compiled_with_the_operators_flags(
    world: World, name: str
) -> None:
    """Such as -allow-unsupported-compiler, without which nothing compiles on that host."""
    stub = StubGpus(world.folder, 1)
    version, rest = stub.nvcc.read_text().split("while ", 1)
    stub.nvcc.write_text(
        f'{version}[[ " $* " == *" -allow-unsupported-compiler "* ]] || '
        f"{{ echo '#error -- unsupported GNU version!'; exit 1; }}\nwhile {rest}"
    )
    world.start_server()
    host = world.start_executor(
        world.executor("gpu1"), "--kernel-log", stub.kernel_log,
        **{name: "-allow-unsupported-compiler"}, **stub.options,
    )  # fmt: skip
    assert host.stop() == 0, host.told()


@pytest.mark.processes
def test_where_the_system_has_no_compiler_the_operators_makes_the_sandboxs_first_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gcc = shutil.which("gcc")
    need("gcc", gcc is not None)
    conda_s = program(tmp_path / "env/bin/x86_64-conda-linux-gnu-cc",
                      f'#!/bin/sh\nPATH={os.environ["PATH"]}\nexec {gcc} "$@"\n')  # fmt: skip
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(executor.BadSetup, match="No host compiler works here"):
        executor.OwnFiles(tmp_path / "without", executor.NO_LIBRARIES)
    executor.OwnFiles(tmp_path / "with", executor.NO_LIBRARIES, compiler=conda_s)
    assert (tmp_path / "with/init").stat().st_size
