"""The admin site as course staff use it, with Django's own client: pages and actions."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts import executors
from accounts.models import Executor, User
from jobs import submitting
from jobs.models import AuditEntry, Job
from jobs.states import Ending
from jobs.submitting import Submission
from tests.support.admin import (
    ACTIONS,
    AUDIT,
    EXECUTORS,
    JOBS,
    USERS,
    act,
    everything,
    page,
    submit,
    told,
    words_of,
)

pytestmark = pytest.mark.django_db


# --- Pages -------------------------------------------------------------------------------


def test_the_front_page_says_how_the_queue_is(ta: Client, every_state: dict[str, Job]) -> None:
    text = page(ta, "/admin/")
    assert f"{JOBS}?state__exact=queued" in text
    assert "<td>1, the oldest since" in text.replace("\n", " ")
    assert f'<a href="{JOBS}{every_state["running"].pk}/change/">job' in text
    assert "never seen" in text
    assert "no executor is there to take it" in text
    Executor.objects.update(last_seen_at=timezone.now())
    text = page(ta, "/admin/")
    assert "alive" in text
    assert "no executor is there to take it" not in text
    Executor.objects.update(last_seen_at=timezone.now() - timedelta(hours=2))
    assert "last seen" in page(ta, "/admin/")


def test_the_list_of_jobs(ta: Client, every_state: dict[str, Job]) -> None:
    text = page(ta, JOBS)
    for job in every_state.values():
        assert f"{JOBS}{job.pk}/change/" in text
    for words in (
        "Queued",
        "Running: executing",
        "Finished: succeeded",
        "gpu1",
        "alice",
        "prog.cu",
    ):
        assert words in text


def test_the_page_of_a_job_in_every_state(ta: Client, every_state: dict[str, Job]) -> None:
    for state, job in every_state.items():
        text = page(ta, f"{JOBS}{job.pk}/change/")
        assert "int main() {}" in words_of(text)
        for attempt in job.attempts.all():
            assert f"Attempt {attempt.number}" in text
            assert attempt.reason in text
        assert ('value="requeue"' in text) == (state != "queued"), state
        assert ('value="cancel"' in text) == (state in ("queued", "running")), state
        assert 'name="_save"' not in text


def test_a_finished_job_shows_both_logs_and_how_it_ended(
    ta: Client, every_state: dict[str, Job]
) -> None:
    text = page(ta, f"{JOBS}{every_state['finished'].pk}/change/")
    assert '<span class="chunk">a warning</span></pre>' in text
    assert '<span class="chunk">hello there\n</span></pre>' in text
    text = page(ta, f"{JOBS}{every_state['failed'].pk}/change/")
    assert text.count("its host gave it back: the disk is full") == 3


def test_the_audit_log(ta: Client, every_state: dict[str, Job]) -> None:
    act(ta, USERS, "revoke_token", User.objects.get(username="alice").pk)
    text = page(ta, AUDIT)
    for words in ("submitted", "claimed", "requeued", "runtime error", "token-revoked"):
        assert words in text
    assert f'<a href="{JOBS}{every_state["failed"].pk}/change/">' in text
    for entry in AuditEntry.objects.all():
        text = page(ta, f"{AUDIT}{entry.pk}/change/")
        assert ("int main() {}" in text) == (entry.action == "submitted")


def test_the_history_of_anything_is_in_the_audit_log(
    ta: Client, alice: User, bob: User, gpu1: Executor, gpu2: Executor
) -> None:
    job, other = submit(alice), submit(bob)
    act(ta, USERS, "revoke_token", alice.pk)
    act(ta, EXECUTORS, "disable", gpu1.pk, gpu2.pk)
    for where, pk, about, not_about in (
        (JOBS, job.pk, f"{JOBS}{job.pk}/change/", f"{JOBS}{other.pk}/change/"),
        (USERS, alice.pk, "token-revoked", "executor-disabled"),
        (EXECUTORS, gpu1.pk, "executor-disabled", "token-revoked"),
    ):
        answer = ta.get(f"{where}{pk}/history/", follow=True)
        assert answer.status_code == 200
        rows = answer.context["cl"].result_list
        assert len(rows) == 1
        table = re.search(r'<table id="result_list".*</table>', answer.content.decode(), re.DOTALL)[
            0
        ]
        assert about in table
        assert not_about not in table


def test_users_and_executors(ta: Client, alice: User, gpu1: Executor) -> None:
    assert "alice" in page(ta, USERS)
    assert "alice" in page(ta, f"{USERS}{alice.pk}/change/")
    assert "gpu1" in page(ta, EXECUTORS)
    assert "gpu1" in page(ta, f"{EXECUTORS}{gpu1.pk}/change/")


@pytest.mark.parametrize(
    "about",
    [
        {"gpus": 5, "nvcc": ["x"]},
        {"gpus": ["a", {"name": {"b": 1}}, None]},
        {"gpus": [{"name": "<script>alert(1)</script>"}], "nvcc": "\x1b[2J<b>"},
        {"gpus": [{"condition": "quarantined", "reason": "<script>alert(1)</script>"}]},
        {"gpus": [{"condition": "quarantined", "index": {"a": None}, "reason": ["<b>"]}]},
        {},
    ],
)
def test_whatever_an_executor_tells_of_itself(ta: Client, gpu1: Executor, about: Any) -> None:
    executors.seen(gpu1, about)
    for url in ("/admin/", EXECUTORS, f"{EXECUTORS}{gpu1.pk}/change/"):
        text = page(ta, url)
        assert "<script>alert" not in text
        assert "<b>" not in text.partition("main")[2].replace("<b>Attempt", "")


def test_an_executor_without_a_sandbox_is_seen(ta: Client, gpu1: Executor) -> None:
    words = "programs run without a sandbox"
    for sandbox, seen in (("none", True), ("bubblewrap", False)):
        Executor.objects.update(about={"sandbox": sandbox})
        assert (words in page(ta, "/admin/")) == seen
        listed = page(ta, EXECUTORS)
        assert f">{sandbox}</" in listed
        assert ('<span class="wrong">none</span>' in listed) == seen


def test_a_quarantined_gpu_is_seen_on_every_page(ta: Client, gpu1: Executor) -> None:
    ready = {"index": "0", "name": "H100", "condition": "ready"}
    failed = {"index": "1", "name": "H100", "condition": "quarantined", "reason": "Xid 79 (lost)",
              "since": "2026-09-01T12:00:00Z"}  # fmt: skip
    executors.seen(gpu1, {"gpus": [ready, failed]})
    front, listed = page(ta, "/admin/"), page(ta, EXECUTORS)
    assert "GPU 1 is quarantined</span>: Xid 79 (lost)" in front
    assert '2 H100, <span class="wrong">1 quarantined</span>' in listed
    told = page(ta, f"{EXECUTORS}{gpu1.pk}/change/")
    assert "GPU 1 (H100), since 2026-09-01 12:00:00: Xid 79 (lost)" in told
    gpu1.refresh_from_db()
    executors.seen(gpu1, {"gpus": [ready, {**failed, "condition": "ready"}]})
    assert "quarantined" not in page(ta, "/admin/") + page(ta, EXECUTORS)


def test_an_executor_is_alive_while_it_is_heard_of(gpu1: Executor) -> None:
    now = timezone.now()
    expected = {None: None, now: True, now - timedelta(hours=1): False}
    for last_seen_at, alive in expected.items():
        gpu1.last_seen_at = last_seen_at
        assert gpu1.is_alive is alive


# --- Actions on jobs ---------------------------------------------------------------------


def test_requeue_and_cancel_go_through_the_operations(
    ta: Client, every_state: dict[str, Job]
) -> None:
    pks = [every_state[name].pk for name in ("finished", "failed", "running")]
    answer = act(ta, JOBS, "requeue", *pks)
    assert (answer.status_code, answer["Location"]) == (302, JOBS)
    assert told(answer) == ["3 jobs queued."]
    assert set(Job.objects.filter(pk__in=pks).values_list("state", flat=True)) == {"queued"}
    taken = every_state["running"].attempts.get()
    assert (taken.ending, taken.reason) == (Ending.REQUEUED, "by ta")
    assert every_state["finished"].attempts.get().ending == Ending.SUPERSEDED
    assert recorded("requeued", pks) == ["ta"] * 3

    answer = act(ta, JOBS, "cancel", *pks)
    assert told(answer)[-1] == "3 jobs cancelled, or told to stop."
    assert set(Job.objects.filter(pk__in=pks).values_list("state", flat=True)) == {"cancelled"}
    assert recorded("cancelled", pks) == ["ta"] * 3


def recorded(action: str, job_ids: list[int]) -> list[str]:
    """Who did that to these jobs, of late, by the audit log."""
    entries = AuditEntry.objects.filter(action=action, job_id__in=job_ids).order_by("id")
    names = entries.values_list("username", flat=True)
    return [name for name in names if not name.startswith("executor:")]


def test_a_running_job_is_told_to_stop(ta: Client, every_state: dict[str, Job]) -> None:
    job = every_state["running"]
    act(ta, JOBS, "cancel", job.pk)
    job.refresh_from_db()
    assert (job.state, job.cancel_requested_at is None) == ("running", False)
    assert recorded("cancel-requested", [job.pk]) == ["ta"]
    assert "Cancel requested" in page(ta, f"{JOBS}{job.pk}/change/")


def test_what_cannot_be_cancelled_is_named_and_the_rest_is_done(
    ta: Client, every_state: dict[str, Job]
) -> None:
    over, waits = every_state["finished"], every_state["queued"]
    answer = act(ta, JOBS, "cancel", over.pk, waits.pk)
    assert told(answer) == [
        f"Job {over.pk}: Job {over.pk} is finished already.",
        "1 job cancelled, or told to stop.",
    ]


def test_a_hundred_refusals_are_not_a_hundred_messages(
    ta: Client, alice: User, settings: Any
) -> None:
    settings.TELERUN_MAX_QUEUED_PER_USER = 20
    jobs = [submit(alice).pk for _ in range(10)]
    act(ta, JOBS, "cancel", *jobs)
    answer = act(ta, JOBS, "cancel", *jobs)
    assert told(answer)[-2:] == ["And 5 more.", "0 jobs cancelled, or told to stop."]


def test_a_button_of_the_page_leads_back_to_it(ta: Client, every_state: dict[str, Job]) -> None:
    job = every_state["finished"]
    answer = act(ta, JOBS, "requeue", job.pk, button_of=job.pk)
    assert answer["Location"] == f"{JOBS}{job.pk}/change/"
    job.refresh_from_db()
    assert job.state == "queued"


@pytest.mark.parametrize("key", ["abc", "", "99999999999999999999", "\0", "1 OR 1=1"])
@pytest.mark.parametrize("where", [JOBS, USERS, EXECUTORS])
def test_keys_that_are_none(ta: Client, where: str, key: str, every_state: dict[str, Job]) -> None:
    before = everything()
    for action in ACTIONS[where]:
        answer = act(ta, where, action, key, button_of="//evil.example/")
        assert answer.status_code in (200, 302), answer.content
        assert answer.get("Location", "/admin/").startswith("/admin/")
    assert everything() == before


def test_the_page_of_a_replaced_job_leads_to_the_other(ta: Client, alice: User) -> None:
    first = submit(alice)
    second, _ = submitting.submit(alice, Submission("y"), replace=True)
    text = page(ta, f"{JOBS}{first.pk}/change/")
    assert f'<a href="{JOBS}{second.pk}/change/">job {second.pk}</a>' in text
    assert f'change/">job {first.pk}</a>' not in page(ta, f"{JOBS}{second.pk}/change/")
