"""Where auth.json is: beside this script, or in the user's own folder for settings."""

from __future__ import annotations

import os
from pathlib import Path

from handouts.client.auth import HERE

BESIDE = HERE / "auth.json"


def own_folder() -> Path:
    """Such as ~/.config/telerun, where `--login` keeps what it gets."""
    place = os.environ.get("APPDATA" if os.name == "nt" else "XDG_CONFIG_HOME", "")
    if os.path.isabs(place):
        return Path(place, "telerun")
    return Path(os.path.expanduser("~"), ".config", "telerun")


def auth_file(given: Path | None) -> Path:
    """The file that says who this is: the one given, or the first that there is."""
    own = own_folder() / "auth.json"
    if given:
        return given
    return own if os.path.lexists(own) and not os.path.lexists(BESIDE) else BESIDE
