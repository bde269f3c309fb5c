"""What the students' pages show, and to whom; what a program prints is text on them."""

import re
from typing import Any

import pytest
from django.db import OperationalError, connection

from accounts.models import Executor, User
from jobs import cancelling, claiming, reporting
from jobs.models import Attempt, Job
from jobs.states import Phase
from tests.support.admin import Https, run, submit
from tests.support.api import Api
from tests.support.pages import log_in

HOSTILE = (
    b"</pre></script><script>alert(1)</script><img src=x onerror=alert(1)>\n"
    b"nul \0 bell \a bad \xff\xfe\n\xe2\x80\xaeright to left\xe2\x80\xac\n"
    b"\x1b[31mred\x1b[0m \x1b]0;title\a {{ 7|add:7 }} &lt;b&gt; 10%\r20%\n"
)


def text_of(answer: Any) -> str:
    assert answer.status_code == 200, (answer.status_code, answer.content)
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return content.decode()


def pages_of(job: Job) -> list[str]:
    """All of one job, with one of its logs, files and sources."""
    of_job = ("", "/state", "/logs", "/events", "/cancel", "/source", f"/source/{job.filename}")
    logs = [f"/attempts/1/{log}-log.txt" for log in ("compile", "execute")]
    return [f"/jobs/{job.pk}{rest}" for rest in (*of_job, *logs, "/files/image.ppm")]


# --- Who sees them -----------------------------------------------------------------------


def test_nobody_sees_a_job_without_a_log_in(alice: User, gpu1: Executor) -> None:
    job = submit(alice)
    run(gpu1, execute_log=b"a secret")
    stranger = Https()
    for path in pages_of(job):
        answer = stranger.get(path)
        assert answer.status_code == (403 if path.endswith("events") else 302), path
        assert b"secret" not in answer.content
    part = stranger.get(f"/jobs/{job.pk}/state", headers={"HX-Request": "true"})
    assert (part.status_code, part["HX-Redirect"], part.content) == (403, "/login", b"")
    assert stranger.post(f"/jobs/{job.pk}/cancel").status_code == 302
    assert Job.objects.get().state == "finished"


def test_another_student_does_not_find_it(alice: User, bob: User, gpu1: Executor) -> None:
    waiting = submit(alice, name="hers.cu")
    other = log_in(bob)
    for path in pages_of(waiting):
        answer = other.get(path)
        assert answer.status_code == 404, path
        assert b"hers" not in answer.content
    assert other.post(f"/jobs/{waiting.pk}/cancel").status_code == 404
    assert Job.objects.get().state == "queued"
    assert "hers" not in text_of(other.get("/"))


@pytest.mark.parametrize("path", ["/jobs", "/jobs/{}/state", "/jobs/{}/logs"])
def test_a_part_that_somebody_opens_leads_to_the_whole(path: str, alice: User) -> None:
    job = submit(alice)
    answer = log_in(alice).get(path.format(job.pk), headers={"Sec-Fetch-Mode": "navigate"})
    assert answer.status_code == 302
    assert answer["Location"] == ("/" if path == "/jobs" else f"/jobs/{job.pk}")


@pytest.mark.parametrize("path", ["/jobs/99", "/jobs/" + "9" * 30, "/jobs/99/state", "/nothing"])
def test_what_is_not_there(alice: User, path: str) -> None:
    answer = log_in(alice).get(path)
    assert answer.status_code == 404
    assert "nothing at this address" in answer.content.decode()


# --- What they show ----------------------------------------------------------------------

STATES = {
    "finished": ("✓", "succeeded"),
    "superseded": ("✓", "succeeded"),
    "failed": ("!", "could not be run"),
    "cancelled": ("■", "cancelled"),
    "expired": ("■", "cancelled"),
    "running": ("▶", "running"),
    "queued": ("…", "waiting, next in the queue"),
}


def test_every_state_has_its_words(every_state: dict[str, Job], alice: User) -> None:
    browser = log_in(alice)
    listed = text_of(browser.get("/"))
    for name, (mark, words) in STATES.items():
        page = text_of(browser.get(f"/jobs/{every_state[name].pk}"))
        assert f"<title>{mark} job {every_state[name].pk} {words} · Telerun</title>" in page
        assert f">{mark}</span> {words}" in listed
        part = text_of(browser.get(f"/jobs/{every_state[name].pk}/state"))
        assert f"<title>{mark} job" in part, "the tab follows"
        assert "<html" not in part
    newest = every_state["queued"].pk
    assert f"<title>… job {newest} waiting" in text_of(browser.get("/jobs"))


