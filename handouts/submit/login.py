"""--login: a log-in code, or a token, becomes the auth.json of this user."""

from __future__ import annotations

import json
import os
import ssl
from pathlib import Path
from typing import Any

from handouts.client.answer import Answer
from handouts.client.auth import DEFAULT_SERVER, Auth, read_auth
from handouts.client.connection import Queue
from handouts.client.errors import Unreachable
from handouts.client.server_address import read_address
from handouts.submit.as_typed import as_typed
from handouts.submit.asking import ask
from handouts.submit.auth_place import BESIDE, own_folder
from handouts.submit.login_code import read_code
from handouts.submit.notices import tell
from handouts.submit.pinned import PinnedQueue
from handouts.submit.printable import printable
from handouts.submit.private_files import make_private_folder, write_private
from handouts.submit.stop import REFUSED, SUCCEEDED, UNREACHABLE, WRONG_USAGE, Stop

TOKEN_BEGINNING = "tlru_"  # noqa: S105  (no more of it)
LOGIN_SECONDS = 20.0


def login(given: Path | None, server: str | None) -> int:
    """Asks, writes, tries it and says who one is; the exit status. Raises Stop and others."""
    path = given or own_folder() / "auth.json"
    secret = ask("Log-in code from the course staff (it is not shown): ", is_secret=True)
    try:
        if secret.startswith(TOKEN_BEGINNING):
            content, certificate = with_token(secret, server)
        else:
            content, certificate = with_code(secret, server)
        keep(path, content, certificate)
        name = try_out(path)
    except Unreachable as error:
        words = str(error).rstrip(".")
        raise Stop(UNREACHABLE, f"{words}. Nothing is lost: say --login again.") from None
    tell(f"Logged in to {content['server']} as {name}. {path} says so from now on.")
    if given is None and os.path.lexists(BESIDE):
        tell(f"But {BESIDE} comes first: remove it, or that is who you are here.")
    tell(f"Now: {as_typed('prog.cu')}")
    return SUCCEEDED


def with_code(text: str, server: str | None) -> tuple[dict[str, Any], bytes]:
    """What auth.json is to hold, and the certificate in DER. Raises Stop and others."""
    if text.startswith("tlre_"):
        raise Stop(WRONG_USAGE, "This is a GPU host's token, not a student's.")
    code = read_code(text)
    queue = PinnedQueue(server or code.server, code.pin)
    answer = queue.request("POST", "/login", {"code": code.text}, timeout=LOGIN_SECONDS)
    queue.close()
    if answer.status == 404:
        raise Stop(REFUSED, "This queue is older than this submit.py: it knows no log-in codes.")
    if answer.status != 200:
        raise Stop(REFUSED if answer.status < 500 else UNREACHABLE, answer.detail)
    content = {key: str(answer.body.get(key, "")) for key in ("username", "token")}
    return {**content, "server": queue.server}, queue.certificate


def with_token(token: str, server: str | None) -> tuple[dict[str, Any], bytes]:
    """The same for somebody who has a token. Raises Stop and BadSetup."""
    server = server or ask(f"Address of the queue, such as {DEFAULT_SERVER}: ")
    read_address(server)
    name = ask("Your username there: ")
    return {"username": name, "token": token, "server": server}, b""


def keep(path: Path, content: dict[str, Any], certificate: bytes) -> None:
    """Writes auth.json and the certificate beside it; says what was there before. Raises Stop."""
    make_private_folder(path.absolute().parent)
    if certificate:
        pem = ssl.DER_cert_to_PEM_cert(certificate).encode()
        beside = path.with_name("server.cert")
        say_what_was_there(beside, write_private(beside, pem))
        content["certificate"] = beside.name
    text = json.dumps(content, indent=1) + "\n"
    say_what_was_there(path, write_private(path, text.encode()))


def say_what_was_there(path: Path, kept: Path | None) -> None:
    if kept:
        tell(f"There was another {path}: it is {kept.name} now.")


def try_out(path: Path) -> str:
    """Whose token it is, by the first request with it. Raises Stop, Untrusted and Unreachable."""
    auth = read_auth(path, "username", None)
    answer = who(auth)
    if answer.status == 200:
        return printable(str(answer.body.get("username")))
    if answer.status == 404:  # an older queue
        return auth.name
    raise Stop(REFUSED, f"{path} is written, but the queue refuses it: {answer.detail}")


def who(auth: Auth) -> Answer:
    """The queue's answer to whose token it is."""
    queue = Queue(auth)
    answer = queue.request("GET", "/user", timeout=LOGIN_SECONDS)
    queue.close()
    return answer
