"""What submit.py says of a job that is over: how it went, what is missing, what a failure means."""

import re
import sys
from typing import Any

import pytest

from tests.support.processes import ROOT, run
from tests.support.scripts import load

pytestmark = pytest.mark.once
submit = load("submit")
executor = load("executor")


def job(outcome: str = "succeeded", log: bytes = b"", **more: Any) -> dict[str, Any]:
    """A finished job; what its result has, and `details`, are in `more`."""
    logs = {"compile_log": "", "execute_log": log.decode("utf-8", "surrogateescape")}
    result = {**logs, "exit_code": 0, "signal": None, "files": [], "compile_seconds": 1.93,
              "execute_seconds": 0.42, "details": {}, **more}  # fmt: skip
    return {"id": 7, "state": "finished", "outcome": outcome, "executor": "gpu1", "result": result}


# --- The last line -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0 µs"), (0.0004, "400 µs"), (0.0012, "1.2 ms"), (0.0123, "12.3 ms"),
        (0.42, "420 ms"), (0.9994, "999 ms"), (0.9996, "1.00 s"), (1.93, "1.93 s"),
        (59.99, "59.99 s"), (60, "1 min 0 s"), (75.2, "1 min 15 s"), (7200, "120 min 0 s"),
    ],
)  # fmt: skip
def test_how_long_it_took(seconds: float, words: str) -> None:
    """S17: no "ran in 0.00 s"."""
    assert submit.in_time(seconds) == words


@pytest.mark.parametrize(
    ("details", "seconds", "words"),
    [
        ({}, 1.93, "compiled in 1.93 s, ran in 420 ms, on gpu1"),
        ({"compiled_before": True}, 0.002, "compiled before (cached), ran in 420 ms, on gpu1"),
        ({"python": "3.12.1"}, 0.0, "ran in 420 ms, on gpu1"),
        (
            {"execute_memory_bytes": 327_155_712, "gpu": {"name": "NVIDIA H100 80GB HBM3"}},
            1.93,
            "compiled in 1.93 s, ran in 420 ms, peak memory 312 MiB, on gpu1 (H100 80GB HBM3)",
        ),
        (
            {"execute_memory_bytes": None, "gpu": None},
            1.93,
            "compiled in 1.93 s, ran in 420 ms, on gpu1",
        ),
        ({"execute_memory_bytes": "x", "gpu": "y"}, None, "ran in 420 ms, on gpu1"),
        ({"gpu": {"name": "evil\x1b[2J"}}, None, r"ran in 420 ms, on gpu1 (evil\x1b[2J)"),
        (None, None, "ran in 420 ms, on gpu1"),
    ],
)
def test_the_last_line_says_where_and_how_it_ran(
    details: Any, seconds: float | None, words: str
) -> None:
    done = job(details=details, compile_seconds=seconds)
    assert submit.ending_line(done) == f"--- job 7 succeeded: {words} ---"


def test_what_did_not_compile_was_not_compiled_in_a_time() -> None:
    line = submit.ending_line(job("compile_error", exit_code=2, execute_seconds=None))
    assert (
        line == "--- job 7 did not compile (exit status 2): the compiler took 1.93 s, on gpu1 ---"
    )


def test_a_job_that_was_replaced() -> None:
    """S16: not "was cancelled"."""
    gone = {"id": 58, "state": "cancelled", "result": None, "outcome": None}
    assert submit.ending_line({**gone, "replaced_by": 92}) == (
        "--- job 58 was replaced by your job 92 ---"
    )
    assert submit.ending_line({**gone, "replaced_by": None}) == "--- job 58 was cancelled ---"


# --- What was left out (S9) --------------------------------------------------------------


def kept(log: bytes, maximum: int) -> bytes:
    """As the executor's real code keeps a log."""
    bounded = executor.BoundedLog(maximum)
    bounded.add(log)
    return bounded.content()


