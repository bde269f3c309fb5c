"""Row A: what Telerun adds to a job, with a stub compiler and a stub program that take no time.

The floor does only what cannot be left out: the same Python started with the modules that any
such client needs, one TLS handshake with the same server, and the two programs started.
"""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.load import Student
from bench.measure import median, percentile
from bench.place import ROOT, Plan, queue, say
from bench.report import Table, over_floor_at_most
from bench.stub import compiler

CLIENT = """
import ssl, json, http.client, sys
context = ssl.create_default_context(cafile=sys.argv[1])
connection = http.client.HTTPSConnection("localhost", int(sys.argv[2]), context=context)
connection.connect()
connection.close()
"""
SYSTEM_CERTIFICATES = "import ssl\nssl.create_default_context()"


def milliseconds(argv: list[Any], **options: Any) -> float:
    """From starting the program to its end; it must succeed."""
    began = time.perf_counter()
    subprocess.run(
        [str(a) for a in argv], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, **options,
    )  # fmt: skip
    return 1000 * (time.perf_counter() - began)


def measure(plan: Plan, table: Table) -> None:
    with queue() as world:
        user, host = world.user("student"), world.executor("host")
        world.start_server()
        stub = compiler(world.folder)
        world.start_executor(host, nvcc=stub)
        file = world.source(Student.SOURCE)
        submit = [sys.executable, ROOT / "submit.py", "--auth", user, file]
        client = [sys.executable, "-c", CLIENT, world.data / "server.cert", world.port]
        # As a student's: Python, and submit.py itself, keep what they have compiled.
        student = {k: v for k, v in world.environment.items() if k != "PYTHONDONTWRITEBYTECODE"}
        compiling = [stub, "-O3", "-o", world.folder / "program", file]
        for turn in range(plan.rounds):
            took, floors, trusts = [], [], []
            for _ in range(plan.size(30, 4)):  # by turns, so that both see the same machine
                took.append(milliseconds(submit, env=student))
                floors.append(milliseconds(client) + both_programs(compiling))
                trusts.append(milliseconds([sys.executable, "-c", SYSTEM_CERTIFICATES]))
            say(f"  round {turn + 1}: {median(took):.0f} ms, floor {median(floors):.0f} ms")
            table.add(
                "A", "submit.py, start to exit", median(took), "ms", over_floor_at_most(15, "ms"),
                floor=median(floors), than="Python, a handshake, both programs",
            )  # fmt: skip
            table.add("A", "submit.py, start to exit: p90", percentile(took, 90), "ms")
            table.add(
                "A", "starting Python to read the system's certificates", median(trusts), "ms"
            )


def both_programs(compiling: list[Any]) -> float:
    program: Path = compiling[3]
    program.unlink(missing_ok=True)
    return milliseconds(compiling) + milliseconds([program])
