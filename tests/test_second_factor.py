"""Staff's second factor: set up, asked for, lost."""

import logging
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.signals import user_login_failed
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.test import Client
from django_otp.plugins.otp_static.models import StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts import second_factor
from accounts.models import User
from accounts.roles import Role
from accounts.second_factor import RequiredOf
from jobs.models import AuditEntry
from tests.support.admin import JOBS, USERS, act, ask, browser, page, told
from tests.support.roles import PASSWORD, code, enrol, make_stale, member

pytestmark = pytest.mark.django_db
PAGE = "/admin/second-factor/"


@pytest.fixture
def prof(db: None) -> User:
    return member("prof", Role.OWNER, PASSWORD)


def log_in(client: Client, name: str = "prof", password: str = PASSWORD, **more: str) -> Any:
    return client.post("/admin/login/", {"username": name, "password": password, **more})


def give(client: Client, given: str) -> Any:
    return client.post("/admin/login/code/", {"code": given})


def is_in(client: Client) -> bool:
    return client.get(JOBS).status_code == 200


def test_it_is_set_up_on_its_page(prof: User) -> None:
    client = browser(prof)
    other = browser(prof)
    answer = client.get(PAGE)
    secret = answer.context["secret"].replace(" ", "")
    assert "no-store" in answer["Cache-Control"]
    picture = client.get(f"{PAGE}qr.svg")
    assert (picture.status_code, picture["Content-Type"]) == (200, "image/svg+xml")
    assert "no-store" in picture["Cache-Control"]
    assert client.get(PAGE).context["secret"].replace(" ", "") == secret  # it may be loaded again
    assert "This code is wrong" in client.post(PAGE, {"code": "000000"}).content.decode()
    assert not second_factor.is_on(prof)

    answer = client.post(PAGE, {"code": code(prof)})
    codes = answer.context["codes"]
    assert len(set(codes)) == 10
    assert all(one in answer.content.decode() for one in codes)
    assert second_factor.is_on(prof)
    assert is_in(client)
    assert not is_in(other)  # which gave no code
    text = client.get(PAGE).content.decode()
    assert "10 recovery codes left" in text
    assert secret not in text
    assert client.get(f"{PAGE}qr.svg").status_code == 404
    entry = AuditEntry.objects.get(action="second-factor-added")
    assert (entry.username, entry.request) == ("prof", {"name": "prof"})


def test_a_secret_that_another_session_saw_is_never_put_on(prof: User) -> None:
    """Whoever has somebody's session looks at the secret, and waits until it is put on."""
    thief, client = browser(prof), browser(prof)
    seen = thief.get(PAGE).context["secret"]
    stolen = code(prof)
    assert "This code is wrong" in client.post(PAGE, {"code": stolen}).content.decode()
    assert client.get(PAGE).context["secret"] != seen
    shown = client.get(f"{PAGE}qr.svg").content
    assert client.get(f"{PAGE}qr.svg").content == shown  # the same until it is put on
    assert client.post(PAGE, {"code": code(prof)}).context["codes"]
    assert second_factor.is_on(prof)


def test_a_code_is_asked_for_after_the_password(prof: User) -> None:
    enrol(prof)
    client = browser(None)
    answer = log_in(client, next=JOBS)
    assert answer["Location"] == "/admin/login/code/"
    assert not is_in(client)
    assert "telerun_browser" not in client.cookies  # it is not known as that user's as yet
    assert "Your second factor" in client.get("/admin/login/code/").content.decode()
    text = give(client, "000000").content.decode()
    assert "This code is wrong" in text
    assert "000000" not in text  # to be typed over
    assert not is_in(client)
    answer = give(client, code(prof))
    assert answer["Location"] == JOBS
    assert is_in(client)
    assert "telerun_browser" in client.cookies


def test_a_wrong_password_says_nothing_of_the_second_factor(prof: User) -> None:
    enrol(prof)
    client = browser(None)
    assert log_in(client, password="wrong").status_code == 200
    assert client.get("/admin/login/code/")["Location"] == "/admin/login/"
    assert give(client, code(prof)).status_code == 302
    assert not is_in(client)


def test_a_code_counts_once(prof: User) -> None:
    enrol(prof)
    used = code(prof)
    for may in (True, False):
        client = browser(None)
        log_in(client)
        give(client, used)
        assert is_in(client) == may
    give(client, code(prof, 1))
    assert is_in(client)


