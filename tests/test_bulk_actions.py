"""What staff do to many jobs at once: shown first, done in the background, stopped, taken up."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import Executor, User
from accounts.roles import Role
from jobs import cancelling, claiming, invariants, reporting, retention
from jobs.bulk import working
from jobs.bulk.models import Kind
from jobs.models import Attempt, AuditEntry, BulkAction, Job
from jobs.reporting import Result
from jobs.states import Ending, State
from tests.support.admin import (
    BULK,
    JOBS,
    act,
    ask,
    browser,
    confirm,
    everything,
    is_question,
    page,
    run,
    submit,
    told,
)
from tests.support.processes import World, wait_for
from tests.support.roles import member

pytestmark = pytest.mark.django_db
MANY = 20


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round does what there is to do, however slow the machine is."""
    monkeypatch.setattr(working, "BUSY_SECONDS", 600)


@pytest.fixture
def finished(make_user: Callable[[str], User], gpu1: Executor) -> list[Job]:
    """Many results, of four students."""
    users = [make_user(f"student{n}") for n in range(4)]
    jobs = []
    for n in range(MANY):
        jobs.append(submit(users[n % 4]))
        run(gpu1)
    return jobs


def keys(jobs: list[Job]) -> list[int]:
    return [job.pk for job in jobs]


def states() -> dict[str, int]:
    rows = Job.objects.order_by().values_list("state", flat=True)
    return {state: list(rows).count(state) for state in set(rows)}


def run_again(ta: Client, jobs: list[Job]) -> BulkAction:
    answer = act(ta, JOBS, "requeue", *keys(jobs))
    bulk = BulkAction.objects.get()
    assert answer["Location"] == f"{BULK}{bulk.pk}/change/"
    return bulk


# --- What is shown first -----------------------------------------------------------------


def test_what_will_happen_is_shown_and_nothing_done(ta: Client, finished: list[Job]) -> None:
    before = everything()
    answer = ask(ta, JOBS, "requeue", *keys(finished))
    text = answer.content.decode()
    assert f"Run {MANY} jobs again" in text
    assert f"{MANY} results are superseded." in text
    assert "student0 5, student1 5, student2 5, student3 5" in text
    assert f'<th scope="row">Finished: succeeded</th><td>{MANY}</td>' in text
    for typed in ("", "19", "all"):
        assert is_question(confirm(ta, answer, count=typed))
    assert everything() == before
    assert not BulkAction.objects.exists()


def test_one_result_is_superseded_only_when_one_is_typed_in(
    ta: Client, finished: list[Job]
) -> None:
    job = finished[0]
    answer = ask(ta, JOBS, "requeue", job.pk, button_of=job.pk)
    assert "1 result is superseded." in answer.content.decode()
    assert is_question(confirm(ta, answer, count=""))
    assert confirm(ta, answer)["Location"] == f"{JOBS}{job.pk}/change/"
    job.refresh_from_db()
    assert job.state == State.QUEUED


def test_what_has_no_result_needs_no_number(ta: Client, every_state: dict[str, Job]) -> None:
    for action, name in (("requeue", "failed"), ("requeue", "running"), ("cancel", "queued")):
        answer = ask(ta, JOBS, action, every_state[name].pk)
        assert is_question(answer), name
        assert not answer.context["question"].is_typed, name


def test_of_cancelling_is_said_what_it_does_to_whom(
    ta: Client, every_state: dict[str, Job]
) -> None:
    text = ask(ta, JOBS, "cancel", *keys(list(every_state.values()))).content.decode()
    assert '<th scope="row">Taken out of the queue</th><td>1</td>' in text
    assert '<th scope="row">Stopped while they run</th><td>1</td>' in text
    assert "5 are over already and stay as they are." in text


@pytest.mark.parametrize(
    ("action", "names", "words"),
    [
        ("requeue", ["running", "failed"], "1 that runs now is taken from its executor"),
        ("requeue", ["queued", "failed"], "1 in the queue stays as it is."),
        ("cancel", ["queued", "failed"], "1 is over already and stays as it is."),
    ],
)
def test_one_job_is_spoken_of_as_one(
    ta: Client, every_state: dict[str, Job], action: str, names: list[str], words: str
) -> None:
    chosen = keys([every_state[name] for name in names])
    assert words in ask(ta, JOBS, action, *chosen).content.decode()


# --- How it is done ----------------------------------------------------------------------


def test_results_stay_until_their_jobs_are_really_in_the_queue(
    ta: Client, finished: list[Job], gpu1: Executor
) -> None:
    bulk = run_again(ta, finished)
    assert states() == {State.FINISHED: MANY}
    working.work()
    assert states() == {State.QUEUED: working.SHORT, State.FINISHED: MANY - working.SHORT}
    working.work()  # the queue is no shorter
    assert states()[State.QUEUED] == working.SHORT
    again = 0
    while claiming.claim(gpu1):
        working.work()
        again += 1
    assert again == MANY
    working.work()
    bulk = BulkAction.objects.get()
    assert (bulk.done, bulk.refused, bulk.left) == (MANY, 0, 0)
    assert bulk.ended_at is not None
    recorded = AuditEntry.objects.filter(action="requeued", username="ta")
    assert sorted(recorded.values_list("job_id", flat=True)) == keys(finished)
    assert "Done" in page(ta, f"{BULK}{bulk.pk}/change/")


