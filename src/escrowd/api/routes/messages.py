"""Routes of multisig messages, for roles with own custody. They are not offered yet, and say so."""

from typing import Annotated, NoReturn

from fastapi import APIRouter, Depends
from starlette.responses import JSONResponse, Response

from escrowd.api.asking import CallerOf, GuardedRoute, body_of
from escrowd.api.documenting import problems
from escrowd.api.parts import ApiParts, Parts
from escrowd.api.problems import MEDIA_TYPE
from escrowd.api.reading import EscrowPath, escrow_id
from escrowd.domain.access import Caller
from escrowd.service.errors import MessagesNotOffered
from escrowd.wire.messages import AnyMessage
from escrowd.wire.problems import Problem

router = APIRouter(prefix="/v1/escrows/{escrow}/messages", tags=["messages"], route_class=GuardedRoute)


class _Refusal(JSONResponse):
    """What FastAPI knows to hold JSON: of any other kind it says in the document that it holds text."""

    media_type = MEDIA_TYPE


@router.get(
    "",
    operation_id="list_messages",
    status_code=409,
    response_model=Problem,
    response_class=_Refusal,
    responses=problems(404, 409),
)
async def list_messages(escrow: EscrowPath, caller: CallerOf, parts: Parts) -> Response:
    """Show the multisig messages of a role with own custody. Not offered yet: refused."""
    return await _refuse(escrow, caller, parts)


@router.post(
    "",
    operation_id="send_message",
    status_code=409,
    response_model=Problem,
    response_class=_Refusal,
    responses=problems(404, 409, changes=True),
)
async def send_message(
    escrow: EscrowPath,
    caller: CallerOf,
    _body: Annotated[AnyMessage, Depends(body_of(AnyMessage))],
    parts: Parts,
) -> Response:
    """Send a multisig message of a role with own custody. Not offered yet: refused, whatever it holds."""
    return await _refuse(escrow, caller, parts)


# ---------------------------------------------------------------------------------------------------------------------


async def _refuse(escrow: str, caller: Caller, parts: ApiParts) -> NoReturn:
    async with parts.store.reading() as tx:
        await parts.desk.see(tx, caller, escrow_id(escrow))
    raise MessagesNotOffered
