"""`python -m tests.gpu_check`: accepts a GPU host, or says what is wrong with it."""

import argparse
import os
import platform
import sys

os.environ.pop("TELERUN_TEST_DATABASE", None)  # which `database` reads when it is imported

from tests.gpu_check import checks, table  # noqa: F401  (the checks enter themselves)
from tests.gpu_check.host import Host, executor
from tests.support import database


def main() -> int:
    """0: all that could be tested passed. 1: something failed."""
    options = parse()
    try:
        host = Host()
    except executor.BadSetup as error:
        print(f"gpu-check: {error}", file=sys.stderr)
        return 1
    chosen = [one for one in table.CHECKS if options.only in one.test.__name__]
    print(heading(host), end="", flush=True)
    outcomes = []
    try:
        for one in chosen:
            outcomes.append(table.run(one, host))
            print(table.line(outcomes[-1]), flush=True)
    finally:
        host.close_course()
        database.pytest_unconfigure()
    print(f"\n{table.summary(outcomes)}")
    for outcome in outcomes:
        if outcome.result == table.FAILED:
            print(f"\nFAILED: {outcome.check.words}:\n{outcome.seen}")
    return int(any(outcome.result == table.FAILED for outcome in outcomes))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu_check", description=__doc__)
    parser.add_argument("--only", default="", metavar="NAME", help="checks with this in their function's name")  # fmt: skip  # noqa: E501
    return parser.parse_args()


def heading(host: Host) -> str:
    names = ", ".join(sorted({f"{gpu.name}, driver {gpu.driver}" for gpu in host.gpus})) or "no GPU"
    return (
        f"{len(host.gpus)} GPUs ({names}), Linux {platform.release()}, Python "
        f"{platform.python_version()}\n\n| what must hold | result | seen |\n|---|---|---|\n"
    )


if __name__ == "__main__":
    sys.exit(main())
