"""A course from its first week to this moment."""

import math
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from unittest import mock

from django.db import transaction
from django.utils import timezone

from accounts import operations
from accounts.models import User
from bench.course import people
from bench.course.clock import Clock
from bench.course.hosts import Hosts
from bench.course.programs import LABS, Fate, Lab, fate, program
from bench.course.staff import Staff
from foundation.problems import Problem
from jobs import cancelling, leases, submitting
from jobs.audit import file as audit_file
from jobs.bulk import working
from jobs.errors import PendingJob

SETTLED = 500  # things that happen in one transaction: nothing else uses the database


@dataclass(frozen=True)
class Course:
    """How large a course is, and when it is. `ends_at` is the moment that is now: the last deadline
    is twenty minutes later, jobs wait and run."""

    students: int = 24
    weeks: int = 2
    jobs: int | None = None  # about so many; by default 3.4 for each student and week
    kernels: int = 12  # in a program: twelve are about 4 KB
    seed: int = 1
    ends_at: datetime = field(default_factory=timezone.now)

    @property
    def begins_at(self) -> datetime:
        return self.ends_at - timedelta(weeks=self.weeks)

    def deadline(self, week: int) -> datetime:
        return self.begins_at + timedelta(weeks=week + 1, minutes=20)


def fill(course: Course) -> None:
    """Makes the course in an empty database, which has its tables."""
    clock = Clock(course.begins_at)
    with (
        clock.told(),
        mock.patch.object(leases.log, "warning"),  # hosts are lost as planned
        mock.patch.object(working, "BUSY_SECONDS", 60),  # or a slow machine makes another course
    ):
        life = _Life(course, clock)
        while True:
            with transaction.atomic(), _quietly():
                if not clock.happen(course.ends_at, SETTLED):
                    break
        with transaction.atomic(), _quietly():
            life.come_to_now()
        audit_file.follow()


class _Life:
    """What the people of a course do, planned on its clock."""

    def __init__(self, course: Course, clock: Clock) -> None:
        self._course, self._clock = course, clock
        self._chance = Random(course.seed)
        self._fates: dict[int, Fate] = {}
        with transaction.atomic(), _quietly():
            self._staff = Staff(clock, self._chance)
            self._hosts = Hosts(clock, self._chance, self._fates, self._staff.first)
            roster = people.roster(self._chance, course.students)
            self._students = [self._enrol(person) for person in roster]
        self._tries = (course.jobs or 3.4 * course.students * course.weeks) / (
            course.students * course.weeks
        )
        for week in range(course.weeks):
            for student in self._students:
                self._plan_week(student, week)
        self._staff.plan(course, self._hosts, self._students)

    def _enrol(self, person: people.Person) -> User:
        about = {"first_name": person.first, "last_name": person.last, "email": person.email}
        joined = {"date_joined": self._clock.now}
        return operations.create_user(person.name, self._staff.first, **about, **joined)[0]

    def _plan_week(self, student: User, week: int) -> None:
        """A third begins within the last hours, the others when they like."""
        chance, lab = self._chance, LABS[week % len(LABS)]
        hours = chance.expovariate(1 / (1.2 if chance.random() < 0.35 else 40))
        begins = self._course.deadline(week) - timedelta(hours=min(hours, 166))
        tries = max(1, round(chance.gammavariate(2, self._tries / 2)))
        self._clock.at(begins, self._submit, student, lab, 1, tries)

    def _submit(self, student: User, lab: Lab, version: int, tries: int) -> None:
        chance = self._chance
        submission = program(chance, lab, student.username, version, self._course.kernels)
        try:
            job, _ = submitting.submit(student, submission, replace=chance.random() < 0.5)
        except PendingJob:
            self._clock.after(300, self._submit, student, lab, version, tries)
            return
        self._fates[job.pk] = made = fate(chance, lab, len(self._fates))
        if made.kind == "cancelled":
            self._clock.after(chance.uniform(1, 6), self._cancel, job.pk, student.username)
        self._hosts.take()
        if version < tries:
            think = 60 * chance.lognormvariate(math.log(9), 0.8)
            self._clock.after(think, self._submit, student, lab, version + 1, tries)

    def _cancel(self, job: int, actor: str) -> None:
        with suppress(Problem):  # it is over
            cancelling.cancel(job, actor)

    def come_to_now(self) -> None:
        """What stands at this moment: a rush before the deadline, jobs that wait and run."""
        chance, lab = self._chance, LABS[(self._course.weeks - 1) % len(LABS)]
        for student in self._students[: max(8, self._course.students // 7)]:
            self._clock.now += timedelta(milliseconds=chance.randint(5, 90))
            self._submit(student, lab, 1, 1)
        self._hosts.heard_of()


def _quietly() -> AbstractContextManager[object]:
    """The audit file follows at the end: it would look for news after each operation."""
    return mock.patch.object(audit_file, "follow_soon")
