"""Directives: what the first lines of a program say of how it is compiled and where it runs."""

from pathlib import Path

import pytest

from tests.support.submissions import prepared, refused

pytestmark = pytest.mark.once


def test_telerun_lines_use_the_words_of_the_command_line(tmp_path: Path) -> None:
    main = (
        "// telerun: --flag=-lcuda --flag '-DN=5' --platform h100\n"
        "#include <cstdio>\n"
        "\n"
        "//telerun: --with kernels.cu --asm --flag -lm\n"
        "int main() {}\n"
        "// telerun: --with none.cu\n"
    )
    sent = prepared(tmp_path, {"lab.cu": main, "kernels.cu": "k"})
    assert sent.body["flags"] == ["-lcuda", "-DN=5", "-lm"]
    assert sent.body["platform"] == "h100"
    assert sent.body["sources"] == {"kernels.cu": "k"}
    assert sent.body["asm"] is True
    assert sent.summary == ("Sending lab.cu and kernels.cu, flags -lcuda -DN=5 -lm, for h100.")


def test_tl_lines(tmp_path: Path) -> None:
    main = (
        '// TL+ {"platform": "cuda"}\n'
        '// TL+ {"header_files": ["a.cuh"], "compile_flags": ["-lcuda"]}\n'
        '# TL+ {"compile_flags": ["-Xcompiler", "-fopenmp", "-gencode", "arch=compute_90a"]}\n'
        '%TL {"platform": "h100", "workspace_files": ["x.json"]}\n'
        '// TL+{"header_files": ["sub/b.cu", "a.cuh"]}\n'
        "/* a block\n   of several lines */\n"
        "#define TWO \\\n  lines\n"
        '// TL+ {"compile_flags": ["-lcublas"]}\n'
        "int x;\n"
    )
    files = {
        "lab.cu": main,
        "a.cuh": '#include "c.cuh"',
        "c.cuh": "",
        "sub/b.cu": "",
        "x.json": "{}",
    }
    sent = prepared(tmp_path, files)
    assert sent.body["platform"] == "h100"
    assert sent.body["flags"] == [
        "-lcuda", "-Xcompiler=-fopenmp", "-gencode=arch=compute_90a", "-lcublas",
    ]  # fmt: skip
    assert list(sent.body["includes"]) == ["a.cuh", "c.cuh", "sub/b.cu", "x.json"]
    assert "sources" not in sent.body


def test_tl_without_a_plus_replaces(tmp_path: Path) -> None:
    main = (
        '// TL+ {"compile_flags": ["-lcuda"], "header_files": ["a.h"]}\n'
        '// TL {"compile_flags": ["-lcublas"]}\n'
    )
    sent = prepared(tmp_path, {"lab.cu": main + "x", "a.h": ""})
    assert sent.body["flags"] == ["-lcublas"]
    assert list(sent.body["includes"]) == ["a.h"]


def test_the_command_line_wins(tmp_path: Path) -> None:
    main = '// TL {"platform": "h100", "compile_flags": ["-DN=1"]}\nx'
    sent = prepared(tmp_path, {"lab.cu": main}, "--platform", "cpu", "--flag=-DN=2")
    assert sent.body["platform"] == "cpu"
    assert sent.body["flags"] == ["-DN=1", "-DN=2"]


