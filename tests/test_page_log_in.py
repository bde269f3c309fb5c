"""Logging in to the students' pages: with name and token, by a link, and how a session ends."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts import operations
from accounts.models import Executor, FailureCount, User
from accounts.tokens import USER_PREFIX, digest, make
from pages import sessions
from pages.models import Link, Session
from tests.support.admin import Https, staff
from tests.support.api import Api, problem
from tests.support.pages import csrf_of, log_in, problem_on, sign_in

COOKIE = "__Host-telerun-80"


# --- With name and token -----------------------------------------------------------------


def test_whoever_is_not_logged_in_is_asked_to(db: None) -> None:
    browser = Https()
    answer = browser.get("/")
    assert (answer.status_code, answer["Location"]) == (302, "/login")
    assert browser.get("/jobs/17")["Location"] == "/login?next=/jobs/17"
    assert 'name="token"' in browser.get("/login").content.decode()


def test_after_the_log_in_one_is_where_one_wanted_to_go(alice: User) -> None:
    answer = sign_in(Https(), "alice", alice.issue_token(), next="/jobs/17")
    assert answer["Location"] == "/jobs/17"


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", "x", ""],
)
def test_it_leads_nowhere_else(alice: User, elsewhere: str) -> None:
    assert sign_in(Https(), "alice", alice.issue_token(), next=elsewhere)["Location"] == "/"


def test_the_cookie(alice: User) -> None:
    token = alice.issue_token()
    answer = sign_in(Https(), "alice", token)
    cookie = answer.cookies[COOKIE]
    attributes = ("path", "domain", "secure", "httponly", "samesite")
    assert [cookie[name] for name in attributes] == ["/", "", True, True, "Lax"]
    assert cookie["max-age"] == "", "it ends with the browser, too"
    assert "sessionid" not in answer.cookies, "the admin's is another one"
    row = Session.objects.get()
    assert row.pk == digest(cookie.value) != cookie.value
    assert token not in str(answer.headers) + answer.content.decode()


@pytest.mark.parametrize(
    ("host", "name"),
    [("q.example", "443"), ("q.example:4443", "4443"), ("[::1]:4444", "4444"), ("[::1]", "443")],
)
def test_each_port_has_a_cookie_of_its_own(alice: User, host: str, name: str) -> None:
    """Another course's queue may be at another port of the same host."""
    browser = log_in(alice)
    answer = browser.post(
        "/login", {"username": "alice", "token": alice.issue_token()}, headers={"Host": host}
    )
    assert [one for one in answer.cookies if "telerun" in one] == [f"__Host-telerun-{name}"]
    assert browser.get("/", headers={"Host": host}).status_code == 200
    assert browser.get("/", headers={"Host": "q.example:1"})["Location"] == "/login"


def test_it_is_no_log_in_to_the_admin_and_the_admins_is_none_to_it(alice: User) -> None:
    assert log_in(alice).get("/admin/")["Location"].startswith("/admin/login/")
    admin = Https()
    admin.force_login(staff("ta"))
    assert admin.get("/")["Location"] == "/login"


def wrong_tokens() -> dict[str, str]:
    return {"none": "", "no token": "secret", "another": make(USER_PREFIX), "NUL": "a\0b"}


@pytest.mark.parametrize("kind", wrong_tokens())
def test_a_wrong_token_is_refused(alice: User, kind: str) -> None:
    alice.issue_token()
    answer = sign_in(Https(), "alice", wrong_tokens()[kind])
    assert answer.status_code == 403
    assert "token" in problem_on(answer)
    assert COOKIE not in answer.cookies
    assert FailureCount.objects.get().count == 1


def test_another_users_token_is_refused(alice: User, bob: User) -> None:
    alice.issue_token()
    answer = sign_in(Https(), "alice", bob.issue_token())
    assert answer.status_code == 403
    assert problem_on(answer).startswith("This token is not that user")
    assert "bob" not in answer.content.decode()


def test_a_hosts_token_is_refused(alice: User, gpu1: Executor) -> None:
    answer = sign_in(Https(), "gpu1", gpu1.issue_token())
    assert (answer.status_code, COOKIE in answer.cookies) == (403, False)
    assert "GPU host" in problem_on(answer)


