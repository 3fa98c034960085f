"""Routes of escrows: make, list, see, preview."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from escrowd.api.answers import first_links, json_response, links_of, respond, said, shown_to
from escrowd.api.asking import AskedOf, CallerOf, GuardedRoute, admitted, body_of
from escrowd.api.documenting import problems
from escrowd.api.parts import Parts, parts_of
from escrowd.api.reading import EscrowPath, EscrowQuery, cursor_text, escrow_id, filter_of, place_of, terms_of
from escrowd.api.showing import created_shown, escrow_shown, link_shown, preview_shown
from escrowd.domain.access import SCOPES_FOR_LINK, Party, Scope
from escrowd.domain.parties import WalletRole
from escrowd.service.front.answering import Answer
from escrowd.service.front.escrows import require
from escrowd.service.front.ports import FrontTransaction
from escrowd.service.front.preview import Decision, preview
from escrowd.service.payouts.errors import FeeRateUnknown
from escrowd.wire import escrows as wire
from escrowd.wire.values import Absent

router = APIRouter(prefix="/v1/escrows", tags=["escrows"], route_class=GuardedRoute)

#: The longest that a request waits for something to happen, in seconds.
LONGEST_WAIT = 60


@router.post(
    "",
    status_code=201,
    response_model=wire.CreatedEscrow,
    operation_id="create_escrow",
    responses=problems(changes=True),
)
async def create_escrow(
    request: Request, asked: AskedOf, body: Annotated[wire.NewEscrow, Depends(body_of(wire.NewEscrow))]
) -> Response:
    """Make an escrow. Where the stock holds finished wallets, its deposit address is there at once.

    The answer has the links of the parties, each a secret of its party. The arbiter's is only there for keys that have
    `arbiter` or `admin`, too. For keys with `escrows:write`.
    """
    parts = await parts_of(request)
    terms = terms_of(body, parts.settings)

    async def act(tx: FrontTransaction) -> Answer:
        view = await parts.desk.create(tx, asked.caller, terms)
        # A replay repeats these links. It goes to the same key, and the scopes of a key never change.
        return said(created_shown(view, first_links(parts, asked.caller, view.escrow.id)), 201)

    answer = await parts.answering.once(asked, act)
    parts.look_at_stock()
    return respond(answer)


@router.get("", response_model=wire.EscrowPage, operation_id="list_escrows", responses=problems())
async def list_escrows(caller: CallerOf, parts: Parts, asked_for: Annotated[EscrowQuery, Query()]) -> Response:
    """List escrows, the newest first. For every key; a party sees its own one."""
    wanted, place, limit = filter_of(asked_for), place_of(asked_for.cursor), asked_for.limit
    async with parts.store.reading() as tx:
        views = await parts.desk.page(tx, caller, wanted, place, limit + 1)
    more = len(views) > limit
    last = views[limit - 1].escrow if more else None
    return json_response(
        wire.EscrowPage(
            items=tuple(escrow_shown(each) for each in views[:limit]),
            next=cursor_text(last.created_at, last.id) if last else None,
        )
    )


@router.get("/{escrow}", response_model=wire.Escrow, operation_id="get_escrow", responses=problems(404))
async def get_escrow(
    request: Request,
    escrow: EscrowPath,
    *,
    wait: Annotated[int, Query(ge=0, le=LONGEST_WAIT, description="Seconds to wait for a newer version.")] = 0,
    after_version: Annotated[int | Absent, Query(ge=0, le=2**31 - 1, description="The version that is known.")] = None,
) -> Response:
    """Show an escrow. For every key, and for its parties.

    With `wait` and `after_version` the answer comes as soon as there is a newer version, or after that time; and 401
    where the key or link was revoked or replaced meanwhile.
    """
    caller, id_, parts = await admitted(request), escrow_id(escrow), await parts_of(request)
    if not wait:
        return json_response(await shown_to(parts, caller, id_))

    async def look() -> wire.Escrow:
        return await shown_to(parts, caller, id_)

    def is_newer(shown: wire.Escrow) -> bool:
        return after_version is None or shown.version > after_version

    party = caller.name if caller.party else None
    shown = await parts.changes.look_until(look, is_newer, wait, id_, party)
    # It may have waited for a minute: whoever was put out meanwhile is told nothing any more.
    await parts.callers.check_still_good(caller)
    return json_response(shown)


@router.post(
    "/{escrow}/preview",
    response_model=wire.PreviewedPayout,
    operation_id="preview_payout",
    responses=problems(404, 409, 503, changes=True),
)
async def preview_payout(
    escrow: EscrowPath, caller: CallerOf, body: Annotated[wire.Preview, Depends(body_of(wire.Preview))], parts: Parts
) -> Response:
    """Reckon what a decision would pay to whom, network fee included, and do nothing. For who sees the escrow."""
    id_ = escrow_id(escrow)
    async with parts.store.reading() as tx:
        await parts.desk.see(tx, caller, id_)
    rate = parts.fee_rate()
    if rate is None:
        raise FeeRateUnknown
    async with parts.store.reading() as tx:
        previewed = await preview(tx, id_, Decision(body.action), body.vendor_share, rate)
    return json_response(preview_shown(body.action, previewed))


@router.get("/{escrow}/links", response_model=wire.PartyLinks, operation_id="list_links", responses=problems(404))
async def list_links(escrow: EscrowPath, caller: CallerOf, parts: Parts) -> Response:
    """Show the links of the parties, each a secret of its party. For keys with `escrows:write` or `admin`.

    The arbiter's is only there for keys with `arbiter` or `admin`.
    """
    id_ = escrow_id(escrow)
    require(caller, Scope.ESCROWS_WRITE, Scope.ADMIN)
    async with parts.store.reading() as tx:
        await tx.escrows.load(id_)
        links = await links_of(tx, parts, caller, id_)
    return json_response(wire.PartyLinks(items=links))


@router.post(
    "/{escrow}/links/{role}/rotate",
    response_model=wire.PartyLink,
    operation_id="rotate_link",
    responses=problems(404, changes=True),
)
async def rotate_link(
    escrow: EscrowPath,
    role: Annotated[wire.Role, Path(description="Whose link.")],
    asked: AskedOf,
    _body: Annotated[wire.Nothing, Depends(body_of(wire.Nothing))],
    parts: Parts,
) -> Response:
    """Make a party's link worthless, and a new one in its place. For keys with `escrows:write` or `admin`.

    For the arbiter's a key with `escrows:write` needs `arbiter`, too.
    """
    party = Party(escrow_id(escrow), WalletRole(role))
    require(asked.caller, Scope.ESCROWS_WRITE, Scope.ADMIN)
    require(asked.caller, *SCOPES_FOR_LINK[party.role])

    async def act(tx: FrontTransaction) -> Answer:
        await tx.escrows.load(party.escrow)
        token = await parts.callers.replace_link(tx, party)
        await tx.audit.note(asked.caller.name, f"rotate link of the {party.role}", party.escrow)
        return said(link_shown(parts.settings.public_url, party, token), 200)

    return respond(await parts.answering.once(asked, act))
