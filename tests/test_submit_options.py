"""What submit.py's options say of a program: flags for the compiler, platform, assembler."""

from pathlib import Path

import pytest

from tests.support.submissions import prepared, refused, submit

pytestmark = pytest.mark.once


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
