"""What staff take along from a job's page, and what is new in it: harmless whatever it holds."""

import io
import time
import zipfile
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import Executor, User
from jobs import claiming, submitting
from jobs.admin.job_page import difference
from jobs.admin.job_page.archive import SafeNames
from jobs.models import Attempt, Job, OutputFile, OutputPart
from jobs.submitting import Submission
from tests.support.admin import JOBS, browser, page, run, submit, words_of

pytestmark = pytest.mark.django_db

HTML = b"<script>alert(1)</script>\0\xff\n"


@pytest.fixture(autouse=True)
def many_jobs(settings: Any) -> None:
    settings.TELERUN_MAX_QUEUED_PER_USER = 50
    settings.TELERUN_SUBMITS_PER_MINUTE = 0


@pytest.fixture
def job(alice: User, gpu1: Executor) -> Job:
    includes = {"lib/a b.cuh": "#pragma once\r\n"}
    job, _ = submitting.submit(alice, Submission("int x;\n", "lab/prog.cu", includes=includes))
    Job.objects.update(is_plain=True)  # the executor of these tests names no platforms
    attempt = run(gpu1, compile_log=b"a warning", execute_log=HTML)
    file = OutputFile.objects.create(attempt=attempt, name="out.bin", size=6, digest="")
    OutputPart.objects.create(file=file, number=0, content=b"abcdef")
    return job


BELOW = {
    "source/lab/prog.cu": b"int x;\n",
    "source/lib/a b.cuh": b"#pragma once\r\n",
    "attempts/1/compile-log.txt": b"a warning",
    "attempts/1/execute-log.txt": HTML,
    "attempts/1/files/out.bin": b"abcdef",
}


def test_each_can_be_had_as_it_is_and_is_shown_by_no_browser(ta: Client, job: Job) -> None:
    for path, content in BELOW.items():
        answer = ta.get(f"{JOBS}{job.pk}/{path}")
        assert b"".join(answer) == content, path
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Content-Disposition"].startswith("attachment; filename=")
        assert answer["Content-Security-Policy"] == "sandbox; default-src 'none'"
        is_text = "files" not in path
        assert answer["Content-Type"].startswith("text/plain") == is_text


def test_who_may_not_see_jobs_gets_none_of_it(job: Job, alice: User) -> None:
    newcomer = User.objects.create_user("newcomer", is_staff=True)
    below = (*BELOW, "files.zip", "difference", "state", "events", "change/")
    for path in below:
        url = f"{JOBS}{job.pk}/{path}"
        assert browser(newcomer).get(url).status_code == 403, path
        for user in (None, alice):
            answer = browser(user).get(url)
            assert answer.status_code == (403 if path == "events" else 302), path
    newcomer.user_permissions.set(Permission.objects.filter(codename="view_job"))
    for path in below:
        # Of the stream its head: a real server's tests read it.
        ask = browser(newcomer).head if path == "events" else browser(newcomer).get
        assert ask(f"{JOBS}{job.pk}/{path}").status_code == 200, path


def test_what_is_not_there(ta: Client, job: Job) -> None:
    for path in ("source/prog.cu", "source/../lab/prog.cu", "attempts/2/compile-log.txt",
                 "attempts/1/other-log.txt", "attempts/99999/compile-log.txt",
                 "attempts/1/files/a"):  # fmt: skip
        assert ta.get(f"{JOBS}{job.pk}/{path}").status_code in (302, 404), path
    for number in (job.pk + 1, 10**30):
        for path in (*BELOW, "files.zip", "difference", "state", "events"):
            assert ta.get(f"{JOBS}{number}/{path}").status_code == 404, path


def test_all_of_it_in_a_zip(ta: Client, job: Job) -> None:
    answer = ta.get(f"{JOBS}{job.pk}/files.zip")
    assert answer.streaming
    assert answer["Content-Type"] == "application/zip"
    assert answer["Content-Disposition"] == f'attachment; filename="job-{job.pk}.zip"'
    parts = list(answer.streaming_content)
    assert all(parts)
    assert len(parts) > 3
    with zipfile.ZipFile(io.BytesIO(b"".join(parts))) as archive:
        assert archive.testzip() is None
        contents = {name: archive.read(name) for name in archive.namelist()}
    assert contents == {
        f"job-{job.pk}/source/lab/prog.cu": b"int x;\n",
        f"job-{job.pk}/source/lib/a b.cuh": b"#pragma once\r\n",
        f"job-{job.pk}/attempt-1/compile-log.txt": b"a warning",
        f"job-{job.pk}/attempt-1/execute-log.txt": HTML,
        f"job-{job.pk}/attempt-1/out/out.bin": b"abcdef",
    }


