"""The students' pages as a browser sees them, inside the test's own process."""

import re
from typing import Any

from accounts.models import User
from tests.support.admin import Https


def log_in(user: User) -> Https:
    """A browser in which the user has logged in with name and token."""
    browser = Https()
    answer = sign_in(browser, user.username, user.issue_token())
    assert (answer.status_code, answer["Location"]) == (302, "/"), answer.content
    return browser


def sign_in(browser: Https, name: str, token: str, **more: Any) -> Any:
    """Sends the log-in's form."""
    return browser.post("/login", {"username": name, "token": token, **more})


def csrf_of(browser: Https, path: str) -> str:
    """The secret of a page's form."""
    found = re.search(r'csrfmiddlewaretoken" value="(\w+)"', browser.get(path).content.decode())
    assert found
    return found[1]


def problem_on(answer: Any) -> str:
    """What a page says was wrong."""
    found = re.search(r'role="alert"[^>]*>([^<]*)<', answer.content.decode())
    return found[1] if found else ""
