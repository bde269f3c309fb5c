"""--web: one's page in a browser, logged in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from handouts.submit.job_client import Client, refusal
from handouts.submit.notices import tell
from handouts.submit.stop import REFUSED, SUCCEEDED, Stop

# In the folder that a browser in a sandbox of its own may read: not a hidden one, not /tmp.
FILE = Path("telerun-out", "open-page.html")
FILE_TEXT = """<!doctype html>
<meta charset="utf-8"><title>Telerun</title>
<meta http-equiv="refresh" content="0; url={link}">
<p><a href="{link}">Your page</a>, once, within a minute</p>
"""


def page_of(client: Client) -> str:
    """Its address, by the one that the queue is reached at."""
    return client.queue.server.rstrip("/") + "/"


def open_page(client: Client) -> int:
    """Opens the page, or says where it is; the exit status. Raises Stop."""
    page = page_of(client)
    log_in = f"log in there with the name and the token in {client.queue.who_from}"
    if can_open() and open_file(write_link(client)):
        tell(f"Your page is {page} and a browser was asked to open it.")
        tell(f"If none comes, {log_in}")
        return SUCCEEDED
    tell(f"Your page is {page}")
    if not sys.stderr.isatty():  # a log or a pipe keeps what it gets, for others to read
        tell(f"No browser can be opened from here; {log_in}")
        return SUCCEEDED
    tell("No browser can be opened from here. In one elsewhere this link logs you in:")
    tell(page_link(client))
    tell("It works once, within a minute. Give it to nobody.")
    tell(f"Later, {log_in}")
    return SUCCEEDED


def can_open() -> bool:
    """Whether a browser with windows can be started; one in the terminal would show little."""
    if os.name == "nt" or sys.platform == "darwin":
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))


def write_link(client: Client) -> Path | None:
    """A file that leads to the page. The link itself would be seen in the list of processes."""
    import html  # only here, since it takes time to import

    link = page_link(client)
    try:
        FILE.parent.mkdir(parents=True, exist_ok=True)
        if FILE.is_symlink() or FILE.exists():
            FILE.unlink()
        descriptor = os.open(str(FILE), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(FILE_TEXT.format(link=html.escape(link)))
    except OSError as error:
        tell(f"{FILE} cannot be written: {error.strerror}.")
        return None
    return FILE


def page_link(client: Client) -> str:
    """A link that logs in, once. Raises Stop."""
    answer = client.page_link()
    if answer.status == 404:
        raise Stop(REFUSED, "This queue has no pages: it is older than this submit.py.")
    if answer.status >= 400:
        raise Stop(REFUSED, refusal(answer))
    # Only what comes after the queue's address: a proxy may call the queue otherwise than we do.
    return page_of(client) + str(answer.body.get("url")).rpartition("/")[2]


def open_file(path: Path | None) -> bool:
    """Asks for a browser; whether there is one."""
    import webbrowser  # only here, since it takes time to import

    if path is None:
        return False
    try:
        return webbrowser.open(path.resolve().as_uri())
    except (OSError, webbrowser.Error):
        return False
