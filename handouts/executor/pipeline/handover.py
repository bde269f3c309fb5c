"""Between the two halves of the pipeline: compiled jobs on their way to a GPU."""

from __future__ import annotations

import queue
import threading

from handouts.executor.base.say import say
from handouts.executor.gate.gate import Gate
from handouts.executor.pipeline.attempt import Attempt
from handouts.executor.pipeline.gpu_status import GpuStatus
from handouts.executor.pipeline.heartbeat import Heartbeat
from handouts.executor.pipeline.held_claims import HeldClaims
from handouts.executor.pipeline.reporting import Reporter

IDLE_SECONDS = 15  # how often an idle GPU is looked at


class Handover:
    """The jobs that wait for a GPU; while no GPU works, they go back to the queue."""

    def __init__(
        self,
        gates: list[Gate],
        gpu_status: GpuStatus,
        claims: HeldClaims,
        reporter: Reporter,
        heartbeat: Heartbeat,
    ) -> None:
        self._gates = gates
        self._gpu_status = gpu_status
        self._claims = claims
        self._reporter = reporter
        self._heartbeat = heartbeat
        self._compiled: queue.Queue[Attempt | None] = queue.Queue()
        self._lock = threading.Lock()  # of the queue and `can_run` together
        self._said_no_gpu = False
        self.finishing = threading.Event()  # nothing more will be compiled

    def put(self, attempt: Attempt) -> None:
        """To the execution workers, if there is a GPU at all."""
        with self._lock:
            self._compiled.put(attempt)
            if not self._gpu_status.can_run.is_set():
                self._give_back_all()

    def take(self) -> Attempt | None:
        """The next job; None when there are no more. Raises queue.Empty after IDLE_SECONDS, where
        there are GPUs to look at."""
        return self._compiled.get(timeout=IDLE_SECONDS if self._gates else None)

    def finish(self, workers: int) -> None:
        """No more jobs will be put."""
        self.finishing.set()
        for _ in range(workers):
            self._compiled.put(None)

    def gpus_changed(self) -> None:
        """A GPU passed or was quarantined."""
        with self._lock:
            if any(gate.ready for gate in self._gates):
                self._said_no_gpu = False
                self._gpu_status.can_run.set()
            elif all(gate.quarantined for gate in self._gates):
                if not self._said_no_gpu:
                    say("No GPU of this host works: claiming no jobs until one does.")
                self._said_no_gpu = True
                self._gpu_status.can_run.clear()
                self._claims.hang_up()
                self._give_back_all()
        self._gpu_status.is_unreported = True
        self._heartbeat.notify()

    def _give_back_all(self) -> None:
        while True:
            try:
                attempt = self._compiled.get_nowait()
            except queue.Empty:
                break
            if attempt is not None:  # workers in quarantine end without being sent None
                attempt.stop("no GPU of this host works")
                self._reporter.done(attempt)