def test_tonights_students_keep_their_places(
    ta: Client, finished: list[Job], alice: User, bob: User, gpu1: Executor
) -> None:
    """One who was served a moment ago too; before, old jobs came back in their old places."""
    submit(alice)
    run(gpu1)
    live = [submit(alice)]
    run_again(ta, finished)
    working.work()
    live.append(submit(bob))  # who comes later and was never served
    places = {job.pk: Job.objects.get(pk=job.pk).queue_position for job in live}
    assert sorted(places.values()) == [1, 2]
    served = [claiming.claim(gpu1).job_id for _ in range(2)]
    assert sorted(served) == keys(live)


def test_a_student_who_comes_again_and_again_does_not_keep_them_waiting_for_ever(
    ta: Client, finished: list[Job], alice: User, gpu1: Executor
) -> None:
    run_again(ta, finished)
    working.work()
    turns = []
    for _ in range(working.SHORT + 3):
        submit(alice)
        turns.append(run(gpu1).job.user.username)
        Job.objects.filter(user=alice, state=State.QUEUED).delete()
    assert turns.count("alice") < len(turns)


def test_few_go_behind_too_and_one_keeps_its_place(
    ta: Client, finished: list[Job], alice: User
) -> None:
    live = submit(alice)
    act(ta, JOBS, "requeue", *keys(finished[:3]))
    assert not BulkAction.objects.exists()
    live.refresh_from_db()
    assert live.queue_position == 1
    act(ta, JOBS, "requeue", finished[3].pk)
    assert Job.objects.get(pk=finished[3].pk).turn < Job.objects.get(pk=finished[0].pk).turn


def test_it_is_stopped_and_what_is_left_keeps_its_result(ta: Client, finished: list[Job]) -> None:
    bulk = run_again(ta, finished)
    working.work()
    assert 'value="stop"' in page(ta, f"{BULK}{bulk.pk}/change/")
    answer = act(ta, BULK, "stop", bulk.pk)
    assert told(answer) == [f"Stopped: {bulk}."]
    assert claiming.claim(Executor.objects.get())
    working.work()
    left = MANY - working.SHORT
    assert states() == {
        State.QUEUED: working.SHORT - 1,
        State.RUNNING: 1,
        State.FINISHED: left,
    }
    assert Attempt.objects.filter(ending=Ending.SUPERSEDED).count() == working.SHORT
    text = page(ta, f"{BULK}{bulk.pk}/change/")
    assert "Stopped by ta" in text
    assert 'value="stop"' not in text
    assert told(act(ta, BULK, "stop", bulk.pk)) == ["Stopped: none."]
    entry = AuditEntry.objects.get(action="bulk-action-stopped")
    assert (entry.username, entry.request["reason"]) == ("ta", f"{left} jobs were left")
    history = ta.get(f"{BULK}{bulk.pk}/history/", follow=True).context["cl"].result_list
    assert [row.action for row in history] == ["bulk-action-stopped", "bulk-action-begun"]


def test_many_are_cancelled(ta: Client, alice: User, bob: User, settings: Any) -> None:
    settings.TELERUN_MAX_QUEUED_PER_USER = MANY
    jobs = [submit(alice) for _ in range(MANY)]
    kept = submit(bob)
    act(ta, JOBS, "cancel", *keys(jobs))
    assert states() == {State.QUEUED: MANY + 1}
    working.work()
    assert states() == {State.QUEUED: 1, State.CANCELLED: MANY}
    kept.refresh_from_db()
    assert kept.state == State.QUEUED


def test_what_has_changed_since_is_left_as_it_is(ta: Client, finished: list[Job]) -> None:
    """One has a new result, one is gone."""
    run_again(ta, finished[:12])
    anew, gone = finished[0], finished[1]
    Job.objects.filter(pk=anew.pk).update(finished_at=timezone.now())
    retention._delete(Job.objects.filter(pk=gone.pk))
    while working.work():
        while claiming.claim(Executor.objects.get()):
            pass
    bulk = BulkAction.objects.get()
    assert (bulk.done, bulk.refused) == (10, 2)
    anew.refresh_from_db()
    assert anew.state == State.FINISHED


@pytest.mark.parametrize("count", [2, 12])
def test_a_result_that_nobody_has_seen_is_not_superseded(
    ta: Client, finished: list[Job], alice: User, gpu1: Executor, count: int
) -> None:
    """The job ran when the question was shown, and ended before it was answered."""
    job = submit(alice)
    attempt = claiming.claim(gpu1)
    assert attempt
    answer = ask(ta, JOBS, "requeue", job.pk, *keys(finished[: count - 1]))
    reporting.finish(gpu1, attempt.pk, attempt.lease_token, Result(outcome="succeeded"))
    done = confirm(ta, answer)
    assert "1 job has ended since this was asked, and nobody saw it: left." in told(done)
    working.work()
    job.refresh_from_db()
    assert job.state == State.FINISHED
    assert states()[State.QUEUED] == min(count - 1, working.SHORT)


