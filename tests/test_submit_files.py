"""What submit.py finds, checks and sends beside the main file. Real files, no queue."""

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import ROOT, pythons, run
from tests.support.scripts import load

pytestmark = pytest.mark.once
submit = load("submit")


def write(folder: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def prepared(folder: Path, files: dict[str, Any], *arguments: str, main: str = "lab.cu") -> Any:
    """What would be sent for the main file and these arguments."""
    write(folder, files)
    return submit.prepare(submit.parse([str(folder / main), *arguments]))


def refused(folder: Path, files: dict[str, Any], *arguments: str, main: str = "lab.cu") -> str:
    with pytest.raises(submit.Stop) as stop:
        prepared(folder, files, *arguments, main=main)
    assert stop.value.status == 2
    assert "\n" not in str(stop.value)
    return str(stop.value)


# --- Includes ----------------------------------------------------------------------------


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


def test_names_that_differ_only_by_case(tmp_path: Path) -> None:
    words = refused(tmp_path, {"lab.cu": '#include "A.h"\n#include "a.h"', "A.h": "", "a.h": ""})
    assert words == "lab.cu:2: A.h and a.h would be one file on some systems; rename one."


LONG = "x" * 100


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("-a.h", "begins with a dash"),
        ("sub/-a.h", "begins with a dash"),
        (LONG + "y", "longer than 100 bytes"),
        (f"{LONG}/{LONG}/{LONG}", "longer than 100 bytes, or 255"),
        ("1/2/3/4/5/6/7/8/a.h", "more than 7 folders deep"),
        ("a\u202e.h", "a character that the queue does not take"),
    ],
)
def test_names_that_the_queue_does_not_take(tmp_path: Path, name: str, why: str) -> None:
    words = refused(tmp_path, {"lab.cu": f'#include "{name}"', name: ""})
    assert words.startswith("lab.cu:1: The queue takes no file of the name ")
    assert why in words


@pytest.mark.parametrize("name", ["", "a//b", "a/", "./a", "a/..", "a\\b", "\n", "\udcff"])
def test_unsafe_names(name: str) -> None:
    assert submit.trouble_with(name)


@pytest.mark.parametrize("name", ["a", "a b/ü.h", LONG, f"{LONG}/{LONG}", "1/2/3/4/5/6/7/8"])
def test_safe_names(name: str) -> None:
    assert submit.trouble_with(name) == ""


@pytest.mark.parametrize("main", ["-a.cu", "a\\b.cu", "x" * 98 + ".cu", "a\u202e.cu", "a\n.cu"])
def test_a_main_file_that_has_to_be_renamed(tmp_path: Path, main: str) -> None:
    words = refused(tmp_path / "-folder", {main: "x"}, main=main)
    assert words.startswith("The queue takes no file of the name ")
    assert words.endswith("; rename it.")


def test_names_that_are_one_when_folded(tmp_path: Path) -> None:
    main = '#include "straße.h"\n#include "strasse.h"\n'
    words = refused(tmp_path, {"lab.cu": main, "straße.h": "", "strasse.h": ""})
    assert words.startswith("lab.cu:2: straße.h and strasse.h would be one file")


def test_names_that_clash() -> None:
    assert submit.clash(["straße", "STRASSE/a.h"]) == ("straße", "STRASSE/a.h")
    assert submit.clash(["a", "b/a", "b/A2"]) is None
    assert submit.clash(["b", "b/a"]) == ("b", "b/a")
    assert submit.clash(["x/y/z", "X/Y"]) == ("X/Y", "x/y/z")


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


# --- Python ------------------------------------------------------------------------------


def test_modules_beside_a_python_file(tmp_path: Path) -> None:
    files = {
        "lab.py": "import os, helper as h\nfrom pack import one, two\nimport pack.deep.er\n"
        "import spaces.inner; from far import (  # why\n    a as b,\n    c,\n)\nimport numpy\n",
        "helper.py": "if True: import second\n",
        "second.py": "",
        "pack/__init__.py": "from . import three\nfrom .four import f\n",
        "pack/one.py": "from ..not_there import x\n",
        "pack/three.py": "from .. import helper\n",
        "pack/four.py": "",
        "pack/unused.py": "",
        "pack/deep/__init__.py": "from ..five import (x, y)\n",
        "pack/deep/er.py": "",
        "pack/five.py": "",
        "spaces/inner.py": "",
        "far/c.py": "",
        "unused.py": "",
    }
    sent = prepared(tmp_path, files, "--with", str(tmp_path / "helper.py"), main="lab.py")
    unused = {"lab.py", "pack/unused.py", "unused.py"}
    assert set(sent.body["includes"]) == set(files) - unused
    assert "sources" not in sent.body


