"""The application: routes, the frame around them, and how errors are answered."""

from collections.abc import Iterable
from typing import Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.responses import Response

from escrowd import __version__
from escrowd.api.documenting import DESCRIPTION, document
from escrowd.api.errors import InvalidRequest, MethodNotAllowed, NoSuchPath
from escrowd.api.frame import Frame, note_failure
from escrowd.api.http_metrics import HttpMetrics, StateMetrics
from escrowd.api.parts import ApiParts
from escrowd.api.problems import problem_response
from escrowd.api.routes import actions, escrows, events, health, messages, sessions, webhooks
from escrowd.domain.errors import EscrowdError
from escrowd.wire.problems import FieldProblem

#: For who has a key or a token.
ROUTERS: Final = (
    escrows.router,
    actions.router,
    events.router,
    webhooks.router,
    messages.router,
    sessions.router,
)


def build_app(parts: ApiParts, further: Iterable[APIRouter] = ()) -> FastAPI:
    """Put the application together, with ``further`` routes."""
    app = app_of_routes(further)
    app.state.parts = parts
    app.state.state_metrics = StateMetrics(parts.metrics)
    app.add_middleware(
        Frame,
        rates=parts.rates,
        metrics=HttpMetrics(parts.metrics),
        most_body_bytes=parts.settings.most_body_bytes,
        observe=parts.observe,
    )
    app.add_exception_handler(EscrowdError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_error)
    return app


def app_of_routes(further: Iterable[APIRouter] = ()) -> FastAPI:
    """Return an application with all routes and nothing behind them: what there is to document.

    Its documents need no other host.
    """
    app = FastAPIOffline(
        title="escrowd",
        version=__version__,
        description=DESCRIPTION,
        redoc_url=None,
        static_url="/docs/static",
        # A slash too many is another path, and no redirect that would lose a body.
        redirect_slashes=False,
    )
    # As they are, and before those of the documents: of a router that is included FastAPI looks through all routes
    # twice, with each request.
    app.router.routes[:0] = [each for router in (*ROUTERS, *further, health.router) for each in router.routes]
    app.openapi = lambda: document(app)  # type: ignore[method-assign] # the documented way to another document
    return app


# ---------------------------------------------------------------------------------------------------------------------


async def _on_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, EscrowdError):
        raise error
    note_failure(error, request.url.path)
    return problem_response(error)


async def _on_invalid(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    return problem_response(
        InvalidRequest(
            [FieldProblem(field=".".join(map(str, each["loc"])), message=str(each["msg"])) for each in error.errors()]
        )
    )


async def _on_http_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    response = problem_response(MethodNotAllowed() if error.status_code == _METHOD_NOT_ALLOWED else NoSuchPath())
    response.headers.update(error.headers or {})
    return response


_METHOD_NOT_ALLOWED: Final = 405
