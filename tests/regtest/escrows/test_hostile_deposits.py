"""Deposits that are made to be trouble, and wallets that are not there, on the real chain."""

import pytest

from escrowd.bootstrap.service import RunningService
from escrowd.domain.address import MoneroAddress
from escrowd.domain.escrow.events import Refunded
from escrowd.domain.escrow.facts import HoldReason
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.networks import Network
from escrowd.domain.outputs import WhyNot
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.plan import MOST_INPUTS
from escrowd.monero.versions import Capability
from escrowd.service.orchestrator import EscrowView
from escrowd.testing.wallet_sets import wallet_sets
from tests.engine import has
from tests.escrow_life import BUYER, XMR, EscrowLife, assert_paid_once
from tests.lost_wallet import Found, gone
from tests.regtest.chain.hostile import Cases
from tests.regtest.chain.mining import mine_by_hand
from tests.regtest.old_engine import pay_locked
from tests.unit.chain.sender import keys_of

pytestmark = pytest.mark.timeout(600)


def reasons(view: EscrowView) -> list[WhyNot | None]:
    return [each.reason for each in view.judgements]


async def test_deposit_in_too_many_parts_is_held_and_goes_back(life: EscrowLife) -> None:
    """Of a deposit that no single transaction could divide nobody is told that it is there; it goes back in full."""
    await life.create()
    parts = MOST_INPUTS + 1
    await life.lab.pay_many([(life.address, XMR // parts + 1)] * parts)
    await life.lab.mine(10)
    view = await life.until_status(Status.HELD)
    assert view.escrow.hold is not None
    assert view.escrow.hold.reason is HoldReason.TOO_MANY_PARTS
    await life.say(Refunded(), Who.OPERATOR)
    view = await life.until_paid(Status.REFUNDED)
    assert_paid_once(view)
    assert {each.to for one in view.payouts[0].transactions for each in one.outputs} == {BUYER}


@pytest.mark.parametrize("role", [WalletRole.VENDOR, WalletRole.ARBITER])
async def test_deposit_waits_for_a_wallet_that_is_gone(
    life: EscrowLife, running: RunningService, role: WalletRole
) -> None:
    """Any two wallets confirm a deposit; the third one may be gone."""
    await life.create()
    async with gone(running.wallets, life.id, role, Found.COLD):
        await life.fund()
        view = await life.until_status(Status.FUNDED)
    assert view.escrow.deposit.confirmed == XMR


async def test_locked_deposit_does_not_fund(life: EscrowLife, running: RunningService) -> None:
    """Money that its sender locked is shown and never counts, seen by the watcher or by a wallet."""
    await life.create()
    unlock_time = (await life.lab.daemon.get_info()).height + 1000
    await pay_locked(life.lab, [(life.address, XMR)], unlock_time)
    await life.lab.mine(12)
    view = await life.until(lambda seen: len(seen.judgements) == 1, "the payment is seen")
    assert reasons(view) == [WhyNot.LOCKED]
    funding = await running.monitor.check_escrow_funding(life.id, afresh=True)
    assert [each.unlock_time for each in funding.outputs] == [unlock_time]
    assert funding.received() == 0
    assert (await life.view()).escrow.status is Status.AWAITING_FUNDING


async def test_unreadable_output_does_not_fund_unless_wallets_pass_it(life: EscrowLife) -> None:
    """A transaction made to stop wallets stops those of 0.18.0.0: what only the watcher sees after it is held.

    Wallets of 0.18.5.3 read on, and the escrow is funded.
    """
    await life.create()
    kept = next(each for each in wallet_sets() if each.address == life.address)
    hostile = Cases(MoneroAddress.parse(life.address, Network.REGTEST), keys_of(kept), "stuck")
    extra, pays = hostile.that_no_wallet_gets_over()
    await mine_by_hand(life.lab, pays, extra)
    await life.fund()
    if has(Capability.PASSES_UNREADABLE_OUTPUTS):
        view = await life.until_status(Status.FUNDED)
        assert view.escrow.deposit.confirmed == XMR
        return
    view = await life.until_status(Status.HELD)
    assert view.escrow.hold is not None
    assert view.escrow.hold.reason is HoldReason.WALLET_DISAGREES
    assert "does not get beyond block" in view.escrow.hold.details
