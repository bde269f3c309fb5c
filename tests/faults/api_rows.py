"""Rows 14, 17 and 19: many at once, and old clients."""

import http.client
import json
import time
import uuid
from functools import partial

from tests.faults.ground import Answer, Ground, together
from tests.faults.rows import row


@row(14, "50 executors, one job", tries=30, few=4)
def one_job_for_fifty(ground: Ground, tries: int) -> None:
    """They ask at once, or all wait already when the job comes."""
    ground.start_server()
    gpus = [ground.client(auth) for auth in ground.gpus]
    for number in range(tries):
        student = ground.students[number]
        if number % 2 == 0:
            job = ground.submit_direct(student, "source")
            claims = together(*(partial(gpu.claim) for gpu in gpus))
        else:
            asks = [
                partial(gpu.claim, Prefer="wait=2", Idempotency_Key=str(uuid.uuid4()))
                for gpu in gpus
            ]
            *claims, job = together(*asks, partial(_submit_soon, ground, number))
        taken = [(gpu, claimed) for gpu, claimed in zip(gpus, claims, strict=True) if claimed]
        ground.expect(len(taken) == 1, f"job {job} was leased {len(taken)} times")
        for gpu, claimed in taken:
            ground.expect(gpu.finish(claimed).status == 200, "the lease was worth nothing")
        ground.expect(len(ground.over(student, job)["attempts"]) == 1, "several attempts")


def _submit_soon(ground: Ground, number: int) -> int:
    time.sleep(ground.random.uniform(0, 0.5))
    return ground.submit_direct(ground.students[number], "source")


@row(17, "cancel against finish", tries=150, few=30, TELERUN_MAX_QUEUED_PER_USER=10_000)
def cancel_against_finish(ground: Ground, tries: int) -> None:
    """And against the claim, and against giving it back: one end each."""
    ground.start_server()
    gpu, other = ground.client(ground.gpus[0]), ground.client(ground.gpus[0])
    for number in range(tries):
        auth = ground.students[number % 50]
        student = ground.client(auth)
        job = ground.submit_direct(auth, "source")
        cancel = partial(student.persist, "POST", f"/jobs/{job}/cancel")
        if number % 3 == 2:
            claimed, cancelled = together(gpu.claim, cancel)
            ground.expect(cancelled.status == 200, f"cancel of job {job}: {cancelled}")
            if claimed:
                ground.expect(
                    other.beat(claimed).body["cancel_requested"], "it is not told to stop"
                )
                other.release(claimed)
            expected = "cancelled"
        else:
            claimed = gpu.claim()
            assert claimed
            report = other.finish if number % 3 == 0 else other.release
            told, cancelled = together(partial(report, claimed), cancel)
            ground.expect(told.status == 200, f"job {job}: {told}")
            expected = _end(number % 3 == 0, cancelled)
        state = ground.job(auth, job)["state"]
        ground.expect(state == expected, f"job {job} is {state}, not {expected}")


def _end(finished: bool, cancelled: Answer) -> str:
    """The one end that both answers allow."""
    if finished:
        return "finished"  # a result that comes while a cancel is asked for counts
    return "cancelled" if cancelled.status == 200 else "queued"


@row(19, "an old executor with a new server", tries=5, few=1)
def old_executor(ground: Ground, tries: int) -> None:
    """A stub that knows no more than the members of the API's first version."""
    ground.start_server()
    gpu = ground.client(ground.gpus[0])
    for number in range(tries):
        student = ground.students[number]
        job = ground.submit_direct(student, "source", filename="old.cu", args=["1"])
        claimed = gpu.claim()
        assert claimed
        known = {"id", "source", "filename", "args", "limits"}
        ground.expect(known <= set(claimed["job"]), f"a claim lacks {known - set(claimed['job'])}")
        for phase in ("compiling", "waiting", "executing"):
            body = gpu.beat(claimed, phase).body
            ground.expect(not body["cancel_requested"] and body["lease_seconds"], f"{body}")
        told = gpu.finish(claimed, compile_log="", execute_log="said\n")
        ground.expect(told.status == 200, f"the result was answered {told}")
        seen = ground.over(student, job)
        ground.expect(seen["result"]["execute_log"] == "said\n", f"job {job} has {seen['result']}")
        _refuses_other_versions(ground)


def _refuses_other_versions(ground: Ground) -> None:
    token = json.loads(ground.gpus[0].read_text())["token"]
    connection = http.client.HTTPSConnection("localhost", ground.port, context=ground.trust)
    try:
        connection.request("POST", "/api/v2/claims", "{}", {"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        told = (answer.status, answer.headers["Content-Type"], "/api/v1" in answer.read().decode())
    finally:
        connection.close()
    ground.expect(told == (404, "application/problem+json", True), f"/api/v2 was answered {told}")
