"""What a script is made from. In a script the builder's table stands in the place of this one."""

from __future__ import annotations

# For each part: the line where it begins, the source's file, and the line there.
PARTS: tuple[tuple[int, str, int], ...] = ()