def test_names_in_it_lead_nowhere_else_and_are_all_different() -> None:
    names = SafeNames()
    odd = ("../../etc/passwd", "/etc/passwd", "a/../b", "..", "", "c:\\windows\\x", "a\0b",
           "NUL.txt", "a. ", "x/./y", "x//y", "\u202egnp.exe", "A/B", "a/b")  # fmt: skip
    safe = [names.safe(name) for name in odd]
    assert len({name.casefold() for name in safe}) == len(odd)
    for name in safe:
        parts = name.split("/")
        assert not {"", ".", ".."} & set(parts), name
        assert not set("\\:\0\u202e") & set(name), name
        assert not any(part.lower().startswith(("nul", "con")) for part in parts), name


def test_an_old_name_of_a_job_is_safe_in_it(ta: Client, alice: User) -> None:
    job = submit(alice)
    Job.objects.filter(pk=job.pk).update(filename="../../x.cu", includes={"/y": "1"})
    answer = ta.get(f"{JOBS}{job.pk}/files.zip")
    with zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as archive:
        assert archive.namelist() == [f"job-{job.pk}/source/x.cu", f"job-{job.pk}/source/y"]


# --- What is new -------------------------------------------------------------------------


def new_in(client: Client, job: Job) -> str:
    return words_of(page(client, f"{JOBS}{job.pk}/difference"))


def test_what_is_new_since_the_last_one_of_that_name(ta: Client, alice: User, bob: User) -> None:
    lines = [f"int line{n};" for n in range(40)]
    old = submit(alice, "\n".join(lines))
    submit(alice, "something else", "other.cu")
    submit(bob, "another student's")
    new = submit(alice, "\n".join([*lines[:20], "int added;", *lines[21:]]))
    link = f'<a href="{JOBS}{new.pk}/difference">What is new since job {old.pk}</a>'
    assert link in page(ta, f"{JOBS}{new.pk}/change/")
    text = new_in(ta, new)
    assert "@@ line 18, which was line 18" in text
    assert "- int line20;\n+ int added;\n" in text
    assert "  int line19;" in text
    assert "line10;" not in text
    first = page(ta, f"{JOBS}{old.pk}/change/")
    assert "What is new" not in first
    assert "has submitted nothing called prog.cu before" in new_in(ta, old)


def test_files_that_came_and_went(ta: Client, alice: User) -> None:
    submitting.submit(alice, Submission("x", "a.cu", includes={"gone.h": "1", "same.h": "2"}))
    new, _ = submitting.submit(
        alice, Submission("x", "a.cu", includes={"<new>.h": "<b>", "same.h": "2"})
    )
    text = page(ta, f"{JOBS}{new.pk}/difference")
    assert "&lt;new&gt;.h" in text
    words = " ".join(words_of(text).split())
    for part in ("gone.h is gone", "<new>.h is new", "same.h is the same"):
        assert part in words


def numbered(form: str, count: int, factor: int = 1) -> str:
    return "".join(form.format(n * factor % 99_991) + "\n" for n in range(count))


HOSTILE = {
    "no line the same": (numbered("a{}", 90_000), numbered("b{}", 90_000)),
    "the other way round": (numbered("{}", 9000), "\n".join(numbered("{}", 9000).split()[::-1])),
    "few lines again and again": ("a\nb\n" * 4900, "b\na\na\n" * 3200),
    "one long line": ("x" * 1_000_000, "y" * 1_000_000),
    "empty lines": ("\n" * 1_000_000, "\n" * 900_000 + "x"),
    "in another order": (numbered("{}", 9900, 7919), numbered("{}", 9900, 104_729)),
}


@pytest.mark.parametrize("texts", HOSTILE.values(), ids=HOSTILE)
def test_no_comparison_takes_long(texts: tuple[str, str]) -> None:
    old, new = (Job(filename="a.cu", source=text) for text in texts)
    began = time.thread_time()
    (found,) = difference.between(old, new)
    assert time.thread_time() - began < 3
    assert found.lines or found.words


def test_a_large_file_with_a_small_change_is_compared() -> None:
    lines = [f"int x{n};" for n in range(50_000)]
    changed = [*lines[:25_000], "new", *lines[25_001:]]
    old, new = (Job(filename="a.cu", source="\n".join(text)) for text in (lines, changed))
    (found,) = difference.between(old, new)
    assert [line.text for line in found.lines if line.kind in ("gone", "new")] == [
        "int x25000;",
        "new",
    ]
    assert found.lines[0].text == "line 24998, which was line 24998"


def test_an_attempt_that_is_not_over_has_no_logs_yet(
    ta: Client, alice: User, gpu1: Executor
) -> None:
    job = submit(alice)
    claiming.claim(gpu1)
    assert Attempt.objects.count() == 1
    assert ta.get(f"{JOBS}{job.pk}/attempts/1/execute-log.txt").content == b""
