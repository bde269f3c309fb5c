"""What somebody sees who looks at a terminal: a program's bytes, as a terminal shows them."""

from typing import Any

import pyte

LINES = 200  # so that nothing scrolls away


class Rendered:
    """A terminal of so many columns after these bytes."""

    def __init__(self, data: bytes, columns: int = 80) -> None:
        self.screen = pyte.Screen(columns, LINES)
        pyte.ByteStream(self.screen).feed(data)

    @property
    def lines(self) -> list[str]:
        """Without the blanks at their ends, and the empty lines at the end."""
        lines = [line.rstrip() for line in self.screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def last(self) -> str:
        """The last line."""
        return self.lines[-1] if self.lines else ""

    def look(self, text: str) -> Any:
        """How the first character of the last such text looks: `fg`, `bg`, `bold`."""
        found = [row for row, line in enumerate(self.screen.display) if text in line]
        assert found, (text, self.lines)
        return self.screen.buffer[found[-1]][self.screen.display[found[-1]].index(text)]
