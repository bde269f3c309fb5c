"""What the API's addresses of jobs take. Validation lives here, rules in the operations."""

from typing import Any

from rest_framework import serializers

from foundation.api.inputs import Log, PlainText, ShortList, StrictSerializer, storable
from jobs.states import Outcome, Phase

MAX_ARGS = 100
MAX_ARG_LENGTH = 4096
MAX_SECONDS = 1e9


class SubmissionIn(StrictSerializer):
    """`POST /jobs`."""

    source = PlainText(error_messages={"blank": "The source is empty."})
    filename = PlainText(max_length=255, default="program.cu")
    args = ShortList(
        child=PlainText(max_length=MAX_ARG_LENGTH, allow_blank=True),
        max_length=MAX_ARGS,
        default=list,
    )

    def validate_source(self, value: str) -> str:
        if not value.strip():
            raise serializers.ValidationError("The source is empty.")
        return value

    def validate_filename(self, value: str) -> str:
        if "/" in value or "\\" in value or not value.isprintable():
            raise serializers.ValidationError("A plain file name, without folders.")
        return value


class LeaseIn(StrictSerializer):
    """What every report of an executor carries."""

    lease_token = PlainText(max_length=64)


class HeartbeatIn(LeaseIn):
    """`POST /attempts/ID/heartbeat`."""

    phase = serializers.ChoiceField(Phase.choices)


class ReleaseIn(LeaseIn):
    """`POST /attempts/ID/release`."""

    reason = PlainText(max_length=500)


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
