"""Log-ins in the audit log: good and failed ones, from where; and that nobody floods it."""

from typing import Any

import pytest
from django.test import Client

from accounts import logins, operations
from accounts.models import User
from jobs.models import AuditEntry
from pages import links
from tests.support.admin import browser, staff

pytestmark = pytest.mark.django_db

HERE = "198.51.100.7"
PASSWORD = "correct horse battery"


@pytest.fixture
def ta_user(db: None) -> User:
    user = staff("ta")
    user.set_password(PASSWORD)
    user.save()
    AuditEntry.objects.all().delete()
    return user


def entries(**those: object) -> list[tuple[str, str, str | None, str]]:
    found = AuditEntry.objects.filter(**those).order_by("id")
    return [(e.username, e.action, e.address, e.request["to"]) for e in found if "to" in e.request]


def log_in(name: str, password: str, **options: str) -> Client:
    client = browser(None, REMOTE_ADDR=HERE, **options)
    client.post("/admin/login/", {"username": name, "password": password})
    return client


def test_a_log_in_to_the_admin_and_out(ta_user: User) -> None:
    client = log_in("ta", PASSWORD)
    client.post("/admin/logout/")
    assert entries() == [
        ("ta", "logged-in", HERE, "admin"),
        ("ta", "logged-out", HERE, "admin"),
    ]


def test_a_failed_one_and_one_of_a_student(ta_user: User, alice: User) -> None:
    log_in("ta", "wrong")
    alice.set_password(PASSWORD)
    alice.save()
    log_in("alice", PASSWORD)  # right, and she may not in
    assert entries(action="login-failed") == [
        ("ta", "login-failed", HERE, "admin"),
        ("alice", "login-failed", HERE, "admin"),
    ]


@pytest.mark.parametrize("typed", [PASSWORD, "nobody", "TA", "ta\0", "x" * 200, "'; DROP TABLE"])
def test_a_name_that_is_none_is_not_kept(typed: str, ta_user: User) -> None:
    log_in(typed, "wrong")
    browser(None).post("/login", {"username": typed, "token": "wrong"})
    told = str(list(AuditEntry.objects.values()))
    assert typed not in told
    for username, action, *_ in entries():
        assert (username, action) == (logins.UNKNOWN, "login-failed")


def test_the_address_behind_a_proxy_of_ours_is_the_clients(ta_user: User, settings) -> None:
    settings.TELERUN_PROXIES = [HERE]
    log_in("ta", "wrong", HTTP_X_FORWARDED_FOR="10.1.1.1, 203.0.113.9")
    assert entries()[0][2] == "203.0.113.9"
    settings.TELERUN_PROXIES = []
    log_in("ta", "wrong", HTTP_X_FORWARDED_FOR="203.0.113.9")
    assert entries()[1][2] == HERE


def test_the_students_page(alice: User) -> None:
    token = alice.issue_token()
    client = browser(None, REMOTE_ADDR=HERE)
    client.post("/login", {"username": "alice", "token": "tlru_wrong"})
    client.post("/login", {"username": "bob", "token": token})
    client.post("/login", {"username": "alice", "token": token})
    client.post("/logout")
    client.post("/link", {"secret": "wrong"})
    client.post("/link", {"secret": links.make(alice)[0]})
    assert [(name, action) for name, action, *_ in entries()] == [
        ("alice", "login-failed"),
        (logins.UNKNOWN, "login-failed"),
        ("alice", "logged-in"),
        ("alice", "logged-out"),
        (logins.UNKNOWN, "login-failed"),
        ("alice", "logged-in"),
    ]
    assert {(address, to) for *_, address, to in entries()} == {(HERE, "page")}
    assert token not in str(list(AuditEntry.objects.values()))


@pytest.mark.hardening
@pytest.mark.parametrize("limit", [0, 3])
def test_failed_log_ins_do_not_flood_it(limit: int, ta_user: User, settings) -> None:
    settings.TELERUN_FAILED_LOGINS = limit
    for n in range(30):
        log_in(f"nobody{n}", "wrong")
    most = limit or logins.MOST_FAILED
    actions = [action for _, action, *_ in entries()]
    assert actions.count("login-failed") == most
    assert actions.count("login-limit-reached") == 1
    assert actions[-1] == "login-limit-reached"


