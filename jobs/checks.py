"""Django system checks: settings that cannot work together, said before the server starts."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register


@register()
def limits_fit(**_kwargs: Any) -> list[CheckMessage]:
    """Settings of `TELERUN_…` that contradict each other."""
    found: list[CheckMessage] = []
    if settings.TELERUN_LIMITS["output_bytes"] < settings.TELERUN_LIMITS["log_bytes"]:
        found.append(
            Error(
                "TELERUN_OUTPUT_BYTES is less than TELERUN_LOG_BYTES.",
                hint="A program may print at least what its log keeps.",
                id="jobs.E001",
            )
        )
    if settings.TELERUN_LEASE_SECONDS < 3:
        found.append(
            Error(
                "TELERUN_LEASE_SECONDS is less than 3.",
                hint="An executor renews its lease three times in that time.",
                id="jobs.E002",
            )
        )
    return found
