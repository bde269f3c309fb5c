#!/usr/bin/env python3
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
  6    the program succeeded, but not all of its output could be saved or printed
  130  interrupted with Ctrl-C
"""

from __future__ import annotations

import _thread
import argparse
import codecs
import errno
import gc
import http.client
import json
import os
import posixpath
import re
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
    (115, "handouts/client/errors.py", 6),
    (137, "handouts/client/words.py", 10),
    (173, "handouts/client/auth.py", 14),
    (231, "handouts/client/tracebacks.py", 12),
    (264, "handouts/submit/as_typed.py", 9),
    (300, "handouts/submit/compile_log.py", 7),
    (364, "handouts/submit/c_includes.py", 8),
    (419, "handouts/submit/printable.py", 7),
    (434, "handouts/submit/relative_names.py", 11),
    (471, "handouts/submit/stop.py", 5),
    (494, "handouts/submit/wishes.py", 8),
    (535, "handouts/submit/compiler_flags.py", 10),
    (607, "handouts/client/job_file_names.py", 8),
    (649, "handouts/submit/python_imports.py", 13),
    (718, "handouts/submit/source_file.py", 11),
    (790, "handouts/submit/gather.py", 19),
    (902, "handouts/submit/together.py", 12),
    (939, "handouts/submit/data_files.py", 16),
    (972, "handouts/submit/options.py", 15),
    (1136, "handouts/submit/directives.py", 18),
    (1286, "handouts/submit/submission.py", 22),
    (1393, "handouts/submit/hints.py", 15),
    (1428, "handouts/client/answer.py", 8),
    (1477, "handouts/client/retries.py", 9),
    (1491, "handouts/client/connection.py", 19),
    (1655, "handouts/submit/streams.py", 11),
    (1700, "handouts/submit/job_events.py", 14),
    (1779, "handouts/submit/moments.py", 7),
    (1852, "handouts/submit/job_lines.py", 10),
    (1960, "handouts/submit/left_out.py", 10),
    (2008, "handouts/submit/terminals.py", 8),
    (2122, "handouts/submit/status_line.py", 13),
    (2205, "handouts/submit/terminal_text.py", 16),
    (2284, "handouts/submit/screen.py", 17),
    (2401, "handouts/submit/live.py", 11),
    (2549, "handouts/submit/persistent.py", 16),
    (2626, "handouts/submit/older_queue.py", 13),
    (2685, "handouts/submit/refusals.py", 12),
    (2733, "handouts/submit/job_client.py", 23),
    (2872, "the builder", 1),
    (2881, "handouts/submit/waiting_line.py", 20),
    (2974, "handouts/submit/file_names.py", 14),
    (3001, "handouts/submit/output_files.py", 18),
    (3082, "handouts/submit/log_files.py", 16),
    (3115, "handouts/submit/ending_lines.py", 12),
    (3217, "handouts/submit/readings.py", 8),
    (3370, "handouts/submit/show.py", 18),
    (3412, "the builder", 1),
    (3423, "handouts/submit/main.py", 53),
)


# --- handouts/client/errors.py ------------------------------------------------------------
#
# What can go wrong on the way to the queue.


class BadSetup(Exception):
    """Something on this machine is missing or wrong; the message says what to do."""


class Unreachable(Exception):
    """The queue gave no answer; trying again may help."""

    def __init__(self, message: str, timed_out: bool = False, status: int = 0) -> None:
        super().__init__(message)
        self.timed_out = timed_out  # it was connected, and nothing came
        self.status = status  # of an answer that is not the queue's; 0 if there was none


class Untrusted(Exception):
    """What answered is not the queue that auth.json means; the token was not sent."""


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
    """A size, however small."""
    if size < 1 << 10:
        return f"{size} bytes"
    return f"{size / (1 << 10):.4g} KiB" if size < 1 << 20 else in_mib(size)


# --- handouts/client/auth.py --------------------------------------------------------------
#
# auth.json: who this is, and where the queue is.


HERE = Path(__file__).resolve().parent
DEFAULT_SERVER = "https://localhost:4443"


class Auth:
    """What auth.json says."""

    def __init__(self, name: str, token: str, server: str, certificates: list[Path]) -> None:
        self.name = name
        self.token = token
        self.server = server
        self.certificates = certificates  # PEM files to trust beside the system's


def read_auth(path: Path, name_key: str, server: str | None) -> Auth:
    """Reads auth.json; `name_key` is "username" or "executor". Raises BadSetup."""
    content = read_object(path, name_key)
    for key in (name_key, "token"):
        if not isinstance(content.get(key), str) or not content[key].strip():
            raise BadSetup(
                f'{path} lacks "{key}"; it looks like {{"{name_key}": "...", "token": "..."}}.'
            )
    for key in ("server", "certificate"):
        if not isinstance(content.get(key, ""), str):
            raise BadSetup(f'In {path}, "{key}" is not a string.')
    token = content["token"].strip()
    if not re.fullmatch(r"[!-~]+", token):
        raise BadSetup(f"The token in {path} has characters that no token has.")
    certificates = [HERE / "server.cert"] if (HERE / "server.cert").is_file() else []
    if content.get("certificate"):
        certificates.append(path.parent / content["certificate"])
    address = server or content.get("server") or DEFAULT_SERVER
    return Auth(content[name_key].strip(), token, address, certificates)


def read_object(path: Path, name_key: str) -> dict[str, Any]:
    """The JSON object in the file, {} if it holds something else. Raises BadSetup."""
    try:
        content = json.loads(path.read_bytes().decode("utf-8-sig"))
        if os.name == "posix" and path.stat().st_mode & 0o077:
            warn(f"{path} can be read by others; chmod 600 it.")
    except FileNotFoundError:
        raise BadSetup(
            f"There is no {path}. Put the file from the course staff there: "
            f'{{"{name_key}": "...", "token": "..."}}'
        ) from None
    except OSError as error:
        raise BadSetup(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise BadSetup(f"{path} is not valid JSON: {error}.") from None
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


# --- handouts/submit/as_typed.py ----------------------------------------------------------
#
# How this program was called, so that a hint can be typed as it stands.


_given: list[str] = []  # such as --auth FILE, without which a hint would ask somebody else


def remember(*options: str) -> None:
    """These options were given, and belong to each hint."""
    _given[:] = options


def as_typed(*words: str) -> str:
    """The command with these words, such as "python3 submit.py --attach 58"."""
    return " ".join(quoted(word) for word in [*program(), *words, *_given])


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


# --- handouts/submit/compile_log.py -------------------------------------------------------
#
# A compiler's log: with the student's own paths, and its errors in a line.


# Patterns are compiled where they are used: that takes longer than all the rest of a start.
# Every file is compiled as "./NAME", seen from the folder of the main one.
OWN_PATH = rb'(?m)^((?:In file included |  +)from |\d+ errors? .*?"|)\./'
NVCC_PLACE = rb"(?m)^([^\n()]{1,4096})\((\d{1,9})\)(?=: )"
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
STOPPED = "(?m)^Error limit reached|too many errors"


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
        log = re.sub(OWN_PATH, lambda found: found[1] + self._folder, log)
        return re.sub(NVCC_PLACE, rb"\1:\2", log)


def errors_in_a_line(log: str, paths: OwnPaths) -> str:
    """How many errors a log has, and the first; "" if there is none that is known as one."""
    text = paths.of(log.encode("utf-8", "surrogateescape")).decode("utf-8", "backslashreplace")
    found = list(
        dict.fromkeys(map(error_in_words, re.finditer(ERRORS, text, re.MULTILINE | re.VERBOSE)))
    )
    if len(found) < 2:
        return f"✗ 1 error: {found[0]}" if found else ""
    more = " or more" if re.search(STOPPED, text) else ""
    return f"✗ {len(found)}{more} errors; the first: {found[0]}"


def error_in_words(error: re.Match[str]) -> str:
    """An error's place, if it has one, and its words."""
    if error["place"]:
        return f"{error['place']}: {error['words']}"
    return str(error["tool"] or error["linker"] or error["whole"])


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


