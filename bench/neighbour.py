"""Row M: what a program with 250 threads takes from its neighbour on the same host.

The executor's own slots and cgroups, so what is measured depends on the host: say
`systemd-run --scope -p Delegate=yes .venv/bin/python -m bench --rows L` for a cgroup.
"""

import importlib.util
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

from bench.measure import median
from bench.place import ROOT, Plan, queue, say
from bench.report import Table, ratio_at_most

GREEDY = """
#include <pthread.h>
#include <stdio.h>
static void *spin(void *none) { for (volatile long n = 0;; n++); return none; }
int main(void) {
    pthread_t thread;
    for (int n = 0; n < 250; n++) pthread_create(&thread, 0, spin, 0);
    puts("all run");
    fflush(stdout);
    spin(0);
}
"""
WORKS = "int main(void) { for (volatile long n = 0; n < %dL; n++); return 0; }"


def executor_script() -> Any:
    spec = importlib.util.spec_from_file_location("executor", ROOT / "executor.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def program(folder: Path, name: str, source: str) -> list[str]:
    argv = ["gcc", "-O1", "-pthread", "-x", "c", "-o", str(folder / name), "-"]
    subprocess.run(argv, input=source.encode(), check=True)
    return [str(folder / name)]


class Slots:
    """Two slots of one executor."""

    def __init__(self) -> None:
        self._script = executor_script()
        self.cgroups = self._script.Cgroups(self._script.own_cgroup())
        self._pair = [self._script.Slot(None, self.cgroups.make()) for _ in range(2)]

    def run(self, number: int, argv: list[str], told: Any = None) -> Any:
        limits = {**self._script.DEFAULT_LIMITS, "processes": 512, "log_bytes": 99,
                  "output_bytes": 99}  # fmt: skip
        command = self._script.Command([], argv, "/", {}, {})
        return self._pair[number].run(command, 600, limits, lambda: True, told)

    def stop(self, number: int) -> None:
        self._pair[number].kill()

    def close(self) -> None:
        for slot in self._pair:
            slot.close()
        self.cgroups.close()


def start_greedy(slots: Slots, argv: list[str]) -> threading.Thread:
    """Returns when all of its threads run."""
    all_run = threading.Event()
    thread = threading.Thread(target=slots.run, args=(1, argv, lambda *_: all_run.set()))
    thread.start()
    all_run.wait(60)
    return thread


def measure(plan: Plan, table: Table) -> None:
    with queue() as world:
        works = program(world.folder, "works", WORKS % plan.size(2_000_000_000, 50_000_000))
        greedy = program(world.folder, "greedy", GREEDY)
        slots = Slots()
        try:
            _measure(slots, works, greedy, plan, table)
        finally:
            slots.close()


def _measure(slots: Slots, works: list[str], greedy: list[str], plan: Plan, table: Table) -> None:
    cores = len(os.sched_getaffinity(0))
    how = "shares" if slots.cgroups.shares_cpu else "no shares"
    for turn in range(plan.rounds):
        alone = slots.run(0, works).seconds
        thread = start_greedy(slots, greedy)
        beside = slots.run(0, works).seconds
        slots.stop(1)
        thread.join()
        say(f"  round {turn + 1}: {beside:.2f} s, alone {alone:.2f} s")
        table.add(
            "M", f"one thread beside 250 of another program ({how}, {cores} cores)", beside, "s",
            ratio_at_most(1.5), floor=median([alone]), than="alone",
        )  # fmt: skip
