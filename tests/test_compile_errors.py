"""Errors in compilers' logs, and sources in colours: found, and never for long."""

import re
import time

import pytest
from django.utils.html import escape

from jobs.admin.job_page.highlighting import MAX_CHARACTERS, Highlighter
from jobs.admin.job_page.lexers import LEXERS
from jobs.compile_errors import CompileError, Names, count_of, errors_in, first_error, place_in
from tests.support.admin import words_of

pytestmark = pytest.mark.once

NAMES = Names("labs/a/my prog.cu", ["labs/common/util.cuh", "labs/a/x (1).cu", "labs/a/k.py"])


@pytest.mark.parametrize(
    ("line", "name", "number", "words"),
    [
        ('./my prog.cu(41): error: expected a ";"', "labs/a/my prog.cu", 41, 'expected a ";"'),
        ("my prog.cu:41:5: error: expected ';'", "labs/a/my prog.cu", 41, "expected ';'"),
        ("my prog.cu:41: error: no column", "labs/a/my prog.cu", 41, "no column"),
        ("../common/util.cuh(3): error #20-D: x", "labs/common/util.cuh", 3, "x"),
        ("labs/common/util.cuh:9:1: fatal error: y.h: No", "labs/common/util.cuh", 9, "y.h: No"),
        ("util.cuh:9:1: error: by -I", "labs/common/util.cuh", 9, "by -I"),
        ("/usr/common/util.cuh:9: error: the host's", "/usr/common/util.cuh", 9, "the host's"),
        ("./x (1).cu(7): error: bad: error: x", "labs/a/x (1).cu", 7, "bad: error: x"),
        ("./my prog.cu(2): catastrophic error: z", "labs/a/my prog.cu", 2, "z"),
        ("/usr/include/x.h(3): error: y", "/usr/include/x.h", 3, "y"),
        ("ptxas error   : Entry function 'k' uses", "", 0, "Entry function 'k' uses"),
        ("ptxas /tmp/x.ptx, line 12; error   : Unknown symbol", "", 0, "Unknown symbol"),
        ("nvlink error   : Undefined reference to 'f'", "", 0, "Undefined reference to 'f'"),
        ("nvcc fatal   : Unsupported gpu architecture", "", 0, "Unsupported gpu architecture"),
        ("x.cu:(.text+0x1f): undefined reference to `f'", "", 0, "undefined reference to `f'"),
        ("/usr/bin/ld: cannot find -lfoo", "", 0, "cannot find -lfoo"),
        ("cc1plus: error: unrecognized option", "", 0, "unrecognized option"),
    ],
)  # fmt: skip
def test_an_error_and_its_place(line: str, name: str, number: int, words: str) -> None:
    log = f"some words before\n{line}\nand after\n"
    assert first_error(log, NAMES) == CompileError(name, number, words)


@pytest.mark.parametrize(
    "line",
    [
        "my prog.cu(3): warning #177-D: error was declared but never referenced",
        "my prog.cu: In function 'int main()':",
        "collect2: error: ld returned 1 exit status",
        "ptxas fatal   : Ptx assembly aborted due to errors",
        "        error: is a word of the program",
        "",
    ],
)
def test_what_is_no_error_to_begin_with(line: str) -> None:
    assert first_error(line, NAMES) is None


def test_an_error_of_python() -> None:
    log = '  File "k.py", line 3\n    x = = 1\n        ^\nSyntaxError: invalid syntax\n'
    assert first_error(log, NAMES) == CompileError("labs/a/k.py", 3, "SyntaxError: invalid syntax")
    assert place_in(log.splitlines()[0], NAMES)[:2] == (2, 21)


def test_how_many() -> None:
    line = "./my prog.cu(1): error: x\n"
    assert count_of(line * 3, NAMES) == 1
    assert count_of(line * 3 + '3 errors detected in the compilation of "x".\n', NAMES) == 3


