"""Figures in units that are read at a glance."""

_UNITS = ((1, "s"), (60, "min"), (3600, "h"))


def duration(seconds: float) -> str:
    """ "633 ms", "1.93 s", "3 min 20 s", as submit.py says them."""
    if seconds < 0.0009995:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def size(count: int) -> str:
    """ "812 bytes", "14.2 KiB", "2.75 MiB"."""
    for power, name in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if count >= 1024**power:
            number = count / 1024**power
            return f"{number:.0f} {name}" if number >= 100 else f"{number:.3g} {name}"
    return "1 byte" if count == 1 else f"{count} bytes"


def counted(count: int, one: str, several: str = "") -> str:
    """ "1 job", "1,204 jobs"; `several` where it is not `one` with an "s"."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def start(from_seconds: int, to_seconds: int) -> str:
    """ "within 40 s", "in about 2-4 min"."""
    unit, name = next((u for u in _UNITS if to_seconds < 100 * u[0]), _UNITS[-1])
    first, last = from_seconds // unit, max(1, -(-to_seconds // unit))
    if first == 0:
        return f"within {last} {name}"
    return f"in about {first} {name}" if first == last else f"in about {first}-{last} {name}"


def ordinal(number: int) -> str:
    """ "1st", "2nd", "13th"."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ending}"
