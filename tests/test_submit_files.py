"""Which files submit.py finds and sends beside the main one: includes, and what --with names."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import ROOT, pythons, run
from tests.support.submissions import prepared, refused, submit, write

pytestmark = pytest.mark.once


def test_a_plain_program_is_sent_as_before(tmp_path: Path) -> None:
    sent = prepared(tmp_path, {"lab.cu": "#include <cstdio>\nint main() {}\n"}, "--", "-n", "5")
    assert sent.body == {
        "source": "#include <cstdio>\nint main() {}\n",
        "filename": "lab.cu",
        "args": ["-n", "5"],
    }
    assert sent.summary == ""
    assert sent.missing == []


def test_includes_are_followed_relative_to_who_includes_them(tmp_path: Path) -> None:
    files = {
        "lab.cu": '#include "a.cuh"\n  #  include "sub/b.h" // here\n#include "none.h"\n',
        "a.cuh": "int a;\n",
        "sub/b.h": '#include "c.h"\n#include "../a.cuh"\n/* x */ #include "d.h"\n',
        "sub/c.h": '#include "b.h"\n#include "c.h"\n',  # in a circle
        "sub/d.h": "int d;\n",
        "c.h": "int other;\n",
    }
    sent = prepared(tmp_path, files)
    names = ["a.cuh", "sub/b.h", "sub/c.h", "sub/d.h"]
    assert sent.body["includes"] == {name: files[name] for name in names}
    assert "sources" not in sent.body
    assert sent.missing == [("lab.cu:3", "none.h")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('#include "a.h"', True),
        ('#include"a.h"', True),
        ('# /* why */ include "a.h"', True),
        ('#\\\ninclude \\\r\n "a.h"', True),
        ('// #include "a.h"', False),
        ('// goes on \\\n#include "a.h"', False),
        ('/*\n#include "a.h"\n*/', False),
        ('const char *s = "/*";\n#include "a.h"', True),
        ('char c = \'"\';\n#include "a.h"', True),
        ("int n = 1'000'000;\n#include \"a.h\"", True),
        ('auto s = R"x(\n#include "a.h"\n)x";', False),
        ("#include <a.h>", False),
        ("#include A_H", False),
        ('\ufeff#include "a.h"', True),
        ('int x;\r\n#include "a.h"\r\n', True),
        ('#include_next "a.h"', False),
    ],
)
def test_lines_that_include(tmp_path: Path, text: str, found: bool) -> None:
    sent = prepared(tmp_path, {"lab.cu": text, "a.h": "int a;"})
    assert ("includes" in sent.body) == found


def test_folders_of_flags(tmp_path: Path) -> None:
    files = {
        "lab.cu": '#include "x.h"\n#include <y.h>\n#include <cstdio>\n#include <folder>\n',
        "inc/x.h": "int x;",
        "more/y.h": "int y;",
        "inc/folder/z.h": "int z;",
    }
    flags = ["--flag=-Iinc", "--flag", "-I", "--flag=more", "--flag=-I/usr/include"]
    sent = prepared(tmp_path, files, *flags)
    assert list(sent.body["includes"]) == ["inc/x.h", "more/y.h"]
    assert sent.body["flags"] == ["-Iinc", "-Imore", "-I/usr/include"]


def test_a_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    write(tmp_path, {"real.h": "int r;"})
    (tmp_path / "link.h").symlink_to("real.h")
    sent = prepared(tmp_path, {"lab.cu": '#include "link.h"'})
    assert sent.body["includes"] == {"link.h": "int r;"}


def test_what_leads_outside(tmp_path: Path) -> None:
    write(tmp_path, {"x.h": "int x;"})
    folder = tmp_path / "lab"
    outside = "outside of the folder of lab.cu, and only what is in it can be sent."
    for include in ("../x.h", "../none.h", f"{tmp_path}/x.h", "sub/../../x.h", "C:/x.h"):
        words = refused(folder, {"lab.cu": f'\n#include "{include}"\n'})
        assert words == f"lab.cu:2: {include} lies {outside} Put a copy into it."
    words = refused(folder, {"lab.cu": '#include "a.h"', "a.h": '\n\n#include "../x.h"'})
    assert words.startswith("a.h:3: ../x.h lies outside")
    words = refused(folder, {"lab.cu": '#include "x.h"'}, "--flag=-I..")
    assert words.startswith("lab.cu:1: x.h lies outside")
    (folder / "link.h").symlink_to("../x.h")
    (folder / "sub").symlink_to("..")
    for include in ("link.h", "sub/x.h"):
        words = refused(folder, {"lab.cu": f'#include "{include}"'})
        assert words.startswith(f"lab.cu:1: {include} is reached by a link, and lies outside")


def test_backslashes(tmp_path: Path) -> None:
    words = refused(tmp_path, {"lab.cu": '#include "a\\b\\c.h"'})
    assert words == 'lab.cu:1: write / in place of \\: #include "a/b/c.h"'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff", "lab.cu:1: a.h is not UTF-8 (byte 0); save it as UTF-8."),
        (b"x\0", "lab.cu:1: a.h has a NUL byte at offset 1"),
        (b"x" * (1 << 20) + b"y", "lab.cu:1: a.h has 1048577 bytes"),
        ("folder", "lab.cu:1: a.h is a folder"),
        ("pipe", "lab.cu:1: a.h is no plain file."),
    ],
)
def test_included_files_that_cannot_be_sent(tmp_path: Path, content: Any, words: str) -> None:
    if content == "folder":
        (tmp_path / "a.h").mkdir()
    elif content == "pipe":
        os.mkfifo(tmp_path / "a.h")
    else:
        write(tmp_path, {"a.h": content})
    assert words in refused(tmp_path, {"lab.cu": '#include "a.h"'})


def test_a_byte_order_mark_is_left_out(tmp_path: Path) -> None:
    sent = prepared(tmp_path, {"lab.cu": '#include "a.h"', "a.h": b"\xef\xbb\xbfint a;\r\n"})
    assert sent.body["includes"] == {"a.h": "int a;\r\n"}


def test_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stub for what root may not read either."""
    read = Path.read_bytes

    def read_some(path: Path) -> bytes:
        if path.name == "a.h":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_some)
    words = refused(tmp_path, {"lab.cu": '#include "a.h"', "a.h": "int a;"})
    assert words == "lab.cu:1: a.h cannot be read: Permission denied."


