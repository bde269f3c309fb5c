"""A running system with a student in it: real queue, executor, compiler and sandbox."""

import json
import os
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

from tests.support.processes import ROOT, Process, World, wait_for

PROGRAMS = Path(__file__).with_name("programs")
PORT = 4443  # stands in pictures
OTHERS = ("bob", "carol", "dave", "erin", "frank", "grace")
ENVIRONMENT = {
    "TELERUN_EXECUTE_SECONDS": 10,
    "TELERUN_MEMORY_BYTES": 256 << 20,
    "TELERUN_SUBMITS_PER_MINUTE": 0,
}


class Stage:
    """Alice's folder, and what else goes on at the queue."""

    def __init__(self, folder: Path, alices: Path) -> None:
        """`alices`: her folder, which is not there yet; its path stands in pictures."""
        self.world = World(folder, **ENVIRONMENT)
        self.folder = alices
        self.executor: Process
        self.alice: Path
        self._others: dict[str, Path] = {}

    def __enter__(self) -> "Stage":  # noqa: PYI034  (Self came with Python 3.11)
        world = self.world
        if is_free(PORT):
            world.port, world.server_url = PORT, f"https://localhost:{PORT}"
        world.__enter__()
        self.alice = world.user("alice")
        self._others = {name: world.user(name) for name in OTHERS}
        world.start_server()
        self.executor = world.start_executor(world.executor("gpu1"), "--python", "/usr/bin/python3")
        self._make_folder()
        return self

    def __exit__(self, *what: object) -> None:
        self.world.__exit__(*what)

    def _make_folder(self) -> None:
        """What a student has: submit.py, server.cert, auth.json and programs in one folder."""
        shutil.copytree(PROGRAMS, self.folder, dirs_exist_ok=True)
        shutil.copy(ROOT / "submit.py", self.folder)
        shutil.copy(self.world.data / "server.cert", self.folder)
        told = json.loads(self.alice.read_text())
        auth = {name: told[name] for name in ("username", "token", "server")}
        path = self.folder / "auth.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(auth))
        (self.folder / "bin").mkdir()
        (self.folder / "bin/python3").symlink_to(os.path.realpath(sys.executable))

    @property
    def environment(self) -> dict[str, str]:
        """Of the student's shell."""
        return {
            "PATH": f"{self.folder}/bin:/usr/bin:/bin",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def number_jobs_from(self, number: int) -> None:
        """So that a picture's job numbers do not depend on those that were made before."""
        self.world.aside(
            "shell", "-v0", "-c",
            "from django.db import connection as c; "
            f"c.cursor().execute(\"UPDATE sqlite_sequence SET seq={number - 1} "
            "WHERE name='jobs_job'\")",
        )  # fmt: skip

    def others_submit(self, count: int) -> None:
        """So many others hand in a program that runs for ever; the first of them runs."""
        source = (PROGRAMS / "forever.cu").read_text()
        for name in OTHERS[:count]:
            self._ask(self._others[name], "POST", "/jobs", {"source": source})
        if count:
            wait_for(lambda: self._phase(self._others[OTHERS[0]]) == "executing", "it runs")

    def others_leave(self) -> None:
        """All that others, and she, have at the queue is cancelled, and the host is idle."""
        for auth in (self.alice, *self._others.values()):
            for job in self._ask(auth, "GET", "/jobs")["results"]:
                if job["state"] in ("queued", "running"):
                    self._ask(auth, "POST", f"/jobs/{job['id']}/cancel")
        wait_for(self._is_idle, "nothing runs")

    def _is_idle(self) -> bool:
        told = self._ask(self.alice, "GET", "/queue")
        jobs = self._ask(self.alice, "GET", "/jobs")["results"]
        return not told["queued"] + told["running"] + sum(j["state"] == "running" for j in jobs)

    def _phase(self, auth: Path) -> Any:
        return self._ask(auth, "GET", "/jobs")["results"][0].get("phase")

    def _ask(self, auth: Path, method: str, path: str, body: Any = None) -> Any:
        status, _, answer = self.world.request(auth, method, path, body)
        assert status < 300, (status, answer)
        return answer

    def submit_first(self, *arguments: str) -> None:
        """Alice runs submit.py to its end, before the picture."""
        self.world.submit(self.alice, arguments[0], *arguments[1:], cwd=self.folder)

    def edit(self, file: str, old: str, new: str) -> None:
        """She changes one of her programs."""
        path = self.folder / file
        path.write_text(path.read_text().replace(old, new))

    def submit_aside(self, program: str, is_over: bool) -> int:
        """Alice submits one of the programs, and perhaps it is over; the job's number."""
        body = {"source": (PROGRAMS / program).read_text(), "filename": program}
        job = int(self._ask(self.alice, "POST", "/jobs", body)["id"])

        def has_ended() -> bool:
            return self._ask(self.alice, "GET", f"/jobs/{job}")["state"] == "finished"

        if is_over:
            wait_for(has_ended, f"job {job} is over")
        return job

    def name_and_token(self) -> tuple[str, str]:
        """What she logs in with."""
        auth = json.loads(self.alice.read_text())
        return auth["username"], auth["token"]

    def login_code(self) -> bytes:
        """Of somebody new, as it is typed: her own token would end."""
        return (
            self.world.aside("telerun_auth", "create-user", "zoe", "--code")
            .out.split()[-1]
            .encode()
        )

    def cancel_newest(self) -> None:
        """From another terminal of hers."""
        newest = self._ask(self.alice, "GET", "/jobs")["results"][0]["id"]
        self._ask(self.alice, "POST", f"/jobs/{newest}/cancel")

    def submit_better(self) -> None:
        """From another terminal of hers: another version takes the waiting one's place."""
        body = {"source": (PROGRAMS / "hello.cu").read_text(), "filename": "hello.cu"}
        self._ask(self.alice, "POST", "/jobs?override_pending=1", body)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
