#!/usr/bin/env python3
"""Run the jobs of Telerun's queue on this machine's GPUs.

    python3 executor.py --nproc-compile 2 --nproc-execute 1

Needs Python 3.8 or newer and nvcc on Linux, nothing else. It asks the queue for work over
outbound HTTPS, compiles with nvcc, runs each program on one GPU, and sends the logs back. Beside
this file stands auth.json, from the course staff: {"executor": "...", "token": "..."}, and
optionally "server" (https://host:port) and "certificate" (a PEM file to trust, relative to
auth.json). A server.cert beside this file is trusted too.

How it works. Each compile worker claims a job, compiles it and hands it to an execution worker,
so that the next job compiles while one runs. Compilers and programs are started by slots:
one child process a worker, which enforces the limits and leaves no process behind, not even
when this one is killed. One thread sends the heartbeats of all jobs in hand, one the results. A result is
on disk before it is sent, and what could not be sent is sent by the next start.

SIGTERM or Ctrl-C: take no more jobs, finish those in hand, exit 0. A second one: give them back.

Exit status: 0 stopped as asked, 1 the queue refuses this executor, 2 wrong usage or setup,
70 a fault of its own (start it again: nothing is lost).
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import http.client
import json
import os
import queue
import random
import re
import resource
import selectors
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback
import urllib.parse
import uuid
from collections import namedtuple
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional

VERSION = "1"
HERE = Path(__file__).resolve().parent
DEFAULT_SERVER = "https://localhost:4443"
WAIT_SECONDS = 25  # how long a claim is held open at the queue
GRACE_SECONDS = 5  # how long what was killed may take to be gone
OVERDUE_SECONDS = 30  # past a job's limit, after which its slot is stuck
HEAD_SHARE = 0.75  # of the bytes a log keeps: the rest is its end

STOPPED, REFUSED, WRONG_USAGE, FAILED = 0, 1, 2, 70


# --- Talking to the queue (the same in submit.py and executor.py; a test compares) -------


class BadSetup(Exception):
    """Something on this machine is missing or wrong; the message says what to do."""


class Unreachable(Exception):
    """The queue gave no answer; trying again may help."""


class Untrusted(Exception):
    """What answered is not the queue that auth.json means; the token was not sent."""


class Answer(namedtuple("Answer", "status headers body")):
    """The queue's answer: HTTP status, headers, and the JSON body ({} if there is none)."""

    @property
    def problem(self) -> str:
        """The stable name of an error (RFC 9457), such as "pending-job"; "" if it is none."""
        return str(self.body.get("type", "")).rpartition("/")[2] if self.status >= 400 else ""

    @property
    def detail(self) -> str:
        """An error in words."""
        return str(self.body.get("detail") or "HTTP status %d" % self.status)

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
    except ValueError as error:
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
        body: Optional[Dict[str, Any]] = None,
        headers: Optional[Dict[str, str]] = None,
        timeout: float = 30.0,
    ) -> Answer:
        """Sends one request and returns the answer, whatever its status.

        Everything sent is safe to send again, so a kept-alive connection that the queue
        closed meanwhile is opened anew without a word. Raises Unreachable, Untrusted.
        """
        data = None if body is None else json.dumps(body).encode()
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
        try:
            body = json.loads(content.decode()) if content else {}
        except ValueError:
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
    return answer.status in (408, 425, 429, 500, 502, 503, 504)


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
    """One GPU, as nvidia-smi describes it."""

    index: str
    uuid: str
    name: str
    architecture: str  # "sm_90"
    driver: str


def find_gpus() -> List[Gpu]:
    """The GPUs of this machine, fewer where CUDA_VISIBLE_DEVICES was set for us."""
    query = "--query-gpu=index,uuid,name,compute_cap,driver_version"
    try:
        listed = subprocess.run(
            ["nvidia-smi", query, "--format=csv,noheader"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, check=True,
        ).stdout.decode("utf-8", "replace")  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[cell.strip() for cell in row.split(",")] for row in listed.splitlines()]
    gpus = [Gpu(r[0], r[1], r[2], "sm_" + r[3].replace(".", ""), r[4]) for r in rows if len(r) == 5]
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is None:
        return gpus
    names = [name.strip() for name in allowed.split(",") if name.strip()]
    return [g for name in names for g in gpus if name == g.index or g.uuid.startswith(name)]


def find_nvcc(given: Optional[str]) -> str:
    """The path of nvcc. Raises BadSetup."""
    for candidate in [given] if given else ["nvcc", "/usr/local/cuda/bin/nvcc"]:
        found = shutil.which(candidate)
        if found:
            return os.path.abspath(found)
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