def test_a_thousand_includes(tmp_path: Path) -> None:
    lines = "".join(f'#include "h{n}.h"\n' for n in range(1000))
    headers: dict[str, Any] = {f"h{n}.h": "" for n in range(255)}
    sent = prepared(tmp_path, {"lab.cu": lines, **headers})
    assert len(sent.body["includes"]) == 255
    assert len(sent.missing) == 745
    assert sent.summary == "Sending lab.cu with h0.h and 254 more files."
    words = refused(tmp_path, {"h999.h": ""})
    assert words == "lab.cu needs 257 files; the queue takes 256 together."


def test_one_mebibyte_together(tmp_path: Path) -> None:
    main = '#include "a.h"\n'
    size = (1 << 20) - len(main)
    assert prepared(tmp_path, {"lab.cu": main, "a.h": b"\xef\xbb\xbf" + b"x" * (size - 3)})
    words = refused(tmp_path, {"a.h": b"x" * (size + 1)})
    assert "have 1048577 bytes; the queue takes 1048576 (1 MiB) together" in words
    assert "The largest of 2: a.h (1024 KiB)." in words


def test_lines_are_counted(tmp_path: Path) -> None:
    text = '#include "a"\n/*\n*/ #include "b"\n#include "a"\n\n#include <a>\n"\n#include "c"'
    found = [(one.line, one.wanted) for one in submit.c_includes(text)]
    assert found == [(1, "a"), (3, "b"), (6, "a"), (8, "c")]
    text = "import a\n\nfrom . import (b,\n  c)\nimport a, d; import e\nfrom.f import(g)\n"
    seen = [(one.line, one.dots, ".".join(one.parts)) for one in submit.python_imports(text)]
    assert seen == [(1, 0, "a"), (3, 1, "b"), (3, 1, "c"), (5, 0, "d"), (5, 0, "e"), (6, 1, "f.g")]


# --- --with ------------------------------------------------------------------------------


def test_sources_and_other_files(tmp_path: Path) -> None:
    files = {
        "lab.cu": '#include "used.cu"\nint main() {}',
        "used.cu": "int used;",
        "kernels.cu": '#include "k.cuh"\n',
        "k.cuh": "int k;",
        "more/host.cpp": '#include "host.h"\n',
        "more/host.h": "int h;",
        "notes.txt": '#include "../never looked at.h"',
    }
    given = ["kernels.cu", "more/host.cpp", "notes.txt", "used.cu", "lab.cu", "kernels.cu"]
    arguments = [part for name in given for part in ("--with", str(tmp_path / name))]
    sent = prepared(tmp_path, files, *arguments)
    assert list(sent.body["sources"]) == ["kernels.cu", "more/host.cpp"]
    assert list(sent.body["includes"]) == ["k.cuh", "more/host.h", "notes.txt", "used.cu"]
    assert sent.summary == (
        "Sending lab.cu, kernels.cu and more/host.cpp with k.cuh and 3 more files."
    )


