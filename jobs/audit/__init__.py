"""The audit log: entries in the database, and `audit_log.jsonl`, which follows them.

`record` writes entries in the caller's transaction; the table is the truth. `file` brings the file
up to it.
"""

from jobs.audit.entries import Entry, record

__all__ = ("Entry", "record")
