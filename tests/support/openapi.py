"""Whether an answer is what the OpenAPI document says."""

import copy
import functools
import json
import re
from typing import Any

from jsonschema import Draft202012Validator

from tests.support.processes import ROOT

DOCUMENT = ROOT / "telerun_site" / "openapi.json"


@functools.cache
def strict_document() -> dict[str, Any]:
    """The document, with every member forbidden that it does not name (a problem may have more)."""
    found = json.loads(DOCUMENT.read_text())
    for name, schema in found["components"]["schemas"].items():
        if name != "Problem":
            _close(schema)
    return found


def _close(schema: Any) -> None:
    if isinstance(schema, dict):
        if "properties" in schema:
            schema["additionalProperties"] = False
        for part in list(schema.values()):
            _close(part)
    elif isinstance(schema, list):
        for part in schema:
            _close(part)


def operation(method: str, path: str) -> dict[str, Any] | None:
    """What the document has on a request; None for one that it does not have."""
    for template, operations in strict_document()["paths"].items():
        pattern = template.replace("{name}", "[^/]+")
        if re.fullmatch(re.sub(r"{\w+}", "[0-9]+", pattern), path.partition("?")[0]):
            return operations.get(method.lower())
    return None


def faults(method: str, path: str, status: int, headers: Any, body: bytes) -> list[str]:
    """What about an answer is not as the document says; the names of `headers` in lower case."""
    described = operation(method, path)
    if described is None:
        return _faults_elsewhere(status)
    answer = described["responses"].get(str(status))
    if answer is None:
        return [f"{method} {path}: {status} is not described"]
    found = [
        f"{method} {path}: {status} without {name}"
        for name, header in answer.get("headers", {}).items()
        if header.get("required") and name.lower() not in headers
    ]
    if "content" not in answer:
        return found + ([f"{method} {path}: {status} with a body"] if body else [])
    media_type = headers.get("content-type", "").partition(";")[0]
    if media_type not in answer["content"]:
        return [*found, f"{method} {path}: {status} as {media_type}"]
    if media_type == "application/octet-stream":
        return found
    return found + [
        f"{method} {path}: {status}: {fault}"
        for fault in _faults_of(answer["content"][media_type]["schema"], json.loads(body))
    ]


def _faults_elsewhere(status: int) -> list[str]:
    return [] if status in (401, 403, 404, 405) else [f"{status} where nothing is"]


def _faults_of(schema: dict[str, Any], value: Any) -> list[str]:
    whole = {**copy.copy(schema), "components": strict_document()["components"]}
    return [error.message for error in Draft202012Validator(whole).iter_errors(value)]
