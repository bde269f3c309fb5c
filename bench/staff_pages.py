"""Row N: staff's pages at a million jobs, eight people who search at once, and what the students
notice of it.

The jobs are a generated course (bench/course), copied up to so many. Every page is asked for over
TLS, as a browser does, several times. Then eight people search without a pause, and whole lives of
jobs go on meanwhile; the same lives without them are the floor.
"""

import asyncio
import http.client
import random
import re
import threading
import time
from collections.abc import Iterator
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

from bench.lives import Lives
from bench.load import EmulatedExecutor, Student, trusting
from bench.measure import median, percentile
from bench.place import Meter, Plan, executors, queue, run_beside, say, students
from bench.report import Table, at_most, none

if TYPE_CHECKING:
    from tests.support.processes import World

LIMIT_MS = 300
PEOPLE = 8
CONCURRENT = 6  # lives at a time
JOBS, AUDIT = "/admin/jobs/job/", "/admin/jobs/auditentry/"
USERS, HOSTS, BULK = "/admin/accounts/user/", "/admin/accounts/executor/", "/admin/jobs/bulkaction/"
STATES = ("queued", "running", "finished", "cancelled", "failed")
OUTCOMES = ("succeeded", "compile_error", "runtime_error", "memory_exceeded", "output_exceeded")
WORDS = (
    "hello",
    "matmul.cu",
    "ada1",
    "müller",
    "ada1 matmul",
    "anna",
    "nobody",
    "проект",
    "dgx sort",
)


class Page(NamedTuple):
    """An address, and the group that it is reported in."""

    group: str
    path: str


class Staff:
    """A member of staff with a browser: one connection, logged in."""

    def __init__(self, world: "World", password: str) -> None:
        context = trusting(world.data / "server.cert")
        self._connection = http.client.HTTPSConnection("localhost", world.port, context=context)
        self._cookies: SimpleCookie = SimpleCookie()
        self._origin = f"https://localhost:{world.port}"
        text = self._ask("GET", "/admin/login/")[1]
        token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', text)
        assert token
        form = {"username": "watcher", "password": password, "csrfmiddlewaretoken": token[1]}
        self._ask("POST", "/admin/login/?next=/admin/", urlencode(form))

    def _ask(self, method: str, path: str, body: str | None = None) -> tuple[int, str]:
        headers = {"Cookie": "; ".join(f"{k}={v.value}" for k, v in self._cookies.items())}
        if body is not None:
            kind = "application/x-www-form-urlencoded"
            headers |= {"Content-Type": kind, "Referer": f"{self._origin}{path}"}
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        for cookie in answer.headers.get_all("Set-Cookie") or ():
            self._cookies.load(cookie)
        return answer.status, answer.read().decode()

    def look(self, path: str) -> tuple[float, str]:
        """Milliseconds, and the page. Raises RuntimeError for what is no page."""
        began = time.perf_counter()
        status, text = self._ask("GET", path)
        took = 1000 * (time.perf_counter() - began)
        if status == 302:  # a history is a list of the audit log
            raise RuntimeError(f"{path} leads elsewhere")
        if status != 200:
            raise RuntimeError(f"{path}: {status}")
        return took, text


def pages(staff: Staff) -> Iterator[Page]:
    """Lists with their orders, filters and searches, and a page of one of each."""
    yield Page("front page", "/admin/")
    text = staff.look(JOBS)[1]
    columns = re.findall(r'href="(\?o=[^"&]+)"', text)
    filters = re.findall(r'href="(\?[^"]*submitted_at__gte[^"]*)"', text)
    times = [one.replace("&amp;", "&") for one in filters]
    lists = ["", "?p=2", f"?p={_last(text)}", *columns, *times]
    lists += [f"?state__exact={state}" for state in STATES]
    lists += [f"?outcome__exact={outcome}" for outcome in OUTCOMES]
    lists += ["?outcome__exact=compile_timeout&state__exact=finished", "?state__exact=failed&p=2"]
    yield from (Page("list of jobs", JOBS + one) for one in lists)
    searches = [f"?q={quote(word)}" for word in (*WORDS, _key(text))]
    searches += ["?q=ada1&state__exact=failed", "?q=hello&outcome__exact=compile_error"]
    yield from (Page("search for jobs", JOBS + one) for one in searches)
    yield Page("a job", f"{JOBS}{_key(text)}/change/")
    text = staff.look(AUDIT)[1]
    audits = ["", "?p=2", f"?p={_last(text)}", f"?job_id={_key(staff.look(JOBS)[1])}", "?q=ta-mira"]
    audits += ["?q=executor:ada1", "?action=token-issued", "?action=finished", "?action=failed"]
    yield from (Page("audit log", AUDIT + one) for one in audits)
    yield Page("an entry of the audit log", f"{AUDIT}{_key(text)}/change/")
    text = staff.look(USERS)[1]
    yield from (
        Page("users", USERS + one) for one in ("", "?p=2", "?o=-6", "?q=anna", "?is_staff__exact=1")
    )
    yield Page("a user", f"{USERS}{_key(text)}/change/")
    yield from (Page("executors", HOSTS + one) for one in ("", "?q=ada", "?enabled__exact=0"))
    yield Page("an executor", f"{HOSTS}{_key(staff.look(HOSTS)[1])}/change/")
    yield Page("bulk actions", BULK)
    yield Page("a bulk action", f"{BULK}{_key(staff.look(BULK)[1])}/change/")


