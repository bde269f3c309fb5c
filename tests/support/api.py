"""The API as a client sees it, inside the test's own process."""

import json
from typing import Any
from urllib.parse import quote

from rest_framework.test import APIClient

SOURCE = "int main() { return 0; }\n"


class Api:
    """Requests with one bearer's token, below /api/v1."""

    def __init__(self, token: str | None) -> None:
        self._client = APIClient(raise_request_exception=False)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def request(
        self, method: str, path: str, body: Any = None, headers: Any = None, **extra: Any
    ) -> Any:
        """One request; `body` is sent as JSON, or as it is if it is bytes."""
        if body is not None:
            extra.setdefault("content_type", "application/json")
            if not isinstance(body, bytes):  # 1e999 is JSON, and infinite
                body = json.dumps(body).replace("Infinity", "1e999").encode()
        return getattr(self._client, method.lower())(
            f"/api/v1{path}",
            body,
            headers={**self._headers, **(headers or {})},
            secure=True,
            **extra,
        )

    def get(self, path: str, **headers: str) -> Any:
        return self.request("GET", path, headers=_named(headers))

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.request("POST", path, body, _named(headers))

    def put(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.request("PUT", path, body, _named(headers))

    # --- Whole steps, for tests that are about something else ---

    def submit(self, source: str = SOURCE, **members: Any) -> dict[str, Any]:
        answer = self.post("/jobs", {"source": source, **members})
        assert answer.status_code == 201, answer.content
        return answer.json()

    def claim(self, **headers: str) -> dict[str, Any]:
        answer = self.post("/claims", {}, **headers)
        assert answer.status_code == 201, answer.content
        return answer.json()

    def finish(self, claimed: dict[str, Any], **members: Any) -> Any:
        attempt = claimed["attempt"]
        report = {"lease_token": attempt["lease_token"], "outcome": "succeeded", **members}
        return self.put(f"/attempts/{attempt['id']}/result", report)

    def send_file(
        self, claimed: dict[str, Any], name: str, content: bytes, token: str | None = None
    ) -> Any:
        attempt = claimed["attempt"]
        return self.request(
            "PUT",
            f"/attempts/{attempt['id']}/files/{quote(name, safe='')}",
            content,
            {"Telerun-Lease": attempt["lease_token"] if token is None else token},
            content_type="application/octet-stream",
            CONTENT_LENGTH=str(len(content)),  # which this client does not say of an empty one
        )

    def beat(self, claimed: dict[str, Any], phase: str = "compiling") -> Any:
        attempt = claimed["attempt"]
        return self.post(
            f"/attempts/{attempt['id']}/heartbeat",
            {"lease_token": attempt["lease_token"], "phase": phase},
        )

    def release(self, claimed: dict[str, Any], reason: str = "no reason") -> Any:
        attempt = claimed["attempt"]
        return self.post(
            f"/attempts/{attempt['id']}/release",
            {"lease_token": attempt["lease_token"], "reason": reason},
        )


def problem(answer: Any) -> tuple[int, str]:
    """Status and slug of an error, which must be a problem document with words in it."""
    assert answer["Content-Type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == answer.status_code
    assert document["title"]
    assert document["detail"]
    return answer.status_code, document["type"].rpartition("/")[2]


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