FILES = [{"name": f"{n}.ppm", "size": 1} for n in range(16)]
NAMED = [{"name": f"more{n}", "reason": "no more than 16 files come back"} for n in range(20)]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, ""),
        ({"files": FILES}, ""),
        (
            {"files": FILES, "details": {"files_left_out": NAMED, "more_files_left_out": 4}},
            "24 of 40 files were left out",
        ),
        ({"details": {"files_left_out": NAMED[:1]}}, "1 of 1 file was left out"),
        (
            {"files": [{**FILES[0], "removed": "quota"}, FILES[1]]},
            "1 of 2 files was left out",
        ),
        ({"files": [{**FILES[0], "removed": None}, "x", None, 3]}, ""),
        ({"log": kept(b"x" * 20_000_000, 1 << 20)}, "18.1 MiB of output was left out"),
        (
            {"log": kept(b"line\n" * 100, 333), "files": FILES,
             "details": {"files_left_out": NAMED[:2]}},
            "2 of 18 files and 167 bytes of output were left out",
        ),
        ({"log": b"\n[... 5 bytes left out ...]\n"}, ""),  # the program's own words
        ({"log": b"so many:\n[... 99 bytes left out ...]\nand more\n"}, ""),
        ({"details": {"files_left_out": "x", "more_files_left_out": "y"}, "files": None}, ""),
    ],
)  # fmt: skip
def test_what_was_left_out_is_said(more: dict[str, Any], words: str) -> None:
    assert submit.what_is_left_out(job(**more)) == words
    line = submit.ending_line(job(**more))
    assert line.startswith(f"--- job 7 succeeded{', but ' if words else ''}{words}: compiled in")
    failed = submit.ending_line(job("runtime_error", exit_code=3, **more))
    assert failed.startswith(f"--- job 7 failed (exit status 3){', and ' if words else ''}{words}:")


@pytest.mark.parametrize("total", range(90, 130))
def test_output_that_a_log_did_not_hold_is_found(total: int) -> None:
    """To the byte, and also of a log that was made shorter on its way."""
    log = b"".join(b"%d\n" % n for n in range(60))[:total]
    assert submit.printed_left_out(job(log=kept(log, 100))["result"]) == max(0, total - 100)
    twice = kept(kept(log * 99, 1000), 200)
    assert submit.printed_left_out(job(log=twice)["result"]) > 0


def test_too_much_output_is_not_said_twice() -> None:
    over = job("output_exceeded", log=kept(b"x" * 1000, 100), details={"limit": "64 MiB"})
    assert submit.ending_line(over).startswith(
        "--- job 7 printed too much and was stopped (limit: 64 MiB): "
    )


# --- What failures mean ------------------------------------------------------------------

MESSAGES = {  # as cudaGetErrorString says them, and its names
    "an illegal memory access was encountered": "outside of its arrays",
    "CUDA error at prog.cu:41 code=700(cudaErrorIllegalAddress)": "outside of its arrays",
    "CUDA error 700": "outside of its arrays",
    "CUDA error: 719 (at prog.cu:9)": "stopped by the GPU",
    "cudaDeviceSynchronize failed: 716": "does not fit its type",
    "unspecified launch failure": "stopped by the GPU",
    "too many resources requested for launch": "more registers or threads",
    "invalid configuration argument": "1024 threads",
    "misaligned address": "does not fit its type",
    "cudaErrorMemoryAllocation": "GPU's memory was not enough",
    "CUDA error: out of memory": "Memory was not enough",
    "no kernel image is available for execution on the device": "another kind of GPU",
    "cudaErrorNoKernelImageForDevice": "another kind of GPU",
    "the provided PTX was compiled with an unsupported toolchain.": "could not use the code",
    "a PTX JIT compilation failed": "could not use the code",
    "no CUDA-capable device is detected": "found no GPU",
    "CUDA driver version is insufficient for CUDA runtime version": "older than the compiler",
    "device-side assert triggered": "assert() in a kernel",
    "an illegal instruction was encountered": "code that the GPU does not have",
    "hardware stack error": "stack was overwritten",
    "invalid program counter": "stack was overwritten",
    "operation not supported on global/shared address space": "another kind of memory",
    "invalid device pointer": "not the GPU's",
    "invalid device function": "does not have this kernel",
    "invalid resource handle": "stream or event",
    "the launch timed out and was terminated": "took too long",
    "CUDA error: invalid argument": "value that it does not take",
    "Traceback (most recent call last):\nModuleNotFoundError: No module named 'a.b'": "--with FILE",
    "  File \"a.py\", line 1\nSyntaxError: invalid syntax": "cannot read the program",
}  # fmt: skip
HOST = [
    ("SIGSEGV", 11, "", "wrong address"),
    ("SIGABRT", 6, "a.out: p.cu:3: int main(): Assertion `x == 1' failed.", "assert() of the host"),
    ("SIGABRT", 6, "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  "
     "std::bad_alloc", "std::bad_alloc"),
    ("SIGABRT", 6, "terminate called after throwing an instance of 'std::runtime_error'",
     "was thrown and not caught"),
    ("SIGABRT", 6, "free(): double free detected in tcache 2", "heap is damaged"),
    ("SIGABRT", 6, "*** stack smashing detected ***: terminated", "written outside of its bounds"),
    ("SIGABRT", 6, "", "abort()"),
    ("SIGFPE", 8, "", "divided a whole number by 0"),
    ("SIGILL", 4, "", "AVX-512"),
    ("SIGBUS", 7, "", "no memory behind it"),
    ("SIGKILL", 9, "", "memory was not enough"),
    ("SIGXFSZ", 25, "", "larger file"),
    ("SIGSYS", 31, "", "system call"),
    ("SIGPIPE", 13, "", "nobody reads"),
]  # fmt: skip


