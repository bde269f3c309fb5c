"""A queue that is away while a program is submitted: how long it is tried, and what is said of the
program in the end."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.processes import World, wait_for
from tests.support.rendered import Rendered
from tests.support.scripts import load
from tests.support.stub_live_queue import StubLiveQueue
from tests.support.students import Student

pytestmark = [pytest.mark.once, pytest.mark.processes]
submit = load("submit")
SOON = "submit.SUBMIT_PATIENCE_SECONDS = submit.REQUEST_SECONDS = 1"


@pytest.fixture
def queue(world: World) -> Iterator[StubLiveQueue]:
    queue = StubLiveQueue(world)
    yield queue
    queue.posts_held.set()
    queue.close()


@pytest.fixture
def student(world: World, queue: StubLiveQueue) -> Iterator[Callable[..., Student]]:
    students: list[Student] = []

    def start(*arguments: Any, **options: Any) -> Student:
        arguments = arguments or (world.source("x").name,)
        students.append(Student(world, queue.auth(), *arguments, **options))
        return students[-1]

    yield start
    for one in students:
        one.stop()


def test_long_enough_for_a_server_that_is_restarted() -> None:
    assert submit.SUBMIT_PATIENCE_SECONDS >= 120
    assert submit.ASK_PATIENCE_SECONDS <= 30  # a question can be asked again


def test_nothing_was_sent(student: Any, queue: StubLiveQueue) -> None:
    queue.close()
    one = student(patch=SOON)
    assert one.wait() == 4
    queue.open()
    assert "Your program was not sent: there is no job." in one.err
    assert "--doctor" in one.err


def test_it_may_have_come(student: Any, queue: StubLiveQueue) -> None:
    queue.posts_held.clear()
    one = student(patch=SOON)
    assert one.wait() == 4
    assert "it may be in the queue. Look before you submit it again: " in one.err
    assert "--list" in one.err
    assert "was not sent" not in one.err


def test_a_terminal_says_how_long_it_goes_on(student: Any, queue: StubLiveQueue) -> None:
    queue.close()
    one = student(columns=80, TERM="xterm-256color", NO_COLOR="1")
    wait_for(lambda: "trying for 1:5" in Rendered(one.out, 80).last, "the line")
    assert "Ctrl-C ends it" in Rendered(one.out, 80).last
    queue.open()
    wait_for(lambda: b"Submitted " in one.out, "it is submitted")
    queue.wait_until_watched()
    queue.runs()
    queue.finishes(b"x\n")
    assert one.wait() == 0
    assert not [line for line in Rendered(one.out, 80).lines if "trying for" in line]


class Tries:
    """A client's tries, with the answers that a test makes up."""

    def __init__(self, *answers: Any) -> None:
        self.answers = [*answers]
        self.client = submit.Client(SimpleNamespace(turns=submit.Turns(), server="https://stub"))

    def send(self) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize(
    ("answers", "may_have_it"),
    [
        ([submit.Unreachable("refused", was_sent=False)], False),
        ([submit.Unreachable("reset")], True),
        ([submit.Unreachable("reset"), submit.Unreachable("refused", was_sent=False)], True),
        ([submit.Answer(429, {"retry-after": "0"}, {})], False),
        ([submit.Answer(503, {}, {})], True),
    ],
)
def test_whether_the_queue_may_have_it(answers: list[Any], may_have_it: bool) -> None:
    """What was sent once may be there, whatever comes after."""
    tries = Tries(*answers)
    for _ in answers:
        tries.client._try(tries.send, 0.0)
    assert tries.client.may_have_it is may_have_it


@pytest.mark.parametrize("columns", [20, 30, 40, 60, 80])
def test_the_line_is_never_wider_than_the_terminal(columns: int) -> None:
    client = Tries().client
    client.is_away = True
    client._deadline = submit.time.monotonic() + 100
    line = client._words_of_trying(columns)
    assert submit.width_of(line) < columns
    assert "1:3" in line
