"""What the student hands in, checked before it is sent."""

from __future__ import annotations

import posixpath
import stat
from pathlib import Path

from handouts.client.job_file_names import trouble_with
from handouts.client.text_encoding import about_utf_16, is_utf_16
from handouts.submit.c_includes import CODE_ENDINGS
from handouts.submit.no_text import about_no_text
from handouts.submit.stop import WRONG_USAGE, Stop
from handouts.submit.wishes import in_one_line

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
