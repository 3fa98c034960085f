"""Escrows that were settled with nothing left, and a reorganisation after that."""

import pytest

from escrowd.domain.escrow.events import Settled
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.payouts.records import PayoutKind, PayoutStatus
from tests.faults.ways_out import (
    Books,
    Ways,
    books,
    fees_of,
    held,
    learn_key_images,
    put_into_pool,
    raw_of,
    sent_release,
    spend_outside,
    take_back,
)
from tests.regtest.payouts.office import AMOUNT

pytestmark = pytest.mark.timeout(600)


async def test_money_that_comes_back_after_a_settlement_goes_to_the_buyer(ways: Ways) -> None:
    """The outside spend for which an escrow was settled leaves the chain: what it spent is late money."""
    async with ways.trade() as trade:
        assert (await trade.fund()).status is Status.FUNDED
        await learn_key_images(trade)
        outside = await spend_outside(trade)
        await ways.office.lab.mine(1)
        await held(trade)
        await trade.say(Settled("spent by vendor and arbiter", 0), Who.OPERATOR)
        assert (await trade.advance()).status is Status.CANCELLED
        await take_back(ways.office, 1, [outside])
        await ways.office.lab.mine(2)
        await trade.advance()
        assert (await trade.settle()).status is Status.CANCELLED
        (returned,) = await trade.payouts()
        assert (returned.kind, returned.status) == (PayoutKind.RETURN, PayoutStatus.CONFIRMED)
        fee = fees_of(returned)
        assert await books(trade) == Books(AMOUNT, buyer=AMOUNT - fee, fees=fee)


async def test_payout_that_is_mined_after_a_settlement_completes_the_escrow(ways: Ways) -> None:
    """A release that lost against an outside spend is mined after all: the escrow is completed by it, and pays once."""
    async with ways.trade() as trade:
        release = await sent_release(trade)
        raw = await raw_of(trade, release.transactions[0].txid)
        await ways.office.daemon.flush_txpool([release.transactions[0].txid])
        outside = await spend_outside(trade)
        await ways.office.lab.mine(1)
        await held(trade)
        await trade.say(Settled("spent by vendor and arbiter", 0), Who.OPERATOR)
        assert (await trade.advance()).status is Status.CANCELLED
        await take_back(ways.office, 1, [outside])
        await put_into_pool(ways.office, raw)
        await ways.office.lab.mine(1)
        for _ in range(3):
            await trade.advance()
            await ways.office.lab.mine(10)
        escrow = await trade.settle()
        (paid,) = await trade.payouts()
        assert (escrow.status, paid.status) == (Status.COMPLETED, PayoutStatus.CONFIRMED)
        fee = fees_of(paid)
        assert await books(trade) == Books(AMOUNT, vendor=AMOUNT - fee, fees=fee)
