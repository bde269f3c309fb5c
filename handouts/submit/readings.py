"""What common failures mean, in plain words, and what to look at."""

from __future__ import annotations

import re
from typing import Any

READ_BYTES = 20_000  # of the end of a log
# An outcome, a signal or an exit status, or nothing for a program that failed in any way; what must
# stand in its log; what it means. The first that fits is said. It is one string, and read only when
# something failed, because all of this script is compiled at each start.
READINGS = r"""
compile_error | undefined reference to|Undefined reference|Unresolved extern | A function is
    declared and used, but its code was not found. Often the file that has it was not sent
    (--with FILE), or a library is missing (--flag=-lNAME).
compile_error | uses too much shared data | A kernel has more __shared__ memory than a block may
    have (48 KiB). Make the array smaller, or use dynamic shared memory.
compile_timeout | | Compiling took too long. Often templates or unrolled loops (#pragma unroll)
    make too much code.
output_exceeded | | The program printed without end, or far too much. Often a loop that does not
    stop, or a print in each thread of a kernel.
memory_exceeded | | The program used more memory on the host than it may. Look at the largest
    arrays (malloc, new, std::vector), and at what a loop allocates and does not free.
runtime_timeout | | The program did not end in time. Often a loop that does not stop, in a
    kernel or on the host, or __syncthreads() that not all threads of a block reach.
SIGXFSZ | | The program wrote a larger file than it may.
| cudaErrorIllegalAddress|an illegal memory access was encountered|CUDA_ERROR_ILLEGAL_ADDRESS |
    A kernel read or wrote outside of its arrays. Look at the index: does the last block check i
    < n? Was the array allocated with as many bytes, and is it memory of the GPU?
| cudaErrorMisalignedAddress|misaligned address | A kernel used an address that does not fit its
    type. Often a float4 or int4 is read at an index that is no multiple of 4, or a pointer was
    cast.
| cudaErrorLaunchOutOfResources|too many resources requested for launch | A block needs more
    registers or threads than the GPU has. Use fewer threads in a block, or __launch_bounds__.
| cudaErrorInvalidConfiguration|invalid configuration argument | The launch <<<blocks,
    threads>>> is not possible. Often more than 1024 threads in a block, no blocks at all (n /
    256 is 0 for a small n), or too much shared memory.
| cudaErrorNoKernelImageForDevice|no kernel image is available | The program was compiled for
    another kind of GPU than it ran on. Often a flag such as --flag=-arch=… names one; leave it
    out, or ask for that --platform.
| cudaErrorUnsupportedPtxVersion|unsupported toolchain|cudaErrorInvalidPtx|a PTX JIT compilation
    failed | The GPU's driver could not use the code that was compiled. Often a flag such as
    --flag=-arch=… names a kind of GPU; leave it out. If there is none, tell the course staff.
on-cpu | cudaErrorInsufficientDriver|driver version is insufficient|cudaErrorNoDevice|no
    CUDA-capable device | The program needs a GPU, and ran on a host for the platform cpu. Ask for
    another --platform, or for none.
no-gpu | cudaErrorInsufficientDriver|driver version is insufficient|cudaErrorNoDevice|no
    CUDA-capable device | The program needs a GPU, and the host that it ran on has none. That is
    not your program's fault; tell the course staff.
| cudaErrorInsufficientDriver|driver version is insufficient | The GPU host's driver is older
    than the compiler. That is not your program's fault; tell the course staff.
| cudaErrorNoDevice|no CUDA-capable device | The program found no GPU. Did it run on a host
    without one (--platform cpu)? If not, tell the course staff.
| cudaErrorAssert|device-side assert triggered | An assert() in a kernel was false; the line
    above names it.
| cudaErrorIllegalInstruction|an illegal instruction was encountered | A kernel met code that
    the GPU does not have. Often the stack was overwritten, or a function pointer is wrong.
| cudaErrorHardwareStackError|stack error|cudaErrorInvalidPc|invalid program counter | A
    kernel's stack was overwritten. Often recursion that is too deep, or a local array written
    outside of its bounds.
| cudaErrorInvalidAddressSpace|operation not supported on global/shared address space | A kernel
    used a pointer to another kind of memory than it took it for (shared, global, local).
| cudaErrorInvalidDevicePointer|invalid device pointer | A pointer that is not the GPU's was
    given to CUDA. Often memory of malloc is freed with cudaFree, or it is freed twice.
| cudaErrorInvalidDeviceFunction|invalid device function | CUDA does not have this kernel for
    this GPU. Often a flag such as --flag=-arch=… names another kind; leave it out.
| cudaErrorInvalidResourceHandle|invalid resource handle | A stream or event is used that does
    not exist: not created yet, or destroyed already.
| cudaErrorLaunchTimeout|the launch timed out | A kernel took too long. Often a loop that does
    not end.
| cudaErrorMemoryAllocation|CUDA_ERROR_OUT_OF_MEMORY|CUBLAS_STATUS_ALLOC_FAILED | The GPU's
    memory was not enough. Look at the sizes given to cudaMalloc: bytes, not elements; is n * n
    too large for an int?
| out of memory | Memory was not enough. In a message of CUDA it is the GPU's: look at the sizes
    given to cudaMalloc.
| cudaErrorLaunchFailure|unspecified launch failure | A kernel was stopped by the GPU. Often it
    uses a wrong pointer: memory of the host, or an address far outside of its arrays.
| cudaErrorInvalidValue|CUDA[^\n]*invalid argument|cuda\w*[^\n]*invalid argument | A function of
    CUDA was given a value that it does not take. Often the direction of cudaMemcpy, a size, or
    a pointer that is not set.
| ^ModuleNotFoundError: No module named '[^'\n]+' | A Python module was not found. Is it a file
    of yours beside the program (--with FILE)? Others must be on the host.
| ^SyntaxError: | Python cannot read the program; the line is named above.
127 | error while loading shared libraries | A library that the program needs is not on the
    host. Tell the course staff which.
| terminate called[^\n]*\n?[^\n]*std::bad_alloc | The host's memory was not enough for an array
    (std::bad_alloc). Often its size is negative or far too large.
SIGABRT | double free|free\(\): |munmap_chunk|malloc\(\): |corrupted | The host's heap is
    damaged: memory was freed twice, or an array was written outside of its bounds before that.
SIGABRT | stack smashing detected | An array in a function of the host was written outside of
    its bounds.
SIGABRT | Assertion .* failed | An assert() of the host was false; the line above names it.
SIGABRT | terminate called | A C++ exception was thrown and not caught; the lines above say
    which.
SIGABRT | | The program ended itself with abort(). Often an assert(), or an exception that was
    not caught.
SIGSEGV | | The host's part used a wrong address. Often a pointer to the GPU's memory is read on
    the host (copy it with cudaMemcpy first), an index is outside of an array, or a large local
    array does not fit the stack.
SIGBUS | | The host's part used an address that has no memory behind it. Often a file that is
    mapped and shorter than thought, or a misaligned pointer.
SIGFPE | | The host's part divided a whole number by 0.
SIGILL | | The processor of the host does not have an instruction that the program uses, such as
    AVX-512. Leave out --flag=-march=…, or ask for another --platform.
SIGKILL | | The program was killed. Often its memory was not enough.
SIGSYS | | The program used a system call that is not allowed here.
SIGPIPE | | The program wrote to a pipe that nobody reads any more.
127 | | Exit status 127 often means that a program or library was not found.
126 | | Exit status 126 often means that a file could not be executed.
"""
CUDA_NUMBERS = {
    2: "cudaErrorMemoryAllocation",
    9: "cudaErrorInvalidConfiguration",
    35: "cudaErrorInsufficientDriver",
    100: "cudaErrorNoDevice",
    209: "cudaErrorNoKernelImageForDevice",
    222: "cudaErrorUnsupportedPtxVersion",
    700: "cudaErrorIllegalAddress",
    701: "cudaErrorLaunchOutOfResources",
    702: "cudaErrorLaunchTimeout",
    710: "cudaErrorAssert",
    714: "cudaErrorHardwareStackError",
    715: "cudaErrorIllegalInstruction",
    716: "cudaErrorMisalignedAddress",
    717: "cudaErrorInvalidAddressSpace",
    718: "cudaErrorInvalidPc",
    719: "cudaErrorLaunchFailure",
}
# A number alone says nothing; at the end of such words it is CUDA's.
CUDA_NUMBER = re.compile(
    r"cuda[^\n]{0,80}?(?:error|code|status|failed|failure)"
    r"[\s:=(#]*(?:code|status|number)?[\s:=(#]*(\d{1,3})(?=\)|\.?\s*$|\s*[(:,]\s*[a-z])",
    re.IGNORECASE | re.MULTILINE,
)


