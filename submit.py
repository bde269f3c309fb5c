#!/usr/bin/env python3
"""Submit a CUDA program to Telerun's queue and print what came of it.

    python3 submit.py program.cu

The files that it writes to ./out/ are saved in ./telerun-out/JOB/.

Needs Python 3.8 or newer, nothing else, on Linux, macOS or Windows. Beside this file stands
auth.json, from the course staff: {"username": "...", "token": "..."}, and optionally "server"
(https://host:port) and "certificate" (a PEM file to trust, relative to auth.json). A server.cert
beside this file is trusted too.

Exit status:
  0    the program was compiled, ran, and succeeded
  1    the program did not: compile error, non-zero exit, killed, or a limit was hit
  2    wrong usage: arguments, the source file, or auth.json
  3    the queue refused: no such job, a wrong token, a job of yours waits already
  4    the queue cannot be reached or trusted; the job, if submitted, is safe there
  5    there is no result: the job was cancelled, or the system failed it
  6    the program succeeded, but not all of its output files could be saved
  130  interrupted with Ctrl-C
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import signal
import ssl
import sys
import time
import urllib.parse
from collections import namedtuple
from pathlib import Path

TYPE_CHECKING = False  # importing typing, or uuid, takes longer than the program itself
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Optional, Set

VERSION = "1"
HERE = Path(__file__).resolve().parent
DEFAULT_SERVER = "https://localhost:4443"
WAIT_SECONDS = 25  # how long one request is held open at the queue
SUBMIT_PATIENCE_SECONDS = 20  # how long to try to reach the queue at first
INTERRUPT_PATIENCE_SECONDS = 3  # after Ctrl-C
WAIT_PATIENCE_SECONDS = 900  # and once the job is in: long enough for Wi-Fi to come back
MAX_SOURCE_BYTES = 1024 * 1024
MAX_ARGS, MAX_ARG_LENGTH = 100, 4096

SUCCEEDED, PROGRAM_FAILED, WRONG_USAGE, REFUSED, UNREACHABLE, NO_RESULT, UNSAVED, INTERRUPTED = (
    0, 1, 2, 3, 4, 5, 6, 130,
)  # fmt: skip


class Stop(Exception):
    """Ends the program with a message and an exit status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


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


# --- What the student hands in -----------------------------------------------------------


def read_source(path: Path) -> str:
    """The text of the source file. Raises Stop for what the queue would not take."""
    if "\\" in path.name or not path.name.isprintable():
        raise Stop(WRONG_USAGE, "The queue takes no file of the name %s; rename it." % ascii(path.name))
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise Stop(WRONG_USAGE, "%s is a folder; name one .cu file." % path)
        if size > MAX_SOURCE_BYTES:
            raise Stop(WRONG_USAGE, "%s has %d bytes; the queue takes %d (1 MiB)."
                       % (path, size, MAX_SOURCE_BYTES))  # fmt: skip
        data = path.read_bytes()
    except FileNotFoundError:
        raise Stop(WRONG_USAGE, "There is no file %s." % path) from None
    except OSError as error:
        raise Stop(WRONG_USAGE, "%s cannot be read: %s." % (path, error.strerror)) from None
    if not data.strip():
        raise Stop(WRONG_USAGE, "%s is empty." % path)
    if b"\0" in data:
        raise Stop(WRONG_USAGE, "%s has a NUL byte at offset %d: it is not a source file."
                   % (path, data.index(b"\0")))  # fmt: skip
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Stop(WRONG_USAGE, "%s is not UTF-8 (byte %d); save it as UTF-8." % (path, error.start)) from None  # fmt: skip


def check_arguments(args: List[str]) -> None:
    """Raises Stop for what the queue would not take."""
    if len(args) > MAX_ARGS or any(len(arg) > MAX_ARG_LENGTH for arg in args):
        raise Stop(WRONG_USAGE, "The queue takes %d arguments of %d characters each; put more into the source."
                   % (MAX_ARGS, MAX_ARG_LENGTH))  # fmt: skip
    if any("\ud800" <= character <= "\udfff" for arg in args for character in arg):
        raise Stop(WRONG_USAGE, "An argument for the program is not UTF-8; the queue takes no other.")


# --- One job -----------------------------------------------------------------------------