def test_a_result(alice: User, gpu1: Executor) -> None:
    job = submit(alice)
    gpu = {"name": "NVIDIA H100", "throttled": ["heat"]}
    more = {"gpu": gpu, "execute_memory_bytes": 5 << 20, "compiled_before": True}
    beside = [{"name": "results.txt", "size": 12 << 10}, {"name": "frames/"}, "nonsense"]
    more |= {"files_beside": beside, "more_files_beside": 5}
    run(
        gpu1,
        outcome="runtime_error",
        signal=11,
        compile_seconds=1.934,
        execute_seconds=0.0421,
        details={**more, "files_left_out": [{"name": "big.bin", "reason": "too large"}]},
    )
    page = text_of(log_in(alice).get(f"/jobs/{job.pk}"))
    for words in (
        "failed", "It was killed by signal 11, SIGSEGV.", "1.93 s (compiled before)", "42.1 ms",
        "NVIDIA H100, slowed down by heat", "gpu1", "5 MiB", "Not kept: big.bin: too large",
        "Not kept: results.txt (12 KiB): written beside the program", "Not kept: frames/: written",
        "Not kept: and 5 more",
    ):  # fmt: skip
        assert words in page


@pytest.mark.parametrize(
    ("left_out", "more", "bytes_left_out", "words"),
    [
        (0, 0, 0, "succeeded"),
        (1, 0, 0, "succeeded, but 1 of 1 file was left out"),
        (3, 2, 0, "succeeded, but 5 of 5 files were left out"),
        (0, 0, 9542041, "succeeded, but 9.1 MiB of output was left out"),
        (1, 0, 5000, "succeeded, but 1 of 1 file and 4.88 KiB of output were left out"),
    ],
)
def test_what_is_left_out_stands_in_the_verdict(
    alice: User, gpu1: Executor, left_out: int, more: int, bytes_left_out: int, words: str
) -> None:
    """As in the last line of submit.py."""
    job = submit(alice)
    note = b"\n[... %d bytes left out ...]\n" % bytes_left_out if bytes_left_out else b""
    log = b"x" * 75 + note + b"x" * 25
    files = [{"name": f"f{number}", "reason": "too large"} for number in range(left_out)]
    details = {"files_left_out": files, "more_files_left_out": more}
    run(gpu1, outcome="succeeded", execute_log=log, details=details)
    browser = log_in(alice)
    for path in (f"/jobs/{job.pk}", f"/jobs/{job.pk}/state"):
        page = text_of(browser.get(path))
        assert f'<span id="headline">{words}</span>' in page
        assert ("write it to a file in <code>out/" in page) is bool(bytes_left_out)


def test_attempts_in_words(every_state: dict[str, Job], alice: User) -> None:
    browser = log_in(alice)
    failed = text_of(browser.get(f"/jobs/{every_state['failed'].pk}"))
    assert failed.count("on gpu1: the host gave it back: the disk is full") == 3
    assert "3 hosts were lost with it. Tell the course staff." in failed
    lost = text_of(browser.get(f"/jobs/{every_state['expired'].pk}"))
    assert "on gpu1: the host was lost" in lost
    again = text_of(browser.get(f"/jobs/{every_state['superseded'].pk}"))
    assert "the course staff had it run again" in again


def test_why_it_waits(alice: User, gpu1: Executor) -> None:
    job = submit(alice)
    page = text_of(log_in(alice).get(f"/jobs/{job.pk}"))
    assert "No GPU host is connected. The job stays here" in page
    assert "no host" in text_of(log_in(alice).get("/")).lower()


def test_the_list_is_in_pages(alice: User, settings: Any) -> None:
    settings.TELERUN_MAX_QUEUED_PER_USER = settings.TELERUN_SUBMITS_PER_MINUTE = 99
    for _ in range(30):
        submit(alice)
    browser = log_in(alice)
    seen, path = [], "/"
    while path:
        page = text_of(browser.get(path))
        seen += re.findall(r'href="/jobs/(\d+)"', page)
        older = re.search(r'id="older" href="([^"]+)"', page)
        path = older[1] if older else ""
    ids = Job.objects.order_by("-pk").values_list("pk", flat=True)
    assert [int(number) for number in seen] == list(ids)
    for odd in ("x", "-1", "9" * 40, "٣"):
        assert browser.get("/", {"before": odd}).status_code == 200


