"""Where auth.json is: beside this script, or in the user's own folder for settings."""

from __future__ import annotations

import os
from pathlib import Path

from handouts.client.auth import HERE
from handouts.client.errors import BadSetup
from handouts.submit.as_typed import as_typed

BESIDE = HERE / "auth.json"


def own_folder() -> Path:
    """Such as ~/.config/telerun, where `--login` keeps what it gets."""
    place = os.environ.get("APPDATA" if os.name == "nt" else "XDG_CONFIG_HOME", "")
    if os.path.isabs(place):
        return Path(place, "telerun")
    return Path(os.path.expanduser("~"), ".config", "telerun")


def auth_file(given: Path | None) -> Path:
    """The file that says who this is. Raises BadSetup where there is none."""
    own = own_folder() / "auth.json"
    for path in [given] if given else [BESIDE, own]:
        if os.path.lexists(path):
            return path
    if given:
        raise BadSetup(f"There is no {given}. To log in: {as_typed('--login')}")
    raise BadSetup(
        f"There is no auth.json, neither {BESIDE} nor {own}. With the log-in code from the course "
        f"staff, say: {as_typed('--login')}"
    )
