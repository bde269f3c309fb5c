"""A job's page in the admin: the verdict, the first error beside its line, logs, history, links."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Executor, User
from jobs import cancelling, claiming, reporting, submitting
from jobs.models import Attempt, Job
from jobs.staff import requeue
from jobs.states import Phase
from jobs.submitting import Submission
from tests.support.admin import JOBS, browser, page, run, submit, words_of

pytestmark = pytest.mark.django_db

SOURCE = "".join(f"int line{n};\n" for n in range(1, 51))
H100 = {"gpu": {"name": "NVIDIA H100"}}


@pytest.fixture(autouse=True)
def many_jobs(settings: Any) -> None:
    settings.TELERUN_MAX_QUEUED_PER_USER = 50
    settings.TELERUN_SUBMITS_PER_MINUTE = 0


def change(job: Job, rest: str = "change/") -> str:
    return f"{JOBS}{job.pk}/{rest}"


def verdict(client: Client, job: Job) -> str:
    """The sentence at the head of the page, with its sign."""
    found = re.search(r'<p class="verdict[^>]*>(.*?)</p>', page(client, change(job)), re.DOTALL)
    return " ".join(words_of(found[1]).split())


# --- The verdict -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({"execute_seconds": 1.31}, "✓ Succeeded on gpu1 (NVIDIA H100): ran in 1.31 s."),
        (
            {"outcome": "compile_error", "compile_log": b'./prog.cu(41): error: expected a ";"\n'},
            '✗ Compile error at prog.cu line 41: expected a ";"',
        ),
        (
            {"outcome": "compile_error", "compile_log": b"nothing that is known\n"},
            "✗ Did not compile on gpu1.",
        ),
        (
            {"outcome": "runtime_timeout", "limit": "10 s"},
            "✗ Ran out of time after 10 s on gpu1 (NVIDIA H100).",
        ),
        (
            {"outcome": "compile_timeout", "limit": "60 s"},
            "✗ Took too long to compile (stopped after 60 s) on gpu1 (NVIDIA H100).",
        ),
        (
            {"outcome": "memory_exceeded", "limit": "4096 MiB"},
            "✗ Used more memory than it may (limit 4096 MiB) on gpu1 (NVIDIA H100).",
        ),
        (
            {"outcome": "runtime_error", "signal": 11},
            "✗ Killed by signal 11, SIGSEGV, on gpu1 (NVIDIA H100).",
        ),
        (
            {"outcome": "runtime_error", "exit_code": 3},
            "✗ Failed with exit status 3 on gpu1 (NVIDIA H100).",
        ),
    ],
)
def test_what_became_of_it(
    ta: Client, alice: User, gpu1: Executor, result: dict[str, Any], words: str
) -> None:
    details = {**H100, **({"limit": result.pop("limit")} if "limit" in result else {})}
    job = submit(alice, SOURCE)
    run(gpu1, **result, details=details)
    assert verdict(ta, job) == words


def test_a_failure_that_is_known_is_explained(ta: Client, alice: User, gpu1: Executor) -> None:
    job = submit(alice)
    log = b"CUDA error: an illegal memory access was encountered\n"
    run(gpu1, outcome="runtime_error", exit_code=1, execute_log=log)
    assert "Often: A kernel read or wrote outside of its arrays." in page(ta, change(job))


def test_one_that_waits(ta: Client, alice: User, bob: User) -> None:
    submit(bob)
    job = submit(alice)
    assert verdict(ta, job) == "… Waits at place 2 of 2 for cuda."
    assert "No GPU host is connected." in page(ta, change(job))


def test_one_that_runs(ta: Client, alice: User, gpu1: Executor) -> None:
    job = submit(alice)
    attempt = claiming.claim(gpu1)
    assert verdict(ta, job).startswith("▶ Compiles on gpu1, since ")
    reporting.heartbeat(gpu1, attempt.pk, attempt.lease_token, Phase.EXECUTING)
    assert verdict(ta, job).startswith("▶ Runs on gpu1, since ")
    cancelling.cancel(job.pk, "prof")
    assert "Cancel requested by prof at" in page(ta, change(job))


def test_who_cancelled(ta: Client, alice: User, gpu1: Executor) -> None:
    waited, ran = submit(alice), submit(alice)
    cancelling.cancel(waited.pk, "prof")
    attempt = claiming.claim(gpu1)
    cancelling.cancel(ran.pk, "head")
    reporting.release(gpu1, attempt.pk, attempt.lease_token, "cancelled")
    assert re.fullmatch(r"■ Cancelled by prof at \d\d:\d\d while it waited\.", verdict(ta, waited))
    assert re.fullmatch(r"■ Cancelled by head at \d\d:\d\d while it ran\.", verdict(ta, ran))
    assert "prof cancelled it" in words_of(page(ta, change(waited)))
    assert "head cancelled it while it ran" in words_of(page(ta, change(ran)))


def test_which_job_took_its_place(ta: Client, alice: User) -> None:
    old = submit(alice)
    new, _ = submitting.submit(alice, Submission("int x;", "prog.cu"), replace=True)
    assert verdict(ta, old).startswith(f"■ Replaced by job {new.pk} at ")
    assert f'Replaced by <a href="{change(new)}">job {new.pk}</a>' in page(ta, change(old))
    assert f'<a href="{change(old)}">Job {old.pk}</a>, whose place it took' in page(ta, change(new))


def test_hosts_that_were_lost(ta: Client, every_state: dict[str, Job]) -> None:
    assert verdict(ta, every_state["failed"]) == "! Failed: three hosts gave it back."
    assert "Not the student" in page(ta, change(every_state["failed"]))


# --- The first error beside its line -----------------------------------------------------


def test_the_first_error_stands_beside_its_line(ta: Client, alice: User, gpu1: Executor) -> None:
    job, _ = submitting.submit(
        alice, Submission(SOURCE, "lab 1/my prog.cu", includes={"common/util.cuh": SOURCE})
    )
    Job.objects.update(is_plain=True)  # the executor of these tests names no platforms
    log = (
        b"../common/util.cuh(2): warning #177-D: never used\n"
        b'./my prog.cu(41): error: expected a ";"\n\n'
        b"../common/util.cuh:3:5: error: no <b>such</b> thing\n"
        b'2 errors detected in the compilation of "./my prog.cu".\n'
    )
    run(gpu1, outcome="compile_error", compile_log=log)
    text = page(ta, change(job))
    assert 'Compile error at lab 1/my prog.cu line 41: expected a ";"' in words_of(text)
    assert "2 errors in all." in text
    excerpt = words_of(text[text.index('id="excerpt"') : text.index("</table>")])
    assert [f"int line{n};" in excerpt for n in (38, 39, 41, 43, 44)] == [False, *[True] * 3, False]
    assert 'expected a ";"' in excerpt
    assert '<a href="#lab%201/my%20prog.cu-L41">./my prog.cu(41)</a>' in text
    assert '<a href="#common/util.cuh-L3">../common/util.cuh:3:5</a>' in text
    marked = re.findall(r'<span class="line wrong-line" id="([^"]*)"', text)
    assert marked == ["lab%201/my%20prog.cu-L41", "common/util.cuh-L3"]
    assert re.search(r'id="common/util.cuh-L3"><span class="ht">int</span> line3;', text)


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (b"ptxas error   : Entry function 'k' uses too much shared data\n", "uses too much shared"),
        (b"/usr/bin/ld: a.o: undefined reference to `foo()'\n", "undefined reference to `foo()'"),
        (b"./prog.cu(9999): error: beyond the end\n", "line 9999: beyond the end"),
        (
            b"/usr/include/cuda.h(3): error: in a header\n",
            "/usr/include/cuda.h line 3: in a header",
        ),
    ],
)
def test_an_error_without_a_line_of_the_job_has_no_excerpt(
    ta: Client, alice: User, gpu1: Executor, log: bytes, words: str
) -> None:
    job = submit(alice, SOURCE)
    run(gpu1, outcome="compile_error", compile_log=log)
    assert words in verdict(ta, job)
    text = page(ta, change(job))
    assert 'id="excerpt"' not in text
    assert "wrong-line" not in text


# --- History and links -------------------------------------------------------------------


def test_the_history_of_a_job(ta: Client, alice: User, gpu1: Executor) -> None:
    job = submit(alice)
    run(gpu1, outcome="runtime_error", exit_code=2, compile_seconds=2.8561372108096648)
    requeue(job.pk, "head")
    attempt = claiming.claim(gpu1)
    reporting.release(gpu1, attempt.pk, attempt.lease_token, "the disk is full")
    text = page(ta, change(job))
    timeline = " ".join(
        words_of(text[text.index('<ol class="timeline"') : text.index("</ol>")]).split()
    )
    told = [timeline.index(words) for words in (
        "alice submitted it",
        "Attempt 1 on gpu1: compiled in 2.86 s; failed (superseded: it was run again); exit status",
        "head had it run again",
        "Attempt 2 on gpu1",
        "its host gave it back: the disk is full",
        "It waits.",
    )]  # fmt: skip
    assert told == sorted(told)
    assert "head had it run again at" in words_of(text)
    assert "2.8561372" not in text
    assert ">-<" not in text


def test_the_way_to_other_pages(
    ta: Client, alice: User, bob: User, gpu1: Executor, make_user: Callable[[str], User]
) -> None:
    first, _, job, _, last = (submit(user) for user in (alice, bob, alice, bob, alice))
    claiming.claim(gpu1)
    text = page(ta, change(job))
    assert f'rel="prev" href="{change(first)}"' in text
    assert f'rel="next" href="{change(last)}"' in text
    assert f'<a href="/admin/accounts/user/{alice.pk}/change/">alice</a>' in text
    assert f'<a href="/admin/accounts/executor/{gpu1.pk}/change/">gpu1</a>' in page(
        ta, change(first)
    )
    viewer = make_user("viewer")
    viewer.is_staff = True
    viewer.save()
    viewer.user_permissions.set(Permission.objects.filter(codename="view_job"))
    seen = page(browser(viewer), change(first))
    assert "/admin/accounts/" not in seen.partition('id="job"')[2]
    assert 'value="requeue"' not in seen


# --- Large and many ----------------------------------------------------------------------


def test_the_number_of_queries_is_the_same_for_many_attempts_and_files(
    ta: Client, alice: User, gpu1: Executor
) -> None:
    submit(alice)
    run(gpu1)
    small = submit(alice)
    run(gpu1)
    names = {f"f{n}.cuh": SOURCE for n in range(30)}
    large, _ = submitting.submit(alice, Submission(SOURCE, "prog.cu", includes=names))
    now = timezone.now()
    Attempt.objects.bulk_create(
        Attempt(job=large, number=n, executor=gpu1, executor_name="gpu1", lease_token=str(n),
                lease_expires_at=now, started_at=now, ended_at=now, ending="released",
                compile_log=b"x", execute_log=b"y")
        for n in range(1, 21)
    )  # fmt: skip
    Job.objects.filter(pk=large.pk).update(version=2, state="failed", finished_at=now)
    page(ta, change(small))
    counts = []
    for job in (small, large):
        with CaptureQueriesContext(connection) as captured:
            text = page(ta, change(job))
        counts.append(len(captured))
    assert text.count('id="attempt-') >= 20
    assert text.count("<details") >= 30
    assert counts[1] == counts[0] <= 16, counts


def test_logs_of_many_attempts_are_on_the_page_while_there_is_room(
    ta: Client, alice: User, gpu1: Executor, settings: Any
) -> None:
    settings.TELERUN_LIMITS = {**settings.TELERUN_LIMITS, "log_bytes": 1000}
    job = submit(alice)
    for n in range(6):
        run(gpu1, execute_log=b"%d" % n * 900)
        requeue(job.pk, "ta")
    text = page(ta, change(job))
    assert [f"{n}" * 900 in text for n in range(6)] == [False] * 4 + [True] * 2
    assert text.count("no room for it: see the raw log") == 4
    assert f'href="{change(job, "attempts/1/execute-log.txt")}"' in text


def test_a_job_without_sources_says_so(ta: Client, alice: User) -> None:
    job = submit(alice)
    Job.objects.filter(pk=job.pk).update(source="", texts_gone={"at": "2026-11-30"})
    assert "What was submitted is no longer kept." in page(ta, change(job))
    assert ta.get(change(job, "source/prog.cu")).status_code == 404
    assert ta.get(change(job, "files.zip")).status_code == 200


def test_a_million_lines(ta: Client, alice: User, gpu1: Executor) -> None:
    job = submit(alice, "\n" * 1024 * 1023)
    run(gpu1, outcome="compile_error", compile_log=b"prog.cu(900000): error: x\n")
    text = page(ta, change(job))
    assert 'id="prog.cu-L900000"' in text
    assert len(text) < 12_000_000
