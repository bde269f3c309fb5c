"""The pictures of `make captures`: what a terminal showed is what stands in them."""

import os
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.captures.scenes import SCENES
from tests.captures.svg import COLOURS, KEPT_BLANK, svg
from tests.captures.terminal import Terminal

pytestmark = [pytest.mark.once, pytest.mark.processes]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Any]:
    opened = []

    def start(line: str, columns: int = 40) -> Terminal:
        opened.append(Terminal(line, columns, 10, tmp_path, dict(os.environ)))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def texts(terminal: Terminal) -> list[tuple[str, str | None]]:
    """The pieces of text in its picture, and their colours."""
    picture = ET.fromstring(svg(terminal.rows(), "a <title>", None))
    return [
        ((e.text or "").replace(KEPT_BLANK, " "), e.get("fill"))
        for e in picture.iter()
        if e.tag.endswith("}text")
    ]


def test_what_is_shown_stands_in_the_picture(terminal: Any) -> None:
    one = terminal(
        r"printf 'a <b> & c  d\n\033[31mred\033[m  plain\nold\rnew\n  indented'", columns=120
    )
    one.wait_until_over()
    assert texts(one)[2:] == [
        ("a <b> & c  d", None),
        ("red", COLOURS["red"]),
        ("  plain", None),
        ("new", None),
        ("  indented", None),
    ]


def test_it_is_a_terminal_of_its_width(terminal: Any) -> None:
    one = terminal(
        "stty size | cut -d' ' -f2; test -t 0 && test -t 1 && test -t 2 && echo yes", columns=33
    )
    one.wait_until_over()
    assert one.text().splitlines()[-2:] == ["33", "yes"]


def test_ctrl_c_reaches_what_runs_there(terminal: Any) -> None:
    one = terminal("trap 'echo stopped; exit' INT; echo begun; while :; do sleep 0.1; done")
    one.wait_until_seen("begun")
    one.press(b"\x03")
    one.wait_until_over()
    assert one.text().endswith("^Cstopped")


def test_words_that_never_come_are_an_error(terminal: Any) -> None:
    with pytest.raises(AssertionError, match="'never' was not on the screen"):
        terminal("echo over").wait_until_seen("never")


def test_each_scene_has_a_name_of_its_own() -> None:
    names = [scene.name for scene in SCENES]
    assert len(names) == len(set(names))
