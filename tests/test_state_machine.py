"""Random sequences of operations by users, executors and staff, against a simple model.

Answers get lost and requests are sent again; after each step the database must look as the
model says, and every invariant of `telerun_db check` must hold.
"""

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts.models import Executor, User
from jobs import cancelling, claiming, errors, invariants, leases, reporting, retention, submitting
from jobs.models import Attempt, AuditEntry, Job
from jobs.reporting import Result
from jobs.staff import requeue
from jobs.submitting import Submission

USERS, EXECUTORS, STAFF = ("alice", "bob", "carol"), ("gpu1", "gpu2"), "ta"
OUTCOMES = ("succeeded", "runtime_error", "compile_error")
TRIES = 2  # few, so that they are used up often
OVER = ("finished", "cancelled", "failed")


@dataclass
class ModelJob:
    """A job as the model knows it."""

    owner: str
    state: str = "queued"
    served: int = 0  # when its owner was last served as it began to wait
    tries_left: int = TRIES
    cancel_asked: bool = False
    holder: int | None = None  # the attempt that has the lease
    result: str = ""


@dataclass
class Model:
    """What must be true of the queue."""

    jobs: dict[int, ModelJob] = field(default_factory=dict)
    last_served: Counter[str] = field(default_factory=Counter)
    job_of: dict[int, int] = field(default_factory=dict)  # attempt: job
    results: dict[int, str] = field(default_factory=dict)  # attempt: outcome

    def waiting(self) -> list[int]:
        """Who is served next: the least recently served user, then the oldest job."""
        queued = [pk for pk, job in self.jobs.items() if job.state == "queued"]
        return sorted(queued, key=lambda pk: (self.jobs[pk].served, pk))

    def over(self) -> list[int]:
        return [pk for pk, job in self.jobs.items() if job.state in OVER]

    def serve(self, pk: int, attempt: int) -> None:
        job = self.jobs[pk]
        job.state, job.holder = "running", attempt
        job.tries_left -= 1
        self.job_of[attempt] = pk
        self.last_served[job.owner] = attempt
        for other in self.waiting():
            if self.jobs[other].owner == job.owner:
                self.jobs[other].served = attempt

    def lose(self, pk: int) -> None:
        """The attempt ends without a result."""
        job = self.jobs[pk]
        job.holder = None
        if job.cancel_asked:
            job.state = "cancelled"
        else:
            job.state = "queued" if job.tries_left else "failed"


def one_of(data: Any, ids: Iterable[int]) -> int:
    """One of the ids, drawn by its place: a database may number things anew each time."""
    found = sorted(ids)
    return found[data.draw(st.integers(0, 10**6)) % len(found)]


