"""Reading a roster as it is pasted: a name a line, or a table as spreadsheets and courses' systems
give it, with commas, semicolons or tabs, in quotes or not, with a line of headings or without."""

import csv
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from accounts.roster_words import (
    ALSO_ROLES,
    EMAIL,
    FIRST,
    FULL,
    GROUPS,
    HEADINGS,
    LAST,
    LOGINS,
    NAME,
    PERSON,
)
from foundation.text import printable

MOST_LINES = 5_000
SAMPLE = 200  # lines that say which column holds the names
DELIMITERS = "\t;,|"
FEW_LINES = 10  # among these is the line of headings
CONTINUED = 5  # lines that a field in quotes goes on for


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
    before: list[tuple[int, list[str]]]  # what stands before the headings

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
        for login in LOGINS:
            if login in words:
                return words.index(login)
        return max(range(self.width), key=lambda place: self._likely(place, is_name))

    def _likely(self, place: int, is_name: Callable[[str], bool]) -> tuple[float, ...]:
        """How much a column looks like one of names: not headed as something else, in most rows,
        valid, each once, not numbers; the first."""
        word = _word(_cell(self.headings, place))
        is_other = word in GROUPS or any(word in PERSON[part] for part in (FIRST, LAST, FULL))
        rows = self.rows[:SAMPLE]
        values = list(filter(None, (_cell(row, place) for _, row in rows)))
        is_filled = 2 * len(values) >= len(rows)
        valid = sum(map(is_name, values)) / max(len(values), 1)
        distinct = len(set(values)) / max(len(values), 1)
        is_word = not any("@" in value or not _LETTER.search(value) for value in values)
        return not is_other, word not in GROUPS, is_filled, valid, distinct, is_word, -place

    def meanings(self, name_column: int) -> list[str]:
        """What each column is taken for; "" for one that is not used."""
        return [
            NAME if place == name_column else self._meaning(place) for place in range(self.width)
        ]

    def _meaning(self, place: int) -> str:
        word = _word(_cell(self.headings, place))
        for meaning, words in PERSON.items():
            if word in words:
                return meaning
        values = [_cell(row, place) for _, row in self.rows]
        is_email = not word and values and all("@" in value for value in values)
        return EMAIL if is_email else ""

    def lines(self, name_column: int) -> list[Line]:
        """The rows, one after the other."""
        meanings = self.meanings(name_column)
        why = "It stands before the line of headings."
        before = [
            Line(number, ", ".join(filter(None, row)), {}, why) for number, row in self.before
        ]
        return [*before, *(self._line(number, row, meanings) for number, row in self.rows)]

    def _line(self, number: int, row: list[str], meanings: list[str]) -> Line:
        if len(row) > self.width:
            name = ", ".join(row)
            expected = f"{self.width} are expected" if self.width > 1 else "one name a line"
            return Line(number, name, {}, f"It has {len(row)} fields; {expected}.")
        cells = {meaning: _cell(row, place) for place, meaning in enumerate(meanings) if meaning}
        name = cells.pop(NAME)
        if self.headings:
            name = name.removeprefix("#")  # as Brightspace marks what is no number
        person = _person(cells)
        why = _why_nobody(name, person)
        return Line(number, name or ", ".join(filter(None, row)), person, why)


def read(text: str) -> Roster:
    """The roster in a pasted text. Raises TooLong."""
    lines = [(n, line) for n, line in enumerate(_lines(text), 1) if line.strip(DELIMITERS + ' "')]
    if len(lines) > MOST_LINES:
        raise TooLong
    if lines and (said := re.fullmatch(r'\s*"?sep=(.)"?\W*', lines[0][1])):  # Excel's own line
        rows = _split(lines[1:], said[1])
    else:
        rows = _split(lines)
    before, headings, rows = _headed(rows)
    widths = Counter(len(row) for _, row in rows)
    width = len(headings) or (widths.most_common(1)[0][0] if widths else 1)
    return Roster(headings, rows, width, before)


def _lines(text: str) -> list[str]:
    """Each line; one that a field in quotes goes on in is part of the line before, and empty."""
    lines = re.split(r"\r\n|\r|\n", text.lstrip("\ufeff"))
    for n, line in enumerate(lines):
        if line.count('"') % 2 and _OPENS.search(line):
            for end in range(n + 1, min(n + 1 + CONTINUED, len(lines))):
                if _CLOSES.match(lines[end]) and lines[end].count('"') % 2:
                    lines[n] = " ".join(lines[n : end + 1])
                    lines[n + 1 : end + 1] = [""] * (end - n)
                    break
    return lines


