"""Whether the kernel can note system calls in its log (--seccomp-log)."""

from __future__ import annotations

from pathlib import Path

from handouts.client.errors import BadSetup


def check_call_log(root: Path = Path("/")) -> None:
    """Raises BadSetup if it cannot, or does not."""
    available = words_in(root / "proc/sys/kernel/seccomp/actions_avail")
    logged = words_in(root / "proc/sys/kernel/seccomp/actions_logged")
    if "log" not in available:
        raise BadSetup(
            "--seccomp-log: this kernel cannot log system calls (Linux 4.14 and newer can, and "
            '/proc/sys/kernel/seccomp/actions_avail then has "log"). Start without it.'
        )
    if "log" not in logged:
        actions = " ".join([*logged, "log"])
        raise BadSetup(
            "--seccomp-log: this kernel is told to log no such calls: "
            f"sysctl kernel.seccomp.actions_logged='{actions}'"
        )
    if not {"audit=0", "audit=off"}.isdisjoint(words_in(root / "proc/cmdline")):
        raise BadSetup(
            "--seccomp-log: this kernel was started with audit=0 and logs no calls. "
            "Take that from its command line, or start without --seccomp-log."
        )


def words_in(path: Path) -> list[str]:
    """Of a small file; none if it cannot be read."""
    try:
        return path.read_text().split()
    except OSError:
        return []
