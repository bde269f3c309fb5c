"""The files of a program: what they may be called, and in which language its main one is."""

from collections.abc import Iterable

from accounts.models import CPU, CUDA

MAX_FILES = 256
MAX_NAME_BYTES, MAX_PART_BYTES, MAX_PARTS = 255, 100, 8

_LANGUAGES = {
    ".cpp": "cpp",
    ".cc": "cpp",
    ".cxx": "cpp",
    ".c": "cpp",
    ".py": "python",
}


def language_of(filename: str) -> str:
    """By the file's ending; what has no known one is CUDA."""
    dot = filename.rfind(".")
    return _LANGUAGES.get(filename[dot:].lower(), "cuda") if dot >= 0 else "cuda"


def platforms_for(language: str) -> tuple[str, ...]:
    """Where a program runs that asks for no platform: the first that is offered."""
    return (CUDA,) if language == "cuda" else (CPU, CUDA)


def why_bad(names: Iterable[str]) -> str:
    """Why files of a program may not be called so, in a sentence; "" if they may.

    The names are those of all files, each given as often as it was sent.
    """
    names = list(names)
    if len(names) > MAX_FILES:
        return f"There are {len(names)} files; the queue takes {MAX_FILES}."
    seen: dict[str, str] = {}
    for name in names:
        if reason := _why_bad_name(name):
            return reason
        if name.casefold() in seen:
            other = seen[name.casefold()]
            same = "twice" if other == name else f"and {other}, which differ only in case"
            return f"There is a file {name} {same}."
        seen[name.casefold()] = name
    for name in seen:
        folder = name.rpartition("/")[0]  # folded, as all of `seen`
        while folder:
            if folder in seen:
                return f"{seen[folder]} is a file and a folder."
            folder = folder.rpartition("/")[0]
    return ""


def _why_bad_name(name: str) -> str:
    shown = name if name.isprintable() and len(name) <= 100 else ascii(name)[:100]
    parts = name.split("/")
    if not name.isprintable() or "\\" in name:
        return f"A file may not be called {shown}: plain names, with / between folders."
    if any(part in ("", ".", "..") for part in parts):
        return f"A file may not be called {shown}: a relative name, in or below one folder."
    if any(part.startswith("-") for part in parts):
        return f"A file may not be called {shown}: its name begins with a dash."
    if len(parts) > MAX_PARTS or len(name.encode()) > MAX_NAME_BYTES:
        return f"The name {shown} is too long."
    if any(len(part.encode()) > MAX_PART_BYTES for part in parts):
        return f"The name {shown} is too long."
    return ""