def test_where_files_are_sought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From where the student stands, as the shell completes it; then beside the main file."""
    write(tmp_path, {"labs/lab.cu": "x", "labs/k.cu": "k", "other.cu": "o"})
    monkeypatch.chdir(tmp_path)
    for path in ("labs/k.cu", "k.cu", "labs/../labs/k.cu", str(tmp_path / "labs/k.cu")):
        sent = submit.prepare(submit.parse(["labs/lab.cu", "--with", path]))
        assert sent.body["sources"] == {"k.cu": "k"}
    (tmp_path / "way").symlink_to("labs")
    sent = submit.prepare(submit.parse(["labs/lab.cu", "--with", "way/k.cu"]))
    assert sent.body["sources"] == {"k.cu": "k"}
    words = refused(tmp_path, {}, "--with", "other.cu", main="labs/lab.cu")
    assert words.startswith("../other.cu lies outside of the folder of lab.cu")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("none.cu", "There is no file none.cu."),
        ("folder", "folder is a folder; name a file."),
        ("binary.bin", "binary.bin has a NUL byte at offset 0"),
        (".", "it does not lead straight to a file"),
    ],
)
def test_files_that_cannot_be_sent_with_it(tmp_path: Path, path: str, words: str) -> None:
    files = {"lab.cu": "x", "folder/x": "", "binary.bin": b"\0"}
    assert words in refused(tmp_path, files, "--with", str(tmp_path / path))


def test_arguments_that_name_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {"lab.cu": "x", "kernels.cu": "k", "data.txt": "d", "sent.cu": ""}
    arguments = ["kernels.cu", "none.cu", "data.txt", "sent.cu", "--with=sent.cu"]
    sent = prepared(tmp_path, files, *arguments)
    assert sent.body["args"] == arguments[:4]
    submit.hint_at_arguments(sent, tmp_path)
    assert capsys.readouterr().err == (
        "kernels.cu is an argument for the program; to send it: --with kernels.cu\n"
    )


def test_includes_that_were_not_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = "".join(f'#include "h{n}.h"\n' for n in range(8))
    sent = prepared(tmp_path, {"lab.cu": lines})
    submit.hint_at_missing(sent, "lab.cu(9): error: identifier")
    assert capsys.readouterr().err == ""
    submit.hint_at_missing(sent, "lab.cu:1:10: fatal error: h0.h: No such file or directory")
    told = capsys.readouterr().err.splitlines()
    assert told[0] == 'lab.cu:1: "h0.h" was not found on this machine, and not sent.'
    assert len(told) == 6
    assert told[-1] == "And 3 more includes."


# --- All of it together ------------------------------------------------------------------


@pytest.mark.processes
@pytest.mark.parametrize("python", pythons())
def test_every_python_sends_the_same(tmp_path: Path, python: str) -> None:
    files = {
        "lab.cu": '// telerun: --flag -lm --with k.cu\n// TL+ {"platform": "cpu"}\n'
        '#include "a.h"\n#include "none.h"\n',
        "a.h": "#pragma once\n",
        "k.cu": '#include "a.h"\n',
        "m.py": "from pack import one\n",
        "pack/one.py": "",
    }
    write(tmp_path, {**files})
    script = (
        "import json, sys; sys.path.insert(0, sys.argv.pop(1)); import submit;"
        "sent = submit.prepare(submit.parse(sys.argv[1:]));"
        "print(json.dumps([sent.body, sent.missing, sent.summary]))"
    )
    arguments = ["lab.cu", "--with", "m.py", "5", "--flag", "-lz", "--", "-x"]
    done = run([python, "-B", "-c", script, ROOT, *arguments], cwd=tmp_path)
    assert done.status == 0, done.err
    body, missing, summary = json.loads(done.out)
    assert body == {
        "source": files["lab.cu"],
        "filename": "lab.cu",
        "args": ["5", "-x"],
        "sources": {"k.cu": files["k.cu"]},
        "includes": {name: files[name] for name in ("a.h", "m.py", "pack/one.py")},
        "flags": ["-lm", "-lz"],
        "platform": "cpu",
    }
    assert missing == [["lab.cu:4", "none.h"]]
    assert summary == (
        "Sending lab.cu and k.cu with a.h, m.py and pack/one.py, flags -lm -lz, for cpu."
    )
