"""--compare: two jobs side by side."""

from __future__ import annotations

from typing import Any

from handouts.client.words import in_size
from handouts.submit.answers_in_json import TIMES
from handouts.submit.ending_lines import EXPLAINED
from handouts.submit.job_lines import is_over
from handouts.submit.listing import seconds_in_words, shortened, table, terminal_width
from handouts.submit.printable import printable

FIRST_COLUMN = 15  # with what is between the columns
MOST_DIFFERENCES = 40  # lines of a difference that are shown


def compared(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """What --compare prints of two jobs, without their sources."""
    one, other = result_of(first), result_of(second)
    names = [name_of(job) for job in (first, second)]
    rows = [
        ["", f"job {first['id']}", f"job {second['id']}"],
        ["program", *names],
        ["outcome", outcome_of(first), outcome_of(second)],
        ["compiled in", *map(compiled_in, (first, second))],
        ["ran in", *(seconds_in_words(r.get("execute_seconds")) for r in (one, other))],
        ["memory", memory_of(one), memory_of(other)],
        ["GPU", gpu_name(one), gpu_name(other)],
        ["host", host_that_ran(first), host_that_ran(second)],
    ]
    rows = [[row[0], *(cell or "-" for cell in row[1:])] for row in rows if any(row[1:])]
    room = (terminal_width() - FIRST_COLUMN) // 2  # for each job
    rows = [[row[0], shortened(row[1], room), shortened(row[2], room)] for row in rows]
    return [headline(first, second), "", *table(rows, cut=1), *remarks(first, second)]


def headline(first: dict[str, Any], second: dict[str, Any]) -> str:
    """Both times, and what that means."""
    before, after = (number(result_of(job).get("execute_seconds")) for job in (first, second))
    line = name_of(second)
    if first.get("filename") != second.get("filename"):
        line = f"{name_of(first)} → {line}"
    if before is None or after is None:
        return line
    line += f"   {seconds_in_words(before)} → {seconds_in_words(after)}"
    succeeded = all(job.get("outcome") == "succeeded" for job in (first, second))
    if not (succeeded and before and after):
        return line
    if before >= after:
        return f"{line}   ({before / after:.3g} {TIMES} as fast)"
    return f"{line}   ({after / before:.3g} {TIMES} as long)"


def compiled_in(job: dict[str, Any]) -> str:
    """Of one that was compiled before, the time says nothing about the compiler."""
    result = result_of(job)
    if job.get("cached") or details(result).get("compiled_before"):
        return "cached"
    return seconds_in_words(result.get("compile_seconds"))


def result_of(job: dict[str, Any]) -> dict[str, Any]:
    return job.get("result") or {}


def name_of(job: dict[str, Any]) -> str:
    words = [str(job.get("filename") or "?"), *map(str, job.get("args") or [])]
    return printable(" ".join(words)).replace("\n", " ")


def host_that_ran(job: dict[str, Any]) -> str:
    return printable(str(job.get("executor") or ""))


def outcome_of(job: dict[str, Any]) -> str:
    if not is_over(job):
        return "is not over yet"
    return EXPLAINED.get(str(job.get("outcome")), printable(str(job.get("state"))))


def number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and value >= 0 else None


def memory_of(result: dict[str, Any]) -> str:
    size = number(details(result).get("execute_memory_bytes"))
    return in_size(int(size)) if size else ""


def details(result: dict[str, Any]) -> dict[str, Any]:
    found = result.get("details")
    return found if isinstance(found, dict) else {}


def gpu_of(result: dict[str, Any]) -> dict[str, Any]:
    found = details(result).get("gpu")
    return found if isinstance(found, dict) else {}


def gpu_name(result: dict[str, Any]) -> str:
    return printable(str(gpu_of(result).get("name") or ""))


def remarks(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Why the times may say little."""
    found = []
    gpus = [gpu_of(result_of(job)) for job in (first, second)]
    if all(gpus) and gpus[0].get("name") != gpus[1].get("name"):
        found.append("They ran on different kinds of GPU: the times cannot be compared.")
    elif all(gpus) and gpus[0].get("uuid") != gpus[1].get("uuid"):
        found.append("They ran on two GPUs of the same kind, which may differ by a few percent.")
    for job, gpu in zip((first, second), gpus):
        if gpu.get("throttled"):
            why = ", ".join(map(str, gpu["throttled"]))
            found.append(printable(f"The GPU of job {job['id']} was slowed down ({why})."))
        if job.get("outcome") != "succeeded":
            found.append(f"Job {job['id']} did not succeed: its time says little.")
    return found


def difference(
    first: tuple[int, dict[str, str]], second: tuple[int, dict[str, str]]
) -> tuple[bool, list[str]]:
    """Whether the files of two jobs are the same, and the lines that say how they differ."""
    import difflib  # only here, since it takes time to import

    lines: list[str] = []
    mains = [next(iter(files), "") for _, files in (first, second)]  # whatever they are called
    others = sorted({*first[1], *second[1]} - {*mains})
    for name, other in [mains, *([name, name] for name in others)]:
        before, after = first[1].get(name, ""), second[1].get(other, "")
        lines += difflib.unified_diff(
            before.splitlines(), after.splitlines(),
            f"{name} (job {first[0]})", f"{other} (job {second[0]})", n=1, lineterm="",
        )  # fmt: skip
    more = len(lines) - MOST_DIFFERENCES
    shown = [printable(line) for line in lines[:MOST_DIFFERENCES]]
    return not lines, shown + ([f"... and {more} lines more"] if more > 0 else [])
