"""The files of a job, and what they are called here."""

from __future__ import annotations

import re
from typing import Any

from handouts.client.job_file_names import trouble_with
from handouts.executor.base.file_names import why_unsafe

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
