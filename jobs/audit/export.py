"""Entries of the audit log as a file: CSV for a spreadsheet, JSON Lines for a program.

JSON Lines have all of an entry, as the audit file has it. CSV leaves out the texts of programs,
which no cell holds.
"""

import csv
import json
from collections.abc import Callable, Iterator
from typing import Any

from django.db.models import QuerySet

from foundation.database import connections
from jobs.audit.file import line_of
from jobs.audit.models import AuditEntry

_BATCH = 100  # entries read at once, for a client that may be slow
_COLUMNS = ("id", "timestamp", "username", "action", "job_id", "address", "request")
_TEXTS = ("source", "sources", "includes")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def parts(entries: QuerySet[AuditEntry], kind: str) -> Iterator[bytes]:
    """The file of that kind, one of KINDS, newest entry first; in parts, each read by itself."""
    head, part = KINDS[kind]
    yield head
    last = None
    while batch := list(_next(entries, last)):
        last = batch[-1].id
        connections.release()
        yield part(batch)


def _next(entries: QuerySet[AuditEntry], last: int | None) -> QuerySet[AuditEntry]:
    older = entries if last is None else entries.filter(id__lt=last)
    return older.order_by("-id")[:_BATCH]


def _as_lines(batch: list[AuditEntry]) -> bytes:
    return b"".join(map(line_of, batch))


class _Echo:
    """A file that gives back what is written to it."""

    def write(self, text: str) -> str:
        return text


def _as_csv(batch: list[AuditEntry]) -> bytes:
    write = csv.writer(_Echo()).writerow
    return "".join(write([*map(cell, _values(entry))]) for entry in batch).encode()


def _values(entry: AuditEntry) -> list[Any]:
    line = {"address": "", **json.loads(line_of(entry))}
    request = {name: value for name, value in entry.request.items() if name not in _TEXTS}
    # A semicolon parts cells in a spreadsheet of many a country; in JSON there is another way.
    line["request"] = json.dumps(request, ensure_ascii=False).replace(";", r"\u003b")
    return [line[column] for column in _COLUMNS]


def cell(value: Any) -> str:
    """As a spreadsheet shows it, and never computes it: a name may begin with "="."""
    text = "" if value is None else str(value).replace("\0", "")
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


_HEAD = ",".join(_COLUMNS).encode() + b"\r\n"
KINDS: dict[str, tuple[bytes, Callable[[list[AuditEntry]], bytes]]] = {
    "csv": (_HEAD, _as_csv),
    "jsonl": (b"", _as_lines),
}
TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}
