"""What submit.py's options say of a program: flags for the compiler, platform, assembler."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.processes import ROOT
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


def usage_error(*words: str) -> str:
    """The line that says what is wrong with a command line."""
    with pytest.raises(submit.Stop) as stop:
        submit.parse(list(words))
    assert stop.value.status == 2
    return str(stop.value)


def test_flags_that_were_given_bare() -> None:
    for words, hint in ((["-lcublas"], True), (["-n"], False)):
        told = usage_error("lab.cu", *words)
        assert "put -- before the program's own" in told
        assert ("for the compiler: --flag=-lcublas" in told) == hint


def test_the_words_after_two_dashes_are_the_programs(tmp_path: Path) -> None:
    sent = prepared(tmp_path, {"lab.cu": "x"}, "--", "--flag", "-n", "--with")
    assert sent.body["args"] == ["--flag", "-n", "--with"]
    assert "flags" not in sent.body


def test_what_goes_with_a_file_alone() -> None:
    for words in (["--asm"], ["--flag=-lm"], ["--with=x.h"], ["--platform=cpu"]):
        assert "go with FILE.cu" in usage_error("--attach", "1", *words)


def test_platform_and_asm(tmp_path: Path) -> None:
    sent = prepared(tmp_path, {"lab.cu": "x"}, "--platform", "h100", "--asm")
    assert (sent.body["platform"], sent.body["asm"]) == ("h100", True)
    assert sent.summary == "Sending lab.cu, for h100."


def test_a_platform_that_is_no_name(tmp_path: Path) -> None:
    words = refused(tmp_path, {"lab.cu": "x"}, "--platform", "h\udcff\n100")
    assert words == "There is no platform h\\udcff\\n100."


# --- Words that somebody types -----------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("status", "--status"), ("list", "--list"), ("cancel 3", "--cancel 3"),
        ("attach last", "--attach last"), ("attach", "--attach last"),
        ("compare 1 2", "--compare 1 2"),
        ("help", "--help"), ("version", "--version"), ("17", "--attach 17"), ("Status", "--status"),
        ("queue", "--status"), ("jobs", "--list"),
    ],
)  # fmt: skip
def test_words_in_place_of_an_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, meant: str
) -> None:
    """S24."""
    monkeypatch.chdir(tmp_path)
    words = typed.split()
    told = usage_error(*words)
    assert told.startswith(f"there is no file {words[0]}. Did you mean: ")
    assert told.endswith(f" {meant}")
    (tmp_path / words[0]).write_text("x")  # a file of that name is a program
    assert submit.parse(words).file == Path(words[0])


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("--attach -1", "'-1' is no job: say its number, as in 17, or last for your newest."),
        ("--attach abc", "'abc' is no job"),
        ("--cancel 0", "'0' is no job"),
        ("--cancel \u0663", "is no job"),
        ("--cancel " + 5000 * "9", "is no job"),
        ("--compare 1 x", "'x' is no job"),
        ("--attach", "--attach: say the job's number, as in 17, or last for"),
        ("--list 0", "--list 0: say how many jobs, 1 or more."),
        ("--list x", "--list x: say how many jobs, 1 or more."),
        ("--cancel", "--cancel: say the job's number, as in 17, or last for your newest."),
        ("--list " + 5000 * "9", "say how many jobs, 1 or more."),
        ("-1", "unrecognized arguments: -1 (put -- before the program's own)."),
        ("a.cu --out=", "--out names a folder, which an empty word is not."),
        ("a.cu --out /dev/null", "--out names a folder, which /dev/null is not."),
        ("--attach 7 --out /dev/null", "--out names a folder, which /dev/null is not."),
        ("--atach 3", "unrecognized arguments: --atach (did you mean --attach? put -- before"),
        ("--atach=3", "(did you mean --attach?"),
        ("a.cu --stauts", "(did you mean --status?"),
        ("a.cu --zzz", "unrecognized arguments: --zzz (put -- before the program's own)."),
        ("a.cu --list", "--list stands alone, without a.cu."),
        ("a.cu --force", "--force goes with --out DIR."),
        (
            "--cancel 1 --out x",
            "--out and --force go with FILE.cu or --attach ID, not with --cancel",
        ),
        ("--list --detach", "go with FILE.cu, not with --list."),
        ("a.cu --wait-turn --override-pending", "--wait-turn waits for your job in the queue"),
        ("--list --status", "not allowed with argument"),
    ],
)
def test_plain_errors_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, words: str
) -> None:
    """S24."""
    monkeypatch.chdir(tmp_path)
    told = usage_error(*typed.split())
    assert words in told
    assert "\n" not in told


def test_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    """The five most useful things."""
    assert submit.main([]) == 2
    first, *lines = capsys.readouterr().err.splitlines()
    assert first == "submit.py: name a program, or say what else you want:"
    shown = ("prog.cu [ARG ...]", "--list", "--attach last", "--status", "--help")
    assert len(lines) == len(shown)
    assert all(f" {words} " in line for words, line in zip(shown, lines, strict=True))


@pytest.mark.parametrize("columns", [60, 80])
def test_help_fits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit):
        submit.parse(["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    for group in ("what is sent:", "how:", "other uses, in place of FILE.cu:", "who and where:"):
        assert group in lines


def test_version_needs_no_set_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert submit.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith(f"submit.py {submit.VERSION}, Python 3.")


def test_an_error_is_told_in_json_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["none.cu", "--json"], ["--json", "--attach", "x"]):
        assert submit.main(words) == 2
        told = capsys.readouterr()
        document = json.loads(told.out)
        assert document["exit_status"] == 2
        assert told.err == f"submit.py: {document['error']}\n"


# --- A Python that is too old ------------------------------------------------------------


def old_pythons() -> list[Path]:
    places = Path.home().glob(".pyenv/versions/*/bin/python")
    return sorted(one for one in places if re.match(r"(2|3\.[0-7])\.", one.parts[-3]))


@pytest.mark.processes
@pytest.mark.skipif(not old_pythons(), reason="needs a Python before 3.8 in ~/.pyenv")
@pytest.mark.parametrize("python", old_pythons(), ids=lambda one: one.parts[-3])
def test_a_python_that_is_too_old_is_named(python: Path) -> None:
    told = subprocess.run([python, ROOT / "submit.py", "--version"], capture_output=True, text=True)
    version = ".".join(python.parts[-3].split(".")[:2])
    assert told.stderr == (
        f"submit.py: it needs Python 3.8 or newer; {python} is Python {version}.\n"
    )
    assert told.returncode == 2
