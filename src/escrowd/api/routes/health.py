"""Routes for machines of the operator: is it there, can it work, what does it count."""

import structlog
from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import PlainTextResponse, Response

from escrowd.api.answers import MEDIA_TYPE
from escrowd.api.parts import Parts
from escrowd.domain.errors import EscrowdError
from escrowd.wire import health as wire

router = APIRouter(tags=["health"])

log = structlog.get_logger()


@router.get("/healthz", operation_id="healthz", response_class=PlainTextResponse, openapi_extra={"security": []})
async def healthz() -> Response:
    """Say that the process answers. Whether it can do its work is said by /readyz."""
    return PlainTextResponse("ok")


@router.get(
    "/readyz",
    response_model=wire.Readiness,
    operation_id="readyz",
    openapi_extra={"security": []},
    responses={
        503: {"model": wire.Readiness, "description": "Something is missing: what is false cannot be relied upon."}
    },
)
async def readyz(parts: Parts) -> Response:
    """Say whether the service can do its work: each condition by name."""
    found = await parts.readiness()
    problems = {name: problem for name, problem in found.items() if problem}
    conditions = {name: not problem for name, problem in found.items()}
    told = wire.Readiness(ready=not problems, conditions=conditions, problems=problems, warnings=dict(parts.warnings()))
    return Response(told.model_dump_json(), 200 if told.ready else 503, media_type=MEDIA_TYPE)


@router.get("/metrics", operation_id="metrics", response_class=PlainTextResponse, openapi_extra={"security": []})
async def metrics(request: Request, parts: Parts) -> Response:
    """Tell Prometheus what was counted."""
    is_ready = not any((await parts.readiness()).values())
    try:
        async with parts.store.reading() as tx:
            escrows = await tx.escrows.count_by_status()
            oldest_payout = await tx.escrows.oldest_payout()
        request.app.state.state_metrics.note(escrows, oldest_payout, is_ready=is_ready)
    except EscrowdError as error:
        # What the other counters say is needed most where the database does not answer.
        log.warning("metrics.without_escrows", error=str(error))
        request.app.state.state_metrics.note_not_ready()
    return Response(generate_latest(parts.metrics), headers={"Content-Type": CONTENT_TYPE_LATEST})
