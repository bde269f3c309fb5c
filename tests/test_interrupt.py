"""Ctrl-C while a submission is on its way. A stub queue for the moment, the real one elsewhere."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.scripts import load

pytestmark = pytest.mark.once


submit = load("submit")


class StubQueue:
    """Takes every submission; the answer to the first one is interrupted."""

    server = "https://stub"
    turns = submit.Turns()

    def __init__(self, away: bool) -> None:
        self.away = away
        self.sent: list[tuple[str, str, Any]] = []

    def request(self, method: str, path: str, body: Any, headers: Any, _timeout: float) -> Any:
        self.sent.append((method, path, (headers or {}).get("Idempotency-Key")))
        if len(self.sent) == 1:
            raise KeyboardInterrupt
        if self.away:
            raise submit.Unreachable("it is away")
        state = "cancelled" if path.endswith("/cancel") else "queued"
        return submit.Answer(200, {}, {"id": 7, "state": state, "result": None})

    def close(self) -> None: ...


def interrupted(away: bool, monkeypatch: pytest.MonkeyPatch) -> tuple[StubQueue, int]:
    monkeypatch.setattr(submit, "INTERRUPT_PATIENCE_SECONDS", 0)
    queue = StubQueue(away)
    client = submit.Client(queue)
    with pytest.raises(KeyboardInterrupt):
        client.submit(SimpleNamespace(body={"source": "x"}, wishes=None), False)
    watch = submit.Watch(client, SimpleNamespace(), SimpleNamespace())
    return queue, watch._interrupted()


def test_the_job_whose_answer_was_not_awaited_is_taken_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    queue, status = interrupted(False, monkeypatch)
    first, again, *rest = queue.sent
    assert first == again  # the same key: the same job
    assert rest[-1][:2] == ("POST", "/jobs/7/cancel")
    assert status == 130
    assert "Job 7 is cancelled" in capsys.readouterr().err


def test_a_queue_that_is_away_is_said_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, status = interrupted(True, monkeypatch)
    assert status == 130
    assert "could not be asked" in capsys.readouterr().err
