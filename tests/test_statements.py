"""Statements that are kept do what the ORM's own would."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import DateTimeField
from django.utils import timezone

from accounts.models import User
from foundation.database.statements import Parameter, Select, insert, update
from jobs.models import AuditEntry, Job

pytestmark = pytest.mark.django_db


def a_job(user: User, **more: Any) -> Job:
    now = timezone.now()
    return Job(user=user, source="x", submitted_at=now, turn=0, attempts_left=1, **more)


@pytest.fixture
def jobs(alice: User) -> list[Job]:
    made = [a_job(alice, args=["é", n], idempotency_key=f"k{n}" if n else None) for n in range(4)]
    for job in made:
        insert(job)
    return made


def test_what_is_inserted_is_what_the_orm_reads(jobs: list[Job]) -> None:
    names = [field.attname for field in Job._meta.concrete_fields]
    for job in jobs:
        read = Job.objects.get(pk=job.pk)
        assert [getattr(read, n) for n in names] == [getattr(job, n) for n in names]
    assert len({job.pk for job in jobs}) == len(jobs)


def test_a_row_may_bring_its_own_key() -> None:
    insert(AuditEntry(id=77, timestamp=timezone.now(), username="u", action="a", request={"b": 1}))
    assert AuditEntry.objects.get(pk=77).request == {"b": 1}


def test_a_select_reads_what_its_queryset_reads(alice: User, jobs: list[Job]) -> None:
    query = Job.objects.filter(user=Parameter("user"), id__gt=Parameter("after")).order_by("-id")
    kept = Select(query)
    for after in (0, jobs[1].pk, jobs[-1].pk):
        wanted = list(Job.objects.filter(user=alice, id__gt=after).order_by("-id"))
        found = kept.all(user=alice.pk, after=after)
        assert found == wanted
        assert [job.args for job in found] == [job.args for job in wanted]
        assert kept.count(user=alice.pk, after=after) == len(wanted)
        assert kept.first(user=alice.pk, after=after) == (wanted[0] if wanted else None)
    assert kept.all(user=2**63, after=0) == []  # larger than any column holds


def test_a_select_of_some_fields_has_the_others_when_asked(alice: User, jobs: list[Job]) -> None:
    found = Select(Job.objects.filter(pk=Parameter("id")).only("turn")).first(id=jobs[2].pk)
    assert found is not None
    assert "args" in found.get_deferred_fields()
    assert found.args == ["é", 2]


def test_times_are_compared_as_times(alice: User, jobs: list[Job]) -> None:
    before = Parameter("before", DateTimeField())
    kept = Select(Job.objects.filter(submitted_at__lt=before).order_by("id"))
    assert kept.count(before=jobs[0].submitted_at) == 0
    assert kept.all(before=timezone.now() + timedelta(seconds=1)) == jobs


@pytest.mark.parametrize("key", [None, "k2", ["k1", "k3"], []])
def test_an_update_changes_what_a_filter_finds(jobs: list[Job], key: Any) -> None:
    keys = [key] if not isinstance(key, list) else key
    wanted = [job.pk for job in jobs if job.idempotency_key in keys]
    changed = update(Job, {"idempotency_key": key, "state": "queued"}, turn=9, args=["new"])
    found = Job.objects.filter(turn=9).order_by("id")
    assert (changed, [job.pk for job in found]) == (len(wanted), wanted)
    assert all(job.args == ["new"] for job in found)
