"""A terminal's screen as a picture: text in SVG, which is small and can be read in a diff."""

from collections.abc import Iterator
from html import escape
from itertools import groupby
from typing import Any

CELL_WIDTH, CELL_HEIGHT, SIZE, EDGE = 8.4, 18, 14, 12
INK, PAPER = "#d8dee9", "#1f2430"
COLOURS = {
    "black": "#3b4252", "red": "#f07178", "green": "#a6d189", "brown": "#e5c07b",
    "blue": "#7aa2f7", "magenta": "#c792ea", "cyan": "#7fdbca", "white": "#e5e9f0",
    "brightblack": "#7b849c", "brightred": "#ff8f94", "brightgreen": "#bbe6a0",
    "brightbrown": "#f2d492", "brightblue": "#9db9ff", "brightmagenta": "#dab3f5",
    "brightcyan": "#a5eee2", "brightwhite": "#ffffff",
}  # fmt: skip
FONTS = "ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace"


def svg(rows: list[list[Any]], title: str, cursor: tuple[int, int] | None) -> str:
    """`rows`: of pyte's characters. `cursor`: column and row of a program that still runs."""
    width = len(rows[0]) * CELL_WIDTH + 2 * EDGE
    height = len(rows) * CELL_HEIGHT + 2 * EDGE
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" '
        f'viewBox="0 0 {width:.0f} {height}" role="img" font-family="{FONTS}" '
        f'font-size="{SIZE}" fill="{INK}" style="white-space:pre">',
        f"<title>{escape(title)}</title>",
        f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>',
    ]
    for y, row in enumerate(rows):
        lines += runs(row, y)
    if cursor:
        x, y = cursor
        lines.append(
            f'<rect x="{EDGE + x * CELL_WIDTH:.1f}" y="{EDGE + y * CELL_HEIGHT + 2}" '
            f'width="{CELL_WIDTH}" height="{CELL_HEIGHT - 2}" opacity=".6"/>'
        )
    return "\n".join([*lines, "</svg>", ""])


def runs(row: list[Any], y: int) -> Iterator[str]:
    """The elements of a line: one for each stretch of characters that look alike."""
    x = 0
    for style, cells in groupby(row, style_of):
        text = "".join(cell.data for cell in cells)
        ink, paper, is_bold, is_underlined = style
        left, wide = EDGE + x * CELL_WIDTH, len(text) * CELL_WIDTH
        x += len(text)
        if paper:
            yield (
                f'<rect x="{left:.1f}" y="{EDGE + y * CELL_HEIGHT}" width="{wide:.1f}" '
                f'height="{CELL_HEIGHT}" fill="{paper}"/>'
            )
        if not text.strip():
            continue
        text = text.rstrip()
        more = f' fill="{ink}"' if ink else ""
        more += ' font-weight="bold"' if is_bold else ""
        more += ' text-decoration="underline"' if is_underlined else ""
        yield (
            f'<text x="{left:.1f}" y="{EDGE + y * CELL_HEIGHT + SIZE}" '
            f'textLength="{len(text) * CELL_WIDTH:.1f}"{more}>{escape(text, quote=False)}</text>'
        )


def style_of(cell: Any) -> tuple[str, str, bool, bool]:
    """How a character looks: ink, paper ("" for those of all), bold, underlined."""
    ink, paper = colour(cell.fg), colour(cell.bg)
    if cell.reverse:
        ink, paper = paper or PAPER, ink or INK
    return ink, paper, cell.bold, cell.underscore


def colour(name: str) -> str:
    """Of pyte's name for it; "" for the default."""
    if name == "default":
        return ""
    return COLOURS.get(name) or "#" + name
