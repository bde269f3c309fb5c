"""What common failures mean, in a sentence for staff who have not seen the program yet.

`submit.py` says more of them to students (handouts/submit/readings.py), and is made without this.
"""

import re

READ_BYTES = 20_000  # of the end of a log

# What the log's end holds (a pattern), and what that means. The first that fits is said.
_OF_LOGS = r"""
cudaErrorIllegalAddress|illegal memory access
    A kernel read or wrote outside of its arrays.
cudaErrorMisalignedAddress|misaligned address
    A kernel used an address that does not fit its type.
cudaErrorLaunchOutOfResources|too many resources requested
    A block needs more registers or threads than the GPU has.
cudaErrorInvalidConfiguration|invalid configuration argument
    A kernel's launch is not possible: too many threads in a block, no blocks, or too much
    shared memory.
cudaErrorNoKernelImageForDevice|no kernel image is available
    It was compiled for another kind of GPU than it ran on.
cudaErrorInsufficientDriver|driver version is insufficient
    The host's driver is older than the compiler: not the student's mistake.
cudaErrorNoDevice|no CUDA-capable device
    The program found no GPU: asked for the CPU, or a fault of the host.
cudaErrorAssert|device-side assert triggered
    An assert() in a kernel was false.
cudaErrorMemoryAllocation|CUDA_ERROR_OUT_OF_MEMORY|out of memory
    Memory was not enough; in a message of CUDA, the GPU's.
cudaErrorLaunchFailure|unspecified launch failure
    A kernel was stopped by the GPU, often for a wrong pointer.
error while loading shared libraries
    A library that the program needs is not on the host.
std::bad_alloc
    The host's memory was not enough for an array.
Assertion .* failed
    An assert() on the host was false.
double free|free\(\): |munmap_chunk|malloc\(\): |corrupted
    The host's heap was damaged.
terminate called
    A C++ exception was not caught.
"""
_OF_SIGNALS = {
    11: "The host's part used a wrong address.",
    7: "The host's part used an address that has no memory behind it.",
    8: "The host's part divided a whole number by 0.",
    4: "The host's processor does not have an instruction that the program uses.",
    6: "The program ended itself with abort().",
    9: "The program was killed, often because its memory was not enough.",
    31: "The program used a system call that is not allowed.",
    25: "The program wrote a larger file than it may.",
}


def reading_of(log: bytes, signal: int | None) -> str:
    """What it often means that a program failed so; "" where nothing is known.

    `log`: what it printed; `signal`: which ended it, if one did.
    """
    end = log[-READ_BYTES:].decode("utf-8", "replace")
    for pattern, words in _readings():
        if re.search(pattern, end):
            return words
    return _OF_SIGNALS.get(signal or 0, "")


def _readings() -> list[tuple[str, str]]:
    lines = _OF_LOGS.strip().replace("\n    ", "\t").splitlines()
    return [(pattern, " ".join(words)) for pattern, *words in (line.split("\t") for line in lines)]
