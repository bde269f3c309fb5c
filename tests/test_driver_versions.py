"""Drivers with known vulnerabilities."""

from functools import partial

import pytest

from tests.support.nvidia import gpus_of
from tests.support.scripts import load

pytestmark = pytest.mark.once
executor = load("executor")
gpus = partial(gpus_of, executor)


@pytest.mark.parametrize(
    ("driver", "words"),
    [
        ("580.95.05", "install 580.178.04 or newer"),
        ("580.178.03", "install 580.178.04 or newer"),
        ("580.178.04", ""),
        ("580.200.01", ""),
        ("595.71.05", "install 595.91.07 or newer"),
        ("595.91.07", ""),
        ("610.43.02", "install 610.57.04 or newer"),
        ("615.71.09", ""),
        ("620.10.01", ""),
        *((driver, "there is no mended version") for driver in
          ("470.256.02", "535.309.01", "550.90.07", "570.211.01", "590.48.01", "600.1")),
        ("unknown", ""),
        ("[N/A]", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_drivers_with_known_vulnerabilities_are_warned_of(driver: str, words: str) -> None:
    warning = executor.driver_warning(driver)
    assert words in warning
    assert bool(warning) is bool(words)
    if words:
        assert "bulletin" in warning


def test_each_driver_is_warned_of_once() -> None:
    two = [gpu._replace(driver="580.95.05") for gpu in gpus("GPU-a", "GPU-b")]
    assert len(executor.driver_warnings(two)) == 1
