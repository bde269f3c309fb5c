"""What students hand in, and what becomes of it."""

import textwrap
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from jobs.submitting import Submission


class Lab(NamedTuple):
    """A week's exercise."""

    filename: str
    others: tuple[str, ...] = ()  # headers, and files that are compiled with it
    flags: tuple[str, ...] = ()
    platform: str = ""
    seconds: float = 4.0  # that a program of it runs


LABS = (
    Lab("hello.cu", seconds=1),
    Lab("vector_add.cu"),
    Lab("matmul.cu", flags=("-O3",), seconds=9),
    Lab("reduce.cu", ("reduce.cuh",)),
    Lab("lab5/src/conv2d_shared_memory_tiled_with_halo_cells_version_2_final_FINAL.cu",
        ("lab5/src/kernels.cuh", "lab5/src/timer.cu"), seconds=12),
    Lab("baseline.cpp", flags=("-O3", "-march=native"), platform="cpu", seconds=20),
    Lab("wgmma.cu", flags=("-lcuda",), platform="h100", seconds=6),
    Lab("histogram.cu", ("histogram.cuh", "main_test.cu")),
    Lab("sort.cu", flags=("-std=c++17", "-lineinfo"), seconds=15),
    Lab("проект.cu", ("проект.cuh",), platform="h100", seconds=18),
)  # fmt: skip

KERNEL = """
// Step {n}: each thread works on one element; the tail is guarded.
__global__ void step{n}(const float *in, float *out, int n) {{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = in[i] * {factor}f + out[i];
}}
"""
MAIN = """
int main(int argc, char **argv) {{
    int n = argc > 1 ? atoi(argv[1]) : 1 << 20;
    float *in, *out;
    cudaMallocManaged(&in, n * sizeof(float));
    cudaMallocManaged(&out, n * sizeof(float));
{calls}
    cudaDeviceSynchronize();
    printf("%f\\n", out[n - 1]);
    return 0;
}}
"""
WARNING = """{file}({line}): warning #177-D: variable "rows" was declared but never referenced
      int rows = n / blockDim.x;
          ^

Remark: The warnings can be suppressed with "-diag-suppress <warning-number>"

"""
ERRORS = (
    'error: identifier "blockIdx_x" is undefined\n      int i = blockIdx_x * blockDim.x;\n'
    "              ^\n",
    'error: expected a ";"\n      out[i] = in[i] * 2.0f\n                          ^\n',
    "error: a __global__ function call must be configured\n      step1(in, out, n);\n      ^\n",
    'error: argument of type "float *" is incompatible with parameter of type "const int *"\n'
    "      step2<<<n / 256, 256>>>(in, out, n);\n                              ^\n",
    'error: no instance of overloaded function "atomicAdd" matches the argument list\n'
    "            argument types are: (float4 *, float4)\n"
    "      atomicAdd(&sums[threadIdx.x], total);\n      ^\n",
)
FAILURES = (
    "CUDA error at {file}:{line}: an illegal memory access was encountered (700)\n",
    "Check failed at row 17, column 4: expected 3.141593, got -nan\nFAILED\n",
    "terminate called after throwing an instance of 'std::runtime_error'\n"
    "  what():  cudaMalloc: out of memory\n",
)
# What becomes of how many in a thousand.
FATES = {
    "succeeded": 590,
    "compile_error": 190,
    "runtime_error": 100,
    "runtime_timeout": 45,
    "memory_exceeded": 12,
    "compile_timeout": 6,
    "output_exceeded": 5,
    "cancelled": 25,  # by its owner, while it waits or runs
    "released": 12,  # an ill host gives it back
    "lost": 7,  # it takes every host with it that runs it
    "lost once": 8,
}  # fmt: skip


@dataclass
class Fate:
    """What is to happen to a job that was submitted."""

    kind: str
    compile_seconds: float
    execute_seconds: float
    result: dict[str, Any] = field(default_factory=dict)  # members of a Result
    files: dict[str, bytes] = field(default_factory=dict)
    attempts: int = 0