def test_the_code_that_set_it_up_is_used_up(prof: User) -> None:
    client = browser(prof)
    client.get(PAGE)
    used = code(prof)
    client.post(PAGE, {"code": used})
    other = browser(None)
    log_in(other)
    assert "used already" in give(other, used).content.decode()


def test_a_recovery_code_lets_in_once(prof: User) -> None:
    codes = enrol(prof)
    for given, may in ((codes[0], True), (codes[0], False), (codes[1].upper(), True)):
        client = browser(None)
        log_in(client)
        give(client, given)
        assert is_in(client) == may
    assert second_factor.recovery_codes_left(prof) == 8
    kept = set(StaticToken.objects.values_list("token", flat=True))
    assert not kept & {one.replace("-", "") for one in codes}  # digests alone
    assert AuditEntry.objects.filter(action="recovery-code-used").count() == 2


@pytest.mark.parametrize("given", ["", "0", "١٢٣٤٥٦", "000000\0", "x" * 40, "x" * 4000, "\ud800"])
def test_what_is_no_code(prof: User, given: str) -> None:
    enrol(prof)
    client = browser(None)
    log_in(client)
    sent = "code=" + quote(given.encode("utf-8", "surrogatepass"))
    kind = "application/x-www-form-urlencoded"
    assert client.post("/admin/login/code/", sent, content_type=kind).status_code == 200
    assert not is_in(client)


def test_wrong_codes_are_counted_as_wrong_passwords_are(prof: User, settings: Any) -> None:
    settings.TELERUN_FAILED_LOGINS = 3
    enrol(prof)
    client = browser(None)
    log_in(client)
    for _ in range(3):
        assert give(client, "000000").status_code == 200
    answer = give(client, code(prof))
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) > 0
    assert not is_in(client)
    assert log_in(browser(None)).status_code == 429  # with the password too


def test_a_wrong_code_is_told_as_a_failed_log_in_is(prof: User) -> None:
    """To whoever listens to Django's own signal."""
    enrol(prof)
    client, failed = browser(None), []

    def note(credentials: dict[str, str], **_: Any) -> None:
        failed.append(credentials)

    user_login_failed.connect(note)
    try:
        log_in(client)
        give(client, "000000")
        give(client, code(prof))
    finally:
        user_login_failed.disconnect(note)
    assert failed == [{"username": "prof"}]


def test_the_second_step_ends_when_the_password_changes_or_the_account_ends(prof: User) -> None:
    enrol(prof)
    for spoil in ({"is_active": False}, {"is_staff": False}):
        client = browser(None)
        log_in(client)
        User.objects.filter(pk=prof.pk).update(**spoil)
        assert give(client, code(prof)).status_code == 302
        User.objects.filter(pk=prof.pk).update(is_active=True, is_staff=True)
        assert not is_in(client)
    client = browser(None)
    log_in(client)
    prof.set_password("another one altogether")
    prof.save()
    assert give(client, code(prof)).status_code == 302
    assert not is_in(client)


def test_the_second_step_is_over_after_five_minutes(
    prof: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(prof)
    client = browser(None)
    log_in(client)
    monkeypatch.setattr("accounts.views.log_in._PENDING_SECONDS", -1)
    assert give(client, code(prof))["Location"] == "/admin/login/"
    assert not is_in(client)


# --- The policy --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "role", "must"),
    [
        (RequiredOf.NOBODY, Role.OWNER, False),
        (RequiredOf.OWNERS, Role.OWNER, True),
        (RequiredOf.OWNERS, Role.HEAD_TA, False),
        (RequiredOf.STAFF, Role.VIEWER, True),
    ],
)
def test_who_must_have_one(policy: RequiredOf, role: Role, must: bool) -> None:
    second_factor.require_of(policy, "prof")
    user = member("somebody", role, PASSWORD)
    client = browser(None)
    assert log_in(client, "somebody").status_code == 302
    answer = client.get(JOBS)
    assert (answer.get("Location") == PAGE) == must
    if must:
        assert "to go on" in client.get(PAGE).content.decode()
        client.post(PAGE, {"code": code(user)})
    assert is_in(client)


