"""`python -m tests.gpu_check`: accepts a GPU host, or says what is wrong with it.

Exit status 0: whatever the host has was tested, and passed. 1: something failed. 3: something that
it has was not tested. 2: wrong usage.
"""

import argparse
import os
import platform
import signal
import sys
import time
from pathlib import Path
from typing import Any

os.environ.pop("TELERUN_TEST_DATABASE", None)  # which `database` reads when it is imported

from tests.gpu_check import checks, table  # noqa: F401  (the checks enter themselves)
from tests.gpu_check.deadline import Deadline
from tests.gpu_check.host import Host, executor
from tests.support import database
from tests.support.processes import ROOT

MINUTES = 8.0


def main() -> int:
    """Prints the table row by row, and writes it to `table.md` of the folder."""
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("gpu-check: stopped"))  # puts all back
    deadline, began = Deadline(options.minutes * 60), time.monotonic()
    host = None
    try:
        host = Host(options.keep, options.change_settings, options.without_sandbox)
        outcomes = run(host, deadline, options)
    except (executor.BadSetup, OSError) as error:
        print(f"gpu-check: {error}", file=sys.stderr)
        return 1
    finally:
        if host:
            host.close()
        database.pytest_unconfigure()
    seconds = time.monotonic() - began
    print(f"\nThe table is in {options.keep / 'table.md'} too. {seconds:.0f} s.")
    for outcome in outcomes:
        if outcome.result == table.FAILED:
            print(f"\nFAILED: {outcome.check.words}:\n{outcome.seen}")
    return table.exit_status(outcomes)


def run(host: Host, deadline: Deadline, options: argparse.Namespace) -> list[table.Outcome]:
    """All that were chosen. Raises OSError if the folder cannot be written."""
    options.keep.mkdir(parents=True, exist_ok=True)
    outcomes = []
    with (options.keep / "table.md").open("w") as file:

        def tell(text: str) -> None:
            print(text, flush=True)
            print(text, file=file, flush=True)

        tell(heading(host))
        for one in table.CHECKS:
            if options.only in one.test.__name__:
                outcomes.append(table.run(one, host, deadline))
                tell(table.line(outcomes[-1]))
        tell(f"\n{table.summary(outcomes)}")
    return outcomes


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu_check", description=__doc__)
    parser.add_argument("--only", default="", metavar="NAME", help="checks with this in their function's name")  # fmt: skip  # noqa: E501
    parser.add_argument("--minutes", type=minutes, default=MINUTES, metavar="N", help="for all of them; what is left then was not tested (default: %(default)s)")  # fmt: skip  # noqa: E501
    parser.add_argument("--keep", type=Path, default=ROOT / "build" / "gpu-check", metavar="DIR", help="where the table and raw answers go (default: build/gpu-check)")  # fmt: skip  # noqa: E501
    parser.add_argument("--without-sandbox", action="store_true", help="for a machine where bubblewrap cannot work: tries the rest, and accepts nothing")  # fmt: skip  # noqa: E501
    settings = parser.add_mutually_exclusive_group()
    settings.add_argument("--change-settings", action="store_true", help="persistence mode may be turned off and on again")  # fmt: skip  # noqa: E501
    settings.add_argument("--leave-settings", dest="change_settings", action="store_false", help="no setting of a GPU is changed (the default)")  # fmt: skip  # noqa: E501
    options = parser.parse_args()
    options.keep = options.keep.absolute()
    return options


def minutes(text: str) -> Any:
    """A positive number."""
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of minutes")
    return number


def heading(host: Host) -> str:
    names = ", ".join(sorted({f"{gpu.name}, driver {gpu.driver}" for gpu in host.gpus})) or "no GPU"
    return (
        f"{len(host.gpus)} GPUs ({names}), Linux {platform.release()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}\n\n| what must hold | result | seen |\n|---|---|---|"
    )


if __name__ == "__main__":
    sys.exit(main())
