"""`python -m tests.captures [NAME...]`: pictures of terminals and pages, to be looked at.

All go to build/captures as PNG; with --keep, those that the documents show go to docs/images,
terminals as SVG.
"""

import argparse
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.captures.browser import Browser
from tests.captures.pages import PAGES, Page, capture_page, log_in
from tests.captures.scenes import SCENES, Do, Edit, End, Press, Scene, Seen, Type
from tests.captures.staff import capture_staff
from tests.captures.stage import Stage
from tests.captures.svg import svg
from tests.captures.terminal import Terminal
from tests.support.processes import ROOT, run

IMAGES = ROOT / "docs" / "images"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.captures", description=__doc__)
    parser.add_argument("names", nargs="*", help="only these; a beginning of a name will do")
    parser.add_argument("--into", type=Path, default=ROOT / "build" / "captures")
    parser.add_argument("--keep", action="store_true", help="renew docs/images too")
    options = parser.parse_args()
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        print("Pictures are made by Chromium: apt install chromium chromium-driver")
        return 1
    options.into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="telerun-captures-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # for sandboxes, which are other users
        with Browser(folder, chromium, driver) as browser:
            done = capture_staff(browser, folder / "staff", options)
        if options.names and all(name.startswith("admin") for name in options.names):
            make_index(options.into)
            return int(not all(done))
        with (
            new_folder(folder) as alices,
            Browser(folder, chromium, driver) as browser,
            Stage(folder / "world", alices) as stage,
        ):
            done += [capture(one, n, stage, browser, options) for n, one in enumerate(SCENES, 1)]
            done += capture_pages(stage, browser, options)
    make_index(options.into)
    return int(not all(done))


@contextmanager
def new_folder(otherwise: Path) -> Iterator[Path]:
    """Alice's, which is gone afterwards: the same each time, unless something is there."""
    folder = Path("/tmp/alice")
    try:
        folder.mkdir()
    except FileExistsError:
        folder = otherwise / "alice"
        folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def capture(
    scene: Scene, place: int, stage: Stage, browser: Browser, options: argparse.Namespace
) -> bool:
    """Makes a scene's picture; whether that went as it says."""
    if not is_wanted(scene.name, options):
        return True
    if scene.needs and scene.needs not in help_of(stage):
        print(f"{scene.name}: left out, since this submit.py has no {scene.needs}")
        return True
    stage.number_jobs_from(10 * place + 1)
    try:
        play(scene, 10 * place + 1, stage, browser, options)
    except (AssertionError, OSError) as error:
        print(f"{scene.name}: FAILED: {error}")
        return False
    finally:
        stage.others_leave()
    return True


def is_wanted(name: str, options: argparse.Namespace) -> bool:
    return not options.names or any(name.startswith(wanted) for wanted in options.names)


def play(
    scene: Scene, number: int, stage: Stage, browser: Browser, options: argparse.Namespace
) -> None:
    """Sets the scene, runs it, and writes its picture."""
    stage.others_submit(scene.others)
    for one in scene.first:
        stage.edit(*one) if isinstance(one, Edit) else stage.submit_first(*one)
    number += sum(not isinstance(one, Edit) for one in scene.first)
    line = re.sub(r"\{job-(\d)\}", lambda found: str(number - int(found[1])), scene.line)
    terminal = Terminal(line, scene.columns, scene.rows, stage.folder, stage.environment)
    try:
        for step in scene.steps:
            take(step, terminal, stage)
        if terminal.is_over:
            terminal.prompt_again()
        cursor = terminal.screen.cursor
        text = svg(terminal.rows(), line, (cursor.x, cursor.y))
    finally:
        terminal.close()
    write(scene, text, browser, options)


def take(step: object, terminal: Terminal, stage: Stage) -> None:
    if isinstance(step, Seen):
        terminal.wait_until_seen(step.words)
    elif isinstance(step, Press):
        terminal.press(step.keys)
    elif isinstance(step, Type):
        terminal.press(step.what(stage) + b"\n")
    elif isinstance(step, Do):
        step.what(stage)
    elif isinstance(step, End):
        terminal.wait_until_over()


def write(scene: Scene, text: str, browser: Browser, options: argparse.Namespace) -> None:
    drawn = options.into / f"{scene.name}.svg"
    drawn.write_text(text)
    width, height = size_of(text)
    browser.svg_as_png(drawn, options.into / f"{scene.name}.png", width, height)
    if options.keep and scene.is_kept:
        IMAGES.mkdir(exist_ok=True)
        shutil.copy(drawn, IMAGES / f"submit-{scene.name}.svg")
    print(f"{scene.name}: {drawn.with_suffix('.png')}")


def capture_pages(stage: Stage, browser: Browser, options: argparse.Namespace) -> list[bool]:
    """The student's pages; whether each went as it says."""
    wanted = [page for page in PAGES if is_wanted(f"page-{page.name}", options)]
    if not wanted:
        return []
    if not log_in(browser, stage, options.into):
        print("pages: left out, since this queue has none for students")
        return []
    return [capture_one(page, stage, browser, options) for page in wanted]


def capture_one(page: Page, stage: Stage, browser: Browser, options: argparse.Namespace) -> bool:
    stage.number_jobs_from(1000 + 10 * PAGES.index(page))
    try:
        kept = capture_page(page, browser, stage, options.into)
    except (AssertionError, OSError) as error:
        print(f"page-{page.name}: FAILED: {error}")
        return False
    finally:
        stage.others_leave()
    if options.keep:
        for picture in kept:
            shutil.copy(picture, IMAGES)
    print(f"page-{page.name}: {options.into}")
    return True


def make_index(folder: Path) -> None:
    """A page with all pictures, to look at them side by side."""
    shown = "".join(
        f"<figure><figcaption>{path.stem}</figcaption><img src={path.name}></figure>"
        for path in sorted(folder.glob("*.png"))
    )
    style = "body{display:flex;flex-wrap:wrap;align-items:start;font:14px sans-serif}"
    (folder / "index.html").write_text(f"<!doctype html><style>{style}</style>{shown}")


def size_of(text: str) -> tuple[int, int]:
    """Of a picture, as it says itself."""
    found = re.search(r'width="(\d+)" height="(\d+)"', text)
    assert found
    return int(found[1]), int(found[2])


def help_of(stage: Stage) -> str:
    done = run(["python3", "submit.py", "--help"], cwd=stage.folder, env=stage.environment)
    return done.out


if __name__ == "__main__":
    sys.exit(main())
