"""Execution workers: what each can run, and whether it can now."""

from __future__ import annotations

from collections import Counter

from handouts.executor.gate.gate import Gate
from handouts.executor.machine.platforms import CPU, CUDA, kind_of


class Worker:
    """A GPU, or a slot of the CPU, that runs one program at a time."""

    def __init__(self, platforms: tuple[str, ...], gate: Gate | None = None) -> None:
        """`platforms`: those that it serves, the widest first. `gate`: its GPU's, if it has one."""
        self.platforms = platforms
        self.gate = gate
        self.idle = gate is None  # it waits for a job; a GPU is tried first

    @property
    def works(self) -> bool:
        """Whether it may have jobs."""
        return self.gate is None or self.gate.ready

    @property
    def is_broken(self) -> bool:
        """Whether its GPU is in quarantine. One that was not tried yet is neither."""
        return self.gate is not None and bool(self.gate.quarantined)


def make_workers(gates: list[Gate], without_gpu: int, cpu_slots: int) -> list[Worker]:
    """One for each GPU and each slot; `without_gpu`: those of --no-gpu, which serve `cuda`."""
    workers = [Worker((CUDA, kind_of(gate.gpu.name)), gate) for gate in gates]
    workers += [Worker((CUDA,)) for _ in range(without_gpu)]
    return workers + [Worker((CPU,)) for _ in range(cpu_slots)]


def offers(workers: list[Worker]) -> dict[str, int]:
    """How many of them serve each platform, working or not."""
    return dict(Counter(platform for worker in workers for platform in worker.platforms))
