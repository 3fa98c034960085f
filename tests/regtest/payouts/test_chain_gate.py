"""No signature while the chain is not in sync, up to the last moment before it (E6)."""

import pytest

from escrowd.domain.escrow.events import Released
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.payouts.records import AttemptStep, PayoutStatus
from escrowd.service.crash_points import CrashPoint, hit_by
from escrowd.service.errors import ChainNotTrusted
from tests.regtest.payouts.office import Office, Trade


def signatures(trade: Trade) -> int:
    return sum(call.method == "sign_multisig" for call in trade.office.calls)


async def test_chain_that_is_lost_before_the_signature_stops_it(office: Office) -> None:
    """The co-signer is not asked to sign; the attempt is given up, and a new one pays, once, when the chain is back."""
    async with office.trade(0) as trade:
        assert (await trade.fund()).status is Status.FUNDED
        await trade.say(Released(), Who.BUYER)
        office.calls.clear()

        def lose_sight(point: CrashPoint) -> None:
            if point is CrashPoint.P7_SIGN_INTENT:
                trade.sight.is_in_sync = False

        with hit_by(lose_sight), pytest.raises(ChainNotTrusted):
            await trade.advance()
        assert signatures(trade) == 0
        await trade.advance()
        assert signatures(trade) == 0
        trade.sight.is_in_sync = True
        await trade.advance()
        await trade.finish()
        (payout,) = await trade.payouts()
        assert payout.status is PayoutStatus.CONFIRMED
        assert [each.step for each in await trade.attempts()] == [AttemptStep.DISCARDED, AttemptStep.SUBMITTED]
        assert signatures(trade) == 1
