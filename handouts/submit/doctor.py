"""--doctor: whether everything is in place, a line each, and what mends what is not."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from handouts.client.answer import Answer
from handouts.client.auth import Auth, read_auth
from handouts.client.connection import VERSION, Queue
from handouts.client.errors import BadSetup, Unreachable, Untrusted
from handouts.client.server_address import read_address
from handouts.submit.as_typed import as_typed
from handouts.submit.auth_place import auth_file
from handouts.submit.from_outside import connect, look
from handouts.submit.own_version import about_own_version
from handouts.submit.printable import printable
from handouts.submit.queue_state import about_hosts, about_state
from handouts.submit.stop import REFUSED, SUCCEEDED, UNREACHABLE, WRONG_USAGE
from handouts.submit.terminals import Look
from handouts.submit.wrong import Wrong

MAX_CLOCK_SECONDS = 60
SECONDS = 20.0  # for an answer
OLDEST_PYTHON = (3, 8)


def doctor(given: Path | None, server: str | None) -> int:
    """Prints all checks; the exit status, 0 only if nothing is wrong."""
    return Doctor(given, server).run()


def say(line: str) -> None:
    """That nobody reads it is no reason to stop."""
    encoding = sys.stdout.encoding or "ascii"
    try:
        line = Look(sys.stdout).wrapped(printable(line))
        print(line.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except OSError:
        pass


class Doctor:
    """What one check finds out, the next ones need."""

    def __init__(self, given: Path | None, server: str | None) -> None:
        self._given = given
        self._server = server
        self._auth: Auth | None = None
        self._address: Any = None  # an Address, and so on, once it is known
        self._outside: Any = None
        self._queue: Any = None
        self._status = SUCCEEDED  # of the first thing that is wrong
        self._wrong = 0
        marks = "\u2713\u2717\u2192"
        try:
            marks.encode(sys.stdout.encoding or "ascii")
        except (UnicodeError, LookupError):
            marks = "+x>"
        self._good, self._bad, self._arrow = marks

    def run(self) -> int:
        self._check("Python", self._python)
        self._check("auth.json", self._auth_json)
        if self._auth and self._check("address", self._url):
            self._over_the_network()
        count = f"{self._wrong} thing{'' if self._wrong == 1 else 's'}"
        say(f"\n{count} to mend." if self._wrong else "\nAll is well.")
        say("This may be shown to others: there is no token in it.")
        return self._status

    def _over_the_network(self) -> None:
        if not self._check("connection", self._connection):
            return
        self._check("clock", self._clock)
        if not self._check("certificate", self._certificate):
            return
        if self._check("name and token", self._token):
            self._check("submit.py", self._version)
            self._check("queue", lambda: about_state(self._ask("/queue")))
            self._check("hosts", lambda: about_hosts(self._ask("/queue")))

    def _check(self, name: str, look_at: Callable[[], str]) -> bool:
        """Prints what it finds; whether that is well."""
        try:
            say(f"{self._good} {name}: {look_at()}")
            return True
        except Wrong as wrong:
            what, mend, status = str(wrong), wrong.mend, wrong.status
        except BadSetup as error:
            what, mend, status = str(error), "", WRONG_USAGE
        except Untrusted as error:
            what, mend, status = error.what, error.mend, UNREACHABLE
        except Unreachable as error:
            what, mend, status = str(error), "", UNREACHABLE
        self._wrong += 1
        self._status = self._status or status
        say(f"{self._bad} {name}: {what}")
        if mend:
            say(f"  {self._arrow} {mend}")
        return False

    # --- On this machine ---

    def _python(self) -> str:
        import platform  # only here, since it takes time to import

        found = f"{platform.python_version()} on {platform.system()} {platform.release()}"
        if sys.version_info[:2] < OLDEST_PYTHON:
            raise Wrong(found, "Install Python 3.8 or newer.", WRONG_USAGE)
        return found

    def _auth_json(self) -> str:
        path = auth_file(self._given)
        self._auth = read_auth(path, "username", self._server, as_typed("--login"), False)
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise Wrong(
                f"{path}, of {self._auth.name}, can be read by others on this machine.",
                f"chmod 600 {path}",
                WRONG_USAGE,
            )
        return f"{path}, of {self._auth.name}"

    def _url(self) -> str:
        self._address = read_address(self._auth.server)
        certificates = " and ".join(map(str, self._auth.certificates))
        self._queue = Queue(self._auth)
        return f"{self._queue.server}, trusted by {certificates or 'what this system trusts'}"

    # --- From outside, without a word about who asks ---

    def _connection(self) -> str:
        peer = connect(self._address)
        self._outside = look(self._address)
        return f"{peer}, which speaks {self._outside.tls}"

    def _clock(self) -> str:
        ahead = self._outside.seconds_ahead
        if ahead is None:
            return "the queue does not say what time it is"
        if abs(ahead) > MAX_CLOCK_SECONDS:
            way = "ahead of" if ahead > 0 else "behind"
            raise Wrong(
                f"this machine's is {abs(ahead):.0f} seconds {way} the queue's.",
                "Set it by the network: certificates are valid between two dates.",
                WRONG_USAGE,
            )
        return "as the queue's"

    # --- As who one is ---

    def _certificate(self) -> str:
        self._ask("/queue")
        return "trusted, and for this address"

    def _token(self) -> str:
        answer = self._ask("/user")
        if answer.status == 404:  # an older queue
            answer = self._ask("/queue")
            self._refuse(answer)
            return "the token is taken; whose it is, this older queue does not say"
        self._refuse(answer)
        return f"the token is that of {answer.body.get('username')}"

    def _refuse(self, answer: Answer) -> None:
        if answer.status >= 400:
            mend = f"Ask the course staff for a log-in code, then: {as_typed('--login')}"
            status = REFUSED if answer.status < 500 else UNREACHABLE
            raise Wrong(answer.detail, mend if status == REFUSED else "", status)

    def _version(self) -> str:
        return about_own_version(VERSION, self._ask("/client"), self._queue.server)

    def _ask(self, path: str) -> Answer:
        return self._queue.request("GET", path, timeout=SECONDS)
