"""Who may call what in which status: every operation of the document, every kind of caller, every status."""

import itertools
from dataclasses import dataclass, field
from typing import Final

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from escrowd.domain.access import Scope
from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.escrow.status import Status
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.records import PayoutKind
from escrowd.testing.api_house import ApiHouse
from tests.contract.api.matrix import (
    ACTIONS,
    BODIES,
    CLASSIFIED,
    SITUATIONS,
    VISITORS,
    Operation,
    Visitor,
    expected,
    operations_of,
)
from tests.contract.api.visits import TERMS, fingerprint, give_money, made, token_of, visit
from tests.unit.domain.escrow.world import AMOUNT, PATHS

#: What is served and is no operation of the API: its documents.
PAGES: Final = {"/openapi.json", "/docs", "/docs/static", "/docs/oauth2-redirect"}
#: These change something where they are answered well; all others never do.
CHANGES: Final = frozenset({*ACTIONS, "create_escrow", "create_webhook", "rotate_link", "close_session"})
#: No escrow has this id.
NONE = "esc_01jd3v9k8z6x5w4t2r1q0p9n8m"


@dataclass(slots=True)
class Stage:
    """An escrow in a situation, another one in the same, and the tokens of everybody."""

    house: ApiHouse
    client: httpx.AsyncClient
    situation: str
    tokens: dict[str, str] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def set_up(self) -> Escrow:
        """Make both escrows and all keys."""
        await self._make_keys()
        other = await self._make()
        for role in WalletRole:
            self.tokens[f"{role} of another"] = f"Bearer {(await token_of(self.house, other.id, role)).reveal()}"
        return await self.renew()

    async def renew(self) -> Escrow:
        """Make the escrow anew, with links that were replaced once."""
        escrow = await self._make()
        callers = self.house.parts.callers
        for role in WalletRole:
            old = await token_of(self.house, escrow.id, role)
            self.tokens[f"{role} with a replaced token"] = f"Bearer {old.reveal()}"
            async with self.house.store.transaction() as tx:
                await tx.access.replace_link(escrow.id, role)
        self.tokens["operator"] = f"Bearer {callers.operator_token.reveal()}"
        await self.refresh(escrow)
        return escrow

    async def refresh(self, escrow: Escrow) -> None:
        """Look which tokens of its parties are good now."""
        for role in WalletRole:
            self.tokens[f"{role} of this"] = f"Bearer {(await token_of(self.house, escrow.id, role)).reveal()}"

    async def call(self, visitor: Visitor, operation: Operation, escrow: str) -> httpx.Response:
        """Call an operation as a visitor."""
        headers = {"Authorization": self.tokens[visitor.name]} if visitor.name in self.tokens else {}
        if operation.method == "POST":
            headers["Idempotency-Key"] = f"call {next(self._numbers)}".replace(" ", "-")
        body = BODIES.get(operation.name)
        return await self.client.request(operation.method, operation.at(escrow), json=body, headers=headers)

    async def _make(self) -> Escrow:
        escrow = await made(self.house, SITUATIONS[self.situation])
        await give_money(self.house, escrow.id, AMOUNT)
        return escrow

    async def _make_keys(self) -> None:
        for visitor in VISITORS:
            if visitor.scopes and visitor.name != "operator":
                key = await self.house.key([Scope(each) for each in visitor.scopes])
                self.tokens[visitor.name] = f"Bearer {key.reveal()}"
        good = await self.house.key(tuple(Scope))
        revoked = await self.house.key(tuple(Scope))
        async with self.house.store.transaction() as tx:
            await self.house.parts.callers.revoke_key(tx, revoked.reveal().partition(".")[0])
        self.tokens |= {
            "wrong token": f"Bearer {good.reveal()[:-1]}",
            "wrong scheme": f"Basic {good.reveal()}",
            "revoked key": f"Bearer {revoked.reveal()}",
        }


def operations(house: ApiHouse) -> tuple[Operation, ...]:
    """Return every operation of the live document."""
    return tuple(operations_of(house.app.openapi()))