# --- handouts/submit/printable.py ---------------------------------------------------------
#
# Text that is safe to print on a terminal, whoever wrote it.


CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)


def printable(text: str) -> str:
    """The text with its control characters spelled out."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


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
            raise Stop(
                WRONG_USAGE,
                f"{shown} has {size} bytes; the queue takes {MAX_SOURCE_BYTES} (1 MiB).",
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise Stop(WRONG_USAGE, f"There is no file {shown}.") from None
    except OSError as error:
        raise Stop(WRONG_USAGE, f"{shown} cannot be read: {error.strerror}.") from None


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
    warn(
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


# --- handouts/submit/options.py -----------------------------------------------------------
#
# The command line, and those of its options that a directive may hold too.


FLAG_BEGINNINGS = ("-l", "-I", "-D", "-X", "-O", "-std", "-arch", "-gencode", "--std", "--expt")


def formatter(prog: str) -> argparse.HelpFormatter:
    """As wide as the terminal. argparse asks shutil for that, which takes long to import."""
    try:
        columns = int(os.environ.get("COLUMNS") or os.get_terminal_size().columns)
    except (OSError, ValueError):
        columns = 80
    return argparse.HelpFormatter(prog, width=columns - 2)


class Parser(argparse.ArgumentParser):
    """Says what to do about arguments that were meant for the program."""

    def error(self, message: str) -> Any:
        if message.startswith("unrecognized arguments"):
            message += " (put -- before the program's own"
            is_flag = any(word.startswith(FLAG_BEGINNINGS) for word in message.split())
            message += "; for the compiler: --flag=-lcublas)" if is_flag else ")"
        super().error(message)


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


def parse(argv: Any) -> argparse.Namespace:
    parser = Parser(
        formatter_class=formatter,
        description="Submit a program to Telerun's queue and print what came of it.",
        epilog="Exit status 0: the program succeeded. 1: it did not. 2: wrong usage. 3: refused. "
        "4: queue unreachable. 5: cancelled or failed. 6: output files not saved. 130: Ctrl-C.",
    )
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE.cu", help="the program")
    parser.add_argument(
        "args",
        nargs="*",
        metavar="ARG",
        help="arguments for the program; put -- before those that begin with a dash",
    )
    add_source_options(parser)
    parser.add_argument(
        "--auth",
        type=Path,
        default=HERE / "auth.json",
        metavar="FILE",
        help="who you are (default: auth.json beside this script)",
    )
    parser.add_argument("--server", metavar="URL", help="https://host:port of the queue")
    parser.add_argument(
        "--override-pending", action="store_true", help="replace your job that waits in the queue"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="save its logs, and the files that the program writes to ./out/, here "
        "(default: telerun-out/JOB)",
    )
    one = parser.add_mutually_exclusive_group()
    one.add_argument(
        "--attach", type=int, metavar="ID", help="wait for a job submitted before, and print it"
    )
    one.add_argument("--cancel", type=int, metavar="ID", help="cancel a job of yours")
    options = parser.parse_intermixed_args(
        with_joined_flags(sys.argv[1:] if argv is None else argv)
    )
    check_combination(parser, options)
    options.repeated = repeated(options)
    return options


def repeated(options: argparse.Namespace) -> list[str]:
    """The options that a hint has to repeat: who asks, and whom."""
    words = ["--auth", str(options.auth)] if options.auth != HERE / "auth.json" else []
    return words + (["--server", options.server] if options.server else [])


def check_combination(parser: Parser, options: argparse.Namespace) -> None:
    """Ends the program for options that do not go together."""
    if (options.file is None) == (options.attach is None and options.cancel is None):
        parser.error("name one FILE.cu, or use --attach ID or --cancel ID")
    if options.cancel is not None and options.out is not None:
        parser.error(
            "--out goes with FILE.cu or --attach ID: a job that is cancelled leaves no files"
        )
    about_source = options.flags or options.beside or options.platform is not None or options.asm
    if options.file is None and about_source:
        parser.error("--with, --flag, --platform and --asm go with FILE.cu")


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
        warn(f"{name}:{line}: {message}")
    if len(lines) > SHOWN_LINES:
        warn(f"And {len(lines) - SHOWN_LINES} more such lines in {name}.")


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
            warn(printable(f"{arg} is an argument for the program; to send it: --with {arg}"))


def hint_at_missing(submission: Submission, compile_log: str) -> None:
    """Says which includes were not found, where the compiler misses one; the toolkit has others."""
    missing = submission.missing
    errors = "\n".join(MISSED.findall(compile_log)[:SHOWN_MISSING])
    if not any(wanted in errors for _, wanted in missing):
        return
    for place, wanted in missing[:SHOWN_MISSING]:
        warn(printable(f'{place}: "{wanted}" was not found on this machine, and not sent.'))
    if len(missing) > SHOWN_MISSING:
        warn(f"And {len(missing) - SHOWN_MISSING} more includes.")


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


# --- handouts/client/connection.py --------------------------------------------------------
#
# The connection to the queue: HTTPS, kept alive, checked certificates, JSON.


VERSION = "1"
CONNECT_SECONDS = 10.0
LOST = (OSError, http.client.HTTPException, ValueError)  # what a broken connection raises


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
            raise BadSetup(f"The server {auth.server!r} is not of the form https://host:port.")
        self.server = auth.server
        self._host = url.hostname
        self._base = url.path.rstrip("/") + "/api/v1"
        self._headers = {
            "Authorization": "Bearer " + auth.token,
            "Content-Type": "application/json",
            "User-Agent": f"telerun/{VERSION} python/{sys.version_info[0]}.{sys.version_info[1]}",
        }
        self._certificates = auth.certificates
        self._trust(system=not auth.certificates)
        self._connection: http.client.HTTPSConnection | None = None
        self._socket: Any = None  # its own, also while the last answer of it is read

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
            raise Untrusted(
                f"The certificate of {self.server} is not trusted: {error.verify_message}. "
                "Is server.cert the one from the course staff, and the server's name right?"
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
        return Unreachable(message, was_open and isinstance(error, socket.timeout))

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
            self._host, self._port, timeout=min(timeout, CONNECT_SECONDS), context=self._context
        )
        try:
            self._connection.connect()  # the token is sent when this has checked the certificate
            self._socket = self._connection.sock
            self._socket.settimeout(timeout)
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


# --- handouts/submit/streams.py -----------------------------------------------------------
#
# Answers that go on while something happens.


MAX_LINE_BYTES = 16 << 20  # none is longer


class StreamingQueue(Queue):
    """The queue, of which streams can be asked too."""

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
        if self._socket is not None:
            self._socket.settimeout(seconds)

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
    files = result.get("files")
    return missing + (len(files) if isinstance(files, list) else 0), missing


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

    def wrapped(self, text: str) -> str:
        """The text in lines of whole words, on a terminal."""
        if not self.is_terminal or width_of(text) <= self.columns:
            return text
        import textwrap  # only here, since it takes time to import

        width = max(20, min(self.columns, WIDEST_TEXT) - 1)
        return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)

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
        self.is_used = self.look.takes_escapes
        self.lock = _thread.RLock()
        self.is_hidden = False  # the cursor stands in a line of the program's
        self._words: Callable[[int], str] | None = None
        self._drawn = ""
        self._ticks = False

    def show(self, words: Callable[[int], str]) -> None:
        """From now on what `words` says, which is given the width of the terminal."""
        with self.lock:
            self._words = words
            self.draw()
            if self.is_used and not self._ticks:
                self._ticks = True
                _thread.start_new_thread(self._tick, ())

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
        text = self.look.encodable(self._words(self.look.columns))
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
TOKEN = f"(?s)({COLOUR})|([^{CONTROL.pattern[1:-1]}\n]+)|(.)"
# What may go on to be one, at the end of a piece.
BEGUN = r"\x1b(?:\[[0-9;:]{0,64})?\Z"
RESETS = r"\x1b\[0*(?:[;:]|m)"
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
        begun = None if is_last else re.search(BEGUN, text)
        self._held = begun[0] if begun else ""
        text = text[: len(text) - len(self._held)]
        if not self._takes_escapes:
            text = printable(text)
        if CONTROL.search(text):
            return re.sub(TOKEN, self._shown, text)
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
        if re.match(RESETS, sequence):
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
            warn(self.status.look.coloured(self.status.look.encodable(message), colour))
            self.status.draw()

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
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if error.errno not in (errno.EPIPE, errno.EINVAL):  # Windows says EINVAL of a pipe
                self.has_failed = True
                warn(f"submit.py: its output cannot be written: {error.strerror or error}.")


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
        self.screen = screen
        self.is_away = False  # the queue; said once it is back
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
        deadline = time.monotonic() + patience
        for delay in delays(*RETRY_SECONDS):
            try:
                answer = send()
                if not is_retryable(answer):
                    self._say_it_is_back()
                    return answer
                trouble, pause = answer.detail, max(delay, answer.retry_after)
                if answer.status == 429:  # it is there, and says when to come again
                    deadline += pause
                else:
                    self.is_away = True
            except Unreachable as error:
                trouble, pause, self.is_away = str(error), delay, True
            if time.monotonic() + pause > deadline:
                raise Stop(UNREACHABLE, trouble)
            self.say(trouble.rstrip(".") + "; trying again.")
            time.sleep(pause)
        raise AssertionError("delays() never ends")

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
        self.screen.warn(line)


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
    return re.search(pattern, answer.detail) is not None


def asked_for(wishes: list[Wish]) -> str:
    """Such as " (lab.cu:3)", "" for what the command line asks for."""
    places = list(dict.fromkeys(wish.place for wish in wishes if wish.place))
    more = f" and {len(places) - SHOWN_PLACES} more lines" if len(places) > SHOWN_PLACES else ""
    return f" It stands in {', '.join(places[:SHOWN_PLACES])}{more}." if places else ""


# --- handouts/submit/job_client.py --------------------------------------------------------
#
# One job: submitting it, waiting for it, cancelling it.


WAIT_SECONDS = 25  # how long one request is held open at the queue
SUBMIT_PATIENCE_SECONDS = 20  # how long to try to reach the queue at first
INTERRUPT_PATIENCE_SECONDS = 3  # after Ctrl-C
WAIT_PATIENCE_SECONDS = 900  # and once the job is in: long enough for Wi-Fi to come back
MAX_IN_VAIN = 2  # streams that say nothing


class Client(Persistent):
    """Says on standard error what it waits for, and shows what the job prints."""

    def __init__(self, queue: StreamingQueue) -> None:
        super().__init__(queue, Screen())
        self.live = Live(self.screen)
        self._line: Any = None  # what is said of the job while it is waited for
        self._submission: Any = None  # the request, to be sent again after Ctrl-C

    def submit(self, submission: Submission, override: bool) -> dict[str, Any]:
        """Puts the program into the queue; the job. Sending it again makes no second job."""
        self._submission = (
            "POST",
            "/jobs?override_pending=1" if override else "/jobs",
            submission.body,
            {"Idempotency-Key": os.urandom(16).hex()},
        )
        answer = self.persist(*self._submission, patience=SUBMIT_PATIENCE_SECONDS)
        why = refusal_of_wishes(answer, submission.wishes, submission.body)
        if why:
            raise Stop(REFUSED, why)
        return self._job(answer)

    def submitted(self) -> dict[str, Any] | None:
        """The job whose submission was interrupted: sent again, it is the same one."""
        if self._submission is None:
            return None
        return self._job(self.persist(*self._submission, patience=INTERRUPT_PATIENCE_SECONDS))

    def get(self, job_id: int) -> dict[str, Any]:
        """The job as it is now."""
        return self._job(self.persist("GET", f"/jobs/{job_id}", patience=SUBMIT_PATIENCE_SECONDS))

    def cancel(self, job_id: int) -> dict[str, Any]:
        """Cancels a queued job, or asks for a running one to be stopped; the job."""
        return self._job(
            self.persist("POST", f"/jobs/{job_id}/cancel", patience=SUBMIT_PATIENCE_SECONDS)
        )

    def file(self, job_id: int, name: str) -> Answer:
        """One of a job's output files, as bytes."""
        path = f"/jobs/{job_id}/files/{urllib.parse.quote(name, safe='')}"
        return self.persist("GET", path, patience=SUBMIT_PATIENCE_SECONDS)

    def wait(self, job: dict[str, Any]) -> dict[str, Any]:
        """Returns the job once it is over; meanwhile shows what it prints or waits for."""
        load_late()

        self._line = WaitingLine(self.screen.status.look)
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
                time.sleep(next(pauses))  # the server stops, or nobody reaches it
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
        job = self.get(job["id"])
        while not is_over(job):
            self._look_at(job)
            answer = self.persist(
                "GET",
                f"/jobs/{job['id']}",
                headers={"Prefer": f"wait={WAIT_SECONDS}", "If-None-Match": job["etag"]},
                patience=WAIT_PATIENCE_SECONDS,
                held=WAIT_SECONDS,
            )
            if answer.status != 304:
                job = self._job(answer)
        return job

    def _look_at(self, job: dict[str, Any]) -> None:
        """Says what a job that is not over waits for."""
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


