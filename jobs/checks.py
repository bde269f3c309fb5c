"""Django system checks: settings that cannot work, said before the server starts."""

from typing import Any

from django.core.checks import CheckMessage, Error, register

from jobs import leases


@register()
def leases_can_be_renewed(**_kwargs: Any) -> list[CheckMessage]:
    """A lease is long enough for three heartbeats."""
    if leases.seconds() >= 3:
        return []
    return [
        Error(
            "TELERUN_LEASE_SECONDS is less than 3.",
            hint="An executor renews its lease three times in that time.",
            id="jobs.E002",
        )
    ]
