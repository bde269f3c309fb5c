"""When something was, and when something will be, in words."""

from __future__ import annotations

from typing import Any

UNITS = ((1, "s"), (60, "min"), (3600, "h"))  # of an estimate
MOST_OF_UNIT = 100  # then the next one


def start_in_words(job: dict[str, Any]) -> str:
    """Such as ", starts in about 2-4 min"; "" where the queue says nothing of it."""
    when = when_it_starts(job)
    return f", starts {when}" if when else ""


def when_it_starts(job: dict[str, Any], passed: float = 0.0) -> str:
    """Such as "in about 2-4 min", so many seconds after the queue has said so; or ""."""
    expected = job.get("expected_start")
    try:
        low, high = float(expected["from_seconds"]), float(expected["to_seconds"])
    except (KeyError, TypeError, ValueError):
        return ""
    if not 0 <= low <= high < 1e7:
        return ""
    if passed and passed >= high:
        return "any moment"
    low, high = max(0.0, low - passed), high - passed
    seconds, unit = next((u for u in UNITS if high < MOST_OF_UNIT * u[0]), UNITS[-1])
    first, last = int(low // seconds), max(1, -int(-high // seconds))
    if first == 0:
        return f"within {last} {unit}"
    return f"in about {first}{'' if first == last else f'-{last}'} {unit}"


def clock(seconds: float) -> str:
    """Such as "0:07" or "1:02:07"."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def in_time(seconds: float) -> str:
    """How long something took, such as "420 ms" or "1 min 15 s"."""
    if seconds >= 60:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    if seconds >= 0.9995:
        return f"{seconds:.2f} s"
    if seconds >= 0.0009995:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds * 1e6:.0f} µs"


def since_in_words(timestamp: Any) -> str:
    """Such as " since 12:31 (10 minutes)", by this machine's clock and in its time zone."""
    import datetime  # only here, since it takes time to import

    try:
        text = str(timestamp).replace("Z", "+00:00")
        then = datetime.datetime.fromisoformat(text).astimezone()
        passed = (datetime.datetime.now().astimezone() - then).total_seconds()
    except (OSError, OverflowError, ValueError):
        return ""
    if not 60 <= passed < 1e9:  # just now, or a clock is wrong
        return f" since {then:%H:%M}"
    count, unit = next(
        ((int(passed // size), unit) for size, unit in ((86400, "day"), (3600, "hour"))
         if passed >= 2 * size),
        (int(passed // 60), "minute"),
    )  # fmt: skip
    moment = f"{then:%d %b %H:%M}" if passed >= 43200 else f"{then:%H:%M}"
    return f" since {moment} ({count} {unit}{'' if count == 1 else 's'})"
