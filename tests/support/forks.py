"""`manage.py` in forks of one process that has imported everything: for the many steps of tests
that are not about the command. It reads the settings anew for each, as a new process would.

Imports take two thirds of a second of such a command, and all that it does a few hundredths.
"""

import atexit
import contextlib
import functools
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Done(NamedTuple):
    """A finished command."""

    status: int
    out: str
    err: str

    def no_traceback(self) -> "Done":
        assert "Traceback" not in self.out + self.err, self.err
        return self


# --- This process ------------------------------------------------------------------------

_lock = threading.Lock()


def run(arguments: Iterable[Any], environment: dict[str, str]) -> Done:
    """`manage.py ARGUMENTS` with this environment and none of ours."""
    with tempfile.TemporaryDirectory(prefix="telerun-fork-") as folder, _lock:
        out, err = Path(folder) / "out", Path(folder) / "err"
        request = {
            "arguments": [str(a) for a in arguments],
            "environment": environment,
            "out": str(out),
            "err": str(err),
        }
        status = int(_ask(json.dumps(request)))
        return Done(status, *(f.read_text("utf-8", "surrogateescape") for f in (out, err)))


def _ask(request: str) -> str:
    helper = _helper()
    assert helper.stdin
    assert helper.stdout
    helper.stdin.write(request + "\n")
    helper.stdin.flush()
    answer = helper.stdout.readline()
    assert answer, "the process that forks has ended"
    return answer


@functools.cache
def _helper() -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}  # nothing of a test's own
    helper = subprocess.Popen(
        [sys.executable, "-m", "tests.support.forks"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment,
        start_new_session=True,
    )  # fmt: skip
    atexit.register(_end, helper)
    return helper


def _end(helper: subprocess.Popen[str]) -> None:
    with contextlib.suppress(OSError):
        helper.communicate(timeout=10)


# --- The helper --------------------------------------------------------------------------


def main() -> None:
    """Reads requests, a line each, and answers with the exit status, until there are no more."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "telerun_site.settings"
    import django
    from django.core.management import call_command, get_commands, load_command_class

    django.setup()
    call_command("check", stdout=io.StringIO())  # imports addresses, views, the admin
    for name, app in get_commands().items():
        if name.startswith("telerun_"):
            load_command_class(app, name)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _command(**json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _command(arguments: list[str], environment: dict[str, str], out: str, err: str) -> None:
    for file, number in (("/dev/null", 0), (out, 1), (err, 2)):
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(descriptor, number)
    status = 1
    try:
        os.environ.clear()
        os.environ.update(environment, DJANGO_SETTINGS_MODULE="telerun_site.settings")
        _forget_the_settings()
        from manage import main as manage

        manage(["manage.py", *arguments])
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _forget_the_settings() -> None:
    """They are read again, from the environment, by whoever asks first."""
    from django.conf import empty, settings
    from django.db import connections

    for connection in connections.all(initialized_only=True):
        assert connection.connection is None, "a fork would share it"
        del connections[connection.alias]
    connections._settings = None
    connections.__dict__.pop("settings", None)
    sys.modules.pop("telerun_site.settings", None)
    settings._wrapped = empty


if __name__ == "__main__":
    main()
