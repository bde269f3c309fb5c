"""Files that are no files, and texts that were made to take submit.py long."""

import contextlib
import os
import time
from pathlib import Path

import pytest

from tests.support.submissions import prepared, submit, write

pytestmark = pytest.mark.once


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