_OPENS = re.compile(r'(?:^|[\t;,|])\s*"')
_CLOSES = re.compile(r'[^"]*"\s*(?:[\t;,|]|$)')
_LETTER = re.compile(r"[^\W\d_]")
_UNSEEN = re.compile(r"[\u00ad\u200b-\u200d\u2060\ufeff]")


def _headed(rows: list[tuple[int, list[str]]]) -> tuple[Any, list[str], Any]:
    """What stands before the headings, the headings, and the rest. A table may have a title."""
    for place, (_, row) in enumerate(rows[:FEW_LINES]):
        others = [other for _, other in rows[place + 1 :]]
        if not others or (place and len(row) < 2):
            continue
        if _names_logins(row, others) or (place == 0 and _are_headings(row, others)):
            return rows[:place], row, rows[place + 1 :]
    return [], [], rows


def _split(lines: list[tuple[int, str]], marks: str = DELIMITERS) -> list[tuple[int, list[str]]]:
    """In fields, by the delimiter that most lines have."""
    ways = [[(n, _fields(line, mark)) for n, line in lines] for mark in marks]
    return max(ways, key=lambda rows: sum(len(row) > 1 for _, row in rows))


def _fields(line: str, delimiter: str) -> list[str]:
    """Each line by itself: a quote that is never closed spoils no other one."""
    try:
        (fields,) = csv.reader([line], delimiter=delimiter, skipinitialspace=True)
    except csv.Error:  # longer than any field is
        return [line]
    fields = [printable(" ".join(_UNSEEN.sub("", field).split()).encode()) for field in fields]
    fields = [re.sub(r'="(.*)"', r"\1", field) for field in fields]  # Excel's way to say: a text
    while len(fields) > 1 and not fields[-1]:
        fields.pop()
    return fields


def _names_logins(row: list[str], others: list[list[str]]) -> bool:
    return bool(_known(row, others) & ({*LOGINS} - ALSO_ROLES))


def _are_headings(row: list[str], others: list[list[str]]) -> bool:
    """Whether a first line says what the columns are. A word that stands in its column again, or
    alone at the end of a line, is somebody's role."""
    known = _known(row, others)
    if len(known) > 1 or (_word(row[0]) in known and len(list(filter(None, row))) < 3):
        return True
    return any(_heads_addresses(row, others, place) for place in range(len(row)))


def _known(row: list[str], others: list[list[str]]) -> set[str]:
    """The headings in it."""
    words = {place: _word(cell) for place, cell in enumerate(row)}
    return {
        word
        for place, word in words.items()
        if word in HEADINGS and not any(_word(_cell(other, place)) == word for other in others)
    }


def _heads_addresses(row: list[str], others: list[list[str]], place: int) -> bool:
    """Whether it is a word above a column of e-mail addresses, in whatever language."""
    below = list(filter(None, (_cell(other, place) for other in others)))
    is_word = len(re.findall(r"[^\W\d_]", row[place])) > 4 and "@" not in row[place]
    return is_word and len(below) > 1 and all("@" in cell for cell in below)


def _word(heading: str) -> str:
    heading = re.sub(r"(?<=\w)\s*\(.*?\)", "", heading)  # "Name (as in the passport)"
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKD", heading)).lower()


def _cell(row: list[str], place: int) -> str:
    return row[place] if place < len(row) else ""


def _why_nobody(name: str, person: dict[str, str]) -> str:
    """Why a row is no person; "" if it is one. Systems add rows of their own: the points that can
    be had, and somebody as whom teachers look at the course."""
    if not name:
        return "It has no name."
    is_test = (person.get(FIRST), person.get(LAST)) == ("Test", "Student")  # Canvas's
    if is_test or name.lower().endswith("_previewuser"):  # Blackboard's
        return "It is the test student of the course's system."
    return ""


def _person(cells: dict[str, str]) -> dict[str, str]:
    """A whole name in its two parts: "Doe, John", or the last word is the family's."""
    full = cells.pop(FULL, "")
    last, comma, first = full.partition(",")
    if not comma:
        first, _, last = full.rpartition(" ")
        first, last = (first, last) if first else (last, "")
    parts = {FIRST: first.strip(), LAST: last.strip(), **cells}
    return {what: value for what, value in parts.items() if value}
