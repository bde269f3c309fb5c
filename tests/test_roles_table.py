"""Every page and every action of the admin, with everybody: one table.

A page that is not in the table fails the test: whoever adds one says who may see it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.contrib import admin
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver

from accounts import second_factor
from accounts.models import Executor, Platform, User
from accounts.roles import Role
from jobs.bulk import working
from jobs.bulk.models import Kind
from jobs.models import AuditEntry, Job
from telerun_site.certificates import make_self_signed
from tests.support.admin import AUDIT, BULK, EXECUTORS, JOBS, USERS, act, add
from tests.support.roles import NOBODY, PEOPLE, enrol, everything, member, person, refused

pytestmark = pytest.mark.django_db
ANYONE, STUDENT, STAFF, VIEWER, TA, HEAD_TA, OWNER, _ = range(len(PEOPLE))


class Ground(NamedTuple):
    """What there is to be touched."""

    student: User
    colleague: User
    executor: Executor
    resting: Executor  # out of service
    jobs: dict[str, Job]
    bulk: int


@pytest.fixture
def ground(every_state: dict[str, Job], alice: User, settings: Any, tmp_path: Path) -> Ground:
    settings.TELERUN_CERTIFICATE = tmp_path / "server.cert"
    make_self_signed(["localhost"], settings.TELERUN_CERTIFICATE, tmp_path / "server.key")
    colleague = member("colleague", Role.TA)
    enrol(colleague)
    alice.issue_token()
    bulk = working.begin(Kind.CANCEL, [every_state["queued"].pk], "alice")
    executor = Executor.objects.get(name="gpu1")
    Platform.objects.create(
        executor=executor, reported="cuda", slots=1, offered_at="2026-11-30T00:00Z"
    )
    resting = Executor.objects.create(name="resting", enabled=False)
    return Ground(alice, colleague, executor, resting, every_state, bulk.pk)


# --- Pages -------------------------------------------------------------------------------

# The address's name: who may see it, from the least; and where it is.
PAGES: dict[str, tuple[int, Callable[[Ground], str]]] = {
    "login": (ANYONE, lambda _: "/admin/login/"),
    "second_step": (ANYONE, lambda _: "/admin/login/code/"),
    "index": (STAFF, lambda _: "/admin/"),
    "logout": (STAFF, lambda _: "/admin/logout/"),
    "password_change": (STAFF, lambda _: "/admin/password_change/"),
    "password_change_done": (STAFF, lambda _: "/admin/password_change/done/"),
    "jsi18n": (STAFF, lambda _: "/admin/jsi18n/"),
    "autocomplete": (
        VIEWER,
        lambda _: "/admin/autocomplete/?app_label=jobs&model_name=job&field_name=user",
    ),
    "view_on_site": (STAFF, lambda ground: f"/admin/r/1/{ground.student.pk}/"),
    "failures_seen": (STAFF, lambda _: "/admin/failures-seen/"),  # takes a POST alone
    "second_factor": (STAFF, lambda _: "/admin/second-factor/"),
    "second_factor_picture": (STAFF, lambda _: "/admin/second-factor/qr.svg"),
    "second_factor_codes": (STAFF, lambda _: "/admin/second-factor/codes/"),
    "second_factor_remove": (STAFF, lambda _: "/admin/second-factor/remove/"),
    "second_factor_policy": (STAFF, lambda _: "/admin/second-factor/policy/"),
    # 404 where somebody has nothing to see.
    "app_list": (STAFF, lambda _: "/admin/jobs/"),
    "auth_user_password_change": (OWNER, lambda g: f"{USERS}{g.student.pk}/password/"),
    "accounts_user_changelist": (VIEWER, lambda _: USERS),
    "accounts_user_add": (HEAD_TA, lambda _: f"{USERS}add/"),
    "accounts_user_change": (VIEWER, lambda g: f"{USERS}{g.colleague.pk}/change/"),
    "accounts_user_history": (VIEWER, lambda g: f"{USERS}{g.colleague.pk}/history/"),
    "accounts_user_delete": (OWNER, lambda g: f"{USERS}{g.colleague.pk}/delete/"),
    "accounts_executor_changelist": (VIEWER, lambda _: EXECUTORS),
    "accounts_executor_add": (HEAD_TA, lambda _: f"{EXECUTORS}add/"),
    "accounts_executor_change": (VIEWER, lambda g: f"{EXECUTORS}{g.executor.pk}/change/"),
    "accounts_executor_history": (VIEWER, lambda g: f"{EXECUTORS}{g.executor.pk}/history/"),
    "accounts_executor_delete": (OWNER, lambda g: f"{EXECUTORS}{g.executor.pk}/delete/"),
    "jobs_job_changelist": (VIEWER, lambda _: JOBS),
    "jobs_job_add": (NOBODY, lambda _: f"{JOBS}add/"),
    "jobs_job_change": (VIEWER, lambda g: f"{JOBS}{g.jobs['finished'].pk}/change/"),
    "jobs_job_history": (VIEWER, lambda g: f"{JOBS}{g.jobs['finished'].pk}/history/"),
    "jobs_job_delete": (NOBODY, lambda g: f"{JOBS}{g.jobs['finished'].pk}/delete/"),
    "jobs_job_file": (VIEWER, lambda g: f"{JOBS}{g.jobs['finished'].pk}/attempts/1/files/a"),
    "jobs_job_events": (VIEWER, lambda g: f"{JOBS}{g.jobs['finished'].pk}/events"),
    "jobs_job_state": (VIEWER, lambda g: f"{JOBS}{g.jobs['finished'].pk}/state"),
    "jobs_job_archive": (VIEWER, lambda g: f"{JOBS}{g.jobs['finished'].pk}/files.zip"),
    "jobs_job_difference": (VIEWER, lambda g: f"{JOBS}{g.jobs['finished'].pk}/difference"),
    "jobs_job_source": (VIEWER, lambda g: f"{JOBS}{g.jobs['finished'].pk}/source/prog.cu"),
    "jobs_job_log": (VIEWER, lambda g: f"{JOBS}{g.jobs['finished'].pk}/attempts/1/compile-log.txt"),
    "jobs_auditentry_changelist": (VIEWER, lambda _: AUDIT),
    "jobs_auditentry_add": (NOBODY, lambda _: f"{AUDIT}add/"),
    "jobs_auditentry_change": (VIEWER, lambda _: f"{AUDIT}1/change/"),
    "jobs_auditentry_history": (VIEWER, lambda _: f"{AUDIT}1/history/"),
    "jobs_auditentry_export": (STAFF, lambda _: f"{AUDIT}export/"),  # takes a POST alone
    "jobs_auditentry_delete": (NOBODY, lambda _: f"{AUDIT}1/delete/"),
    "jobs_bulkaction_changelist": (VIEWER, lambda _: BULK),
    "jobs_bulkaction_add": (NOBODY, lambda _: f"{BULK}add/"),
    "jobs_bulkaction_change": (VIEWER, lambda g: f"{BULK}{g.bulk}/change/"),
    "jobs_bulkaction_history": (VIEWER, lambda g: f"{BULK}{g.bulk}/history/"),
    "jobs_bulkaction_delete": (NOBODY, lambda g: f"{BULK}{g.bulk}/delete/"),
}


def names(patterns: list[Any]) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from names(pattern.url_patterns)
        elif isinstance(pattern, URLPattern) and pattern.name:
            yield pattern.name


def test_every_page_is_in_the_table() -> None:
    assert set(names(admin.site.get_urls())) == set(PAGES)


@pytest.mark.parametrize("kind", PEOPLE)
def test_who_sees_what(kind: str, ground: Ground) -> None:
    client, rank = person(kind), PEOPLE.index(kind)
    wrong = []
    for name, (least, where) in PAGES.items():
        answer = client.get(where(ground))
        if name != "logout" and refused(answer) != (rank < least) and name != "second_step":
            wrong.append((name, answer.status_code))
        if answer.status_code == 200 and rank < least:
            wrong.append((name, "shown"))
    assert wrong == []


# --- What is done ------------------------------------------------------------------------


def form(client: Client, where: str, **changed: Any) -> Any:
    """Sends a page's form as somebody would who knows all its fields."""
    user = User.objects.get(pk=where.split("/")[-3])
    fields = {"username": user.username, "is_active": "on", **changed}
    return client.post(where, {k: v for k, v in fields.items() if v is not None})


