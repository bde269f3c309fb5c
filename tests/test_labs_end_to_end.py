"""Labs as a student submits them, with nothing but the file's name: a real queue, a real host that
says sm_90a and has CPU slots, real compilers. No GPU."""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import need
from tests.support.labs import NVCC, WHOLE, whole_toolkit
from tests.support.processes import ROOT, Done, World, has_sandbox

pytestmark = [pytest.mark.end_to_end, pytest.mark.once]

LABS = ROOT / "examples" / "labs"


class Course(World):
    """A queue, a host for CUDA, C++ and Python, and a student."""

    def begin_course(self) -> None:
        self.start_server()
        nvcc = whole_toolkit()
        need(WHOLE, nvcc)
        self.start_executor(
            self.executor("host"),
            *("--arch", "90a", "--nproc-cpu", "1", "--python", sys.executable),
            nvcc=nvcc or NVCC,
            sandbox="bubblewrap",
        )
        self.student = self.user("student")

    def hand_in(self, file: Path, *arguments: str) -> Done:
        """`submit.py FILE`; what is saved is in `out/` of this world's folder."""
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        return self.submit(self.student, file, "--out", self.folder / "out", *arguments)

    def lab(self, name: str, **files: str) -> Path:
        """A folder with these files ("a_cu" is a.cu); the path of the first."""
        folder = self.folder / name
        folder.mkdir()
        paths = [folder / file.replace("__", "/").replace("_", ".") for file in files]
        for path, text in zip(paths, files.values(), strict=True):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return paths[0]

    def saved(self, name: str) -> str:
        return (self.folder / "out" / name).read_text()


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    need("bubblewrap", has_sandbox())
    with Course(tmp_path_factory.mktemp("course")) as course:
        course.begin_course()
        yield course


# --- Our own labs ------------------------------------------------------------------------


def test_the_cpu_baseline(course: Course) -> None:
    done = course.hand_in(LABS / "1-baseline" / "saxpy.cpp")
    assert done.status == 0, done
    assert "PASSED: plain" in done.out
    assert "timing.hpp" in done.err
    assert course.saved("execute-log.txt").startswith("PASSED")


def test_the_kernel_beside_cublas_and_a_second_source(course: Course) -> None:
    done = course.hand_in(LABS / "2-matmul" / "matmul.cu")
    assert done.status == 0, done
    assert "SKIPPED: there is no GPU" in done.out
    assert "matrix.cuh" in done.err
    assert "reference.cpp" in done.err


def test_the_assembler_with_its_source_lines(course: Course) -> None:
    done = course.hand_in(LABS / "3-assembler" / "fma.cu")
    assert done.status == 0, done
    assert ".target sm_90a" in course.saved("asm-ptx.txt")
    listing = course.saved("asm-sass.txt")
    before_multiply = listing[: listing.index("FMUL")]
    source = (LABS / "3-assembler" / "fma.cu").read_text().splitlines()
    wanted = 1 + next(n for n, line in enumerate(source) if "__fmul_rn" in line)
    where = re.findall(r'"fma\.cu", line (\d+)', before_multiply)
    assert int(where[-1]) == wanted, listing


# --- The kinds of a public course's files ------------------------------------------------

HEADER = "#pragma once\n__host__ __device__ inline int twice(int x) { return 2 * x; }\n"
WGMMA = """// TL+ {"compile_flags": ["-lcuda"]}
#include <cstdio>
__global__ void k() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
    asm volatile("setmaxnreg.inc.sync.aligned.u32 160;");
}
int main() { k<<<1, 128>>>(); printf("%s\\n", cudaGetErrorString(cudaGetLastError())); }
"""
PRINTS = '#include <cstdio>\nint main() { printf("%s\\n"); }\n'