@pytest.mark.parametrize(
    "main",
    [
        "# TLB misses are counted\nx",
        "// TL; too long\nx",
        "// see TL+ below\nx",
        "// telerun is the queue\nx",
        "// TL+: soon\nx",
        "// TL is a joke\nx",
        "// TL\nx",
        "// TL [1]\nx",
        "/*\n * Telerun: the queue of this course\n */\nx",
        'int x; // TL+ {"platform": 1}',
        'x\n// TL+ {"platform": 1}',
        '/* */ x\n// TL+ {"platform": 1}',
        "#include <cstdio>\n# comment\n%\nx",
        "#!/usr/bin/env python3\nx",
    ],
)
def test_comments_that_are_no_directives(
    tmp_path: Path, main: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set(prepared(tmp_path, {"lab.cu": main}).body) == {"source", "filename", "args"}
    assert "is no directive" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "main",
    [
        "\n// Telerun: --asm",
        "\n//TELERUN : --asm",
        "\n// telerun --asm",
        "\n# tl+ {}",
        "\n// TL + {}",
        "\n// TL+: {}",
        '\n/* TL+ {"platform": 1} */',
        "\n/* telerun: --asm */ // and so on",
        '/*\n// TL+ {"platform": 1}\n*/',
        "/**\n * TL {}\n */",
        "/*\n TL+ {}\n*/",
    ],
)
def test_comments_that_are_nearly_directives(
    tmp_path: Path, main: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = prepared(tmp_path, {"lab.cu": main + "\nint main() {}\n"})
    assert set(sent.body) == {"source", "filename", "args"}
    assert capsys.readouterr().err == (
        "lab.cu:2: is no directive in this form; write it as "
        '// telerun: --platform h100 --flag=-lcuda, or TL+ {"platform": "h100"}\n'
    )


def test_what_may_stand_after_an_object(tmp_path: Path) -> None:
    for comment in ("// for wgmma", "//", "/* why */", "# so"):
        main = f'// TL+ {{"platform": "H100"}} {comment}\n'
        assert prepared(tmp_path, {"lab.cu": main + "x"}).body["platform"] == "h100"


def test_platforms_are_in_small_letters(tmp_path: Path) -> None:
    for words in ("--platform=H100", "--platform=Cuda"):
        sent = prepared(tmp_path, {"lab.cu": "x"}, words)
        assert sent.body["platform"] == words[11:].lower()


def test_many_directives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepared(tmp_path, {"lab.cu": "// telerun: --asm\n" * 256 + "x"}).body["asm"]
    words = refused(tmp_path, {"lab.cu": "// telerun: --asm\n" * 257 + "x"})
    assert words == "lab.cu:257: a file has at most 256 directives."
    prepared(tmp_path, {"lab.cu": "x\n" + "// telerun: --asm\n" * 70})
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 6
    assert told[-1] == "And 65 more such lines in lab.cu."


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("// TL+ platform h100", "what follows TL+ is no JSON object; the right form is: TL+ {"),
        ('// TL+ {"header_files": ["a\\u0000\\n.h"]}', "the name a\\x00\\n.h: it has a character"),
        ("// TL+ [1]", "what follows TL+ is no JSON object"),
        ("// TL {a: 1}", "what follows TL is no JSON object"),
        ('// TL+ {"platform": "h100"} x', "after the object of TL+ only a comment may stand"),
        ('// TL+ {"platform": "h100"', "the object has to stand on one line; the right form is"),
        ('// TL+ {"compile_flags": [\n//   "-lm"]}', "the object has to stand on one line"),
        ('// TL {\n// "platform": "h100"}', "the object has to stand on one line"),
        ('// TL+ {"platform": \\\n"h100"}', "the object has to stand on one line"),
        ("// TL+ {'platform': 'h100'}", "what follows TL+ is no JSON object"),
        ("// TL+ " + "[" * 100000, "what follows TL+ is no JSON object"),
        ('// TL+ {"platform": ["h100"]}', '"platform" is no text; write it as: {"platform": "h'),
        ('// TL+ {"platform": null}', '"platform" is no text'),
        ('// TL+ {"compile_flags": "-lcuda"}', '"compile_flags" is no list of texts; write it as'),
        ('// TL+ {"header_files": [1]}', '"header_files" is no list of texts'),
        ('// TL+ {"flags": []}', 'there is no key "flags"; the keys are: platform, header_files, '),
        ('// TL+ {"compile_flags": ["-l cuda"]}', "A flag is one word"),
        ('// TL+ {"header_files": ["none.h"]}', "There is no file none.h."),
        ('// TL+ {"header_files": ["../x.h"]}', "../x.h lies outside"),
        ('// TL+ {"header_files": ["/x.h"]}', "/x.h lies outside"),
        ('// TL+ {"header_files": ["a\\\\b.h"]}', "write / in place of \\: a\\b.h"),
        ("// telerun: --with none.cu", "There is no file none.cu."),
        ("// telerun:", "telerun: is not understood: --flag=FLAG, --platform NAME, --with FILE"),
        ("// telerun: -lcuda", "it takes no -lcuda; --flag=FLAG, --platform NAME"),
        ("// telerun: lab 3", "it takes no lab 3; --flag=FLAG"),
        ("// telerun: --auth x", "it takes no --auth x; --flag=FLAG"),
        ("// telerun: --server=x --out y", "it takes no --server=x --out y; --flag"),
        ("// telerun: --plat h100", "it takes no --plat h100; --flag"),
        ("// telerun: --platform", "argument --platform: expected one argument."),
        ("// telerun: --flag '-lcuda", "telerun: is not understood: no closing quotation."),
    ],
)
def test_directives_that_are_not_understood(tmp_path: Path, line: str, words: str) -> None:
    told = refused(tmp_path, {"lab.cu": f"\n{line}\nint main() {{}}"})
    assert told.startswith("lab.cu:2: ")
    assert words in told


def test_directives_that_come_too_late(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main = 'int x;\n // TL+ {"platform": "h100"}\n//telerun: --asm\n// TL is short, telerun: too\n'
    assert set(prepared(tmp_path, {"lab.cu": main}).body) == {"source", "filename", "args"}
    assert capsys.readouterr().err == "".join(
        f"lab.cu:{line}: is not read: directives stand before the first line of code.\n"
        for line in (2, 3)
    )


def test_data_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["small.txt", "x.bin", "none.bin", "large.txt", "../up.txt", "/etc/passwd", "folder"]
    quoted = ", ".join(f'"{name}"' for name in names)
    files = {
        "lab.cu": f'\n// TL {{"workspace_files": [{quoted}]}}\nx',
        "small.txt": "1 2 3",
        "x.bin": b"\0",
        "large.txt": "x" * (1 << 20),
        "folder/x": "",
    }
    sent = prepared(tmp_path, files)
    assert sent.body["includes"] == {"small.txt": "1 2 3"}
    told = capsys.readouterr().err.splitlines()
    assert [line.split(" ")[1] for line in told] == names[1:]
    assert all("lab.cu:2: " in line and "data files are not served yet" in line for line in told)