def rename(client: Client, ground: Ground) -> Any:
    """A host's platform."""
    platform = Platform.objects.get(executor=ground.executor)
    rows = {"TOTAL_FORMS": 1, "INITIAL_FORMS": 1, "0-id": platform.pk, "0-name": "ada",
            "0-executor": ground.executor.pk, "0-enabled": "on"}  # fmt: skip
    sent = {f"platforms-{name}": value for name, value in rows.items()}
    return client.post(f"{EXECUTORS}{ground.executor.pk}/change/", {"name": "gpu1", **sent})


def set_password(client: Client, user: User) -> Any:
    new = {"password1": "correct horse battery", "password2": "correct horse battery"}
    new |= {"usable_password": "true", "set-password": "1"}
    return client.post(f"{USERS}{user.pk}/password/", new)


def user_page(user: User) -> str:
    return f"{USERS}{user.pk}/change/"


# What is done: by whom, from the least.
DEEDS: dict[str, tuple[int, Callable[[Client, Ground], Any]]] = {
    "requeue": (TA, lambda c, g: act(c, JOBS, "requeue", g.jobs["finished"].pk)),
    "cancel": (TA, lambda c, g: act(c, JOBS, "cancel", g.jobs["queued"].pk)),
    "failures seen": (
        TA, lambda c, _: c.post("/admin/failures-seen/", {"until": "2026-11-01T00:00Z"}),
    ),
    "stop a bulk action": (HEAD_TA, lambda c, g: act(c, BULK, "stop", g.bulk)),
    "delete a job": (NOBODY, lambda c, g: delete(c, JOBS, g.jobs["queued"].pk)),
    "delete jobs": (NOBODY, lambda c, g: delete_many(c, JOBS, g.jobs["queued"].pk)),
    "delete an audit entry": (NOBODY, lambda c, _: delete(c, AUDIT, 1)),
    "delete audit entries": (NOBODY, lambda c, _: delete_many(c, AUDIT, 1)),
    "export the audit": (HEAD_TA, lambda c, _: c.post(f"{AUDIT}export/", {"format": "csv"})),
    "change an audit entry": (NOBODY, lambda c, _: c.post(f"{AUDIT}1/change/", {"action": "x"})),
    "change a job": (
        NOBODY,
        lambda c, g: c.post(f"{JOBS}{g.jobs['queued'].pk}/change/", {"state": "failed"}),
    ),
    # Students.
    "add users": (HEAD_TA, lambda c, _: add(c, USERS, "new1\nnew2")),
    "a student's token": (HEAD_TA, lambda c, g: act(c, USERS, "issue_token", g.student.pk)),
    "end a student's token": (HEAD_TA, lambda c, g: act(c, USERS, "revoke_token", g.student.pk)),
    "a student's code": (HEAD_TA, lambda c, g: act(c, USERS, "make_login_code", g.student.pk)),
    "a student inactive": (HEAD_TA, lambda c, g: form(c, user_page(g.student), is_active=None)),
    "a student's name": (HEAD_TA, lambda c, g: form(c, user_page(g.student), first_name="A")),
    "a student's password": (OWNER, lambda c, g: set_password(c, g.student)),
    "a student to owner": (OWNER, lambda c, g: form(c, user_page(g.student), role="owner")),
    "purge a student": (OWNER, lambda c, g: act(c, USERS, "purge", g.student.pk)),
    "delete a student": (NOBODY, lambda c, g: delete(c, USERS, g.student.pk)),  # who has jobs
    "delete users": (NOBODY, lambda c, g: delete_many(c, USERS, g.student.pk)),
    # Staff.
    "a colleague's token": (OWNER, lambda c, g: act(c, USERS, "issue_token", g.colleague.pk)),
    "end a colleague's token": (OWNER, lambda c, g: act(c, USERS, "revoke_token", g.colleague.pk)),
    "a colleague's code": (OWNER, lambda c, g: act(c, USERS, "make_login_code", g.colleague.pk)),
    "student and colleague": (
        OWNER, lambda c, g: act(c, USERS, "issue_token", g.student.pk, g.colleague.pk),
    ),
    "a colleague inactive": (
        OWNER, lambda c, g: form(c, user_page(g.colleague), is_active=None, role="ta"),
    ),
    "a colleague's name": (
        OWNER, lambda c, g: form(c, user_page(g.colleague), first_name="A", role="ta"),
    ),
    "a colleague's role": (OWNER, lambda c, g: form(c, user_page(g.colleague), role="owner")),
    "a colleague's password": (OWNER, lambda c, g: set_password(c, g.colleague)),
    "a colleague's second factor": (
        OWNER, lambda c, g: act(c, USERS, "remove_second_factor", g.colleague.pk),
    ),
    "delete a colleague": (OWNER, lambda c, g: delete(c, USERS, g.colleague.pk)),
    "the policy": (
        OWNER, lambda c, _: c.post("/admin/second-factor/policy/", {"required_of": "staff"}),
    ),
    # Hosts.
    "add executors": (HEAD_TA, lambda c, _: add(c, EXECUTORS, "gpu8")),
    "a host's token": (HEAD_TA, lambda c, g: act(c, EXECUTORS, "issue_token", g.executor.pk)),
    "end a host's token": (HEAD_TA, lambda c, g: act(c, EXECUTORS, "revoke_token", g.executor.pk)),
    "out of service": (HEAD_TA, lambda c, g: act(c, EXECUTORS, "disable", g.executor.pk)),
    "into service": (HEAD_TA, lambda c, g: act(c, EXECUTORS, "enable", g.resting.pk)),
    "a platform's name": (HEAD_TA, rename),
    "delete a host": (OWNER, lambda c, g: delete(c, EXECUTORS, g.executor.pk)),
    "delete hosts": (OWNER, lambda c, g: delete_many(c, EXECUTORS, g.executor.pk)),
}  # fmt: skip


