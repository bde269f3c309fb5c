"""The student's pages, as they are captured: each wide, on a phone, and by night.

Page("job-live", "/jobs/{job}", submits="steps.cu", until="step 3")
"""

import time
from pathlib import Path
from typing import NamedTuple

from selenium.webdriver.common.by import By

from tests.captures.browser import Browser
from tests.captures.stage import Stage
from tests.support.processes import wait_for

LOOKS = {"wide": (1200, False), "phone": (390, False), "dark": (1200, True)}


class Page(NamedTuple):
    """A page, what happens before it is looked at, and the words that then stand on it."""

    name: str
    path: str  # with {job} for the job that she submits
    submits: str = ""  # one of the programs
    until: str = ""
    others: int = 0  # so many jobs of others come before
    is_over: bool = False  # the job is, before the page is opened
    kept: tuple[str, ...] = ()  # looks that belong in docs/images


PAGES = [
    Page("start", "/", submits="steps.cu", until="running", kept=("wide", "phone")),
    Page("start-others", "/", submits="hello.cu", until="hello.cu", others=4),
    Page("job-waiting", "/jobs/{job}", submits="hello.cu", until="waiting", others=4),
    Page("job-live", "/jobs/{job}", submits="steps.cu", until="step 3", kept=tuple(LOOKS)),
    Page("job-progress", "/jobs/{job}", submits="progress.cu", until="PASSED"),
    Page("job-done", "/jobs/{job}", submits="files.cu", is_over=True),
    Page("job-crash", "/jobs/{job}", submits="crash.cu", is_over=True),
    Page("job-compile-error", "/jobs/{job}", submits="broken.cu", is_over=True),
    Page("job-hostile", "/jobs/{job}", submits="hostile.cu", is_over=True),
    Page("job-cancel", "/jobs/{job}/cancel", submits="steps.cu"),
    Page("job-source", "/jobs/{job}/source", submits="steps.cu"),
    Page("jobs", "/"),
    Page("not-found", "/jobs/99999"),
]  # fmt: skip


def log_in(browser: Browser, stage: Stage, into: Path) -> bool:
    """Whether there is a page for students; its log-in is captured on the way."""
    driver, url = browser.driver, stage.world.server_url
    driver.get(url + "/")
    if not driver.find_elements(By.NAME, "token"):
        return False
    capture_looks(browser, "login", into)
    name, token = stage.name_and_token()
    driver.find_element(By.NAME, "username").send_keys(name)
    driver.find_element(By.NAME, "token").send_keys(token + "\n")
    wait_for(lambda: not driver.find_elements(By.NAME, "token"), "she is logged in")
    return True


def capture_page(page: Page, browser: Browser, stage: Stage, into: Path) -> list[Path]:
    """Its pictures; those that are kept."""
    stage.others_submit(page.others)
    job = stage.submit_aside(page.submits, page.is_over) if page.submits else 0
    browser.look_like(*LOOKS["wide"])
    browser.driver.get(stage.world.server_url + page.path.replace("{job}", str(job)))

    def is_there() -> bool:
        return page.until in browser.driver.find_element(By.TAG_NAME, "body").text

    wait_for(is_there, f"{page.until!r} on {page.path}")
    made = capture_looks(browser, page.name, into)
    return [made[look] for look in page.kept]


def capture_looks(browser: Browser, name: str, into: Path) -> dict[str, Path]:
    """A picture for each look."""
    made = {}
    for look, (width, is_dark) in LOOKS.items():
        browser.look_like(width, is_dark)
        time.sleep(0.2)  # until it is drawn anew
        made[look] = into / f"page-{name}-{look}.png"
        browser.picture(made[look])
    return made
