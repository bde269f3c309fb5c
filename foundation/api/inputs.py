"""Fields and checks for what the API takes; what a request's members are stands in each app."""

import functools
import json
import math
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request

from foundation.serving.greenlets import in_a_thread

MAX_OBJECT_BYTES = 64 * 1024
LARGE_BYTES = 64 * 1024  # what takes longer to check than to hand to another thread


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


@functools.cache
def _shared(kind: type[serializers.Serializer]) -> serializers.Serializer:
    """One instance for all threads: making one takes longer than all that it checks.

    Safe because `run_validation` keeps nothing in it; tests/test_api_inputs.py holds that.
    """
    return kind()


def validated(kind: type[serializers.Serializer], request: Request) -> dict[str, Any]:
    """The request's body as `kind` understands it. Raises ValidationError.

    Django REST framework looks at each character of a text: of a large one beside the hub.
    """
    data = request.data
    if int(request.META.get("CONTENT_LENGTH") or 0) > LARGE_BYTES:
        return in_a_thread(_shared(kind).run_validation, data)
    return _shared(kind).run_validation(data)


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