@pytest.mark.parametrize("message", MESSAGES)
def test_what_a_message_of_cuda_means(message: str) -> None:
    log = f"step 1\n{message}\n"
    on_a_gpu = {"gpu": {"name": "NVIDIA H100"}}
    failed = job("runtime_error", log.encode(), exit_code=1, details=on_a_gpu)
    assert MESSAGES[message] in submit.reading_of(failed, "")
    # Also if the program ended itself with abort() thereupon.
    assert MESSAGES[message] in submit.reading_of({**failed}, "SIGABRT")
    for outcome in ("succeeded", "compile_error"):
        assert submit.reading_of(job(outcome, log.encode()), "") == ""


@pytest.mark.parametrize(("name", "number", "log", "words"), HOST)
def test_what_a_signal_means(name: str, number: int, log: str, words: str) -> None:
    assert submit.SIGNALS[number] == name
    failed = job("runtime_error", log.encode(), signal=number, exit_code=None)
    assert words in submit.reading_of(failed, name)


@pytest.mark.parametrize(
    ("outcome", "more", "words"),
    [
        ("runtime_timeout", {}, "__syncthreads()"),
        ("runtime_timeout", {"log": b"out of memory\n"}, "__syncthreads()"),
        ("compile_timeout", {}, "Compiling took too long"),
        ("memory_exceeded", {}, "more memory on the host"),
        ("output_exceeded", {}, "printed without end"),
        ("compile_error", {"compile_log": "x.o: undefined reference to `foo()'"}, "--with FILE"),
        ("compile_error", {"compile_log": "uses too much shared data (0x"}, "__shared__"),
        ("runtime_error", {"exit_code": 126}, "could not be executed"),
        ("runtime_error", {"exit_code": 127}, "was not found"),
        (
            "runtime_error",
            {"exit_code": 127, "log": b"x: error while loading shared libraries: libz.so"},
            "A library",
        ),
    ],
)
def test_what_an_outcome_means(outcome: str, more: dict[str, Any], words: str) -> None:
    assert words in submit.reading_of(job(outcome, **more), "")


@pytest.mark.parametrize(
    "log",
    [
        b"", b"wrong result: 700 != 3\n", b"CUDA error at prog.cu:9: something else\n",
        b"cuda test failed at 700 points of 1000\n", b"FAILED 719\n", b"error 2\n",
        b"CUDA errors: 2 of 10\n", b"\xff\x00\n", b"an illegal memory\naccess was encountered",
        b"an illegal memory access was encountered" + b" and so on\n" * 9000,
    ],
)  # fmt: skip
def test_nothing_is_claimed_of_other_failures(log: bytes) -> None:
    assert submit.reading_of(job("runtime_error", log, exit_code=1), "") == ""


def test_each_reading_is_whole() -> None:
    """Every line has its three parts, a pattern that can be used, and one or two sentences more."""
    lines = submit.READINGS.strip().replace("\n    ", " ").splitlines()
    assert len(lines) > 40
    for line in lines:
        what, _, rest = line.partition("|")
        pattern, bar, words = rest.rpartition("|")
        assert bar
        assert re.fullmatch("[a-z_-]*|SIG[A-Z]+|[0-9]+", what.strip())
        assert what.strip() or pattern.strip()
        re.compile(pattern.strip())
        assert re.fullmatch(r"[A-Z].*[.?:]|[A-Z].*says which\.", words.strip())
        assert len(words) < 260


@pytest.mark.processes
def test_options_that_are_named_exist() -> None:
    options = set(re.findall(r"--[a-z-]+", submit.READINGS))
    known = run([sys.executable, ROOT / "submit.py", "--help"]).out
    assert options
    assert all(f"{option} " in known for option in options)


# --- Compilers' errors (S23) -------------------------------------------------------------

