"""Routes of the wallet sessions of this node, for its operator."""

from fastapi import APIRouter
from starlette.responses import Response

from escrowd.api.answers import json_response
from escrowd.api.asking import CallerOf, GuardedRoute
from escrowd.api.documenting import problems
from escrowd.api.parts import Parts
from escrowd.api.reading import EscrowPath, escrow_id
from escrowd.domain.access import Scope
from escrowd.service.front.escrows import require
from escrowd.wire import sessions as wire

router = APIRouter(prefix="/v1/sessions", tags=["sessions"], route_class=GuardedRoute)


@router.get("", response_model=wire.SessionList, operation_id="list_sessions", responses=problems())
async def list_sessions(caller: CallerOf, parts: Parts) -> Response:
    """List the wallet sessions that are open on this node. For keys with `admin`."""
    require(caller, Scope.ADMIN)
    return json_response(wire.SessionList(items=parts.sessions.all()))


@router.get("/stats", response_model=wire.SessionStats, operation_id="session_stats", responses=problems())
async def session_stats(caller: CallerOf, parts: Parts) -> Response:
    """Count the wallet sessions of this node. For keys with `admin`."""
    require(caller, Scope.ADMIN)
    return json_response(parts.sessions.stats())


@router.delete("/{escrow}", status_code=204, operation_id="close_session", responses=problems(404))
async def close_session(escrow: EscrowPath, caller: CallerOf, parts: Parts) -> Response:
    """Save and close the wallets of an escrow as soon as nobody uses them. The next use opens them again.

    For keys with `admin`. Where no session is open, nothing happens.
    """
    require(caller, Scope.ADMIN)
    id_ = escrow_id(escrow)
    await parts.sessions.close(id_)
    async with parts.store.transaction() as tx:
        await tx.audit.note(caller.name, "close session", id_)
    return Response(status_code=204)
