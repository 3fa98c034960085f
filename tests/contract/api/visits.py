"""How the tests call the API, and how escrows come to where a test begins."""

from collections.abc import Iterable
from typing import Any, Final

import httpx
from sqlalchemy import func, select

from escrowd.domain.access import Party
from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.escrow.terms import Terms
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.networks import Network
from escrowd.domain.outputs import ReceivedOutput
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.store import schema, schema_access
from escrowd.store.ledgers import COMMON
from escrowd.testing.api_house import ApiHouse
from escrowd.testing.simulation.addresses import address
from tests.unit.domain.escrow.world import AMOUNT, Move

BUYER, VENDOR, SITE = address("buyer"), address("vendor"), address("site")
#: The least that an escrow is made with.
NEW: Final[dict[str, Any]] = {
    "amount": str(AMOUNT),
    "buyer": {"refund_address": BUYER},
    "vendor": {"payout_address": VENDOR},
}
TERMS: Final = Terms(Network.REGTEST, AMOUNT, refund_address=BUYER, payout_address=VENDOR)
#: The chain is so high where an escrow was given money.
HEIGHT: Final = 1000


def visit(house: ApiHouse, token: Secret | None = None, **headers: str) -> httpx.AsyncClient:
    """Return a client of an application in this process, with a key or token."""
    if token is not None:
        headers["Authorization"] = f"Bearer {token.reveal()}"
    transport = httpx.ASGITransport(app=house.app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://escrowd.example", headers=headers)


async def made(house: ApiHouse, moves: Iterable[Move] = (), terms: Terms = TERMS) -> Escrow:
    """Make an escrow, and let happen to it what brings it where it shall be."""
    now = await house.orchestrator.create(terms)
    for event, who in moves:
        now = await house.orchestrator.command(now.id, event(now) if callable(event) else event, who)
    return now


async def token_of(house: ApiHouse, escrow: EscrowId, role: WalletRole) -> Secret:
    """Return the token of a party that is good now."""
    async with house.store.reading() as tx:
        return await house.parts.callers.link(tx, Party(escrow, role))


async def give_money(house: ApiHouse, escrow: EscrowId, *amounts: int) -> None:
    """Let the ledger of an escrow show outputs that can be spent, one of each amount."""
    async with house.database.transaction() as session:
        tip = session.insert(schema.cursors).values(lane=COMMON, height=HEIGHT, time=1_700_000_000, body="{}")
        await session.connection.execute(tip.on_conflict_do_nothing(index_elements=["lane"]))
    async with house.store.transaction() as tx:
        await tx.ledgers.note_wallet_outputs(
            escrow,
            [
                ReceivedOutput(f"{index:064x}", 0, f"key {index} of {escrow}", amount, height=HEIGHT - 20)
                for index, amount in enumerate(amounts)
            ],
        )


async def fingerprint(house: ApiHouse) -> tuple[int, ...]:
    """Count everything that a request could change."""
    async with house.database.reading() as session:
        row = (await session.connection.execute(_EVERYTHING)).one()
    return tuple(int(each) for each in row)


_EVERYTHING: Final = select(
    *(select(func.count()).select_from(table).scalar_subquery() for table in schema.metadata.tables.values()),
    *(
        select(func.coalesce(func.sum(column), 0)).scalar_subquery()
        for column in (
            schema.escrows.c.version,
            schema_access.party_links.c.generation,
            schema_access.api_keys.c.revoked_at,
        )
    ),
)