class Client:
    """Submits, waits, and prints."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self._told = ""
        self._submission = None  # type: Any

    def submit(self, path: Path, source: str, args: Any, override: bool) -> Dict[str, Any]:
        """Puts the program into the queue, once however often it must be sent; the job."""
        self._submission = (
            "POST",
            "/jobs?override_pending=1" if override else "/jobs",
            {"source": source, "filename": path.name, "args": args},
            {"Idempotency-Key": os.urandom(16).hex()},
        )
        return self._job(self._persist(*self._submission, patience=SUBMIT_PATIENCE_SECONDS))

    def submitted(self) -> Optional[Dict[str, Any]]:
        """The job whose submission was interrupted: sent again, it is the same one."""
        if self._submission is None:
            return None
        return self._job(self._persist(*self._submission, patience=INTERRUPT_PATIENCE_SECONDS))

    def get(self, job_id: int) -> Dict[str, Any]:
        """The job as it is now."""
        return self._job(
            self._persist("GET", "/jobs/%d" % job_id, patience=SUBMIT_PATIENCE_SECONDS)
        )

    def cancel(self, job_id: int) -> Dict[str, Any]:
        """Cancels a queued job, or asks for a running one to be stopped; the job."""
        return self._job(
            self._persist("POST", "/jobs/%d/cancel" % job_id, patience=SUBMIT_PATIENCE_SECONDS)
        )

    def file(self, job_id: int, name: str) -> Answer:
        """One of a job's output files, as bytes."""
        path = "/jobs/%d/files/%s" % (job_id, urllib.parse.quote(name, safe=""))
        return self._persist("GET", path, patience=SUBMIT_PATIENCE_SECONDS)

    def wait(self, job: Dict[str, Any]) -> Dict[str, Any]:
        """Returns the job once it is over, telling meanwhile what it waits for."""
        while job["state"] in ("queued", "running"):
            self._tell(status_line(job))
            answer = self._persist(
                "GET",
                "/jobs/%d" % job["id"],
                headers={"Prefer": "wait=%d" % WAIT_SECONDS, "If-None-Match": job["etag"]},
                patience=WAIT_PATIENCE_SECONDS,
            )
            if answer.status != 304:
                job = self._job(answer)
        return job

    def _job(self, answer: Answer) -> Dict[str, Any]:
        if answer.status >= 400:
            raise Stop(REFUSED, refusal(answer))
        if not {"id", "state", "result"} <= set(answer.body):
            raise Stop(UNREACHABLE, "%s answers, but not as a Telerun queue does. Is the address right?"
                       % self.queue.server)  # fmt: skip
        return {**answer.body, "etag": answer.headers.get("etag", "")}

    def _persist(
        self,
        method: str,
        path: str,
        body: Optional[Dict[str, Any]] = None,
        headers: Optional[Dict[str, str]] = None,
        patience: float = 0.0,
    ) -> Answer:
        """The same request until the queue gives an answer that counts."""
        deadline = time.monotonic() + patience
        for delay in delays():
            try:
                answer = self.queue.request(method, path, body, headers, WAIT_SECONDS + 15)
                if not is_retryable(answer):
                    return answer
                trouble, pause = answer.detail, max(delay, answer.retry_after)
                if answer.status == 429:  # it is there, and says when to come again
                    deadline += pause
            except Unreachable as error:
                trouble, pause = str(error), delay
            if time.monotonic() + pause > deadline:
                raise Stop(UNREACHABLE, trouble)
            self._tell(trouble.rstrip(".") + "; trying again.")
            time.sleep(pause)
        raise AssertionError("delays() never ends")

    def _tell(self, line: str) -> None:
        if line != self._told:
            self._told = line
            warn(line)


def refusal(answer: Answer) -> str:
    """What to tell the student about a 4xx."""
    if answer.refuses_token:
        return "The queue does not accept the token in auth.json. " + answer.detail
    return answer.detail