def test_a_python_file_may_be_sent_with_others(tmp_path: Path) -> None:
    files = {"lab.py": "import x.\nfrom . import k\nimport \\\n  k\n", "k.py": "", "k.cu": ""}
    sent = prepared(tmp_path, files, "--with", str(tmp_path / "k.cu"), main="lab.py")
    assert sent.body["includes"] == {"k.cu": "", "k.py": ""}


def test_a_module_outside(tmp_path: Path) -> None:
    write(tmp_path, {"up.py": ""})
    words = refused(tmp_path / "lab", {"lab.py": "\nfrom .. import up\n"}, main="lab.py")
    assert words.startswith("lab.py:2: ../up.py lies outside of the folder of lab.py")


MANY = 1 << 20
SLOW = 10  # seconds: many times what they take, and a small part of what a second reading would


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    ["'\\", '"\\', "'", '"', 'R"(', 'R"', "/*", "\\\n", "# ", "//\\\n", '#include "', "'a", " ",
     '#include "a"\n', "#include <a>\n"],
)  # fmt: skip
def test_texts_in_c_made_to_take_long(text: str) -> None:
    began = time.monotonic()
    list(submit.c_includes(text * (MANY // len(text))))
    assert time.monotonic() - began < SLOW


@pytest.mark.timeout(60)
@pytest.mark.parametrize("begin", ["from ", "from . ", "from a "])
@pytest.mark.parametrize(
    "text",
    ["\nimport a", "\nfrom a import b", "from . import (\n", "import a,", "\\\n", " ", "."],
)
def test_texts_in_python_made_to_take_long(begin: str, text: str) -> None:
    began = time.monotonic()
    list(submit.python_imports(begin + text * (MANY // len(text))))
    assert time.monotonic() - began < SLOW


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("begin", "text"),
    [("", "/*"), ("", "/* */"), ("", "# \\\n"), ("", "//"), ("", "\n"), ("", " "), ("// TL", " "),
     ("/* TL", " "), ("// telerun", " "), ("x\n// TL", " "), ("// telerun:", "/"),
     ('// TL+ {"a":', "[")],
)  # fmt: skip
def test_directives_made_to_take_long(begin: str, text: str) -> None:
    began = time.monotonic()
    with contextlib.suppress(submit.Stop):
        submit.read_directives(begin + text * (MANY // len(text)), "lab.cu")
    assert time.monotonic() - began < SLOW


@pytest.mark.timeout(60)
def test_files_made_to_take_long(tmp_path: Path) -> None:
    began = time.monotonic()
    lines = "".join(f'#include "h{n}"\n' for n in range(55000))
    assert len(prepared(tmp_path, {"lab.cu": lines}).missing) == 55000
    lines = "".join(f"import a{n}\n" for n in range(65000))
    assert prepared(tmp_path, {"lab.py": lines}, main="lab.py")
    many = ",".join(['"-lm"'] * 150000)
    assert prepared(tmp_path, {"lab.cu": f'// TL+ {{"compile_flags": [{many}]}}'})
    assert time.monotonic() - began < 3 * SLOW


def test_lines_are_counted(tmp_path: Path) -> None:
    text = '#include "a"\n/*\n*/ #include "b"\n#include "a"\n\n#include <a>\n"\n#include "c"'
    found = [(one.line, one.wanted) for one in submit.c_includes(text)]
    assert found == [(1, "a"), (3, "b"), (6, "a"), (8, "c")]
    text = "import a\n\nfrom . import (b,\n  c)\nimport a, d; import e\nfrom.f import(g)\n"
    seen = [(one.line, one.dots, ".".join(one.parts)) for one in submit.python_imports(text)]
    assert seen == [(1, 0, "a"), (3, 1, "b"), (3, 1, "c"), (5, 0, "d"), (5, 0, "e"), (6, 1, "f.g")]


@pytest.mark.timeout(10)
@pytest.mark.parametrize("arguments", [[], ["--with", "lab.cu"]])
def test_pipes_and_devices_are_not_opened(tmp_path: Path, arguments: list[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    write(tmp_path, {"lab.cu": "x"})
    for name in ("pipe", "zero"):
        words = ["--with", str(tmp_path / name)] if arguments else []
        path = tmp_path / ("lab.cu" if arguments else name)
        with pytest.raises(submit.Stop) as stop:
            submit.prepare(submit.parse([str(path), *words]))
        assert stop.value.status == 2
        told = "is no plain file" if name == "pipe" or not arguments else "is reached by a link"
        assert told in str(stop.value)


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


# --- Flags -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "flags"),
    [
        (["--flag=-lcublas"], ["-lcublas"]),
        (["--flag", "-lcublas", "--flag", "-lcuda"], ["-lcublas", "-lcuda"]),
        (["--flag=-Xcompiler", "--flag=-fopenmp"], ["-Xcompiler=-fopenmp"]),
        (["--flag=-Xcompiler=-fopenmp"], ["-Xcompiler=-fopenmp"]),
        (["--flag=-I", "--flag=inc"], ["-Iinc"]),
        (["--flag=-D", "--flag=N=5"], ["-DN=5"]),
        (["--flag=-O", "--flag=-lm"], ["-O", "-lm"]),
        (["--flag=-std", "--flag=c++20"], ["-std=c++20"]),
        (["--flag=-gencode", "--flag=arch=compute_90a,code=sm_90a"],
         ["-gencode=arch=compute_90a,code=sm_90a"]),
        (["--flag=-Xcudafe", "--flag=--diag_suppress=1"], ["-Xcudafe=--diag_suppress=1"]),
        (["--flag=-code", "--flag=sm_90a"], ["-code=sm_90a"]),
        (["--flag=-t", "--flag=4", "--flag=--threads", "--flag=2"], ["-t=4", "--threads=2"]),
        (["--flag=-O"], ["-O"]),
        (["--flag", "-Xptxas", "--flag", "-v"], ["-Xptxas=-v"]),
    ],
)  # fmt: skip
def test_flags(tmp_path: Path, arguments: list[str], flags: list[str]) -> None:
    assert prepared(tmp_path, {"lab.cu": "x"}, *arguments).body["flags"] == flags


@pytest.mark.parametrize("flag", ["-I", "-D", "-l", "-Xcompiler", "-std"])
@pytest.mark.parametrize("after", [[], ["--flag=-lm"]])
def test_flags_without_their_value(tmp_path: Path, flag: str, after: list[str]) -> None:
    if after and flag == "-Xcompiler":
        return  # its value may begin with a dash
    words = refused(tmp_path, {"lab.cu": "x"}, f"--flag={flag}", *after)
    assert words.startswith(f"The value of the flag {flag} is missing; write both as one: {flag}")
    words = refused(tmp_path, {"lab.cu": f"\n// telerun: --flag {flag}\nx"}, *after)
    assert words.startswith("lab.cu:2: The value of the flag")


def test_python_takes_no_flags(tmp_path: Path) -> None:
    words = refused(tmp_path, {"lab.PY": "\n# telerun: --flag=-lm\n"}, main="lab.PY")
    assert words == (
        "lab.PY:2: Python is not compiled: the flag -lm has no use for lab.PY; leave it out."
    )
    assert refused(tmp_path, {"a.py": "x"}, "--flag=-O2", main="a.py").startswith("Python is not")


@pytest.mark.parametrize("flag", ["", " ", "-l cuda", "-lcuda ", "-l\ncuda", "-l\u202ecuda"])
def test_flags_that_are_no_word(tmp_path: Path, flag: str) -> None:
    assert "A flag is one word" in refused(tmp_path, {"lab.cu": "x"}, f"--flag={flag}")


def test_flags_that_were_given_bare(capsys: pytest.CaptureFixture[str]) -> None:
    for words, hint in ((["-lcublas"], True), (["-n"], False)):
        with pytest.raises(SystemExit):
            submit.parse(["lab.cu", *words])
        told = capsys.readouterr().err
        assert "put -- before the program's own" in told
        assert ("for the compiler: --flag=-lcublas" in told) == hint


def test_the_words_after_two_dashes_are_the_programs(tmp_path: Path) -> None:
    sent = prepared(tmp_path, {"lab.cu": "x"}, "--", "--flag", "-n", "--with")
    assert sent.body["args"] == ["--flag", "-n", "--with"]
    assert "flags" not in sent.body


def test_what_goes_with_a_file_alone(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--asm"], ["--flag=-lm"], ["--with=x.h"], ["--platform=cpu"]):
        with pytest.raises(SystemExit):
            submit.parse(["--attach", "1", *words])
        assert "go with FILE.cu" in capsys.readouterr().err


def test_platform_and_asm(tmp_path: Path) -> None:
    sent = prepared(tmp_path, {"lab.cu": "x"}, "--platform", "h100", "--asm")
    assert (sent.body["platform"], sent.body["asm"]) == ("h100", True)
    assert sent.summary == "Sending lab.cu, for h100."


def test_a_platform_that_is_no_name(tmp_path: Path) -> None:
    words = refused(tmp_path, {"lab.cu": "x"}, "--platform", "h\udcff\n100")
    assert words == "There is no platform h\\udcff\\n100."


# --- Directives --------------------------------------------------------------------------


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
