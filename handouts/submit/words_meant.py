"""What somebody may have meant who wrote something else."""

from __future__ import annotations

import os
from pathlib import Path

from handouts.submit.as_typed import as_typed

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
