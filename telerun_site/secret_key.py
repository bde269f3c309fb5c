"""Django's SECRET_KEY: made once, kept in the data folder, readable by its owner alone."""

import os
import secrets
from pathlib import Path


def read_or_make(path: Path) -> str:
    """Returns the key in `path`, making the file first if there is none.

    Two processes that start together agree: a file appears whole, under its name, once.
    Raises OSError when the folder cannot be written.
    """
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(secrets.token_urlsafe(50) + "\n")
    try:
        os.link(draft, path)  # fails if the other process was first
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text().strip()