def status_line(job: Dict[str, Any]) -> str:
    """What the job is waiting for, in a line."""
    head = "Job %d: " % job["id"]
    lost = [a for a in job.get("attempts", []) if a.get("ending") in ("expired", "released")]
    again = " (again: %s was lost)" % lost[-1]["executor"] if lost else ""
    if job["state"] == "queued":
        place = job.get("queue_position")
        ahead = "next in the queue" if place == 1 else "position %s in the queue" % place
        return head + "waiting, " + ahead + again
    doing = {"compiling": "compiling", "waiting": "compiled, waiting for a GPU",
             "executing": "running"}.get(job.get("phase"), "running")  # fmt: skip
    stop = ", being cancelled" if job.get("cancel_requested_at") else ""
    return head + doing + " on " + printable(str(job.get("executor"))) + stop + again


# --- What the student sees ---------------------------------------------------------------

EXPLAINED = {
    "succeeded": "succeeded",
    "compile_error": "did not compile",
    "compile_timeout": "took too long to compile",
    "runtime_error": "failed",
    "runtime_timeout": "ran too long and was stopped",
    "memory_exceeded": "used too much memory and was stopped",
    "output_exceeded": "printed too much and was stopped",
}
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Text that does nothing to a terminal: control characters are spelled out."""
    return CONTROL.sub(lambda m: m[0].encode("unicode_escape").decode(), text)


def show(job: Dict[str, Any]) -> int:
    """Prints a job that is over; returns the exit status."""
    result = job["result"]
    attempts = job.get("attempts", [])
    for attempt in attempts if result is None else attempts[:-1]:
        warn(attempt_line(attempt))
    if result is None:
        warn(ending_line(job))
        return NO_RESULT
    if result["compile_log"]:
        print_log("compiler", result["compile_log"])
    if result["execute_log"]:
        print_log("program", result["execute_log"])
    print(ending_line(job), flush=True)
    if slowed_by_heat(result):
        warn("The GPU was slowed down by heat when the program ended: its times may be longer than usual.")
    return SUCCEEDED if job["outcome"] == "succeeded" else PROGRAM_FAILED


def slowed_by_heat(result: Dict[str, Any]) -> bool:
    gpu = (result.get("details") or {}).get("gpu")
    return isinstance(gpu, dict) and "heat" in (gpu.get("throttled") or [])


def print_log(title: str, log: str) -> None:
    """A log under its title: byte for byte into a file or pipe, made harmless on a terminal."""
    sys.stdout.write("--- %s ---\n" % title)
    sys.stdout.flush()
    data = log.encode("utf-8", "surrogateescape")
    if sys.stdout.isatty():
        data = printable(data.decode("utf-8", "backslashreplace")).encode(
            sys.stdout.encoding or "utf-8", "backslashreplace"
        )
    sys.stdout.buffer.write(data if data.endswith(b"\n") else data + b"\n")
    sys.stdout.flush()


def attempt_line(attempt: Dict[str, Any]) -> str:
    """How an attempt ended that brought no result."""
    ended = attempt.get("ending") or "open"
    why = ": " + attempt["reason"] if attempt.get("reason") else ""
    return printable("Attempt %s on %s %s%s" % (attempt["number"], attempt["executor"], ended, why))


def ending_line(job: Dict[str, Any]) -> str:
    """What became of the job, in a line."""
    head = "--- job %d " % job["id"]
    if job["state"] == "cancelled":
        return head + "was cancelled ---"
    if job["state"] == "failed":
        tries = len(job.get("attempts", []))
        return head + "could not be run: %d hosts were lost with it. Not your fault; tell the course staff ---" % tries  # fmt: skip
    result = job["result"]
    words = EXPLAINED.get(job["outcome"], str(job["outcome"]))
    limit = (result.get("details") or {}).get("limit")
    if limit:
        words += " (limit: %s)" % printable(str(limit))
    elif result.get("signal"):
        words += " (killed by signal %d%s)" % (result["signal"], signal_name(result["signal"]))
    elif result.get("exit_code"):
        words += " (exit status %d)" % result["exit_code"]
    times = [
        "%s in %.2f s" % (verb, result[key])
        for verb, key in (("compiled", "compile_seconds"), ("ran", "execute_seconds"))
        if result.get(key) is not None
    ]
    where = "on " + printable(str(job.get("executor")))
    return head + words + ": " + ", ".join(times + [where]) + " ---"


def signal_name(number: int) -> str:
    """", SIGSEGV" for 11, as Linux numbers them; "" for one without a name here."""
    names = {4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL", 11: "SIGSEGV",
             13: "SIGPIPE", 15: "SIGTERM", 25: "SIGXFSZ", 31: "SIGSYS"}  # fmt: skip
    return ", " + names[number] if number in names else ""


# --- Output files ------------------------------------------------------------------------
#
# The queue says what they are called, and is not trusted with that: no name leads out of the
# folder, none is a device of Windows, and nothing that is there already is written over.

def save_files(client: Client, job: Dict[str, Any], folder: Path) -> bool:
    """Saves what the job's program left in ./out/, and says so; whether all is there now."""
    result = job["result"] or {}
    tell_left_out(result.get("details") or {})
    saved, taken = True, set()  # type: bool, Set[str]
    for name in listed(result.get("files"), "name"):
        path = folder / free_name(safe_name(name), taken)
        try:
            told = save(client.file(job["id"], name), path)
        except OSError as error:
            saved, told = False, "%s cannot be saved: %s." % (path, error.strerror)
        except Stop as stop:
            if stop.status == UNREACHABLE:
                raise
            saved, told = False, "%s was not saved: %s" % (path, stop)
        warn(printable(told))
    if not saved:
        warn("The queue keeps the files. To get them: submit.py --attach %d --out DIR" % job["id"])
    return saved