def delete(client: Client, where: str, pk: int) -> Any:
    return client.post(f"{where}{pk}/delete/", {"post": "yes"})


def delete_many(client: Client, where: str, *pks: int) -> Any:
    return act(client, where, "delete_selected", *pks, post="yes")


@pytest.mark.parametrize("kind", PEOPLE)
def test_who_does_what(kind: str, ground: Ground) -> None:
    """The truth is what the database holds afterwards."""
    client, rank = person(kind), PEOPLE.index(kind)
    wrong = []
    for deed, (least, do) in DEEDS.items():
        if kind != "anonymous":  # a password that is set gives the session another key
            client.force_login(User.objects.get(username="me"))
        before = everything()
        with transaction.atomic():
            answer = do(client, ground)
            done = everything() != before
            transaction.set_rollback(True)
        if done != (rank >= least):
            wrong.append((deed, "done" if done else "not done", answer.status_code))
    assert wrong == []


def test_every_action_is_in_the_table() -> None:
    """One that somebody adds must be put into DEEDS, and then here."""
    actions = {
        (where.model.__name__, name)
        for where in admin.site._registry.values()
        for name in where.actions
        if isinstance(name, str)
    }
    assert actions == {
        ("Job", "requeue"), ("Job", "cancel"), ("BulkAction", "stop"),
        ("User", "issue_token"), ("User", "revoke_token"), ("User", "make_login_code"),
        ("User", "remove_second_factor"), ("User", "purge"),
        ("Executor", "issue_token"), ("Executor", "revoke_token"),
        ("Executor", "enable"), ("Executor", "disable"),
    }  # fmt: skip


