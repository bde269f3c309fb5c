"""The admin site in a real browser, Chromium, against the real gunicorn over TLS."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from tests.conftest import need
from tests.support.browser import Browser, programs
from tests.support.processes import World
from tests.support.stubs import AS_SHELL, fake_nvcc

pytestmark = [pytest.mark.end_to_end, pytest.mark.once]


@pytest.fixture
def staff(world: World) -> Iterator[Browser]:
    """A browser in which a new member of staff has logged in, with the password as printed."""
    need("Chromium with its driver (chromium, chromium-driver)", programs())
    password = world.manage("telerun_auth", "create-staff", "ta").out.split()[-1]
    (world.folder / "password").write_text(password)
    world.start_server()
    with Browser(world) as browser:
        browser.open("/admin/")
        browser.find("[name=username]").send_keys("ta")
        browser.find("[name=password]").send_keys(password)
        browser.press("[type=submit]")
        yield browser


def test_a_job_is_found_read_requeued_and_cancelled(world: World, staff: Browser) -> None:
    alice = world.user("alice")
    executor = world.start_executor(world.executor("gpu1"), nvcc=fake_nvcc(world.folder, AS_SHELL))
    assert world.submit(alice, world.source("echo '<b>hello</b> there'", "hi.cu")).status == 0
    assert executor.stop() == 0  # what is requeued stays in the queue

    staff.open("/admin/")
    assert "gpu1 alive" in staff.text("#queue")
    assert staff.find("#header").value_of_css_property("background-color") != "rgba(0, 0, 0, 0)"

    staff.follow("Jobs")
    staff.find("#searchbar").send_keys("alice")
    staff.press("#changelist-search [type=submit]")
    assert "Finished: succeeded" in staff.text("#result_list")
    staff.follow("1")
    assert "Succeeded on gpu1" in staff.text(".verdict")
    assert "echo '<b>hello</b> there'" in staff.text(".source .code")
    output = staff.find("#attempt-1 .log")
    assert output.text == "<b>hello</b> there"
    assert "mono" in output.value_of_css_property("font-family").lower()
    assert output.value_of_css_property("overflow-y") == "auto"  # our own style sheet is there

    staff.press("button[value=requeue]")
    assert "1 result is superseded." in staff.text("#question")
    assert world.request(alice, "GET", "/jobs/1")[2]["state"] == "finished"
    staff.find("#count").send_keys("1")
    staff.press("#question [type=submit]")
    assert "1 job queued." in staff.text(".messagelist")
    staff.wait_for(".timeline", "superseded")
    assert world.request(alice, "GET", "/jobs/1")[2]["state"] == "queued"

    staff.open("/admin/jobs/job/?state__exact=queued")
    staff.choose("Cancel")
    staff.press("#question [type=submit]")
    assert "1 job cancelled" in staff.text(".messagelist")
    assert world.request(alice, "GET", "/jobs/1")[2]["state"] == "cancelled"

    staff.open("/admin/jobs/job/1/history/")
    assert "ta" in staff.text("#result_list")
    done = [line["action"] for line in world.audit_lines() if line["username"] == "ta"]
    assert done == ["logged-in", "requeued", "cancelled"]
    assert staff.complaints() == []


def test_a_user_is_made_and_the_token_shown_works(world: World, staff: Browser) -> None:
    gpu1 = world.executor("gpu1")
    world.start_executor(gpu1, nvcc=fake_nvcc(world.folder, AS_SHELL))
    staff.open("/admin/accounts/user/")
    staff.press(".addlink")
    staff.find("[name=names]").send_keys("bob\nerin")
    staff.press("[name=look]")
    assert "TO BE ADDED: 2" in staff.text().upper()
    staff.press(".submit-row .default")
    first = token_of(world, staff, "bob")
    done = world.submit(first, world.source("echo made by hand"))
    assert (done.status, "made by hand\n" in done.out) == (0, True), done.err

    staff.open("/admin/accounts/user/?q=bob")
    staff.choose("Issue a new token (shown once; the old one ends)")
    assert "Issue a new token for bob" in staff.text("h1")
    assert world.request(first, "GET", "/jobs")[0] == 200  # so far nothing was done
    staff.press("#question [type=submit]")
    second = token_of(world, staff, "bob", "second")
    assert world.request(first, "GET", "/jobs")[0] == 401
    assert world.request(second, "GET", "/jobs")[0] == 200
    secrets = [json.loads(file.read_text())["token"] for file in (first, second)]
    staff.open("/admin/accounts/user/?q=bob")
    kept = staff.driver.page_source + str(staff.driver.get_cookies()) + world.server.told()
    assert not [secret for secret in secrets if secret in kept]

    staff.follow("bob")
    staff.press("button[value=revoke_token]")
    staff.press("#question [type=submit]")
    assert "Without a token now: bob." in staff.text(".messagelist")
    assert world.request(second, "GET", "/jobs")[0] == 401
    assert staff.complaints() == []


def token_of(world: World, staff: Browser, name: str, file: str = "first") -> Path:
    """The auth.json on the page, as its owner saves it."""
    assert "token" not in staff.driver.current_url
    row = next(row for row in staff.text("table").splitlines() if row.startswith(f"{name} "))
    auth = json.loads(row.removeprefix(name))
    path = world.auth("username", file, auth.pop("token"), **auth)
    assert json.loads(path.read_text())["username"] == name
    return path


def test_an_executor_is_taken_out_of_service(world: World, staff: Browser) -> None:
    gpu1 = world.executor("gpu1")
    staff.open("/admin/accounts/executor/")
    staff.choose("Take out of service")
    assert "Out of service, and may finish what runs: gpu1." in staff.text(".messagelist")
    status, _, problem = world.request(gpu1, "POST", "/claims", {})
    assert (status, problem["type"]) == (403, "/problems/executor-disabled")
    staff.follow("gpu1")
    staff.press("button[value=enable]")
    assert world.request(gpu1, "POST", "/claims", {})[0] == 204
    assert staff.complaints() == []


@pytest.mark.hardening
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_no_page_keeps_anybody_out(world: World, staff: Browser, colours: str) -> None:
    """Nor does the browser refuse anything on it by the policy that comes with it."""
    world.executor("gpu1")
    alice = world.user("alice")
    world.start_executor(world.executor("gpu2"), nvcc=fake_nvcc(world.folder, AS_SHELL))
    long = "".join(f"echo {n} >&2\n" for n in range(200))
    assert world.submit(alice, world.source(long)).status == 0
    world.manage("shell", "-v0", "-c", REPORT)
    scheme = {"features": [{"name": "prefers-color-scheme", "value": colours}]}
    staff.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
    lists = ("jobs/job", "jobs/auditentry", "jobs/bulkaction", "accounts/user", "accounts/executor")
    paths = ["", *(f"{one}/" for one in lists), "jobs/job/1/change/", "jobs/auditentry/4/change/",
             "accounts/user/add/", "accounts/user/2/change/", "accounts/user/2/password/",
             "accounts/user/2/delete/", "accounts/executor/2/change/",
             "password_change/", "second-factor/", "jobs/job/999/change/"]  # fmt: skip
    found = {}
    for path in paths:
        staff.open(f"/admin/{path}")
        complaints = [one for one in staff.complaints() if "policy" in str(one).lower()]
        found[path] = complaints + staff.barriers()
        staff.complaints()  # axe's own styles
    staff.open("/admin/jobs/job/")
    staff.choose("Run again (requeue)")
    found["question"] = staff.barriers()
    staff.open("/admin/accounts/user/add/")
    staff.find("[name=names]").send_keys("bob\nalice\na/b")
    staff.press("[name=look]")
    found["roster"] = staff.barriers()
    assert {path: what for path, what in found.items() if what} == {}


STALE = """
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
for session in map(SessionStore, Session.objects.values_list("pk", flat=True)):
    session["telerun_proved"] = 0
    session.save()
