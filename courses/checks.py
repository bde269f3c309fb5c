"""Django system checks: limits that contradict each other, said before the server starts."""

from typing import Any

from django.core.checks import CheckMessage, Error, register

from courses import flags, limits


@register()
def limits_fit(**_kwargs: Any) -> list[CheckMessage]:
    """A program may print at least what its log keeps."""
    if limits.of_a_job()["output_bytes"] >= limits.of_a_job()["log_bytes"]:
        return []
    return [
        Error(
            "TELERUN_OUTPUT_BYTES is less than TELERUN_LOG_BYTES.",
            hint="A program may print at least what its log keeps.",
            id="courses.E001",
        )
    ]


@register()
def flags_are_allowed(**_kwargs: Any) -> list[CheckMessage]:
    """A course's compiler flags are such as its students' may be."""
    refused = {name: flags.why_refused(flags.of_the_course(name)) for name in ("cuda", "cpp")}
    return [
        Error(reason, hint=f"Correct TELERUN_{name.upper()}_FLAGS.", id="courses.E002")
        for name, reason in refused.items()
        if reason
    ]
