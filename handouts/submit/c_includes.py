"""What a file in C, C++ or CUDA includes."""

from __future__ import annotations

import re
from collections.abc import Iterator

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
