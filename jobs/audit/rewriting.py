"""Changing entries after the fact: where a person, or a program's text, must be forgotten.

Each batch is a transaction that also counts in `AuditCounter.rewrites`. A server's file keeps
beside it the count for which it was written (`audit_log.jsonl.rewrites`); where the two differ,
`file.follow` writes the whole file anew from the table (docs/adr/0034). So a kill at any moment
leaves a file that is put right later, on every server.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import F, QuerySet

from jobs.audit.models import AuditCounter, AuditEntry

_BATCH = 100  # entries of a transaction: one may hold a megabyte


class Rewritten(NamedTuple):
    """What an entry is to be."""

    username: str
    request: dict[str, Any]
    address: str | None


def rewrite(
    entries: QuerySet[AuditEntry], changed: Callable[[AuditEntry], Rewritten], after: int = 0
) -> int:
    """Makes each entry what `changed` says, oldest first; returns how many were changed."""
    count, last = 0, after
    while keys := list(_keys(entries.filter(id__gt=last))):
        count += _rewrite(entries.filter(id__in=keys), changed)
        last = keys[-1]
    return count


def _keys(entries: QuerySet[AuditEntry]) -> QuerySet[Any]:
    return entries.order_by("id").values_list("id", flat=True)[:_BATCH]


@transaction.atomic
def _rewrite(batch: QuerySet[AuditEntry], changed: Callable[[AuditEntry], Rewritten]) -> int:
    """They are locked as they are read: what somebody else has changed meanwhile stays changed."""
    count = 0
    for entry in batch.select_for_update(no_key=True).order_by("id"):
        before = Rewritten(entry.username, entry.request, entry.address)
        if (now := changed(entry)) != before:
            AuditEntry.objects.filter(pk=entry.pk).update(**now._asdict())
            count += 1
    if count:
        note()
    return count


def note() -> None:
    """In a transaction that changed entries, as the last thing: their files are to follow."""
    AuditCounter.objects.update(rewrites=F("rewrites") + 1)


def rewrites() -> int:
    """How often entries were changed until now."""
    return AuditCounter.objects.values_list("rewrites", flat=True).first() or 0


class Words:
    """Names and addresses that are not to stand anywhere, and what takes their place."""

    def __init__(self, words: Iterable[str], instead: str) -> None:
        self.words = sorted({word for word in words if word}, key=len, reverse=True)
        self.instead = instead
        any_of = "|".join(map(re.escape, self.words)) or r"(?!)"
        # Whole ones: what may stand in a name makes another name of it.
        self._pattern = re.compile(rf"(?<![\w@+-])(?<![\w@+-]\.)({any_of})(?!\.?[\w@+-])")

    def out_of(self, value: Any) -> Any:
        """The same value of JSON, without them."""
        if isinstance(value, str):
            return self._pattern.sub(self.instead, value)
        if isinstance(value, list):
            return [self.out_of(one) for one in value]
        if isinstance(value, dict):
            return {self.out_of(key): self.out_of(one) for key, one in value.items()}
        return value
