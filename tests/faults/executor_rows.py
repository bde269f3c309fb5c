"""Rows 4, 12, 15, 16 and 18: executors that are killed, full, told to stop or turned away."""

import signal
import threading
import time
from pathlib import Path

from tests.faults.ground import Ground, Program, descendants, is_alive, strays
from tests.faults.proxy import Proxy
from tests.faults.rows import MOUNTING, Disk, row
from tests.support.processes import HELLO, NVCC, Process, survivors, wait_for
from tests.support.stubs import AS_SHELL, fake_nvcc

LEASE, SWEEP = 3, 1
SLACK = 3.0  # seconds for a host with two busy cores to start a claim
LEASES = {"TELERUN_LEASE_SECONDS": LEASE, "TELERUN_SWEEP_SECONDS": SWEEP}

# A program that says so in its source is compiled once a file is there.
SLOW_ON_DEMAND = (
    """waits=$(sed -n 's/^#compiles-after //p' "$src")
if [ -n "$waits" ]; then
  echo $$ >>"$waits.compiling"; until [ -e "$waits" ]; do sleep 0.1; done
fi
"""
    + AS_SHELL
)


class Supervised:
    """An executor under a supervisor that starts it again, as systemd's Restart=on-failure."""

    def __init__(self, ground: Ground, number: int, **more: object) -> None:
        self._ground, self._number, self._more = ground, number, more
        self._over = False
        self._starting = threading.Lock()
        self.starts = 0
        self.process: Process
        self._start()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _start(self) -> None:
        self.process = self._ground.start_gpu(self._number, **self._more)
        self.starts += 1

    def _run(self) -> None:
        while True:
            status = self.process.popen.wait()
            with self._starting:
                if self._over or status in (0, 1, 2):
                    return
                self._start()

    def stop(self) -> int:
        """SIGTERM, and no more starts; the exit status."""
        with self._starting:
            self._over = True
        status = self.process.stop()
        self._thread.join(60)
        return status


# --- 4: killed ---------------------------------------------------------------------------


