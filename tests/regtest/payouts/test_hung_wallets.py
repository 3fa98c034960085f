"""A signer's wallet process that hangs is ended soon, and the other pair pays (findings E7)."""

import asyncio
import time
from typing import Final

import pytest

from escrowd.domain.escrow.events import Released
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.records import AttemptStep
from tests.regtest.payouts.office import AMOUNT, VENDOR, Office

#: Seconds within which a payout that met a hanging process is in the pool.
HEALED: Final = 60.0


@pytest.mark.parametrize(
    ("method", "role"),
    [
        ("refresh", WalletRole.BUYER),
        ("sweep_all", WalletRole.BUYER),
        ("sign_multisig", WalletRole.VENDOR),
    ],
)
async def test_hung_wallet_delays_a_payout_by_less_than_a_minute(office: Office, method: str, role: WalletRole) -> None:
    """A process that is stopped at a call is killed, its attempt given up, and the pair without it signs at once."""
    async with office.trade(5) as trade:
        assert (await trade.fund()).status is Status.FUNDED
        await trade.say(Released(), Who.BUYER)
        async with trade.lease() as lease:
            # As the check of a deposit does in the service: a wallet that is far behind has more time to read.
            await asyncio.gather(*(lease.wallet(each).refresh() for each in WalletRole))
            office.freeze_at(trade.wallets, role, method)
        hung = office.server(trade.wallets, role)
        began = time.monotonic()
        assert (await trade.advance()).status is Status.PAYING
        assert time.monotonic() - began < HEALED
        assert not hung.is_alive
        first, second = await trade.attempts()
        assert (first.step, second.step) == (AttemptStep.DISCARDED, AttemptStep.SUBMITTED)
        assert role in (first.proposer, first.cosigner)
        assert role not in (second.proposer, second.cosigner)
        assert (await trade.finish()).status is Status.COMPLETED
        (one,) = (await trade.payouts())[0].transactions
        assert await office.paid_to(VENDOR, [one.txid]) == [AMOUNT - one.network_fee]
        assert await trade.money_left() == []
