"""Between the two halves of the pipeline: compiled jobs on their way to a worker."""

from __future__ import annotations

import queue
import threading
import time

from handouts.executor.base.say import say
from handouts.executor.machine.platforms import CUDA
from handouts.executor.pipeline.attempt import Attempt
from handouts.executor.pipeline.heartbeat import Heartbeat
from handouts.executor.pipeline.reporting import Reporter
from handouts.executor.pipeline.room import Room
from handouts.executor.pipeline.workers import Worker

IDLE_SECONDS = 15  # how often an idle GPU is looked at


class Handover:
    """The jobs that wait for a worker; those that no GPU can run go back to the queue."""

    def __init__(self, room: Room, reporter: Reporter, heartbeat: Heartbeat) -> None:
        self._room = room
        self._reporter = reporter
        self._heartbeat = heartbeat
        self._compiled: list[Attempt] = []
        self._said: set[str] = set()  # the platforms that no GPU here serves now
        self.finishing = threading.Event()  # nothing more will be compiled

    def put(self, attempt: Attempt) -> None:
        """To the execution workers, if one can run it at all."""
        with self._room.changed:
            self._compiled.append(attempt)
            self._room.changed.notify_all()
        self._give_back()

    def give_up(self, attempt: Attempt) -> None:
        """It was not compiled: there is room for another."""
        self._room.remove(attempt)

    def take(self, worker: Worker) -> Attempt | None:
        """The first job that the worker can run; None when there are no more. Raises queue.Empty
        after IDLE_SECONDS, where there is a GPU to look at."""
        ends_at = time.monotonic() + IDLE_SECONDS
        with self._room.changed:
            while True:
                attempt = self._first_for(worker)
                if attempt is not None or self.finishing.is_set():
                    self._hand_to(worker, attempt)
                    return attempt
                if not worker.idle:
                    worker.idle = True
                    self._room.update()
                left = None if worker.gate is None else ends_at - time.monotonic()
                if left is not None and left <= 0:
                    raise queue.Empty
                self._room.changed.wait(left)

    def _first_for(self, worker: Worker) -> Attempt | None:
        mine = (one for one in self._compiled if one.platform in worker.platforms)
        return next(mine, None)

    def _hand_to(self, worker: Worker, attempt: Attempt | None) -> None:
        worker.idle = False
        if attempt is not None:
            self._compiled.remove(attempt)
            attempt.taken.set()
            self._room.remove(attempt)

    def finish(self) -> None:
        """No more jobs will be put."""
        with self._room.changed:
            self.finishing.set()
            self._room.changed.notify_all()

    def gpus_changed(self) -> None:
        """A GPU passed or was quarantined."""
        with self._room.changed:
            serving = self._serving()
            working = {name for name, workers in serving.items() if any(w.works for w in workers)}
            broken = {name for name, workers in serving.items() if all_broken(workers)}
            self._say(broken - self._said, working)
            self._said = broken | (self._said - working)
            self._room.update()
        self._give_back()
        self._heartbeat.report_gpus()

    def _serving(self) -> dict[str, list[Worker]]:
        """The workers of each platform."""
        names = {name for worker in self._room.workers for name in worker.platforms}
        return {name: [w for w in self._room.workers if name in w.platforms] for name in names}

    def _say(self, broken: set[str], working: set[str]) -> None:
        if CUDA in broken:
            others = ", ".join(sorted(working))
            until = f"jobs for {others} alone" if others else "no jobs"
            say(f"No GPU of this host works: claiming {until} until one does.")
        elif broken:
            names = " and no ".join(sorted(broken))
            say(f"No {names} of this host works: claiming no jobs for it until one does.")

    def give_back_stopped(self) -> None:
        """What was stopped while it waits for a worker."""
        with self._room.changed:
            back = [one for one in self._compiled if one.stop_reason]
            self._compiled = [one for one in self._compiled if one not in back]
        self._done(back)

    def _done(self, attempts: list[Attempt]) -> None:
        for attempt in attempts:
            self._room.remove(attempt)
            self._reporter.done(attempt)

    def _give_back(self) -> None:
        """What no worker can run, now that their GPUs are broken."""
        serving = self._serving()
        with self._room.changed:
            back = [one for one in self._compiled if all_broken(serving.get(one.platform, []))]
            self._compiled = [one for one in self._compiled if one not in back]
            no_gpu = all_broken(serving.get(CUDA, []))
        for attempt in back:
            what = "GPU" if no_gpu or attempt.platform == CUDA else attempt.platform
            attempt.stop(f"no {what} of this host works", counts=False)
        self._done(back)


def all_broken(workers: list[Worker]) -> bool:
    """Whether none of them can run anything, nor may soon."""
    return all(worker.is_broken for worker in workers)
