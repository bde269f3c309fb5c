"""What answers of every app have in common."""

from typing import Annotated, Any

LOG_DESCRIPTION = (
    "Bytes: UTF-8, in which a byte that is not stands as U+DC80 to U+DCFF (Python's "
    "surrogateescape)."
)
LogText = Annotated[str, LOG_DESCRIPTION]


def log_text(data: Any) -> str:
    """Bytes as a JSON string: lossless, by `surrogateescape` (PEP 383, docs/adr/0003)."""
    return bytes(data).decode("utf-8", "surrogateescape")
