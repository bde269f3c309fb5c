"""Jobs that failed, on the admin's front page: what is new since somebody looked."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from accounts.models import Executor, User
from jobs import claiming, reporting
from jobs.models import AuditEntry, FailuresSeen, Job
from tests.support.admin import browser, everything, found, page, submit, told

pytestmark = pytest.mark.django_db
SEEN = "/admin/failures-seen/"


def fail(user: User, executor: Executor) -> Job:
    job = submit(user)
    for _ in range(3):
        attempt = claiming.claim(executor)
        reporting.release(executor, attempt.pk, attempt.lease_token, "the disk is full")
    return job


def told_of_failures(client: Client) -> str:
    text = page(client, "/admin/")
    row = text.partition(">Failed</a>")[2].partition("</td>")[0]
    return " ".join(row.split())


def look(client: Client) -> None:
    """Presses the button of the front page as it is now."""
    until = client.get("/admin/").context["now"]
    assert client.post(SEEN, {"until": until})["Location"] == "/admin/"


def test_only_what_is_new_is_counted(ta: Client, alice: User, gpu1: Executor) -> None:
    assert "none new" in told_of_failures(ta)
    assert SEEN not in told_of_failures(ta)
    fail(alice, gpu1)
    fail(alice, gpu1)
    assert "2 new" in told_of_failures(ta)
    assert "in all" not in told_of_failures(ta)
    look(ta)
    assert "none new; 2 in all" in told_of_failures(ta)
    third = fail(alice, gpu1)
    told = told_of_failures(ta)
    assert "1 new</a> since ta looked" in told
    assert "3 in all" in told
    link = told.partition('href="')[2].partition('"')[0].replace("&amp;", "&")
    assert found(ta, link) == {third.pk}
    entry = AuditEntry.objects.get(action="failures-seen")
    assert entry.username == "ta"


def test_what_failed_after_the_page_was_made_stays_new(
    ta: Client, alice: User, gpu1: Executor
) -> None:
    fail(alice, gpu1)
    until = ta.get("/admin/").context["now"]
    fail(alice, gpu1)
    ta.post(SEEN, {"until": until})
    assert "1 new" in told_of_failures(ta)
    ta.post(SEEN, {"until": (timezone.now() - timedelta(days=1)).isoformat()})
    assert "1 new" in told_of_failures(ta)  # it never goes back


@pytest.mark.parametrize("until", ["", "soon", "2026-01-01", "2999-01-01T00:00:00Z", "\0"])
def test_a_moment_that_is_none(ta: Client, until: str) -> None:
    answer = ta.post(SEEN, {"until": until})
    assert told(answer) == ["Nothing was noted: load this page again, and press it there."]
    assert not FailuresSeen.objects.exists()


def test_who_may_not_act_notes_nothing(alice: User, gpu1: Executor) -> None:
    fail(alice, gpu1)
    looker = User.objects.create_user("looker", is_staff=True)
    looker.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    until = {"until": timezone.now().isoformat()}
    before = everything()
    assert browser(looker).post(SEEN, until).status_code == 403
    assert SEEN not in told_of_failures(browser(looker))
    for outsider in (browser(None), browser(alice)):
        assert outsider.post(SEEN, until)["Location"].startswith("/admin/login/")
    assert browser(looker).get(SEEN).status_code == 405
    assert everything() == before
    assert not FailuresSeen.objects.exists()