def test_one_job_that_cannot_be_done_holds_up_no_other(
    ta: Client, alice: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.TELERUN_MAX_QUEUED_PER_USER = MANY
    jobs = [submit(alice) for _ in range(MANY)]

    def cancel(job_id: int, actor: str) -> Any:
        if job_id == jobs[3].pk:
            raise RuntimeError("a job that nobody thought of")
        return cancelling.cancel(job_id, actor)

    monkeypatch.setitem(working._OPERATIONS, Kind.CANCEL, cancel)
    act(ta, JOBS, "cancel", *keys(jobs))
    working.work()
    bulk = BulkAction.objects.get()
    assert (bulk.done, bulk.refused, bulk.left) == (MANY - 1, 1, 0)
    assert states() == {State.QUEUED: 1, State.CANCELLED: MANY - 1}


@pytest.mark.django_db(transaction=True)
def test_two_servers_do_each_job_once(alice: User, settings: Any) -> None:
    settings.TELERUN_MAX_QUEUED_PER_USER = MANY
    jobs = [submit(alice) for _ in range(MANY)]
    working.begin(Kind.CANCEL, keys(jobs), "ta")
    ready = threading.Barrier(2)
    failed: list[Exception] = []

    def server() -> None:
        ready.wait(30)
        try:
            while BulkAction.objects.filter(ended_at=None).exists():
                working.work()
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=server) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    bulk = BulkAction.objects.get()
    assert (bulk.done, bulk.refused) == (MANY, 0)
    cancelled = AuditEntry.objects.filter(action="cancelled").values_list("job_id", flat=True)
    assert sorted(cancelled) == keys(jobs)
    assert invariants.violations() == []


# --- Who may -----------------------------------------------------------------------------


def test_a_ta_stops_what_they_began_and_nothing_of_others(finished: list[Job]) -> None:
    mine = working.begin(Kind.REQUEUE, [job.pk for job in finished[:12]], "tina")
    others = working.begin(Kind.REQUEUE, [job.pk for job in finished[12:]], "prof")
    client = browser(member("tina", Role.TA))
    assert 'value="stop"' in page(client, f"{BULK}{mine.pk}/change/")
    assert 'value="stop"' not in page(client, f"{BULK}{others.pk}/change/")
    act(client, BULK, "stop", others.pk)
    act(client, BULK, "stop", mine.pk, others.pk)
    assert not BulkAction.objects.exclude(ended_at=None).exists()
    act(client, BULK, "stop", mine.pk)
    assert [bulk.pk for bulk in BulkAction.objects.exclude(ended_at=None)] == [mine.pk]


def test_who_may_only_look_neither_begins_nor_stops_one(finished: list[Job]) -> None:
    looker = User.objects.create_user("looker", is_staff=True)
    looker.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = browser(looker)
    act(client, JOBS, "requeue", *keys(finished))
    assert not BulkAction.objects.exists()
    bulk = working.begin(Kind.REQUEUE, keys(finished), "ta")
    assert 'value="stop"' not in page(client, f"{BULK}{bulk.pk}/change/")
    act(client, BULK, "stop", bulk.pk)
    bulk.refresh_from_db()
    assert bulk.ended_at is None
    for outsider in (browser(None), browser(User.objects.create_user("eve"))):
        assert outsider.get(f"{BULK}{bulk.pk}/change/").status_code == 302
        act(outsider, BULK, "stop", bulk.pk)
    bulk.refresh_from_db()
    assert bulk.ended_at is None


# --- A server that dies ------------------------------------------------------------------


@pytest.mark.hardening
@pytest.mark.end_to_end
def test_a_server_that_was_killed_goes_on_where_it_was(world: World) -> None:
    world.user("alice")
    world.manage("shell", "-v0", "-c", (
        "from django.conf import settings\n"
        "from accounts.models import User\n"
        "from jobs import submitting\n"
        "from jobs.bulk import working\n"
        "settings.TELERUN_MAX_QUEUED_PER_USER = 1000\n"
        "settings.TELERUN_SUBMITS_PER_MINUTE = 0\n"
        "alice = User.objects.get()\n"
        "jobs = [submitting.submit(alice, submitting.Submission('x'))[0].pk for _ in range(300)]\n"
        "working.begin('cancel', jobs, 'ta')\n"
    ))  # fmt: skip
    world.start_server()
    progress = "from jobs.models import *\nb = BulkAction.objects.get()\nprint(b.done, b.ended_at)"
    wait_for(lambda: said(world, progress)[0] != "0", "something is done")
    world.kill_server()
    before = int(said(world, progress)[0])
    world.start_server()
    wait_for(lambda: said(world, progress)[1] != "None", "all is done")
    assert before <= int(said(world, progress)[0]) == 300
    assert world.manage("telerun_db", "check").out.startswith("All is well")


def said(world: World, script: str) -> list[str]:
    return world.manage("shell", "-v0", "-c", script).out.split()
