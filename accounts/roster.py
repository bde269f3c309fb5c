"""Reading a roster as it is pasted: a name a line, or a table as spreadsheets and courses' systems
give it, with commas, semicolons or tabs, in quotes or not, with a line of headings or without."""

import csv
import re
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from foundation.text import printable

MOST_LINES = 5_000
SAMPLE = 200  # lines that say which column holds the names
DELIMITERS = "\t;,"
NAME, EMAIL, FIRST, LAST, FULL = "name", "email", "first_name", "last_name", "full_name"
# What columns are called, without case, blanks and punctuation; in the order of preference.
_LOGINS = (
    "username", "login", "loginid", "sisloginid", "netid", "uniqname", "userid", "uid", "user",
    "account", "kerberos", "executor", "hostname", "host",
)  # fmt: skip
_PERSON = {
    EMAIL: ("email", "emailaddress", "mail", "universityemail"),
    FIRST: ("firstname", "givenname", "first", "forename"),
    LAST: ("lastname", "familyname", "surname", "last"),
    FULL: ("name", "fullname", "student", "studentname"),
}
_OTHERS = ("section", "sections", "group", "id", "sid", "studentid", "sisuserid", "sisid", "role")
_HEADINGS = {*_LOGINS, *_OTHERS, *(word for words in _PERSON.values() for word in words)}


class TooLong(ValueError):
    """More lines than a roster has."""


class Line(NamedTuple):
    """A person or an executor of the roster."""

    number: int  # in what was pasted, from 1
    name: str
    person: dict[str, str]  # what else is known: email, first_name, last_name
    why_not: str = ""  # why it cannot be read


class Roster(NamedTuple):
    """What was pasted, in columns."""

    headings: list[str]  # as they stand there; empty without a line of headings
    rows: list[tuple[int, list[str]]]  # with the line's number
    width: int

    def column_names(self) -> list[str]:
        """What to call the columns: by their heading, or by the first thing in them."""
        first = self.rows[0][1] if self.rows else []
        return [
            _cell(self.headings, place) or f"column {place + 1} ({_cell(first, place) or 'empty'})"
            for place in range(self.width)
        ]

    def name_column(self, is_name: Callable[[str], bool]) -> int:
        """Which column seems to hold the names: by its heading, or by what is in it."""
        words = [_word(heading) for heading in self.headings]
        for login in _LOGINS:
            if login in words:
                return words.index(login)
        return max(range(self.width), key=lambda place: self._likely(place, is_name))

    def _likely(self, place: int, is_name: Callable[[str], bool]) -> tuple[float, float, bool, int]:
        """How much a column looks like one of names: valid, each once, not numbers; the first."""
        values = [_cell(row, place) for _, row in self.rows[:SAMPLE]]
        valid = sum(map(is_name, values)) / max(len(values), 1)
        distinct = len(set(values)) / max(len(values), 1)
        looks_like_one = not any("@" in value or value.isdigit() for value in values)
        return valid, distinct, looks_like_one, -place

    def meanings(self, name_column: int) -> list[str]:
        """What each column is taken for; "" for one that is not used."""
        return [
            NAME if place == name_column else self._meaning(place) for place in range(self.width)
        ]

    def _meaning(self, place: int) -> str:
        word = _word(_cell(self.headings, place))
        for meaning, words in _PERSON.items():
            if word in words:
                return meaning
        values = [_cell(row, place) for _, row in self.rows]
        is_email = not word and values and all("@" in value for value in values)
        return EMAIL if is_email else ""

    def lines(self, name_column: int) -> list[Line]:
        """The rows, one after the other."""
        meanings = self.meanings(name_column)
        return [self._line(number, row, meanings) for number, row in self.rows]

    def _line(self, number: int, row: list[str], meanings: list[str]) -> Line:
        if len(row) > self.width:
            name = ", ".join(row)
            expected = f"{self.width} are expected" if self.width > 1 else "one name a line"
            return Line(number, name, {}, f"It has {len(row)} fields; {expected}.")
        cells = {meaning: _cell(row, place) for place, meaning in enumerate(meanings) if meaning}
        name = cells.pop(NAME)
        return Line(number, name, _person(cells), "" if name else "It has no name.")


def read(text: str) -> Roster:
    """The roster in a pasted text. Raises TooLong."""
    lines = [(n, line) for n, line in enumerate(_lines(text), 1) if line.strip(DELIMITERS + " ")]
    if len(lines) > MOST_LINES:
        raise TooLong
    rows = _split(lines)
    headings = rows.pop(0)[1] if len(rows) > 1 and _are_headings(rows[0][1]) else []
    widths = Counter(len(row) for _, row in rows)
    width = len(headings) or (widths.most_common(1)[0][0] if widths else 1)
    return Roster(headings, rows, width)


def _lines(text: str) -> list[str]:
    return re.split(r"\r\n|\r|\n", text.lstrip("\ufeff"))


def _split(lines: list[tuple[int, str]]) -> list[tuple[int, list[str]]]:
    """In fields, by the delimiter that most lines have."""
    ways = [[(n, _fields(line, mark)) for n, line in lines] for mark in DELIMITERS]
    return max(ways, key=lambda rows: sum(len(row) > 1 for _, row in rows))


def _fields(line: str, delimiter: str) -> list[str]:
    """Each line by itself: a quote that is never closed spoils no other one."""
    try:
        (fields,) = csv.reader([line], delimiter=delimiter, skipinitialspace=True)
    except csv.Error:  # longer than any field is
        return [line]
    fields = [printable(" ".join(field.split()).encode()) for field in fields]
    while len(fields) > 1 and not fields[-1]:
        fields.pop()
    return fields


def _are_headings(row: list[str]) -> bool:
    return any(_word(cell) in _HEADINGS for cell in row)


def _word(heading: str) -> str:
    return re.sub(r"[\W_]", "", heading).lower()


def _cell(row: list[str], place: int) -> str:
    return row[place] if place < len(row) else ""


def _person(cells: dict[str, str]) -> dict[str, str]:
    """A whole name in its two parts: "Doe, John", or the last word is the family's."""
    full = cells.pop(FULL, "")
    last, comma, first = full.partition(",")
    if not comma:
        first, _, last = full.rpartition(" ")
        first, last = (first, last) if first else (last, "")
    parts = {FIRST: first.strip(), LAST: last.strip(), **cells}
    return {what: value for what, value in parts.items() if value}
