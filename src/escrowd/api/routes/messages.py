"""Routes of multisig messages, for roles with own custody. They are not offered yet, and say so."""

from typing import NoReturn

from fastapi import APIRouter
from starlette.responses import Response

from escrowd.api.asking import CallerOf
from escrowd.api.documenting import problems
from escrowd.api.parts import ApiParts, Parts
from escrowd.api.reading import escrow_id
from escrowd.domain.access import Caller
from escrowd.service.errors import MessagesNotOffered

router = APIRouter(prefix="/v1/escrows/{escrow}/messages", tags=["messages"])


@router.get("", operation_id="list_messages", status_code=409, responses=problems(404, 409))
async def list_messages(escrow: str, caller: CallerOf, parts: Parts) -> Response:
    """Show the multisig messages of a role with own custody. Not offered yet: refused."""
    return await _refuse(escrow, caller, parts)


@router.post("", operation_id="send_message", status_code=409, responses=problems(404, 409))
async def send_message(escrow: str, caller: CallerOf, parts: Parts) -> Response:
    """Send a multisig message of a role with own custody. Not offered yet: refused."""
    return await _refuse(escrow, caller, parts)


# ---------------------------------------------------------------------------------------------------------------------


async def _refuse(escrow: str, caller: Caller, parts: ApiParts) -> NoReturn:
    async with parts.store.reading() as tx:
        await parts.desk.see(tx, caller, escrow_id(escrow))
    raise MessagesNotOffered
