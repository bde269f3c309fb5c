"""Rows 1 to 3, 10 and 11: the server, its answers, its database and its disk."""

import sys
import threading
import time
import uuid
from functools import partial
from pathlib import Path

from tests.faults.ground import Crowd, Ground, on_postgresql, together
from tests.faults.proxy import Proxy
from tests.faults.rows import MOUNTING, row
from tests.support.processes import Process, wait_for

MIB = 1 << 20


@row(
    1, "kill -9 the server during 200 concurrent submits", tries=20, few=1,
    TELERUN_MAX_QUEUED_PER_USER=10_000,
)  # fmt: skip
def kill_during_submits(ground: Ground, tries: int) -> None:
    ground.start_server()
    for number in range(tries):
        keys = [str(uuid.uuid4()) for _ in ground.students]
        source = f"echo {number}"
        submits = [
            partial(ground.submit_direct, student, source, key)
            for student, key in zip(ground.students, keys, strict=True)
        ]
        before = len(ground.acknowledged)
        real = _real_submits(ground, source) if number % 5 == 0 else []
        crowd = Crowd(*submits)
        enough = ground.random.randrange(1, len(keys))
        wait_for(lambda: len(ground.acknowledged) - before >= enough, f"{enough} are acknowledged")  # noqa: B023
        ground.kill_server()
        ground.start_server()
        first = crowd.results()
        ground.expect(together(*submits) == first, "a retry with the same key made another job")
        for client in real:
            _expect_it_knows(ground, client)


def _expect_it_knows(ground: Ground, client: Process) -> None:
    """submit.py has a job, or has given up on a queue that was too busy for 20 s."""
    wait_for(lambda: "Submitted" in client.told() or client.popen.poll() is not None, "it knows")
    if "Submitted" in client.told():
        client.kill()
    elif ground.expect(client.popen.wait() == 4, f"submit.py failed: {client.told()}"):
        ground.unsure += 1


def _real_submits(ground: Ground, text: str) -> list[Process]:
    file = ground.source(text)
    return [ground.start_submit(student, file) for student in ground.students[:6]]