# --- A slot: the child process that starts compilers and programs ------------------------
#
# The worker's thread writes one line of JSON to the slot and reads back one line of JSON and
# the log's bytes. The slot is single-threaded and long-lived. It adopts orphans
# (PR_SET_CHILD_SUBREAPER, prctl(2)), so every process that a program started is its descendant
# and is killed when the program is over. When its standard input closes, because the worker
# is gone, even by kill -9, it kills what runs and ends.

PR_SET_CHILD_SUBREAPER = 36


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
    """The slot's own side: reads orders from standard input until it closes."""

    def __init__(self) -> None:
        self._orders = bytearray()
        self._stop = 0  # the number of the run that is to be killed
        self._open = True
        self._selector = selectors.DefaultSelector()
        os.set_blocking(0, False)
        self._selector.register(0, selectors.EVENT_READ, self._read_orders)
        wake, self._wake = os.pipe()  # a byte arrives when a child has ended
        for end in (wake, self._wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        # The executor says when to stop. Handlers, because what is ignored stays so in programs.
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        self._selector.register(wake, selectors.EVENT_READ, lambda: os.read(wake, 4096))
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

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
        data = os.read(0, 1 << 16)
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
        data = json.dumps({**ended, "log_bytes": len(log)}).encode() + b"\n" + log
        while data and self._open:
            data = data[os.write(1, data) :]

    def _run(self, order: Dict[str, Any]) -> Any:
        """Runs one command to its end; what became of it, and its log."""
        log = Log(order["log_bytes"])
        started = time.monotonic()
        try:
            child = subprocess.Popen(
                order["argv"], cwd=order["cwd"], env=order["env"], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            return {"error": str(error)}, b""
        why = self._watch(child, order, log, started + order["seconds"])
        seconds = time.monotonic() - started
        self._kill_all(child)
        self._drain(child, log)
        code = child.returncode
        return {
            "exit_code": code if code >= 0 else None,
            "signal": -code if code < 0 else None,
            "why": why,
            "seconds": seconds,
            "output_bytes": log.total,
        }, log.content()

    def _watch(self, child: Any, order: Dict[str, Any], log: Log, deadline: float) -> str:
        """Waits for the end and says what it was: "ended", "time", "output" or "killed"."""
        pipe = child.stdout.fileno()
        os.set_blocking(pipe, False)

        def read() -> None:
            data = os.read(pipe, 1 << 16)
            log.add(data)
            if not data:
                self._selector.unregister(pipe)

        self._selector.register(pipe, selectors.EVENT_READ, read)
        try:
            while child.poll() is None:
                left = deadline - time.monotonic()
                if left <= 0:
                    return "time"
                if log.total > order["output_bytes"]:
                    return "output"
                if not self._open or self._stop == order["number"]:
                    return "killed"
                self._dispatch(left)
            return "output" if log.total > order["output_bytes"] else "ended"
        finally:
            if pipe in self._selector.get_map():
                self._selector.unregister(pipe)

    def _kill_all(self, child: Any) -> None:
        """Kills the command and all that it left behind; they are ours, whatever they did."""
        if child.poll() is None:
            _kill_group(child.pid)
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline:
            child.poll()
            others = _children()
            for pid in others:
                if pid != child.pid:
                    _kill_group(pid)
                    _reap(pid)
            if not others:
                return
            time.sleep(0.001)
        # What even SIGKILL does not end now, the system will: do not wait for it.

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


class Ended(NamedTuple):
    """What became of a command in a slot."""

    why: str  # "ended", or what ended it: "time", "output", "killed"; "lost" if the slot died
    exit_code: Optional[int]
    signal: Optional[int]
    seconds: float
    log: bytes


class Slot:
    """The worker's side of a slot. `run` blocks; `kill` may come from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0
        self._process = None  # type: Optional[subprocess.Popen[bytes]]

    def run(
        self, argv: List[str], cwd: Path, env: Dict[str, str], seconds: float,
        limits: Dict[str, int], wanted: Callable[[], bool],
    ) -> Ended:  # fmt: skip
        """Runs the command to its end or its limit. Raises OSError if it cannot be started.

        `wanted` is asked at the last moment: a `kill` that came before finds nothing to kill.
        """
        order = {
            "argv": argv, "cwd": str(cwd), "env": env, "seconds": seconds,
            "log_bytes": limits["log_bytes"], "output_bytes": limits["output_bytes"],
        }  # fmt: skip
        process = self._started()
        try:
            with self._lock:
                if not wanted():
                    return Ended("killed", None, None, 0.0, b"")
                self._number += 1
                process.stdin.write(json.dumps({**order, "number": self._number}).encode() + b"\n")
                process.stdin.flush()
            told = json.loads((process.stdout.readline() or b"{}").decode())
            log = process.stdout.read(told.get("log_bytes", 0))
        except (OSError, ValueError):
            told = {}
        if not told:
            self.close()
            return Ended("lost", None, None, 0.0, b"")
        if "error" in told:
            raise OSError(told["error"])
        return Ended(told["why"], told["exit_code"], told["signal"], told["seconds"], log)

    def kill(self) -> None:
        """Kills what runs now, if anything does; `run` then returns."""
        with self._lock:
            try:
                if self._process is not None:
                    self._process.stdin.write(b"kill %d\n" % self._number)
                    self._process.stdin.flush()
            except (OSError, ValueError):
                pass  # it is gone, which `run` notices

    def destroy(self) -> None:
        """kill -9 of the slot, when it does not answer; `run` then returns."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """Ends the slot, and whatever runs in it."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.stdin.close()
            try:
                process.wait(GRACE_SECONDS + 1)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()

    def _started(self) -> Any:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(Path(__file__).resolve()), "--slot"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/", start_new_session=True,
            )  # fmt: skip
        return self._process


# --- The spool: results that are on disk until the queue has them ------------------------


class Spool:
    """A folder with one file a result, written before it is sent."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, attempt_id: int, report: Dict[str, Any]) -> Path:
        """Writes a result durably. Raises OSError when the disk is full."""
        path = self._folder / ("%d.json" % attempt_id)
        draft = path.with_suffix(".part")
        try:
            with open(str(draft), "wb") as file:
                file.write(json.dumps({"attempt": attempt_id, "report": report}).encode())
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
        self.limits = {name: int(value) for name, value in claimed["job"]["limits"].items()}
        self.folder = folder / str(self.id)
        self.phase = "compiling"
        self.report = {}  # type: Dict[str, Any]
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

    def run(self, slot: Slot, argv: List[str], cwd: Path, env: Dict[str, str], seconds: float) -> Ended:
        """Runs a command of this job in a slot, unless the job was stopped."""
        with self._lock:
            self._slot = slot
            self._overdue_at = time.monotonic() + seconds + OVERDUE_SECONDS
        try:
            return slot.run(argv, cwd, env, seconds, self.limits, lambda: not self.stop_reason)
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
        self.gpus = [] if options.no_gpu else find_gpus()
        if not options.no_gpu and options.nproc_execute > len(self.gpus):
            raise BadSetup(
                "--nproc-execute %d asks for more GPUs than there are (%d); each execution worker "
                "needs one of its own. On a machine without GPUs, say --no-gpu."
                % (options.nproc_execute, len(self.gpus))
            )
        self.arch = options.arch or (self.gpus[0].architecture if self.gpus else None)
        self.scratch = self._take_scratch()
        self.spool = Spool(self.scratch / "spool")
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
        self._releases = []  # type: List[threading.Thread]
        self._claiming = set()  # type: Any  # connections on which a claim is held

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
        say("Executor %s: nvcc %s, %s, %d compile and %d execution workers, queue %s."
            % (self.auth.name, self.nvcc_version, self._hardware(), options.nproc_compile,
               options.nproc_execute, self.auth.server))  # fmt: skip
        say("Warning: programs run without a sandbox, as this user.")
        for path in self.spool.left_over():
            self.outbox.put(path)
        beat = start(self._beat, "heartbeat")
        sender = start(self._send_results, "results")
        compilers = [start(self._compile_jobs, "compile-%d" % n) for n in range(options.nproc_compile)]
        runners = [
            start(self._execute_jobs, "execute-%d" % n, self.gpus[n] if self.gpus else None)
            for n in range(options.nproc_execute)
        ]
        join(compilers)
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

    def _attempts(self) -> List[Attempt]:
        with self._lock:
            return list(self.in_hand.values())

    # --- Compiling ---

    def _compile_jobs(self) -> None:
        """One compile worker: claim, compile, hand over, again."""
        connection = Connection(self.auth)
        slot = Slot()
        while not self.draining.is_set():
            attempt = self._claim(connection)
            if attempt is None:
                continue
            if self._guarded(attempt, lambda: self._compile(attempt, slot)):
                attempt.phase = "waiting"
                self.beat_now.set()
                self.compiled.put(attempt)
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
            with self._lock:
                self._claiming.add(connection)
            try:
                answer = connection.request("POST", "/claims", self._about(), headers, WAIT_SECONDS + 15)
            except (Unreachable, Untrusted) as error:
                if not self.draining.is_set():
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
            if answer.status == 401 or answer.problem == "wrong-token-kind":
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
            "gpus": [gpu._asdict() for gpu in self.gpus],
            "nproc_compile": self.options.nproc_compile,
            "nproc_execute": self.options.nproc_execute,
            "sandbox": "none",
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

    def _guarded(self, attempt: Attempt, step: Callable[[], bool]) -> bool:
        """The step's answer; what this host could not do is given back, not blamed on the job."""
        try:
            return step()
        except OSError as error:
            attempt.stop("the host could not run it: %s" % (error.strerror or error))
            return False

    def _compile(self, attempt: Attempt, slot: Slot) -> bool:
        """Whether there is a program to run now; if not, the attempt holds the report."""
        for name in ("src", "run", "tmp"):
            (attempt.folder / name).mkdir(parents=True)
        source = attempt.folder / "src" / source_name(attempt.filename)
        source.write_bytes(attempt.source.encode("utf-8"))
        program = attempt.folder / "program"
        argv = [self.nvcc, "-O3", "-o", str(program), "./" + source.name]
        if self.arch:
            argv.insert(2, "-arch=" + self.arch)
        ended = attempt.run(
            slot, argv, source.parent, self._environment(attempt, ""), attempt.limits["compile_seconds"]
        )
        if not self._finished(attempt, ended):
            return False
        attempt.report = {
            "compile_log": in_text(ended.log),
            "compile_seconds": round(ended.seconds, 4),
            "nvcc": self.nvcc_version,
            "arch": self.arch,
        }
        if ended.why == "ended" and ended.exit_code == 0 and program.is_file():
            return True
        if ended.why == "time":
            attempt.report.update(outcome="compile_timeout", limit="%d s" % attempt.limits["compile_seconds"])  # fmt: skip
        elif ended.why == "output":
            attempt.report.update(outcome="output_exceeded", limit=in_mib(attempt.limits["output_bytes"]))  # fmt: skip
        else:
            attempt.report.update(outcome="compile_error", exit_code=ended.exit_code, signal=ended.signal)  # fmt: skip
        return False

    def _environment(self, attempt: Attempt, visible_gpus: str) -> Dict[str, str]:
        """All that a compiler or program is told: nothing of this process's environment."""
        folders = [os.path.dirname(self.nvcc), "/usr/local/bin", "/usr/bin", "/bin"]
        return {
            "PATH": ":".join(folders),
            "HOME": str(attempt.folder / "run"),
            "TMPDIR": str(attempt.folder / "tmp"),
            "LANG": "C.UTF-8",
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
            "CUDA_VISIBLE_DEVICES": visible_gpus,
        }

    # --- Executing ---

    def _execute_jobs(self, gpu: Optional[Gpu]) -> None:
        """One execution worker: owns one GPU and runs one program at a time on it."""
        slot = Slot()
        while True:
            attempt = self.compiled.get()
            if attempt is None:
                break
            attempt.phase = "executing"
            self.beat_now.set()
            attempt.taken.set()
            self._guarded(attempt, lambda: self._execute(attempt, slot, gpu))
            self._done(attempt)
        slot.close()

    def _execute(self, attempt: Attempt, slot: Slot, gpu: Optional[Gpu]) -> bool:
        ended = attempt.run(
            slot,
            [str(attempt.folder / "program")] + attempt.args,
            attempt.folder / "run",
            self._environment(attempt, gpu.uuid if gpu else ""),
            attempt.limits["execute_seconds"],
        )
        if not self._finished(attempt, ended):
            return False
        report = attempt.report
        report.update(
            execute_log=in_text(ended.log),
            execute_seconds=round(ended.seconds, 4),
            exit_code=ended.exit_code,
            signal=ended.signal,
            gpu=gpu._asdict() if gpu else None,
        )
        if ended.why == "time":
            report.update(outcome="runtime_timeout", limit="%d s" % attempt.limits["execute_seconds"])  # fmt: skip
        elif ended.why == "output":
            report.update(outcome="output_exceeded", limit=in_mib(attempt.limits["output_bytes"]))
        else:
            report.update(outcome="succeeded" if ended.exit_code == 0 else "runtime_error")
        return True

    def _finished(self, attempt: Attempt, ended: Ended) -> bool:
        """Whether the command came to an end of its own or a limit's, so that it counts."""
        if ended.why == "lost":
            attempt.stop("the process that ran it was killed")
        elif ended.why == "killed":
            attempt.stop("it was stopped")
        return ended.why not in ("lost", "killed")

    # --- Reporting ---

    def _done(self, attempt: Attempt) -> None:
        """The attempt is over here: its result goes to the spool, or the job back to the queue."""
        shutil.rmtree(str(attempt.folder), ignore_errors=True)
        if not attempt.stop_reason:
            try:
                path = self.spool.put(attempt.id, {"lease_token": attempt.lease_token, **attempt.report})
                say("Job %d: %s." % (attempt.job_id, attempt.report["outcome"]))
                self.outbox.put(path)  # heartbeats go on until it is sent
                return
            except OSError as error:
                attempt.stop("the host could not keep its result: %s" % error.strerror)
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
            Connection(self.auth), "POST", attempt.id, "release", body, attempt.lease_seconds
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
            if self._deliver(connection, "PUT", content["attempt"], "result", content["report"]):
                path.unlink()
            self._forget(content["attempt"])
        connection.close()

    def _deliver(
        self, connection: "Connection", method: str, attempt_id: int, what: str,
        body: Dict[str, Any], patience: float = float("inf"),
    ) -> bool:  # fmt: skip
        """Whether the queue has given an answer that counts, so that this need not be sent again."""
        deadline = time.monotonic() + patience
        path = "/attempts/%d/%s" % (attempt_id, what)
        for delay in delays():
            try:
                answer = connection.request(method, path, body)
                if answer.status == 401:
                    self._refused(answer)
                    return False
                if not is_retryable(answer):
                    if answer.status >= 400:
                        say("Attempt %d: the queue does not take its %s: %s" % (attempt_id, what, answer.detail))
                    return True
                trouble, pause = answer.detail, max(delay, answer.retry_after)
            except (Unreachable, Untrusted) as error:
                trouble, pause = str(error), delay
            say_once("%s; trying again." % trouble.rstrip("."))
            late = time.monotonic() + pause > deadline
            if late or self.exit_status == REFUSED or self.hurry.wait(pause):
                return False
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
            least = min([a.lease_seconds for a in attempts] or [30.0])
            self.beat_now.wait(least / 3)
            self.beat_now.clear()
        connection.close()

    def _beat_one(self, connection: "Connection", attempt: Attempt) -> None:
        body = {"lease_token": attempt.lease_token, "phase": attempt.phase}
        try:
            answer = connection.request(
                "POST", "/attempts/%d/heartbeat" % attempt.id, body, timeout=attempt.lease_seconds / 3
            )
        except (Unreachable, Untrusted) as error:
            say_once("%s; trying again." % str(error).rstrip("."))
            return
        if answer.status == 401:
            self._refused(answer)
        elif answer.status in (404, 409):
            if attempt.id in self.in_hand:  # not one whose result was just taken
                attempt.stop("the queue took the job away: %s" % answer.detail, lost=True)
        elif answer.status == 200 and answer.body.get("cancel_requested"):
            attempt.stop("it was cancelled")


class Connection(Queue):
    """A connection whose held request another thread can end, for good."""

    def __init__(self, auth: Auth) -> None:
        super().__init__(auth)
        self._hung_up = False

    def hang_up(self) -> None:
        """Breaks the connection under a request that is waiting on it; no other is opened."""
        self._hung_up = True
        held = self._connection
        if held is not None and held.sock is not None:
            try:
                # Not SSLSocket's own, which takes the TLS object from under the waiting thread.
                socket.socket.shutdown(held.sock, socket.SHUT_RDWR)
            except OSError:
                pass

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


def in_text(log: bytes) -> str:
    """Any bytes as a string that JSON carries without loss (PEP 383)."""
    return log.decode("utf-8", "surrogateescape")


def in_mib(size: int) -> str:
    return "%.4g MiB" % (size / (1 << 20))


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
    parser.add_argument("--nvcc", metavar="PATH", help="the compiler (default: nvcc on the PATH, then /usr/local/cuda)")  # fmt: skip
    parser.add_argument("--arch", type=architecture, metavar="SM", help="compile for this architecture (default: the GPU's)")  # fmt: skip
    parser.add_argument("--no-gpu", action="store_true", help="for a machine without GPUs: programs run, CUDA calls in them fail as CUDA says")  # fmt: skip
    return parser.parse_args(argv)


def main(argv: Any = None) -> int:
    if (sys.argv[1:] if argv is None else argv) == ["--slot"]:
        SlotProcess().serve()
        return STOPPED
    options = parse(argv)
    try:
        auth = read_auth(options.auth, "executor", options.server)
        return Executor(options, auth).run()
    except BadSetup as error:
        warn("executor.py: %s" % error)
        return WRONG_USAGE


if __name__ == "__main__":
    sys.exit(main())
