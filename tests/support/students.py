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
        **environment: str,
    ) -> None:
        """`patch` is Python code that changes the module `submit` before it begins."""
        program = [ROOT / "submit.py"]
        if patch:
            run = f"import submit; {patch}; submit.run_and_exit()"
            program = ["-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {run}"]
        self.folder = world.folder
        self._errors = world.folder / f"errors-{id(self)}"
        if columns:
            ours, theirs = os.openpty()
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        else:
            ours, theirs = os.pipe()
        with self._errors.open("wb") as errors:
            self.popen = subprocess.Popen(
                [python, *map(str, [*program, "--auth", auth, *arguments])],
                stdin=subprocess.DEVNULL,
                stdout=theirs,
                stderr=theirs if columns else errors,
                cwd=world.folder,
                env={**world.environment, "LANG": "C.UTF-8", "TERM": "dumb", **environment},
                start_new_session=True,
            )
        os.close(theirs)
        self.out = b""
        self._ours = ours
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
