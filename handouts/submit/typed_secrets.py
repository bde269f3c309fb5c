"""Secrets that were typed where they do not belong."""

from __future__ import annotations

import re

from handouts.submit.as_typed import as_typed
from handouts.submit.stop import WRONG_USAGE, Stop


def refuse_secrets(words: list[str]) -> None:
    """Raises Stop for a command that holds a secret, which its shell remembers now."""
    for word in words[: words.index("--")] if "--" in words else words:
        found = re.match(r"(?:--\w+=)?(tlr[cue])_\w{20}", word, re.IGNORECASE)
        if found:
            what = "log-in code" if found[1].lower() == "tlrc" else "token"
            raise Stop(
                WRONG_USAGE,
                f"A {what} does not belong into a command: your shell's history has it now, and "
                f"others on this machine may have seen it. Ask for a new one, say "
                f"{as_typed('--login')}, and give it when asked.",
            )
