"""auth.json: who this is, and where the queue is."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from handouts.client.errors import BadSetup
from handouts.client.text_encoding import about_utf_16, is_utf_16
from handouts.client.words import warn

HERE = Path(__file__).resolve().parent
DEFAULT_SERVER = "https://localhost:4443"


class Auth:
    """What auth.json says."""

    def __init__(
        self,
        name: str,
        token: str,
        server: str,
        certificates: list[Path],
        is_user: bool = False,
        path: Path | None = None,
    ) -> None:
        self.path = path  # the file, where there is one
        self.is_user = is_user  # a student or staff, and not an executor
        self.name = name
        self.token = token
        self.server = server
        self.certificates = certificates  # PEM files to trust beside the system's


def read_auth(
    path: Path, name_key: str, server: str | None, to_log_in: str = "", warns: bool = True
) -> Auth:
    """Reads auth.json; `name_key` is "username" or "executor". Raises BadSetup.

    `to_log_in`: the command that makes one. `warns`: it says so if others can read the file.
    """
    content = read_object(path, name_key, to_log_in)
    again = f" To write it anew: {to_log_in}" if to_log_in else ""
    if warns and os.name == "posix" and path.stat().st_mode & 0o077:
        warn(f"{path} can be read by others; chmod 600 it.")
    for key in (name_key, "token"):
        if not isinstance(content.get(key), str) or not content[key].strip():
            raise BadSetup(
                f'{path} lacks "{key}"; it looks like {{"{name_key}": "...", "token": "..."}}.'
                + again
            )
    for key in ("server", "certificate"):
        if not isinstance(content.get(key, ""), str):
            raise BadSetup(f'In {path}, "{key}" is not a string.{again}')
    token = content["token"].strip()
    if not re.fullmatch(r"[!-~]+", token):
        raise BadSetup(f"The token in {path} has characters that no token has.{again}")
    name = content[name_key].strip()
    if re.match("tlr[a-z]_", name):
        raise BadSetup(f'In {path}, "{name_key}" is a token, and no name.{again}')
    certificates = [HERE / "server.cert"] if (HERE / "server.cert").is_file() else []
    if content.get("certificate"):
        certificates.append(path.parent / content["certificate"])
    address = content.get("server", DEFAULT_SERVER) if server is None else server
    return Auth(name, token, address, certificates, name_key == "username", path)


def read_object(path: Path, name_key: str, to_log_in: str) -> dict[str, Any]:
    """The JSON object in the file, {} if it holds something else. Raises BadSetup."""
    try:
        data = path.read_bytes()
        if is_utf_16(data):
            raise BadSetup(about_utf_16(str(path), str(path)))
        content = json.loads(data.decode("utf-8-sig"))
    except FileNotFoundError:
        how = f'Put the file from the course staff there: {{"{name_key}": "...", "token": "..."}}'
        if to_log_in:
            how = f"With the log-in code from the course staff, say: {to_log_in}"
        raise BadSetup(f"There is no {path}. {how}") from None
    except OSError as error:
        raise BadSetup(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        again = "Put the file from the course staff there again."
        if to_log_in:
            again = f"To write it anew, with a log-in code or token: {to_log_in}"
        raise BadSetup(f"{path} is not valid JSON: {error}. {again}") from None
    return content if isinstance(content, dict) else {}
