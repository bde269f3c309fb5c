#!/usr/bin/env python3
"""Run the jobs of Telerun's queue on this machine's GPUs, or on its CPU.

    python3 executor.py --nproc-compile 2 --nproc-execute 1
    python3 executor.py --nproc-compile 2 --nproc-execute 0 --nproc-cpu 4

Needs Python 3.8 or newer, nvcc and bubblewrap on Linux, nothing else. It asks the queue for work
over outbound HTTPS, compiles it, runs each program on one GPU or none, and sends the logs back.
Beside this file stands auth.json, from the course staff: {"executor": "...", "token": "..."}, and
optionally "server" (https://host:port) and "certificate" (a PEM file to trust, relative to
auth.json). A server.cert beside this file is trusted too.

How it works. Each compile worker claims a job that there is room for, compiles it and hands it to
an execution worker, so that the next job compiles while one runs. Compilers and programs are
started by slots: one child process for each worker, which enforces the limits and leaves no process
behind, not even when this one is killed. Both run in a sandbox (bubblewrap): as a uid of the slot's
own where this is started by root, and without network, home, or other processes. One thread sends
the heartbeats of all jobs in hand, four the results, up to eight what programs print while they
run. A result is on disk before it is sent, with the files that its program left in ./out/; what
could not be sent is sent by the next start.

SIGTERM or Ctrl-C: take no more jobs, finish those in hand, exit 0. A second one: give them back.

Exit status: 0 stopped as asked, 1 the queue refuses this executor, 2 wrong usage or setup,
70 a fault of its own (start it again: nothing is lost), 75 the GPUs or their driver are not up yet
(start it again in a while).
"""

from __future__ import annotations

import argparse
import array
import codecs
import ctypes
import errno
import fcntl
import glob
import grp
import hashlib
import http.client
import json
import os
import platform
import posixpath
import pwd
import queue
import re
import resource
import selectors
import shlex
import shutil
import signal
import socket
import ssl
import stat
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from xml.etree import ElementTree

# Made from handouts/executor/ and handouts/client/ by `make handouts`: change those.
# The parts of this file: where each begins, what it is made from, and the line there.
PARTS = (
    (204, "handouts/client/errors.py", 6),
    (234, "handouts/client/text_encoding.py", 7),
    (275, "handouts/client/words.py", 10),
    (313, "handouts/client/auth.py", 15),
    (397, "handouts/client/tracebacks.py", 12),
    (430, "handouts/executor/base/exit_statuses.py", 5),
    (445, "handouts/executor/machine/architectures.py", 13),
    (527, "handouts/executor/sandbox/uids.py", 12),
    (574, "handouts/executor/base/options.py", 13),
    (763, "handouts/executor/base/say.py", 10),
    (799, "handouts/executor/machine/gpu.py", 10),
    (838, "handouts/executor/base/threads.py", 15),
    (867, "handouts/executor/gate/probe.cu", 0),
    (894, "handouts/executor/base/limits.py", 5),
    (908, "handouts/executor/base/text.py", 6),
    (918, "handouts/client/retries.py", 9),
    (932, "handouts/executor/gate/idle_memory.py", 7),
    (990, "handouts/executor/machine/pci.py", 8),
    (1033, "handouts/executor/gate/kernel_log.py", 12),
    (1109, "handouts/executor/machine/processes.py", 11),
    (1166, "handouts/executor/machine/driver_tools.py", 14),
    (1261, "handouts/executor/machine/nvidia_smi.py", 13),
    (1337, "handouts/executor/gate/recovery.py", 15),
    (1375, "handouts/executor/gate/readings.py", 23),
    (1496, "handouts/executor/machine/device_files.py", 13),
    (1567, "handouts/executor/machine/held_open.py", 16),
    (1644, "handouts/executor/slot/protocol.py", 28),
    (1772, "handouts/executor/gate/gate.py", 24),
    (1950, "handouts/executor/machine/cgroups.py", 12),
    (2070, "handouts/executor/machine/host_compiler.py", 20),
    (2192, "handouts/executor/machine/interpreter.py", 13),
    (2236, "handouts/executor/machine/toolchain.py", 16),
    (2363, "handouts/executor/sandbox/command.py", 12),
    (2412, "handouts/executor/slot/live_output.py", 11),
    (2434, "handouts/executor/slot/memory_board.py", 13),
    (2499, "handouts/executor/slot/slot_start.py", 16),
    (2530, "handouts/executor/slot/slot.py", 35),
    (2698, "handouts/executor/gate/probe.py", 21),
    (2769, "handouts/executor/machine/platforms.py", 7),
    (2808, "handouts/client/job_file_names.py", 8),
    (2848, "handouts/executor/base/file_names.py", 10),
    (2868, "handouts/executor/pipeline/job_files.py", 11),
    (2911, "handouts/executor/slot/bounded_log.py", 5),
    (2956, "handouts/executor/slot/orders.py", 13),
    (3061, "handouts/executor/slot/program_output.py", 11),
    (3111, "handouts/executor/pipeline/live_stream.py", 16),
    (3244, "handouts/executor/results/archive.py", 18),
    (3349, "handouts/executor/pipeline/attempt.py", 19),
    (3502, "handouts/client/answer.py", 8),
    (3551, "handouts/client/distrust.py", 10),
    (3617, "handouts/client/server_address.py", 10),
    (3689, "handouts/client/connection.py", 21),
    (3853, "handouts/executor/base/held_connection.py", 13),
    (3887, "handouts/executor/machine/gpu_choice.py", 9),
    (3945, "handouts/executor/machine/gpu_instances.py", 13),
    (4007, "handouts/executor/machine/gpu_discovery.py", 24),
    (4151, "handouts/executor/machine/driver_start.py", 16),
    (4255, "handouts/executor/gate/gates.py", 15),
    (4282, "handouts/executor/machine/cores.py", 14),
    (4383, "handouts/executor/machine/driver_versions.py", 9),
    (4424, "handouts/executor/machine/gpu_lock.py", 18),
    (4556, "handouts/executor/machine/integrated.py", 16),
    (4614, "handouts/executor/machine/driver_library.py", 9),
    (4650, "handouts/executor/machine/driver_stub.c", 0),
    (4693, "handouts/executor/machine/driver_stub.py", 16),
    (4736, "handouts/executor/machine/libraries.py", 24),
    (4865, "handouts/executor/machine/line_buffering.c", 0),
    (4884, "handouts/executor/machine/line_buffering.py", 19),
    (4922, "handouts/executor/machine/memory.py", 5),
    (4986, "handouts/executor/pipeline/scratch.py", 16),
    (5025, "handouts/executor/pipeline/workers.py", 11),
    (5066, "handouts/executor/sandbox/bundle.py", 13),
    (5099, "handouts/executor/sandbox/bwrap_program.py", 11),
    (5132, "handouts/executor/sandbox/init.c", 0),
    (5404, "handouts/executor/results/outputs.py", 10),
    (5521, "handouts/executor/sandbox/first_process.py", 21),
    (5578, "handouts/executor/sandbox/device_access.py", 14),
    (5654, "handouts/executor/sandbox/driver_files.py", 17),
    (5724, "handouts/executor/sandbox/sys_files.py", 16),
    (5771, "handouts/executor/sandbox/gpu_devices.py", 17),
    (5818, "handouts/executor/sandbox/hidden.py", 8),
    (5890, "handouts/executor/sandbox/call_log.py", 10),
    (5925, "handouts/executor/sandbox/bpf.py", 7),
    (5965, "handouts/executor/sandbox/denied_calls.py", 5),
    (6036, "handouts/executor/sandbox/usual_calls.py", 9),
    (6111, "handouts/executor/sandbox/system_calls.py", 27),
    (6228, "handouts/executor/sandbox/own_files.py", 17),
    (6261, "handouts/executor/sandbox/self_test.py", 7),
    (6325, "handouts/executor/sandbox/shown.py", 14),
    (6387, "handouts/executor/sandbox/bubblewrap.py", 35),
    (6568, "handouts/executor/sandbox/unconfined.py", 16),
    (6661, "handouts/executor/pipeline/host.py", 39),
    (6820, "handouts/executor/pipeline/held_claims.py", 10),
    (6860, "handouts/executor/pipeline/places.py", 11),
    (6902, "handouts/executor/pipeline/room.py", 14),
    (7020, "handouts/executor/pipeline/shutdown.py", 20),
    (7124, "handouts/executor/pipeline/heartbeat.py", 16),
    (7214, "handouts/executor/pipeline/live_senders.py", 17),
    (7330, "handouts/executor/pipeline/claiming.py", 22),
    (7478, "handouts/executor/base/flags.py", 12),
    (7556, "handouts/executor/pipeline/disassembly.py", 14),
    (7653, "handouts/executor/pipeline/building.py", 23),
    (7788, "handouts/executor/pipeline/endings.py", 17),
    (7859, "handouts/executor/pipeline/delivery.py", 16),
    (7931, "handouts/executor/pipeline/outbox.py", 11),
    (7966, "handouts/executor/results/spool.py", 11),
    (8043, "handouts/executor/pipeline/sending.py", 15),
    (8125, "handouts/executor/pipeline/reporting.py", 19),
    (8214, "handouts/executor/pipeline/handover.py", 17),
    (8335, "handouts/executor/results/compile_cache.py", 15),
    (8413, "handouts/executor/pipeline/compiling.py", 32),
    (8581, "handouts/executor/pipeline/executing.py", 32),
    (8719, "handouts/executor/pipeline/executor.py", 30),
    (8836, "handouts/executor/slot/event_loop.py", 12),
    (8871, "handouts/executor/slot/libc.py", 11),
    (8926, "handouts/executor/slot/identity.py", 26),
    (8992, "handouts/executor/slot/process_memory.py", 16),
    (9064, "handouts/executor/slot/shortage.py", 16),
    (9123, "handouts/executor/slot/memory_watch.py", 28),
    (9253, "handouts/executor/slot/command_run.py", 24),
    (9438, "handouts/executor/slot/slot_process.py", 27),
    (9490, "handouts/executor/main.py", 49),
)


# --- handouts/client/errors.py ------------------------------------------------------------
#
# What can go wrong on the way to the queue.


class BadSetup(Exception):
    """Something on this machine is missing or wrong; the message says what to do."""


class Unreachable(Exception):
    """The queue gave no answer; trying again may help."""

    def __init__(
        self, message: str, timed_out: bool = False, status: int = 0, was_sent: bool = True
    ) -> None:
        super().__init__(message)
        self.was_sent = was_sent  # the request, or a part of it: it may have been acted upon
        self.timed_out = timed_out  # it was connected, and nothing came
        self.status = status  # of an answer that is not the queue's; 0 if there was none


class Untrusted(Exception):
    """What answered is not the queue that auth.json means; the token was not sent."""

    def __init__(self, message: str, what: str = "", mend: str = "") -> None:
        super().__init__(message)
        self.what = what or message  # is wrong with the certificate
        self.mend = mend


# --- handouts/client/text_encoding.py -----------------------------------------------------
#
# Files that hold text, but not as UTF-8.


UTF_16_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
LOOKED_AT_BYTES = 4096
STRANGE = 20  # of so many characters, one at most may be none of a text's


def is_utf_16(data: bytes) -> bool:
    """Whether the bytes are text in UTF-16, which PowerShell's `>` writes: with its mark, or with a
    NUL beside most of the first characters."""
    encoding = UTF_16_MARKS.get(data[:2], "")
    begin = data[:64]
    pairs = len(begin) // 2
    if not encoding and pairs > 1:
        of_each = {"utf-16-be": begin[0::2].count(0), "utf-16-le": begin[1::2].count(0)}
        encoding = next((one for one in of_each if of_each[one] > pairs * 3 // 4), "")
    return bool(encoding) and is_text(data[:LOOKED_AT_BYTES], encoding)


def is_text(data: bytes, encoding: str) -> bool:
    """Whether the bytes, which may end within a character, make sense in that encoding."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(data)
    except UnicodeDecodeError:
        return False
    strange = sum(not (one.isprintable() or one in "\ufeff\t\n\v\f\r") for one in text)
    return strange * STRANGE <= len(text)


def about_utf_16(shown: str, path: str) -> str:
    """What is wrong with such a file, which is called `shown`, and how to save it."""
    name = f'"{path}"' if " " in path else path
    return (
        f"{shown} is in UTF-16, as PowerShell's > writes it. Save it as UTF-8: in the editor, or "
        f"with (Get-Content {name}) | Set-Content -Encoding utf8 {name}"
    )


# --- handouts/client/words.py -------------------------------------------------------------
#
# What people read: one line on standard error, errors and sizes in words.


def warn(message: str) -> None:
    """One line on standard error. That nobody reads it is no reason to stop."""
    try:  # noqa: SIM105  (importing contextlib takes a millisecond)
        print(message, file=sys.stderr, flush=True)
    except OSError:
        pass


def in_words(error: Exception) -> str:
    """A short, readable form of what a socket or http.client raises."""
    if isinstance(error, TimeoutError) or "timed out" in str(error):
        return "timed out"
    if isinstance(error, ssl.SSLError):
        return f"it does not speak TLS ({error.reason or error})"
    if isinstance(error, (http.client.RemoteDisconnected, http.client.IncompleteRead)):
        return "it closed the connection"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def in_mib(size: float) -> str:
    """Such as "1.5 MiB"."""
    return f"{size / (1 << 20):.4g} MiB"


def in_size(size: int) -> str:
    """A size, however small, in three digits, as the queue's pages show it."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            number = size / unit
            return f"{number:.0f} {name}" if number >= 100 else f"{number:.3g} {name}"
    return "1 byte" if size == 1 else f"{size} bytes"


# --- handouts/client/auth.py --------------------------------------------------------------
#
# auth.json: who this is, and where the queue is.


HERE = Path(__file__).resolve().parent
DEFAULT_SERVER = "https://localhost:4443"


class Auth:
    """What auth.json says."""

    def __init__(
        self,
        name: str,
        token: str,
        server: str,
        certificates: list[Path],
        is_user: bool = False,
        path: Path | None = None,
    ) -> None:
        self.path = path  # the file, where there is one
        self.is_user = is_user  # a student or staff, and not an executor
        self.name = name
        self.token = token
        self.server = server
        self.certificates = certificates  # PEM files to trust beside the system's


def read_auth(
    path: Path, name_key: str, server: str | None, to_log_in: str = "", warns: bool = True
) -> Auth:
    """Reads auth.json; `name_key` is "username" or "executor". Raises BadSetup.

    `to_log_in`: the command that makes one. `warns`: it says so if others can read the file.
    """
    content = read_object(path, name_key, to_log_in)
    again = f" To write it anew: {to_log_in}" if to_log_in else ""
    if warns and os.name == "posix" and path.stat().st_mode & 0o077:
        warn(f"{path} can be read by others; chmod 600 it.")
    for key in (name_key, "token"):
        if not isinstance(content.get(key), str) or not content[key].strip():
            raise BadSetup(
                f'{path} lacks "{key}"; it looks like {{"{name_key}": "...", "token": "..."}}.'
                + again
            )
    for key in ("server", "certificate"):
        if not isinstance(content.get(key, ""), str):
            raise BadSetup(f'In {path}, "{key}" is not a string.{again}')
    token = content["token"].strip()
    if not re.fullmatch(r"[!-~]+", token):
        raise BadSetup(f"The token in {path} has characters that no token has.{again}")
    name = content[name_key].strip()
    if re.match("tlr[a-z]_", name):
        raise BadSetup(f'In {path}, "{name_key}" is a token, and no name.{again}')
    certificates = [HERE / "server.cert"] if (HERE / "server.cert").is_file() else []
    if content.get("certificate"):
        certificates.append(path.parent / content["certificate"])
    address = content.get("server", DEFAULT_SERVER) if server is None else server
    return Auth(name, token, address, certificates, name_key == "username", path)


def read_object(path: Path, name_key: str, to_log_in: str) -> dict[str, Any]:
    """The JSON object in the file, {} if it holds something else. Raises BadSetup."""
    try:
        data = path.read_bytes()
        if is_utf_16(data):
            raise BadSetup(about_utf_16(str(path), str(path)))
        content = json.loads(data.decode("utf-8-sig"))
    except FileNotFoundError:
        how = f'Put the file from the course staff there: {{"{name_key}": "...", "token": "..."}}'
        if to_log_in:
            how = f"With the log-in code from the course staff, say: {to_log_in}"
        raise BadSetup(f"There is no {path}. {how}") from None
    except OSError as error:
        raise BadSetup(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        again = "Put the file from the course staff there again."
        if to_log_in:
            again = f"To write it anew, with a log-in code or token: {to_log_in}"
        raise BadSetup(f"{path} is not valid JSON: {error}. {again}") from None
    return content if isinstance(content, dict) else {}


# --- handouts/client/tracebacks.py --------------------------------------------------------
#
# Tracebacks that also name the source file, because a script is made from many.


def place_in_source(number: int) -> str:
    """Where a line of this script stands in the sources; "" for one that the builder wrote."""
    for first, source, first_in_source in reversed(PARTS):
        if first <= number:
            return f"{source}, line {number - first + first_in_source}"
    return ""


def traceback_of(error: BaseException) -> str:
    """The usual traceback, with a place in the sources after each line number of this script."""
    import traceback  # only here, since it takes time to import

    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    script = traceback_of.__code__.co_filename

    def with_place(frame: Any) -> str:
        place = place_in_source(int(frame[1]))
        return f"{frame[0]} ({place})" if place else frame[0]

    frames = rf'^  File "{re.escape(script)}", line (\d+).*$'
    return re.sub(frames, with_place, text, flags=re.MULTILINE)


def print_unexpected(_kind: Any, error: BaseException, _frames: Any) -> None:
    """For sys.excepthook: what ends this script and is no expected error."""
    sys.stderr.write(traceback_of(error))


# --- handouts/executor/base/exit_statuses.py ----------------------------------------------
#
# What the executor's exit status says.


STOPPED = 0  # as asked
REFUSED = 1  # by the queue
WRONG_USAGE = 2  # or setup
FAILED = 70  # a fault of its own
NOT_READY = 75  # the driver is not up yet; EX_TEMPFAIL of sysexits(3)


# --- handouts/executor/machine/architectures.py -------------------------------------------
#
# Names of GPU architectures, and what nvcc is told to compile for them.
#
# An architecture is kept as text: "sm_90", with a suffix "sm_90a" (the features of that one kind of
# GPU, such as wgmma), or "compute_80:sm_90" where PTX and machine code are of different ones.


ARCHITECTURE_KIND = r"\d{2,3}[af]?"
ONE_ARCHITECTURE = re.compile(rf"(?:sm_)?({ARCHITECTURE_KIND})")
ARCHITECTURE_PAIR = re.compile(
    rf"(?:arch=)?compute_({ARCHITECTURE_KIND})(?:,code=|:)"
    rf"(\[?(?:sm|compute|lto)_{ARCHITECTURE_KIND}(?:,(?:sm|compute|lto)_{ARCHITECTURE_KIND})*\]?)"
)
FIRST_WITH_FEATURES = 90  # of its own: from here on a GPU's full set has the suffix a
NAMES_ARCHITECTURE = re.compile(
    r"--?(arch|gpu-architecture|gencode|generate-code|code|gpu-code)(=.*)?"
)
WHOLE_ARCHITECTURE = re.compile(rf"--?(?:arch|gpu-architecture)=(sm_{ARCHITECTURE_KIND}|native)")


def architecture(text: str) -> str:
    """An option's value: sm_90, 90a, compute_90a:sm_90a, or as nvcc's -gencode takes it.

    Raises ArgumentTypeError.
    """
    named = ONE_ARCHITECTURE.fullmatch(text)
    if named:
        return "sm_" + named[1]
    pair = ARCHITECTURE_PAIR.fullmatch(text)
    if not pair:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an architecture like sm_90, sm_90a or arch=compute_90a,code=sm_90a"
        )
    virtual, real = pair[1], pair[2].strip("[]")
    return real if real == "sm_" + virtual else f"compute_{virtual}:{real}"


def full_architecture(of_gpu: str, nvcc: str) -> str:
    """A GPU's own with all that it can: "sm_90" is sm_90a, and "sm_89" stays what it is.

    `nvcc`: its version, such as "13.0". Those before 12 know no suffixes.
    """
    match = re.fullmatch(r"sm_(\d+)", of_gpu)
    has_suffix = match is not None and int(match[1]) >= FIRST_WITH_FEATURES
    return of_gpu + "a" if has_suffix and not nvcc.startswith("11.") else of_gpu


def architecture_flags(architectures: Iterable[str], with_ptx: bool = False) -> list[str]:
    """What nvcc is given, so that the program has code for each of them.

    `with_ptx`: its PTX is in the program too, to be read.
    """
    names = list(architectures)
    if len(names) == 1 and re.fullmatch(r"sm_\d+", names[0]):
        # Short for its code and its PTX. With a suffix it would stand for two kinds of PTX, one of
        # them without the features: nvcc 13 then fails for a program that uses them.
        return [f"-arch={names[0]}"]
    flags = []
    for name in names:
        virtual, _, real = name.rpartition(":")
        virtual = virtual or "compute_" + name[len("sm_") :]
        codes = real.split(",")
        codes += [virtual] if with_ptx and virtual not in codes else []
        flags += [f"-gencode=arch={virtual},code={code}" for code in codes]
    return flags


def job_names_architecture(flags: Iterable[str]) -> bool:
    """Whether a job's flags say what it is compiled for."""
    return any(NAMES_ARCHITECTURE.fullmatch(flag) for flag in flags)


def with_plain_architectures(flags: Iterable[str], own: Iterable[str]) -> list[str]:
    """The flags, with -arch=sm_90a and -arch=native (`own`) said as `architecture_flags` does."""
    told = []
    for flag in flags:
        whole = WHOLE_ARCHITECTURE.fullmatch(flag)
        if whole:
            told += architecture_flags([whole[1]] if whole[1] != "native" else own)
        else:
            told.append(flag)
    return told


# --- handouts/executor/sandbox/uids.py ----------------------------------------------------
#
# A uid of its own for each slot, where the executor is started by root.


SANDBOX_UID_BASE = 60600  # to 61183: neither Debian, systemd nor useradd gives these out
SANDBOX_UIDS = 584


class Uids:
    """A range of uids. Each belongs to one slot on this machine, which holds its lock in /run."""

    def __init__(self, base: int) -> None:
        self._range = range(base, base + SANDBOX_UIDS)
        self._folder = Path("/run/telerun-sandbox")
        self._folder.mkdir(mode=0o700, exist_ok=True)

    @property
    def gids(self) -> range:
        """Each uid has the group of its number."""
        return self._range

    def take(self) -> tuple[Any, int]:
        """A uid that is free, as the open file of its lock and its number. Raises BadSetup."""
        for uid in self._range:
            if not is_account(uid):
                lock = (self._folder / str(uid)).open("w")
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return lock, uid
                except BlockingIOError:
                    lock.close()
        raise BadSetup(
            f"No uid from {self._range[0]} to {self._range[-1]} is free for a sandbox; "
            "say --sandbox-uid-base."
        )


def is_account(uid: int) -> bool:
    """Whether the system has a user of that uid."""
    try:
        pwd.getpwuid(uid)
        return True
    except KeyError:
        return False


# --- handouts/executor/base/options.py ----------------------------------------------------
#
# The executor's command line.


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


# --- handouts/executor/base/say.py --------------------------------------------------------
#
# The executor's own log, on standard error.


def say(message: str) -> None:
    """One line, with the time."""
    warn(time.strftime("%Y-%m-%d %H:%M:%S ") + message)


class TroubleLog:
    """What keeps this executor from getting jobs; each try would otherwise repeat the line."""

    def __init__(self) -> None:
        self._last = ""

    def say(self, message: str) -> None:
        """One line, unless it is the one that was said last."""
        if message != self._last:
            self._last = message
            say(message)

    def retrying(self, error: object) -> None:
        """The same, for an error after which the request is sent again."""
        self.say(f"{str(error).rstrip('.')}; trying again.")

    def over(self) -> None:
        """The queue answers; said once after trouble."""
        if self._last:
            self._last = ""
            say("The queue answers again.")


TROUBLE_LOG = TroubleLog()


# --- handouts/executor/machine/gpu.py -----------------------------------------------------
#
# What is known of a GPU.


class Gpu(NamedTuple):
    """One GPU, or one instance of a GPU that is split (MIG), as nvidia-smi describes it."""

    index: str  # "0"; of an instance "0:1"
    uuid: str
    name: str
    architecture: str  # "sm_90"
    driver: str
    bus: str = ""  # "00000000:01:00.0"
    whole: str = ""  # of an instance: the UUID of the GPU that it is a part of
    instance: str = ""  # of an instance: "gi1/ci0"


class GpuTrouble(Exception):
    """A GPU that is to have no jobs; the message says why."""


class SmiSlow(GpuTrouble):
    """nvidia-smi did not answer in time, which by itself says nothing of the GPU."""


class SmiMissing(GpuTrouble):
    """nvidia-smi is not installed."""


class DriverNotReady(BadSetup):
    """The GPUs that are asked for are not there yet, and may be later: the message says why."""


def identity(gpu: Gpu) -> dict[str, Any]:
    """What the queue is sent of it."""
    return {key: getattr(gpu, key) for key in ("index", "uuid", "name", "architecture", "driver")}


# --- handouts/executor/base/threads.py ----------------------------------------------------
#
# Threads whose failure ends the process.


def start(function: Callable[..., Any], name: str, *args: Any) -> threading.Thread:
    """A thread that ends this process if it fails: half an executor is worse than none.

    The slots then kill what runs, the queue gives the jobs to others, and the next start
    sends the results that are in the spool.
    """

    def run() -> None:
        try:
            function(*args)
        except BaseException as error:
            say(f"Executor failed in its thread {name!r}:\n{traceback_of(error)}")
            os._exit(FAILED)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


def join(threads: list[threading.Thread]) -> None:
    """Waits for threads; in steps, because a bare join() keeps signals from being handled."""
    for thread in threads:
        while thread.is_alive():
            thread.join(1.0)


# --- handouts/executor/gate/probe.cu ------------------------------------------------------


PROBE_CU = r"""
#include <cstdio>
__global__ void fill(unsigned *to, unsigned n) {
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) to[i] = i * 2654435761u;
}
#define TRY(call) do { cudaError_t e = (call); if (e) { printf("%s: %s\n", #call, cudaGetErrorString(e)); return 1; } } while (0)
int main() {
    const unsigned n = 1 << 20;
    static unsigned back[n];
    unsigned *on_gpu;
    TRY(cudaMalloc(&on_gpu, n * sizeof *on_gpu));
    fill<<<64, 256>>>(on_gpu, n);
    TRY(cudaGetLastError());
    TRY(cudaMemcpy(back, on_gpu, n * sizeof *on_gpu, cudaMemcpyDeviceToHost));
    for (unsigned i = 0; i < n; i++)
        if (back[i] != i * 2654435761u) { printf("it computes wrongly\n"); return 1; }
    TRY(cudaFree(on_gpu));
    return 43;
}
"""


# --- handouts/executor/base/limits.py -----------------------------------------------------
#
# The limits of a job that an older queue does not send.


DEFAULT_LIMITS = {
    "memory_bytes": 4 << 30,
    "processes": 256,
    "disk_bytes": 1 << 30,
    "output_files": 0,
    "output_file_bytes": 0,
}


# --- handouts/executor/base/text.py -------------------------------------------------------
#
# Bytes as text.


def in_text(log: bytes) -> str:
    """Any bytes as a string that JSON carries without loss (PEP 383)."""
    return log.decode("utf-8", "surrogateescape")


# --- handouts/client/retries.py -----------------------------------------------------------
#
# How long to wait between tries.


def delays(minimum: float = 0.5, maximum: float = 10.0) -> Iterator[float]:
    """Seconds to wait between tries: exponential backoff, with jitter, so that not all clients
    come back at the same moment."""
    while True:
        jitter = os.urandom(1)[0] / 255  # to import random would take longer
        yield minimum * (0.5 + jitter / 2)
        minimum = min(maximum, minimum * 2)


# --- handouts/executor/gate/idle_memory.py ------------------------------------------------
#
# How much of a GPU's memory is in use while nothing runs on it.


SPARE_MIB = 64  # by how much that may differ
MOST_MIB = 1024  # more is never normal: drivers keep less, and held 10 GiB on A100s after a fault
IDLE_CHECKS = 4  # after as many that find nothing but more memory in use, that is what is normal


class IdleMemory:
    """The smallest amount seen counts as normal, until a larger one has stayed for long. More than
    MOST_MIB never does."""

    def __init__(self, gpu: Gpu) -> None:
        self._index = gpu.index
        self._is_instance = bool(gpu.whole)  # nvidia-smi does not say what an instance uses
        self._normal_mib: int | None = None
        self._is_only_problem = False  # of the last look
        self._is_too_much = False
        self._failed_checks = 0  # in a row, which found no other problem

    def begin_look(self) -> None:
        """Until `excess` is asked, a problem is another one."""
        self._is_only_problem = False

    def excess(self, used_mib: int | None) -> str:
        """What is wrong with the memory in use, "" for nothing; asked if nothing else is wrong."""
        if used_mib is None or self._is_instance:
            return ""
        first = min(used_mib, MOST_MIB)
        normal = first if self._normal_mib is None else min(used_mib, self._normal_mib)
        self._normal_mib = normal
        self._is_too_much = used_mib > MOST_MIB
        self._is_only_problem = used_mib > normal + SPARE_MIB
        if not self._is_only_problem:
            return ""
        if self._is_too_much and (normal == MOST_MIB or self._failed_checks >= IDLE_CHECKS - 1):
            return (
                f"{used_mib} MiB of its memory are in use and no process is on it: "
                f"nvidia-smi -pm 0 -i {self._index}, then nvidia-smi --gpu-reset -i {self._index} "
                "mends that, or a reboot"
            )
        return f"{used_mib} MiB of its memory are in use and {normal} were while it was idle"

    def check_failed(self) -> bool:
        """Whether the larger amount is the normal one from now on: it may be the driver's own."""
        self._failed_checks = self._failed_checks + 1 if self._is_only_problem else 0
        if self._failed_checks < IDLE_CHECKS or self._is_too_much:
            return False
        self._normal_mib = None
        return True

    def check_passed(self) -> None:
        """The next failed check is the first in a row."""
        self._failed_checks = 0


# --- handouts/executor/machine/pci.py -----------------------------------------------------
#
# Places on the PCI bus, and the GPUs that the kernel sees there.


PLACE = re.compile(
    r"(?:PCI:)?([0-9a-f]{4,8}):([0-9a-f]{1,2}):([0-9a-f]{1,2})(?:\.([0-7]))?", re.IGNORECASE
)
NVIDIA = "0x10de"
DISPLAY_CLASSES = ("0x0300", "0x0302")  # PCI's: with a display, and without


def pci_place(text: str) -> tuple[int, ...]:
    """A place as numbers: domain, bus, device, function; () if it is none.

    nvidia-smi's "00000000:0A:00.0" is "0000:0a:00.0" in /proc and /sys, and "PCI:0000:0a:00" in
    the kernel's log.
    """
    found = PLACE.fullmatch(text.strip())
    return tuple(int(part or "0", 16) for part in found.groups()) if found else ()


def gpus_on_bus(root: Path = Path("/")) -> set[tuple[int, ...]]:
    """The places of NVIDIA's GPUs, but for those that another driver has, such as vfio-pci."""
    found = set()
    for device in root.glob("sys/bus/pci/devices/*"):
        if text_of(device / "vendor").strip() != NVIDIA:
            continue
        driver = device / "driver"
        is_ours = not driver.exists() or driver.resolve().name == "nvidia"
        if is_ours and text_of(device / "class").startswith(DISPLAY_CLASSES):
            found.add(pci_place(device.name))
    return found


def text_of(path: Path) -> str:
    """What is in a file of /proc or /sys; "" if it cannot be read."""
    try:
        return path.read_text()
    except OSError:
        return ""


# --- handouts/executor/gate/kernel_log.py -------------------------------------------------
#
# The kernel's log, where the driver reports Xid errors.


# Xid errors after which NVIDIA says to reset the GPU or to reboot, by
# https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html (the resolution buckets
# RESET_GPU, RESTART_BM, RESTART_VM, WORKFLOW_XID_48 and WORKFLOW_NVLINK_ERR). Not here:
# - what a program's own faults raise (13, 31, 43, 45, 68, 69);
# - memory errors that were contained (63, 92, 94, 157), after which the next program may run;
# - 109, a context switch that took too long: a program's kernel can cause it, and the GPU goes on
#   (https://github.com/NVIDIA/open-gpu-kernel-modules/issues/1146 and 1243);
# - 144 to 150, of NVLink: whether they ask for a reset is in bits of their messages.
# Of the last two the driver says by Xid 154 and by the recovery action if a reset is needed.
RESET_XIDS = frozenset(
    [46, 48, 62, 64, 74, 79, 95, 110, 119, 120, 136, 140, 143, 151, 155, 156, 158]
)


class KernelLog:
    """The Xid errors that the driver reports from now on. Each reader has its own position."""

    XID = re.compile(
        rb"NVRM: Xid \((?:PCI:)?([0-9a-f]{4,8}):([0-9a-f]+):([0-9a-f]+)[^)]*\): (\d+)([^\n]*)",
        re.IGNORECASE,
    )

    def __init__(self, path: Path) -> None:
        """`path`: /dev/kmsg, or a file that the messages are appended to. Raises OSError."""
        self._path = str(path)
        self._file = self._open()
        os.lseek(self._file, 0, os.SEEK_END)
        self._rest = b""

    def _open(self) -> int:
        return os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def new_xids(self, bus: str) -> list[tuple[int, str]]:
        """Those of the GPU at that place on the bus, as pairs of number and message."""
        data = self._rest + b"".join(iter(self._read, b""))
        if self._rotated():
            data += b"".join(iter(self._read, b""))
        whole, newline, self._rest = data.rpartition(b"\n")
        place = pci_place(bus)[:3]  # the log does not say the function
        return [
            (int(found[4]), found[5].decode("utf-8", "replace").strip(" ,"))
            for found in self.XID.finditer(whole + newline)
            if pci_place(":".join(part.decode() for part in found.group(1, 2, 3)))[:3] == place
        ]

    def _rotated(self) -> bool:
        """Whether the file was replaced or emptied; it is then read from its start."""
        try:
            there, opened = os.stat(self._path), os.fstat(self._file)
            if not stat.S_ISREG(there.st_mode):
                return False
            same = (there.st_dev, there.st_ino) == (opened.st_dev, opened.st_ino)
            if same and there.st_size >= os.lseek(self._file, 0, os.SEEK_CUR):
                return False
            file = self._open()
        except OSError:  # it is being replaced; the next look sees it
            return False
        os.close(self._file)
        self._file = file
        return True

    def _read(self) -> bytes:
        while True:
            try:
                return os.read(self._file, 1 << 13)  # of /dev/kmsg, one message
            except BlockingIOError:
                return b""
            except BrokenPipeError:  # some were overwritten before they were read
                continue


# --- handouts/executor/machine/processes.py -----------------------------------------------
#
# Processes, as /proc shows them (proc(5)).


def stat_fields(pid: int | str, root: str = "/proc") -> list[bytes]:
    """State, parent and so on of a process, from /proc/PID/stat; [] if there is none.

    The same of a thread, which is "PID/task/TID".
    """
    try:
        return Path(f"{root}/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return []


def is_running(pid: int, root: str = "/proc") -> bool:
    """Whether the process is there and not dead already.

    One whose first thread has ended is a zombie to see, while others of its threads may hang in a
    driver: it is dead when all of them are.
    """
    try:
        threads = os.listdir(f"{root}/{pid}/task")
    except OSError:
        return False
    return any(has_not_ended(f"{pid}/task/{thread}", root) for thread in threads)


def has_not_ended(thread: int | str, root: str = "/proc") -> bool:
    """Whether a thread is there and not dead already; a process's number is its first thread's."""
    return stat_fields(thread, root)[:1] not in ([], [b"Z"], [b"X"])


def children() -> list[int]:
    """The pids of this process's children."""
    me = os.getpid()
    try:
        return [int(pid) for pid in Path(f"/proc/{me}/task/{me}/children").read_text().split()]
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        return [pid for pid in pids if stat_fields(pid)[1:2] == [b"%d" % me]]


def kill_group(pid: int) -> None:
    """SIGKILL for a process and for the group that it leads, if it leads one."""
    for kill in (os.killpg, os.kill):
        with suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def reap(pid: int) -> None:
    """Lets the kernel forget a child that has ended."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


# --- handouts/executor/machine/driver_tools.py --------------------------------------------
#
# Running NVIDIA's tools, which hang when the driver does.


# These tools close every descriptor that they might have before they start another program: with
# a limit of 2^30, as container runtimes set it, that took 24 s
# (https://github.com/NVIDIA/nvidia-container-toolkit/issues/1053). A shell lowers the limit and
# becomes the tool: no moment in which it runs without, and no code between fork and exec of a
# process that has threads. Where fewer are allowed, that stays.
WITH_FEW_DESCRIPTORS = 'ulimit -S -n 1024 2>/dev/null; exec "$@"'
TOOL_FOLDERS = "/usr/bin:/usr/sbin:/bin:/sbin"  # where root's tools are, whatever the PATH


class Hanging:
    """Those tools that did not end even after SIGKILL, and those that are asked now."""

    MAXIMUM = 7

    def __init__(self) -> None:
        self.processes: list[Any] = []
        self._asked: set[Any] = set()  # those that are waited for now

    def watch(self, process: Any) -> None:
        """It runs until `dismiss`."""
        self._asked.add(process)

    def kill_all(self) -> None:
        """For a process that ends at once, so that what it asked does not outlive it."""
        for process in list(self._asked):
            kill_group(process.pid)

    def check(self) -> None:
        """Raises GpuTrouble if there are too many to start another."""
        self.processes = [process for process in self.processes if process.poll() is None]
        if len(self.processes) > self.MAXIMUM:
            raise GpuTrouble("nvidia-smi hangs, and cannot be killed")

    def dismiss(self, process: Any) -> None:
        """Ends a process; one that hangs in the driver is not waited for."""
        if process.poll() is None:
            kill_group(process.pid)
            with suppress(subprocess.TimeoutExpired):
                process.wait(1)
            if process.returncode is None:
                self.processes.append(process)
        process.stdout.close()
        self._asked.discard(process)


HANGING = Hanging()


def start_tool(path: str, arguments: list[str]) -> Any:
    """The process, in a group of its own so that it can be killed with its children."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", WITH_FEW_DESCRIPTORS, "sh", path, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    HANGING.watch(process)
    return process


def read_answer(process: Any, deadline: float) -> str:
    """All that it prints. Raises TimeoutExpired."""
    answer, _ = process.communicate(timeout=max(0.0, deadline - time.monotonic()))
    return answer.decode("utf-8", "replace")


def run_tool(name: str, arguments: list[str], seconds: float) -> str:
    """Runs a tool to its end; what went wrong, "" if nothing did."""
    path = shutil.which(name) or shutil.which(name, path=TOOL_FOLDERS)
    if not path:
        return f"{name} is not installed"
    HANGING.check()
    process = start_tool(path, arguments)
    try:
        answer = read_answer(process, time.monotonic() + seconds)
    except subprocess.TimeoutExpired:
        return f"{name} does not end within {seconds:g} s"
    finally:
        HANGING.dismiss(process)
    if process.returncode == 0:
        return ""
    return f"{name} says: {in_a_line(answer) or f'nothing, and ends with {process.returncode}'}"


def in_a_line(answer: str) -> str:
    """What a tool printed, short enough for a message."""
    return " ".join(answer.split())[:200]


# --- handouts/executor/machine/nvidia_smi.py ----------------------------------------------
#
# Asking nvidia-smi, and reading the text that it answers with.


SMI_SECONDS = 15  # how long nvidia-smi may take to answer for one GPU
# And where it may have to start the driver first: 30 s were seen on A100s without persistence
# mode (https://github.com/Azure/aks-gpu/pull/105).
START_SECONDS = 60

# What stands in a field that has no value: this GPU lacks that. Compared in small letters.
LACKING = frozenset(["", "n/a", "none", "not supported", "not available", "not applicable"])


def ask_nvidia_smi(*questions: list[str], seconds: float = SMI_SECONDS) -> list[str]:
    """What nvidia-smi prints when asked each of these, all at once. Raises GpuTrouble.

    Its exit status says little: where one GPU fell off the bus it fails, and lists the others.
    """
    HANGING.check()
    path = shutil.which("nvidia-smi")
    if not path:
        raise SmiMissing("nvidia-smi cannot be run: No such file or directory")
    started: list[Any] = []
    try:
        started.extend(start_tool(path, question) for question in questions)
        deadline = time.monotonic() + seconds
        return [read_answer(process, deadline) for process in started]
    except OSError as error:
        raise GpuTrouble(f"nvidia-smi cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise SmiSlow(f"nvidia-smi does not answer within {seconds} s") from None
    finally:
        for process in started:
            HANGING.dismiss(process)


def rows_of(answer: str, columns: int) -> list[list[str]]:
    """The rows of nvidia-smi's CSV; a line with fewer columns is a message, not a row.

    It quotes nothing, so a field that may hold a comma has to be asked for last.
    """
    rows = [[cell.strip() for cell in line.split(",", columns - 1)] for line in answer.splitlines()]
    return [row for row in rows if len(row) == columns]


def is_lacking(field: str) -> bool:
    """Whether the GPU has no such value at all: "[N/A]", "[Not Supported]" and the like."""
    return field.strip().strip("[]").strip().lower() in LACKING


def is_failure(field: str) -> bool:
    """Whether a value could not be had: "[Unknown Error]", "[Insufficient Permissions]", "ERR!"
    and whatever else stands in brackets, but for what is_lacking."""
    text = field.strip()
    in_brackets = text.startswith("[") and text.endswith("]")
    is_bare = text.lower() in ("err!", "error", "unknown error", "insufficient permissions")
    return (in_brackets or is_bare) and not is_lacking(text)


def says_broken(field: str) -> bool:
    """Whether a value could not be had because no program can use the GPU until it is reset, or at
    all: "[GPU is lost]", "[GPU requires reset]"."""
    return field.strip().strip("[]").strip().lower() in ("gpu is lost", "gpu requires reset")


def is_value(field: str) -> bool:
    """Whether it is neither of these."""
    return not is_lacking(field) and not is_failure(field)


# --- handouts/executor/gate/recovery.py ---------------------------------------------------
#
# What the driver says that a GPU needs, in nvidia-smi's field and in the message of Xid 154.
#
# The numbers are nvmlDeviceGpuRecoveryAction_t of the NVML reference (R570 to R610). The words differ
# by driver: Xid 154 had "GPU Reset Required" and "PF FLR" for 1, "Node Reboot Required" and
# "OS Reboot" for 2. Number 5 was a reset of the bus for a while, and is now the recovery of an IMEX
# domain, which leaves the GPU usable.


RECOVERY_XID = 154  # "GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)"
RESET_ACTIONS = frozenset([1, 2, 4, 6, 7])  # not 0, none; 3, drain P2P; 5, IMEX domain
RESET_WORDS = frozenset(
    [
        *("reset", "reboot", "drain and reset", "gpu reset required", "node reboot required"),
        *("gpu reset", "node reboot", "drain p2p and reset", "pf flr", "os reboot", "bus reset"),
        *("gpu reset bus", "bus reset required", "system reboot", "system reboot required"),
    ]
)


def asks_for_reset(action: str) -> bool:
    """Whether a recovery action in words is one of those after which the GPU works again, and
    before which it may not."""
    return " ".join(re.split(r"[\s_]+", action.strip(" ."))).lower() in RESET_WORDS


def asks_for_nothing(action: str) -> bool:
    """Whether there is none, or the driver knows of none. All else is a reason to try the GPU."""
    return is_lacking(action)


def xid_asks_for_reset(message: str) -> bool:
    """The same as asks_for_reset, for the message of Xid 154."""
    found = re.search(r"\bto\s+(0x[0-9a-f]+|\d+)\s*(?:\(([^)]*)\))?", message, re.IGNORECASE)
    if not found:
        return False
    number = int(found[1], 16 if "x" in found[1].lower() else 10)
    return number in RESET_ACTIONS or asks_for_reset(found[2] or "")


# --- handouts/executor/gate/readings.py ---------------------------------------------------
#
# What nvidia-smi says of one GPU.
#
# Its text is the same for all drivers, but for some fields that older ones do not know.


FIELDS = (
    *("uuid", "memory.used", "temperature.gpu", "clocks.sm", "clocks.mem"),
    *("clocks_event_reasons.active", "gpu_recovery_action"),
)
# Fields that not every driver knows, and what to ask for then; "" for nothing.
OLDER_FIELDS = {
    "clocks_event_reasons.active": "clocks_throttle_reasons.active",  # before 535
    "clocks_throttle_reasons.active": "",
    "gpu_recovery_action": "",
}
# NvmlClocksEventReasons of the NVML reference. Left out: idle, and what somebody set on purpose.
SLOWED_BY = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x10: "sync boost",
    0x20: "heat",
    0x40: "heat",
    0x80: "power brake",
}


def number(text: str) -> int | None:
    """A whole number; None for "[N/A]" and the like."""
    return int(float(text)) if re.fullmatch(r"\d+(\.\d+)?", text) else None


def slowed_by(bits: str) -> list[str] | None:
    """In words, from a mask such as 0x0000000000000024; None if it is not known."""
    if not re.fullmatch(r"0x[0-9a-fA-F]+", bits):
        return None
    return sorted({words for bit, words in SLOWED_BY.items() if int(bits, 16) & bit})


class Reading:
    """A GPU at one moment."""

    def __init__(self, row: dict[str, str], processes: list[str]) -> None:
        self._row = row
        self.processes = processes  # on it, as "PID (NAME)"

    @property
    def used_mib(self) -> int | None:
        """The memory in use."""
        return number(self._row["memory.used"])

    @property
    def reset_wanted(self) -> str:
        """The reset or reboot that the driver asks for; "" for none."""
        action = self._row.get("gpu_recovery_action", "")
        return action if asks_for_reset(action) else ""

    @property
    def broken(self) -> str:
        """The field in which the driver says that the GPU is lost or must be reset; "" for none."""
        return next((text for text in self._row.values() if says_broken(text)), "")

    def doubts(self) -> frozenset[str]:
        """What was answered that says neither that the GPU is well nor that it is not: values that
        could not be read, and recovery actions other than a reset."""
        action = self._row.get("gpu_recovery_action", "")
        found = {f"{field} {text}" for field, text in self._row.items() if is_failure(text)}
        if not asks_for_nothing(action) and not asks_for_reset(action):
            found.add(f"gpu_recovery_action {action}")
        return frozenset(found)

    def members(self) -> dict[str, Any]:
        """What a result says of it."""
        older = self._row.get("clocks_throttle_reasons.active", "")
        return {
            "sm_clock_mhz": number(self._row["clocks.sm"]),
            "memory_clock_mhz": number(self._row["clocks.mem"]),
            "temperature_c": number(self._row["temperature.gpu"]),
            "throttled": slowed_by(self._row.get("clocks_event_reasons.active", older)),
        }


class GpuReader:
    """Reads one GPU, with the fields that its driver knows."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self._whole = gpu.whole or gpu.uuid
        self._fields = list(FIELDS)

    def read(self, may_start: bool = False) -> Reading:
        """`may_start`: the driver may have to start for it. Raises GpuTrouble."""
        form = ["--format=csv,noheader,nounits", "-i", self._whole]
        questions = (
            ["--query-gpu=" + ",".join(self._fields), *form],
            ["--query-compute-apps=gpu_uuid,pid,process_name", *form],
        )
        patience = {"seconds": START_SECONDS} if may_start else {}
        answer, apps = ask_nvidia_smi(*questions, **patience)
        if self._forget_unknown_field(answer):
            return self.read(may_start)
        rows = [row for row in rows_of(answer, len(self._fields)) if row[0] == self._whole]
        if not rows:
            told = in_a_line(answer) or "it says nothing"
            raise GpuTrouble(f"nvidia-smi does not find it: {told}")
        # Of an instance (MIG) nvidia-smi does not say which processes are on it.
        on_it = [] if self._gpu.whole else rows_of(apps, 3)
        mine = [row for row in on_it if row[0] == self._whole and row[1].isdigit()]
        processes = [f"{row[1]} ({Path(row[2]).name})" for row in mine]
        return Reading(dict(zip(self._fields, rows[0])), processes)

    def _forget_unknown_field(self, answer: str) -> bool:
        """Whether the answer is that there is no such field; it is then asked for otherwise."""
        unknown = re.search(r'Field "([^"]+)" is not a valid field', answer)
        if not unknown or unknown[1] not in self._fields or unknown[1] not in OLDER_FIELDS:
            return False
        older = OLDER_FIELDS[unknown[1]]
        fields = [older if field == unknown[1] else field for field in self._fields]
        self._fields = [field for field in fields if field]
        return True


# --- handouts/executor/machine/device_files.py --------------------------------------------
#
# The device files of a GPU.


class MissingNode(DriverNotReady):
    """A device file that is not there, and the arguments of nvidia-modprobe that make it."""

    def __init__(self, node: str, arguments: list[str]) -> None:
        super().__init__(f"{node} is missing: nvidia-modprobe {' '.join(arguments)} makes it.")
        self.node = node
        self.arguments = arguments


def device_nodes(gpu: Gpu, root: Path = Path("/")) -> list[str]:
    """The device files that a program on one GPU needs, those of no other GPU among them.

    Raises MissingNode for one that does not exist, and BadSetup where the driver does not say
    which they are. The whole GPU's is needed for an instance (MIG) too.
    """
    minor = minor_of(gpu, root)
    wanted = {
        "nvidiactl": ["-c", "255"],
        "nvidia-uvm": ["-u", "-c", "0"],
        "nvidia" + minor: ["-c", minor],
        **capability_files(gpu, minor, root),
    }
    for node, arguments in wanted.items():
        if not (root / "dev" / node).exists():
            raise MissingNode("/dev/" + node, arguments)
    return ["/dev/" + node for node in wanted]


def capability_files(gpu: Gpu, minor: str, root: Path) -> dict[str, list[str]]:
    """The two files more that an instance (MIG) has: of its part of the GPU, and of the part of
    that; with what makes each. Raises BadSetup."""
    parts = gpu.instance.split("/") if gpu.instance else []
    found = {}
    for place in ["/".join(parts[: n + 1]) for n in range(len(parts))]:
        access = f"proc/driver/nvidia/capabilities/gpu{minor}/mig/{place}/access"
        number = re.search(r"DeviceFileMinor:\s*(\d+)", text_of(root / access))
        if not number:
            raise BadSetup(f"The driver does not say which device files are those of {gpu.uuid}.")
        found["nvidia-caps/nvidia-cap" + number[1]] = ["-f", "/" + access]
    return found


def minor_of(gpu: Gpu, root: Path) -> str:
    """The number of a GPU's device file. Raises BadSetup.

    nvidia-smi and the driver number GPUs differently, so the file is the one whose "Device Minor"
    is at the GPU's place on the bus. By its UUID it is looked for only where that is not known:
    the driver prints GPU-????????-... for one that nobody used since it was started.
    """
    whole, place = gpu.whole or gpu.uuid, pci_place(gpu.bus)
    by_uuid = ""
    for folder in sorted(root.glob("proc/driver/nvidia/gpus/*")):
        lines = text_of(folder / "information").splitlines()
        fields = {key.strip(): value.strip() for key, _, value in (s.partition(":") for s in lines)}
        minor = fields.get("Device Minor", "")
        if not minor.isdigit():
            continue
        if place and place in (pci_place(folder.name), pci_place(fields.get("Bus Location", ""))):
            return minor
        if fields.get("GPU UUID") == whole:
            by_uuid = minor
    if not by_uuid:
        raise BadSetup(f"The driver lists no GPU {whole} in /proc/driver/nvidia/gpus.")
    return by_uuid


# --- handouts/executor/machine/held_open.py -----------------------------------------------
#
# Keeping the driver's state of a GPU up while nobody uses the GPU.


# The driver keeps a GPU's state as long as a process has its device file open
# (https://docs.nvidia.com/deploy/driver-persistence/persistence-daemon.html). Opening starts the
# driver, which takes long and may hang, so a process of its own does it: it ends when its standard
# input closes, also because this one was killed.
HOLD = 'exec 3<"$1" || exit; read -r _'


class HeldOpen:
    """One GPU's device file. For the GPU's one worker alone."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._process: Any = None

    def hold(self) -> None:
        """Begins to, unless it does already; does not wait for the driver."""
        if self._process is not None and self._process.poll() is None:
            return
        self.release()
        with suppress(OSError):
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", HOLD, "sh", self._node],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def release(self) -> None:
        """Ends it, so that the GPU can be reset."""
        process, self._process = self._process, None
        if process is not None:
            process.stdin.close()
            kill_group(process.pid)
            with suppress(subprocess.TimeoutExpired):
                process.wait(1)

    @property
    def is_open(self) -> bool:
        """Whether the driver is up for it."""
        process = self._process
        return process is not None and os.path.lexists(f"/proc/{process.pid}/fd/3")


def holders(gpus: list[Gpu], wholes: set[str]) -> dict[str, HeldOpen]:
    """For those GPUs whose whole is one of these, by the GPU's UUID."""
    found = {}
    for gpu in gpus:
        if (gpu.whole or gpu.uuid) in wholes:
            with suppress(BadSetup):  # then each look may take long, and nothing else is lost
                found[gpu.uuid] = HeldOpen(f"/dev/nvidia{minor_of(gpu, Path('/'))}")
    return found


# --- handouts/executor/slot/protocol.py ---------------------------------------------------
#
# What a worker of the executor and its slot send each other, over a pair of sockets.
#
# The worker sends lines. One is an order: a JSON object, and with it, as descriptors, the files
# that the command needs. "kill NUMBER" stops the order of that number if it runs. "more NUMBER
# OFFSET" asks for one frame of what it prints from that byte on, as soon as there is something. A
# slot is started with its setup, JSON too, as an argument.
#
# The slot answers an order with frames. A frame is a JSON object on one line, with its name in
# "frame", and then as many bytes as its "bytes" says:
#
#     started   the command runs.
#     output    bytes that it printed, and how many it had printed before. Sent only when asked for,
#               one at a time; so a worker that does not read slows no program. What was printed
#               since then is in the log, of which the head and the tail are kept: of what was left
#               out meanwhile there is no frame, and the next one's offset is larger than asked for.
#     ended     what became of it, and the whole log (its head and tail, if it is long).
#     failed    why it could not be run.
#
# `ended` or `failed` is the last frame of an order.


# How long what was killed may take to be gone; no less than its GPU has (SETTLE_SECONDS), since a
# driver that gives much memory back takes its time.
GRACE_SECONDS = 10


class Setup(NamedTuple):
    """What a slot is made with, for as long as it lives."""

    uid: int | None = None  # to become, which only root can
    groups: Sequence[int] = ()  # to be in
    binds: Sequence[str] = ()  # that only root may reach: the slot mounts them in /tmp
    board: int = -1  # the descriptor of what all slots know of each other (memory_board.py)
    place: int = 0  # and this one's place there

    def encode(self) -> str:
        """As an argument."""
        return json.dumps(self._asdict())

    @classmethod
    def decode(cls, text: str) -> Setup:
        """The inverse of `encode`."""
        return cls(**json.loads(text))


class Order(NamedTuple):
    """A command to run, and its limits."""

    number: int
    box: list[str]  # as in Command
    argv: list[str]
    cwd: str
    env: dict[str, str]
    files: list[str]  # names of the descriptors that come with it, in their order
    seconds: float
    log_bytes: int  # how much of the log is kept
    output_bytes: int  # after how much output it is stopped
    memory_bytes: int  # how much it may have; 0 is not looked at

    def encode(self) -> bytes:
        """As a line."""
        return json.dumps(self._asdict()).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Order:
        """The inverse of `encode`."""
        return cls(**json.loads(line.decode()))


class Started(NamedTuple):
    """The command runs."""

    pid: int


class Output(NamedTuple):
    """A piece of what it printed."""

    offset: int  # how many bytes it printed before these
    data: bytes


class Ended(NamedTuple):
    """What became of a command."""

    # "ended", or what ended it: "time", "output", "memory", "short" (the host is short of memory),
    # "killed" by the worker; the worker itself says "lost" if the slot died.
    why: str
    exit_code: int | None = None
    signal: int | None = None
    seconds: float = 0.0
    log: bytes = b""
    cpu_seconds: float | None = None
    memory_bytes: int | None = None
    unkillable: Sequence[int] = ()  # pids that SIGKILL did not end


class Failed(NamedTuple):
    """Why the command could not be run."""

    message: str
    sandbox: bool = False  # whether the sandbox itself is broken


FRAMES = {"started": Started, "output": Output, "ended": Ended, "failed": Failed}
PAYLOADS = {"output": "data", "ended": "log"}  # the members that are sent as bytes


def encode_frame(frame: Any) -> bytes:
    """The frame as it is sent."""
    name = type(frame).__name__.lower()
    members = frame._asdict()
    payload = members.pop(PAYLOADS.get(name), b"")
    return json.dumps({"frame": name, "bytes": len(payload), **members}).encode() + b"\n" + payload


def read_frame(file: BinaryIO) -> Any:
    """The next frame; None if the slot died. Raises ValueError for what is no frame."""
    line = file.readline()
    if not line.endswith(b"\n"):
        return None
    members = json.loads(line.decode())
    name, size = members.pop("frame"), members.pop("bytes")
    payload = file.read(size)
    if len(payload) < size:
        return None
    if name in PAYLOADS:
        members[PAYLOADS[name]] = payload
    return FRAMES[name](**members)


def kill_line(number: int) -> bytes:
    """What stops an order."""
    return b"kill %d\n" % number


def more_line(number: int, offset: int) -> bytes:
    """What asks for a piece of what an order prints."""
    return b"more %d %d\n" % (number, offset)


# --- handouts/executor/gate/gate.py -------------------------------------------------------
#
# The gate: what a GPU must show before it gets the next job.
#
# A GPU is looked at once after each job; more is asked of it only where there is doubt. One that
# fails is quarantined alone: its worker takes no job until it passes again.


SETTLE_SECONDS = 10  # how long what was killed may still be seen on its GPU
QUARANTINE_SECONDS = (5.0, 300.0)  # between tries of a GPU that failed: minimum and maximum
STEADY_SECONDS = 600  # a GPU that fails again sooner is tried with further backoff


class Gate:
    """One GPU, as it was last seen, and whether it may have jobs. For its one worker alone."""

    def __init__(
        self, gpu: Gpu, kernel_log: KernelLog | None, held: HeldOpen | None = None
    ) -> None:
        """`kernel_log`: None if it cannot be read. `held`: what keeps the driver up where
        persistence mode does not."""
        self.gpu = gpu
        self.reading: dict[str, Any] = {}  # as results show it
        self.doubtful = True  # it must show that it computes
        self.ready = False
        self.quarantined = ""  # why
        self.since = ""
        self.unkillable: list[int] = []  # processes that SIGKILL did not end
        self._kernel_log = kernel_log if gpu.bus else None
        self._held = held
        self._was_read = False
        self._slow_looks = 0  # in a row
        self._doubts: frozenset[str] = frozenset()  # of the last look
        self._tried_doubts: frozenset[str] = frozenset()  # those with which it computed
        self._reader = GpuReader(gpu)
        self._idle_memory = IdleMemory(gpu)
        self._broken = ""  # found right after a job: why it is to be quarantined
        self._clean = False  # found right after a job: nothing is left of it
        self._pauses = delays(*QUARANTINE_SECONDS)
        self._passed_at = float("-inf")

    def about(self) -> dict[str, Any]:
        """What staff see of it."""
        if not self.quarantined:
            condition = "ready" if self.ready else "not yet tried"
            return {**identity(self.gpu), "condition": condition}
        return {
            **identity(self.gpu),
            "condition": "quarantined",
            "reason": self.quarantined[:500],
            "since": self.since,
        }

    def stamp(self) -> dict[str, Any]:
        """What a result says of it: which it was, and how it was when the program had ended."""
        return {**identity(self.gpu), **self.reading}

    def look(self) -> str:
        """What is on it that should not be, "" for nothing. Raises GpuTrouble if it is broken."""
        self._idle_memory.begin_look()
        self._look_for_xids()
        alive = [pid for pid in self.unkillable if is_running(pid)]
        if alive:
            raise GpuTrouble(f"process {alive[0]} on it cannot be killed")
        self.unkillable = []
        seen = self._read()
        self.reading = seen.members()
        if seen.reset_wanted:
            raise GpuTrouble(f"the driver asks for: {seen.reset_wanted}")
        if seen.broken:
            raise GpuTrouble(f"nvidia-smi says of it: {seen.broken}")
        self._doubts = seen.doubts()
        self._tried_doubts &= self._doubts
        self.doubtful = self.doubtful or self._doubts != self._tried_doubts
        if seen.processes:
            return f"processes are on it: {', '.join(seen.processes[:5])}"
        return self._idle_memory.excess(seen.used_mib)

    def _read(self) -> Reading:
        """Raises GpuTrouble. The driver gets time to start where it may have to: at first, without
        persistence mode, and after it was slow twice."""
        is_down = self._held is not None and not self._held.is_open
        may_start = not self._was_read or is_down or self._slow_looks > 1
        try:
            seen = self._reader.read(may_start)
        except SmiSlow:
            self._slow_looks += 1
            raise
        self._was_read = True
        if not may_start:
            self._slow_looks = 0
        return seen

    def look_after(self, ended: Ended) -> str:
        """The same right after a job: why its result does not count, "" if it does."""
        # A program that fails by itself says nothing of the GPU, if Xid errors can be seen.
        crashed = ended.why != "ended" or ended.signal is not None
        failed_unseen = self._kernel_log is None and ended.exit_code != 0
        self.doubtful = self.doubtful or crashed or failed_unseen
        self.unkillable = ended.unkillable
        try:
            self._clean = not self.look()
        except SmiSlow:  # the result counts; before the next job it must answer
            self.doubtful, self.reading = True, {}
        except GpuTrouble as trouble:
            self._broken = str(trouble)
        return self._broken

    def was_killed(self, ended: Ended) -> None:
        """A program was killed on it, if it had begun: `check` looks, so that the job goes back
        before a slow nvidia-smi answers."""
        self.doubtful = self.doubtful or bool(ended.seconds)
        self.unkillable = [*self.unkillable, *ended.unkillable]

    def _look_for_xids(self) -> None:
        for xid, words in self._kernel_log.new_xids(self.gpu.bus) if self._kernel_log else []:
            say(f"GPU {self.gpu.index}: Xid {xid}: {words[:200]}")
            self.doubtful = True
            if xid in RESET_XIDS or (xid == RECOVERY_XID and xid_asks_for_reset(words)):
                raise GpuTrouble(f"Xid {xid} ({words[:200] or 'no words'})")

    def check(self, probe: Callable[[], None]) -> None:
        """Returns if the GPU may have the next job. Raises GpuTrouble.

        `probe` raises GpuTrouble if the GPU cannot compute; it is called only where there is doubt.
        """
        if self._broken:
            why, self._broken = self._broken, ""
            raise GpuTrouble(why)
        clean, self._clean = self._clean, False
        try:
            if not clean:
                self._settle()
        except GpuTrouble:
            if not self._idle_memory.check_failed():
                raise
            self.doubtful = True
        self._idle_memory.check_passed()
        if self.doubtful:
            probe()
            self._settle()
            self._tried_doubts = self._doubts
            self.doubtful = False

    def _settle(self) -> None:
        """Waits for what was killed a moment ago, which may still be seen. Raises GpuTrouble."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            left = self.look()
            if not left:
                return
            if time.monotonic() > deadline:
                raise GpuTrouble(left)
            time.sleep(0.1)

    def quarantine(self, why: str) -> bool:
        """Takes it out of service; returns whether it was not already, for that reason."""
        changed = self.quarantined != why
        if not self.quarantined:
            self.since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            if time.monotonic() - self._passed_at > STEADY_SECONDS:
                self._pauses = delays(*QUARANTINE_SECONDS)
        self.ready, self.quarantined, self.doubtful = False, why, True
        if self._held is not None:
            self._held.release()  # so that it can be reset
        return changed

    def passed(self) -> bool:
        """It may have jobs; returns whether it could not before."""
        if self._held is not None:
            self._held.hold()
        if self.ready:
            return False
        self.ready, self.quarantined, self._passed_at = True, "", time.monotonic()
        return True

    def pause(self) -> float:
        """How long to wait before it is tried again."""
        return next(self._pauses)


# --- handouts/executor/machine/cgroups.py -------------------------------------------------
#
# Cgroups (version 2), where this process may make some.


class Cgroups:
    """A cgroup for each slot: the kernel then limits memory and processes, and shares out the CPU.

    Where this process may make none, `make` returns None.
    """

    OVERHEAD_BYTES, OVERHEAD_PROCESSES = 32 << 20, 8  # of the slot and bwrap
    # Of the CPU, where there is not enough for all (cpu.weight): programs have equal shares,
    # however many threads they start; compilers have less, and the executor does not wait for them.
    EXECUTOR_WEIGHT, PROGRAM_WEIGHT, COMPILER_WEIGHT = 1000, 200, 100

    def __init__(self, group: Path | None) -> None:
        """`group`: the one this process is in, alone; None if there is none.

        The process moves to a child group, because only groups without processes of their own
        can have children with limits (cgroups(7)).
        """
        self._group = group
        self._count = 0
        self._cpu: list[str] = []  # which of the controllers for the CPU there are
        if group is not None:
            try:
                self._split(group)
            except OSError:
                self._group = None

    def _split(self, group: Path) -> None:
        there = set((group / "cgroup.controllers").read_text().split())
        if not {"memory", "pids"} <= there:
            raise OSError(errno.ENOTSUP, "without the controllers")
        leaf = group / "telerun-executor"
        leaf.mkdir(exist_ok=True)
        try:
            (leaf / "cgroup.procs").write_text(str(os.getpid()))
            self._take_cpu(group, there)
            (group / "cgroup.subtree_control").write_text("+memory +pids")
        except OSError:  # others are in it too
            self._cpu.clear()
            (group / "cgroup.procs").write_text(str(os.getpid()))
            leaf.rmdir()
            raise
        if self.shares_cpu:
            (leaf / "cpu.weight").write_text(str(self.EXECUTOR_WEIGHT))

    def _take_cpu(self, group: Path, there: set[str]) -> None:
        """The controllers that a host may do without, each by itself."""
        for name in ("cpu", "cpuset"):
            with suppress(OSError):
                if name in there:
                    (group / "cgroup.subtree_control").write_text(f"+{name}")
                    self._cpu.append(name)

    def close(self) -> None:
        """Moves the process back, if nothing is left in the child groups."""
        if self._group is not None:
            with suppress(OSError):
                off = " ".join(f"-{name}" for name in ("memory", "pids", *self._cpu))
                (self._group / "cgroup.subtree_control").write_text(off)
                (self._group / "cgroup.procs").write_text(str(os.getpid()))
                (self._group / "telerun-executor").rmdir()

    def about(self) -> str:
        """For the log and for staff."""
        return "cgroup v2" if self._group else "rlimits and a watchdog"

    @property
    def shares_cpu(self) -> bool:
        """Whether each slot has its share of the CPU, however many threads others have."""
        return "cpu" in self._cpu

    def make(self, compiles: bool = False, cpus: str = "") -> Path | None:
        """A group for one slot, or None. `cpus`: its own, in the kernel's form; "" for all."""
        if self._group is None:
            return None
        self._count += 1
        made = self._group / f"telerun-slot-{self._count}"
        made.mkdir(exist_ok=True)
        (made / "memory.swap.max").write_text("0")
        if self.shares_cpu:
            weight = self.COMPILER_WEIGHT if compiles else self.PROGRAM_WEIGHT
            (made / "cpu.weight").write_text(str(weight))
        if cpus and "cpuset" in self._cpu:
            (made / "cpuset.cpus").write_text(cpus)
        return made

    @classmethod
    def limit(cls, group: Path, limits: dict[str, int]) -> None:
        """Sets the limits of the job that runs in it next."""
        (group / "memory.max").write_text(str(limits["memory_bytes"] + cls.OVERHEAD_BYTES))
        (group / "pids.max").write_text(str(limits["processes"] + cls.OVERHEAD_PROCESSES))

    @staticmethod
    def kills(group: Path) -> int:
        """How many processes were killed in it so far because its memory was used up."""
        events = dict(line.split() for line in (group / "memory.events").read_text().splitlines())
        return int(events.get("oom_kill", 0))


def own_cgroup() -> Path | None:
    """The cgroup (version 2) of this process; None where there are none, or all is one group."""
    try:
        mounts = [
            line.split(" - ") for line in Path("/proc/self/mountinfo").read_text().splitlines()
        ]
        places = [m[0].split()[4] for m in mounts if m[1].startswith("cgroup2 ")]
        names = re.findall(r"^0::/(.+)$", Path("/proc/self/cgroup").read_text(), re.MULTILINE)
    except (OSError, IndexError):
        return None
    return Path(places[0]) / names[0] if places and names else None


# --- handouts/executor/machine/host_compiler.py -------------------------------------------
#
# What the operator has nvcc do in every compile: another host compiler, flags of its own.
#
# nvcc itself reads these variables of its environment: NVCC_CCBIN, NVCC_PREPEND_FLAGS and
# NVCC_APPEND_FLAGS. conda, Spack and the modules of clusters set them. In the sandbox there is no
# environment, so they are read when the executor starts, and become arguments.


NAMES_COMPILER = ("-ccbin", "--compiler-bindir")
PROGRAMS = ("g++", "c++", "clang++", "gcc", "cc", "clang")  # those of a folder that is named

# nvcc calls it by way of a shell, its folder in double quotes and its name in none.
CALLABLE = re.compile(r'[^"$`\\\n]*/[\w.+-]+')


class HostCompiler(NamedTuple):
    """The operator's wishes."""

    path: str = ""  # of the compiler; "" for the one on the PATH
    before: Sequence[str] = ()  # nvcc's flags before those of the job
    after: Sequence[str] = ()  # and after them
    folders: Sequence[Path] = ()  # what must be shown in the sandbox for it

    def flags(self) -> list[str]:
        """All that comes before a job's flags."""
        return [*self.before, *(["-ccbin", self.path] if self.path else [])]

    def about(self) -> str | None:
        """For staff; None if nothing was wished."""
        words = [*self.flags(), *self.after]
        return " ".join(map(shlex.quote, words)) or None


def host_compiler(ccbin: str | None, flags: str, environment: Mapping[str, str]) -> HostCompiler:
    """From `--ccbin`, `--nvcc-flags` and the executor's environment. Raises BadSetup."""
    before, named = without_compiler(words_of_flags(environment, "NVCC_PREPEND_FLAGS"))
    more, named_too = without_compiler(split_flags("--nvcc-flags", flags))
    after, named_last = without_compiler(words_of_flags(environment, "NVCC_APPEND_FLAGS"))
    given = ccbin or named_too or named_last or named or environment.get("NVCC_CCBIN") or ""
    path = found_compiler(given) if given else ""
    folders = folders_of(path) if path else []
    return HostCompiler(path, [*before, *more], after, folders)


def words_of_flags(environment: Mapping[str, str], name: str) -> list[str]:
    """Those in a variable of the environment. Raises BadSetup."""
    return split_flags(name, environment.get(name, ""))


def split_flags(source: str, text: str) -> list[str]:
    """As a shell would. Raises BadSetup."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise BadSetup(f"{source} is {text!r}, which is no list of flags: {error}.") from None


def without_compiler(flags: list[str]) -> tuple[list[str], str]:
    """The flags but those that name a host compiler, and the last one that they name."""
    left, named, takes_next = [], "", False
    for flag in flags:
        option, _, value = flag.partition("=")
        if takes_next:
            named, takes_next = flag, False
        elif option in NAMES_COMPILER:
            named, takes_next = value, not value
        else:
            left.append(flag)
    return left, named


def found_compiler(given: str) -> str:
    """The whole path of a program. Raises BadSetup where there is none.

    Of a folder nvcc itself would take `gcc` alone.
    """
    if os.path.isdir(given):
        inside = (shutil.which(os.path.join(given, name)) for name in PROGRAMS)
        found = next(filter(None, inside), None)
    else:
        found = shutil.which(given)
    if found is None:
        raise BadSetup(
            f"The host compiler {given} is not there: name one with --ccbin, and look at "
            "NVCC_CCBIN and NVCC_PREPEND_FLAGS in the environment, which may name it."
        )
    path = os.path.abspath(found)
    if not CALLABLE.fullmatch(path):
        raise BadSetup(
            f"nvcc cannot call {path}: a host compiler's name may have no space, and its path none "
            'of " $ ` \\. Make a link to it that has another name.'
        )
    return path


def folders_of(compiler: str) -> list[Path]:
    """What a compiler needs to run: its installation or its file, also where a link leads."""
    folders = {installation(Path(compiler)), installation(Path(os.path.realpath(compiler)))}
    return sorted(folders)


def installation(compiler: Path) -> Path:
    """The folder above `bin`, if a compiler's own parts are in it. Never a home, nor /."""
    above = compiler.parent.parent
    parts = ("lib/gcc", "libexec/gcc", "lib64/gcc", "lib/clang", "lib64/clang")
    is_in_bin = compiler.parent.name == "bin"
    has_parts = any((above / part).is_dir() for part in parts)
    return above if is_in_bin and has_parts and above != Path("/") else compiler


def sibling(compiler: str, for_c: bool) -> str:
    """The compiler for C, or for C++, of the same make, such as x86_64-conda-linux-gnu-gcc beside
    …-g++; it may be the same. "" if there is none."""
    folder, name = os.path.split(compiler)
    for cxx, cc in (("clang++", "clang"), ("g++", "gcc"), ("c++", "cc")):
        old, new = (cxx, cc) if for_c else (cc, cxx)
        if re.search(rf"(^|-){re.escape(new)}(-[\d.]+)?$", name):
            return compiler
        match = re.fullmatch(rf"(|.*-){re.escape(old)}(|-[\d.]+)", name)
        other = os.path.join(folder, match[1] + new + match[2]) if match else ""
        if other and shutil.which(other):
            return other
    return ""


# --- handouts/executor/machine/interpreter.py ---------------------------------------------
#
# The Python that runs jobs written in it: the operator's choice.


ASK = (
    "import json, sys; print(json.dumps([sys.executable, '%d.%d.%d' % sys.version_info[:3], "
    "sys.prefix, sys.base_prefix]))"
)


class Interpreter(NamedTuple):
    """Where it is, and what must be shown in the sandbox for it."""

    path: str
    version: str
    folders: list[str]


def find_interpreter(given: str | None) -> Interpreter | None:
    """None if the operator chose none. Raises BadSetup for what does not run."""
    if given is None:
        return None
    found = shutil.which(given)
    if not found:
        raise BadSetup(f"--python {given} is no program.")
    try:
        done = subprocess.run(
            [os.path.abspath(found), "-I", "-c", ASK],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
        )
        path, version, *prefixes = json.loads(done.stdout.decode("utf-8", "replace"))
    except (OSError, subprocess.SubprocessError, ValueError):
        raise BadSetup(f"--python {given} does not run as Python does.") from None
    # A virtual environment's is a link into the one that it was made from.
    folders = {os.path.abspath(prefix) for prefix in prefixes}
    folders.update([os.path.realpath(prefix) for prefix in prefixes])
    if "/" in folders:
        raise BadSetup(f"--python {given} stands in /, all of which would be shown to programs.")
    return Interpreter(path, version, sorted(folders))


# --- handouts/executor/machine/toolchain.py -----------------------------------------------
#
# What compiles and runs jobs here: nvcc, the host's own compilers, a Python; what each can do.


SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"  # of programs in the sandbox too


class Toolchain:
    """Found once, when the executor starts."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Raises BadSetup for what the operator named and is not there, and for a host that runs
        CUDA programs without nvcc."""
        is_needed = bool(options.nvcc or options.nproc_execute)
        self.nvcc = find_nvcc(options.nvcc, is_needed)  # "" for none, as those below
        self.nvcc_version = nvcc_version(self.nvcc) if self.nvcc else ""
        self.host_compiler = host_compiler(options.ccbin, options.nvcc_flags, os.environ)
        self.cxx = first_program("g++", "clang++") or self._wished(for_c=False)
        self.cc = first_program("gcc", "clang", "cc") or self._wished(for_c=True)
        self.interpreter = find_interpreter(options.python)
        self.cuobjdump = tool_beside(self.nvcc, "cuobjdump")
        self.nvdisasm = tool_beside(self.nvcc, "nvdisasm")

    def _wished(self, for_c: bool) -> str:
        """Where the system has no compiler: nvcc's, or the one beside it; "" for none."""
        wished = self.host_compiler.path
        return sibling(wished, for_c) if wished else ""

    def languages(self) -> list[str]:
        """Those of the jobs that can be run here."""
        can = {
            "cuda": self.nvcc,
            "cpp": self.nvcc or (self.cxx and self.cc),
            "python": self.interpreter,
        }
        return [language for language, means in can.items() if means]


def first_program(*names: str) -> str:
    """The path of the first that every program on this host could call; "" if none is there."""
    found = (shutil.which(name, path=SYSTEM_PATH) for name in names)
    return next(filter(None, found), "")


def tool_beside(nvcc: str, name: str) -> str:
    """Another of the toolkit's programs, else the system's; "" if there is none."""
    root = toolkit_root(nvcc) if nvcc else None
    beside = shutil.which(str(root / "bin" / name)) if root else None
    return beside or first_program(name)


def find_nvcc(given: str | None, is_needed: bool = True) -> str:
    """The path of nvcc. Raises BadSetup if there is none; where it is not needed, that is ""."""
    for candidate in [given] if given else ["nvcc", "/usr/local/cuda/bin/nvcc"]:
        found = shutil.which(candidate)
        if found:
            real = os.path.realpath(found)  # the toolkit is beside the file, not beside the link
            return real if os.path.basename(real) == "nvcc" else os.path.abspath(found)
    if not is_needed:
        return ""
    problem = f"{given} is no program" if given else "nvcc was not found"
    raise BadSetup(
        f"{problem}. Install the CUDA toolkit, put its bin folder on the PATH, "
        "or name it with --nvcc."
    )


def nvcc_version(nvcc: str) -> str:
    """Such as "13.0". Raises BadSetup for a compiler that does not start."""
    try:
        answer = version_of(nvcc)
    except (OSError, subprocess.SubprocessError) as error:
        raise BadSetup(f"{nvcc} cannot be run: {error}.") from None
    release = re.search(r"release ([\d.]+)", answer)
    if not release:
        raise BadSetup(f"{nvcc} --version does not answer like nvcc does.")
    return release[1]


def compiler_version(compiler: str) -> str:
    """The first line of what a compiler says it is; "" if it cannot be asked."""
    try:
        return version_of(compiler).partition("\n")[0] if compiler else ""
    except (OSError, subprocess.SubprocessError):
        return ""


def version_of(program: str) -> str:
    """All that it prints when asked for its version. Raises OSError, SubprocessError."""
    done = subprocess.run(
        [program, "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60
    )
    return done.stdout.decode("utf-8", "replace")


def toolkit(nvcc: str) -> Path:
    """What nvcc needs to run: the folder of its toolkit, or just its file if it has none."""
    path = Path(nvcc)
    return path.parent.parent if (path.parent / "nvcc.profile").is_file() else path


def toolkit_root(nvcc: str) -> Path | None:
    """The folder of nvcc's toolkit, also where nvcc is a script that calls the toolkit's own; None
    where it has no folder of its own, as in a distribution's packages."""
    path = toolkit(nvcc)
    if path.is_dir():
        return path
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError:
        return None
    for called in re.findall(rb"/[\w./+-]+/nvcc\b", head) if head.startswith(b"#!") else []:
        behind = toolkit(called.decode())
        if behind.is_dir():
            return behind
    return None


def include_folder(nvcc: str) -> Path:
    """Where the toolkit's headers are: conda and some packages have them in a folder a target."""
    root = toolkit_root(nvcc) or Path("/usr")
    folders = [root / "include", *sorted(root.glob("targets/*/include"))]
    return next((one for one in folders if (one / "cuda.h").is_file()), folders[0])


# --- handouts/executor/sandbox/command.py -------------------------------------------------
#
# A command for a slot, inside a sandbox or not.


class Command(NamedTuple):
    """What a slot is to run. An argument of `box` like "@program" stands for an open file."""

    box: list[str]  # what goes before the command: the sandbox, [] for none
    argv: list[str]
    cwd: str
    env: dict[str, str]
    files: dict[str, tuple[Path, int]]  # by name: the path, and flags for os.open


class SandboxBroken(OSError):
    """The sandbox itself failed, so nothing ran; this host must claim no job."""


class Places(NamedTuple):
    """Where things are inside the sandbox."""

    program: str  # what a compiler makes
    asm: str  # a folder for what is to be read of the program
    libraries: str  # the executor's own folder of them; "" for none
    script: str  # the folder of a script's files
    linked: str  # an object that every program is linked with; "" for none


def environment(
    programs: Iterable[str], libraries: Iterable[str], home: str, tmp: str, visible_gpus: str
) -> dict[str, str]:
    """The whole environment of a compiler or program: nothing of this process's own.

    `programs`: whose folders are on the PATH before the system's; "" for none.
    """
    folders = [str(Path(program).parent) for program in programs if program]
    found_in = {"LD_LIBRARY_PATH": ":".join(libraries)}
    return {
        "PATH": ":".join([*folders, SYSTEM_PATH]),
        "HOME": home,
        "TMPDIR": tmp,
        "LANG": "C.UTF-8",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": visible_gpus,
        **(found_in if found_in["LD_LIBRARY_PATH"] else {}),
    }


# --- handouts/executor/slot/live_output.py ------------------------------------------------
#
# What a slot's command prints, asked for piece by piece while it runs.


class LiveOutput:
    """Whoever wants it does something in `add`, which must not wait: the result comes behind it."""

    def begin(self, ask: Callable[[int], Any]) -> None:
        """The command runs. `ask`, from any thread, is for a piece from that byte on: one comes as
        soon as there is something, and none once the command is over."""

    def add(self, piece: Output) -> None:
        """A piece that was asked for."""

    def end(self) -> None:
        """Nothing more comes. Also called where there was no `begin`."""


# --- handouts/executor/slot/memory_board.py -----------------------------------------------
#
# What each command of this executor has in memory, where all its slots can read it.
#
# A file in memory, open in each slot, with an entry of fixed size for each. Only when the
# host's memory is nearly used up is anything read: each slot then tells by itself whose it is.


ENTRY = struct.Struct("=qqq")
MAXIMUM_SLOTS = 4096


class Held(NamedTuple):
    """One command that runs now. All in bytes."""

    counted: int  # what its processes were found to have
    managed: int  # what it may have beyond that: managed memory, which the driver moves about
    limit: int  # how much it may have; 0 if nothing runs

    @property
    def excess(self) -> int:
        """How much more than its limit it has at most."""
        return self.counted + self.managed - self.limit


class MemoryBoard:
    """The file, with the place of one slot in it."""

    def __init__(self, descriptor: int, place: int) -> None:
        """`descriptor`: -1 for a slot that shares with no other."""
        self.descriptor = descriptor
        self.place = place

    def write(self, held: Held) -> None:
        """The slot's own entry."""
        if self.descriptor >= 0:
            os.pwrite(self.descriptor, ENTRY.pack(*held), self.place * ENTRY.size)

    def clear(self) -> None:
        """Nothing runs in this slot."""
        self.write(Held(0, 0, 0))

    def others(self) -> list[Held]:
        """What runs in the other slots."""
        if self.descriptor < 0:
            return []
        data = os.pread(self.descriptor, MAXIMUM_SLOTS * ENTRY.size, 0)
        whole = data[: len(data) - len(data) % ENTRY.size]
        entries = [Held(*entry) for entry in ENTRY.iter_unpack(whole)]
        return [held for at, held in enumerate(entries) if held.limit and at != self.place]


NO_BOARD = MemoryBoard(-1, 0)


class MemoryBoards:
    """Makes one of all slots of an executor."""

    def __init__(self) -> None:
        self._descriptor = os.memfd_create("slots")  # on no disk that a program may fill
        self._places = 0

    def next(self) -> MemoryBoard:
        """The place of one more slot."""
        self._places += 1
        return MemoryBoard(self._descriptor, self._places - 1)


# --- handouts/executor/slot/slot_start.py -------------------------------------------------
#
# Starting the process of a slot.


def start_slot(
    setup: Setup, cpus: Collection[int], group: Path | None
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """The process, and this end of its socket.

    `cpus`: those that it has to itself, () for all; `group`: its cgroup.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).resolve()), "--slot", setup.encode()],
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            pass_fds=[setup.board] if setup.board >= 0 else [],
            env={k: os.environ[k] for k in ("PATH", "LD_LIBRARY_PATH") if k in os.environ},
        )
    if cpus:  # for want of a cgroup that holds them: programs could change it
        with suppress(OSError):
            os.sched_setaffinity(process.pid, cpus)
    if group is not None:
        (group / "cgroup.procs").write_text(str(process.pid))
    return process, ours


# --- handouts/executor/slot/slot.py -------------------------------------------------------
#
# The worker's side of a slot.


class Slot:
    """Runs commands, one at a time. `run` blocks; `kill` may come from any thread."""

    def __init__(
        self,
        sandbox: Any = None,
        group: Path | None = None,
        board: MemoryBoard = NO_BOARD,
        cpus: Collection[int] = (),
    ) -> None:
        """With a sandbox that has uids, one of them is this slot's for as long as it lives.

        `group` is a cgroup of its own, `board` its place on the one of all slots,
        `cpus` those that it has to itself.
        """
        self._group = group
        self._board = board
        self._cpus = cpus
        self._lock = threading.Lock()
        self._number = 0  # of the last order
        self._process: subprocess.Popen[bytes] | None = None
        self._setup = Setup(board=board.descriptor, place=board.place)
        self._uid_lock: Any = None
        if sandbox is not None and sandbox.uids:
            self._uid_lock, uid = sandbox.uids.take()
            self._setup = self._setup._replace(uid=uid, groups=sandbox.groups, binds=sandbox.binds)

    def run(
        self,
        command: Command,
        seconds: float,
        limits: dict[str, int],
        wanted: Callable[[], bool],
        live: LiveOutput | None = None,
    ) -> Ended:
        """Runs the command to its end or its limit. Raises OSError if it cannot be started, and
        SandboxBroken if nothing can.

        `wanted` is asked at the last moment: a `kill` that came before finds nothing to kill.
        `live` is told when it runs, and gets what it prints, as it asks for it.
        """
        kills = self._prepare_group(limits)
        try:
            last = self._exchange(command, seconds, limits, wanted, live)
        except (ConnectionError, ValueError):
            last = None
        finally:
            if live is not None:
                live.end()
        if last is None:
            self._end_process()
            self._start_process()  # which kills what the last one may have left
            return Ended("lost")
        if isinstance(last, Failed):
            raise SandboxBroken(last.message) if last.sandbox else OSError(last.message)
        if self._group and Cgroups.kills(self._group) > kills:
            return last._replace(why="memory")
        return last

    def _exchange(
        self,
        command: Command,
        seconds: float,
        limits: dict[str, int],
        wanted: Callable[[], bool],
        live: LiveOutput | None,
    ) -> Any:
        """Gives the order and reads its frames; the last one, None if the slot died."""
        with ExitStack() as files:
            descriptors = []
            for path, flags in command.files.values():
                descriptors.append(os.open(str(path), flags, 0o700))
                files.callback(os.close, descriptors[-1])
            self._start_process()
            with self._lock:
                if not wanted():
                    return Ended("killed")
                self._number += 1
                self._send(self._order(command, seconds, limits), descriptors)
            if live is not None:
                live.begin(partial(self._ask, self._number))
            while True:
                frame = read_frame(self._frames)
                if live is not None and isinstance(frame, Output):
                    live.add(frame)
                elif not isinstance(frame, (Started, Output)):
                    return frame

    def _order(self, command: Command, seconds: float, limits: dict[str, int]) -> Order:
        return Order(
            number=self._number,
            box=command.box,
            argv=command.argv,
            cwd=command.cwd,
            env=command.env,
            files=list(command.files),
            seconds=seconds,
            log_bytes=limits["log_bytes"],
            output_bytes=limits["output_bytes"],
            memory_bytes=limits.get("memory_bytes", 0),
        )

    def _prepare_group(self, limits: dict[str, int]) -> int:
        if self._group is None:
            return 0
        Cgroups.limit(self._group, limits)
        return Cgroups.kills(self._group)

    def _send(self, order: Order, descriptors: list[int]) -> None:
        data = order.encode()
        passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        sent = self._socket.sendmsg([data], passed if descriptors else [])
        self._socket.sendall(data[sent:])

    def _ask(self, number: int, offset: int) -> None:
        """For a piece of what the order prints; if it is over, none comes."""
        with self._lock, suppress(OSError):
            if self._process is not None and self._number == number:
                self._socket.sendall(more_line(number, offset))

    def kill(self) -> None:
        """Kills what runs now, if anything does; `run` then returns."""
        with self._lock, suppress(OSError):  # if the slot is gone, `run` notices
            if self._process is not None:
                self._socket.sendall(kill_line(self._number))

    def destroy(self) -> None:
        """kill -9 of the slot, when it does not answer; `run` then returns."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """Ends the slot, and whatever runs in it, for good."""
        self._end_process()
        if self._uid_lock is not None:
            self._uid_lock.close()
        if self._group is not None:
            with suppress(OSError):  # something in it does not die; it goes with the service's own
                self._group.rmdir()

    def _end_process(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        self._board.clear()
        if process is not None:
            self._socket.shutdown(socket.SHUT_WR)
            try:
                process.wait(GRACE_SECONDS + 1)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._frames.close()
            self._socket.close()

    def _start_process(self) -> None:
        """Starts the slot's process if there is none."""
        if self._process is not None:
            return
        self._process, self._socket = start_slot(self._setup, self._cpus, self._group)
        self._frames = self._socket.makefile("rb")


# --- handouts/executor/gate/probe.py ------------------------------------------------------
#
# A tiny CUDA program that shows whether a GPU computes, run in the same sandbox as jobs.


PROBED = 43  # what probe.cu ends with if all is well
PROBE_COMPILE_SECONDS, PROBE_SECONDS = 120, 30
PROBE_LIMITS = {**DEFAULT_LIMITS, "log_bytes": 1 << 16, "output_bytes": 1 << 20}


class Probe:
    """Compiled once, when the executor starts."""

    def __init__(
        self,
        folder: Path,
        sandbox: Any,
        nvcc: str,
        architectures: list[str],
        options: Sequence[str] = (),
    ) -> None:
        """`options`: what nvcc is told in every compile."""
        self._folder = folder
        self._sandbox = sandbox
        self._nvcc = nvcc
        self._architectures = architectures
        self._options = options

    def compile(self, slot: Slot) -> None:
        """Raises BadSetup if nvcc cannot compile for the GPUs here."""
        shutil.rmtree(str(self._folder), ignore_errors=True)
        for name in ("src", "run", "tmp"):
            (self._folder / name).mkdir(parents=True)
        flags = architecture_flags(self._architectures)
        product = self._sandbox.places(self._folder).program
        argv = [self._nvcc, *self._options, *flags, "-o", product, "./probe.cu"]
        files = {"probe.cu": PROBE_CU}
        command = self._sandbox.compiler(self._folder, files, argv, DEFAULT_LIMITS)
        ended = slot.run(command, PROBE_COMPILE_SECONDS, PROBE_LIMITS, lambda: True)
        if ended.exit_code != 0:
            names = ", ".join(self._architectures)
            raise BadSetup(
                f"{self._nvcc} cannot compile for the GPUs here ({names}): {last_line(ended)}"
            )

    def run(self, slot: Slot, gate: Gate) -> None:
        """Raises GpuTrouble unless it runs well on the gate's GPU."""
        archive = self._folder / "out"
        command = self._sandbox.program(
            self._folder, [], self._nvcc, gate.gpu, archive, DEFAULT_LIMITS
        )
        try:
            ended = slot.run(command, PROBE_SECONDS, PROBE_LIMITS, lambda: True)
        except OSError as error:
            raise GpuTrouble(f"no program can be started on it: {error}") from None
        gate.unkillable = ended.unkillable
        if ended.exit_code != PROBED:
            raise GpuTrouble(f"a tiny CUDA program fails on it: {last_line(ended)}")


def last_line(ended: Ended) -> str:
    """The last that it printed, or how it ended."""
    lines = in_text(ended.log).strip().splitlines()
    if lines:
        return lines[-1][-300:]
    if ended.why != "ended":
        return ended.why
    how = ended.exit_code if ended.signal is None else f"signal {ended.signal}"
    return f"it ended with {how}"


# --- handouts/executor/machine/platforms.py -----------------------------------------------
#
# Platforms: the names of hardware that jobs ask for.


CUDA, CPU = "cuda", "cpu"  # any GPU; none
LONGEST_PLATFORM = 40  # characters

# Words of a GPU's name that say who sells it, how it is built in, or how much memory it has.
LEFT_OUT = re.compile(
    r"nvidia|corporation|geforce|tesla|generation|edition|server|workstation|gpu|graphics"
    r"|pcie|sxm\d*|nvl\d*|fhhl|ac|lc|hbm\d*e?|gddr\d*x?|[\d.]+[gt]i?b?"
)


def kind_of(name: str) -> str:
    """The short name of a GPU's kind, from the name that nvidia-smi gives it.

    "NVIDIA H100 80GB HBM3" is "h100". An instance of a GPU that is split has its profile too, as
    in "h100-mig-1g.10gb". Lower case, [a-z0-9.-], at most LONGEST_PLATFORM characters.
    """
    whole, _, profile = name.lower().partition(" mig ")
    parts = [word for word in words_of(whole) if not LEFT_OUT.fullmatch(word)]
    kind = "-".join(parts)
    kind = re.sub(r"\b([a-z]+)-(?=\d{3,4}[a-z]*\b)", r"\1", kind)  # "rtx-4000" is "rtx4000"
    if kind in ("", CUDA, CPU):
        kind = "-".join(words_of(whole)) if kind else "gpu"
        kind = kind if kind not in (CUDA, CPU) else "gpu-" + kind
    instance = "-mig-" + "-".join(words_of(profile)) if profile else ""
    instance = instance[:LONGEST_PLATFORM]
    return (kind[: LONGEST_PLATFORM - len(instance)].strip("-.") + instance).strip("-.")


def words_of(text: str) -> list[str]:
    """Its words of letters, digits and points."""
    words = [word.strip(".") for word in re.split(r"[^a-z0-9.]+", text)]
    return [word for word in words if word]


# --- handouts/client/job_file_names.py ----------------------------------------------------
#
# What the files of a job may be called. The queue has the same rule (jobs/files.py).


MAX_NAME_BYTES, MAX_PART_BYTES, MAX_PARTS = 255, 100, 8


def trouble_with(name: str) -> str:
    """Why the queue would not take a file of this name; "" if it would."""
    if "\\" in name or not name.isprintable():
        return "it has a character that the queue does not take"
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "it does not lead straight to a file"
    if any(part.startswith("-") for part in parts):
        return "a part of it begins with a dash"
    sizes = [len(part.encode("utf-8")) for part in parts]
    if max(sizes) > MAX_PART_BYTES or sum(sizes) + len(sizes) - 1 > MAX_NAME_BYTES:
        return f"it is longer than {MAX_PART_BYTES} bytes, or {MAX_NAME_BYTES} with its folders"
    return f"it lies more than {MAX_PARTS - 1} folders deep" if len(parts) > MAX_PARTS else ""


def clash(names: Sequence[str]) -> tuple[str, str] | None:
    """The first two of the names that cannot be files side by side on every system: one file, as
    where case does not count, or a file and a folder."""
    seen: dict[str, str] = {}
    for name in names:
        if name.casefold() in seen:
            return seen[name.casefold()], name
        seen[name.casefold()] = name
    for name in names:
        folder = posixpath.dirname(name.casefold())
        while folder:
            if folder in seen:
                return seen[folder], name
            folder = posixpath.dirname(folder)
    return None


# --- handouts/executor/base/file_names.py -------------------------------------------------
#
# Whether a job's files can be made in a folder of the job's own: a second look at their names.


def why_unsafe(names: Sequence[str]) -> str:
    """Why these files cannot stand in one folder; "" if they can."""
    for name in names:
        problem = trouble_with(name)
        if problem:
            return f"a file's name is {name[:100]!a}: {problem}"
    pair = clash(names)
    if pair is None:
        return ""
    one, other = pair
    if one.casefold() == other.casefold():
        return f"two files have the names {one!a} and {other!a}"
    return f"{one!a} is a file, and the folder of {other!a}"


# --- handouts/executor/pipeline/job_files.py ----------------------------------------------
#
# The files of a job, and what they are called here.


LANGUAGES = (".cu", ".cpp", ".cc", ".cxx", ".c", ".py")


def main_name(filename: str, others: list[str]) -> str:
    """The main file's: the student's own, so that error messages name it. What names no language
    is CUDA.

    A name that is not safe, or that gets an ending, is made one that no other file has.
    """
    has_language = has_ending(filename, *LANGUAGES)
    if has_language and not trouble_with(filename):
        return filename
    ending = "." + filename.rpartition(".")[2].lower() if has_language else ".cu"
    plain = filename if not trouble_with(filename) else re.sub(r"[^\w.+ -]", "_", filename)
    wishes = [plain if has_language else plain + ending, "program" + ending]
    wishes += [f"program-{number}{ending}" for number in range(2, len(others) + 3)]
    return next((name for name in wishes if not why_unsafe([name, *others])), wishes[1])


def has_ending(name: str, *endings: str) -> bool:
    """Whether it has one of these, in small letters or in capitals: LAB.PY is Python."""
    return name.lower().endswith(endings)


def with_small_ending(name: str) -> str:
    """The name by which compilers know its language: LAB.CU is CUDA for the queue alone. No other
    file has it, since none differs by capitals only."""
    stem, dot, ending = name.rpartition(".")
    return stem + dot + ending.lower() if has_ending(name, *LANGUAGES) else name


def texts(files: Any) -> dict[str, str]:
    """The files of a job by name. Raises TypeError."""
    if files is not None and not isinstance(files, dict):
        raise TypeError(f"files are {type(files).__name__}")
    return {str(name): str(text) for name, text in (files or {}).items()}


# --- handouts/executor/slot/bounded_log.py ------------------------------------------------
#
# A log of bounded size.


HEAD_SHARE = 0.75  # of the bytes that are kept; the rest are the end of the log


class BoundedLog:
    """The head and the tail of a stream of bytes, and how much was left out between them."""

    def __init__(self, maximum: int) -> None:
        self._head_size = int(maximum * HEAD_SHARE)
        self._tail_size = maximum - self._head_size
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def add(self, data: bytes) -> None:
        """Appends."""
        self.total += len(data)
        room = self._head_size - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        if len(self._tail) > 2 * self._tail_size:  # seldom, so that adding stays cheap
            del self._tail[: -self._tail_size]

    def piece(self, offset: int, size: int) -> tuple[int, bytes]:
        """What is kept of the bytes from `offset` on, no more than `size` of them that stand
        together, and where they begin: later than asked for if some were left out."""
        if offset < len(self._head):
            return offset, bytes(self._head[offset : offset + size])
        begin = max(offset, self.total - len(self._tail))
        first = begin - (self.total - len(self._tail))
        return begin, bytes(self._tail[first : first + size])

    def content(self) -> bytes:
        """The log, with a note where something was left out."""
        left_out = self.total - self._head_size - self._tail_size
        if left_out <= 0:
            return bytes(self._head + self._tail)
        note = b"\n[... %d bytes left out ...]\n" % left_out
        return bytes(self._head) + note + bytes(self._tail[-self._tail_size :])


# --- handouts/executor/slot/orders.py -----------------------------------------------------
#
# The slot's end of its socket.


class Orders:
    """Orders as they come in."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._received = bytearray()
        self._descriptors: list[int] = []
        self._killed = 0  # the number of the order that is to be stopped
        self._wanted = (0, 0)  # the number of one whose output is wanted, and from which byte on
        self.is_open = True

    def receive(self) -> None:
        """Takes what has arrived; nothing has if the worker is gone."""
        size = socket.CMSG_SPACE(16 * 4)
        try:
            received = self._socket.recvmsg(1 << 16, size, socket.MSG_CMSG_CLOEXEC)
            data, ancillary = received[:2]
        except ConnectionError:
            data, ancillary = b"", []
        for _level, _kind, content in ancillary:
            descriptors = array.array("i")
            descriptors.frombytes(content[: len(content) - len(content) % 4])
            self._descriptors += descriptors
        self.is_open = self.is_open and bool(data)
        self._received += data
        self._take_words()

    def next(self) -> tuple[Order, list[int]] | None:
        """The next order and its descriptors, which are the caller's to close."""
        line, newline, rest = self._received.partition(b"\n")
        if not newline:
            return None
        self._received = rest
        self._take_words()
        order = Order.decode(line)
        count = len(order.files)
        descriptors, self._descriptors = self._descriptors[:count], self._descriptors[count:]
        return order, descriptors

    def is_killed(self, number: int) -> bool:
        """Whether an order is to be stopped: it was killed, or its worker is gone."""
        return not self.is_open or self._killed == number

    def wanted_from(self, number: int) -> float:
        """From which byte on the worker wants what an order prints; infinity if it does not."""
        return self._wanted[1] if self._wanted[0] == number else float("inf")

    def take_wanted(self, number: int) -> int:
        """The same, if it does; it is answered now."""
        offset, self._wanted = self._wanted[1], (0, 0)
        return offset

    def _take_words(self) -> None:
        """What is no order, up to the next one."""
        while self._received.startswith((b"kill ", b"more ")):
            line, newline, rest = self._received.partition(b"\n")
            if not newline:
                break
            word, *numbers = line.split()
            if word == b"kill":
                self._killed = int(numbers[0])
            else:
                self._wanted = (int(numbers[0]), int(numbers[1]))
            self._received = rest


class FrameSender:
    """Frames as they go out."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._rest = b""  # of an output frame that the socket took in part

    def send(self, frame: Any) -> None:
        """Sends a frame that must arrive, and waits until it has. Raises ConnectionError."""
        data, self._rest = self._rest + encode_frame(frame), b""
        self._socket.sendall(data)

    def offer(self, frame: Output) -> None:
        """Sends a frame as far as there is room now: a slow worker must not slow a program. Not
        while `is_behind`."""
        self._rest = encode_frame(frame)
        self.push()

    def push(self) -> None:
        """Sends more of the frame before, if there is room now."""
        with suppress(BlockingIOError, ConnectionError):
            self._send_rest()

    @property
    def is_behind(self) -> bool:
        """Whether a frame is not sent to its end."""
        return bool(self._rest)

    def _send_rest(self) -> None:
        while self._rest:
            sent = self._socket.send(self._rest, socket.MSG_DONTWAIT)
            self._rest = self._rest[sent:]


# --- handouts/executor/slot/program_output.py ---------------------------------------------
#
# What a program prints, on its way through the slot.


FRAME_BYTES = 56 << 10  # as JSON mostly less than 64 KiB, which the queue takes the quickest way
GATHER_SECONDS = 0.1  # from one frame to the next, so that each holds what was printed meanwhile
FULL_FRAME_SECONDS = 0.05  # to one that has no more room
NEVER = float("inf")


class ProgramOutput:
    """Keeps the log, and sends a piece of it whenever the worker asks for one.

    One at a time: what the worker does not come to take stays in the log, as far as that goes.
    """

    def __init__(self, order: Order, orders: Orders, sender: FrameSender) -> None:
        self.log = BoundedLog(order.log_bytes)
        self._number = order.number
        self._orders = orders
        self._sender = sender
        self._last_frame_at = -NEVER

    def add(self, data: bytes) -> None:
        """Takes what was printed."""
        self.log.add(data)

    def due_at(self) -> float:
        """When `flush` should be called, on the monotonic clock; infinity for not before something
        happens."""
        if self._sender.is_behind:
            return time.monotonic() + GATHER_SECONDS
        waiting = self.log.total - self._orders.wanted_from(self._number)
        if waiting <= 0:
            return NEVER
        is_full = waiting >= FRAME_BYTES
        return self._last_frame_at + (FULL_FRAME_SECONDS if is_full else GATHER_SECONDS)

    def flush(self) -> None:
        """Sends a piece, if one is due."""
        self._sender.push()
        now = time.monotonic()
        if now < self.due_at():
            return
        self._last_frame_at = now
        offset = self._orders.take_wanted(self._number)
        self._sender.offer(Output(*self.log.piece(offset, FRAME_BYTES)))


# --- handouts/executor/pipeline/live_stream.py --------------------------------------------
#
# What the programs of one attempt print, on its way to those who watch.


UNWATCHED_SECONDS = 1.0  # from one request to the next while nobody watches
LEAST_BYTES = 512  # at once; what takes no more than that takes nothing


class Piece(NamedTuple):
    """Bytes of a log, and where in it they stand."""

    log: str  # "compile" or "execute"
    offset: int
    data: bytes


class LiveStream(LiveOutput):
    """First the compiler's log to its end, then the program's, a piece at a time.

    The next piece is fetched from the slot when the last one was taken: so a slow queue costs
    pieces, not time or memory.
    """

    def __init__(
        self, attempt_id: int, lease_token: str, watched: bool, is_due: Callable[[Any], Any]
    ) -> None:
        """`is_due` is called with it, from any thread, when there is something to do."""
        self.path = f"/attempts/{attempt_id}/output"
        self.lease_token = lease_token
        self._is_due = is_due
        self._lock = threading.Lock()
        self._ask: Callable[[int], Any] | None = None  # of the command that runs
        self._log = "compile"
        self._offset = 0  # in it, of what comes next
        self._compiled: bytes | None = None  # the compiler's log, once it has ended
        self._piece: Piece | None = None
        self._watched = watched
        self._is_closed = False
        self._maximum = FRAME_BYTES
        self._pauses: Iterator[float] = delays()
        self.rests_until = 0.0  # on the monotonic clock

    def begin(self, ask: Callable[[int], Any]) -> None:
        """A command runs: before `compiled` the compiler, then the program."""
        with self._lock:
            self._ask = ask
        self._is_due(self)

    def add(self, piece: Output) -> None:
        """It printed this."""
        with self._lock:
            self._piece = Piece(self._log, piece.offset, piece.data)
        self._is_due(self)

    def end(self) -> None:
        """It has ended: what it still printed is in its log."""
        with self._lock:
            self._ask = self._piece = None

    def compiled(self, log: bytes, log_bytes: int) -> None:
        """The compiler's log, which may have a note in it if it was longer than `log_bytes`."""
        with self._lock:
            whole = log if len(log) <= log_bytes else log[: int(log_bytes * HEAD_SHARE)]
            self._compiled = whole
        self._is_due(self)

    def close(self) -> None:
        """Nothing more is sent: the attempt is over here."""
        with self._lock:
            self._is_closed = True
            self._ask = self._piece = None

    def watch(self, watched: object) -> None:
        """The queue says whether anybody watches; nothing is changed by what says neither."""
        if not isinstance(watched, bool):
            return
        with self._lock:
            begins = watched and not self._watched
            self._watched = watched
        if begins:
            self.rests_until = 0.0
            self._is_due(self)

    def next(self) -> Piece | None:
        """What is to be sent now; None if there is nothing, or it has to come from the slot."""
        with self._lock:
            if self._is_closed:
                return None
            if self._piece is None and self._compiled is not None and self._log == "compile":
                self._take_rest(self._compiled)
            if self._piece is not None:
                return self._piece._replace(data=self._piece.data[: self._maximum])
            if self._ask is not None:
                self._ask(self._offset)
            return None

    def _take_rest(self, log: bytes) -> None:
        """The next piece of the compiler's log, after which comes the program's."""
        rest = log[self._offset : self._offset + FRAME_BYTES]
        if rest:
            self._piece = Piece("compile", self._offset, rest)
        else:
            self._log, self._offset = "execute", 0

    def sent(self, piece: Piece, watched: bool) -> None:
        """The queue has it, and says whether anybody watches."""
        with self._lock:
            if piece.log == self._log:
                self._offset = max(self._offset, piece.offset + len(piece.data))
            self._piece = None
            self._watched = watched
            self._pauses = delays()
            self.rests_until = 0.0 if watched else time.monotonic() + UNWATCHED_SECONDS
        self._is_due(self)

    def failed(self, seconds: float = 0.0) -> None:
        """It could not be sent, and is sent again after a while: `seconds` at least."""
        self.rests_until = time.monotonic() + max(seconds, next(self._pauses))
        self._is_due(self)

    def too_large(self) -> None:
        """Somebody on the way does not let pass as much at once."""
        self._maximum //= 2
        if self._maximum < LEAST_BYTES:
            self.close()
        self._is_due(self)


# --- handouts/executor/results/archive.py -------------------------------------------------
#
# The archive of what a program left in ./out/.
#
# Its bytes go from the sandbox's first process, through a descriptor, into one archive on the
# host; no name that a program chose is ever the name of a file here. The limits are applied twice:
# when the archive is written, and to what is read from it (outputs.py).


RECORD = re.compile(rb"([a-z]) (\d{1,20}) (\d{1,3})\n")

BESIDE = ("w", "v", "x")  # beside out/: a file, a folder, `size` more of them


class Found(NamedTuple):
    """An entry of ./out/: a file ("f") whose bytes are in the archive, or why it is not there; or
    something that was written beside ./out/."""

    kind: str  # "f", a key of REASONS, "c" or "b": over a limit, "m": `size` more entries; BESIDE
    size: int
    name: bytes
    offset: int = 0


def unpack(archive: Any) -> Iterator[Found]:
    """The entries in an archive that the sandbox's first process wrote."""
    end = os.fstat(archive.fileno()).st_size
    for line in iter(lambda: archive.readline(64), b""):
        record = RECORD.fullmatch(line)
        if not record:
            return
        name = archive.read(int(record[3]))
        kind, size, offset = record[1].decode(), int(record[2]), archive.tell()
        if kind == "f":
            kind = "f" if offset + size <= end else "u"
            archive.seek(offset + size)
        yield Found(kind, size, name, offset)


def gather(folder: Path, archive: Path, limits: dict[str, int]) -> list[Found]:
    """The same where there is no sandbox: copies the files in `folder`/out to the archive."""
    try:
        opened = os.open(str(folder / "out"), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return []
    except OSError:
        return [Found("o", 0, b"out")]
    try:
        with archive.open("wb") as file:
            return list(copy_entries(opened, file, limits))
    finally:
        os.close(opened)


def written_beside(folder: Path, given: Iterable[str], maximum: int) -> Iterator[Found]:
    """What is in `folder` beside out/, and was not `given`: the first `maximum` by name."""
    passed_over = {name.split("/")[0] for name in given} | {"out", "__pycache__"}
    try:
        with os.scandir(str(folder)) as entries:
            found = {os.fsencode(e.name): e for e in entries if e.name not in passed_over}
    except OSError:
        return
    names = [name for name, entry in sorted(found.items()) if is_file_or_folder(entry)]
    for name in names[:maximum]:
        with suppress(OSError):  # without a sandbox, something may still run
            about = os.stat(folder / os.fsdecode(name), follow_symlinks=False)
            is_file = stat.S_ISREG(about.st_mode)
            yield Found("w" if is_file else "v", about.st_size if is_file else 0, name)
    if len(names) > maximum:
        yield Found("x", len(names) - maximum, b"")


def is_file_or_folder(entry: Any) -> bool:
    """Whether an entry of os.scandir is one, and no link to one."""
    return entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)


def copy_entries(folder: int, archive: Any, limits: dict[str, int]) -> Iterator[Found]:
    """The entries of an open folder, after what comes back was written to the archive."""
    files, room = limits["output_files"], limits["output_file_bytes"]
    for name in sorted(os.fsencode(name) for name in os.listdir(folder)):
        kind, size, source = open_entry(folder, name)
        if kind == "f":
            kind = "c" if files < 1 else "b" if size > room else "f"
        offset = archive.tell()
        if source is not None:
            with source:
                if kind == "f":
                    archive.write(source.read(size))
                    kind = "f" if archive.tell() == offset + size else "u"
                    files, room = files - 1, room - size
        yield Found(kind, size, name, offset)


def open_entry(folder: int, name: bytes) -> tuple[str, int, Any]:
    """An entry's kind and size, and if it is a plain file, the file open for reading."""
    try:
        about = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISREG(about.st_mode):
            kinds = {stat.S_IFDIR: "d", stat.S_IFLNK: "l"}
            return kinds.get(stat.S_IFMT(about.st_mode), "s"), 0, None
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        source = os.fdopen(os.open(name, flags, dir_fd=folder), "rb")
    except OSError:
        return "u", 0, None
    about = os.fstat(source.fileno())
    return "f" if about.st_nlink == 1 else "h", about.st_size, source


# --- handouts/executor/pipeline/attempt.py ------------------------------------------------
#
# The jobs that this executor holds the leases of.


OVERDUE_SECONDS = 30  # past a job's limit, after which its slot is stuck


class Attempt:
    """One of them, on its way through the pipeline."""

    def __init__(self, claimed: dict[str, Any], folder: Path) -> None:
        """`claimed`: the body of a claim's answer. Raises KeyError, TypeError, ValueError."""
        self.id = int(claimed["attempt"]["id"])
        self.lease_token = str(claimed["attempt"]["lease_token"])
        self.lease_seconds = float(claimed["attempt"]["lease_seconds"])
        job = claimed["job"]
        self.job_id = int(job["id"])
        self.args = [str(arg) for arg in job["args"]]
        self.platform = str(job.get("platform") or "cuda")  # an older queue sends none of these
        self.flags = [str(flag) for flag in job.get("flags") or ()]
        self.asm = bool(job.get("asm"))
        self.sources = texts(job.get("sources"))
        includes = texts(job.get("includes"))
        self.main = main_name(str(job["filename"]), [*self.sources, *includes])
        # Nothing of a job whose files cannot be written where they belong is written at all.
        self.problem = why_unsafe([self.main, *self.sources, *includes])
        if not self.is_python:
            self.main = with_small_ending(self.main)
            self.sources = {with_small_ending(name): t for name, t in self.sources.items()}
        self.job_files = {self.main: str(job["source"]), **self.sources, **includes}
        # What its program finds where it runs. What is in out/ there would come back.
        self.beside = {name: t for name, t in includes.items() if name.split("/")[0] != "out"}
        given = {name: int(value) for name, value in job["limits"].items()}
        self.limits = {**DEFAULT_LIMITS, **given}
        self.folder = folder / str(self.id)
        self.phase = "compiling"
        self.report: dict[str, Any] = {}
        self.live: LiveStream | None = None  # what it prints, for those who watch
        self.may_send_logs = False  # the queue takes them from an attempt without a result
        self.asm_files: list[Found] = []  # what shows its program, in the archive `asm_archive`
        self.files: list[dict[str, Any]] = []  # what comes back of it
        self.taken = threading.Event()  # an execution worker has it
        self.stop_reason = ""  # if it must not go on; no result is sent then
        self.lost = False  # the lease is another executor's: nothing is reported at all
        self.counts = True  # as one of the job's attempts, if it is given back
        self._slot: Slot | None = None
        self._ends_by = 0.0  # when what runs has ended or met its limit
        self._overdue_at = float("inf")  # when what runs should have ended long ago
        self._lock = threading.Lock()

    @property
    def asm_archive(self) -> Path:
        """Where its compile leaves `asm_files`."""
        return self.folder / "asm.archive"

    @property
    def is_python(self) -> bool:
        """Whether it is run by an interpreter, and not compiled."""
        return has_ending(self.main, ".py")

    def stop(self, reason: str, lost: bool = False, counts: bool = True) -> None:
        """Kills what runs for this job, now and from now on.

        `counts`: False where the job had no part in it.
        """
        with self._lock:
            self.counts = self.counts if self.stop_reason else counts
            self.stop_reason = self.stop_reason or reason
            self.lost = self.lost or lost
            slot = self._slot
        self.close_live()
        self.taken.set()
        if slot is not None:
            slot.kill()

    def run(self, slot: Slot, command: Command, seconds: float) -> Ended:
        """Runs a command of this job in a slot, unless the job was stopped. Raises OSError."""
        with self._lock:
            self._slot = slot
            self._ends_by = time.monotonic() + seconds
            self._overdue_at = self._ends_by + OVERDUE_SECONDS
        try:
            return slot.run(command, seconds, self.limits, lambda: not self.stop_reason, self.live)
        finally:
            with self._lock:
                self._slot = None
                self._overdue_at = float("inf")

    def compiled(self, log: str, **members: Any) -> None:
        """What the compiler said, and more for the report; its program may run next."""
        self.report = {"compile_log": log, **members}
        if self.live is not None:
            self.live.compiled(log.encode("utf-8", "surrogateescape"), self.limits["log_bytes"])

    def logs(self) -> dict[str, str]:
        """What was printed so far."""
        names = ("compile_log", "execute_log")
        return {name: self.report[name] for name in names if self.report.get(name)}

    def close_live(self) -> None:
        """What it prints goes to nobody any more."""
        if self.live is not None:
            self.live.close()

    def longest(self) -> float:
        """How many seconds it may still take once its worker is free: as long as its limits let it.

        What is being sent takes none.
        """
        running = max(0.0, self._ends_by - time.monotonic())
        if self.phase == "compiling":
            not_begun = 0 if self._ends_by else self.limits["compile_seconds"]
            return running + not_begun + self.limits["execute_seconds"]
        return running if self.phase == "executing" else self.limits["execute_seconds"]

    def give_up_if_stuck(self) -> bool:
        """Kills the slot if what it runs is still there long after its limit; whether it was."""
        with self._lock:
            stuck, slot = time.monotonic() > self._overdue_at, self._slot
        if stuck and slot is not None:
            self.stop("it could not be stopped in time")
            slot.destroy()
        return stuck


class JobsInHand:
    """Those of this executor. Each stays until its result is sent or it was given back."""

    def __init__(self) -> None:
        self._attempts: dict[int, Attempt] = {}
        self._lock = threading.Lock()

    def add(self, attempt: Attempt) -> None:
        """From now on its lease is renewed."""
        with self._lock:
            self._attempts[attempt.id] = attempt

    def forget(self, attempt_id: int) -> None:
        """It is over here."""
        with self._lock:
            self._attempts.pop(attempt_id, None)

    def has(self, attempt: Attempt) -> bool:
        """Whether it is not over yet."""
        return attempt.id in self._attempts

    def all(self) -> list[Attempt]:
        """As they are at this moment."""
        with self._lock:
            return list(self._attempts.values())


# --- handouts/client/answer.py ------------------------------------------------------------
#
# An answer of the queue.


class Answer:
    """HTTP status, headers, and the JSON body ({} if there is none), or a file's bytes."""

    def __init__(
        self, status: int, headers: dict[str, str], body: Any, is_from_others: bool = False
    ) -> None:
        self.is_from_others = is_from_others  # somebody on the way gave it, in the queue's place
        self.status = status
        self.headers = headers  # their names in lower case
        self.body = body

    @property
    def problem(self) -> str:
        """The stable name of an error (RFC 9457), such as "pending-job"; "" if it is none."""
        return str(self.body.get("type", "")).rpartition("/")[2] if self.status >= 400 else ""

    @property
    def detail(self) -> str:
        """An error in words."""
        return str(self.body.get("detail") or f"HTTP status {self.status}")

    @property
    def is_stream(self) -> bool:
        """Whether it goes on (server-sent events)."""
        kind = self.headers.get("content-type", "")
        return self.status == 200 and kind.startswith("text/event-stream")

    @property
    def refuses_token(self) -> bool:
        """Whether the token is not accepted, and will not be later."""
        return self.status == 401 or self.problem == "too-many-wrong-tokens"

    @property
    def retry_after(self) -> float:
        """How many seconds the queue asks to be left alone."""
        text = self.headers.get("retry-after", "")
        return float(text) if text.isdigit() else 0.0


def is_retryable(answer: Answer) -> bool:
    """Whether the same request may fare better later."""
    return answer.status in (408, 425, 429, 500, 502, 503, 504) and not answer.refuses_token


# --- handouts/client/distrust.py ----------------------------------------------------------
#
# Why the certificate of the queue is not trusted, and what to do about it.


# OpenSSL's numbers of what is wrong with a certificate.
NOT_YET_VALID, EXPIRED, UNKNOWN_ISSUERS, OTHER_NAMES = 9, 10, (18, 19, 20, 21), (62, 64)


def why_untrusted(
    error: ssl.SSLCertVerificationError, certificates: list[Path], script_folder: Path
) -> tuple[str, str]:
    """What is wrong, and what mends it: a sentence or two each."""
    code = error.verify_code
    if code in OTHER_NAMES:
        return (
            f"it is not for this name of the server: {error.verify_message}.",
            "Use the address that the course staff gave.",
        )
    if code in (NOT_YET_VALID, EXPIRED):
        return wrong_dates(code)
    if code not in UNKNOWN_ISSUERS:
        return f"{error.verify_message}.", "Show this to the course staff."
    return unknown_issuer(certificates, script_folder, code != UNKNOWN_ISSUERS[2])


def wrong_dates(code: int) -> tuple[str, str]:
    import time  # only here, since few need it

    now = time.strftime("%Y-%m-%d %H:%M")
    if code == EXPIRED:
        what = "it has expired"
        mend = "If that is right, the course staff have to make a new one"
    else:
        what, mend = "it is not valid yet", "If that is wrong, set the clock"
    return f"{what}, by this machine's clock, which says {now}.", f"{mend}."


def unknown_issuer(
    certificates: list[Path], script_folder: Path, is_self_signed: bool
) -> tuple[str, str]:
    if certificates:
        names = " and ".join(str(path) for path in certificates)
        return (
            f"it is another one than that in {names}.",
            "The queue has a new certificate, or this is not the queue: ask the course staff.",
        )
    if sys.platform == "darwin" and lacks_authorities():
        return (
            "this Python knows no certificate authorities.",
            'Run "Install Certificates.command" in the Python folder of Applications; if it is '
            "still not trusted then, put server.cert from the course staff beside this script.",
        )
    what = "it is self-signed" if is_self_signed else "nobody vouches for it that is known here"
    return (
        f"{what}, and there is no server.cert in {script_folder} to compare it with.",
        "Put server.cert from the course staff there, beside this script.",
    )


def lacks_authorities() -> bool:
    """Whether Python's own place for them is empty, as python.org's for macOS leaves it."""
    places = ssl.get_default_verify_paths()
    return places.cafile is None and not (places.capath and os.listdir(places.capath))


# --- handouts/client/server_address.py ----------------------------------------------------
#
# The queue's address, as auth.json and --server say it.


FORM = re.compile(
    r"https://(\[[0-9a-f:.]+\]|[^\s/?#@\\\[\]:]+)(?::([0-9]*))?((?:/[a-z0-9_.~-]*)*)", re.IGNORECASE
)
NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.IGNORECASE)
MAX_SHOWN, MAX_NAME, MAX_PORT = 60, 253, 65535


class Address:
    """Host, port, and the path below which the queue is, "" or such as "/telerun"."""

    def __init__(self, host: str, port: int, base: str) -> None:
        self.host = host
        self.port = port
        self.base = base


def read_address(text: str) -> Address:
    """Takes it apart. Raises BadSetup, whose words repeat nothing that may be a password."""
    found = FORM.fullmatch(text.strip())
    why = trouble_with_address(text.strip()) or ("" if found else "such as https://queue:4443")
    if why or not found:
        raise BadSetup(
            f"The server {shown_address(text)} is not of the form https://host:port: {why}."
        )
    return Address(host_of(found[1]), int(found[2] or 443), found[3].rstrip("/"))


def trouble_with_address(text: str) -> str:
    """What is wrong with it, in words; "" if nothing is, or nothing that has words."""
    found = FORM.fullmatch(text)
    if not text:
        return "it is empty"
    if any(one.isspace() or not one.isprintable() for one in text):
        return "it has a blank or a control character"
    if "@" in text:
        return "leave out the name or password before @"
    if "?" in text or "#" in text:
        return "leave out what begins with ? or #"
    if text.lower().startswith("http:"):
        return "say https in place of http"
    if "://" not in text:
        return "put https:// before it"
    if found and found[2] and not 0 < int(found[2][:9]) <= MAX_PORT:
        return f"a port is a number from 1 to {MAX_PORT}"
    return "that is no name of a host" if found and not host_of(found[1]) else ""


def host_of(text: str) -> str:
    """The host as the system and certificates know it; "" if there can be none of that name."""
    try:
        if text.startswith("["):
            socket.inet_pton(socket.AF_INET6, text[1:-1])
            return text[1:-1]
        name = text if text.isascii() else text.encode("idna").decode()
    except (OSError, UnicodeError):
        return ""
    name = name[:-1] if name.endswith(".") else name  # which no certificate has
    return name if len(name) <= MAX_NAME and NAME.fullmatch(name) else ""


def shown_address(text: str) -> str:
    """As much of it as is no secret."""
    kept = re.split(r"[?#]", text.rpartition("@")[2])[0]
    shown = re.sub(r"(?i)(tlr[a-z]_).*", r"\1", ascii(kept)[1:-1])  # a token in the wrong place
    return f"'{shown[:MAX_SHOWN]}{'...' if shown[:MAX_SHOWN] != text else ''}'"


# --- handouts/client/connection.py --------------------------------------------------------
#
# The connection to the queue: HTTPS, kept alive, checked certificates, JSON.


VERSION = "1.1"
PARTIAL_CHAIN = 0x80000  # OpenSSL's; Python has a name for it from 3.10 on
CONNECT_SECONDS = 10.0
LOST = (OSError, http.client.HTTPException, ValueError)  # what a broken connection raises


class Queue:
    """The queue, over one kept-alive HTTPS connection. One request at a time."""

    def __init__(self, auth: Auth) -> None:
        """Opens nothing yet. Raises BadSetup for a bad address or certificate file."""
        self.address = read_address(auth.server)
        self.server = auth.server.strip().rstrip("/")
        self._base = self.address.base + "/api/v1"
        self._headers = {
            "Authorization": "Bearer " + auth.token,
            "Content-Type": "application/json",
            "User-Agent": f"telerun/{VERSION} python/{sys.version_info[0]}.{sys.version_info[1]}",
        }
        if auth.is_user:  # the queue refuses a token that is somebody else's
            self._headers["Telerun-User"] = urllib.parse.quote(auth.name, errors="replace")
        self._certificates = auth.certificates
        self._trust(system=not auth.certificates)
        self._connection: http.client.HTTPSConnection | None = None

    def _trust(self, system: bool) -> None:
        """Trusts the certificates named, and with `system` those that the system trusts too.

        Reading the system's takes longer than anything else that a student waits for here.
        """
        self._trusts_system = system
        self._context = (
            ssl.create_default_context() if system else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        )
        for certificate in self._certificates:
            try:
                self._context.load_verify_locations(str(certificate))
            except (OSError, ssl.SSLError):
                raise BadSetup(f"{certificate} is not a readable certificate in PEM.") from None
        if self._certificates:  # each is trusted by itself, whoever signed it
            self._context.verify_flags |= PARTIAL_CHAIN

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        timeout: float = 30.0,
    ) -> Answer:
        """Sends one request; returns the answer, whatever its status.

        A body of bytes is sent as it is, any other as JSON. All requests are idempotent, so when
        the queue has closed a kept-alive connection meanwhile, a new one is opened without a
        message. Raises Unreachable, Untrusted.
        """
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()

        def exchange() -> Answer:
            return self._answer(self._ask(method, path, data, headers or {}, timeout))

        return self._over_a_new_one_too(exchange)

    def _over_a_new_one_too(self, exchange: Callable[[], Any]) -> Any:
        """Does it, and once more if a kept-alive connection did not serve."""
        kept_alive = self._connection is not None
        try:
            return exchange()
        except Unreachable as error:
            if not kept_alive or error.timed_out:
                raise
        return exchange()

    def _ask(
        self, method: str, path: str, data: bytes | None, headers: dict[str, str], timeout: float
    ) -> http.client.HTTPResponse:
        """Sends the request; an answer whose body is not read yet."""
        is_open = False
        try:
            connection = self._open(timeout)
            is_open = True
            connection.request(method, self._base + path, data, {**self._headers, **headers})
            return connection.getresponse()
        except ssl.SSLCertVerificationError as error:
            self.close()
            what, mend = why_untrusted(error, self._certificates, HERE)
            raise Untrusted(
                f"The certificate of {self.server} is not trusted: {what} {mend}", what, mend
            ) from None
        except LOST as error:
            raise self._lost(error, is_open) from None

    def _answer(self, response: http.client.HTTPResponse) -> Answer:
        """Reads it to its end."""
        try:
            content = response.read()
        except LOST as error:
            raise self._lost(error) from None
        self._has_ended(response)
        return self._parse(response, content)

    def _lost(self, error: Exception, was_open: bool = True) -> Unreachable:
        """Closes the connection; what to raise."""
        self.close()
        message = f"{self.server} does not answer: {in_words(error)}"
        timed_out = was_open and isinstance(error, socket.timeout)
        return Unreachable(message, timed_out, was_sent=was_open)

    def _has_ended(self, response: http.client.HTTPResponse) -> None:
        """An answer was read to its end; the queue may want no other on its connection."""
        if response.getheader("Connection", "").lower() == "close":
            self.close()

    def _open(self, timeout: float) -> http.client.HTTPSConnection:
        # http.client drops the socket of an answer after which the other side closes.
        if self._connection is not None and self._connection.sock is not None:
            self._connection.sock.settimeout(timeout)
            return self._connection
        self._connection = http.client.HTTPSConnection(
            self.address.host,
            self.address.port,
            timeout=min(timeout, CONNECT_SECONDS),
            context=self._context,
        )
        try:
            self._connection.connect()  # the token is sent when this has checked the certificate
            self._connection.sock.settimeout(timeout)
        except ssl.SSLCertVerificationError:
            if self._trusts_system:
                raise
            self.close()
            self._trust(system=True)
            return self._open(timeout)
        return self._connection

    def _parse(self, response: http.client.HTTPResponse, content: bytes) -> Answer:
        headers = {name.lower(): value for name, value in response.getheaders()}
        if response.status == 200 and headers.get("content-type") == "application/octet-stream":
            return Answer(response.status, headers, content)
        try:
            body = json.loads(content.decode()) if content else {}
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict) or (300 <= response.status < 400 and response.status != 304):
            self.close()
            raise Unreachable(
                f"{self.server} answers, but not as a Telerun queue does "
                f"(HTTP status {response.status}). Is the address right?",
                status=response.status,
            )
        return Answer(response.status, headers, body)

    def close(self) -> None:
        """Closes the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


# --- handouts/executor/base/held_connection.py --------------------------------------------
#
# A connection to the queue whose held request another thread can end.


class HeldConnection(Queue):
    """The queue holds a claim open until there is a job; `hang_up` ends that wait."""

    def __init__(self, auth: Auth) -> None:
        super().__init__(auth)
        self._hung_up = False

    def hang_up(self) -> None:
        """Breaks the connection under a waiting request; no other opens until `pick_up`."""
        self._hung_up = True
        held = self._connection
        if held is not None and held.sock is not None:
            with suppress(OSError):
                # Not SSLSocket's own, which takes the TLS object from under the waiting thread.
                socket.socket.shutdown(held.sock, socket.SHUT_RDWR)

    def pick_up(self) -> None:
        """Makes it usable again."""
        self._hung_up = False

    def _open(self, timeout: float) -> http.client.HTTPSConnection:
        if not self._hung_up:
            connection = super()._open(timeout)
        if self._hung_up:  # perhaps while it was opened
            self.close()
            raise OSError("it was hung up")
        return connection


# --- handouts/executor/machine/gpu_choice.py ----------------------------------------------
#
# Which of the machine's GPUs this executor may use.


def chosen_gpus(gpus: list[Gpu], allowed: str) -> list[Gpu]:
    """The GPUs that a value of CUDA_VISIBLE_DEVICES names. Raises BadSetup.

    They are named by index, UUID, or the beginning of a UUID; the name of a GPU that is split
    stands for its instances. CUDA itself would show fewer GPUs without an error.
    """
    chosen: list[Gpu] = []
    for name in map(str.strip, allowed.split(",")):
        named = gpus_named(gpus, name)
        wholes = {gpu.whole or gpu.uuid for gpu in named}
        if len(wholes) != 1 or (len(named) > 1 and name.startswith("MIG-")):
            all_gpus = ", ".join(f"{gpu.index} ({gpu.uuid})" for gpu in gpus) or "none"
            raise BadSetup(
                f"CUDA_VISIBLE_DEVICES is {allowed!r}, and {what_it_names(name, bool(named))}. "
                f"Unset it, or name GPUs by index or UUID; here are: {all_gpus}."
            )
        if set(named) & set(chosen):
            raise BadSetup(
                f"CUDA_VISIBLE_DEVICES is {allowed!r}, which names GPU {named[0].index} twice."
            )
        chosen += named
    return chosen


def gpus_named(gpus: list[Gpu], name: str) -> list[Gpu]:
    """The GPUs that may be meant by one name; of several whole GPUs if it is ambiguous."""
    exact = [gpu for gpu in gpus if name in names_of(gpu)]
    if exact:
        return exact
    if name.startswith("GPU-"):
        return [gpu for gpu in gpus if (gpu.whole or gpu.uuid).startswith(name)]
    if name.startswith("MIG-"):
        return [gpu for gpu in gpus if gpu.uuid.startswith(name)]
    return []


def names_of(gpu: Gpu) -> list[str]:
    """Index and UUID, and of an instance those of the whole GPU."""
    names = [gpu.index, gpu.uuid]
    if not gpu.whole:
        return names
    # As Slurm and drivers before R470 write an instance; CUDA takes it to this day.
    place = gpu.instance.replace("gi", "").replace("ci", "")  # "7/0"
    return [*names, gpu.whole, gpu.index.partition(":")[0], f"MIG-{gpu.whole}/{place}"]


def what_it_names(name: str, is_ambiguous: bool) -> str:
    """What is wrong with a name, for the message."""
    if not name or name == "-1":
        return "so gives this executor no GPU"
    return f"{name} is the name of {'several GPUs' if is_ambiguous else 'no GPU here'}"


# --- handouts/executor/machine/gpu_instances.py -------------------------------------------
#
# The instances of a GPU that is split (MIG).


def find_instances(gpu: Gpu) -> list[Gpu]:
    """The instances of a GPU. Raises DriverNotReady if nvidia-smi does not tell them.

    Only `nvidia-smi -L` has their UUIDs, and only its XML which device files are theirs.
    """
    try:
        listed, described = ask_nvidia_smi(
            ["-L"], ["-q", "-x", "-i", gpu.uuid], seconds=START_SECONDS
        )
        instances = listed_instances(listed, gpu.uuid)
        places = instance_places(described) if instances else {}
    except (GpuTrouble, ElementTree.ParseError) as error:
        raise DriverNotReady(
            f"GPU {gpu.index} is split (MIG), and its instances are not told: {error}."
        ) from None
    return [
        gpu._replace(
            index=f"{gpu.index}:{number}",
            uuid=uuid,
            whole=gpu.uuid,
            name=f"{gpu.name} MIG {profile}",
            instance=place_of_instance(places, number, uuid),
        )
        for profile, number, uuid in instances
    ]


def listed_instances(listed: str, whole: str) -> list[tuple[str, str, str]]:
    """Profile, number and UUID of each instance of one GPU, from `nvidia-smi -L`."""
    found, of_this = [], False
    for line in listed.splitlines():
        of_this = whole in line if line.startswith("GPU ") else of_this
        match = re.match(r"\s+MIG (\S+)\s+Device\s+(\d+): \(UUID: (MIG-[^)\s]+)\)", line)
        if match and of_this:
            found.append((match[1], match[2], match[3]))
    return found


def instance_places(described: str) -> dict[str, str]:
    """Where each instance is, by its number, as in {"0": "gi1/ci0"}."""
    xml = described[described.find("<") : described.rfind(">") + 1]
    tree = ElementTree.fromstring(xml)  # noqa: S314  (nvidia-smi is trusted)
    return {
        str(one.findtext("index")): (
            f"gi{one.findtext('gpu_instance_id')}/ci{one.findtext('compute_instance_id')}"
        )
        for one in tree.iter("mig_device")
    }


def place_of_instance(places: dict[str, str], number: str, uuid: str) -> str:
    """Raises BadSetup."""
    if not re.fullmatch(r"gi\d+/ci\d+", places.get(number, "")):
        raise BadSetup(f"nvidia-smi does not say which device files are those of {uuid}.")
    return places[number]


# --- handouts/executor/machine/gpu_discovery.py -------------------------------------------
#
# Which GPUs this machine has.


# The name comes last, because it may hold a comma.
DISCOVERY_FIELDS = (
    *("index", "uuid", "compute_cap", "driver_version", "pci.bus_id", "mig.mode.current"),
    "name",
)


class Listing(NamedTuple):
    """The GPUs that work, and why there may soon be more of them, "" if nothing says so."""

    gpus: list[Gpu]
    not_yet: str


def find_gpus() -> list[Gpu]:
    """The GPUs of this machine, in the order of their places on the bus. Raises BadSetup.

    Of a GPU that is split (MIG), its instances. Where CUDA_VISIBLE_DEVICES is set in this
    process's environment, those that it names.
    """
    return list_gpus().gpus


def list_gpus() -> Listing:
    """The same, with what is said of GPUs that are not ready. Raises BadSetup."""
    query = "--query-gpu=" + ",".join(DISCOVERY_FIELDS)
    try:
        (answer,) = ask_nvidia_smi([query, "--format=csv,noheader"], seconds=START_SECONDS)
    except SmiMissing as missing:
        # Without a GPU on the bus nobody is going to install a driver at boot.
        return Listing([], str(missing) if gpus_on_bus() else "")
    except GpuTrouble as trouble:
        return Listing([], str(trouble))
    listing = read_listing(answer)
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is None or not listing.gpus:
        return listing
    try:
        return Listing(chosen_gpus(listing.gpus, allowed), listing.not_yet)
    except BadSetup as error:
        if not listing.not_yet:
            raise
        raise DriverNotReady(f"{error} ({listing.not_yet})") from None


def read_listing(answer: str) -> Listing:
    """From nvidia-smi's answer about DISCOVERY_FIELDS. Raises BadSetup."""
    unknown = re.search(r'Field "([^"]+)" is not a valid field', answer)
    if unknown:
        raise BadSetup(f"nvidia-smi knows no {unknown[1]}: install a newer driver, R535 or later.")
    gpus: list[Gpu] = []
    troubles: list[str] = []
    listed = set()
    for row in rows_of(answer, len(DISCOVERY_FIELDS)):
        fields = dict(zip(DISCOVERY_FIELDS, row))
        if not fields["uuid"].startswith("GPU-") or not fields["index"].isdigit():
            troubles.append(f"nvidia-smi says of a GPU: {in_a_line(', '.join(row))}")
            continue
        listed.add(pci_place(fields["pci.bus_id"]))
        gpu = gpu_from(fields)
        if not gpu.architecture:
            troubles.append(f"GPU {gpu.index} has compute capability {fields['compute_cap']!r}")
            continue
        found = parts_of(gpu, fields["mig.mode.current"])
        if not found:
            troubles.append(f"GPU {gpu.index} is split (MIG) and has no instances")
        gpus += found
    troubles += messages_in(answer)
    missing = gpus_on_bus() - listed
    if missing:
        troubles.append(f"{len(missing)} of NVIDIA's GPUs on the bus are not listed")
    if not gpus and not troubles:
        troubles.append("it says nothing")
    return Listing(gpus, troubles[0] if troubles else "")


def messages_in(answer: str) -> list[str]:
    """What nvidia-smi says between the rows, of a driver that is not up or a GPU that is lost."""
    lines = [line.strip() for line in answer.splitlines()]
    return [
        f"nvidia-smi says: {in_a_line(line)}"
        for line in lines
        if line.count(",") < len(DISCOVERY_FIELDS) - 1 and line and not line.startswith("WARNING")
    ]


def gpu_from(fields: dict[str, str]) -> Gpu:
    """A GPU from a row. What could not be read is left out; of a GPU without an architecture
    nothing can be compiled."""
    capability = fields["compute_cap"]
    is_known = re.fullmatch(r"\d+\.\d+", capability)
    driver, bus, name = fields["driver_version"], fields["pci.bus_id"], fields["name"]
    return Gpu(
        fields["index"],
        fields["uuid"],
        name if is_value(name) else "NVIDIA GPU",
        "sm_" + capability.replace(".", "") if is_known else "",
        driver if is_value(driver) else "unknown",
        bus if pci_place(bus) else "",
    )


def parts_of(gpu: Gpu, split: str) -> list[Gpu]:
    """The GPU, or its instances. Raises BadSetup.

    Where nvidia-smi cannot say whether a GPU is split, it is if it has instances.
    """
    if split.lower() == "enabled":
        return find_instances(gpu)
    return (find_instances(gpu) if is_failure(split) else []) or [gpu]


def why_no_gpu() -> str:
    """What nvidia-smi says where no GPU was found."""
    try:
        (answer,) = ask_nvidia_smi(["-L"], seconds=START_SECONDS)
    except GpuTrouble as trouble:
        return str(trouble)
    return f"nvidia-smi says: {in_a_line(answer) or 'nothing'}"


def gpus_for_workers(options: argparse.Namespace) -> list[Gpu]:
    """As many GPUs as there are execution workers.

    Raises DriverNotReady if waiting may mend that there are fewer, and BadSetup if not.
    """
    (gpus, not_yet), wanted = list_gpus(), options.nproc_execute
    if wanted > len(gpus):
        found = f"{len(gpus)}" if gpus else f"0; {not_yet or why_no_gpu()}"
        message = (
            f"--nproc-execute {wanted} asks for more GPUs than there are ({found}); each "
            "execution worker needs one of its own. On a machine without GPUs, say --no-gpu."
        )
        if not not_yet:
            raise BadSetup(message)
        raise DriverNotReady(f"{message} Not ready: {not_yet}." if gpus else message)
    return gpus[:wanted]


# --- handouts/executor/machine/driver_start.py --------------------------------------------
#
# Bringing the driver up, and waiting for it: just after boot it is not there yet.


DRIVER_SECONDS, DRIVER_RETRY_SECONDS = 120.0, 2.0  # for the driver, in all and between two tries
MODPROBE_SECONDS = 30.0


def gpus_when_ready(options: argparse.Namespace) -> list[Gpu]:
    """As many GPUs as there are execution workers, with their device files; waits for a driver
    that is not up yet. Raises DriverNotReady if it is still not then, and BadSetup if waiting
    cannot help."""
    deadline = time.monotonic() + DRIVER_SECONDS
    said = ""
    while True:
        # Loads nvidia-uvm and makes its device file: the driver's own udev rule does not
        # (https://github.com/NVIDIA/libnvidia-container/pull/388).
        problem = nvidia_modprobe(["-u", "-c", "0"])
        try:
            return ready_gpus(options, problem)
        except DriverNotReady as error:
            left = deadline - time.monotonic()
            if left <= 0:
                raise
            if str(error) != said:
                said = str(error)
                say(f"{said} Waiting for the driver, up to {left:.0f} s.")
        time.sleep(DRIVER_RETRY_SECONDS)


def ready_gpus(options: argparse.Namespace, problem: str = "") -> list[Gpu]:
    """The same without waiting. `problem`: what nvidia-modprobe said."""
    gpus = gpus_for_workers(options)
    if options.sandbox != "none":  # without one, CUDA makes the device files itself
        for gpu in gpus:
            make_nodes(gpu, problem)
    return gpus


def make_nodes(gpu: Gpu, problem: str = "") -> list[str]:
    """The device files of a GPU; makes those that are missing. Raises DriverNotReady, BadSetup."""
    tried: set[str] = set()
    while True:
        try:
            return device_nodes(gpu)
        except MissingNode as missing:
            if missing.node in tried:
                why = f" It was tried: {problem}." if problem else ""
                raise DriverNotReady(f"{missing}{why}") from None
            tried.add(missing.node)
            problem = nvidia_modprobe(missing.arguments) or problem


def nvidia_modprobe(arguments: list[str]) -> str:
    """Loads a module or makes a device file; what went wrong, "" if nothing did. It is setuid
    root on most hosts, so it is tried by other users too."""
    try:
        return run_tool("nvidia-modprobe", arguments, MODPROBE_SECONDS)
    except (GpuTrouble, OSError) as error:
        return str(error)


def without_persistence(gpus: list[Gpu]) -> set[str]:
    """The UUIDs of those whole GPUs whose driver stops when nobody uses it. As root, turns
    persistence mode on first; says where that fails."""
    wholes = sorted({gpu.whole or gpu.uuid for gpu in gpus})
    if not wholes:
        return set()
    modes = persistence_modes()
    others = [uuid for uuid in wholes if modes.get(uuid) != "enabled"]
    if others and os.geteuid() == 0:
        problem = turn_persistence_on(others)
        modes = persistence_modes()
        off = sum(modes.get(uuid) == "disabled" for uuid in others)
        if off:
            say(
                f"Persistence mode stays off on {off} GPUs ({problem or 'nvidia-smi says nothing'})"
                ": each is held open instead while it works. nvidia-smi -pm 1 turns it on."
            )
    return {uuid for uuid in wholes if modes.get(uuid) == "disabled"}


def turn_persistence_on(uuids: list[str]) -> str:
    """What nvidia-smi says of it, in a line."""
    try:
        answers = ask_nvidia_smi(
            *(["-pm", "1", "-i", uuid] for uuid in uuids), seconds=START_SECONDS
        )
    except GpuTrouble as trouble:
        return str(trouble)
    return " ".join(" ".join(answers).split())[:200]


def persistence_modes() -> dict[str, str]:
    """Of each GPU, by its UUID, "enabled" or "disabled"; of none that nvidia-smi does not tell."""
    query = ["--query-gpu=uuid,persistence_mode", "--format=csv,noheader"]
    try:
        (answer,) = ask_nvidia_smi(query, seconds=START_SECONDS)
    except GpuTrouble:
        return {}
    return {uuid: mode.lower() for uuid, mode in rows_of(answer, 2)}


# --- handouts/executor/gate/gates.py ------------------------------------------------------
#
# A gate for each GPU of this executor.


def make_gates(gpus: list[Gpu], kernel_log: Path) -> list[Gate]:
    """`kernel_log`: where the driver's Xid errors are read. As root, turns persistence mode on."""
    held = holders(gpus, without_persistence(gpus))
    return [Gate(gpu, open_log(kernel_log, gpu is gpus[0]), held.get(gpu.uuid)) for gpu in gpus]


def open_log(path: Path, says_why: bool) -> KernelLog | None:
    """None if it cannot be read."""
    try:
        return KernelLog(path)
    except OSError as error:
        if says_why:
            say(
                f"{path} cannot be read ({error.strerror}): Xid errors of the GPUs go unseen, so a "
                "GPU is tried after each program that failed."
            )
        return None


# --- handouts/executor/machine/cores.py ---------------------------------------------------
#
# Which of the host's cores each worker's programs have.
#
# Only where there are several GPUs or several NUMA nodes: there a program is measured better on cores
# near its GPU that no other program has.


MINIMUM = 2  # cores a GPU; with fewer, all share them


class Cores:
    """As /sys shows them, and this process may use them."""

    def __init__(self, allowed: set[int] | None = None, root: Path = Path("/sys")) -> None:
        """`allowed`: CPUs, by number; those of this process."""
        self._root = root
        self._allowed = os.sched_getaffinity(0) if allowed is None else allowed
        self.nodes = self._nodes()

    def _nodes(self) -> list[set[int]]:
        folders = sorted(self._root.glob("devices/system/node/node[0-9]*/cpulist"))
        found = [cpus_in(kernel_text(path)) & self._allowed for path in folders]
        return [node for node in found if node] or [set(self._allowed)]

    def near(self, bus: str) -> int:
        """The NUMA node of a GPU, as its place in `nodes`; -1 where the kernel does not say.

        `bus`: as nvidia-smi has it, "00000000:81:00.0".
        """
        device = self._root / "bus/pci/devices" / place_in_sys(bus)
        local = cpus_in(kernel_text(device / "local_cpulist")) & self._allowed
        if kernel_text(device / "numa_node").startswith("-") or not local:
            return -1
        shared = [len(local & node) for node in self.nodes]
        return shared.index(max(shared)) if len(self.nodes) > 1 else 0

    def shares(self, buses: Sequence[str], others: int) -> list[set[int]]:
        """The CPUs of each GPU's programs; [] where cores are not told apart.

        `buses`: where the GPUs are. `others`: how many cores should be left for all the rest: the
        executor, compilers, programs without a GPU; at most a quarter of them is.
        """
        if not buses or (len(buses) == 1 and len(self.nodes) == 1):
            return []
        cores = [self._cores_of(node) for node in self.nodes]
        left = min(others, sum(map(len, cores)) // 4)
        for _ in range(left):  # of the nodes with most of them
            max(cores, key=len).pop()
        homes = self._homes(buses)
        # As many for each GPU of the host, so that their times can be compared.
        count = min(len(cores[home]) // crowd for home, crowd in Counter(homes).items())
        if count < MINIMUM:
            return []
        return [set().union(*(cores[home].pop(0) for _ in range(count))) for home in homes]

    def _homes(self, buses: Sequence[str]) -> list[int]:
        """The node of each GPU; those of which the kernel does not say are spread."""
        homes = [self.near(bus) for bus in buses]
        for number, home in enumerate(homes):
            if home < 0:
                crowd = Counter(home for home in homes if home >= 0)
                homes[number] = min(range(len(self.nodes)), key=lambda node: crowd[node])
        return homes

    def _cores_of(self, cpus: set[int]) -> list[set[int]]:
        """The same CPUs by core: two that share one are never two programs'."""
        cores: list[set[int]] = []
        for cpu in sorted(cpus):
            if not any(cpu in core for core in cores):
                path = self._root / f"devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
                cores.append((cpus_in(kernel_text(path)) | {cpu}) & cpus)
        return cores


def kernel_text(path: Path) -> str:
    """One of the kernel's files; "" if there is none."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def cpus_in(text: str) -> set[int]:
    """From the kernel's form, "0-3,8,10-11"; what is not understood is left out."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.isdigit() and (last or first).isdigit():
            found.update(range(int(first), int(last or first) + 1))
    return found


def in_kernels_form(cpus: set[int]) -> str:
    """The inverse: "0,1,2,8"."""
    return ",".join(map(str, sorted(cpus)))


def place_in_sys(bus: str) -> str:
    """As /sys has it: "0000:81:00.0", in small letters, its domain of four digits or more."""
    domain, _, rest = bus.lower().partition(":")
    return f"{domain.lstrip('0').rjust(4, '0')}:{rest}"


# --- handouts/executor/machine/driver_versions.py -----------------------------------------
#
# Drivers with known vulnerabilities, which programs in the sandbox can reach.


# The first version of each branch with all mends, by NVIDIA's security bulletins for the GPU
# display driver on Linux: 5861 (September 2026), https://github.com/NVIDIA/product-security.
BULLETIN = "NVIDIA's security bulletin 5861, September 2026"
MENDED = {580: (178, 4), 595: (91, 7), 610: (57, 4), 615: (71, 9)}


def driver_warning(driver: str) -> str:
    """What is wrong with a driver such as "580.95.05", "" for nothing that is known.

    A branch that the bulletin does not name has no mended version; one that is newer than all that
    it names is not judged.
    """
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", driver)
    if not found:
        return ""
    branch, version = int(found[1]), (int(found[2]), int(found[3] or "0"))
    if branch > max(MENDED) or version >= MENDED.get(branch, (1 << 30, 0)):
        return ""
    if branch in MENDED:
        first = MENDED[branch]
        return (
            f"driver {driver} has known vulnerabilities: install {branch}.{first[0]}.{first[1]:02} "
            f"or newer ({BULLETIN})"
        )
    branches = ", ".join(f"R{known}" for known in MENDED)
    return (
        f"driver {driver} is of branch R{branch}, for which there is no mended version: "
        f"install one of {branches} ({BULLETIN})"
    )


def driver_warnings(gpus: list[Gpu]) -> list[str]:
    """Those of all drivers here, each once."""
    return sorted({driver_warning(gpu.driver) for gpu in gpus} - {""})


# --- handouts/executor/machine/gpu_lock.py ------------------------------------------------
#
# One executor a GPU, by a lock that only those who may run executors can take.


# Of root, and of a group where root lends it to one. docs/adr/0019 says who can take what.
LOCK_FOLDER = Path("/run/telerun")
USER_FOLDERS = Path("/run/user")


def lock_gpu(gpu: Gpu) -> Any:
    """Takes a GPU for this process until it ends, even by SIGKILL; the open file that holds it.

    Raises BadSetup if another executor has it, or if others could take it at will.
    """
    folder = lock_folder()
    name = "gpu-" + re.sub(r"[^A-Za-z0-9-]", "_", gpu.uuid)
    lock = open_lock(folder / name)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if folder != LOCK_FOLDER and is_locked(LOCK_FOLDER / name):
            raise BlockingIOError
    except BlockingIOError:
        lock.close()
        raise BadSetup(
            f"Another executor on this machine has GPU {gpu.index} ({gpu.uuid}). "
            "Set CUDA_VISIBLE_DEVICES to give each its own."
        ) from None
    except OSError as error:  # as on Lustre and NFS that were mounted without locks
        lock.close()
        raise BadSetup(
            f"The file system of {folder} has no locks ({error.strerror}), so the GPUs' locks "
            "cannot be there: set XDG_RUNTIME_DIR to a folder of yours on this machine's own disk."
        ) from None
    say_of_others(gpu, folder, name)
    return lock


def open_lock(path: Path) -> Any:
    """Raises BadSetup if it is not a plain file of this folder that can be opened."""
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(str(path), flags, 0o660 if is_shared(path.parent) else 0o600)
    except OSError as error:
        raise BadSetup(
            f"The GPU's lock {path} cannot be opened: {os.strerror(error.errno or 0)}."
        ) from None
    lock = os.fdopen(descriptor, "r+")
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o006:
        lock.close()
        raise BadSetup(f"Others can take the GPU's lock {path}: remove it, and start again.")
    if is_shared(path.parent) and status.st_uid == os.geteuid():
        os.fchmod(descriptor, 0o660)  # whatever the umask
    return lock


def is_shared(folder: Path) -> bool:
    """Whether a group may have locks there."""
    return bool(folder.stat().st_mode & 0o020)


def lock_folder() -> Path:
    """Where this user's executors have their locks. Raises BadSetup if others can write there."""
    me = os.geteuid()
    if me == 0:
        return own_folder(LOCK_FOLDER, 0o755)
    if os.access(str(LOCK_FOLDER), os.W_OK | os.X_OK):
        return own_folder(LOCK_FOLDER, 0o755)
    given = os.environ.get("XDG_RUNTIME_DIR")
    runtime = Path(given) if given else USER_FOLDERS / str(me)
    if os.access(str(runtime), os.W_OK | os.X_OK):
        return own_folder(runtime / "telerun", 0o700)
    return own_folder(Path(os.path.expanduser("~")).absolute() / ".cache/telerun", 0o700)


def own_folder(folder: Path, mode: int) -> Path:
    """The folder, made if need be. Raises BadSetup unless it is root's or this user's, and closed
    to all others; a group may write in one of root's."""
    try:
        with suppress(FileExistsError):
            folder.mkdir(mode=mode, parents=True)
            folder.chmod(mode)  # whatever the umask
        status = folder.lstat()
    except OSError as error:
        raise BadSetup(
            f"The folder for the GPUs' locks, {folder}, cannot be made: {error.strerror}."
        ) from None
    is_shared_by_root = status.st_uid == 0 and folder == LOCK_FOLDER
    open_to_others = 0o002 if is_shared_by_root else 0o022
    is_ours = is_shared_by_root or status.st_uid == os.geteuid()
    if not stat.S_ISDIR(status.st_mode) or not is_ours or status.st_mode & open_to_others:
        raise BadSetup(
            f"{folder} is no folder that only its owner can write in, so others could take the "
            f"GPUs' locks: rm -r {folder}, and start again."
        )
    return folder


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock, which a user who may not open the file can see too, in
    /proc/locks (proc(5))."""
    try:
        status = path.stat()
    except OSError:
        return False
    device = (os.major(status.st_dev), os.minor(status.st_dev), status.st_ino)
    lines = [line.split() for line in text_of(Path("/proc/locks")).splitlines()]
    held = [line for line in lines if len(line) > 5 and line[1] == "FLOCK"]
    return any(lock_place(line[5]) == device for line in held)


def lock_place(text: str) -> tuple[int, ...]:
    """Device and inode, from "00:1b:4711"."""
    major, minor, inode = text.split(":")
    return int(major, 16), int(minor, 16), int(inode)


def say_of_others(gpu: Gpu, folder: Path, name: str) -> None:
    """Root does not yield to users, who could hold a lock of their own for ever: it says so."""
    if os.geteuid() != 0 or folder != LOCK_FOLDER:
        return
    for path in sorted(USER_FOLDERS.glob(f"*/telerun/{name}")):
        if is_locked(path):
            say(
                f"User {path.parent.parent.name} runs an executor with GPU {gpu.index} too, in "
                f"spite of this one: stop it. Until then its programs quarantine the GPU."
            )


# --- handouts/executor/machine/integrated.py ----------------------------------------------
#
# GPUs without memory of their own: what programs take on them is the host's.
#
# No limit holds there: the driver's pages are in no cgroup's count and in no process.


NAMES = re.compile(r"\b(GB10|N1X|Tegra|Jetson|Orin|Xavier|Thor|nvgpu)\b", re.IGNORECASE)
UNKNOWN = re.compile(r"\[?(N/A|Not Supported|Not Available|Unknown)?\]?", re.IGNORECASE)


def refuse_integrated(gpus: list[Gpu], is_allowed: bool) -> None:
    """Raises BadSetup for a GPU without memory of its own, unless the operator allows it."""
    memories = memories_of(gpus) if gpus else {}
    for gpu in gpus:
        total, used = memories.get(gpu.whole or gpu.uuid, ("?", "?"))
        if not is_integrated(gpu, total, used):
            continue
        why = (
            f"GPU {gpu.index} ({gpu.name}) has no memory of its own: what programs take there is "
            "the host's, and no limit on it holds."
        )
        if not is_allowed:
            raise BadSetup(f"{why} Say --allow-integrated-gpu to use it all the same.")
        say(f"WARNING: {why}")


def is_integrated(gpu: Gpu, total: str, used: str, root: Path = Path("/")) -> bool:
    """By its name, by the place that it has not on the bus of a Tegra, or since nvidia-smi knows no
    memory of it. `total`, `used`: its memory, as nvidia-smi says it.
    """
    if NAMES.search(gpu.name):
        return True
    if is_tegra(root) and UNKNOWN.fullmatch(gpu.bus.strip()):
        return True
    return bool(UNKNOWN.fullmatch(total) and UNKNOWN.fullmatch(used))


def is_tegra(root: Path = Path("/")) -> bool:
    """Whether the host is one of NVIDIA's systems on a chip."""
    try:
        compatible = (root / "proc/device-tree/compatible").read_bytes()
    except OSError:
        compatible = b""
    return b"nvidia,tegra" in compatible or (root / "etc/nv_tegra_release").exists()


def memories_of(gpus: list[Gpu]) -> dict[str, tuple[str, str]]:
    """All of each GPU's memory, and what of it is in use, as nvidia-smi says it; {} if it says
    nothing now."""
    try:
        (answer,) = ask_nvidia_smi(
            ["--query-gpu=uuid,memory.total,memory.used", "--format=csv,noheader,nounits"],
            seconds=60,
        )
    except GpuTrouble:
        return {}
    return {uuid: (total, used) for uuid, total, used in rows_of(answer, 3)}


# --- handouts/executor/machine/driver_library.py ------------------------------------------
#
# Where the driver's own library is, libcuda.so.1, where the loader does not look by itself.


DRIVER_LIBRARY = "libcuda.so.1"
# NixOS, Windows' subsystem for Linux, and NVIDIA's package cuda-compat.
DRIVER_FOLDERS = ("/run/opengl-driver/lib", "/usr/lib/wsl/lib", "/usr/local/cuda/compat")
STORE = "/nix/store"  # of NixOS: all libraries are there, and find each other by their full path


def named_folders(search_path: str) -> list[str]:
    """Those of an LD_LIBRARY_PATH that hold it: whoever started the executor chose them."""
    return [folder for folder in search_path.split(":") if os.path.isabs(folder) and holds(folder)]


def usual_folders(folders: Sequence[str] = DRIVER_FOLDERS) -> list[str]:
    """The first of the folders that holds it, if one does."""
    return [folder for folder in folders if holds(folder)][:1]


def holds(folder: str) -> bool:
    """Whether the library is in it; a link that leads nowhere does not count."""
    return Path(folder, DRIVER_LIBRARY).is_file()


def leads_to(folders: Sequence[str]) -> list[str]:
    """What must be shown for it to be found there: the folders, and where their links lead."""
    wanted = list(folders)
    for folder in folders:
        real = os.path.dirname(os.path.realpath(os.path.join(folder, DRIVER_LIBRARY)))
        if real.startswith(STORE + "/"):
            real = STORE
        if real not in wanted:
            wanted.append(real)
    return wanted


# --- handouts/executor/machine/driver_stub.c ----------------------------------------------


DRIVER_STUB_C = r"""
#include <stdio.h>

enum { OK = 0, NO_DEVICE = 100 };

static int none(void) {
    static int told;
    if (!told++) fputs("This host has no NVIDIA driver: calls of the driver API fail.\n", stderr);
    return NO_DEVICE;
}

int cuGetErrorName(int error, const char **text) {
    *text = error == OK ? "CUDA_SUCCESS" : error == NO_DEVICE ? "CUDA_ERROR_NO_DEVICE" : "CUDA_ERROR_UNKNOWN";
    return OK;
}

int cuGetErrorString(int error, const char **text) {
    *text = error == OK ? "no error" : error == NO_DEVICE ? "no CUDA-capable device is detected" : "unknown error";
    return OK;
}

int cuDeviceGetCount(int *count) {
    *count = 0;
    return none();
}

int cuDriverGetVersion(int *version) {
    *version = 0;
    return none();
}

/* An alias of none() for every other function follows. */
"""


# --- handouts/executor/machine/driver_stub.py ---------------------------------------------
#
# A stand-in for NVIDIA's driver library, for hosts that have none.
#
# Programs that are linked with -lcuda then link and start, and their first call says that there is
# no GPU. It has every function that the toolkit's headers declare.


HEADERS = ("cuda.h", "cudaGL.h", "cudaEGL.h", "cudaVDPAU.h", "cudaProfiler.h")
DECLARED = re.compile(r"\bCUDAAPI\s+(cu[A-Z]\w*)\s*\(|#\s*define\s+cu[A-Z]\w*\s+(cu[A-Z]\w*)")
PER_THREAD = re.compile(r"__CUDA_API_(PTSZ|PTDS)\((cu[A-Z]\w*)\)")


def driver_functions(include: Path) -> list[str]:
    """The names of the driver API in a toolkit's headers; [] where there are none."""
    names = set()
    for header in HEADERS:
        try:
            text = (include / header).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        names.update(one or other for one, other in DECLARED.findall(text))
        for kind, name in PER_THREAD.findall(text):
            names.update([name, f"{name}_{kind.lower()}"])
    return sorted(names)


def compile_stub(compiler: str, functions: Iterable[str], library: Path) -> str:
    """Makes the library; why that failed, "" if it did not."""
    names = [name for name in functions if f"int {name}(" not in DRIVER_STUB_C]
    source = library.with_suffix(".c")
    aliases = (f'int {name}(void) __attribute__((alias("none")));\n' for name in names)
    source.write_text(DRIVER_STUB_C + "".join(aliases))  # ten times faster than functions
    argv = [compiler, "-shared", "-fPIC", "-O1", "-w", "-Wl,-soname,libcuda.so.1"]
    argv += ["-o", str(library), "-x", "c", str(source)]
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode else ""


# --- handouts/executor/machine/libraries.py -----------------------------------------------
#
# The libraries of the CUDA toolkit: where programs find them when they are linked, and later.
#
# The toolkit is NVIDIA's own (lib64, stubs), a distribution's, or made of NVIDIA's wheels (lib, with
# files like libcublas.so.13 alone). What is missing is made in a folder of the executor's own: links
# like libcublas.so, and a stand-in for the driver's library.


DRIVER_STUB = "libcuda.so.1"
LOADS_DRIVER = "import ctypes; ctypes.CDLL('libcuda.so.1')"
DRIVER_FLAG = re.compile(r"(-l|--?library=)(cuda|:libcuda\.so(\.1)?)|.*-lcuda")
NAMES_LIBRARY = re.compile(r"(?:^|[=,])(?:-l|--?library=)(?::lib)?([\w+-]+)")


class Libraries(NamedTuple):
    """For the linker, and for what it made."""

    link: Sequence[str] = ()  # folders of the host
    run: Sequence[str] = ()  # folders where a program finds shared libraries at run time
    folder: str = ""  # with what was made; "" for none. Sandboxes show it at another place
    has_driver: bool = True
    names: Sequence[str] = ()  # of those that the toolkit has, as -l takes them
    include: str = ""  # the folder of their headers; "" where compilers look anyhow
    linked: str = ""  # an object of the executor's own for every program (line_buffering.py)
    driver: Sequence[str] = ()  # folders of the driver's library, if the loader must be told


NO_LIBRARIES = Libraries()


def make_libraries(nvcc: str, compiler: str, folder: Path) -> Libraries:
    """Looks for them, and makes in `folder` what is missing. Without nvcc there are none."""
    shutil.rmtree(str(folder), ignore_errors=True)
    driver, has_driver = find_driver(os.environ.get("LD_LIBRARY_PATH", ""))
    if not nvcc:
        return NO_LIBRARIES._replace(driver=driver)
    folder.mkdir(parents=True)
    run, stubs = library_folders(nvcc)
    link_plain_names([*run, *stubs], folder)
    if not (has_driver and any((stub / "libcuda.so").exists() for stub in stubs)):
        make_driver_stub(nvcc, compiler, folder)
    link = [str(path) for path in [*stubs, *run]]
    root, headers = toolkit_root(nvcc), include_folder(nvcc)
    include = str(headers) if root and str(root) != "/usr" else ""
    names = {
        library.name[len("lib") :].partition(".")[0]
        for path in [*stubs, *run, folder]
        for library in path.glob("lib*")
    }
    return Libraries(
        link=link,
        run=[str(path) for path in run],
        folder=str(folder),
        has_driver=has_driver,
        names=sorted(names),
        include=include,
        driver=driver,
    )


def library_folders(nvcc: str) -> tuple[list[Path], list[Path]]:
    """Those of the toolkit that are there: of libraries, and of stubs of the driver's."""
    root = toolkit_root(nvcc)
    if root is None:  # a distribution's: its libraries are where the linker looks anyhow
        stubs = sorted(Path("/usr/lib").glob("*-linux-gnu/stubs"))
        return [], [path for path in stubs if (path / "libcuda.so").exists()]
    folders: list[Path] = []
    for path in [root / "lib64", *sorted(root.glob("targets/*/lib")), root / "lib"]:
        if path.is_dir() and not any(path.samefile(other) for other in folders):
            folders.append(path)
    return folders, [path / "stubs" for path in folders if (path / "stubs").is_dir()]


def find_driver(search_path: str) -> tuple[list[str], bool]:
    """The folders in which programs must be told to look for it, and whether there is one.

    `search_path`: the executor's own LD_LIBRARY_PATH. What is named there comes first, as with
    cuda-compat, a newer library than the host's; then what the loader finds; then usual places.
    """
    folders = named_folders(search_path)
    if not folders and not finds_driver():
        folders = usual_folders()
        return folders, bool(folders)
    return folders, True


def finds_driver() -> bool:
    """Whether a program of this host, started with an empty environment, finds libcuda.so.1."""
    argv = [sys.executable, "-I", "-S", "-c", LOADS_DRIVER]
    try:
        done = subprocess.run(
            argv, env={}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def link_plain_names(folders: list[Path], into: Path) -> None:
    """Links like libcublas.so, by which linkers look, for files like libcublas.so.13 alone."""
    for folder in folders:
        for library in sorted(folder.glob("lib*.so.*")):
            plain = library.name.partition(".so.")[0] + ".so"
            link = into / plain
            if not link.is_symlink() and not any((one / plain).exists() for one in folders):
                link.symlink_to(library)


def make_driver_stub(nvcc: str, compiler: str, folder: Path) -> None:
    """libcuda.so.1 and libcuda.so; without the toolkit's headers no program could need them."""
    functions = driver_functions(include_folder(nvcc))
    if not functions:
        return
    problem = compile_stub(compiler, functions, folder / DRIVER_STUB)
    if problem:
        say(f"No stand-in for the driver's library could be made: {problem}")
        return
    plain = folder / "libcuda.so"
    if plain.is_symlink():
        plain.unlink()
    plain.symlink_to(DRIVER_STUB)


def needs_driver(flags: Iterable[str]) -> bool:
    """Whether a program with these flags is linked with the driver's library."""
    return any(DRIVER_FLAG.fullmatch(flag) for flag in flags)


def names_any_of(flags: Iterable[str], names: Iterable[str]) -> bool:
    """Whether a program with these flags is linked with one of these libraries."""
    named = (one for flag in flags for one in NAMES_LIBRARY.findall(flag))
    return not set(names).isdisjoint(named)


# --- handouts/executor/machine/line_buffering.c -------------------------------------------


LINE_BUFFERING_C = r"""
/* Linked with every program: its standard output is line-buffered, as on a terminal. */
#include <stdio.h>

__attribute__((constructor(101))) static void line_buffer_stdout(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
}
"""


# --- handouts/executor/machine/line_buffering.py ------------------------------------------
#
# Standard output of programs is line-buffered, as on a terminal: what was printed before a crash,
# a time-out or _exit is seen, and standard error stands at its place among the lines.
#
# A C library buffers what goes to a pipe in full. So each program is linked with a little object that
# says otherwise before anything of the program runs; the program may still say it anew (setvbuf).


# Programs that have no C library, or not the one of this machine's own kind; -x says what every
# file is.
WITHOUT = re.compile(r"(.*[=,])?-(m(16|x?32)|nostd|nodefaultlibs|nostartfiles|nolibc|x)")


def make_line_buffering(compilers: Iterable[str], folder: Path) -> str:
    """The object's path; "" if none of the compilers makes it, and programs do without."""
    folder.mkdir(parents=True, exist_ok=True)
    source, made = folder / "line-buffering.c", folder / "line-buffering.o"
    source.write_text(LINE_BUFFERING_C)
    complaint = ""
    for compiler in filter(None, compilers):
        argv = [compiler, "-x", "c", "-O1", "-fPIC", "-c", "-o", str(made), str(source)]
        try:
            done = subprocess.run(
                argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60
            )
        except (OSError, subprocess.SubprocessError) as error:
            complaint = complaint or str(error)
            continue
        if done.returncode == 0:
            return str(made)
        complaint = complaint or done.stdout.decode("utf-8", "replace").strip()
    if complaint:
        say(f"Output that programs do not flush is lost when they crash: {complaint[:500]}")
    return ""


def takes_line_buffering(flags: Iterable[str]) -> bool:
    """Whether a program that is made with these flags can be linked with it."""
    return not any(WITHOUT.match(flag) for flag in flags)


# --- handouts/executor/machine/memory.py --------------------------------------------------
#
# The memory that the kernel says is in use.


MEMINFO = "/proc/meminfo"
NODES = "/sys/devices/system/node"
# What of the memory in use the kernel says the purpose of (proc_meminfo(5)).
COUNTED_ON_HOST = (
    *("MemFree", "Buffers", "Cached", "SwapCached", "AnonPages", "Slab", "KernelStack"),
    *("PageTables", "SecPageTables", "Percpu", "Hugetlb", "Zswap", "Balloon"),
)


def kernel_bytes(path: str, *names: str) -> int:
    """The sum of those lines of one of the kernel's files. Raises OSError, ValueError."""
    with open(path, errors="replace") as file:
        return sum(int(line.split()[1]) << 10 for line in file if line.partition(":")[0] in names)


def shared_on_host() -> int:
    """Bytes in all of the host's files that live in memory alone."""
    try:
        return kernel_bytes(MEMINFO, "Shmem")
    except (OSError, ValueError):
        return 0


def host_is_short(path: str = MEMINFO, share: float = 1.0) -> bool:
    """Whether the host's memory is nearly used up: less than 5 % is left, or 2 GiB if less.

    What runs is then stopped: some of a program's memory is not attributed to any process, such
    as files that are on their way through a socket. `share`: of that floor, to ask for more or
    less of it.
    """
    try:
        floor = share * min(2 << 30, kernel_bytes(path, "MemTotal") // 20)
        return kernel_bytes(path, "MemAvailable") < floor
    except (OSError, ValueError):
        return False


def is_all_beside_cpus(root: str = NODES) -> bool:
    """Whether each node with memory has CPUs too. On Grace a GPU's own memory is a node without,
    and what programs take there is nothing that the host has lost."""
    try:
        with open(f"{root}/has_memory") as with_memory, open(f"{root}/has_cpu") as with_cpus:
            return with_memory.read() == with_cpus.read()
    except OSError:
        return True


def uncounted_on_host(path: str = MEMINFO) -> int:
    """Bytes in use of which the kernel does not say what for: pages that drivers took.

    Among them are those that a GPU's driver holds for programs, also when they are in the memory
    of no process, and what is on its way through sockets and pipes.
    """
    try:
        return kernel_bytes(path, "MemTotal") - kernel_bytes(path, *COUNTED_ON_HOST)
    except (OSError, ValueError):
        return 0


# --- handouts/executor/pipeline/scratch.py ------------------------------------------------
#
# The executor's folder for jobs in hand and results not yet sent.


def take_scratch(parent: Path | None, executor: str) -> tuple[Path, Any]:
    """A folder for this executor alone, and its lock. Raises BadSetup if another has it."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", executor)
    folder = (parent or HERE / "executor-scratch").resolve() / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        lock = (folder / "lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BadSetup(
            f"An executor {executor!r} runs on this machine already, in {folder}."
        ) from None
    except OSError as error:
        raise BadSetup(f"The scratch folder {folder} cannot be used: {error.strerror}.") from None
    return folder, lock


def why_no_room(scratch: Path, min_free_mib: int) -> str:
    """Why no job may be claimed now: the host is short of disk or memory; "" if it is not."""
    try:
        free = shutil.disk_usage(str(scratch)).free
    except OSError as error:
        return f"The scratch folder cannot be used: {error.strerror}; claiming no jobs."
    if free < min_free_mib << 20:
        return (
            f"Only {free >> 20} MiB are free for {scratch}; claiming no jobs until there are "
            f"{min_free_mib}."
        )
    if host_is_short():
        return "The host is short of memory; claiming no jobs until it is not."
    return ""


# --- handouts/executor/pipeline/workers.py ------------------------------------------------
#
# Execution workers: what each can run, and whether it can now.


class Worker:
    """A GPU, or a slot of the CPU, that runs one program at a time."""

    def __init__(self, platforms: tuple[str, ...], gate: Gate | None = None) -> None:
        """`platforms`: those that it serves, the widest first. `gate`: its GPU's, if it has one."""
        self.platforms = platforms
        self.gate = gate
        self.idle = gate is None  # it waits for a job; a GPU is tried first

    @property
    def works(self) -> bool:
        """Whether it may have jobs."""
        return self.gate is None or self.gate.ready

    @property
    def is_broken(self) -> bool:
        """Whether its GPU is in quarantine. One that was not tried yet is neither."""
        return self.gate is not None and bool(self.gate.quarantined)


def make_workers(gates: list[Gate], without_gpu: int, cpu_slots: int) -> list[Worker]:
    """One for each GPU and each slot; `without_gpu`: those of --no-gpu, which serve `cuda`."""
    workers = [Worker((CUDA, kind_of(gate.gpu.name)), gate) for gate in gates]
    workers += [Worker((CUDA,)) for _ in range(without_gpu)]
    return workers + [Worker((CPU,)) for _ in range(cpu_slots)]


def offers(workers: list[Worker]) -> dict[str, int]:
    """How many of them serve each platform, working or not."""
    return dict(Counter(platform for worker in workers for platform in worker.platforms))


# --- handouts/executor/sandbox/bundle.py --------------------------------------------------
#
# The files of a job on their way into its sandbox.
#
# They go as one descriptor, however many they are: records as in the archive of ./out/ (archive.py),
# which the sandbox's first process unpacks before the command starts. Their names were checked
# (file_names.py).


NO_FILES: Mapping[str, str] = {}


def pack(files: Mapping[str, str], bundle: Path) -> None:
    """Writes the file that `take_in` in init.c reads. Raises OSError."""
    with bundle.open("wb") as out:
        for name, text in files.items():
            encoded, content = name.encode("utf-8"), text.encode("utf-8")
            out.write(b"f %d %d\n" % (len(content), len(encoded)) + encoded + content)


def placed(folders: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The files of several folders as those of the folder above."""
    return {
        f"{folder}/{name}": text
        for folder, files in folders.items()
        for name, text in files.items()
    }


def lay_out(files: Mapping[str, str], folder: Path) -> None:
    """The same where there is no sandbox: writes the files into a folder. Raises OSError."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8"))


# --- handouts/executor/sandbox/bwrap_program.py -------------------------------------------
#
# bubblewrap's own program: where it is, and what it can.


ISOLATION = [
    *("--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"),
    *("--unshare-cgroup-try", "--hostname", "sandbox", "--die-with-parent", "--new-session"),
    *("--as-pid-1", "--cap-drop", "ALL", "--clearenv"),
]


def find_bwrap() -> str:
    """The path of bubblewrap's program. Raises BadSetup."""
    found = shutil.which("bwrap")
    if not found:
        raise BadSetup(
            "bubblewrap is missing, and no program runs without it: apt install bubblewrap "
            "(--sandbox none would run programs as this user)."
        )
    return os.path.abspath(found)


def options_of(bwrap: str) -> bytes:
    """What it says of its own options."""
    return subprocess.run(
        [bwrap, "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ).stdout


def isolation(supported: bytes) -> list[str]:
    """What keeps a command from everything outside, as far as this bubblewrap can."""
    return ISOLATION + (["--disable-userns"] if b"--disable-userns" in supported else [])


# --- handouts/executor/sandbox/init.c -----------------------------------------------------


INIT_C = r"""
#define _GNU_SOURCE 1
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void limit(int what, const char *text) {
    struct rlimit both;
    both.rlim_cur = both.rlim_max = strtoull(text, NULL, 10);
    setrlimit((__rlimit_resource_t)what, &both);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int put(int to, const char *data, size_t size) {
    for (ssize_t n; size > 0; data += n, size -= n)
        if ((n = write(to, data, size)) < 0) return -1;
    return 0;
}

/* "none" if there is no plain file of that name, "unwritten" if it cannot be kept. */
static const char *hand_out(const char *path, int to) {
    static char buffer[1 << 16];
    struct stat about;
    ssize_t n;
    int from = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (from < 0 || fstat(from, &about) || !S_ISREG(about.st_mode)) return "none";
    while ((n = read(from, buffer, sizeof buffer)) > 0)
        if (put(to, buffer, n)) return "unwritten";
    return n ? "none" : "made";
}

/* The archive of out/ has a record for each entry: a line "KIND SIZE NAME_BYTES", the name, and after
   kind f, a file that comes back, its bytes. The other kinds say why one does not (REASONS). Before them
   comes what was written beside out/: w is a file, v a folder, x says how many more there are. */
enum { NAMED = @NAMED@, NAMED_BESIDE = @NAMED_BESIDE@ };

static int record(int to, char kind, unsigned long long size, const char *name) {
    char line[64];
    snprintf(line, sizeof line, "%c %llu %zu\n", kind, size, strlen(name));
    return put(to, line, strlen(line)) || put(to, name, strlen(name));
}

static int hand_out_entry(int folder, const char *name, int to, long *files, long long *bytes) {
    static char buffer[1 << 16];
    struct stat about;
    char kind = 'u';
    int from = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    about.st_size = 0;
    if (from >= 0 && fstat(from, &about) == 0)
        kind = !S_ISREG(about.st_mode) ? 's' : about.st_nlink != 1 ? 'h' :
               *files < 1 ? 'c' : about.st_size > *bytes ? 'b' : 'f';
    int failed = record(to, kind, about.st_size, name);
    if (kind == 'f') {
        --*files;
        *bytes -= about.st_size;
        for (size_t left = about.st_size; left > 0 && !failed;) {
            ssize_t n = read(from, buffer, left < sizeof buffer ? left : sizeof buffer);
            failed = n <= 0 || put(to, buffer, n);
            left -= n;
        }
    }
    if (from >= 0) close(from);
    return failed;
}

/* Keeps the first names in order; 1 if it, or another for it, is not kept. */
static int keep(char **names, long *count, long maximum, const char *name) {
    long place = *count;
    if (place == maximum && strcmp(names[maximum - 1], name) < 0) return 1;
    int full = place == maximum;
    if (full) free(names[--place]);
    for (; place > 0 && strcmp(names[place - 1], name) > 0; place--) names[place] = names[place - 1];
    if (!(names[place] = strdup(name))) _exit(125);
    *count += !full;
    return full;
}

/* The names of what was in the command's folder before it ran, in order. */
static char **given;
static size_t given_count;

static int in_order(const void *one, const void *other) {
    return strcmp(*(char *const *)one, *(char *const *)other);
}

static int is_given(const char *name) {
    return bsearch(&name, given, given_count, sizeof *given, in_order) != NULL;
}

static DIR *opened_anew(int folder) {
    int opened = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return opened < 0 ? NULL : fdopendir(opened);
}

static void remember_given(int run) {
    DIR *folder = opened_anew(run);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        given = (char **)realloc(given, (given_count + 1) * sizeof *given);
        if (!given || !(given[given_count++] = strdup(entry->d_name))) _exit(125);
    }
    qsort(given, given_count, sizeof *given, in_order);
    if (folder) closedir(folder);
}

/* Tells of what the command made beside out/, and opens none of it. */
static int tell_of_beside(int run, int to) {
    char *names[NAMED_BESIDE];
    long count = 0;
    unsigned long long unnamed = 0;
    int failed = 0;
    struct stat about;
    DIR *folder = opened_anew(run);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        int type = entry->d_type;
        if (type != DT_REG && type != DT_DIR && type != DT_UNKNOWN) continue;
        if (is_given(entry->d_name) || !strcmp(entry->d_name, "out") || !strcmp(entry->d_name, "__pycache__")) continue;
        unnamed += keep(names, &count, NAMED_BESIDE, entry->d_name);
    }
    if (folder) closedir(folder);
    for (long n = 0; n < count && !failed; n++) {
        if (fstatat(run, names[n], &about, AT_SYMLINK_NOFOLLOW)) continue;
        if (S_ISREG(about.st_mode)) failed = record(to, 'w', about.st_size, names[n]);
        if (S_ISDIR(about.st_mode)) failed = record(to, 'v', 0, names[n]);
    }
    return failed || (unnamed && record(to, 'x', unnamed, ""));
}

static const char *hand_out_folder(int run, int to, long files, long long bytes) {
    long maximum = files + NAMED, count = 0, odd = 0;
    unsigned long long unnamed = 0;
    char **names = (char **)calloc(maximum, sizeof *names);
    int failed = 0, opened = openat(run, "out", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (opened < 0 && errno == ENOENT) return "none";
    DIR *out = opened < 0 ? NULL : fdopendir(opened);
    if (!out || !names) return record(to, 'o', 0, "out") ? "unwritten" : "made";
    for (struct dirent *entry; !failed && (entry = readdir(out));) {
        const char *name = entry->d_name;
        int type = entry->d_type;
        if (!strcmp(name, ".") || !strcmp(name, "..")) continue;
        if (type == DT_REG || type == DT_UNKNOWN) unnamed += keep(names, &count, maximum, name);
        else if (odd++ < NAMED) failed = record(to, type == DT_DIR ? 'd' : type == DT_LNK ? 'l' : 's', 0, name);
        else unnamed++;
    }
    for (long n = 0; n < count && !failed; n++) failed = hand_out_entry(opened, names[n], to, &files, &bytes);
    if (unnamed) failed |= record(to, 'm', unnamed, "");
    return failed ? "unwritten" : "made";
}

/* Makes the file of that name and the folders that lead to it. The name was checked before. */
static int make(int folder, char *name) {
    for (char *slash = name; (slash = strchr(slash + 1, '/'));) {
        *slash = 0;
        int failed = mkdirat(folder, name, 0755) != 0 && errno != EEXIST;
        *slash = '/';
        if (failed) return -1;
    }
    return openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
}

/* The job's files, for the command: records of kind f, as in an archive. */
static int take_in(int from, const char *into) {
    static char buffer[1 << 16];
    size_t left, length, n;
    char name[512]; /* the longest is 255, after a folder's */
    int folder = open(into, O_RDONLY | O_DIRECTORY | O_CLOEXEC), to;
    FILE *bundle = fdopen(from, "r");
    if (!bundle || folder < 0) return -1;
    while (fscanf(bundle, "f %zu %zu", &left, &length) == 2) {
        if (getc(bundle) != '\n' || length >= sizeof name || fread(name, 1, length, bundle) != length) return -1;
        name[length] = 0;
        if ((to = make(folder, name)) < 0) return -1;
        for (; left > 0; left -= n) {
            n = fread(buffer, 1, left < sizeof buffer ? left : sizeof buffer, bundle);
            if (n == 0 || put(to, buffer, n)) return -1;
        }
        if (close(to)) return -1;
    }
    int failed = !feof(bundle);
    fclose(bundle);
    close(folder);
    return failed ? -1 : 0;
}

/* init REPORT PRODUCT PATH ARCHIVE OUT_OF BUNDLE INTO FILES BYTES PROCESSES FILE_BYTES MEMORY_BYTES COMMAND...
   A descriptor that is -1 stands for none. What is in OUT_OF/out goes to the archive, with the names of what
   was written beside it; what is in the bundle goes to INTO. */
int main(int argc, char **argv) {
    if (argc < 14) return 125;
    int report = atoi(argv[1]), product = atoi(argv[2]), archive = atoi(argv[4]), bundle = atoi(argv[6]);
    int status = 0, adjust, run = open(argv[5], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct pollfd reader = {report, 0, 0};
    struct rusage used;
    const char *made = "none";
    if (poll(&reader, 1, 0) != 0) return 125; /* the slot is gone */
    fcntl(report, F_SETFD, FD_CLOEXEC);
    if (product >= 0) fcntl(product, F_SETFD, FD_CLOEXEC);
    if (archive >= 0) fcntl(archive, F_SETFD, FD_CLOEXEC);
    if ((adjust = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC)) >= 0) {
        if (write(adjust, "1000", 4) != 4) return 125;
        close(adjust);
    }
    if (bundle >= 0 && take_in(bundle, argv[7])) {
        fprintf(stderr, "the job's files cannot be written: %s\n", strerror(errno));
        return 125;
    }
    if (archive >= 0) remember_given(run);
    int go[2];
    if (pipe2(go, O_CLOEXEC) != 0) return 125;
    dprintf(report, "started\n");
    double began = now();
    pid_t child = fork();
    if (child == 0) { /* it must not inherit what keeps the slot from looking at it */
        close(go[1]);
        if (read(go[0], &status, 1) != 0) _exit(127);
        char data[32]; /* far beyond, for what grows faster than the slot looks */
        snprintf(data, sizeof data, "%llu", 4 * strtoull(argv[12], NULL, 10));
        limit(RLIMIT_CORE, "0");
        limit(RLIMIT_NOFILE, "4096");
        limit(RLIMIT_NPROC, argv[10]);
        limit(RLIMIT_FSIZE, argv[11]);
        limit(RLIMIT_DATA, data);
        execv(argv[13], argv + 13);
        fprintf(stderr, "%s cannot be started: %s\n", argv[13], strerror(errno));
        _exit(127);
    }
    if (child < 0) return 125;
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* the program cannot open what is open here */
    close(go[1]);
    close(go[0]);
    for (int one;;) {
        pid_t ended = wait(&one);
        if (ended == child) { status = one; break; }
        if (ended < 0 && errno != EINTR) return 125;
    }
    double seconds = now() - began;
    if (archive >= 0 || (product >= 0 && status == 0)) {
        kill(-1, SIGKILL); /* no process is left that could change what is handed out */
        while (wait(NULL) > 0 || errno == EINTR) ;
        if (archive >= 0)
            made = tell_of_beside(run, archive) ? "unwritten" : hand_out_folder(run, archive, atol(argv[8]), atoll(argv[9]));
        if (product >= 0 && status == 0 && strcmp(made, "unwritten")) made = hand_out(argv[3], product);
    }
    getrusage(RUSAGE_CHILDREN, &used);
    dprintf(report, "%d %.6f %.6f %ld %s\n", status, seconds,
            used.ru_utime.tv_sec + used.ru_stime.tv_sec
                + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6, used.ru_maxrss, made);
    return 0;
}
"""


# --- handouts/executor/results/outputs.py -------------------------------------------------
#
# Which of the files in ./out/ come back to the student, and what was written beside it.


REASONS = {
    "d": "it is a folder; only files in out/ itself come back",
    "l": "it is a link",
    "h": "it is a link to a file that has another name too",
    "s": "it is no plain file",
    "u": "it cannot be read",
    "o": "it is no folder that can be read",
}
NAMED = 20  # of the files that do not come back, this many are named
NAMED_BESIDE = 8  # of those that were written beside out/


class Outputs:
    """Which entries of ./out/ come back, and why others do not."""

    def __init__(self, entries: list[Found], limits: dict[str, int], listings: int = 0) -> None:
        """`listings`: so many of the first are not the program's, but show how it was compiled;
        they count in bytes alone."""
        self.files: list[dict[str, Any]] = []  # "name", "size", "offset" in the archive
        self._maximum = limits["output_files"]
        self._counted = 0
        self._listings: set[bytes] = set()
        self._bytes = self._room = limits["output_file_bytes"]
        self._left_out: list[dict[str, str]] = []
        self._unnamed = 0
        self._beside: list[dict[str, Any]] = []
        self._unnamed_beside = 0
        for number, entry in enumerate(entries):
            self._add(entry, number < listings)

    def report(self) -> dict[str, Any]:
        """Members of the result that are not empty: what comes back, what does not and why, and
        what does not because it was written beside ./out/."""
        members = {
            "files": [{"name": f["name"], "size": f["size"]} for f in self.files],
            "files_left_out": self._left_out,
            "more_files_left_out": self._unnamed,
            "files_beside": self._beside,
            "more_files_beside": self._unnamed_beside,
        }
        return {name: value for name, value in members.items() if value}

    def _add(self, entry: Found, is_listing: bool) -> None:
        if entry.kind in BESIDE:
            self._add_beside(entry)
            return
        why = self._why_not(entry, is_listing)
        if not why:
            if is_listing:
                self._listings.add(entry.name)
            self._counted += not is_listing
            self._room -= entry.size
            self.files.append(
                {"name": entry.name.decode(), "size": entry.size, "offset": entry.offset}
            )
        elif entry.kind == "m" or len(self._left_out) >= NAMED:
            self._unnamed += entry.size if entry.kind == "m" else 1
        else:
            self._left_out.append({"name": spelled_out(entry.name), "reason": why})

    def _add_beside(self, entry: Found) -> None:
        if entry.kind == "x" or len(self._beside) >= NAMED_BESIDE:
            self._unnamed_beside += entry.size if entry.kind == "x" else 1
        elif entry.kind == "v":
            self._beside.append({"name": spelled_out(entry.name) + "/"})
        else:
            self._beside.append({"name": spelled_out(entry.name), "size": entry.size})

    def _why_not(self, entry: Found, is_listing: bool) -> str:
        if entry.kind not in "fbc":
            return REASONS.get(entry.kind, "there are too many")
        if not is_plain_name(entry.name):
            return "its name is not printable text without slashes"
        if entry.name in self._listings:
            return "the name is taken by the listing of the compiler"
        is_one_too_many = self._counted >= self._maximum and not (is_listing and self._maximum)
        if entry.kind == "c" or is_one_too_many:
            if not self._maximum:
                return "this queue keeps no files"
            return f"no more than {self._maximum} files come back"
        if entry.kind == "b" or entry.size > self._room:
            together = in_size(self._bytes)
            return f"it has {in_size(entry.size)}, and all files together may have {together}"
        return ""


def is_plain_name(name: bytes) -> bool:
    """Whether the queue takes a file of that name."""
    try:
        text = name.decode("utf-8")
    except ValueError:
        return False
    return (
        text.isprintable()
        and text not in ("", ".", "..")
        and not set("/\\") & set(text)
        and len(name) <= 255
    )


def spelled_out(name: bytes) -> str:
    """Any name as short text that is safe on a terminal."""
    text = name.decode("utf-8", "backslashreplace")
    safe = [c if c.isprintable() else c.encode("unicode_escape").decode() for c in text]
    return "".join(safe)[:100]


# --- handouts/executor/sandbox/first_process.py -------------------------------------------
#
# The first process in the sandbox (init.c), compiled when the executor starts.
#
# It is in C because that starts a hundred times faster than Python. As process 1 of its namespace
# it can be killed by no program, and all end when it does. It reports what bwrap does not pass on:
# the program's wait status, so that exit(137) is not SIGKILL, its time and its memory. And it hands
# out what the compiler made, or the program left in ./out/, without following links.


LIMITS_FOR_INIT = (  # in the order of init.c's arguments
    "output_files",
    "output_file_bytes",
    "processes",
    "disk_bytes",
    "memory_bytes",
)


def compile_init(path: Path, wished: str = "") -> None:
    """Compiles INIT_C with a host compiler, as nvcc needs one too. Raises BadSetup.

    `wished`: the operator's, for hosts whose system has none.
    """
    source = path.with_suffix(".c")
    counted = INIT_C.replace("@NAMED@", str(NAMED)).replace("@NAMED_BESIDE@", str(NAMED_BESIDE))
    source.write_text(counted)
    complaint = ""
    for compiler in filter(None, ("gcc", "g++", "cc", "clang", wished)):
        argv = [compiler, "-O1", "-x", "c", "-o", str(path), str(source)]
        try:
            done = subprocess.run(
                argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60
            )
        except (OSError, subprocess.SubprocessError):
            continue
        if done.returncode == 0:
            return
        complaint = complaint or done.stdout.decode("utf-8", "replace").strip()
    raise BadSetup(
        f"No host compiler works here, and nvcc needs one as well: apt install g++. {complaint}"
    )


class Inside(NamedTuple):
    """What differs from one command to another."""

    into: str = "/tmp/run"  # the folder that the job's files are unpacked in
    out_of: str = "/tmp/run"  # the folder whose out/ goes to the archive
    libraries: Sequence[str] = ()  # where programs find shared ones
    is_python: bool = False  # whether the interpreter's folders are shown


def first_process(files: Iterable[str], inside: Inside, limits: Mapping[str, int]) -> list[str]:
    """Its command line, up to the command. `files`: names of what is open for it."""
    argv = ["/job/init", "@report"]
    argv += ["@product" if "product" in files else "-1", "/tmp/program"]
    argv += ["@archive" if "archive" in files else "-1", inside.out_of]
    argv += ["@bundle" if "bundle" in files else "-1", inside.into]
    return argv + [str(limits[name]) for name in LIMITS_FOR_INIT]


# --- handouts/executor/sandbox/device_access.py -------------------------------------------
#
# Whether programs may use a device file, and what they need for it.


READ, WRITE = 4, 2


def wanted_of(node: str) -> int:
    """What programs do with it: files of capabilities (MIG) are only read."""
    return READ if Path(node).name.startswith("nvidia-cap") else READ | WRITE


def groups_for(nodes: Iterable[str], own: Collection[int]) -> list[int]:
    """The groups that a uid without any needs to use these device files. Raises BadSetup.

    `own`: the gids of the sandboxes themselves. Group 0 is never given to anybody.
    """
    files = {node: os.stat(node) for node in nodes}
    groups = set()
    for node, file in files.items():
        wanted = wanted_of(node)
        if file.st_mode & wanted == wanted:
            continue
        of_group = file.st_mode >> 3 & wanted == wanted
        if file.st_gid == 0 or file.st_gid in own or not of_group:
            raise BadSetup(why_not(node, file, wanted))
        groups.add(file.st_gid)
    for node, file in files.items():  # to a member of its group the others' bits do not apply
        wanted = wanted_of(node)
        if file.st_gid in groups and file.st_mode >> 3 & wanted != wanted:
            raise BadSetup(why_not(node, file, wanted))
    return sorted(groups)


def check_own_access(nodes: Iterable[str]) -> None:
    """Whether this user itself may use them, as its programs will. Raises BadSetup."""
    for node in nodes:
        wanted = wanted_of(node)
        if not os.access(node, os.R_OK if wanted == READ else os.R_OK | os.W_OK):
            raise BadSetup(why_not(node, os.stat(node), wanted))


def why_not(node: str, file: os.stat_result, wanted: int) -> str:
    """What is wrong with a device file, and the command that mends it."""
    owner = f"{user_name(file.st_uid)}:{group_name(file.st_gid)}"
    access = "read" if wanted == READ else "read and write"
    bits = "r" if wanted == READ else "rw"
    for_good = (
        "" if wanted == READ else " (for good: the nvidia module's NVreg_DeviceFileMode=0666)"
    )
    return (
        f"Programs may not {access} {node} ({stat.S_IMODE(file.st_mode):04o}, {owner}): "
        f"chmod a+{bits} {node}{for_good}, or give it a group that may, other than root's."
    )


def user_name(uid: int) -> str:
    """As ls shows it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """As ls shows it."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


# --- handouts/executor/sandbox/driver_files.py --------------------------------------------
#
# The driver's files in /proc/driver, of one GPU: what its library reads of them.
#
# The whole folder would show all GPUs. In a sandbox there is an empty one in its place, as in
# NVIDIA's containers (libnvidia-container), and below it what is named here.


DRIVER = "proc/driver/nvidia"


def driver_params(root: Path = Path("/")) -> str:
    """The module's parameters, but that programs are not to make device files.

    As the kernel has them, the library tries to (mknod, or nvidia-modprobe, which is setuid), and
    where it fails CUDA does not start.
    """
    try:
        text = (root / DRIVER / "params").read_text()
    except OSError:
        text = ""
    text, found = re.subn(r"(?m)^(ModifyDeviceFiles:).*$", r"\1 0", text)
    return text if found else text + "ModifyDeviceFiles: 0\n"


def pci_address(gpu: Gpu, root: Path = Path("/")) -> str:
    """Its address as the kernel writes it, such as "0000:01:00.0"; "" if nobody tells.

    nvidia-smi writes more digits ("00000000:01:00.0"), and capitals.
    """
    place = pci_place(gpu.bus)
    if place:
        return "{:04x}:{:02x}:{:02x}.{:x}".format(*place)
    for information in sorted((root / DRIVER / "gpus").glob("*/information")):
        if re.search(
            rf"(?m)^GPU UUID:\s*{re.escape(gpu.whole or gpu.uuid)}\s*$", text_of(information)
        ):
            return information.parent.name
    return ""


def driver_files(gpu: Gpu, root: Path = Path("/")) -> list[str]:
    """Paths of what is there of this GPU and no other."""
    wanted = ["version"]
    address = pci_address(gpu, root)
    if address:
        wanted.append(f"gpus/{address}")
    parts = gpu.instance.split("/") if gpu.instance else []
    if parts:
        try:
            minor = minor_of(gpu, root)
        except BadSetup:  # said where its device files are looked for
            minor = "none"
        places = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        wanted += [f"capabilities/gpu{minor}/mig/{place}/access" for place in places]
    paths = [f"{DRIVER}/{name}" for name in wanted] + [DRIVER + "-uvm"]
    return ["/" + path for path in paths if (root / path).exists()]


def shown_of_driver(paths: list[str], root: Path = Path("/")) -> list[str]:
    """bwrap's arguments, for a /proc/driver that is empty. "@params" is `driver_params`."""
    if not (root / "proc/driver").is_dir():
        return []
    binds = ["--perms", "0444", "--file", "@params", f"/{DRIVER}/params"]
    for path in paths:
        binds += ["--ro-bind-try", str(root / path.lstrip("/")), path]
    return binds


# --- handouts/executor/sandbox/sys_files.py -----------------------------------------------
#
# What programs with a GPU see of /sys: what the driver's library reads there, of their own GPU.
#
# /sys as a whole tells of all that is in the host: every device, network addresses, the cgroups of
# others. The list is what libcuda 535 opens (strace), what NVIDIA's own sandbox shows on a GB300,
# and what CUDA on Grace needs (nodes of memory); docs/adr/0020 names the sources.


OF_THE_HOST = (
    "sys/devices/system/cpu",
    "sys/devices/system/node",
    "sys/devices/system/memory",
    "sys/devices/soc0",  # of integrated GPUs: what kind of chip it is
    "sys/module/nvidia/initstate",
    "sys/module/nvidia_uvm/initstate",
)
PCI = "sys/bus/pci/devices"


def shown_of_sys(gpu: Gpu, root: Path = Path("/")) -> list[str]:
    """bwrap's arguments."""
    binds = []
    for path in OF_THE_HOST:
        if (root / path).exists():
            binds += ["--ro-bind-try", str(root / path), "/" + path]
    return binds + shown_of_pci(pci_address(gpu, root), root)


def shown_of_pci(address: str, root: Path = Path("/")) -> list[str]:
    """The device's folder, where the kernel has it, and the link by which it is found.

    The folders above it, of bridges, stay empty. Without a device the list of them is empty.
    """
    binds = ["--dir", "/" + PCI]
    link = root / PCI / address
    if not address or not link.is_symlink():
        return binds
    folder = Path(os.path.realpath(str(link)))
    place = "/" + str(folder.relative_to(os.path.realpath(str(root))))
    return [
        *binds,
        "--ro-bind-try",
        str(folder),
        place,
        "--symlink",
        os.readlink(str(link)),
        f"/{PCI}/{address}",
    ]


# --- handouts/executor/sandbox/gpu_devices.py ---------------------------------------------
#
# What a sandbox shows of this executor's GPUs: their device files, and the driver's own files.


class GpuDevices:
    """Of each GPU, by its UUID; none until they are found."""

    def __init__(
        self, whole_sys: bool = False, own: Collection[int] = (), root: Path = Path("/")
    ) -> None:
        """`own`: the gids of the sandboxes themselves. `root`: where /proc and /sys are."""
        self._nodes: dict[str, list[str]] = {}
        self._whole_sys = whole_sys
        self._own = own
        self._root = root

    def find(self, gpus: list[Gpu]) -> None:
        """Raises BadSetup, also where programs could not use them."""
        self._nodes = {gpu.uuid: device_nodes(gpu) for gpu in gpus}
        every = {node for nodes in self._nodes.values() for node in nodes}
        if gpus and "/dev/nvidia-uvm" not in every:
            raise BadSetup(
                "/dev/nvidia-uvm is missing: nvidia-modprobe -u -c 0 makes it (as root)."
            )
        if os.geteuid() == 0:
            _ = self.groups
        else:
            check_own_access(sorted(every))

    @property
    def groups(self) -> list[int]:
        """The groups that the device files ask for, where not everybody may use them. Never
        root's. Raises BadSetup for one that programs cannot use."""
        return groups_for([n for nodes in self._nodes.values() for n in nodes], self._own)

    def shown(self, gpu: Gpu | None) -> list[str]:
        """bwrap's arguments for those of one GPU; "@params" among them is `driver_params`."""
        if gpu is None:
            return []
        binds = ["--ro-bind", "/sys", "/sys"] if self._whole_sys else shown_of_sys(gpu, self._root)
        binds += shown_of_driver(driver_files(gpu, self._root), self._root)
        for node in self._nodes[gpu.uuid]:
            binds += ["--dev-bind", node, node]
        return binds


# --- handouts/executor/sandbox/hidden.py --------------------------------------------------
#
# What of /proc and /usr is hidden in the sandbox, from compilers and programs.


# bubblewrap makes /proc/sys, sysrq-trigger, irq and bus read-only. These tell of the host and of
# what others do on it, or are the kernel's own business. What only root may read is not listed.
HIDDEN_FILES = (
    "buddyinfo",
    "diskstats",
    "interrupts",  # and softirqs: each key press and packet
    "kallsyms",
    "key-users",
    "keys",
    "latency_stats",
    "sched_debug",
    "schedstat",
    "softirqs",
    "timer_list",
    "timer_stats",
    "vmstat",
    "zoneinfo",
)
HIDDEN_FOLDERS = ("acpi", "asound", "bus", "driver", "fs", "irq", "pressure", "scsi")
# Setuid root, and runs where the driver's library finds no device files: here it could not help.
NVIDIA_MODPROBE = ("usr/bin/nvidia-modprobe", "usr/sbin/nvidia-modprobe")


def hidden(root: Path = Path("/")) -> list[str]:
    """bwrap's arguments, to follow --proc. What is in /proc/driver then is not read-only yet."""
    box = []
    for name in HIDDEN_FOLDERS:
        if (root / "proc" / name).is_dir():
            box += ["--tmpfs", f"/proc/{name}"]
            box += [] if name == "driver" else ["--remount-ro", f"/proc/{name}"]
    for name in HIDDEN_FILES:
        if is_public(root / "proc" / name):
            box += ["--ro-bind", "/dev/null", f"/proc/{name}"]
    for place in sorted(set(map(root_program, [root / path for path in NVIDIA_MODPROBE]))):
        box += ["--ro-bind", "/dev/null", place] if place else []
    return box


def root_program(path: Path) -> str:
    """Where it is shown in the sandbox, links followed: over a link nothing can be mounted. "" if
    it is not."""
    real = path.resolve()
    usr = next(folder for folder in path.parents if folder.name == "usr").resolve()
    if not real.is_file() or usr not in real.parents:
        return ""
    return f"/usr/{real.relative_to(usr)}"


def finished(has_gpu: bool, root: Path = Path("/")) -> list[str]:
    """bwrap's arguments once all is in /proc/driver.

    Without a GPU all of /proc is read-only, so that no program can take back that it is the first
    to be killed when memory is short (oom_score_adj). CUDA must write there: it names its threads
    in /proc/self/task/*/comm, and from driver 570 on does not start if it cannot.
    """
    box = ["--remount-ro", "/proc/driver"] if (root / "proc/driver").is_dir() else []
    return box if has_gpu else [*box, "--remount-ro", "/proc"]


def is_public(path: Path) -> bool:
    """Whether it is there and a sandbox's uid could read it."""
    try:
        return bool(os.stat(str(path)).st_mode & 0o004)
    except OSError:
        return False


# --- handouts/executor/sandbox/call_log.py ------------------------------------------------
#
# Whether the kernel can note system calls in its log (--seccomp-log).


def check_call_log(root: Path = Path("/")) -> None:
    """Raises BadSetup if it cannot, or does not."""
    available = words_in(root / "proc/sys/kernel/seccomp/actions_avail")
    logged = words_in(root / "proc/sys/kernel/seccomp/actions_logged")
    if "log" not in available:
        raise BadSetup(
            "--seccomp-log: this kernel cannot log system calls (Linux 4.14 and newer can, and "
            '/proc/sys/kernel/seccomp/actions_avail then has "log"). Start without it.'
        )
    if "log" not in logged:
        actions = " ".join([*logged, "log"])
        raise BadSetup(
            "--seccomp-log: this kernel is told to log no such calls: "
            f"sysctl kernel.seccomp.actions_logged='{actions}'"
        )
    if not {"audit=0", "audit=off"}.isdisjoint(words_in(root / "proc/cmdline")):
        raise BadSetup(
            "--seccomp-log: this kernel was started with audit=0 and logs no calls. "
            "Take that from its command line, or start without --seccomp-log."
        )


def words_in(path: Path) -> list[str]:
    """Of a small file; none if it cannot be read."""
    try:
        return path.read_text().split()
    except OSError:
        return []


# --- handouts/executor/sandbox/bpf.py -----------------------------------------------------
#
# Classic BPF, as seccomp(2) takes it: what filters are put together from.


EQUAL, AT_LEAST, HAS_BITS = 0x15, 0x35, 0x45  # conditions
NUMBER, ARCHITECTURE, FIRST, SECOND, THIRD = 0, 4, 16, 24, 32  # offsets: the call, its arguments
INSTRUCTION_BYTES = 8


def load(offset: int) -> bytes:
    """Takes 32 bits of the call's description; of an argument the low half, as the kernel does."""
    return struct.pack("=HBBI", 0x20, 0, 0, offset)


def keep_bits(mask: int) -> bytes:
    """Of what was taken, these bits."""
    return struct.pack("=HBBI", 0x54, 0, 0, mask)


def verdict(what: int) -> bytes:
    """Ends the filter."""
    return struct.pack("=HBBI", 0x06, 0, 0, what)


def refuse(error: int) -> bytes:
    """Ends it: the call fails with this errno."""
    return verdict(0x00050000 | error)


def when(condition: int, value: int, then: bytes) -> bytes:
    """Does `then` if the condition holds of what was taken, and goes on behind it if not."""
    return struct.pack("=HBBI", condition, 0, len(then) // INSTRUCTION_BYTES, value) + then


def unless(condition: int, value: int, then: bytes) -> bytes:
    """The opposite of `when`."""
    return struct.pack("=HBBI", condition, len(then) // INSTRUCTION_BYTES, 0, value) + then


# --- handouts/executor/sandbox/denied_calls.py --------------------------------------------
#
# System calls that are refused whatever their arguments.


# No CUDA program, compiler or Python needs them. Past exploits used them, or they show what others
# do on the host: inotify, fanotify and cachestat tell who reads which file of /usr.
# Their numbers on (x86-64, aarch64).
DENIED = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "cachestat": (451, 451),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "inotify_add_watch": (254, 27),
    "inotify_init": (253, 26),  # aarch64 has inotify_init1 alone
    "inotify_init1": (294, 26),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "memfd_secret": (447, 447),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "msgget": (68, 186),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "semget": (64, 190),
    "setns": (308, 268),
    "shmget": (29, 194),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}

FIRST_UNKNOWN = 470  # Linux 6.18 ends before it: who knows what a later kernel does there


# --- handouts/executor/sandbox/usual_calls.py ---------------------------------------------
#
# System calls that compilers, Python and CUDA programs are known or expected to make.
#
# What an allow list would hold. With --seccomp-log the kernel's log shows what it lacks
# (docs/gpu-hosts.md); add that here. Calls whose arguments are looked at are in it too.


# Name, number on x86-64 and on aarch64, which lacks some (-).
USUAL = """
accept 43 202, accept4 288 242, access 21 -, alarm 37 -, arch_prctl 158 -, bind 49 200,
brk 12 214, capget 125 90, chdir 80 49, chmod 90 -, chown 92 -, clock_getres 229 114,
clock_gettime 228 113, clock_nanosleep 230 115, clone 56 220, clone3 435 435, close 3 57,
close_range 436 436, connect 42 203, copy_file_range 326 285, creat 85 -, dup 32 23, dup2 33 -,
dup3 292 24, epoll_create 213 -, epoll_create1 291 20, epoll_ctl 233 21, epoll_pwait 281 22,
epoll_pwait2 441 441, epoll_wait 232 -, eventfd 284 -, eventfd2 290 19, execve 59 221,
execveat 322 281, exit 60 93, exit_group 231 94, faccessat 269 48, faccessat2 439 439,
fadvise64 221 223, fallocate 285 47, fchdir 81 50, fchmod 91 52, fchmodat 268 53,
fchmodat2 452 452, fchown 93 55, fchownat 260 54, fcntl 72 25, fdatasync 75 83, fgetxattr 193 10,
flistxattr 196 13, flock 73 32, fork 57 -, fstat 5 80, fstatfs 138 44, fsync 74 82,
ftruncate 77 46, futex 202 98, futex_waitv 449 449, get_mempolicy 239 236,
get_robust_list 274 100, getcpu 309 168, getcwd 79 17, getdents 78 -, getdents64 217 61,
getegid 108 177, geteuid 107 175, getgid 104 176, getgroups 115 158, getitimer 36 102,
getpeername 52 205, getpgid 121 155, getpgrp 111 -, getpid 39 172, getppid 110 173,
getpriority 140 141, getrandom 318 278, getresgid 120 150, getresuid 118 148, getrlimit 97 163,
getrusage 98 165, getsid 124 156, getsockname 51 204, getsockopt 55 209, gettid 186 178,
gettimeofday 96 169, getuid 102 174, getxattr 191 8, io_cancel 210 3, io_destroy 207 1,
io_getevents 208 4, io_pgetevents 333 292, io_setup 206 0, io_submit 209 2, ioctl 16 29,
kill 62 129, lchown 94 -, lgetxattr 192 9, link 86 -, linkat 265 37, listen 50 201,
listxattr 194 11, llistxattr 195 12, lseek 8 62, lstat 6 -, madvise 28 233, mbind 237 235,
membarrier 324 283, memfd_create 319 279, mincore 27 232, mkdir 83 -, mkdirat 258 34,
mknod 133 -, mknodat 259 33, mlock 149 228, mlock2 325 284, mlockall 151 230, mmap 9 222,
move_pages 279 239, mprotect 10 226, mremap 25 216, msync 26 227, munlock 150 229,
munlockall 152 231, munmap 11 215, nanosleep 35 101, newfstatat 262 79, open 2 -, openat 257 56,
openat2 437 437, pause 34 -, pidfd_open 434 434, pidfd_send_signal 424 424, pipe 22 -,
pipe2 293 59, pkey_alloc 330 289, pkey_free 331 290, pkey_mprotect 329 288, poll 7 -,
ppoll 271 73, prctl 157 167, pread64 17 67, preadv 295 69, preadv2 327 286, prlimit64 302 261,
process_mrelease 448 448, pselect6 270 72, pwrite64 18 68, pwritev 296 70, pwritev2 328 287,
read 0 63, readahead 187 213, readlink 89 -, readlinkat 267 78, readv 19 65, recvfrom 45 207,
recvmmsg 299 243, recvmsg 47 212, rename 82 -, renameat 264 38, renameat2 316 276,
restart_syscall 219 128, rmdir 84 -, rseq 334 293, rt_sigaction 13 134, rt_sigpending 127 136,
rt_sigprocmask 14 135, rt_sigqueueinfo 129 138, rt_sigreturn 15 139, rt_sigsuspend 130 133,
rt_sigtimedwait 128 137, rt_tgsigqueueinfo 297 240, sched_get_priority_max 146 125,
sched_get_priority_min 147 126, sched_getaffinity 204 123, sched_getattr 315 275,
sched_getparam 143 121, sched_getscheduler 145 120, sched_rr_get_interval 148 127,
sched_setaffinity 203 122, sched_setattr 314 274, sched_setparam 142 118,
sched_setscheduler 144 119, sched_yield 24 124, seccomp 317 277, select 23 -, sendfile 40 71,
sendmmsg 307 269, sendmsg 46 211, sendto 44 206, set_mempolicy 238 237,
set_mempolicy_home_node 450 450, set_robust_list 273 99, set_tid_address 218 96,
setitimer 38 103, setpgid 109 154, setpriority 141 140, setrlimit 160 164, setsid 112 157,
setsockopt 54 208, shutdown 48 210, sigaltstack 131 132, signalfd 282 -, signalfd4 289 74,
socket 41 198, socketpair 53 199, splice 275 76, stat 4 -, statfs 137 43, statx 332 291,
symlink 88 -, symlinkat 266 36, sync_file_range 277 84, syncfs 306 267, sysinfo 99 179,
tee 276 77, tgkill 234 131, time 201 -, timer_create 222 107, timer_delete 226 111,
timer_getoverrun 225 109, timer_gettime 224 108, timer_settime 223 110, timerfd_create 283 85,
timerfd_gettime 287 87, timerfd_settime 286 86, times 100 153, tkill 200 130, truncate 76 45,
umask 95 166, uname 63 160, unlink 87 -, unlinkat 263 35, utime 132 -, utimensat 280 88,
utimes 235 -, vfork 58 -, vmsplice 278 75, wait4 61 260, waitid 247 95, write 1 64, writev 20 66
"""


def usual_numbers(column: int) -> dict[str, int]:
    """By name, on x86-64 (0) or aarch64 (1)."""
    rows = [row.split() for row in USUAL.replace("\n", " ").split(",")]
    return {row[0]: int(row[1 + column]) for row in rows if row[1 + column] != "-"}


def usual_ranges(column: int) -> list[tuple[int, int]]:
    """The same as first and last number of each stretch."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(usual_numbers(column).values()):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ranges


# --- handouts/executor/sandbox/system_calls.py --------------------------------------------
#
# The filter of system calls (seccomp(2)).


# On (x86-64, aarch64).
CLONE, CLONE3, IOCTL, FCNTL = (56, 220), (435, 435), (16, 29), (72, 25)
SOCKET, SOCKETPAIR, SETSOCKOPT = (41, 198), (53, 199), (54, 208)
PRLIMIT, CLOSE_RANGE = (302, 261), (436, 436)
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
CLONE_NEW = 0x7E020000  # every CLONE_NEW… flag of clone(2)
CLONE_FILES, CLONE_THREAD, CLOSE_RANGE_UNSHARE = 0x400, 0x10000, 0x2
TERMINAL_TRICKS = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
WATCHES = (1026, 1024)  # F_NOTIFY, F_SETLEASE: who opens a file of a folder, who opens this file
UNIX, NETLINK, INTERNET = 1, 16, (2, 10)  # families of sockets (IPv4, IPv6); no vsock, no others
ROUTE = 0  # the protocol of netlink that getifaddrs(3) speaks
STREAM, TCP, UDP = 1, 6, 17
FURTHER_KINDS = 3  # from here on: raw, seqpacket and so on
UPPER_LAYER = 31  # TCP_ULP: another protocol on top, such as TLS in the kernel

KILL, ALLOW, LOG = verdict(0x80000000), verdict(0x7FFF0000), verdict(0x7FFC0000)
DENY, ABSENT = refuse(errno.EPERM), refuse(errno.ENOSYS)
NO_FAMILY, NO_KIND = refuse(errno.EAFNOSUPPORT), refuse(errno.ESOCKTNOSUPPORT)
NO_PROTOCOL, NO_OPTION = refuse(errno.EPROTONOSUPPORT), refuse(errno.ENOPROTOOPT)


def seccomp_filter(machine: str, log_calls: bool = False) -> bytes:
    """The filter for this kind of machine. Raises BadSetup for one that it does not know.

    `log_calls`: calls that are neither refused nor usual (usual_calls.py) are noted in the
    kernel's log, and done.
    """
    if machine not in ARCHITECTURES:
        raise BadSetup(
            f"There is no system call filter for a {machine}; "
            "--sandbox none runs without a sandbox."
        )
    column, audit_architecture = ARCHITECTURES[machine]
    program = load(ARCHITECTURE) + unless(EQUAL, audit_architecture, KILL) + load(NUMBER)
    if machine == "x86_64":  # x32, whose calls have numbers of their own
        program += when(AT_LEAST, 0x40000000, KILL)
    program += when(AT_LEAST, FIRST_UNKNOWN, ABSENT)
    for numbers in DENIED.values():
        program += when(EQUAL, numbers[column], DENY)
    for part in (threads, other_limits, terminal, watches, sockets, socket_options):
        program += part(column)
    return program + (usual(column) + LOG if log_calls else ALLOW)


def usual(column: int) -> bytes:
    """Allows the usual calls."""
    program = b""
    for first, last in usual_ranges(column):
        program += when(AT_LEAST, first, unless(AT_LEAST, last + 1, ALLOW))
    return program


def threads(column: int) -> bytes:
    """No new namespaces, and threads share their descriptors: the memory behind those that a
    thread has for itself would not be seen (memory_watch.py)."""
    # Without clone3 glibc uses clone, whose flags a filter can see.
    alone = when(HAS_BITS, CLONE_THREAD, unless(HAS_BITS, CLONE_FILES, DENY))
    clone = load(FIRST) + when(HAS_BITS, CLONE_NEW, DENY) + alone + ALLOW
    close_range = load(THIRD) + when(HAS_BITS, CLOSE_RANGE_UNSHARE, DENY) + ALLOW
    program = when(EQUAL, CLONE3[column], ABSENT) + when(EQUAL, CLONE[column], clone)
    return program + when(EQUAL, CLOSE_RANGE[column], close_range)


def other_limits(column: int) -> bytes:
    """Limits only of the calling process (0), not of the first process, which has the same uid."""
    return when(EQUAL, PRLIMIT[column], load(FIRST) + when(EQUAL, 0, ALLOW) + DENY)


def terminal(column: int) -> bytes:
    """No typing into somebody's terminal."""
    tricks = b"".join(when(EQUAL, trick, DENY) for trick in TERMINAL_TRICKS)
    return when(EQUAL, IOCTL[column], load(SECOND) + tricks + ALLOW)


def watches(column: int) -> bytes:
    """No word of who opens which file."""
    orders = b"".join(when(EQUAL, order, DENY) for order in WATCHES)
    return when(EQUAL, FCNTL[column], load(SECOND) + orders + ALLOW)


def sockets(column: int) -> bytes:
    """Those of this machine, TCP and UDP, and netlink as far as the C library uses it.

    The kernel's other protocols are much code that nothing here needs.
    """
    only_route = load(THIRD) + when(EQUAL, ROUTE, ALLOW) + NO_PROTOCOL
    plain = load(FIRST) + when(EQUAL, UNIX, ALLOW) + when(EQUAL, NETLINK, only_route)
    for family in INTERNET:
        plain += when(EQUAL, family, internet())
    program = when(EQUAL, SOCKET[column], plain + NO_FAMILY)
    pair = load(FIRST) + when(EQUAL, UNIX, ALLOW) + NO_FAMILY
    return program + when(EQUAL, SOCKETPAIR[column], pair)


def internet() -> bytes:
    """Its end: TCP for streams, UDP for what else there is. 0 asks for the same."""

    def only(protocol: int) -> bytes:
        return load(THIRD) + when(EQUAL, 0, ALLOW) + when(EQUAL, protocol, ALLOW) + NO_PROTOCOL

    kind = load(SECOND) + keep_bits(0xF)  # without SOCK_NONBLOCK and SOCK_CLOEXEC
    return (
        kind + when(AT_LEAST, FURTHER_KINDS, NO_KIND) + when(EQUAL, STREAM, only(TCP)) + only(UDP)
    )


def socket_options(column: int) -> bytes:
    """No protocol on top of TCP."""
    no_layer = when(EQUAL, TCP, load(THIRD) + when(EQUAL, UPPER_LAYER, NO_OPTION))
    return when(EQUAL, SETSOCKOPT[column], load(SECOND) + no_layer + ALLOW)


# --- handouts/executor/sandbox/own_files.py -----------------------------------------------
#
# The files that the executor itself makes for its sandboxes, which get them as descriptors.


class OwnFiles:
    """By the names that stand for them among bwrap's arguments, such as "@init"."""

    def __init__(
        self, folder: Path, libraries: Libraries, log_calls: bool = False, compiler: str = ""
    ) -> None:
        """Makes them in `folder`. `libraries`: what was made of them before.
        `log_calls`: see `seccomp_filter`; `compiler`: see `compile_init`. Raises BadSetup."""
        if log_calls:
            check_call_log()
        folder.mkdir(parents=True, exist_ok=True)
        self._paths = {
            "init": folder / "init",
            "seccomp": folder / "seccomp",
            "params": folder / "params",
            "stub": Path(libraries.folder) / DRIVER_STUB,
            "linked": Path(libraries.linked),
        }
        compile_init(self._paths["init"], compiler)
        self._paths["seccomp"].write_bytes(seccomp_filter(platform.machine(), log_calls))
        self._paths["params"].write_text(driver_params())

    def opened(self, box: Iterable[str]) -> dict[str, tuple[Path, int]]:
        """Those that bwrap's arguments name, to be read."""
        names = {argument[1:] for argument in box if argument.startswith("@")}
        return {name: (path, os.O_RDONLY) for name, path in self._paths.items() if name in names}


# --- handouts/executor/sandbox/self_test.py -----------------------------------------------
#
# Whether the sandbox holds what it should, tried inside of it.


CHECKED = 42  # the exit status if all is well

# Its arguments: the file with the token, nvcc, the scratch folder, Python, and the driver's
# library, which the loader is asked for as a program would; "" where there is or need be none.
SELF_TEST = f"""\
if [ -r "$3" ]; then
    echo "$3, with the jobs of others, can be read in the sandbox; choose another --scratch-dir"
    exit 1
fi
if [ -r "$1" ]; then
    echo "$1 can be read in the sandbox; move it out of the folders that are shown there"
    exit 1
fi
[ "$(grep -c : /proc/net/dev)" = 1 ] || {{ echo "there is a network in it"; exit 1; }}
[ "$(id -u)" != 0 ] || {{ echo "programs would be root in it"; exit 1; }}
[ -z "$2" ] || "$2" --version >/dev/null || {{
    echo "$2 does not run in it; name the toolkit's own nvcc with --nvcc," \\
        "and further folders it needs with --sandbox-bind"
    exit 1
}}
[ -z "$4" ] || "$4" -c "" || {{
    echo "$4 does not run in it; name one with --python that needs nothing outside of its prefix"
    exit 1
}}
[ -z "$5" ] || [ -z "$(LD_PRELOAD="$5" /bin/true 2>&1)" ] || {{
    echo "$5, the driver's library, is not found in it, and no CUDA program would start:" \\
        "install it and run ldconfig, or start the executor with" \\
        "LD_LIBRARY_PATH=/the/folder/that/holds/it"
    exit 1
}}
exit {CHECKED}
"""


def why_denied() -> str:
    """What to do about a kernel that keeps bubblewrap from making namespaces."""
    if kernel_setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "AppArmor keeps it from making namespaces: install the profile in docs/gpu-hosts.md, "
            "or: sysctl kernel.apparmor_restrict_unprivileged_userns=0"
        )
    if kernel_setting("kernel/unprivileged_userns_clone") == "0":
        return (
            "this kernel keeps users from making namespaces: "
            "sysctl kernel.unprivileged_userns_clone=1"
        )
    if kernel_setting("user/max_user_namespaces") == "0":
        return "this kernel allows no user namespaces: sysctl user.max_user_namespaces=10000"
    return "in a container, allow it to make namespaces, or run the executor outside of it"


def kernel_setting(name: str) -> str:
    """Its value; "" if there is none of that name."""
    try:
        return Path("/proc/sys/" + name).read_text().strip()
    except OSError:
        return ""


# --- handouts/executor/sandbox/shown.py ---------------------------------------------------
#
# What of the host every command sees in the sandbox.


LIBRARIES = "/job/lib"  # where the executor's own folder of libraries is shown
LINKED = "/job/line-buffering.o"  # and to compilers the object for every program


def folders_to_bind(nvcc: str, more: list[Path]) -> list[str]:
    """What commands see beside the system's own folders. Raises BadSetup."""
    resolved = [path.resolve() for path in more]
    missing = [path for path in resolved if not path.exists()]
    if missing:
        raise BadSetup(f"There is no {missing[0]} to show in the sandbox.")
    return outside_usr([*([toolkit(nvcc)] if nvcc else []), *resolved])


def outside_usr(paths: Iterable[str | Path]) -> list[str]:
    """Those that every sandbox does not show anyhow."""
    return [str(path) for path in paths if Path("/usr") not in [Path(path), *Path(path).parents]]


def places_with(libraries: Libraries) -> Places:
    """Where things are in a sandbox that shows these."""
    folder = LIBRARIES if libraries.folder else ""
    linked = LINKED if libraries.linked else ""
    return Places("/tmp/program", "/tmp/asm/out", folder, "/tmp/src", linked)


def show_linked(libraries: Libraries) -> list[str]:
    """bwrap's arguments for the object that every program is linked with."""
    return ["--perms", "0444", "--file", "@linked", LINKED] if libraries.linked else []


def show_libraries(folder: Path) -> list[str]:
    """bwrap's arguments for what was made in the executor's own folder of libraries.

    No bind: for that a slot started by root would have to mount it first.
    """
    box = []
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            box += ["--symlink", os.readlink(str(path)), f"{LIBRARIES}/{path.name}"]
        elif path.name == DRIVER_STUB:
            box += ["--perms", "0555", "--file", "@stub", f"{LIBRARIES}/{path.name}"]
    return box


def system_folders() -> list[str]:
    """bwrap's arguments for /usr and what belongs to it."""
    binds = ["--ro-bind", "/usr", "/usr"]
    for name in ("/bin", "/sbin", "/lib", "/lib32", "/lib64"):
        if os.path.islink(name):
            binds += ["--symlink", os.readlink(name), name]
        elif os.path.isdir(name):
            binds += ["--ro-bind", name, name]
    for name in ("/etc/ld.so.cache", "/etc/alternatives", "/etc/nvcc.profile"):
        binds += ["--ro-bind-try", name, name]
    return binds


# --- handouts/executor/sandbox/bubblewrap.py ----------------------------------------------
#
# The sandbox: bubblewrap around the compiler and around the program.


WRITE_ANEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


class Bubblewrap:
    """Runs commands in bwrap, which never runs as root: it runs as the executor's user, or, where
    that is root, as a uid of each slot's own.

    A command sees /usr and the CUDA toolkit, a /tmp of its own in memory, and its one GPU. Files
    go in and out as open descriptors, never by a path.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        nvcc: str,
        folder: Path,
        libraries: Libraries = NO_LIBRARIES,
        interpreter: Interpreter | None = None,
        compiler: str = "",
    ) -> None:
        """`folder`: for files of its own, by `compiler` if the system has none. Raises BadSetup."""
        self._bwrap = find_bwrap()
        self.uids = Uids(options.sandbox_uid_base) if os.geteuid() == 0 else None
        self._libraries = libraries
        self._of_python = outside_usr(interpreter.folders if interpreter else [])
        shown = folders_to_bind(nvcc, options.sandbox_bind)
        shown += [path for path in outside_usr(leads_to(libraries.driver)) if path not in shown]
        self._of_python = [path for path in self._of_python if path not in shown]
        self.binds = [*self._of_python, *shown]
        self._logs_calls = options.seccomp_log
        self._own = OwnFiles(folder, libraries, options.seccomp_log, compiler)
        supported = options_of(self._bwrap)
        if b"--perms" not in supported:
            raise BadSetup(f"{self._bwrap} is too old: bubblewrap 0.5 or newer is needed.")
        self._sized = b"--size" in supported  # 0.7 and newer; else only memory is limited
        self._isolation = isolation(supported)
        own_groups = self.uids.gids if self.uids else ()
        self.devices = GpuDevices(options.sandbox_sys == "whole", own_groups)

    def about(self) -> str:
        """For the log and for staff."""
        about = "bubblewrap, a uid for each worker" if self.uids else "bubblewrap"
        return about + (", unusual system calls are logged" if self._logs_calls else "")

    def use(self, gpus: list[Gpu]) -> None:
        """Finds the device files of the GPUs. Raises BadSetup."""
        self.devices.find(gpus)

    @property
    def groups(self) -> list[int]:
        """The groups that a slot must be in to use them."""
        return self.devices.groups

    def places(self, folder: Path) -> Places:
        """Where things are of the job in `folder`."""
        return places_with(self._libraries)

    def compiler(
        self,
        folder: Path,
        files: Mapping[str, str],
        argv: list[str],
        limits: dict[str, int],
        asm: Path | None = None,
    ) -> Command:
        """Runs a compiler in a folder with these files; what is at its `places` then goes to
        `folder`/program, and to the archive `asm`."""
        pack(files, folder / "bundle")
        opened = {
            "bundle": (folder / "bundle", os.O_RDONLY),
            "product": (folder / "program", os.O_WRONLY | os.O_CREAT | os.O_EXCL),
        }
        if asm is not None:
            opened["archive"] = (asm, WRITE_ANEW)
        inside = Inside(out_of="/tmp/asm", libraries=self._libraries.run)
        setup = ["--dir", "/tmp/asm/out", *show_linked(self._libraries)]
        return self._command(argv, setup, opened, argv[0], None, limits, inside)

    def program(
        self,
        folder: Path,
        args: list[str],
        nvcc: str,
        gpu: Gpu | None,
        archive: Path,
        limits: dict[str, int],
        beside: Mapping[str, str] = NO_FILES,
    ) -> Command:
        """Runs `folder`/program in a folder with the files `beside`; what it leaves in ./out/ goes
        to the archive."""
        pack(beside, folder / "beside")
        files = {
            "program": (folder / "program", os.O_RDONLY),
            "bundle": (folder / "beside", os.O_RDONLY),
            "archive": (archive, WRITE_ANEW),
        }
        setup = ["--dir", "/tmp/run/out", "--perms", "0555", "--file", "@program", "/job/program"]
        inside = Inside(libraries=self._libraries.run)
        return self._command(["/job/program", *args], setup, files, nvcc, gpu, limits, inside)

    def script(
        self,
        folder: Path,
        files: Mapping[str, str],
        argv: list[str],
        gpu: Gpu | None,
        archive: Path,
        limits: dict[str, int],
        beside: Mapping[str, str] = NO_FILES,
    ) -> Command:
        """Runs Python with these files at the place of a script, otherwise as `program` does."""
        pack(placed({"src": files, "run": beside}), folder / "bundle")
        opened = {
            "bundle": (folder / "bundle", os.O_RDONLY),
            "archive": (archive, WRITE_ANEW),
        }
        setup = ["--dir", "/tmp/run/out", "--dir", "/tmp/src"]
        inside = Inside(into="/tmp", is_python=True)
        return self._command(argv, setup, opened, argv[0], gpu, limits, inside)

    def outputs(
        self,
        folder: Path,
        archive: Path,
        limits: dict[str, int],
        given: Mapping[str, str] = NO_FILES,
    ) -> list[Found]:
        """What the program left in ./out/ and beside it, as its archive says. The first process
        knows by itself what was `given`."""
        with archive.open("rb") as file:
            return list(unpack(file))

    def asm(self, folder: Path, archive: Path, limits: dict[str, int]) -> list[Found]:
        """What the compiler left to be read, as its archive says."""
        return [one for one in self.outputs(folder, archive, limits) if one.kind not in BESIDE]

    def check(
        self, auth: Path, scratch: Path, nvcc: str, gpu: Gpu | None, python: str = ""
    ) -> Command:
        """A command that ends with CHECKED if the sandbox holds what it should."""
        looked_at = [str(auth), nvcc, str(scratch), python, DRIVER_LIBRARY if gpu else ""]
        argv = ["/bin/sh", "-c", SELF_TEST, "sh", *looked_at]
        inside = Inside(is_python=True)
        return self._command(argv, [], {}, nvcc, gpu, DEFAULT_LIMITS, inside)

    def _command(
        self,
        argv: list[str],
        setup: list[str],
        files: dict[str, tuple[Path, int]],
        program: str,
        gpu: Gpu | None,
        limits: dict[str, int],
        inside: Inside,
    ) -> Command:
        box = [self._bwrap, *self._isolation]
        visible = gpu.uuid if gpu else ""
        searched = [*inside.libraries, *self._libraries.driver]
        env = environment([program], searched, "/tmp/run", "/tmp", visible)
        for name, value in env.items():
            box += ["--setenv", name, value]
        size = ["--size", str(limits["disk_bytes"])] if self._sized else []
        box += [*system_folders(), "--proc", "/proc", *hidden(), "--dev", "/dev"]
        box += [*self.devices.shown(gpu), *finished(gpu is not None)]
        box += [*size, "--tmpfs", "/dev/shm", *size, "--tmpfs", "/tmp", "--dir", "/tmp/run"]
        for number, path in enumerate(self.binds):  # after /tmp, since they may lie there
            if inside.is_python or path not in self._of_python:
                box += ["--ro-bind", f"/tmp/{number}" if self.uids else path, path]
        box += ["--perms", "0555", "--file", "@init", "/job/init", *setup]
        if self._libraries.folder and not inside.is_python:
            box += show_libraries(Path(self._libraries.folder))
        box += ["--chdir", "/tmp/run", "--remount-ro", "/", "--remount-ro", "/dev"]
        box += ["--seccomp", "@seccomp", "--", *first_process(files, inside, limits)]
        return Command(box, argv, "/", {}, {**files, **self._own.opened(box)})


# --- handouts/executor/sandbox/unconfined.py ----------------------------------------------
#
# No sandbox (--sandbox none).


class NoSandbox:
    """Programs run as the executor's own user. The same methods as `Bubblewrap`."""

    uids = None

    def __init__(self, libraries: Libraries = NO_LIBRARIES) -> None:
        self._libraries = libraries

    def about(self) -> str:
        """For the log and for staff."""
        return "none"

    def places(self, folder: Path) -> Places:
        """Where things are of the job in `folder`."""
        asm, script = str(folder / "asm/out"), str(folder / "src")
        libraries = self._libraries
        return Places(str(folder / "program"), asm, libraries.folder, script, libraries.linked)

    def compiler(
        self,
        folder: Path,
        files: Mapping[str, str],
        argv: list[str],
        limits: dict[str, int],
        asm: Path | None = None,
    ) -> Command:
        """Runs a compiler in a folder with these files."""
        lay_out(files, folder / "src")
        env = self._environment(folder, argv[0], self._libraries.run, None)
        return Command([], argv, str(folder / "src"), env, {})

    def program(
        self,
        folder: Path,
        args: list[str],
        nvcc: str,
        gpu: Gpu | None,
        archive: Path,
        limits: dict[str, int],
        beside: Mapping[str, str] = NO_FILES,
    ) -> Command:
        """Runs `folder`/program in a folder with the files `beside`."""
        lay_out(beside, folder / "run")
        env = self._environment(folder, nvcc, self._libraries.run, gpu)
        return Command([], [str(folder / "program"), *args], str(folder / "run"), env, {})

    def script(
        self,
        folder: Path,
        files: Mapping[str, str],
        argv: list[str],
        gpu: Gpu | None,
        archive: Path,
        limits: dict[str, int],
        beside: Mapping[str, str] = NO_FILES,
    ) -> Command:
        """Runs Python with these files at the place of a script, in a folder with the files
        `beside`."""
        lay_out(files, folder / "src")
        lay_out(beside, folder / "run")
        env = self._environment(folder, argv[0], (), gpu)
        return Command([], argv, str(folder / "run"), env, {})

    def outputs(
        self,
        folder: Path,
        archive: Path,
        limits: dict[str, int],
        given: Mapping[str, str] = NO_FILES,
    ) -> list[Found]:
        """What the program left in ./out/, copied to the archive, and what it left beside it that
        was not `given`."""
        run = folder / "run"
        return [*written_beside(run, given, NAMED_BESIDE), *gather(run, archive, limits)]

    def asm(self, folder: Path, archive: Path, limits: dict[str, int]) -> list[Found]:
        """What the compiler left to be read, copied to the archive."""
        return gather(folder / "asm", archive, limits)

    def _environment(
        self, folder: Path, program: str, libraries: Sequence[str], gpu: Gpu | None
    ) -> dict[str, str]:
        visible = gpu.uuid if gpu else ""
        home, tmp = str(folder / "run"), str(folder / "tmp")
        searched = [*libraries, *self._libraries.driver]
        return environment([program], searched, home, tmp, visible)


# --- handouts/executor/pipeline/host.py ---------------------------------------------------
#
# The host, and what this executor holds of it: GPUs, scratch folder, sandbox, slots.


FULL_BYTES = 1 << 20  # a disk with less room is full
SELF_TEST_SECONDS = 60
SELF_TEST_LIMITS = {**DEFAULT_LIMITS, "log_bytes": 4096, "output_bytes": 1 << 20}


class Host:
    """Looked at once, when the executor starts."""

    def __init__(self, options: argparse.Namespace, auth: Auth) -> None:
        """Takes GPUs and the scratch folder for this executor alone. Raises BadSetup."""
        self.options = options
        self.auth = auth
        Queue(auth)  # a bad address or certificate is said now
        self.toolchain = Toolchain(options)
        self.nvcc, self.nvcc_version = self.toolchain.nvcc, self.toolchain.nvcc_version
        takes_gpus = options.nproc_execute > 0 and not options.no_gpu
        self.gpus = gpus_when_ready(options) if takes_gpus else []
        self.scratch, self._scratch_lock = take_scratch(options.scratch_dir, auth.name)
        refuse_integrated(self.gpus, options.allow_integrated_gpu)
        self.cgroups = Cgroups(own_cgroup())
        others = 1 + options.nproc_compile + options.nproc_cpu
        shares = Cores().shares([gpu.bus for gpu in self.gpus], others)
        self._cpus = dict(zip((gpu.uuid for gpu in self.gpus), shares))
        tools = self.toolchain
        compiler = tools.cc or tools.cxx
        self.libraries = make_libraries(self.nvcc, compiler, self.scratch / "libraries")
        compilers = (tools.cc, tools.cxx, tools.host_compiler.path)
        linked = make_line_buffering(compilers, self.scratch / "linked")
        self.libraries = self.libraries._replace(linked=linked)
        self.sandbox: Any = NoSandbox(self.libraries)
        if options.sandbox != "none":
            shown = [*options.sandbox_bind, *self.toolchain.host_compiler.folders]
            self.sandbox = Bubblewrap(
                argparse.Namespace(**{**vars(options), "sandbox_bind": shown}),
                self.nvcc,
                self.scratch / "sandbox",
                self.libraries,
                self.toolchain.interpreter,
                compiler,
            )
            self.sandbox.use(self.gpus)
        self._gpu_locks = [lock_gpu(gpu) for gpu in self.gpus]
        self.gates = make_gates(self.gpus, options.kernel_log)
        self._driver_warnings = driver_warnings(self.gpus)
        for warning in self._driver_warnings:
            say(f"WARNING: {warning}.")
        without_gpu = options.nproc_execute if options.no_gpu else 0
        self.workers = make_workers(self.gates, without_gpu, options.nproc_cpu)
        self._boards = MemoryBoards()
        self.jobs = self.scratch / "jobs"
        shutil.rmtree(str(self.jobs), ignore_errors=True)  # of a run that was killed
        self.jobs.mkdir(parents=True)

    def languages(self) -> list[str]:
        """Those of the jobs that can be run here."""
        return self.toolchain.languages()

    def close(self) -> None:
        """Leaves the cgroups as they were."""
        self.cgroups.close()

    def make_slot(self, gpu: Gpu | None, compiles: bool = False) -> Slot:
        """A slot whose sandbox works, with the uid and arguments that jobs get. Raises BadSetup."""
        cpus = self._cpus.get(gpu.uuid, set()) if gpu else set()
        group = self.cgroups.make(compiles, in_kernels_form(cpus))
        slot = Slot(self.sandbox, group, self._boards.next(), cpus)
        if self.options.sandbox != "none":
            self.try_sandbox(slot, gpu)
        return slot

    def try_sandbox(self, slot: Slot, gpu: Gpu | None) -> None:
        """Raises BadSetup if it does not hold what it should."""
        interpreter = self.toolchain.interpreter
        python = interpreter.path if interpreter else ""
        command = self.sandbox.check(
            self.options.auth.resolve(), self.scratch, self.nvcc, gpu, python
        )
        try:
            ended = slot.run(command, SELF_TEST_SECONDS, SELF_TEST_LIMITS, lambda: True)
        except OSError as error:
            raise BadSetup(
                "The sandbox does not work, and no program runs without it "
                f"({error}): {why_denied()}."
            ) from None
        if ended.exit_code != CHECKED:
            problem = in_text(ended.log).strip() or ended.why
            raise BadSetup(f"The sandbox is not safe to use: {problem}.")

    def architectures(self, platform: str) -> list[str]:
        """What a job for it is compiled for, such as ["sm_90a"]; [] is the compiler's default."""
        if platform == CPU:
            return []
        if self.options.arch:
            return [self.options.arch]
        gpus = [one.gate.gpu for one in self.workers if one.gate and platform in one.platforms]
        found = {full_architecture(gpu.architecture, self.nvcc_version) for gpu in gpus}
        return sorted(
            found, key=lambda architecture: (len(architecture.rstrip("af")), architecture)
        )

    def compiler(self) -> str:
        """For the log."""
        wished = self.toolchain.host_compiler.about()
        told = f" with {wished}" if wished else ""
        return f"nvcc {self.nvcc_version}{told}" if self.nvcc else "no nvcc"

    def hardware(self) -> str:
        """For the log."""
        kinds = Counter(f"{gpu.name} ({gpu.architecture})" for gpu in self.gpus)
        return ", ".join(f"{count} x {kind}" for kind, count in kinds.items()) or "no GPU"

    def about(self) -> dict[str, Any]:
        """What the queue shows staff of this executor."""
        return {
            "version": VERSION,
            "nvcc": self.nvcc_version or None,
            "nvcc_flags": self.toolchain.host_compiler.about(),
            "arch": ", ".join(self.architectures(CUDA)) or None,
            "gpus": [gate.about() for gate in self.gates],
            "driver_warning": "; ".join(self._driver_warnings) or None,
            "nproc_compile": self.options.nproc_compile,
            "nproc_execute": self.options.nproc_execute,
            "nproc_cpu": self.options.nproc_cpu,
            "offers": offers(self.workers),
            "languages": self.languages(),
            "sandbox": self.sandbox.about(),
            "limits": self.cgroups.about(),
            "cpu": self.about_cpu(),
            "host": socket.gethostname(),
            "python": ".".join(map(str, sys.version_info[:3])),
        }

    def about_cpu(self) -> str:
        """How the CPU is shared out, for staff."""
        words = ["equal shares"] if self.cgroups.shares_cpu else ["no shares"]
        own = [
            f"{in_kernels_form(cpus)} for GPU {gpu.index}"
            for gpu in self.gpus
            if (cpus := self._cpus.get(gpu.uuid))
        ]
        return "; ".join([*words, *own])

    def has_room_for_a_job(self) -> bool:
        """Whether a job fits in memory and, with its result, on the disk; else none is claimed."""
        why = why_no_room(self.scratch, self.options.min_free_mib)
        if why:
            TROUBLE_LOG.say(why)
        return not why

    def is_full(self) -> bool:
        """Whether a command that runs without a sandbox may have failed for lack of room."""
        return shutil.disk_usage(str(self.scratch)).free < FULL_BYTES


# --- handouts/executor/pipeline/held_claims.py --------------------------------------------
#
# Claims, which the queue holds open until it has a job.


class Claim:
    """Asking for one job, by as many requests as that takes, all with one key."""

    def __init__(self, connection: HeldConnection) -> None:
        self.key = str(uuid.uuid4())
        self.named: set[str] = set()  # the platforms in the request that is under way now
        # Those in any request so far: one that was hung up may have had its answer already.
        self.may_bring: set[str] = set()
        self.is_waiting = False  # for a platform that can be named
        self.was_hung_up = False
        self._connection = connection

    @property
    def is_coming(self) -> bool:
        """Whether its next request is made as soon as there is something to name."""
        return self.is_waiting or self.was_hung_up

    def begin(self, platforms: set[str]) -> None:
        """A request for them is made next."""
        self._connection.pick_up()
        self.is_waiting, self.was_hung_up = False, False
        self.named = platforms
        self.may_bring |= platforms

    def over(self) -> None:
        """The request is over, with or without an answer."""
        self.named = set()

    def hang_up(self) -> None:
        """Ends the request that is under way, also one that has not quite begun."""
        if self.named:
            self.named, self.was_hung_up = set(), True
            self._connection.hang_up()


# --- handouts/executor/pipeline/places.py -------------------------------------------------
#
# How many jobs a host may claim.


def free_places(
    workers: list[Worker], ahead: int, untaken: Iterable[str], pending: list[set[str]]
) -> dict[str, int]:
    """For each platform, how many more jobs may be claimed for it; only those above 0.

    The workers of a kind have as many places as are idle, but at least `ahead`, so that the next
    jobs are compiled while they work. A job that waits for a kind takes one of its places; a job
    that any GPU can run takes one of all of theirs. So one kind that is full leaves the places of
    the others as they are.

    `untaken`: the platform of each job that was claimed and that no worker has taken yet;
    `pending`: of each claim that has no answer yet, the platforms that it may bring a job for.
    """
    jobs = Counter(untaken)
    kinds: dict[tuple[str, ...], list[Worker]] = {}
    for worker in workers:
        kinds.setdefault(worker.platforms, []).append(worker)
    places = {
        kind: max(sum(worker.works and worker.idle for worker in members), ahead)
        for kind, members in kinds.items()
        if any(worker.works for worker in members)
    }
    left = {kind: max(0, count - jobs[kind[-1]]) for kind, count in places.items()}
    free: dict[str, int] = {}
    for wide in {kind[0] for kind in places}:
        family = [kind for kind in places if kind[0] == wide]
        names = {name for kind in family for name in kind}
        shared = sum(left[kind] for kind in family) - sum(not names.isdisjoint(p) for p in pending)
        if (wide,) not in family:  # else its jobs are counted already
            shared -= jobs[wide]
        free[wide] = shared
        for kind in family:
            own = left[kind] - sum(kind[-1] in platforms for platforms in pending)
            free[kind[-1]] = min(shared, own)
    return {platform: count for platform, count in free.items() if count > 0}


# --- handouts/executor/pipeline/room.py ---------------------------------------------------
#
# Which jobs this host has room for.


class Room:
    """The workers, the jobs that were claimed for them, and the claims under way, behind one lock:
    what is claimed counts at once."""

    def __init__(self, workers: list[Worker], ahead: int) -> None:
        """`ahead`: how many jobs may wait for the workers of a kind while all of them work."""
        self.workers = workers
        self.changed = threading.Condition()  # and the lock of all that is here
        self.knows_platforms = True  # the queue does: an older one gives jobs for `cuda` alone
        self._ahead = ahead
        self._claims: list[Claim] = []
        self._untaken: list[Attempt] = []
        self._is_closed = False

    @property
    def can_run(self) -> bool:
        """Whether any worker may have jobs."""
        return any(worker.works for worker in self.workers)

    def wait(self, claim: Claim) -> None:
        """Returns once there is room for a job that nobody else asks for, or none is wanted."""
        with self.changed:
            self._join(claim)
            while not self._is_closed and not self._free_for(claim, self._claims):
                self.changed.wait()

    def begin(self, claim: Claim) -> dict[str, int]:
        """What the claim's next request is to name: free places by platform; {} for no request.

        From now on that request is hung up when it is out of date.
        """
        with self.changed:
            self._join(claim)
            free = {} if self._is_closed else self._free_for(claim, self._claims)
            if free:
                claim.begin(set(free))
            return free

    def _join(self, claim: Claim) -> None:
        claim.is_waiting = True
        if claim not in self._claims:
            self._claims.append(claim)

    def over(self, claim: Claim) -> None:
        """Its request is over."""
        with self.changed:
            claim.over()

    def end(self, claim: Claim) -> None:
        """It brought no job. Whoever made it is about to make another."""
        with self.changed:
            if claim in self._claims:
                claim.over()
                self._claims.remove(claim)
                self.changed.notify_all()

    def add(self, claim: Claim, attempt: Attempt, knows_platforms: bool) -> None:
        """The claim brought this job."""
        with self.changed:
            claim.over()
            self._claims.remove(claim)
            self._untaken.append(attempt)
            self.knows_platforms = knows_platforms
            self.update()

    def remove(self, attempt: Attempt) -> None:
        """It waits for no worker any more: one has it, or it is given up."""
        with self.changed:
            if attempt in self._untaken:
                self._untaken.remove(attempt)
            self.update()

    def close(self) -> None:
        """No more jobs are claimed."""
        with self.changed:
            self._is_closed = True
            for claim in self._claims:
                claim.hang_up()
            self.changed.notify_all()

    def update(self) -> None:
        """Something has changed: those who wait look again, and claims that are out of date are
        made anew."""
        with self.changed:
            self.changed.notify_all()
            for number in reversed(range(len(self._claims))):
                # Those before it stay: what is left when they are answered is what it may name.
                claim = self._claims[number]
                if not claim.named <= set(self._free_for(claim, self._claims[:number])):
                    claim.hang_up()
            self._name_what_nobody_names()

    def _name_what_nobody_names(self) -> None:
        """A platform that got room is named by a claim that waits, if there is one: to hang up
        another costs it its connection."""
        free = [(claim, set(self._free_for(claim, self._claims))) for claim in self._claims]
        named = {name for claim in self._claims for name in claim.named}
        named.update(name for claim, names in free if claim.is_coming for name in names)
        for claim, names in free:
            if claim.named and not names <= named:
                claim.hang_up()
                break

    def _free_for(self, claim: Claim, claims: list[Claim]) -> dict[str, int]:
        """The places that are free, whatever the other ones of `claims` bring."""
        pending = [other.may_bring for other in claims if other is not claim]
        untaken = [one.platform for one in self._untaken if not one.taken.is_set()]
        free = free_places(self.workers, self._ahead, untaken, pending)
        if not self.knows_platforms:
            return {name: count for name, count in free.items() if CUDA in free}
        return free


# --- handouts/executor/pipeline/shutdown.py -----------------------------------------------
#
# When and why the executor stops.


def margin(seconds: float) -> float:
    """How much of the time to stop is kept for killing what runs and giving it back."""
    return min(5.0, seconds / 2)


class Shutdown:
    """Asked by a signal, by the queue that refuses this executor, or by a host that is unfit."""

    def __init__(self, in_hand: JobsInHand, room: Room, drain_seconds: float | None = None) -> None:
        """`drain_seconds`: how long after the first signal all must be over; None for as long as
        the jobs in hand take."""
        self._in_hand = in_hand
        self._room = room
        self._drain_seconds = drain_seconds
        # Called when jobs were stopped that no worker has: they are given back at once.
        self.on_stopped: Callable[[], Any] = lambda: None
        self.draining = threading.Event()  # no more jobs are claimed
        self.hurry = threading.Event()  # do not wait for a queue that is away
        self.exit_status = STOPPED

    @property
    def is_refused(self) -> bool:
        """Whether the queue refuses this executor."""
        return self.exit_status == REFUSED

    def on_signal(self, _number: int, _frame: Any) -> None:
        """The first one: take no more jobs, and finish those that can be in the time there is. A
        second one: give back those in hand."""
        # In a thread: a handler must not wait for a lock that the main thread may hold.
        is_first = not self.draining.is_set()
        self.draining.set()
        start(self._drain_in_time if is_first else self._give_back, "stop")

    def drain(self, why: str = "Stopping: no more jobs; finishing those in hand.") -> None:
        """Claims no more jobs."""
        self.draining.set()
        say(why)
        self._room.close()

    def _drain_in_time(self) -> None:
        """The host goes away soon: of Slurm's and spot machines' warnings the time is known."""
        if self._drain_seconds is None:
            self.drain()
            return
        over_at = time.monotonic() + self._drain_seconds
        ends_at = over_at - margin(self._drain_seconds)
        self.drain(
            f"Stopping within {self._drain_seconds:g} s: no more jobs; giving back those in hand "
            "that cannot be over by then."
        )
        self._give_back_late(ends_at)
        time.sleep(max(0.0, ends_at - time.monotonic()))  # or until the process ends
        self._give_back()
        time.sleep(max(0.0, over_at - time.monotonic()))
        # What hangs, such as nvidia-smi or the queue, is not waited for. Programs die with this
        # process, and the next start sends what is in the spool.
        say("Stopping at once: the time is over.")
        HANGING.kill_all()
        os._exit(self.exit_status)

    def _give_back_late(self, ends_at: float) -> None:
        """What has not begun to run, and may not end in time. What runs may well end before its
        limit."""
        attempts = self._in_hand.all()
        running = [attempt.longest() for attempt in attempts if attempt.phase == "executing"]
        for attempt in attempts:
            longest = max(running, default=0.0) + attempt.longest()
            if attempt.phase != "executing" and time.monotonic() + longest > ends_at:
                attempt.stop("its executor was about to stop", counts=False)
        self.on_stopped()

    def refused(self, answer: Answer) -> None:
        """The queue refuses this executor: what runs is stopped, and the reason said, once."""
        if self.exit_status == STOPPED:
            self.exit_status = REFUSED
            say(f"The queue refuses this executor: {answer.detail}")
            self.drain(
                "Stopping: the jobs in hand are given up; results are kept for the next start."
            )
            self._stop_all("the executor was refused", lost=True)

    def unfit(self, why: str) -> None:
        """This host can run no programs: it claims no more jobs and ends as one set up wrong."""
        if self.exit_status == STOPPED:
            self.exit_status = WRONG_USAGE
            say(why)
            self.drain("Stopping: this host runs no programs until that is mended.")

    def _give_back(self) -> None:
        say("Stopping now: giving jobs back.")
        self.hurry.set()
        self._stop_all("the executor was stopped", counts=False)
        self.on_stopped()

    def _stop_all(self, reason: str, lost: bool = False, counts: bool = True) -> None:
        for attempt in self._in_hand.all():
            attempt.stop(reason, lost, counts)


# --- handouts/executor/pipeline/heartbeat.py ----------------------------------------------
#
# Heartbeats: renewing the leases of all jobs in hand.


PHASE_SECONDS = 0.05  # how long a job must be in a phase before that is reported
IDLE_BEAT_SECONDS = 30.0  # as the lease of a job, while there is none
CANCEL_SECONDS = 2.0  # after which a job that its student stops knows of it


class Heartbeat:
    """One thread for all jobs: at every change, and so often that a lease has time for three, and
    nobody waits long for a job to stop."""

    def __init__(self, host: Host, in_hand: JobsInHand, shutdown: Shutdown, room: Room) -> None:
        self._host = host
        self._in_hand = in_hand
        self._shutdown = shutdown
        self._room = room
        self._gpus_changed = False  # and the queue has to be sent their state
        self._connection = HeldConnection(host.auth)
        self._beat_now = threading.Event()
        self._is_over = False

    def notify(self) -> None:
        """Something changed: the next heartbeats are sent at once."""
        self._beat_now.set()

    def report_gpus(self) -> None:
        """The queue is sent the state of the GPUs at once."""
        self._gpus_changed = True
        self.notify()

    def end(self) -> None:
        """No more heartbeats; `run` returns."""
        self._is_over = True
        self._beat_now.set()

    def run(self) -> None:
        """Until `end` is called."""
        while not self._is_over:
            attempts = self._in_hand.all()
            for attempt in attempts:
                if attempt.give_up_if_stuck():
                    say(f"Job {attempt.job_id}: stuck; its slot is killed.")
                if not self._is_over and not attempt.lost:
                    self._renew(attempt)
            if any(attempt.stop_reason for attempt in attempts):
                self._shutdown.on_stopped()  # one may wait for a worker, which may take minutes
            if self._gpus_changed or not self._room.can_run:
                self._report_gpus()
            pauses = [min(one.lease_seconds / 3, CANCEL_SECONDS) for one in attempts]
            if self._beat_now.wait(min(pauses, default=IDLE_BEAT_SECONDS / 3)):
                time.sleep(PHASE_SECONDS)  # a short program is over before anyone could see it run
            self._beat_now.clear()
        self._connection.close()

    def _renew(self, attempt: Attempt) -> None:
        body = {"lease_token": attempt.lease_token, "phase": attempt.phase}
        path = f"/attempts/{attempt.id}/heartbeat"
        try:
            answer = self._connection.request("POST", path, body, timeout=attempt.lease_seconds / 3)
        except (Unreachable, Untrusted) as error:
            TROUBLE_LOG.retrying(error)
            return
        if answer.refuses_token:
            self._shutdown.refused(answer)
        elif answer.status in (404, 409):
            if self._in_hand.has(attempt):  # not one whose result was just taken
                attempt.stop(f"the queue took the job away: {answer.detail}", lost=True)
                self._room.update()
        elif answer.status == 200 and answer.body.get("cancel_requested"):
            attempt.stop("it was cancelled")
            self._room.update()
        elif answer.status == 200 and attempt.live is not None:
            attempt.live.watch(answer.body.get("watched"))

    def _report_gpus(self) -> None:
        """A claim reports them too, but none is made while no GPU works."""
        self._gpus_changed = False
        try:
            answer = self._connection.request("PUT", "/executor", self._host.about(), timeout=10)
        except (Unreachable, Untrusted) as error:
            TROUBLE_LOG.retrying(error)
            self._gpus_changed = True
            return
        if answer.status == 401:
            self._shutdown.refused(answer)


# --- handouts/executor/pipeline/live_senders.py -------------------------------------------
#
# Sending what programs print, while they run, to a queue that has watchers.


SENDERS_AT_MOST = 8  # each with a connection of its own
SEND_SECONDS = 10.0  # how long an answer may take
IDLE_SECONDS_OF_SENDER = 20.0  # without anything to send, after which its connection is closed
NOT_KNOWN = (405, 501)  # to a queue, or to a proxy before it


class LiveSenders:
    """Threads that send the pieces of all streams: as many as are at work at once.

    Nothing waits for them. What cannot be sent is left out, and never said: results come anyhow.
    """

    def __init__(self, auth: Auth) -> None:
        self._auth = auth
        self._due: dict[LiveStream, float] = {}  # and when, by the monotonic clock
        self._busy: set[LiveStream] = set()
        self._threads = 0
        self._idle = 0
        self._changed = threading.Condition()
        self._is_off = False  # the queue does not take any
        self._has_taken = False  # it did once

    def open(self, attempt: Attempt, watched: object) -> None:
        """For a job that was claimed. `watched`: the claim's `stream`; None if the queue is older
        and takes no output."""
        attempt.may_send_logs = isinstance(watched, bool)
        if isinstance(watched, bool) and not self._is_off:
            attempt.live = LiveStream(attempt.id, attempt.lease_token, watched, self._put)

    def close(self) -> None:
        """The executor stops."""
        with self._changed:
            self._is_off = True
            self._changed.notify_all()

    def _put(self, stream: LiveStream) -> None:
        with self._changed:
            self._due[stream] = stream.rests_until
            self._see_to_threads()
            self._changed.notify()

    def _see_to_threads(self) -> None:
        """One more, if all are at work."""
        if not self._idle and self._threads < SENDERS_AT_MOST and not self._is_off:
            self._threads += 1
            start(self._run, "live output")

    def _run(self) -> None:
        connection = HeldConnection(self._auth)
        while True:
            stream = self._take()
            if stream is None:
                break
            piece = stream.next()
            if piece is not None:
                self._send(connection, stream, piece)
            with self._changed:
                self._busy.remove(stream)
                self._changed.notify()
        connection.close()

    def _take(self) -> LiveStream | None:
        """One that is due, and no other thread's; None if there was nothing for long."""
        until = time.monotonic() + IDLE_SECONDS_OF_SENDER
        with self._changed:
            while not self._is_off:
                now = time.monotonic()
                free = {one: at for one, at in self._due.items() if one not in self._busy}
                stream = next((one for one, at in free.items() if at <= now), None)
                if stream is not None:  # the one that has waited for longest
                    del self._due[stream]
                    self._busy.add(stream)
                    if self._due:
                        self._see_to_threads()
                    return stream
                if now >= until and not free:  # what came at the last moment is not left behind
                    break
                self._idle += 1
                self._changed.wait(min(free.values(), default=until) - now)
                self._idle -= 1
            self._threads -= 1
            return None

    def _send(self, connection: HeldConnection, stream: LiveStream, piece: Piece) -> None:
        body = {
            "lease_token": stream.lease_token,
            "log": piece.log,
            "offset": piece.offset,
            "text": in_text(piece.data),
        }
        try:
            answer = connection.request("POST", stream.path, body, timeout=SEND_SECONDS)
        except (Unreachable, Untrusted) as error:
            answer = Answer(getattr(error, "status", 0), {}, {})
        if answer.status == 200:
            self._has_taken = True
            stream.sent(piece, answer.body.get("watched") is True)
        elif answer.status == 413:
            stream.too_large()
        elif not answer.status or is_retryable(answer):
            stream.failed(answer.retry_after)
        else:
            self._is_off = self._is_off or self._is_unknown(answer.status)
            stream.close()

    def _is_unknown(self, status: int) -> bool:
        """Whether the queue knows no live output. One that does says 404 of an attempt that is
        gone."""
        return status in NOT_KNOWN or (status == 404 and not self._has_taken)


# --- handouts/executor/pipeline/claiming.py -----------------------------------------------
#
# Claiming: asking the queue for the next job.


WAIT_SECONDS = 25  # how long a claim is held open at the queue
FULL_DISK_SECONDS = 5  # by how much longer the pause is on a disk without room
QUEUE_IS_OLDER = (
    "The queue is older than this executor and has only jobs for GPUs, which this host does not "
    "run: update the queue."
)


class Claimer:
    """Makes claims, for several compile workers at once."""

    def __init__(
        self,
        host: Host,
        in_hand: JobsInHand,
        room: Room,
        shutdown: Shutdown,
        heartbeat: Heartbeat,
        senders: LiveSenders,
    ) -> None:
        self._host = host
        self._senders = senders
        self._in_hand = in_hand
        self._room = room
        self._shutdown = shutdown
        self._heartbeat = heartbeat
        self._looked = False  # whether the queue knows platforms, where that must be known first

    def claim(self, connection: HeldConnection) -> Attempt | None:
        """Asks until there is an answer, with one key, so that no job can be lost on its way.

        None if there is no job now, or none is wanted any more.
        """
        claim, pauses = Claim(connection), delays(maximum=30.0)
        try:
            while not self._shutdown.draining.is_set():
                self._room.wait(claim)
                if not self._host.has_room_for_a_job():
                    self._shutdown.draining.wait(next(pauses) + FULL_DISK_SECONDS)
                    continue
                if not self._may_claim(connection):
                    continue
                answer = self._ask(claim, connection, pauses)
                if answer is None:
                    continue
                if answer.status in (201, 204):
                    TROUBLE_LOG.over()
                    return self._take(claim, answer) if answer.status == 201 else None
                if answer.refuses_token or answer.problem == "wrong-token-kind":
                    self._shutdown.refused(answer)
                    return None
                TROUBLE_LOG.say(f"The queue gives no jobs: {answer.detail}")
                self._shutdown.draining.wait(max(next(pauses), answer.retry_after))
            return None
        finally:
            self._room.end(claim)

    def _may_claim(self, connection: HeldConnection) -> bool:
        """A host without GPUs looks first whether the queue knows platforms: one that does not
        would give it a job for a GPU, and count that as a try. Looks once, and goes on if the
        queue does not say."""
        if self._looked or self._serves(CUDA):
            return True
        try:
            connection.pick_up()
            answer = connection.request("GET", "/schema")
        except (Unreachable, Untrusted):  # the claim says so, and waits
            return True
        self._looked = answer.status < 500
        if answer.status == 200 and not mentions_platforms(answer.body):
            self._shutdown.unfit(QUEUE_IS_OLDER)
            return False
        return True

    def _ask(
        self, claim: Claim, connection: HeldConnection, pauses: Iterator[float]
    ) -> Answer | None:
        """One request; None if there was no answer, after a pause if that was trouble."""
        free = self._room.begin(claim)
        if not free:
            return None
        body = self._host.about()
        if self._room.knows_platforms:  # an older one would keep each of them
            body["platforms"] = free
        headers = {"Prefer": f"wait={WAIT_SECONDS}", "Idempotency-Key": claim.key}
        try:
            return connection.request("POST", "/claims", body, headers, WAIT_SECONDS + 15)
        except (Unreachable, Untrusted) as error:
            if not (claim.was_hung_up or self._shutdown.draining.is_set()):
                TROUBLE_LOG.retrying(error)
                self._room.knows_platforms = True  # perhaps it is away to be updated
                self._shutdown.draining.wait(next(pauses))
            return None
        finally:
            self._room.over(claim)

    def _take(self, claim: Claim, answer: Answer) -> Attempt | None:
        try:
            attempt = Attempt(answer.body, self._host.jobs)
        except (KeyError, TypeError, ValueError) as error:
            say(f"The queue sent a job that this executor does not understand ({error!r}).")
            return None
        say(f"Job {attempt.job_id}: claimed (attempt {attempt.id}).")
        self._senders.open(attempt, answer.body.get("stream"))
        knows_platforms = "platform" in answer.body["job"]
        self._look_at_queue(knows_platforms)
        self._in_hand.add(attempt)
        self._room.add(claim, attempt, knows_platforms)
        if not self._serves(attempt.platform):
            why = f"it is for {attempt.platform!a}, which this host does not offer"
            if knows_platforms:
                say(f"Job {attempt.job_id}: {why}; giving it back. That is a fault of the queue.")
            attempt.stop(why)
        self._heartbeat.notify()
        return attempt

    def _serves(self, platform: str) -> bool:
        return any(platform in worker.platforms for worker in self._room.workers)

    def _look_at_queue(self, knows_platforms: bool) -> None:
        """A queue that is older gives every host any job, and those are for GPUs."""
        if knows_platforms or not self._room.knows_platforms:
            return
        others = {name for worker in self._room.workers for name in worker.platforms} - {CUDA}
        if not self._serves(CUDA):
            self._shutdown.unfit(QUEUE_IS_OLDER)
        elif others:
            say("The queue is older than this executor: it has no jobs for one platform alone.")


def mentions_platforms(document: Any) -> bool:
    """Whether the API's document, as a queue serves it, has jobs that name a platform. True as well
    for what is no such document."""
    try:
        schemas = document["components"]["schemas"]
        return "platform" in schemas["ClaimedJob"]["properties"]
    except (KeyError, TypeError):
        return True


# --- handouts/executor/base/flags.py ------------------------------------------------------
#
# A second look at the compiler's flags, which the queue has allowed by its table.
#
# The compiler runs in the sandbox whatever it is told; this keeps a flag from leading it, or what
# it makes, to another place, so that a job fails with a line that says why.


MAX_FLAGS, MAX_FLAG_LENGTH = 128, 200  # a course's and a job's own
LEAD_ELSEWHERE = (  # how those begin
    *("-o", "--output", "--options-file", "--objdir", "-dump", "-ccbin", "--compiler-bindir"),
    *("-run", "--run", "-keep-dir", "--keep-dir", "-clean", "--clean", "-target-dir"),
    *("--target-directory", "-ldir", "--libdevice-directory", "-idp", "--input-drive-prefix"),
    *("-B", "-specs", "--specs", "-wrapper", "-fplugin", "-iplugindir", "-plugin", "--plugin"),
    *("--sysroot", "-isysroot", "@"),
)
PASSED_ON = re.compile(  # to another program, and what it gets
    r"(?:-X(?P<short>[a-z]+)|--(?P<long>[a-z]+)-options)=(?P<given>.+)|-W(?P<one>[alp]),(?P<listed>.+)"
)
FOR_THE_LINKER = re.compile(
    r"--(no-)?as-needed|--(no-)?whole-archive|--(start|end)-group|--gc-sections|--export-dynamic"
    r"|-l[\w.+-]+|-z|now|relro|defs|noexecstack|-O[012]"
)

# What compilers for the CPU alone know, by how it begins, and what of that is nvcc's own.
HOST_COMPILER_S = re.compile(
    r"-(f|m|W|pedantic|ansi$|pthread$|pipe$|O(fast|[gsz])?$|g.+|std=(gnu|c\d|iso)|nostd|funroll)"
)
ALSO_NVCC_S = re.compile(
    r"-(fatbin|fdevice-|fmad|force-|forward-|frandom-seed|ftemplate-|ftz|gen|m=?(32|64)$|maxrregcount"
    r"|minimal|Wdefault-stream-launch|Werror=|Wext-lambda|Wmissing-launch-bounds|Wreorder"
    r"|Wno-deprecated-(gpu-targets|declarations)|std=c\+\+)"
)


def for_nvcc(flags: Iterable[str]) -> list[str]:
    """The same flags as nvcc takes them: those of a compiler for the CPU are passed on to it."""
    told = []
    for flag in flags:
        is_host_s = HOST_COMPILER_S.match(flag) and not ALSO_NVCC_S.match(flag)
        told.append("-Xcompiler=" + flag.replace(",", "\\,") if is_host_s else flag)
    return told


def why_refused(flags: Sequence[str]) -> str:
    """Which flag this executor does not give to a compiler, and why; "" if it gives them all."""
    if len(flags) > MAX_FLAGS:
        return f"There are {len(flags)} compiler flags; {MAX_FLAGS} are the most."
    for flag in flags:
        problem = problem_of_flag(flag)
        if problem:
            return f"The flag {flag[:MAX_FLAG_LENGTH]!a} is refused on this host: {problem}."
    return ""


def problem_of_flag(flag: str) -> str:
    """What is wrong with one; "" if nothing is."""
    if len(flag) > MAX_FLAG_LENGTH:
        return f"it has more than {MAX_FLAG_LENGTH} characters"
    if not re.fullmatch(r"-[^\s]+", flag) or not flag.isprintable():
        return "a flag is one word that begins with -"
    if flag in ("-Xlinker", "--linker-options", "--"):
        return "it changes what the next word means"
    passed = PASSED_ON.fullmatch(flag)
    if passed is None:
        return leads_elsewhere([flag])
    words = re.split("[,=]", passed["given"] or passed["listed"])
    if "linker" in (passed["short"], passed["long"]) or passed["one"] == "l":
        if all(FOR_THE_LINKER.fullmatch(word) for word in words):
            return ""
        return "the linker is not told that here"
    return leads_elsewhere(words)


def leads_elsewhere(words: Iterable[str]) -> str:
    """Whether one of them does, in words."""
    if any(word.strip("'\"\\").startswith(LEAD_ELSEWHERE) for word in words):
        return "it names another place or program"
    return ""


# --- handouts/executor/pipeline/disassembly.py --------------------------------------------
#
# What the compiler made, as text to be read: `asm` of a job.


PTX, SASS, ASSEMBLY = LISTINGS = ("asm-ptx.txt", "asm-sass.txt", "asm.s")

# Runs the compiler, and where that succeeded, what shows its program, in the time that is left.
# Its arguments: how many seconds a compile may take, what shows the program (a script, and its
# arguments below), and the compiler's command line.
COMPILE_AND_SHOW = """\
seconds=$1 show=$2 program=$3 out=$4 cuobjdump=$5 nvdisasm=$6 began=$(date +%s)
shift 6
"$@" || exit
left=$((began + seconds - 2 - $(date +%s)))
if [ "$left" -gt 0 ]; then
    timeout -k 1 "$left" /bin/sh -c "$show" sh "$program" "$out" "$cuobjdump" "$nvdisasm"
    [ $? != 124 ] && exit 0
fi
echo "asm: the compile's time limit left too little time to show all of the program."
exit 0
"""

# Each file appears in the folder for them when it is whole.
BEGIN = """\
program=$1 out=$2 cuobjdump=$3 nvdisasm=$4 here=$PWD parts=$2/../parts
mkdir -p "$parts" || exit 0
"""
SHOW_CUDA = f"""\
cd "$parts"
if [ -z "$cuobjdump" ]; then
    echo "asm: this host has no cuobjdump, so there is no {PTX} and no {SASS}."
else
    "$cuobjdump" -ptx "$program" | sed "s|\\"$here/\\(\\./\\)*|\\"|" | cat -s >{PTX}
    if grep -q '^\\.version' {PTX}; then mv {PTX} "$out"
    else echo "asm: the program holds no PTX, so there is no {PTX}."; fi
    if [ "$nvdisasm" ]; then
        "$cuobjdump" -xelf all "$program" >log || cat log
        for cubin in *.cubin; do
            echo "// $cubin"
            "$nvdisasm" -c -g "$cubin"
        done | sed "s|\\"$here/\\(\\./\\)*|\\"|" >{SASS}
    else
        "$cuobjdump" -sass "$program" >{SASS}
    fi
    mv {SASS} "$out"
fi
cd "$here"
"""
JOIN_ASSEMBLY = f"""\
cat "$parts"/[0-9]*.s >"$parts/all" 2>/dev/null
if [ -s "$parts/all" ]; then mv "$parts/all" "$out/{ASSEMBLY}"
else echo "asm: the compiler showed no assembly, so there is no {ASSEMBLY}."; fi
"""


def shown(
    argv: list[str],
    shows_cuda: bool,
    listed: list[list[str]],
    tools: Toolchain,
    places: Places,
    seconds: int,
) -> list[str]:
    """The command line of a compiler, and of what then shows its program: PTX and SASS if it
    `shows_cuda`, and the assembly that each command of `listed` makes. None of that makes a
    compile fail.

    `listed`: command lines that end before the name of what they make. `seconds`: what all of it
    may take.
    """
    script = BEGIN + (SHOW_CUDA if shows_cuda else "")
    for number, command in enumerate(listed):
        # Their complaints are those of the compile itself.
        script += f'{" ".join(map(shlex.quote, command))} "$parts/{number:03}.s" >/dev/null 2>&1\n'
    script += JOIN_ASSEMBLY if listed else ""
    given = [str(int(seconds)), script, places.program, places.asm, tools.cuobjdump, tools.nvdisasm]
    return ["/bin/sh", "-c", COMPILE_AND_SHOW, "sh", *given, *argv]


def only_ours(found: Iterable[Found]) -> list[Found]:
    """Of what is in the archive, the files that are asked for: a source may have made others."""
    names = {name.encode() for name in LISTINGS}
    return [entry for entry in found if entry.name in names]


def append(found: Iterable[Found], of: Path, archive: Path) -> list[Found]:
    """The same entries in another archive, to whose end the first one's bytes are written.

    Raises OSError.
    """
    with of.open("rb") as source, archive.open("ab") as target:
        begin = target.seek(0, 2)
        shutil.copyfileobj(source, target)
    return [entry._replace(offset=begin + entry.offset) for entry in found]


# --- handouts/executor/pipeline/building.py -----------------------------------------------
#
# How a job becomes a program: which compiler, and what it is told.


C, CXX = (".c",), (".cpp", ".cc", ".cxx")
OPTIMIZED = "-O3"
NAMES_OPTIMIZATION = re.compile(r"-O\d?|--?optimize(=.*)?")  # nvcc warns where there are two
LINKS = re.compile(r"-l|--?library|.*[=,]-l")  # flags that name a library


class CannotBuild(Exception):
    """This host cannot make a program of the job; its message is for the student."""


class Build(NamedTuple):
    """A compile, without the places that differ from one to the next."""

    compiler: list[str]  # and its options
    is_nvcc: bool
    sources: list[str]  # as arguments
    flags: list[str]
    needs_driver: bool  # whether it is linked with the driver's library
    shows_cuda: bool = False  # whether PTX and SASS of the program are wanted
    listed: Sequence[Sequence[str]] = ()  # the arguments of each source whose assembly is wanted

    @property
    def shows(self) -> bool:
        """Whether anything is to be shown of the program."""
        return self.shows_cuda or bool(self.listed)

    def command(self, places: Places, libraries: Libraries) -> list[str]:
        """The compiler's command line."""
        options = [*self._options(places, libraries), "-o", places.program]
        if places.linked and takes_line_buffering([*self.compiler[1:], *self.flags]):
            options.append(places.linked)
        return [*options, *self.sources, *self.flags]

    def whole_command(
        self, places: Places, libraries: Libraries, tools: Toolchain, seconds: int
    ) -> list[str]:
        """The same, and what shows the program afterwards, if the job wants that.

        `seconds`: what all of it may take.
        """
        argv = self.command(places, libraries)
        if not self.shows:
            return argv
        options = self._options(places, libraries)
        to_text = ["-c", "-Xcompiler=-S", "-o"] if self.is_nvcc else ["-S", "-o"]
        listed = [[*options, *one, *self.flags, *to_text] for one in self.listed]
        return shown(argv, self.shows_cuda, listed, tools, places, seconds)

    def _options(self, places: Places, libraries: Libraries) -> list[str]:
        """The compiler, and what it is told before the files."""
        is_linked = any(map(LINKS.match, self.flags))
        folders = [*libraries.link, *([places.libraries] if places.libraries else [])]
        options = [f"-L{folder}" for folder in folders] if is_linked else []
        if self.needs_driver and places.libraries and not libraries.has_driver:
            pass_on = "-Xlinker=" if self.is_nvcc else "-Wl,"
            options.append(f"{pass_on}-rpath={places.libraries}")
        if libraries.include and not self.is_nvcc and names_any_of(self.flags, libraries.names):
            options += ["-isystem", libraries.include]  # nvcc knows its own
        return [*self.compiler, *options]


def plan(attempt: Attempt, tools: Toolchain, architectures: list[str]) -> Build:
    """What compiles the job. Raises CannotBuild."""
    refused = why_refused(attempt.flags)
    if refused:
        raise CannotBuild(refused)
    names = [attempt.main, *attempt.sources]
    has_cuda = any(not name.endswith((*C, *CXX)) for name in names)
    if not has_cuda and (attempt.platform == CPU or not tools.nvcc):
        return plan_for_host(attempt, tools, names)
    if not tools.nvcc:
        raise CannotBuild("This host has no nvcc, so it compiles no CUDA programs.")
    return plan_for_nvcc(attempt, tools, names, architectures)


def plan_for_nvcc(
    attempt: Attempt, tools: Toolchain, names: list[str], architectures: list[str]
) -> Build:
    """CUDA, or C++ for a platform with a GPU."""
    own = [] if job_names_architecture(attempt.flags) else architectures
    wished = tools.host_compiler
    flags = for_nvcc(with_plain_architectures(attempt.flags, architectures))
    others = [*wished.flags(), *flags, *wished.after]
    is_named = any(NAMES_OPTIMIZATION.fullmatch(flag) for flag in others)
    compiler = [
        tools.nvcc,
        *([] if is_named else [OPTIMIZED]),
        *wished.flags(),
        *architecture_flags(own, with_ptx=attempt.asm),
    ]
    of_host = [name for name in names if name.endswith((*C, *CXX))]
    return Build(
        compiler,
        is_nvcc=True,
        sources=[told_to_nvcc(name) for name in names],
        flags=[*flags, *wished.after],
        needs_driver=needs_driver(flags),
        shows_cuda=attempt.asm and len(of_host) < len(names),
        listed=[[told_to_nvcc(name)] for name in of_host] if attempt.asm else [],
    )


def told_to_nvcc(name: str) -> str:
    """A file's, as an argument. nvcc calls its parts by way of a shell, with names in double
    quotes. Raises CannotBuild."""
    if '"' in name:
        raise CannotBuild(f"nvcc takes no file with a quotation mark in its name: {name}")
    return "./" + re.sub(r"[$`]", r"\\\g<0>", name)


def plan_for_host(attempt: Attempt, tools: Toolchain, names: list[str]) -> Build:
    """C and C++ for the CPU. What is linked of both is C++, and its parts in C stay C."""
    is_c = all(name.endswith(C) for name in names)
    compiler = tools.cc if is_c else tools.cxx
    if not compiler:
        raise CannotBuild(f"This host has no compiler for {'C' if is_c else 'C++'} programs.")
    sources = [
        ["-x", "c", "./" + name, "-x", "none"] if name.endswith(C) and not is_c else ["./" + name]
        for name in names
    ]
    return Build(
        [compiler, OPTIMIZED],
        is_nvcc=False,
        sources=[word for source in sources for word in source],
        flags=attempt.flags,
        needs_driver=needs_driver(attempt.flags),
        listed=sources if attempt.asm else [],
    )


# --- handouts/executor/pipeline/endings.py ------------------------------------------------
#
# What the end of a command means for its job.


GIVEN_BACK = {
    "lost": "the process that ran it was killed",
    "killed": "it was stopped",
    "short": "the host was short of memory",
}


def has_finished(attempt: Attempt, ended: Ended) -> bool:
    """Whether the command ended by itself or by a limit; if not, the job is given back."""
    if ended.why in GIVEN_BACK:
        attempt.stop(GIVEN_BACK[ended.why], counts=ended.why != "short")
    return ended.why not in GIVEN_BACK


def has_hit_limit(attempt: Attempt, ended: Ended, step: str) -> bool:
    """Whether a limit ended it; the report then says which. `step`: "compile" or "execute"."""
    limits = attempt.limits
    timeout = "compile_timeout" if step == "compile" else "runtime_timeout"
    hit = {
        "time": (timeout, f"{limits[step + '_seconds']} s"),
        "output": ("output_exceeded", in_mib(limits["output_bytes"])),
        "memory": ("memory_exceeded", in_mib(limits["memory_bytes"])),
    }.get(ended.why)
    if hit:
        attempt.report.update(outcome=hit[0], limit=hit[1])
    return hit is not None


class HostFaults:
    """What this host could not do is given back to the queue, and not held against the job."""

    def __init__(self, host: Host, shutdown: Shutdown) -> None:
        self._host = host
        self._shutdown = shutdown

    def guard(
        self, attempt: Attempt, slot: Slot, gate: Gate | None, step: Callable[[], bool]
    ) -> bool:
        """What the step returns; False if it failed because of this host."""
        try:
            return step()
        except SandboxBroken as error:
            attempt.stop(f"the host's sandbox failed: {error}")
            self._examine(slot, gate)
        except OSError as error:
            attempt.stop(f"the host could not run it: {error.strerror or error}")
        return False

    def _examine(self, slot: Slot, gate: Gate | None) -> None:
        """Was it this job alone, or its GPU? If not, the host is unfit."""
        try:
            self._host.try_sandbox(slot, None)
        except BadSetup as broken:
            self._shutdown.unfit(str(broken))
            return
        if gate is not None:
            gate.doubtful = True

    def lacks_room(self, attempt: Attempt) -> bool:
        """Whether the disk is full, where commands write if there is no sandbox: that they failed
        is then not the student's mistake."""
        if self._host.is_full():
            attempt.stop("the host's disk was full")
        return bool(attempt.stop_reason)


# --- handouts/executor/pipeline/delivery.py -----------------------------------------------
#
# Sending what has to arrive, as often as it takes.


FINAL_FROM_OTHERS = (400, 403, 405, 411, 413, 414, 415, 431)  # that the same request gets again
TRIES_WITH_OTHERS = 3  # a proxy may just be set up


def not_ours(status: int, body: Any) -> Answer:
    """What stands for an answer that somebody between here and the queue gave, for good."""
    size = len(body) if isinstance(body, bytes) else len(json.dumps(body))
    detail = f"something between here and the queue, such as a proxy, answers {status}"
    if status == 413:
        detail += f": let it pass bodies of {size} bytes (nginx: client_max_body_size)"
    return Answer(status, {}, {"detail": detail + "."}, is_from_others=True)


class Delivery:
    """Requests about one attempt; all of them are idempotent."""

    def __init__(self, shutdown: Shutdown) -> None:
        self._shutdown = shutdown

    def deliver(
        self,
        connection: HeldConnection,
        method: str,
        attempt_id: int,
        what: str,
        body: Any,
        headers: dict[str, str] | None = None,
        patience: float = float("inf"),
    ) -> Answer | None:
        """The queue's final answer, after which this need not be sent again; None if there is none
        within `patience` seconds, or the executor stops."""
        deadline = time.monotonic() + patience
        path = f"/attempts/{attempt_id}/{what}"
        refused = 0  # so often in a row by somebody else, such as a proxy
        for delay in delays():
            pause = delay
            try:
                answer = connection.request(method, path, body, headers)
                if not is_retryable(answer):
                    return self._final(answer, attempt_id, what)
                TROUBLE_LOG.retrying(answer.detail)
                pause, refused = max(delay, answer.retry_after), 0
            except (Unreachable, Untrusted) as error:
                TROUBLE_LOG.retrying(error)
                status = getattr(error, "status", 0)
                refused = refused + 1 if status in FINAL_FROM_OTHERS else 0
                if refused >= TRIES_WITH_OTHERS:
                    return self._final(not_ours(status, body), attempt_id, what)
            is_late = time.monotonic() + pause > deadline
            if is_late or self.is_over or self._shutdown.hurry.wait(pause):
                return None
        raise AssertionError("delays() never ends")

    @property
    def is_over(self) -> bool:
        """Whether nothing more is sent: what is left is kept for the next start."""
        return self._shutdown.is_refused or self._shutdown.hurry.is_set()

    def _final(self, answer: Answer, attempt_id: int, what: str) -> Answer | None:
        if answer.refuses_token:
            self._shutdown.refused(answer)
            return None
        if answer.status >= 400:
            say(f"Attempt {attempt_id}: the queue does not take its {what}: {answer.detail}")
        return answer


# --- handouts/executor/pipeline/outbox.py -------------------------------------------------
#
# Results on their way to the queue.


class Outbox:
    """The files of results that are to be sent, for several senders."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = deque(paths)
        self._is_closed = False
        self._changed = threading.Condition()

    def put(self, path: Path) -> None:
        """At the end of the line; also one that could not be sent just now."""
        with self._changed:
            self._paths.append(path)
            self._changed.notify()

    def take(self) -> Path | None:
        """The next one; waits for it. None when it is closed and nothing is left."""
        with self._changed:
            while not self._paths:
                if self._is_closed:
                    return None
                self._changed.wait()
            return self._paths.popleft()

    def close(self) -> None:
        """Nothing new will come."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()


# --- handouts/executor/results/spool.py ---------------------------------------------------
#
# The spool: results that are on disk until the queue has them.


class Spool:
    """A folder with a file for each result, written before it is sent, and its archive."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for archive in folder.glob("*.out"):  # of a run that was killed before its result was there
            if not archive.with_suffix(".json").exists():
                archive.unlink()

    def archive(self, attempt_id: int) -> Path:
        """The file that holds the output files of an attempt, one after another."""
        return self._folder / f"{attempt_id}.out"

    def put(self, attempt_id: int, report: dict[str, Any], files: list[dict[str, Any]]) -> Path:
        """Makes a result durable, with the `files` in its archive. Raises OSError: a full disk."""
        path = self._folder / f"{attempt_id}.json"
        draft = path.with_suffix(".part")
        content = {"attempt": attempt_id, "report": report, "files": files}
        try:
            self._keep_archive(attempt_id, bool(files))
            with draft.open("wb") as file:
                file.write(json.dumps(content).encode())
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError:
            if draft.exists():
                draft.unlink()
            raise
        self._sync_folder()
        return path

    def _keep_archive(self, attempt_id: int, is_needed: bool) -> None:
        if not is_needed:
            self.archive(attempt_id).unlink(missing_ok=True)
            return
        with self.archive(attempt_id).open("rb") as archive:
            os.fsync(archive.fileno())

    def _sync_folder(self) -> None:
        folder = os.open(str(self._folder), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def left_over(self) -> list[Path]:
        """The results that an earlier run of this executor could not send."""
        return sorted(self._folder.glob("*.json"))

    def read(self, path: Path) -> dict[str, Any] | None:
        """The result in a file; None if it is incomplete (and was never reported as done)."""
        try:
            content = json.loads(path.read_bytes().decode())
            return content if {"attempt", "report"} <= set(content) else None
        except (OSError, ValueError, TypeError):
            return None

    def file(self, attempt_id: int, file: dict[str, Any]) -> bytes:
        """The bytes of one of a result's files. Raises OSError."""
        with self.archive(attempt_id).open("rb") as archive:
            archive.seek(file["offset"])
            return archive.read(file["size"])

    def drop(self, attempt_id: int) -> None:
        """Forgets a result and its files, in an order that leaves no result without them."""
        archive = self.archive(attempt_id)
        archive.with_suffix(".json").unlink(missing_ok=True)
        archive.unlink(missing_ok=True)


# --- handouts/executor/pipeline/sending.py ------------------------------------------------
#
# Sending one result and its files.


TURN_SECONDS = 30  # after which a result that does not get through stands behind the others
LOG_BYTES = (256 << 10, 32 << 10)  # of each log of a result that is too large on its way


def with_short_logs(report: dict[str, Any], maximum: int) -> dict[str, Any]:
    """The same result, of each log no more than so many bytes: its head and its tail."""
    short = dict(report)
    for name in ("compile_log", "execute_log"):
        if name in report:
            log = BoundedLog(maximum)
            log.add(report[name].encode("utf-8", "surrogateescape"))
            short[name] = in_text(log.content())
    return short


def shorter_and_shorter(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The report, and with less and less of its logs, for those who do not let it pass."""
    return [report, *(with_short_logs(report, size) for size in LOG_BYTES)]


class ResultSender:
    """Sends what is in the spool, for several threads at once."""

    def __init__(self, spool: Spool, delivery: Delivery) -> None:
        self._spool = spool
        self._delivery = delivery

    def send(self, connection: HeldConnection, content: dict[str, Any]) -> bool:
        """Sends a result and its files; whether that is over, at least for this executor's time."""
        is_sent = self._send_files(connection, content) and self._send_result(connection, content)
        if is_sent:
            self._spool.drop(content["attempt"])
        return is_sent or self._delivery.is_over

    def _send_result(self, connection: HeldConnection, content: dict[str, Any]) -> bool:
        """Sends a result, with shorter logs if it is too large on its way; if it cannot be sent at
        all, the job goes back. False if it must be done later."""
        attempt_id, report = content["attempt"], content["report"]
        for body in shorter_and_shorter(report):
            answer = self._delivery.deliver(
                connection, "PUT", attempt_id, "result", body, patience=TURN_SECONDS
            )
            if answer is None or answer.status != 413:
                break
        if answer is None or not answer.is_from_others:
            return answer is not None
        reason = f"its result cannot be sent: {answer.detail}"[:500]
        back = {"lease_token": report["lease_token"], "reason": reason}
        released = self._delivery.deliver(
            connection, "POST", attempt_id, "release", back, patience=TURN_SECONDS
        )
        return released is not None

    def _send_files(self, connection: HeldConnection, content: dict[str, Any]) -> bool:
        """Sends a result's files, even if that was done before; False if it must be done later."""
        attempt_id = content["attempt"]
        headers = {
            "Telerun-Lease": content["report"]["lease_token"],
            "Content-Type": "application/octet-stream",
        }
        for file in content.get("files", []):
            try:
                data = self._spool.file(attempt_id, file)
            except OSError as error:
                say(f"Attempt {attempt_id}: a file of its result cannot be read: {error.strerror}.")
                continue  # the queue says to its owner that it is missing
            what = "files/" + urllib.parse.quote(file["name"], safe="")
            answer = self._delivery.deliver(
                connection, "PUT", attempt_id, what, data, headers, TURN_SECONDS
            )
            if answer is None:
                return False
            if answer.status == 409:
                break  # the result will get the same answer
        return True


# --- handouts/executor/pipeline/reporting.py ----------------------------------------------
#
# Reporting: results, and jobs that are given back.


SENDERS = 4  # at once, however many GPUs there are


class Reporter:
    """Where attempts end. A result is on disk before it is sent."""

    def __init__(self, host: Host, spool: Spool, in_hand: JobsInHand, delivery: Delivery) -> None:
        self._auth = host.auth
        self._spool = spool
        self._in_hand = in_hand
        self._delivery = delivery
        self._sender = ResultSender(spool, delivery)
        self._outbox = Outbox(spool.left_over())
        self._releases: list[threading.Thread] = []

    def done(self, attempt: Attempt) -> None:
        """The attempt is over here: its result goes to the spool, or the job back to the queue."""
        attempt.close_live()
        shutil.rmtree(str(attempt.folder), ignore_errors=True)
        if not attempt.stop_reason and self._keep(attempt):
            return  # heartbeats go on until the result is sent
        self._spool.drop(attempt.id)
        say(f"Job {attempt.job_id}: given up: {attempt.stop_reason}.")
        if not attempt.lost:
            self._releases.append(start(self._release, "release", attempt))
        else:
            self._in_hand.forget(attempt.id)

    def _keep(self, attempt: Attempt) -> bool:
        report = {"lease_token": attempt.lease_token, **attempt.report}
        try:
            path = self._spool.put(attempt.id, report, attempt.files)
        except OSError as error:
            attempt.stop(f"the host could not keep its result: {error.strerror}")
            return False
        say(f"Job {attempt.job_id}: {attempt.report['outcome']}.")
        self._outbox.put(path)
        return True

    def _release(self, attempt: Attempt) -> None:
        body: dict[str, Any] = {"lease_token": attempt.lease_token}
        body["reason"] = attempt.stop_reason[:500]
        if not attempt.counts:
            body["counts"] = False
        with_logs = {**body, **attempt.logs()} if attempt.may_send_logs else body
        connection = HeldConnection(self._auth)
        for version in [*shorter_and_shorter(with_logs), body]:
            # After the lease has expired the queue takes the job back by itself.
            answer = self._delivery.deliver(
                connection, "POST", attempt.id, "release", version, patience=attempt.lease_seconds
            )
            if answer is None or answer.status != 413:
                break
        connection.close()
        self._in_hand.forget(attempt.id)

    def start_senders(self) -> list[threading.Thread]:
        """Threads that send what is in the spool until `end`, however long the queue is away.

        Several, so that a result with many files, or one that does not get through, keeps no other
        waiting.
        """
        return [start(self._send_results, f"results-{number}") for number in range(SENDERS)]

    def _send_results(self) -> None:
        connection = HeldConnection(self._auth)
        for path in iter(self._outbox.take, None):
            content = self._spool.read(path)
            if content is None:
                say(f"{path} is not a whole result and is left out.")
                path.replace(path.with_suffix(".bad"))
            elif self._sender.send(connection, content):
                self._in_hand.forget(content["attempt"])
            else:  # others have their turn
                self._outbox.put(path)
        connection.close()

    def end(self, senders: list[threading.Thread]) -> None:
        """Returns when all is sent. `senders`: the threads of `start_senders`."""
        self._outbox.close()
        join(senders)
        join(self._releases)


# --- handouts/executor/pipeline/handover.py -----------------------------------------------
#
# Between the two halves of the pipeline: compiled jobs on their way to a worker.


IDLE_SECONDS = 15  # how often an idle GPU is looked at


class Handover:
    """The jobs that wait for a worker; those that no GPU can run go back to the queue."""

    def __init__(self, room: Room, reporter: Reporter, heartbeat: Heartbeat) -> None:
        self._room = room
        self._reporter = reporter
        self._heartbeat = heartbeat
        self._compiled: list[Attempt] = []
        self._said: set[str] = set()  # the platforms that no GPU here serves now
        self.finishing = threading.Event()  # nothing more will be compiled

    def put(self, attempt: Attempt) -> None:
        """To the execution workers, if one can run it at all."""
        with self._room.changed:
            self._compiled.append(attempt)
            self._room.changed.notify_all()
        self._give_back()

    def give_up(self, attempt: Attempt) -> None:
        """It was not compiled: there is room for another."""
        self._room.remove(attempt)

    def take(self, worker: Worker) -> Attempt | None:
        """The first job that the worker can run; None when there are no more. Raises queue.Empty
        after IDLE_SECONDS, where there is a GPU to look at."""
        ends_at = time.monotonic() + IDLE_SECONDS
        with self._room.changed:
            while True:
                attempt = self._first_for(worker)
                if attempt is not None or self.finishing.is_set():
                    self._hand_to(worker, attempt)
                    return attempt
                if not worker.idle:
                    worker.idle = True
                    self._room.update()
                left = None if worker.gate is None else ends_at - time.monotonic()
                if left is not None and left <= 0:
                    raise queue.Empty
                self._room.changed.wait(left)

    def _first_for(self, worker: Worker) -> Attempt | None:
        mine = (one for one in self._compiled if one.platform in worker.platforms)
        return next(mine, None)

    def _hand_to(self, worker: Worker, attempt: Attempt | None) -> None:
        worker.idle = False
        if attempt is not None:
            self._compiled.remove(attempt)
            attempt.taken.set()
            self._room.remove(attempt)

    def finish(self) -> None:
        """No more jobs will be put."""
        with self._room.changed:
            self.finishing.set()
            self._room.changed.notify_all()

    def gpus_changed(self) -> None:
        """A GPU passed or was quarantined."""
        with self._room.changed:
            serving = self._serving()
            working = {name for name, workers in serving.items() if any(w.works for w in workers)}
            broken = {name for name, workers in serving.items() if all_broken(workers)}
            self._say(broken - self._said, working)
            self._said = broken | (self._said - working)
            self._room.update()
        self._give_back()
        self._heartbeat.report_gpus()

    def _serving(self) -> dict[str, list[Worker]]:
        """The workers of each platform."""
        names = {name for worker in self._room.workers for name in worker.platforms}
        return {name: [w for w in self._room.workers if name in w.platforms] for name in names}

    def _say(self, broken: set[str], working: set[str]) -> None:
        if CUDA in broken:
            others = ", ".join(sorted(working))
            until = f"jobs for {others} alone" if others else "no jobs"
            say(f"No GPU of this host works: claiming {until} until one does.")
        elif broken:
            names = " and no ".join(sorted(broken))
            say(f"No {names} of this host works: claiming no jobs for it until one does.")

    def give_back_stopped(self) -> None:
        """What was stopped while it waits for a worker."""
        with self._room.changed:
            back = [one for one in self._compiled if one.stop_reason]
            self._compiled = [one for one in self._compiled if one not in back]
        self._done(back)

    def _done(self, attempts: list[Attempt]) -> None:
        for attempt in attempts:
            self._room.remove(attempt)
            self._reporter.done(attempt)

    def _give_back(self) -> None:
        """What no worker can run, now that their GPUs are broken."""
        serving = self._serving()
        with self._room.changed:
            back = [one for one in self._compiled if all_broken(serving.get(one.platform, []))]
            self._compiled = [one for one in self._compiled if one not in back]
            no_gpu = all_broken(serving.get(CUDA, []))
        for attempt in back:
            what = "GPU" if no_gpu or attempt.platform == CUDA else attempt.platform
            attempt.stop(f"no {what} of this host works", counts=False)
        self._done(back)


def all_broken(workers: list[Worker]) -> bool:
    """Whether none of them can run anything, nor may soon."""
    return all(worker.is_broken for worker in workers)


# --- handouts/executor/results/compile_cache.py -------------------------------------------
#
# Programs that were compiled here before.


CACHED_BYTES = 16 << 20  # a larger program is compiled each time


class CompileCache:
    """Small programs, by a key that stands for all that they were made from.

    An entry is made from all of a job's files by one toolchain, and only a compiler that succeeded
    makes one. Jobs get copies, so a program can change its own file and no other's.
    """

    def __init__(self, folder: Path, maximum: int) -> None:
        """Keeps `maximum` programs, which may be 0; drops the least recently used."""
        self._folder = folder
        self._maximum = maximum
        folder.mkdir(parents=True, exist_ok=True)
        for draft in folder.glob("*.part"):  # of a run that was killed
            shutil.rmtree(str(draft), ignore_errors=True)

    def get(self, key: str, files: list[Path]) -> tuple[dict[str, Any], list[Found]] | None:
        """The report of the compile and what shows its program, and its files where `files` says;
        None if unknown."""
        entry = self._folder / key
        if not self._maximum:
            return None
        try:
            content = json.loads((entry / "report.json").read_bytes().decode())
            found = [
                Found(kind, size, name.encode(), at) for kind, size, name, at in content["asm"]
            ]
            for file in files[: 2 if found else 1]:
                shutil.copy(str(entry / file.name), str(file))
            os.utime(str(entry))
        except (OSError, ValueError, KeyError):  # another worker may just have dropped it
            return None
        return content["report"], found

    def put(
        self, key: str, files: list[Path], report: dict[str, Any], asm: Sequence[Found] = ()
    ) -> None:
        """Keeps a program, the first of the files, and the archive of what shows it, the second.

        A disk that is full costs no more than the next compile.
        """
        kept = files[: 2 if asm else 1]
        if not self._maximum or sum(file.stat().st_size for file in kept) > CACHED_BYTES:
            return
        draft = self._folder / (uuid.uuid4().hex + ".part")
        entries = [[one.kind, one.size, one.name.decode(), one.offset] for one in asm]
        try:
            draft.mkdir()
            for file in kept:
                shutil.copy(str(file), str(draft / file.name))
            content = {"report": report, "asm": entries}
            (draft / "report.json").write_bytes(json.dumps(content).encode())
            draft.rename(self._folder / key)
        except OSError:  # full, or another worker was first
            shutil.rmtree(str(draft), ignore_errors=True)
        self._drop_oldest()

    def _drop_oldest(self) -> None:
        entries = [entry for entry in self._folder.iterdir() if not entry.name.endswith(".part")]
        for entry in sorted(entries, key=when_changed, reverse=True)[self._maximum :]:
            shutil.rmtree(str(entry), ignore_errors=True)


def when_changed(path: Path) -> float:
    """Its modification time; 0 if it is gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


# --- handouts/executor/pipeline/compiling.py ----------------------------------------------
#
# Compiling: the first half of the pipeline.


class Compiler:
    """Compiles one job at a time in each slot that it is given."""

    def __init__(self, host: Host, faults: HostFaults) -> None:
        self._host = host
        self._faults = faults
        tools = host.toolchain
        compilers = (tools.cxx, tools.cc, tools.host_compiler.path)
        self._compilers = [compiler_version(compiler) for compiler in compilers]
        # A header in a folder of --sandbox-bind may change, and the key would not.
        programs = 0 if host.options.sandbox_bind else host.options.compile_cache
        self._cache = CompileCache(host.scratch / "compiled", programs)

    def compile(self, attempt: Attempt, slot: Slot) -> bool:
        """Whether there is a program to run now; if not, the attempt holds the report."""
        if attempt.stop_reason:
            return False
        if attempt.problem:  # any other host would say the same
            return not_built(attempt, f"This host does not compile it: {attempt.problem}.")
        for name in ("src", "run/out", "tmp", "asm/out"):
            (attempt.folder / name).mkdir(parents=True)
        host = self._host
        try:
            if attempt.is_python:
                return self._take_script(attempt)
            build = plan(attempt, host.toolchain, host.architectures(attempt.platform))
        except CannotBuild as problem:
            return not_built(attempt, str(problem))
        key = self._key(attempt, build)
        if self._get_cached(key, attempt):
            return not attempt.stop_reason
        return self._run(attempt, slot, build, key)

    def _take_script(self, attempt: Attempt) -> bool:
        """A script is run as it is. Raises CannotBuild."""
        interpreter = self._host.toolchain.interpreter
        if interpreter is None:
            raise CannotBuild("This host runs no Python: its executor was given no --python.")
        if attempt.flags:
            raise CannotBuild("A Python job is not compiled, and takes no compiler flags.")
        log = "asm: Python is not compiled, so there is nothing to show.\n" if attempt.asm else ""
        attempt.compiled(log, compile_seconds=0.0, python=interpreter.version)
        return True

    def _run(self, attempt: Attempt, slot: Slot, build: Build, key: str) -> bool:
        host = self._host
        places = host.sandbox.places(attempt.folder)
        limits = {**attempt.limits, "output_files": len(LISTINGS)}  # they are not the program's own
        seconds = limits["compile_seconds"]
        argv = build.whole_command(places, host.libraries, host.toolchain, seconds)
        archive = attempt.asm_archive if build.shows else None
        command = host.sandbox.compiler(attempt.folder, attempt.job_files, argv, limits, archive)
        ended = attempt.run(slot, command, seconds)
        attempt.compiled(
            in_text(ended.log),
            compile_seconds=round(ended.seconds, 4),
            compile_memory_bytes=ended.memory_bytes,
            **self._about(build, attempt.platform),
        )
        if not has_finished(attempt, ended):
            return False
        if has_hit_limit(attempt, ended, "compile"):
            return False
        program = attempt.folder / "program"
        if ended.exit_code == 0 and program.is_file() and program.stat().st_size:
            if archive is not None:
                found = host.sandbox.asm(attempt.folder, archive, limits)
                attempt.asm_files = only_ours(found)
            self._cache.put(key, self._of(attempt), attempt.report, attempt.asm_files)
            return True
        if not self._faults.lacks_room(attempt):
            attempt.report.update(
                outcome="compile_error", exit_code=ended.exit_code, signal=ended.signal
            )
        return False

    def _about(self, build: Build, platform: str) -> dict[str, Any]:
        """What compiled it, for whom it concerns."""
        host = self._host
        words = [Path(build.compiler[0]).name, *build.compiler[1:], *build.sources, *build.flags]
        members: dict[str, Any] = {"command": " ".join(map(shlex.quote, words))}
        if build.is_nvcc:
            arch = ", ".join(host.architectures(platform)) or None
            members.update(nvcc=host.nvcc_version, arch=arch)
        return members

    def _of(self, attempt: Attempt) -> list[Path]:
        """The files that a compile leaves, as the cache keeps them."""
        return [attempt.folder / "program", attempt.asm_archive]

    def _get_cached(self, key: str, attempt: Attempt) -> bool:
        began = time.monotonic()
        cached = self._cache.get(key, self._of(attempt))
        if cached is None:
            return False
        report, attempt.asm_files = cached
        seconds = round(time.monotonic() - began, 4)
        known = {**report, "compile_seconds": seconds, "compiled_before": True}
        attempt.compiled(known.pop("compile_log"), **known)
        return True

    def _key(self, attempt: Attempt, build: Build) -> str:
        """All that a compile depends on: the files and their names, the toolchain, what it is
        told."""
        host, tools = self._host, self._host.toolchain
        programs = [host.nvcc, tools.cxx, tools.cc, tools.cuobjdump, tools.nvdisasm]
        programs.append(tools.host_compiler.path)
        changed = [when_changed(Path(program)) for program in programs if program]
        toolchain = [programs, changed, host.nvcc_version, self._compilers, host.sandbox.about()]
        made_from = [attempt.job_files, build, host.libraries, LINE_BUFFERING_C, toolchain]
        return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()


def not_built(attempt: Attempt, why: str) -> bool:
    """There is no program to run, for a reason that is the student's to know."""
    attempt.report = {"compile_log": why + "\n", "outcome": "compile_error"}
    return False


class CompileWorker:
    """A thread that claims, compiles and hands over, again and again."""

    def __init__(
        self,
        host: Host,
        claimer: Claimer,
        compiler: Compiler,
        faults: HostFaults,
        handover: Handover,
        reporter: Reporter,
        heartbeat: Heartbeat,
        shutdown: Shutdown,
    ) -> None:
        self._host = host
        self._claimer = claimer
        self._compiler = compiler
        self._faults = faults
        self._handover = handover
        self._reporter = reporter
        self._heartbeat = heartbeat
        self._shutdown = shutdown

    def run(self, slot: Slot) -> None:
        """Until the executor stops."""
        connection = HeldConnection(self._host.auth)
        while not self._shutdown.draining.is_set():
            attempt = self._claimer.claim(connection)
            if attempt is not None:
                self._process(attempt, slot)
        connection.close()
        slot.close()

    def _process(self, attempt: Attempt, slot: Slot) -> None:
        step = partial(self._compiler.compile, attempt, slot)
        if self._faults.guard(attempt, slot, None, step):
            attempt.phase = "waiting"
            self._heartbeat.notify()
            self._handover.put(attempt)
        else:
            self._handover.give_up(attempt)
            self._reporter.done(attempt)


# --- handouts/executor/pipeline/executing.py ----------------------------------------------
#
# Executing: the second half of the pipeline.


class Runner:
    """Runs one program and fills in the report."""

    def __init__(self, host: Host, spool: Spool, faults: HostFaults) -> None:
        self._host = host
        self._spool = spool
        self._faults = faults

    def execute(self, attempt: Attempt, slot: Slot, gate: Gate | None) -> bool:
        """Whether the attempt has a result; if not, it was stopped."""
        host = self._host
        archive = self._spool.archive(attempt.id)
        command = self._command(attempt, gate.gpu if gate else None, archive)
        ended = attempt.run(slot, command, attempt.limits["execute_seconds"])
        attempt.report["execute_log"] = in_text(ended.log)
        if gate is not None and not has_survived(attempt, ended, gate):
            return False
        if not has_finished(attempt, ended):
            return False
        if ended.exit_code != 0 and self._faults.lacks_room(attempt):
            return False
        attempt.report.update(
            execute_seconds=round(ended.seconds, 4),
            execute_cpu_seconds=ended.cpu_seconds,
            execute_memory_bytes=ended.memory_bytes,
            exit_code=ended.exit_code,
            signal=ended.signal,
            gpu=gate.stamp() if gate else None,
        )
        if ended.signal == signal.SIGXFSZ and "disk_bytes" in attempt.limits:
            attempt.report["limit"] = in_mib(attempt.limits["disk_bytes"]) + " of files"
        found: list[Found] = []
        if not has_hit_limit(attempt, ended, "execute"):
            attempt.report["outcome"] = "succeeded" if ended.exit_code == 0 else "runtime_error"
            given = attempt.beside
            found = host.sandbox.outputs(attempt.folder, archive, attempt.limits, given)
        if attempt.asm_files:
            found = [*append(attempt.asm_files, attempt.asm_archive, archive), *found]
        outputs = Outputs(found, attempt.limits, len(attempt.asm_files))
        # A queue that counts the listings too then keeps those of the program's own.
        attempt.files = sorted(outputs.files, key=lambda file: file["name"] in LISTINGS)
        attempt.report.update(outputs.report())
        return True

    def _command(self, attempt: Attempt, gpu: Gpu | None, archive: Path) -> Command:
        """What runs the program, or the script."""
        host, sandbox, folder = self._host, self._host.sandbox, attempt.folder
        interpreter = host.toolchain.interpreter
        if attempt.is_python and interpreter is not None:
            main = f"{sandbox.places(folder).script}/{attempt.main}"
            argv = [interpreter.path, "-u", main, *attempt.args]  # -u: a crash loses no line
            return sandbox.script(
                folder, attempt.job_files, argv, gpu, archive, attempt.limits, attempt.beside
            )
        return sandbox.program(
            folder, attempt.args, host.nvcc, gpu, archive, attempt.limits, attempt.beside
        )


def has_survived(attempt: Attempt, ended: Ended, gate: Gate) -> bool:
    """Whether the GPU is well after the program; if not, the result does not count."""
    if ended.why == "killed":  # it has no result; before the next job its GPU is looked at
        gate.was_killed(ended)
        return True
    broken = gate.look_after(ended)
    if broken:
        attempt.stop(f"GPU {gate.gpu.index} failed: {broken}")
    return not broken


class ExecutionWorker:
    """A thread that owns one GPU, or none, and runs one program at a time on it."""

    def __init__(
        self,
        runner: Runner,
        probe: Probe,
        faults: HostFaults,
        handover: Handover,
        reporter: Reporter,
        heartbeat: Heartbeat,
    ) -> None:
        self._runner = runner
        self._probe = probe
        self._faults = faults
        self._handover = handover
        self._reporter = reporter
        self._heartbeat = heartbeat

    def run(self, slot: Slot, worker: Worker) -> None:
        """Until nothing more is compiled."""
        gate, finishing = worker.gate, self._handover.finishing
        while True:
            if gate is not None and not self._passes(slot, gate):
                if finishing.wait(gate.pause()):
                    break
                continue
            try:
                attempt = self._handover.take(worker)
            except queue.Empty:
                if finishing.is_set():
                    break
                continue
            if attempt is None:
                break
            self._process(attempt, slot, gate)
        slot.close()

    def _process(self, attempt: Attempt, slot: Slot, gate: Gate | None) -> None:
        attempt.phase = "executing"
        self._heartbeat.notify()
        step = partial(self._runner.execute, attempt, slot, gate)
        self._faults.guard(attempt, slot, gate, step)
        self._reporter.done(attempt)

    def _passes(self, slot: Slot, gate: Gate) -> bool:
        """Whether the GPU may have the next job. One that may not is quarantined, alone."""
        name = f"GPU {gate.gpu.index} ({gate.gpu.uuid})"
        try:
            gate.check(lambda: self._probe.run(slot, gate))
        except GpuTrouble as trouble:
            if gate.quarantine(str(trouble)):
                say(f"{name} is quarantined: {trouble}. It is tried again by itself.")
                self._handover.gpus_changed()
            return False
        was_quarantined = bool(gate.quarantined)
        if gate.passed():
            if was_quarantined:
                say(f"{name} works again.")
            self._handover.gpus_changed()
        return True


# --- handouts/executor/pipeline/executor.py -----------------------------------------------
#
# The executor: its parts, its threads, and their start and end.


WITHOUT_CGROUPS = (
    "No cgroup is this executor's own. Not protected without one: the host's memory from what is "
    "taken between two looks (20 a second) or by a GPU's driver, other jobs' time from a program "
    "with many threads, and without root the count of a job's processes. Delegate=yes in its "
    "service mends it, or: systemd-run --scope -p Delegate=yes python3 executor.py ..."
)


class Executor:
    """The pipeline: claiming → compiling → handover → executing → reporting, and heartbeats
    meanwhile. Begin reading with the two workers."""

    def __init__(self, options: argparse.Namespace, auth: Auth) -> None:
        """Raises BadSetup."""
        self._host = host = Host(options, auth)
        in_hand, room = JobsInHand(), Room(host.workers, options.nproc_compile)
        spool = Spool(host.scratch / "spool")
        self._shutdown = Shutdown(in_hand, room, options.drain_seconds)
        self._heartbeat = Heartbeat(host, in_hand, self._shutdown, room)
        self._reporter = Reporter(host, spool, in_hand, Delivery(self._shutdown))
        self._handover = Handover(room, self._reporter, self._heartbeat)
        self._shutdown.on_stopped = self._handover.give_back_stopped
        faults = HostFaults(host, self._shutdown)
        self._live = LiveSenders(auth)
        claimer = Claimer(host, in_hand, room, self._shutdown, self._heartbeat, self._live)
        self._compile_worker = CompileWorker(
            host,
            claimer,
            Compiler(host, faults),
            faults,
            self._handover,
            self._reporter,
            self._heartbeat,
            self._shutdown,
        )
        self._probe = Probe(
            host.scratch / "probe",
            host.sandbox,
            host.nvcc,
            host.architectures(CUDA),
            [*host.toolchain.host_compiler.flags(), *host.toolchain.host_compiler.after],
        )
        self._execution_worker = ExecutionWorker(
            Runner(host, spool, faults),
            self._probe,
            faults,
            self._handover,
            self._reporter,
            self._heartbeat,
        )

    def run(self) -> int:
        """Works until it is asked to stop and all in hand is done; the exit status.

        Raises BadSetup.
        """
        signal.signal(signal.SIGTERM, self._shutdown.on_signal)
        signal.signal(signal.SIGINT, self._shutdown.on_signal)
        host = self._host
        compile_slots = [
            host.make_slot(None, compiles=True) for _ in range(host.options.nproc_compile)
        ]
        execution_slots = [
            host.make_slot(worker.gate.gpu if worker.gate else None) for worker in host.workers
        ]
        if host.gates:
            self._probe.compile(compile_slots[0])
        self._say_ready()
        beat = start(self._heartbeat.run, "heartbeat")
        senders = self._reporter.start_senders()
        compilers = [
            start(self._compile_worker.run, f"compile-{number}", slot)
            for number, slot in enumerate(compile_slots)
        ]
        runners = [
            start(self._execution_worker.run, f"execute-{number}", slot, worker)
            for number, (slot, worker) in enumerate(zip(execution_slots, host.workers))
        ]
        join(compilers)
        self._handover.finish()
        join(runners)
        self._live.close()
        self._reporter.end(senders)
        self._heartbeat.end()
        join([beat])
        shutil.rmtree(str(host.jobs), ignore_errors=True)
        say(f"Executor {host.auth.name}: stopped.")
        return self._shutdown.exit_status

    def close(self) -> None:
        """Leaves the host as it was."""
        self._host.close()

    def _say_ready(self) -> None:
        host, options = self._host, self._host.options
        offered = ", ".join(f"{name} x {count}" for name, count in offers(host.workers).items())
        say(
            f"Executor {host.auth.name}: {host.compiler()}, {host.hardware()}, "
            f"offers {offered}, "
            f"sandbox: {host.sandbox.about()}, limits by {host.cgroups.about()}, "
            f"{options.nproc_compile} compile and {len(host.workers)} execution workers, "
            f"queue {host.auth.server}."
        )
        if not host.cgroups.about().startswith("cgroup"):
            say(WITHOUT_CGROUPS)
        if options.sandbox == "none":
            say(
                "WARNING: --sandbox none: programs run as this user, and can read and do what it "
                "can."
            )


# --- handouts/executor/slot/event_loop.py -------------------------------------------------
#
# Waiting for orders, output and the end of a child, in one place.


class EventLoop:
    """Calls back for each descriptor that can be read."""

    def __init__(self) -> None:
        """Takes the signals of this process: SIGCHLD ends `wait`, and no other does anything."""
        self._selector = selectors.DefaultSelector()
        wake, self._wake = os.pipe()  # a byte arrives when a child has ended
        for end in (wake, self._wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        # The executor says when to stop. Handlers, because what is ignored stays so in programs.
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        self.on_readable(wake, lambda: os.read(wake, 4096))

    def on_readable(self, descriptor: int, callback: Callable[[], Any]) -> None:
        """`callback` is called when the descriptor can be read, until it is forgotten."""
        self._selector.register(descriptor, selectors.EVENT_READ, callback)

    def forget(self, descriptor: int) -> None:
        """Nothing is called for it any more; it may have been forgotten before."""
        if descriptor in self._selector.get_map():
            self._selector.unregister(descriptor)

    def wait(self, seconds: float | None = None) -> None:
        """Until something has happened, or for so long."""
        for key, _ in self._selector.select(seconds):
            key.data()


# --- handouts/executor/slot/libc.py -------------------------------------------------------
#
# System calls that Python has no function for.


PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_SET_CHILD_SUBREAPER = 1, 4, 8, 36
MS_BIND, MS_REC, MS_PRIVATE, CLONE_NEWNS = 0x1000, 0x4000, 0x40000, 0x20000
CAP_SYS_RESOURCE = 1 << 24
CAPABILITIES_VERSION = 0x20080522  # of capset(2): two words of each set
LIBC = ctypes.CDLL(None, use_errno=True)


def check_call(result: int) -> None:
    """Raises OSError for the result of a call that failed."""
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def die_with(parent: int) -> Callable[[], None]:
    """For a child before it becomes bwrap: it is killed when the slot is, from the first moment.

    The slot is single-threaded: that signal follows the thread which forked (prctl(2)).
    """

    def prepare() -> None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        be_killed_first()

    return prepare


def set_capabilities(effective: int, permitted: int) -> None:
    """Of this thread; none is inherited by what it executes. Raises OSError."""
    header = (ctypes.c_uint32 * 2)(CAPABILITIES_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)(effective, permitted, 0, 0, 0, 0)
    check_call(LIBC.capset(header, sets))


def be_killed_first() -> None:
    """This process and its descendants are the first to go when the host is out of memory.

    With CAP_SYS_RESOURCE, which a slot started by root keeps for this alone, the value is also the
    lowest that they may have (proc(5)); without it they may go back to the executor's own, where
    /proc can be written (hidden.py).
    """
    with suppress(OSError):
        set_capabilities(CAP_SYS_RESOURCE, CAP_SYS_RESOURCE)
    with suppress(OSError):
        descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        os.write(descriptor, b"1000")
        os.close(descriptor)


# --- handouts/executor/slot/identity.py ---------------------------------------------------
#
# Whose processes a slot's are: the executor's user, or a uid of their own.


class Identity:
    """Of a slot that was started by root, and gives that up at once."""

    def __init__(self, setup: Setup) -> None:
        """`problem` says afterwards why the slot cannot be used, "" if it can."""
        self._uid = setup.uid
        self.problem = ""
        if setup.uid is not None:
            try:
                mount_binds(setup.binds)
                become(setup.uid, setup.groups)
                self.kill_all()
            except OSError as error:
                self._uid = None
                self.problem = f"its slot cannot be set up: {error.strerror}"

    def kill_all(self) -> None:
        """Kills everything of this uid but this process (kill(2)), if the uid is the slot's own."""
        if self._uid is not None:
            with suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)


def become(uid: int, groups: Sequence[int]) -> None:
    """Gives root up for good, but for one capability (`be_killed_first`), where there is that. No
    program inherits it. Raises OSError."""
    os.setgroups(groups)
    os.setresgid(uid, uid, uid)
    check_call(LIBC.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setresuid(uid, uid, uid)
    try:
        set_capabilities(0, CAP_SYS_RESOURCE)
    except OSError:  # root in a container without it
        set_capabilities(0, 0)
    LIBC.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # else its own /proc/self/fd is closed to it


def mount_binds(paths: Sequence[str]) -> None:
    """Mounts what only root can reach at /tmp/0, /tmp/1, … of this process. Raises OSError."""
    if not paths:
        return
    check_call(LIBC.unshare(CLONE_NEWNS))
    check_call(LIBC.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
    opened = [os.open(path, os.O_PATH) for path in paths]  # before /tmp is another
    check_call(LIBC.mount(b"none", b"/tmp", b"tmpfs", 0, b"size=1m,mode=0755"))
    for number, descriptor in enumerate(opened):
        bind(f"/proc/self/fd/{descriptor}", f"/tmp/{number}")
        os.close(descriptor)


def bind(path: str, place: str) -> None:
    """Mounts a folder or file at a place that is made for it."""
    if os.path.isdir(path):
        os.mkdir(place)
    else:
        Path(place).touch()
    check_call(LIBC.mount(path.encode(), place.encode(), None, MS_BIND | MS_REC, None))


# --- handouts/executor/slot/process_memory.py ---------------------------------------------
#
# The memory of one process, from /proc (proc(5)).
#
# Strings, not Path, because all of it is read 20 times a second.


def process_tree(root: int) -> list[int]:
    """The process, its children, theirs and so on."""
    found, new = [], [root]
    while new:
        pid = new.pop()
        threads = glob.glob(f"/proc/{pid}/task/*/children")
        found.append(pid)
        if len(threads) > 1 and not has_not_ended(pid):
            # Its first thread ended, and /proc shows the memory only under the others.
            found[-1] = max(int(path.split("/")[4]) for path in threads)
        for path in threads:
            with suppress(OSError), open(path) as file:
                new += map(int, file.read().split())
    return found


def hides_its_files(pid: int) -> bool:
    """Whether it keeps its files from being counted (PR_SET_DUMPABLE, prctl(2))."""
    try:
        os.listdir(f"/proc/{pid}/fd")
    except PermissionError:
        return resident(pid) > 0  # those of a process that is ending are closed too
    except OSError:
        return False
    return False


def resident(pid: int) -> int:
    """Bytes that it has, alone or with others."""
    try:
        return kernel_bytes(f"/proc/{pid}/status", "VmRSS", "VmPTE")
    except (OSError, ValueError):
        return 0


def anonymous_bytes(pid: int) -> int:
    """Bytes of its own that the kernel counts as such, whoever's driver there is."""
    try:
        return kernel_bytes(f"/proc/{pid}/status", "RssAnon")
    except (OSError, ValueError):
        return 0


def managed(pid: int) -> int:
    """Bytes of managed memory (cudaMallocManaged), wherever they are now.

    The driver takes host memory for those that do not fit on the GPU, and no process has them.
    Their addresses are mapped from the driver's device file.
    """
    size = 0
    with suppress(OSError, ValueError), open(f"/proc/{pid}/maps", errors="replace") as file:
        for line in file:
            if line.endswith("/nvidia-uvm\n"):
                begin, end = (int(address, 16) for address in line.split(" ", 1)[0].split("-"))
                size += end - begin
    return size


def proportional(pid: int) -> int:
    """The same, but its share of what it has with others."""
    try:
        tables = kernel_bytes(f"/proc/{pid}/status", "VmPTE")
        return kernel_bytes(f"/proc/{pid}/smaps_rollup", "Pss") + tables
    except (OSError, ValueError):
        return resident(pid)


# --- handouts/executor/slot/shortage.py ---------------------------------------------------
#
# Whose the memory is that the host is short of.


PATIENCE_SECONDS = 2.0  # how long a command is left alone because another is suspected more


class Shortage:
    """Of one command, from its start on.

    A program can have memory that is in no process's count: managed memory that the GPU's driver
    moved to the host, files on their way through a socket. What can be seen is that since the
    program began the host has lost pages that are nobody's (`uncounted_on_host`).
    """

    def __init__(self, board: MemoryBoard, meminfo: str = MEMINFO, nodes: str = NODES) -> None:
        self._board = board
        self._meminfo = meminfo
        self._at_start = uncounted_on_host(meminfo)
        self._can_tell = is_all_beside_cpus(nodes)
        self._since: float | None = None
        self.lost = 0  # bytes that the host has lost to nobody since then

    def is_near(self) -> bool:
        """Whether it may come to that soon."""
        return host_is_short(self._meminfo, 2.0)

    def verdict(self, own: Held, anonymous: int) -> str:
        """What becomes of the command: "memory" if it evidently has more than its limit, "short" if
        it is to be given back, "" if it goes on.

        `anonymous`: what of its memory cannot be among the pages that are nobody's.
        """
        if not host_is_short(self._meminfo):
            self._since = None
            return ""
        self.lost = uncounted_on_host(self._meminfo) - self._at_start
        others = self._board.others()
        suspects = [other for other in others if other.excess > 0]
        is_too_much = self._can_tell and self.lost + anonymous > own.limit
        if is_too_much and (not others or (own.excess > 0 and not suspects)):
            return "memory"
        if own.excess >= max((other.excess for other in suspects), default=own.excess):
            return "short"
        return "short" if self._is_urgent() else ""

    def _is_urgent(self) -> bool:
        """Whether nothing came of leaving it alone."""
        now = time.monotonic()
        self._since = self._since or now
        return now - self._since > PATIENCE_SECONDS or host_is_short(self._meminfo, 0.5)


# --- handouts/executor/slot/memory_watch.py -----------------------------------------------
#
# The memory that a job has, added up from /proc (proc(5)).
#
# Also where a cgroup limits it: what a GPU's driver takes for a program is in no cgroup's count.
#
# Counted are resident pages, and files that live in memory alone: those of memfd_create(2), and
# the sandbox's /tmp and /dev/shm. Strings, not Path, because all of it is read 20 times a second.


WATCH_SECONDS = 0.05  # how often it is looked at
MAXIMUM_DESCRIPTORS = 16384  # of all processes of a job together, each of which is looked at
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class MemoryWatch:
    """A process and all its descendants, and the memory they have."""

    def __init__(self, pid: int, memfd_device: int, board: MemoryBoard) -> None:
        """`memfd_device`: see below; 0 without a sandbox, where files are on a disk."""
        self._pid = pid
        self._memfd_device = memfd_device
        self._board = board
        self._shortage = Shortage(board)
        self.peak = 0

    def look(self, maximum: int) -> str:
        """Returns "memory" if they have more bytes than that now, "" if not.

        Or "short" if the host has none left, and it is not evidently the job's mistake.
        """
        pids = process_tree(self._pid)
        if any(map(hides_its_files, pids[2:])):  # behind bwrap and the first process
            return "memory"
        try:
            memfds = self._memfds(pids)
        except OverflowError:
            return "memory"
        size = self._size(pids, memfds, maximum)
        self.peak = max(self.peak, size)
        return "memory" if size > maximum else self._look_at_host(pids, size, maximum)

    def _size(self, pids: list[int], memfds: dict[int, int], maximum: int) -> int:
        """Bytes; exact only where that decides whether they are more than `maximum`."""
        files = self._sandbox_files(pids)
        size = files + sum(memfds.values()) + sum(map(resident, pids))
        if size > maximum:  # count what they share once; that takes longer
            return files + sum(memfds.values()) + sum(map(proportional, pids))
        if size + shared_on_host() > maximum:
            return max(size, files + self._with_mapped(pids, memfds))
        return size

    def _look_at_host(self, pids: list[int], size: int, maximum: int) -> str:
        is_near = self._shortage.is_near()
        held = Held(size, sum(map(managed, pids)) if is_near else 0, maximum)
        self._board.write(held)
        if not is_near:
            return ""
        anonymous = sum(map(anonymous_bytes, pids))
        verdict = self._shortage.verdict(held, anonymous)
        if verdict == "memory":
            self.peak = max(self.peak, self._shortage.lost + anonymous)
        return verdict

    def _sandbox_files(self, pids: list[int]) -> int:
        """Bytes of the files in the sandbox, and a page of the kernel's for each file."""
        size = 0
        for pid in pids[2:] if self._memfd_device else []:  # behind bwrap and the first process
            for folder in ("tmp", "dev/shm"):
                try:
                    about = os.statvfs(f"/proc/{pid}/root/{folder}")
                except OSError:
                    break
                size += (about.f_blocks - about.f_bfree) * about.f_frsize
                size += (about.f_files - about.f_ffree) * PAGE_BYTES
            else:
                break
        return size

    def _memfds(self, pids: list[int]) -> dict[int, int]:
        """Bytes by inode, also of those that no process has mapped.

        Raises OverflowError if there are more descriptors than can be looked at in a short time.
        """
        sizes, looks = {}, 0
        for pid in pids if self._memfd_device else []:
            for path in glob.glob(f"/proc/{pid}/fd/*"):
                looks += 1
                if looks > MAXIMUM_DESCRIPTORS:
                    raise OverflowError
                try:
                    about = os.stat(path)
                except OSError:
                    continue
                if about.st_dev == self._memfd_device:
                    sizes[about.st_ino] = about.st_blocks * 512
        return sizes

    def _with_mapped(self, pids: list[int], memfds: dict[int, int]) -> int:
        """Bytes with all shared memory that is mapped, touched or not.

        A page that was given up (madvise(2)), or that only a dead process touched, is not counted
        as resident, but still exists.
        """
        own, extents = 0, dict(memfds)
        for pid in pids if self._memfd_device else []:
            with suppress(OSError, ValueError):
                own += kernel_bytes(f"/proc/{pid}/status", "RssAnon", "RssFile", "VmPTE")
                for inode, end in self._mapped(pid):
                    extents[inode] = max(extents.get(inode, 0), end)
        return own + min(sum(extents.values()), shared_on_host())

    def _mapped(self, pid: int) -> Iterator[tuple[int, int]]:
        """Inode and end of each mapping of a file that lives in memory alone."""
        with open(f"/proc/{pid}/maps", errors="replace") as file:
            for line in file:
                span, _, offset, device, inode = line.split()[:5]
                major, minor = (int(number, 16) for number in device.split(":"))
                if os.makedev(major, minor) == self._memfd_device:
                    begin, end = (int(address, 16) for address in span.split("-"))
                    yield int(inode), int(offset, 16) + end - begin


def memfd_device() -> int:
    """The file system that files made by memfd_create(2) are on; 0 where there is none."""
    try:
        descriptor = os.memfd_create("device")
    except (AttributeError, OSError):
        return 0
    try:
        return os.fstat(descriptor).st_dev
    finally:
        os.close(descriptor)


# --- handouts/executor/slot/command_run.py ------------------------------------------------
#
# One command of a slot, from its start to its end.


class CommandRun:
    """`start`, then `finish`."""

    def __init__(
        self,
        order: Order,
        loop: EventLoop,
        orders: Orders,
        sender: FrameSender,
        identity: Identity,
    ) -> None:
        self._order = order
        self._loop = loop
        self._orders = orders
        self._sender = sender
        self._identity = identity
        self._output = ProgramOutput(order, orders, sender)
        self._child: Any = None
        self._started_at = time.monotonic()
        self._next_look = 0.0 if order.memory_bytes else float("inf")

    def start(self, files: dict[str, int]) -> None:
        """Starts the command, its "@name" arguments replaced. Raises OSError, ValueError."""
        order = self._order
        box = [str(files[a[1:]]) if a.startswith("@") else a for a in order.box]
        self._child = subprocess.Popen(
            box + order.argv,
            cwd=order.cwd,
            env=order.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=list(files.values()) if box else (),
            preexec_fn=die_with(os.getpid()),
        )

    def finish(self, report: int, memfd_device: int, board: MemoryBoard) -> Any:
        """Enforces the limits until the end; the order's last frame.

        `report`: a pipe from the sandbox's first process.
        """
        with suppress(ConnectionError):  # which ends what runs, as soon as it is watched
            self._sender.send(Started(self._child.pid))
        memory = MemoryWatch(self._child.pid, memfd_device if self._order.box else 0, board)
        why = self._watch(memory)
        seconds = time.monotonic() - self._started_at
        unkillable = self._kill_all()
        board.clear()
        self._drain()
        log = self._output.log.content()
        ended = Ended(why, seconds=seconds, log=log, unkillable=unkillable)
        ended = ended._replace(memory_bytes=memory.peak or None)
        if not self._order.box:
            return with_status(ended, self._child.returncode)
        return self._sandboxed_end(ended, read_available(report))

    def _watch(self, memory: MemoryWatch) -> str:
        """Waits for the end and says what it was, as `Ended.why` does."""
        pipe = self._child.stdout.fileno()
        os.set_blocking(pipe, False)
        deadline = self._started_at + self._order.seconds

        def read() -> None:
            data = os.read(pipe, 1 << 16)
            self._output.add(data)
            if not data:
                self._loop.forget(pipe)

        self._loop.on_readable(pipe, read)
        try:
            while self._child.poll() is None:
                now = time.monotonic()
                why = "time" if now >= deadline else self._broken_limit(now, memory)
                if why:
                    return why
                self._output.flush()
                self._loop.wait(min(deadline, self._next_look, self._output.due_at()) - now)
            return "output" if self._printed_too_much() else "ended"
        finally:
            self._loop.forget(pipe)

    def _broken_limit(self, now: float, memory: MemoryWatch) -> str:
        """What must end it now; "" for nothing."""
        if self._printed_too_much():
            return "output"
        if self._orders.is_killed(self._order.number):
            return "killed"
        if now >= self._next_look:
            self._next_look = now + WATCH_SECONDS
            return memory.look(self._order.memory_bytes)
        return ""

    def _printed_too_much(self) -> bool:
        return self._output.log.total > self._order.output_bytes

    def _kill_all(self) -> list[int]:
        """Kills the command and its descendants; they are all children of the slot by now.

        What even SIGKILL does not end, because it hangs in a driver, is not waited for, and
        returned.
        """
        if self._child.poll() is None:
            kill_group(self._child.pid)
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline:
            self._child.poll()
            self._identity.kill_all()
            left = children()
            for pid in left:
                if pid != self._child.pid:
                    kill_group(pid)
                    reap(pid)
            if not left:
                return []
            time.sleep(0.001)
        return left

    def _drain(self) -> None:
        """Reads what was still in the pipe; no process is left that could write more."""
        if self._child.returncode is None:
            self._child.returncode = -signal.SIGKILL
        with suppress(BlockingIOError):
            for _ in range(64):
                data = os.read(self._child.stdout.fileno(), 1 << 16)
                if not data:
                    break
                self._output.add(data)
        self._child.stdout.close()

    def _sandboxed_end(self, ended: Ended, report: bytes) -> Any:
        """With what the sandbox's first process reports: "started", and a line at the end."""
        lines = report.decode("ascii", "replace").splitlines()
        if not lines and ended.why == "ended" and not ended.unkillable:
            last_words = in_text(ended.log)[-500:].strip()
            return Failed(last_words or f"it ended with {self._child.returncode}", sandbox=True)
        if len(lines) != 2:  # a program ended its own sandbox; the kernel does, for lack of memory
            return with_status(ended, -signal.SIGKILL)
        status, wall, cpu, kib, product = lines[1].split()
        if product == "unwritten":
            return Failed("what it made could not be kept")
        used = int(kib) << 10
        if ended.why == "ended" and 0 < self._order.memory_bytes < used:  # between two looks
            ended = ended._replace(why="memory")
        ended = ended._replace(
            seconds=float(wall),
            cpu_seconds=float(cpu),
            memory_bytes=max(used, ended.memory_bytes or 0),
        )
        return with_status(ended, exit_code_of(int(status)))


def exit_code_of(wait_status: int) -> int:
    """As Popen.returncode: minus the signal if there was one."""
    if os.WIFEXITED(wait_status):
        return os.WEXITSTATUS(wait_status)
    return -os.WTERMSIG(wait_status)


def with_status(ended: Ended, code: int) -> Ended:
    """`code`: as Popen.returncode."""
    if code < 0:
        return ended._replace(signal=-code)
    return ended._replace(exit_code=code)


def read_available(pipe: int) -> bytes:
    """What is in a pipe now, without waiting for more."""
    os.set_blocking(pipe, False)
    try:
        return os.read(pipe, 4096)
    except BlockingIOError:
        return b""


# --- handouts/executor/slot/slot_process.py -----------------------------------------------
#
# A slot: the child process of the executor that starts compilers and programs.
#
# It is single-threaded and long-lived. It adopts orphans (PR_SET_CHILD_SUBREAPER, prctl(2)), so
# every process that a program started is its descendant, and is killed when the program is over.
# When its standard input closes, because the worker is gone, even by kill -9, it kills what runs
# and ends. Started by root, it becomes at once a uid that nothing else on the machine has.


class SlotProcess:
    """Carries out orders from standard input, a socket, until it closes."""

    def __init__(self, setup: Setup) -> None:
        connection = socket.socket(fileno=0)
        self._orders = Orders(connection)
        self._sender = FrameSender(connection)
        self._loop = EventLoop()
        self._loop.on_readable(0, self._orders.receive)
        LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        self._memfd_device = memfd_device()
        self._board = MemoryBoard(setup.board, setup.place)
        self._identity = Identity(setup)

    def serve(self) -> None:
        """Returns when the worker is gone."""
        while self._orders.is_open:
            self._loop.wait()
            order = self._orders.next()
            if order is not None:
                with suppress(ConnectionError):  # then the next `wait` finds the orders closed
                    self._sender.send(self._carry_out(*order))

    def _carry_out(self, order: Order, descriptors: list[int]) -> Any:
        """The last frame of an order."""
        report, theirs = os.pipe()
        files = {**dict(zip(order.files, descriptors)), "report": theirs}
        run = CommandRun(order, self._loop, self._orders, self._sender, self._identity)
        with ExitStack() as ours:
            for descriptor in [*descriptors, report]:
                ours.callback(os.close, descriptor)
            try:
                failure = self._start(run, order, files)
            finally:
                os.close(theirs)
            return failure or run.finish(report, self._memfd_device, self._board)

    def _start(self, run: CommandRun, order: Order, files: dict[str, int]) -> Failed | None:
        if self._identity.problem:
            return Failed(self._identity.problem, sandbox=True)
        try:
            run.start(files)
        except (OSError, ValueError) as error:
            is_gone = bool(order.box) and not os.access(order.box[0], os.X_OK)
            return Failed(str(error), sandbox=is_gone)
        return None


# --- handouts/executor/main.py ------------------------------------------------------------


class StoppedEarly(BaseException):
    """Asked to stop before there was anything to finish."""


def stop_early(_number: int, _frame: Any) -> None:
    """Ends the start at once, wherever it is; a second signal changes nothing."""
    ignore_signals()
    raise StoppedEarly


def ignore_signals() -> None:
    """For the rest of this process's time."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def main(argv: list[str] | None = None) -> int:
    """The exit status; every expected error is one line on standard error."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["--slot"]:
        SlotProcess(Setup.decode(argv[1])).serve()
        return STOPPED
    options = parse(argv)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold the token
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop_early)  # until the executor runs, and handles them itself
    try:
        return work(options)
    except StoppedEarly:  # also while it says why it cannot start
        say("Stopped while it was starting.")
        return STOPPED


def work(options: argparse.Namespace) -> int:
    """The exit status, of all but a signal before it begins."""
    try:
        auth = read_auth(options.auth, "executor", options.server)
        executor = Executor(options, auth)
        try:
            return executor.run()
        finally:
            executor.close()
    except DriverNotReady as error:
        warn(f"executor.py: {error} It was waited for; start this again, as its service does.")
        ignore_signals()
        return NOT_READY
    except BadSetup as error:
        warn(f"executor.py: {error}")
        ignore_signals()
        return WRONG_USAGE


if __name__ == "__main__":
    sys.excepthook = print_unexpected
    sys.exit(main())
