"""Figures on the students' pages, in units that are read at a glance."""

import pytest

from foundation import figures
from tests.support.scripts import load

pytestmark = pytest.mark.once
submit = load("submit")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 µs"), (0.00042, "420 µs"), (0.0421, "42.1 ms"), (0.633, "633 ms"), (1.934, "1.93 s"),
     (1.1, "1.10 s"), (59.99, "59.99 s"), (60, "1 min 0 s"), (200, "3 min 20 s"),
     (7260, "2 h 1 min")],
)  # fmt: skip
def test_durations(seconds: float, words: str) -> None:
    assert figures.duration(seconds) == words
    assert seconds > 3600 or submit.in_time(seconds) == words, "submit.py says the same"


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 bytes"), (1, "1 byte"), (812, "812 bytes"), (14500, "14.2 KiB"), (300000, "293 KiB"),
     (2880016, "2.75 MiB"), (1 << 30, "1 GiB"), (1023 << 20, "1023 MiB")],
)  # fmt: skip
def test_sizes(count: int, words: str) -> None:
    assert figures.size(count) == words
    assert submit.in_size(count) == words


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [(0, 0, "within 1 s"), (0, 40, "within 40 s"), (20, 40, "in about 20-40 s"),
     (30, 30, "in about 30 s"), (100, 210, "in about 1-4 min"), (4000, 9000, "in about 1-3 h")],
)  # fmt: skip
def test_starts(first: int, last: int, words: str) -> None:
    assert figures.start(first, last) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (13, "13th"), (22, "22nd"),
     (112, "112th")],
)  # fmt: skip
def test_ordinals(number: int, words: str) -> None:
    assert figures.ordinal(number) == words
