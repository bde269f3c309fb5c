"""The students' pages in a real browser, Chromium, against the real gunicorn over TLS."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.conftest import need
from tests.support.browser import PHONE, WIDE, Browser, programs
from tests.support.live import Ports, StubExecutor
from tests.support.processes import World, wait_for
from tests.support.students import Student

pytestmark = [pytest.mark.end_to_end, pytest.mark.once]

HOSTILE = (
    b"<script>document.title='harm'</script></pre><img src=x onerror=\"document.title='harm'\">\n"
    b"<a href=javascript:alert(1)>a</a><style>*{display:none}</style><svg onload=alert(1)>\n"
    b"nul \0 bell \a bad \xff\xfe\n\xe2\x80\xaeright to left\xe2\x80\xac\n"
    b"\x1b]0;harm\a\x1b[2J\x1b[1;31mred\x1b[0m plain\n 10%\r 20%\r100%\nab\bc\n\xf0\x9f\x98\x80\n"
)
AS_SHOWN = (
    "<script>document.title='harm'</script></pre><img src=x onerror=\"document.title='harm'\">\n"
    "<a href=javascript:alert(1)>a</a><style>*{display:none}</style><svg onload=alert(1)>\n"
    "nul \\x00 bell \\x07 bad \\xff\\xfe\n\\u202eright to left\\u202c\n"
    "\\x1b]0;harm\\x07\\x1b[2Jred plain\n100%\nac\n\N{GRINNING FACE}\n"
)


@pytest.fixture
def alice(world: World) -> Path:
    need("Chromium with its driver (chromium, chromium-driver)", programs())
    auth = world.user("alice")
    world.start_server()
    return auth


@pytest.fixture
def browser(world: World, alice: Path) -> Iterator[Browser]:
    """One in which Alice has logged in."""
    with Browser(world) as browser:
        log_in(browser, alice)
        yield browser


def log_in(browser: Browser, auth: Path) -> None:
    told = json.loads(auth.read_text())
    browser.open("/")
    browser.find("[name=username]").send_keys(told["username"])
    browser.find("[name=token]").send_keys(told["token"])
    browser.press(".login button")
    assert told["username"] in browser.text("header")


def submitted(world: World, auth: Path, source: str = "x", **more: object) -> int:
    status, _, job = world.request(auth, "POST", "/jobs", {"source": source, **more})
    assert status == 201
    return job["id"]


def mark(browser: Browser) -> None:
    browser.driver.execute_script("window.isTheSame = true")


def is_marked(browser: Browser) -> bool:
    """Whether the page was not loaded anew since it was marked."""
    return browser.driver.execute_script("return window.isTheSame === true")


def shown(browser: Browser, css: str) -> str:
    return browser.driver.execute_script(
        "return document.querySelector(arguments[0])?.textContent ?? ''", css
    )


def keys(browser: Browser, *typed: str) -> None:
    ActionChains(browser.driver).send_keys(*typed).perform()


def tab_to(browser: Browser, css: str) -> None:
    """Presses Tab until the focus is there, and can be seen there."""
    for _ in range(40):
        keys(browser, Keys.TAB)
        here = browser.driver.switch_to.active_element
        if here == browser.find(css):
            assert here.value_of_css_property("outline-style") != "none"
            return
    raise AssertionError(f"no way to {css}")


def test_a_job_is_watched_to_its_end_without_a_reload(
    world: World, alice: Path, browser: Browser
) -> None:
    gpu1, ports = world.executor("gpu1"), Ports(world, [world.port])
    browser.requested()
    job = submitted(world, alice, filename="loop.cu", args=["5"])
    browser.open("/")
    mark(browser)
    assert "waiting, next in the queue" in browser.text("#list")
    assert browser.driver.title.startswith(f"… job {job} waiting")
    stub = StubExecutor(ports, gpu1)
    browser.wait_for("#list", "compiling")
    browser.wait_for_title(f"▶ job {job} compiling")
    assert is_marked(browser)

    browser.open(f"/jobs/{job}")
    mark(browser)
    browser.wait_for("#headline", "compiling on gpu1")
    stub.feed(0, b"warning: a\n", "compile")
    browser.wait_for("#compile-live pre", "warning: a")
    beat = {"lease_token": stub.attempt["lease_token"], "phase": "executing"}
    world.request(gpu1, "POST", f"/attempts/{stub.attempt['id']}/heartbeat", beat)
    browser.wait_for("#headline", "running on gpu1")
    browser.wait_for("#news", "running on gpu1")  # said by a screen reader
    stub.feed(0, b"step 1\n")
    browser.wait_for("#execute-live pre", "step 1")
    before = browser.text("[data-elapsed]")
    stub.feed(7, b"step 2\n")
    browser.wait_for("#execute-live pre", "step 1\nstep 2")
    wait_for(lambda: browser.text("[data-elapsed]") != before, "the seconds go on")
    stub.finish(compile_log="warning: a\n", execute_log="step 1\nstep 2\n", execute_seconds=1.31)
    browser.wait_for("#headline", "succeeded")
    browser.wait_for_title(f"✓ job {job} succeeded")
    browser.wait_for("#execute-log", "step 1\nstep 2")
    assert "1.31 s" in browser.text(".facts")
    assert is_marked(browser)
    assert browser.complaints() == []
    asked = browser.requested()
    assert [url for url in asked if not url.startswith(world.server_url)] == []
    assert [url for url in asked if url.endswith(f"/jobs/{job}/events")]


def test_what_a_program_prints_is_shown_and_never_run(
    world: World, alice: Path, browser: Browser
) -> None:
    ports = Ports(world, [world.port])
    job = submitted(world, alice, filename="hostile.cu")
    browser.open(f"/jobs/{job}")
    stub = StubExecutor(ports, world.executor("gpu1"))
    for at in range(0, len(HOSTILE), 7):  # escapes and characters are cut anywhere
        stub.feed(at, HOSTILE[at : at + 7])
    wait_for(lambda: shown(browser, "#execute-live pre") == AS_SHOWN, "it is shown")
    assert_harmless(browser, "#execute-live pre")
    stub.finish(execute_log=HOSTILE.decode("utf-8", "surrogateescape"))
    wait_for(lambda: shown(browser, "#execute-log") == AS_SHOWN, "it is shown once more")
    assert_harmless(browser, "#execute-log")
    browser.open(f"/jobs/{job}")
    assert shown(browser, "#execute-log") == AS_SHOWN
    assert_harmless(browser, "#execute-log")
    assert browser.complaints() == []


def assert_harmless(browser: Browser, css: str) -> None:
    """Nothing of it became an element, ran or changed the page; colours are there."""
    script = """
        const place = document.querySelector(arguments[0]);
        return [
            place.querySelectorAll("*:not(span)").length,
            [...place.querySelectorAll("*")].some((e) => e.attributes.length > 1),
            getComputedStyle(place.querySelector(".sgr-1.bold")).fontWeight,
            document.querySelectorAll("img, svg, style, [onload], [onerror]").length,
        ]"""
    assert browser.driver.execute_script(script, css) == [0, False, "700", 0]
    assert "harm" not in browser.driver.title


def test_a_flood_of_output_leaves_the_page_alive(
    world: World, alice: Path, browser: Browser
) -> None:
    """A line of a megabyte, and a hundred thousand lines."""
    ports = Ports(world, [world.port])
    job = submitted(world, alice)
    browser.open(f"/jobs/{job}")
    stub = StubExecutor(ports, world.executor("gpu1"))
    flood = b"x" * 600_000 + b"\n" * 100_000 + b"the end\n"
    for at in range(0, len(flood), 64 * 1024):
        stub.feed(at, flood[at : at + 64 * 1024])
    # (Not by Selenium's own text, which takes ten seconds for this.)
    wait_for(lambda: shown(browser, "#execute-live pre").endswith("the end\n"), "its end is shown")
    assert "Earlier lines are left out here" in browser.text("#execute-live .left-out")
    count = "return document.querySelectorAll('#execute-live pre *').length"
    assert browser.driver.execute_script(count) < 1000
    assert len(shown(browser, "#execute-live pre")) <= 128 * 1024
    assert browser.driver.execute_script("return document.documentElement.scrollWidth") <= WIDE[0]
    stub.finish(execute_log=flood.decode())
    wait_for(lambda: shown(browser, "#execute-log").endswith("the end\n"), "and once more")
    assert "before this are left out: see the raw log" in browser.text("#logs .left-out")


FAST = """
    const later = window.setTimeout, Stream = window.EventSource;
    window.setTimeout = (call, ms, ...more) => later(call, ms / 20, ...more);
    window.open_streams = 0;
    window.EventSource = class extends Stream {
        constructor(...given) { super(...given); window.open_streams += 1; }
        close() { if (this.readyState !== 2) window.open_streams -= 1; super.close(); }
    };
    Object.defineProperty(document, "hidden", { get: () => window.is_hidden === true });
