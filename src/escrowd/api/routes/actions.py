"""Routes of what parties, arbiter and operator say about an escrow. Who may say what is in the state table."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from escrowd.api.answers import respond, said
from escrowd.api.asking import AskedOf, GuardedRoute, body_of
from escrowd.api.documenting import problems
from escrowd.api.parts import ApiParts, Parts
from escrowd.api.reading import EscrowPath, escrow_id
from escrowd.api.showing import escrow_shown
from escrowd.domain.escrow.events import (
    Cancelled,
    Delivered,
    Disputed,
    Divided,
    Event,
    Refunded,
    Released,
    Resumed,
    Ruled,
    Settled,
    SplitAccepted,
    SplitProposed,
)
from escrowd.domain.escrow.machine import ACTIONS
from escrowd.domain.escrow.status import Who
from escrowd.domain.escrow.table import TABLE
from escrowd.service.front.answering import Answer, Asked
from escrowd.service.front.ports import FrontTransaction
from escrowd.wire import escrows as wire

router = APIRouter(prefix="/v1/escrows/{escrow}", tags=["actions"], route_class=GuardedRoute)

#: Actions about which nothing more is to be said, and what they do.
PLAIN: Final[dict[str, tuple[Event, str]]] = {
    "deliver": (Delivered(), "Say that the goods were delivered. The inspection period begins."),
    "release": (Released(), "Pay the deposit out to the vendor."),
    "refund": (Refunded(), "Pay the deposit back to the buyer."),
    "cancel": (Cancelled(), "Call the escrow off. Only while no payment was seen."),
    "resume": (Resumed(), "Go on with an escrow that was held."),
}
#: Actions that divide the deposit.
DIVIDING: Final[dict[str, tuple[Callable[[int], Event], str]]] = {
    "rule": (Ruled, "Decide a dispute."),
    "split": (Divided, "Divide what is left of the deposit of a held escrow."),
    "propose-split": (SplitProposed, "Offer the other party to divide the deposit."),
    "accept-split": (SplitAccepted, "Take the other party's offer, naming its share."),
}


def who_may(action: str) -> str:
    """Say in words who may ever take an action, as the state table has it."""
    senders = {who for row in TABLE if row.sends is ACTIONS[action] for who in row.who}
    return ", ".join(words for who, words in _IN_WORDS.items() if who in senders)


async def carry_out(parts: ApiParts, asked: Asked, escrow: str, event: Event) -> Response:
    """Take what a caller says about an escrow, once, and answer with the escrow as it is then."""
    id_ = escrow_id(escrow)

    async def act(tx: FrontTransaction) -> Answer:
        made = await parts.desk.act(tx, asked.caller, id_, event)
        (view,) = await parts.desk.show(tx, asked.caller, [made.id])
        return said(escrow_shown(view))

    return respond(await parts.answering.once(asked, act))


# ---------------------------------------------------------------------------------------------------------------------

_IN_WORDS: Final = {
    Who.BUYER: "the buyer",
    Who.VENDOR: "the vendor",
    Who.ARBITER: "the arbiter or a key with `arbiter`",
    Who.INTEGRATOR: "a key with `escrows:write`",
    Who.OPERATOR: "a key with `admin`",
}
_Route = Callable[..., Coroutine[Any, Any, Response]]


async def _dispute(
    escrow: EscrowPath, asked: AskedOf, body: Annotated[wire.Dispute, Depends(body_of(wire.Dispute))], parts: Parts
) -> Response:
    return await carry_out(parts, asked, escrow, Disputed(body.reason))


async def _settle(
    escrow: EscrowPath,
    asked: AskedOf,
    body: Annotated[wire.Settlement, Depends(body_of(wire.Settlement))],
    parts: Parts,
) -> Response:
    return await carry_out(parts, asked, escrow, Settled(body.reason))


def _plain(event: Event) -> _Route:
    async def route(
        escrow: EscrowPath, asked: AskedOf, _body: Annotated[wire.Nothing, Depends(body_of(wire.Nothing))], parts: Parts
    ) -> Response:
        return await carry_out(parts, asked, escrow, event)

    return route


def _dividing(event: Callable[[int], Event]) -> _Route:
    async def route(
        escrow: EscrowPath, asked: AskedOf, body: Annotated[wire.Share, Depends(body_of(wire.Share))], parts: Parts
    ) -> Response:
        return await carry_out(parts, asked, escrow, event(body.vendor_share))

    return route


def _add(name: str, route: _Route, meaning: str) -> None:
    router.add_api_route(
        f"/{name}",
        route,
        methods=["POST"],
        response_model=wire.Escrow,
        operation_id=name.replace("-", "_"),
        summary=name.replace("-", " ").capitalize(),
        description=f"{meaning} For {who_may(name)}.",
        responses=problems(404, 409, changes=True),
    )


_add("dispute", _dispute, "Ask the arbiter to decide.")
_add(
    "settle",
    _settle,
    "Close a held escrow of which nothing is left that is worth its fee. It ends as its last payout in a block says: "
    "`completed`, `refunded` or `split`, and without one `cancelled`.",
)
for _name, (_event, _meaning) in PLAIN.items():
    _add(_name, _plain(_event), _meaning)
for _name, (_makes, _meaning) in DIVIDING.items():
    _add(_name, _dividing(_makes), _meaning)
