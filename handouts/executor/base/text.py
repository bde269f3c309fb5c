"""Bytes as text."""

from __future__ import annotations


def in_text(log: bytes) -> str:
    """Any bytes as a string that JSON carries without loss (PEP 383)."""
    return log.decode("utf-8", "surrogateescape")
