"""Row K: the longest time that a server's hub kept its greenlets waiting.

Whole lives go on as in row C, while staff log in (a password's hash), look at pages of the admin,
and a student sends the largest submission there is. What does not yield would stop everyone.
"""

import asyncio
import tempfile
import threading
import time
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, HTTPSHandler, Request, build_opener

from bench.lives import CONCURRENT, Lives
from bench.load import trusting
from bench.place import Meter, Plan, executors, queue, say, students
from bench.report import Table, at_most

WATCH = Path(__file__).parent / "hub_watch"
PAGES = ("/admin/", "/admin/jobs/job/", "/admin/accounts/user/", "/admin/jobs/auditentry/")
LARGEST = 1024 * 1024


def measure(plan: Plan, table: Table) -> None:
    for _ in range(plan.rounds):
        longest, where = stalls(plan.size(15, 3))
        say(f"  {longest:.0f} ms: {where}")
        table.add("K", "the hub's longest stall", longest, "ms", at_most(100, "ms"))


def stalls(seconds: int) -> tuple[float, str]:
    """The longest in milliseconds, and where the hub was."""
    with tempfile.TemporaryDirectory() as folder:
        with queue(HUB_WATCH=folder, PYTHONPATH=WATCH) as world:
            users = world.users(CONCURRENT + 1)
            host = world.executor("host")
            password = world.manage("telerun_auth", "create-staff", "ta").out.split()[-1]
            world.start_server()
            over = threading.Event()
            others = [
                threading.Thread(target=staff, args=(world, password, over)),
                threading.Thread(target=largest, args=(world, users[-1], over)),
            ]
            for thread in others:
                thread.start()
            run = Lives(students(world, users[:-1]), executors(world, host, CONCURRENT))
            try:
                asyncio.run(run.run(seconds, Meter(world.server.pid)))
            finally:
                over.set()
                for thread in others:
                    thread.join()
        told = [file.read_text() for file in Path(folder).iterdir()]
    longest = max(told, key=lambda line: float(line.partition(" ")[0]))
    milliseconds, _, where = longest.partition(" ")
    return float(milliseconds), where or "between two looks"


def staff(world, password: str, over: threading.Event) -> None:  # type: ignore[no-untyped-def]
    """Logs in and looks at pages, again and again."""
    base = f"https://localhost:{world.port}"
    while not over.is_set():
        jar = CookieJar()
        opener = build_opener(
            HTTPSHandler(context=trusting(world.data / "server.cert")), HTTPCookieProcessor(jar)
        )
        opener.open(f"{base}/admin/login/").read()
        token = next(cookie.value for cookie in jar if cookie.name == "csrftoken")
        form = {"username": "ta", "password": password, "csrfmiddlewaretoken": token}
        headers = {"Referer": f"{base}/admin/login/"}
        data = urlencode(form).encode()
        opener.open(Request(f"{base}/admin/login/?next=/admin/", data, headers)).read()
        for page in PAGES:
            opener.open(base + page).read()
        time.sleep(0.05)


def largest(world, auth: Path, over: threading.Event) -> None:  # type: ignore[no-untyped-def]
    """Submits as much as may be, again and again."""
    body = {"source": "x" * LARGEST}
    while not over.is_set():
        world.request(auth, "POST", "/jobs?override_pending=1", body)
        time.sleep(0.05)
