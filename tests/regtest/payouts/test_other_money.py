"""Money beside the deposit, on real wallets: on other addresses, in other accounts, and while it is paid out."""

import pytest

from escrowd.domain.escrow.events import Released
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.payouts.records import AttemptStep, PayoutKind, PayoutStatus
from escrowd.service.crash_points import CrashPoint, hit_by
from tests.regtest.payouts.office import AMOUNT, BUYER, OPERATOR, VENDOR, Crashed, Office, subaddress, with_fee

#: Worth the fee of spending it, but not that of a whole transaction.
SMALL = 5 * 10**9
#: Worth less than the fee of spending it.
DUST = 10**8


async def test_money_on_other_addresses_hijacks_a_release(office: Office) -> None:
    """What is on (0,1) goes back to the buyer with a release, dust stays and is told of, (1,0) goes back by itself."""
    async with office.trade(4) as trade:
        await trade.pay_in(AMOUNT // 20, DUST, address=subaddress(trade.wallets, 0, 1))
        await trade.pay_in(AMOUNT // 50, address=subaddress(trade.wallets, 1, 0))
        assert (await trade.fund()).status is Status.FUNDED
        await trade.say(Released(), Who.BUYER)
        assert (await trade.advance()).status is Status.PAYING
        assert (await trade.settle()).status is Status.COMPLETED
        release, returned = await trade.payouts()
        (one,), (back,) = release.transactions, returned.transactions
        assert await office.paid_to(VENDOR, [one.txid]) == [AMOUNT - one.network_fee]
        assert await office.paid_to(BUYER, [one.txid]) == [AMOUNT // 20]
        assert (release.kind, release.residue) == (PayoutKind.RELEASE, DUST)
        assert (returned.kind, returned.account, returned.status) == (PayoutKind.RETURN, 1, PayoutStatus.CONFIRMED)
        assert await office.paid_to(BUYER, [back.txid]) == [AMOUNT // 50 - back.network_fee]
        assert [each.amount for each in await trade.money_left()] == [DUST]


async def test_small_money_beside_the_deposit_blocks_a_payout_to_several(office: Office) -> None:
    """Money that a wallet leaves out, because it is worth less than the fee, stays behind, and is told of."""
    async with office.trade(5, with_fee(100)) as trade:
        await trade.pay_in(SMALL, address=subaddress(trade.wallets, 0, 1))
        await trade.pay_in(SMALL)
        assert (await trade.fund()).status is Status.FUNDED
        await trade.say(Released(), Who.BUYER)
        assert (await trade.advance()).status is Status.PAYING
        assert (await trade.settle()).status is Status.COMPLETED
        (release,) = await trade.payouts()
        (one,) = release.transactions
        assert await office.paid_to(OPERATOR, [one.txid]) == [AMOUNT // 100]
        to_vendor, to_buyer = [sum(await office.paid_to(each, [one.txid])) for each in (VENDOR, BUYER)]
        assert to_vendor + to_buyer + AMOUNT // 100 + one.network_fee + release.residue == AMOUNT + 2 * SMALL
        assert AMOUNT - AMOUNT // 100 - to_vendor - one.network_fee in range(one.network_fee // 2)
        assert sum(each.amount for each in await trade.money_left()) == release.residue


async def test_second_deposit_while_paying_blocks_the_payout(office: Office) -> None:
    """A deposit that can be spent before the payout is signed goes back to the buyer with it, by a new attempt."""
    async with office.trade(3) as trade:
        assert (await trade.fund()).status is Status.FUNDED
        await trade.say(Released(), Who.BUYER)

        def crash(point: CrashPoint) -> None:
            if point is CrashPoint.P6_VALIDATED:
                raise Crashed(point)

        with hit_by(crash), pytest.raises(Crashed):
            await trade.advance()
        await trade.pay_in(AMOUNT // 4)
        await office.lab.mine(10)
        assert (await trade.advance()).status is Status.PAYING
        assert (await trade.finish()).status is Status.COMPLETED
        first, second = await trade.attempts()
        assert (first.step, second.step) == (AttemptStep.DISCARDED, AttemptStep.SUBMITTED)
        (one,) = second.transactions
        assert set(first.transactions[0].key_images) < set(one.key_images)
        assert await office.paid_to(VENDOR, [one.txid]) == [AMOUNT - one.network_fee]
        assert await office.paid_to(BUYER, [one.txid]) == [AMOUNT // 4]
        assert await trade.money_left() == []