def _last(text: str) -> int:
    """The last of a list's pages."""
    return max(map(int, re.findall(r"[?&;]p=(\d+)", text)), default=1)


def _key(text: str) -> str:
    found = re.search(r"/(\d+)/change/", text)
    assert found
    return found[1]


def measure(plan: Plan, table: Table) -> None:
    with queue() as world:
        run_beside(world, "bench.course", *course_of(plan))
        measured(world, plan, table)


def course_of(plan: Plan) -> list[Any]:
    """Arguments of bench.course."""
    small = ["--students", 20, "--weeks", 2, "--copies-up-to", 2000]
    whole = ["--students", 300, "--weeks", 4, "--copies-up-to", plan.jobs]
    return [*(small if plan.quick else whole), "--kernels", 2]


def measured(world: "World", plan: Plan, table: Table) -> None:
    """The rows, of a world that has its course."""
    users, host = world.users(CONCURRENT), world.executor("bench-host")
    password = world.manage("telerun_auth", "create-staff", "watcher").out.split()[-1]
    world.start_server()
    _each_page(world, password, plan, table)
    seconds = plan.size(20, 3)
    quiet = _lives(world, users, host, seconds)
    people = [Staff(world, password) for _ in range(PEOPLE)]
    over = threading.Event()
    took: list[float] = []
    threads = [threading.Thread(target=_search, args=(one, over, took)) for one in people]
    for thread in threads:
        thread.start()
    try:
        busy = _lives(world, users, host, seconds)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    what = f"{PEOPLE} people search at once"
    table.add("N", f"{what}: searches answered a second", len(took) / seconds)
    for percent in (50, 99):
        table.add("N", f"{what}: p{percent}", percentile(took, percent), "ms")
    table.add("N", f"{what}: longest", max(took), "ms")
    than = "without the searches"
    for name in ("heartbeat", "told of the result"):
        for percent in (50, 99):
            figures = [percentile(run.waits[name], percent) for run in (busy, quiet)]
            table.add("N", f"students meanwhile, {name}: p{percent}", figures[0], "ms",
                      floor=figures[1], than=than)  # fmt: skip


def _each_page(world: "World", password: str, plan: Plan, table: Table) -> None:
    staff = Staff(world, password)
    samples: dict[str, list[float]] = {}
    of_cpu: dict[str, list[float]] = {}
    slow = []
    for page in list(pages(staff)):
        meter = Meter(world.server.pid).start()
        took = [staff.look(page.path)[0] for _ in range(plan.size(10, 2))]
        cpu = 1000 * meter.stop().cpu / len(took)
        samples.setdefault(page.group, []).extend(took)
        of_cpu.setdefault(page.group, []).append(cpu)
        say(f"  {median(took):6.0f} ms, longest {max(took):6.0f}, CPU {cpu:6.0f}: {page.path}")
        if median(took) > LIMIT_MS:
            slow.append(page.path)
    table.add("N", f"pages over {LIMIT_MS} ms", len(slow), "", none())
    for group, took in samples.items():
        table.add("N", f"{group}: p50", median(took), "ms", at_most(LIMIT_MS, "ms"))
        table.add("N", f"{group}: longest", max(took), "ms")
        table.add("N", f"{group}: server's CPU, of the dearest page", max(of_cpu[group]), "ms")


def _search(staff: Staff, over: threading.Event, took: list[float]) -> None:
    """Again and again, something else each time."""
    chance = random.Random(id(staff))
    while not over.is_set():
        filters = chance.choice(("", "&state__exact=failed", "&outcome__exact=runtime_error"))
        took.append(staff.look(f"{JOBS}?q={quote(chance.choice(WORDS))}{filters}")[0])


class Watched(Lives):
    """Lives, with how long their heartbeats take, and how late a student hears of the result."""

    def __init__(self, clients: list[Student], workers: list[EmulatedExecutor]) -> None:
        super().__init__(clients, workers)
        self.waits: dict[str, list[float]] = {"heartbeat": [], "told of the result": []}
        self._sent: dict[int, float] = {}

    async def _work(self, worker: EmulatedExecutor) -> None:
        while True:
            if claimed := await worker.claim():
                began = time.perf_counter()
                await worker.beat(claimed)
                self.waits["heartbeat"].append(1000 * (time.perf_counter() - began))
                self._sent[int(claimed["job"]["id"])] = time.perf_counter()
                await worker.finish(claimed)

    async def _study(self, student: Student) -> None:
        while not self._stopping:
            await student.submit()
            answer = await student.wait_until_over()
            if sent := self._sent.get(int(student.job["id"])):
                self.waits["told of the result"].append(1000 * (answer.at - sent))
            self.ended += 1
            self.over += 1


def _lives(world: "World", users: list[Any], host: Any, seconds: float) -> Watched:
    run = Watched(students(world, users), executors(world, host, CONCURRENT))
    asyncio.run(run.run(seconds, Meter(world.server.pid)))
    return run
