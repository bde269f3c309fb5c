"""What the API's addresses of jobs take. Validation lives here, rules in the operations."""

from typing import Any

from rest_framework import serializers

from accounts import platforms
from accounts.models import PLATFORM_LENGTH, PLATFORM_RULE
from courses.flags import MAX_FLAGS
from foundation.api.inputs import Log, PlainText, ShortList, StrictSerializer, storable
from jobs import files
from jobs.live.pieces import LOGS
from jobs.live.taking import MAX_OFFSET
from jobs.states import Outcome, Phase

MAX_ARGS = 100
MAX_ARG_LENGTH = 4096
MAX_SECONDS = 1e9


class Texts(serializers.DictField):
    """Texts by name, counted before they are looked at."""

    child = PlainText(allow_blank=True)

    def run_child_validation(self, data: Any) -> Any:
        if len(data) > files.MAX_FILES:
            raise serializers.ValidationError(f"At most {files.MAX_FILES} files.")
        return super().run_child_validation(data)


class SubmissionIn(StrictSerializer):
    """`POST /jobs`."""

    source = PlainText(error_messages={"blank": "The source is empty."})
    filename = PlainText(max_length=255, default="program.cu")
    args = ShortList(
        child=PlainText(max_length=MAX_ARG_LENGTH, allow_blank=True),
        max_length=MAX_ARGS,
        default=list,
    )

    sources = Texts(required=False)
    includes = Texts(required=False)
    flags = ShortList(child=PlainText(), max_length=MAX_FLAGS, required=False)
    platform = PlainText(max_length=PLATFORM_LENGTH, required=False)
    asm = serializers.BooleanField(required=False)

    def validate_source(self, value: str) -> str:
        if not value.strip():
            raise serializers.ValidationError("The source is empty.")
        return value

    def validate_filename(self, value: str) -> str:
        if not value.isprintable() or "\\" in value:
            raise serializers.ValidationError("A plain file name, with / between folders.")
        if "/" in value and (reason := files.why_bad([value])):
            raise serializers.ValidationError(reason)
        return value

    def validate_platform(self, value: str) -> str:
        if not platforms.is_name(value):
            raise serializers.ValidationError(PLATFORM_RULE)
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        others = [*attrs.get("sources", ()), *attrs.get("includes", ())]
        if others and (reason := files.why_bad([attrs["filename"], *others])):
            raise serializers.ValidationError(reason)
        return attrs


class LeaseIn(StrictSerializer):
    """What every report of an executor carries."""

    lease_token = PlainText(max_length=64)


class HeartbeatIn(LeaseIn):
    """`POST /attempts/ID/heartbeat`."""

    phase = serializers.ChoiceField(Phase.choices)


class ReleaseIn(LeaseIn):
    """`POST /attempts/ID/release`."""

    reason = PlainText(max_length=500)
    counts = serializers.BooleanField(
        default=True,
        help_text="Whether this is one of the job's attempts: false if the reason is the host's "
        "alone, such as its want of memory. The first 20 attempts of a job may be uncounted.",
    )
    compile_log = Log(required=False)
    execute_log = Log(required=False)


class OutputIn(LeaseIn):
    """`POST /attempts/ID/output`."""

    log = serializers.ChoiceField(LOGS)
    offset = serializers.IntegerField(min_value=0, max_value=MAX_OFFSET)
    text = Log()


class ResultIn(LeaseIn):
    """`PUT /attempts/ID/result`. Further members are kept as `details`."""

    outcome = serializers.ChoiceField(Outcome.choices)
    compile_log = Log(default=b"")
    execute_log = Log(default=b"")
    exit_code = serializers.IntegerField(
        min_value=-(2**31), max_value=2**31 - 1, default=None, allow_null=True
    )
    signal = serializers.IntegerField(min_value=1, max_value=64, default=None, allow_null=True)
    compile_seconds = serializers.FloatField(
        min_value=0, max_value=MAX_SECONDS, default=None, allow_null=True
    )
    execute_seconds = serializers.FloatField(
        min_value=0, max_value=MAX_SECONDS, default=None, allow_null=True
    )

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        values = super().to_internal_value(data)
        details = {k: v for k, v in data.items() if k not in self.fields}
        return {**values, "details": storable(details)}
