"""The OpenAPI document: what FastAPI finds out by itself, and what it cannot know."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic.json_schema import models_json_schema

from escrowd.api.answers import REPLAYED
from escrowd.api.asking import BODY_MODEL, IDEMPOTENCY_KEY
from escrowd.api.problems import MEDIA_TYPE, all_kinds
from escrowd.wire.problems import Problem
from escrowd.wire.values import Request

DESCRIPTION: Final = """
2-of-3 multisig escrow for Monero. Amounts are whole piconero (10^-12 XMR), as decimal strings. Times are UTC.

Send a key, or the token of a party, with `Authorization: Bearer …`. Every `POST` that changes something takes an
`Idempotency-Key`: the same key and body give the stored answer. Errors are problem documents (RFC 9457) with a stable
`code`.
"""


def problems(*statuses: int, changes: bool = False) -> dict[int | str, dict[str, Any]]:
    """Declare the problems that a route may answer with: its own, and those of every route.

    ``changes``: the route takes a body.
    """
    of_bodies = (400, 413, 415) if changes else ()
    return {status: _declared(status) for status in sorted({*_OF_ALL, *of_bodies, *statuses})}


def document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of an application."""
    if app.openapi_schema is None:
        written = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
        )
        # The routes of an included router stand behind it, and not among those of the application.
        every = (each.original_route for each in iter_route_contexts(app.routes))
        app.openapi_schema = _completed(written, [each for each in every if isinstance(each, APIRoute)])
    return app.openapi_schema


# ---------------------------------------------------------------------------------------------------------------------

_OF_ALL: Final = (401, 403, 422, 429, 500, 503)
_SCHEMA_OF_PROBLEM: Final = {"$ref": "#/components/schemas/Problem"}


def _declared(status: int) -> dict[str, Any]:
    codes = ", ".join(f"`{each.code}`" for each in all_kinds() if each.status == status)
    return {"description": f"A problem: {codes}", "content": {MEDIA_TYPE: {"schema": _SCHEMA_OF_PROBLEM}}}


def _completed(written: dict[str, Any], routes: Iterable[APIRoute]) -> dict[str, Any]:
    bodies = {
        (route.path, method.lower()): model
        for route in routes
        if (model := _body_model(route)) is not None
        for method in route.methods or ()
    }
    models = [(each, "validation") for each in (Problem, *dict.fromkeys(bodies.values()))]
    _, schemas = models_json_schema(cast("Any", models), ref_template="#/components/schemas/{model}")
    components = written.setdefault("components", {})
    components["schemas"] = components.get("schemas", {}) | schemas["$defs"]
    components["headers"] = _HEADERS
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    written["security"] = [{"bearer": []}]
    for (path, method), model in bodies.items():
        written["paths"][path][method]["requestBody"] = _request_body(model)
    for name in _FORMS_OF_FASTAPI:
        components["schemas"].pop(name, None)
    for item in cast("Mapping[str, Mapping[str, Any]]", written["paths"]).values():
        for operation in item.values():
            _complete(operation)
    return written


def _request_body(model: type[Request]) -> dict[str, Any]:
    return {
        "required": _has_required(model),
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}},
    }


def _complete(operation: dict[str, Any]) -> None:
    """Put problem documents where FastAPI would answer in a form of its own, and name the headers of each answer."""
    responses = operation["responses"]
    if _FORMS_OF_FASTAPI[0] in str(responses.get("422", "")):
        responses["422"] = _declared(422)
    is_done_once = any(each["name"] == IDEMPOTENCY_KEY for each in operation.get("parameters", ()))
    for status, response in responses.items():
        if response["description"] == _SAID_BY_FASTAPI:
            response["description"] = "What was asked for." if "content" in response else "It was done."
        names = ["X-Request-Id", *_HEADERS_OF_STATUS.get(status, ())]
        if is_done_once and status.startswith("2"):
            names.append(REPLAYED)
        response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}


_SAID_BY_FASTAPI: Final = "Successful Response"
#: What FastAPI would call the form of its own validation errors.
_FORMS_OF_FASTAPI: Final = ("HTTPValidationError", "ValidationError")
_HEADERS: Final[dict[str, Any]] = {
    "X-Request-Id": {
        "description": "The id of the request, to be found in the log. One that the request brings is kept.",
        "required": True,
        "schema": {"type": "string"},
    },
    REPLAYED: {
        "description": "There, and `true`, where the request was done before and this is the answer that it got then.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Retry-After": {
        "description": "Seconds after which the same request may be made again.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {"description": "How to say who calls.", "required": True, "schema": {"type": "string"}},
}
_HEADERS_OF_STATUS: Final = {"401": ("WWW-Authenticate",), "429": ("Retry-After",), "503": ("Retry-After",)}


def _body_model(route: APIRoute) -> type[Request] | None:
    reads = (each.call for each in route.dependant.dependencies)
    return next((getattr(each, BODY_MODEL) for each in reads if hasattr(each, BODY_MODEL)), None)


def _has_required(model: type[Request]) -> bool:
    return any(field.is_required() for field in model.model_fields.values())
