"""The executor: its parts, its threads, and their start and end."""

from __future__ import annotations

import argparse
import shutil
import signal

from handouts.client.auth import Auth
from handouts.executor.base.say import say
from handouts.executor.base.threads import join, start
from handouts.executor.gate.probe import Probe
from handouts.executor.machine.platforms import CUDA
from handouts.executor.pipeline.attempt import JobsInHand
from handouts.executor.pipeline.claiming import Claimer
from handouts.executor.pipeline.compiling import Compiler, CompileWorker
from handouts.executor.pipeline.delivery import Delivery
from handouts.executor.pipeline.endings import HostFaults
from handouts.executor.pipeline.executing import ExecutionWorker, Runner
from handouts.executor.pipeline.handover import Handover
from handouts.executor.pipeline.heartbeat import Heartbeat
from handouts.executor.pipeline.host import Host
from handouts.executor.pipeline.live_senders import LiveSenders
from handouts.executor.pipeline.reporting import Reporter
from handouts.executor.pipeline.room import Room
from handouts.executor.pipeline.shutdown import Shutdown
from handouts.executor.pipeline.workers import offers
from handouts.executor.results.spool import Spool

WITHOUT_CGROUPS = (
    "No cgroup is this executor's own. Not protected without one: the host's memory from what is "
    "taken between two looks (20 a second) or by a GPU's driver, other jobs' time from a program "
    "with many threads, and without root the count of a job's processes. Delegate=yes in its "
    "service mends it, or: systemd-run --scope -p Delegate=yes python3 executor.py ..."
)


class Executor:
    """The pipeline: claiming → compiling → handover → executing → reporting, and heartbeats
    meanwhile. Begin reading with the two workers."""

    def __init__(self, options: argparse.Namespace, auth: Auth) -> None:
        """Raises BadSetup."""
        self._host = host = Host(options, auth)
        in_hand, room = JobsInHand(), Room(host.workers, options.nproc_compile)
        spool = Spool(host.scratch / "spool")
        self._shutdown = Shutdown(in_hand, room, options.drain_seconds)
        self._heartbeat = Heartbeat(host, in_hand, self._shutdown, room)
        self._reporter = Reporter(host, spool, in_hand, Delivery(self._shutdown))
        self._handover = Handover(room, self._reporter, self._heartbeat)
        self._shutdown.on_stopped = self._handover.give_back_stopped
        faults = HostFaults(host, self._shutdown)
        self._live = LiveSenders(auth)
        claimer = Claimer(host, in_hand, room, self._shutdown, self._heartbeat, self._live)
        self._compile_worker = CompileWorker(
            host,
            claimer,
            Compiler(host, faults),
            faults,
            self._handover,
            self._reporter,
            self._heartbeat,
            self._shutdown,
        )
        self._probe = Probe(
            host.scratch / "probe",
            host.sandbox,
            host.nvcc,
            host.architectures(CUDA),
            [*host.toolchain.host_compiler.flags(), *host.toolchain.host_compiler.after],
        )
        self._execution_worker = ExecutionWorker(
            Runner(host, spool, faults),
            self._probe,
            faults,
            self._handover,
            self._reporter,
            self._heartbeat,
        )

    def run(self) -> int:
        """Works until it is asked to stop and all in hand is done; the exit status.

        Raises BadSetup.
        """
        signal.signal(signal.SIGTERM, self._shutdown.on_signal)
        signal.signal(signal.SIGINT, self._shutdown.on_signal)
        host = self._host
        compile_slots = [
            host.make_slot(None, compiles=True) for _ in range(host.options.nproc_compile)
        ]
        execution_slots = [
            host.make_slot(worker.gate.gpu if worker.gate else None) for worker in host.workers
        ]
        if host.gates:
            self._probe.compile(compile_slots[0])
        self._say_ready()
        beat = start(self._heartbeat.run, "heartbeat")
        senders = self._reporter.start_senders()
        compilers = [
            start(self._compile_worker.run, f"compile-{number}", slot)
            for number, slot in enumerate(compile_slots)
        ]
        runners = [
            start(self._execution_worker.run, f"execute-{number}", slot, worker)
            for number, (slot, worker) in enumerate(zip(execution_slots, host.workers))
        ]
        join(compilers)
        self._handover.finish()
        join(runners)
        self._live.close()
        self._reporter.end(senders)
        self._heartbeat.end()
        join([beat])
        shutil.rmtree(str(host.jobs), ignore_errors=True)
        say(f"Executor {host.auth.name}: stopped.")
        return self._shutdown.exit_status

    def close(self) -> None:
        """Leaves the host as it was."""
        self._host.close()

    def _say_ready(self) -> None:
        host, options = self._host, self._host.options
        offered = ", ".join(f"{name} x {count}" for name, count in offers(host.workers).items())
        say(
            f"Executor {host.auth.name}: {host.compiler()}, {host.hardware()}, "
            f"offers {offered}, "
            f"sandbox: {host.sandbox.about()}, limits by {host.cgroups.about()}, "
            f"{options.nproc_compile} compile and {len(host.workers)} execution workers, "
            f"queue {host.auth.server}."
        )
        if not host.cgroups.about().startswith("cgroup"):
            say(WITHOUT_CGROUPS)
        if options.sandbox == "none":
            say(
                "WARNING: --sandbox none: programs run as this user, and can read and do what it "
                "can."
            )