def test_an_inactive_user_is_refused(alice: User) -> None:
    token = alice.issue_token()
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert sign_in(Https(), "alice", token).status_code == 403


def test_failures_are_counted_and_good_tokens_pass(alice: User, settings: Any) -> None:
    settings.TELERUN_WRONG_TOKENS_PER_MINUTE = 2
    statuses = [sign_in(Https(), "alice", make(USER_PREFIX)) for _ in range(3)]
    assert [answer.status_code for answer in statuses] == [403, 403, 429]
    assert 0 < int(statuses[2]["Retry-After"]) <= 60
    assert "wait" in problem_on(statuses[2])
    assert problem(Api(make(USER_PREFIX)).get("/jobs"))[0] == 429, "counted together with the API's"
    assert sign_in(Https(), "alice", alice.issue_token()).status_code == 302


def test_a_name_is_shown_again_as_text(db: None) -> None:
    answer = sign_in(Https(), '"><script>x</script>', "no token")
    assert "<script>x" not in answer.content.decode()
    assert "&lt;script&gt;x" in answer.content.decode()


@pytest.mark.parametrize("path", ["/login", "/admin/login/"])
def test_a_form_in_another_encoding_is_refused(db: None, path: str) -> None:
    kind = "application/x-www-form-urlencoded; charset=utf-16"
    browser = Https(enforce_csrf_checks=True)
    browser.get("/login")  # for the cookie: without it nobody looks into the form
    origin = {"Origin": "https://testserver:80"}
    answer = browser.post(path, b"a=b", content_type=kind, headers=origin)
    assert (answer.status_code, "malformed" in answer.content.decode()) == (400, True)


def test_a_form_from_elsewhere_is_refused(alice: User) -> None:
    token = alice.issue_token()
    browser = Https(enforce_csrf_checks=True)
    assert sign_in(browser, "alice", token).status_code == 403
    forged = {"username": "alice", "token": token, "csrfmiddlewaretoken": "x" * 64}
    assert browser.post("/login", forged).status_code == 403
    for path in ("/logout", "/link", "/jobs/1/cancel"):
        answer = browser.post(path)
        assert answer.status_code == 403
        assert "This form is too old" in answer.content.decode()
    assert not Session.objects.exists()
    csrf = csrf_of(browser, "/login")
    head = {"Referer": "https://testserver:80/login"}
    answer = browser.post("/login", {**forged, "csrfmiddlewaretoken": csrf}, headers=head)
    assert answer.status_code == 302, answer.content


# --- How a session ends ------------------------------------------------------------------


def is_in(browser: Https) -> bool:
    return browser.get("/").status_code == 200


def test_logging_out(alice: User) -> None:
    browser, other = log_in(alice), Https()
    other.cookies[COOKIE] = browser.cookies[COOKIE].value  # a copy of it
    answer = browser.post("/logout")
    assert answer["Location"] == "/login"
    assert answer.cookies[COOKIE]["max-age"] == 0
    assert (is_in(browser), is_in(other)) == (False, False)
    assert browser.get("/logout").status_code == 405
    assert browser.post("/logout").status_code == 302, "once more does no harm"


@pytest.mark.parametrize("end", ["revoked", "replaced", "inactive", "deleted"])
def test_it_ends_with_the_token_and_with_the_user(alice: User, end: str) -> None:
    browser = log_in(alice)
    assert is_in(browser)
    if end == "revoked":
        operations.revoke_token(alice, "ta")
    elif end == "replaced":
        operations.issue_token(alice, "ta")
    elif end == "inactive":
        User.objects.filter(pk=alice.pk).update(is_active=False)
    else:
        operations.delete(alice, "ta")
    assert not is_in(browser)


def test_it_ends_after_a_working_day(alice: User, settings: Any) -> None:
    settings.TELERUN_PAGE_HOURS = 10
    browser = log_in(alice)
    lasts = Session.objects.get().ends_at - timezone.now()
    assert timedelta(hours=9.9) < lasts < timedelta(hours=10.1)
    Session.objects.update(ends_at=timezone.now())
    assert not is_in(browser)
    log_in(alice)
    assert Session.objects.count() == 1, "what is over is deleted"