def test_the_source_with_its_lines(as_alice: Api, alice: User) -> None:
    source = "line one\n<b>&amp;</b>\n\ttab\nlast"
    files = {"sources": {"src/k.cu": "kernel\n"}, "includes": {"h.cuh": "// \u202ex\n"}}
    job = as_alice.submit(source, filename="lab.cu", **files)
    browser = log_in(alice)
    page = text_of(browser.get(f"/jobs/{job['id']}/source"))
    lines = re.findall(r'<span class="line" id="1-(\d+)">([^\n]*)\n</span>', page)
    assert lines == [("1", "line one"), ("2", "&lt;b&gt;&amp;amp;&lt;/b&gt;"), ("3", "\ttab"),
                     ("4", "last")]  # fmt: skip
    assert "src/k.cu" in page
    assert "\u202e" not in page
    answer = browser.get(f"/jobs/{job['id']}/source/src/k.cu")
    assert (answer.content, answer["Content-Disposition"]) == (
        b"kernel\n",
        'attachment; filename="k.cu"',
    )
    assert browser.get(f"/jobs/{job['id']}/source/other.cu").status_code == 404


def test_a_source_is_cut_where_it_would_be_too_much(as_alice: Api, alice: User) -> None:
    job = as_alice.submit("\n" * 6000 + "x" * 9000)
    page = text_of(log_in(alice).get(f"/jobs/{job['id']}/source"))
    assert page.count('class="line"') == 5000
    assert "5000 lines of 2000 characters, at most" in page


def test_many_files_are_no_longer_page_than_one(as_alice: Api, alice: User) -> None:
    files = {f"{number:03}.h": "\n" * 3000 for number in range(100)}
    job = as_alice.submit("int main() {}", includes=files)
    page = text_of(log_in(alice).get(f"/jobs/{job['id']}/source"))
    assert page.count('class="line"') == 5000
    assert page.count("Not all of it is shown") == 99, "but of the main one and the first"
    assert page.count(">Download<") == 101


def test_long_arguments_are_cut_on_pages(as_alice: Api, alice: User) -> None:
    job = as_alice.submit("int main() {}", args=["a" * 4096, *["\U0001f600" * 4096] * 99])
    browser = log_in(alice)
    for path in ("/", f"/jobs/{job['id']}"):
        page = text_of(browser.get(path))
        assert 100 < page.count("a" * 10) * 10 + page.count("\U0001f600") < 250
        assert "…" in page


def test_large_answers_are_counted_until_they_are_taken(
    alice: User, gpu1: Executor, settings: Any
) -> None:
    settings.TELERUN_MAX_BODY_BYTES = 100_000
    job = submit(alice)
    run(gpu1, execute_log=b"x" * 90_000)
    browser = log_in(alice)
    path = f"/jobs/{job.pk}/attempts/1/execute-log.txt"
    first, second, refused = (browser.get(path) for _ in range(3))
    assert (refused.status_code, "too much at once" in refused.content.decode()) == (429, True)
    assert browser.get("/").status_code == 200
    assert first["Content-Length"] == "90000"
    assert b"".join(first.streaming_content) == b"x" * 90_000
    third = browser.get(path)
    assert third.status_code == 200
    for answer in (second, third):
        assert b"".join(answer.streaming_content) == b"x" * 90_000


# --- What programs print -----------------------------------------------------------------


def test_what_is_printed_is_text(alice: User, gpu1: Executor) -> None:
    job = submit(alice)
    run(gpu1, compile_log=b"<i>warning</i>", execute_log=HOSTILE)
    page = text_of(log_in(alice).get(f"/jobs/{job.pk}"))
    assert "<i>warning" not in page
    assert "&lt;i&gt;warning" in page
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "{{ 7|add:7 }}" in page
    assert r"nul \x00 bell \x07 bad \xff\xfe" in page
    assert r"\u202eright to left" in page
    log = page[page.index('id="execute-log"') :]
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\udc80-\udcff]", log)


