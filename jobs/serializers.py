"""JSON in: what the API takes. Validation lives here, rules in operations; JSON out: documents."""

import json
import math
from typing import Any

from rest_framework import serializers

from jobs.states import Outcome, Phase

MAX_ARGS = 100
MAX_ARG_LENGTH = 4096
MAX_SECONDS = 1e9
MAX_OBJECT_BYTES = 64 * 1024


class PlainText(serializers.CharField):
    """Text exactly as sent, untrimmed. NUL and lone surrogates are refused."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):  # Django REST framework would take a number
            self.fail("invalid")
        return super().to_internal_value(data)


class ShortList(serializers.ListField):
    """A list that is counted before its items are looked at: each bad one costs an error."""

    def run_child_validation(self, data: Any) -> Any:
        if len(data) > self.max_length:
            self.fail("max_length", max_length=self.max_length)
        return super().run_child_validation(data)


class Log(serializers.Field):
    """Bytes as a JSON string: UTF-8, and U+DC80 to U+DCFF for bytes that are not.

    That is Python's `surrogateescape` (PEP 383): lossless in both directions.
    """

    def to_internal_value(self, data: Any) -> bytes:
        if not isinstance(data, str):
            raise serializers.ValidationError("Not a string.")
        try:
            return data.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise serializers.ValidationError("Not text in UTF-8 with surrogateescape.") from None


class StrictSerializer(serializers.Serializer):
    """Refuses a body that is not a JSON object in words a student understands."""

    default_error_messages = {"invalid": "The body must be a JSON object."}  # noqa: RUF012


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


def storable(value: dict[str, Any]) -> dict[str, Any]:
    """A free-form JSON object made fit for any database, ValidationError if it is too large.

    Databases refuse NUL, lone surrogates and infinite numbers inside JSON.
    """
    if len(json.dumps(value)) > MAX_OBJECT_BYTES:
        raise serializers.ValidationError(
            {"non_field_errors": [f"More than {MAX_OBJECT_BYTES} bytes of further members."]}
        )
    return _storable(value)


def _storable(value: Any) -> Any:
    if isinstance(value, dict):
        return {_storable(k): _storable(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
