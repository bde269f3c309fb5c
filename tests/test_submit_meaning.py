"""What submit.py says of a job's end, and before it sends a program: words that lead on."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from courses.flags import why_refused
from tests.support.scripts import load

pytestmark = pytest.mark.once
submit = load("submit")
DRIVER = "CUDA error: CUDA driver version is insufficient for CUDA runtime version\n"


def ended(log: str = "", **more: Any) -> dict[str, Any]:
    result = {"execute_log": log, "exit_code": 1, "signal": None, "details": {}}
    result.update(more.pop("result", {}))
    return {"id": 7, "outcome": "runtime_error", "platform": "cuda", "filename": "a.cu",
            "result": result, **more}  # fmt: skip


@pytest.mark.parametrize(
    ("log", "more", "words"),
    [
        (DRIVER, {}, "the host that it ran on has none"),
        ("no CUDA-capable device is detected\n", {}, "the host that it ran on has none"),
        (DRIVER, {"platform": "cpu"}, "ran on a host for the platform cpu"),
        (DRIVER, {"result": {"details": {"gpu": {"name": "H100"}}}}, "driver is older"),
        (DRIVER, {"result": {"details": None}}, "driver is older"),  # nobody knows
        ("nothing of it\n", {}, ""),
    ],
)
def test_a_driver_that_is_none(log: str, more: dict[str, Any], words: str) -> None:
    said = submit.reading_of(ended(log, **more), "")
    assert words in said
    assert words or not said


@pytest.mark.parametrize(
    ("log", "more", "may_be_lost"),
    [
        ("", {"result": {"signal": 11}}, True),
        ("one\n", {"result": {"signal": 6}}, True),
        ("one\n", {"outcome": "runtime_timeout"}, True),
        ("one\ntwo", {"result": {"signal": 11}}, False),  # it was flushed
        ("one\n", {}, False),  # it ended by itself, and flushed
        ("", {"result": {"signal": 11}, "filename": "a.py"}, False),  # Python runs unbuffered
    ],
)
def test_a_line_without_its_end_may_be_lost(
    log: str, more: dict[str, Any], may_be_lost: bool
) -> None:
    """ADR 26: what is printed without an end of line waits in the C library's buffer."""
    said = submit.unflushed(ended(log, **more))
    assert bool(said) is may_be_lost
    assert not said or "\\n" in said


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("asm: this host has no cuobjdump, so there is no asm-ptx.txt and no asm-sass.txt.\n", 1),
        ("a.cu(3): warning: x\nasm: the program holds no PTX, so there is no asm-ptx.txt.\n", 1),
        ("asm: the compile's time limit left too little time to show all of the program.\n", 1),
        ("a.cu: asm: this host has\nasm volatile\n", 0),
        ("", 0),
    ],
)
def test_listings_that_are_not_there(log: str, words: int) -> None:
    found = submit.missing_listings({"compile_log": log})
    assert len(found) == words
    assert all(one.endswith(".") and "asm: " not in one for one in found)


def test_the_sentences_are_those_of_the_executor() -> None:
    """What it writes is what is looked for."""
    executor = load("executor")
    for script in (executor.COMPILE_AND_SHOW, executor.SHOW_CUDA, executor.JOIN_ASSEMBLY):
        for line in script.splitlines():
            _, found, words = line.partition('echo "asm: ')
            if found:
                assert submit.missing_listings({"compile_log": f"asm: {words}"}), words


# --- Before a program is sent ------------------------------------------------------------


@pytest.mark.parametrize("out", ["/proc/x", "/proc/x/y", "/dev/null/x", "", "file", "file/x"])
def test_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "a.cu").write_text("x")
    with pytest.raises(submit.Stop) as stop:
        submit.parse(["a.cu", "--out", out])
    assert stop.value.status == 2
    assert "--out" in str(stop.value)
    assert sorted(os.listdir()) == ["a.cu", "file"]


def test_a_folder_that_can_is_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.cu").write_text("x")
    (tmp_path / "is").mkdir()
    (tmp_path / "is" / "mine.txt").write_text("mine")
    for out in ("is", "new", "new/er", str(tmp_path / "there"), "is/below"):
        assert submit.parse(["a.cu", "--out", out]).out == Path(out)
    assert sorted(os.listdir()) == ["a.cu", "is"]
    assert os.listdir("is") == ["mine.txt"]


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("-O9x", "Did you mean -O3?"),
        ("-use_fast_maths", "Did you mean -use_fast_math?"),
        ("-std=c++177", "Did you mean -std=c++17?"),
        ("--extended-lamda", "Did you mean --extended-lambda?"),
        ("-fplugin=x.so", "Among those that it takes are -O2, -g,"),
        ("-o /tmp/x", "Give each flag by itself."),
        ("-Xptxas", "Write -Xptxas=VALUE"),
    ],
)
def test_a_flag_that_is_not_taken_leads_to_one_that_is(flag: str, words: str) -> None:
    said = why_refused([flag])
    assert said.startswith(f"The compiler flag {flag} is not one that the queue takes. ")
    assert words in said


def test_every_flag_that_is_named_is_taken() -> None:
    from courses import flags

    assert why_refused([*flags._USUAL]) == ""
    assert why_refused([*flags._EXAMPLES]) == ""


def test_the_flag_that_was_meant_is_not_the_one_that_is_wrong() -> None:
    wishes = [submit.Wish("-O3", "a.cu:1"), submit.Wish("-O9x", "a.cu:2")]
    answer = SimpleNamespace(detail=why_refused(["-O9x"]))
    assert [wish.place for wish in wishes if submit.is_meant(wish, answer)] == ["a.cu:2"]


# --- Long lines --------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [30, 40, 60, 80])
def test_lines_are_broken_between_words_and_never_in_a_command(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    look = submit.Look(submit.sys.stderr)
    look.is_terminal = True
    monkeypatch.setattr(submit.Look, "columns", columns)
    command = submit.as_typed("--attach", "7")
    text = f"The queue keeps your job, whatever becomes of this program; see it with: {command}"
    lines = look.wrapped(text).split("\n")
    assert " ".join(lines) == text
    assert [line for line in lines if command in line]
    assert all(len(line) < columns or command in line for line in lines)
    several = look.wrapped(f"{text}\n  a  table\n{text}").split("\n")
    assert "  a  table" in several


def test_every_line_of_ours_is_broken_so() -> None:
    """On standard error `tell`, `notice` and `Screen.warn` write; they break lines alike."""
    sources = Path(submit.__file__).parent / "handouts" / "submit"
    for source in sources.glob("*.py"):
        calls = [line for line in source.read_text().splitlines() if " warn(" in line]
        if source.name not in ("notices.py", "screen.py"):
            assert not [line for line in calls if 'warn("")' not in line] or (
                source.name == "answers_in_json.py"
            ), (source.name, calls)
