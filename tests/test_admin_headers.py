"""What the admin tells a browser: what a page may load, and how long a log-in lasts."""

from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from jobs.models import Job
from tests.support.admin import AUDIT, EXECUTORS, JOBS, USERS, ask, browser

pytestmark = pytest.mark.django_db
POLICY = "Content-Security-Policy"
WANTED = ("default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "object-src 'none'")


def test_every_page_says_what_it_may_load(ta: Client, every_state: dict[str, Job]) -> None:
    pages = [ta.get(where) for where in ("/admin/", JOBS, AUDIT, USERS, EXECUTORS)]
    pages += [ta.get(f"{JOBS}{every_state['finished'].pk}/change/"), ta.get(f"{USERS}add/")]
    pages += [ask(ta, JOBS, "cancel", every_state["queued"].pk)]
    pages += [browser(None).get("/admin/login/"), ta.get("/admin/nothing/"), ta.get("/nothing")]
    pages += [ta.get(f"{JOBS}add/"), browser(None).get("/admin/")]
    assert {answer.status_code for answer in pages} == {200, 302, 403, 404}
    unlike_the_others = [answer for answer in pages if answer.status_code in (403, 404)]
    assert all(b'name="viewport"' in answer.content for answer in unlike_the_others)
    assert all(b'<a href="/admin/">' in a.content for a in unlike_the_others if of_admin(a))
    for answer in pages:
        directives = answer[POLICY].split("; ")
        assert set(WANTED) <= set(directives), answer.request["PATH_INFO"]
        assert "unsafe" not in answer[POLICY]


def of_admin(answer: Any) -> bool:
    return answer.request["PATH_INFO"].startswith("/admin/")


def test_a_page_that_refuses_leads_back_to_where_its_reader_was(db: None) -> None:
    assert b'<a class="name" href="/">' in browser(None).get("/nothing").content
    viewer = User.objects.create_user("viewer", is_staff=True)
    refused = browser(viewer).get(f"{USERS}add/")
    strict = browser(viewer, enforce_csrf_checks=True).post("/admin/logout/")
    for answer in (refused, strict, browser(viewer).get("/admin/nothing/")):
        assert answer.status_code in (403, 404)
        assert b'<a class="name" href="/admin/">' in answer.content
    assert "your role" in refused.content.decode()


def test_a_log_in_lasts_a_working_day(settings: Any) -> None:
    user = User.objects.create_user("ta", password="correct horse battery", is_staff=True)
    client = browser(None)
    client.post("/admin/login/", {"username": str(user), "password": "correct horse battery"})
    assert client.cookies["sessionid"]["max-age"] == 10 * 3600
    assert client.cookies["sessionid"]["httponly"]
    assert client.cookies["sessionid"]["secure"]
