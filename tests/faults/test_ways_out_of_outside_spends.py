"""Money that two keys spent outside the service: what is left is paid out, and an empty escrow is closed."""

import pytest

from escrowd.domain.escrow.events import Released, Settled
from escrowd.domain.escrow.facts import HoldReason
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.payouts.records import PayoutKind, PayoutStatus
from tests.faults.ways_out import (
    Books,
    Ways,
    books,
    fee_of,
    fees_of,
    held,
    learn_key_images,
    put_into_pool,
    raw_of,
    refusing,
    sent_release,
    spend_outside,
)
from tests.regtest.payouts.office import AMOUNT, Trade

pytestmark = pytest.mark.timeout(600)

#: More parts than wallet2 puts into one transaction (146 inputs, ``TX_WEIGHT_TARGET``).
PARTS = 165
DAY = 86_400_000


async def fee_outside(trade: Trade, txid: str) -> int:
    (found,) = await trade.office.transactions([txid])
    return fee_of(found)


async def test_what_an_outside_spend_leaves_is_released(ways: Ways) -> None:
    """Of deposits of 0.6 and 0.4 the 0.4 is spent outside: the operator's release pays the 0.6 (W4)."""
    left, gone = 6 * AMOUNT // 10, 4 * AMOUNT // 10
    async with ways.trade() as trade:
        assert (await trade.fund(left, gone)).status is Status.FUNDED
        found = await learn_key_images(trade)
        (image,) = (each.key_image for each in found if each.amount == gone)
        outside = await spend_outside(trade, image)
        await ways.office.lab.mine(1)
        escrow = await held(trade)
        assert escrow.hold is not None
        assert escrow.hold.reason is HoldReason.SPENT_OUTSIDE
        assert (escrow.deposit.unspent, escrow.deposit.spendable, escrow.divisible) == (left, left, left)
        await trade.say(Released(), Who.OPERATOR)
        assert (await trade.advance()).status is Status.PAYING
        assert (await trade.settle()).status is Status.COMPLETED
        (release,) = await trade.payouts()
        taken, fee = await fee_outside(trade, outside), fees_of(release)
        assert await books(trade) == Books(AMOUNT, vendor=left - fee, outside=gone - taken, fees=fee + taken)


async def test_escrow_whose_money_is_gone_is_closed(ways: Ways) -> None:
    """All is spent outside before an order: the operator settles it; what comes later goes back to the buyer (W7)."""
    late = AMOUNT // 3
    async with ways.trade() as trade:
        assert (await trade.fund()).status is Status.FUNDED
        await learn_key_images(trade)
        outside = await spend_outside(trade)
        await ways.office.lab.mine(1)
        escrow = await held(trade)
        assert (escrow.deposit.unspent, escrow.deposit.spendable) == (0, 0)
        assert (await trade.say(Settled("the parties moved it themselves", 0), Who.OPERATOR)).hold is None
        assert (await trade.advance()).status is Status.CANCELLED
        await trade.pay_in(late)
        await ways.office.lab.mine(10)
        await trade.advance()
        assert (await trade.settle()).status is Status.CANCELLED
        (returned,) = await trade.payouts()
        taken, fee = await fee_outside(trade, outside), fees_of(returned)
        assert await books(trade) == Books(AMOUNT + late, buyer=late - fee, outside=AMOUNT - taken, fees=taken + fee)


async def test_payout_that_lost_against_an_outside_spend_is_given_up(ways: Ways) -> None:
    """A payout whose money a block spends otherwise is abandoned, not sent again, and its escrow can be closed (W8)."""
    async with ways.trade() as trade:
        release = await sent_release(trade)
        await ways.office.daemon.flush_txpool([release.transactions[0].txid])
        outside = await spend_outside(trade)
        await ways.office.lab.mine(1)
        escrow = await held(trade)
        assert escrow.hold is not None
        assert escrow.hold.reason is HoldReason.SPENT_OUTSIDE
        with refusing(ways.office) as sent:
            for _ in range(3):
                await trade.advance()
                await pass_time(trade, DAY)
        assert sent == []
        assert [each.status for each in await trade.payouts()] == [PayoutStatus.ABANDONED]
        await trade.say(Settled("spent by vendor and arbiter", 0), Who.OPERATOR)
        assert (await trade.advance()).status is Status.CANCELLED
        taken = await fee_outside(trade, outside)
        assert await books(trade) == Books(AMOUNT, outside=AMOUNT - taken, fees=taken)


async def test_rest_of_a_payout_of_two_transactions_is_paid(ways: Ways) -> None:
    """Of two transactions one is mined, and one input of the other spent outside: the rest is paid (W3)."""
    part = AMOUNT // PARTS + 1
    async with ways.trade() as trade:
        release = await sent_release(trade, *[part] * PARTS)
        larger, smaller = sorted(release.transactions, key=lambda one: len(one.key_images), reverse=True)
        assert len(larger.key_images) + len(smaller.key_images) == PARTS
        first, second = [await raw_of(trade, one.txid) for one in (larger, smaller)]
        await ways.office.daemon.flush_txpool([larger.txid, smaller.txid])
        outside = await spend_outside(trade, smaller.key_images[0])
        await put_into_pool(ways.office, first)
        await ways.office.lab.mine(1)
        with refusing(ways.office, second):
            await held(trade)
            await trade.say(Released(), Who.OPERATOR)
            assert (await trade.advance()).status is Status.PAYING
        assert (await trade.settle()).status is Status.COMPLETED
        rest = (await trade.payouts())[-1]
        left = (len(smaller.key_images) - 1) * part
        taken, fee = await fee_outside(trade, outside), larger.network_fee + fees_of(rest)
        assert await books(trade) == Books(
            PARTS * part,
            vendor=len(larger.key_images) * part + left - fee,
            outside=part - taken,
            fees=fee + taken,
        )
        assert (release.kind, rest.kind) == (PayoutKind.RELEASE, PayoutKind.RELEASE)


async def test_refused_bytes_are_sent_ever_more_seldom(ways: Ways) -> None:
    """Ten looks at an escrow that is held send refused bytes once at most; they are sent again hours later (W8)."""
    async with ways.trade() as trade:
        release = await sent_release(trade)
        (txid,) = (each.txid for each in release.transactions)
        await ways.office.daemon.flush_txpool([txid])
        with refusing(ways.office) as sent:
            await held(trade)
            sent.clear()
            for _ in range(10):
                await held(trade)
            assert len(sent) <= 1
            await pass_time(trade, DAY)
            await held(trade)
            assert len(sent) >= 1
        await pass_time(trade, DAY)
        await trade.advance()
        assert (await trade.settle()).status is Status.COMPLETED
        fee = fees_of(release)
        assert await books(trade) == Books(AMOUNT, vendor=AMOUNT - fee, fees=fee)


async def pass_time(trade: Trade, milliseconds: int) -> None:
    async with trade.store.transaction() as tx:
        await tx.clock.advance(milliseconds)
