"""A job's page for staff while its job is not over: the stream on the real server, the page in a
real browser."""

import contextlib
import http.client
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from jobs.admin.job_page.live import CHECKED_SECONDS
from tests.conftest import need
from tests.support.browser import PHONE, WIDE, Browser, programs
from tests.support.events import Event, events
from tests.support.live import Ports, StubExecutor
from tests.support.processes import World, wait_for

pytestmark = [pytest.mark.end_to_end, pytest.mark.once]

SESSION = """
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import Permission
from django.contrib.sessions.backends.db import SessionStore
from accounts.models import User
user = User.objects.create_user("{name}", is_staff={is_staff})
user.user_permissions.set(Permission.objects.filter(codename__in={rights}))
session = SessionStore()
session[SESSION_KEY] = str(user.pk)
session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
session[HASH_SESSION_KEY] = user.get_session_auth_hash()
session.save()
print(session.session_key)
"""


def session_of(
    world: World, name: str, rights: tuple[str, ...] = ("view_job",), *, is_staff: bool = True
) -> str:
    made = SESSION.format(name=name, rights=rights, is_staff=is_staff)
    return world.aside("shell", "-v0", "-c", made).out.split()[-1]


@pytest.fixture
def alice(world: World) -> Path:
    auth = world.user("alice")
    world.start_server(TELERUN_LEASE_SECONDS=600, TELERUN_MAX_QUEUED_PER_USER=20)
    return auth


def submitted(world: World, auth: Path, source: str = "int main() {}\n") -> int:
    body = {"source": source, "filename": "prog.cu"}
    return world.request(auth, "POST", "/jobs", body)[2]["id"]


def asked(world: World, job: int, session: str = "", known: str = "") -> http.client.HTTPResponse:
    """The stream; its connection's last answer."""
    connection = Ports(world, [world.port]).connection(0)
    cookie = {"Cookie": f"sessionid={session}"} if session else {}
    path = f"/admin/jobs/job/{job}/events{known}"
    connection.request("GET", path, headers={"Connection": "close", **cookie})
    return connection.getresponse()


def told_by(answer: http.client.HTTPResponse) -> Iterator[Event]:
    assert (answer.status, answer.getheader("Content-Type")) == (200, "text/event-stream")
    return events(iter(answer.readline, b""))


def test_staff_see_a_job_to_its_end(world: World, alice: Path) -> None:
    gpu1, ports = world.executor("gpu1"), Ports(world, [world.port])
    session, job = session_of(world, "ta"), submitted(world, alice)
    told = told_by(asked(world, job, session))
    first = next(told)
    assert (first.kind, first.data["state"]) == ("job", "queued")
    stub = StubExecutor(ports, gpu1)
    assert next(told).data["state"] == "running"
    assert stub.feed(0, b"step 1\n") is True, "somebody watches"
    seen = next(event for event in told if event.kind == "output")
    assert (seen.data["log"], seen.data["text"]) == ("execute", "step 1\n")
    stub.finish(execute_log="step 1\n")
    last = list(told)[-1]
    assert last.data["state"] == "finished"
    assert asked(world, job, session, f"?after={last.id}").status == 204


def test_who_may_not_see_jobs_sees_no_stream(world: World, alice: Path) -> None:
    job = submitted(world, alice)
    for session in ("", "x" * 32, session_of(world, "newcomer", ()),
                    session_of(world, "student", is_staff=False)):  # fmt: skip
        assert asked(world, job, session).status == 403
    assert asked(world, job + 1, session_of(world, "ta")).status == 404


IMPORTS = "from accounts.models import User; from django.contrib.sessions.models import Session"


@pytest.mark.parametrize(
    "change", ["is_active=False", "is_staff=False", "password='x'", "rights", "log-out"]
)
def test_the_stream_ends_with_the_right_to_see_it(world: World, alice: Path, change: str) -> None:
    job = submitted(world, alice)
    told = told_by(asked(world, job, session_of(world, "ta")))
    next(told)
    ended = {
        "rights": "User.objects.get(username='ta').user_permissions.clear()",
        "log-out": "Session.objects.all().delete()",
    }.get(change, f"User.objects.filter(username='ta').update({change})")
    world.aside("shell", "-v0", "-c", f"{IMPORTS}; {ended}")
    began = time.monotonic()
    assert [event.data["state"] for event in told] in ([], ["queued"])
    assert time.monotonic() - began < CHECKED_SECONDS + 20


def test_it_counts_with_its_readers_and_not_with_the_students(world: World, alice: Path) -> None:
    """However many watch, the student's own requests are answered."""
    job = submitted(world, alice)
    with contextlib.ExitStack() as stack:
        for name in ("ta", "head"):
            session = session_of(world, name)
            for _ in range(20):
                answer = stack.enter_context(contextlib.closing(asked(world, job, session)))
                assert answer.status == 200
        assert world.request(alice, "GET", f"/jobs/{job}", Prefer="wait=0")[0] == 200
        assert world.request(alice, "GET", "/jobs")[0] == 200


