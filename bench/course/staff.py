"""What the course's staff do meanwhile."""

from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

from accounts import operations
from accounts.models import User
from bench.course import people
from bench.course.clock import Clock
from bench.course.hosts import Hosts
from jobs import failures, staff
from jobs.bulk import working
from jobs.bulk.models import BulkAction, Kind
from jobs.models import Job
from jobs.states import Outcome, State

if TYPE_CHECKING:
    from bench.course.course import Course

MOST_ATTEMPTS = 7  # then they give a job up
REJUDGED = 60  # jobs that a bulk action runs again


class Staff:
    """Three of them, who look each day."""

    def __init__(self, clock: Clock, chance: Random) -> None:
        self._clock, self._chance = clock, chance
        self._bulks: list[int] = []
        self.first = people.STAFF[0]
        for name in people.STAFF:
            operations.create_staff(name, "command")
        User.objects.update(date_joined=clock.now)

    def plan(self, course: "Course", hosts: Hosts, students: list[User]) -> None:
        """A look each day, and each week something more."""
        for day in range(1, 7 * course.weeks):
            at = course.begins_at + timedelta(days=day, hours=self._chance.uniform(-3, 3))
            self._clock.at(at, self._look_after, hosts, students)
        for week in range(course.weeks):
            after = course.deadline(week) + timedelta(hours=8)
            kind = Kind.CANCEL if week % 5 == 4 else Kind.REQUEUE
            self._clock.at(after, self._begin, kind, REJUDGED + 7 * week, hosts)
        ill = course.ends_at - timedelta(hours=30)
        self._clock.at(ill, hosts.fall_ill, hosts.all[-1])
        # One that is at work at this moment, and goes on when a server is started.
        self._clock.at(course.ends_at - timedelta(seconds=3), self._begin, Kind.REQUEUE, 40, hosts)
        self._clock.at(course.ends_at - timedelta(days=4), self._out_and_in, hosts, False)
        self._clock.at(course.ends_at - timedelta(days=4, hours=-5), self._out_and_in, hosts, True)

    def _one(self) -> str:
        return self._chance.choice(people.STAFF)

    def _look_after(self, hosts: Hosts, students: list[User]) -> None:
        """Failed jobs are run again, some of them; a token or two are lost and issued anew."""
        actor, chance = self._one(), self._chance
        failed = list(Job.objects.filter(state=State.FAILED).order_by("-id")[:5])
        for job in failed[:2]:
            if job.attempts.count() < MOST_ATTEMPTS:
                staff.requeue(job.pk, actor)
        if failed:
            failures.mark_seen(self._clock.now, actor)
        student = chance.choice(students)
        if chance.random() < 0.5:
            operations.issue_token(student, actor)
        elif chance.random() < 0.2:
            operations.revoke_token(student, actor)
        hosts.take()

    def _out_and_in(self, hosts: Hosts, enabled: bool) -> None:
        host = hosts.all[1]
        operations.set_enabled(host.executor, enabled, self._one())
        host.is_up = enabled
        hosts.take()

    def _begin(self, kind: Kind, count: int, hosts: Hosts) -> None:
        """Many jobs at once, done in the background; every third is stopped half-way."""
        over = Job.objects.filter(state=State.FINISHED).exclude(outcome=Outcome.SUCCEEDED)
        jobs = over if kind == Kind.REQUEUE else Job.objects.all()
        numbers = sorted(jobs.order_by("-id").values_list("pk", flat=True)[:count])
        if numbers:
            bulk = working.begin(kind, numbers, self._one())
            self._bulks.append(bulk.pk)
            self._go_on(bulk.pk, hosts)

    def _go_on(self, key: int, hosts: Hosts) -> None:
        working.work()
        hosts.take()
        bulk = BulkAction.objects.get(pk=key)
        is_third = self._bulks.index(key) % 3 == 2
        if bulk.ended_at is None and is_third and bulk.done > bulk.count / 2:
            working.stop(key, self._one())
        elif bulk.ended_at is None:
            self._clock.after(2, self._go_on, key, hosts)