"""


def test_a_tab_that_nobody_sees_gives_its_stream_up(
    world: World, alice: Path, browser: Browser
) -> None:
    """Its clock runs twenty times as fast. Its title follows; what it missed comes later."""
    ports, gpu1 = Ports(world, [world.port]), world.executor("gpu1")
    job = submitted(world, alice)
    source = {"source": FAST}
    browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", source)
    browser.open(f"/jobs/{job}")
    stub = StubExecutor(ports, gpu1)
    stub.feed(0, b"step 1\n")
    browser.wait_for("#execute-live pre", "step 1")

    def look(is_hidden: bool) -> None:
        script = "window.is_hidden = arguments[0]; document.dispatchEvent(new Event(arguments[1]))"
        browser.driver.execute_script(script, is_hidden, "visibilitychange")

    def streams() -> int:
        return browser.driver.execute_script("return window.open_streams")

    assert streams() == 1
    look(is_hidden=True)
    wait_for(lambda: streams() == 0, "it is given up")
    stub.feed(7, b"step 2\n")
    beat = {"lease_token": stub.attempt["lease_token"], "phase": "executing"}
    world.request(gpu1, "POST", f"/attempts/{stub.attempt['id']}/heartbeat", beat)
    browser.wait_for_title(f"▶ job {job} running")
    assert (streams(), shown(browser, "#execute-live pre")) == (0, "step 1\n")
    look(is_hidden=False)
    wait_for(lambda: shown(browser, "#execute-live pre") == "step 1\nstep 2\n", "it goes on")
    assert streams() == 1
    look(is_hidden=True)
    wait_for(lambda: streams() == 0, "it is given up")
    stub.finish(execute_log="step 1\nstep 2\nstep 3\n")
    browser.wait_for_title(f"✓ job {job} succeeded")
    look(is_hidden=False)
    browser.wait_for("#execute-log", "step 3")


def test_by_keyboard_alone(world: World, alice: Path) -> None:
    """Log in, find the job, cancel it, log out."""
    told, job = json.loads(alice.read_text()), submitted(world, alice)
    with Browser(world) as browser:
        browser.open("/")
        keys(browser, told["username"], Keys.TAB, told["token"], Keys.ENTER)
        browser.wait_for("h1", "Your jobs")
        keys(browser, Keys.TAB)
        assert browser.driver.switch_to.active_element.text == "To the content"
        keys(browser, Keys.ENTER)
        tab_to(browser, f"#job-{job}")
        keys(browser, Keys.ENTER)
        browser.wait_for("h1", f"Job {job}")
        tab_to(browser, "#cancel")
        keys(browser, Keys.ENTER)
        browser.wait_for("h1", f"Cancel job {job}?")
        tab_to(browser, ".danger")
        keys(browser, Keys.ENTER)
        browser.wait_for("#headline", "cancelled")
        assert world.request(alice, "GET", f"/jobs/{job}")[2]["state"] == "cancelled"
        tab_to(browser, "header button")
        keys(browser, Keys.ENTER)
        browser.wait_for("h1", "Log in")


def test_a_page_ends_with_the_token(world: World, alice: Path, browser: Browser) -> None:
    """Whoever looks at it is led to the log-in; another student does not find it."""
    job = submitted(world, alice)
    browser.open(f"/jobs/{job}")
    browser.wait_for("#headline", "waiting")
    world.aside("telerun_auth", "revoke-user-token", "alice")
    browser.wait_for("h1", "Log in")
    bob = world.user("bob")
    log_in(browser, bob)
    browser.open(f"/jobs/{job}")
    assert browser.text("h1") == "Not found"


@pytest.mark.hardening
def test_nobody_is_kept_out(world: World, alice: Path, browser: Browser) -> None:
    """By contrast, names, order or focus: on a wide screen and a phone, light and dark."""
    ports, gpu1 = Ports(world, [world.port]), world.executor("gpu1")
    over = submitted(world, alice, filename="over.cu", args=["1024"])
    stub = StubExecutor(ports, gpu1)
    printed = "".join(f"\x1b[{code}mcolour {code}\x1b[0m\n" for code in (*range(30, 38), 1))
    stub.finish(outcome="runtime_error", exit_code=3, compile_log="w\n", execute_log=printed * 9)
    live = submitted(world, alice, filename="live.cu")
    stub = StubExecutor(ports, gpu1)
    stub.feed(0, b"step 1\n")
    submitted(world, alice, filename="waits.cu")
    found = []
    for size, colours in ((WIDE, "light"), (WIDE, "dark"), (PHONE, "light"), (PHONE, "dark")):
        browser.show_as(size, colours)
        for path in ("/", f"/jobs/{over}", f"/jobs/{live}", f"/jobs/{over}/source",
                     f"/jobs/{live}/cancel", "/nothing", "/link"):  # fmt: skip
            browser.open(path)
            if path == f"/jobs/{live}":
                browser.wait_for("#execute-live pre", "step 1")
            found += [f"{size} {colours} {path}: {barrier}" for barrier in browser.barriers()]
            width = browser.driver.execute_script("return document.documentElement.scrollWidth")
            assert width <= size[0], (path, "is wider than the screen")
    browser.driver.delete_all_cookies()
    browser.open("/login")
    browser.find("[name=username]").send_keys("alice")
    browser.find("[name=token]").send_keys("wrong")
    browser.press(".login button")
    assert "not a Telerun token" in browser.text("#problem")
    found += browser.barriers()
    assert found == []


# --- submit.py --web ---------------------------------------------------------------------


def test_the_terminal_opens_the_page(world: World, alice: Path) -> None:
    """A stub of a browser notes how it was called; the real one opens what it was given."""
    stub, seen = world.folder / "stub-browser", world.folder / "seen"
    stub.write_text(f'#!/bin/sh\necho "$@" >{seen}\n')
    stub.chmod(0o755)
    student = Student(world, alice, "--web", BROWSER=str(stub))
    assert student.wait() == 0, student.err
    assert f"Your page is {world.server_url}/ and a browser was asked to open it." in student.err
    file = Path(seen.read_text().strip().removeprefix("file://"))
    assert file == world.folder / "telerun-out/open-page.html"
    assert file.stat().st_mode & 0o777 == 0o600
    secret = file.read_text().partition("#")[2].partition('"')[0]
    assert len(secret) > 40
    for told in (student.err, seen.read_text(), world.server.told()):
        assert secret not in told
    with Browser(world) as browser:
        browser.driver.get(file.as_uri())
        browser.wait_for("h1", "Your jobs")
        assert "alice" in browser.text("header")
        assert [url for url in browser.requested() if url.startswith("https") and secret in url
                and "#" not in url] == []  # fmt: skip
        browser.driver.back()
        assert secret not in browser.driver.current_url or "file:" in browser.driver.current_url
        browser.driver.get(file.as_uri())  # it works once
        browser.wait_for("#problem", "This link is over")
        assert secret not in browser.driver.page_source
