"""A pytest plugin: how pytest-xdist (`-n 5`) deals the tests out to its processes.

One at a time, in the order in which they were collected: tests/conftest.py puts the longest first.
But those whose setting costs more than they do themselves stay together, in one process.
"""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = (
    "tests/test_hostile.py::test_a_hostile_program_where_the_executor_is_a_user",
    "tests/test_hostile.py::test_a_hostile_program_that_uses_up_its_time",
)


class OneByOne(LoadScopeScheduling):
    """`_split_scope` says what is dealt out as one."""

    def _split_scope(self, nodeid: str) -> str:
        return next((name for name in TOGETHER if nodeid.startswith(name)), nodeid)


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneByOne:
    config.option.loadscopereorder = False
    return OneByOne(config, log)
