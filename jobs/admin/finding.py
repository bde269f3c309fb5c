"""Searching the list of jobs: each word by the indexes that there are.

A word is a job's number, the beginning of a file's name, an executor, or part of a user's name. The
newest jobs of each that it may mean are taken from an index; of several words the one that means
fewest jobs leads, and those jobs are held against the others.
"""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Lower

from accounts.models import Executor, User
from jobs.models import Attempt, Job

NEWEST = 2_000  # jobs that one meaning of a word stands for
_BEFORE_A_NUMBER = re.compile(r"(?i)(?<!\S)(?:job\s+)?#?(?=[0-9]+(?!\S))")
MOST_MEANINGS = 10  # users, files or executors that one word stands for


class Meaning(NamedTuple):
    """What a word may stand for."""

    number: int | None
    users: frozenset[int]
    files: frozenset[str]  # in small letters
    executors: frozenset[str]


class Row(NamedTuple):
    """What a job is held against."""

    pk: int
    user: int
    file: str
    executors: frozenset[str]

    def is_meant(self, by: Meaning) -> bool:
        return (
            self.pk == by.number
            or self.user in by.users
            or self.file in by.files
            or not by.executors.isdisjoint(self.executors)
        )


class Found(NamedTuple):
    """The jobs' numbers; whether older ones may be meant as well."""

    jobs: list[int]
    is_cut: bool


def words_of(typed: str) -> list[str]:
    """What was typed, as words. A job's number may be written as people do: "job 17", "#17"."""
    return _BEFORE_A_NUMBER.sub("", typed.replace("\x00", "")).split()


def number_in(word: str) -> int | None:
    """The job's number that the word may be."""
    return int(word) if word.isascii() and word.isdigit() and len(word) <= 18 else None


def find(words: list[str], within: dict[str, int]) -> Found:
    """The jobs that all words mean. `within`: conditions on their numbers, pk__gte and pk__lt."""
    meanings = [_meaning(word) for word in words]
    found = [(_newest(meaning, within), meaning) for meaning in meanings]
    leader, by = min(found, key=lambda one: (one[0].is_cut, len(one[0].jobs)))
    others = [meaning for meaning in meanings if meaning is not by]
    if not others:
        return leader
    rows = _rows(leader.jobs, with_executors=any(one.executors for one in others))
    meant = [row.pk for row in rows if all(row.is_meant(one) for one in others)]
    return Found(meant, leader.is_cut)


def _meaning(word: str) -> Meaning:
    names = Q(username__icontains=word) | Q(first_name__icontains=word)
    users = User.objects.filter(names | Q(last_name__icontains=word)).order_by("username")
    executors = Executor.objects.filter(name__icontains=word).values_list("name", flat=True)
    return Meaning(
        number_in(word),
        frozenset(users.values_list("pk", flat=True)[:MOST_MEANINGS]),
        frozenset(_files(word)),
        frozenset([word, *executors[:MOST_MEANINGS]]),  # one that was deleted is in no table
    )


def _files(beginning: str) -> Iterable[str]:
    """Names of files that begin so, each found by a look at the index."""
    names = (
        Job.objects.annotate(low=Lower("filename")).order_by("low").values_list("low", flat=True)
    )
    name = names.filter(low__gte=Lower(Value(beginning))).first()
    for _ in range(MOST_MEANINGS):
        if name is None or not name.lower().startswith(beginning.lower()):
            return
        yield name
        name = names.filter(low__gt=name).first()


def _newest(meaning: Meaning, within: dict[str, int]) -> Found:
    jobs = Job.objects.filter(**within).order_by("-id").values_list("id", flat=True)
    attempts = Attempt.objects.filter(**{k.replace("pk", "job"): n for k, n in within.items()})
    on_hosts = attempts.order_by("-job").values_list("job", flat=True)
    sources: list[QuerySet[Any]] = [
        *(jobs.filter(user=user) for user in meaning.users),
        *(jobs.alias(low=Lower("filename")).filter(low=name) for name in meaning.files),
        *(on_hosts.filter(executor_name=name) for name in meaning.executors),
    ]
    if meaning.number is not None:
        sources.append(jobs.filter(pk=meaning.number))
    found: set[int] = set()
    is_cut = False
    for source in sources:
        keys = list(source[: NEWEST + 1])
        is_cut |= len(keys) > NEWEST
        found.update(keys[:NEWEST])
    return Found(sorted(found, reverse=True)[:NEWEST], is_cut or len(found) > NEWEST)


def _rows(jobs: list[int], *, with_executors: bool) -> list[Row]:
    ran: dict[int, set[str]] = {}
    if with_executors:
        attempts = Attempt.objects.filter(job__in=jobs).order_by()
        for job, executor in attempts.values_list("job", "executor_name"):
            ran.setdefault(job, set()).add(executor)
    rows = Job.objects.filter(pk__in=jobs).order_by("-id")
    return [
        Row(pk, user, file, frozenset(ran.get(pk, ())))
        for pk, user, file in rows.values_list("pk", "user", Lower("filename"))
    ]
