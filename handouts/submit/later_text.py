"""The parts that few need. In a script the builder's text stands in the place of this one."""

from __future__ import annotations

LATER_LINE = 0  # where in the script the text begins
LATER = ""