LONG = {
    "brackets": "(1" * 500_000, "colons": ":1" * 500_000, "words": "error " * 170_000,
    "errors": "a(1): error\n" * 80_000, "linker": "undefined reference to" * 45_000,
    "places": ("error a:1:1:" * 160 + "\n") * 500, "file": '  File "' * 120_000,
    "brackets and words": ("error" + "(1): " * 390 + "\n") * 500, "lines": "\n" * 1_000_000,
    "ptxas": "ptxas " * 2000 + ";" * 3000 + "error",
}  # fmt: skip


@pytest.mark.parametrize("log", LONG.values(), ids=LONG)
def test_no_log_takes_long(log: str) -> None:
    began = time.thread_time()
    list(errors_in(log, NAMES))
    for line in log.split("\n")[:2000]:
        place_in(line, NAMES)
    assert time.thread_time() - began < 2.5


# --- Colours -----------------------------------------------------------------------------

PARTS = (
    "\n", " ", "/*", "/* */ ", "//\\\n", "(", "{", "a ", "#if 0\n", "#\n", '#include "a\n', "#/*",
    'R"(', '"', '"\\', "'", "1", "1'", "0x", "1.1e", ".", "\\\n", "\\", "case ", "class ", "a \n",
    "template<", "::", "<", "\u00e9", "@", "'''", '"""a', "f'{", "_", "1_", "match ", "    case ",
    "'%", "\\N{", "\t", "# ", "\u00a0", "\U0001f600",
)  # fmt: skip


# A thousand blanks in each place: Pygments' own lexer of C++ stands still for 16 seconds.
FUNCTION = f"a{' ' * 1000}b{' ' * 1000}({' ' * 1000}){' ' * 1000}"


def longest_step(language: str, text: str) -> float:
    """A step is what nothing can interrupt: it stands still as long for every student."""
    last, longest = time.thread_time(), 0.0
    for _ in LEXERS[language]().get_tokens_unprocessed(text):
        now = time.thread_time()
        longest, last = max(longest, now - last), now
    return longest


@pytest.mark.parametrize("language", LEXERS)
@pytest.mark.parametrize("part", [" ", "1", '"\\', "\n", FUNCTION])
def test_no_source_takes_long(part: str, language: str) -> None:
    """What takes Pygments' own lexers seconds."""
    text = (part * MAX_CHARACTERS)[:MAX_CHARACTERS]
    assert longest_step(language, text) < 0.1


@pytest.mark.hardening
@pytest.mark.parametrize("language", LEXERS)
@pytest.mark.parametrize("part", PARTS)
def test_no_source_takes_long_whatever_it_is_made_of(part: str, language: str) -> None:
    text = (part * MAX_CHARACTERS)[:MAX_CHARACTERS]
    for whole in (text, "/*" + text, '"' + text, "a" + text):
        assert longest_step(language, whole) < 0.1


@pytest.mark.parametrize("language", [*LEXERS, "text"])
def test_every_line_is_there_and_safe(language: str) -> None:
    text = "int main() { /* a\n<b>&\n*/ \"<script>\" }\n\n'''x\ny''' # é\n#include <cstdio>\n\"\\"
    for seconds in (10, 0):
        lines = Highlighter(seconds).lines(text, language)
        assert words_of("\n".join(lines)) == text
        for line in lines:
            assert line.count("<span") == line.count("</span>")
            assert set(re.findall(r"<[^>]*>", line)) <= {"</span>", *CLASSES}
    assert "<span" in "".join(Highlighter(10).lines("int x = 1; // a", "cuda"))


CLASSES = {f'<span class="{name}">' for name in ("hc", "hk", "ht", "hs", "hn", "hb", "hp")}


def test_a_large_file_is_plain() -> None:
    text = "int x;\n" * (MAX_CHARACTERS // 7 + 1)
    assert "\n".join(Highlighter().lines(text, "cuda")) == escape(text)