def reading_of(job: dict[str, Any], signal: str) -> str:
    """What it often means that the program failed so; "" where nothing is known, or it did not.

    `signal`: the name of the one that ended it, or "".
    """
    result = job["result"]
    if not result or job["outcome"] == "succeeded":
        return ""
    name = "compile_log" if job["outcome"].startswith("compile") else "execute_log"
    log = with_names(str(result.get(name) or "")[-READ_BYTES:])
    happened = {job["outcome"], signal, str(result.get("exit_code")), without_gpu(job)}
    for line in READINGS.strip().replace("\n    ", " ").splitlines():
        what, _, rest = line.partition("|")
        pattern, _, words = rest.rpartition("|")
        is_meant = what.strip() in happened if what.strip() else "runtime_error" in happened
        if is_meant and re.search(pattern.strip(), log, re.MULTILINE):
            return words.strip()
    return ""


def unflushed(job: dict[str, Any]) -> str:
    """That the end of the output may be lost: what was printed without an end of line is kept back
    by the C library, and goes with a program that does not end by itself. "" if there is none."""
    result = job["result"] or {}
    was_stopped = job["outcome"] in ("runtime_timeout", "memory_exceeded") or result.get("signal")
    is_python = str(job.get("filename")).lower().endswith(".py")  # nothing is kept back
    log = str(result.get("execute_log") or "")
    if not was_stopped or is_python or (log and not log.endswith("\n")):
        return ""
    return (
        "What it printed last without \\n may be lost: end each line with \\n, or call "
        "fflush(stdout)."
    )


def without_gpu(job: dict[str, Any]) -> str:
    """That the program had no GPU, as the table calls it; "" if it had one, or nobody knows."""
    details = job["result"].get("details")
    if not isinstance(details, dict) or details.get("gpu"):
        return ""
    return "on-cpu" if job.get("platform") == "cpu" else "no-gpu"


def with_names(log: str) -> str:
    """The log, and at its end the name of the error that it gives by CUDA's number."""
    found = CUDA_NUMBER.search(log)
    return f"{log}\n{CUDA_NUMBERS.get(int(found[1]), '')}" if found else log
