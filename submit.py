#!/usr/bin/env python3
# -*- coding: utf-8 -*-
"""Submit a program to Telerun's queue and print what came of it.

    python3 submit.py program.cu
    python3 submit.py program.cu --with kernels.cu --flag=-lcublas --platform h100

What it includes from its own folder is sent along. A comment in its first lines may stand for
options: // telerun: --with kernels.cu --flag=-lcublas --platform h100

Its logs, and the files that it writes to ./out/, are saved in ./telerun-out/JOB/.

Needs Python 3.8 or newer, nothing else, on Linux, macOS or Windows. Beside this file stands
auth.json, from the course staff: {"username": "...", "token": "..."}, and optionally "server"
(https://host:port) and "certificate" (a PEM file to trust, relative to auth.json). A server.cert
beside this file is trusted too.

Exit status:
  0    the program was compiled, ran, and succeeded
  1    the program did not: compile error, non-zero exit, killed, or a limit was hit
  2    wrong usage: arguments, the source file, or auth.json
  3    the queue refused: no such job, a wrong token, a job of yours waits already; or it is too
       old for what the program needs
  4    the queue cannot be reached or trusted; the job, if submitted, is safe there
  5    there is no result: the job was cancelled, or the system failed it
  6    the program succeeded, but some of what it printed, or of its files, was left out or could
       not be saved; write large output to files in ./out/
  130  interrupted with Ctrl-C
"""

# Ctrl-C ends this program at once until it has begun: there is nothing yet to be undone.
import os  # these, and no others: they take no time to import
import sys

if sys.version_info < (3, 8):  # noqa: UP036  (so all here is what Python 2 can read)
    about = (sys.executable or "python", sys.version_info[0], sys.version_info[1])
    sys.stderr.write("submit.py: it needs Python 3.8 or newer; %s is Python %d.%d.\n" % about)
    sys.exit(2)
import _signal


def end_at_once(*_):
    os.write(2, b"Interrupted.\n")
    os._exit(130)


if __name__ == "__main__" and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, end_at_once)

# What is compiled is kept where Python keeps a module's code: compiling it each time would take a
# quarter of a student's wait for a short program.
import _imp
import marshal
from _frozen_importlib_external import MAGIC_NUMBER, cache_from_source

PROGRAM_LINE = 100  # where its text begins in this file


def code_of(program):
    """The compiled program, from the cache if it is there. Else it is put there, if that can be."""
    place = cache_from_source(os.path.splitext(__file__)[0] + "-program.py")
    about = "%s:%d:%d:%s" % (__file__, PROGRAM_LINE, sys.flags.optimize, program)
    key = MAGIC_NUMBER + _imp.source_hash(0, about.encode())
    try:
        with open(place, "rb") as file:
            if is_ours(file) and file.read(len(key)) == key:
                return marshal.load(file)  # noqa: S302  (as Python does with a module's code)
    except (OSError, EOFError, TypeError, ValueError):
        pass
    lines_before = "\n" * (PROGRAM_LINE - 1)
    code = compile(lines_before + program, __file__, "exec", dont_inherit=True)
    if not sys.dont_write_bytecode:
        keep(place, key + marshal.dumps(code))
    return code


def is_ours(file):
    """Whether somebody made the file who may change this program anyway."""
    return os.name != "posix" or os.fstat(file.fileno()).st_uid in (
        os.getuid(),
        os.stat(__file__).st_uid,
    )


def keep(place, data):
    """Makes the file, whole or not at all. Where that cannot be, nothing is lost but time."""
    part = "%s.%d" % (place, os.getpid())
    try:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(part, "xb") as file:
            file.write(data)
        os.replace(part, place)
    except OSError:
        try:  # noqa: SIM105  (contextlib takes time to import)
            os.remove(part)
        except OSError:
            pass


