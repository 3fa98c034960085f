"""Money that comes after the end of an escrow goes back to the buyer, whatever the end was."""

import pytest

from escrowd.domain.escrow.events import Refunded, SplitAccepted, SplitProposed
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.payouts.records import PayoutKind, PayoutStatus
from escrowd.service.payouts.rates import normal_fee_rate
from tests.faults.ways_out import Books, Ways, books, fees_of
from tests.regtest.payouts.office import AMOUNT, Trade

pytestmark = pytest.mark.timeout(600)

LATE = AMOUNT // 5
SHARE = AMOUNT // 4


async def late_money(trade: Trade, end: Status) -> tuple[int, int]:
    """Pay out what is ordered, then late money. Return the network fees of the payout and of the return."""
    assert (await trade.advance()).status is Status.PAYING
    assert (await trade.settle()).status is end
    await trade.pay_in(LATE)
    await trade.office.lab.mine(10)
    await trade.advance()
    assert (await trade.settle()).status is end
    payout, returned = await trade.payouts()
    assert (returned.kind, returned.status) == (PayoutKind.RETURN, PayoutStatus.CONFIRMED)
    return fees_of(payout), fees_of(returned)


async def test_late_money_goes_back_after_a_refund(ways: Ways) -> None:
    """The buyer gets the deposit and the late money, each less the network fee of its transaction."""
    async with ways.trade() as trade:
        assert (await trade.fund()).status is Status.FUNDED
        await trade.say(Refunded(), Who.VENDOR)
        fees = sum(await late_money(trade, Status.REFUNDED))
        assert await books(trade) == Books(AMOUNT + LATE, buyer=AMOUNT + LATE - fees, fees=fees)


async def test_late_money_goes_back_after_a_split(ways: Ways) -> None:
    """The vendor gets its share less its part of the expected network fee, and nothing of the late money."""
    async with ways.trade() as trade:
        assert (await trade.fund()).status is Status.FUNDED
        await trade.say(SplitProposed(SHARE), Who.BUYER)
        await trade.say(SplitAccepted(SHARE), Who.VENDOR)
        expected_fee = (await normal_fee_rate(trade.office.daemon)).estimate(1, 2)
        fees = sum(await late_money(trade, Status.SPLIT))
        vendor = SHARE - expected_fee * SHARE // AMOUNT
        assert await books(trade) == Books(AMOUNT + LATE, vendor=vendor, buyer=AMOUNT + LATE - vendor - fees, fees=fees)
