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
    (105, "handouts/client/errors.py", 6),
    (127, "handouts/client/words.py", 10),
    (163, "handouts/client/auth.py", 14),
    (221, "handouts/client/tracebacks.py", 12),
    (254, "handouts/submit/as_typed.py", 9),
    (290, "handouts/submit/c_includes.py", 8),
    (345, "handouts/submit/printable.py", 7),
    (358, "handouts/submit/relative_names.py", 11),
    (395, "handouts/submit/stop.py", 5),
    (418, "handouts/submit/wishes.py", 8),
    (459, "handouts/submit/compiler_flags.py", 10),
    (531, "handouts/client/job_file_names.py", 8),
    (573, "handouts/submit/python_imports.py", 13),
    (642, "handouts/submit/source_file.py", 11),
    (714, "handouts/submit/gather.py", 19),
    (826, "handouts/submit/together.py", 12),
    (863, "handouts/submit/data_files.py", 16),
    (896, "handouts/submit/options.py", 15),
    (1062, "handouts/submit/directives.py", 18),
    (1212, "handouts/submit/submission.py", 22),
    (1319, "handouts/submit/hints.py", 15),
    (1354, "handouts/client/answer.py", 8),
    (1403, "handouts/client/retries.py", 9),
    (1417, "handouts/client/connection.py", 19),
    (1581, "handouts/submit/streams.py", 11),
    (1626, "handouts/submit/job_events.py", 14),
    (1705, "handouts/submit/moments.py", 7),
    (1751, "handouts/submit/job_lines.py", 10),
    (1886, "handouts/submit/screen.py", 17),
    (1946, "handouts/submit/live.py", 10),
    (2083, "handouts/submit/persistent.py", 16),
    (2160, "handouts/submit/older_queue.py", 13),
    (2219, "handouts/submit/refusals.py", 12),
    (2267, "handouts/submit/job_client.py", 23),
    (2407, "handouts/submit/file_names.py", 14),
    (2434, "handouts/submit/output_files.py", 18),
    (2515, "handouts/submit/log_files.py", 16),
    (2548, "handouts/submit/show.py", 13),
    (2578, "handouts/submit/web.py", 13),
    (2655, "handouts/submit/main.py", 56),
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


CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


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
    one.add_argument("--web", action="store_true", help="open your page in a browser, logged in")
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
    has_none = options.attach is None and options.cancel is None and not options.web
    if (options.file is None) == has_none:
        parser.error("name one FILE.cu, or use --attach ID, --cancel ID or --web")
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
    expected = job.get("expected_start")
    try:
        low, high = float(expected["from_seconds"]), float(expected["to_seconds"])
    except (KeyError, TypeError, ValueError):
        return ""
    if not 0 <= low <= high < 1e7:
        return ""
    seconds, unit = next((u for u in UNITS if high < MOST_OF_UNIT * u[0]), UNITS[-1])
    first, last = int(low // seconds), max(1, -int(-high // seconds))
    if first == 0:
        return f", starts within {last} {unit}"
    return f", starts in about {first}{'' if first == last else f'-{last}'} {unit}"


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


EXPLAINED = {
    "succeeded": "succeeded",
    "compile_error": "did not compile",
    "compile_timeout": "took too long to compile",
    "runtime_error": "failed",
    "runtime_timeout": "ran too long and was stopped",
    "memory_exceeded": "used too much memory and was stopped",
    "output_exceeded": "printed too much and was stopped",
}
WAITS = {
    "paused": ", but the queue is paused",
    "held": ", but the course staff hold it back",
    "data": ", its data is on the way",
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


def is_over(job: dict[str, Any]) -> bool:
    """Whether nothing will happen to it any more."""
    return job["state"] not in ("queued", "running")


def status_line(job: dict[str, Any]) -> str:
    """What the job is waiting for, in a line."""
    head = f"Job {job['id']}: "
    lost = [a for a in job.get("attempts", []) if a.get("ending") in ("expired", "released")]
    again = f" (again: {lost[-1]['executor']} was lost)" if lost else ""
    if job["state"] == "queued":
        place = job.get("queue_position")
        ahead = "next in the queue" if place == 1 else f"position {place} in the queue"
        return head + printable("waiting, " + ahead + what_it_waits_for(job)) + again
    wanted = "its turn" if job.get("platform") == "cpu" else "a GPU"
    doing = {
        "compiling": "compiling",
        "waiting": f"compiled, waiting for {wanted}",
        "executing": "running",
    }.get(job.get("phase"), "running")
    place = job.get("queue_position")
    later = (f", position {place}" if place else "") + when_its_turn_comes(job)
    stop = ", being cancelled" if job.get("cancel_requested_at") else ""
    return head + doing + " on " + printable(str(job.get("executor"))) + later + stop + again


def what_changes(job: dict[str, Any]) -> list[Any]:
    """What a new status line is worth: all in it but the times."""
    keys = ("id", "state", "phase", "executor", "queue_position", "waiting_for")
    return [*map(job.get, keys), job.get("cancel_requested_at"), len(job.get("attempts", []))]


def what_it_waits_for(job: dict[str, Any]) -> str:
    """Why a queued job does not run yet, to come after its place; "" for its turn alone."""
    if job.get("waiting_for") == "no-executor":
        platform = str(job.get("platform") or "")
        host = "GPU host" if platform == "cuda" else f"host for {platform}" if platform else "host"
        since = since_in_words(job.get("no_executor_since"))
        return f", but no {host} {'has been' if since else 'is'} connected{since}"
    return WAITS.get(str(job.get("waiting_for")), "") + when_its_turn_comes(job)


def when_its_turn_comes(job: dict[str, Any]) -> str:
    """After how many jobs, and when, as far as the queue can tell."""
    count = job.get("jobs_before")
    if not isinstance(count, int) or count < 1:
        return start_in_words(job)
    first = "1 job ends" if count == 1 else f"{count} jobs end"
    return f", {first} first{start_in_words(job)}"


def attempt_line(attempt: dict[str, Any]) -> str:
    """How an attempt without a result ended."""
    ended = attempt.get("ending") or "open"
    why = ": " + attempt["reason"] if attempt.get("reason") else ""
    return printable(f"Attempt {attempt['number']} on {attempt['executor']} {ended}{why}")


def ending_line(job: dict[str, Any]) -> str:
    """What became of the job, in a line."""
    head = f"--- job {job['id']} "
    if job["state"] == "cancelled":
        return head + "was cancelled ---"
    if job["state"] == "failed":
        tries = len(job.get("attempts", []))
        return (
            f"{head}could not be run: {tries} hosts were lost with it. "
            "Not your fault; tell the course staff ---"
        )
    result = job["result"]
    words = EXPLAINED.get(job["outcome"], str(job["outcome"])) + why_it_ended(result)
    times = [
        f"{verb} in {result[key]:.2f} s"
        for verb, key in (("compiled", "compile_seconds"), ("ran", "execute_seconds"))
        if result.get(key) is not None
    ]
    if (result.get("details") or {}).get("compiled_before"):
        times[:1] = ["compiled before"]
    where = "on " + printable(str(job.get("executor")))
    return head + words + ": " + ", ".join([*times, where]) + " ---"


def why_it_ended(result: dict[str, Any]) -> str:
    """The limit, signal or exit status that a result has, in parentheses; "" if it has none."""
    limit = (result.get("details") or {}).get("limit")
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


# --- handouts/submit/screen.py ------------------------------------------------------------
#
# Standard output, to which goes what came of a job: byte for byte into a file or pipe, made safe
# for a terminal.


class Screen:
    """What is written is seen at once. That nobody reads it is no reason to stop."""

    def __init__(self) -> None:
        self.is_terminal = sys.stdout.isatty()
        self.has_failed = False  # something could not be written, and somebody wanted it
        self._is_closed = False
        self._in_line = False  # the last line has no end yet
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def write(self, data: bytes, is_last: bool = False) -> None:
        """A piece of a log; the last one leaves no character half done."""
        if self.is_terminal:
            text = printable(self._decoder.decode(data, is_last))
            data = text.encode(sys.stdout.encoding or "utf-8", "backslashreplace")
        if data:
            self._in_line = not data.endswith(b"\n")
            self._put(sys.stdout.buffer.write, data)

    def line(self, text: str) -> None:
        """A line of our own."""
        self.end_line()
        self._put(sys.stdout.write, text + "\n")

    def end_line(self) -> None:
        """What comes next begins a line, here and on standard error."""
        self.write(b"", is_last=True)
        if self._in_line:
            self.write(b"\n")

    def begin_line(self) -> None:
        """Before a line on standard error, which may be the same terminal."""
        if self._in_line and self.is_terminal and sys.stderr.isatty():
            self._in_line = False
            warn("")

    def warn(self, message: str) -> None:
        """A line on standard error."""
        self.begin_line()
        warn(message)

    def _put(self, write: Callable[[Any], Any], what: Any) -> None:
        if self._is_closed:
            return
        try:
            write(what)
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
NOTE = b"\n[... %d bytes left out ...]\n"  # as executors write it, where a log is too long
FOUND_NOTE = re.compile(rb"\n\[\.\.\. (\d{1,15}) bytes left out \.\.\.\](?=\n)")


class Shown:
    """How much of a log is on the screen."""

    def __init__(self) -> None:
        self.whole = bytearray()  # from its beginning, without a gap
        self.end = 0  # of all that is there, after a gap too


class Live:
    """The logs of a job's latest attempt."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
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
        self.screen.write(note + data)

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
            self.screen.write(rest)

    def _begin(self, attempt: int) -> None:
        if any(shown.end for shown in self._logs.values()):
            self.screen.line("--- the host was lost: what is above does not count ---")
        self._attempt, self._title = attempt, ""
        self._logs = {log: Shown() for log in TITLES}

    def _under(self, title: str) -> None:
        if title != self._title:
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

    def page_link(self) -> Answer:
        """A link that opens one's page in a browser, logged in."""
        return self.persist("POST", "/page-links", patience=SUBMIT_PATIENCE_SECONDS)

    def wait(self, job: dict[str, Any]) -> dict[str, Any]:
        """Returns the job once it is over; meanwhile shows what it prints or waits for."""
        if not is_over(job):
            self._look_at(job)
            job = self._follow(job)
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
        if not is_over(job):
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
        warn(ending_line(job))
        return NO_RESULT
    live.screen.line(ending_line(job))
    if slowed_by_heat(result):
        warn(
            "The GPU was slowed down by heat when the program ended: "
            "its times may be longer than usual."
        )
    return SUCCEEDED if job["outcome"] == "succeeded" else PROGRAM_FAILED


def slowed_by_heat(result: dict[str, Any]) -> bool:
    """Whether the executor said that of the GPU."""
    gpu = (result.get("details") or {}).get("gpu")
    return isinstance(gpu, dict) and "heat" in (gpu.get("throttled") or [])


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
    if can_open() and open_file(write_link(client)):
        warn(f"Your page is {page} and a browser was asked to open it.")
        warn("If none comes, log in there with the name and token in your auth.json.")
    else:
        warn(f"Your page is {page}")
        warn("No browser can be opened from here; log in with the name and token in auth.json.")
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
        warn(f"{FILE} cannot be written: {error.strerror}.")
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


# --- handouts/submit/main.py --------------------------------------------------------------


def run(options: argparse.Namespace) -> int:
    """Does what the command line asks for; the exit status. Raises Stop, BadSetup, Untrusted."""
    submission = prepare(options) if options.file else None
    client = Client(StreamingQueue(read_auth(options.auth, "username", options.server)))
    job: dict[str, Any] | None = None
    try:
        if options.web:
            return open_page(client)
        if options.cancel is not None:
            return cancel(client, options.cancel)
        if options.attach is not None:
            job = client.get(options.attach)
        elif submission:
            job = submit(client, submission, options)
        job = client.wait(job)
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
