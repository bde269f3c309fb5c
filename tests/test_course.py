"""The generated course: what came of it is what the queue's own operations make."""

from datetime import datetime, timezone

import pytest

from accounts.models import Executor, Gpu, User
from bench.course.course import Course, fill
from jobs.invariants import violations
from jobs.models import Attempt, AuditEntry, BulkAction, FailuresSeen, Job
from jobs.states import Ending, Outcome, State

SMALL = Course(students=14, weeks=2, ends_at=datetime(2026, 11, 29, 22, 39, tzinfo=timezone.utc))


@pytest.fixture
def course(db: None) -> None:
    fill(SMALL)


def test_a_course_holds_what_must_hold_and_has_something_of_everything(course: None) -> None:
    assert violations() == []
    assert set(Job.objects.values_list("state", flat=True)) == set(State)
    assert {*Outcome, ""} == set(Attempt.objects.values_list("outcome", flat=True))
    assert {*Ending, ""} - {"requeued"} <= set(Attempt.objects.values_list("ending", flat=True))
    assert Executor.objects.count() == 5
    assert Gpu.objects.filter(condition="quarantined").exclude(reason="").count() == 1
    assert BulkAction.objects.filter(ended_at=None).exists()


def test_its_times_are_its_own(course: None) -> None:
    moments = [
        *Job.objects.values_list("submitted_at", flat=True),
        *AuditEntry.objects.values_list("timestamp", flat=True),
        *User.objects.values_list("date_joined", flat=True),
    ]
    assert min(moments) >= SMALL.begins_at
    assert max(moments) < SMALL.deadline(SMALL.weeks - 1)
    ids = Job.objects.order_by("id").values_list("submitted_at", flat=True)
    assert list(ids) == sorted(ids)


def told() -> list[object]:
    jobs = Job.objects.order_by("id").values_list(
        "user__username", "state", "outcome", "submitted_at", "finished_at", "source"
    )
    entries = AuditEntry.objects.order_by("id").values_list("timestamp", "username", "action")
    return [list(jobs), list(entries)]


def test_the_same_seed_makes_the_same_course(course: None) -> None:
    first = told()
    for model in (AuditEntry, BulkAction, FailuresSeen, Job, User, Executor):
        model.objects.all().delete()
    fill(SMALL)
    assert [len(rows) for rows in told()] == [len(rows) for rows in first]
    assert [row[1:5] for row in told()[0]] == [row[1:5] for row in first[0]]
