"""Files that are no source, and names that nearly are: what submit.py says of them."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT, run
from tests.support.scripts import load

pytestmark = pytest.mark.once
submit = load("submit")


def refused(path: Path) -> str:
    with pytest.raises(submit.Stop) as stop:
        submit.read_text(path, path.name)
    assert stop.value.status == 2
    return str(stop.value)


@pytest.mark.processes
def test_a_compiled_program(tmp_path: Path) -> None:
    shutil.copy("/bin/true", tmp_path / "a.out")
    done = run([sys.executable, ROOT / "submit.py", "a.out"], cwd=tmp_path).no_traceback()
    assert done.status == 2
    words = "a.out is a compiled program (ELF); send its source, such as a.cu."
    assert done.err == f"submit.py: {words}\n"
    with (tmp_path / "a.out").open("ab") as file:
        file.write(bytes(2 << 20))  # as large as nvcc makes them
    assert refused(tmp_path / "a.out") == words


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"MZ\x90\x00\x03\x00", "a compiled program (for Windows); send its source"),
        (b"\xcf\xfa\xed\xfe\x07\x00\x00\x01", "a compiled program (for macOS)"),
        (b"PK\x03\x04\x14\x00", "no text, but an archive (zip)"),
        (b"\x1f\x8b\x08\x00", "an archive (gzip); unpack it"),
        (bytes(257) + b"ustar\x00", "an archive (tar)"),
        (b"%PDF-1.7\n%\xe2\xe3", "a PDF document; send a source file"),
        (b"{\\rtf1\\ansi int main() {}}", "word processor (RTF)"),
        (b"\x89PNG\r\n\x1a\n\x00", "an image (PNG)"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "an image (JPEG)"),
        (b"\xa7\r\r\n\x00\x00\x00\x00", "a compiled program (of Python); send its source."),
        (b"\xff\xfe" + bytes(range(1, 31)) * 20, "has a NUL byte|is not UTF-8"),
        (b"\xff\xfe\x00\xd8\x00\xd8", "has a NUL byte"),
        ("int main() { return 0; } // ä €\r\n".encode("utf-16"), "is in UTF-16"),
        ("int main() { return 0; }\r\n".encode("utf-16-le"), "is in UTF-16"),
        ("int main() { return 0; }\r\n".encode("utf-16-be"), "is in UTF-16"),
        (b"\x00\x01\x02\x03\x04\x05\x06\x07" * 9, "has a NUL byte"),
        (b"\x01\x00\x02\x00\x03\x00\x04\x00" * 9, "has a NUL byte"),
    ],
)
def test_what_a_file_is(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "prog"
    path.write_bytes(content)
    said = refused(path)
    assert any(one in said for one in words.split("|")), said


@pytest.mark.parametrize("text", ["MZ = 1\n", "BZh(9);\n", "GIF8 g;\n", "RIFF x;\n", "// %PDF\n"])
def test_a_source_may_begin_like_that(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.cu").write_text(text)
    assert submit.read_text(tmp_path / "a.cu", "a.cu") == text


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("helo.cu", "hello.cu"),
        ("Hello.cu", "hello.cu"),
        ("hello", "hello.cu"),
        ("hello.cpp", "hello.cu"),
        ("lab1/kernle.cu", "lab1/kernel.cu"),
        ("completely-else.cu", ""),
    ],
)
def test_a_name_that_is_nearly_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, meant: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lab1").mkdir()
    for name in ("hello.cu", "hello.txt", "lab1/kernel.cu"):
        (tmp_path / name).write_text("int x;")
    path = Path(typed)
    if path.exists():  # where names have no case
        return
    with pytest.raises(submit.Stop) as stop:
        submit.read_text(path, typed)
    hint = f" Did you mean {meant}?" if meant else ""
    assert str(stop.value) == f"There is no file {typed}.{hint}"


@pytest.mark.parametrize("text", ['{"username": "a" "token": "x"}', "{}", '{"username": 1}', "x"])
def test_an_auth_json_that_is_broken(tmp_path: Path, text: str) -> None:
    (tmp_path / "auth.json").write_text(text)
    with pytest.raises(submit.BadSetup) as error:
        submit.read_auth(tmp_path / "auth.json", "username", None, "python3 submit.py --login")
    assert str(tmp_path / "auth.json") in str(error.value)
    assert str(error.value).endswith("python3 submit.py --login")
