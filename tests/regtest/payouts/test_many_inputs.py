"""More outputs than one transaction holds, and smaller ones than the fee, on real wallets."""

import pytest

from escrowd.domain.escrow.events import Released
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.payouts.plan import MOST_INPUTS
from escrowd.domain.payouts.records import Payout, PayoutKind
from tests.regtest.payouts.office import AMOUNT, BUYER, OPERATOR, VENDOR, Office, Trade, with_fee

pytestmark = pytest.mark.timeout(600)


async def released(trade: Trade) -> Payout:
    """Release a funded escrow, and return what was paid."""
    assert (await trade.escrow()).status is Status.FUNDED
    await trade.say(Released(), Who.BUYER)
    assert (await trade.advance()).status is Status.PAYING
    assert (await trade.settle()).status is Status.COMPLETED
    (attempt, *_) = await trade.attempts()
    payout = (await trade.payouts())[0]
    assert attempt.payout == payout.id
    return payout


async def paid(office: Office, payout: Payout) -> tuple[int, int, int]:
    """Return what buyer, vendor and operator got."""
    txids = [one.txid for one in payout.transactions]
    to_buyer, to_vendor, to_operator = [sum(await office.paid_to(each, txids)) for each in (BUYER, VENDOR, OPERATOR)]
    return to_buyer, to_vendor, to_operator


async def test_many_small_outputs_block_a_release(rough: Office) -> None:
    """Whoever sends more outputs than a transaction holds gets them back; the release pays what it has to."""
    small = [AMOUNT // 200 + number for number in range(MOST_INPUTS + 10)]
    async with rough.trade(7, with_fee(250)) as trade:
        await trade.pay_in(*small)
        await trade.fund()
        payout = await released(trade)
        (one,) = payout.transactions
        assert len(payout.output_keys) <= MOST_INPUTS
        to_buyer, to_vendor, to_operator = await paid(rough, payout)
        assert to_operator == AMOUNT // 40
        assert AMOUNT - to_operator - to_vendor in range(one.network_fee, one.network_fee * 3 // 2)
        others = [each for each in (await trade.payouts())[1:] if each.kind is PayoutKind.RETURN]
        back = sum([(await paid(rough, each))[0] for each in others])
        fees = sum(each.network_fee for other in (payout, *others) for each in other.transactions)
        left = sum(each.amount for each in await trade.money_left())
        assert to_buyer + to_vendor + to_operator + back + fees + left == AMOUNT + sum(small)
        assert left < min(small) + one.network_fee // 2


async def test_deposit_in_parts_smaller_than_the_fee_blocks_a_release(rough: Office) -> None:
    """Parts that are each worth less than the fee are paid out too; what is spared is less than half the fee."""
    async with rough.trade(8, with_fee(250)) as trade:
        parts = [AMOUNT // 110 + 10**6 * number**2 for number in range(110)]
        await trade.fund(*parts)
        payout = await released(trade)
        fee = sum(one.network_fee for one in payout.transactions)
        to_buyer, to_vendor, to_operator = await paid(rough, payout)
        assert to_buyer + to_vendor + to_operator + fee + payout.residue == sum(parts)
        assert to_operator == AMOUNT // 40
        assert payout.residue < fee // 2
        assert AMOUNT - to_operator - to_vendor in range(fee, fee * 3 // 2)
