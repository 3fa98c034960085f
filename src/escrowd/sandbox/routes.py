"""Routes that only a sandbox has."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from escrowd.api.answers import json_response
from escrowd.api.asking import CallerOf, GuardedRoute, body_of
from escrowd.api.documenting import problems
from escrowd.api.parts import Parts
from escrowd.domain.access import Scope
from escrowd.domain.address import MoneroAddress
from escrowd.domain.escrow.status import DEADLINE_OF
from escrowd.domain.networks import Network
from escrowd.service.front.escrows import require
from escrowd.testing.lab import RegtestLab
from escrowd.wire import sandbox as wire

router = APIRouter(prefix="/sandbox", tags=["sandbox"], route_class=GuardedRoute)


def lab_of(request: Request) -> RegtestLab:
    """Return the private chain of this sandbox."""
    lab: RegtestLab = request.app.state.lab
    return lab


Lab = Annotated[RegtestLab, Depends(lab_of)]


@router.post("/mine", response_model=wire.Mined, operation_id="mine", responses=problems(changes=True))
async def mine(caller: CallerOf, body: Annotated[wire.Mine, Depends(body_of(wire.Mine))], lab: Lab) -> Response:
    """Mine blocks."""
    require(caller, Scope.ESCROWS_WRITE)
    return json_response(wire.Mined(height=await lab.mine(body.blocks)))


@router.post("/fund", response_model=wire.Funded, operation_id="fund", responses=problems(409, changes=True))
async def fund(caller: CallerOf, body: Annotated[wire.Fund, Depends(body_of(wire.Fund))], lab: Lab) -> Response:
    """Pay an address, as its buyer would."""
    require(caller, Scope.ESCROWS_WRITE)
    MoneroAddress.parse(body.address, Network.REGTEST)
    return json_response(wire.Funded(txid=await lab.pay(body.address, body.amount)))


@router.post("/clock", response_model=wire.Clock, operation_id="advance_clock", responses=problems(changes=True))
async def advance_clock(
    caller: CallerOf, body: Annotated[wire.AdvanceClock, Depends(body_of(wire.AdvanceClock))], parts: Parts
) -> Response:
    """Let the clock of deadlines jump ahead. The time of day stays what it is."""
    require(caller, Scope.ESCROWS_WRITE)
    async with parts.store.transaction() as tx:
        moment = await tx.clock.advance(1000 * body.advance_seconds)
        for escrow in await tx.escrows.with_status(*DEADLINE_OF, limit=MOST_WOKEN):
            await tx.wake(escrow)
    return json_response(wire.Clock(running_seconds=moment.running // 1000))


#: More escrows than a sandbox will ever have.
MOST_WOKEN: Final = 100_000