@row(2, "kill -9 the server during a result upload", tries=12, few=2)
def kill_during_upload(ground: Ground, tries: int) -> None:
    ground.start_server()
    gpu = ground.client(ground.gpus[0])
    for number in range(tries - tries // 4):
        student = ground.students[number]
        job = ground.submit_direct(student, "source")
        claimed = gpu.claim()
        logs = {"compile_log": _noise(ground, 1000), "execute_log": _noise(ground, MIB)}
        crowd = Crowd(lambda: gpu.finish(claimed, **logs))  # noqa: B023
        time.sleep(ground.random.uniform(0, 0.2))
        ground.kill_server()
        ground.start_server()
        told = [crowd.results()[0].status, gpu.finish(claimed, **logs).status]
        ground.expect(told == [200, 200], f"the result and its retry were answered {told}")
        _expect_one_result(ground, student, job, logs)
    for number in range(max(1, tries // 4)):
        _kill_while_an_executor_uploads(ground, ground.students[100 + number])


def _kill_while_an_executor_uploads(ground: Ground, student: Path) -> None:
    said = ground.random.randbytes(900_000).replace(b"\0", b"-")
    (ground.folder / "said").write_bytes(said)
    job = ground.submit_direct(student, f"cat {ground.folder}/said")
    executor = ground.start_gpu(1)
    executor.wait_until_told(f"Job {job}: succeeded")
    time.sleep(ground.random.uniform(0, 0.1))
    ground.kill_server()
    ground.start_server()
    _expect_one_result(
        ground, student, job, {"execute_log": said.decode("utf-8", "surrogateescape")}
    )
    executor.stop()


def _noise(ground: Ground, size: int) -> str:
    """Any bytes, as the API carries them."""
    return ground.random.randbytes(size).decode("utf-8", "surrogateescape")


def _expect_one_result(ground: Ground, student: Path, job: int, logs: dict[str, str]) -> None:
    seen = ground.over(student, job)
    ground.expect(len(seen["attempts"]) == 1, f"job {job} has {len(seen['attempts'])} attempts")
    for name, log in logs.items():
        ground.expect(seen["result"][name] == log, f"the {name} of job {job} is not what was sent")


@row(
    3, "the response is dropped after the commit: submit, claim, heartbeat, result", tries=20, few=2
)
def responses_dropped(ground: Ground, tries: int) -> None:
    ground.start_server()
    with ground.proxy() as proxy:
        for number in range(tries - tries // 2):
            _drop_those_of_bare_requests(ground, proxy, ground.students[number])
        executor = ground.start_gpu(1, through=proxy)
        for number in range(tries // 2):
            _drop_those_of_the_programs(ground, proxy, ground.students[number], number)
        executor.stop()


def _drop_those_of_bare_requests(ground: Ground, proxy: Proxy, student: Path) -> None:
    key, gpu = str(uuid.uuid4()), ground.client(ground.gpus[0], proxy.port)
    drops = [proxy.drop("POST", "/jobs$", 201), proxy.drop("POST", "/claims$", 201)]
    answer = ground.client(student, proxy.port).persist(
        "POST", "/jobs", {"source": "source"}, Idempotency_Key=key
    )
    job = ground.acknowledge(key, answer.body["id"])
    claimed = gpu.claim(Idempotency_Key=key)
    assert claimed
    drops += [proxy.drop("POST", "/heartbeat$", 200), proxy.drop("PUT", "/result$", 200)]
    told = [gpu.beat(claimed).status, gpu.finish(claimed).status, gpu.finish(claimed).status]
    ground.expect(told == [200, 200, 200], f"heartbeat, result and its retry: {told}")
    ground.expect(all(drop.is_set() for drop in drops), "an answer was not dropped")
    ground.expect(
        (claimed["job"]["id"], claimed["attempt"]["number"]) == (job, 1), "another attempt"
    )
    ground.expect(len(ground.over(student, job)["attempts"]) == 1, f"job {job} was run again")


def _drop_those_of_the_programs(ground: Ground, proxy: Proxy, student: Path, number: int) -> None:
    drops = [
        proxy.drop(*which)
        for which in (("POST", "/jobs$", 201), ("POST", "/claims$", 201),
                      ("POST", "/heartbeat$", 200), ("PUT", "/result$", 200))
    ]  # fmt: skip
    program = ground.program(f"dropped{number}")
    file = ground.source(program.source(), f"dropped{number}.cu")
    client = ground.start_submit(student, file, "--server", proxy.url)
    wait_for(lambda: all(drop.is_set() for drop in drops[:3]), "the first three are dropped")
    program.let_go()
    ground.expect(client.popen.wait(60) == 0, f"submit.py failed: {client.told()}")
    wait_for(drops[3].is_set, "the answer to the result is dropped")
    jobs = ground.client(student).persist("GET", "/jobs").body["results"]
    job = ground.job(student, ground.acknowledge(str(uuid.uuid4()), jobs[0]["id"]))
    ground.expect(len(job["attempts"]) == 1, f"job {job['id']} has several attempts")
    ground.expect(len(program.runs()) == 1, f"job {job['id']} ran {len(program.runs())} times")


# --- The database ------------------------------------------------------------------------


@row(
    10, "PostgreSQL restarts; SQLite locked for 10 s", tries=3, few=1,
    own_postgres=True, TELERUN_MAX_QUEUED_PER_USER=10_000,
)  # fmt: skip
def database_away(ground: Ground, tries: int) -> None:
    ground.start_server()
    executor = ground.start_gpu(0, compile=2, execute=2)
    stop = threading.Event()
    load = Crowd(
        *(partial(_submit_on_and_on, ground, student, stop) for student in ground.students[:6])
    )
    for number in range(tries):
        program = ground.program(f"waits{number}")
        file = ground.source(program.source(), f"waits{number}.cu")
        clients = [ground.start_submit(student, file) for student in ground.students[10:13]]
        program.wait_until_it_runs()
        take_the_database_away(ground, 10 if tries > 1 else 7)
        program.let_go()
        for client in clients:
            ground.expect(client.popen.wait(90) == 0, f"submit.py failed: {client.told()}")
    stop.set()
    load.results()
    ground.expect(ground.statuses[503], "nobody was told to try again later")
    executor.stop()


def _submit_on_and_on(ground: Ground, student: Path, stop: threading.Event) -> None:
    while not stop.wait(0.5):
        ground.submit_direct(student, "echo load")


def take_the_database_away(ground: Ground, seconds: float) -> None:
    """PostgreSQL is killed, and started once a client has noticed; SQLite is locked that long."""
    if on_postgresql():
        time.sleep(ground.random.uniform(0.5, 1.5))  # while requests are under way
        before = ground.statuses[503]
        ground.template.server.kill()
        wait_for(lambda: ground.statuses[503] > before, "a client is told")
        ground.template.server.start()
        return
    script = (
        "import sqlite3, sys, time\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)\n"
        "connection.execute('BEGIN IMMEDIATE'); print('locked', flush=True)\n"
        f"time.sleep({seconds}); connection.execute('ROLLBACK')\n"
    )
    argv = [sys.executable, "-c", script, ground.data / "db.sqlite3"]
    locker = Process("locker", ground.folder / "locker.log", argv)
    ground.processes.append(locker)
    ground.expect(locker.popen.wait(90) == 0, locker.told())


# --- The disk ----------------------------------------------------------------------------


@row(
    11, "the server's disk is full", tries=3, few=1, own_postgres=True, small_disk=40,
    needs=(MOUNTING,),
    TELERUN_MAX_QUEUED_PER_USER=10_000, TELERUN_SWEEP_SECONDS=1, TELERUN_LEASE_SECONDS=120,
)  # fmt: skip
def server_disk_full(ground: Ground, tries: int) -> None:
    ground.start_server()
    executor = ground.start_gpu(0)
    for number in range(tries):
        program = ground.program(f"waits{number}")
        job = ground.submit_direct(ground.students[1], program.source())
        program.wait_until_it_runs()
        _fill_and_free(ground, number)
        program.let_go()
        seen = ground.over(ground.students[1], job)
        ground.expect(seen["outcome"] == "succeeded", f"job {job} ended as {seen['outcome']}")
    executor.stop()
    last = max(ground.acknowledged.values())
    wait_for(
        lambda: any(line["job_id"] == last for line in ground.audit_lines()), "the file follows"
    )


def _fill_and_free(ground: Ground, number: int) -> None:
    student = ground.client(ground.students[0])
    for disk in ground.disks:
        disk.fill()
    refused = 0
    for place in range(60):
        key = f"full-{number}-{place}"
        body = {"source": "x" * 200_000}
        answer = student.request("POST", "/jobs", body, Idempotency_Key=key)
        if answer.status == 201:
            ground.acknowledge(key, answer.body["id"])
        else:
            refused += ground.expect(
                answer.status == 503, f"on a full disk a submit is answered {answer}"
            )
        if refused >= 5:
            break
    ground.expect(refused, "nothing was refused: the disk was not full")
    for disk in ground.disks:
        disk.free()
    key = f"again-{number}"
    answer = student.persist("POST", "/jobs", {"source": "x"}, seconds=20, Idempotency_Key=key)
    ground.expect(answer.status == 201, f"with room again: {answer}")
    ground.acknowledge(key, answer.body["id"])
