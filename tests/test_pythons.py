"""The two scripts on the oldest and the newest Python here, as a student meets them: on a terminal,
through a real queue, a real executor, the real compiler and the sandbox."""

from pathlib import Path

import pyte
import pytest

from tests.support.processes import World, pythons
from tests.support.students import Student

pytestmark = [pytest.mark.end_to_end, pytest.mark.once, pytest.mark.hardening]

LAB = r"""#include "steps.cuh"
#include <cstdio>
#include <unistd.h>
int main(int argc, char **argv) {
    for (int n = 1; n <= STEPS; n++) { printf("step %d of %d\n", n, STEPS); usleep(300000); }
    printf("\x1b[32mPASSED\x1b[0m %s\n", argv[1]);
    FILE *file = fopen("out/result.txt", "w");
    fputs("all of it\n", file);
    return fclose(file);
}
"""


def shown(student: Student) -> str:
    """What stands on a terminal that is high enough for all of it."""
    screen = pyte.Screen(80, 200)
    pyte.ByteStream(screen).feed(student.out)
    return "\n".join(line.rstrip() for line in screen.display).rstrip()


@pytest.mark.parametrize("python", [pythons()[0], pythons()[-1]], ids=lambda p: Path(p).parts[-3])
def test_an_evening_on_a_terminal(world: World, python: str) -> None:
    auth = world.user("alice")
    world.start_server()
    executor = world.start_executor(world.executor("gpu1"), python=python)
    world.source("#define STEPS 3\n", "steps.cuh")
    lab, broken = world.source(LAB, "lab.cu"), world.source("int main() { return 0 }", "broken.cu")

    def run(*arguments: object, status: int) -> str:
        terminal = {"columns": 80, "TERM": "xterm-256color"}
        student = Student(world, auth, *arguments, python=python, **terminal)
        assert student.wait(240) == status, student.out
        text = shown(student)
        assert "Traceback" not in text
        return text

    text = run(broken, status=1)
    assert 'error: expected a ";"' in text
    assert "did not compile" in text
    text = run(lab, "once", status=0)
    assert "step 1 of 3\n" in text
    assert "PASSED" in text
    assert "job 2 succeeded" in text
    assert (world.folder / "telerun-out/2/result.txt").read_text() == "all of it\n"
    again = run("--attach", 2, status=0)
    assert "PASSED" in again
    run(lab, "--no-such-option", status=2)
    assert executor.stop() == 0
    assert "Traceback" not in executor.told()
