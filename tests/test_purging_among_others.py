"""A person is purged while others work: what they do at that moment brings nothing back."""

import contextlib
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone

from accounts import operations, purging
from accounts.models import Executor, User
from jobs import audit, cancelling, invariants, quota, retention, staff
from jobs import purging as forgetting
from jobs.audit import Entry, rewriting
from jobs.bulk import working
from jobs.bulk.models import Kind
from jobs.models import Attempt, AuditEntry, BulkAction, Job, Purge
from tests.support.admin import USERS, act, browser, run, submit, told
from tests.support.admin import staff as staff_user
from tests.test_purging import rows

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "zzmarkerzz"


@pytest.fixture
def person() -> User:
    return operations.create_user(NAME, "owner")[0]


def _meanwhile(
    monkeypatch: pytest.MonkeyPatch, where: Any, name: str, deed: Any, after: bool = False
) -> None:
    """Somebody else does `deed` once, just before (or after) the function is first called."""
    real, deeds = getattr(where, name), [deed]

    def called(*args: Any, **kwargs: Any) -> Any:
        now = deeds.pop() if deeds else None
        if now and not after:
            now()
        try:
            return real(*args, **kwargs)
        finally:
            if now and after:
                now()

    monkeypatch.setattr(where, name, called)


def _is_forgotten(audit_log: Path) -> None:
    assert NAME not in rows()
    assert NAME not in audit_log.read_text()
    assert invariants.violations() == []


