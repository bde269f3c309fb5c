"""Staff's pages, as they are captured: wide and on a phone, by day and by night, with a generated
course in them (bench/course).

A page is its name and its address; `{job}` and so on stand for the newest of the list's rows.
"""

import argparse
import re
import time
from pathlib import Path
from typing import NamedTuple

from selenium.webdriver.common.by import By

from bench.place import run_beside
from tests.captures.browser import Browser
from tests.support.processes import World, wait_for

LOOKS = {
    "wide": (1440, False),
    "wide-dark": (1440, True),
    "phone": (390, False),
    "phone-dark": (390, True),
}
COURSE = ("--students", 60, "--weeks", 5)  # not so large that one waits for it
LISTS = {
    "job": "/admin/jobs/job/",
    "failed": "/admin/jobs/job/?state__exact=failed",
    "broken": "/admin/jobs/job/?outcome__exact=compile_error",
    "crashed": "/admin/jobs/job/?outcome__exact=runtime_error",
    "running": "/admin/jobs/job/?state__exact=running",
    "queued": "/admin/jobs/job/?state__exact=queued",
    "cancelled": "/admin/jobs/job/?state__exact=cancelled",
    "several": "/admin/jobs/job/?q=lab5",
    "entry": "/admin/jobs/auditentry/",
    "user": "/admin/accounts/user/",
    "executor": "/admin/accounts/executor/?o=-1",
    "bulk": "/admin/jobs/bulkaction/",
}


class Page(NamedTuple):
    """A picture's name, and where it is taken."""

    name: str
    path: str


PAGES = [
    Page("front", "/admin/"),
    Page("jobs", "/admin/jobs/job/"),
    Page("jobs-last-page", "/admin/jobs/job/?p=5"),
    Page("jobs-search", "/admin/jobs/job/?q=ada1+matmul"),
    Page("jobs-nothing", "/admin/jobs/job/?q=nobody"),
    Page("jobs-failed", "/admin/jobs/job/?state__exact=failed"),
    Page("job-succeeded", "/admin/jobs/job/{job}/change/"),
    Page("job-failed", "/admin/jobs/job/{failed}/change/"),
    Page("job-compile-error", "/admin/jobs/job/{broken}/change/"),
    Page("job-runtime-error", "/admin/jobs/job/{crashed}/change/"),
    Page("job-running", "/admin/jobs/job/{running}/change/"),
    Page("job-queued", "/admin/jobs/job/{queued}/change/"),
    Page("job-cancelled", "/admin/jobs/job/{cancelled}/change/"),
    Page("job-several-files", "/admin/jobs/job/{several}/change/"),
    Page("job-history", "/admin/jobs/job/{failed}/history/"),
    Page("audit", "/admin/jobs/auditentry/"),
    Page("audit-entry", "/admin/jobs/auditentry/{entry}/change/"),
    Page("users", "/admin/accounts/user/"),
    Page("users-search", "/admin/accounts/user/?q=student"),
    Page("user", "/admin/accounts/user/{user}/change/"),
    Page("user-history", "/admin/accounts/user/{user}/history/"),
    Page("add-users", "/admin/accounts/user/add/"),
    Page("executors", "/admin/accounts/executor/"),
    Page("executor", "/admin/accounts/executor/{executor}/change/"),
    Page("bulk-actions", "/admin/jobs/bulkaction/"),
    Page("bulk-action", "/admin/jobs/bulkaction/{bulk}/change/"),
]  # fmt: skip


def capture_staff(browser: Browser, folder: Path, options: argparse.Namespace) -> list[bool]:
    """The pages whose names, after "admin-", are wanted; whether each went well."""
    names = options.names
    wanted = [p for p in PAGES if not names or any(f"admin-{p.name}".startswith(n) for n in names)]
    if not wanted:
        return []
    with World(folder, TELERUN_LEASE_SECONDS=3600) as world:  # hosts live, and what runs goes on
        run_beside(world, "bench.course", *COURSE)
        password = world.manage("telerun_auth", "create-staff", "ta-captures").out.split()[-1]
        world.start_server()
        _log_in(browser, world, password)
        return [_capture(page, browser, world, options.into) for page in wanted]


def _log_in(browser: Browser, world: World, password: str) -> None:
    driver = browser.driver
    driver.get(f"{world.server_url}/admin/login/")
    driver.find_element(By.NAME, "username").send_keys("ta-captures")
    driver.find_element(By.NAME, "password").send_keys(password + "\n")
    wait_for(lambda: not driver.find_elements(By.NAME, "password"), "staff are logged in")


def _capture(page: Page, browser: Browser, world: World, into: Path) -> bool:
    """A picture for each look; False, and why, for a page that there is not."""
    try:
        path = re.sub(r"{(\w+)}", lambda found: _newest(browser, world, found[1]), page.path)
    except LookupError as error:
        print(f"admin-{page.name}: FAILED: {error}")
        return False
    browser.driver.get(world.server_url + path)
    for look, (width, is_dark) in LOOKS.items():
        browser.look_like(width, is_dark)
        time.sleep(0.2)  # until it is drawn anew
        browser.picture(into / f"admin-{page.name}-{look}.png")
    print(f"admin-{page.name}: {into}")
    return True


def _newest(browser: Browser, world: World, kind: str) -> str:
    """The key of the first row of a list. Raises LookupError."""
    browser.driver.get(world.server_url + LISTS[kind])
    found = re.search(r"/(\d+)/change/", browser.driver.page_source)
    if found is None:
        raise LookupError(f"there is no {kind}")
    return found[1]