@pytest.mark.hardening
def test_nor_do_those_from_many_addresses(ta_user: User, monkeypatch, settings) -> None:
    monkeypatch.setattr(logins, "MOST_IN_ALL", 5)
    settings.TELERUN_FAILED_LOGINS = 0
    for n in range(20):
        log_in(f"nobody{n}", "wrong", HTTP_X_FORWARDED_FOR="1.1.1.1")
        client = browser(None, REMOTE_ADDR=f"10.0.0.{n}")
        client.post("/admin/login/", {"username": "ta", "password": "wrong"})
    assert len(entries()) == 6
    assert entries()[-1][1] == "login-limit-reached"


def test_failed_ones_and_students_hide_no_log_in_of_staff(
    ta_user: User, alice: User, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.setattr(logins, "MOST_IN_ALL", 5)
    settings.TELERUN_FAILED_LOGINS = 0
    token = alice.issue_token()
    for n in range(8):
        client = browser(None, REMOTE_ADDR=f"10.0.0.{n}")
        client.post("/admin/login/", {"username": "ta", "password": "wrong"})
        client.post("/login", {"username": "alice", "token": token})
    log_in("ta", PASSWORD)
    assert [name for name, action, *_ in entries() if action == "logged-in"][-1] == "ta"


def test_nor_do_good_ones(alice: User, monkeypatch) -> None:
    monkeypatch.setattr(logins, "MOST_OF_ONE", 3)
    token = alice.issue_token()
    for _ in range(10):
        answer = browser(None).post("/login", {"username": "alice", "token": token})
        assert answer.status_code == 302
    assert [action for _, action, *_ in entries()] == ["logged-in"] * 3 + ["login-limit-reached"]


def test_wrong_tokens_at_the_api_are_none(alice: User, nobody) -> None:
    for _ in range(5):
        nobody.get("/jobs")
    client = browser(None)
    client.get("/api/v1/jobs", headers={"Authorization": "Bearer tlru_wrong"})
    assert not AuditEntry.objects.exists()


def test_an_own_password_change(ta_user: User) -> None:
    client = log_in("ta", PASSWORD)
    new = "another horse battery"
    passwords = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert client.post("/admin/password_change/", passwords).status_code == 302
    entry = AuditEntry.objects.get(action="user-changed")
    assert (entry.username, entry.request["name"], entry.address) == ("ta", "ta", HERE)
    assert list(entry.request["after"]) == ["password"]
    told = str(list(AuditEntry.objects.values()))
    assert new not in told
    assert "pbkdf2" not in told


def test_a_hash_made_stronger_at_a_log_in_is_no_change(ta_user: User) -> None:
    from django.contrib.auth.hashers import make_password

    weak = make_password(PASSWORD).replace("1", "1")
    parts = weak.split("$")
    from django.contrib.auth.hashers import get_hasher

    hasher = get_hasher(parts[0])
    if not hasattr(hasher, "iterations"):
        pytest.skip("needs a hasher with iterations")
    User.objects.filter(pk=ta_user.pk).update(password=hasher.encode(PASSWORD, parts[2], 10))
    log_in("ta", PASSWORD)
    assert User.objects.get(pk=ta_user.pk).password.split("$")[1] != "10"
    assert not AuditEntry.objects.filter(action="user-changed").exists()


def test_a_code_redeemed_says_from_where(alice: User, nobody) -> None:
    from accounts import login_codes
    from accounts.public_address import PublicAddress

    code = login_codes.make(alice, "ta", PublicAddress("queue.example:4443", None))
    client = browser(None, REMOTE_ADDR=HERE)
    answer = client.post("/api/v1/login", {"code": code}, content_type="application/json")
    assert answer.status_code == 200
    entry = AuditEntry.objects.get(action="login-code-redeemed")
    assert (entry.username, entry.address) == ("alice", HERE)
    assert operations  # silence
