"""The OpenAPI document: what FastAPI finds out by itself, and what it cannot know."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from escrowd.api.asking import BODY_MODEL
from escrowd.api.problems import MEDIA_TYPE, all_kinds
from escrowd.wire.problems import Problem
from escrowd.wire.values import Request

DESCRIPTION: Final = """
2-of-3 multisig escrow for Monero. Amounts are whole piconero (10^-12 XMR), as decimal strings. Times are UTC.

Send a key, or the token of a party, with `Authorization: Bearer …`. Every `POST` takes an `Idempotency-Key`: the same
key and body give the stored answer. Errors are problem documents (RFC 9457) with a stable `code`.
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
        app.openapi_schema = _completed(written, [each for each in app.routes if isinstance(each, APIRoute)])
    return app.openapi_schema


# ---------------------------------------------------------------------------------------------------------------------

_OF_ALL: Final = (401, 403, 422, 429, 503)
_SCHEMA_OF_PROBLEM: Final = {"$ref": "#/components/schemas/Problem"}


def _declared(status: int) -> dict[str, Any]:
    codes = ", ".join(f"`{each.code}`" for each in all_kinds() if each.status == status)
    return {"description": f"A problem: {codes}", "content": {MEDIA_TYPE: {"schema": _SCHEMA_OF_PROBLEM}}}


def _completed(written: dict[str, Any], routes: Iterable[APIRoute]) -> dict[str, Any]:
    bodies = {route: model for route in routes if (model := _body_model(route)) is not None}
    models = [(each, "validation") for each in (Problem, *dict.fromkeys(bodies.values()))]
    _, schemas = models_json_schema(cast("Any", models), ref_template="#/components/schemas/{model}")
    components = written.setdefault("components", {})
    components["schemas"] = components.get("schemas", {}) | schemas["$defs"]
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    written["security"] = [{"bearer": []}]
    for route, model in bodies.items():
        for method in route.methods or ():
            operation = written["paths"][route.path][method.lower()]
            operation["requestBody"] = {
                "required": bool(_has_required(model)),
                "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}},
            }
    return _without_defaults_of_fastapi(written)


def _body_model(route: APIRoute) -> type[Request] | None:
    reads = (each.call for each in route.dependant.dependencies)
    return next((getattr(each, BODY_MODEL) for each in reads if hasattr(each, BODY_MODEL)), None)


def _has_required(model: type[Request]) -> bool:
    return any(field.is_required() for field in model.model_fields.values())


def _without_defaults_of_fastapi(written: dict[str, Any]) -> dict[str, Any]:
    """Leave out the form of validation errors that FastAPI would answer with: ours are problem documents."""
    for name in ("HTTPValidationError", "ValidationError"):
        written["components"]["schemas"].pop(name, None)
    for path in cast("Mapping[str, Mapping[str, Any]]", written["paths"]).values():
        for operation in path.values():
            answer = operation.get("responses", {}).get("422", {})
            if "application/json" in answer.get("content", {}):
                operation["responses"]["422"] = _declared(422)
    return written
