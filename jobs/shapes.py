"""The shapes of what the API answers, as JSON Schema (OpenAPI 3.1). `documents.py` builds them.

The shapes of what it takes are read off the serializers.
"""

from typing import Any

from jobs.states import Ending, Outcome, Phase, State

Shape = dict[str, Any]

STRING: Shape = {"type": "string"}
INTEGER: Shape = {"type": "integer"}
NUMBER: Shape = {"type": "number"}
BOOLEAN: Shape = {"type": "boolean"}
ANYTHING: Shape = {"type": "object", "additionalProperties": True}
TIME: Shape = {"type": "string", "format": "date-time"}
LOG: Shape = {
    "type": "string",
    "description": "Bytes: UTF-8, in which a byte that is not stands as U+DC80 to U+DCFF "
    "(Python's surrogateescape).",
}
BYTES: Shape = {"type": "string", "contentMediaType": "application/octet-stream"}


def listed(items: Shape) -> Shape:
    return {"type": "array", "items": items}


def one_of(values: Any) -> Shape:
    return {"type": "string", "enum": [str(value) for value in values]}


def or_null(shape: Shape) -> Shape:
    more = {"enum": [*shape["enum"], None]} if "enum" in shape else {}
    return {**shape, **more, "type": [shape["type"], "null"]}


def ref(name: str) -> Shape:
    return {"$ref": f"#/components/schemas/{name}"}


def members(**shapes: Shape) -> Shape:
    """An object that has all of these. More may be added to any answer."""
    return {"type": "object", "properties": shapes, "required": list(shapes)}


_SUMMARY = {
    "id": INTEGER,
    "state": one_of(State.values),
    "phase": {**or_null(one_of(Phase.values)), "description": "Of a running job."},
    "outcome": {**or_null(one_of(Outcome.values)), "description": "Of a finished job."},
    "filename": STRING,
    "args": listed(STRING),
    "queue_position": {**or_null(INTEGER), "description": "1 is served next."},
    "submitted_at": TIME,
    "started_at": or_null(TIME),
    "finished_at": or_null(TIME),
    "cancel_requested_at": or_null(TIME),
}

ATTEMPT = members(
    number=INTEGER,
    executor=STRING,
    started_at=TIME,
    ended_at=or_null(TIME),
    ending={**or_null(one_of(Ending.values)), "description": "null while it is open."},
    reason=STRING,
    outcome=one_of([*Outcome.values, ""]),
)

RESULT = members(
    compile_log=LOG,
    execute_log=LOG,
    exit_code=or_null(INTEGER),
    signal=or_null(INTEGER),
    compile_seconds=or_null(NUMBER),
    execute_seconds=or_null(NUMBER),
    files=listed(ref("File")),
    details=ANYTHING,
)

FILE = {**members(name=STRING, size=INTEGER), "description": "A file of the program's `out/`."}

JOB = members(
    **_SUMMARY,
    attempts=listed(ref("Attempt")),
    executor=or_null(STRING),
    result={"oneOf": [ref("Result"), {"type": "null"}]},
)

PAGE = members(
    count=INTEGER,
    next=or_null({"type": "string", "format": "uri"}),
    previous=or_null({"type": "string", "format": "uri"}),
    results=listed(ref("JobSummary")),
)

_LIMITS = (
    "compile_seconds", "execute_seconds", "log_bytes", "output_bytes", "memory_bytes", "processes",
    "disk_bytes", "output_files", "output_file_bytes",
)  # fmt: skip

CLAIM = members(
    attempt=members(id=INTEGER, number=INTEGER, lease_token=STRING, lease_seconds=INTEGER),
    job=members(
        id=INTEGER,
        source=STRING,
        filename=STRING,
        args=listed(STRING),
        limits=members(**dict.fromkeys(_LIMITS, INTEGER)),
    ),
)

HEARTBEAT = members(lease_seconds=INTEGER, cancel_requested=BOOLEAN)
REPORTED = members(job=INTEGER, state=one_of(State.values))

PROBLEM = {
    **members(
        type={"type": "string", "pattern": "^/problems/[a-z-]+$"},
        title=STRING,
        status=INTEGER,
        detail=STRING,
    ),
    "description": "RFC 9457. `type` ends in a stable slug to branch on.",
}

SCHEMAS: dict[str, Shape] = {
    "Job": JOB,
    "JobSummary": members(**_SUMMARY),
    "JobPage": PAGE,
    "Attempt": ATTEMPT,
    "Result": RESULT,
    "File": FILE,
    "Claim": CLAIM,
    "Heartbeat": HEARTBEAT,
    "Reported": REPORTED,
    "Problem": PROBLEM,
    "Health": members(status={"type": "string", "const": "ok"}),
}
