"""The fault matrix in short: every row, a few tries each. `make faults` runs it at length.

The rows spend most of their time waiting for leases: `-n 4` plays them side by side.
"""

import pytest

from tests.conftest import need
from tests.faults.ground import Template
from tests.faults.rows import COMPONENTS, load, new_template, play

pytestmark = [pytest.mark.end_to_end, pytest.mark.hardening]
ROWS = load()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return new_template(tmp_path_factory.mktemp("template"))


@pytest.mark.long(20)
@pytest.mark.parametrize("number", sorted(ROWS))
def test_row(number: int, template: Template) -> None:
    row = ROWS[number]
    for name in row.needs:
        need(name, COMPONENTS[name]())
    assert play(row, template, row.few, "short").violations == []