def refusal(answer: Answer) -> str:
    """What to say to the student about an answer with a status of 400 or more."""
    if answer.refuses_token:
        return "The queue does not accept the token in auth.json. " + answer.detail
    return answer.detail


# The parts from here on are compiled once one of them is needed.
LATE_PARTS = r'''

# --- handouts/submit/waiting_line.py ------------------------------------------------------
#
# What a job is doing, in a line that is right each second.


MARKS = {"queued": ("○", YELLOW), "compiling": ("◐", CYAN), "waiting": ("◐", CYAN)}
RUNNING = ("●", GREEN)
WIDEST = 80  # then the job's number stands at the end, however wide the terminal is


class WaitingLine:
    """Of the job that is looked at, since its phase began."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._job: dict[str, Any] = {}
        self._phase: Any = None
        self._phase_at: float | None = None  # when it began, if that was seen
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
        parts = [printable(part) for part in self._parts() if part]
        number, room = f"job {self._job['id']}", min(columns, WIDEST) - 1
        while len(parts) > 1 and width_of(" · ".join(parts)) + 2 > room:
            parts.pop()
        line = cut(" · ".join(parts), room - 2)
        gap = room - 2 - width_of(line) - len(number)
        end = " " * gap + number if gap >= 3 else ""
        return f"{self._look.coloured(mark, colour)} {line}{end}"

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
        return words + clock(time.monotonic() - self._phase_at)

    def _timer(self, limit: str) -> str:
        """How long the phase goes on, and how long it may."""
        limits = self._job.get("limits")
        most = limits.get(limit) if isinstance(limits, dict) else None
        if not isinstance(most, (int, float)) or not 0 < most < 1e7:
            return self._since("")
        return f"{self._since('')} of {clock(most)}" if self._phase_at is not None else ""


def phase_of(job: dict[str, Any]) -> str:
    """Where the job is: "queued", or the phase of one that runs."""
    return "queued" if job.get("state") == "queued" else str(job.get("phase") or "executing")


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


# --- handouts/submit/output_files.py ------------------------------------------------------
#
# Saving the output files of a job. Nothing that is there already is overwritten.


def save_files(client: Client, job: dict[str, Any], folder: Path) -> bool:
    """Saves what the job's program left in ./out/; whether all of it is there now."""
    result = job["result"] or {}
    say_left_out(result.get("details") or {})
    saved = True
    for name, name_here in names_on_disk(result):
        path = folder / name_here
        try:
            message = save(client.file(job["id"], name), path)
        except OSError as error:
            saved, message = False, f"{path} cannot be saved: {error.strerror}."
        except Stop as stop:
            if stop.status == UNREACHABLE:
                raise
            saved, message = False, f"{path} was not saved: {stop}"
        warn(printable(message))
    if not saved:
        again = as_typed("--attach", str(job["id"]), "--out", "DIR")
        warn(f"The queue keeps the files. To get them: {again}")
    return saved


def names_on_disk(result: dict[str, Any]) -> list[tuple[str, str]]:
    """The result's files: what the queue calls each, and what it is called here."""
    taken: set[str] = set()
    names = listed(result.get("files"), "name")
    return [(name, free_name(safe_name(name), taken)) for name in names]


def save(answer: Answer, path: Path) -> str:
    """Makes the file; returns a message about it. Raises OSError, and Stop if it cannot be had."""
    if not isinstance(answer.body, bytes):
        raise Stop(REFUSED, refusal(answer) if answer.status >= 400 else "the queue sent no file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        file = path.open("xb")
    except FileExistsError:
        if holds(path, answer.body):
            return f"{path} is there already."
        raise Stop(UNSAVED, "another file of that name is there, and is left as it is.") from None
    try:
        with file:
            file.write(answer.body)
    except BaseException:
        path.unlink()
        raise
    return f"Saved {path} ({in_size(len(answer.body))})."


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
    for name, reason in zip(listed(left_out, "name"), listed(left_out, "reason")):
        warn(printable(f"Not saved: {name}: {reason}."))
    if details.get("more_files_left_out"):
        warn(printable(f"Not saved: {details['more_files_left_out']} more."))


# --- handouts/submit/log_files.py ---------------------------------------------------------
#
# The logs of a job, as files beside those that its program wrote.


LOGS = {"compile_log": "compile-log.txt", "execute_log": "execute-log.txt"}


def save_logs(job: dict[str, Any], folder: Path) -> None:
    """Saves both logs, byte for byte, if any were kept. What goes wrong is only said."""
    _, logs = logs_of(job)
    if not logs:
        return
    taken = {name.lower() for _, name in names_on_disk(job["result"] or {})}
    try:
        saved = [save_log(logs.get(log), folder / free_name(LOGS[log], taken)) for log in LOGS]
    except OSError as error:
        warn(printable(f"The logs cannot be saved in {folder}: {error.strerror}."))
    else:
        if all(saved):
            warn(printable(f"The logs are in {folder}."))


def save_log(log: Any, path: Path) -> bool:
    """Whether the log is in that file now; says why not. Raises OSError."""
    try:
        save(Answer(200, {}, str(log or "").encode("utf-8", "surrogateescape")), path)
    except Stop as stop:
        warn(printable(f"{path} was not saved: {stop}"))
        return False
    return True


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
CUDA_NUMBER = (
    r"(?im)cuda[^\n]{0,80}?(?:error|code|status|failed|failure)"
    r"[\s:=(#]*(?:code|status|number)?[\s:=(#]*(\d{1,3})(?=\)|\.?\s*$|\s*[(:,]\s*[a-z])"
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
    happened = {job["outcome"], signal, str(result.get("exit_code"))}
    for line in READINGS.strip().replace("\n    ", " ").splitlines():
        what, _, rest = line.partition("|")
        pattern, _, words = rest.rpartition("|")
        is_meant = what.strip() in happened if what.strip() else "runtime_error" in happened
        if is_meant and re.search(pattern.strip(), log, re.MULTILINE):
            return words.strip()
    return ""


def with_names(log: str) -> str:
    """The log, and at its end the name of the error that it gives by CUDA's number."""
    found = re.search(CUDA_NUMBER, log)
    return f"{log}\n{CUDA_NUMBERS.get(int(found[1]), '')}" if found else log


# --- handouts/submit/show.py --------------------------------------------------------------
#
# What the student sees of a job that is over.


def show(job: dict[str, Any], live: Live) -> int:
    """Prints what is not shown yet of a job that is over; returns the exit status."""
    result = job["result"]
    attempts = job.get("attempts", [])
    for attempt in attempts if result is None else attempts[:-1]:
        live.screen.warn(attempt_line(attempt))
    live.finish(job)
    if result is None:
        live.screen.warn(ending_line(job), YELLOW)
        return NO_RESULT
    has_succeeded = job["outcome"] == "succeeded"
    is_whole = not what_is_left_out(job)
    line = live.screen.look.wrapped(ending_line(job))
    live.screen.line(line, RED if not has_succeeded else GREEN if is_whole else YELLOW)
    if slowed_by_heat(result):
        warn(
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
            live.screen.warn(live.screen.status.look.wrapped(printable(errors)), RED)
    signal = SIGNALS.get(job["result"].get("signal"), "")
    reading = reading_of(job, signal)
    if reading:
        live.screen.warn(live.screen.status.look.wrapped(f"What this often means: {reading}"))


def slowed_by_heat(result: dict[str, Any]) -> bool:
    """Whether the executor said that of the GPU."""
    gpu = details_of(result).get("gpu")
    return isinstance(gpu, dict) and "heat" in (gpu.get("throttled") or [])
'''