def test_a_job_that_is_pruned_meanwhile_holds_nothing_up(
    person: User, gpu1: Executor, audit_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        submit(person)
        run(gpu1)
    _meanwhile(
        monkeypatch, cancelling, "end_now", lambda: retention.prune(timezone.now(), "command")
    )
    purging.purge.get()(NAME, "owner")
    assert not Job.objects.exists()
    _is_forgotten(audit_log)


def test_a_job_that_runs_again_meanwhile_is_ended_too(
    person: User, gpu1: Executor, audit_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(person)
    run(gpu1)
    _meanwhile(monkeypatch, cancelling, "end_now", lambda: staff.requeue(job.pk, "ta"), after=True)
    purging.purge.get()(NAME, "owner")
    job.refresh_from_db()
    assert job.is_over
    _is_forgotten(audit_log)


def test_a_bulk_action_of_theirs_that_goes_on_is_the_pseudonyms(
    person: User, alice: User, audit_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(alice)
    working.begin(Kind.CANCEL, [job.pk], NAME)
    _meanwhile(monkeypatch, forgetting, "_forget_entries", working.work, after=True)
    purging.purge.get()(NAME, "owner")
    working.work()
    assert BulkAction.objects.get().done == 1
    _is_forgotten(audit_log)


def test_an_entry_that_two_change_at_once_keeps_both_changes(
    person: User, audit_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts are dropped, or another person is purged: what was read before is old by then."""
    job = submit(person)
    cancelling.cancel(job.pk, "ta")
    _meanwhile(monkeypatch, rewriting, "_rewrite", lambda: purging.purge.get()(NAME, "owner"))
    retention.drop_texts(timezone.now(), "command")
    _is_forgotten(audit_log)
    entry = AuditEntry.objects.get(action="submitted")
    assert entry.request == {"not_kept": {}, "why": retention.FORGOTTEN}


def test_two_who_are_purged_at_once_are_both_gone(
    person: User, alice: User, gpu1: Executor, audit_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = operations.create_user("bob", "owner")[0]
    submit(bob)
    run(gpu1)
    Attempt.objects.update(reason=f"{NAME} waited for alice")
    with transaction.atomic():
        audit.record(Entry("owner", "tested", None, {"reason": f"{NAME} and alice"}))
    _meanwhile(monkeypatch, retention, "say_of_attempt", lambda: purging.purge.get()(NAME, "owner"))
    purging.purge.get()("alice", "owner")
    _is_forgotten(audit_log)
    assert "alice" not in rows()


def test_two_owners_who_purge_the_same_person_at_once_give_one_pseudonym(
    person: User, audit_log: Path
) -> None:
    """As a button that is pressed twice."""
    job = submit(person)
    cancelling.cancel(job.pk, NAME)

    def purged() -> None:
        with contextlib.suppress(ValidationError):  # the other one is done already
            purging.purge.get()(NAME, "owner")
        connection.close()

    both = [threading.Thread(target=purged) for _ in range(2)]
    with transaction.atomic():  # until both wait for the same row
        User.objects.select_for_update().get(pk=person.pk)
        for one in both:
            one.start()
        time.sleep(1)
    for one in both:
        one.join(60)
    pseudonym = User.objects.get(pk=person.pk).username
    assert {e.username for e in AuditEntry.objects.filter(job_id=job.pk)} == {pseudonym}
    purge = AuditEntry.objects.get(action="user-purged")
    assert purge.request["name"] == pseudonym
    assert not Purge.objects.exists()
    _is_forgotten(audit_log)


def test_who_has_begun_a_purge_is_forgotten_too(
    person: User, alice: User, audit_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr(forgetting, "_forget_jobs", killed)
        purging.purge.get()("alice", NAME)
    purging.purge.get()(NAME, "owner")
    _is_forgotten(audit_log)
    assert Purge.objects.exists()


def test_what_was_interrupted_goes_on_from_the_admin(
    person: User, audit_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list knows the person by the pseudonym alone by then."""

    def killed(*_: Any) -> None:
        raise purging.Unfinished("no room")

    client = browser(staff_user("owner"))
    with monkeypatch.context() as broken:
        broken.setattr(forgetting, "_forget_entries", killed)
        assert "no room" in " ".join(told(act(client, USERS, "purge", person.pk)))
    person.refresh_from_db()
    page = client.get(f"{USERS}{person.pk}/change/")
    assert "purge" in dict(page.context["buttons"])
    act(client, USERS, "purge", person.pk)
    assert not Purge.objects.exists()
    _is_forgotten(audit_log)
    page = client.get(f"{USERS}{person.pk}/change/")
    assert "purge" not in dict(page.context["buttons"])


def test_a_name_that_was_given_up_is_purged_under_the_present_one(
    person: User, audit_log: Path
) -> None:
    submit(person)
    person.username = "alicia"
    person.save()
    with pytest.raises(ValidationError, match="alicia"):
        purging.purge.get()(NAME, "owner")
    assert NAME in rows()
    purging.purge.get()("alicia", "owner")
    _is_forgotten(audit_log)


@pytest.mark.parametrize("mail", ['"z\\"z"@x\u00e9.org', '"a b"@\u674e.org', "Z_%@x.org"])
def test_addresses_of_all_kinds(mail: str, person: User, audit_log: Path) -> None:
    User.objects.filter(pk=person.pk).update(email=mail)
    with transaction.atomic():
        audit.record(Entry("owner", "tested", None, {"reason": f"write to {mail}"}))
    purging.purge.get()(NAME, "owner")
    entry = AuditEntry.objects.get(action="tested")
    assert entry.request["reason"].startswith("write to purged-")


def test_a_page_that_was_open_before_brings_no_name_back(person: User, audit_log: Path) -> None:
    client = browser(staff_user("owner"))
    where = f"{USERS}{person.pk}/change/"
    form = client.get(where).context["adminform"].form
    values = {k: v for k, v in form.initial.items() if v is not None}
    purging.purge.get()(NAME, "owner")
    assert client.post(where, {**values, "email": f"{NAME}@x.org"}).status_code == 403
    assert client.get(where).status_code == 200
    for action in ("issue_token", "make_login_code", "revoke_token"):
        answer = act(client, USERS, action, person.pk)
        assert "forgotten" in " ".join(told(answer))
    person.refresh_from_db()
    assert person.token_digest is None
    _is_forgotten(audit_log)


def test_logs_that_are_gone_when_room_is_made_hold_nothing_up(
    person: User,
    gpu1: Executor,
    settings: Any,
    audit_log: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for _ in range(3):
        submit(person)
        run(gpu1, execute_log=b"x" * 5000)
    first = Attempt.objects.order_by("pk").first()
    settings.TELERUN_USER_QUOTA_BYTES = 2000

    def dropped() -> None:
        Job.objects.filter(pk=first.job_id).update(finished_at=timezone.now() - timedelta(days=9))
        retention.drop_texts(timezone.now() - timedelta(days=5), "command")

    _meanwhile(monkeypatch, quota, "_empty_logs", dropped)
    quota.make_room(person.pk)
    assert invariants.violations() == []
    removed = AuditEntry.objects.filter(action="logs-removed")
    assert first.job_id not in removed.values_list("job_id", flat=True)
    assert removed.exists()


@pytest.mark.parametrize("name", ["purged-0123456789abcdef", "Purged-me"])
def test_nobody_is_called_as_if_purged(name: str) -> None:
    """Nobody of such a name could be purged."""
    with pytest.raises(ValidationError, match="purged-"):
        operations.create_user(name, "ta")


def test_who_was_purged_has_a_page_that_can_be_saved(person: User) -> None:
    purging.purge.get()(NAME, "owner")
    person.refresh_from_db()
    person.full_clean(exclude=["password"])