class Queue(RuleBasedStateMachine):
    """One queue; `Bundle`s are not used, since the model knows what there is."""

    @initialize()
    def begin(self) -> None:
        self.example = transaction.atomic()
        self.example.__enter__()
        self.model = Model()
        self.keys = itertools.count()
        self.users = {name: User.objects.create_user(name) for name in USERS}
        self.executors = {name: Executor.objects.create(name=name) for name in EXECUTORS}

    def teardown(self) -> None:
        if hasattr(self, "example"):
            transaction.set_rollback(True)
            self.example.__exit__(None, None, None)
            django_settings.TELERUN_AUDIT_LOG.unlink(missing_ok=True)

    # --- Users ---

    @rule(name=st.sampled_from(USERS), replace=st.booleans(), lost=st.booleans())
    def submit(self, name: str, replace: bool, lost: bool) -> None:
        key = f"key-{next(self.keys)}"
        mine = [pk for pk in self.model.waiting() if self.model.jobs[pk].owner == name]
        if mine and not replace:
            with pytest.raises(errors.PendingJob):
                self._submit(name, key, replace)
            return
        job, new = self._submit(name, key, replace)
        assert new
        for pk in mine:
            self.model.jobs[pk].state = "cancelled"
        self.model.jobs[job.pk] = ModelJob(name, served=self.model.last_served[name])
        if lost:
            again, new = self._submit(name, key, replace)
            assert (again.pk, new) == (job.pk, False)

    def _submit(self, name: str, key: str, replace: bool) -> tuple[Job, bool]:
        return submitting.submit(self.users[name], Submission("source"), key, replace=replace)

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data(), actor=st.sampled_from((*USERS, STAFF)))
    def cancel(self, data: Any, actor: str) -> None:
        pk = one_of(data, self.model.jobs)
        job = self.model.jobs[pk]
        if job.state in OVER:
            with pytest.raises(errors.AlreadyOver):
                cancelling.cancel(pk, actor)
            return
        cancelling.cancel(pk, actor)
        if job.state == "queued":
            job.state = "cancelled"
        else:
            job.cancel_asked = True

    # --- Executors ---

    @rule(name=st.sampled_from(EXECUTORS), lost=st.booleans())
    def claim(self, name: str, lost: bool) -> None:
        key = f"key-{next(self.keys)}"
        waiting = self.model.waiting()
        attempt = claiming.claim(self.executors[name], key)
        if not waiting:
            assert attempt is None
            return
        assert attempt is not None
        assert attempt.job_id == waiting[0]
        self.model.serve(waiting[0], attempt.pk)
        if lost:
            assert claiming.claim(self.executors[name], key) == attempt

    def _any_attempt(self, data: Any) -> Attempt:
        """Any attempt there ever was: the late and the lost report too."""
        return Attempt.objects.get(pk=one_of(data, self.model.job_of))

    def _holds(self, attempt: Attempt) -> bool:
        job = self.model.jobs[attempt.job_id]
        return job.state == "running" and job.holder == attempt.pk

    @precondition(lambda self: self.model.job_of)
    @rule(data=st.data(), phase=st.sampled_from(("compiling", "waiting", "executing")))
    def heartbeat(self, data: Any, phase: str) -> None:
        attempt = self._any_attempt(data)
        arguments = (attempt.executor, attempt.pk, attempt.lease_token, phase)
        if not self._holds(attempt):
            with pytest.raises(errors.LeaseLost):
                reporting.heartbeat(*arguments)
            return
        beat = reporting.heartbeat(*arguments)
        assert beat.cancel_requested == self.model.jobs[attempt.job_id].cancel_asked
        assert Job.objects.get(pk=attempt.job_id).phase == phase

    @precondition(lambda self: self.model.job_of)
    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES), lost=st.booleans())
    def finish(self, data: Any, outcome: str, lost: bool) -> None:
        attempt = self._any_attempt(data)
        told = self.model.results.get(attempt.pk)
        if not self._holds(attempt) and told != outcome:
            wrong = errors.LeaseLost if told is None else errors.ResultConflict
            with pytest.raises(wrong):
                self._finish(attempt, outcome)
            return
        for _ in range(2 if lost else 1):
            self._finish(attempt, outcome)
        if told is None:
            job = self.model.jobs[attempt.job_id]
            job.state, job.result, job.holder = "finished", outcome, None
            self.model.results[attempt.pk] = outcome

    def _finish(self, attempt: Attempt, outcome: str) -> None:
        result = Result(outcome)
        reporting.finish(attempt.executor, attempt.pk, attempt.lease_token, result)

    @precondition(lambda self: self.model.job_of)
    @rule(data=st.data(), lost=st.booleans())
    def release(self, data: Any, lost: bool) -> None:
        attempt = self._any_attempt(data)
        arguments = (attempt.executor, attempt.pk, attempt.lease_token, "given back")
        if not self._holds(attempt):
            if attempt.ending in ("released", "cancelled"):
                reporting.release(*arguments)  # said before: no news
            else:
                with pytest.raises(errors.LeaseLost):
                    reporting.release(*arguments)
            return
        for _ in range(2 if lost else 1):
            reporting.release(*arguments)
        self.model.lose(attempt.job_id)

    @rule(data=st.data())
    def sweep(self, data: Any) -> None:
        """Some of those that hold a lease were not heard of for too long."""
        held = [job.holder for job in self.model.jobs.values() if job.holder]
        late = {held[place] for place in data.draw(st.sets(st.integers(0, 9))) if place < len(held)}
        past = timezone.now() - timedelta(seconds=1)
        Attempt.objects.filter(pk__in=late).update(lease_expires_at=past)
        assert leases.expire() == len(late)
        for attempt in late:
            self.model.lose(self.model.job_of[attempt])

    # --- Staff ---

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data())
    def requeue(self, data: Any) -> None:
        pk = one_of(data, self.model.jobs)
        job = self.model.jobs[pk]
        requeue(pk, STAFF)
        if job.state == "queued":
            return
        if job.state == "running" and job.cancel_asked:
            self.model.lose(pk)
            return
        job.state, job.result, job.holder = "queued", "", None
        job.tries_left, job.cancel_asked = TRIES, False

    @precondition(lambda self: len(self.model.over()) > 2)
    @rule()
    def prune(self) -> None:
        over = self.model.over()
        assert retention.prune(timezone.now() + timedelta(hours=1), STAFF) == len(over)
        for pk in over:
            del self.model.jobs[pk]
        self.model.job_of = {a: pk for a, pk in self.model.job_of.items() if pk in self.model.jobs}

    # --- What must hold ---

    @invariant()
    def the_database_is_as_the_model_says(self) -> None:
        found = {
            job.pk: (job.user.username, job.state, job.outcome, job.attempts_left)
            for job in Job.objects.select_related("user")
        }
        assert found == {
            pk: (job.owner, job.state, job.result, job.tries_left)
            for pk, job in self.model.jobs.items()
        }
        waiting = self.model.waiting()
        assert [job.pk for job in Job.objects.queued()] == waiting
        for place, pk in enumerate(waiting, start=1):
            assert Job.objects.get(pk=pk).queue_position == place

    @invariant()
    def each_running_job_has_one_holder(self) -> None:
        held = dict(Attempt.objects.open().values_list("job_id", "pk"))
        assert held == {pk: job.holder for pk, job in self.model.jobs.items() if job.holder}

    @invariant()
    def check_finds_nothing(self) -> None:
        assert invariants.violations() == []
        assert AuditEntry.objects.filter(action="submitted").count() >= len(self.model.jobs)


@pytest.mark.hardening
@pytest.mark.long(45)
@pytest.mark.timeout(1800)  # beside a load it takes minutes
@pytest.mark.django_db
def test_whatever_happens_nothing_is_lost_doubled_or_stuck(settings: Any) -> None:
    settings.TELERUN_MAX_ATTEMPTS = TRIES
    run_state_machine_as_test(
        Queue,
        settings=hypothesis_settings(
            max_examples=30,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            phases=(Phase.generate,),  # a failure is told as it was found, within the time-out
        ),
    )
