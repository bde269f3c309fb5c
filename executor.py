#!/usr/bin/env python3
"""Run the jobs of Telerun's queue on this machine's GPUs.

    python3 executor.py --nproc-compile 2 --nproc-execute 1

Needs Python 3.8 or newer, nvcc and bubblewrap on Linux, nothing else. It asks the queue for work over
outbound HTTPS, compiles with nvcc, runs each program on one GPU, and sends the logs back. Beside
this file stands auth.json, from the course staff: {"executor": "...", "token": "..."}, and
optionally "server" (https://host:port) and "certificate" (a PEM file to trust, relative to
auth.json). A server.cert beside this file is trusted too.

How it works. Each compile worker claims a job, compiles it and hands it to an execution worker,
so that the next job compiles while one runs. Compilers and programs are started by slots:
one child process a worker, which enforces the limits and leaves no process behind, not even
when this one is killed. Both run in a sandbox (bubblewrap): as a uid of the slot's own where this
is started by root, and without network, home, or other processes. One thread sends the heartbeats of all jobs in hand, one the results. A result is
on disk before it is sent, with the files that its program left in ./out/, and what could not be
sent is sent by the next start.

SIGTERM or Ctrl-C: take no more jobs, finish those in hand, exit 0. A second one: give them back.

Exit status: 0 stopped as asked, 1 the queue refuses this executor, 2 wrong usage or setup,
70 a fault of its own (start it again: nothing is lost).
"""

from __future__ import annotations

import argparse
import array
import ctypes
import errno
import fcntl
import glob
import hashlib
import http.client
import json
import os
import platform
import pwd
import queue
import random
import re
import resource
import selectors
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
import traceback
import urllib.parse
import uuid
from collections import namedtuple
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple
from xml.etree import ElementTree

VERSION = "1"
HERE = Path(__file__).resolve().parent
DEFAULT_SERVER = "https://localhost:4443"
WAIT_SECONDS = 25  # how long a claim is held open at the queue
GRACE_SECONDS = 5  # how long what was killed may take to be gone
OVERDUE_SECONDS = 30  # past a job's limit, after which its slot is stuck
CACHED_BYTES = 16 << 20  # a larger program is compiled each time
FULL_BYTES = 1 << 20  # a disk with less room is full
HEAD_SHARE = 0.75  # of the bytes a log keeps: the rest is its end
PHASE_SECONDS = 0.05  # how long a job must be in a phase before the queue is told of it
WATCH_SECONDS = 0.05  # how often the memory of what runs is looked at, without a cgroup
MOST_DESCRIPTORS = 16384  # of all processes of a job together, each of which is looked at
SANDBOX_UID_BASE = 60600  # to 61183: neither Debian, systemd nor useradd gives these out
SANDBOX_UIDS = 584
NAMED = 20  # of the files that do not come back, this many are named
CHECKED = 42  # what the sandbox's self-test ends with
SMI_SECONDS = 15  # how long nvidia-smi may take to answer for one GPU
SETTLE_SECONDS = 10  # how long what was killed may still be seen on its GPU
IDLE_CHECKS = 4  # after as many that find nothing but more memory in use, that is what is normal
SPARE_MIB = 64  # by how much a GPU's used memory may differ while nothing is on it
IDLE_SECONDS = 15  # how often an idle GPU is looked at
PROBE_SECONDS = 30
QUARANTINE_SECONDS = (5.0, 300.0)  # between tries of a GPU that failed: at first, and at most
STEADY_SECONDS = 600  # a GPU that fails again sooner is tried ever less often
# For a queue that is older than these limits.
DEFAULT_LIMITS = {"memory_bytes": 4 << 30, "processes": 256, "disk_bytes": 1 << 30,
                  "output_files": 0, "output_file_bytes": 0}  # fmt: skip

STOPPED, REFUSED, WRONG_USAGE, FAILED = 0, 1, 2, 70


# --- Talking to the queue (the same in submit.py and executor.py; a test compares) -------


class BadSetup(Exception):
    """Something on this machine is missing or wrong; the message says what to do."""


class Unreachable(Exception):
    """The queue gave no answer; trying again may help."""


class Untrusted(Exception):
    """What answered is not the queue that auth.json means; the token was not sent."""


class Answer(namedtuple("Answer", "status headers body")):
    """The queue's answer: HTTP status, headers, and the JSON body ({} if there is none), or a file's bytes."""

    @property
    def problem(self) -> str:
        """The stable name of an error (RFC 9457), such as "pending-job"; "" if it is none."""
        return str(self.body.get("type", "")).rpartition("/")[2] if self.status >= 400 else ""

    @property
    def detail(self) -> str:
        """An error in words."""
        return str(self.body.get("detail") or "HTTP status %d" % self.status)

    @property
    def refuses_token(self) -> bool:
        """Whether the token is not accepted, and will not be later."""
        return self.status == 401 or self.problem == "too-many-wrong-tokens"

    @property
    def retry_after(self) -> float:
        """How many seconds the queue asks to be left alone."""
        text = self.headers.get("retry-after", "")
        return float(text) if text.isdigit() else 0.0


# What auth.json says; certificates are paths of PEM files to trust beside the system's.
Auth = namedtuple("Auth", "name token server certificates")


def read_auth(path: Path, name_key: str, server: Optional[str]) -> Auth:
    """Reads auth.json; `name_key` is "username" or "executor". Raises BadSetup."""
    try:
        content = json.loads(path.read_bytes().decode("utf-8-sig"))
        if os.name == "posix" and path.stat().st_mode & 0o077:
            warn("%s can be read by others; chmod 600 it." % path)
    except FileNotFoundError:
        raise BadSetup(
            "There is no %s. Put the file from the course staff there: "
            '{"%s": "...", "token": "..."}' % (path, name_key)
        ) from None
    except OSError as error:
        raise BadSetup("%s cannot be read: %s." % (path, error.strerror)) from None
    except (ValueError, RecursionError) as error:
        raise BadSetup("%s is not valid JSON: %s." % (path, error)) from None
    if not isinstance(content, dict):
        content = {}
    for key in (name_key, "token"):
        if not isinstance(content.get(key), str) or not content[key].strip():
            raise BadSetup('%s lacks "%s"; it looks like {"%s": "...", "token": "..."}.'
                           % (path, key, name_key))  # fmt: skip
    for key in ("server", "certificate"):
        if not isinstance(content.get(key, ""), str):
            raise BadSetup('In %s, "%s" is not a string.' % (path, key))
    token = content["token"].strip()
    if not re.fullmatch(r"[!-~]+", token):
        raise BadSetup("The token in %s has characters that no token has." % path)
    certificates = [HERE / "server.cert"] if (HERE / "server.cert").is_file() else []
    if content.get("certificate"):
        certificates.append(path.parent / content["certificate"])
    return Auth(
        content[name_key].strip(), token, server or content.get("server") or DEFAULT_SERVER,
        certificates,
    )  # fmt: skip


class Queue:
    """The queue, over one kept-alive HTTPS connection. One request at a time."""

    def __init__(self, auth: Auth) -> None:
        """Opens nothing yet. Raises BadSetup for a bad address or certificate file."""
        url = urllib.parse.urlsplit(auth.server)
        try:
            self._port = url.port or 443
        except ValueError:
            self._port = 0
        if url.scheme != "https" or not url.hostname or not self._port:
            raise BadSetup("The server %r is not of the form https://host:port." % auth.server)
        self.server = auth.server
        self._host = url.hostname
        self._base = url.path.rstrip("/") + "/api/v1"
        self._headers = {
            "Authorization": "Bearer " + auth.token,
            "Content-Type": "application/json",
            "User-Agent": "telerun/%s python/%d.%d" % ((VERSION,) + sys.version_info[:2]),
        }
        self._certificates = auth.certificates
        self._trust(system=not auth.certificates)
        self._connection = None  # type: Optional[http.client.HTTPSConnection]

    def _trust(self, system: bool) -> None:
        """Trusts the certificates named, and with `system` those that the system trusts too.

        Reading the system's takes longer than all else that a student waits for here.
        """
        self._trusts_system = system
        self._context = ssl.create_default_context() if system else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for certificate in self._certificates:
            try:
                self._context.load_verify_locations(str(certificate))
            except (OSError, ssl.SSLError):
                raise BadSetup("%s is not a readable certificate in PEM." % certificate) from None

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Optional[Dict[str, str]] = None,
        timeout: float = 30.0,
    ) -> Answer:
        """Sends one request, its body as JSON or as it is if it is bytes; the answer, whatever its status.

        Everything sent is safe to send again, so a kept-alive connection that the queue
        closed meanwhile is opened anew without a word. Raises Unreachable, Untrusted.
        """
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        kept_alive = self._connection is not None
        try:
            return self._exchange(method, path, data, headers or {}, timeout)
        except Unreachable:
            if not kept_alive:
                raise
        return self._exchange(method, path, data, headers or {}, timeout)

    def _exchange(
        self, method: str, path: str, data: Optional[bytes], headers: Dict[str, str], timeout: float
    ) -> Answer:
        try:
            connection = self._open(timeout)
            connection.request(method, self._base + path, data, {**self._headers, **headers})
            response = connection.getresponse()
            content = response.read()
        except ssl.SSLCertVerificationError as error:
            self.close()
            raise Untrusted(
                "The certificate of %s is not trusted: %s. Is server.cert the one from the "
                "course staff, and the server's name right?" % (self.server, error.verify_message)
            ) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise Unreachable("%s does not answer: %s" % (self.server, in_words(error))) from None
        if response.getheader("Connection", "").lower() == "close":
            self.close()
        return self._parse(response, content)

    def _open(self, timeout: float) -> http.client.HTTPSConnection:
        if self._connection is not None:
            self._connection.sock.settimeout(timeout)
            return self._connection
        self._connection = http.client.HTTPSConnection(
            self._host, self._port, timeout=timeout, context=self._context
        )
        try:
            self._connection.connect()  # the token is sent when this has checked the certificate
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
                "%s answers, but not as a Telerun queue does (HTTP status %d). Is the address right?"
                % (self.server, response.status)
            )
        return Answer(response.status, headers, body)

    def close(self) -> None:
        """Closes the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def is_retryable(answer: Answer) -> bool:
    """Whether the same request may fare better later."""
    return answer.status in (408, 425, 429, 500, 502, 503, 504) and not answer.refuses_token


def delays(least: float = 0.5, most: float = 10.0) -> Iterator[float]:
    """Seconds to wait between tries: doubling, jittered so that not all come back at once."""
    while True:
        yield least * random.uniform(0.5, 1.0)
        least = min(most, least * 2)


def in_words(error: Exception) -> str:
    """A short, readable form of what a socket or http.client raises."""
    if isinstance(error, TimeoutError) or "timed out" in str(error):
        return "timed out"
    if isinstance(error, ssl.SSLError):
        return "it does not speak TLS (%s)" % (error.reason or error)
    if isinstance(error, http.client.RemoteDisconnected):
        return "it closed the connection"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def warn(message: str) -> None:
    """One line on standard error."""
    print(message, file=sys.stderr, flush=True)


# --- The machine: its GPUs, its compiler -------------------------------------------------


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
    """nvidia-smi did not answer in time, which by itself says nothing of what ran before."""


_abandoned = []  # type: List[subprocess.Popen[bytes]]  # those that even SIGKILL did not end


def ask_nvidia_smi(*questions: List[str], seconds: float = SMI_SECONDS) -> List[str]:
    """What nvidia-smi prints when asked each of these, all at once. Raises GpuTrouble.

    Its exit status says little: where one GPU fell off the bus it fails, and tells of the others.
    """
    _abandoned[:] = [process for process in _abandoned if process.poll() is None]
    if len(_abandoned) > 7:
        raise GpuTrouble("nvidia-smi hangs, and cannot be killed")
    started = []  # type: List[subprocess.Popen[bytes]]
    try:
        started.extend(map(_ask_one, questions))
        deadline = time.monotonic() + seconds
        return [_heard(process, deadline) for process in started]
    except OSError as error:
        raise GpuTrouble("nvidia-smi cannot be run: %s" % error.strerror) from None
    except subprocess.TimeoutExpired:
        raise SmiSlow("nvidia-smi does not answer within %d s" % seconds) from None
    finally:
        for process in started:
            _dismiss(process)


def _ask_one(question: List[str]) -> Any:
    return subprocess.Popen(
        ["nvidia-smi"] + question, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def _heard(process: Any, deadline: float) -> str:
    told, _ = process.communicate(timeout=max(0.0, deadline - time.monotonic()))
    return told.decode("utf-8", "replace")


def _dismiss(process: Any) -> None:
    """Ends it without waiting for one that hangs in the driver."""
    if process.poll() is None:
        _kill_group(process.pid)
        try:
            process.wait(1)
        except subprocess.TimeoutExpired:
            _abandoned.append(process)
    process.stdout.close()


def rows_of(told: str, columns: int) -> List[List[str]]:
    """The rows of nvidia-smi's CSV; what has fewer columns is no row but a message. It quotes
    nothing, so what may hold a comma is to be asked for last."""
    rows = [[cell.strip() for cell in line.split(",", columns - 1)] for line in told.splitlines()]
    return [row for row in rows if len(row) == columns]


def find_gpus() -> List[Gpu]:
    """The GPUs of this machine, in the order of their places on the bus; of one that is split
    (MIG) its instances. Where CUDA_VISIBLE_DEVICES was set for us, those it names. Raises BadSetup."""
    query = "--query-gpu=index,uuid,name,compute_cap,driver_version,pci.bus_id,mig.mode.current"
    try:
        (told,) = ask_nvidia_smi([query, "--format=csv,noheader"], seconds=60)
    except GpuTrouble:
        return []
    gpus = []  # type: List[Gpu]
    for index, uuid_, name, capability, driver, bus, split in rows_of(told, 7):
        gpu = Gpu(index, uuid_, name, "sm_" + capability.replace(".", ""), driver, bus)
        gpus += find_instances(gpu) if split == "Enabled" else [gpu]
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    return gpus if allowed is None else chosen_gpus(gpus, allowed)


def why_no_gpu() -> str:
    """What nvidia-smi says where no GPU was found."""
    try:
        (told,) = ask_nvidia_smi(["-L"], seconds=60)
    except GpuTrouble as trouble:
        return str(trouble)
    return "nvidia-smi says: %s" % (" ".join(told.split())[:200] or "nothing")


def find_instances(gpu: Gpu) -> List[Gpu]:
    """The instances of a GPU that is split (MIG). Raises BadSetup if nvidia-smi is not understood.

    Only `nvidia-smi -L` tells their UUIDs, and only its XML which device files are theirs.
    """
    try:
        listed, described = ask_nvidia_smi(["-L"], ["-q", "-x", "-i", gpu.uuid], seconds=60)
        places = _instance_places(described)
    except (GpuTrouble, ElementTree.ParseError) as error:
        raise BadSetup("GPU %s is split (MIG), and its instances are not told: %s." % (gpu.index, error)) from None  # fmt: skip
    found, of_this = [], False
    for line in listed.splitlines():
        of_this = gpu.uuid in line if line.startswith("GPU ") else of_this
        told = re.match(r"\s+MIG (\S+)\s+Device\s+(\d+): \(UUID: (MIG-[^)\s]+)\)", line)
        if told and of_this:
            if told[2] not in places:
                raise BadSetup("nvidia-smi does not say which device files are those of %s." % told[3])
            found.append(gpu._replace(
                index="%s:%s" % (gpu.index, told[2]), uuid=told[3], whole=gpu.uuid,
                name="%s MIG %s" % (gpu.name, told[1]), instance=places[told[2]],
            ))  # fmt: skip
    return found


def _instance_places(described: str) -> Dict[str, str]:
    """By their number, as in {"0": "gi1/ci0"}."""
    tree = ElementTree.fromstring(described[described.find("<") : described.rfind(">") + 1])  # noqa: S314
    return {
        str(one.findtext("index")): "gi%s/ci%s" % (
            one.findtext("gpu_instance_id"), one.findtext("compute_instance_id"))
        for one in tree.iter("mig_device")
    }  # fmt: skip


def chosen_gpus(gpus: List[Gpu], allowed: str) -> List[Gpu]:
    """Those that a CUDA_VISIBLE_DEVICES names: by index, UUID, or the beginning of one. A GPU that
    is split stands for its instances. Raises BadSetup; CUDA itself would show fewer GPUs in silence."""
    there = ", ".join("%s (%s)" % (gpu.index, gpu.uuid) for gpu in gpus) or "none"
    chosen = []  # type: List[Gpu]
    for name in map(str.strip, allowed.split(",")):
        named = [gpu for gpu in gpus if name in _names(gpu)]
        if not named and name.startswith("GPU-"):
            named = [gpu for gpu in gpus if (gpu.whole or gpu.uuid).startswith(name)]
        elif not named and name.startswith("MIG-"):
            named = [gpu for gpu in gpus if gpu.uuid.startswith(name)]
        wholes = {gpu.whole or gpu.uuid for gpu in named}
        if len(wholes) != 1 or (len(named) > 1 and name.startswith("MIG-")):
            raise BadSetup(
                "CUDA_VISIBLE_DEVICES is %r, and %s. Unset it, or name GPUs by index or UUID; here are: %s."
                % (allowed, _no_name(name, bool(named)), there)
            )
        if set(named) & set(chosen):
            raise BadSetup("CUDA_VISIBLE_DEVICES is %r, which names GPU %s twice." % (allowed, named[0].index))  # fmt: skip
        chosen += named
    return chosen


def _names(gpu: Gpu) -> List[str]:
    return [gpu.index, gpu.uuid] + ([gpu.whole, gpu.index.partition(":")[0]] if gpu.whole else [])


def _no_name(name: str, is_one: bool) -> str:
    if not name or name == "-1":
        return "so gives this executor no GPU"
    return "%s is the name of %s" % (name, "several GPUs" if is_one else "no GPU here")


def lock_gpu(gpu: Gpu) -> socket.socket:
    """Takes a GPU for this process, until it ends. Raises BadSetup if another executor has it.

    A name in the abstract namespace (unix(7)) is the whole machine's, whoever the user is, and
    programs in the sandbox, which have a network of their own, do not see it.
    """
    lock = socket.socket(socket.AF_UNIX)
    try:
        lock.bind("\0telerun-gpu-" + gpu.uuid)
    except OSError:
        lock.close()
        raise BadSetup(
            "Another executor on this machine has GPU %s (%s). Set CUDA_VISIBLE_DEVICES to give "
            "each its own." % (gpu.index, gpu.uuid)
        ) from None
    return lock


def find_nvcc(given: Optional[str]) -> str:
    """The path of nvcc. Raises BadSetup."""
    for candidate in [given] if given else ["nvcc", "/usr/local/cuda/bin/nvcc"]:
        found = shutil.which(candidate)
        if found:
            real = os.path.realpath(found)  # a link to it says nothing of where its toolkit is
            return real if os.path.basename(real) == "nvcc" else os.path.abspath(found)
    raise BadSetup(
        "%s. Install the CUDA toolkit, put its bin folder on the PATH, or name it with --nvcc."
        % ("%s is no program" % given if given else "nvcc was not found")
    )


def nvcc_version(nvcc: str) -> str:
    """Such as "13.0". Raises BadSetup for a compiler that does not start."""
    try:
        told = subprocess.run(
            [nvcc, "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60
        ).stdout.decode("utf-8", "replace")
    except (OSError, subprocess.SubprocessError) as error:
        raise BadSetup("%s cannot be run: %s." % (nvcc, error)) from None
    release = re.search(r"release ([\d.]+)", told)
    if not release:
        raise BadSetup("%s --version does not answer like nvcc does." % nvcc)
    return release[1]


def host_compiler() -> str:
    """What the compiler behind nvcc says it is; "" if it cannot be asked."""
    try:
        told = subprocess.run(["g++", "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return told.decode("utf-8", "replace").partition("\n")[0]


def device_nodes(gpu: Gpu, root: Path = Path("/")) -> List[str]:
    """The device files of one GPU and no other. `nvidia-smi` counts otherwise than the driver
    does, so the file is the one whose "Device Minor" has this UUID."""
    nodes = ["nvidiactl", "nvidia-uvm", "nvidia-uvm-tools"]
    for information in sorted(root.glob("proc/driver/nvidia/gpus/*/information")):
        told = dict(line.split(":", 1) for line in information.read_text().splitlines() if ":" in line)
        if told.get("GPU UUID", "").strip() == (gpu.whole or gpu.uuid):
            minor = told["Device Minor"].strip()
            nodes.append("nvidia" + minor)
            # An instance (MIG) has two files more: of its part of the GPU, and of the part of that.
            parts = gpu.instance.split("/") if gpu.instance else []
            for place in ["/".join(parts[: n + 1]) for n in range(len(parts))]:
                access = root / "proc/driver/nvidia/capabilities" / ("gpu" + minor) / "mig" / place / "access"
                number = re.search(r"DeviceFileMinor:\s*(\d+)", access.read_text() if access.exists() else "")
                if not number:
                    raise BadSetup("The driver does not say which device files are those of %s." % gpu.uuid)
                nodes.append("nvidia-caps/nvidia-cap" + number[1])
            return ["/dev/" + node for node in nodes if (root / "dev" / node).exists()]
    raise BadSetup("The driver lists no GPU %s in /proc/driver/nvidia/gpus." % gpu.uuid)


# --- The sandbox: bubblewrap around the compiler and around the program ------------------


class Command(NamedTuple):
    """What a slot is to run. An argument of `box` like "@program" stands for an open file."""

    box: List[str]  # what goes before the command: the sandbox, [] for none
    argv: List[str]
    cwd: str
    env: Dict[str, str]
    files: Dict[str, Any]  # name -> (path, flags for os.open)


class SandboxBroken(OSError):
    """The sandbox itself failed, so nothing ran; no job is to be claimed by this host."""


class NoSandbox:
    """Programs run as the executor's own user (--sandbox none)."""

    uids = None  # type: Any
    binds = []  # type: List[str]
    groups = []  # type: List[int]

    def about(self) -> str:
        return "none"

    def compiler(self, folder: Path, source: Path, nvcc: List[str], limits: Dict[str, int]) -> Command:
        argv = nvcc + ["-o", str(folder / "program"), "./" + source.name]
        return Command([], argv, str(source.parent), self._environment(folder, nvcc[0], ""), {})

    def program(
        self, folder: Path, args: List[str], nvcc: str, gpu: Optional[Gpu], archive: Path,
        limits: Dict[str, int],
    ) -> Command:  # fmt: skip
        env = self._environment(folder, nvcc, gpu.uuid if gpu else "")
        return Command([], [str(folder / "program")] + args, str(folder / "run"), env, {})

    def outputs(self, folder: Path, archive: Path, limits: Dict[str, int]) -> List["Found"]:
        return gather(folder / "run", archive, limits)

    def _environment(self, folder: Path, nvcc: str, visible_gpus: str) -> Dict[str, str]:
        return environment(nvcc, str(folder / "run"), str(folder / "tmp"), visible_gpus)


