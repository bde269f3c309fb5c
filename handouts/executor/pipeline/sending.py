"""Sending one result and its files."""

from __future__ import annotations

import urllib.parse
from typing import Any

from handouts.executor.base.held_connection import HeldConnection
from handouts.executor.base.say import say
from handouts.executor.base.text import in_text
from handouts.executor.pipeline.delivery import Delivery
from handouts.executor.results.spool import Spool
from handouts.executor.slot.bounded_log import BoundedLog

TURN_SECONDS = 30  # after which a result that does not get through stands behind the others
LOG_BYTES = (256 << 10, 32 << 10)  # of each log of a result that is too large on its way


def with_short_logs(report: dict[str, Any], maximum: int) -> dict[str, Any]:
    """The same result, of each log no more than so many bytes: its head and its tail."""
    short = dict(report)
    for name in ("compile_log", "execute_log"):
        if name in report:
            log = BoundedLog(maximum)
            log.add(report[name].encode("utf-8", "surrogateescape"))
            short[name] = in_text(log.content())
    return short


def shorter_and_shorter(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The report, and with less and less of its logs, for those who do not let it pass."""
    return [report, *(with_short_logs(report, size) for size in LOG_BYTES)]


class ResultSender:
    """Sends what is in the spool, for several threads at once."""

    def __init__(self, spool: Spool, delivery: Delivery) -> None:
        self._spool = spool
        self._delivery = delivery

    def send(self, connection: HeldConnection, content: dict[str, Any]) -> bool:
        """Sends a result and its files; whether that is over, at least for this executor's time."""
        is_sent = self._send_files(connection, content) and self._send_result(connection, content)
        if is_sent:
            self._spool.drop(content["attempt"])
        return is_sent or self._delivery.is_over

    def _send_result(self, connection: HeldConnection, content: dict[str, Any]) -> bool:
        """Sends a result, with shorter logs if it is too large on its way; if it cannot be sent at
        all, the job goes back. False if it must be done later."""
        attempt_id, report = content["attempt"], content["report"]
        for body in shorter_and_shorter(report):
            answer = self._delivery.deliver(
                connection, "PUT", attempt_id, "result", body, patience=TURN_SECONDS
            )
            if answer is None or answer.status != 413:
                break
        if answer is None or not answer.is_from_others:
            return answer is not None
        reason = f"its result cannot be sent: {answer.detail}"[:500]
        back = {"lease_token": report["lease_token"], "reason": reason}
        released = self._delivery.deliver(
            connection, "POST", attempt_id, "release", back, patience=TURN_SECONDS
        )
        return released is not None

    def _send_files(self, connection: HeldConnection, content: dict[str, Any]) -> bool:
        """Sends a result's files, even if that was done before; False if it must be done later."""
        attempt_id = content["attempt"]
        headers = {
            "Telerun-Lease": content["report"]["lease_token"],
            "Content-Type": "application/octet-stream",
        }
        for file in content.get("files", []):
            try:
                data = self._spool.file(attempt_id, file)
            except OSError as error:
                say(f"Attempt {attempt_id}: a file of its result cannot be read: {error.strerror}.")
                continue  # the queue says to its owner that it is missing
            what = "files/" + urllib.parse.quote(file["name"], safe="")
            answer = self._delivery.deliver(
                connection, "PUT", attempt_id, what, data, headers, TURN_SECONDS
            )
            if answer is None:
                return False
            if answer.status == 409:
                break  # the result will get the same answer
        return True