def test_a_program_that_is_named_to_harm(as_alice: Api, alice: User) -> None:
    job = as_alice.submit("x", filename="<img src=x>.cu", args=["<b>", "a\x1b[2Jb", "\u202e"])
    browser = log_in(alice)
    for path in ("/", f"/jobs/{job['id']}", f"/jobs/{job['id']}/cancel"):
        page = text_of(browser.get(path))
        assert "<img src=x>" not in page
        assert "&lt;img src=x&gt;.cu" in page
        assert not re.search("[\x1b\u202e]", page)


def test_a_long_log_is_shown_from_its_end_and_downloaded_whole(alice: User, gpu1: Executor) -> None:
    job = submit(alice)
    content = b"".join(b"line %06d\n" % n for n in range(40000))
    run(gpu1, execute_log=content, compile_log=content)
    browser = log_in(alice)
    page = text_of(browser.get(f"/jobs/{job.pk}"))
    compiler, output = page[page.index('id="compile-log"') :].split('id="execute-log"')
    assert "line 039999" in output
    assert "line 000000" not in output
    assert "line 000000" in compiler
    assert page.count("are left out: see the raw log") == 2
    assert len(page) < 400_000
    answer = browser.get(f"/jobs/{job.pk}/attempts/1/execute-log.txt")
    assert b"".join(answer.streaming_content) == content


def test_downloads_are_never_shown(as_alice: Api, as_gpu1: Api, alice: User) -> None:
    job = as_alice.submit(filename="prog.cu")
    claimed = as_gpu1.claim()
    as_gpu1.send_file(claimed, "page.html", b"<script>alert(1)</script>")
    listed = [{"name": "page.html", "size": 25}]
    as_gpu1.finish(claimed, execute_log="<script>", files=listed)
    browser = log_in(alice)
    page = text_of(browser.get(f"/jobs/{job['id']}"))
    assert f'href="/jobs/{job["id"]}/files/page.html"' in page
    of_job = f"/jobs/{job['id']}"
    for path in ("/files/page.html", "/attempts/1/execute-log.txt", "/source/prog.cu"):
        answer = browser.get(of_job + path)
        assert answer.status_code == 200, path
        assert answer["Content-Type"] == "application/octet-stream"
        assert answer["Content-Disposition"].startswith("attachment; filename=")
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Content-Security-Policy"] == "sandbox; default-src 'none'"
        assert "no-store" in answer["Cache-Control"]
    answer = browser.get(f"{of_job}/files/page.html")
    assert b"".join(answer.streaming_content) == b"<script>alert(1)</script>"
    for missing in ("/files/other.txt", "/files/..", "/attempts/2/execute-log.txt",
                    "/attempts/99999999/execute-log.txt", "/attempts/1/other-log.txt"):  # fmt: skip
        assert browser.get(of_job + missing).status_code == 404, missing


# --- Cancelling --------------------------------------------------------------------------


def test_cancelling_is_asked_and_done(alice: User, gpu1: Executor) -> None:
    job = submit(alice)
    browser = log_in(alice)
    assert "It leaves the queue." in text_of(browser.get(f"/jobs/{job.pk}/cancel"))
    assert Job.objects.get().state == "queued", "asking alone does nothing"
    answer = browser.post(f"/jobs/{job.pk}/cancel")
    assert answer["Location"] == f"/jobs/{job.pk}"
    assert Job.objects.get().state == "cancelled"
    assert browser.post(f"/jobs/{job.pk}/cancel").status_code == 302, "it is over already"
    assert browser.get(f"/jobs/{job.pk}/cancel").status_code == 302
    assert 'id="cancel"' not in text_of(browser.get(f"/jobs/{job.pk}"))


def test_a_running_job_is_told_to_stop(alice: User, gpu1: Executor) -> None:
    job = submit(alice)
    attempt = claiming.claim(gpu1)
    reporting.heartbeat(gpu1, attempt.pk, attempt.lease_token, Phase.EXECUTING)
    browser = log_in(alice)
    assert "It is stopped" in text_of(browser.get(f"/jobs/{job.pk}/cancel"))
    browser.post(f"/jobs/{job.pk}/cancel")
    assert Job.objects.get().cancel_requested_at
    page = text_of(browser.get(f"/jobs/{job.pk}"))
    assert "running, being cancelled" in page
    assert 'id="cancel"' not in page