PROGRAM = r'''
from __future__ import annotations

import _thread
import argparse
import codecs
import errno
import gc
import http.client
import io
import json
import os
import posixpath
import re
import select
import signal
import socket
import ssl
import stat
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

TYPE_CHECKING = False  # importing typing takes longer than the program
if TYPE_CHECKING:
    from typing import Any

# Made from handouts/submit/ and handouts/client/ by `make handouts`: change those.
# The parts of this file: where each begins, what it is made from, and the line there.
PARTS = (
    (220, "handouts/client/errors.py", 6),
    (250, "handouts/client/text_encoding.py", 7),
    (291, "handouts/client/words.py", 10),
    (329, "handouts/client/auth.py", 15),
    (413, "handouts/client/answer.py", 8),
    (462, "handouts/client/distrust.py", 10),
    (528, "handouts/client/server_address.py", 10),
    (600, "handouts/client/connection.py", 21),
    (764, "handouts/client/tracebacks.py", 12),
    (797, "handouts/submit/as_typed.py", 9),
    (843, "handouts/submit/terminals.py", 10),
    (975, "handouts/submit/answers_in_json.py", 14),
    (1036, "handouts/submit/auth_place.py", 10),
    (1060, "handouts/submit/left_out.py", 10),
    (1110, "handouts/submit/moments.py", 7),
    (1183, "handouts/submit/printable.py", 7),
    (1198, "handouts/submit/ending_lines.py", 12),
    (1300, "handouts/submit/job_lines.py", 10),
    (1408, "handouts/submit/listing.py", 13),
    (1517, "handouts/submit/comparing.py", 14),
    (1650, "handouts/client/retries.py", 9),
    (1664, "handouts/submit/client_versions.py", 11),
    (1688, "handouts/submit/turns.py", 17),
    (1786, "handouts/submit/streams.py", 15),
    (1862, "handouts/submit/job_events.py", 14),
    (1941, "handouts/submit/compile_log.py", 7),
    (2007, "handouts/submit/notices.py", 10),
    (2035, "handouts/submit/status_line.py", 14),
    (2133, "handouts/submit/terminal_text.py", 16),
    (2212, "handouts/submit/screen.py", 16),
    (2340, "handouts/submit/live.py", 11),
    (2488, "handouts/submit/stop.py", 5),
    (2511, "handouts/submit/persistent.py", 20),
    (2620, "handouts/submit/c_includes.py", 8),
    (2675, "handouts/submit/older_queue.py", 13),
    (2734, "handouts/submit/wishes.py", 8),
    (2775, "handouts/submit/refusals.py", 12),
    (2824, "handouts/submit/relative_names.py", 11),
    (2861, "handouts/submit/compiler_flags.py", 10),
    (2933, "handouts/client/job_file_names.py", 8),
    (2975, "handouts/submit/python_imports.py", 13),
    (3044, "handouts/submit/no_text.py", 7),
    (3112, "handouts/submit/source_file.py", 16),
    (3208, "handouts/submit/gather.py", 19),
    (3320, "handouts/submit/together.py", 12),
    (3357, "handouts/submit/data_files.py", 16),
    (3390, "handouts/submit/source_options.py", 13),
    (3475, "handouts/submit/directives.py", 18),
    (3625, "handouts/submit/submission.py", 22),
    (3732, "handouts/submit/waiting_line.py", 21),
    (3842, "handouts/submit/job_client.py", 26),
    (4094, "handouts/submit/own_jobs.py", 11),
    (4142, "handouts/submit/wrong.py", 6),
    (4156, "handouts/submit/queue_state.py", 11),
    (4232, "handouts/submit/queue_status.py", 12),
    (4260, "handouts/submit/web.py", 13),
    (4346, "handouts/submit/commands.py", 20),
    (4432, "handouts/submit/pinned.py", 14),
    (4483, "handouts/submit/from_outside.py", 18),
    (4555, "handouts/submit/own_version.py", 13),
    (4584, "handouts/submit/doctor.py", 26),
    (4744, "handouts/submit/asking.py", 11),
    (4784, "handouts/submit/login_code.py", 12),
    (4840, "handouts/submit/private_files.py", 12),
    (4894, "handouts/submit/login.py", 26),
    (4987, "handouts/submit/own_files.py", 15),
    (5079, "handouts/submit/words_meant.py", 10),
    (5119, "handouts/submit/options.py", 19),
    (5351, "handouts/submit/typed_secrets.py", 11),
    (5370, "handouts/submit/hints.py", 15),
    (5405, "handouts/submit/interrupting.py", 18),
    (5530, "handouts/submit/file_names.py", 14),
    (5557, "handouts/submit/written_beside.py", 10),
    (5591, "handouts/submit/output_files.py", 20),
    (5737, "handouts/submit/log_files.py", 17),
    (5774, "handouts/submit/own_job_ahead.py", 15),
    (5819, "handouts/submit/readings.py", 8),
    (6002, "handouts/submit/show.py", 18),
    (6078, "handouts/submit/watching.py", 28),
    (6241, "handouts/submit/main.py", 60),
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


# --- handouts/submit/as_typed.py ----------------------------------------------------------
#
# How this program was called, so that a hint can be typed as it stands.


_said: list[str] = []  # commands
_given: list[str] = []  # such as --auth FILE, without which a hint would ask somebody else


def remember(*options: str) -> None:
    """These options were given, and belong to each hint."""
    _given[:] = options


def as_typed(*words: str) -> str:
    """The command with these words, such as "python3 submit.py --attach 58"."""
    command = " ".join(quoted(word) for word in [*program(), *words, *_given])
    _said.append(command)
    return command


def with_whole_commands(text: str, blank: str) -> str:
    """The text with another character for the blanks of its commands, so that none is broken."""
    for command in _said:
        text = text.replace(command, command.replace(" ", blank))
    return text


def program() -> list[str]:
    """The words before the first argument."""
    script = sys.argv[0] or "submit.py"
    typed = list(getattr(sys, "orig_argv", []))  # from Python 3.10 on
    if script in typed:
        return typed[: typed.index(script) + 1]
    if os.name == "nt":
        return ["py", "-3", script]
    return ["python3", script]


def quoted(word: str) -> str:
    """A word as a shell takes it; in double quotes, which Windows knows too."""
    if re.fullmatch(r"[\w@%+=:,./\\~-]+", word):
        return word
    return '"' + re.sub(r'(["$`\\])', r"\\\1" if os.name != "nt" else r"\1", word) + '"'


# --- handouts/submit/terminals.py ---------------------------------------------------------
#
# What an output can show: lines that are written anew, colours, more than ASCII.


RED, GREEN, YELLOW, CYAN, DIM = "31", "32", "33", "36", "2"
PLAIN = "\x1b[0m"
USUAL_COLUMNS = 80
WIDEST_TEXT = 100
# What stands for characters of ours where the encoding has none of them; no wider than they are.
IN_ASCII = {
    "·": "-",
    "…": "~",
    "○": "o",
    "◐": "+",
    "●": "*",
    "✗": "x",
    "µ": "u",
}
SHOWS_ESCAPES = 4  # ENABLE_VIRTUAL_TERMINAL_PROCESSING of a console of Windows


class Look:
    """How lines of ours look on an output."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.is_terminal = bool(stream.isatty())
        self.takes_escapes = self.is_terminal and takes_escapes(stream)
        self.has_colours = self.takes_escapes and not os.environ.get("NO_COLOR")
        self.encoding = getattr(stream, "encoding", None) or "utf-8"

    @property
    def columns(self) -> int:
        """How wide the terminal is at this moment."""
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or USUAL_COLUMNS
        except (OSError, ValueError):
            return USUAL_COLUMNS

    def coloured(self, text: str, colour: str) -> str:
        """The text in that colour, where colours are wanted."""
        return f"\x1b[{colour}m{text}{PLAIN}" if colour and self.has_colours else text

    def wrapped(self, text: str, by_commas: bool = False) -> str:
        """The text in lines of whole words, on a terminal; a command that it says stays in one.
        `by_commas`: what stands between two of them stays together, where it can."""
        if not self.is_terminal:
            return text
        return "\n".join(self._wrapped(line, by_commas) for line in text.split("\n"))

    def _wrapped(self, text: str, by_commas: bool) -> str:
        if width_of(text) <= self.columns:
            return text
        import textwrap  # only here, since it takes time to import

        width = max(20, min(self.columns, WIDEST_TEXT) - 1)
        text = with_whole_commands(text, "\xa0")
        long = next((word for word in text.split(" ") if width_of(word) > width), "")
        if "\xa0" in long:  # a command for which no line is long enough begins where it may
            head, _, tail = text.partition(f" {long}")
            text = f"{self._wrapped(head, by_commas)} {long}{tail}"
            return text.replace("\xa0", " ")
        # The dashes at both ends of a last line stay with the words beside them.
        text = text.replace("--- ", "---\xa0").replace(" ---", "\xa0---")
        parts = text.split(", ")
        if by_commas and max(map(width_of, parts)) < width:
            text = ", ".join(part.replace(" ", "\xa0") for part in parts)
        text = textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)
        return text.replace("\xa0", " ")

    def encodable(self, text: str) -> str:
        """The text in characters that the output has, as far as they are ours."""
        try:
            text.encode(self.encoding)
        except UnicodeEncodeError:
            for character, instead in IN_ASCII.items():
                text = text.replace(character, instead)
        return text

    def encoded(self, text: str) -> bytes:
        """The text in the output's encoding; what that lacks is spelled out."""
        return self.encodable(text).encode(self.encoding, "backslashreplace")


def takes_escapes(stream: Any) -> bool:
    """Whether a terminal understands escape sequences."""
    if os.name == "nt":
        return os.environ.get("TERM") != "dumb" and turn_escapes_on(stream)
    return os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def turn_escapes_on(stream: Any) -> bool:
    """On Windows a console has to be told; whether it understands them now."""
    import ctypes  # only here, since it takes time to import

    try:
        kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
        kernel.GetStdHandle.restype = ctypes.c_void_p
        handle = ctypes.c_void_p(kernel.GetStdHandle(-10 - stream.fileno()))
        mode = ctypes.c_ulong()
        return bool(
            kernel.GetConsoleMode(handle, ctypes.byref(mode))
            and kernel.SetConsoleMode(handle, mode.value | SHOWS_ESCAPES)
        )
    except (AttributeError, OSError, ValueError):
        return False


def width_of(text: str) -> int:
    """How many columns the text takes, if it has no control characters."""
    if all(character < "\u0300" or character in IN_ASCII for character in text):
        return len(text)
    import unicodedata  # only here, since it takes time to import

    return sum(
        0
        if unicodedata.category(character) in ("Mn", "Me", "Cf")
        else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )


def cut(text: str, columns: int) -> str:
    """The text, or as much of it as fits with an ellipsis at its end."""
    if width_of(text) <= columns:
        return text
    while text and width_of(text) > columns - 1:
        text = text[:-1]
    return text + "…" if columns > 0 else ""


# --- handouts/submit/answers_in_json.py ---------------------------------------------------
#
# --json: what came of it as one object on standard output, and nothing else there.


TIMES = "\u00d7"


def put_json(status: int, **members: Any) -> None:
    """One line, in ASCII, so that no encoding on the way can spoil it."""
    document = {"exit_status": status, **members}
    if isinstance(document.get("job"), dict):
        document["job"] = without_etag(document["job"])
    put(json.dumps(document).encode() + b"\n")


def put_lines(lines: list[str]) -> None:
    """Lines for people, as the terminal can show them, in whole words; or in UTF-8."""
    encoding = (sys.stdout.encoding if sys.stdout.isatty() else "") or "utf-8"
    look = Look(sys.stdout)
    text = "".join(look.wrapped(line) + "\n" for line in lines)
    try:
        data = text.encode(encoding)
    except UnicodeEncodeError:
        text = text.replace("→", "->").replace(TIMES, "x")
        data = text.encode(encoding, "backslashreplace")
    put(data)


_unwritten: list[bool] = []


def is_unwritten() -> bool:
    """Whether something could not be written, and somebody wanted it."""
    return bool(_unwritten)


def put(data: bytes) -> None:
    """That nobody reads it is no reason to stop."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
    except OSError as error:
        give_up_output(error)


def give_up_output(error: OSError) -> bool:
    """Nothing more can be written to standard output. Whether somebody wanted it: says so then."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno in (errno.EPIPE, errno.EINVAL):  # Windows says EINVAL of a pipe
        return False
    _unwritten.append(True)
    warn(f"submit.py: its output cannot be written: {error.strerror or error}.")
    return True


def without_etag(job: dict[str, Any]) -> dict[str, Any]:
    """The job as the queue answered it."""
    return {name: value for name, value in job.items() if name != "etag"}


# --- handouts/submit/auth_place.py --------------------------------------------------------
#
# Where auth.json is: beside this script, or in the user's own folder for settings.


BESIDE = HERE / "auth.json"


def own_folder() -> Path:
    """Such as ~/.config/telerun, where `--login` keeps what it gets."""
    place = os.environ.get("APPDATA" if os.name == "nt" else "XDG_CONFIG_HOME", "")
    if os.path.isabs(place):
        return Path(place, "telerun")
    return Path(os.path.expanduser("~"), ".config", "telerun")


def auth_file(given: Path | None) -> Path:
    """The file that says who this is: the one given, or the first that there is."""
    own = own_folder() / "auth.json"
    if given:
        return given
    return own if os.path.lexists(own) and not os.path.lexists(BESIDE) else BESIDE


# --- handouts/submit/left_out.py ----------------------------------------------------------
#
# What of a program's output the queue does not have.


NOTE = b"\n[... %d bytes left out ...]\n"  # as executors write it, where a log is too long
FOUND_NOTE = re.compile(rb"\n\[\.\.\. (\d{1,15}) bytes left out \.\.\.\](?=\n)")
HEAD_SHARE = 0.75  # of what is kept of a log stands before the note
LEAST_KEPT = 64  # bytes of a log


def what_is_left_out(job: dict[str, Any]) -> str:
    """Such as "16 of 40 files and 19.6 MiB of output were left out"; "" for nothing."""
    result = job["result"] or {}
    files, missing = files_left_out(result)
    told = [f"{missing} of {files} file{'' if files == 1 else 's'}"] if missing else []
    printed = 0 if job["outcome"] == "output_exceeded" else printed_left_out(result)
    if printed:
        told.append(f"{in_size(printed)} of output")
    is_one = len(told) == 1 and (printed or missing == 1)
    return f"{' and '.join(told)} {'was' if is_one else 'were'} left out" if told else ""


def files_left_out(result: dict[str, Any]) -> tuple[int, int]:
    """How many files the program left, and how many of them did not come back."""
    details = result.get("details")
    details = details if isinstance(details, dict) else {}
    named, more = details.get("files_left_out"), details.get("more_files_left_out")
    missing = len(named) if isinstance(named, list) else 0
    missing += more if isinstance(more, int) else 0
    listed = result.get("files")
    files = listed if isinstance(listed, list) else []
    gone = sum(1 for file in files if isinstance(file, dict) and file.get("removed"))
    return missing + len(files), missing + gone


def printed_left_out(result: dict[str, Any]) -> int:
    """How many bytes of what the program printed are not in its log.

    A program may print what looks like an executor's note; that stands elsewhere.
    """
    log = str(result.get("execute_log") or "").encode("utf-8", "surrogateescape")
    for note in FOUND_NOTE.finditer(log):
        before, after = note.start(), len(log) - note.end() - 1
        is_share = before == int((before + after) * HEAD_SHARE)
        if is_share and before + after >= LEAST_KEPT:
            return int(note[1])
    return 0


# --- handouts/submit/moments.py -----------------------------------------------------------
#
# When something was, and when something will be, in words.


UNITS = ((1, "s"), (60, "min"), (3600, "h"))  # of an estimate
MOST_OF_UNIT = 100  # then the next one


def start_in_words(job: dict[str, Any]) -> str:
    """Such as ", starts in about 2-4 min"; "" where the queue says nothing of it."""
    when = when_it_starts(job)
    return f", starts {when}" if when else ""


def when_it_starts(job: dict[str, Any], passed: float = 0.0) -> str:
    """Such as "in about 2-4 min", so many seconds after the queue has said so; or ""."""
    expected = job.get("expected_start")
    try:
        low, high = float(expected["from_seconds"]), float(expected["to_seconds"])
    except (KeyError, TypeError, ValueError):
        return ""
    if not 0 <= low <= high < 1e7:
        return ""
    if passed and passed >= high:
        return "any moment"
    low, high = max(0.0, low - passed), high - passed
    seconds, unit = next((u for u in UNITS if high < MOST_OF_UNIT * u[0]), UNITS[-1])
    first, last = int(low // seconds), max(1, -int(-high // seconds))
    if first == 0:
        return f"within {last} {unit}"
    return f"in about {first}{'' if first == last else f'-{last}'} {unit}"


def clock(seconds: float) -> str:
    """Such as "0:07" or "1:02:07"."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def in_time(seconds: float) -> str:
    """How long something took, such as "420 ms" or "1 min 15 s"."""
    if seconds >= 60:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    if seconds >= 0.9995:
        return f"{seconds:.2f} s"
    if seconds >= 0.0009995:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds * 1e6:.0f} µs"


def since_in_words(timestamp: Any) -> str:
    """Such as " since 12:31 (10 minutes)", by this machine's clock and in its time zone."""
    import datetime  # only here, since it takes time to import

    try:
        text = str(timestamp).replace("Z", "+00:00")
        then = datetime.datetime.fromisoformat(text).astimezone()
        passed = (datetime.datetime.now().astimezone() - then).total_seconds()
    except (OSError, OverflowError, ValueError):
        return ""
    if not 60 <= passed < 1e9:  # just now, or a clock is wrong
        return f" since {then:%H:%M}"
    count, unit = next(
        ((int(passed // size), unit) for size, unit in ((86400, "day"), (3600, "hour"))
         if passed >= 2 * size),
        (int(passed // 60), "minute"),
    )  # fmt: skip
    moment = f"{then:%d %b %H:%M}" if passed >= 43200 else f"{then:%H:%M}"
    return f" since {moment} ({count} {unit}{'' if count == 1 else 's'})"


# --- handouts/submit/printable.py ---------------------------------------------------------
#
# Text that is safe to print on a terminal, whoever wrote it.


CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)


def printable(text: str) -> str:
    """The text with its control characters spelled out."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


# --- handouts/submit/ending_lines.py ------------------------------------------------------
#
# What became of a job, each in one line.


EXPLAINED = {
    "succeeded": "succeeded",
    "compile_error": "did not compile",
    "compile_timeout": "took too long to compile",
    "runtime_error": "failed",
    "runtime_timeout": "ran too long and was stopped",
    "memory_exceeded": "used too much memory and was stopped",
    "output_exceeded": "printed too much and was stopped",
}
# As Linux numbers them; the student's system may have others.
SIGNALS = {
    4: "SIGILL",
    6: "SIGABRT",
    7: "SIGBUS",
    8: "SIGFPE",
    9: "SIGKILL",
    11: "SIGSEGV",
    13: "SIGPIPE",
    15: "SIGTERM",
    25: "SIGXFSZ",
    31: "SIGSYS",
}


def attempt_line(attempt: dict[str, Any]) -> str:
    """How an attempt without a result ended."""
    ended = attempt.get("ending") or "open"
    why = ": " + attempt["reason"] if attempt.get("reason") else ""
    return printable(f"Attempt {attempt['number']} on {attempt['executor']} {ended}{why}")


def ending_line(job: dict[str, Any]) -> str:
    """What became of the job, in a line."""
    head = f"--- job {job['id']} "
    if job["state"] == "cancelled":
        by = job.get("replaced_by")
        return head + (f"was replaced by your job {by} ---" if by else "was cancelled ---")
    if job["state"] == "failed":
        tries = len(job.get("attempts", []))
        return (
            f"{head}could not be run: {tries} hosts were lost with it. "
            "Not your fault; tell the course staff ---"
        )
    result = job["result"]
    words = EXPLAINED.get(job["outcome"], str(job["outcome"])) + why_it_ended(result)
    missing = what_is_left_out(job)
    if missing:
        words += (", but " if job["outcome"] == "succeeded" else ", and ") + missing
    return head + printable(f"{words}: {', '.join(how_it_went(job))} ---")


def how_it_went(job: dict[str, Any]) -> list[str]:
    """How long it took, what it needed and where it ran, as far as the result says so."""
    result = job["result"]
    details = details_of(result)
    compiled, ran = result.get("compile_seconds"), result.get("execute_seconds")
    told = []
    if job.get("cached") or details.get("compiled_before"):
        told.append("compiled before (cached)")
    elif compiled:
        has_program = not job["outcome"].startswith("compile")
        told.append(f"{'compiled in' if has_program else 'the compiler took'} {in_time(compiled)}")
    if ran is not None:
        told.append(f"ran in {in_time(ran)}")
    memory = details.get("execute_memory_bytes")
    if isinstance(memory, int) and memory > 0:
        told.append(f"peak memory {in_size(memory)}")
    gpu = details.get("gpu")
    name = str(gpu.get("name") or "") if isinstance(gpu, dict) else ""
    kind = f" ({name[7:] if name.startswith('NVIDIA ') else name})" if name else ""
    return [*told, f"on {job.get('executor')}{kind}"]


def details_of(result: dict[str, Any]) -> dict[str, Any]:
    """What else the executor said."""
    details = result.get("details")
    return details if isinstance(details, dict) else {}


def why_it_ended(result: dict[str, Any]) -> str:
    """The limit, signal or exit status that a result has, in parentheses; "" if it has none."""
    limit = details_of(result).get("limit")
    if limit:
        return f" (limit: {printable(str(limit))})"
    if result.get("signal"):
        return f" (killed by signal {result['signal']}{signal_name(result['signal'])})"
    if result.get("exit_code"):
        return f" (exit status {result['exit_code']})"
    return ""


def signal_name(number: int) -> str:
    """Such as ", SIGSEGV" for 11, as Linux numbers them; "" for a signal without a name here."""
    name = SIGNALS.get(number)
    return f", {name}" if name else ""


# --- handouts/submit/job_lines.py ---------------------------------------------------------
#
# What is said of a job, each in one line.


WAITS = {
    "paused": "the queue is paused",
    "held": "the course staff hold it back",
    "data": "its data is on the way",
}


def is_over(job: dict[str, Any]) -> bool:
    """Whether nothing will happen to it any more."""
    return job["state"] not in ("queued", "running")


def status_line(job: dict[str, Any]) -> str:
    """What the job is waiting for, in a line."""
    head = f"Job {job['id']}: "
    lost = lost_before(job)
    again = f" ({lost})" if lost else ""
    if job["state"] == "queued":
        place = place_in_words(job, "position {} in the queue")
        return head + printable(f"waiting, {place}" + what_it_waits_for(job)) + printable(again)
    doing = {
        "compiling": "compiling",
        "waiting": f"compiled, waiting for {wanted_place(job)}",
        "executing": "running",
    }.get(job.get("phase"), "running")
    place = job.get("queue_position")
    later = (f", position {place}" if place else "") + when_its_turn_comes(job)
    stop = ", being cancelled" if job.get("cancel_requested_at") else ""
    return head + printable(f"{doing} on {job.get('executor')}{later}{stop}{again}")


def what_changes(job: dict[str, Any]) -> list[Any]:
    """What a new status line is worth at once: all in it but the place and the times."""
    keys = ("id", "state", "phase", "executor", "waiting_for")
    return [*map(job.get, keys), job.get("cancel_requested_at"), len(job.get("attempts", []))]


def lost_before(job: dict[str, Any]) -> str:
    """Which host was lost with it, "" if none was."""
    lost = [a for a in job.get("attempts", []) if a.get("ending") in ("expired", "released")]
    return f"again: {lost[-1]['executor']} was lost" if lost else ""


def wanted_place(job: dict[str, Any]) -> str:
    """What a job waits for that is compiled."""
    return "its turn" if job.get("platform") == "cpu" else "a GPU"


def place_in_words(job: dict[str, Any], form: str = "") -> str:
    """Its place among those that wait: "next in the queue" only if nothing runs before it either.

    `form`: how another place is said; else as "4th of 9".
    """
    place, before, length = map(job.get, ("queue_position", "jobs_before", "queue_length"))
    if place == 1 and not (isinstance(before, int) and before > 0):
        return "next in the queue"
    if form or not isinstance(place, int):
        return (form or "in the queue").format(place)
    if place == 1:
        return "first in the queue"
    rest = f"of {max(place, length)}" if isinstance(length, int) else "in the queue"
    return f"{ordinal(place)} {rest}"


def ordinal(number: int) -> str:
    """Such as "4th"."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10)
    return f"{number}{ending or 'th'}"


def what_it_waits_for(job: dict[str, Any]) -> str:
    """Why a queued job does not run yet, to come after its place; "" for its turn alone."""
    missing = missing_host(job, " has been connected")
    if missing:
        return f", but {missing}"
    reason = WAITS.get(str(job.get("waiting_for")))
    return (f", but {reason}" if reason else "") + when_its_turn_comes(job)


def missing_host(job: dict[str, Any], how: str = "") -> str:
    """That no host is there for it, and since when; "" if that is not why it waits."""
    if job.get("waiting_for") != "no-executor":
        return ""
    platform = str(job.get("platform") or "")
    host = "GPU host" if platform == "cuda" else f"host for {platform}" if platform else "host"
    since = since_in_words(job.get("no_executor_since"))
    return f"no {host}{how}{since}" if since else f"no {host} is connected"


def when_its_turn_comes(job: dict[str, Any]) -> str:
    """After how many jobs, and when, as far as the queue can tell."""
    first = ends_first(job)
    return (f", {first}" if first else "") + start_in_words(job)


def ends_first(job: dict[str, Any]) -> str:
    """How many jobs end before it runs; "" for none, or where the queue cannot tell."""
    count = job.get("jobs_before")
    if not isinstance(count, int) or count < 1:
        return ""
    return "1 job ends first" if count == 1 else f"{count} jobs end first"


# --- handouts/submit/listing.py -----------------------------------------------------------
#
# Jobs in a table: a line each, as wide as the terminal.


SHORT = {
    "succeeded": "succeeded",
    "compile_error": "did not compile",
    "compile_timeout": "compiler stopped",
    "runtime_error": "failed",
    "runtime_timeout": "stopped",
    "memory_exceeded": "out of memory",
    "output_exceeded": "printed too much",
    "executing": "running",
    "waiting": "waiting for a GPU",
    "failed": "lost",
}
HEAD = ["job", "program", "state", "ran in", "submitted"]
AGES = ((86400 * 2, 86400, "days"), (3600 * 2, 3600, "h"), (60, 60, "min"))  # from, size, name
NARROW = 60  # columns
LONGEST_NAME = 40  # of a file with its arguments, where there is room for all


def in_order(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that wait or run first, else as they are."""
    return sorted(jobs, key=is_over)


def job_table(jobs: list[dict[str, Any]]) -> list[str]:
    """A line for each job: number, file and arguments, state, time, age. A terminal gets a head,
    what reads a file or a pipe does not expect one."""
    rows = [job_row(job) for job in jobs]
    if sys.stdout.isatty():
        rows.insert(0, HEAD)
    if terminal_width() < NARROW:
        rows = [row[:-1] for row in rows]  # their age
    return table(rows, right=(0, 3), cut=1)


def job_row(job: dict[str, Any]) -> list[str]:
    words = [str(job.get("filename") or "?"), *map(str, job.get("args") or [])]
    name = shortened(printable(" ".join(words)).replace("\n", " "), LONGEST_NAME)
    took = seconds_in_words(job.get("execute_seconds"))
    return [str(job["id"]), name, state_in_words(job), took, ago(job.get("submitted_at"))]


def state_in_words(job: dict[str, Any]) -> str:
    """In a word or two; of a job that waits, its place."""
    if job["state"] == "queued":
        place = job.get("queue_position")
        return f"waiting, {place} in the queue" if place else "waiting"
    stopping = " (stopping)" if job["state"] == "running" and job.get("cancel_requested_at") else ""
    word = job.get("outcome") or job.get("phase") or job["state"]
    return printable(SHORT.get(str(word), str(word))) + stopping


def seconds_in_words(seconds: Any) -> str:
    """Such as "1.31 s"; "" where there is no number."""
    return in_time(seconds) if isinstance(seconds, (int, float)) and seconds >= 0 else ""


def ago(timestamp: Any) -> str:
    """Such as "2 min ago", by this machine's clock; "" where that makes no sense."""
    import datetime  # only here, since it takes time to import

    try:
        then = datetime.datetime.fromisoformat(str(timestamp).replace("Z", "+00:00"))
        passed = (datetime.datetime.now(datetime.timezone.utc) - then).total_seconds()
    except (OverflowError, TypeError, ValueError):
        return ""
    for least, size, name in AGES:
        if passed >= least:
            return f"{passed // size:.0f} {name} ago"
    return "just now"


def table(rows: list[list[str]], right: tuple[int, ...] = (), cut: int = 0) -> list[str]:
    """The rows in columns, of which those `right` are flush right; on a terminal one is cut."""
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(*rows)]
    room = terminal_width() - sum(widths) - 2 * (len(widths) - 1)
    if room < 0:
        widths[cut] = max(8, widths[cut] + room)
    lines = []
    for row in rows:
        cells = [*row]
        cells[cut] = shortened(cells[cut], widths[cut])
        padded = [
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(cells, widths))
        ]
        lines.append(shortened("  ".join(padded).rstrip(), terminal_width()))
    return lines


def shortened(text: str, width: int) -> str:
    """The text, or its beginning and "..." """
    return text if len(text) <= width else text[: max(0, width - 3)] + "..."


def terminal_width() -> int:
    """How many characters a line may have; a file or a pipe takes any."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns if sys.stdout.isatty() else 9999
    except (OSError, ValueError):
        return 80


# --- handouts/submit/comparing.py ---------------------------------------------------------
#
# --compare: two jobs side by side.


FIRST_COLUMN = 15  # with what is between the columns
MOST_DIFFERENCES = 40  # lines of a difference that are shown


def compared(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """What --compare prints of two jobs, without their sources."""
    one, other = result_of(first), result_of(second)
    names = [name_of(job) for job in (first, second)]
    rows = [
        ["", f"job {first['id']}", f"job {second['id']}"],
        ["program", *names],
        ["outcome", outcome_of(first), outcome_of(second)],
        ["compiled in", *map(compiled_in, (first, second))],
        ["ran in", *(seconds_in_words(r.get("execute_seconds")) for r in (one, other))],
        ["memory", memory_of(one), memory_of(other)],
        ["GPU", gpu_name(one), gpu_name(other)],
        ["host", host_that_ran(first), host_that_ran(second)],
    ]
    rows = [[row[0], *(cell or "-" for cell in row[1:])] for row in rows if any(row[1:])]
    room = (terminal_width() - FIRST_COLUMN) // 2  # for each job
    rows = [[row[0], shortened(row[1], room), shortened(row[2], room)] for row in rows]
    return [headline(first, second), "", *table(rows, cut=1), *remarks(first, second)]


def headline(first: dict[str, Any], second: dict[str, Any]) -> str:
    """Both times, and what that means."""
    before, after = (number(result_of(job).get("execute_seconds")) for job in (first, second))
    line = name_of(second)
    if first.get("filename") != second.get("filename"):
        line = f"{name_of(first)} → {line}"
    if before is None or after is None:
        return line
    line += f"   {seconds_in_words(before)} → {seconds_in_words(after)}"
    succeeded = all(job.get("outcome") == "succeeded" for job in (first, second))
    if not (succeeded and before and after):
        return line
    if before >= after:
        return f"{line}   ({before / after:.3g} {TIMES} as fast)"
    return f"{line}   ({after / before:.3g} {TIMES} as long)"


def compiled_in(job: dict[str, Any]) -> str:
    """Of one that was compiled before, the time says nothing about the compiler."""
    result = result_of(job)
    if job.get("cached") or details(result).get("compiled_before"):
        return "cached"
    return seconds_in_words(result.get("compile_seconds"))


def result_of(job: dict[str, Any]) -> dict[str, Any]:
    return job.get("result") or {}


def name_of(job: dict[str, Any]) -> str:
    words = [str(job.get("filename") or "?"), *map(str, job.get("args") or [])]
    return printable(" ".join(words)).replace("\n", " ")


def host_that_ran(job: dict[str, Any]) -> str:
    return printable(str(job.get("executor") or ""))


def outcome_of(job: dict[str, Any]) -> str:
    if not is_over(job):
        return "is not over yet"
    return EXPLAINED.get(str(job.get("outcome")), printable(str(job.get("state"))))


def number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and value >= 0 else None


def memory_of(result: dict[str, Any]) -> str:
    size = number(details(result).get("execute_memory_bytes"))
    return in_size(int(size)) if size else ""


def details(result: dict[str, Any]) -> dict[str, Any]:
    found = result.get("details")
    return found if isinstance(found, dict) else {}


def gpu_of(result: dict[str, Any]) -> dict[str, Any]:
    found = details(result).get("gpu")
    return found if isinstance(found, dict) else {}


def gpu_name(result: dict[str, Any]) -> str:
    return printable(str(gpu_of(result).get("name") or ""))


def remarks(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Why the times may say little."""
    found = []
    gpus = [gpu_of(result_of(job)) for job in (first, second)]
    if all(gpus) and gpus[0].get("name") != gpus[1].get("name"):
        found.append("They ran on different kinds of GPU: the times cannot be compared.")
    elif all(gpus) and gpus[0].get("uuid") != gpus[1].get("uuid"):
        found.append("They ran on two GPUs of the same kind, which may differ by a few percent.")
    for job, gpu in zip((first, second), gpus):
        if gpu.get("throttled"):
            why = ", ".join(map(str, gpu["throttled"]))
            found.append(printable(f"The GPU of job {job['id']} was slowed down ({why})."))
        if job.get("outcome") != "succeeded":
            found.append(f"Job {job['id']} did not succeed: its time says little.")
    return found


def difference(
    first: tuple[int, dict[str, str]], second: tuple[int, dict[str, str]]
) -> tuple[bool, list[str]]:
    """Whether the files of two jobs are the same, and the lines that say how they differ."""
    import difflib  # only here, since it takes time to import

    lines: list[str] = []
    mains = [next(iter(files), "") for _, files in (first, second)]  # whatever they are called
    others = sorted({*first[1], *second[1]} - {*mains})
    for name, other in [mains, *([name, name] for name in others)]:
        before, after = first[1].get(name, ""), second[1].get(other, "")
        lines += difflib.unified_diff(
            before.splitlines(), after.splitlines(),
            f"{name} (job {first[0]})", f"{other} (job {second[0]})", n=1, lineterm="",
        )  # fmt: skip
    more = len(lines) - MOST_DIFFERENCES
    shown = [printable(line) for line in lines[:MOST_DIFFERENCES]]
    return not lines, shown + ([f"... and {more} lines more"] if more > 0 else [])


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


# --- handouts/submit/client_versions.py ---------------------------------------------------
#
# Which submit.py is newer: this one, or the one that the queue hands out.


VERSION_HEADER = "telerun-client-version"


def numbers_of(version: Any) -> tuple[int, ...]:
    """To compare versions by; empty for what is none."""
    found = re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6}){0,3}", str(version))
    return tuple(int(part) for part in str(version).split(".")) if found else ()


def hint_at_newer(answer: Answer, server: str) -> str:
    """A line about the newer submit.py that the queue has; "" if it has none."""
    if numbers_of(answer.headers.get(VERSION_HEADER)) > numbers_of(VERSION):
        return f"A newer submit.py is at {server}/submit.py"
    return ""


# --- handouts/submit/turns.py -------------------------------------------------------------
#
# Waiting in short turns, so that something can be done meanwhile, and Ctrl-C acts at once.
#
# On Windows neither reading a socket nor sleeping ends because of Ctrl-C; looking whether a socket
# has something to read does, where the signal writes to another one (signal.set_wakeup_fd).


TURN_SECONDS = 0.5


class Turns:
    """One for the program: it is the main thread that waits."""

    def __init__(self) -> None:
        self._calls: list[Callable[[], None]] = []
        self._next = 0.0  # when they are called next
        self._woken: Any = None
        self._signal: Any = None  # where a signal is written to

    def add(self, call: Callable[[], None]) -> None:
        """It is called at least once a second while something is waited for, and after a signal.

        What it raises ends the waiting.
        """
        self._calls.append(call)

    def sleep(self, seconds: float) -> None:
        """Does nothing for so long, but for the calls."""
        self.wait(None, seconds)

    def wait(self, source: Any, seconds: float) -> bool:
        """Returns True once the socket has something to read, False after so many seconds."""
        deadline = time.monotonic() + seconds
        sockets = [one for one in (source, self._woken) if one is not None]
        while True:
            now = time.monotonic()
            left = min(deadline - now, max(self._next - now, 0.0))
            if not sockets:  # of none, Windows refuses to say
                time.sleep(max(left, 0.0))
            ready = select.select(sockets, [], [], max(left, 0.0))[0] if sockets else []
            if self._woken in ready:
                self._woken.recv(4096)
            if self._woken in ready or time.monotonic() >= self._next:
                self._next = time.monotonic() + TURN_SECONDS
                for call in self._calls:
                    call()
            if source in ready:
                return True
            if time.monotonic() >= deadline:
                return False

    def watch_signals(self) -> None:
        """From now on a signal ends a turn. Where that cannot be, it is seen at the next one."""
        try:
            self._woken, self._signal = socket.socketpair()
            self._woken.setblocking(False)
            self._signal.setblocking(False)
            signal.set_wakeup_fd(self._signal.fileno())
        except OSError:
            self.close()

    def close(self) -> None:
        """A signal ends no turn any more."""
        if self._signal is not None:
            signal.set_wakeup_fd(-1)
            self._woken.close()
            self._signal.close()
            self._woken = self._signal = None


class ShortReads(io.RawIOBase):
    """What comes from a TLS connection, waited for in turns."""

    def __init__(self, connection: Any, turns: Turns, patience: Callable[[], float]) -> None:
        self._file = connection.makefile("rb", buffering=0)  # keeps the connection open
        self._connection = connection
        self._turns = turns
        self._patience = patience  # how many seconds of silence are too many

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Raises socket.timeout after too much silence, what a call raises, and OSError."""
        deadline = time.monotonic() + self._patience()
        self._connection.settimeout(TURN_SECONDS)
        while True:
            if not self._connection.pending():
                self._turns.wait(self._connection, deadline - time.monotonic())
            try:
                return self._connection.recv_into(buffer)
            except socket.timeout:  # or there was a part of a record
                if time.monotonic() >= deadline:
                    raise

    def close(self) -> None:
        self._file.close()
        super().close()


# --- handouts/submit/streams.py -----------------------------------------------------------
#
# Answers that go on while something happens, and all others: read in short turns.


MAX_LINE_BYTES = 16 << 20  # none is longer


class StreamingQueue(Queue):
    """The queue, of which streams can be asked too."""

    def __init__(self, auth: Auth) -> None:
        super().__init__(auth)
        self._auth = auth
        self.who_from = auth.path  # the file that says who this is
        self.turns = Turns()
        self._patience = 0.0

    def another(self) -> StreamingQueue:
        """The same queue, over a connection of its own."""
        return StreamingQueue(self._auth)

    def stream(
        self, path: str, headers: dict[str, str], timeout: float
    ) -> tuple[Answer, Iterator[bytes]]:
        """Begins to read an answer that goes on: its lines, as they come, until it ends.

        An answer that is no stream is whole, and has no lines. While its lines are read nothing
        else may be asked. Silence for `timeout` seconds, as all else that breaks it, raises
        Unreachable; while the lines are read, for as long as `be_patient` says.
        """
        headers = {"Accept": "text/event-stream", **headers}
        response = self._over_a_new_one_too(lambda: self._ask("GET", path, None, headers, timeout))
        names = {name.lower(): value for name, value in response.getheaders()}
        answer = Answer(response.status, names, {})
        if answer.is_stream:
            return answer, self._lines(response)
        return self._answer(response), iter(())

    def be_patient(self, seconds: float) -> None:
        """How long the rest of a stream may be silent."""
        self._patience = seconds

    def _open(self, timeout: float) -> http.client.HTTPSConnection:
        connection = super()._open(timeout)
        connection.response_class = self._response
        self._patience = timeout
        return connection

    def _response(self, connection: Any, *arguments: Any, **options: Any) -> Any:
        return http.client.HTTPResponse(
            _InTurns(connection, self.turns, lambda: self._patience), *arguments, **options
        )

    def _lines(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        try:
            while True:
                line = response.readline(MAX_LINE_BYTES)
                if not line:
                    break
                yield line
        except LOST as error:
            raise self._lost(error) from None
        self._has_ended(response)


class _InTurns:
    """What http.client makes a response's file from."""

    def __init__(self, *arguments: Any) -> None:
        self._arguments = arguments

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(ShortReads(*self._arguments))


# --- handouts/submit/job_events.py --------------------------------------------------------
#
# A job's events, as the queue streams them (server-sent events: the HTML standard, 9.2).


OPEN_SECONDS = 6.0  # a stream begins at once
SILENCE_SECONDS = 16.0  # and says something at least every 15 seconds
PROMISE = "telerun-comment-seconds"  # the header of a queue that does so sooner
LASTED_SECONDS = 1.0  # one that ends sooner is not asked for anew at once
NEEDED: dict[str, set[str]] = {"job": {"id", "state"}, "output": set()}  # members, by event


class Events:
    """One job's events, over as many connections as it takes."""

    def __init__(self, queue: StreamingQueue, job_id: int) -> None:
        self._queue = queue
        self._path = f"/jobs/{job_id}/events"
        self._last_id = ""
        self._lines: Iterator[bytes] = iter(())
        self._opened_at = 0.0
        self.came = False  # whether the latest stream said anything
        self.silence = SILENCE_SECONDS  # after which it is given up

    @property
    def lasted(self) -> bool:
        """Whether the latest stream went on for a while."""
        return self.came and time.monotonic() >= self._opened_at + LASTED_SECONDS

    def open(self) -> Answer:
        """Asks for those that are not known yet; 200 is a stream. Raises Unreachable.

        Where nothing comes, something on the way may keep it back until its end: that is a stream
        that says nothing.
        """
        self.came, self._opened_at, self._lines = False, time.monotonic(), iter(())
        headers = {"Last-Event-ID": self._last_id} if self._last_id else {}
        try:
            answer, self._lines = self._queue.stream(self._path, headers, OPEN_SECONDS)
        except Unreachable as error:
            if error.timed_out:
                return Answer(200, {}, {})
            raise
        promised = answer.headers.get(PROMISE, "")
        if promised.isdigit():  # a half more, for a slow network
            self.silence = min(SILENCE_SECONDS, 2 + 1.5 * int(promised))
        return answer

    def read(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The name and the data of each event, until the stream ends. Raises Unreachable."""
        fields: dict[str, str] = {}
        for line in self._lines:
            if not self.came:
                self.came = True
                self._queue.be_patient(self.silence)
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            if text:
                name, _, value = text.partition(":")
                fields[name] = value[1:] if value.startswith(" ") else value
                continue
            event, fields = fields, {}
            needed = NEEDED.get(event.get("event", ""))
            if needed is not None:
                data = self._parse(event.get("data", ""), needed)
                self._last_id = event.get("id", self._last_id)
                yield event["event"], data

    def _parse(self, data: str, needed: set[str]) -> dict[str, Any]:
        try:
            parsed = json.loads(data)
        except (ValueError, RecursionError):
            parsed = None
        if not isinstance(parsed, dict) or not needed <= set(parsed):
            self._queue.close()
            self.came = False
            raise Unreachable(f"{self._queue.server} answers, but not as a Telerun queue does.")
        return parsed


# --- handouts/submit/compile_log.py -------------------------------------------------------
#
# A compiler's log: with the student's own paths, and its errors in a line.


# Every file is compiled as "./NAME", seen from the folder of the main one.
OWN_PATH = re.compile(rb'^((?:In file included |  +)from |\d+ errors? .*?"|)\./', re.MULTILINE)
NVCC_PLACE = re.compile(rb"^([^\n()]{1,4096})\((\d{1,9})\)(?=: )", re.MULTILINE)
# With a place; of ptxas, nvlink and nvcc; of the linker; of another compiler as a whole.
ERRORS = r"""
      ^ (?P<place> (?: [A-Za-z] : )? [^\n:]{1,4096} : \d+ ) (?: :\d+ )? :[ ]
        (?: catastrophic[ ] | internal[ ] | fatal[ ] )? error (?: [ ]\#[\w-]+ )? :[ ] (?P<words>.*)
    | ^ (?: ptxas | nvlink | nvcc ) [ ] (?: [^\n;]* ;[ ] )? (?: error | fatal ) \s* :[ ]
        (?! Ptx[ ]assembly[ ]aborted ) (?P<tool>.*)
    | ^ [^\n]*? (?P<linker> undefined[ ]reference[ ]to .* | multiple[ ]definition[ ]of [^\n;]*
        | cannot[ ]find[ ]-l .* )
    | ^ (?: cc1\w* | [\w-]*\+\+ | gcc | cc | as | clang ) :[ ]
        (?: fatal[ ] )? error:[ ] (?P<whole>.*)
"""
COUNTED = re.compile(r"^(\d{1,6}) errors? detected in the compilation of ", re.MULTILINE)
STOPPED = re.compile("^Error limit reached|too many errors", re.MULTILINE)


class OwnPaths:
    """Writes the paths as the student typed them, in pieces that may be cut anywhere."""

    def __init__(self, folder: str = "") -> None:
        """`folder`: what was typed before the main file's name, with its slash."""
        self._folder = folder.encode("utf-8", "surrogateescape")
        self._held = b""  # a line without an end

    def take(self, data: bytes, is_last: bool = False) -> bytes:
        """The next whole lines; at last what is left."""
        lines, end, self._held = (self._held + data).rpartition(b"\n")
        if is_last:
            lines, self._held = lines + end + self._held, b""
            return self.of(lines)
        return self.of(lines + end)

    def of(self, log: bytes) -> bytes:
        """As "src/err1.cu:4: error: …", which terminals and editors open."""
        log = OWN_PATH.sub(lambda found: found[1] + self._folder, log)
        return NVCC_PLACE.sub(rb"\1:\2", log)


def errors_in_a_line(log: str, paths: OwnPaths) -> str:
    """How many errors a log has, and the first; "" if there is none that is known as one."""
    text = paths.of(log.encode("utf-8", "surrogateescape")).decode("utf-8", "backslashreplace")
    found = list(
        dict.fromkeys(map(error_in_words, re.finditer(ERRORS, text, re.MULTILINE | re.VERBOSE)))
    )
    # Two of the same words in one line are two to the compiler, which has the last word.
    count = max(len(found), sum(map(int, COUNTED.findall(text))))
    if not found or count < 2:
        return f"✗ 1 error: {found[0]}" if found else ""
    more = " or more" if STOPPED.search(text) else ""
    return f"✗ {count}{more} errors; the first: {found[0]}"


def error_in_words(error: re.Match[str]) -> str:
    """An error's place, if it has one, and its words."""
    if error["place"]:
        return f"{error['place']}: {error['words']}"
    return str(error["tool"] or error["linker"] or error["whole"])


# --- handouts/submit/notices.py -----------------------------------------------------------
#
# Lines on standard error that are no errors: --quiet leaves them out.


_silenced: list[bool] = []


def be_quiet() -> None:
    """From now on only errors are said."""
    _silenced.append(True)


def is_quiet() -> bool:
    return bool(_silenced)


def tell(message: str) -> None:
    """A line on standard error; on a terminal in lines of whole words."""
    warn(Look(sys.stderr).wrapped(message))


def notice(message: str) -> None:
    """One line on standard error, unless nothing but errors is wanted there."""
    if not _silenced:
        tell(message)


# --- handouts/submit/status_line.py -------------------------------------------------------
#
# A line below all others that is written anew each second, while something is waited for.


TICK_SECONDS = 0.5  # half of what it counts in, so that no second is passed over
ERASE = "\r\x1b[K"


class StatusLine:
    """On standard error, if that is a terminal that can do it.

    Who writes to the terminal holds `lock`, and erases the line first.
    """

    def __init__(self) -> None:
        self.look = Look(sys.stderr)
        self.is_used = self.look.takes_escapes and not is_quiet()
        self.lock = _thread.RLock()
        self.is_hidden = False  # the cursor stands in a line of the program's
        self._words: Callable[[int], str] | None = None
        self._drawn = ""
        self._ticks = False
        self._instead: Callable[[int], str] | None = None  # of them, for a while
        self._instead_until = 0.0

    def show(self, words: Callable[[int], str]) -> None:
        """From now on what `words` says, which is given the width of the terminal."""
        with self.lock:
            self._words = words
            self.draw()
            if self.is_used and not self._ticks:
                self._ticks = True
                _thread.start_new_thread(self._tick, ())

    @property
    def is_shown(self) -> bool:
        """Whether there is something to wait for that it tells of."""
        return self._words is not None

    def show_instead(self, words: Callable[[int], str], seconds: float) -> None:
        """For so long what `words` says, in place of what is shown otherwise."""
        with self.lock:
            self._instead, self._instead_until = words, time.monotonic() + seconds
            self.draw()

    def end(self) -> None:
        """There is nothing to wait for any more, or something else is to be said."""
        with self.lock:
            self._words = None
            self.erase()

    def erase(self) -> None:
        """Leaves the cursor at the beginning of an empty line, if the line was drawn."""
        if self._drawn:
            self._drawn = ""
            self._write(ERASE)

    def draw(self) -> None:
        """Draws the line, as far as it is to be seen and says something else than it does."""
        if not self.is_used or self._words is None or self.is_hidden or not in_foreground():
            return
        is_instead = self._instead and time.monotonic() < self._instead_until
        words = self._instead if self._instead and is_instead else self._words
        text = self.look.encodable(words(self.look.columns))
        if text != self._drawn:
            self._drawn = text
            self._write(f"\r{text}\x1b[K")

    def _tick(self) -> None:
        while True:
            time.sleep(TICK_SECONDS)
            with self.lock:
                if self._words is None or not self.is_used:
                    self._ticks = False
                    return
                self.draw()

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):  # nobody reads it
            self.is_used = False


def in_foreground() -> bool:
    """Whether the terminal is this program's, not that of the shell that started it."""
    try:
        return os.tcgetpgrp(sys.stderr.fileno()) == os.getpgrp()
    except (AttributeError, OSError, ValueError):  # Windows; or it is no terminal of its session
        return True


# --- handouts/submit/terminal_text.py -----------------------------------------------------
#
# What a program prints, made safe for a terminal.
#
# Colours pass (SGR, which changes no more than how the text that follows looks), and a carriage
# return or backspace acts within the line. All else that would move the cursor, change the terminal
# or turn the text around is spelled out.


COLOUR = r"\x1b\[[0-9;:]{0,64}m"
TOKEN = re.compile(f"({COLOUR})|([^{CONTROL.pattern[1:-1]}\n]+)|(.)", re.DOTALL)
# What may go on to be one, at the end of a piece.
BEGUN = re.compile(r"\x1b(?:\[[0-9;:]{0,64})?\Z")
RESETS = re.compile(r"\x1b\[0*(?:[;:]|m)")
MOST_COLOURS = 32  # changes in force at once; whoever makes more loses the first


class TerminalText:
    """The text of one log after another, in pieces that may be cut anywhere."""

    def __init__(self, takes_escapes: bool) -> None:
        """Where the terminal takes no escape sequences, all are spelled out."""
        self._takes_escapes = takes_escapes
        self.in_line = False  # the last line has no end yet
        self.colours: list[str] = []  # the sequences that are in force at its end
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._held = ""  # the beginning of a sequence
        self._cells = 0  # as far as a backspace may go back

    def take(self, data: bytes, is_last: bool = False) -> str:
        """The next piece as it may be shown; the last one leaves nothing half done."""
        text = self._held + self._decoder.decode(data, is_last)
        begun = None if is_last else BEGUN.search(text)
        self._held = begun[0] if begun else ""
        text = text[: len(text) - len(self._held)]
        if not self._takes_escapes:
            text = printable(text)
        if CONTROL.search(text):
            return TOKEN.sub(self._shown, text)
        *before, line = text.split("\n")
        if before:
            self.begin_line()
        self._add(line)
        return text

    def begin_line(self) -> None:
        """The cursor stands at the beginning of a line."""
        self.in_line, self._cells = False, 0

    def _shown(self, token: re.Match[str]) -> str:
        colour, run, single = token.groups()
        if colour:
            self._colour(colour)
        elif run:
            self._add(run)
        elif single == "\n":
            self.begin_line()
        elif single == "\r":
            self._cells = 0
        elif single == "\b":
            if not self._cells:
                return ""
            self._cells -= 1
        else:
            run = printable(single)
            self._add(run)
            return run
        return token[0]

    def _add(self, run: str) -> None:
        if run:
            # A character that takes two columns or a tab counts as one: a backspace less.
            self._cells += len(run) if run.isascii() else min(len(run), width_of(run))
            self.in_line = True

    def _colour(self, sequence: str) -> None:
        if RESETS.match(sequence):
            self.colours = []
        if not re.fullmatch(r"\x1b\[0*m", sequence):
            self.colours = [*self.colours[1 - MOST_COLOURS :], sequence]


# --- handouts/submit/screen.py ------------------------------------------------------------
#
# Standard output, to which goes what came of a job: byte for byte into a file or pipe, made safe
# for a terminal. And the lines on standard error while it is written.


class Screen:
    """What is written is seen at once. That nobody reads it is no reason to stop."""

    def __init__(self) -> None:
        self.look = Look(sys.stdout)
        self.is_terminal = self.look.is_terminal
        self.has_failed = False  # something could not be written, and somebody wanted it
        self.status = StatusLine()
        self._is_closed = False
        self._in_line = False  # the last line has no end yet
        self._is_coloured = False  # by the program
        self._text = TerminalText(self.look.takes_escapes) if self.is_terminal else None

    def mute(self) -> None:
        """Nothing more goes to standard output."""
        self._is_closed = True

    def write(self, data: bytes, is_last: bool = False) -> None:
        """A piece of a log; the last one leaves no character half done."""
        with self.status.lock:
            self._write(data, is_last)
            self.status.draw()

    def line(self, text: str, colour: str = DIM) -> None:
        """A line of our own."""
        with self.status.lock:
            self._end_line()
            self._put(self.look.encoded(self.look.coloured(text, colour) + "\n"))
            self.status.draw()

    def end_line(self) -> None:
        """What comes next begins a line, here and on standard error."""
        with self.status.lock:
            self._end_line()

    def begin_line(self) -> None:
        """Before lines on standard error, which may be the same terminal; ends the status line."""
        with self.status.lock:
            self.status.end()
            self._begin_line()

    def warn(self, message: str, colour: str = "") -> None:
        """A line on standard error."""
        with self.status.lock:
            self.status.erase()
            self._begin_line()
            text = self.status.look.wrapped(self.status.look.encodable(message))
            warn(self.status.look.coloured(text, colour))
            self.status.draw()

    def say_for(self, seconds: float, words: Callable[[int], str], whole: str) -> None:
        """What is true for so long: in the line that is written anew, or else as a line."""
        if not (self.status.is_used and self.status.is_shown):
            self.warn(whole)
            return
        with self.status.lock:
            self._begin_line()
            self.status.show_instead(words, seconds)

    def show_status(self, words: Callable[[int], str]) -> None:
        """See StatusLine.show."""
        self.status.show(words)

    def _write(self, data: bytes, is_last: bool) -> None:
        if self._text is None:
            in_line = self._in_line if not data else not data.endswith(b"\n")
        else:
            data = self._shown(self._text, data, is_last)
            in_line = self._text.in_line
        self._put(data)
        self._in_line = in_line
        self.status.is_hidden = in_line and self.is_terminal

    def _shown(self, text: TerminalText, data: bytes, is_last: bool) -> bytes:
        """A piece as the terminal gets it. Where a line begins the terminal is in no colour, so
        that lines of ours can come between; the program's then goes on in its own."""
        before = text.colours
        shown = text.take(data, is_last)
        if not shown:
            return b""
        if not self._is_coloured:
            shown = "".join(before) + shown
        self._is_coloured = bool(text.colours) and text.in_line
        if text.colours and not text.in_line:
            shown += PLAIN
        return shown.encode(self.look.encoding, "backslashreplace")

    def _end_line(self) -> None:
        self._write(b"", is_last=True)
        self._uncolour()
        if self._in_line:
            self._put(b"\n")
            self._in_line = self.status.is_hidden = False
        if self._text is not None:
            self._text.begin_line()
            self._text.colours = []

    def _begin_line(self) -> None:
        if self._in_line and self.is_terminal and sys.stderr.isatty():
            self._uncolour()
            self._in_line = self.status.is_hidden = False
            if self._text is not None:
                self._text.begin_line()
            warn("")

    def _uncolour(self) -> None:
        if self._is_coloured:
            self._is_coloured = False
            self._put(PLAIN.encode())

    def _put(self, data: bytes) -> None:
        if self._is_closed or not data:
            return
        if self.is_terminal:
            self.status.erase()
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
        except OSError as error:
            self._is_closed = True
            self.has_failed = give_up_output(error)


# --- handouts/submit/live.py --------------------------------------------------------------
#
# What a job prints, on the screen as it comes, and at the end what of it is not there yet.


TITLES = {"compile": "compiler", "execute": "program"}


class Shown:
    """How much of a log is on the screen."""

    def __init__(self) -> None:
        self.whole = bytearray()  # from its beginning, without a gap
        self.end = 0  # of all that is there, after a gap too


class Live:
    """The logs of a job's latest attempt."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.paths = OwnPaths()
        self._attempt = 0
        self._logs = {log: Shown() for log in TITLES}
        self._title = ""

    def take(self, output: dict[str, Any]) -> None:
        """Shows what is new in an `output` event; one that makes no sense is passed over."""
        try:
            attempt, offset, log = int(output["attempt"]), int(output["offset"]), output["log"]
            data = output["text"].encode("utf-8", "surrogateescape")
            shown = self._logs[log]
        except (AttributeError, KeyError, TypeError, ValueError):
            return
        if attempt > self._attempt:
            self._begin(attempt)
            shown = self._logs[log]
        if attempt == self._attempt:
            self._show(log, shown, max(offset, shown.end), data[max(0, shown.end - offset) :])

    def _show(self, log: str, shown: Shown, offset: int, data: bytes) -> None:
        if not data:
            return
        if offset == len(shown.whole):
            shown.whole += data
        elif not self.screen.is_terminal:
            return  # a file or pipe gets every byte in its place, once the result is there
        note = NOTE % (offset - shown.end) if offset > shown.end else b""
        shown.end = offset + len(data)
        self._under(TITLES[log])
        self._write(log, note + data)

    def look_at(self, job: dict[str, Any]) -> None:
        """Begins anew where the attempt that was shown has ended, and the job waits for another.

        One that has ended in a job that still runs may be its last: the queue reads the job first.
        """
        attempts = job.get("attempts") or []
        latest = max((int(attempt.get("number") or 0) for attempt in attempts), default=0)
        if job.get("state") != "queued" and latest <= self._attempt:
            return
        if any(one.get("number") == self._attempt and one.get("ending") for one in attempts):
            self._begin(max(latest, self._attempt + 1))

    def finish(self, job: dict[str, Any]) -> None:
        """Shows what is not shown yet of the logs of a job that is over: those count."""
        number, logs = logs_of(job)
        if number > self._attempt:
            self._begin(number)
        if number == self._attempt:
            for log in TITLES:
                text = str(logs.get(f"{log}_log") or "")
                self._complete(log, text.encode("utf-8", "surrogateescape"))
        self._end_title()
        self.screen.end_line()

    def _complete(self, log: str, data: bytes) -> None:
        shown, title = self._logs[log], TITLES[log]
        rest = rest_of(data, bytes(shown.whole))
        if rest is None:
            rest, title = data, f"{title}, all of it anew"
        elif shown.end > len(shown.whole):
            title = f"{title}, from byte {len(shown.whole)} on"
        if rest:
            self._under(title)
            self._write(log, rest)

    def _write(self, log: str, data: bytes) -> None:
        """On a terminal a compiler names files as their student does; a file gets its bytes."""
        is_changed = log == "compile" and self.screen.is_terminal
        self.screen.write(self.paths.take(data) if is_changed else data)

    def _end_title(self) -> None:
        """What was held back of the last line is shown."""
        self.screen.write(self.paths.take(b"", is_last=True))

    def _begin(self, attempt: int) -> None:
        self._end_title()
        if any(shown.end for shown in self._logs.values()):
            self.screen.line("--- the host was lost: what is above does not count ---")
        self._attempt, self._title = attempt, ""
        self._logs = {log: Shown() for log in TITLES}

    def _under(self, title: str) -> None:
        if title != self._title:
            self._end_title()
            self.screen.line(f"--- {title} ---")
            self._title = title


def logs_of(job: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """The number of the attempt that counts, and the object that has its logs, if any.

    Without a result it is the last attempt of which something was kept.
    """
    attempts = job.get("attempts") or [{}]
    number, logs = attempts[-1].get("number", 0), job["result"]
    if logs is None:
        kept = [a for a in attempts if a.get("compile_log") or a.get("execute_log")]
        number, logs = (kept[-1].get("number", 0), kept[-1]) if kept else (number, {})
    return number, logs


def rest_of(log: bytes, shown: bytes) -> bytes | None:
    """What of a log is not shown yet; None if what is shown is not how the log begins.

    The log may leave out something in its middle, which was shown, or is noted.
    """
    if log.startswith(shown):
        return log[len(shown) :]
    if shown.startswith(log):
        return b""
    same = 0  # up to here they agree
    for note in FOUND_NOTE.finditer(log):
        start, end = note.start(), note.end() + 1
        if log[same:start] != shown[same:start]:
            break
        same = start
        if shown.startswith(log[start:end], start):  # the program's own words
            continue
        missing = start + int(note[1]) - len(shown)
        if missing > 0:
            return NOTE % missing + log[end:]
        if log.startswith(shown[missing or len(shown) :], end):
            return log[end - missing :]
    return None


# --- handouts/submit/stop.py --------------------------------------------------------------
#
# What the exit status says, and how any part of this program ends it.


SUCCEEDED = 0
PROGRAM_FAILED = 1
WRONG_USAGE = 2
REFUSED = 3
UNREACHABLE = 4
NO_RESULT = 5
UNSAVED = 6
INTERRUPTED = 130


class Stop(Exception):
    """Ends the program with a message and an exit status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


# --- handouts/submit/persistent.py --------------------------------------------------------
#
# Asking the queue again until it answers, and saying so.


REQUEST_SECONDS = 10.0  # how long an answer may take
SLOWEST_BYTES = 20_000  # a second, of what is sent
RETRY_SECONDS = (0.2, 5.0)  # between tries, at first and in the end
AGAIN_SECONDS = 30.0  # what says the same with other times is said no sooner


class Persistent:
    """Says on standard error what goes wrong, each once."""

    def __init__(self, queue: StreamingQueue, screen: Screen) -> None:
        self.queue = queue
        self.turns = queue.turns
        self.screen = screen
        self.is_away = False  # the queue; said once it is back
        self.may_have_it = False  # the queue, what is sent since this was last set to False
        self._deadline = 0.0  # of what is tried
        self._said: tuple[str, float, Any] = ("", 0.0, None)  # the last line, when, what about

    def persist(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        patience: float = 0.0,
        held: float = 0.0,
    ) -> Answer:
        """Sends the request until the queue gives a final answer. Raises Stop after `patience`.

        The queue may hold it for `held` seconds before it answers.
        """
        timeout = REQUEST_SECONDS + held + len(str(body)) / SLOWEST_BYTES

        def send() -> Answer:
            return self.queue.request(method, path, body, headers, timeout)

        return self.persist_in(send, patience)

    def persist_in(self, send: Callable[[], Answer], patience: float) -> Answer:
        """Does it until the queue gives a final answer. Raises Stop after `patience` seconds."""
        self._deadline = time.monotonic() + patience
        is_ours = not self.screen.status.is_shown  # else the line tells of a job
        try:
            for delay in delays(*RETRY_SECONDS):
                answer, trouble, pause = self._try(send, delay)
                if answer:
                    self._say_it_is_back()
                    return answer
                if time.monotonic() + pause > self._deadline:
                    raise Stop(UNREACHABLE, trouble)
                self.say(trouble.rstrip(".") + "; trying again.")
                if is_ours:
                    self.screen.show_status(self._words_of_trying)
                self.turns.sleep(pause)
        finally:
            if is_ours:
                self.screen.status.end()
        raise AssertionError("delays() never ends")

    def _try(self, send: Callable[[], Answer], delay: float) -> tuple[Answer | None, str, float]:
        """The final answer; or None, what is wrong, and how long to wait before the next try."""
        before, self.may_have_it = self.may_have_it, True
        try:
            answer = send()
        except Unreachable as error:
            self.may_have_it = before or error.was_sent
            self.is_away = True
            return None, str(error), delay
        if not is_retryable(answer):
            return answer, "", 0.0
        pause = max(delay, answer.retry_after)
        if answer.status == 429:  # it is there, did nothing, and says when to come again
            self._deadline += pause
            self.may_have_it = before
        else:
            self.is_away = True
        return None, printable(answer.detail), pause

    def _words_of_trying(self, columns: int) -> str:
        """The line while the queue is not there."""
        what = "the queue does not answer" if self.is_away else "the queue asks to wait"
        left = clock(max(0.0, self._deadline - time.monotonic()))
        parts, room = [what, f"trying for {left} more", "Ctrl-C ends it"], columns - 3
        while len(parts) > 1 and width_of(" · ".join(parts)) > room:
            parts.pop(0 if len(parts) == 2 else -1)  # what stays last is the time
        mark = self.screen.status.look.coloured("○", YELLOW)
        return f"{mark} {cut(' · '.join(parts), room)}"

    def _say_it_is_back(self) -> None:
        if self.is_away:
            self.is_away = False
            self.say("Connected again.")

    def say(self, line: str, about: Any = None) -> None:
        """Prints the line, unless it is the last one, or the last was about the same just now."""
        last, when, last_about = self._said
        is_soon = about is not None and about == last_about
        if line == last or (is_soon and time.monotonic() < when + AGAIN_SECONDS):
            return
        self._said = line, time.monotonic(), about
        if not is_quiet():
            self.screen.warn(line)


# --- handouts/submit/c_includes.py --------------------------------------------------------
#
# What a file in C, C++ or CUDA includes.


CODE_ENDINGS = (".cu", ".cpp", ".cc", ".cxx", ".c")  # compiled by themselves
HEADER_ENDINGS = (".h", ".hh", ".hpp", ".hxx", ".cuh", ".inl", ".inc", ".ipp", ".tpp", ".tcc")

# Comments, and what may hold something that looks like one. Each alternative matches whatever
# follows its first character, so that no text is read twice: one without an end ends the line.
NO_CODE = re.compile(
    r"""//(?:\\\r?\n|[^\n])*
    | /\*.*?(?:\*/|\Z)
    | R"(?P<end>[^ ()\\\s]{0,16})\(.*?(?:\)(?P=end)"|\Z)
    | "(?:\\(?:\r\n|.)|[^"\\\n])*"?
    | (?<![0-9a-fA-F])'(?:\\(?:\r\n|.)|[^'\\\n])*'?
    """,
    re.DOTALL | re.VERBOSE,
)
SPACE = r"[ \t]*(?:\\\r?\n[ \t]*){0,9}"
INCLUDE = re.compile(
    rf"""^{SPACE}\#{SPACE}include{SPACE}(?:"(?P<quoted>[^"\n]+)"|<(?P<angled>[^>\n]+)>)""",
    re.MULTILINE,
)


class Include:
    """One line that includes a file."""

    def __init__(self, line: int, wanted: str, is_quoted: bool) -> None:
        self.line = line
        self.wanted = wanted
        self.is_quoted = is_quoted  # not <so>


def c_includes(text: str) -> Iterator[Include]:
    """What the text includes, in order, each name once; what stands in comments is left out."""
    code = NO_CODE.sub(without_comment, text)
    line, counted, seen = 1, 0, set()
    for found in INCLUDE.finditer(code):
        line += code.count("\n", counted, found.end())
        counted = found.end()
        if found.group("quoted", "angled") not in seen:
            seen.add(found.group("quoted", "angled"))
            yield Include(line, found["quoted"] or found["angled"], bool(found["quoted"]))


def without_comment(found: re.Match[str]) -> str:
    """What stands for a comment or a string, with as many lines."""
    text = found[0]
    if text.startswith(("/", "R")):
        return "\n" * text.count("\n") or " "
    return text


# --- handouts/submit/older_queue.py -------------------------------------------------------
#
# What a queue that is older than this program passes over, and what becomes of the job.


# What an older queue does not know, and what is said of that.
NEWER = {
    "sources": "it takes one file only",
    "includes": "it takes one file only",
    "flags": "it takes no flags",
    "platform": "it knows no platforms",
    "asm": "it knows no --asm",
}
# The member of a job that a queue shows if it takes the member of a submission.
SHOWN = {"sources": "files", "includes": "files", "flags": "flags", "platform": "platform"}


def left_out(job: dict[str, Any], body: dict[str, Any]) -> list[str]:
    """Which members of the submission an older queue passed over in silence."""
    return [key for key in NEWER if key in body and SHOWN.get(key, "files") not in job]


def is_wrong_without(members: list[str], body: dict[str, Any]) -> bool:
    """Whether the program cannot be right without these members."""
    needed = {key for key in members if key != "asm"}
    if body.get("platform") == default_platform(body["filename"]):
        needed.discard("platform")
    return bool(needed)


def default_platform(filename: str) -> str:
    """Where the queue runs a program that asks for no platform."""
    ending = posixpath.splitext(filename)[1].lower()
    on_cpu = ending == ".py" or (ending in CODE_ENDINGS and ending != ".cu")
    return "cpu" if on_cpu else "cuda"


def call_off(
    job: dict[str, Any], members: list[str], cancel: Callable[[int], dict[str, Any]]
) -> Stop:
    """Cancels a job that would run as something else; the error to be raised."""
    number = job["id"]
    try:
        state = cancel(number)["state"]
        ending = f"Job {number} is {'cancelled' if state == 'cancelled' else 'told to stop'}."
    except Stop as stop:
        ending = (
            f"Job {number} could not be cancelled: {str(stop).rstrip('.')}. "
            f"Try: {as_typed('--cancel', str(number))}"
        )
    return Stop(REFUSED, f"{older_queue(members)} {ending}")


def older_queue(members: list[str]) -> str:
    """Says what the queue does not take."""
    words = sorted({NEWER[key] for key in members}, reverse=True)
    return f"This queue is older than this submit.py: {', '.join(words)}."


# --- handouts/submit/wishes.py ------------------------------------------------------------
#
# What is asked for beside the main file, on the command line and in its directives.


class Wish:
    """A word, and where it stands: a file's name and line, or "" for the command line."""

    def __init__(self, text: str, place: str = "") -> None:
        self.text = text
        self.place = place

    def refuse(self, message: str) -> Stop:
        """The error, to be raised, that says what is wrong with it."""
        return refusal_at(self.place, message)


class Wishes:
    """All of them."""

    def __init__(self) -> None:
        self.flags: list[Wish] = []  # for the compiler
        self.beside: list[Wish] = []  # files, of which sources are compiled too
        self.headers: list[Wish] = []  # files that are not compiled by themselves
        self.data: list[Wish] = []  # files that the program reads
        self.platform = Wish("")
        self.asm = False


def refusal_at(place: str, message: str) -> Stop:
    """The error for something that stands at `place`."""
    return Stop(WRONG_USAGE, in_one_line(f"{place}: {message}" if place else message))


def in_one_line(text: str) -> str:
    """The text with all that is no printable character spelled out."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


# --- handouts/submit/refusals.py ----------------------------------------------------------
#
# What the queue does not take of a submission, in words that lead to the line.


SHOWN_PLACES = 5
UNKNOWN = re.compile("unknown|unexpected|not known|no such", re.IGNORECASE)


def refusal_of_wishes(answer: Answer, wishes: Wishes, body: dict[str, Any]) -> str:
    """What the answer says, and where that stands; "" if it is about something else."""
    if answer.problem == "flag-refused":
        return answer.detail + asked_for([flag for flag in wishes.flags if is_meant(flag, answer)])
    if answer.problem == "unknown-platform":
        return answer.detail + asked_for([wishes.platform])
    if answer.status == 400 and UNKNOWN.search(answer.detail):
        named = [key for key in NEWER if key in body and re.search(rf"\b{key}\b", answer.detail)]
        if named:
            return older_queue(named)
    if answer.status == 400:
        return malformed(answer, wishes)
    return ""


def malformed(answer: Answer, wishes: Wishes) -> str:
    """What a 400 says of the platform or the flags, and where they stand; "" if of neither."""
    if re.match(r"platform\b", answer.detail):
        return answer.detail + asked_for([wishes.platform])
    if re.match(r"flags\b", answer.detail):
        number = re.match(r"flags[.\[](\d{1,3})\b", answer.detail)
        meant = wishes.flags[int(number[1]) :][:1] if number else []
        return answer.detail + asked_for(meant or wishes.flags)
    return ""


def is_meant(flag: Wish, answer: Answer) -> bool:
    """Whether the answer names the flag, and no longer word that it is a part of."""
    pattern = rf"(?<![^\s\"'`(,;:]){re.escape(flag.text)}(?![\w=+-])"
    told = re.split(" Did you mean | Among those ", answer.detail)[0]  # else another's name
    return re.search(pattern, told) is not None


def asked_for(wishes: list[Wish]) -> str:
    """Such as " (lab.cu:3)", "" for what the command line asks for."""
    places = list(dict.fromkeys(wish.place for wish in wishes if wish.place))
    more = f" and {len(places) - SHOWN_PLACES} more lines" if len(places) > SHOWN_PLACES else ""
    return f" It stands in {', '.join(places[:SHOWN_PLACES])}{more}." if places else ""


# --- handouts/submit/relative_names.py ----------------------------------------------------
#
# Names of the files of a submission: relative to the main file's folder, with / on any system.


def joined_name(folder: str, name: str) -> str:
    """The name as seen from `folder`, without detours; it may lead outside."""
    return posixpath.normpath(posixpath.join(folder, name))


def leads_outside(name: str) -> bool:
    """Whether the name, without detours, is none below the main file's folder."""
    return name.startswith(("/", "../")) or name == ".." or bool(re.match("[A-Za-z]:", name))


def name_below(root: Path, path: Path) -> str:
    """The path as a name relative to `root`; one that leads outside if it is not below it."""
    for plain in (os.path.abspath, os.path.realpath):  # by way of a link it may be below it
        folder = plain(path.parent)
        try:
            name = Path(os.path.relpath(os.path.join(folder, path.name), plain(root))).as_posix()
        except ValueError:  # another drive of Windows
            return ".."
        if not leads_outside(name):
            break
    return name


def is_really_below(root: Path, path: Path) -> bool:
    """Whether no link leads out of `root` on the way to the path."""
    top = os.path.realpath(root)
    try:
        return os.path.commonpath([top, os.path.realpath(path)]) == top
    except ValueError:
        return False


# --- handouts/submit/compiler_flags.py ----------------------------------------------------
#
# Flags for the compiler: each one word, however it was written.


# Those whose value may stand as a word of its own, and what joins the two. A value of the first
# kind may begin with a dash.
WITH_ANY_VALUE = {
    "-Xcompiler": "=", "--compiler-options": "=", "-Xptxas": "=", "--ptxas-options": "=",
    "-Xlinker": "=", "--linker-options": "=", "-Xcudafe": "=", "-Xnvlink": "=",
}  # fmt: skip
WITH_VALUE = {
    "-I": "", "-D": "", "-U": "", "-l": "", "-L": "", "-O": "",
    "-std": "=", "--std": "=", "-arch": "=", "--gpu-architecture": "=", "-code": "=",
    "--gpu-code": "=", "-gencode": "=", "--generate-code": "=", "-maxrregcount": "=",
    "--maxrregcount": "=", "-t": "=", "--threads": "=",
}  # fmt: skip


def joined_flags(flags: list[Wish]) -> list[Wish]:
    """Each flag as one word: `-Xcompiler` and `-fopenmp` are `-Xcompiler=-fopenmp`. Raises Stop."""
    joined: list[Wish] = []
    rest = list(reversed(flags))
    while rest:
        flag = rest.pop()
        if rest and takes_value(flag.text, rest[-1].text):
            by = WITH_ANY_VALUE.get(flag.text, WITH_VALUE.get(flag.text, ""))
            flag = Wish(flag.text + by + rest.pop().text, flag.place)
        elif flag.text != "-O" and (flag.text in WITH_VALUE or flag.text in WITH_ANY_VALUE):
            raise flag.refuse(missing_value(flag.text))
        check_flag(flag)
        joined.append(flag)
    return joined


def takes_value(flag: str, word: str) -> bool:
    """Whether the word after the flag is its value."""
    return flag in WITH_ANY_VALUE or (flag in WITH_VALUE and not word.startswith("-"))


def missing_value(flag: str) -> str:
    """What to say of a flag that stands without its value."""
    example = flag + WITH_ANY_VALUE.get(flag, WITH_VALUE.get(flag, "")) + "VALUE"
    return f"The value of the flag {flag} is missing; write both as one: {example}"


def check_flag(flag: Wish) -> None:
    """Raises Stop for what is no single printable word; what is allowed, the queue knows."""
    text = flag.text
    if text.split() != [text] or not text.isprintable():
        raise flag.refuse(
            f'A flag is one word without spaces, which "{text}" is not; give each by itself.'
        )


def check_python(main: str, flags: list[Wish]) -> None:
    """Raises Stop for flags that go with a Python program."""
    if flags and main.lower().endswith(".py"):
        raise flags[0].refuse(
            f"Python is not compiled: the flag {flags[0].text} has no use for {main}; leave it out."
        )


def include_folders(flags: list[Wish]) -> list[str]:
    """The folders that `-I` names, seen from the main file's; those outside of it are kept too."""
    texts = [flag.text for flag in flags]
    values = [text[2:] for text in texts if text.startswith("-I")]
    values += [text.partition("=")[2] for text in texts if text.startswith("--include-path=")]
    folders = [joined_name("", value.lstrip("=")) for value in values if value.lstrip("=")]
    return ["" if folder == posixpath.curdir else folder for folder in folders]


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


# --- handouts/submit/python_imports.py ----------------------------------------------------
#
# What a Python file imports, as far as it lies beside it.
#
# It is read with regular expressions: the student's Python may be older than the file.


# Made ready only where there is Python: that takes longer than all else here.
IMPORT = r"""(?:^|[;:])[ \t]*(?:
    from(?=[ \t.])(?P<dots>[ \t.]*)(?:(?P<module>\w[\w.]*)[ \t]+)?import(?!\w)[ \t]*
      (?P<names>\([^)]{0,9999}\)?|(?:\\\r?\n|[^;\n\#])+)
  | import[ \t]+(?P<modules>(?:\\\r?\n|[^;\n\#])+)
  )"""


class Import:
    """One module that a line may mean: its parts, and the dots before it."""

    def __init__(self, line: int, dots: int, parts: list[str]) -> None:
        self.line = line
        self.dots = dots
        self.parts = parts


def python_imports(text: str) -> Iterator[Import]:
    """The modules that the text may import, each once; some may be no modules but names in one."""
    line, counted, seen = 1, 0, set()
    for found in re.finditer(IMPORT, text, re.MULTILINE | re.VERBOSE):
        start = found.start(found.lastgroup or 0)
        line += text.count("\n", counted, start)
        counted = start
        for dots, module in modules_of(found):
            if (dots, module) not in seen:
                seen.add((dots, module))
                yield Import(line, dots, module.split("."))


def modules_of(found: re.Match[str]) -> Iterator[tuple[int, str]]:
    """What one statement may mean: dots, and the name after them."""
    if found["modules"]:
        for module in listed_names(found["modules"]):
            yield 0, module
        return
    module = (found["module"] or "").strip(".")
    for name in listed_names(found["names"]):
        yield found["dots"].count("."), f"{module}.{name}" if module else name


def listed_names(names: str) -> list[str]:
    """The names in a list such as `a as b, c.d`; "*" is kept, and is none of a file."""
    words = [name.split() for name in re.sub(r"#[^\n]*|[()\\]", " ", names).split(",")]
    return [parts[0] for parts in words if parts and re.fullmatch(r"[\w.]+|\*", parts[0])]


def module_files(root: Path, folder: str, parts: list[str]) -> list[str]:
    """The names of the files that make the module, sought from `folder` below `root`."""
    files = []
    for part in filter(None, parts):
        base = f"{folder}/{part}" if folder else part
        path = os.path.join(root, base)
        is_folder = os.path.isdir(path)
        if is_folder and os.path.isfile(path + "/__init__.py"):
            files.append(base + "/__init__.py")
        elif os.path.isfile(path + ".py"):
            return [*files, base + ".py"]
        elif not is_folder:
            break
        folder = base
    return files


# --- handouts/submit/no_text.py -----------------------------------------------------------
#
# Files that are no text, by how they begin.


ARCHIVE = "an archive"
COMPILED = "a compiled program"
# The first bytes of a file, and what it then is.
BEGINNINGS = (
    (b"\x7fELF", f"{COMPILED} (ELF)"),
    (b"MZ", f"{COMPILED} (for Windows)"),
    (b"\xcf\xfa\xed\xfe", f"{COMPILED} (for macOS)"),
    (b"\xce\xfa\xed\xfe", f"{COMPILED} (for macOS)"),
    (b"\xca\xfe\xba\xbe", f"{COMPILED} (for macOS or Java)"),
    (b"!<arch>\n", f"{COMPILED}'s library"),
    (b"PK\x03\x04", f"{ARCHIVE} (zip) or a document of Office"),
    (b"\x1f\x8b", f"{ARCHIVE} (gzip)"),
    (b"BZh", f"{ARCHIVE} (bzip2)"),
    (b"\xfd7zXZ\x00", f"{ARCHIVE} (xz)"),
    (b"\x28\xb5\x2f\xfd", f"{ARCHIVE} (zstd)"),
    (b"7z\xbc\xaf\x27\x1c", f"{ARCHIVE} (7z)"),
    (b"%PDF-", "a PDF document"),
    (b"{\\rtf", "a document of a word processor (RTF)"),
    (b"\xd0\xcf\x11\xe0", "a document of Office"),
    (b"\x89PNG", "an image (PNG)"),
    (b"\xff\xd8\xff", "an image (JPEG)"),
    (b"GIF8", "an image (GIF)"),
    (b"RIFF", "an image or a sound (RIFF)"),
    (b"SQLite format 3\x00", "a database (SQLite)"),
)
TEXT_BEGINNINGS = (b"MZ", b"BZh", b"RIFF", b"GIF8")  # with which a source may begin, too


def kind_of(data: bytes) -> str:
    """What a file is that is no text, such as "an image (PNG)"; "" where that is not known."""
    for beginning, kind in BEGINNINGS:
        if data.startswith(beginning):
            is_sure = beginning not in TEXT_BEGINNINGS or has_strange_bytes(data[:512])
            return kind if is_sure else ""
    if data[257:262] == b"ustar":
        return f"{ARCHIVE} (tar)"
    return "a compiled program (of Python)" if data[2:4] == b"\r\n" and b"\0" in data[:16] else ""


def has_strange_bytes(data: bytes) -> bool:
    """Whether there are such as no source has."""
    return any(byte < 9 or 13 < byte < 27 for byte in data)


def about_no_text(data: bytes, shown: str) -> str:
    """What is wrong with such a file, which is called `shown`; "" for one that may be text."""
    kind = kind_of(data)
    if not kind:
        return ""
    if kind.startswith(COMPILED):
        return f"{shown} is {kind}; send its source{source_of(shown, kind)}."
    mend = "unpack it, and send the source in it" if ARCHIVE in kind else "send a source file"
    return f"{shown} is no text, but {kind}; {mend}."


def source_of(shown: str, kind: str) -> str:
    """What a program's source is called, as a rule; "" where the file is called so itself."""
    stem, ending = posixpath.splitext(shown)
    if "Python" in kind:
        return ""
    return f", such as {stem}.cu" if ending != ".cu" else ""


# --- handouts/submit/source_file.py -------------------------------------------------------
#
# What the student hands in, checked before it is sent.


MAX_SOURCE_BYTES = 1024 * 1024
MAX_ARGS, MAX_ARG_LENGTH = 100, 4096


def read_source(path: Path) -> str:
    """The text of the source file. Raises Stop for what the queue would not take."""
    why = trouble_with(path.name) if path.name not in ("", "..") else ""
    if why:
        name = path.name if path.name.isprintable() else ascii(path.name)
        raise Stop(WRONG_USAGE, f"The queue takes no file of the name {name}: {why}; rename it.")
    text = read_text(path, str(path))
    if not text.strip():
        raise Stop(WRONG_USAGE, f"{path} is empty.")
    return text


def read_text(path: Path, shown: str) -> str:
    """The text of a file, which errors call `shown`. Raises Stop."""
    data = read_bytes(path, shown)
    if about := about_no_text(data, shown):
        raise Stop(WRONG_USAGE, about)
    if is_utf_16(data):
        raise Stop(WRONG_USAGE, about_utf_16(shown, str(path)))
    if b"\0" in data:
        place = data.index(b"\0")
        raise Stop(
            WRONG_USAGE, f"{shown} has a NUL byte at offset {place}: it is not a source file."
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Stop(
            WRONG_USAGE, f"{shown} is not UTF-8 (byte {error.start}); save it as UTF-8."
        ) from None


def read_bytes(path: Path, shown: str) -> bytes:
    """The bytes of a file of at most 1 MiB. Raises Stop."""
    try:
        found = path.stat()
        size = found.st_size
        if stat.S_ISDIR(found.st_mode):
            raise Stop(WRONG_USAGE, f"{shown} is a folder; name a file.")
        if not stat.S_ISREG(found.st_mode):  # a pipe may have no end, or nobody who writes
            raise Stop(WRONG_USAGE, f"{shown} is no plain file; save it as one first.")
        if size > MAX_SOURCE_BYTES:
            with path.open("rb") as file:
                about = about_no_text(file.read(512), shown)
            raise Stop(
                WRONG_USAGE,
                about or f"{shown} has {size} bytes; the queue takes {MAX_SOURCE_BYTES} (1 MiB).",
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise Stop(WRONG_USAGE, f"There is no file {shown}.{like_it(path)}") from None
    except OSError as error:
        raise Stop(WRONG_USAGE, f"{shown} cannot be read: {error.strerror}.") from None


def like_it(path: Path) -> str:
    """Such as " Did you mean hello.cu?", "" where no file in its folder has a name like that."""
    import difflib  # only here, since it takes time to import

    try:
        names = {one.name.lower(): one.name for one in path.parent.iterdir() if one.is_file()}
    except OSError:
        return ""
    wanted = path.name.lower()
    ended = [name for name in sorted(names) if name.startswith(wanted + ".") and is_source(name)]
    found = ended or difflib.get_close_matches(wanted, names, n=1, cutoff=0.7)
    return in_one_line(f" Did you mean {path.parent / names[found[0]]}?") if found else ""


def is_source(name: str) -> bool:
    return posixpath.splitext(name)[1] in (*CODE_ENDINGS, ".py")


def check_arguments(args: list[str]) -> None:
    """Raises Stop for what the queue would not take."""
    if len(args) > MAX_ARGS or any(len(arg) > MAX_ARG_LENGTH for arg in args):
        raise Stop(
            WRONG_USAGE,
            f"The queue takes {MAX_ARGS} arguments of {MAX_ARG_LENGTH} characters each; "
            "put more into the source.",
        )
    if any("\ud800" <= character <= "\udfff" for arg in args for character in arg):
        raise Stop(
            WRONG_USAGE, "An argument for the program is not UTF-8; the queue takes no other."
        )


# --- handouts/submit/gather.py ------------------------------------------------------------
#
# Finding the files that the main file needs, on the student's machine.


class Gathering:
    """The main file, and all that goes with it.

    Files are called by their names relative to the main file's folder; a place is such a name
    and a line, as in "lab.cu:3", or "" for the command line.
    """

    def __init__(self, main: Path, source: str, folders: list[str]) -> None:
        self.root = main.parent
        self.main = main.name
        self.texts = {main.name: source}
        self.places = {main.name: ""}  # where each is asked for
        self.included: set[str] = set()  # by another file
        self.missing: list[tuple[str, str]] = []  # a place, and what it includes
        # Where the compiler looks, too; each is tried for each include.
        self._folders = [
            folder for folder in dict.fromkeys(folders) if os.path.isdir(self.root / folder)
        ]
        self._to_read = [main.name]

    def add(self, name: str, place: str) -> None:
        """Takes the file, unless it is there already. Raises Stop."""
        if name in self.texts:
            return
        if leads_outside(name):
            raise self._outside(f"{name} lies", place)
        why = trouble_with(name)
        if why:
            raise refusal_at(
                place, f"The queue takes no file of the name {name}: {why}; rename it."
            )
        if not is_really_below(self.root, self.root / name):
            raise self._outside(f"{name} is reached by a link, and lies", place)
        try:
            self.texts[name] = read_text(self.root / name, name)
        except Stop as stop:
            raise refusal_at(place, str(stop)) from None
        self.places[name] = place
        self._to_read.append(name)

    def follow(self) -> None:
        """Takes all that is included or imported by what is there. Raises Stop."""
        while self._to_read:
            name = self._to_read.pop(0)
            ending = posixpath.splitext(name)[1].lower()
            if ending == ".py":
                for module in python_imports(self.texts[name]):
                    self._take_module(name, module)
            elif (
                name == self.main
                or name in self.included
                or ending in CODE_ENDINGS + HEADER_ENDINGS
            ):
                for include in c_includes(self.texts[name]):
                    self._take_include(name, include)

    def _take_include(self, name: str, include: Include) -> None:
        found = self._find(name, include)
        if found is not None:
            self.add(found, f"{name}:{include.line}")
            if found != name:
                self.included.add(found)

    def _find(self, name: str, include: Include) -> str | None:
        """The file that is included, None if it is not here. Raises Stop."""
        place, wanted = f"{name}:{include.line}", include.wanted
        if include.is_quoted and "\\" in wanted:
            better = re.sub(r"\\+", "/", wanted)
            raise refusal_at(place, f'write / in place of \\: #include "{better}"')
        folders = [posixpath.dirname(name)] if include.is_quoted else []
        candidates = [joined_name(folder, wanted) for folder in folders + self._folders]
        for candidate in candidates:
            is_here = os.path.isfile(os.path.join(self.root, candidate))
            if is_here and not leads_outside(candidate):
                return candidate
            if is_here and include.is_quoted:
                raise self._outside(f"{wanted} lies", place)
        if include.is_quoted:
            self._miss(candidates[0], wanted, place)
        return None

    def _miss(self, candidate: str, wanted: str, place: str) -> None:
        """Notes an include that is no file here: it may be the toolkit's. Raises Stop."""
        if leads_outside(candidate):
            raise self._outside(f"{wanted} lies", place)
        if os.path.exists(os.path.join(self.root, candidate)):
            is_folder = os.path.isdir(self.root / candidate)
            what = "is a folder; include a file" if is_folder else "is no plain file"
            raise refusal_at(place, f"{candidate} {what}.")
        self.missing.append((place, wanted))

    def _take_module(self, name: str, module: Import) -> None:
        folder, place = "", f"{name}:{module.line}"
        if module.dots:
            folder = joined_name(posixpath.dirname(name), "../" * (module.dots - 1))
            folder = "" if folder == "." else folder
        for found in module_files(self.root, folder, module.parts):
            self.add(posixpath.normpath(found), place)

    def _outside(self, what: str, place: str) -> Stop:
        return refusal_at(
            place,
            f"{what} outside of the folder of {self.main}, and only what is in it can be sent. "
            "Put a copy into it.",
        )


# --- handouts/submit/together.py ----------------------------------------------------------
#
# What the queue takes of all files of a submission together.


MAX_FILES = 256


def check_together(gathering: Gathering) -> None:
    """Raises Stop for more than the queue takes, and for two names that are one on some system."""
    count, main = len(gathering.texts), gathering.main
    if count > MAX_FILES:
        raise Stop(
            WRONG_USAGE, f"{main} needs {count} files; the queue takes {MAX_FILES} together."
        )
    sizes = {name: utf8_size(text) for name, text in gathering.texts.items()}
    if sum(sizes.values()) > MAX_SOURCE_BYTES:
        largest = max(sizes, key=lambda name: sizes[name])
        raise Stop(
            WRONG_USAGE,
            f"{main} and the files that it needs have {sum(sizes.values())} bytes; the queue takes "
            f"{MAX_SOURCE_BYTES} (1 MiB) together. The largest of {count}: {largest} "
            f"({in_size(sizes[largest])}).",
        )
    pair = clash(list(gathering.texts))
    if pair:
        raise refusal_at(
            gathering.places[pair[1]],
            f"{pair[0]} and {pair[1]} would be one file on some systems; rename one.",
        )


def utf8_size(text: str) -> int:
    """How many bytes of UTF-8 the text has."""
    return len(text.encode("utf-8"))


# --- handouts/submit/data_files.py --------------------------------------------------------
#
# Files that the program reads. Data sets are not served yet; a small text file goes along.


def take_data(gathering: Gathering, wish: Wish) -> None:
    """Takes a text file for which there is room; else says that the program will not find it."""
    name = joined_name("", wish.text)
    if name in gathering.texts:
        return
    try:
        gathering.add(name, wish.place)
    except Stop:
        pass
    else:
        if fits(gathering):
            return
        del gathering.texts[name], gathering.places[name]
    tell(
        printable(
            f"{wish.place}: {wish.text} is not sent, and the program will not find it: data files "
            "are not served yet, except for text of at most 1 MiB in this folder."
        )
    )


def fits(gathering: Gathering) -> bool:
    """Whether the queue takes it as it is."""
    size = sum(utf8_size(text) for text in gathering.texts.values())
    few = len(gathering.texts) <= MAX_FILES
    return few and size <= MAX_SOURCE_BYTES and not clash(list(gathering.texts))


# --- handouts/submit/source_options.py ----------------------------------------------------
#
# The options that say what is sent, on the command line and in a directive.


def formatter(prog: str) -> argparse.HelpFormatter:
    """As wide as the terminal. argparse asks shutil for that, which takes long to import."""
    try:
        columns = int(os.environ.get("COLUMNS") or os.get_terminal_size().columns)
    except (OSError, ValueError):
        columns = 80
    return argparse.HelpFormatter(prog, width=columns - 2)


class SourceParser(argparse.ArgumentParser):
    """For a directive: takes the options that say what is sent, and calls `refuse` for others."""

    form = "--flag=FLAG, --platform NAME, --with FILE and --asm are what it takes"

    def __init__(self, refuse: Callable[[str], None]) -> None:
        super().__init__(add_help=False, allow_abbrev=False, usage="", formatter_class=formatter)
        self._refuse = refuse
        add_source_options(self)

    def take(self, words: list[str], wishes: Wishes, place: str) -> None:
        """Adds what the words ask for. Raises what `refuse` raises."""
        add_wishes(wishes, self.parse_args(with_joined_flags(words)), place)

    def error(self, message: str) -> Any:
        if message.startswith("unrecognized arguments"):
            message = message.replace("unrecognized arguments: ", "it takes no ")
            message += "; " + self.form
        self._refuse(message)


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """The options that say what is sent."""
    parser.add_argument(
        "--with",
        dest="beside",
        action="append",
        default=[],
        metavar="FILE",
        help="send this file too; a source is compiled and linked with the program",
    )
    parser.add_argument(
        "--flag",
        dest="flags",
        action="append",
        default=[],
        metavar="FLAG",
        help="a flag for the compiler, such as --flag=-lcublas",
    )
    parser.add_argument(
        "--platform", metavar="NAME", help="hardware to run on, such as h100 or cpu"
    )
    parser.add_argument(
        "--asm", action="store_true", help="bring back what the compiler made, as text"
    )


def add_wishes(wishes: Wishes, options: argparse.Namespace, place: str) -> None:
    """Adds what the options of `add_source_options` ask for."""
    wishes.flags = wishes.flags + [Wish(flag, place) for flag in options.flags]
    wishes.beside = wishes.beside + [Wish(path, place) for path in options.beside]
    wishes.asm = wishes.asm or options.asm
    if options.platform is not None:
        wishes.platform = Wish(options.platform.lower(), place)


def with_joined_flags(words: list[str]) -> list[str]:
    """`--flag -lm` as `--flag=-lm`, which argparse takes though a value begins with a dash."""
    joined: list[str] = []
    end = words.index("--") if "--" in words else len(words)
    for word in words[:end]:
        if joined and joined[-1] == "--flag":
            joined[-1] += "=" + word
        else:
            joined.append(word)
    return joined + words[end:]


# --- handouts/submit/directives.py --------------------------------------------------------
#
# Directives: comments in the first lines of the main file that say how it is to be submitted.
#
# // telerun: --flag=-lcublas --platform h100 --with kernels.cu
# // TL+ {"platform": "h100", "compile_flags": ["-lcuda"]}


DIRECTIVE = re.compile(
    r"(?://+|#+|%+)[ \t]*(TL(?=[ \t]*\{)|TL\+(?=[\s{]|$)|telerun:)(.*)", re.DOTALL
)
BLOCKS = re.compile(r"\A\s*(?:/\*.*?\*/\s*)*")
# What was meant as a directive: in other letters, or in a block comment.
NEAR = re.compile(
    r"""[ \t]*(?:
      (?://+|\#+|%+)[ \t]*(?:TL[ \t+:]*\{|telerun[ \t]*:|telerun[ \t]+--[a-z])
    | (?:(?:/\*+|\*+|//+)[ \t]*)?(?:TL[ \t+:]*\{|telerun[ \t:]*--[a-z])
    )""",
    re.IGNORECASE | re.VERBOSE,
)
# One that stands further below, meant as one for sure.
LATE = re.compile(r"[ \t]*(//+|#+|%+)[ \t]*(TL\+?[ \t]*\{|telerun:[ \t]*--)", re.IGNORECASE)
COMMENT = re.compile("//|/\\*|#|%")  # may stand after an object
MAX_DIRECTIVES, SHOWN_LINES = 256, 5
MAX_WORDS_LENGTH = 8192
LISTS = {"header_files": "headers", "compile_flags": "flags", "workspace_files": "data"}
TL_FORM = 'the right form is: TL+ {"platform": "h100", "compile_flags": ["-lcuda"]}'
FORMS = 'telerun: --platform h100 --flag=-lcuda, or TL+ {"platform": "h100"}'


def read_directives(source: str, name: str) -> Wishes:
    """What the file called `name` asks for in its first lines. Raises Stop with the line."""
    wishes, lines = Wishes(), source.split("\n")
    number = count = 0
    near = []
    for number, line in first_lines(lines):
        found = DIRECTIVE.match(line)
        if found is None:
            if lines[number - 1] and NEAR.match(lines[number - 1]):
                near.append(number)
            continue
        place, count = f"{name}:{number}", count + 1
        if count > MAX_DIRECTIVES:
            raise refusal_at(place, f"a file has at most {MAX_DIRECTIVES} directives.")
        if found[1] == "telerun:":
            take_words(wishes, found[2], place)
        else:
            take_object(wishes, found[2], place, adds=found[1] == "TL+")
    sign = "#" if name.lower().endswith(".py") else "//"
    warn_at(name, near, f"is no directive in this form; write it as {sign} {FORMS}")
    late = [at for at, line in enumerate(lines[number:], number + 1) if LATE.match(line)]
    warn_at(name, late, "is not read: directives stand before the first line of code.")
    return wishes


def warn_at(name: str, lines: list[int], message: str) -> None:
    """Says it of each line, or of the first ones and how many more there are."""
    for line in lines[:SHOWN_LINES]:
        tell(f"{name}:{line}: {message}")
    if len(lines) > SHOWN_LINES:
        tell(f"And {len(lines) - SHOWN_LINES} more such lines in {name}.")


def first_lines(lines: list[str]) -> Iterator[tuple[int, str]]:
    """The lines before the first of code, with their numbers: comments, and # lines.

    Of what stands in block comments, nothing.
    """
    in_block = goes_on = False
    for number, line in enumerate(lines, 1):
        begins_in_block = in_block
        text, in_block = without_blocks(line, in_block)
        if text and not goes_on and not text.startswith(("//", "#", "%")):
            return
        goes_on = text.endswith("\\") and (goes_on or text.startswith("#"))
        yield number, "" if begins_in_block or in_block else text


def without_blocks(line: str, in_block: bool) -> tuple[str, bool]:
    """The line without the block comments it begins with, and whether one goes on after it."""
    if not line or line.isspace():
        return "", in_block
    if in_block:
        _, end, line = line.partition("*/")
        if not end:
            return "", True
    rest = BLOCKS.sub("", line, count=1)
    return ("", True) if rest.startswith("/*") else (rest.strip(), False)


def take_words(wishes: Wishes, text: str, place: str) -> None:
    """A directive in the words of the command line. Raises Stop."""
    import shlex  # only here, since it takes time to import

    def refuse(why: str) -> None:
        raise refusal_at(place, f"telerun: is not understood: {why}.")

    if len(text) > MAX_WORDS_LENGTH:  # shlex takes long over them
        refuse(f"it is longer than {MAX_WORDS_LENGTH} characters")
    parser = SourceParser(refuse)
    try:
        words = shlex.split(text)
    except ValueError as error:
        refuse(str(error).lower())
    if not words:
        refuse(parser.form)
    parser.take(words, wishes, place)


def take_object(wishes: Wishes, text: str, place: str, adds: bool) -> None:
    """A directive that is a JSON object. Raises Stop."""
    content = object_in(text, "TL+" if adds else "TL", place)
    for key, value in content.items():
        check_member(key, value, place)
        if key == "platform":
            wishes.platform = Wish(value.lower(), place)
        else:
            added = [Wish(text, place) for text in value]
            before = getattr(wishes, LISTS[key]) if adds else []
            setattr(wishes, LISTS[key], before + added)


def object_in(text: str, word: str, place: str) -> dict[str, Any]:
    """The object that follows the word TL or TL+; a comment may come after it. Raises Stop."""
    text = text.strip()
    try:
        content, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        if text.startswith("{") and text.count("{") + text.count("[") > text.count(
            "}"
        ) + text.count("]"):
            raise refusal_at(place, f"the object has to stand on one line; {TL_FORM}") from None
        content, end = None, 0
    if not isinstance(content, dict):
        raise refusal_at(place, f"what follows {word} is no JSON object; {TL_FORM}")
    rest = text[end:].strip()
    if rest and not COMMENT.match(rest):
        raise refusal_at(place, f"after the object of {word} only a comment may stand; {TL_FORM}")
    return content


def check_member(key: str, value: Any, place: str) -> None:
    """Raises Stop for a key that there is not, and a value of another type."""
    if key == "platform":
        if not isinstance(value, str):
            raise refusal_at(place, '"platform" is no text; write it as: {"platform": "h100"}')
    elif key not in LISTS:
        known = ", ".join(["platform", *LISTS])
        raise refusal_at(place, f"there is no key {json.dumps(key)}; the keys are: {known}.")
    elif not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise refusal_at(place, f'"{key}" is no list of texts; write it as: {{"{key}": ["..."]}}')


# --- handouts/submit/submission.py --------------------------------------------------------
#
# What is sent to the queue: the main file, what goes with it, and what is asked for.


SHOWN_FILES, SHOWN_FLAGS = 3, 16  # more are counted


class Submission:
    """A program, ready to be sent."""

    def __init__(self, wishes: Wishes, gathering: Gathering, args: list[str]) -> None:
        self.main = gathering.main
        self.wishes = wishes
        self.missing = gathering.missing
        named = {wish.text for wish in wishes.beside if is_code(wish.text)}
        compiled = set() if is_python(self.main) else named - gathering.included
        others = sorted(name for name in gathering.texts if name != self.main)
        self.sources = [name for name in others if name in compiled]
        self.includes = [name for name in others if name not in compiled]
        self.body: dict[str, Any] = {
            "source": gathering.texts[self.main],
            "filename": self.main,
            "args": args,
        }
        asked = {
            "sources": {name: gathering.texts[name] for name in self.sources},
            "includes": {name: gathering.texts[name] for name in self.includes},
            "flags": [flag.text for flag in wishes.flags],
            "platform": wishes.platform.text,
            "asm": wishes.asm,
        }
        self.body.update({key: value for key, value in asked.items() if value})

    @property
    def summary(self) -> str:
        """What is sent, in a line; "" for nothing but the main file."""
        line = "Sending " + in_a_row([self.main, *self.sources])
        if self.includes:
            line += " with " + in_a_row(self.includes)
        if self.wishes.flags:
            flags = self.body["flags"]
            more = f" and {len(flags) - SHOWN_FLAGS} more" if len(flags) > SHOWN_FLAGS else ""
            line += ", flags " + " ".join(flags[:SHOWN_FLAGS]) + more
        if self.wishes.platform.text:
            line += ", for " + self.wishes.platform.text
        return line + "." if line != f"Sending {self.main}" else ""


def prepare(options: argparse.Namespace) -> Submission:
    """What the command line and the main file ask for. Raises Stop for what cannot be sent."""
    source = read_source(options.file)
    check_arguments(options.args)
    wishes = all_wishes(options, source)
    gathering = Gathering(options.file, source, include_folders(wishes.flags))
    for wish in (*wishes.beside, *wishes.headers):
        gathering.add(wish.text, wish.place)
    gathering.follow()
    check_together(gathering)
    for wish in {wish.text: wish for wish in wishes.data}.values():
        take_data(gathering, wish)
    return Submission(wishes, gathering, options.args)


def all_wishes(options: argparse.Namespace, source: str) -> Wishes:
    """Those of the file and of the command line; files by their names. Raises Stop."""
    folder = options.file.parent
    wishes = read_directives(source, options.file.name)
    wishes.beside = [named_by_file(wish) for wish in wishes.beside]
    wishes.headers = [named_by_file(wish) for wish in wishes.headers]
    options.beside = [name_of_path(Path(path), folder) for path in options.beside]
    add_wishes(wishes, options, "")
    wishes.flags = joined_flags(wishes.flags)
    check_python(options.file.name, wishes.flags)
    if not wishes.platform.text.isprintable():
        raise wishes.platform.refuse(f"There is no platform {wishes.platform.text}.")
    return wishes


def named_by_file(wish: Wish) -> Wish:
    """A file that a directive names, seen from the main file's folder. Raises Stop."""
    if "\\" in wish.text:
        raise wish.refuse(f"write / in place of \\: {wish.text}")
    return Wish(joined_name("", wish.text), wish.place)


def name_of_path(path: Path, folder: Path) -> str:
    """The name of a file that the command line names; it may stand beside the main file."""
    return name_below(folder, path if os.path.exists(path) else folder / path)


def is_code(name: str) -> bool:
    """Whether it is a source of C, C++ or CUDA."""
    return posixpath.splitext(name)[1].lower() in CODE_ENDINGS


def is_python(name: str) -> bool:
    return name.lower().endswith(".py")


def in_a_row(names: list[str]) -> str:
    """Such as "a, b and c", or "a and 7 more files"."""
    if len(names) > SHOWN_FILES:
        return f"{names[0]} and {len(names) - 1} more files"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


# --- handouts/submit/waiting_line.py ------------------------------------------------------
#
# What a job is doing, in a line that is right each second.


MARKS = {"queued": ("○", YELLOW), "compiling": ("◐", CYAN), "waiting": ("◐", CYAN)}
RUNNING = ("●", GREEN)
KEY_COLUMNS = 2  # for the ^C that a terminal shows where the cursor is: it must not break the line
LEAST_HEAD = 12  # columns, of what is said before the clock
WIDEST = 80  # then the job's number stands at the end, however wide the terminal is


class WaitingLine:
    """Of the job that is looked at, since its phase began."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._job: dict[str, Any] = {}
        self._phase: Any = None
        self._phase_at: float | None = None  # when it began, if that was seen
        self._clock = ""  # the part that tells how long it has been like that
        self._came_at = 0.0  # when the queue said what is known

    def look_at(self, job: dict[str, Any]) -> None:
        """It is like that now."""
        now = time.monotonic()
        phase = phase_of(job), len(job.get("attempts") or [])
        if phase != self._phase:
            is_new = self._job or phase == ("queued", 0)  # else it may have begun long ago
            self._phase, self._phase_at = phase, now if is_new else None
        self._job, self._came_at = job, now

    def words(self, columns: int) -> str:
        """The line, no wider than that; what matters least is left out first."""
        mark, colour = MARKS.get(phase_of(self._job), RUNNING)
        number, room = f"job {self._job['id']}", min(columns - KEY_COLUMNS, WIDEST) - 3
        line = self._fitting([printable(part) for part in self._parts() if part], room)
        gap = room - width_of(line) - len(number)
        end = " " * gap + number if gap >= 3 else ""
        return f"{self._look.coloured(mark, colour)} {line}{end}"

    def _fitting(self, parts: list[str], room: int) -> str:
        """As many of the parts as there is room for. Of what moves by itself, when it starts or
        else the clock, one stays: a line that stands still looks like a program that hangs."""
        start = next((part for part in parts[1:] if part.startswith("starts ")), "")
        is_short = start and width_of(f"{parts[0]} · {start}") <= room
        while len(parts) > 2 and width_of(" · ".join(parts)) > room:
            kept = (parts[0], start if is_short else self._clock)
            others = [part for part in parts if part not in kept]
            parts.remove(([one for one in others if one != self._clock] or others)[-1])
        line = " · ".join(parts)
        if len(parts) < 2 or width_of(line) <= room or parts[1] != self._clock:
            return cut(line if width_of(line) <= room else parts[0], room)
        short = re.sub("^[a-z ]*| of .*", "", self._clock)
        head = room - 3 - len(short)
        return f"{cut(parts[0], head)} · {short}" if head >= LEAST_HEAD else cut(parts[0], room)

    def _parts(self) -> list[str]:
        """What is said of it, the most important first."""
        job, phase = self._job, phase_of(self._job)
        when = when_it_starts(job, time.monotonic() - self._came_at)
        start = f"starts {when}" if when else ""
        before = ends_first(job)
        if phase == "queued":
            missing = missing_host(job)
            other = WAITS.get(str(job.get("waiting_for")), "")
            return [
                missing or other,
                place_in_words(job),
                "" if missing else start,
                "" if missing else before,
                self._since("waiting for "),
                lost_before(job),
            ]
        stop = "being cancelled" if job.get("cancel_requested_at") else ""
        where = f"on {job.get('executor')}"
        if phase == "waiting":
            head = f"compiled {where}, waits for {wanted_place(job)}"
            return [head, stop, start, before, self._since("for "), lost_before(job)]
        if phase == "compiling":
            timer = self._timer("compile_seconds")
            return [f"compiling {where}", stop, timer, start, before, lost_before(job)]
        platform = str(job.get("platform") or "")
        kind = f" ({platform})" if platform not in ("", "cuda", "cpu") else ""
        timer = self._timer("execute_seconds")
        return [f"running {where}{kind}", stop, timer, lost_before(job)]

    def _since(self, words: str) -> str:
        if self._phase_at is None:
            return ""
        self._clock = words + clock(time.monotonic() - self._phase_at)
        return self._clock

    def _timer(self, limit: str) -> str:
        """How long the phase goes on, and how long it may."""
        limits = self._job.get("limits")
        most = limits.get(limit) if isinstance(limits, dict) else None
        if not isinstance(most, (int, float)) or not 0 < most < 1e7:
            return self._since("")
        if self._since(""):
            self._clock += f" of {clock(most)}"
            return self._clock
        return ""


def phase_of(job: dict[str, Any]) -> str:
    """Where the job is: "queued", or the phase of one that runs."""
    return "queued" if job.get("state") == "queued" else str(job.get("phase") or "executing")


# --- handouts/submit/job_client.py --------------------------------------------------------
#
# One job: submitting it, waiting for it, cancelling it.


WAIT_SECONDS = 25  # how long one request is held open at the queue
SUBMIT_PATIENCE_SECONDS = 120  # how long to try to submit: a server may be restarted meanwhile
ASK_PATIENCE_SECONDS = 20  # and to ask something, which loses nothing
INTERRUPT_PATIENCE_SECONDS = 3  # after Ctrl-C
WAIT_PATIENCE_SECONDS = 900  # and once the job is in: long enough for Wi-Fi to come back
TURN_PAUSE_SECONDS = 5.0  # between tries, where there is nothing to wait for
MAX_IN_VAIN = 2  # streams that say nothing


class Client(Persistent):
    """Says on standard error what it waits for, and shows what the job prints."""

    def __init__(self, queue: StreamingQueue) -> None:
        super().__init__(queue, Screen())
        self.live = Live(self.screen)
        self.job: dict[str, Any] | None = None  # as it was seen last
        self.patience: float = ASK_PATIENCE_SECONDS  # with what is asked once
        self._line = WaitingLine(self.screen.status.look)
        self._printing: Any = None  # the number of the attempt whose program prints
        self._submission: Any = None  # the request, to be sent again after Ctrl-C
        self.newer_script = ""  # where there is a newer submit.py, to be said in the end

    def submit(
        self, submission: Submission, override: bool, wait_turn: bool = False
    ) -> dict[str, Any]:
        """Puts the program into the queue; the job. Sending it again makes no second job.

        With `wait_turn` it is sent again once a job that is in its way has left the queue.
        """
        request = (
            "POST",
            "/jobs?override_pending=1" if override else "/jobs",
            submission.body,
            {"Idempotency-Key": os.urandom(16).hex()},
        )
        while True:
            answer = self._send(request)
            if not wait_turn or answer.problem != "pending-job":
                break
            self._submission = None  # it was not taken
            self._wait_until_it_runs(answer.body.get("job"))
        if answer.problem == "pending-job":
            raise Stop(REFUSED, job_in_the_way(answer))
        why = refusal_of_wishes(answer, submission.wishes, submission.body)
        if why:
            raise Stop(REFUSED, why)
        self.newer_script = hint_at_newer(answer, self.queue.server)
        return self._job(answer)

    def _send(self, request: Any) -> Answer:
        """The answer to a submission. Raises Stop, which says whether the queue may have it."""
        self._submission, self.may_have_it = request, False
        try:
            return self.persist(*request, patience=SUBMIT_PATIENCE_SECONDS)
        except Stop as stop:
            raise Stop(stop.status, f"{str(stop).rstrip('.')}. {self.fate()}") from None

    def fate(self) -> str:
        """Whether a submission without an answer is at the queue, and what to do."""
        if self.may_have_it:
            return (
                "Your program was sent, but no answer came: it may be in the queue. Look before "
                f"you submit it again: {as_typed('--list')}"
            )
        return (
            "Your program was not sent: there is no job. Submit it again later. To look for what "
            f"is wrong: {as_typed('--doctor')}"
        )

    def say_newer_script(self) -> None:
        """Where a newer submit.py is, if the queue said so: the last line of all."""
        if self.newer_script:
            self.screen.warn(self.newer_script)

    def submitted(self) -> dict[str, Any] | None:
        """The job whose submission was interrupted: sent again, it is the same one."""
        if self._submission is None or not self.may_have_it:
            return None
        answer = self.persist(*self._submission, patience=INTERRUPT_PATIENCE_SECONDS)
        return self._job(answer) if answer.status < 400 else None

    def get(self, job_id: int) -> dict[str, Any]:
        """The job as it is now."""
        return self._job(self.persist("GET", f"/jobs/{job_id}", patience=self.patience))

    def ask(self, path: str) -> dict[str, Any]:
        """What the queue answers to a question. Raises Stop."""
        answer = self.persist("GET", path, patience=self.patience)
        if answer.status >= 400:
            raise Stop(REFUSED, refusal(answer))
        return dict(answer.body)

    def cancel(self, job_id: int) -> dict[str, Any]:
        """Cancels a queued job, or asks for a running one to be stopped; the job."""
        return self._job(self.persist("POST", f"/jobs/{job_id}/cancel", patience=self.patience))

    def file(self, job_id: int, name: str) -> Answer:
        """One of a job's output files, as bytes."""
        path = f"/jobs/{job_id}/files/{urllib.parse.quote(name, safe='')}"
        return self.persist("GET", path, patience=self.patience)

    def page_link(self) -> Answer:
        """A link that opens one's page in a browser, logged in."""
        return self.persist("POST", "/page-links", patience=ASK_PATIENCE_SECONDS)

    def wait(self, job: dict[str, Any]) -> dict[str, Any]:
        """Returns the job once it is over; meanwhile shows what it prints or waits for."""
        if not is_over(job):
            self._look_at(job)
            try:
                job = self._follow(job)
            finally:
                self.screen.status.end()
        return job

    def _follow(self, job: dict[str, Any]) -> dict[str, Any]:
        """Reads the job's events until it is over; then the job, with its logs."""
        events, pauses, in_vain = Events(self.queue, job["id"]), delays(0.1, 2.0), 0
        while not is_over(job) and in_vain < MAX_IN_VAIN:
            if self.persist_in(events.open, WAIT_PATIENCE_SECONDS).status != 200:
                break  # an older queue; or there is nothing to come
            try:
                for kind, data in events.read():
                    if kind == "output":
                        self._note_printing(data)
                        self.live.take(data)
                    else:
                        job = data
                        self._look_at(job)
            except Unreachable as error:
                self._say_why_it_ended(events, error)
            # One that something on the way keeps back, or cuts up, says nothing.
            in_vain = 0 if events.came else in_vain + 1
            pauses = delays(0.1, 2.0) if events.lasted else pauses
            if not is_over(job):
                self.turns.sleep(next(pauses))  # the server stops, or nobody reaches it
        return self._poll(job)

    def _say_why_it_ended(self, events: Events, error: Unreachable) -> None:
        """A stream that was cut is asked for anew, and that need not be said."""
        if error.timed_out and events.came:
            self.is_away = True
            self.say(f"Nothing has come from the queue for {events.silence:.0f} s; asking again.")
        elif not events.came and not error.timed_out:
            self.say(str(error).rstrip(".") + "; trying again.")

    def _poll(self, job: dict[str, Any]) -> dict[str, Any]:
        """The job once it is over, by a request for each change."""
        for changed in self._changes(job["id"]):
            job = changed
            if is_over(job):
                break
            self._look_at(job)
        return job

    def _wait_until_it_runs(self, number: Any) -> None:
        """Returns once that job of the student's waits in the queue no longer."""
        if not isinstance(number, int):  # an older queue does not say which one
            self.say("A job of yours waits in the queue; yours is submitted once that runs.")
            self.turns.sleep(TURN_PAUSE_SECONDS)
            return
        self.say(f"Your job {number} waits in the queue; the next is submitted once that runs.")
        line = WaitingLine(self.screen.status.look)
        try:
            for job in self._changes(number):
                if job["state"] != "queued":
                    break
                line.look_at(job)
                if self.screen.status.is_used:
                    self.screen.show_status(line.words)
        finally:
            self.screen.status.end()

    def _changes(self, number: int) -> Iterator[dict[str, Any]]:
        """The job as it is, and again whenever it has changed."""
        job = self.get(number)
        while True:
            yield job
            answer = self.persist(
                "GET",
                f"/jobs/{number}",
                headers={"Prefer": f"wait={WAIT_SECONDS}", "If-None-Match": job["etag"]},
                patience=WAIT_PATIENCE_SECONDS,
                held=WAIT_SECONDS,
            )
            if answer.status != 304:
                job = self._job(answer)

    def _note_printing(self, output: dict[str, Any]) -> None:
        """What prints is running, also if the queue has not heard of that yet."""
        self._printing = output.get("attempt") if output.get("log") == "execute" else None
        if self.job and self._printing and self.job != self._as_running(self.job):
            self._look_at(self.job)

    def _as_running(self, job: dict[str, Any]) -> dict[str, Any]:
        """The job, as one that runs if its program has printed something."""
        attempts = job.get("attempts") or [{}]
        is_late = job.get("phase") in ("compiling", "waiting")
        if not is_late or not self._printing or attempts[-1].get("number") != self._printing:
            return job
        unknown = dict.fromkeys(("expected_start", "jobs_before", "queue_position", "waiting_for"))
        return {**job, "phase": "executing", **unknown}

    def _look_at(self, job: dict[str, Any]) -> None:
        """Says what a job that is not over waits for."""
        job = self._as_running(job)
        self.job = job
        self.live.look_at(job)
        if is_over(job):
            self.screen.status.end()
        elif self.screen.status.is_used:
            self._line.look_at(job)
            self.screen.show_status(self._line.words)
        else:
            self.say(status_line(job), what_changes(job))

    def _job(self, answer: Answer) -> dict[str, Any]:
        if answer.status >= 400:
            raise Stop(REFUSED, refusal(answer))
        if not {"id", "state", "result"} <= set(answer.body):
            raise Stop(
                UNREACHABLE,
                f"{self.queue.server} answers, but not as a Telerun queue does. "
                "Is the address right?",
            )
        return {**answer.body, "etag": answer.headers.get("etag", "")}


def job_in_the_way(answer: Answer) -> str:
    """What a student can do who has a job in the queue already."""
    number = answer.body.get("job")
    if not isinstance(number, int):  # an older queue does not say which one
        return answer.detail
    return (
        f"You have a job in the queue already: job {number}. With --wait-turn this one is "
        "submitted once that runs; with --override-pending in its place. To take that one out: "
        f"{as_typed('--cancel', str(number))}"
    )


def refusal(answer: Answer) -> str:
    """What to say to the student about an answer with a status of 400 or more."""
    if answer.refuses_token:
        return "The queue does not accept the token in auth.json. " + answer.detail
    return answer.detail


# --- handouts/submit/own_jobs.py ----------------------------------------------------------
#
# The student's own jobs, as the queue knows them.


LAST = "last"  # in place of a job's number
LONGEST_NUMBER = 100  # digits, which no job has
MOST_LISTED = 200  # by the queue, at once
UNFINISHED_LOOKED_AT = 50  # jobs; the newest, of which the unfinished ones are


def job_number(text: str) -> str:
    """What the command line calls a job, "last" or a number. Raises Stop."""
    if text.lower() == LAST:
        return LAST
    if not (text.isascii() and text.isdigit() and len(text) < LONGEST_NUMBER and int(text)):
        raise Stop(
            WRONG_USAGE, f"{text!r} is no job: say its number, as in 17, or {LAST} for your newest."
        )
    return str(int(text))


def number_of(client: Client, called: str) -> int:
    """The number of the job that is called so. Raises Stop."""
    if called != LAST:
        return int(called)
    newest = jobs_of(client, 1)
    if not newest:
        raise Stop(REFUSED, "You have no job yet.")
    return int(newest[0]["id"])


def jobs_of(client: Client, count: int) -> list[dict[str, Any]]:
    """The newest jobs, without their results. Raises Stop."""
    return jobs_in(client.ask(f"/jobs?limit={min(count, MOST_LISTED)}"))


def jobs_in(page: Any) -> list[dict[str, Any]]:
    """The jobs of a page; what is none is passed over."""
    jobs = page.get("results") if isinstance(page, dict) else None
    return [job for job in jobs or [] if isinstance(job, dict) and {"id", "state"} <= set(job)]


def unfinished_jobs(client: Client) -> list[dict[str, Any]]:
    """Those that wait or run, newest first. Raises Stop."""
    return [job for job in jobs_of(client, UNFINISHED_LOOKED_AT) if not is_over(job)]


# --- handouts/submit/wrong.py -------------------------------------------------------------
#
# What --doctor finds.


class Wrong(Exception):
    """Something is wrong: what, what mends it, and the exit status that it would lead to."""

    def __init__(self, what: str, mend: str, status: int) -> None:
        super().__init__(what)
        self.mend = mend
        self.status = status


# --- handouts/submit/queue_state.py -------------------------------------------------------
#
# How the queue is, and its hosts: the words of --status and --doctor.


NO_HOST = "No host is connected: jobs wait until one is."


def how_it_is(queue: dict[str, Any]) -> str:
    """What keeps jobs from running, "" if nothing does."""
    if queue.get("accepting") is False:
        return "The queue takes no jobs at present."
    if queue.get("starting") is False:
        return "The queue takes jobs, but starts none at present."
    return ""


def how_many_jobs(queue: dict[str, Any]) -> str:
    """Such as "3 jobs wait, 1 runs"."""
    queued, running = queue.get("queued", "?"), queue.get("running", "?")
    return f"{counted(queued, 'job waits', 'jobs wait')}, {counted(running, 'runs', 'run')}"


def trouble_with_hosts(queue: dict[str, Any]) -> list[str]:
    """What jobs wait for in vain: a sentence each."""
    there = [one for one in dicts(queue.get("platforms")) if count_of(one, "executors")]
    if not there:
        return [NO_HOST]
    return [
        f"The hosts of {one.get('name')} have no GPU: programs that use one fail there."
        for one in there
        if one.get("name") != "cpu" and one.get("gpus") == 0
    ]


def about_state(answer: Answer) -> str:
    """Whether it takes and starts jobs, for --doctor. Raises Wrong."""
    if answer.status == 404:
        return "older than this submit.py; how it is, it does not say"
    if trouble := how_it_is(answer.body):
        mend = str(answer.body.get("message") or "")
        raise Wrong(trouble, mend or "Wait, or ask the course staff.", REFUSED)
    return f"The queue is open. {how_many_jobs(answer.body)}."


def about_hosts(answer: Answer) -> str:
    """Which are there, for --doctor. Raises Wrong if there is none."""
    if answer.status == 404:
        return "the queue does not say"
    trouble = trouble_with_hosts(answer.body)
    if NO_HOST in trouble:
        raise Wrong(NO_HOST, "The course staff see that too.", REFUSED)
    platforms = dicts(answer.body.get("platforms"))
    there = ", ".join(in_a_word(one) for one in platforms if count_of(one, "executors"))
    return ". ".join([there, *trouble])


def in_a_word(platform: dict[str, Any]) -> str:
    """Such as "h100: 2 hosts"."""
    return f"{platform.get('name')}: {counted(platform['executors'], 'host', 'hosts')}"


def count_of(platform: dict[str, Any], key: str) -> int:
    count = platform.get(key)
    return count if isinstance(count, int) and count > 0 else 0


def counted(count: Any, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def dicts(items: Any) -> list[dict[str, Any]]:
    """The objects in a list; what has another form is passed over."""
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


# --- handouts/submit/queue_status.py ------------------------------------------------------
#
# --status: how the queue is, for everyone, and what of it is the student's.


def queue_lines(queue: dict[str, Any], own: list[dict[str, Any]]) -> list[str]:
    """What --status prints."""
    lines = [how_it_is(queue) or "The queue is open."]
    if queue.get("message"):
        lines.append(printable(str(queue["message"])))
    for one in dicts(queue.get("announcements")):
        text = one.get("text") or one.get("title") or ""
        lines += [printable(str(text))] if text else []
    lines.append(how_many_jobs(queue) + ".")
    lines += [printable(sentence) for sentence in trouble_with_hosts(queue)]
    platforms = dicts(queue.get("platforms"))
    if platforms:
        head = ["platform", "hosts", "GPUs", "waiting"]
        lines += ["", *table([head, *map(platform_row, platforms)], right=(1, 2, 3))]
    lines.append("")
    return lines + (["Your jobs:", *job_table(own)] if own else ["No job of yours waits or runs."])


def platform_row(platform: dict[str, Any]) -> list[str]:
    keys = ("name", "executors", "gpus", "queued")
    return [printable(str(platform.get(key, "?"))) for key in keys]


# --- handouts/submit/web.py ---------------------------------------------------------------
#
# --web: one's page in a browser, logged in.


# In the folder that a browser in a sandbox of its own may read: not a hidden one, not /tmp.
FILE = Path("telerun-out", "open-page.html")
FILE_TEXT = """<!doctype html>
<meta charset="utf-8"><title>Telerun</title>
<meta http-equiv="refresh" content="0; url={link}">
<p><a href="{link}">Your page</a>, once, within a minute</p>
"""


def page_of(client: Client) -> str:
    """Its address, by the one that the queue is reached at."""
    return client.queue.server.rstrip("/") + "/"


def open_page(client: Client) -> int:
    """Opens the page, or says where it is; the exit status. Raises Stop."""
    page = page_of(client)
    log_in = f"log in there with the name and the token in {client.queue.who_from}"
    if can_open() and open_file(write_link(client)):
        tell(f"Your page is {page} and a browser was asked to open it.")
        tell(f"If none comes, {log_in}")
        return SUCCEEDED
    tell(f"Your page is {page}")
    if not sys.stderr.isatty():  # a log or a pipe keeps what it gets, for others to read
        tell(f"No browser can be opened from here; {log_in}")
        return SUCCEEDED
    tell("No browser can be opened from here. In one elsewhere this link logs you in:")
    tell(page_link(client))
    tell("It works once, within a minute. Give it to nobody.")
    tell(f"Later, {log_in}")
    return SUCCEEDED


def can_open() -> bool:
    """Whether a browser with windows can be started; one in the terminal would show little."""
    if os.name == "nt" or sys.platform == "darwin":
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))


def write_link(client: Client) -> Path | None:
    """A file that leads to the page. The link itself would be seen in the list of processes."""
    import html  # only here, since it takes time to import

    link = page_link(client)
    try:
        FILE.parent.mkdir(parents=True, exist_ok=True)
        if FILE.is_symlink() or FILE.exists():
            FILE.unlink()
        descriptor = os.open(str(FILE), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(FILE_TEXT.format(link=html.escape(link)))
    except OSError as error:
        tell(f"{FILE} cannot be written: {error.strerror}.")
        return None
    return FILE


def page_link(client: Client) -> str:
    """A link that logs in, once. Raises Stop."""
    answer = client.page_link()
    if answer.status == 404:
        raise Stop(REFUSED, "This queue has no pages: it is older than this submit.py.")
    if answer.status >= 400:
        raise Stop(REFUSED, refusal(answer))
    # Only what comes after the queue's address: a proxy may call the queue otherwise than we do.
    return page_of(client) + str(answer.body.get("url")).rpartition("/")[2]


def open_file(path: Path | None) -> bool:
    """Asks for a browser; whether there is one."""
    import webbrowser  # only here, since it takes time to import

    if path is None:
        return False
    try:
        return webbrowser.open(path.resolve().as_uri())
    except (OSError, webbrowser.Error):
        return False


# --- handouts/submit/commands.py ----------------------------------------------------------
#
# What can be asked for beside a program's run: --list, --status, --cancel, --compare, --web.


def command(client: Client, options: argparse.Namespace) -> int | None:
    """Does what is asked for; the exit status, None if it is about one job's run. Raises Stop."""
    if options.cancel is not None:
        return cancel(client, options)
    if options.list is not None:
        return list_jobs(client, options)
    if options.web:
        return open_page(client)
    if options.status:
        return show_queue(client, options)
    if options.compare is not None:
        return compare(client, options)
    return None


def cancel(client: Client, options: argparse.Namespace) -> int:
    """--cancel: says what became of the job."""
    job = client.cancel(number_of(client, options.cancel))
    state = "cancelled" if job["state"] == "cancelled" else "told to stop"
    notice(f"Job {job['id']} is {state}.")
    if options.json:
        put_json(SUCCEEDED, job=job)
    return SUCCEEDED


def list_jobs(client: Client, options: argparse.Namespace) -> int:
    """--list: those that wait or run first, then the newest."""
    jobs = in_order(jobs_of(client, options.list))
    if options.json:
        put_json(SUCCEEDED, jobs=jobs)
    elif jobs:
        put_lines(job_table(jobs))
    else:
        notice("You have no job yet.")
    return SUCCEEDED


def show_queue(client: Client, options: argparse.Namespace) -> int:
    """--status: the queue, and what of it is one's own."""
    queue, own = client.ask("/queue"), unfinished_jobs(client)
    if options.json:
        put_json(SUCCEEDED, queue=queue, jobs=own)
    else:
        put_lines(queue_lines(queue, own))
    return SUCCEEDED


def compare(client: Client, options: argparse.Namespace) -> int:
    """--compare: two jobs side by side, and how their files differ."""
    first, second = (client.get(number_of(client, called)) for called in options.compare)
    files = [files_of(client, job["id"]) for job in (first, second)]
    is_same, lines = None, ["The queue is older than this submit.py: it does not tell the sources."]
    if None not in files:
        is_same, lines = difference((first["id"], files[0] or {}), (second["id"], files[1] or {}))
    if options.json:
        jobs = [without_etag(first), without_etag(second)]
        put_json(SUCCEEDED, jobs=jobs, same_source=is_same)
        return SUCCEEDED
    if is_same is not None:
        lines = ["The same source." if is_same else "Another source:", *lines]
    put_lines([*compared(first, second), *lines])
    for job in (first, second):
        if job["state"] in ("queued", "running"):
            notice(f"Job {job['id']} is not over: {as_typed('--attach', str(job['id']))}")
    return SUCCEEDED


def files_of(client: Client, number: int) -> dict[str, str] | None:
    """The texts of a job's files by name, its main file's first; None if the queue has no such
    address."""
    try:
        told: dict[str, Any] = client.ask(f"/jobs/{number}/source")
    except Stop:
        return None
    found = {str(told.get("filename")): str(told.get("source") or "")}
    for part in ("sources", "includes"):
        texts = told.get(part)
        found.update(texts if isinstance(texts, dict) else {})
    return {name: str(text) for name, text in found.items()}


# --- handouts/submit/pinned.py ------------------------------------------------------------
#
# The queue before it is known who asks: for a log-in code, and for looking at it from outside.


class PinnedQueue(Queue):
    """Trusts one certificate, by the beginning of its SHA-256; without one, what the system trusts.

    Nothing is sent before that is checked, and never a token.
    """

    def __init__(self, server: str, pin: bytes) -> None:
        self._pin = pin
        self.certificate = b""  # that of the queue, in DER, once it is known to be the right one
        super().__init__(Auth("", "", server, []))
        del self._headers["Authorization"]

    def _trust(self, system: bool) -> None:
        super()._trust(system)
        if self._pin:
            self._context = without_trust()

    def _open(self, timeout: float) -> http.client.HTTPSConnection:
        connection = super()._open(timeout)
        if self._pin:
            found = connection.sock.getpeercert(binary_form=True)
            if not is_pinned(found, self._pin):
                self.close()
                raise Untrusted(
                    f"What answers at {self.server} is not the queue of this log-in code: its "
                    "certificate is another one. The code was not sent. Ask the course staff."
                )
            self.certificate = found
        return connection


def is_pinned(certificate: bytes | None, pin: bytes) -> bool:
    """Whether a certificate in DER is the one that the pin is of."""
    import hashlib  # only here, since it takes time to import

    return hashlib.sha256(certificate or b"").digest()[: len(pin)] == pin


def without_trust() -> Any:
    """For a connection over which no secret goes before the other side is known."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


# --- handouts/submit/from_outside.py ------------------------------------------------------
#
# The queue as anyone finds it: nothing of who asks is sent, and nothing it says is trusted.


class Outside:
    """What was seen."""

    def __init__(self, tls: str, certificate: bytes, seconds_ahead: Any) -> None:
        self.tls = tls  # such as "TLSv1.3"
        self.certificate = certificate  # in DER
        self.seconds_ahead = seconds_ahead  # of this machine's clock; None if it is not known


def connect(address: Address) -> str:
    """Whether the host has an address and takes connections; which one. Raises Wrong."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Wrong(
            f"no host of the name {address.host} is known to this machine.",
            "Is it written as the course staff wrote it? Is the network, or the VPN, on?",
            UNREACHABLE,
        ) from None
    try:
        with socket.create_connection((address.host, address.port), CONNECT_SECONDS) as peer:
            return f"{peer.getpeername()[0]}, port {address.port}"
    except OSError as error:
        raise Wrong(
            f"{found[0][4][0]}, port {address.port}, does not answer: {in_words(error)}.",
            "Is the port right? Is the network, or the VPN, on? A firewall may be in between.",
            UNREACHABLE,
        ) from None


def look(address: Address) -> Outside:
    """Its certificate and its clock. Raises Wrong."""
    connection = http.client.HTTPSConnection(
        address.host, address.port, timeout=CONNECT_SECONDS, context=without_trust()
    )
    try:
        connection.connect()
        version = connection.sock.version() or "TLS"
        certificate = connection.sock.getpeercert(binary_form=True) or b""
        began = time.time()
        connection.request("GET", address.base + "/healthz")
        answer = connection.getresponse()
        return Outside(version, certificate, ahead(answer.getheader("Date"), began))
    except LOST as error:
        raise Wrong(
            f"port {address.port} takes connections, but is no queue: {in_words(error)}.",
            "Is the port right?",
            UNREACHABLE,
        ) from None
    finally:
        connection.close()


def ahead(date: str | None, began: float) -> Any:
    """How many seconds this machine's clock is before the one that wrote the date."""
    import email.utils  # only here, since it takes time to import

    try:
        theirs = email.utils.parsedate_to_datetime(date or "").timestamp()
    except (TypeError, ValueError, IndexError):
        return None
    now = time.time()
    if began - 1 <= theirs <= now + 1:
        return 0.0
    return began - theirs if theirs < began else now - theirs


# --- handouts/submit/own_version.py -------------------------------------------------------
#
# Whether this is the submit.py that the queue hands out, for --doctor.


def about_own_version(own: str, answer: Answer, server: str) -> str:
    """Which of the two is newer, or whether this one was changed. Raises Wrong."""
    if answer.status != 200:
        return f"version {own}; which one this older queue has, it does not say"
    theirs = answer.body.get("version")
    address = f"{server}/submit.py"
    if numbers_of(theirs) > numbers_of(own):
        what = f"version {own} is older than the queue's, {theirs}."
        raise Wrong(what, f"The newer one is at {address}", WRONG_USAGE)
    if numbers_of(theirs) < numbers_of(own):
        return f"version {own}; the queue is older, and may not know all that it can"
    if answer.body.get("sha256") != own_digest():
        return f"version {own}, not quite the one at {address}"
    return f"version {own}, the same as the queue's"


def own_digest() -> str:
    """SHA-256 of this file."""
    import hashlib  # only here, since it takes time to import

    content = Path(__file__).read_bytes().replace(b"\r\n", b"\n")
    return hashlib.sha256(content).hexdigest()


# --- handouts/submit/doctor.py ------------------------------------------------------------
#
# --doctor: whether everything is in place, a line each, and what mends what is not.


MAX_CLOCK_SECONDS = 60
SECONDS = 20.0  # for an answer
OLDEST_PYTHON = (3, 8)


def doctor(given: Path | None, server: str | None) -> int:
    """Prints all checks; the exit status, 0 only if nothing is wrong."""
    return Doctor(given, server).run()


def say(line: str) -> None:
    """That nobody reads it is no reason to stop."""
    encoding = sys.stdout.encoding or "ascii"
    try:
        line = Look(sys.stdout).wrapped(printable(line))
        print(line.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except OSError:
        pass


class Doctor:
    """What one check finds out, the next ones need."""

    def __init__(self, given: Path | None, server: str | None) -> None:
        self._given = given
        self._server = server
        self._auth: Auth | None = None
        self._address: Any = None  # an Address, and so on, once it is known
        self._outside: Any = None
        self._queue: Any = None
        self._status = SUCCEEDED  # of the first thing that is wrong
        self._wrong = 0
        marks = "\u2713\u2717\u2192"
        try:
            marks.encode(sys.stdout.encoding or "ascii")
        except (UnicodeError, LookupError):
            marks = "+x>"
        self._good, self._bad, self._arrow = marks

    def run(self) -> int:
        self._check("Python", self._python)
        self._check("auth.json", self._auth_json)
        if self._auth and self._check("address", self._url):
            self._over_the_network()
        count = f"{self._wrong} thing{'' if self._wrong == 1 else 's'}"
        say(f"\n{count} to mend." if self._wrong else "\nAll is well.")
        say("This may be shown to others: there is no token in it.")
        return self._status

    def _over_the_network(self) -> None:
        if not self._check("connection", self._connection):
            return
        self._check("clock", self._clock)
        if not self._check("certificate", self._certificate):
            return
        if self._check("name and token", self._token):
            self._check("submit.py", self._version)
            self._check("queue", lambda: about_state(self._ask("/queue")))
            self._check("hosts", lambda: about_hosts(self._ask("/queue")))

    def _check(self, name: str, look_at: Callable[[], str]) -> bool:
        """Prints what it finds; whether that is well."""
        try:
            say(f"{self._good} {name}: {look_at()}")
            return True
        except Wrong as wrong:
            what, mend, status = str(wrong), wrong.mend, wrong.status
        except BadSetup as error:
            what, mend, status = str(error), "", WRONG_USAGE
        except Untrusted as error:
            what, mend, status = error.what, error.mend, UNREACHABLE
        except Unreachable as error:
            what, mend, status = str(error), "", UNREACHABLE
        self._wrong += 1
        self._status = self._status or status
        say(f"{self._bad} {name}: {what}")
        if mend:
            say(f"  {self._arrow} {mend}")
        return False

    # --- On this machine ---

    def _python(self) -> str:
        import platform  # only here, since it takes time to import

        found = f"{platform.python_version()} on {platform.system()} {platform.release()}"
        if sys.version_info[:2] < OLDEST_PYTHON:
            raise Wrong(found, "Install Python 3.8 or newer.", WRONG_USAGE)
        return found

    def _auth_json(self) -> str:
        path = auth_file(self._given)
        self._auth = read_auth(path, "username", self._server, as_typed("--login"), False)
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise Wrong(
                f"{path}, of {self._auth.name}, can be read by others on this machine.",
                f"chmod 600 {path}",
                WRONG_USAGE,
            )
        return f"{path}, of {self._auth.name}"

    def _url(self) -> str:
        self._address = read_address(self._auth.server)
        certificates = " and ".join(map(str, self._auth.certificates))
        self._queue = Queue(self._auth)
        return f"{self._queue.server}, trusted by {certificates or 'what this system trusts'}"

    # --- From outside, without a word about who asks ---

    def _connection(self) -> str:
        peer = connect(self._address)
        self._outside = look(self._address)
        return f"{peer}, which speaks {self._outside.tls}"

    def _clock(self) -> str:
        ahead = self._outside.seconds_ahead
        if ahead is None:
            return "the queue does not say what time it is"
        if abs(ahead) > MAX_CLOCK_SECONDS:
            way = "ahead of" if ahead > 0 else "behind"
            raise Wrong(
                f"this machine's is {abs(ahead):.0f} seconds {way} the queue's.",
                "Set it by the network: certificates are valid between two dates.",
                WRONG_USAGE,
            )
        return "as the queue's"

    # --- As who one is ---

    def _certificate(self) -> str:
        self._ask("/queue")
        return "trusted, and for this address"

    def _token(self) -> str:
        answer = self._ask("/user")
        if answer.status == 404:  # an older queue
            answer = self._ask("/queue")
            self._refuse(answer)
            return "the token is taken; whose it is, this older queue does not say"
        self._refuse(answer)
        return f"the token is that of {answer.body.get('username')}"

    def _refuse(self, answer: Answer) -> None:
        if answer.status >= 400:
            mend = f"Ask the course staff for a log-in code, then: {as_typed('--login')}"
            status = REFUSED if answer.status < 500 else UNREACHABLE
            raise Wrong(answer.detail, mend if status == REFUSED else "", status)

    def _version(self) -> str:
        return about_own_version(VERSION, self._ask("/client"), self._queue.server)

    def _ask(self, path: str) -> Answer:
        return self._queue.request("GET", path, timeout=SECONDS)


# --- handouts/submit/asking.py ------------------------------------------------------------
#
# Asking for what does not belong on a command line.


def ask(words: str, is_secret: bool = False) -> str:
    """A line from the terminal, a secret unseen; or of standard input, if that is none.

    Raises Stop where there is nothing.
    """
    try:
        line = (ask_unseen if is_secret else ask_aloud)(words).strip()
    except (EOFError, OSError, UnicodeDecodeError):
        line = ""
    except KeyboardInterrupt:
        warn("")  # ends the line of the question
        raise
    if not line:
        raise Stop(WRONG_USAGE, "Nothing was given, and nothing is changed.")
    return line


def ask_aloud(words: str) -> str:
    if sys.stdin is None:
        return ""
    if sys.stdin.isatty():
        print(words, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline()


def ask_unseen(words: str) -> str:
    if sys.stdin is None or not sys.stdin.isatty():
        return ask_aloud(words)
    import getpass  # only here, since it takes time to import

    return getpass.getpass(words)


# --- handouts/submit/login_code.py --------------------------------------------------------
#
# A log-in code: where the queue is, which certificate it has, and a secret, in one word.
#
# The queue makes it (accounts/login_code_text.py).


CODE_BEGINNING = "tlrc_"
SECRET_SIZE = PIN_SIZE = 16
CHECK_SIZE = 3
WITHOUT_PIN, WITH_PIN = 1, 2


class LoginCode:
    """The whole word; `server` is an address with https://, `pin` the beginning of the SHA-256 of
    its certificate, empty where the system is to trust it."""

    def __init__(self, text: str, server: str, pin: bytes) -> None:
        self.text = text
        self.server = server
        self.pin = pin


def read_code(text: str) -> LoginCode:
    """Takes a code apart, however it was broken into lines. Raises Stop if it is mistyped."""
    word = re.sub(r"[\s\ufeff]+", "", text).lower()
    body = checked_bytes(word[len(CODE_BEGINNING) :])
    place = 1 + SECRET_SIZE + (PIN_SIZE if body[:1] == bytes([WITH_PIN]) else 0)
    host = host_in(body[place:])
    if not word.startswith(CODE_BEGINNING) or not host:
        raise Stop(
            WRONG_USAGE,
            "This is no log-in code: it is mistyped or cut off. It begins with "
            f"{CODE_BEGINNING} and is one word of about 100 letters and digits; copy it whole.",
        )
    return LoginCode(word, "https://" + host, body[1 + SECRET_SIZE : place])


def host_in(packed: bytes) -> str:
    """The address that stands there, after a byte with its length; empty if it is not just that."""
    host = packed[1:]
    return host.decode("ascii") if host.isascii() and packed[:1] == bytes([len(host)]) else ""


def checked_bytes(packed: str) -> bytes:
    """What the letters stand for, without the sum at its end; empty if they are mistyped."""
    import base64  # only here, since it takes time to import
    import hashlib

    try:
        data = base64.b32decode(packed.upper() + "=" * (-len(packed) % 8))
    except ValueError:
        return b""
    body, check = data[:-CHECK_SIZE], data[-CHECK_SIZE:]
    is_whole = len(body) > 1 + SECRET_SIZE and hashlib.sha256(body).digest()[:CHECK_SIZE] == check
    return body if is_whole and body[0] in (WITHOUT_PIN, WITH_PIN) else b""


# --- handouts/submit/private_files.py -----------------------------------------------------
#
# Writing files that are for nobody else's eyes.


def make_private_folder(folder: Path) -> None:
    """Makes the folder, and those above it, for this user alone. Raises Stop."""
    try:
        for one in [*reversed(folder.parents), folder]:
            if not one.is_dir():
                one.mkdir(0o700)
    except OSError as error:
        raise Stop(WRONG_USAGE, f"{folder} cannot be made: {error.strerror}.") from None


def write_private(path: Path, content: bytes) -> Path | None:
    """Puts a file there, whole or not at all; where another was kept, if one had another content.

    A link is replaced, and where it leads to is left alone. Raises Stop.
    """
    try:
        before = content_of(path)
        kept = None
        if before not in (None, content):
            kept = path.with_name(path.name + ".old")
            write_whole(kept, before or b"")
        write_whole(path, content)
    except OSError as error:
        raise Stop(WRONG_USAGE, f"{path} cannot be written: {error.strerror}.") from None
    return kept


def content_of(path: Path) -> bytes | None:
    """Of a plain file; None if there is none."""
    if os.path.lexists(path) and stat.S_ISREG(os.lstat(path).st_mode):
        return path.read_bytes()
    return None


def write_whole(path: Path, content: bytes) -> None:
    """Writes it beside, and moves it there."""
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        number = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(number)
        os.replace(new, path)
    finally:
        if os.path.lexists(new):
            os.unlink(new)


# --- handouts/submit/login.py -------------------------------------------------------------
#
# --login: a log-in code, or a token, becomes the auth.json of this user.


TOKEN_BEGINNING = "tlru_"  # noqa: S105  (no more of it)
LOGIN_SECONDS = 20.0


def login(given: Path | None, server: str | None) -> int:
    """Asks, writes, tries it and says who one is; the exit status. Raises Stop and others."""
    path = given or own_folder() / "auth.json"
    secret = ask("Log-in code from the course staff (it is not shown): ", is_secret=True)
    try:
        if secret.startswith(TOKEN_BEGINNING):
            content, certificate = with_token(secret, server)
        else:
            content, certificate = with_code(secret, server)
        keep(path, content, certificate)
        name = try_out(path)
    except Unreachable as error:
        words = str(error).rstrip(".")
        raise Stop(UNREACHABLE, f"{words}. Nothing is lost: say --login again.") from None
    tell(f"Logged in to {content['server']} as {name}. {path} says so from now on.")
    if given is None and os.path.lexists(BESIDE):
        tell(f"But {BESIDE} comes first: remove it, or that is who you are here.")
    tell(f"Now: {as_typed('prog.cu')}")
    return SUCCEEDED


def with_code(text: str, server: str | None) -> tuple[dict[str, Any], bytes]:
    """What auth.json is to hold, and the certificate in DER. Raises Stop and others."""
    if text.startswith("tlre_"):
        raise Stop(WRONG_USAGE, "This is a GPU host's token, not a student's.")
    code = read_code(text)
    queue = PinnedQueue(server or code.server, code.pin)
    answer = queue.request("POST", "/login", {"code": code.text}, timeout=LOGIN_SECONDS)
    queue.close()
    if answer.status == 404:
        raise Stop(REFUSED, "This queue is older than this submit.py: it knows no log-in codes.")
    if answer.status != 200:
        raise Stop(REFUSED if answer.status < 500 else UNREACHABLE, answer.detail)
    content = {key: str(answer.body.get(key, "")) for key in ("username", "token")}
    return {**content, "server": queue.server}, queue.certificate


def with_token(token: str, server: str | None) -> tuple[dict[str, Any], bytes]:
    """The same for somebody who has a token. Raises Stop and BadSetup."""
    server = server or ask(f"Address of the queue, such as {DEFAULT_SERVER}: ")
    read_address(server)
    name = ask("Your username there: ")
    return {"username": name, "token": token, "server": server}, b""


def keep(path: Path, content: dict[str, Any], certificate: bytes) -> None:
    """Writes auth.json and the certificate beside it; says what was there before. Raises Stop."""
    make_private_folder(path.absolute().parent)
    if certificate:
        pem = ssl.DER_cert_to_PEM_cert(certificate).encode()
        beside = path.with_name("server.cert")
        say_what_was_there(beside, write_private(beside, pem))
        content["certificate"] = beside.name
    text = json.dumps(content, indent=1) + "\n"
    say_what_was_there(path, write_private(path, text.encode()))


def say_what_was_there(path: Path, kept: Path | None) -> None:
    if kept:
        tell(f"There was another {path}: it is {kept.name} now.")


def try_out(path: Path) -> str:
    """Whose token it is, by the first request with it. Raises Stop, Untrusted and Unreachable."""
    auth = read_auth(path, "username", None)
    answer = who(auth)
    if answer.status == 200:
        return printable(str(answer.body.get("username")))
    if answer.status == 404:  # an older queue
        return auth.name
    raise Stop(REFUSED, f"{path} is written, but the queue refuses it: {answer.detail}")


def who(auth: Auth) -> Answer:
    """The queue's answer to whose token it is."""
    queue = Queue(auth)
    answer = queue.request("GET", "/user", timeout=LOGIN_SECONDS)
    queue.close()
    return answer


# --- handouts/submit/own_files.py ---------------------------------------------------------
#
# Which files in a folder this program has written there, so that the next run may replace them.
#
# A file named .telerun in it says so, with a digest of each: one that was changed since is no longer
# this program's.


RECORD = ".telerun"
ABOUT = "Files that submit.py --out saved here, with their SHA-256. It replaces no others."


class OwnFiles:
    """Those of a folder that --out names."""

    def __init__(self, folder: Path, force: bool) -> None:
        self._record = folder / RECORD
        self.force = force  # any file may be replaced
        self._digests = self._read()
        self._saved: set[str] = set()  # in this run

    def may_replace(self, path: Path) -> bool:
        """Whether the file is as it was saved by an earlier run. Raises OSError."""
        if self.force:
            return not path.is_dir()
        known = self._digests.get(path.name)
        if not isinstance(known, str) or not stat.S_ISREG(path.lstat().st_mode):
            return False
        return known == digest(path.read_bytes())

    def note(self, path: Path, content: bytes) -> None:
        """This run has saved it. Raises OSError."""
        self._saved.add(path.name)
        if self._digests.get(path.name) == digest(content):
            return
        self._digests[path.name] = digest(content)
        if self._is_usable:
            text = json.dumps({"about": ABOUT, "files": self._digests}, indent=1)
            replace(self._record, text.encode())

    def left_over(self) -> list[str]:
        """What earlier runs have saved, and this one has not."""
        names = sorted(set(self._digests) - self._saved)
        return [name for name in names if (self._record.parent / name).is_file()]

    def _read(self) -> dict[str, Any]:
        """The digests by name; a record that is none is left as it is, and nothing replaced."""
        self._is_usable = True
        try:
            files = json.loads(self._record.read_bytes().decode())["files"]
            return {str(name): files[name] for name in files if name == os.path.basename(name)}
        except FileNotFoundError:
            return {}
        except (KeyError, OSError, RecursionError, TypeError, ValueError):
            self._is_usable = False
            return {}


def trouble_with_folder(folder: Path) -> str:
    """Why no file can be made there, "" if one can. Tries it, and leaves nothing behind."""
    new = [one for one in (folder, *folder.parents) if not one.exists()]  # the deepest first
    probe = folder / f"{RECORD}-{os.getpid()}.probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.open("xb").close()
    except OSError as error:
        return error.strerror or str(error)
    finally:
        for path in (probe, *new):
            try:  # noqa: SIM105  (importing contextlib takes a millisecond)
                path.rmdir() if path.is_dir() else path.unlink()
            except OSError:  # it was not made
                pass
    return ""


def replace(path: Path, content: bytes) -> None:
    """Makes the file, in place of another one; at no moment it is half there. Raises OSError."""
    part = path.with_name(f"{RECORD}-{os.getpid()}.part")
    try:
        with part.open("xb") as file:
            file.write(content)
        os.replace(part, path)
    except BaseException:
        if part.exists():
            part.unlink()
        raise


def digest(content: bytes) -> str:
    import hashlib  # only here, since it takes time to import

    return hashlib.sha256(content).hexdigest()


# --- handouts/submit/words_meant.py -------------------------------------------------------
#
# What somebody may have meant who wrote something else.


# Words that are typed in place of an option.
MEANT = {
    "status": "--status", "queue": "--status", "list": "--list", "ls": "--list",
    "jobs": "--list", "cancel": "--cancel", "kill": "--cancel", "stop": "--cancel",
    "attach": "--attach", "logs": "--attach", "log": "--attach", "wait": "--attach",
    "compare": "--compare", "diff": "--compare", "login": "--login", "doctor": "--doctor",
    "web": "--web", "help": "--help", "version": "--version", "last": "--attach",
}  # fmt: skip
ABOUT_A_JOB = ("--attach", "--cancel")


def meant_by(file: Path, args: list[str], options: list[str]) -> str:
    """The command that was meant by a file that there is not; "" if none comes to mind."""
    word = str(file)
    if os.path.lexists(file):
        return ""
    if word.isdigit():
        return as_typed("--attach", word)
    option = MEANT.get(word.lower().lstrip("-"), "")
    if option not in options:
        return ""
    if option in ABOUT_A_JOB:
        return as_typed(option, *(args[:1] or ["last"]))
    return as_typed(option, *(args[:2] if option == "--compare" else []))


def nearest(word: str, options: list[str]) -> str:
    """The option that looks most like the word; "" if none does."""
    import difflib  # only here, since it takes time to import

    name = word.partition("=")[0]
    found = difflib.get_close_matches(name, options, n=1, cutoff=0.7) if name[:2] == "--" else []
    return found[0] if found else ""


# --- handouts/submit/options.py -----------------------------------------------------------
#
# The command line.


FLAG_BEGINNINGS = ("-l", "-I", "-D", "-X", "-O", "-std", "-arch", "-gencode", "--std", "--expt")
USUALLY_LISTED = 10
IN_WORDS_ALONE = ("web", "login", "doctor")  # they have no answer in JSON
OTHER_USES = ("list", "attach", "cancel", "compare", "status", *IN_WORDS_ALONE, "version")
EPILOG = (
    "Exit status 0: the program succeeded. 1: it did not. 2: wrong usage. 3: refused. "
    "4: queue unreachable. 5: cancelled or failed. 6: it succeeded, but some of its printed output "
    "or files was left out or not saved. 130: Ctrl-C."
)
# With the program, what one needs in the first weeks.
FIRST_STEPS = (
    ("prog.cu [ARG ...]", "run a program, and print what it prints"),
    ("--list", "your latest jobs"),
    ("--attach last", "the newest once more, or as it goes on"),
    ("--status", "how the queue is"),
    ("--help", "everything else"),
)


NO_JOB = re.compile(r"^argument (--attach|--cancel): expected one argument$")
SAY_A_JOB = "say the job's number, as in 17, or last for your newest"


class Parser(argparse.ArgumentParser):
    """Says in a line what is wrong, and what to do. Raises Stop."""

    def error(self, message: str) -> Any:
        message = NO_JOB.sub(rf"\1: {SAY_A_JOB}", message)
        if message.startswith("unrecognized arguments: "):
            words = message.partition(": ")[2].split()
            found = nearest(words[0], known_options(self))
            message += f" (did you mean {found}? " if found else " ("
            message += "put -- before the program's own"
            is_flag = any(word.startswith(FLAG_BEGINNINGS) for word in words)
            message += "; for the compiler: --flag=-lcublas)" if is_flag else ")"
        raise Stop(WRONG_USAGE, message if "Did you mean: " in message else message + ".")


def known_options(parser: argparse.ArgumentParser) -> list[str]:
    return [word for word in parser._option_string_actions if word.startswith("--")]


def parse(argv: Any) -> argparse.Namespace:
    """Raises Stop for what cannot be meant; --help ends the program."""
    words = with_joined_flags(sys.argv[1:] if argv is None else argv)
    parser = Parser(
        formatter_class=formatter,
        usage="%(prog)s FILE.cu [ARG ...] [options]\n       %(prog)s one of the other uses below",
        description="Run a program on the course's GPUs and print what comes of it.",
        epilog=EPILOG,
        allow_abbrev=False,
        add_help=False,
    )
    add_program(parser.add_argument_group("the program"))
    add_source_options(parser.add_argument_group("what is sent"))
    add_ways(parser.add_argument_group("how"))
    others = parser.add_argument_group("other uses, in place of FILE.cu")
    add_other_uses(others.add_mutually_exclusive_group())
    others.add_argument("-h", "--help", action="help", help="this text")
    add_who_and_where(parser.add_argument_group("who and where"))
    if not words:
        raise Stop(WRONG_USAGE, first_steps())
    options = parser.parse_intermixed_args(words)
    check_combination(parser, options)
    options.repeated = repeated(options)
    return options


def first_steps() -> str:
    """What is said to somebody who says nothing."""
    rows = [(as_typed() + " " + words, what) for words, what in FIRST_STEPS]
    width = max(len(command) for command, _ in rows)
    lines = [f"  {command:{width}}  {what}" for command, what in rows]
    return "\n".join(["name a program, or say what else you want:", *lines])


def add_program(group: Any) -> None:
    group.add_argument("file", nargs="?", type=Path, metavar="FILE.cu", help="what is to run")
    group.add_argument(
        "args",
        nargs="*",
        metavar="ARG",
        help="arguments for it; put -- before those that begin with a dash",
    )


def add_ways(group: Any) -> None:
    """How a program is submitted, and what is done with what comes of it."""
    group.add_argument(
        "--out",
        metavar="DIR",
        help="save its logs, and the files that the program writes to ./out/, here; those of the "
        "last run there are replaced (default: telerun-out/JOB)",
    )
    group.add_argument(
        "--force", action="store_true", help="with --out: replace any file of the same name"
    )
    group.add_argument(
        "--detach", action="store_true", help="submit, and do not wait; --attach shows the result"
    )
    group.add_argument(
        "--wait-turn",
        action="store_true",
        help="where a job of yours waits already, wait until it runs, then submit",
    )
    group.add_argument(
        "--override-pending", action="store_true", help="replace your job that waits in the queue"
    )
    group.add_argument("--quiet", action="store_true", help="nothing on standard error but errors")
    group.add_argument(
        "--json", action="store_true", help="what came of it as one JSON object, for scripts"
    )


def add_other_uses(group: Any) -> None:
    """Each by itself."""
    group.add_argument(
        "--list",
        nargs="?",
        const=str(USUALLY_LISTED),
        metavar="N",
        help=f"your latest jobs, {USUALLY_LISTED} unless you say how many",
    )
    group.add_argument(
        "--attach", metavar="ID", help='wait for a job submitted before, and print it; or "last"'
    )
    group.add_argument("--cancel", metavar="ID", help='cancel a job of yours; or "last"')
    group.add_argument(
        "--compare", nargs=2, metavar=("ID", "ID"), help="two jobs side by side: times, source"
    )
    group.add_argument("--status", action="store_true", help="how the queue is, with your jobs")
    group.add_argument("--web", action="store_true", help="open your page in a browser, logged in")
    group.add_argument(
        "--login", action="store_true", help="ask for a log-in code, and keep who you are"
    )
    group.add_argument(
        "--doctor", action="store_true", help="say what is wrong with this set-up, if anything is"
    )
    group.add_argument("--version", action="store_true", help="of this program, and of Python")


def add_who_and_where(group: Any) -> None:
    group.add_argument(
        "--auth",
        type=Path,
        metavar="FILE",
        help="who you are (default: auth.json beside this script, or else what --login wrote)",
    )
    group.add_argument("--server", metavar="URL", help="https://host:port of the queue")


def repeated(options: argparse.Namespace) -> list[str]:
    """The options that a hint has to repeat: who asks, and whom."""
    words = ["--auth", str(options.auth)] if options.auth else []
    return words + (["--server", options.server] if options.server else [])


def other_use(options: argparse.Namespace) -> str:
    """The option that stands in place of a program; "" if none does."""
    for name in OTHER_USES:
        if getattr(options, name) is not None and getattr(options, name) is not False:
            return "--" + name
    return ""


def check_combination(parser: Parser, options: argparse.Namespace) -> None:
    """Raises Stop for options that do not go together."""
    other = other_use(options)
    if options.file is None and not other:
        parser.error("name one FILE.cu, or use --attach ID or --cancel ID; --help says more")
    if options.file is not None:
        meant = meant_by(options.file, options.args, known_options(parser))
        if meant and not other:
            parser.error(f"there is no file {options.file}. Did you mean: {meant}")
        if other:
            parser.error(f"{other} stands alone, without {options.file}")
        if str(options.file)[0] == "-" and not os.path.lexists(options.file):
            parser.error(f"unrecognized arguments: {options.file}")
    check_jobs(parser, options)
    if other:
        check_other_use(parser, options, other)
    check_folder(parser, options)
    if options.force and options.out is None:
        parser.error("--force goes with --out DIR")
    if options.wait_turn and options.override_pending:
        parser.error("--wait-turn waits for your job in the queue, --override-pending replaces it")
    about_source = options.flags or options.beside or options.platform is not None or options.asm
    if options.file is None and about_source:
        parser.error("--with, --flag, --platform and --asm go with FILE.cu")


def check_folder(parser: Parser, options: argparse.Namespace) -> None:
    """That --out can be one is known before a program runs for it. Raises Stop."""
    out = options.out
    if out is not None:
        if not out or (os.path.lexists(out) and not os.path.isdir(out)):
            parser.error(f"--out names a folder, which {out or 'an empty word'} is not")
        options.out = Path(out)
        if why := trouble_with_folder(options.out):
            parser.error(f"--out {out}: nothing can be written there: {why}")


def check_other_use(parser: Parser, options: argparse.Namespace, other: str) -> None:
    """The options that do not go with one that stands in place of a program. Raises Stop."""
    if other != "--attach" and (options.out is not None or options.force):
        parser.error(f"--out and --force go with FILE.cu or --attach ID, not with {other}")
    if options.detach or options.wait_turn or options.override_pending:
        parser.error(
            f"--detach, --wait-turn and --override-pending go with FILE.cu, not with {other}"
        )
    if options.json and other[2:] in IN_WORDS_ALONE:
        parser.error(f"--json does not go with {other}")


def check_jobs(parser: Parser, options: argparse.Namespace) -> None:
    """The numbers of jobs, in one form. Raises Stop."""
    if options.list is not None:
        if not re.fullmatch("0{0,9}[1-9][0-9]{0,8}", options.list):
            parser.error(f"--list {options.list}: say how many jobs, 1 or more")
        options.list = int(options.list)
    for name in ("attach", "cancel"):
        if getattr(options, name) is not None:
            setattr(options, name, job_number(getattr(options, name)))
    if options.compare is not None:
        options.compare = [job_number(text) for text in options.compare]


# --- handouts/submit/typed_secrets.py -----------------------------------------------------
#
# Secrets that were typed where they do not belong.


def refuse_secrets(words: list[str]) -> None:
    """Raises Stop for a command that holds a secret, which its shell remembers now."""
    for word in words[: words.index("--")] if "--" in words else words:
        found = re.match(r"(?:--\w+=)?(tlr[cue])_\w{20}", word, re.IGNORECASE)
        if found:
            what = "log-in code" if found[1].lower() == "tlrc" else "token"
            raise Stop(
                WRONG_USAGE,
                f"A {what} does not belong into a command: your shell's history has it now, and "
                f"others on this machine may have seen it. Ask for a new one, say "
                f"{as_typed('--login')}, and give it when asked.",
            )


# --- handouts/submit/hints.py -------------------------------------------------------------
#
# What is said to a student who may have meant something else.


SHOWN_MISSING = 5
# The line of a compiler that does not find a file: gcc's, nvcc's, clang's.
MISSED = re.compile(
    r"^.{0,4096}(?:No such file|open source file|file not found).{0,4096}", re.MULTILINE
)


def hint_at_arguments(submission: Submission, folder: Path) -> None:
    """Says which arguments look like files that were to be sent."""
    sent = {submission.main, *submission.sources, *submission.includes}
    for arg in submission.body["args"]:
        ending = posixpath.splitext(arg)[1].lower()
        if ending not in (*CODE_ENDINGS, *HEADER_ENDINGS, ".py") or arg in sent:
            continue
        if os.path.isfile(arg) or os.path.isfile(folder / arg):
            notice(printable(f"{arg} is an argument for the program; to send it: --with {arg}"))


def hint_at_missing(submission: Submission, compile_log: str) -> None:
    """Says which includes were not found, where the compiler misses one; the toolkit has others."""
    missing = submission.missing
    errors = "\n".join(MISSED.findall(compile_log)[:SHOWN_MISSING])
    if not any(wanted in errors for _, wanted in missing):
        return
    for place, wanted in missing[:SHOWN_MISSING]:
        notice(printable(f'{place}: "{wanted}" was not found on this machine, and not sent.'))
    if len(missing) > SHOWN_MISSING:
        notice(f"And {len(missing) - SHOWN_MISSING} more includes.")


# --- handouts/submit/interrupting.py ------------------------------------------------------
#
# Ctrl-C while a job is on its way: what the first one says, and what comes of the second.


SECOND_SECONDS = 3.0  # so soon after the first, it stops the job
UNSEEN = 3  # so many without an answer: something else than the queue holds this program up


class Interrupts:
    """While a job is watched on a terminal, Ctrl-C is noted, and acted upon between two reads.

    So nothing that is just being shown or sent is cut. Raises KeyboardInterrupt for the second.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._unseen = 0
        self._said_at = -SECOND_SECONDS
        self._before: Any = signal.SIG_IGN
        client.turns.add(self._look)

    def __enter__(self) -> None:
        self._before = signal.getsignal(signal.SIGINT)
        if self._before != signal.SIG_IGN and sys.stderr.isatty():
            signal.signal(signal.SIGINT, self._note)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _note(self, *_: object) -> None:
        self._unseen += 1
        if self._unseen >= UNSEEN:
            raise KeyboardInterrupt

    def _look(self) -> None:
        pressed, self._unseen = self._unseen, 0
        if not pressed:
            return
        now = time.monotonic()
        if pressed > 1 or now < self._said_at + SECOND_SECONDS:
            raise KeyboardInterrupt
        is_first, self._said_at = self._said_at < 0, now
        job, screen = self._client.job or {}, self._client.screen
        words = first_words(job)
        screen.say_for(SECOND_SECONDS, lambda columns: in_columns(words, columns), words)
        if is_first:
            screen.warn(how_to_leave(job))


def first_words(job: dict[str, Any]) -> str:
    """What the first Ctrl-C says."""
    again = f"Ctrl-C again within {SECOND_SECONDS:.0f} s"
    ends = "takes it out" if job.get("state") == "queued" else "stops it"
    if job.get("cancel_requested_at"):
        ends = "waits no longer"
    return f"Job {job.get('id')} {what_it_does(job)}. {again} {ends}."


def in_columns(words: str, columns: int) -> str:
    """The two sentences, or the second one, where a terminal has no room for both."""
    room = columns - KEY_COLUMNS - 1
    return words if len(words) <= room else cut(words.partition(". ")[2], room)


def how_to_leave(job: dict[str, Any]) -> str:
    """What becomes of the job of somebody who does not wait for it."""
    number = job.get("id")
    return (
        f"Without a second Ctrl-C job {number} goes on, also when you close this terminal; "
        f"--attach {number} shows it again."
    )


def what_it_does(job: dict[str, Any]) -> str:
    """A job that is not over, to come after its number."""
    if job.get("cancel_requested_at"):
        return "is being stopped"
    if job.get("state") == "queued":
        return "waits in the queue"
    phases = {"compiling": "is being compiled", "waiting": f"waits for {wanted_place(job)}"}
    return phases.get(str(job.get("phase")), "is running")


def stop_job(client: Client, job: dict[str, Any] | None) -> dict[str, Any] | None:
    """What a Ctrl-C that counts does with the job that was submitted; the job, None if there is
    none. One that runs is left alone where nobody could be told: where standard error is no
    terminal. Raises Stop.

    `job` is None where its submission was interrupted: then nobody knows of it, and it is stopped.
    """
    is_known = job is not None
    job = job or client.submitted()
    if job is None:
        return None
    job = client.get(job["id"])
    if is_over(job) or job.get("cancel_requested_at"):
        return job
    if job["state"] == "queued" or sys.stderr.isatty() or not is_known:
        try:
            job = client.cancel(job["id"])
        except Stop as stop:
            if stop.status != REFUSED:
                raise
            job = client.get(job["id"])  # it has ended meanwhile
    return job


def say_what_became(job: dict[str, Any]) -> None:
    """Of a job that is not waited for any longer."""
    number = str(job["id"])
    see = f"to see it: {as_typed('--attach', number)}"
    if job["state"] == "cancelled":
        tell(f"Job {number} is cancelled.")
    elif job.get("cancel_requested_at"):
        tell(f"Job {number} is told to stop; {see}")
    else:
        stop = f"to stop it: {as_typed('--cancel', number)}"
        doing = "waits" if job["state"] == "queued" else what_it_does(job)
        tell(f"Job {number} {doing}, and goes on; {see}\n{stop[0].upper()}{stop[1:]}")


# --- handouts/submit/file_names.py --------------------------------------------------------
#
# Names for output files on the student's machine.
#
# The queue says what the files are called, and is not trusted with that: no name leads out of the
# folder, and none is a device of Windows.


def safe_name(name: str) -> str:
    """A name for a file in one folder, on any system."""
    name = CONTROL.sub("_", re.sub(r'[<>:"/\\|?*\t\n\ud800-\udfff]', "_", name))
    name = re.sub(r"[. ]+$", "_", name)
    device = r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3]) *(\..*)?"
    return "_" + name if not name or re.fullmatch(device, name, re.IGNORECASE) else name


def free_name(name: str, taken: set[str]) -> str:
    """The name, or another one if it is taken; on some systems "a" and "A" are the same file.

    The files of a job always come in the same order, so each gets the same name every time.
    """
    stem, dot, ending = name.partition(".")
    number, free = 1, name
    while free.lower() in taken:
        number += 1
        free = f"{stem}-{number}{dot}{ending}"
    taken.add(free.lower())
    return free


# --- handouts/submit/written_beside.py ----------------------------------------------------
#
# What a program wrote where nothing comes back from, in a line.


def lost_beside(details: dict[str, Any]) -> str:
    """Says which files were written beside the program, and what to do; "" if there are none."""
    listed, more = details.get("files_beside"), details.get("more_files_beside")
    files = [f for f in listed if isinstance(f, dict)] if isinstance(listed, list) else []
    names = [str(file["name"]) for file in files if file.get("name")]
    if not names:
        return ""
    if len(names) == 1 and not more:
        is_folder = names[0].endswith("/")
        where = "its files to out/" if is_folder else f"it to out/{names[0]}"
        again = "them" if is_folder else "it"
        words = f"was written beside the program and is lost: write {where} to get {again} back."
    else:
        words = "were written beside the program and are lost: write them to out/ to get them back."
    return f"{in_a_list([with_size(file) for file in files if file.get('name')], more)} {words}"


def with_size(file: dict[str, Any]) -> str:
    """Such as "result.txt (12 KiB)"."""
    size = file.get("size")
    return f"{file['name']} ({in_size(size)})" if isinstance(size, int) else str(file["name"])


def in_a_list(words: list[str], more: Any) -> str:
    """Such as "a, b and 5 more"."""
    words = [*words, f"{more} more"] if isinstance(more, int) and more > 0 else words
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


# --- handouts/submit/output_files.py ------------------------------------------------------
#
# Saving the output files of a job. Nothing of the student's is overwritten.


MOST_NAMED = 4  # more files are counted


def save_files(
    client: Client, job: dict[str, Any], folder: Path, own: OwnFiles | None = None
) -> bool:
    """Saves what the job's program left in ./out/; whether all of it is there now.

    `own`: those of the folder's files that may be replaced.
    """
    result = job["result"] or {}
    details = result.get("details") or {}
    say_left_out(details)
    if lost := lost_beside(details):
        tell(printable(lost))
    saved, told, size = True, [], 0
    gone = removed(result)
    say_not_saved(gone, "the queue removed it to make room for newer ones of yours")
    for name, name_here in names_on_disk(result):
        path = folder / name_here
        if name in gone:
            continue
        try:
            answer = client.file(job["id"], name)
            told.append(save(answer, path, own))
            size += len(answer.body)
        except OSError as error:
            saved = False
            tell(printable(f"{path} cannot be saved: {error.strerror}."))
        except Stop as stop:
            if stop.status == UNREACHABLE:
                raise
            saved = False
            tell(printable(f"{path} was not saved: {stop}"))
    if len(told) > MOST_NAMED:
        told = [f"{len(told)} files ({in_size(size)}) are saved in {folder}."]
    for message in told:
        notice(printable(message))
    if not saved:
        again = as_typed("--attach", str(job["id"]), "--out", "DIR")
        tell(f"The queue keeps the files. To get them: {again}")
    return saved


def names_on_disk(result: dict[str, Any]) -> list[tuple[str, str]]:
    """The result's files: what the queue calls each, and what it is called here."""
    taken = {RECORD}
    names = listed(result.get("files"), "name")
    return [(name, free_name(safe_name(name), taken)) for name in names]


def removed(result: dict[str, Any]) -> list[str]:
    """The names of files that the queue had, and has no longer."""
    files = result.get("files")
    files = files if isinstance(files, list) else []
    return listed(
        [file for file in files if isinstance(file, dict) and file.get("removed")], "name"
    )


def saved_files(job: dict[str, Any], folder: Path) -> list[dict[str, str]]:
    """The job's output files that are in the folder now: what each is called, and where it is."""
    return [
        {"name": name, "path": str(folder / name_here)}
        for name, name_here in names_on_disk(job["result"] or {})
        if (folder / name_here).is_file()
    ]


def save(answer: Answer, path: Path, own: OwnFiles | None = None) -> str:
    """Makes the file; returns a message about it. Raises OSError, and Stop if it cannot be had."""
    if not isinstance(answer.body, bytes):
        raise Stop(REFUSED, refusal(answer) if answer.status >= 400 else "the queue sent no file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        file = path.open("xb")
    except FileExistsError:
        return save_again(answer.body, path, own)
    try:
        with file:
            file.write(answer.body)
    except BaseException:
        path.unlink()
        raise
    if own:
        own.note(path, answer.body)
    return f"Saved {path} ({in_size(len(answer.body))})."


def save_again(content: bytes, path: Path, own: OwnFiles | None) -> str:
    """The same where a file of that name is there. Raises OSError, and Stop if it stays."""
    if holds(path, content):
        message = f"{path} is there already."
    elif own and own.may_replace(path):
        replace(path, content)
        message = f"Saved {path} ({in_size(len(content))}), in place of the last run's."
    else:
        force = "; --force replaces it" if own and not own.force else ""
        raise Stop(UNSAVED, f"another file of that name is there, and is left as it is{force}.")
    if own:
        own.note(path, content)
    return message


def holds(path: Path, content: bytes) -> bool:
    """Whether the file is this one. Another who watches the job may be saving it just now."""
    for wait in (0.02, 0.1, 0.5, 1.0, 0.0):
        found = path.read_bytes() if path.is_file() else None
        if found == content:
            return True
        if found is None or not content.startswith(found):
            break
        time.sleep(wait)
    return False


def listed(items: Any, key: str) -> Any:
    """The strings under `key` in a list of objects; what has another form is passed over."""
    items = items if isinstance(items, list) else []
    return [str(item[key]) for item in items if isinstance(item, dict) and key in item]


def say_left_out(details: dict[str, Any]) -> None:
    """Says which files did not come back, and why."""
    left_out = details.get("files_left_out")
    names: dict[str, list[str]] = {}  # by the reason
    for name, reason in zip(listed(left_out, "name"), listed(left_out, "reason")):
        names.setdefault(reason, []).append(name)
    for reason, same in names.items():
        say_not_saved(same, reason)
    if details.get("more_files_left_out"):
        tell(printable(f"Not saved: {details['more_files_left_out']} more."))


def say_not_saved(names: list[str], reason: str) -> None:
    """One line for all of them."""
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        tell(printable(f"Not saved: {names[0]}{more}: {reason}."))


# --- handouts/submit/log_files.py ---------------------------------------------------------
#
# The logs of a job, as files beside those that its program wrote.


LOGS = {"compile_log": "compile-log.txt", "execute_log": "execute-log.txt"}


def save_logs(job: dict[str, Any], folder: Path, own: OwnFiles | None = None) -> None:
    """Saves both logs, byte for byte, if any were kept. What goes wrong is only said.

    `own`: those of the folder's files that may be replaced.
    """
    _, logs = logs_of(job)
    if not logs:
        return
    taken = {name.lower() for _, name in names_on_disk(job["result"] or {})}
    try:
        saved = [save_log(logs.get(log), folder / free_name(LOGS[log], taken), own) for log in LOGS]
    except OSError as error:
        tell(printable(f"The logs cannot be saved in {folder}: {error.strerror}."))
    else:
        if all(saved):
            where = "this folder" if folder == Path() else folder
            notice(printable(f"The logs are in {where}."))


def save_log(log: Any, path: Path, own: OwnFiles | None) -> bool:
    """Whether the log is in that file now; says why not. Raises OSError."""
    try:
        save(Answer(200, {}, str(log or "").encode("utf-8", "surrogateescape")), path, own)
    except Stop as stop:
        tell(printable(f"{path} was not saved: {stop}"))
        return False
    return True


# --- handouts/submit/own_job_ahead.py -----------------------------------------------------
#
# Which other job of the student's keeps a waiting one waiting: such as one that Ctrl-C left.


AHEAD_SECONDS = 3.0  # of waiting, after which it is asked for; most jobs never wait so long
ANSWER_SECONDS = 3.0


class OwnJobAhead:
    """Asks once, on a connection of its own, since the job's is being read."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._ask_at = time.monotonic() + AHEAD_SECONDS
        client.turns.add(self._look)

    def _look(self) -> None:
        job = self._client.job
        if time.monotonic() < self._ask_at or job is None or not waits_for_others(job):
            return
        self._ask_at = float("inf")
        queue = self._client.queue.another()
        try:
            answer = queue.request("GET", "/jobs?limit=10", timeout=ANSWER_SECONDS)
        except (Unreachable, Untrusted):
            return
        finally:
            queue.close()
        ahead = [one for one in jobs_in(answer.body) if one["state"] == "running"]
        ahead = [one for one in ahead if one["id"] < job["id"]]
        if ahead and not is_quiet():
            number, name = ahead[-1]["id"], printable(str(ahead[-1].get("filename")))
            self._client.screen.warn(
                f"Your job {number} ({name}) still runs, and this one may wait for it. "
                f"To stop it: {as_typed('--cancel', str(number))}"
            )


def waits_for_others(job: dict[str, Any]) -> bool:
    """Whether a host is there that could run it, and others come first."""
    is_next = job["state"] == "queued" and job.get("waiting_for") == "turn"
    return is_next or job.get("phase") == "waiting"


# --- handouts/submit/readings.py ----------------------------------------------------------
#
# What common failures mean, in plain words, and what to look at.


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


# --- handouts/submit/show.py --------------------------------------------------------------
#
# What the student sees of a job that is over.


# As executors write it, in the compiler's log.
MISSING_LISTING = re.compile(
    r"^asm: ((?:this host|the program|the compile's time limit|the compiler showed)\b.*)",
    re.MULTILINE,
)


def show(job: dict[str, Any], live: Live) -> int:
    """Prints what is not shown yet of a job that is over; returns the exit status."""
    result = job["result"]
    attempts = job.get("attempts", [])
    if job.get("texts_gone_at"):
        live.screen.warn("The files and logs of this job are no longer kept.", YELLOW)
    if result is None:
        live.finish(job)
    for attempt in attempts if result is None else attempts[:-1]:
        if attempt.get("ending") != "cancelled":  # the last line says that
            live.screen.warn(attempt_line(attempt))
    if result is not None:
        live.finish(job)
    else:
        live.screen.warn(ending_line(job), YELLOW)
        return NO_RESULT
    has_succeeded = job["outcome"] == "succeeded"
    is_whole = not what_is_left_out(job)
    line = live.screen.look.wrapped(ending_line(job), by_commas=True)
    live.screen.line(line, RED if not has_succeeded else GREEN if is_whole else YELLOW)
    if printed_left_out(result) and job["outcome"] != "output_exceeded":
        live.screen.warn(
            "Of a long output the beginning and the end are kept. To keep all of it, write it to "
            "a file in out/."
        )
    for missing in missing_listings(result):
        live.screen.warn(f"Not brought back: {missing}", YELLOW)
    if slowed_by_heat(result):
        notice(
            "The GPU was slowed down by heat when the program ended: "
            "its times may be longer than usual."
        )
    if not has_succeeded:
        explain(job, live)
        return PROGRAM_FAILED
    return SUCCEEDED if is_whole else UNSAVED


def explain(job: dict[str, Any], live: Live) -> None:
    """Says what went wrong: how many errors a compile had, what a failure often means."""
    if job["outcome"] == "compile_error":
        errors = errors_in_a_line(str(job["result"].get("compile_log") or ""), live.paths)
        if errors:
            live.screen.warn(printable(errors), RED)
    signal = SIGNALS.get(job["result"].get("signal"), "")
    if lost := unflushed(job):
        live.screen.warn(lost)
    reading = reading_of(job, signal)
    if reading:
        live.screen.warn(f"What this often means: {reading}")


def missing_listings(result: dict[str, Any]) -> list[str]:
    """Why what the compiler made is not there, where --asm asked for it: sentences of the host."""
    log = str(result.get("compile_log") or "")
    return [printable(words.strip()) for words in MISSING_LISTING.findall(log)]


def slowed_by_heat(result: dict[str, Any]) -> bool:
    """Whether the executor said that of the GPU."""
    gpu = details_of(result).get("gpu")
    return isinstance(gpu, dict) and "heat" in (gpu.get("throttled") or [])


# --- handouts/submit/watching.py ----------------------------------------------------------
#
# One job, from its submission, or from --attach on, to its result.


SHOWN_LEFT_OVER = 5


class Watch:
    """What is asked for of one job."""

    def __init__(
        self, client: Client, options: argparse.Namespace, submission: Submission | None
    ) -> None:
        self.client = client
        self.options = options
        self.submission = submission  # None: it was submitted before
        self.job: dict[str, Any] | None = None
        self.is_shown = False  # all that it printed
        self.folder: Path | None = None  # where its files are

    def run(self) -> int:
        """The exit status. Raises Stop."""
        if not self.options.json:
            return self._run()
        self.client.screen.mute()
        status = self._run()
        saved = saved_files(self.job, self.folder) if self.job and self.folder else []
        put_json(status, job=self.job, saved=saved)
        return status

    def _run(self) -> int:
        try:
            self.job = self._begin()
            if self.options.detach:
                self._say_how_to_attach()
                return SUCCEEDED
            if self.submission:
                OwnJobAhead(self.client)
                with Interrupts(self.client):
                    self.job = self.client.wait(self.job)
            else:
                self.job = self.client.wait(self.job)
            return self._finish(self.job)
        except KeyboardInterrupt:
            return self._interrupted()
        except Stop as stop:
            raise self._with_a_way_back(stop) from None

    def _begin(self) -> dict[str, Any]:
        if self.submission is None:
            return self.client.get(number_of(self.client, self.options.attach))
        return submit(self.client, self.submission, self.options)

    def _say_how_to_attach(self) -> None:
        job = self.job or {}
        notice(f"To see it: {as_typed('--attach', str(job['id']))}")

    def _finish(self, job: dict[str, Any]) -> int:
        """Shows and saves what came of it; the exit status."""
        status = show(job, self.client.live)
        self.is_shown = True
        if self.submission and job.get("outcome") == "compile_error":
            hint_at_missing(self.submission, job["result"]["compile_log"])
        self.folder = self.options.out or Path("telerun-out", str(job["id"]))
        own = OwnFiles(self.folder, self.options.force) if self.options.out else None
        save_logs(job, self.folder, own)
        saved = save_files(self.client, job, self.folder, own)
        if own:
            say_left_over(own, self.folder)
        self.client.say_newer_script()
        has_all = saved and not self.client.screen.has_failed
        return UNSAVED if status == SUCCEEDED and not has_all else status

    def _interrupted(self) -> int:
        """After a Ctrl-C that counts; the exit status."""
        client = self.client
        client.queue.close()  # an answer may be under way on it
        client.screen.begin_line()
        client.patience = INTERRUPT_PATIENCE_SECONDS
        job = self.job
        try:
            if job is not None and is_over(job):
                return self._interrupted_at_the_end(job)
            if job is not None and self.submission is None:
                say_what_became(client.job or job)
                return INTERRUPTED
            return self._stopped(stop_job(client, job))
        except KeyboardInterrupt:
            tell("Interrupted." + self._how_to_see_it())
        except Stop as stop:
            if stop.status != UNREACHABLE:
                raise
            if job is None:
                tell(f"Interrupted. The queue could not be asked. {client.fate()}")
            else:
                see = self._how_to_see_it()
                tell(f"Interrupted. The queue could not be told to stop the job.{see}")
        return INTERRUPTED

    def _stopped(self, job: dict[str, Any] | None) -> int:
        """What a job that was told to stop printed until then; the exit status."""
        if job is None:
            is_unsent = self.submission and not self.client.may_have_it
            tell("Interrupted." + (" Your program was not sent." if is_unsent else ""))
            return INTERRUPTED
        was_told = self.job is not None and (self.client.job or {}).get("cancel_requested_at")
        self.job = job
        if job.get("cancel_requested_at") and not is_over(job) and not was_told:
            tell(f"Job {job['id']} is told to stop.")
            self.job = job = self.client.wait(job)
            status = self._finish(job)
            return INTERRUPTED if job["state"] == "cancelled" else status
        if is_over(job) and job["state"] != "cancelled":  # by itself, just now
            return self._finish(job)
        say_what_became(job)
        return INTERRUPTED

    def _interrupted_at_the_end(self, job: dict[str, Any]) -> int:
        """While its result was shown, or its files were saved."""
        if not self.is_shown:
            tell(ending_line(job))
        tell("Interrupted; not all is shown and saved." + self._how_to_see_it())
        return INTERRUPTED

    def _how_to_see_it(self) -> str:
        """A hint, to come after a sentence; "" if there is no job."""
        job = self.job or self.client.job
        return f" To see it: {as_typed('--attach', str(job['id']))}" if job else ""

    def _with_a_way_back(self, stop: Stop) -> Stop:
        self.client.screen.begin_line()
        if self.job is None or stop.status != UNREACHABLE:
            return stop
        return Stop(
            UNREACHABLE,
            f"{str(stop).rstrip('.')}. The queue keeps your job; "
            f"see it later with: {as_typed('--attach', str(self.job['id']))}",
        )


def say_left_over(own: OwnFiles, folder: Path) -> None:
    """Which files are not this run's."""
    names = own.left_over()
    if names:
        more = f" and {len(names) - SHOWN_LEFT_OVER} more" if len(names) > SHOWN_LEFT_OVER else ""
        listed = ", ".join(names[:SHOWN_LEFT_OVER])
        notice(printable(f"In {folder} from an earlier run: {listed}{more}."))


def submit(client: Client, submission: Submission, options: argparse.Namespace) -> dict[str, Any]:
    """Sends the program, and says what is sent; the job. Raises Stop."""
    hint_at_arguments(submission, options.file.parent)
    if submission.summary:
        notice(submission.summary)
    job = client.submit(submission, options.override_pending, options.wait_turn)
    passed_over = left_out(job, submission.body)
    if is_wrong_without(passed_over, submission.body):
        raise call_off(job, passed_over, client.cancel)
    notice(f"Submitted {options.file} as job {job['id']}.")
    if passed_over:
        notice(older_queue(passed_over))
    return job


# --- handouts/submit/main.py --------------------------------------------------------------


def run(options: argparse.Namespace) -> int:
    """Does what the command line asks for; the exit status. Raises Stop, BadSetup, Untrusted."""
    if options.version:
        return show_version(options)
    if options.login or options.doctor:
        return (login if options.login else doctor)(options.auth, options.server)
    submission = prepare(options) if options.file else None
    auth = read_auth(auth_file(options.auth), "username", options.server, as_typed("--login"))
    client = Client(StreamingQueue(auth))
    client.turns.watch_signals()
    if submission:
        client.live.paths = OwnPaths(str(options.file)[: -len(submission.main)])
    try:
        status = command(client, options)
        return Watch(client, options, submission).run() if status is None else status
    finally:
        client.turns.close()


def show_version(options: argparse.Namespace) -> int:
    """--version: of this program, and of what runs it."""
    python = ".".join(map(str, sys.version_info[:3]))
    if options.json:
        put_json(SUCCEEDED, version=VERSION, python=python)
    else:
        put_lines([f"submit.py {VERSION}, Python {python} on {sys.platform}"])
    return SUCCEEDED


def main(argv: list[str] | None = None) -> int:
    """The exit status; every expected error is one line on standard error."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as `>&-` does
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  (until the end)
    wants_json = "--json" in (sys.argv[1:] if argv is None else argv)
    try:
        refuse_secrets(sys.argv[1:] if argv is None else argv)
        options = parse(argv)
        remember(*options.repeated)
        if options.quiet:
            be_quiet()
        status = run(options)
        return UNSAVED if status == SUCCEEDED and is_unwritten() else status
    except Stop as stop:
        status, message = stop.status, str(stop)
    except BadSetup as error:
        status, message = WRONG_USAGE, str(error)
    except (Untrusted, Unreachable) as error:
        status, message = UNREACHABLE, str(error)
    except KeyboardInterrupt:
        tell("Interrupted.")
        return INTERRUPTED
    # Some of it may be what an answer says, from whoever gave it.
    tell(f"submit.py: {printable(message)}")
    if wants_json:
        put_json(status, error=message)
    return status


def run_and_exit() -> None:
    """As a command."""
    sys.excepthook = print_unexpected
    if signal.getsignal(signal.SIGINT) not in (signal.SIG_IGN, signal.SIG_DFL):
        signal.signal(signal.SIGINT, signal.default_int_handler)  # see start.py
    gc.disable()  # takes 1 ms, and nothing here lasts long enough to be worth it
    # Python's own cleaning up takes 10 ms, of every student's wait, and there is nothing to clean.
    os._exit(main())


if __name__ == "__main__":
    run_and_exit()
'''
exec(code_of(PROGRAM), globals())
