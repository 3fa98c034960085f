"""A deposit that a reorganisation removes stays known: in the escrow, its hold, its events and its log (W12)."""

from dataclasses import replace
from typing import Any

import httpx

from escrowd.domain.escrow.assess import assess
from escrowd.domain.escrow.events import Delivered, FundingVerified
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.outputs import ReceivedOutput
from escrowd.domain.secret import Secret
from escrowd.domain.watching import BlockId, Cursor, FoundOutput, PoolFindings, Progress, WatchedAddress
from escrowd.store.verifying import verify_log
from escrowd.store.watching import SqlWatchLog
from escrowd.testing.api_house import ApiHouse
from tests.contract.api.visits import TERMS, made
from tests.contract.store.test_watching import Sealer
from tests.unit.domain.escrow.world import AMOUNT, PATHS

TXID = "ab" * 32


def cursor(height: int) -> Cursor:
    return Cursor(height, 1_700_000_000, "genesis", (BlockId(height - 1, f"{height:x}"),))


async def applied(house: ApiHouse, escrow: EscrowId, progress: Progress) -> None:
    """Record what the watcher found, and apply what it means."""
    await SqlWatchLog(house.database, Sealer()).record(progress)
    async with house.store.reading() as tx:
        now, ledger = await tx.escrows.load(escrow), await tx.ledgers.ledger(escrow)
    for event in assess(now, ledger):
        await house.orchestrator.command(escrow, event, Who.CHAIN)


async def items(client: httpx.AsyncClient, path: str) -> list[dict[str, Any]]:
    answer = (await client.get(path)).json()
    return list(answer["items"])


async def test_lost_deposit_is_shown_and_named(house: ApiHouse, client: httpx.AsyncClient) -> None:
    """W12: transaction, output, amount and height of a deposit are in its events, in the hold, and in the escrow.

    When the transaction is back, it counts, and is no longer marked.
    """
    escrow = (await made(house, PATHS[Status.AWAITING_FUNDING], terms=replace(TERMS, reference="order-7"))).id
    await SqlWatchLog(house.database, Sealer()).keep(WatchedAddress(escrow, "4address", Secret("view key"), 5))
    found = FoundOutput(escrow, ReceivedOutput(TXID, 2, "cd" * 32, AMOUNT, height=90))
    await applied(house, escrow, Progress(outputs=(found,), pool=PoolFindings(), cursor=cursor(110)))
    await house.orchestrator.command(escrow, FundingVerified(), Who.SERVICE)
    await house.orchestrator.command(escrow, Delivered(), Who.VENDOR)
    await applied(house, escrow, Progress(rollback=90, pool=PoolFindings(), cursor=cursor(112)))

    payment = {"txid": TXID, "output": 2, "amount": str(AMOUNT), "height": 90}
    shown = (await client.get(f"/v1/escrows/{escrow}")).json()
    assert shown["status"] == "held"
    assert shown["deposit"]["payments"] == [
        {**payment, "confirmations": 0, "counts": False, "reason": "reorged"},
    ]
    details = (
        f"the deposit is no longer in the chain: 1.000000000000 XMR by output 2 of transaction {TXID} was in block 90"
    )
    assert (shown["hold"]["reason"], shown["hold"]["details"]) == ("deposit_gone", details)

    log = {each["type"]: each["data"] for each in await items(client, f"/v1/escrows/{escrow}/log")}
    feed = {each["type"]: each["data"] for each in await items(client, "/v1/events")}
    for kind, reason in (("deposit.seen", None), ("deposit.confirmed", None), ("deposit.reorged", "reorged")):
        (listed,) = log[kind]["details"]["payments"]
        texts = {name: str(value) for name, value in payment.items()}
        assert listed == {**texts, "key": "cd" * 32, "confirmed": kind == "deposit.confirmed", "reason": reason}
        assert log[kind]["reference"] == "order-7"
        assert feed[kind] == log[kind]
    assert feed["escrow.held"]["hold"] == {"reason": "deposit_gone", "details": details, "since": "delivered"}
    assert (await verify_log(house.database)).holds
    await check_it_comes_back(house, client, escrow, found)


async def check_it_comes_back(house: ApiHouse, client: httpx.AsyncClient, escrow: EscrowId, found: FoundOutput) -> None:
    """Let the transaction come into the pool and leave it, and look how the payment is shown."""
    await applied(house, escrow, Progress(pool=PoolFindings((found_in_pool(found),)), cursor=cursor(113)))
    assert await counted(client, escrow) == [(True, None, None)]
    # Out of the pool, too: the last block that held it is still known.
    await applied(house, escrow, Progress(pool=PoolFindings(), cursor=cursor(114)))
    assert await counted(client, escrow) == [(False, "reorged", 90)]


async def counted(client: httpx.AsyncClient, escrow: str) -> list[tuple[bool, str | None, int | None]]:
    """Return of each shown payment whether it counts, why not, and its height."""
    shown = (await client.get(f"/v1/escrows/{escrow}")).json()
    return [(each["counts"], each["reason"], each["height"]) for each in shown["deposit"]["payments"]]


def found_in_pool(found: FoundOutput) -> FoundOutput:
    return FoundOutput(found.escrow, replace(found.output, height=None))
