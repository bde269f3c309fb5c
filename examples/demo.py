#!/usr/bin/env python3
"""`make demo`: Telerun from nothing to a program's output, then everything stopped again.

It uses a folder and a port of its own, and real parts throughout: the server, an executor,
nvcc, and `submit.py` as a student runs it.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ["hello.cu", "vector_add.cu"]


def say(words: str) -> None:
    print(f"\n==> {words}", flush=True)


class Demo:
    """The steps of the demo, in one temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "queue"
        self.environment = {**os.environ, "TELERUN_DATA_DIR": str(self.data)}
        self.environment.pop("DATABASE_URL", None)
        self.processes: list[tuple[str, subprocess.Popen[str]]] = []
        self.port = free_port()
        self.server = f"https://localhost:{self.port}"

    def run(self) -> int:
        try:
            return self._steps()
        finally:
            self.stop()

    def _steps(self) -> int:
        say("Making a certificate for localhost")
        self.manage("telerun_certificate", "localhost", "127.0.0.1")

        say("Starting the queue")
        self.start("queue", "manage.py", "telerun_serve", "--bind", "127.0.0.1",
                   "--port", str(self.port), ready="listens on")  # fmt: skip

        say("Creating a student and an executor; each gets its auth.json")
        self.account("create-user", "username", "student")
        self.account("create-executor", "executor", "gpu-host")

        gpus = 0 if not shutil.which("nvidia-smi") else 1
        say(
            "Starting an executor" + ("" if gpus else ": this machine has no GPU, so with --no-gpu")
        )
        trouble = sandbox_trouble()
        if trouble:
            say(f"{trouble}, so the two example programs run with --sandbox none here")
        self.start("executor", "executor.py", "--nproc-compile", "1", "--nproc-execute", "1",
                   "--auth", str(self.folder / "executor.json"),
                   "--scratch-dir", str(self.folder / "scratch"),
                   *nvcc_option(), *([] if gpus else ["--no-gpu"]),
                   *(["--sandbox", "none"] if trouble else []),
                   ready="Executor gpu-host")  # fmt: skip

        for program in PROGRAMS:
            say(f"A student runs: python3 submit.py examples/{program}")
            status = self.submit(ROOT / "examples" / program)
            if status:
                say(f"The demo failed: submit.py ended with exit status {status}")
                return 1
        return 0

    def manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        return done.stdout

    def account(self, command: str, kind: str, name: str) -> None:
        token = self.manage("telerun_auth", command, name).split()[-1]
        auth = {
            kind: name, "token": token, "server": self.server,
            "certificate": str(self.data / "server.cert"),
        }  # fmt: skip
        file = self.folder / f"{'user' if kind == 'username' else kind}.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(auth))

    def start(self, name: str, *arguments: str, ready: str) -> None:
        """Starts a part and returns once it has printed `ready`."""
        log = open(self.folder / f"{name}.log", "w")  # noqa: SIM115
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, env=self.environment,
            stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self.processes.append((name, process))
        deadline = time.monotonic() + 60
        while ready not in (told := (self.folder / f"{name}.log").read_text()):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"The {name} did not start:\n{told}")
            time.sleep(0.05)
        print("".join(f"    {line}\n" for line in told.splitlines()), end="", flush=True)

    def submit(self, program: Path) -> int:
        return subprocess.run(
            [sys.executable, "submit.py", str(program.relative_to(ROOT)),
             "--auth", str(self.folder / "user.json")],
            cwd=ROOT,
        ).returncode  # fmt: skip

    def stop(self) -> None:
        for name, process in reversed(self.processes):
            say(f"Stopping the {name}")
            process.send_signal(signal.SIGTERM)
            try:
                status = process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                status = process.wait()
            print(f"    exit status {status}", flush=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def sandbox_trouble() -> str:
    """Why programs cannot be kept in a sandbox on this machine; "" where they can."""
    if not shutil.which("bwrap"):
        return "bubblewrap is missing (apt install bubblewrap)"
    tried = subprocess.run(
        ["bwrap", "--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc",
         "true"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
        user=65534 if os.getuid() == 0 else None,  # the executor does not run it as root either
    )  # fmt: skip
    return "bubblewrap may not make namespaces on this machine" if tried.returncode else ""


def nvcc_option() -> list[str]:
    nvcc = os.environ.get("NVCC")
    return ["--nvcc", nvcc] if nvcc else []


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the parts are stopped
    with tempfile.TemporaryDirectory(prefix="telerun-demo-") as folder:
        status = Demo(Path(folder)).run()
    if status == 0:
        say("That is all of it. Where to go next:")
        print(
            "    README.md          start a queue for a course, in five commands\n"
            "    docs/students.md   what submit.py can do\n"
            "    docs/gpu-hosts.md  set up a machine with GPUs\n"
            "    examples/          more programs to submit"
        )
    return status


if __name__ == "__main__":
    sys.exit(main())