@row(4, "kill -9 the executor while it compiles, runs, uploads", tries=30, few=4, **LEASES)
def kill_the_executor(ground: Ground, tries: int) -> None:
    ground.stub = fake_nvcc(ground.folder, SLOW_ON_DEMAND)
    ground.start_server()
    ways = (_while_it_compiles, _while_it_runs, _while_it_uploads, _while_nvcc_runs)
    real = max(1, tries // 10)
    for number in range(tries):
        way = ways[3] if number >= tries - real else ways[number % 3]
        way(ground, number)
    ground.start_gpu(0).stop()  # what the killed ones left in their scratch folder goes


def _while_it_compiles(ground: Ground, number: int) -> None:
    go = ground.folder / f"compile{number}"
    program = ground.program(f"killed{number}")
    job, executor = _submit_and_start(
        ground, number, f"#compiles-after {go}\n" + program.source("nowhere")
    )
    pid = _first_line(Path(f"{go}.compiling"))
    _kill_and_look(ground, executor, [pid])
    go.touch()
    _runs_again(ground, number, job)


def _while_it_runs(ground: Ground, number: int) -> None:
    program = ground.program(f"killed{number}")
    # Its children are to die with it, those in a session of their own too.
    children = f"sleep 97 & echo $! >>{ground.folder}/child{number}; setsid sleep 98 &"
    job, executor = _submit_and_start(ground, number, program.source(first=children))
    pids = [program.wait_until_it_runs(), _first_line(ground.folder / f"child{number}")]
    _kill_and_look(ground, executor, pids)
    program.let_go()
    _runs_again(ground, number, job)


def _while_it_uploads(ground: Ground, number: int) -> None:
    """Before the queue has the result, or after: the spool is sent by the next start."""
    program = ground.program(f"killed{number}")
    before = ground.random.random() < 0.5
    with ground.proxy() as proxy:
        held = proxy.hold("PUT", "/result$", before=before)
        job, executor = _submit_and_start(ground, number, program.source("nowhere"), through=proxy)
        wait_for(held.arrived.is_set, "it uploads", 30)
        _kill_and_look(ground, executor, [])
        again = ground.start_gpu(0)
        seen = ground.over(ground.students[number], job, 30)
        proxy.let_go(held)
        again.stop()
    endings = [attempt["ending"] for attempt in seen["attempts"]]
    ground.expect(endings == ["finished"], f"job {job} was to be finished by the spool: {endings}")
    ground.expect(len(program.runs()) == 1, f"job {job} ran {len(program.runs())} times")


def _while_nvcc_runs(ground: Ground, number: int) -> None:
    """The real compiler, in its sandbox, with the many processes that it starts."""
    source = f"{HELLO}// {number}\n"  # one that was compiled before would not be compiled
    job, executor = _submit_and_start(ground, number, source, nvcc=NVCC)

    def compiles() -> bool:
        return any(_name(pid) in ("cicc", "cc1plus") for pid in descendants(executor.pid))

    wait_for(compiles, "nvcc works", 30)
    _kill_and_look(ground, executor, [])
    again = ground.start_gpu(0, nvcc=NVCC)
    seen = ground.over(ground.students[number], job, 60)
    again.stop()
    ground.expect(seen["outcome"] == "succeeded", f"job {job} ended as {seen['outcome']}")


def _is_slot(pid: int) -> bool:
    try:
        return b"--slot" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _submit_and_start(
    ground: Ground, number: int, source: str, **more: object
) -> tuple[int, Process]:
    job = ground.submit_direct(ground.students[number], source)
    return job, ground.start_gpu(0, **more)


def _first_line(path: Path) -> int:
    return int(wait_for(lambda: path.exists() and path.read_text().split(), f"{path.name}", 30)[0])


def _kill_and_look(ground: Ground, executor: Process, pids: list[int]) -> None:
    """Within one second nothing is left of what it ran: `pids`, and whatever else it started."""
    ground.expect(all(is_alive(pid) for pid in pids), "what was to be killed had ended before")
    started = [pid for pid in descendants(executor.pid) if not _is_slot(pid)]
    executor.kill()
    jobs = ground.folder / "scratch/gpu00/jobs"
    try:
        wait_for(
            lambda: not (survivors(jobs) or any(map(is_alive, pids + started))), "all is dead", 1
        )
    except AssertionError:
        left = [_name(pid) for pid in pids + started if is_alive(pid)]
        ground.expect(False, f"after 1 s there still run {left} and {survivors(jobs)}")
    wait_for(
        lambda: not any("--slot" in line for line in strays(ground.folder)), "the slots end", 10
    )


def _runs_again(ground: Ground, number: int, job: int) -> None:
    killed = time.monotonic()
    again = ground.start_gpu(0)
    again.wait_until_told(f"Job {job}: claimed", seconds=30)
    took = time.monotonic() - killed
    ground.expect(took < LEASE + SWEEP + SLACK, f"job {job} was claimed again after {took:.1f} s")
    seen = ground.over(ground.students[number], job)
    endings = [attempt["ending"] for attempt in seen["attempts"]]
    ground.expect(endings == ["expired", "finished"], f"job {job}: attempts {endings}")
    again.stop()


# --- 12: full ----------------------------------------------------------------------------


@row(
    12, "the executor's disk is full", tries=2, few=1, needs=(MOUNTING,),
    TELERUN_MAX_WAIT_SECONDS=2, **LEASES,
)  # fmt: skip
def executor_disk_full(ground: Ground, tries: int) -> None:
    ground.start_server()
    disk = Disk(ground.folder / "scratch", 64)
    ground.afterwards(disk.close)
    with ground.proxy() as proxy:
        for number in range(tries):
            _fill_while_it_compiles(ground, disk, number)
            executor = ground.start_gpu(0, through=proxy, compile=3)
            _fill_while_it_works(ground, disk, number)
            executor.wait_until_told("claiming no jobs until there are")
            disk.fill()  # what the job has given back
            wait_for(lambda: _are_answered(proxy), "requests made before are answered")
            full_at = time.monotonic()
            waiting = ground.submit_direct(ground.students[1], "echo at last")
            time.sleep(8)  # an accept loop would show in less
            claims = proxy.count("POST", "/claims$", since=full_at)
            ground.expect(claims == 0, f"{claims} claims while its disk was full")
            seen = ground.job(ground.students[1], waiting)
            ground.expect(seen["state"] == "queued", f"job {waiting} is {seen['state']}")
            disk.free()
            seen = ground.over(ground.students[1], waiting, 90)
            ground.expect(seen["outcome"] == "succeeded", f"job {waiting}: {seen['outcome']}")
            executor.stop()


def _are_answered(proxy: Proxy) -> bool:
    """Whether no claim was answered for longer than one is held open."""
    answered = [e.at for e in list(proxy.exchanges) if e.path.endswith("/claims")]
    return not answered or time.monotonic() - answered[-1] > 3


def _fill_while_it_compiles(ground: Ground, disk: Disk, number: int) -> None:
    """A compiler that finds no room on the host's disk: not a mistake of the student's."""
    folder = ground.folder / f"compiler{number}"
    folder.mkdir()
    begun, go = folder / "begun", folder / "go"
    wait = f": >{begun}; until [ -e {go} ]; do sleep 0.1; done; "
    executor = ground.start_gpu(2, nvcc=fake_nvcc(folder, wait + AS_SHELL))
    job = ground.submit_direct(ground.students[2], "echo compiled at last")
    wait_for(begun.exists, "the compiler has begun")
    disk.fill()
    go.touch()
    wait_for(lambda: ground.job(ground.students[2], job)["attempts"][0]["ending"], "it ends")
    disk.free()
    seen = ground.over(ground.students[2], job, 90)
    endings = [attempt["ending"] for attempt in seen["attempts"]]
    ground.expect(seen["outcome"] == "succeeded", f"job {job} ended as {seen['outcome']}")
    ground.expect(endings == ["released", "finished"], f"job {job}: {endings}")
    executor.stop()


def _fill_while_it_works(ground: Ground, disk: Disk, number: int) -> None:
    """A result that finds no room on the disk: the job goes back, and runs elsewhere."""
    program = ground.program(f"full{number}")
    go = ground.folder / f"full{number}.go"
    much = f"head -c 900000 /dev/zero | tr '\\0' x; until [ -e {go} ]; do sleep 0.1; done"
    first = f"case $PWD in */gpu00/*) {much};; esac"
    job = ground.submit_direct(ground.students[0], program.source("nowhere", first=first))
    program.wait_until_it_runs()
    disk.fill()
    program.let_go()
    elsewhere = ground.start_gpu(1, scratch=ground.folder / "scratch-elsewhere")
    seen = ground.over(ground.students[0], job)
    ground.expect(seen["outcome"] == "succeeded", f"job {job} ended as {seen['outcome']}")
    endings = [attempt["ending"] for attempt in seen["attempts"]]
    ground.expect(
        endings[-1] == "finished" and set(endings[:-1]) <= {"released"}, f"job {job}: {endings}"
    )
    elsewhere.stop()


# --- 15: told to stop --------------------------------------------------------------------


@row(15, "SIGTERM to the executor mid-job", tries=12, few=2, **LEASES)
def told_to_stop(ground: Ground, tries: int) -> None:
    ground.start_server()
    with ground.proxy() as proxy:
        for start in range(0, tries, 4):
            count = min(4, tries - start)
            executor = ground.start_gpu(0, through=proxy, compile=4, execute=4)
            programs = [ground.program(f"stopped{start + n}") for n in range(count)]
            jobs = _submit_all(ground, programs)
            executor.send(signal.SIGTERM)
            executor.wait_until_told("finishing those in hand")
            if (start // 4) % 2 == 0:
                _finishes(ground, executor, programs, jobs, proxy)
            else:
                _gives_back(ground, executor, programs, jobs)
        if tries < 5:
            _gives_back_one(ground)


def _gives_back_one(ground: Ground) -> None:
    executor = ground.start_gpu(0)
    programs = [ground.program("given-back")]
    jobs = _submit_all(ground, programs)
    executor.send(signal.SIGTERM)
    executor.wait_until_told("finishing those in hand")
    _gives_back(ground, executor, programs, jobs)


def _submit_all(ground: Ground, programs: list[Program]) -> list[int]:
    """The jobs' ids, once all of them run."""
    jobs = [
        ground.submit_direct(student, program.source("gpu00"))
        for student, program in zip(ground.students, programs, strict=False)
    ]
    for program in programs:
        program.wait_until_it_runs()
    return jobs


def _finishes(
    ground: Ground, executor: Process, programs: list[Program], jobs: list[int], proxy: Proxy
) -> None:
    stopped = time.monotonic()
    # For longer than the lease nothing but heartbeats keeps the jobs.
    wait_for(lambda: time.monotonic() > stopped + LEASE + SWEEP + 1, "the lease is past")
    beats = proxy.count("POST", "/heartbeat$", since=stopped)
    ground.expect(beats >= 3 * len(jobs), f"only {beats} heartbeats while it drained")
    for program in programs:
        program.let_go()
    status = executor.popen.wait(60)
    ground.expect(status == 0, f"exit status {status}")
    for student, job in zip(ground.students, jobs, strict=False):
        endings = [attempt["ending"] for attempt in ground.over(student, job)["attempts"]]
        ground.expect(endings == ["finished"], f"job {job}: {endings}")


def _gives_back(
    ground: Ground, executor: Process, programs: list[Program], jobs: list[int]
) -> None:
    pids = [pid for program in programs for _, pid in program.runs()]
    executor.send(signal.SIGTERM)
    status = executor.popen.wait(60)
    ground.expect(status == 0, f"exit status {status}")
    ground.expect(not any(map(is_alive, pids)), "a program outlived its executor")
    other = ground.start_gpu(1, compile=4, execute=4)
    for student, job in zip(ground.students, jobs, strict=False):
        endings = [attempt["ending"] for attempt in ground.over(student, job)["attempts"]]
        ground.expect(endings == ["released", "finished"], f"job {job}: {endings}")
    other.stop()


# --- 16: killed by its job ---------------------------------------------------------------

KILLER = "executor=$(sed -n 's/^PPid:\\t//p' /proc/$PPID/status)\nkill -9 $executor\nsleep 99\n"


@row(16, "a job that kills its executor", tries=4, few=1, **LEASES)
def job_kills_its_executor(ground: Ground, tries: int) -> None:
    ground.start_server()
    supervised = Supervised(ground, 0)
    for number in range(tries):
        program = ground.program(f"killer{number}")
        before = supervised.starts
        job = ground.submit_direct(ground.students[0], program.source("nowhere", first=KILLER))
        # What the executor claims beside a killer loses an attempt each time: a job that waited
        # since the first run could lose all of its own.
        wait_for(lambda runs=program.runs: len(runs()) == 3, "its last run", 90)
        after = ground.submit_direct(ground.students[1], "echo served")
        seen = ground.over(ground.students[0], job, 90)
        endings = [attempt["ending"] for attempt in seen["attempts"]]
        ground.expect(seen["state"] == "failed", f"job {job} is {seen['state']}")
        ground.expect(endings == ["expired"] * 3, f"job {job}: {endings}")
        ground.expect(len(program.runs()) == 3, f"job {job} ran {len(program.runs())} times")
        ground.expect(supervised.starts == before + 3, f"{supervised.starts - before} restarts")
        seen = ground.over(ground.students[1], after)
        ground.expect(seen["outcome"] == "succeeded", f"the next job ended as {seen}")
    ground.expect(supervised.stop() == 0, "the executor did not stop well")


# --- 18: turned away ---------------------------------------------------------------------

REVOKE = (
    "from accounts.models import Executor; from accounts.operations import revoke_token\n"
    "for name in {names}: revoke_token(Executor.objects.get(name=name), 'test')"
)


@row(18, "the token is revoked mid-job", tries=6, few=2, **LEASES)
def token_revoked(ground: Ground, tries: int) -> None:
    ground.start_server()
    with ground.proxy() as proxy:
        executor = ground.start_gpu(0, through=proxy, compile=tries, execute=tries)
        programs = [ground.program(f"revoked{n}") for n in range(tries)]
        jobs = _submit_all(ground, programs)
        pids = [pid for program in programs for _, pid in program.runs()]
        ground.aside("shell", "-v0", "-c", REVOKE.format(names=["gpu00"]))
        revoked = time.monotonic()
        status = executor.popen.wait(60)
        ground.expect(status == 1, f"exit status {status}, documented is 1")
        ground.expect(not any(map(is_alive, pids)), "a program outlived its executor")
        ground.expect("The queue refuses this executor" in executor.told(), "it does not say why")
        refused = [e for e in proxy.exchanges if e.status == 401]
        # Those that were under way on its three kinds of connection, and a try of each.
        most = 3 * tries + 3
        ground.expect(1 <= len(refused) <= most, f"{len(refused)} requests were refused")
        late = proxy.count("", "", since=revoked + LEASE + SWEEP)
        ground.expect(late == 0, f"{late} requests long after it was refused")
    other = ground.start_gpu(1, compile=2, execute=2)
    for student, job in zip(ground.students, jobs, strict=False):
        endings = [attempt["ending"] for attempt in ground.over(student, job)["attempts"]]
        ground.expect(endings == ["expired", "finished"], f"job {job}: {endings}")
    other.stop()
