"""The table of states, and the database constraints that state the invariants."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import Executor, User
from jobs import states, submitting
from jobs.models import Attempt, Job
from jobs.states import FINAL, Ending, Event, IllegalTransition, State


def test_every_event_of_the_table_leads_somewhere_and_nothing_else_does() -> None:
    for state in State:
        for event in Event:
            if (state, event) in states.TRANSITIONS:
                assert states.after(state, event) in State
            else:
                with pytest.raises(IllegalTransition):
                    states.after(state, event)


def test_only_staff_bring_back_a_job_that_is_over() -> None:
    events = {event for (state, event) in states.TRANSITIONS if state in FINAL}
    assert events == {Event.REQUEUED}


@pytest.fixture
def job(alice: User) -> Job:
    job, _ = submitting.submit(alice, submitting.Submission("int main() {}"))
    return job


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "nonsense"},
        {"finished_at": timezone.now()},
        {"state": State.CANCELLED},
        {"state": State.FINISHED, "finished_at": timezone.now()},
        {"outcome": "succeeded"},
        {"phase": "compiling"},
        {"state": State.RUNNING},
    ],
)
def test_the_database_refuses_a_job_that_contradicts_itself(job: Job, changes: Any) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.filter(pk=job.pk).update(**changes)


def attempt(job: Job, executor: Executor, **members: Any) -> Attempt:
    now = timezone.now()
    values = {"number": 1, "started_at": now, "lease_expires_at": now + timedelta(seconds=9)}
    return Attempt.objects.create(job=job, executor=executor, **{**values, **members})


@pytest.mark.parametrize(
    "second",
    [
        {"number": 2},  # a second open one
        {"number": 1, "ended_at": timezone.now(), "ending": Ending.EXPIRED},  # the same number
        {"number": 2, "ended_at": timezone.now()},  # ended, but how?
        {"number": 2, "ending": Ending.EXPIRED},  # not ended, but how?
        {"number": 2, "ended_at": timezone.now(), "ending": Ending.FINISHED},  # no outcome
    ],
)
def test_the_database_refuses_attempts_that_contradict(
    job: Job, gpu1: Executor, second: Any
) -> None:
    attempt(job, gpu1)
    with pytest.raises(IntegrityError), transaction.atomic():
        attempt(job, gpu1, **second)


def test_the_database_takes_one_result_a_job(job: Job, gpu1: Executor) -> None:
    ended = {"ended_at": timezone.now(), "ending": Ending.FINISHED, "outcome": "succeeded"}
    attempt(job, gpu1, **ended)
    with pytest.raises(IntegrityError), transaction.atomic():
        attempt(job, gpu1, number=2, **ended)
