"""The OpenAPI document of the API, for `GET /api/v1/schema` and `manage.py spectacular`.

drf-spectacular finds the addresses and reads the serializers; ENDPOINTS says the rest. Nothing
here is imported before somebody asks for the document.
"""

import functools
from typing import Any, NamedTuple

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.renderers import OpenApiJsonRenderer
from drf_spectacular.utils import extend_schema_field

from accounts.permissions import IsUser
from jobs.serializers import HeartbeatIn, Log, ReleaseIn, ResultIn, SubmissionIn
from jobs.shapes import ANYTHING, BYTES, LOG, SCHEMAS, STRING, ref

ABOUT = """\
The queue's API. `docs/api.md` says how it is used.

Whatever is no request of HTTP/1.1 is refused before it is one of the API, in plain words and with
status 400, 414, 417, 431 or 501. An address that is not here is answered 404, a method that is not
here 405, both as a problem.
"""

extend_schema_field(LOG)(Log)


# --- Parameters --------------------------------------------------------------------------


def _parameter(where: str, name: str, about: str, **schema: Any) -> dict[str, Any]:
    return {"in": where, "name": name, "description": about, "schema": schema}


OVERRIDE = _parameter(
    "query",
    "override_pending",
    "1: the user's queued jobs make way.",
    type="string",
    enum=["1", "0", "true", "false"],
)
LIMIT = _parameter(
    "query", "limit", "Jobs in a page, 200 at most.", type="integer", minimum=1, default=50
)
OFFSET = _parameter("query", "offset", "Jobs to skip.", type="integer", minimum=0, default=0)
KEY = _parameter(
    "header",
    "Idempotency-Key",
    "The same key again is the same request, and does nothing more.",
    type="string",
    maxLength=255,
)
PREFER = _parameter(
    "header",
    "Prefer",
    "`wait=N`: hold the request for up to N seconds (RFC 7240).",
    type="string",
    examples=["wait=25"],
)
KNOWN = _parameter(
    "header",
    "If-None-Match",
    "ETags that are known: 304 if the job is still like that (RFC 9110).",
    type="string",
)
LEASE = {
    **_parameter("header", "Telerun-Lease", "The attempt's lease token.", type="string"),
    "required": True,
}


# --- Answers -----------------------------------------------------------------------------


def _header(about: str, **schema: Any) -> dict[str, Any]:
    return {"description": about, "schema": schema or STRING}


ETAG = {"ETag": _header("Differs whenever the job looks different.")}
LOCATION = {"Location": _header("The job's address.")}
APPLIED = {"Preference-Applied": _header("Where `Prefer` was sent: `wait=N`, as it was applied.")}
RETRY = {"Retry-After": {**_header("Seconds.", type="integer", minimum=1), "required": True}}
CHALLENGE = {"WWW-Authenticate": {**_header("Bearer (RFC 6750)."), "required": True}}


def _answer(about: str, shape: str = "", **headers: Any) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": about}
    if shape:
        answer["content"] = {"application/json": {"schema": ref(shape)}}
    return {**answer, "headers": headers} if headers else answer


def _problem(about: str, **headers: Any) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": ref("Problem")}}
    answer: dict[str, Any] = {"description": about, "content": content}
    return {**answer, "headers": headers} if headers else answer


AS_BYTES = {"application/octet-stream": {"schema": BYTES}}
PROBLEMS = {
    400: _problem("`invalid-request`, `malformed-request`"),
    401: _problem("`not-authenticated`, `invalid-token`", **CHALLENGE),
    403: _problem("`wrong-token-kind`; to a claim also `executor-disabled`"),
    404: _problem("`not-found`: somebody else's, too"),
    406: _problem("`not-acceptable`: `Accept` does not allow JSON"),
    411: _problem("`length-required`: the body came in chunks"),
    413: _problem("`source-too-large`, `files-too-large`, `body-too-large`"),
    415: _problem("`unsupported-media-type`: not JSON, or compressed"),
    429: _problem(
        "`too-many-requests` (submissions, or bodies at once), `too-many-wrong-tokens`", **RETRY
    ),
    503: _problem("`unavailable`: the same request may fare better later", **RETRY),
}
EVERYWHERE = (401, 403, 406, 411, 429, 503)
WITH_BODY = (400, 413, 415)


class Endpoint(NamedTuple):
    """What drf-spectacular cannot see in a view."""

    id: str
    summary: str
    answers: dict[int, dict[str, Any]]
    problems: tuple[int, ...] = ()
    parameters: tuple[dict[str, Any], ...] = ()
    body: Any = None


ABOUT_ITSELF = {
    "application/json": {**ANYTHING, "description": "What the executor tells of itself."}
}
_LOST = {409: _problem("`lease-lost`")}

