"""The limits of a job that an older queue does not send."""

from __future__ import annotations

DEFAULT_LIMITS = {
    "memory_bytes": 4 << 30,
    "processes": 256,
    "disk_bytes": 1 << 30,
    "output_files": 0,
    "output_file_bytes": 0,
}
