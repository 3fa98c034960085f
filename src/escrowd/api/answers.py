"""Answers as they are sent: rendered once, and stored in that form where a request must not be done twice."""

from pydantic import BaseModel
from starlette.responses import Response

from escrowd.api.parts import ApiParts
from escrowd.api.showing import escrow_shown, link_shown
from escrowd.domain.access import Caller, Party
from escrowd.domain.identifiers import EscrowId
from escrowd.service.front.answering import Answer
from escrowd.service.front.ports import FrontTransaction
from escrowd.wire import escrows as wire

MEDIA_TYPE = "application/json"
#: Says that this is the answer that was given before.
REPLAYED = "Idempotent-Replayed"


def json_response(model: BaseModel) -> Response:
    """Send a value of the wire."""
    return Response(model.model_dump_json(), media_type=MEDIA_TYPE)


def said(model: BaseModel, status: int = 200) -> Answer:
    """Write down what is to be answered."""
    return Answer(status, model.model_dump_json())


def respond(answer: Answer) -> Response:
    """Send what was answered, now or before."""
    headers = {REPLAYED: "true"} if answer.is_replayed else None
    return Response(answer.body, answer.status, headers, MEDIA_TYPE)


async def shown_to(parts: ApiParts, caller: Caller, escrow: EscrowId) -> wire.Escrow:
    """Show an escrow as it is now. Raises NoSuchEscrow, also where it is none of the caller's business."""
    return escrow_shown(await parts.desk.see(parts.store, caller, escrow))


def first_links(parts: ApiParts, caller: Caller, escrow: EscrowId) -> tuple[wire.PartyLink, ...]:
    """Return the links that the caller may hand out of an escrow that it is making."""
    parties = [Party(escrow, role) for role in caller.hands_out_links_of()]
    return tuple(link_shown(parts.settings.public_url, each, parts.callers.first_link(each)) for each in parties)


async def links_of(
    tx: FrontTransaction, parts: ApiParts, caller: Caller, escrow: EscrowId
) -> tuple[wire.PartyLink, ...]:
    """Return the links of an escrow that the caller may hand out."""
    parties = [Party(escrow, role) for role in caller.hands_out_links_of()]
    tokens = [await parts.callers.link(tx, each) for each in parties]
    return tuple(
        link_shown(parts.settings.public_url, party, token) for party, token in zip(parties, tokens, strict=True)
    )
