"""A compiler's log: with the student's own paths, and its errors in a line."""

from __future__ import annotations

import re

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