NVCC = """\
./sub/a.cuh(1): error: identifier "undefinedthing" is undefined
  int f() { return undefinedthing; }
                   ^

./err1.cu(5): error: expected a ";"
      printf("%d\\n", y(3));
      ^

2 errors detected in the compilation of "./err1.cu".
"""
GCC = """\
In file included from ./gcc.cpp:1,
                 from ./main.cpp:2:
./sub/b.h: In function 'int g()':
./sub/b.h:1:18: error: 'zzz' was not declared in this scope
    1 | int g() { return zzz; }
      |                  ^~~
./gcc.cpp:2:24: warning: unused variable
./gcc.cpp:2:24: error: expected ',' or ';' before 'return'
"""


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_paths_are_as_they_were_typed(size: int) -> None:
    paths = submit.OwnPaths("../../p/")
    for log, right in (
        (NVCC, NVCC.replace("./sub/a.cuh(1)", "../../p/sub/a.cuh:1")
         .replace("./err1.cu(5)", "../../p/err1.cu:5").replace('"./err1', '"../../p/err1')),
        (GCC, re.sub(r"(?m)(^|from )\./", r"\1../../p/", GCC)),
    ):  # fmt: skip
        pieces = [log.encode()[at : at + size] for at in range(0, len(log), size)]
        shown = b"".join(map(paths.take, pieces)) + paths.take(b"", is_last=True)
        assert shown.decode() == right


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (NVCC, '✗ 2 errors; the first: src/sub/a.cuh:1: identifier "undefinedthing" is undefined'),
        (GCC, "✗ 2 errors; the first: src/sub/b.h:1: 'zzz' was not declared in this scope"),
        ("./n.cu:1:10: fatal error: none.cuh: No such file or directory\ncompilation terminated.\n",
         "✗ 1 error: src/n.cu:1: none.cuh: No such file or directory"),
        ('./a b.cu(3): catastrophic error: cannot open source file "none.h"\n',
         '✗ 1 error: src/a b.cu:3: cannot open source file "none.h"'),
        ("/usr/bin/ld: /tmp/x.o: in function `main':\nx.cpp:(.text+0x5): undefined reference to "
         "`foo()'\ncollect2: error: ld returned 1 exit status\n",
         "✗ 1 error: undefined reference to `foo()'"),
        ("/usr/bin/ld: cannot find -lfoo: No such file or directory\ncollect2: error: ld returned "
         "1 exit status\n", "✗ 1 error: cannot find -lfoo: No such file or directory"),
        ("ptxas /tmp/t.ptx, line 21; error   : Unknown modifier '.bar'\nptxas /tmp/t.ptx, line 21; "
         "error   : Unknown symbol '%r1'\nptxas fatal   : Ptx assembly aborted due to errors\n",
         "✗ 2 errors; the first: Unknown modifier '.bar'"),
        ("ptxas fatal   : Unresolved extern function '_Z3barv'\n",
         "✗ 1 error: Unresolved extern function '_Z3barv'"),
        ("nvlink error   : Undefined reference to '_Z3barv' in '/tmp/x.o'\n",
         "✗ 1 error: Undefined reference to '_Z3barv' in '/tmp/x.o'"),
        ("nvcc fatal   : Unknown option '--bogus'\n", "✗ 1 error: Unknown option '--bogus'"),
        ("g++: error: unrecognized command-line option '-x'\n",
         "✗ 1 error: unrecognized command-line option '-x'"),
        ("".join(f'./m.cu({n}): error: identifier "u{n}" is undefined\n' for n in range(100))
         + "Error limit reached.\n",
         '✗ 100 or more errors; the first: src/m.cu:0: identifier "u0" is undefined'),
        (2 * './m.cu(3): error: expected a ";"\n'
         + '2 errors detected in the compilation of "./m.cu".\n',
         '✗ 2 errors; the first: src/m.cu:3: expected a ";"'),
        ("./m.cu(3): warning #177-D: variable\n", ""),
        ("This host has no nvcc, so it compiles no CUDA programs.\n", ""),
        ("", ""),
        ("\udcff\x1b[2J./m.cu(3): error", ""),
        ("x" * 100_000 + "\n" + "y:" * 50_000, ""),
    ],
)  # fmt: skip
def test_errors_in_a_line(log: str, words: str) -> None:
    assert submit.errors_in_a_line(log, submit.OwnPaths("src/")) == words


def test_a_path_of_windows() -> None:
    log = './err1.cu(5): error: expected a ";"\n'
    line = submit.errors_in_a_line(log, submit.OwnPaths("C:\\labs\\"))
    assert line == '✗ 1 error: C:\\labs\\err1.cu:5: expected a ";"'