def load_late():
    global LATE_PARTS
    text, LATE_PARTS = LATE_PARTS, ""
    exec(compile("\n" * 2873 + text, __file__, "exec"), globals())


# --- handouts/submit/main.py --------------------------------------------------------------


def run(options: argparse.Namespace) -> int:
    """Does what the command line asks for; the exit status. Raises Stop, BadSetup, Untrusted."""
    submission = prepare(options) if options.file else None
    client = Client(StreamingQueue(read_auth(options.auth, "username", options.server)))
    if submission:
        client.live.paths = OwnPaths(str(options.file)[: -len(submission.main)])
    job: dict[str, Any] | None = None
    try:
        if options.cancel is not None:
            return cancel(client, options.cancel)
        if options.attach is not None:
            job = client.get(options.attach)
        elif submission:
            job = submit(client, submission, options)
        job = client.wait(job)
        load_late()
        load_late()
        load_late()

        status = show(job, client.live)
        if submission and job.get("outcome") == "compile_error":
            hint_at_missing(submission, job["result"]["compile_log"])
        folder = options.out or Path("telerun-out", str(job["id"]))
        save_logs(job, folder)
        saved = save_files(client, job, folder)
        has_all = saved and not client.screen.has_failed
        return UNSAVED if status == SUCCEEDED and not has_all else status
    except KeyboardInterrupt:
        return interrupted(client, job)
    except Stop as stop:
        client.screen.begin_line()
        if job is not None and stop.status == UNREACHABLE:
            raise Stop(
                UNREACHABLE,
                f"{str(stop).rstrip('.')}. The queue keeps your job; "
                f"see it later with: {as_typed('--attach', str(job['id']))}",
            ) from None
        raise