def save(answer: Answer, path: Path) -> str:
    """Makes the file; what to say of it. Raises OSError, and Stop for a file that is not to be had."""
    if not isinstance(answer.body, bytes):
        raise Stop(REFUSED, refusal(answer) if answer.status >= 400 else "the queue sent no file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        file = open(str(path), "xb")
    except FileExistsError:
        if path.is_file() and path.read_bytes() == answer.body:
            return "%s is there already." % path
        raise Stop(UNSAVED, "another file of that name is there, and is left as it is.") from None
    try:
        with file:
            file.write(answer.body)
    except BaseException:
        path.unlink()
        raise
    return "Saved %s (%s)." % (path, in_size(len(answer.body)))


def safe_name(name: str) -> str:
    """A name for a file in one folder, on any system."""
    name = CONTROL.sub("_", re.sub(r'[<>:"/\\|?*\t\n\ud800-\udfff]', "_", name))
    name = re.sub(r"[. ]+$", "_", name)
    device = r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3]) *(\..*)?"
    return "_" + name if not name or re.fullmatch(device, name, re.IGNORECASE) else name


def free_name(name: str, taken: Set[str]) -> str:
    """The name, or, of a second file whose name comes out the same, another; case does not tell
    two apart on every system. The order of a job's files stays, and so do their names."""
    stem, dot, ending = name.partition(".")
    number, free = 1, name
    while free.lower() in taken:
        number += 1
        free = "%s-%d%s%s" % (stem, number, dot, ending)
    taken.add(free.lower())
    return free


def listed(items: Any, key: str) -> Any:
    """The strings under `key` in a list of objects, as far as it is one."""
    items = items if isinstance(items, list) else []
    return [str(item[key]) for item in items if isinstance(item, dict) and key in item]


def tell_left_out(details: Dict[str, Any]) -> None:
    """Says which files did not come back, and why."""
    left_out = details.get("files_left_out")
    for name, reason in zip(listed(left_out, "name"), listed(left_out, "reason")):
        warn(printable("Not saved: %s: %s." % (name, reason)))
    if details.get("more_files_left_out"):
        warn(printable("Not saved: %s more." % details["more_files_left_out"]))


def in_size(size: int) -> str:
    return "%d bytes" % size if size < 1024 else "%.4g KiB" % (size / 1024) if size < 1 << 20 else "%.4g MiB" % (size / (1 << 20))


# --- The command -------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """Says what to do about arguments that were meant for the program."""

    def error(self, message: str) -> Any:
        if message.startswith("unrecognized arguments"):
            message += " (put -- before the program's own)"
        super().error(message)


