"""Makes the OpenAPI document: `make openapi`, that is `manage.py spectacular`.

drf-spectacular finds the addresses and reads what they take; what they answer stands beside the
views (foundation/api/description.py), with TypedDicts for the bodies. No server imports this.
"""

import types
from typing import (
    Annotated,
    Any,
    Literal,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from django.db.models import Choices
from drf_spectacular.extensions import OpenApiSerializerExtension, OpenApiSerializerFieldExtension
from drf_spectacular.plumbing import build_array_type, build_basic_type, build_object_type
from drf_spectacular.utils import extend_schema

from accounts.permissions import IsUser
from foundation.api.answers import LOG_DESCRIPTION
from foundation.api.description import PROBLEMS, header

ABOUT = """\
The queue's API. `docs/api.md` says how it is used.

Whatever is no request of HTTP/1.1 is refused before it is one of the API, in plain words and with
status 400, 414, 417, 431 or 501. An address that is not here is answered 404, a method that is not
here 405, both as a problem.
"""
PROBLEM_HEADERS = [
    header("WWW-Authenticate", "Bearer (RFC 6750).", 401, required=True),
    header("Retry-After", "Seconds.", 429, 503, required=True),
]


# --- What an answer's type says ----------------------------------------------------------


class _TypedDict(type):
    def __subclasscheck__(cls, other: type) -> bool:
        return is_typeddict(other)


class AnyTypedDict(metaclass=_TypedDict):
    """Any TypedDict counts as a subclass, which Python itself has no base class for."""


class TypedAnswer(OpenApiSerializerExtension):
    """Reads a TypedDict as drf-spectacular reads a serializer."""

    target_class = AnyTypedDict
    match_subclasses = True

    def get_name(self, auto_schema: Any, direction: Any) -> str:
        return self.target.__name__.removesuffix("Answer")

    def get_identity(self, auto_schema: Any, direction: Any) -> Any:
        return self.target

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        hints = get_type_hints(self.target, include_extras=True)

        def component(answer: Any) -> dict[str, Any]:
            return auto_schema.resolve_serializer(answer, direction).ref

        properties = {name: schema_of(hint, component) for name, hint in hints.items()}
        required = [name for name in properties if name in self.target.__required_keys__]
        schema = build_object_type(properties=properties, required=required)
        return {**schema, "description": (self.target.__doc__ or "").strip()}


class LogField(OpenApiSerializerFieldExtension):
    """The bytes of a log in what is taken."""

    target_class = "foundation.api.inputs.Log"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        return {"type": "string", "description": LOG_DESCRIPTION}


def schema_of(hint: Any, component: Any) -> dict[str, Any]:
    """JSON Schema (OpenAPI 3.1) of a member's type; `component` names that of a TypedDict.

    Annotations are a description, or a dictionary of more of the schema.
    """
    if get_origin(hint) is Annotated:
        inner, more = get_args(hint)
        more = {"description": more} if isinstance(more, str) else more
        return {**schema_of(inner, component), **more}
    if get_origin(hint) in (Union, types.UnionType):
        return _schema_of_union(get_args(hint), component)
    if get_origin(hint) is list:
        return build_array_type(schema_of(get_args(hint)[0], component))
    if get_origin(hint) is Literal:
        return {"type": "string", "enum": list(get_args(hint))}
    if is_typeddict(hint):
        return component(hint)
    if get_origin(hint) is dict:
        return {"type": "object", "additionalProperties": {}}
    if issubclass(hint, Choices):
        return {"type": "string", "enum": list(hint.values)}
    return build_basic_type(hint)


def _schema_of_union(hints: tuple[Any, ...], component: Any) -> dict[str, Any]:
    """One type or null, or enumerations that are joined."""
    schemas = [schema_of(hint, component) for hint in hints if hint is not type(None)]
    joined = dict(schemas[0])
    if len(schemas) > 1:
        joined["enum"] = [value for schema in schemas for value in schema["enum"]]
    if type(None) not in hints:
        return joined
    if "$ref" in joined:
        return {"oneOf": [joined, {"type": "null"}]}
    if "enum" in joined:
        joined["enum"] = [*joined["enum"], None]
    return {**joined, "type": [joined["type"], "null"]}


# --- drf-spectacular's hooks -------------------------------------------------------------


def apply_descriptions(endpoints: list[Any]) -> list[Any]:
    """Before: hands each view's notes to the real `extend_schema`."""
    described = []
    for path, path_regex, method, callback in endpoints:
        if (view := getattr(callback, "cls", None)) is None:
            continue
        function = getattr(view, method.lower())
        notes = function.api_description
        kind, token = _whose(view.permission_classes)
        more = {
            "tags": [kind],
            "auth": [{token: []}] if token else [{}],
            "parameters": [*notes.get("parameters", []), *PROBLEM_HEADERS],
        }
        extend_schema(**{"request": None, **notes, **more})(function)
        described.append((path, path_regex, method, callback))
    return described


def _whose(permissions: tuple[Any, ...]) -> tuple[str, str]:
    """For whom an address is, and the kind of token that it takes."""
    if not permissions:
        return "everyone", ""
    return ("users", "userToken") if IsUser in permissions else ("executors", "executorToken")


def complete(result: dict[str, Any], generator: Any, **_kwargs: Any) -> dict[str, Any]:
    """After: adds the kinds of tokens and the addresses that are open to everyone."""
    bearer = {"type": "http", "scheme": "bearer"}
    components = result.setdefault("components", {})
    components["securitySchemes"] = {
        "userToken": {**bearer, "description": "A user's token, `tlru_...`"},
        "executorToken": {**bearer, "description": "An executor's token, `tlre_...`"},
    }
    texts = {name: build_basic_type(str) for name in ("version", "sha256", "url")}
    components["schemas"]["Client"] = build_object_type(properties=texts, required=list(texts))
    components["schemas"]["Health"] = build_object_type(
        properties={"status": {"type": "string", "const": "ok"}}, required=["status"]
    )
    result["info"]["description"] = ABOUT
    health = {"application/json": {"schema": {"$ref": "#/components/schemas/Health"}}}
    schema = {"application/vnd.oai.openapi+json": {"schema": {"type": "object"}}}
    client = {"application/json": {"schema": {"$ref": "#/components/schemas/Client"}}}
    about_client = "Which submit.py this queue hands out, and where."
    result["paths"]["/api/v1/client"] = {"get": _open("client", about_client, client)}
    result["paths"]["/healthz"] = {"get": _open("health", "Whether it can serve.", health, 503)}
    result["paths"]["/api/v1/schema"] = {"get": _open("schema", "This document.", schema)}
    return result


def _open(name: str, summary: str, content: dict[str, Any], *problems: int) -> dict[str, Any]:
    """An address for everyone."""
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["everyone"],
        "security": [],
        "responses": {
            "200": {"description": summary, "content": content},
            **{str(code): _problem(code) for code in (411, *problems)},
        },
    }


def _problem(code: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    found = {
        "description": PROBLEMS[code],
        "content": {"application/problem+json": {"schema": schema}},
    }
    if code == 503:
        retry = {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}
        found["headers"] = {"Retry-After": {**retry, "required": True}}
    return found
