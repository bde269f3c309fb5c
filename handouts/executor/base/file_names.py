"""Whether a job's files can be made in a folder of the job's own: a second look at their names."""

from __future__ import annotations

from collections.abc import Sequence

from handouts.client.job_file_names import clash, trouble_with


def why_unsafe(names: Sequence[str]) -> str:
    """Why these files cannot stand in one folder; "" if they can."""
    for name in names:
        problem = trouble_with(name)
        if problem:
            return f"a file's name is {name[:100]!a}: {problem}"
    pair = clash(names)
    if pair is None:
        return ""
    one, other = pair
    if one.casefold() == other.casefold():
        return f"two files have the names {one!a} and {other!a}"
    return f"{one!a} is a file, and the folder of {other!a}"