def test_one_more_than_a_user_may_have_ends_the_oldest(alice: User, bob: User) -> None:
    token, of_bob = alice.issue_token(), log_in(bob)
    browsers = [Https() for _ in range(sessions.MAX_OF_USER + 1)]
    for browser in browsers:
        sign_in(browser, "alice", token)
    assert [is_in(browser) for browser in browsers].count(False) == 1
    assert not is_in(browsers[0])
    assert is_in(of_bob)


def test_a_session_of_somebody_else_in_the_same_browser_ends(alice: User, bob: User) -> None:
    browser = log_in(alice)
    sign_in(browser, "bob", bob.issue_token())
    assert "bob" in browser.get("/").content.decode()
    assert [row.user for row in Session.objects.all()] == [bob]


@pytest.mark.parametrize("secret", ["x", "é\0", "a" * 5000, ""])
def test_a_cookie_that_is_none(alice: User, secret: str) -> None:
    browser = log_in(alice)
    browser.cookies[COOKIE] = secret
    assert browser.get("/")["Location"] == "/login"


# --- By a link ---------------------------------------------------------------------------


def link_of(api: Api) -> str:
    """The secret behind the `#`."""
    answer = api.post("/page-links")
    assert answer.status_code == 201
    url, _, secret = answer.json()["url"].partition("#")
    assert url == "https://testserver/link"
    return secret


def test_a_link_logs_in_once(as_alice: Api, alice: User) -> None:
    secret = link_of(as_alice)
    browser, other = Https(), Https()
    assert 'id="link"' in browser.get("/link").content.decode()
    answer = browser.post("/link", {"secret": secret})
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert "alice" in browser.get("/").content.decode()
    answer = other.post("/link", {"secret": secret})
    assert answer.status_code == 403
    assert "works once" in problem_on(answer)
    assert not is_in(other)


def test_a_link_is_kept_as_a_digest_and_told_when_it_ends(as_alice: Api) -> None:
    answer = as_alice.post("/page-links")
    secret = answer.json()["url"].partition("#")[2]
    row = Link.objects.get()
    assert row.pk == digest(secret)
    lasts = row.ends_at - timezone.now()
    assert timedelta(seconds=50) < lasts <= timedelta(seconds=60)
    assert answer.json()["expires_at"] == row.ends_at.isoformat().replace("+00:00", "Z")
    assert answer["Cache-Control"] == "no-store"


def test_a_link_that_is_over_or_replaced_or_no_link(as_alice: Api) -> None:
    first, second = link_of(as_alice), link_of(as_alice)
    for secret in (first, "", "x", "é\0"):
        assert Https().post("/link", {"secret": secret}).status_code == 403
    Link.objects.update(ends_at=timezone.now())
    assert Https().post("/link", {"secret": second}).status_code == 403


@pytest.mark.parametrize("end", ["revoked", "replaced", "inactive"])
def test_a_link_ends_with_the_token_and_with_the_user(as_alice: Api, alice: User, end: str) -> None:
    secret = link_of(as_alice)
    if end == "inactive":
        User.objects.filter(pk=alice.pk).update(is_active=False)
    else:
        (operations.revoke_token if end == "revoked" else operations.issue_token)(alice, "ta")
    assert Https().post("/link", {"secret": secret}).status_code == 403


def test_guessed_links_are_counted(db: None, settings: Any) -> None:
    settings.TELERUN_WRONG_TOKENS_PER_MINUTE = 1
    statuses = [Https().post("/link", {"secret": "guess"}).status_code for _ in range(2)]
    assert statuses == [403, 429]


def test_a_link_is_given_to_users_alone(nobody: Api, as_gpu1: Api) -> None:
    assert problem(nobody.post("/page-links")) == (401, "not-authenticated")
    assert problem(as_gpu1.post("/page-links")) == (403, "wrong-token-kind")
    assert not Link.objects.exists()
