"""The queue as anyone finds it: nothing of who asks is sent, and nothing it says is trusted."""

from __future__ import annotations

import http.client
import socket
import time
from typing import Any

from handouts.client.connection import CONNECT_SECONDS, LOST
from handouts.client.server_address import Address
from handouts.client.words import in_words
from handouts.submit.pinned import without_trust
from handouts.submit.stop import UNREACHABLE
from handouts.submit.wrong import Wrong


class Outside:
    """What was seen."""

    def __init__(self, tls: str, certificate: bytes, seconds_ahead: Any) -> None:
        self.tls = tls  # such as "TLSv1.3"
        self.certificate = certificate  # in DER
        self.seconds_ahead = seconds_ahead  # of this machine's clock; None if it is not known


def connect(address: Address) -> str:
    """Whether the host has an address and takes connections; which one. Raises Wrong."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Wrong(
            f"no host of the name {address.host} is known to this machine.",
            "Is it written as the course staff wrote it? Is the network, or the VPN, on?",
            UNREACHABLE,
        ) from None
    try:
        with socket.create_connection((address.host, address.port), CONNECT_SECONDS) as peer:
            return f"{peer.getpeername()[0]}, port {address.port}"
    except OSError as error:
        raise Wrong(
            f"{found[0][4][0]}, port {address.port}, does not answer: {in_words(error)}.",
            "Is the port right? Is the network, or the VPN, on? A firewall may be in between.",
            UNREACHABLE,
        ) from None


def look(address: Address) -> Outside:
    """Its certificate and its clock. Raises Wrong."""
    connection = http.client.HTTPSConnection(
        address.host, address.port, timeout=CONNECT_SECONDS, context=without_trust()
    )
    try:
        connection.connect()
        version = connection.sock.version() or "TLS"
        certificate = connection.sock.getpeercert(binary_form=True) or b""
        began = time.time()
        connection.request("GET", address.base + "/healthz")
        answer = connection.getresponse()
        return Outside(version, certificate, ahead(answer.getheader("Date"), began))
    except LOST as error:
        raise Wrong(
            f"port {address.port} takes connections, but is no queue: {in_words(error)}.",
            "Is the port right?",
            UNREACHABLE,
        ) from None
    finally:
        connection.close()


def ahead(date: str | None, began: float) -> Any:
    """How many seconds this machine's clock is before the one that wrote the date."""
    import email.utils  # only here, since it takes time to import

    try:
        theirs = email.utils.parsedate_to_datetime(date or "").timestamp()
    except (TypeError, ValueError, IndexError):
        return None
    now = time.time()
    if began - 1 <= theirs <= now + 1:
        return 0.0
    return began - theirs if theirs < began else now - theirs
