"""The life of one escrow as its parties see it: what tests of whole escrows have in common."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from escrowd.domain.escrow.events import Event
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.escrow.terms import Terms
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.networks import Network
from escrowd.domain.payouts.records import PayoutStatus
from escrowd.service.orchestrator import EscrowOrchestrator, EscrowView
from escrowd.store.store import SqlStore
from escrowd.testing.escrow_house import EscrowHouse
from escrowd.testing.funder import FUNDER_ADDRESS
from escrowd.testing.lab import RegtestLab
from escrowd.testing.wallet_sets import wallet_sets

XMR = 10**12
#: Seconds that anything may take on a busy machine.
PATIENCE = 120.0
#: Where payouts go: the wallet of the funder, and a kept one that no test uses as an escrow.
BUYER = FUNDER_ADDRESS
VENDOR = wallet_sets()[-1].address

TERMS = Terms(Network.REGTEST, XMR, refund_address=BUYER, payout_address=VENDOR)


@dataclass
class EscrowLife:
    """One escrow, commanded and watched through the database, whoever carries it out."""

    lab: RegtestLab
    orchestrator: EscrowOrchestrator
    store: SqlStore
    id: EscrowId = field(default=EscrowId(""))
    address: str = ""

    async def create(self, **terms: Any) -> None:
        made = await self.orchestrator.create(replace(TERMS, **terms))
        self.id, self.address = made.id, made.address or ""

    async def fund(self, amount: int = XMR, blocks: int = 10) -> str:
        txid = await self.lab.pay(self.address, amount)
        await self.lab.mine(blocks)
        return txid

    async def say(self, event: Event, who: Who) -> None:
        await self.orchestrator.command(self.id, event, who)

    async def view(self) -> EscrowView:
        return await self.orchestrator.view(self.id)

    async def until(self, holds: Callable[[EscrowView], bool], what: str) -> EscrowView:
        deadline = time.monotonic() + PATIENCE
        while not holds(view := await self.view()):
            hold = view.escrow.hold
            assert time.monotonic() < deadline, f"{what}: {view.escrow.status} {hold} {view.payouts}"
            await asyncio.sleep(0.05)
        return view

    async def until_status(self, status: Status) -> EscrowView:
        return await self.until(lambda view: view.escrow.status is status, f"the escrow is {status}")

    async def until_sent(self) -> EscrowView:
        return await self.until(
            lambda view: any(each.status is PayoutStatus.BROADCAST for each in view.payouts), "a payout is sent"
        )

    async def until_paid(self, status: Status) -> EscrowView:
        """Wait until a payout is sent, mine until it is final, and return the escrow at its end."""
        await self.until_sent()
        await self.lab.mine(10)
        return await self.until_status(status)


@asynccontextmanager
async def beside(house: EscrowHouse, lab: RegtestLab) -> AsyncIterator[EscrowLife]:
    """Command an escrow of a service that runs in a process of its own, through the database that both use."""
    async with house.database() as database:
        store = SqlStore(database, "beside")
        yield EscrowLife(lab, EscrowOrchestrator(store), store)


def assert_paid_once(view: EscrowView) -> None:
    """Exactly one payout is in the chain, it spends the whole deposit, and all of it is accounted for."""
    confirmed = [each for each in view.payouts if each.status is PayoutStatus.CONFIRMED]
    assert len(confirmed) == 1, view.payouts
    (payout,) = confirmed
    txids = {one.txid for one in payout.transactions}
    assert {spend.txid for spend in view.ledger.spends} == txids, "nothing else spends the deposit"
    paid = sum(one.network_fee + sum(each.amount for each in one.outputs) for one in payout.transactions)
    spent = [each.amount for each in view.ledger.outputs if each.key in payout.output_keys]
    assert paid == sum(spent), "what goes in comes out"
