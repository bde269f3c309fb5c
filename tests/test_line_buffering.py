"""What was printed is in the log however the program ended, in order with standard error (S3, B4).

A real executor with the sandbox and real compilers, a stub queue; the programs of the case
`output-lost` and others of their kind.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import need
from tests.support.processes import NVCC, World, has_sandbox, wait_for
from tests.support.scripts import load
from tests.support.stub_queue import LIMITS, StubQueue

pytestmark = pytest.mark.once
executor = load("executor")

CRASH = "int *p = nullptr; *(volatile int *)p = 1;"
HANG = "for (volatile int i = 0;; i = i + 1) ;"
STEPS = r'printf("step 1 done\n"); printf("step 2 done\n"); '
SAID = "step 1 done\nstep 2 done\n"
COUT = r'std::cout << "step 1 done\n" << "step 2 " << "done\n"; '


def main(body: str, head: str = "") -> str:
    includes = "cstdio cstdlib csignal unistd.h iostream thread sys/wait.h"
    lines = [f"#include <{name}>" for name in includes.split()]
    return "\n".join([*lines, head, f"int main() {{ {body} }}", ""])


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StubQueue]:
    need("nvcc", NVCC)
    need("bubblewrap", has_sandbox())
    with World(tmp_path_factory.mktemp("host")) as world:
        queue = StubQueue(world)
        queue.stream = True
        arguments = ("--nproc-cpu", 2, "--python", "/usr/bin/python3")
        host = world.start_executor(queue.auth(world), *arguments, compile=2)
        yield queue
        assert host.stop() == 0
        queue.close()


def result_of(queue: StubQueue, source: str, filename: str = "a.cpp", **members: Any) -> Any:
    platform = "cuda" if filename.endswith(".cu") else "cpu"
    job = queue.submit(platform, source, filename, **members)
    return queue.wait_until_done(job)[0]


# --- Every ending --------------------------------------------------------------------------


@pytest.mark.end_to_end
@pytest.mark.parametrize("body", [STEPS, COUT])
@pytest.mark.parametrize(
    ("ending", "outcome"),
    [
        (CRASH, "runtime_error"),
        pytest.param("abort();", "runtime_error", marks=pytest.mark.hardening),
        pytest.param("_exit(0);", "succeeded", marks=pytest.mark.hardening),
        pytest.param("_Exit(3);", "runtime_error", marks=pytest.mark.hardening),
        pytest.param("raise(SIGKILL);", "runtime_error", marks=pytest.mark.hardening),
        pytest.param("throw 1;", "runtime_error", marks=pytest.mark.hardening),
        pytest.param(
            "std::thread([] { *(volatile int *)nullptr = 1; }).join();",
            "runtime_error",
            marks=pytest.mark.hardening,
        ),
    ],
)
def test_lines_before_the_end_are_there(
    queue: StubQueue, body: str, ending: str, outcome: str
) -> None:
    result = result_of(queue, main(body + ending))
    assert result["outcome"] == outcome, result
    assert result["execute_log"].startswith(SAID)


@pytest.mark.end_to_end
@pytest.mark.parametrize("body", [STEPS + CRASH, COUT + "_exit(0);"])
def test_lines_of_cuda_programs_are_there(queue: StubQueue, body: str) -> None:
    assert result_of(queue, main(body), "a.cu")["execute_log"] == SAID


@pytest.mark.hardening
@pytest.mark.end_to_end
def test_lines_before_a_time_out_are_there(queue: StubQueue) -> None:
    limits = {**LIMITS, "execute_seconds": 1}
    result = result_of(queue, main(STEPS + HANG), "a.cu", limits=limits)
    assert (result["outcome"], result["execute_log"]) == ("runtime_timeout", SAID)


@pytest.mark.end_to_end
def test_a_line_is_told_while_the_program_runs(queue: StubQueue) -> None:
    """And is there when it is cancelled."""
    job = queue.submit("cuda", main(STEPS + HANG))
    wait_for(lambda: queue.told(job) == SAID.encode(), "it is told")
    queue.cancelled.add(job)
    wait_for(lambda: job in queue.partial, "it is given back")
    assert queue.partial[job]["execute_log"] == SAID


# --- Order ---------------------------------------------------------------------------------


@pytest.mark.end_to_end
@pytest.mark.parametrize("filename", ["a.cpp", pytest.param("a.cu", marks=pytest.mark.hardening)])
def test_standard_error_keeps_its_place(queue: StubQueue, filename: str) -> None:
    body = r'for (int i = 0; i < 3; i++) { printf("out %d\n", i); fprintf(stderr, "err %d\n", i); '
    body += r'std::cout << "cout\n"; std::cerr << "cerr\n"; }'
    result = result_of(queue, main(body), filename)
    lines = [line for i in range(3) for line in (f"out {i}", f"err {i}", "cout", "cerr")]
    assert result["execute_log"].splitlines() == lines


@pytest.mark.end_to_end
def test_what_a_child_prints_comes_behind_what_its_parent_had_printed(queue: StubQueue) -> None:
    body = (
        STEPS + r'fflush(stdin); if (fork() == 0) { printf("child\n"); _exit(0); } wait(nullptr); '
    )
    result = result_of(queue, main(body + r'printf("parent\n");'))
    assert result["execute_log"] == SAID + "child\nparent\n"


@pytest.mark.end_to_end
def test_python_and_the_c_library_in_it(queue: StubQueue) -> None:
    source = (
        "import ctypes, os, sys\nlibc = ctypes.CDLL(None)\n"
        "print('python'); libc.printf(b'c\\n'); print('error', file=sys.stderr)\n"
        "libc.puts(b'more'); os._exit(0)\n"
    )
    result = result_of(queue, source, "a.py")
    assert result["execute_log"] == "python\nc\nerror\nmore\n"


# --- Ways to build -------------------------------------------------------------------------


@pytest.mark.hardening
@pytest.mark.end_to_end
@pytest.mark.parametrize(
    ("filename", "flags"),
    [
        ("a.cpp", ["-static"]),
        ("a.cpp", ["-flto"]),
        ("a.cpp", ["-fsanitize=undefined"]),
        ("a.cpp", ["-fopenmp", "-O2", "-g"]),
        ("a.cpp", ["-std=c++17", "-Wall", "-Werror"]),
        ("a.cpp", ["-Wl,--gc-sections"]),
        ("a.cu", ["-rdc=true"]),
        ("a.cu", ["-G", "-g"]),
        ("a.cu", ["-cudart=shared"]),
    ],
)
def test_however_it_is_built(queue: StubQueue, filename: str, flags: list[str]) -> None:
    result = result_of(queue, main(STEPS + "_exit(0);"), filename, flags=flags)
    assert result["execute_log"] == SAID, result


@pytest.mark.end_to_end
def test_programs_in_c_and_of_several_files(queue: StubQueue) -> None:
    source = "#include <unistd.h>\nvoid f(void);\nint main(void) { f(); _exit(0); }\n"
    other = '#include <stdio.h>\nvoid f(void) { puts("f"); }\n'
    assert result_of(queue, source, "a.c", sources={"b.c": other})["execute_log"] == "f\n"
    # Names that the object could have are the program's own.
    source = main(
        r"line_buffer_stdout(); _exit(0);",
        r'extern "C" void line_buffer_stdout() { printf("mine\n"); }',
    )
    assert result_of(queue, source)["execute_log"] == "mine\n"


@pytest.mark.end_to_end
def test_a_program_may_buffer_as_it_likes(queue: StubQueue) -> None:
    body = STEPS + "_exit(0);"
    full = result_of(queue, main("setvbuf(stdout, nullptr, _IOFBF, 1 << 16); " + body))
    assert full["execute_log"] == ""
    none = result_of(queue, main('setvbuf(stdout, nullptr, _IONBF, 0); printf("part"); _exit(0);'))
    assert none["execute_log"] == "part"


@pytest.mark.end_to_end
def test_constructors_of_a_program_print_lines_too(queue: StubQueue) -> None:
    head = r'struct S { S() { printf("early\n"); } } s;'
    assert result_of(queue, main("_exit(0);", head))["execute_log"] == "early\n"


@pytest.mark.end_to_end
def test_a_program_without_a_c_library_is_linked_without(queue: StubQueue) -> None:
    source = 'extern "C" void _start() { asm volatile("mov $60, %eax; mov $7, %edi; syscall"); }\n'
    result = result_of(queue, source, flags=["-nostdlib", "-static"])
    assert result["exit_code"] == 7, result


def test_which_flags_do_without() -> None:
    """Flags of a course's own, which the queue's table does not know."""
    for flag in ("-m32", "-nostdlib", "-Xcompiler=-nostartfiles", "-xc", "-mx32", "-nodefaultlibs"):
        assert not executor.takes_line_buffering(["-O2", flag])
    for flag in ("-m64", "-march=native", "-static", "-mavx512f", "-Xcompiler=-mavx2", "-lexpat"):
        assert executor.takes_line_buffering([flag])


@pytest.mark.processes
def test_a_host_whose_compiler_cannot_make_it(tmp_path: Path, capsys: Any) -> None:
    """A stub: it is said once, and programs do without."""
    broken = tmp_path / "stub-cc"
    broken.write_text("#!/bin/sh\necho no stdio.h; exit 1\n")
    broken.chmod(0o755)
    assert executor.make_line_buffering([str(broken), ""], tmp_path / "linked") == ""
    assert "no stdio.h" in capsys.readouterr().err
    assert executor.make_line_buffering(["", ""], tmp_path / "linked") == ""
    assert capsys.readouterr().err == ""
    made = executor.make_line_buffering([str(broken), "gcc"], tmp_path / "linked")
    symbols = subprocess.run(["nm", made], stdout=subprocess.PIPE, text=True).stdout
    assert " T " not in symbols  # nothing that a program could clash with