def environment(nvcc: str, home: str, tmp: str, visible_gpus: str) -> Dict[str, str]:
    """All that a compiler or program is told: nothing of this process's environment."""
    return {
        "PATH": ":".join([os.path.dirname(nvcc), "/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": home,
        "TMPDIR": tmp,
        "LANG": "C.UTF-8",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": visible_gpus,
    }


class Bubblewrap:
    """Programs run in bwrap, which never runs as root: as the executor's user, or, where that is
    root, as a uid of each slot's own. What it sees: /usr and the CUDA toolkit, a /tmp of its own
    in memory, its one GPU. Files go in and out as open descriptors, never by a path."""

    def __init__(self, options: argparse.Namespace, nvcc: str, folder: Path) -> None:
        """Raises BadSetup if there is no bubblewrap here, or no compiler for its first process."""
        found = shutil.which("bwrap")
        if not found:
            raise BadSetup("bubblewrap is missing, and no program runs without it: apt install bubblewrap (--sandbox none would run programs as this user).")  # fmt: skip
        self._bwrap = os.path.abspath(found)
        self.uids = Uids(options.sandbox_uid_base) if os.geteuid() == 0 else None
        extra = [path.resolve() for path in options.sandbox_bind]
        missing = [path for path in extra if not path.exists()]
        if missing:
            raise BadSetup("There is no %s to show in the sandbox." % missing[0])
        shown = [toolkit(nvcc)] + extra
        self.binds = [str(path) for path in shown if Path("/usr") not in [path, *path.parents]]
        folder.mkdir(parents=True, exist_ok=True)
        self._init = folder / "init"
        self._filter = folder / "seccomp"
        compile_init(self._init)
        self._filter.write_bytes(seccomp_filter(platform.machine()))
        helped = subprocess.run([self._bwrap, "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout  # fmt: skip
        if b"--perms" not in helped:
            raise BadSetup("%s is too old: bubblewrap 0.5 or newer is needed." % self._bwrap)
        self._sized = b"--size" in helped  # 0.7 and newer; else the limit on memory must do
        self._isolated = [
            self._bwrap, "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc",
            "--unshare-uts", "--unshare-cgroup-try", "--hostname", "sandbox", "--die-with-parent",
            "--new-session", "--as-pid-1", "--cap-drop", "ALL", "--clearenv",
        ] + (["--disable-userns"] if b"--disable-userns" in helped else [])  # fmt: skip
        self._nodes = {}  # type: Dict[str, List[str]]

    def about(self) -> str:
        return "bubblewrap, a uid for each worker" if self.uids else "bubblewrap"

    def use(self, gpus: List[Gpu]) -> None:
        """Finds the device files of the GPUs. Raises BadSetup."""
        self._nodes = {gpu.uuid: device_nodes(gpu) for gpu in gpus}
        every = {node for nodes in self._nodes.values() for node in nodes}
        if gpus and "/dev/nvidia-uvm" not in every:
            raise BadSetup("/dev/nvidia-uvm is missing: nvidia-modprobe -u -c 0 makes it (as root).")

    @property
    def groups(self) -> List[int]:
        """The groups that the device files ask for, where not everybody may use them."""
        told = [os.stat(node) for nodes in self._nodes.values() for node in nodes]
        return sorted({s.st_gid for s in told if s.st_mode & 0o006 != 0o006})

    def compiler(self, folder: Path, source: Path, nvcc: List[str], limits: Dict[str, int]) -> Command:
        files = {"source": (source, os.O_RDONLY),
                 "product": (folder / "program", os.O_WRONLY | os.O_CREAT | os.O_EXCL)}  # fmt: skip
        argv = nvcc + ["-o", "/tmp/program", "./" + source.name]
        given = ["--perms", "0644", "--file", "@source", "/tmp/run/" + source.name]
        return self._command(argv, given, files, nvcc[0], None, limits)

    def program(
        self, folder: Path, args: List[str], nvcc: str, gpu: Optional[Gpu], archive: Path,
        limits: Dict[str, int],
    ) -> Command:  # fmt: skip
        files = {"program": (folder / "program", os.O_RDONLY),
                 "archive": (archive, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)}  # fmt: skip
        given = ["--dir", "/tmp/run/out", "--perms", "0555", "--file", "@program", "/job/program"]
        return self._command(["/job/program"] + args, given, files, nvcc, gpu, limits)

    def outputs(self, folder: Path, archive: Path, limits: Dict[str, int]) -> List["Found"]:
        with open(str(archive), "rb") as file:
            return list(unpack(file))

    def check(self, hidden: Path, scratch: Path, nvcc: str, gpu: Optional[Gpu]) -> Command:
        """A command that ends with 0 if the sandbox holds what it should."""
        script = (
            'if [ -r "$3" ]; then echo "$3, with the jobs of others, can be read in the sandbox; choose another --scratch-dir"; exit 1; fi\n'
            'if [ -r "$1" ]; then echo "$1 can be read in the sandbox; move it out of the folders that are shown there"; exit 1; fi\n'
            '[ "$(grep -c : /proc/net/dev)" = 1 ] || { echo "there is a network in it"; exit 1; }\n'
            '[ "$(id -u)" != 0 ] || { echo "programs would be root in it"; exit 1; }\n'
            '"$2" --version >/dev/null || { echo "$2 does not run in it; name the toolkit\'s own nvcc with --nvcc, and further folders it needs with --sandbox-bind"; exit 1; }\n'
            "exit %d\n" % CHECKED
        )
        argv = ["/bin/sh", "-c", script, "sh", str(hidden), nvcc, str(scratch)]
        return self._command(argv, [], {}, nvcc, gpu, DEFAULT_LIMITS)

    def _command(
        self, argv: List[str], given: List[str], files: Dict[str, Any], nvcc: str,
        gpu: Optional[Gpu], limits: Dict[str, int],
    ) -> Command:  # fmt: skip
        box = list(self._isolated)
        env = environment(nvcc, "/tmp/run", "/tmp", gpu.uuid if gpu else "")
        for name, value in env.items():
            box += ["--setenv", name, value]
        size = ["--size", str(limits["disk_bytes"])] if self._sized else []
        box += self._system() + ["--proc", "/proc", "--dev", "/dev"] + self._devices(gpu)
        box += size + ["--tmpfs", "/dev/shm"] + size + ["--tmpfs", "/tmp", "--dir", "/tmp/run"]
        for number, path in enumerate(self.binds):  # after /tmp, since they may lie there
            box += ["--ro-bind", "/tmp/%d" % number if self.uids else path, path]
        box += ["--perms", "0555", "--file", "@init", "/job/init"] + given
        box += ["--chdir", "/tmp/run", "--remount-ro", "/", "--remount-ro", "/dev"]
        box += ["--seccomp", "@seccomp", "--", "/job/init", "@report"]
        box += ["@product" if "product" in files else "-1", "/tmp/program"]
        box += ["@archive" if "archive" in files else "-1"]
        box += [str(limits[name]) for name in ("output_files", "output_file_bytes", "processes", "disk_bytes", "memory_bytes")]
        files = {**files, "init": (self._init, os.O_RDONLY), "seccomp": (self._filter, os.O_RDONLY)}
        return Command(box, argv, "/", {}, files)

    def _system(self) -> List[str]:
        shown = ["--ro-bind", "/usr", "/usr"]
        for name in ("/bin", "/sbin", "/lib", "/lib32", "/lib64"):
            if os.path.islink(name):
                shown += ["--symlink", os.readlink(name), name]
            elif os.path.isdir(name):
                shown += ["--ro-bind", name, name]
        for name in ("/etc/ld.so.cache", "/etc/alternatives", "/etc/nvcc.profile"):
            shown += ["--ro-bind-try", name, name]
        return shown

    def _devices(self, gpu: Optional[Gpu]) -> List[str]:
        if gpu is None:
            return []
        shown = ["--ro-bind", "/sys", "/sys"]
        for node in self._nodes[gpu.uuid]:
            shown += ["--dev-bind", node, node]
        return shown


class Uids:
    """Uids of which each is one slot's alone on this machine, held by a lock in /run."""

    def __init__(self, base: int) -> None:
        self._range = range(base, base + SANDBOX_UIDS)
        self._folder = Path("/run/telerun-sandbox")
        self._folder.mkdir(mode=0o700, exist_ok=True)

    def take(self) -> Any:
        """A uid that is free, as the open file of its lock and its number. Raises BadSetup."""
        for uid in self._range:
            if not _is_account(uid):
                lock = open(str(self._folder / str(uid)), "w")
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return lock, uid
                except BlockingIOError:
                    lock.close()
        raise BadSetup("No uid from %d to %d is free for a sandbox; say --sandbox-uid-base." % (self._range[0], self._range[-1]))  # fmt: skip


def _is_account(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
        return True
    except KeyError:
        return False


def toolkit(nvcc: str) -> Path:
    """What must be seen for nvcc to run: its toolkit, or, of one that lies by itself, the file."""
    path = Path(nvcc)
    return path.parent.parent if (path.parent / "nvcc.profile").is_file() else path


# The first process in the sandbox, in C because it starts a hundred times faster than Python. As
# process 1 of its namespace no program can kill it, and all end when it does. It tells of the
# program what bwrap does not pass on: its wait status, so that exit(137) is not SIGKILL, its time and
# memory; and it hands out what the compiler made, or the program left in out/, without following links.
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
   kind f, a file that comes back, its bytes. The other kinds say why one does not (REASONS). */
enum { NAMED = @NAMED@ };

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
static int keep(char **names, long *count, long most, const char *name) {
    long place = *count;
    if (place == most && strcmp(names[most - 1], name) < 0) return 1;
    int full = place == most;
    if (full) free(names[--place]);
    for (; place > 0 && strcmp(names[place - 1], name) > 0; place--) names[place] = names[place - 1];
    if (!(names[place] = strdup(name))) _exit(125);
    *count += !full;
    return full;
}

static const char *hand_out_folder(int run, int to, long files, long long bytes) {
    long most = files + NAMED, count = 0, odd = 0;
    unsigned long long unnamed = 0;
    char **names = (char **)calloc(most, sizeof *names);
    int failed = 0, opened = openat(run, "out", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (opened < 0 && errno == ENOENT) return "none";
    DIR *out = opened < 0 ? NULL : fdopendir(opened);
    if (!out || !names) return record(to, 'o', 0, "out") ? "unwritten" : "made";
    for (struct dirent *entry; !failed && (entry = readdir(out));) {
        const char *name = entry->d_name;
        int type = entry->d_type;
        if (!strcmp(name, ".") || !strcmp(name, "..")) continue;
        if (type == DT_REG || type == DT_UNKNOWN) unnamed += keep(names, &count, most, name);
        else if (odd++ < NAMED) failed = record(to, type == DT_DIR ? 'd' : type == DT_LNK ? 'l' : 's', 0, name);
        else unnamed++;
    }
    for (long n = 0; n < count && !failed; n++) failed = hand_out_entry(opened, names[n], to, &files, &bytes);
    if (unnamed) failed |= record(to, 'm', unnamed, "");
    return failed ? "unwritten" : "made";
}

/* init REPORT PRODUCT PATH ARCHIVE FILES BYTES PROCESSES FILE_BYTES MEMORY_BYTES COMMAND... */
int main(int argc, char **argv) {
    int report = atoi(argv[1]), product = atoi(argv[2]), archive = atoi(argv[4]), status = 0, adjust;
    int run = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct pollfd reader = {report, 0, 0};
    struct rusage used;
    const char *made = "none";
    if (argc < 11 || poll(&reader, 1, 0) != 0) return 125; /* whoever wanted it is gone */
    fcntl(report, F_SETFD, FD_CLOEXEC);
    if (product >= 0) fcntl(product, F_SETFD, FD_CLOEXEC);
    if (archive >= 0) fcntl(archive, F_SETFD, FD_CLOEXEC);
    if ((adjust = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC)) >= 0) {
        if (write(adjust, "1000", 4) != 4) return 125;
        close(adjust);
    }
    int go[2];
    if (pipe2(go, O_CLOEXEC) != 0) return 125;
    dprintf(report, "started\n");
    double began = now();
    pid_t child = fork();
    if (child == 0) { /* it must not inherit what keeps the slot from looking at it */
        close(go[1]);
        if (read(go[0], &status, 1) != 0) _exit(127);
        char data[32]; /* far beyond, for what grows faster than the slot looks */
        snprintf(data, sizeof data, "%llu", 4 * strtoull(argv[9], NULL, 10));
        limit(RLIMIT_CORE, "0");
        limit(RLIMIT_NOFILE, "4096");
        limit(RLIMIT_NPROC, argv[7]);
        limit(RLIMIT_FSIZE, argv[8]);
        limit(RLIMIT_DATA, data);
        execv(argv[10], argv + 10);
        fprintf(stderr, "%s cannot be started: %s\n", argv[10], strerror(errno));
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
        kill(-1, SIGKILL); /* nobody is left who could change what is handed out */
        while (wait(NULL) > 0 || errno == EINTR) ;
        made = product >= 0 ? hand_out(argv[3], product)
                            : hand_out_folder(run, archive, atol(argv[5]), atoll(argv[6]));
    }
    getrusage(RUSAGE_CHILDREN, &used);
    dprintf(report, "%d %.6f %.6f %ld %s\n", status, seconds,
            used.ru_utime.tv_sec + used.ru_stime.tv_sec
                + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6, used.ru_maxrss, made);
    return 0;
}
""".replace("@NAMED@", str(NAMED))


def compile_init(path: Path) -> None:
    """Compiles INIT_C with the host compiler that nvcc needs too. Raises BadSetup."""
    source = path.with_suffix(".c")
    source.write_text(INIT_C)
    told = ""
    for compiler in ("gcc", "g++", "cc", "clang"):
        argv = [compiler, "-O1", "-x", "c", "-o", str(path), str(source)]
        try:
            done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        except (OSError, subprocess.SubprocessError):
            continue
        if done.returncode == 0:
            return
        told = told or done.stdout.decode("utf-8", "replace").strip()
    raise BadSetup("No host compiler works here, and nvcc needs one as well: apt install g++. %s" % told)


# What no CUDA program needs and past exploits did, as (x86-64, aarch64) system call numbers.
DENIED = {
    "acct": (163, 89), "add_key": (248, 217), "bpf": (321, 280), "chroot": (161, 51),
    "clock_adjtime": (305, 266), "delete_module": (176, 106), "fanotify_init": (300, 262),
    "finit_module": (313, 273), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fsopen": (430, 430), "fspick": (433, 433), "init_module": (175, 105),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "io_uring_setup": (425, 425),
    "kexec_file_load": (320, 294), "kexec_load": (246, 104), "keyctl": (250, 219),
    "lookup_dcookie": (212, 18), "memfd_secret": (447, 447), "mount": (165, 40),
    "mount_setattr": (442, 442), "move_mount": (429, 429), "msgget": (68, 186),
    "open_by_handle_at": (304, 265), "open_tree": (428, 428), "open_tree_attr": (467, 467),
    "perf_event_open": (298, 241), "pidfd_getfd": (438, 438), "pivot_root": (155, 41),
    "process_madvise": (440, 440), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "ptrace": (101, 117), "quotactl": (179, 60),
    "quotactl_fd": (443, 443), "reboot": (169, 142), "request_key": (249, 218),
    "semget": (64, 190), "setns": (308, 268), "shmget": (29, 194), "swapoff": (168, 225),
    "swapon": (167, 224), "syslog": (103, 116), "umount2": (166, 39), "unshare": (272, 97),
    "userfaultfd": (323, 282), "vhangup": (153, 58),
}  # fmt: skip
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
CLONE_NEW = 0x7E020000  # every CLONE_NEW… flag of clone(2)
CLONE_FILES, CLONE_THREAD, CLOSE_RANGE_UNSHARE = 0x400, 0x10000, 0x2
FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, 16)  # 16: netlink. Not vsock
TERMINAL_TRICKS = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX


def seccomp_filter(machine: str) -> bytes:
    """A filter (seccomp(2)) in classic BPF. Raises BadSetup for a machine it does not know."""
    if machine not in ARCHITECTURES:
        raise BadSetup("There is no system call filter for a %s; --sandbox none runs without a sandbox." % machine)  # fmt: skip
    column, audit_architecture = ARCHITECTURES[machine]
    clone, clone3, ioctl, make_socket = [(56, 220), (435, 435), (16, 29), (41, 198)]
    prlimit, close_range = (302, 261), (436, 436)

    def load(offset: int) -> bytes:
        return struct.pack("=HBBI", 0x20, 0, 0, offset)

    def jump(how: int, value: int, if_true: int, if_false: int) -> bytes:
        return struct.pack("=HBBI", how, if_true, if_false, value)

    def end(what: int) -> bytes:
        return struct.pack("=HBBI", 0x06, 0, 0, what)

    equal, at_least, has_bits = 0x15, 0x35, 0x45
    kill, allow = end(0x80000000), end(0x7FFF0000)
    deny, absent, no_family = [
        end(0x00050000 | number) for number in (errno.EPERM, errno.ENOSYS, errno.EAFNOSUPPORT)
    ]
    first = 16  # the offset of the first argument; its low half, as the kernel reads it
    program = load(4) + jump(equal, audit_architecture, 1, 0) + kill + load(0)
    if machine == "x86_64":  # x32, whose calls have numbers of their own
        program += jump(at_least, 0x40000000, 0, 1) + kill
    for numbers in DENIED.values():
        program += jump(equal, numbers[column], 0, 1) + deny
    # glibc then uses clone, whose flags a filter can see. Threads share their descriptors, or the
    # memory behind those of one would not be seen (`Watched`).
    program += jump(equal, clone3[column], 0, 1) + absent
    program += jump(equal, clone[column], 0, 7) + load(first)
    program += jump(has_bits, CLONE_NEW, 0, 1) + deny
    program += jump(has_bits, CLONE_THREAD, 0, 2) + jump(has_bits, CLONE_FILES, 1, 0) + deny + allow
    program += jump(equal, close_range[column], 0, 4) + load(first + 16)
    program += jump(has_bits, CLOSE_RANGE_UNSHARE, 0, 1) + deny + allow
    # The limits of others, such as the first process, which has the same user; 0 is the caller.
    program += jump(equal, prlimit[column], 0, 4) + load(first)
    program += jump(equal, 0, 1, 0) + deny + allow
    program += jump(equal, ioctl[column], 0, 5) + load(first + 8)
    program += b"".join(jump(equal, trick, 2 - n, 0) for n, trick in enumerate(TERMINAL_TRICKS))
    program += allow + deny
    program += jump(equal, make_socket[column], 0, len(FAMILIES) + 2) + load(first)
    program += b"".join(
        jump(equal, int(family), len(FAMILIES) - n, 0) for n, family in enumerate(FAMILIES)
    )
    return program + no_family + allow


def why_denied() -> str:
    """The command that mends a kernel which keeps bubblewrap from making namespaces."""
    def setting(name: str) -> str:
        try:
            return Path("/proc/sys/" + name).read_text().strip()
        except OSError:
            return ""

    if setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return "AppArmor keeps it from making namespaces: install the profile in docs/gpu-hosts.md, or: sysctl kernel.apparmor_restrict_unprivileged_userns=0"
    if setting("kernel/unprivileged_userns_clone") == "0":
        return "this kernel keeps users from making namespaces: sysctl kernel.unprivileged_userns_clone=1"
    if setting("user/max_user_namespaces") == "0":
        return "this kernel allows no user namespaces: sysctl user.max_user_namespaces=10000"
    return "in a container, allow it to make namespaces, or run the executor outside of it"


# --- A slot: the child process that starts compilers and programs ------------------------
#
# The worker's thread writes one line of JSON to the slot, with the descriptors that the command
# needs, and reads back one line of JSON and the log's bytes. The slot is single-threaded and
# long-lived. It adopts orphans (PR_SET_CHILD_SUBREAPER, prctl(2)), so every process that a program
# started is its descendant and is killed when the program is over. When its standard input closes,
# because the worker is gone, even by kill -9, it kills what runs and ends. Started by root, it
# gives that up at once for a uid that nothing else on the machine has.

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 1, 4, 36
MS_BIND, MS_REC, MS_PRIVATE, CLONE_NEWNS = 0x1000, 0x4000, 0x40000, 0x20000
_libc = ctypes.CDLL(None, use_errno=True)


class Log:
    """The head and the tail of a stream of bytes, and how much was left out between them."""

    def __init__(self, most: int) -> None:
        self._head_most = int(most * HEAD_SHARE)
        self._tail_most = most - self._head_most
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def add(self, data: bytes) -> None:
        self.total += len(data)
        room = self._head_most - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        if len(self._tail) > 2 * self._tail_most:  # seldom, so that adding stays cheap
            del self._tail[: -self._tail_most]

    def content(self) -> bytes:
        left_out = self.total - self._head_most - self._tail_most
        if left_out <= 0:
            return bytes(self._head + self._tail)
        note = b"\n[... %d bytes left out ...]\n" % left_out
        return bytes(self._head) + note + bytes(self._tail[-self._tail_most :])


class SlotProcess:
    """The slot's own side: reads orders from standard input, a socket, until it closes."""

    def __init__(self, setup: Dict[str, Any]) -> None:
        """`setup`: "uid" to become, "groups" to be in, "binds" to lay out in /tmp; or {}."""
        self._uid = setup.get("uid")
        self._orders = bytearray()
        self._received = []  # type: List[int]  # descriptors that came with orders
        self._stop = 0  # the number of the run that is to be killed
        self._open = True
        self._socket = socket.socket(fileno=0)
        self._selector = selectors.DefaultSelector()
        self._selector.register(0, selectors.EVENT_READ, self._read_orders)
        wake, self._wake = os.pipe()  # a byte arrives when a child has ended
        for end in (wake, self._wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        # The executor says when to stop. Handlers, because what is ignored stays so in programs.
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        self._selector.register(wake, selectors.EVENT_READ, lambda: os.read(wake, 4096))
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        self._memfd_device = _memfd_device()
        self._trouble = ""
        if self._uid is not None:
            try:
                self._become(self._uid, setup["groups"], setup["binds"])
            except OSError as error:
                self._uid, self._trouble = None, "its slot cannot be set up: %s" % error.strerror

    def _become(self, uid: int, groups: List[int], binds: List[str]) -> None:
        """Gives root up for the uid; before, shows it what only root can reach, in /tmp."""
        if binds:
            _check(_libc.unshare(CLONE_NEWNS))
            _check(_libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
            opened = [os.open(path, os.O_PATH) for path in binds]  # before /tmp is another
            _check(_libc.mount(b"none", b"/tmp", b"tmpfs", 0, b"size=1m,mode=0755"))
            for number, descriptor in enumerate(opened):
                self._lay_out("/proc/self/fd/%d" % descriptor, "/tmp/%d" % number)
                os.close(descriptor)
        os.setgroups(groups)
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        _libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # else its own /proc/self/fd is closed to it
        self._sweep()

    def _lay_out(self, path: str, place: str) -> None:
        if os.path.isdir(path):
            os.mkdir(place)
        else:
            open(place, "w").close()
        _check(_libc.mount(path.encode(), place.encode(), None, MS_BIND | MS_REC, None))

    def serve(self) -> None:
        while self._open:
            self._dispatch(None)
            order = self._next_order()
            if order is not None:
                self._answer(*self._run(order))

    def _dispatch(self, timeout: Optional[float]) -> None:
        for key, _ in self._selector.select(timeout):
            key.data()

    def _read_orders(self) -> None:
        try:
            data, extra, _, _ = self._socket.recvmsg(1 << 16, socket.CMSG_SPACE(16 * 4), socket.MSG_CMSG_CLOEXEC)
        except ConnectionError:
            data, extra = b"", []
        for _level, _kind, content in extra:
            descriptors = array.array("i")
            descriptors.frombytes(content[: len(content) - len(content) % 4])
            self._received += descriptors
        if not data:
            self._open = False
        self._orders += data
        self._take_kills()

    def _take_kills(self) -> None:
        while self._orders.startswith(b"kill "):
            line, newline, rest = self._orders.partition(b"\n")
            if not newline:
                break
            self._stop, self._orders = int(line[5:]), rest

    def _next_order(self) -> Optional[Dict[str, Any]]:
        line, newline, rest = self._orders.partition(b"\n")
        if not newline:
            return None
        self._orders = rest
        self._take_kills()
        return json.loads(line.decode())

    def _answer(self, ended: Dict[str, Any], log: bytes) -> None:
        try:
            self._socket.sendall(json.dumps({**ended, "log_bytes": len(log)}).encode() + b"\n" + log)
        except ConnectionError:
            self._open = False

    def _run(self, order: Dict[str, Any]) -> Any:
        """Runs one command to its end; what became of it, and its log."""
        count = len(order["files"])
        files = dict(zip(order["files"], self._received))
        self._received, mine = self._received[count:], self._received[:count]
        report, files["report"] = os.pipe()
        try:
            return self._run_with(order, files, report)
        finally:
            for descriptor in mine + [report]:
                os.close(descriptor)

    def _run_with(self, order: Dict[str, Any], files: Dict[str, int], report: int) -> Any:
        log = Log(order["log_bytes"])
        box = [str(files[a[1:]]) if a.startswith("@") else a for a in order["box"]]
        started = time.monotonic()
        try:
            if self._trouble:
                return {"error": self._trouble, "sandbox": True}, b""
            child = subprocess.Popen(
                box + order["argv"], cwd=order["cwd"], env=order["env"], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
                pass_fds=list(files.values()) if box else (), preexec_fn=_dying_with(os.getpid()),
            )  # fmt: skip
        except (OSError, ValueError) as error:
            gone = bool(box) and not os.access(box[0], os.X_OK)
            return {"error": str(error), "sandbox": gone}, b""
        finally:
            os.close(files["report"])
        watched = Watched(child.pid, self._memfd_device if box else 0)
        why = self._watch(child, order, log, started + order["seconds"], watched)
        seconds = time.monotonic() - started
        unkillable = self._kill_all(child)
        self._drain(child, log)
        ended = {"why": why, "seconds": seconds, "output_bytes": log.total, "unkillable": unkillable,
                 "memory_bytes": watched.peak or None, "cpu_seconds": None}  # fmt: skip
        code = child.returncode
        if box:
            told = _read_all(report).decode("ascii", "replace").splitlines()
            if not told and why == "ended" and not unkillable:
                return {"error": in_text(log.content())[-500:].strip() or "it ended with %s" % code, "sandbox": True}, b""
            # A program that ended its own sandbox, which the kernel does for lack of memory.
            code = -signal.SIGKILL
            if len(told) == 2:
                status, wall, cpu, kib, made = told[1].split()
                code = os.WEXITSTATUS(int(status)) if os.WIFEXITED(int(status)) else -os.WTERMSIG(int(status))
                ended.update(seconds=float(wall), cpu_seconds=float(cpu))
                ended["memory_bytes"] = max(int(kib) << 10, watched.peak)
                if why == "ended" and 0 < order["memory_bytes"] < int(kib) << 10:  # between two looks
                    ended["why"] = "memory"
                if made == "unwritten":
                    return {"error": "what it made could not be kept"}, b""
        ended.update(exit_code=code if code >= 0 else None, signal=-code if code < 0 else None)
        return ended, log.content()

    def _watch(
        self, child: Any, order: Dict[str, Any], log: Log, deadline: float, watched: "Watched"
    ) -> str:
        """Waits for the end and says what it was: "ended", "time", "output", "memory", "short" or "killed"."""
        pipe = child.stdout.fileno()
        os.set_blocking(pipe, False)

        def read() -> None:
            data = os.read(pipe, 1 << 16)
            log.add(data)
            if not data:
                self._selector.unregister(pipe)

        self._selector.register(pipe, selectors.EVENT_READ, read)
        look = 0.0
        try:
            while child.poll() is None:
                now = time.monotonic()
                if now >= deadline:
                    return "time"
                if log.total > order["output_bytes"]:
                    return "output"
                if not self._open or self._stop == order["number"]:
                    return "killed"
                if order["memory_bytes"] and now >= look:
                    trouble = watched.trouble(order["memory_bytes"])
                    if trouble:
                        return trouble
                    look = now + WATCH_SECONDS
                self._dispatch(min(deadline, look or deadline) - now)
            return "output" if log.total > order["output_bytes"] else "ended"
        finally:
            if pipe in self._selector.get_map():
                self._selector.unregister(pipe)

    def _kill_all(self, child: Any) -> List[int]:
        """Kills the command and all that it left behind; they are ours, whatever they did. What even
        SIGKILL does not end, because it hangs in a driver, is not waited for, and returned."""
        if child.poll() is None:
            _kill_group(child.pid)
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline:
            child.poll()
            self._sweep()
            others = _children()
            for pid in others:
                if pid != child.pid:
                    _kill_group(pid)
                    _reap(pid)
            if not others:
                return []
            time.sleep(0.001)
        return others

    def _sweep(self) -> None:
        """Kills everything of this uid but this process (kill(2)): the uid is ours alone."""
        if self._uid is not None:
            try:
                os.kill(-1, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def _drain(self, child: Any, log: Log) -> None:
        """Reads what was still in the pipe; nobody is left who could write more."""
        if child.returncode is None:
            child.returncode = -signal.SIGKILL
        try:
            for _ in range(64):
                data = os.read(child.stdout.fileno(), 1 << 16)
                if not data:
                    break
                log.add(data)
        except BlockingIOError:
            pass
        child.stdout.close()


def _kill_group(pid: int) -> None:
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass


def _children() -> List[int]:
    """The pids of this process's children (proc(5))."""
    me = os.getpid()
    try:
        return [int(pid) for pid in Path("/proc/%d/task/%d/children" % (me, me)).read_text().split()]
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _parent(pid) == me]


def _parent(pid: int) -> int:
    try:
        return int(Path("/proc/%d/stat" % pid).read_bytes().rpartition(b")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def _dying_with(parent: int) -> Callable[[], None]:
    """For the child before it becomes bwrap: it is killed when the slot is, from the first moment.

    The slot is single-threaded: that signal follows the thread which forked (prctl(2)).
    """

    def prepare() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _read_all(descriptor: int) -> bytes:
    """What is in a pipe that nobody writes to any more, or nobody who is to be waited for."""
    os.set_blocking(descriptor, False)
    try:
        return os.read(descriptor, 4096)
    except BlockingIOError:
        return b""


def _memfd_device() -> int:
    """The file system that files made by memfd_create(2) are on; 0 where there is none."""
    try:
        descriptor = os.memfd_create("device")
    except (AttributeError, OSError):
        return 0
    try:
        return os.fstat(descriptor).st_dev
    finally:
        os.close(descriptor)


class Watched:
    """A process and all its descendants, and the memory they have."""

    PAGE = os.sysconf("SC_PAGE_SIZE")

    def __init__(self, pid: int, memfd_device: int) -> None:
        self._pid = pid
        self._memfd_device = memfd_device
        self.peak = 0

    def trouble(self, most: int) -> str:
        """"memory" if they have more bytes now: resident, or in files that live in memory alone.
        "short" if the host has none left, whoever has it: that is not this job's mistake. Else ""."""
        if host_is_short():
            return "short"
        pids = self._tree()
        if any(map(self._hides, pids[2:])):  # behind bwrap and the first process
            return "memory"
        try:
            memfds = self._memfds(pids)
        except OverflowError:
            return "memory"
        files = self._files(pids)
        size = files + sum(memfds.values()) + sum(map(self._resident, pids))
        if size > most:  # count what they share once; that takes longer
            size = files + sum(memfds.values()) + sum(map(self._proportional, pids))
        elif size + shared_on_host() > most:
            size = max(size, files + self._with_mapped(pids, memfds))
        self.peak = max(self.peak, size)
        return "memory" if size > most else ""

    def _tree(self) -> List[int]:
        found, new = [], [self._pid]
        while new:
            pid = new.pop()
            threads = glob.glob("/proc/%d/task/*/children" % pid)
            # One whose first thread ended is told of by the others alone.
            others = [] if len(threads) < 2 or is_running(pid) else [int(path.split("/")[4]) for path in threads]
            found.append(max(others, default=pid))
            for path in threads:
                try:
                    with open(path) as file:
                        new += map(int, file.read().split())
                except OSError:
                    pass
        return found

    def _hides(self, pid: int) -> bool:
        """Whether it keeps its files from being counted (PR_SET_DUMPABLE, prctl(2))."""
        try:
            os.listdir("/proc/%d/fd" % pid)
        except PermissionError:
            return self._resident(pid) > 0  # one that is ending is closed too, but has no memory
        except OSError:
            pass
        return False

    def _resident(self, pid: int) -> int:
        try:
            return of_memory("/proc/%d/status" % pid, "VmRSS", "VmPTE")
        except (OSError, ValueError):
            return 0

    def _proportional(self, pid: int) -> int:
        try:
            return of_memory("/proc/%d/smaps_rollup" % pid, "Pss") + of_memory("/proc/%d/status" % pid, "VmPTE")
        except (OSError, ValueError):
            return self._resident(pid)

    def _files(self, pids: List[int]) -> int:
        """Files in the sandbox live in memory, and take some of the kernel's, a page each here."""
        size = 0
        for pid in pids[2:] if self._memfd_device else []:  # behind bwrap and the first process
            for folder in ("tmp", "dev/shm"):
                try:
                    about = os.statvfs("/proc/%d/root/%s" % (pid, folder))
                except OSError:
                    break
                size += (about.f_blocks - about.f_bfree) * about.f_frsize
                size += (about.f_files - about.f_ffree) * self.PAGE
            else:
                break
        return size

    def _memfds(self, pids: List[int]) -> Dict[int, int]:
        """Such files count here even where no process has them mapped. Raises OverflowError for
        more descriptors than can be looked at, as each look is to be short."""
        sizes, looks = {}, 0
        for pid in pids if self._memfd_device else []:
            for path in glob.glob("/proc/%d/fd/*" % pid):
                looks += 1
                if looks > MOST_DESCRIPTORS:
                    raise OverflowError
                try:
                    about = os.stat(path)
                except OSError:
                    continue
                if about.st_dev == self._memfd_device:
                    sizes[about.st_ino] = about.st_blocks * 512
        return sizes


    def _with_mapped(self, pids: List[int], memfds: Dict[int, int]) -> int:
        """Bytes with all that is mapped of shared memory, touched or not. A page that was given up
        (madvise(2)), or that only a dead process touched, is in no count of resident ones, but stays."""
        own, extents = 0, dict(memfds)
        for pid in pids if self._memfd_device else []:
            try:
                own += of_memory("/proc/%d/status" % pid, "RssAnon", "RssFile", "VmPTE")
                for inode, end in self._mapped(pid):
                    extents[inode] = max(extents.get(inode, 0), end)
            except (OSError, ValueError):
                pass
        return own + min(sum(extents.values()), shared_on_host())

    def _mapped(self, pid: int) -> Iterator[Tuple[int, int]]:
        """Inode and end of each mapping of a file that lives in memory alone (proc(5))."""
        with open("/proc/%d/maps" % pid, errors="replace") as file:
            for line in file:
                span, _, offset, device, inode = line.split()[:5]
                if os.makedev(*(int(number, 16) for number in device.split(":"))) == self._memfd_device:
                    begin, end = (int(address, 16) for address in span.split("-"))
                    yield int(inode), int(offset, 16) + end - begin


def shared_on_host() -> int:
    """Bytes in all of the host's files that live in memory alone."""
    try:
        return of_memory("/proc/meminfo", "Shmem")
    except (OSError, ValueError):
        return 0


def of_memory(path: str, *names: str) -> int:
    """The sum, in bytes, of those lines of one of the kernel's files. Raises OSError, ValueError."""
    with open(path, errors="replace") as file:
        return sum(int(line.split()[1]) << 10 for line in file if line.partition(":")[0] in names)


def host_is_short(path: str = "/proc/meminfo") -> bool:
    """Whether the host's memory is nearly gone. What runs is then stopped: some of what a program
    takes is in nobody's count, such as files that are on their way through a socket."""
    try:
        floor = min(1 << 30, of_memory(path, "MemTotal") // 20)
        return of_memory(path, "MemAvailable") < floor
    except (OSError, ValueError):
        return False


class Cgroups:
    """A cgroup (version 2) for each slot, where this process may make some: the kernel itself then
    limits memory and processes, and the slot need not look. `group` is None elsewhere."""

    OVERHEAD_BYTES, OVERHEAD_PROCESSES = 32 << 20, 8  # of the slot and bwrap

    def __init__(self, group: Optional[Path]) -> None:
        """`group`: the one this process is in, alone. It must move to a part of it, since only
        groups without processes of their own have parts with limits (cgroups(7))."""
        self._group = group
        self._count = 0
        if group is not None:
            try:
                self._split(group)
            except OSError:
                self._group = None

    def _split(self, group: Path) -> None:
        if not {"memory", "pids"} <= set((group / "cgroup.controllers").read_text().split()):
            raise OSError(errno.ENOTSUP, "without the controllers")
        leaf = group / "telerun-executor"
        leaf.mkdir(exist_ok=True)
        try:
            (leaf / "cgroup.procs").write_text(str(os.getpid()))
            (group / "cgroup.subtree_control").write_text("+memory +pids")
        except OSError:  # others are in it too
            (group / "cgroup.procs").write_text(str(os.getpid()))
            leaf.rmdir()
            raise

    def close(self) -> None:
        """Back to where it was, if nothing is left in the parts."""
        if self._group is not None:
            try:
                (self._group / "cgroup.subtree_control").write_text("-memory -pids")
                (self._group / "cgroup.procs").write_text(str(os.getpid()))
                (self._group / "telerun-executor").rmdir()
            except OSError:
                pass

    def about(self) -> str:
        return "cgroup v2" if self._group else "rlimits and a watchdog"

    def make(self) -> Optional[Path]:
        """A group for one slot, or None."""
        if self._group is None:
            return None
        self._count += 1
        made = self._group / ("telerun-slot-%d" % self._count)
        made.mkdir(exist_ok=True)
        (made / "memory.swap.max").write_text("0")
        return made

    @classmethod
    def limit(cls, group: Path, limits: Dict[str, int]) -> None:
        (group / "memory.max").write_text(str(limits["memory_bytes"] + cls.OVERHEAD_BYTES))
        (group / "pids.max").write_text(str(limits["processes"] + cls.OVERHEAD_PROCESSES))

    @staticmethod
    def kills(group: Path) -> int:
        """How many processes were killed in it so far because its memory was used up."""
        told = dict(line.split() for line in (group / "memory.events").read_text().splitlines())
        return int(told.get("oom_kill", 0))


def own_cgroup() -> Optional[Path]:
    """The cgroup (version 2) of this process; None where there are none, or all is one group."""
    try:
        mounts = [line.split(" - ") for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        places = [m[0].split()[4] for m in mounts if m[1].startswith("cgroup2 ")]
        names = re.findall(r"^0::/(.+)$", Path("/proc/self/cgroup").read_text(), re.MULTILINE)
    except (OSError, IndexError):
        return None
    return Path(places[0]) / names[0] if places and names else None


class Ended(NamedTuple):
    """What became of a command in a slot."""

    why: str  # "ended", or what ended it: "time", "output", "memory", "short", "killed"; "lost": the slot died
    exit_code: Optional[int] = None
    signal: Optional[int] = None
    seconds: float = 0.0
    log: bytes = b""
    cpu_seconds: Optional[float] = None
    memory_bytes: Optional[int] = None
    unkillable: List[int] = []


class Slot:
    """The worker's side of a slot. `run` blocks; `kill` may come from any thread."""

    def __init__(self, sandbox: Any = None, group: Optional[Path] = None) -> None:
        """With a sandbox that has uids, one of them is this slot's for as long as it lives.
        `group` is a cgroup of its own."""
        self._group = group
        self._lock = threading.Lock()
        self._number = 0
        self._process = None  # type: Optional[subprocess.Popen[bytes]]
        self._setup = {}  # type: Dict[str, Any]
        self._uid_lock = None  # type: Any
        if sandbox is not None and sandbox.uids:
            self._uid_lock, uid = sandbox.uids.take()
            self._setup = {"uid": uid, "groups": sandbox.groups, "binds": sandbox.binds}

    def run(
        self, command: Command, seconds: float, limits: Dict[str, int], wanted: Callable[[], bool]
    ) -> Ended:
        """Runs the command to its end or its limit. Raises OSError if it cannot be started, and
        SandboxBroken if nothing can.

        `wanted` is asked at the last moment: a `kill` that came before finds nothing to kill.
        """
        order = {
            "box": command.box, "argv": command.argv, "cwd": command.cwd, "env": command.env,
            "files": list(command.files), "seconds": seconds,
            "log_bytes": limits["log_bytes"], "output_bytes": limits["output_bytes"],
            "memory_bytes": 0 if self._group else limits.get("memory_bytes", 0),
        }  # fmt: skip
        kills = self._prepare_group(limits)
        opened = []  # type: List[int]
        try:
            for path, flags in command.files.values():
                opened.append(os.open(str(path), flags, 0o700))
            self._started()
            with self._lock:
                if not wanted():
                    return Ended("killed")
                self._number += 1
                self._send({**order, "number": self._number}, opened)
            told = json.loads((self._answers.readline() or b"{}").decode())
            log = self._answers.read(told.get("log_bytes", 0))
        except (ConnectionError, ValueError):
            told = {}
        finally:
            for descriptor in opened:
                os.close(descriptor)
        if not told:
            self._end()
            self._started()  # which kills what the last one may have left
            return Ended("lost")
        if "error" in told:
            raise SandboxBroken(told["error"]) if told.get("sandbox") else OSError(told["error"])
        if self._group and Cgroups.kills(self._group) > kills:
            told["why"] = "memory"
        return Ended(told["why"], told["exit_code"], told["signal"], told["seconds"], log,
                     told["cpu_seconds"], told["memory_bytes"], told["unkillable"])  # fmt: skip

    def _prepare_group(self, limits: Dict[str, int]) -> int:
        if self._group is None:
            return 0
        Cgroups.limit(self._group, limits)
        return Cgroups.kills(self._group)

    def _send(self, order: Dict[str, Any], descriptors: List[int]) -> None:
        data = json.dumps(order).encode() + b"\n"
        passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        sent = self._socket.sendmsg([data], passed if descriptors else [])
        self._socket.sendall(data[sent:])

    def kill(self) -> None:
        """Kills what runs now, if anything does; `run` then returns."""
        with self._lock:
            try:
                if self._process is not None:
                    self._socket.sendall(b"kill %d\n" % self._number)
            except OSError:
                pass  # it is gone, which `run` notices

    def destroy(self) -> None:
        """kill -9 of the slot, when it does not answer; `run` then returns."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """Ends the slot, and whatever runs in it, for good."""
        self._end()
        if self._uid_lock is not None:
            self._uid_lock.close()
        if self._group is not None:
            try:
                self._group.rmdir()
            except OSError:
                pass  # something in it does not die; the group goes with the service's own

    def _end(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            self._socket.shutdown(socket.SHUT_WR)
            try:
                process.wait(GRACE_SECONDS + 1)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._answers.close()
            self._socket.close()

    def _started(self) -> None:
        if self._process is None:
            self._socket, theirs = socket.socketpair()
            self._answers = self._socket.makefile("rb")
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", str(Path(__file__).resolve()), "--slot", json.dumps(self._setup)],
                    stdin=theirs, stdout=subprocess.DEVNULL, cwd="/", start_new_session=True,
                    env={k: os.environ[k] for k in ("PATH", "LD_LIBRARY_PATH") if k in os.environ},
                )  # fmt: skip
            if self._group is not None:
                (self._group / "cgroup.procs").write_text(str(self._process.pid))


# --- What a program leaves in ./out/ -----------------------------------------------------
#
# Its bytes go from the sandbox's first process, through a descriptor, into one archive on the
# host; no name that a program chose is ever one of a file here. The limits are applied twice: by
# whoever writes the archive, and to what is read from it.

REASONS = {
    "d": "it is a folder; only files in out/ itself come back",
    "l": "it is a link",
    "h": "it is a link to a file that has another name too",
    "s": "it is no plain file",
    "u": "it cannot be read",
    "o": "it is no folder that can be read",
}
RECORD = re.compile(rb"([a-z]) (\d{1,20}) (\d{1,3})\n")


class Found(NamedTuple):
    """An entry of ./out/: a file ("f") whose bytes are in the archive, or why it is not there."""

    kind: str  # "f", a key of REASONS, "c" or "b": over a limit, "m": `size` more entries
    size: int
    name: bytes
    offset: int = 0


def unpack(archive: Any) -> Iterator[Found]:
    """The entries in an archive that the sandbox's first process wrote."""
    end = os.fstat(archive.fileno()).st_size
    for line in iter(lambda: archive.readline(64), b""):
        told = RECORD.fullmatch(line)
        if not told:
            return
        name = archive.read(int(told[3]))
        kind, size, offset = told[1].decode(), int(told[2]), archive.tell()
        if kind == "f":
            kind = "f" if offset + size <= end else "u"
            archive.seek(offset + size)
        yield Found(kind, size, name, offset)


def gather(folder: Path, archive: Path, limits: Dict[str, int]) -> List[Found]:
    """The same where there is no sandbox: copies the files in `folder`/out to the archive."""
    try:
        opened = os.open(str(folder / "out"), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return []
    except OSError:
        return [Found("o", 0, b"out")]
    try:
        with open(str(archive), "wb") as file:
            return list(_gather(opened, file, limits["output_files"], limits["output_file_bytes"]))
    finally:
        os.close(opened)


def _gather(folder: int, archive: Any, files: int, room: int) -> Iterator[Found]:
    for name in sorted(os.fsencode(name) for name in os.listdir(folder)):
        kind, size, source = _open_entry(folder, name)
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


def _open_entry(folder: int, name: bytes) -> Any:
    """What an entry is, its size, and for a file to read it is open."""
    try:
        about = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISREG(about.st_mode):
            return {stat.S_IFDIR: "d", stat.S_IFLNK: "l"}.get(stat.S_IFMT(about.st_mode), "s"), 0, None
        source = os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder), "rb")
    except OSError:
        return "u", 0, None
    about = os.fstat(source.fileno())
    return "f" if about.st_nlink == 1 else "h", about.st_size, source


class Outputs:
    """Which entries of ./out/ come back, and why others do not."""

    def __init__(self, entries: List[Found], limits: Dict[str, int]) -> None:
        self.files = []  # type: List[Dict[str, Any]]  # "name", "size", "offset" in the archive
        self._most = limits["output_files"]
        self._bytes = self._room = limits["output_file_bytes"]
        self._left_out = []  # type: List[Dict[str, str]]
        self._unnamed = 0
        for entry in entries:
            self._add(entry)

    def report(self) -> Dict[str, Any]:
        """Members of the result: what comes back, what does not and why; nothing about nothing."""
        told = {
            "files": [{"name": f["name"], "size": f["size"]} for f in self.files],
            "files_left_out": self._left_out,
            "more_files_left_out": self._unnamed,
        }
        return {name: value for name, value in told.items() if value}

    def _add(self, entry: Found) -> None:
        why = self._why_not(entry)
        if not why:
            self._room -= entry.size
            self.files.append({"name": entry.name.decode(), "size": entry.size, "offset": entry.offset})
        elif entry.kind == "m" or len(self._left_out) >= NAMED:
            self._unnamed += entry.size if entry.kind == "m" else 1
        else:
            self._left_out.append({"name": spelled_out(entry.name), "reason": why})

    def _why_not(self, entry: Found) -> str:
        if entry.kind not in "fbc":
            return REASONS.get(entry.kind, "there are too many")
        if not is_plain_name(entry.name):
            return "its name is not printable text without slashes"
        if entry.kind == "c" or len(self.files) >= self._most:
            return "no more than %d files come back" % self._most if self._most else "this queue keeps no files"
        if entry.kind == "b" or entry.size > self._room:
            return "it has %s, and all files together may have %s" % (in_size(entry.size), in_size(self._bytes))
        return ""


def is_plain_name(name: bytes) -> bool:
    """Whether the queue takes a file of that name."""
    try:
        text = name.decode("utf-8")
    except ValueError:
        return False
    return text.isprintable() and text not in ("", ".", "..") and not set("/\\") & set(text) and len(name) <= 255


def spelled_out(name: bytes) -> str:
    """Any name as text that does nothing to a terminal, and is not long."""
    text = name.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)[:100]


# --- The spool: results that are on disk until the queue has them ------------------------


class Spool:
    """A folder with one file a result, written before it is sent, and one with its output files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for archive in folder.glob("*.out"):  # of a run that was killed before its result was there
            if not archive.with_suffix(".json").exists():
                archive.unlink()

    def archive(self, attempt_id: int) -> Path:
        """Where the output files of an attempt are to be put, one after another."""
        return self._folder / ("%d.out" % attempt_id)

    def put(self, attempt_id: int, report: Dict[str, Any], files: List[Dict[str, Any]]) -> Path:
        """Writes a result durably, with the `files` in its archive. Raises OSError when the disk is full."""
        path = self._folder / ("%d.json" % attempt_id)
        draft = path.with_suffix(".part")
        try:
            if files:
                with open(str(self.archive(attempt_id)), "rb") as archive:
                    os.fsync(archive.fileno())
            else:
                self.archive(attempt_id).unlink(missing_ok=True)
            with open(str(draft), "wb") as file:
                file.write(json.dumps({"attempt": attempt_id, "report": report, "files": files}).encode())
                file.flush()
                os.fsync(file.fileno())
            os.replace(str(draft), str(path))
        except OSError:
            if draft.exists():
                draft.unlink()
            raise
        folder = os.open(str(self._folder), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return path

    def left_over(self) -> List[Path]:
        """The results that an earlier run of this executor could not send."""
        return sorted(self._folder.glob("*.json"))

    def read(self, path: Path) -> Optional[Dict[str, Any]]:
        """The result in a file, None if it is not whole (it then never was reported as done)."""
        try:
            content = json.loads(path.read_bytes().decode())
            return content if {"attempt", "report"} <= set(content) else None
        except (OSError, ValueError, TypeError):
            return None

    def file(self, attempt_id: int, file: Dict[str, Any]) -> bytes:
        """The bytes of one of a result's files. Raises OSError."""
        with open(str(self.archive(attempt_id)), "rb") as archive:
            archive.seek(file["offset"])
            return archive.read(file["size"])

    def drop(self, attempt_id: int) -> None:
        """Forgets a result and its files, in an order that leaves no result without them."""
        archive = self.archive(attempt_id)
        archive.with_suffix(".json").unlink(missing_ok=True)
        archive.unlink(missing_ok=True)


# --- The compile cache -------------------------------------------------------------------


class CompileCache:
    """Programs that were compiled here before, by what they were made from; few, small ones.

    An entry is made from one whole source by one toolchain, and only a compiler that succeeded
    makes one. Jobs get copies: what a program does to its own file stays with it.
    """

    def __init__(self, folder: Path, most: int) -> None:
        """Keeps at most `most` programs, the least recently used go first; 0 keeps none."""
        self._folder = folder
        self._most = most
        folder.mkdir(parents=True, exist_ok=True)
        for draft in folder.glob("*.part"):  # of a run that was killed
            shutil.rmtree(str(draft), ignore_errors=True)

    def get(self, key: str, program: Path) -> Optional[Dict[str, Any]]:
        """The report of the compile that made it, and the program at `program`; None if unknown."""
        entry = self._folder / key
        if not self._most:
            return None
        try:
            report = json.loads((entry / "report.json").read_bytes().decode())
            shutil.copy(str(entry / "program"), str(program))
            os.utime(str(entry))
            return report
        except (OSError, ValueError):  # another worker may just have thrown it out
            return None

    def put(self, key: str, program: Path, report: Dict[str, Any]) -> None:
        """Keeps a program. A disk that is full costs no more than the next compile."""
        if not self._most or program.stat().st_size > CACHED_BYTES:
            return
        draft = self._folder / (uuid.uuid4().hex + ".part")
        try:
            draft.mkdir()
            shutil.copy(str(program), str(draft / "program"))
            (draft / "report.json").write_bytes(json.dumps(report).encode())
            draft.rename(self._folder / key)
        except OSError:  # full, or another worker was first
            shutil.rmtree(str(draft), ignore_errors=True)
        self._throw_out()

    def _throw_out(self) -> None:
        entries = [entry for entry in self._folder.iterdir() if not entry.name.endswith(".part")]
        for entry in sorted(entries, key=when_changed, reverse=True)[self._most :]:
            shutil.rmtree(str(entry), ignore_errors=True)


def when_changed(path: Path) -> float:
    """Its modification time; 0 if it is gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


# --- The gate: what a GPU must show before it gets the next job --------------------------
#
# It is looked at through nvidia-smi, whose text is the same for all drivers, and through the
# kernel's log, where the driver reports Xid errors. A GPU that fails is quarantined alone: its
# worker takes no job until it passes again.

# Xid errors after which NVIDIA says to reset the GPU or to reboot, by
# https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html (the resolution buckets RESET_GPU,
# RESTART_BM and WORKFLOW_XID_48). Not here: what a program's own faults raise (13, 31, 43, 45, 68,
# 69), and memory errors that were contained (63, 92, 94), after which the next program may run.
RESET_XIDS = frozenset([46, 48, 62, 64, 74, 79, 95, 109, 110, 119, 120, 136, 140, 143])
RECOVERY_XID = 154  # says what is needed: "GPU recovery action changed from 0x0 (None) to ..."

READING = ("uuid", "memory.used", "temperature.gpu", "clocks.sm", "clocks.mem")
# Fields that not every driver knows, and what to ask for then.
NEWER = {
    "clocks_event_reasons.active": "clocks_throttle_reasons.active",  # before 535
    "clocks_throttle_reasons.active": "",
    "gpu_recovery_action": "",
}
# NvmlClocksEventReasons of the NVML reference. Left out: idle, and what somebody set on purpose.
SLOWED_BY = {0x04: "power cap", 0x08: "hardware slowdown", 0x10: "sync boost",
             0x20: "heat", 0x40: "heat", 0x80: "power brake"}  # fmt: skip

# What a GPU must be able to do, compiled as jobs are and run in the same sandbox.
PROBED = 43  # what the probe ends with
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


class KernelLog:
    """The Xid errors that the driver reports from now on. Every reader has a place of its own."""

    XID = re.compile(rb"NVRM: Xid \((?:PCI:)?([0-9a-fA-F]+):([0-9a-fA-F]+):([0-9a-fA-F]+)[^)]*\): (\d+)([^\n]*)")

    def __init__(self, path: Path) -> None:
        """`path`: /dev/kmsg, or a file that the messages are appended to. Raises OSError."""
        self._path = str(path)
        self._file = self._open()
        os.lseek(self._file, 0, os.SEEK_END)
        self._rest = b""

    def _open(self) -> int:
        return os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def new_xids(self, bus: str) -> List[Any]:
        """Those of the GPU at that place on the bus, as pairs of number and words."""
        data = self._rest + b"".join(iter(self._read, b""))
        if self._rotated():
            data += b"".join(iter(self._read, b""))
        whole, newline, self._rest = data.rpartition(b"\n")
        return [
            (int(found[4]), found[5].decode("utf-8", "replace").strip(" ,"))
            for found in self.XID.finditer(whole + newline)
            if place_of(":".join(part.decode() for part in found.group(1, 2, 3))) == place_of(bus)
        ]

    def _rotated(self) -> bool:
        """Whether another file has its name now, or it was emptied; it is then read from its start."""
        try:
            there, opened = os.stat(self._path), os.fstat(self._file)
            if not stat.S_ISREG(there.st_mode):
                return False
            same = (there.st_dev, there.st_ino) == (opened.st_dev, opened.st_ino)
            if same and there.st_size >= os.lseek(self._file, 0, os.SEEK_CUR):
                return False
            file = self._open()
        except OSError:  # between the two files; the next look sees it
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


def place_of(bus: str) -> Any:
    """A place on the PCI bus, for comparing: the driver's "0000:0A:00" is nvidia-smi's "00000000:0A:00.0"."""
    parts = bus.partition(".")[0].split(":")
    return tuple(int(part, 16) for part in parts) if len(parts) == 3 else ()


class Gate:
    """One GPU, as it was last seen, and whether it may have jobs. For its one worker alone."""

    def __init__(self, gpu: Gpu, kernel_log: Optional[KernelLog]) -> None:
        self.gpu = gpu
        self.reading = {}  # type: Dict[str, Any]
        self.doubtful = True  # it must show that it computes
        self.ready = False
        self.quarantined = ""  # why
        self.since = ""
        self.unkillable = []  # type: List[int]  # processes that SIGKILL did not end
        self._log = kernel_log
        self._broken = ""  # found right after a job: why it is to be quarantined
        self._clean = False  # found right after a job: nothing is left of it
        self._fields = list(READING) + ["clocks_event_reasons.active", "gpu_recovery_action"]
        self._idle_mib = None  # type: Optional[int]  # the memory in use while nothing is on it
        self._only_memory = False  # the last look found nothing but more of it in use
        self._more_memory = 0  # how many checks in a row failed so
        self._pauses = delays(*QUARANTINE_SECONDS)
        self._passed_at = float("-inf")

    def about(self) -> Dict[str, Any]:
        """What staff see of it."""
        condition = "ready" if self.ready else "quarantined" if self.quarantined else "not yet tried"
        more = {"reason": self.quarantined[:500], "since": self.since} if self.quarantined else {}
        return {**identity(self.gpu), "condition": condition, **more}

    def stamp(self) -> Dict[str, Any]:
        """What a result says of it: which it was, and how it was when the program had ended."""
        return {**identity(self.gpu), **self.reading}

    # --- Looking ---

    def look(self) -> str:
        """What is still on it that is not to be there, "" for nothing. Raises GpuTrouble if it is broken."""
        self._only_memory = False
        self._look_for_xids()
        alive = [pid for pid in self.unkillable if is_running(pid)]
        if alive:
            raise GpuTrouble("process %d on it cannot be killed" % alive[0])
        self.unkillable = []
        row, processes = self._ask()
        self._read(row)
        if row.get("gpu_recovery_action", "None") not in ("None", "[N/A]", "N/A", "[Not Supported]"):
            raise GpuTrouble("the driver asks for: %s" % row["gpu_recovery_action"])
        if processes:
            return "processes are on it: %s" % ", ".join(processes[:5])
        left = self._too_much_memory(number(row["memory.used"]))
        self._only_memory = bool(left)
        return left

    def look_after(self, ended: "Ended") -> str:
        """The same right after a job: why its result does not count, "" if it does."""
        # A program that fails by itself says nothing of the GPU, if Xid errors can be seen.
        crashed = ended.why != "ended" or ended.signal is not None
        self.doubtful = self.doubtful or crashed or (self._log is None and ended.exit_code != 0)
        self.unkillable = ended.unkillable
        try:
            self._clean = not self.look()
        except SmiSlow:  # the result counts; before the next job it must answer
            self.doubtful, self.reading = True, {}
        except GpuTrouble as trouble:
            self._broken = str(trouble)
        return self._broken

    def _look_for_xids(self) -> None:
        for xid, words in self._log.new_xids(self.gpu.bus) if self._log else []:
            say("GPU %s: Xid %d: %s" % (self.gpu.index, xid, words[:200]))
            self.doubtful = True
            if xid in RESET_XIDS or (xid == RECOVERY_XID and "to 0x0" not in words):
                raise GpuTrouble("Xid %d (%s)" % (xid, words[:200] or "no words"))

    def _ask(self) -> Any:
        """Its row, by the names of the fields, and the processes on it."""
        whole = self.gpu.whole or self.gpu.uuid
        form = ["--format=csv,noheader,nounits", "-i", whole]
        told, apps = ask_nvidia_smi(
            ["--query-gpu=" + ",".join(self._fields)] + form,
            ["--query-compute-apps=gpu_uuid,pid,process_name"] + form,
        )
        unknown = re.search(r'Field "([^"]+)" is not a valid field', told)
        if unknown and unknown[1] in self._fields and unknown[1] in NEWER:
            older = NEWER[unknown[1]]
            self._fields = [f for f in (older if f == unknown[1] else f for f in self._fields) if f]
            return self._ask()
        rows = [row for row in rows_of(told, len(self._fields)) if row[0] == whole]
        if not rows:
            last = (told.strip().splitlines() or ["it says nothing"])[-1]
            raise GpuTrouble("nvidia-smi does not find it: %s" % last[:200])
        # Of an instance (MIG) nvidia-smi does not say which processes are on it.
        on_it = [r for r in rows_of(apps, 3) if r[0] == whole and not self.gpu.whole]
        return dict(zip(self._fields, rows[0])), ["%s (%s)" % (r[1], os.path.basename(r[2])) for r in on_it]

    def _read(self, row: Dict[str, str]) -> None:
        self.reading = {
            "sm_clock_mhz": number(row["clocks.sm"]),
            "memory_clock_mhz": number(row["clocks.mem"]),
            "temperature_c": number(row["temperature.gpu"]),
            "throttled": slowed_by(row.get("clocks_event_reasons.active", row.get("clocks_throttle_reasons.active", ""))),
        }

    def _too_much_memory(self, used: Optional[int]) -> str:
        if used is None or self.gpu.whole:  # that of an instance is not told
            return ""
        self._idle_mib = used if self._idle_mib is None else min(used, self._idle_mib)
        if used > self._idle_mib + SPARE_MIB:
            return "%d MiB of its memory are in use and %d were while it was idle" % (used, self._idle_mib)
        return ""

    # --- Passing ---

    def check(self, probe: Callable[[], None]) -> None:
        """Returns if the GPU may have the next job. `probe` raises GpuTrouble if it cannot
        compute; that is asked only where there is doubt. Raises GpuTrouble."""
        if self._broken:
            why, self._broken = self._broken, ""
            raise GpuTrouble(why)
        clean, self._clean = self._clean, False
        try:
            if not clean:
                self._settle()
        except GpuTrouble:
            self._more_memory = self._more_memory + 1 if self._only_memory else 0
            if self._more_memory < IDLE_CHECKS:
                raise
            self._idle_mib, self.doubtful = None, True  # the driver's own, if it can compute
        self._more_memory = 0
        if self.doubtful:
            probe()
            self._settle()
            self.doubtful = False

    def _settle(self) -> None:
        """What was killed a moment ago may still be seen: waits a little for it to go."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            left = self.look()
            if not left:
                return
            if time.monotonic() > deadline:
                raise GpuTrouble(left)
            time.sleep(0.1)

    def quarantine(self, why: str) -> bool:
        """Whether that is news."""
        news = self.quarantined != why
        if not self.quarantined:
            self.since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            if time.monotonic() - self._passed_at > STEADY_SECONDS:
                self._pauses = delays(*QUARANTINE_SECONDS)
        self.ready, self.quarantined, self.doubtful = False, why, True
        return news

    def passed(self) -> bool:
        """It may have jobs; whether that is news."""
        if self.ready:
            return False
        self.ready, self.quarantined, self._passed_at = True, "", time.monotonic()
        return True

    def pause(self) -> float:
        """How long to wait before it is tried again."""
        return next(self._pauses)


def identity(gpu: Gpu) -> Dict[str, Any]:
    return {key: getattr(gpu, key) for key in ("index", "uuid", "name", "architecture", "driver")}


def number(text: str) -> Optional[int]:
    """A whole number; None for "[N/A]" and the like."""
    return int(float(text)) if re.fullmatch(r"\d+(\.\d+)?", text) else None


def slowed_by(bits: str) -> Optional[List[str]]:
    """In words, from a mask such as 0x0000000000000024; None if it is not known."""
    if not re.fullmatch(r"0x[0-9a-fA-F]+", bits):
        return None
    return sorted({words for bit, words in SLOWED_BY.items() if int(bits, 16) & bit})


def is_running(pid: int) -> bool:
    """Whether the process is there and not dead already (proc(5))."""
    try:
        return Path("/proc/%d/stat" % pid).read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except (OSError, IndexError):
        return False


# --- A job in hand -----------------------------------------------------------------------


class Attempt:
    """A job that this executor holds the lease of, on its way through the pipeline."""

    def __init__(self, claimed: Dict[str, Any], folder: Path) -> None:
        """Takes the body of a claim's answer. Raises KeyError for one that is no claim."""
        self.id = int(claimed["attempt"]["id"])
        self.lease_token = str(claimed["attempt"]["lease_token"])
        self.lease_seconds = float(claimed["attempt"]["lease_seconds"])
        self.job_id = int(claimed["job"]["id"])
        self.source = str(claimed["job"]["source"])
        self.filename = str(claimed["job"]["filename"])
        self.args = [str(arg) for arg in claimed["job"]["args"]]
        given = {name: int(value) for name, value in claimed["job"]["limits"].items()}
        self.limits = {**DEFAULT_LIMITS, **given}
        self.folder = folder / str(self.id)
        self.phase = "compiling"
        self.report = {}  # type: Dict[str, Any]
        self.files = []  # type: List[Dict[str, Any]]  # what its program left in ./out/
        self.taken = threading.Event()  # an execution worker has it
        self.stop_reason = ""  # why it must not go on; no result is sent then
        self.lost = False  # the lease is another's: nothing is to be reported at all
        self._slot = None  # type: Optional[Slot]
        self._overdue_at = float("inf")  # when what runs must long have ended
        self._lock = threading.Lock()

    def stop(self, reason: str, lost: bool = False) -> None:
        """Kills what runs for this job, now and from now on."""
        with self._lock:
            self.stop_reason = self.stop_reason or reason
            self.lost = self.lost or lost
            slot = self._slot
        self.taken.set()
        if slot is not None:
            slot.kill()

    def run(self, slot: Slot, command: Command, seconds: float) -> Ended:
        """Runs a command of this job in a slot, unless the job was stopped."""
        with self._lock:
            self._slot = slot
            self._overdue_at = time.monotonic() + seconds + OVERDUE_SECONDS
        try:
            return slot.run(command, seconds, self.limits, lambda: not self.stop_reason)
        finally:
            with self._lock:
                self._slot = None
                self._overdue_at = float("inf")

    def give_up_if_stuck(self) -> bool:
        """Kills the slot if what it runs outlived every limit; whether it did."""
        with self._lock:
            stuck, slot = time.monotonic() > self._overdue_at, self._slot
        if stuck and slot is not None:
            self.stop("it could not be stopped in time")
            slot.destroy()
        return stuck


# --- The executor ------------------------------------------------------------------------


class Executor:
    """The pipeline and its threads. `run` returns the exit status."""

    def __init__(self, options: argparse.Namespace, auth: Auth) -> None:
        """Looks at the machine and takes its scratch folder. Raises BadSetup."""
        self.options = options
        self.auth = auth
        Queue(auth)  # a bad address or certificate is said now
        self.nvcc = find_nvcc(options.nvcc)
        self.nvcc_version = nvcc_version(self.nvcc)
        self.gpus = [] if options.no_gpu else self._find_gpus()
        self.arch = options.arch or (self.gpus[0].architecture if self.gpus else None)
        self.scratch = self._take_scratch()
        self.cgroups = Cgroups(own_cgroup())
        self.sandbox = NoSandbox()  # type: Any
        if options.sandbox != "none":
            self.sandbox = Bubblewrap(options, self.nvcc, self.scratch / "sandbox")
            self.sandbox.use(self.gpus)
        self._gpu_locks = [lock_gpu(gpu) for gpu in self.gpus]
        self.gates = [Gate(gpu, self._kernel_log(gpu)) for gpu in self.gpus]
        self.spool = Spool(self.scratch / "spool")
        self.cache = CompileCache(
            self.scratch / "compiled", 0 if options.sandbox_bind else options.compile_cache
        )  # a header in a folder that is shown may change, and nothing here would tell
        self.host_compiler = host_compiler()
        self.jobs = self.scratch / "jobs"
        shutil.rmtree(str(self.jobs), ignore_errors=True)  # of a run that was killed
        self.jobs.mkdir(parents=True)

        self.in_hand = {}  # type: Dict[int, Attempt]
        self._lock = threading.Lock()
        self.draining = threading.Event()
        self.exit_status = STOPPED
        self.compiled = queue.Queue()  # type: queue.Queue[Optional[Attempt]]
        self.outbox = queue.Queue()  # type: queue.Queue[Optional[Path]]
        self.beat_now = threading.Event()  # a phase changed: tell the queue
        self.beating = True
        self.hurry = threading.Event()  # do not wait for a queue that is away
        self.can_run = threading.Event()  # there is a GPU for the next job, or none is needed
        if not self.gates:
            self.can_run.set()
        self._handing_over = threading.Lock()  # of `compiled` and `can_run` together
        self.finishing = threading.Event()  # nothing more will be compiled
        self.gpu_news = False  # the queue is to be told of the GPUs
        self._no_gpu = False  # it was said that none works
        self._releases = []  # type: List[threading.Thread]
        self._claiming = set()  # type: Any  # connections on which a claim is held

    def _find_gpus(self) -> List[Gpu]:
        """As many GPUs as there are execution workers. Raises BadSetup."""
        gpus, wanted = find_gpus(), self.options.nproc_execute
        if wanted > len(gpus):
            raise BadSetup(
                "--nproc-execute %d asks for more GPUs than there are (%d%s); each execution worker "
                "needs one of its own. On a machine without GPUs, say --no-gpu."
                % (wanted, len(gpus), "" if gpus else "; " + why_no_gpu())
            )
        kinds = sorted({gpu.architecture for gpu in gpus[:wanted]})
        if len(kinds) > 1 and not self.options.arch:
            raise BadSetup(
                "The GPUs are of several architectures (%s), and a program is compiled for one. Run an "
                "executor for each, with CUDA_VISIBLE_DEVICES, or name one with --arch." % ", ".join(kinds)
            )
        return gpus[:wanted]

    def _kernel_log(self, gpu: Gpu) -> Optional[KernelLog]:
        try:
            return KernelLog(self.options.kernel_log)
        except OSError as error:
            if gpu == self.gpus[0]:
                say("%s cannot be read (%s): Xid errors of the GPUs go unseen, so a GPU is tried after "
                    "each program that failed." % (self.options.kernel_log, error.strerror))  # fmt: skip
            return None

    def _take_scratch(self) -> Path:
        """The folder for this executor alone. Raises BadSetup if another has it."""
        name = re.sub(r"[^A-Za-z0-9._-]", "_", self.auth.name)
        folder = (self.options.scratch_dir or HERE / "executor-scratch").resolve() / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            os.chmod(str(folder), 0o700)
            self._scratch_lock = open(str(folder / "lock"), "w")
            fcntl.flock(self._scratch_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadSetup("An executor %r runs on this machine already, in %s." % (self.auth.name, folder)) from None  # fmt: skip
        except OSError as error:
            raise BadSetup("The scratch folder %s cannot be used: %s." % (folder, error.strerror)) from None  # fmt: skip
        return folder

    # --- Starting and stopping ---

    def run(self) -> int:
        """Works until it is told to stop and everything in hand is done."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        options = self.options
        compiling = [self._slot(None) for _ in range(options.nproc_compile)]
        executing = [self._slot(self._gpu(n)) for n in range(options.nproc_execute)]
        if self.gates:
            self._compile_probe(compiling[0])
        say("Executor %s: nvcc %s, %s, sandbox: %s, limits by %s, %d compile and %d execution workers, queue %s."
            % (self.auth.name, self.nvcc_version, self._hardware(), self.sandbox.about(),
               self.cgroups.about(), options.nproc_compile, options.nproc_execute, self.auth.server))  # fmt: skip
        if options.sandbox == "none":
            say("WARNING: --sandbox none: programs run as this user, and can read and do what it can.")
        for path in self.spool.left_over():
            self.outbox.put(path)
        beat = start(self._beat, "heartbeat")
        sender = start(self._send_results, "results")
        compilers = [start(self._compile_jobs, "compile-%d" % n, slot) for n, slot in enumerate(compiling)]
        runners = [
            start(self._execute_jobs, "execute-%d" % n, slot, self.gates[n] if self.gates else None)
            for n, slot in enumerate(executing)
        ]
        join(compilers)
        self.finishing.set()
        for _ in runners:
            self.compiled.put(None)
        join(runners)
        self.outbox.put(None)
        join([sender])
        join(self._releases)
        self.beating = False
        self.beat_now.set()
        join([beat])
        shutil.rmtree(str(self.jobs), ignore_errors=True)
        say("Executor %s: stopped." % self.auth.name)
        return self.exit_status

    def _gpu(self, number: int) -> Optional[Gpu]:
        return self.gpus[number] if self.gpus else None

    def _slot(self, gpu: Optional[Gpu]) -> Slot:
        """A slot, its sandbox tried with the very uid and arguments that jobs get. Raises BadSetup."""
        slot = Slot(self.sandbox, self.cgroups.make())
        if self.options.sandbox != "none":
            self._try_sandbox(slot, gpu)
        return slot

    def _try_sandbox(self, slot: Slot, gpu: Optional[Gpu]) -> None:
        command = self.sandbox.check(self.options.auth.resolve(), self.scratch, self.nvcc, gpu)
        limits = {**DEFAULT_LIMITS, "log_bytes": 4096, "output_bytes": 1 << 20}
        try:
            ended = slot.run(command, 60, limits, lambda: True)
        except OSError as error:
            raise BadSetup("The sandbox does not work, and no program runs without it (%s): %s." % (error, why_denied())) from None
        if ended.exit_code != CHECKED:
            raise BadSetup("The sandbox is not safe to use: %s." % (in_text(ended.log).strip() or ended.why))

    def _hardware(self) -> str:
        if not self.gpus:
            return "no GPU"
        return "%s x %s (%s)" % (len(self.gpus), self.gpus[0].name, self.arch)

    def _on_signal(self, _number: int, _frame: Any) -> None:
        # In a thread: a handler must not wait for a lock that the main thread may hold.
        first = not self.draining.is_set()
        self.draining.set()
        start(self._drain if first else self._give_back, "stop")

    def _drain(self, why: str = "Stopping: no more jobs; finishing those in hand.") -> None:
        self.draining.set()
        say(why)
        self._hang_up_claims()

    def _hang_up_claims(self) -> None:
        with self._lock:
            held = list(self._claiming)
        for connection in held:
            connection.hang_up()

    def _give_back(self) -> None:
        say("Stopping now: giving jobs back.")
        self.hurry.set()
        self._stop_all("the executor was stopped")

    def _stop_all(self, reason: str, lost: bool = False) -> None:
        for attempt in self._attempts():
            attempt.stop(reason, lost)

    def _refused(self, answer: Answer) -> None:
        """The queue will not have this executor: stop what runs, once, and say why."""
        if self.exit_status == STOPPED:
            self.exit_status = REFUSED
            say("The queue refuses this executor: %s" % answer.detail)
            self._drain("Stopping: the jobs in hand are given up; results are kept for the next start.")
            self._stop_all("the executor was refused", lost=True)

    def _unfit(self, why: str) -> None:
        """This host can run no programs: it claims no more jobs and ends as one set up wrong."""
        if self.exit_status == STOPPED:
            self.exit_status = WRONG_USAGE
            say(why)
            self._drain("Stopping: this host runs no programs until that is mended.")

    def _attempts(self) -> List[Attempt]:
        with self._lock:
            return list(self.in_hand.values())

    # --- Compiling ---

    def _compile_jobs(self, slot: Slot) -> None:
        """One compile worker: claim, compile, hand over, again."""
        connection = Connection(self.auth)
        while not self.draining.is_set():
            attempt = self._claim(connection)
            if attempt is None:
                continue
            if self._guarded(attempt, slot, None, lambda: self._compile(attempt, slot)):
                attempt.phase = "waiting"
                self.beat_now.set()
                self._hand_over(attempt)
                attempt.taken.wait()  # claim no more than there is room for
            else:
                self._done(attempt)
        connection.close()
        slot.close()

    def _claim(self, connection: "Connection") -> Optional[Attempt]:
        """Asks for a job until there is one, with one key, so that no answer can be lost."""
        headers = {"Prefer": "wait=%d" % WAIT_SECONDS, "Idempotency-Key": str(uuid.uuid4())}
        for delay in delays(most=30.0):
            if self.draining.is_set():
                return None
            if not self._scratch_has_room():
                self.draining.wait(delay + 5)
                continue
            if not self.can_run.is_set():
                self.can_run.wait(1)
                continue
            connection.pick_up()
            with self._lock:
                self._claiming.add(connection)
            try:
                answer = connection.request("POST", "/claims", self._about(), headers, WAIT_SECONDS + 15)
            except (Unreachable, Untrusted) as error:
                if not self.draining.is_set() and self.can_run.is_set():
                    say_once("%s; trying again." % str(error).rstrip("."))
                    self.draining.wait(delay)
                continue
            finally:
                with self._lock:
                    self._claiming.discard(connection)
            if answer.status == 201:
                say_once("")
                return self._take(answer)
            if answer.status == 204:
                say_once("")
                return None
            if answer.refuses_token or answer.problem == "wrong-token-kind":
                self._refused(answer)
                return None
            say_once("The queue gives no jobs: %s" % answer.detail)
            self.draining.wait(max(delay, answer.retry_after))
        raise AssertionError("delays() never ends")

    def _about(self) -> Dict[str, Any]:
        """What the queue shows staff of this executor."""
        return {
            "version": VERSION,
            "nvcc": self.nvcc_version,
            "arch": self.arch,
            "gpus": [gate.about() for gate in self.gates],
            "nproc_compile": self.options.nproc_compile,
            "nproc_execute": self.options.nproc_execute,
            "sandbox": self.sandbox.about(),
            "limits": self.cgroups.about(),
            "host": socket.gethostname(),
            "python": "%d.%d.%d" % sys.version_info[:3],
        }

    def _scratch_has_room(self) -> bool:
        """Whether a job and its result fit on the disk; a host that is full claims nothing."""
        try:
            free = shutil.disk_usage(str(self.scratch)).free
        except OSError as error:
            say_once("The scratch folder cannot be used: %s; claiming no jobs." % error.strerror)
            return False
        if free < self.options.min_free_mib << 20:
            say_once("Only %d MiB are free for %s; claiming no jobs until there are %d."
                     % (free >> 20, self.scratch, self.options.min_free_mib))  # fmt: skip
            return False
        return True

    def _take(self, answer: Answer) -> Optional[Attempt]:
        try:
            attempt = Attempt(answer.body, self.jobs)
        except (KeyError, TypeError, ValueError) as error:
            say("The queue sent a job that this executor does not understand (%r)." % error)
            return None
        say("Job %d: claimed (attempt %d)." % (attempt.job_id, attempt.id))
        with self._lock:
            self.in_hand[attempt.id] = attempt
        self.beat_now.set()
        return attempt

    def _guarded(
        self, attempt: Attempt, slot: Slot, gate: Optional[Gate], step: Callable[[], bool]
    ) -> bool:
        """The step's answer; what this host could not do is given back, not blamed on the job."""
        try:
            return step()
        except SandboxBroken as error:
            attempt.stop("the host's sandbox failed: %s" % error)
            try:
                self._try_sandbox(slot, None)  # was it this job alone, or its GPU?
                if gate is not None:
                    gate.doubtful = True
            except BadSetup as broken:
                self._unfit(str(broken))
            return False
        except OSError as error:
            attempt.stop("the host could not run it: %s" % (error.strerror or error))
            return False

    def _compile(self, attempt: Attempt, slot: Slot) -> bool:
        """Whether there is a program to run now; if not, the attempt holds the report."""
        for name in ("src", "run/out", "tmp"):
            (attempt.folder / name).mkdir(parents=True)
        source = attempt.folder / "src" / source_name(attempt.filename)
        source.write_bytes(attempt.source.encode("utf-8"))
        nvcc = [self.nvcc, "-O3"] + (["-arch=" + self.arch] if self.arch else [])
        program = attempt.folder / "program"
        key = self._cache_key(attempt, nvcc)
        began = time.monotonic()
        before = self.cache.get(key, program)
        if before is not None:
            attempt.report = {**before, "compile_seconds": round(time.monotonic() - began, 4), "compiled_before": True}
            return not attempt.stop_reason
        command = self.sandbox.compiler(attempt.folder, source, nvcc, attempt.limits)
        ended = attempt.run(slot, command, attempt.limits["compile_seconds"])
        if not self._finished(attempt, ended):
            return False
        attempt.report = {
            "compile_log": in_text(ended.log),
            "compile_seconds": round(ended.seconds, 4),
            "compile_memory_bytes": ended.memory_bytes,
            "nvcc": self.nvcc_version,
            "arch": self.arch,
        }
        if self._hit_limit(attempt, ended, "compile"):
            return False
        if ended.exit_code == 0 and program.is_file() and program.stat().st_size:
            self.cache.put(key, program, attempt.report)
            return True
        if self._for_lack_of_room(attempt):
            return False
        attempt.report.update(outcome="compile_error", exit_code=ended.exit_code, signal=ended.signal)
        return False

    def _cache_key(self, attempt: Attempt, nvcc: List[str]) -> str:
        """All that a compile depends on: the source and its name, the toolchain and its flags."""
        toolchain = [nvcc, self.nvcc_version, when_changed(Path(self.nvcc)), self.host_compiler, self.sandbox.about()]
        made_from = [attempt.source, source_name(attempt.filename), toolchain]
        return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()

    def _hit_limit(self, attempt: Attempt, ended: Ended, step: str) -> bool:
        """Whether a limit ended it; the report then says which."""
        seconds = attempt.limits[step + "_seconds"]
        hit = {
            "time": ("compile_timeout" if step == "compile" else "runtime_timeout", "%d s" % seconds),
            "output": ("output_exceeded", in_mib(attempt.limits["output_bytes"])),
            "memory": ("memory_exceeded", in_mib(attempt.limits["memory_bytes"])),
        }.get(ended.why)
        if hit:
            attempt.report.update(outcome=hit[0], limit=hit[1])
        return hit is not None

    # --- Executing ---

    def _execute_jobs(self, slot: Slot, gate: Optional[Gate]) -> None:
        """One execution worker: owns one GPU and runs one program at a time on it."""
        while True:
            if gate is not None and not self._passes(slot, gate):
                if self.finishing.wait(gate.pause()):
                    break
                continue
            try:
                attempt = self.compiled.get(timeout=IDLE_SECONDS if gate else None)
            except queue.Empty:
                if self.finishing.is_set():
                    break
                continue
            if attempt is None:
                break
            attempt.phase = "executing"
            self.beat_now.set()
            attempt.taken.set()
            self._guarded(attempt, slot, gate, lambda: self._execute(attempt, slot, gate))
            self._done(attempt)
        slot.close()

    def _execute(self, attempt: Attempt, slot: Slot, gate: Optional[Gate]) -> bool:
        gpu = gate.gpu if gate else None
        archive = self.spool.archive(attempt.id)
        command = self.sandbox.program(attempt.folder, attempt.args, self.nvcc, gpu, archive, attempt.limits)
        ended = attempt.run(slot, command, attempt.limits["execute_seconds"])
        if gate is not None and not (ended.why == "killed" and not ended.seconds):
            broken = gate.look_after(ended)
            if broken:
                attempt.stop("GPU %s failed: %s" % (gate.gpu.index, broken))
                return False
        if not self._finished(attempt, ended):
            return False
        if ended.exit_code != 0 and self._for_lack_of_room(attempt):
            return False
        attempt.report.update(
            execute_log=in_text(ended.log),
            execute_seconds=round(ended.seconds, 4),
            execute_cpu_seconds=ended.cpu_seconds,
            execute_memory_bytes=ended.memory_bytes,
            exit_code=ended.exit_code,
            signal=ended.signal,
            gpu=gate.stamp() if gate else None,
        )
        if ended.signal == signal.SIGXFSZ and "disk_bytes" in attempt.limits:
            attempt.report["limit"] = in_mib(attempt.limits["disk_bytes"]) + " of files"
        if not self._hit_limit(attempt, ended, "execute"):
            attempt.report["outcome"] = "succeeded" if ended.exit_code == 0 else "runtime_error"
            found = self.sandbox.outputs(attempt.folder, archive, attempt.limits)
            outputs = Outputs(found, attempt.limits)
            attempt.files = outputs.files
            attempt.report.update(outputs.report())
        return True

    def _finished(self, attempt: Attempt, ended: Ended) -> bool:
        """Whether the command came to an end of its own or a limit's, so that it counts."""
        if ended.why == "lost":
            attempt.stop("the process that ran it was killed")
        elif ended.why == "killed":
            attempt.stop("it was stopped")
        elif ended.why == "short":
            attempt.stop("the host was short of memory")
        return ended.why not in ("lost", "killed", "short")

    def _for_lack_of_room(self, attempt: Attempt) -> bool:
        """Whether the host's disk is full, where commands write if there is no sandbox: what
        failed then is not the student's mistake, and is given back."""
        if shutil.disk_usage(str(self.scratch)).free < FULL_BYTES:
            attempt.stop("the host's disk was full")
        return bool(attempt.stop_reason)

    # --- GPUs that fail ---

    def _compile_probe(self, slot: Slot) -> None:
        """Raises BadSetup if nvcc cannot compile for the GPUs here."""
        self._probe_folder = self.scratch / "probe"
        shutil.rmtree(str(self._probe_folder), ignore_errors=True)
        for name in ("src", "run", "tmp"):
            (self._probe_folder / name).mkdir(parents=True)
        source = self._probe_folder / "src" / "probe.cu"
        source.write_text(PROBE_CU)
        command = self.sandbox.compiler(self._probe_folder, source, [self.nvcc, "-arch=%s" % self.arch], DEFAULT_LIMITS)
        ended = slot.run(command, 120, PROBE_LIMITS, lambda: True)
        if ended.exit_code != 0:
            raise BadSetup("%s cannot compile for the GPUs here (%s): %s" % (self.nvcc, self.arch, last_line(ended)))

    def _probe(self, slot: Slot, gate: Gate) -> None:
        """Raises GpuTrouble unless a tiny CUDA program runs well on it."""
        command = self.sandbox.program(
            self._probe_folder, [], self.nvcc, gate.gpu, self._probe_folder / "out", DEFAULT_LIMITS
        )  # fmt: skip
        try:
            ended = slot.run(command, PROBE_SECONDS, PROBE_LIMITS, lambda: True)
        except OSError as error:
            raise GpuTrouble("no program can be started on it: %s" % error) from None
        gate.unkillable = ended.unkillable
        if ended.exit_code != PROBED:
            raise GpuTrouble("a tiny CUDA program fails on it: %s" % last_line(ended))

    def _passes(self, slot: Slot, gate: Gate) -> bool:
        """Whether the GPU may have the next job. One that may not is quarantined, alone."""
        try:
            gate.check(lambda: self._probe(slot, gate))
        except GpuTrouble as trouble:
            if gate.quarantine(str(trouble)):
                say("GPU %s (%s) is quarantined: %s. It is tried again by itself." % (gate.gpu.index, gate.gpu.uuid, trouble))
                self._gpus_changed()
            return False
        again = bool(gate.quarantined)
        if gate.passed():
            if again:
                say("GPU %s (%s) works again." % (gate.gpu.index, gate.gpu.uuid))
            self._gpus_changed()
        return True

    def _gpus_changed(self) -> None:
        """Without any GPU, what waits for one goes back to the queue, and no more is claimed."""
        with self._handing_over:
            if any(gate.ready for gate in self.gates):
                self._no_gpu = False
                self.can_run.set()
            elif all(gate.quarantined for gate in self.gates):
                if not self._no_gpu:
                    say("No GPU of this host works: claiming no jobs until one does.")
                self._no_gpu = True
                self.can_run.clear()
                self._hang_up_claims()
                self._give_back_compiled()
        self.gpu_news = True
        self.beat_now.set()

    def _hand_over(self, attempt: Attempt) -> None:
        """To the execution workers, if there is a GPU at all."""
        with self._handing_over:
            self.compiled.put(attempt)
            if not self.can_run.is_set():
                self._give_back_compiled()

    def _give_back_compiled(self) -> None:
        while True:
            try:
                attempt = self.compiled.get_nowait()
            except queue.Empty:
                break
            if attempt is not None:  # the execution workers need no word to end, in quarantine
                attempt.stop("no GPU of this host works")
                self._done(attempt)

    # --- Reporting ---

    def _done(self, attempt: Attempt) -> None:
        """The attempt is over here: its result goes to the spool, or the job back to the queue."""
        shutil.rmtree(str(attempt.folder), ignore_errors=True)
        if not attempt.stop_reason:
            try:
                report = {"lease_token": attempt.lease_token, **attempt.report}
                path = self.spool.put(attempt.id, report, attempt.files)
                say("Job %d: %s." % (attempt.job_id, attempt.report["outcome"]))
                self.outbox.put(path)  # heartbeats go on until it is sent
                return
            except OSError as error:
                attempt.stop("the host could not keep its result: %s" % error.strerror)
        self.spool.drop(attempt.id)
        say("Job %d: given up: %s." % (attempt.job_id, attempt.stop_reason))
        if not attempt.lost:
            self._releases.append(start(self._release, "release", attempt))
        else:
            self._forget(attempt.id)

    def _forget(self, attempt_id: int) -> None:
        with self._lock:
            self.in_hand.pop(attempt_id, None)

    def _release(self, attempt: Attempt) -> None:
        body = {"lease_token": attempt.lease_token, "reason": attempt.stop_reason[:500]}
        # Past the lease the queue takes the job back by itself.
        self._deliver(
            Connection(self.auth), "POST", attempt.id, "release", body, patience=attempt.lease_seconds
        )
        self._forget(attempt.id)

    def _send_results(self) -> None:
        """Sends what is in the spool, in order, however long the queue is away."""
        connection = Connection(self.auth)
        while True:
            path = self.outbox.get()
            if path is None:
                break
            content = self.spool.read(path)
            if content is None:
                say("%s is not a whole result and is left out." % path)
                os.replace(str(path), str(path.with_suffix(".bad")))
                continue
            sent = self._send_files(connection, content)
            if sent and self._deliver(connection, "PUT", content["attempt"], "result", content["report"]):
                self.spool.drop(content["attempt"])
            self._forget(content["attempt"])
        connection.close()

    def _send_files(self, connection: "Connection", content: Dict[str, Any]) -> bool:
        """Sends a result's files, whether or not that was done before; False if it must be done later."""
        headers = {"Telerun-Lease": content["report"]["lease_token"], "Content-Type": "application/octet-stream"}
        for file in content.get("files", []):
            try:
                data = self.spool.file(content["attempt"], file)
            except OSError as error:
                say("Attempt %d: a file of its result cannot be read: %s." % (content["attempt"], error.strerror))
                continue  # the queue tells its owner that it is missing
            what = "files/" + urllib.parse.quote(file["name"], safe="")
            answer = self._deliver(connection, "PUT", content["attempt"], what, data, headers)
            if answer is None:
                return False
            if answer.status == 409:
                break  # the result will be told the same
        return True

    def _deliver(
        self, connection: "Connection", method: str, attempt_id: int, what: str, body: Any,
        headers: Optional[Dict[str, str]] = None, patience: float = float("inf"),
    ) -> Optional[Answer]:  # fmt: skip
        """The queue's answer, if it is one that counts, so that this need not be sent again."""
        deadline = time.monotonic() + patience
        path = "/attempts/%d/%s" % (attempt_id, what)
        for delay in delays():
            try:
                answer = connection.request(method, path, body, headers)
                if answer.refuses_token:
                    self._refused(answer)
                    return None
                if not is_retryable(answer):
                    if answer.status >= 400:
                        say("Attempt %d: the queue does not take its %s: %s" % (attempt_id, what, answer.detail))
                    return answer
                trouble, pause = answer.detail, max(delay, answer.retry_after)
            except (Unreachable, Untrusted) as error:
                trouble, pause = str(error), delay
            say_once("%s; trying again." % trouble.rstrip("."))
            late = time.monotonic() + pause > deadline
            if late or self.exit_status == REFUSED or self.hurry.wait(pause):
                return None
        raise AssertionError("delays() never ends")

    # --- Heartbeats ---

    def _beat(self) -> None:
        """Renews the leases of all jobs in hand, three times a lease and at every change."""
        connection = Connection(self.auth)
        while self.beating:
            attempts = self._attempts()
            for attempt in attempts:
                if attempt.give_up_if_stuck():
                    say("Job %d: stuck; its slot is killed." % attempt.job_id)
                if self.beating and not attempt.lost:
                    self._beat_one(connection, attempt)
            if self.gpu_news or not self.can_run.is_set():
                self._tell_of_gpus(connection)
            least = min([a.lease_seconds for a in attempts] or [30.0])
            if self.beat_now.wait(least / 3):
                time.sleep(PHASE_SECONDS)  # a short program is over before anyone could see it run
            self.beat_now.clear()
        connection.close()

    def _tell_of_gpus(self, connection: "Connection") -> None:
        """A claim tells of them too, but none is made while none works."""
        self.gpu_news = False
        try:
            answer = connection.request("PUT", "/executor", self._about(), timeout=10)
        except (Unreachable, Untrusted) as error:
            say_once("%s; trying again." % str(error).rstrip("."))
            self.gpu_news = True
            return
        if answer.status == 401:
            self._refused(answer)

    def _beat_one(self, connection: "Connection", attempt: Attempt) -> None:
        body = {"lease_token": attempt.lease_token, "phase": attempt.phase}
        try:
            answer = connection.request(
                "POST", "/attempts/%d/heartbeat" % attempt.id, body, timeout=attempt.lease_seconds / 3
            )
        except (Unreachable, Untrusted) as error:
            say_once("%s; trying again." % str(error).rstrip("."))
            return
        if answer.refuses_token:
            self._refused(answer)
        elif answer.status in (404, 409):
            if attempt.id in self.in_hand:  # not one whose result was just taken
                attempt.stop("the queue took the job away: %s" % answer.detail, lost=True)
        elif answer.status == 200 and answer.body.get("cancel_requested"):
            attempt.stop("it was cancelled")


class Connection(Queue):
    """A connection whose held request another thread can end."""

    def __init__(self, auth: Auth) -> None:
        super().__init__(auth)
        self._hung_up = False

    def hang_up(self) -> None:
        """Breaks the connection under a request that is waiting on it; no other is opened until `pick_up`."""
        self._hung_up = True
        held = self._connection
        if held is not None and held.sock is not None:
            try:
                # Not SSLSocket's own, which takes the TLS object from under the waiting thread.
                socket.socket.shutdown(held.sock, socket.SHUT_RDWR)
            except OSError:
                pass

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


# --- Small things ------------------------------------------------------------------------


def source_name(filename: str) -> str:
    """A file name for the source: the student's own, so that error messages name it."""
    plain = re.sub(r"[^\w.+ -]", "_", filename)
    plain = plain if plain.endswith(".cu") else plain + ".cu"
    return plain if len(plain.encode("utf-8")) <= 200 else "program.cu"


PROBE_LIMITS = {**DEFAULT_LIMITS, "log_bytes": 1 << 16, "output_bytes": 1 << 20}


def last_line(ended: Ended) -> str:
    """The last that it printed, or how it ended."""
    lines = in_text(ended.log).strip().splitlines()
    how = "it ended with %s" % (ended.exit_code if ended.signal is None else "signal %d" % ended.signal)
    return (lines[-1][-300:] if lines else how if ended.why == "ended" else ended.why)


def in_text(log: bytes) -> str:
    """Any bytes as a string that JSON carries without loss (PEP 383)."""
    return log.decode("utf-8", "surrogateescape")


def in_mib(size: int) -> str:
    return "%.4g MiB" % (size / (1 << 20))


def in_size(size: int) -> str:
    """A size, however small."""
    return "%d bytes" % size if size < 1024 else "%.4g KiB" % (size / 1024) if size < 1 << 20 else in_mib(size)


def start(function: Callable[..., Any], name: str, *args: Any) -> threading.Thread:
    """A thread that ends this process if it fails: half an executor is worse than none.

    The slots then kill what runs, the queue gives the jobs to others, and the next start
    sends the results that are in the spool.
    """

    def run() -> None:
        try:
            function(*args)
        except BaseException:
            say("Executor failed in its thread %r:\n%s" % (name, traceback.format_exc()))
            os._exit(FAILED)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


def join(threads: List[threading.Thread]) -> None:
    """Waits for threads; in steps, because a bare join() keeps signals from being handled."""
    for thread in threads:
        while thread.is_alive():
            thread.join(1.0)


_said_last = {"": ""}


def say(message: str) -> None:
    """One line of the executor's own log, on standard error."""
    warn(time.strftime("%Y-%m-%d %H:%M:%S ") + message)


def say_once(message: str) -> None:
    """The same, unless it would repeat the last such line; "" says that things are well again."""
    if _said_last[""] != message:
        before, _said_last[""] = _said_last[""], message
        if message or before:
            say(message or "The queue answers again.")


# --- The command -------------------------------------------------------------------------


def positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1024):
        raise argparse.ArgumentTypeError("%r is not a whole number from 1 to 1024" % text)
    return int(text)


def uid(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1000 <= int(text) < 1 << 31):
        raise argparse.ArgumentTypeError("%r is not a uid that can be spared (1000 or more)" % text)
    return int(text)


def architecture(text: str) -> str:
    match = re.fullmatch(r"(?:sm_)?(\d{2,3}[af]?)", text)
    if not match:
        raise argparse.ArgumentTypeError("%r is not an architecture like sm_90" % text)
    return "sm_" + match[1]


def parse(argv: Any) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the jobs of Telerun's queue on this machine's GPUs.")  # fmt: skip
    parser.add_argument("--nproc-compile", type=positive, required=True, metavar="N", help="compile workers")  # fmt: skip
    parser.add_argument("--nproc-execute", type=positive, required=True, metavar="M", help="execution workers, each with a GPU of its own")  # fmt: skip
    parser.add_argument("--auth", type=Path, default=HERE / "auth.json", metavar="FILE", help="who this executor is (default: auth.json beside this script)")  # fmt: skip
    parser.add_argument("--server", metavar="URL", help="https://host:port of the queue")
    parser.add_argument("--scratch-dir", type=Path, metavar="DIR", help="for jobs in hand and results not yet sent (default: executor-scratch beside this script)")  # fmt: skip
    parser.add_argument("--min-free-mib", type=int, default=512, metavar="MIB", help="claim nothing while the scratch folder's disk has less free (default: %(default)s)")  # fmt: skip
    parser.add_argument("--compile-cache", type=int, default=64, metavar="N", help="keep this many programs, not to compile the same source twice (default: %(default)s; 0: none)")  # fmt: skip
    parser.add_argument("--nvcc", metavar="PATH", help="the compiler (default: nvcc on the PATH, then /usr/local/cuda)")  # fmt: skip
    parser.add_argument("--arch", type=architecture, metavar="SM", help="compile for this architecture (default: the GPU's)")  # fmt: skip
    parser.add_argument("--no-gpu", action="store_true", help="for a machine without GPUs: programs run, CUDA calls in them fail as CUDA says")  # fmt: skip
    parser.add_argument("--kernel-log", type=Path, default=Path("/dev/kmsg"), metavar="FILE", help="where the driver's Xid errors are read (default: %(default)s)")  # fmt: skip
    parser.add_argument("--sandbox", choices=("bubblewrap", "none"), default="bubblewrap", help='what programs run in (default: %(default)s); with "none" they can do all that this user can')  # fmt: skip
    parser.add_argument("--sandbox-uid-base", type=uid, default=SANDBOX_UID_BASE, metavar="UID", help="started by root: the first of %d uids to run programs as (default: %%(default)s)" % SANDBOX_UIDS)  # fmt: skip
    parser.add_argument("--sandbox-bind", type=Path, action="append", default=[], metavar="PATH", help="show this in the sandbox too, read-only: a compiler outside of /usr, a data set")  # fmt: skip
    return parser.parse_args(argv)


def main(argv: Any = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["--slot"]:
        SlotProcess(json.loads(argv[1])).serve()
        return STOPPED
    options = parse(argv)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold the token
    try:
        auth = read_auth(options.auth, "executor", options.server)
        executor = Executor(options, auth)
        try:
            return executor.run()
        finally:
            executor.cgroups.close()
    except BadSetup as error:
        warn("executor.py: %s" % error)
        return WRONG_USAGE


if __name__ == "__main__":
    sys.exit(main())
