"""What a program wrote where nothing comes back from, in a line."""

from __future__ import annotations

from typing import Any

from handouts.client.words import in_size


def lost_beside(details: dict[str, Any]) -> str:
    """Says which files were written beside the program, and what to do; "" if there are none."""
    listed, more = details.get("files_beside"), details.get("more_files_beside")
    files = [f for f in listed if isinstance(f, dict)] if isinstance(listed, list) else []
    names = [str(file["name"]) for file in files if file.get("name")]
    if not names:
        return ""
    if len(names) == 1 and not more:
        is_folder = names[0].endswith("/")
        where = "its files to out/" if is_folder else f"it to out/{names[0]}"
        again = "them" if is_folder else "it"
        words = f"was written beside the program and is lost: write {where} to get {again} back."
    else:
        words = "were written beside the program and are lost: write them to out/ to get them back."
    return f"{in_a_list([with_size(file) for file in files if file.get('name')], more)} {words}"


def with_size(file: dict[str, Any]) -> str:
    """Such as "result.txt (12 KiB)"."""
    size = file.get("size")
    return f"{file['name']} ({in_size(size)})" if isinstance(size, int) else str(file["name"])


def in_a_list(words: list[str], more: Any) -> str:
    """Such as "a, b and 5 more"."""
    words = [*words, f"{more} more"] if isinstance(more, int) and more > 0 else words
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
