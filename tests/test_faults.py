"""The fault matrix in short: every row, a few tries each. `make faults` runs it at length.

The rows spend most of their time waiting for leases, so those that were asked for are played
side by side, and each test looks at the outcome of its own.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.conftest import need
from tests.faults.ground import Template
from tests.faults.rows import COMPONENTS, Outcome, load, missing, new_template, play

pytestmark = pytest.mark.end_to_end
ROWS = load()
AT_ONCE = 4
LONGEST = (4, 13, 16, 12)


@pytest.fixture(scope="module")
def playing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[int, Future[Outcome]]]:
    """The rows of the tests that were chosen, each on a queue of its own."""
    chosen = [
        item.callspec.params["number"]
        for item in request.session.items
        if item.fspath == request.fspath and "number" in getattr(item, "callspec", item).params
    ]
    template: Template = new_template(tmp_path_factory.mktemp("template"))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            number: pool.submit(play, ROWS[number], template, ROWS[number].few, "short")
            for number in sorted(chosen, key=lambda number: number not in LONGEST)
            if not missing(ROWS[number])
        }


@pytest.mark.parametrize("number", sorted(ROWS))
def test_row(number: int, playing: dict[int, Future[Outcome]]) -> None:
    for name in ROWS[number].needs:
        need(name, COMPONENTS[name]())
    assert playing[number].result().violations == []