def program(chance: Random, lab: Lab, author: str, version: int, size: int) -> Submission:
    """A version of somebody's solution, of about `size` kernels."""
    count = max(1, int(chance.gauss(size, size / 3)))
    kernels = "".join(KERNEL.format(n=n, factor=chance.randint(1, 99)) for n in range(count))
    calls = "".join(f"    step{n}<<<n / 256 + 1, 256>>>(in, out, n);\n" for n in range(count))
    head = f"// {author}, version {version}\n#include <cstdio>\n#include <cstdlib>\n"
    texts = {name: f"// {name}, by {author}\n#pragma once\n" for name in lab.others}
    return Submission(
        source=head + kernels + MAIN.format(calls=calls),
        filename=lab.filename,
        args=[str(chance.choice((256, 1 << 20)))] if chance.random() < 0.4 else [],
        sources={n: t for n, t in texts.items() if not n.endswith(".cuh")},
        includes={n: t for n, t in texts.items() if n.endswith(".cuh")},
        flags=list(lab.flags),
        platform=lab.platform,
        asm=chance.random() < 0.02,
    )


def fate(chance: Random, lab: Lab, number: int) -> Fate:
    """What is to become of the program, with its logs as compilers and programs write them. The
    first ones of a course have each another fate, so that a small course has them all."""
    kinds = list(FATES)
    rare = kinds[number : number + 1]
    kind = rare[0] if rare else chance.choices(kinds, list(FATES.values()))[0]
    seconds = min(25.0, chance.lognormvariate(0, 0.6) * lab.seconds)
    made = Fate(kind, round(chance.uniform(0.8, 4.5), 3), round(seconds, 3))
    if kind == "cancelled":  # or it would be over before
        made.execute_seconds = 60.0
    outcome = kind if kind not in ("cancelled", "released", "lost", "lost once") else "succeeded"
    about = {"file": lab.filename.rpartition("/")[2], "line": chance.randint(8, 38)}
    made.result = {
        "outcome": outcome,
        "compile_log": compile_log(chance, outcome, about),
        "execute_log": execute_log(chance, outcome, about),
        "compile_seconds": made.compile_seconds,
        "execute_seconds": None if outcome.startswith("compile") else made.execute_seconds,
        **endings(chance, outcome),
    }
    if outcome == "succeeded" and chance.random() < 0.04:
        made.files = {"image.ppm": b"P6 16 16 255\n" + bytes(768), "times.csv": b"n,ms\n1,0.2\n"}
    return made


def compile_log(chance: Random, outcome: str, about: dict[str, Any]) -> bytes:
    if outcome != "compile_error":
        return WARNING.format(**about).encode() if chance.random() < 0.25 else b""
    count = chance.randint(1, 4)
    errors = "".join(
        f"{about['file']}({about['line'] + n}): {chance.choice(ERRORS)}\n" for n in range(count)
    )
    word = "error" if count == 1 else "errors"
    return f'{errors}{count} {word} detected in the compilation of "{about["file"]}".\n'.encode()


def execute_log(chance: Random, outcome: str, about: dict[str, Any]) -> bytes:
    if outcome.startswith("compile"):
        return b""
    count = 3000 if outcome == "output_exceeded" else chance.randint(2, 25)
    lines = "".join(
        f"step {n:3}: {chance.uniform(0.1, 90):8.3f} ms, {chance.uniform(20, 800):7.1f} GB/s\n"
        for n in range(count)
    )
    if outcome == "runtime_error":
        lines += chance.choice(FAILURES).format(**about)
    if outcome == "succeeded":
        lines += "PASSED\n"
    if chance.random() < 0.01:
        lines = textwrap.fill(lines.replace("step", "\x1b[31mstep\x1b[0m\x00"), 500)
    return lines.encode()


def endings(chance: Random, outcome: str) -> dict[str, Any]:
    """Exit status or signal, as the executor tells them."""
    if outcome.startswith("compile"):
        return {}
    if outcome == "succeeded":
        return {"exit_code": 0}
    if outcome == "runtime_error":
        return {"signal": 11} if chance.random() < 0.3 else {"exit_code": chance.choice((1, 134))}
    return {"signal": 9}