def test_what_a_cancelled_job_printed_is_shown(alice: User, gpu1: Executor) -> None:
    job = submit(alice)
    attempt = claiming.claim(gpu1)
    cancelling.cancel(job.pk, "alice")
    reporting.release(gpu1, attempt.pk, attempt.lease_token, "cancelled")
    Attempt.objects.update(execute_log=b"step 1\n")
    assert "step 1" in text_of(log_in(alice).get(f"/jobs/{job.pk}"))


# --- Headers -----------------------------------------------------------------------------

POLICY = {
    "default-src": "'self'", "script-src": "'self'", "style-src": "'self'", "object-src": "'none'",
    "base-uri": "'none'", "form-action": "'self'", "frame-ancestors": "'none'",
}  # fmt: skip


def policy_of(answer: Any) -> dict[str, str]:
    parts = answer["Content-Security-Policy"].split(";")
    return dict(part.strip().partition(" ")[::2] for part in parts)


def test_every_page_has_its_policy_and_is_kept_by_nobody(alice: User, gpu1: Executor) -> None:
    submit(alice)
    browser = log_in(alice)
    ordinary = ["/", "/jobs", "/jobs/1", "/jobs/1/state", "/jobs/1/logs", "/jobs/1/source",
                "/jobs/1/cancel", "/login", "/link"]  # fmt: skip
    ids = Job.objects.get().pk
    for path in ordinary:
        answer = browser.get(path.replace("/jobs/1", f"/jobs/{ids}"))
        assert answer.status_code in (200, 302), path
        assert "no-store" in answer["Cache-Control"], path
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Referrer-Policy"] == "same-origin"
        assert answer["X-Frame-Options"] == "DENY"
        policy = policy_of(answer)
        assert {name: policy[name] for name in POLICY} == POLICY, path
        assert "unsafe" not in answer["Content-Security-Policy"]


def test_errors_have_it_too(alice: User, settings: Any, monkeypatch: Any) -> None:
    strict = Https(enforce_csrf_checks=True, raise_request_exception=False)
    browser = log_in(alice)
    browser.raise_request_exception = False
    answers = [browser.get("/nothing"), strict.post("/login"), browser.put("/login")]
    monkeypatch.setattr("pages.showing.listed", lambda *_: 1 / 0)
    answers.append(browser.get("/"))
    settings.ALLOWED_HOSTS = ["queue.example.edu"]
    answers.append(browser.get("/"))
    assert [answer.status_code for answer in answers] == [404, 403, 405, 500, 400]
    for answer in answers:
        assert policy_of(answer)["default-src"] == "'self'"


def test_a_database_that_is_away_is_said_on_a_page(alice: User, monkeypatch: Any) -> None:
    def away(*_: Any) -> None:
        raise OperationalError

    browser = log_in(alice)
    monkeypatch.setattr("pages.showing.listed", away)
    monkeypatch.setattr(connection, "close", lambda: None)  # it is this test's
    answer = browser.get("/", headers={"Accept": "text/html,*/*"})
    assert (answer.status_code, answer["Retry-After"]) == (503, "2")
    assert "<h1>Not now</h1>" in answer.content.decode()
    assert "Try again in 2 seconds." in answer.content.decode()
    assert browser.get("/")["Content-Type"] == "application/problem+json"


def test_nothing_in_a_page_needs_more_than_the_policy_allows(
    every_state: dict[str, Job], alice: User
) -> None:
    """No script, style or handler stands in it, and nothing comes from elsewhere."""
    browser = log_in(alice)
    job = every_state["finished"].pk
    paths = ["/", f"/jobs/{job}", f"/jobs/{job}/source", "/link", "/nothing"]
    live = every_state["running"].pk
    for path in (*paths, f"/jobs/{live}", f"/jobs/{live}/cancel"):
        page = browser.get(path).content.decode()
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page), path
        for script in re.findall(r"<script[^>]*>(.*?)</script>", page):
            assert script == ""
        assert not re.search(r'(src|href)="(?!/|#)', page), path


def test_only_the_api_has_no_policy(db: None) -> None:
    assert "default-src 'self'" in Https().get("/admin/login/")["Content-Security-Policy"]
    assert "Content-Security-Policy" not in Api(None).get("/jobs")