def test_an_owner_sets_the_policy_and_sees_who_has_none(prof: User) -> None:
    member("tina", Role.TA)
    client = browser(prof)
    answer = client.post(f"{PAGE}policy/", {"required_of": "staff"})
    assert told(answer) == ["A second factor is required of all staff."]
    entry = AuditEntry.objects.get(action="second-factor-policy-changed")
    assert entry.request["before"] == {"required of": "nobody"}
    assert entry.request["after"] == {"required of": "all staff"}
    client.get(PAGE)
    client.post(PAGE, {"code": code(prof)})
    assert "Without one as yet: tina." in client.get(PAGE).content.decode()
    for bad in ("", "everyone"):
        assert "Choose who" in told(client.post(f"{PAGE}policy/", {"required_of": bad}))[-1]
    assert second_factor.required_of() == RequiredOf.STAFF


# --- Lost --------------------------------------------------------------------------------


def test_an_owner_removes_a_colleagues(prof: User) -> None:
    tina = member("tina", Role.TA, PASSWORD)
    enrol(tina)
    hers = browser(tina)
    client = browser(prof)
    button = 'value="remove_second_factor"'
    assert button in page(client, f"{USERS}{tina.pk}/change/")
    question = ask(client, USERS, "remove_second_factor", tina.pk)
    assert "the password alone" in question.content.decode().lower()
    assert second_factor.is_on(tina)
    act(client, USERS, "remove_second_factor", tina.pk)
    assert not second_factor.is_on(tina)
    assert not StaticToken.objects.exists()
    assert not is_in(hers)
    entry = AuditEntry.objects.get(action="second-factor-removed")
    assert (entry.username, entry.request) == ("prof", {"name": "tina"})
    assert button not in page(client, f"{USERS}{tina.pk}/change/")


def test_one_removes_ones_own_and_sets_it_up_anew(prof: User) -> None:
    enrol(prof)
    client = browser(prof)
    answer = client.post(f"{PAGE}remove/")
    assert told(answer) == ["Your second factor is removed."]
    assert is_in(client)
    assert not second_factor.is_on(prof)
    assert client.get(PAGE).context["secret"]


def test_new_recovery_codes_end_those_before(prof: User) -> None:
    before = enrol(prof)
    client = browser(prof)
    after = client.post(f"{PAGE}codes/").context["codes"]
    assert not second_factor.verify(prof, before[0])
    assert second_factor.verify(prof, after[0])


@pytest.mark.django_db(transaction=True)  # a command closes its connection
def test_the_command_for_the_last_owner(prof: User, capsys: pytest.CaptureFixture[str]) -> None:
    enrol(prof)
    call_command("telerun_auth", "reset-second-factor", "prof")
    assert "Removed the second factor of prof" in capsys.readouterr().out
    assert not second_factor.is_on(prof)
    assert AuditEntry.objects.get(action="second-factor-removed").username == "command"
    call_command("telerun_auth", "reset-second-factor", "prof")
    assert "prof has no second factor" in capsys.readouterr().out
    with pytest.raises(CommandError, match="no user 'nobody'"):
        call_command("telerun_auth", "reset-second-factor", "nobody")


# --- Secrets -----------------------------------------------------------------------------


def test_no_secret_is_in_a_log_the_audit_or_a_session(
    prof: User, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    client = browser(prof)
    secret = client.get(PAGE).context["secret"]
    codes = client.post(PAGE, {"code": code(prof)}).context["codes"]
    device = TOTPDevice.objects.get()
    other = browser(None)
    log_in(other)
    give(other, codes[0])
    second_factor.remove(prof, "prof")
    kept = caplog.text + "".join(capfd.readouterr())
    kept += str(list(AuditEntry.objects.values())) + str(dict(client.session))
    kept += str(list(Session.objects.values())) + str(client.cookies) + str(other.cookies)
    secrets = [secret, secret.replace(" ", ""), device.key, *codes]
    secrets += [one.replace("-", "") for one in codes]
    assert [one for one in secrets if one in kept] == []


def test_there_is_no_page_of_django_otps_own(prof: User) -> None:
    client = browser(User.objects.create_user("root", is_staff=True, is_superuser=True))
    for path in ("otp_totp/totpdevice", "otp_static/staticdevice", "auth/group"):
        assert client.get(f"/admin/{path}/").status_code == 404


def test_the_secret_is_shown_after_a_fresh_log_in_alone(prof: User) -> None:
    client = browser(prof)
    client.get(PAGE)
    make_stale(client)
    assert "secret" not in client.get(PAGE).context
    assert client.get(f"{PAGE}qr.svg").status_code == 404
    answer = client.post(PAGE, {"fresh-password": PASSWORD, "fresh-is_read": "True"})
    assert answer["Location"] == PAGE
    assert client.get(PAGE).context["secret"]
