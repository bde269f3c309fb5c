"""`submit.py --web`, as far as it goes without a browser; with one, test_pages_in_a_browser.py."""

import os
import re
from pathlib import Path

import pytest

from tests.support.processes import World, pythons, run
from tests.support.students import Student

pytestmark = [pytest.mark.end_to_end, pytest.mark.once]

NO_SCREEN = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "BROWSER": ""}


def noting_browser(folder: Path) -> str:
    """A stub of a browser, which notes how it was called."""
    stub = folder / "stub-browser"
    stub.write_text(f'#!/bin/sh\necho "$@" >>{folder}/seen\n')
    stub.chmod(0o755)
    return str(stub)


@pytest.fixture
def alice(world: World) -> Path:
    auth = world.user("alice")
    world.start_server()
    return auth


def test_where_no_browser_can_be_opened_it_says_where_the_page_is(
    world: World, alice: Path
) -> None:
    for python in pythons()[:1] + pythons()[-1:]:
        student = Student(world, alice, "--web", python=python, **NO_SCREEN)
        assert student.wait() == 0
        assert student.err == (
            f"Your page is {world.server_url}/\n"
            "No browser can be opened from here; log in there with the name and the token in "
            f"{alice}\n"
        )
    assert not (world.folder / "telerun-out").exists(), "no link was asked for"
    student = Student(world, alice, "--web", **{**NO_SCREEN, "BROWSER": "/nowhere/browser"})
    assert student.wait() == 0
    assert "No browser can be opened from here" in student.err
    assert "Traceback" not in student.err


def test_a_terminal_without_a_browser_gets_the_link(world: World, alice: Path) -> None:
    """As over ssh: it works once, and only who sits there sees it."""
    student = Student(world, alice, "--web", columns=200, **NO_SCREEN)
    assert student.wait() == 0
    told = student.out.decode()
    assert re.search(rf"^{re.escape(world.server_url)}/\S*#\S{{20,}}\r?$", told, re.MULTILINE), told
    assert str(alice) in told
    assert not (world.folder / "telerun-out").exists()


def test_what_lies_where_the_link_goes_is_not_written_to(world: World, alice: Path) -> None:
    mine, folder = world.folder / "mine", world.folder / "telerun-out"
    mine.write_text("mine")
    folder.mkdir()
    (folder / "open-page.html").symlink_to(mine)
    browser = noting_browser(world.folder)
    for _ in range(2):  # the second takes the place of the first
        student = Student(world, alice, "--web", BROWSER=browser)
        assert student.wait() == 0, student.err
    assert mine.read_text() == "mine"
    assert not (folder / "open-page.html").is_symlink()
    (folder / "open-page.html").unlink()
    (folder / "open-page.html").mkdir()
    (world.folder / "seen").unlink()
    student = Student(world, alice, "--web", BROWSER=browser)
    assert student.wait() == 0
    assert "open-page.html cannot be written: " in student.err
    assert f"Your page is {world.server_url}/" in student.err

    world.aside("telerun_auth", "revoke-user-token", "alice")
    student = Student(world, alice, "--web", BROWSER=browser)
    assert student.wait() == 3
    assert "does not accept the token" in student.err
    assert not (world.folder / "seen").exists()


def test_it_goes_with_nothing_else(world: World) -> None:
    environment = {**os.environ, **NO_SCREEN}
    done = run([*pythons()[:1], "submit.py", "--web", "prog.cu"], env=environment)
    assert done.status == 2
    assert "--web stands alone, without prog.cu" in done.err
    done = run([*pythons()[:1], "submit.py", "--web", "--attach", "1"], env=environment)
    assert (done.status, "not allowed with argument" in done.err) == (2, True)
