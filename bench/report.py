"""The table: what was measured, its goal, the figure, its floor, their ratio, the verdict."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from bench.measure import median

NOT_MEASURED = "not measured"
HEADINGS = ["row", "what", "goal", "figure (least to most)", "floor", "ratio", "verdict"]


class Goal(NamedTuple):
    """In words, and whether figure and floor reach it."""

    words: str
    reached: Callable[[float, float | None], bool]


def at_most(limit: float, unit: str) -> Goal:
    return Goal(f"≤ {limit:g} {unit}".strip(), lambda figure, _: figure <= limit)


def at_least(limit: float, unit: str) -> Goal:
    return Goal(f"≥ {limit:g} {unit}".strip(), lambda figure, _: figure >= limit)


def none() -> Goal:
    return Goal("0", lambda figure, _: figure == 0)


def ratio_at_most(limit: float) -> Goal:
    return Goal(
        f"≤ {limit:g} times the floor",
        lambda figure, floor: floor is not None and figure <= limit * floor,
    )


def ratio_over(limit: float) -> Goal:
    return Goal(
        f"> {limit:g} times the floor",
        lambda figure, floor: floor is not None and figure > limit * floor,
    )


def over_floor_at_most(limit: float, unit: str) -> Goal:
    return Goal(
        f"≤ {limit:g} {unit} over the floor",
        lambda figure, floor: floor is not None and figure - floor <= limit,
    )


def busy_at_least(percent: float) -> Goal:
    return Goal(
        f"ideal ≥ {percent:g} % of it",
        lambda figure, floor: floor is not None and floor >= figure * percent / 100,
    )


@dataclass
class Line:
    """One line of the table, a sample a round; `than` says what the floor is."""

    row: str
    what: str
    unit: str
    goal: Goal | None
    than: str
    figures: list[float] = field(default_factory=list)
    floors: list[float] = field(default_factory=list)

    def cells(self) -> list[str]:
        figure = median(self.figures)
        floor = median(self.floors) if self.floors else None
        return [
            self.row,
            self.what,
            self.goal.words if self.goal else "",
            f"{number(figure)} {self.unit}".strip() + self._spread(),
            "" if floor is None else f"{number(floor)} {self.unit} ({self.than})",
            f"{figure / floor:.2f}" if floor else "",
            self._verdict(figure, floor),
        ]

    def _verdict(self, figure: float, floor: float | None) -> str:
        if self.goal is None:
            return ""
        return "reached" if self.goal.reached(figure, floor) else "MISSED"

    def _spread(self) -> str:
        if len(self.figures) < 2:
            return ""
        return f" ({number(min(self.figures))} to {number(max(self.figures))})"


class Table:
    """The lines, in the order in which they were first added to."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str], Line] = {}
        self._missing: list[list[str]] = []

    def add(
        self,
        row: str,
        what: str,
        figure: float,
        unit: str = "",
        goal: Goal | None = None,
        *,
        floor: float | None = None,
        than: str = "",
    ) -> None:
        """One round's sample of a line, and of its floor where it has one."""
        line = self._lines.setdefault((row, what), Line(row, what, unit, goal, than))
        line.figures.append(figure)
        if floor is not None:
            line.floors.append(floor)

    def not_measured(self, row: str, about: str) -> None:
        """The row broke off: that is said, and what stands in the table of it is not all."""
        self._missing.append([row, about, "", NOT_MEASURED, "", "", NOT_MEASURED])

    @property
    def is_whole(self) -> bool:
        return not self._missing

    def rows(self) -> list[list[str]]:
        return sorted(
            [line.cells() for line in self._lines.values()] + self._missing, key=lambda c: c[0]
        )

    def markdown(self) -> str:
        lines = [HEADINGS, ["---"] * len(HEADINGS), *self.rows()]
        return "".join("| " + " | ".join(line) + " |\n" for line in lines)

    def plain(self) -> str:
        lines = [HEADINGS, *self.rows()]
        widths = [max(len(line[n]) for line in lines) for n in range(len(HEADINGS))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )


def number(value: float) -> str:
    """Three digits that count."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
