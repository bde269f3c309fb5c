"""A job's stream of events, as a client reads it, and what its program's output amounts to."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple


class Event(NamedTuple):
    """One event; comments are none."""

    kind: str
    id: str
    data: dict[str, Any]


def events(lines: Iterable[bytes]) -> Iterator[Event]:
    """What lines tell, which may be cut anywhere: between them, not inside."""
    fields: dict[str, str] = {}
    for line in lines:
        text = line.decode().rstrip("\n")
        if text:
            name, _, value = text.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield Event(fields["event"], fields["id"], json.loads(fields["data"]))
            fields = {}


class Shown:
    """What a client has of an attempt's logs, put together from `output` events."""

    def __init__(self) -> None:
        self.attempt = 0
        self.logs = {"compile": bytearray(), "execute": bytearray()}
        self.gaps: dict[str, list[tuple[int, int]]] = {"compile": [], "execute": []}

    def add(self, data: dict[str, Any]) -> None:
        """One event's data: it goes on exactly where the last one ended, or after a gap."""
        if data["attempt"] != self.attempt:
            assert data["attempt"] > self.attempt
            self.__init__()  # type: ignore[misc]
            self.attempt = data["attempt"]
        log, content = self.logs[data["log"]], data["text"].encode("utf-8", "surrogateescape")
        assert content
        assert data["offset"] >= len(log), "nothing is told twice"
        if data["offset"] > len(log):
            self.gaps[data["log"]].append((len(log), data["offset"]))
            log.extend(b"?" * (data["offset"] - len(log)))
        log.extend(content)