def parse(argv: Any) -> argparse.Namespace:
    parser = Parser(
        description="Submit a CUDA program to Telerun's queue and print what came of it.",
        epilog="Exit status 0: the program succeeded. 1: it did not. 2: wrong usage. 3: refused. "
        "4: queue unreachable. 5: cancelled or failed. 6: output files not saved. 130: Ctrl-C.",
    )
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE.cu", help="the program")
    parser.add_argument("args", nargs="*", metavar="ARG", help="arguments for the program; put -- before those that begin with a dash")  # fmt: skip
    parser.add_argument("--auth", type=Path, default=HERE / "auth.json", metavar="FILE", help="who you are (default: auth.json beside this script)")  # fmt: skip
    parser.add_argument("--server", metavar="URL", help="https://host:port of the queue")
    parser.add_argument("--override-pending", action="store_true", help="replace your job that waits in the queue")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="DIR", help="save the files that the program writes to ./out/ here (default: telerun-out/JOB)")  # fmt: skip
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--attach", type=int, metavar="ID", help="wait for a job submitted before, and print it")  # fmt: skip
    one.add_argument("--cancel", type=int, metavar="ID", help="cancel a job of yours")
    options = parser.parse_intermixed_args(argv)
    if (options.file is None) == (options.attach is None and options.cancel is None):
        parser.error("name one FILE.cu, or use --attach ID or --cancel ID")
    if options.cancel is not None and options.out is not None:
        parser.error("--out goes with FILE.cu or --attach ID: a job that is cancelled leaves no files")
    return options


def run(options: argparse.Namespace) -> int:
    source = read_source(options.file) if options.file else ""
    check_arguments(options.args)
    client = Client(Queue(read_auth(options.auth, "username", options.server)))
    job = None  # type: Optional[Dict[str, Any]]
    try:
        if options.cancel is not None:
            job = client.cancel(options.cancel)
            warn("Job %d is %s." % (job["id"], "cancelled" if job["state"] == "cancelled" else "told to stop"))  # fmt: skip
            return SUCCEEDED
        if options.attach is not None:
            job = client.get(options.attach)
        else:
            job = client.submit(options.file, source, options.args, options.override_pending)
            warn("Submitted %s as job %d." % (options.file, job["id"]))
        job = client.wait(job)
        status = show(job)
        saved = save_files(client, job, options.out or Path("telerun-out", str(job["id"])))
        return UNSAVED if status == SUCCEEDED and not saved else status
    except KeyboardInterrupt:
        return interrupted(client, job)
    except Stop as stop:
        if job is not None and stop.status == UNREACHABLE:
            raise Stop(UNREACHABLE, "%s. The queue keeps your job; see it later with: submit.py --attach %d" % (str(stop).rstrip("."), job["id"])) from None  # fmt: skip
        raise


def interrupted(client: Client, job: Optional[Dict[str, Any]]) -> int:
    """Ctrl-C: takes a job that still waits out of the queue; one that runs is left running."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C ends this at once
    client.queue.close()  # an answer may be under way on it
    try:
        job = job or client.submitted()
    except Stop as stop:
        if stop.status == UNREACHABLE:
            warn("Interrupted. The queue could not be asked whether it has the job.")
            return INTERRUPTED
    if job is None:
        warn("Interrupted.")
        return INTERRUPTED
    job = client.get(job["id"])
    if job["state"] == "queued":
        job = client.cancel(job["id"])
    if job["state"] == "cancelled":
        warn("Job %d is cancelled." % job["id"])
    elif job.get("cancel_requested_at"):
        warn("Job %d is told to stop." % job["id"])
    else:
        warn("Job %d is %s already and was not cancelled. To see it: submit.py --attach %d; to stop it: submit.py --cancel %d" % (job["id"], job["state"], job["id"], job["id"]))  # fmt: skip
    return INTERRUPTED


def main(argv: Any = None) -> int:
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as `>&-` does
            setattr(sys, name, open(os.devnull, "w"))
    try:
        return run(parse(argv))
    except Stop as stop:
        warn("submit.py: %s" % stop)
        return stop.status
    except BadSetup as error:
        warn("submit.py: %s" % error)
        return WRONG_USAGE
    except Untrusted as error:
        warn("submit.py: %s" % error)
        return UNREACHABLE
    except KeyboardInterrupt:
        warn("Interrupted.")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output left: not our trouble
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SUCCEEDED
    except OSError as error:  # a disk that is full; the queue keeps the job
        warn("submit.py: its output cannot be written: %s." % (error.strerror or error))
        return UNSAVED


if __name__ == "__main__":
    status = main()
    try:
        sys.stdout.flush()
    except OSError:  # its reader left
        pass
    # Python's own tidying up takes 10 ms, of every student's wait, and there is nothing to tidy.
    os._exit(status)
