"""An answer of the queue."""

from __future__ import annotations

from typing import Any


class Answer:
    """HTTP status, headers, and the JSON body ({} if there is none), or a file's bytes."""

    def __init__(
        self, status: int, headers: dict[str, str], body: Any, is_from_others: bool = False
    ) -> None:
        self.is_from_others = is_from_others  # somebody on the way gave it, in the queue's place
        self.status = status
        self.headers = headers  # their names in lower case
        self.body = body

    @property
    def problem(self) -> str:
        """The stable name of an error (RFC 9457), such as "pending-job"; "" if it is none."""
        return str(self.body.get("type", "")).rpartition("/")[2] if self.status >= 400 else ""

    @property
    def detail(self) -> str:
        """An error in words."""
        return str(self.body.get("detail") or f"HTTP status {self.status}")

    @property
    def is_stream(self) -> bool:
        """Whether it goes on (server-sent events)."""
        kind = self.headers.get("content-type", "")
        return self.status == 200 and kind.startswith("text/event-stream")

    @property
    def refuses_token(self) -> bool:
        """Whether the token is not accepted, and will not be later."""
        return self.status == 401 or self.problem == "too-many-wrong-tokens"

    @property
    def retry_after(self) -> float:
        """How many seconds the queue asks to be left alone."""
        text = self.headers.get("retry-after", "")
        return float(text) if text.isdigit() else 0.0


def is_retryable(answer: Answer) -> bool:
    """Whether the same request may fare better later."""
    return answer.status in (408, 425, 429, 500, 502, 503, 504) and not answer.refuses_token
