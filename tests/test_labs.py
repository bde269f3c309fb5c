"""Jobs as a course's labs are, on one host: several files, flags, languages, libraries, what the
compiler made. Real compilers, the real sandbox, no queue."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import need
from tests.support.labs import WHOLE, Lab, executor, whole_toolkit
from tests.support.processes import NVCC, ROOT, has_sandbox
from tests.support.stubs import fake_nvcc

pytestmark = [pytest.mark.once, pytest.mark.processes, pytest.mark.hardening]

HEADER = '#pragma once\n#include "deep/constant.h"\nint twice(int n);\n'
MAIN = '#include <cstdio>\n#include "parts/twice.cuh"\nint main() { printf("%d\\n", twice(N)); }\n'
SECOND = '#include "../parts/twice.cuh"\nint twice(int n) { return 2 * n; }\n'
INCLUDES = {"parts/twice.cuh": HEADER, "parts/deep/constant.h": "#define N 21\n"}
WGMMA = """\
#include <cstdio>
__global__ void k() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
    asm volatile("setmaxnreg.inc.sync.aligned.u32 160;");
}
int main() { k<<<1, 128>>>(); printf("%s\\n", cudaGetErrorString(cudaGetLastError())); }
"""
COUNTS_GPUS = """\
#include <cuda_runtime.h>
#include <cstdio>
int main() { int n; printf("%s\\n", cudaGetErrorString(cudaGetDeviceCount(&n))); }
"""
DRIVER = """\
#include <cstdio>
#include <cuda.h>
int main() {
    const char *text;
    CUresult result = cuInit(0);
    cuGetErrorString(result, &text);
    printf("%d: %s\\n", (int)result, text);
}
"""
NVIDIAS = """\
#include <cstdio>
#include <cublas_v2.h>
#include <curand.h>
int main() {
    cublasHandle_t blas;
    curandGenerator_t random;
    printf("cublas %d\\n", cublasCreate(&blas));
    printf("curand %d\\n", curandCreateGenerator(&random, CURAND_RNG_PSEUDO_DEFAULT));
}
"""


def nvcc_with_all() -> str:
    nvcc = whole_toolkit()
    need(WHOLE, nvcc is not None)
    return str(nvcc)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A host that says sm_90a, and runs Python."""
    need("bubblewrap", has_sandbox())
    lab = Lab(tmp_path_factory.mktemp("lab"), "--arch", "90a", "--python", sys.executable)
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def whole_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A host whose toolkit is complete."""
    need("bubblewrap", has_sandbox())
    lab = Lab(tmp_path_factory.mktemp("whole"), "--arch", "sm_90a", "--nvcc", nvcc_with_all())
    yield lab
    lab.close()


# --- Several files ------------------------------------------------------------------------


def test_sources_are_linked_and_includes_stand_beside_them(lab: Lab) -> None:
    over = lab.run("main.cu", MAIN, sources={"src/second.cu": SECOND}, includes=INCLUDES)
    assert (over.outcome, over.log) == ("succeeded", "42\n"), over.compile_log
    assert over.report["command"] == (
        "nvcc -O3 -gencode=arch=compute_90a,code=sm_90a ./main.cu ./src/second.cu"
    )


@pytest.mark.parametrize("changed", ["source", "include", "name", "flag", "platform"])
def test_what_was_made_from_other_files_is_not_taken_from_the_cache(lab: Lab, changed: str) -> None:
    part = SECOND.replace("../", "")
    job = {"sources": {"second.cpp": part}, "includes": INCLUDES, "platform": "cpu"}
    assert lab.run("cached.cpp", MAIN, **job).log == "42\n"
    assert lab.run("cached.cpp", MAIN, **job).report["compiled_before"]
    other = {
        "source": {"sources": {"second.cpp": part.replace("2 *", "3 *")}},
        "include": {"includes": {**INCLUDES, "parts/deep/constant.h": "#define N 20\n"}},
        "name": {"sources": {"third.cpp": part}},
        "flag": {"flags": ["-DANY"]},
        "platform": {"platform": "cuda"},
    }[changed]
    assert "compiled_before" not in lab.run("cached.cpp", MAIN, **{**job, **other}).report


def test_255_headers_are_one_descriptor(lab: Lab) -> None:
    includes = {f"h/{n}.h": f"#define N{n} {n}\n" for n in range(255)}
    source = "#include <cstdio>\n" + "".join(f'#include "{name}"\n' for name in includes)
    over = lab.run("main.cpp", source + 'int main() { printf("%d\\n", N7 + N200); }',
                   platform="cpu", includes=includes)  # fmt: skip
    assert over.log == "207\n", over.compile_log


READS = """\
#include <cstdio>
int main() {
    char line[9] = "";
    FILE *points = fopen("data/points.txt", "r");
    if (!points) return 1;
    fgets(line, 9, points);
    printf("%s %d\\n", line, fopen("out/old.txt", "r") != nullptr);
}
"""
READS_TOO = """\
import os
print(open("data/points.txt").read(), end=" ")
print(int(os.path.exists("out/old.txt")))
"""
TEXTS = {"data/points.txt": "1 2", "out/old.txt": "is never over what the program leaves"}


@pytest.mark.parametrize("sandbox", ["real", "none"])
@pytest.mark.parametrize(
    ("name", "platform", "source"),
    [("a.cu", "cuda", READS), ("a.cpp", "cpu", READS), ("a.py", "cpu", READS_TOO)],
)
def test_a_program_finds_the_text_files_that_were_sent_for_it(
    lab: Lab, tmp_path: Path, sandbox: str, name: str, platform: str, source: str
) -> None:
    place = lab if sandbox == "real" else Lab(tmp_path, *PLAIN)
    over = place.run(name, source, platform=platform, includes=TEXTS)
    assert (over.outcome, over.log) == ("succeeded", "1 2 0\n"), over.compile_log
    assert over.files == {}
    if place is not lab:
        place.close()


PLAIN = ("--sandbox", "none", "--python", sys.executable)


def test_without_a_sandbox_it_is_the_same(tmp_path: Path) -> None:
    lab = Lab(tmp_path, "--sandbox", "none", "--python", sys.executable)
    over = lab.run("main.cpp", MAIN, platform="cpu", includes=INCLUDES, asm=True,
                   sources={"src/second.cpp": SECOND})  # fmt: skip
    assert (over.outcome, over.log) == ("succeeded", "42\n"), over.compile_log
    assert b"twice" in over.files["asm.s"]
    again = lab.run("main.cpp", MAIN, platform="cpu", includes=INCLUDES, asm=True,
                    sources={"src/second.cpp": SECOND})  # fmt: skip
    assert again.report["compiled_before"]
    assert again.files == over.files
    over = lab.run(
        "main.py", "import a.b; print(a.b.n)", platform="cpu", includes={"a/b.py": "n=7"}
    )
    assert over.log == "7\n"
    lab.close()


UNSAFE = [
    "../up.h", "/etc/up.h", "a/../../up.h", "a//b.h", "a/", ".", "a/./b.h", "back\\slash.h",
    "control\x07.h", "line\nbreak.h", "-x.h", "a/-x.h", "p" * 101, "a/" * 8 + "deep.h",
    "/".join(["d" * 60] * 5), "MAIN.CU", "main.cu", "main.cu/in.h", "",
]  # fmt: skip


@pytest.mark.parametrize("name", UNSAFE)
@pytest.mark.parametrize("kind", ["sources", "includes"])
def test_a_job_with_an_unsafe_name_is_a_compile_error_and_nothing_written(
    lab: Lab, name: str, kind: str
) -> None:
    before = sorted(lab.host.jobs.rglob("*"))
    over = lab.run("main.cu", MAIN, **{kind: {name: "x"}})
    assert (over.outcome, over.given_back) == ("compile_error", "")
    assert "name" in over.compile_log or "folder" in over.compile_log
    assert over.compile_log.count("\n") == 1
    assert sorted(lab.host.jobs.rglob("*")) == before


def test_names_mean_nothing_to_a_shell(lab: Lab) -> None:
    """nvcc calls its parts by way of one; the sandbox holds what that would start."""
    evil = "a;touch evil $(touch evil) `touch evil` '\".h"
    source = f"#include <cstdio>\n#include <{evil}>\nint main() {{ puts(EVIL); }}\n"
    job = {"includes": {evil: '#define EVIL "no more than a name"\n'}, "flags": ["-I."]}
    for platform in ("cpu", "cuda"):
        over = lab.run("main.cpp", source, platform=platform, **job)
        assert over.log == "no more than a name\n", over.compile_log
    over = lab.run("main $(touch evil).cu", "int main() {}", sources={"b'$(exit 7)'.cu": "int b;"})
    assert over.outcome in ("succeeded", "compile_error")
    assert not list(lab.folder.rglob("evil*"))


HARMFUL = [
    ["-include/etc/passwd"], ["-include/proc/self/environ"], ["-I/", "-I/proc"], ["-L/", "-lx"],
    ["-DX=$(touch${IFS}/tmp/program)", "-DY=`id`", "-DZ=;reboot"], ["-x"], ["-c"], ["-E"], ["-M"],
    ["-Xptxas=--help"], ["-Xcompiler=-MF,/job/x"], ["-time", "-dryrun"], ["--help"], ["-shared"],
]  # fmt: skip


@pytest.mark.parametrize("flags", HARMFUL, ids=" ".join)
@pytest.mark.parametrize("platform", ["cpu", "cuda"])
def test_flags_that_mean_harm_end_in_the_sandbox(lab: Lab, flags: list[str], platform: str) -> None:
    over = lab.run("main.cpp", "int main() {}", platform=platform, flags=flags)
    assert over.outcome in ("succeeded", "compile_error", "runtime_error")
    assert over.given_back == ""
    assert "secret-token" not in over.compile_log
    assert lab.run("after.cpp", "int main() {}", platform="cpu").outcome == "succeeded"


@pytest.mark.parametrize(
    ("given", "others", "made"),
    [
        ("a(1).cpp", [], "a(1).cpp"),
        ("sub!/a.cpp", [], "sub!/a.cpp"),
        ("lab", [], "lab.cu"),
        ("lab", ["lab.cu"], "program.cu"),
        ("lab", ["LAB.cu/x.h", "PROGRAM.cu"], "program-2.cu"),
        ("../up.py", [], ".._up.py"),
        ("x" * 200 + ".PY", [], "program.py"),
        ("a/" * 9 + "x.C", ["a_a_a_a_a_a_a_a_a_x.C"], "program.c"),
    ],
)
def test_a_main_name_is_kept_if_it_is_safe(given: str, others: list[str], made: str) -> None:
    assert executor.main_name(given, others) == made


def test_endings_in_capitals_name_the_same_languages(lab: Lab) -> None:
    assert lab.run("LAB.PY", READS_TOO, platform="cpu", includes=TEXTS).log == "1 2 0\n"
    more = {"B.CPP": "int b;", "c.C": "int new;", "d.CXX": "int d;"}
    over = lab.run("A.CPP", READS, platform="cpu", sources=more, includes=TEXTS)
    assert over.log == "1 2 0\n", over.compile_log
    over = lab.run("A.CU", READS, sources={**more, "E.CU": "int e;"}, includes=TEXTS)
    assert over.log == "1 2 0\n", over.compile_log


def test_names_that_nvcc_s_shell_would_change(lab: Lab) -> None:
    assert lab.run("$a`(1).cu", READS, includes=TEXTS).log == "1 2 0\n"
    over = lab.run('a".cu', READS)
    assert over.compile_log == 'nvcc takes no file with a quotation mark in its name: a".cu\n'


def test_one_file_cannot_be_the_folder_of_another() -> None:
    assert (
        executor.why_unsafe(["main.cu", "a/b.h", "A"]) == "'A' is a file, and the folder of 'a/b.h'"
    )
    assert executor.why_unsafe(["a/b.h", "a/c.h", "A/d.h", "e"]) == ""


# --- Flags --------------------------------------------------------------------------------

ALLOWED = [
    "-lcublas", "-Xcompiler=-fopenmp", "-Xcompiler=-O2,-Wall", "-std=c++20", "-Wl,--as-needed",
    "-Xlinker=--no-as-needed,-lm", "-DNAME=value", "-use_fast_math", "-maxrregcount=64",
    "--extended-lambda", "-arch=sm_80", "-gencode=arch=compute_90a,code=[sm_90a,compute_90a]",
    "-march=native", "-mavx512f", "-O2", "-g", "-lineinfo", "-Xptxas=-v", "-rdc=true", "-I./x",
]  # fmt: skip
REFUSED = [
    "-o", "-o/tmp/x", "-ccbin", "-ccbin=/tmp/run/evil", "--compiler-bindir=/tmp", "-run", "--run",
    "--keep-dir=/x", "-odir=/x", "-wrapper", "-B/tmp/run", "-specs=evil", "-fplugin=./evil.so",
    "@args", "--options-file=args", "-optf=args", "-Xlinker=-rpath=/tmp", "-Wl,-rpath,/tmp",
    "-Wl,-T,evil.ld", "-Xcompiler=-o,/tmp/x", "-Xcompiler=-B/tmp/run", "-Xcompiler=@args",
    "-Xcompiler=-fopenmp,-wrapper,./evil", "--compiler-options=-specs=evil", "-Wa,@args",
    "two words", "-D X", "-D\nX", "plain", "", "-", "-D\x07", "-D" + "x" * 200, "-Xlinker",
    "-dumpdir=/x", "--clean-targets", "-Xcompiler='-o'",
]  # fmt: skip


def test_flags_that_lead_elsewhere_are_refused_a_second_time() -> None:
    assert {flag: executor.why_refused([flag]) for flag in ALLOWED} == dict.fromkeys(ALLOWED, "")
    assert [flag for flag in REFUSED if not executor.why_refused([flag])] == []
    assert "128 are the most" in executor.why_refused(["-DX"] * 129)
    assert executor.why_refused(["-DX"] * 128) == ""


def test_a_refused_flag_is_a_line_in_the_compile_log(lab: Lab) -> None:
    over = lab.run("main.cu", "int main() {}", flags=["-Wall", "-ccbin=./evil"])
    assert over.outcome == "compile_error"
    assert over.compile_log == (
        "The flag '-ccbin=./evil' is refused on this host: it names another place or program.\n"
    )


CASES = {
    "--extended-lambda": "#include <thrust/for_each.h>\n#include <thrust/device_ptr.h>\n"
    "void f(thrust::device_ptr<int> p) { thrust::for_each(p, p, [] __device__(int) {}); }",
    "-std=c++20": "#include <span>\nint f(std::span<int> s) { return s[0]; }",
    "-Xcompiler=-fopenmp": "#include <omp.h>\nint n = omp_get_max_threads();",
}


@pytest.mark.parametrize("flag", CASES)
def test_a_job_s_flags_reach_the_compiler(lab: Lab, flag: str) -> None:
    source = CASES[flag] + "\nint main() {}\n"
    over = lab.run("main.cu", source, flags=[flag])
    assert over.outcome == "succeeded", over.compile_log
    assert lab.run("main.cu", source).outcome == "compile_error"


# --- Architectures ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "flags"),
    [
        ("90", ["-arch=sm_90"]),
        ("sm_75", ["-arch=sm_75"]),
        ("sm_90a", ["-gencode=arch=compute_90a,code=sm_90a"]),
        ("compute_90a:sm_90a", ["-gencode=arch=compute_90a,code=sm_90a"]),
        ("arch=compute_90a,code=sm_90a", ["-gencode=arch=compute_90a,code=sm_90a"]),
        ("compute_80:sm_90", ["-gencode=arch=compute_80,code=sm_90"]),
        (
            "arch=compute_90,code=[sm_90,compute_90]",
            ["-gencode=arch=compute_90,code=sm_90", "-gencode=arch=compute_90,code=compute_90"],
        ),
    ],
)
def test_arch_takes_what_gencode_takes(given: str, flags: list[str]) -> None:
    assert executor.architecture_flags([executor.architecture(given)]) == flags


@pytest.mark.parametrize(
    "flags", [[], ["-arch=sm_90a"], ["-gencode=arch=compute_90a,code=sm_90a"], ["-arch=native"]]
)
def test_wgmma_compiles_for_sm_90a(lab: Lab, flags: list[str]) -> None:
    over = lab.run("wgmma.cu", WGMMA, flags=flags)
    assert over.outcome == "succeeded", over.compile_log
    assert "arch=compute_90a,code=sm_90a" in over.report["command"]
    assert over.report["command"].count("-gencode") == 1


def test_a_job_s_architecture_stands_instead_of_the_host_s(lab: Lab) -> None:
    over = lab.run("wgmma.cu", WGMMA, flags=["-arch=sm_80"])
    assert over.outcome == "compile_error"
    assert "sm_90a" not in over.report["command"]


# --- Languages ----------------------------------------------------------------------------

AVX = """\
#include <immintrin.h>
#include <cstdio>
int main() {
    if (!__builtin_cpu_supports("avx512f")) { puts("no AVX-512 here"); return 0; }
    printf("%g\\n", _mm512_reduce_add_ps(_mm512_set1_ps(2)));
}
"""


def test_cpp_for_the_cpu_is_compiled_by_the_host_s_compiler(lab: Lab) -> None:
    over = lab.run("avx.cpp", AVX, platform="cpu", flags=["-mavx512f", "-march=native"])
    assert over.log in ("32\n", "no AVX-512 here\n"), over.compile_log
    assert over.report["command"] == "g++ -O3 ./avx.cpp -mavx512f -march=native"
    assert "nvcc" not in over.report


def test_c_stays_c(lab: Lab) -> None:
    source = '#include <stdio.h>\nint main(void) { int new = 1; printf("%d\\n", new); return 0; }\n'
    assert lab.run("main.c", source, platform="cpu").log == "1\n"
    part = "int new = 5;\nint part(void) { return new; }\n"
    main = 'extern "C" int part(); \n#include <cstdio>\nint main() { printf("%d\\n", part()); }\n'
    assert lab.run("main.cpp", main, platform="cpu", sources={"part.c": part}).log == "5\n"


def test_cpp_for_a_gpu_is_nvcc_s(lab: Lab) -> None:
    source = COUNTS_GPUS
    over = lab.run("main.cpp", source, platform="h100")
    assert "driver version is insufficient" in over.log
    assert over.report["command"].startswith("nvcc -O3")


FOR_THE_HOST = [
    "-march=native", "-fopenmp-simd", "-mavx512f", "-Wall", "-ffast-math", "-Wl,--as-needed",
    "-O3", "-Wextra", "-fsanitize=address,undefined", "-g", "-m64", "-std=c++17", "-lineinfo",
    "-fmad=true",
]  # fmt: skip


def test_nvcc_passes_on_the_host_compiler_s_flags(lab: Lab) -> None:
    labs = ROOT / "examples/labs/1-baseline"
    includes = {"timing.hpp": (labs / "timing.hpp").read_text()}
    source = (labs / "saxpy.cpp").read_text()
    over = lab.run("saxpy.cpp", source, flags=FOR_THE_HOST[:3], includes=includes)
    assert over.log.startswith("PASSED"), over.compile_log
    over = lab.run("a.cpp", "int main() {}", flags=FOR_THE_HOST)
    assert (over.outcome == "compile_error", over.compile_log) == (False, "")


@pytest.mark.parametrize("flag", ["-O0", "-O1", "--optimize=2"])
def test_a_job_s_optimization_stands_instead_of_ours(lab: Lab, flag: str) -> None:
    """nvcc warns of two in every log."""
    over = lab.run("a.cu", "int main() {}", flags=[flag])
    assert (over.outcome, over.compile_log) == ("succeeded", "")
    assert "-O3" not in over.report["command"]


def test_an_operator_s_optimization_does_too(tmp_path: Path) -> None:
    need("bubblewrap", has_sandbox())
    lab = Lab(tmp_path, "--nvcc-flags=-O2 -lineinfo")
    over = lab.run("a.cu", "int main() {}")
    lab.close()
    assert (over.outcome, over.compile_log) == ("succeeded", "")


def test_python_runs_with_its_files_outside_of_the_working_folder(lab: Lab) -> None:
    source = (
        "import os, sys, pathlib, helper.words as words, django\n"
        "pathlib.Path('out/result.txt').write_text('kept')\n"
        "print(words.HELLO, sys.argv[1:], os.listdir('.'), os.environ['HOME'])\n"
        f"assert sys.prefix == {sys.prefix!r}, sys.prefix\n"
    )
    over = lab.run("main.py", source, platform="cpu", args=["./a", "b c"],
                   includes={"helper/words.py": "HELLO = 'hello'\n"})  # fmt: skip
    assert over.outcome == "succeeded", over.log
    assert over.log == "hello ['./a', 'b c'] ['helper', 'out'] /tmp/run\n"
    assert over.files == {"result.txt": b"kept"}
    assert over.report["python"] == sys.version.split()[0]


def test_what_python_printed_before_a_crash_is_there(lab: Lab) -> None:
    over = lab.run("main.py", "import os; print('before'); os.abort()", platform="cpu")
    assert (over.outcome, over.log) == ("runtime_error", "before\n")


def test_of_the_host_python_sees_its_prefix_and_others_do_not(lab: Lab) -> None:
    listed = "import os; print(*sorted(os.listdir(%r)))"
    parent = Path(sys.prefix).parent
    assert lab.run("main.py", listed % str(parent)).log == Path(sys.prefix).name + "\n"
    looks = f'#include <unistd.h>\nint main() {{ return access("{sys.prefix}", 0); }}'
    over = lab.run("main.cpp", looks, platform="cpu")
    assert over.report["exit_code"] == 255


def test_a_host_without_python_or_nvcc_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab(tmp_path / "a")
    assert lab.host.languages() == ["cuda", "cpp"]
    over = lab.run("main.py", "print(1)", platform="cpu")
    assert (over.outcome, over.compile_log) == (
        "compile_error", "This host runs no Python: its executor was given no --python.\n"
    )  # fmt: skip
    lab.close()
    monkeypatch.setattr(Lab, "parse", parse_for_cpu)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(executor, "find_nvcc", lambda given, is_needed: "")
    lab = Lab(tmp_path / "b")
    assert lab.host.languages() == ["cpp"]
    over = lab.run("main.cu", "int main() {}")
    assert (over.outcome, over.compile_log) == (
        "compile_error", "This host has no nvcc, so it compiles no CUDA programs.\n"
    )  # fmt: skip
    assert lab.run("main.cpp", "int main() {}", platform="h100").outcome == "succeeded"
    lab.close()


def parse_for_cpu(self: Lab, auth: Path, *arguments: object) -> object:
    options = executor.parse(
        ["--nproc-compile", "1", "--nproc-execute", "1", "--no-gpu", "--auth", str(auth),
         "--scratch-dir", str(self.folder / "scratch"), *map(str, arguments)]
    )  # fmt: skip
    options.nproc_execute = 0
    return options


def test_an_interpreter_that_is_none_is_refused() -> None:
    with pytest.raises(executor.BadSetup, match="is no program"):
        executor.find_interpreter("/none/python")
    with pytest.raises(executor.BadSetup, match="does not run as Python does"):
        executor.find_interpreter("/bin/true")


# --- Libraries ----------------------------------------------------------------------------


def test_a_program_of_the_driver_api_links_and_says_that_there_is_no_gpu(lab: Lab) -> None:
    need("a host without NVIDIA's driver", not lab.host.libraries.has_driver)
    for flags in (["-lcuda"], ["-lcuda", "-lcudart"], ["-Xlinker=--no-as-needed,-lcuda"]):
        over = lab.run("driver.cu", DRIVER, flags=flags)
        assert over.outcome == "succeeded", over.compile_log + over.log
        assert "This host has no NVIDIA driver" in over.log
        assert "100: no CUDA-capable device is detected" in over.log


def test_toolkit_libraries_link_for_the_cpu_too(lab: Lab) -> None:
    source = 'extern "C" int cudaGetDeviceCount(int *);\n'
    source += "int main() { int n; return cudaGetDeviceCount(&n); }\n"
    over = lab.run("main.cpp", source, platform="cpu", flags=["-lcudart"])
    assert (over.outcome, over.report["exit_code"]) == ("runtime_error", 35), over.compile_log


def test_the_stand_in_changes_nothing_for_other_programs(lab: Lab) -> None:
    source = COUNTS_GPUS
    over = lab.run("main.cu", source)
    assert over.log == "CUDA driver version is insufficient for CUDA runtime version\n"


def test_nvidia_s_libraries_link_and_are_found(whole_lab: Lab) -> None:
    over = whole_lab.run("blas.cu", NVIDIAS, flags=["-lcublas", "-lcurand"])
    assert over.outcome == "succeeded", over.compile_log + over.log
    assert over.log == "cublas 1\ncurand 203\n"
    both = whole_lab.run("blas.cu", NVIDIAS, flags=["-lcublas", "-lcurand", "-lcuda", "-lcudart"])
    assert "cublas 1\n" in both.log


def test_cpp_for_the_cpu_finds_the_headers_of_the_libraries_that_it_names(whole_lab: Lab) -> None:
    flags = ["-lcublas", "-lcurand"]
    over = whole_lab.run("blas.cpp", NVIDIAS, platform="cpu", flags=flags)
    assert over.log == "cublas 1\ncurand 203\n", over.compile_log
    over = whole_lab.run("driver.cpp", DRIVER, platform="cpu", flags=["-lcuda"])
    assert over.outcome == "succeeded", over.compile_log
    over = whole_lab.run("driver.cpp", DRIVER, platform="cpu", flags=["-lm"])
    assert "cuda.h: No such file" in over.compile_log


def test_a_toolkit_with_its_own_stub_and_libraries_in_many_places(tmp_path: Path) -> None:
    """A stub of a toolkit: folders and empty files."""
    nvcc = fake_nvcc(tmp_path).rename(tmp_path / "nvcc")
    root = tmp_path / "toolkit"
    for name in ("bin/nvcc.profile", "targets/x86_64-linux/lib/stubs/libcuda.so",
                 "targets/x86_64-linux/lib/libcublas.so.13", "lib/libother.so"):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    shutil.move(nvcc, root / "bin/nvcc")
    (root / "lib64").symlink_to("targets/x86_64-linux/lib")
    libraries = executor.make_libraries(str(root / "bin/nvcc"), "/usr/bin/gcc", tmp_path / "made")
    assert libraries.link == [str(root / name) for name in ("lib64/stubs", "lib64", "lib")]
    assert libraries.run == libraries.link[1:]
    assert (tmp_path / "made/libcublas.so").resolve().name == "libcublas.so.13"
    assert not (tmp_path / "made/libcuda.so.1").exists()  # no header says what it would need
    wrapper = tmp_path / "nvcc"
    wrapper.write_text(f'#!/bin/sh\nexec {root}/bin/nvcc "$@"\n')
    assert executor.toolkit_root(str(wrapper)) == root
    assert executor.toolkit_root("/bin/true") is None


# --- What the compiler made ---------------------------------------------------------------

WRITES = '#include <cstdio>\nint main() { fclose(fopen("out/mine", "w")); }\n'
KERNEL = """\
__global__ void scale(float *v, float by) {
    v[threadIdx.x] *= by;
}
int main() { scale<<<1, 32>>>(nullptr, 2); return cudaGetLastError() != cudaSuccess; }
"""


def test_asm_shows_ptx_and_sass_with_its_source_lines(whole_lab: Lab) -> None:
    over = whole_lab.run("scale.cu", KERNEL, asm=True, flags=["-lineinfo"])
    assert over.outcome == "runtime_error"  # there is no GPU
    assert sorted(over.files) == ["asm-ptx.txt", "asm-sass.txt"], over.compile_log
    assert b".entry _Z5scalePff" in over.files["asm-ptx.txt"]
    sass = over.files["asm-sass.txt"].decode()
    assert '//## File "scale.cu", line 2' in sass
    assert "FMUL" in sass
    again = whole_lab.run("scale.cu", KERNEL, asm=True, flags=["-lineinfo"])
    assert again.report["compiled_before"]
    assert again.files == over.files
    assert "compiled_before" not in whole_lab.run("scale.cu", KERNEL, flags=["-lineinfo"]).report


def test_asm_of_several_sources_and_of_other_flags(whole_lab: Lab) -> None:
    source = KERNEL.replace("scale", "other").replace("int main() {", "int other() {")
    over = whole_lab.run("scale.cu", KERNEL, asm=True, sources={"b.cu": source, "c.cpp": "int c;"})
    assert sorted(over.files) == ["asm-ptx.txt", "asm-sass.txt", "asm.s"], over.compile_log
    sass = over.files["asm-sass.txt"]
    assert b"_Z5scalePff" in sass
    assert b"_Z5otherPff" in sass
    over = whole_lab.run(
        "scale.cu", KERNEL, asm=True, flags=["-gencode=arch=compute_80,code=sm_80"]
    )
    assert sorted(over.files) == ["asm-sass.txt"]
    assert "asm: the program holds no PTX" in over.compile_log


def test_asm_of_the_host_s_compiler_and_of_cpp_through_nvcc(lab: Lab) -> None:
    source = "int seven() { return 7; }\nint main() {}\n"
    for platform in ("cpu", "cuda"):
        over = lab.run("main.cpp", source, platform=platform, asm=True, sources={"b.c": "int b;"})
        assert sorted(over.files) == ["asm.s"], over.compile_log
        assert b"_Z5sevenv:" in over.files["asm.s"]


@pytest.mark.parametrize("platform", ["cpu", "cuda"])
def test_asm_of_sources_of_one_base_name_costs_no_compile(lab: Lab, platform: str) -> None:
    main = "int a(); int b();\nint main() { return a() + b(); }\n"
    parts = {"x/part.cpp": "int a() { return 0; }", "y/part.cpp": "int b() { return 0; }"}
    over = lab.run("part.cpp", main, platform=platform, asm=True, sources=parts)
    assert over.outcome == "succeeded", over.compile_log
    assert all(name in over.files["asm.s"] for name in (b"main:", b"_Z1av:", b"_Z1bv:"))


def test_asm_takes_no_more_than_the_time_that_is_left(lab: Lab) -> None:
    limits = {"compile_seconds": 2}
    over = lab.run("m.cpp", "int main() {}", platform="cpu", asm=True, limits=limits)
    assert (over.outcome, over.files) == ("succeeded", {})
    assert "too little time" in over.compile_log


def test_an_own_file_of_a_listing_s_name_is_said_to_be_left_out(lab: Lab) -> None:
    over = lab.run("m.cpp", WRITES.replace("mine", "asm.s"), platform="cpu", asm=True)
    assert b"main:" in over.files["asm.s"]
    assert over.report["files_left_out"] == [
        {"name": "asm.s", "reason": "the name is taken by the listing of the compiler"}
    ]


def test_asm_without_tools_is_a_line_in_the_compile_log(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab.host.toolchain, "cuobjdump", "")
    over = lab.run("scale.cu", KERNEL, asm=True)
    assert over.files == {}
    assert over.compile_log == (
        "asm: this host has no cuobjdump, so there is no asm-ptx.txt and no asm-sass.txt.\n"
    )
    over = lab.run("main.py", "print(1)", asm=True)
    assert (over.outcome, over.compile_log) == (
        "succeeded", "asm: Python is not compiled, so there is nothing to show.\n"
    )  # fmt: skip


def test_asm_counts_towards_the_limits_and_comes_back_of_what_ran_too_long(lab: Lab) -> None:
    source = WRITES.replace("}", "for (volatile int n = 0;;) n = n + 1; }")
    over = lab.run("main.cpp", source, platform="cpu", asm=True, limits={"execute_seconds": 1})
    assert over.outcome == "runtime_timeout"
    assert list(over.files) == ["asm.s"]
    over = lab.run("main.cpp", WRITES, platform="cpu", asm=True, limits={"output_files": 1})
    assert sorted(over.files) == ["asm.s", "mine"]  # a listing is none of the program's own
    over = lab.run("main.cpp", WRITES, platform="cpu", asm=True, limits={"output_files": 0})
    assert over.files == {}
    over = lab.run("main.cpp", WRITES, platform="cpu", asm=True, limits={"output_file_bytes": 10})
    assert list(over.files) == ["mine"]
    assert over.report["files_left_out"][0]["name"] == "asm.s"


def test_what_does_not_compile_shows_nothing(lab: Lab) -> None:
    over = lab.run("main.cpp", "int main() { return x; }", platform="cpu", asm=True)
    assert (over.outcome, over.report["exit_code"], over.files) == ("compile_error", 1, {})


def test_the_stand_in_has_the_whole_driver_api(tmp_path: Path) -> None:
    include = (executor.toolkit_root(executor.find_nvcc(NVCC)) or Path("/usr")) / "include"
    names = executor.driver_functions(include)
    need("the toolkit's headers", bool(names))
    assert {"cuInit", "cuMemAlloc_v2", "cuLaunchKernel", "cuTensorMapEncodeTiled"} <= set(names)
    assert executor.compile_stub("gcc", names, tmp_path / "libcuda.so.1") == ""
    told = subprocess.run(
        ["nm", "-D", "--defined-only", tmp_path / "libcuda.so.1"], capture_output=True, text=True
    ).stdout
    assert {line.split()[-1] for line in told.splitlines()} >= set(names)
