"""The stream of a job's page, by a session, on the real server: what the API's tests hold, and who
may read it, and until when."""

import contextlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from foundation.serving.waiters import MAX_OF_USER
from tests.support.events import Event, events
from tests.support.live import Ports, StubExecutor
from tests.support.processes import World, wait_for

pytestmark = pytest.mark.end_to_end

Cookies = dict[str, str]


class Page:
    """A student's browser, as far as logging in and a stream go."""

    def __init__(self, world: World, auth: Path) -> None:
        self._ports = Ports(world, [world.port])
        self._server = world.server_url
        self.cookies: Cookies = {}
        told = json.loads(auth.read_text())
        answer = self.post("/login", username=told["username"], token=told["token"])
        assert (answer.status, answer.getheader("Location")) == (302, "/")

    def get(self, path: str, **headers: str) -> http.client.HTTPResponse:
        """An answer that is not read yet; it is the connection's last."""
        connection = self._ports.connection(0)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET", path, headers={**self._head(), "Connection": "close", **given})
        return self._kept(connection.getresponse())

    def post(self, path: str, **form: str) -> http.client.HTTPResponse:
        self.get("/login").read()  # gives the cookie of its forms
        csrf = self.cookies["csrftoken"]
        head = {"Referer": self._server + path, "X-CSRFToken": csrf,
                "Content-Type": "application/x-www-form-urlencoded"}  # fmt: skip
        with contextlib.closing(self._ports.connection(0)) as connection:
            connection.request("POST", path, urlencode(form), {**self._head(), **head})
            answer = self._kept(connection.getresponse())
            answer.read()
            return answer

    def _head(self) -> Cookies:
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}

    def _kept(self, answer: http.client.HTTPResponse) -> http.client.HTTPResponse:
        for header in answer.headers.get_all("Set-Cookie") or ():
            name, _, value = header.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer


def told_by(answer: http.client.HTTPResponse) -> Iterator[Event]:
    assert (answer.status, answer.getheader("Content-Type")) == (200, "text/event-stream")
    return events(iter(answer.readline, b""))


@pytest.fixture
def alice(world: World) -> Path:
    auth = world.user("alice")
    world.start_server()
    return auth


def submitted(world: World, auth: Path) -> int:
    return world.request(auth, "POST", "/jobs", {"source": "x"})[2]["id"]


def test_a_job_to_its_end(world: World, alice: Path) -> None:
    job = submitted(world, alice)
    page, ports = Page(world, alice), Ports(world, [world.port])
    executor = world.executor("gpu1")
    path = f"/jobs/{job}/events"
    answer = page.get(path)
    assert answer.getheader("Cache-Control") == "no-cache"
    assert answer.getheader("X-Accel-Buffering") == "no"
    stream = told_by(answer)
    assert next(stream).data["state"] == "queued"
    stub = StubExecutor(ports, executor)
    while (event := next(stream)).data["state"] == "queued":
        pass
    assert event.data["state"] == "running"
    stub.feed(0, b"step 1\n")
    while (event := next(stream)).kind != "output":
        pass
    assert event.data["text"] == "step 1\n"
    # A page that comes back goes on from there: by the browser's header, or by its own address.
    stub.feed(7, b"step 2\n")
    for again in (page.get(path, Last_Event_ID=event.id), page.get(f"{path}?after={event.id}")):
        assert next(e for e in told_by(again) if e.kind == "output").data["offset"] == 7
        again.close()
    stub.finish(execute_log="step 1\nstep 2\n")
    last = [*stream][-1]
    assert last.data["outcome"] == "succeeded"
    assert "execute_log" not in last.data["result"]
    assert page.get(path, Last_Event_ID=last.id).status == 204, "the browser stops"


@pytest.mark.parametrize("end", ["log-out", "revoked", "inactive"])
def test_it_ends_with_the_session(world: World, alice: Path, end: str) -> None:
    job = submitted(world, alice)
    page = Page(world, alice)
    stream = told_by(page.get(f"/jobs/{job}/events"))
    assert next(stream).data["state"] == "queued"
    if end == "log-out":
        page.post("/logout")
    elif end == "revoked":
        world.aside("telerun_auth", "revoke-user-token", "alice")
    else:
        script = "from accounts.models import User; User.objects.update(is_active=False)"
        world.aside("shell", "-v0", "-c", script)
    assert [event.data["state"] for event in stream if event.data["state"] != "queued"] == []
    assert page.get(f"/jobs/{job}/events").status == 403


def test_it_is_refused_to_outsiders(world: World, alice: Path) -> None:
    job = submitted(world, alice)
    bob = Page(world, world.user("bob"))
    answer = bob.get(f"/jobs/{job}/events")
    assert (answer.status, b"alice" in answer.read()) == (404, False)
    bob.cookies.clear()
    assert bob.get(f"/jobs/{job}/events").status == 403
    token = json.loads(alice.read_text())["token"]
    assert bob.get(f"/jobs/{job}/events", Authorization=f"Bearer {token}").status == 403
    with world.connection() as connection:
        name = f"__Host-telerun-{world.port}"
        session = Page(world, alice).cookies[name]
        connection.request("GET", "/api/v1/jobs", headers={"Cookie": f"{name}={session}"})
        assert connection.getresponse().status == 401, "the API takes no session"


@pytest.mark.hardening
def test_a_user_holds_so_many_and_no_more(world: World, alice: Path) -> None:
    """Together with those of the API, in each process."""
    world.server.stop()
    world.start_server(TELERUN_WORKERS=1)
    job = submitted(world, alice)
    page = Page(world, alice)
    held = [page.get(f"/jobs/{job}/events") for _ in range(MAX_OF_USER)]
    assert {answer.status for answer in held} == {200}
    assert page.get(f"/jobs/{job}/events").status == 429
    assert page.get(f"/jobs/{job}").status == 200, "its page is there all the same"
    held.pop().close()
    wait_for(lambda: page.get(f"/jobs/{job}/events").status == 200, "one ended, one begins")