# --- In a browser ------------------------------------------------------------------------


@pytest.fixture
def staff(world: World, alice: Path) -> Iterator[Browser]:
    need("Chromium with its driver (chromium, chromium-driver)", programs())
    password = world.manage("telerun_auth", "create-staff", "ta").out.split()[-1]
    with Browser(world) as browser:
        browser.open("/admin/")
        browser.find("[name=username]").send_keys("ta")
        browser.find("[name=password]").send_keys(password)
        browser.press("[type=submit]")
        yield browser


def test_the_page_of_a_job_to_its_end(world: World, alice: Path, staff: Browser) -> None:
    gpu1, ports = world.executor("gpu1"), Ports(world, [world.port])
    first, job = submitted(world, alice), submitted(world, alice)
    staff.open(f"/admin/jobs/job/{job}/change/")
    assert "Waits at place 2" in staff.text(".verdict")
    before = StubExecutor(ports, gpu1)
    staff.wait_for(".verdict", "Waits at place 1")
    assert before.attempt["number"] == 1
    before.finish()
    stub = StubExecutor(ports, gpu1)
    staff.wait_for(".verdict", "Compiles on gpu1")
    assert staff.find("button[value=requeue]"), "buttons are of the state"
    stub.feed(0, b"warning: a\n", "compile")
    staff.wait_for("#compile-live pre", "warning: a")
    beat = {"lease_token": stub.attempt["lease_token"], "phase": "executing"}
    world.request(gpu1, "POST", f"/attempts/{stub.attempt['id']}/heartbeat", beat)
    staff.wait_for(".verdict", "Runs on gpu1")
    staff.wait_for("#news", "Runs on gpu1")  # said by a screen reader
    stub.feed(0, b"step 1\n<script>document.title='harm'</script>\n")
    staff.wait_for("#execute-live pre", "<script>document.title='harm'</script>")
    seconds = staff.text("[data-elapsed]")
    wait_for(lambda: staff.text("[data-elapsed]") != seconds, "the seconds go on")
    stub.finish(execute_log="step 1\n", execute_seconds=1.31)
    staff.wait_for(".verdict", "Succeeded on gpu1: ran in 1.31 s.")
    assert staff.text("#attempt-1 .log") == "step 1"
    assert "harm" not in staff.driver.title
    assert staff.complaints() == []
    staff.press("a[rel=prev]")
    assert f"Job {first}" in staff.text("h1")


LOG = (
    './prog.cu(180): error: expected a ";"\n  }\n  ^\n\n1 error detected in the compilation of "x".'
)
WIDER = "return document.documentElement.scrollWidth > window.innerWidth"
COPIED = """
getSelection().selectAllChildren(document.querySelector(".source"));
return getSelection().toString()
"""
LINES = "".join(f"int line{n}; // {'x' * (n % 150)}\n" for n in range(1, 301))


@pytest.mark.hardening
def test_a_compile_error_is_seen_at_once(world: World, alice: Path, staff: Browser) -> None:
    gpu1, ports = world.executor("gpu1"), Ports(world, [world.port])
    submitted(world, alice, "int line1;\n")
    StubExecutor(ports, gpu1).finish(execute_log="x" * 3000 + "\n" * 200)
    job = submitted(world, alice, LINES)
    StubExecutor(ports, gpu1).finish(outcome="compile_error", compile_log=LOG)
    for size, colours in product((WIDE, PHONE), ("light", "dark")):
        staff.show_as(size, colours)
        staff.open(f"/admin/jobs/job/{job}/change/")
        for css in (".verdict", "#excerpt .meant"):  # without scrolling
            place = staff.find(css).rect
            assert place["y"] + place["height"] < size[1], (css, size)
        assert "int line180;" in staff.text("#excerpt .meant")
        # The line stands inside of its box, and the page has stayed where it was.
        box, line = staff.find(".source").rect, staff.find(".wrong-line").rect
        assert box["y"] < line["y"] < box["y"] + box["height"]
        assert staff.driver.execute_script("return window.scrollY") == 0
        assert staff.driver.execute_script(WIDER) is False
        assert staff.barriers() == []
        staff.open(f"/admin/jobs/job/{job}/difference")
        assert staff.driver.execute_script(WIDER) is False
        assert staff.barriers() == []
    staff.open(f"/admin/jobs/job/{job}/change/")
    staff.complaints()  # axe's own styles
    staff.find("#attempt-1 .log a").click()
    assert staff.driver.current_url.endswith("#prog.cu-L180")
    assert "int line180;" in staff.driver.execute_script(COPIED)
    assert "180\n" not in staff.driver.execute_script(COPIED), "numbers are not copied"
    assert staff.complaints() == []