def submit(client: Client, submission: Submission, options: argparse.Namespace) -> dict[str, Any]:
    """Sends the program, and says what is sent; the job. Raises Stop."""
    hint_at_arguments(submission, options.file.parent)
    if submission.summary:
        warn(submission.summary)
    job = client.submit(submission, options.override_pending)
    passed_over = left_out(job, submission.body)
    if is_wrong_without(passed_over, submission.body):
        raise call_off(job, passed_over, client.cancel)
    warn(f"Submitted {options.file} as job {job['id']}.")
    if passed_over:
        warn(older_queue(passed_over))
    return job


def cancel(client: Client, job_id: int) -> int:
    """--cancel: says what became of the job; the exit status."""
    job = client.cancel(job_id)
    state = "cancelled" if job["state"] == "cancelled" else "told to stop"
    warn(f"Job {job['id']} is {state}.")
    return SUCCEEDED


def interrupted(client: Client, job: dict[str, Any] | None) -> int:
    """Ctrl-C: takes a job that still waits out of the queue; one that runs is left running."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C ends this at once
    client.queue.close()  # an answer may be under way on it
    client.screen.begin_line()
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
    number = job["id"]
    if job["state"] == "queued":
        job = client.cancel(number)
    if job["state"] == "cancelled":
        warn(f"Job {number} is cancelled.")
    elif job.get("cancel_requested_at"):
        warn(f"Job {number} is told to stop.")
    else:
        warn(
            f"Job {number} is {job['state']} already and was not cancelled. To see it: "
            f"{as_typed('--attach', str(number))}; to stop it: {as_typed('--cancel', str(number))}"
        )
    return INTERRUPTED


def main(argv: list[str] | None = None) -> int:
    """The exit status; every expected error is one line on standard error."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as `>&-` does
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  (until the end)
    try:
        options = parse(argv)
        remember(*options.repeated)
        return run(options)
    except Stop as stop:
        warn(f"submit.py: {stop}")
        return stop.status
    except BadSetup as error:
        warn(f"submit.py: {error}")
        return WRONG_USAGE
    except Untrusted as error:
        warn(f"submit.py: {error}")
        return UNREACHABLE
    except KeyboardInterrupt:
        warn("Interrupted.")
        return INTERRUPTED


def run_and_exit() -> None:
    """As a command."""
    sys.excepthook = print_unexpected
    gc.disable()  # takes 1 ms, and nothing here lasts long enough to be worth it
    # Python's own cleaning up takes 10 ms, of every student's wait, and there is nothing to clean.
    os._exit(main())


if __name__ == "__main__":
    run_and_exit()
