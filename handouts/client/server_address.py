"""The queue's address, as auth.json and --server say it."""

from __future__ import annotations

import re
import socket

from handouts.client.errors import BadSetup

FORM = re.compile(
    r"https://(\[[0-9a-f:.]+\]|[^\s/?#@\\\[\]:]+)(?::([0-9]*))?((?:/[a-z0-9_.~-]*)*)", re.IGNORECASE
)
NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.IGNORECASE)
MAX_SHOWN, MAX_NAME, MAX_PORT = 60, 253, 65535


class Address:
    """Host, port, and the path below which the queue is, "" or such as "/telerun"."""

    def __init__(self, host: str, port: int, base: str) -> None:
        self.host = host
        self.port = port
        self.base = base


def read_address(text: str) -> Address:
    """Takes it apart. Raises BadSetup, whose words repeat nothing that may be a password."""
    found = FORM.fullmatch(text.strip())
    why = trouble_with_address(text.strip()) or ("" if found else "such as https://queue:4443")
    if why or not found:
        raise BadSetup(
            f"The server {shown_address(text)} is not of the form https://host:port: {why}."
        )
    return Address(host_of(found[1]), int(found[2] or 443), found[3].rstrip("/"))


def trouble_with_address(text: str) -> str:
    """What is wrong with it, in words; "" if nothing is, or nothing that has words."""
    found = FORM.fullmatch(text)
    if not text:
        return "it is empty"
    if any(one.isspace() or not one.isprintable() for one in text):
        return "it has a blank or a control character"
    if "@" in text:
        return "leave out the name or password before @"
    if "?" in text or "#" in text:
        return "leave out what begins with ? or #"
    if text.lower().startswith("http:"):
        return "say https in place of http"
    if "://" not in text:
        return "put https:// before it"
    if found and found[2] and not 0 < int(found[2][:9]) <= MAX_PORT:
        return f"a port is a number from 1 to {MAX_PORT}"
    return "that is no name of a host" if found and not host_of(found[1]) else ""


def host_of(text: str) -> str:
    """The host as the system and certificates know it; "" if there can be none of that name."""
    try:
        if text.startswith("["):
            socket.inet_pton(socket.AF_INET6, text[1:-1])
            return text[1:-1]
        name = text if text.isascii() else text.encode("idna").decode()
    except (OSError, UnicodeError):
        return ""
    name = name[:-1] if name.endswith(".") else name  # which no certificate has
    return name if len(name) <= MAX_NAME and NAME.fullmatch(name) else ""


def shown_address(text: str) -> str:
    """As much of it as is no secret."""
    kept = re.split(r"[?#]", text.rpartition("@")[2])[0]
    shown = ascii(kept)[1:-1]
    return f"'{shown[:MAX_SHOWN]}{'...' if shown[:MAX_SHOWN] != text else ''}'"
