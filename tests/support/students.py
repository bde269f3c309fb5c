"""submit.py as a process whose standard output a test reads while it runs."""

import fcntl
import os
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path
from typing import Any

from tests.support.processes import ROOT, World, wait_for


def take_terminal() -> None:
    """Its standard error becomes the terminal of its session."""
    fcntl.ioctl(2, termios.TIOCSCTTY, 0)


class Student:
    """`submit.py` with its output in a pipe, or on a terminal of so many columns."""

    def __init__(
        self,
        world: World,
        auth: Path,
        *arguments: Any,
        columns: int = 0,
        python: str = sys.executable,
        patch: str = "",
        stdout: Any = None,
        program: list[Any] | None = None,
        owns_terminal: bool = False,
        **environment: str,
    ) -> None:
        """`patch` is Python code that changes the module `submit` before it begins. `stdout`: a
        file, beside a terminal. `program`: what runs it, instead of this Python. `owns_terminal`:
        the terminal is that of its session, as a shell's is."""
        program = program or [python, ROOT / "submit.py"]
        if patch:
            run = f"import submit; {patch}; submit.run_and_exit()"
            program = [python, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {run}"]
        self.folder = world.folder
        self._errors = world.folder / f"errors-{id(self)}"
        if columns:
            ours, theirs = os.openpty()
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        else:
            ours, theirs = os.pipe()
        with self._errors.open("wb") as errors:
            self.popen = subprocess.Popen(
                [str(word) for word in [*program, "--auth", auth, *arguments]],
                stdin=subprocess.DEVNULL,
                stdout=stdout or theirs,
                stderr=theirs if columns else errors,
                cwd=world.folder,
                env={**world.environment, "LANG": "C.UTF-8", "TERM": "dumb", **environment},
                start_new_session=True,
                preexec_fn=take_terminal if owns_terminal else None,  # noqa: PLW1509
            )
        os.close(theirs)
        self.out = b""
        self.terminal = self._ours = ours
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        try:
            while data := os.read(self._ours, 1 << 16):
                self.out += data
        except OSError:  # so ends a terminal
            pass
        os.close(self._ours)

    @property
    def err(self) -> str:
        """Standard error; on a terminal it is in `out`."""
        return self._errors.read_text(errors="replace")

    def wait_until_shown(self, data: bytes) -> None:
        def is_shown() -> bool:
            assert data in self.out or self.popen.poll() is None, (self.out, self.err)
            return data in self.out

        wait_for(is_shown, f"{data!r} in {self.out[-2000:]!r}, {self.err}")

    def wait_until_told(self, words: str, times: int = 1) -> None:
        wait_for(lambda: self.err.count(words) >= times, f"{words!r}, {times} times, in {self.err}")

    def wait(self, seconds: float = 60) -> int:
        """Its exit status, once all that it printed is here."""
        status = self.popen.wait(seconds)
        self._reader.join(seconds)
        return status

    def stop(self) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        self.wait()
