"""A stub executor and those who watch, inside the test's own process; fixtures for both.

The stub claims a job, and feeds what it likes to the API.
"""

from typing import Any

import pytest

from accounts.models import Executor, User
from foundation.database import connections
from jobs.live import watching
from tests.support.api import Api
from tests.support.events import Event, Shown, events


class StubExecutor:
    """Claims a job and feeds output of it by the API, as a real one would, or otherwise."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.claimed = api.claim()
        self.attempt = self.claimed["attempt"]

    def send(self, offset: int, content: bytes | str, log: str = "execute", **more: Any) -> Any:
        text = content if isinstance(content, str) else content.decode("utf-8", "surrogateescape")
        body = {"log": log, "offset": offset, "text": text, **more}
        body = {"lease_token": self.attempt["lease_token"], **body}
        return self.api.post(f"/attempts/{self.attempt['id']}/output", body)

    def feed(self, content: bytes, log: str = "execute", offset: int = 0) -> bool:
        answer = self.send(offset, content, log)
        assert answer.status_code == 200, answer.content
        return answer.json()["watched"]

    def release(self, **logs: str) -> Any:
        body = {"lease_token": self.attempt["lease_token"], "reason": "it was cancelled", **logs}
        return self.api.post(f"/attempts/{self.attempt['id']}/release", body)


class Stream:
    """A job's stream, read as far as it goes without waiting for more."""

    def __init__(self, api: Api, job_id: int, last: str = "") -> None:
        self.answer = api.get(f"/jobs/{job_id}/events", Last_Event_ID=last)
        self._lines = (
            line for part in self.answer.streaming_content for line in part.splitlines(True)
        )
        self._events = events(self._lines)

    def next(self) -> Event | None:
        return next(self._events, None)

    def until_over(self) -> list[Event]:
        return list(self._events)

    def close(self) -> None:
        self.answer.close()


class Reader:
    """Reads a job's stream, is cut off, and goes on from the last event."""

    def __init__(self, api: Api, job_id: int, last: str = "") -> None:
        self._api, self._job_id = api, job_id
        self._stream = Stream(api, job_id, last)
        self.shown = Shown()
        self.ids: list[str] = []

    def has_more(self, sent: dict[str, int]) -> bool:
        """Of what was sent at most three bytes, which begin a character, are not told yet."""
        return any(sent[log] - len(shown) > 3 for log, shown in self.shown.logs.items())

    def read(self) -> None:
        self._take(self._stream.next())

    def read_to_the_end(self) -> None:
        for event in self._stream.until_over():
            self._take(event)

    def _take(self, event: Event | None) -> None:
        assert event
        self.ids.append(event.id)
        if event.kind == "output":
            self.shown.add(event.data)

    def go_on(self) -> None:
        self._stream.close()
        self._stream = Stream(self._api, self._job_id, self.ids[-1])


def output(stream: Stream) -> dict[str, Any]:
    """The next event's data, which is output."""
    event = stream.next()
    assert event
    assert event.kind == "output"
    return event.data


def kept_size() -> tuple[int, int]:
    sql = "SELECT COUNT(*), COALESCE(SUM(stop - start), 0) FROM jobs_livepiece"
    ((count, size),) = connections.scratch().rows(sql)
    return count, int(size)


@pytest.fixture
def nothing_kept(db: None) -> None:
    """Of an earlier test: jobs have the same numbers again."""
    for table in ("jobs_livepiece", "jobs_livewatch"):
        connections.scratch().rows(f"DELETE FROM {table}")
    watching._process.pid = 0


@pytest.fixture
def student(alice: User) -> Api:
    return Api(alice.issue_token())


@pytest.fixture
def job_id(student: Api) -> int:
    return student.submit()["id"]


@pytest.fixture
def host(job_id: int, gpu1: Executor) -> StubExecutor:
    return StubExecutor(Api(gpu1.issue_token()))
