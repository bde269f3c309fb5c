"""What a student sees on a terminal of real programs, from a real queue, executor and compiler."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import need
from tests.support.processes import NVCC, World
from tests.support.rendered import Rendered
from tests.support.students import Student

pytestmark = [pytest.mark.once, pytest.mark.end_to_end]

ERROR = '#include "sub/a.cuh"\nint main() {\n    int x = 3\n    return x;\n}\n'
COLOURS = r"""
#include <cstdio>
#include <unistd.h>
int main() {
    printf("\033[32mPASS\033[0m first\n");
    for (int n = 0; n <= 100; n += 50) {
        printf("\r%3d %%", n);
        fflush(stdout);
        usleep(300000);
    }
    printf("\n\033[2Jend\n");
}
"""
CRASH = "int main() { volatile int *p = nullptr; return *p; }\n"


def seen(world: World, auth: Path, *arguments: Any) -> tuple[int, Rendered]:
    """Of submit.py on a terminal: its exit status, and what is on the screen at its end."""
    student = Student(world, auth, *arguments, columns=100, TERM="xterm-256color", NO_COLOR="")
    status = student.wait(120)
    return status, Rendered(student.out, 100)


@pytest.mark.hardening
@pytest.mark.long(20)
def test_a_students_first_evening(world: World) -> None:
    if not Path(NVCC).exists():
        need("nvcc")
    alice = world.user("alice")
    world.start_server()
    world.start_executor(world.executor("gpu1"))
    (world.folder / "labs/sub").mkdir(parents=True)
    world.source("int f() { return undefined; }\n", "labs/sub/a.cuh")
    world.source(ERROR, "labs/err.cu")
    status, screen = seen(world, alice, os.path.join("..", world.folder.name, "labs/err.cu"))
    at = f"../{world.folder.name}/labs"
    assert status == 1
    assert f'{at}/sub/a.cuh:1: error: identifier "undefined" is undefined' in screen.lines
    assert any(line.startswith(f"{at}/err.cu:4: error: expected a") for line in screen.lines)
    first = f'✗ 2 errors; the first: {at}/sub/a.cuh:1: identifier "undefined" is undefined'
    assert first.split()[:4] == ["✗", "2", "errors;", "the"]
    assert first in " ".join(screen.lines)

    for again in (False, True):
        world.source(COLOURS, "labs/colours.cu")
        status, screen = seen(world, alice, "labs/colours.cu")
        assert status == 0
        begin = screen.lines.index("--- program ---")
        assert screen.lines[begin + 1 : begin + 4] == ["PASS first", "100 %", r"\x1b[2Jend"]
        assert [screen.look(text).fg for text in ("PASS", "first")] == ["green", "default"]
        last = " ".join(screen.lines[begin + 4 :])
        compiled = r"compiled before \(cached\)" if again else r"compiled in \S+ m?s"
        memory = r"peak memory \S+ [KM]iB"
        form = (
            rf"--- job \d succeeded: {compiled}, ran in \S+ m?s, {memory}, on gpu1 --- The logs.*"
        )
        assert re.fullmatch(form, last), last

    world.source(CRASH, "labs/crash.cu")
    status, screen = seen(world, alice, "labs/crash.cu")
    assert status == 1
    words = " ".join(screen.lines)
    assert "failed (killed by signal 11, SIGSEGV): compiled in" in words
    assert "What this often means: The host's part used a wrong address." in words
    assert not re.search("compiling on|running on|waiting for", words)
