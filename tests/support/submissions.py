"""What submit.py makes of real files: what it would send, or why it sends nothing. No queue."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.scripts import load

submit = load("submit")


def write(folder: Path, files: dict[str, str | bytes]) -> None:
    """Makes these files, by their names in the folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def prepared(folder: Path, files: dict[str, Any], *arguments: str, main: str = "lab.cu") -> Any:
    """What would be sent for the main file and these arguments."""
    write(folder, files)
    return submit.prepare(submit.parse([str(folder / main), *arguments]))


def refused(folder: Path, files: dict[str, Any], *arguments: str, main: str = "lab.cu") -> str:
    """The line that says why nothing is sent."""
    with pytest.raises(submit.Stop) as stop:
        prepared(folder, files, *arguments, main=main)
    assert stop.value.status == 2
    assert "\n" not in str(stop.value)
    return str(stop.value)
