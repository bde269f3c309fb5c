"""The connection to the queue: HTTPS, kept alive, checked certificates, JSON."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import sys
import urllib.parse
from collections.abc import Callable
from typing import Any

from handouts.client.answer import Answer
from handouts.client.auth import HERE, Auth
from handouts.client.distrust import why_untrusted
from handouts.client.errors import BadSetup, Unreachable, Untrusted
from handouts.client.server_address import read_address
from handouts.client.words import in_words

VERSION = "1.1"
PARTIAL_CHAIN = 0x80000  # OpenSSL's; Python has a name for it from 3.10 on
CONNECT_SECONDS = 10.0
LOST = (OSError, http.client.HTTPException, ValueError)  # what a broken connection raises


class Queue:
    """The queue, over one kept-alive HTTPS connection. One request at a time."""

    def __init__(self, auth: Auth) -> None:
        """Opens nothing yet. Raises BadSetup for a bad address or certificate file."""
        self.address = read_address(auth.server)
        self.server = auth.server.strip().rstrip("/")
        self._base = self.address.base + "/api/v1"
        self._headers = {
            "Authorization": "Bearer " + auth.token,
            "Content-Type": "application/json",
            "User-Agent": f"telerun/{VERSION} python/{sys.version_info[0]}.{sys.version_info[1]}",
        }
        if auth.is_user:  # the queue refuses a token that is somebody else's
            self._headers["Telerun-User"] = urllib.parse.quote(auth.name, errors="replace")
        self._certificates = auth.certificates
        self._trust(system=not auth.certificates)
        self._connection: http.client.HTTPSConnection | None = None

    def _trust(self, system: bool) -> None:
        """Trusts the certificates named, and with `system` those that the system trusts too.

        Reading the system's takes longer than anything else that a student waits for here.
        """
        self._trusts_system = system
        self._context = (
            ssl.create_default_context() if system else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        )
        for certificate in self._certificates:
            try:
                self._context.load_verify_locations(str(certificate))
            except (OSError, ssl.SSLError):
                raise BadSetup(f"{certificate} is not a readable certificate in PEM.") from None
        if self._certificates:  # each is trusted by itself, whoever signed it
            self._context.verify_flags |= PARTIAL_CHAIN

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        timeout: float = 30.0,
    ) -> Answer:
        """Sends one request; returns the answer, whatever its status.

        A body of bytes is sent as it is, any other as JSON. All requests are idempotent, so when
        the queue has closed a kept-alive connection meanwhile, a new one is opened without a
        message. Raises Unreachable, Untrusted.
        """
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()

        def exchange() -> Answer:
            return self._answer(self._ask(method, path, data, headers or {}, timeout))

        return self._over_a_new_one_too(exchange)

    def _over_a_new_one_too(self, exchange: Callable[[], Any]) -> Any:
        """Does it, and once more if a kept-alive connection did not serve."""
        kept_alive = self._connection is not None
        try:
            return exchange()
        except Unreachable as error:
            if not kept_alive or error.timed_out:
                raise
        return exchange()

    def _ask(
        self, method: str, path: str, data: bytes | None, headers: dict[str, str], timeout: float
    ) -> http.client.HTTPResponse:
        """Sends the request; an answer whose body is not read yet."""
        is_open = False
        try:
            connection = self._open(timeout)
            is_open = True
            connection.request(method, self._base + path, data, {**self._headers, **headers})
            return connection.getresponse()
        except ssl.SSLCertVerificationError as error:
            self.close()
            what, mend = why_untrusted(error, self._certificates, HERE)
            raise Untrusted(
                f"The certificate of {self.server} is not trusted: {what} {mend}", what, mend
            ) from None
        except LOST as error:
            raise self._lost(error, is_open) from None

    def _answer(self, response: http.client.HTTPResponse) -> Answer:
        """Reads it to its end."""
        try:
            content = response.read()
        except LOST as error:
            raise self._lost(error) from None
        self._has_ended(response)
        return self._parse(response, content)

    def _lost(self, error: Exception, was_open: bool = True) -> Unreachable:
        """Closes the connection; what to raise."""
        self.close()
        message = f"{self.server} does not answer: {in_words(error)}"
        timed_out = was_open and isinstance(error, socket.timeout)
        return Unreachable(message, timed_out, was_sent=was_open)

    def _has_ended(self, response: http.client.HTTPResponse) -> None:
        """An answer was read to its end; the queue may want no other on its connection."""
        if response.getheader("Connection", "").lower() == "close":
            self.close()

    def _open(self, timeout: float) -> http.client.HTTPSConnection:
        # http.client drops the socket of an answer after which the other side closes.
        if self._connection is not None and self._connection.sock is not None:
            self._connection.sock.settimeout(timeout)
            return self._connection
        self._connection = http.client.HTTPSConnection(
            self.address.host,
            self.address.port,
            timeout=min(timeout, CONNECT_SECONDS),
            context=self._context,
        )
        try:
            self._connection.connect()  # the token is sent when this has checked the certificate
            self._connection.sock.settimeout(timeout)
        except ssl.SSLCertVerificationError:
            if self._trusts_system:
                raise
            self.close()
            self._trust(system=True)
            return self._open(timeout)
        return self._connection

    def _parse(self, response: http.client.HTTPResponse, content: bytes) -> Answer:
        headers = {name.lower(): value for name, value in response.getheaders()}
        if response.status == 200 and headers.get("content-type") == "application/octet-stream":
            return Answer(response.status, headers, content)
        try:
            body = json.loads(content.decode()) if content else {}
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict) or (300 <= response.status < 400 and response.status != 304):
            self.close()
            raise Unreachable(
                f"{self.server} answers, but not as a Telerun queue does "
                f"(HTTP status {response.status}). Is the address right?",
                status=response.status,
            )
        return Answer(response.status, headers, body)

    def close(self) -> None:
        """Closes the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