async def test_operation_is_not_classified(sqlite_house: ApiHouse) -> None:
    """Every operation of the document is in the matrix, and every other path that is served is a page of documents."""
    found = operations(sqlite_house)
    assert {each.name for each in found} == CLASSIFIED
    served = {str(each.path) for each in iter_route_contexts(sqlite_house.app.routes)}
    in_document = {each.path for each in found}
    assert served - in_document <= PAGES


@pytest.mark.parametrize("situation", SITUATIONS)
async def test_somebody_may_do_what_the_table_does_not_say(sqlite_house: ApiHouse, situation: str) -> None:
    """Every call is answered as state table and scopes say; whatever is refused or only shown changes nothing."""
    # A stream that begins ends at once, and nobody waits.
    sqlite_house.parts.changes.end()
    async with visit(sqlite_house) as client:
        stage = Stage(sqlite_house, client, situation)
        escrow = await stage.set_up()
        before, wrong = await fingerprint(sqlite_house), []
        for operation, visitor in itertools.product(operations(sqlite_house), VISITORS):
            if not operation.is_about_an_escrow and situation != Status.FUNDED:
                continue
            answer = await stage.call(visitor, operation, escrow.id)
            is_changed = await fingerprint(sqlite_house) != before
            should_be = expected(visitor, operation, escrow)
            should_change = answer.is_success and operation.name in CHANGES
            if answer.status_code != should_be or is_changed is not should_change:
                wrong.append((visitor.name, operation.name, answer.status_code, should_be, is_changed))
            if is_changed:
                escrow = await stage.renew() if operation.name in ACTIONS else escrow
                await stage.refresh(escrow)
                before = await fingerprint(sqlite_house)
    assert wrong == []


async def test_escrow_of_others_can_be_told_from_none(sqlite_house: ApiHouse) -> None:
    """A party is answered about another's escrow as about one that does not exist, but for the id it asked for."""
    async with visit(sqlite_house) as client:
        stage = Stage(sqlite_house, client, str(Status.FUNDED))
        escrow = await stage.set_up()
        strangers = [each for each in VISITORS if each.is_known and not each.is_of_this]
        for operation, visitor in itertools.product(operations(sqlite_house), strangers):
            if operation.is_about_an_escrow:
                there = await stage.call(visitor, operation, escrow.id)
                nowhere = await stage.call(visitor, operation, NONE)
                assert there.status_code == nowhere.status_code, operation
                assert there.text.replace(escrow.id, NONE).replace(
                    there.headers["X-Request-Id"], nowhere.headers["X-Request-Id"]
                ) == (nowhere.text), operation


@pytest.mark.parametrize(
    "more", [{"to": TERMS.refund_address}, {"payout_address": TERMS.refund_address}, {"vendor_share": "0"}]
)
async def test_buyer_releases_to_itself(sqlite_house: ApiHouse, more: dict[str, str]) -> None:
    """A buyer who releases cannot say to whom: the release goes to the vendor, and a word more is refused."""
    escrow = await made(sqlite_house, PATHS[Status.FUNDED])
    async with visit(sqlite_house, await token_of(sqlite_house, escrow.id, WalletRole.BUYER)) as buyer:
        before = await fingerprint(sqlite_house)
        assert (await buyer.post(f"/v1/escrows/{escrow.id}/release", json=more)).status_code == 422
        assert await fingerprint(sqlite_house) == before
        assert (await buyer.post(f"/v1/escrows/{escrow.id}/release")).status_code == 200
    order = (await sqlite_house.orchestrator.view(escrow.id)).escrow.order
    assert order is not None
    assert (order.kind, order.vendor_share) == (PayoutKind.RELEASE, AMOUNT)


async def test_vendor_releases(sqlite_house: ApiHouse) -> None:
    """A vendor cannot release, in whatever status, and learns what it may do instead."""
    for status, moves in PATHS.items():
        escrow = await made(sqlite_house, moves)
        async with visit(sqlite_house, await token_of(sqlite_house, escrow.id, WalletRole.VENDOR)) as vendor:
            answer = await vendor.post(f"/v1/escrows/{escrow.id}/release")
        assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted"), status
