"""The executor's command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from handouts.client.auth import HERE
from handouts.executor.machine.architectures import architecture
from handouts.executor.sandbox.uids import SANDBOX_UID_BASE, SANDBOX_UIDS


def positive(text: str) -> int:
    """A number of workers."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1024):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1024")
    return int(text)


def zero_or_more(text: str) -> int:
    """A number of workers, or none."""
    return 0 if text == "0" else positive(text)


def seconds(text: str) -> float:
    """A time, from a second to a week."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 604800):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of seconds, at least 1")
    return float(text)


def spare_uid(text: str) -> int:
    """A uid that is no account's of the system itself."""
    if not (text.isascii() and text.isdigit() and 1000 <= int(text) < 1 << 31):
        raise argparse.ArgumentTypeError(f"{text!r} is not a uid that can be spared (1000 or more)")
    return int(text)


def parse(argv: list[str]) -> argparse.Namespace:
    """The options; wrong usage ends the process with status 2."""
    parser = argparse.ArgumentParser(
        description="Run the jobs of Telerun's queue on this machine's GPUs."
    )
    parser.add_argument(
        "--nproc-compile", type=positive, required=True, metavar="N", help="compile workers"
    )
    parser.add_argument(
        "--nproc-execute",
        type=zero_or_more,
        required=True,
        metavar="M",
        help="execution workers, each with a GPU of its own",
    )
    parser.add_argument(
        "--nproc-cpu",
        type=zero_or_more,
        default=0,
        metavar="K",
        help="execution workers without a GPU, for jobs that need none (default: %(default)s)",
    )
    parser.add_argument(
        "--auth",
        type=Path,
        default=HERE / "auth.json",
        metavar="FILE",
        help="who this executor is (default: auth.json beside this script)",
    )
    parser.add_argument("--server", metavar="URL", help="https://host:port of the queue")
    parser.add_argument(
        "--scratch-dir",
        type=Path,
        metavar="DIR",
        help="for jobs in hand and results not yet sent "
        "(default: executor-scratch beside this script)",
    )
    parser.add_argument(
        "--min-free-mib",
        type=int,
        default=512,
        metavar="MIB",
        help="claim nothing while the scratch folder's disk has less free (default: %(default)s)",
    )
    parser.add_argument(
        "--compile-cache",
        type=int,
        default=64,
        metavar="N",
        help="keep this many programs, not to compile the same source twice "
        "(default: %(default)s; 0: none)",
    )
    parser.add_argument(
        "--drain-seconds",
        type=seconds,
        metavar="N",
        help="after SIGTERM all is over within so many seconds: jobs that cannot end in time are "
        "given back (default: those in hand are finished)",
    )
    add_machine_options(parser)
    add_sandbox_options(parser)
    options = parser.parse_args(argv)
    if not options.nproc_execute and not options.nproc_cpu:
        parser.error("--nproc-execute and --nproc-cpu are both 0: nothing would run")
    return options


def add_machine_options(parser: argparse.ArgumentParser) -> None:
    """What is taken from this machine."""
    parser.add_argument(
        "--nvcc",
        metavar="PATH",
        help="the compiler (default: nvcc on the PATH, then /usr/local/cuda)",
    )
    parser.add_argument(
        "--ccbin",
        metavar="PATH",
        help="the host compiler of nvcc, or the folder that it is in (default: NVCC_CCBIN in the "
        "environment, then g++ on the PATH)",
    )
    parser.add_argument(
        "--nvcc-flags",
        default="",
        metavar="FLAGS",
        help="of nvcc in every compile, before those of a job, as in --nvcc-flags='-O2 -lineinfo'",
    )
    parser.add_argument(
        "--python",
        metavar="PATH",
        help="the interpreter of jobs in Python; its prefix is shown in the sandbox "
        "(default: none, and no such jobs)",
    )
    parser.add_argument(
        "--arch",
        type=architecture,
        metavar="SM",
        help="compile for this architecture: sm_90, 90a, compute_90a:sm_90a, or as nvcc's -gencode "
        "takes it (default: the GPU's, with all that it can)",
    )
    parser.add_argument(
        "--no-gpu",
        action="store_true",
        help="for a machine without GPUs: programs run, CUDA calls in them fail as CUDA says",
    )
    parser.add_argument(
        "--allow-integrated-gpu",
        action="store_true",
        help="use a GPU without memory of its own (GB10, Jetson), where no limit on memory holds",
    )
    parser.add_argument(
        "--kernel-log",
        type=Path,
        default=Path("/dev/kmsg"),
        metavar="FILE",
        help="where the driver's Xid errors are read (default: %(default)s)",
    )


def add_sandbox_options(parser: argparse.ArgumentParser) -> None:
    """What programs run in."""
    parser.add_argument(
        "--sandbox",
        choices=("bubblewrap", "none"),
        default="bubblewrap",
        help="what programs run in (default: %(default)s); "
        'with "none" they can do all that this user can',
    )
    parser.add_argument(
        "--sandbox-uid-base",
        type=spare_uid,
        default=SANDBOX_UID_BASE,
        metavar="UID",
        help=f"started by root: the first of {SANDBOX_UIDS} uids to run programs as "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--sandbox-bind",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="show this in the sandbox too, read-only: a compiler outside of /usr, a data set",
    )
    parser.add_argument(
        "--sandbox-sys",
        choices=("cuda", "whole"),
        default="cuda",
        help="what programs with a GPU see of /sys: what CUDA reads of their own GPU "
        "(default: %(default)s), or all of it, if CUDA does not start with that",
    )
    parser.add_argument(
        "--seccomp-log",
        action="store_true",
        help="have the kernel log the system calls that an allow list would refuse; "
        "all that is refused without this still is",
    )
