"""Two signed payouts of one escrow, of which a block holds either: the books go by that one."""

import pytest

from escrowd.domain.escrow.events import Refunded, Released
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.payouts.records import PayoutKind, PayoutStatus
from tests.faults.ways_out import (
    Books,
    Ways,
    books,
    fees_of,
    held,
    put_into_pool,
    raw_of,
    refused_release,
    refusing,
    sent_release,
    take_back,
)
from tests.regtest.payouts.office import AMOUNT

pytestmark = pytest.mark.timeout(600)


async def test_abandoned_payout_that_is_mined_ends_the_escrow(ways: Ways) -> None:
    """A refused release gives way to a refund, whose blocks are taken back; the release is mined instead (W1, W14)."""
    async with ways.trade() as trade:
        release = await refused_release(trade)
        raw = await raw_of(trade, release.transactions[0].txid)
        with refusing(ways.office, raw):
            await trade.say(Refunded(), Who.OPERATOR)
            assert (await trade.advance()).status is Status.PAYING
        assert (await trade.finish()).status is Status.REFUNDED
        refund = (await trade.payouts())[-1]
        assert (refund.kind, refund.status) == (PayoutKind.REFUND, PayoutStatus.CONFIRMED)

        await take_back(ways.office, 10, [refund.transactions[0].txid])
        await put_into_pool(ways.office, raw)
        escrow = await trade.settle()
        assert escrow.status is Status.COMPLETED
        assert escrow.order is not None
        assert (escrow.order.kind, escrow.order.vendor_share) == (PayoutKind.RELEASE, AMOUNT)
        assert {each.id: each.status for each in await trade.payouts()} == {
            release.id: PayoutStatus.CONFIRMED,
            refund.id: PayoutStatus.ABANDONED,
        }
        fee = fees_of(release)
        assert await books(trade) == Books(AMOUNT, vendor=AMOUNT - fee, fees=fee)


async def test_deposit_beside_an_abandoned_payout_that_is_mined_goes_back(ways: Ways) -> None:
    """The release of one deposit is mined in place of the operator's release of two: the second goes back (W2)."""
    second = AMOUNT // 2
    async with ways.trade() as trade:
        first = await sent_release(trade)
        (txid,) = (each.txid for each in first.transactions)
        raw = await raw_of(trade, txid)
        await ways.office.daemon.flush_txpool([txid])
        with refusing(ways.office, raw):
            await held(trade)
            await trade.pay_in(second)
            await ways.office.lab.mine(10)
            await held(trade)
            await trade.say(Released(), Who.OPERATOR)
            assert (await trade.advance()).status is Status.PAYING
        rival = (await trade.payouts())[-1]
        assert len(rival.output_keys) == 2

        await ways.office.daemon.flush_txpool([rival.transactions[0].txid])
        await put_into_pool(ways.office, raw)
        assert (await trade.settle()).status is Status.COMPLETED
        _, _, returned = await trade.payouts()
        assert (returned.kind, returned.status) == (PayoutKind.RETURN, PayoutStatus.CONFIRMED)
        assert [each.status for each in (await trade.payouts())[:2]] == [
            PayoutStatus.CONFIRMED,
            PayoutStatus.ABANDONED,
        ]
        assert await books(trade) == Books(
            AMOUNT + second,
            vendor=AMOUNT - fees_of(first),
            buyer=second - fees_of(returned),
            fees=fees_of(first, returned),
        )


async def test_order_becomes_that_of_the_payout_that_turned_up(ways: Ways) -> None:
    """A release that comes back after the operator's refund was ordered ends the escrow with its own order (W14)."""
    async with ways.trade() as trade:
        release = await sent_release(trade)
        (txid,) = (each.txid for each in release.transactions)
        await ways.office.daemon.flush_txpool([txid])
        with refusing(ways.office):
            await held(trade)
            await trade.say(Refunded(), Who.OPERATOR)
        await put_into_pool(ways.office, await raw_of(trade, txid))
        await ways.office.lab.mine(1)
        await trade.advance()
        escrow = await trade.settle()
        assert escrow.status is Status.COMPLETED
        assert escrow.order is not None
        assert (escrow.order.kind, escrow.order.vendor_share) == (PayoutKind.RELEASE, AMOUNT)
        fee = fees_of(release)
        assert await books(trade) == Books(AMOUNT, vendor=AMOUNT - fee, fees=fee)


async def test_rival_payout_is_refused_by_the_pool(ways: Ways) -> None:
    """A release and the refund that replaces it spend the same output: the daemon takes one of them."""
    async with ways.trade() as trade:
        release = await refused_release(trade)
        (one,) = release.transactions
        raw = await raw_of(trade, one.txid)
        with refusing(ways.office, raw):
            await trade.say(Refunded(), Who.OPERATOR)
            assert (await trade.advance()).status is Status.PAYING
        refund = (await trade.payouts())[-1]
        assert set(refund.transactions[0].key_images) == set(one.key_images)
        assert (await ways.office.daemon.send_raw_transaction(raw)).double_spend
        assert (await trade.settle()).status is Status.REFUNDED
        assert [each.status for each in await trade.payouts()] == [PayoutStatus.ABANDONED, PayoutStatus.CONFIRMED]
        fee = fees_of(refund)
        assert await books(trade) == Books(AMOUNT, buyer=AMOUNT - fee, fees=fee)