ENDPOINTS = {
    ("Jobs", "POST"): Endpoint(
        "submit",
        "Submit a program.",
        {
            201: _answer("The job.", "Job", **ETAG, **LOCATION),
            409: _problem("`pending-job`: `job` is its id"),
            422: _problem("`idempotency-key-reused`"),
        },
        WITH_BODY,
        (OVERRIDE, KEY),
        SubmissionIn,
    ),
    ("Jobs", "GET"): Endpoint(
        "list_jobs",
        "One's own jobs, newest first.",
        {200: _answer("A page.", "JobPage")},
        (400,),
        (LIMIT, OFFSET),
    ),
    ("OneJob", "GET"): Endpoint(
        "get_job",
        "One job; with `Prefer` and `If-None-Match`, as soon as it differs.",
        {
            200: _answer("The job.", "Job", **ETAG, **APPLIED),
            304: _answer("It is as it was.", **ETAG, **APPLIED),
        },
        (404,),
        (PREFER, KNOWN),
    ),
    ("CancelJob", "POST"): Endpoint(
        "cancel_job",
        "Cancel a queued job, or have a running one stopped.",
        {200: _answer("The job.", "Job", **ETAG), 409: _problem("`already-over`")},
        (404,),
    ),
    ("Claims", "POST"): Endpoint(
        "claim",
        "Take the next job, or wait for one.",
        {
            201: _answer("An attempt at a job.", "Claim", **APPLIED),
            204: _answer("There is none.", **APPLIED),
        },
        WITH_BODY,
        (PREFER, KEY),
        ABOUT_ITSELF,
    ),
    ("Self", "PUT"): Endpoint(
        "tell",
        "Tell of itself, without asking for a job.",
        {204: _answer("It is noted.")},
        WITH_BODY,
        body=ABOUT_ITSELF,
    ),
    ("AttemptHeartbeat", "POST"): Endpoint(
        "heartbeat",
        "Renew the lease.",
        {200: _answer("The lease.", "Heartbeat"), **_LOST},
        (404, *WITH_BODY),
        body=HeartbeatIn,
    ),
    ("AttemptResult", "PUT"): Endpoint(
        "finish",
        "Report the result. Further members are kept as `details`.",
        {
            200: _answer("It is taken, or was before.", "Reported"),
            409: _problem("`lease-lost`, `result-conflict`"),
        },
        (404, *WITH_BODY),
        body=ResultIn,
    ),
    ("AttemptFile", "PUT"): Endpoint(
        "send_file",
        "Send an output file, before the result. Sent again, it takes the place of the one before.",
        {200: _answer("It is kept.", "File"), **_LOST},
        (400, 404, 413),
        (LEASE,),
        AS_BYTES,
    ),
    ("JobFile", "GET"): Endpoint(
        "get_file",
        "An output file that the job's result lists.",
        {
            200: {
                "description": "Its bytes.",
                "content": {"application/octet-stream": {"schema": BYTES}},
            }
        },
        (404,),
    ),
    ("AttemptRelease", "POST"): Endpoint(
        "release",
        "Give the job back.",
        {200: _answer("It is given back.", "Reported"), **_LOST},
        (404, *WITH_BODY),
        body=ReleaseIn,
    ),
}


# --- The document ------------------------------------------------------------------------


class Described(AutoSchema):
    """How one method of one view is described. KeyError for one that is not in ENDPOINTS."""

    @property
    def _endpoint(self) -> Endpoint:
        return ENDPOINTS[type(self.view).__name__, self.method]

    def get_operation_id(self) -> str:
        return self._endpoint.id

    def get_summary(self) -> str:
        return self._endpoint.summary

    def get_description(self) -> str:
        return ""

    def get_tags(self) -> list[str]:
        return ["users" if self._is_users else "executors"]

    def get_auth(self) -> list[dict[str, list[str]]]:
        return [{"userToken" if self._is_users else "executorToken": []}]

    @property
    def _is_users(self) -> bool:
        return IsUser in self.view.permission_classes

    def get_request_serializer(self) -> Any:
        return self._endpoint.body

    def get_response_serializers(self) -> Any:
        return {}  # answers are no serializers' work

    def _get_parameters(self) -> list[dict[str, Any]]:
        return [*super()._get_parameters(), *self._endpoint.parameters]

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        problems = {code: PROBLEMS[code] for code in (*EVERYWHERE, *self._endpoint.problems)}
        answers = {**self._endpoint.answers, **problems}
        return {str(code): answers[code] for code in sorted(answers)}


def complete(result: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
    """A hook of drf-spectacular: adds what is the same everywhere, and the open addresses."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {}).update(SCHEMAS)
    bearer = {"type": "http", "scheme": "bearer"}
    components["securitySchemes"] = {
        "userToken": {**bearer, "description": "A user's token, `tlru_...`"},
        "executorToken": {**bearer, "description": "An executor's token, `tlre_...`"},
    }
    result["info"]["description"] = ABOUT
    result["paths"]["/healthz"] = {"get": _open("health", "Whether it can serve.", "Health", 503)}
    result["paths"]["/api/v1/schema"] = {"get": _open("schema", "This document.")}
    return result


def _open(name: str, summary: str, shape: str = "", *problems: int) -> dict[str, Any]:
    """An address for everyone."""
    found = _answer(summary, shape) if shape else {
        "description": summary,
        "content": {"application/vnd.oai.openapi+json": {"schema": {"type": "object"}}},
    }  # fmt: skip
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["everyone"],
        "security": [],
        "responses": {
            "200": found,
            **{str(code): PROBLEMS[code] for code in (411, *problems)},
        },
    }


@functools.cache
def document() -> bytes:
    """The whole, as JSON; made once a process."""
    made = SchemaGenerator().get_schema(request=None, public=True)
    return OpenApiJsonRenderer().render(made)
