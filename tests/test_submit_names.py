"""What the files of a submission may be called, as submit.py sees it."""

from pathlib import Path

import pytest

from tests.support.submissions import refused, submit

pytestmark = pytest.mark.once


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
