"""How an address is described in the OpenAPI document, beside its view.

`extend_schema` takes what drf-spectacular's decorator of that name takes, and only notes it: the
real one imports the generator, which a server has no use for. `make openapi` makes the document
from the notes (telerun_site/openapi.py); it is committed, and served as the file that it is.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, TypedDict, TypeVar

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

F = TypeVar("F", bound=Callable[..., Any])

PROBLEM_TYPE = "application/problem+json"
BYTES_TYPE = "application/octet-stream"
BYTES = {"type": "string", "contentMediaType": BYTES_TYPE}
FREE_FORM = {
    "application/json": {
        "type": "object",
        "additionalProperties": {},
        "description": "What the executor tells of itself.",
    }
}


class ProblemAnswer(TypedDict):
    """RFC 9457. `type` ends in a stable slug to branch on."""

    type: Annotated[str, {"pattern": "^/problems/[a-z-]+$"}]
    title: str
    status: int
    detail: str


# What a status says, by its slugs, wherever an address says nothing else of it.
PROBLEMS = {
    400: "`invalid-request`, `malformed-request`",
    401: "`not-authenticated`, `invalid-token`",
    403: "`wrong-token-kind`, `wrong-user`; to a claim also `executor-disabled`",
    404: "`not-found`: somebody else's, too",
    406: "`not-acceptable`: `Accept` does not allow JSON",
    411: "`length-required`: the body came in chunks",
    413: "`source-too-large`, `files-too-large`, `body-too-large`",
    415: "`unsupported-media-type`: not JSON, or compressed",
    429: "`too-many-requests` (submissions, or bodies at once), `too-many-wrong-tokens`",
    503: "`unavailable`: the same request may fare better later",
}
EVERYWHERE = (401, 403, 406, 411, 429, 503)
WITH_BODY = (400, 413, 415)
LEASE_LOST = {409: "`lease-lost`"}


def extend_schema(
    *,
    responses: dict[int, Any],
    problems: tuple[int, ...] = (),
    own_problems: Mapping[int, str] = MappingProxyType({}),
    **more: Any,
) -> Callable[[F], F]:
    """Notes how a view's method is described.

    `responses`: by status, made with `answer`. `problems`: statuses of PROBLEMS that it answers
    beside those of any address. `own_problems`: statuses with slugs that are its own.
    """
    described = {code: PROBLEMS[code] for code in (*EVERYWHERE, *problems)} | dict(own_problems)

    def note(method: F) -> F:
        method.api_description = {  # type: ignore[attr-defined]
            **more,
            "responses": {
                **responses,
                **{(code, PROBLEM_TYPE): problem(text) for code, text in described.items()},
            },
        }
        return method

    return note


def answer(description: str, shape: Any = None) -> OpenApiResponse:
    """An answer: what it means, and the TypedDict, or schema, of its body."""
    return OpenApiResponse(shape, description)


def problem(slugs: str) -> OpenApiResponse:
    """An answer that is a problem document."""
    return OpenApiResponse(ProblemAnswer, slugs)


def header(name: str, description: str, *statuses: int, required: bool = False) -> Any:
    """A header of the answers with these statuses."""
    schema = {"type": "integer", "minimum": 1} if name == "Retry-After" else {"type": "string"}
    return OpenApiParameter(
        name,
        schema,
        OpenApiParameter.HEADER,
        required=required,
        description=description,
        response=list(statuses),
    )


def request_header(name: str, description: str, *, required: bool = False, **schema: Any) -> Any:
    """A header of the request."""
    return OpenApiParameter(
        name,
        {"type": "string", **schema},
        OpenApiParameter.HEADER,
        required=required,
        description=description,
    )


def query(name: str, description: str, **schema: Any) -> Any:
    """A parameter in the address."""
    return OpenApiParameter(name, schema, OpenApiParameter.QUERY, description=description)