"""
CODE = """
from accounts.models import User
from tests.support.roles import code
print(code(User.objects.get(username="ta"), {later}))
"""


@pytest.mark.hardening
def test_the_password_once_more_and_a_second_factor(world: World, staff: Browser) -> None:
    """As a browser sends what is hidden in a page: no line of a roster is lost or changed."""
    password = (world.folder / "password").read_text()
    world.manage("shell", "-v0", "-c", STALE)
    staff.open("/admin/accounts/user/add/")
    roster = "login,name\nnew1,\"Ana <b>'N' & Núñez\"\nnew2,  Bo\n"
    staff.find("[name=names]").send_keys(roster)
    staff.press("[name=look]")
    found = staff.complaints() + staff.barriers()
    staff.complaints()  # axe's own styles
    staff.find("[name=fresh-password]").send_keys(password)
    staff.press(".submit-row .default")
    assert staff.find("[name=names]").get_attribute("value") == roster
    assert "TO BE ADDED: 2" in staff.text().upper()
    assert staff.driver.execute_script("return document.querySelector('#content b')") is None

    staff.open("/admin/second-factor/")
    size = "return document.querySelector('#content img').naturalWidth"
    assert staff.driver.execute_script(size) > 0
    found += staff.complaints() + staff.barriers()
    staff.complaints()
    staff.find("[name=code]").send_keys(code_of_ta(world, 0))
    staff.press("#enrol [type=submit]")
    assert len(staff.text("#codes").split()) == 10
    found += staff.barriers()
    staff.complaints()
    staff.driver.delete_all_cookies()
    staff.open("/admin/jobs/job/")
    staff.find("[name=username]").send_keys("ta")
    staff.find("[name=password]").send_keys(password)
    staff.press("[type=submit]")
    found += staff.complaints() + staff.barriers()
    staff.complaints()
    staff.find("[name=code]").send_keys(code_of_ta(world, 1))
    staff.press("[type=submit]")
    assert staff.driver.current_url.endswith("/admin/jobs/job/")
    assert found == []


def code_of_ta(world: World, later: int) -> str:
    return world.manage("shell", "-v0", "-c", CODE.format(later=later)).out.split()[-1]


REPORT = """
from accounts import executors
from accounts.models import Executor
for executor in Executor.objects.all():
    reason = "Xid 79 (GPU has fallen off the bus), " + "nvidia-smi:_Unknown_Error;" * 12
    executors.seen(executor, {"sandbox": "none", "gpus": [
        {"index": str(n), "uuid": str(n), "name": "NVIDIA H100 80GB HBM3",
         "condition": "quarantined", "reason": reason} for n in range(8)]})
"""


@pytest.mark.parametrize("width", [1440, 390])
def test_the_front_page_with_long_names_and_reasons(
    world: World, staff: Browser, width: int
) -> None:
    """Nothing is wider than the screen, and no name stands a letter a line."""
    world.executor("gpu-h100-rack7-node03.cluster.cs.example-university.edu")
    world.executor("a-name-without-any-dot-in-it-for-whoever-likes-them-long")
    world.manage("shell", "-v0", "-c", REPORT)
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    staff.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    for path in ("/admin/", "/admin/accounts/executor/"):
        staff.open(path)
        wide = staff.driver.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width, path
    staff.open("/admin/")
    names = staff.driver.find_elements(By.CSS_SELECTOR, "#queue .executors th a")
    assert len(names) == 2
    assert all(name.size["height"] < 80 for name in names)