LABS_OF_A_COURSE = {
    "a header beside it": {
        "lab_cu": '#include <cstdio>\n#include "twice.cuh"\n'
        'int main() { printf("%d\\n", twice(21)); }\n',
        "twice_cuh": HEADER,
    },
    "a header in a folder, which includes another": {
        "lab_cu": '#include <cstdio>\n#include "inc/four.cuh"\n'
        'int main() { printf("%d\\n", four(21) / 2); }\n',
        "inc__four_cuh": '#pragma once\n#include "twice.cuh"\n'
        "inline int four(int x) { return twice(twice(x)); }\n",
        "inc__twice_cuh": HEADER,
    },
    "wgmma": {"lab_cu": WGMMA + "// 42\n"},
    "lambdas": {
        "lab_cu": '// TL+ {"compile_flags": ["--extended-lambda", "-std=c++20"]}\n'
        "#include <cstdio>\n#include <span>\n"
        "template <typename F> __global__ void run(F f) { f(); }\n"
        'int main() { run<<<1, 1>>>([] __device__ {}); printf("42\\n"); }\n'
    },
    "constexpr functions on the device": {
        "lab_cu": "// telerun: --flag=--expt-relaxed-constexpr\n#include <cstdio>\n"
        "constexpr int twice(int x) { return 2 * x; }\n"
        "__global__ void run(int *to, int n) { *to = twice(n); }\n"
        'int main() { run<<<1, 1>>>(nullptr, 3); printf("%d\\n", twice(21)); }\n'
    },
    "kernels that start kernels": {
        "lab_cu": '// TL+ {"compile_flags": ["-rdc=true", "-lcudadevrt"]}\n#include <cstdio>\n'
        "__global__ void inner() {}\n__global__ void outer() { inner<<<1, 1>>>(); }\n"
        'int main() { outer<<<1, 1>>>(); printf("42\\n"); }\n'
    },
    "the driver": {
        "lab_cu": "// telerun: --flag=-lcuda\n#include <cuda.h>\n#include <cstdio>\n"
        'int main() { int n; cuInit(0); cuDeviceGetCount(&n); printf("42\\n"); }\n'
    },
    "cuRAND": {
        "lab_cu": "// telerun: --flag=-lcurand\n#include <curand.h>\n#include <cstdio>\n"
        "int main() { curandGenerator_t g; curandCreateGenerator(&g, CURAND_RNG_PSEUDO_DEFAULT);"
        ' printf("42\\n"); }\n'
    },
    "OpenMP": {
        "lab_cu": '// TL+ {"compile_flags": ["-Xcompiler", "-fopenmp"]}\n#include <omp.h>\n'
        '#include <cstdio>\nint main() { printf("%d\\n", omp_get_max_threads() > 0 ? 42 : 0); }\n'
    },
    "a platform by directive": {
        "lab_cu": '// TL+ {"platform": "cuda"}\n' + PRINTS % 42,
    },
    "C++ with vectors": {
        "lab_cpp": "// telerun: --flag=-march=native\n" + PRINTS % 42,
    },
    "C": {"lab_c": '#include <stdio.h>\nint main(void) { printf("42\\n"); return 0; }\n'},
    "Python": {
        "lab_py": "# telerun: --platform cpu\nimport helper\nprint(helper.twice(21))\n",
        "helper_py": "def twice(x):\n    return 2 * x\n",
    },
}


@pytest.mark.parametrize("kind", LABS_OF_A_COURSE)
def test_a_lab_of_each_kind_runs_by_its_name_alone(course: Course, kind: str) -> None:
    files = LABS_OF_A_COURSE[kind]
    done = course.hand_in(course.lab(kind.replace(" ", "-"), **files))
    assert done.status == 0, done
    if kind == "wgmma":  # compiled for sm_90a; to run it takes an H100
        assert "no CUDA-capable device" in done.out or "driver" in done.out, done
    else:
        assert "\n42\n" in "\n" + done.out, done


def test_what_the_queue_refuses_is_said_with_the_line_that_asked_for_it(course: Course) -> None:
    file = course.lab("refused", lab_cu='\n// TL+ {"platform": "tpu"}\n' + PRINTS % 1)
    done = course.hand_in(file)
    assert done.status == 3
    assert "No host offers the platform tpu; there is cpu, cuda." in done.err
    assert "lab.cu:2" in done.err
    file = course.lab("flagged", lab_cu="// telerun: --flag=-ccbin=/bin/sh\n" + PRINTS % 1)
    done = course.hand_in(file)
    assert done.status == 3
    assert "-ccbin=/bin/sh" in done.err
    assert "lab.cu:1" in done.err


def test_the_logs_lie_beside_the_other_files(course: Course) -> None:
    file = course.lab("logs", lab_cu='#warning "look here"\n' + PRINTS % "to the log")
    done = course.hand_in(file)
    assert done.status == 0, done
    assert course.saved("execute-log.txt") == "to the log\n"
    assert "look here" in course.saved("compile-log.txt")