FORGED = {
    "is_staff": "on", "is_superuser": "on", "role": "owner", "groups": ["1", "2", "3", "4"],
    "user_permissions": ["1", "2"], "password": "x", "token_digest": "0" * 64,
    "session_generation": "7", "_popup": "1", "_to_field": "id", "_saveasnew": "1",
}  # fmt: skip


@pytest.mark.parametrize("target", ["me", "alice", "colleague"])
def test_nobody_is_raised_by_a_forged_form(target: str, ground: Ground) -> None:
    client = person("head-ta")
    user = User.objects.get(username=target)
    before = rights_of(user)
    form(client, user_page(user), **FORGED)
    assert rights_of(User.objects.get(pk=user.pk)) == before


def rights_of(user: User) -> tuple[Any, ...]:
    plain = ("is_staff", "is_superuser", "password", "token_digest", "session_generation")
    return (
        *(getattr(user, name) for name in plain),
        sorted(user.groups.values_list("name", flat=True)),
        user.user_permissions.count(),
    )


def test_an_owner_gives_nothing_by_hidden_fields(ground: Ground) -> None:
    client = person("owner")
    forged = {name: value for name, value in FORGED.items() if name != "_saveasnew"}
    form(client, user_page(ground.student), **{**forged, "role": "viewer"})
    ground.student.refresh_from_db()
    assert rights_of(ground.student)[:2] == (True, False)
    assert [group.name for group in ground.student.groups.all()] == ["viewer"]
    assert not ground.student.user_permissions.exists()


@pytest.mark.parametrize(
    "query", ["token_digest__startswith=a", "password__startswith=a", "groups__user__password=a"]
)
def test_a_filter_tells_no_secret(query: str, ground: Ground) -> None:
    client = person("viewer")
    for where in (USERS, EXECUTORS, f"{JOBS}?user__token_digest__startswith=a&"):
        answer = client.get(where if "?" in where else f"{where}?{query}")
        assert answer.status_code in (302, 400), where
    assert AuditEntry.objects.exists()


def test_with_the_policy_whoever_has_none_can_do_nothing_else(ground: Ground) -> None:
    """Every page leads to the one where it is set up, and no deed is done."""
    client = person("superuser")
    second_factor.require_of(second_factor.RequiredOf.OWNERS, "prof")
    before = everything()
    open_to_all = ("login", "second_step", "logout", "second_factor", "second_factor_picture")
    for name, (_, where) in PAGES.items():
        if name in open_to_all:
            continue
        answer = client.get(where(ground))
        if name == "jobs_job_events":  # a script asks for it
            assert answer.status_code == 403
        else:
            assert (answer.status_code, answer["Location"]) == (302, "/admin/second-factor/"), name
    for do in (do for _, do in DEEDS.values()):
        do(client, ground)
    assert everything() == before
