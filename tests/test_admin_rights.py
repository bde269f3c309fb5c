"""Who gets into the admin site, and what nobody may do there."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import Executor, User
from jobs.models import AuditEntry, Job
from tests.support.admin import (
    ACTIONS,
    AUDIT,
    EXECUTORS,
    JOBS,
    USERS,
    act,
    browser,
    everything,
    page,
    staff,
)

pytestmark = pytest.mark.django_db


WITHOUT_THE_RIGHT = "staff without the right"


@pytest.fixture(params=["anonymous", "student", WITHOUT_THE_RIGHT])
def outsider(request: pytest.FixtureRequest, db: None) -> Client:
    if request.param == "anonymous":
        return browser(None)
    is_staff = request.param == WITHOUT_THE_RIGHT
    return browser(User.objects.create_user("outsider", is_staff=is_staff))


def refused(answer: Any) -> bool:
    """403, or the way to the log-in."""
    if answer.status_code == 302:
        return answer["Location"].startswith("/admin/login/")
    return answer.status_code == 403


def test_outsiders_see_nothing(outsider: Client, every_state: dict[str, Job]) -> None:
    objects = {
        JOBS: every_state["finished"],
        AUDIT: AuditEntry.objects.first(),
        USERS: User.objects.get(username="alice"),
        EXECUTORS: Executor.objects.get(),
    }
    for where, obj in objects.items():
        urls = [where, f"{where}add/"]
        urls += [f"{where}{obj.pk}/{view}/" for view in ("change", "delete", "history")]
        for url in urls:
            assert refused(outsider.get(url)), url
    assert refused(outsider.get(f"{USERS}{objects[USERS].pk}/password/"))
    front = outsider.get("/admin/")
    assert refused(front) or b"gpu1" not in front.content


def test_outsiders_change_nothing(outsider: Client, every_state: dict[str, Job]) -> None:
    before = everything()
    pks = {
        JOBS: every_state["running"].pk,
        USERS: User.objects.get(username="alice").pk,
        EXECUTORS: Executor.objects.get().pk,
    }
    for where, actions in ACTIONS.items():
        for action in (*actions, "delete_selected"):
            assert refused(act(outsider, where, action, pks[where])), (where, action)
        for url in (f"{where}add/", f"{where}{pks[where]}/change/", f"{where}{pks[where]}/delete/"):
            assert refused(outsider.post(url, {"names": "eve", "post": "yes"})), url
    assert everything() == before


def test_who_may_only_look_may_not_act(alice: User, every_state: dict[str, Job]) -> None:
    looker = User.objects.create_user("looker", is_staff=True)
    looker.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = browser(looker)
    before = everything()
    pks = {JOBS: every_state["running"].pk, USERS: alice.pk, EXECUTORS: Executor.objects.get().pk}
    for where, actions in ACTIONS.items():
        text = page(client, f"{where}{pks[where]}/change/")
        for action in actions:
            assert f'value="{action}"' not in text
            act(client, where, action, pks[where])
        assert client.get(f"{where}add/").status_code == 403
        assert client.post(f"{where}add/", {"names": "eve"}).status_code == 403
    assert everything() == before


def test_jobs_and_audit_entries_cannot_be_added_changed_or_deleted(
    ta: Client, every_state: dict[str, Job]
) -> None:
    before = everything()
    for where, pk in ((JOBS, every_state["queued"].pk), (AUDIT, 1)):
        assert ta.get(f"{where}add/").status_code == 403
        assert ta.post(f"{where}add/", {"filename": "x"}).status_code == 403
        assert ta.post(f"{where}{pk}/change/", {"state": "failed"}).status_code == 403
        assert ta.get(f"{where}{pk}/delete/").status_code == 403
        assert ta.post(f"{where}{pk}/delete/", {"post": "yes"}).status_code == 403
        act(ta, where, "delete_selected", pk, post="yes")
        assert 'value="delete_selected"' not in page(ta, where)
    assert everything() == before


def test_a_forged_form_of_another_site_is_refused(every_state: dict[str, Job]) -> None:
    client = browser(staff("ta"), enforce_csrf_checks=True)
    assert act(client, JOBS, "cancel", every_state["queued"].pk).status_code == 403
    assert Job.objects.get(pk=every_state["queued"].pk).state == "queued"


@pytest.mark.parametrize("address", ["/admin/", "/admin/login/"])
@pytest.mark.django_db
def test_a_session_that_no_browser_would_send_is_none(address: str) -> None:
    """In quotes a cookie may hold any byte, and PostgreSQL takes no NUL."""
    cookie = 'sessionid="\\000aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"'
    answer = Client(headers={"Cookie": cookie}).get(address, secure=True)
    assert answer.status_code == (302 if address == "/admin/" else 200)


def test_what_a_form_of_another_site_brings_is_not_logged(capfd: pytest.CaptureFixture) -> None:
    """A browser sends the whole address of that site, and who sends it may put anything there."""
    client = Client(enforce_csrf_checks=True)
    answer = client.post(
        "/admin/login/", secure=True, headers={"Referer": "https://x/?token=tlru_"}
    )
    assert answer.status_code == 403
    assert "tlru_" not in "".join(capfd.readouterr())
