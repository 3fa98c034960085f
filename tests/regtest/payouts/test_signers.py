"""Any two of the three sign a payout, on real wallets, whatever became of the third."""

import pytest

from escrowd.domain.escrow.events import Released
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.records import AttemptStep
from escrowd.service.crash_points import CrashPoint, Hitter, hit_by
from tests.lost_wallet import Found, gone
from tests.regtest.payouts.office import AMOUNT, VENDOR, Crashed, Office

BUYER_ROLE, VENDOR_ROLE, ARBITER_ROLE = WalletRole.BUYER, WalletRole.VENDOR, WalletRole.ARBITER


def crash_at(place: CrashPoint) -> Hitter:
    """End the service at a place."""

    def hit(point: CrashPoint) -> None:
        if point is place:
            raise Crashed(point)

    return hit


@pytest.mark.parametrize("found", list(Found))
@pytest.mark.parametrize(
    ("missing", "pair"),
    [
        (ARBITER_ROLE, (BUYER_ROLE, VENDOR_ROLE)),
        (BUYER_ROLE, (ARBITER_ROLE, VENDOR_ROLE)),
        (VENDOR_ROLE, (ARBITER_ROLE, BUYER_ROLE)),
    ],
)
async def test_payout_needs_the_third_wallet(
    office: Office, missing: WalletRole, pair: tuple[WalletRole, WalletRole], found: Found
) -> None:
    """A payout that the buyer released is signed by the two wallets that are left, whichever is gone, open or not."""
    async with office.trade(3) as trade:
        assert (await trade.fund()).status is Status.FUNDED
        await trade.say(Released(), Who.BUYER)
        async with gone(office.running, trade.id, missing, found):
            assert (await trade.advance()).status is Status.PAYING
            (attempt,) = await trade.attempts()
            assert (attempt.proposer, attempt.cosigner) == pair
            assert (await trade.finish()).status is Status.COMPLETED
        (one,) = attempt.transactions
        assert await office.paid_to(VENDOR, [one.txid]) == [AMOUNT - one.network_fee]
        assert await trade.money_left() == []


async def test_signed_payout_waits_for_the_wallet_that_signed_it(office: Office) -> None:
    """What is signed and stored is sent by the proposer's wallet, if the co-signer's is gone by then."""
    async with office.trade(6) as trade:
        assert (await trade.fund()).status is Status.FUNDED
        await trade.say(Released(), Who.BUYER)
        with hit_by(crash_at(CrashPoint.P10_SIGNED_IN_DB)), pytest.raises(Crashed):
            await trade.advance()
        (before,) = await trade.attempts()
        assert (before.step, before.cosigner) == (AttemptStep.SIGNED, VENDOR_ROLE)
        async with gone(office.running, trade.id, VENDOR_ROLE, Found.WARM):
            assert (await trade.advance()).status is Status.PAYING
            assert (await trade.finish()).status is Status.COMPLETED
        (after,) = await trade.attempts()
        assert (after.step, after.transactions) == (AttemptStep.SUBMITTED, before.transactions)
        (one,) = after.transactions
        assert await office.paid_to(VENDOR, [one.txid]) == [AMOUNT - one.network_fee]
