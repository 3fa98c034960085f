"""Every kind of deposit on the real chain has its defined result, to the piconero; reorganisations take it back."""

import secrets

import pytest

from escrowd.bootstrap.service import RunningService
from escrowd.domain.address import MoneroAddress
from escrowd.domain.escrow.events import Released
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.networks import AddressKind, Network
from escrowd.domain.outputs import WhyNot
from escrowd.domain.parties import WalletRole
from escrowd.service.orchestrator import EscrowView
from tests.escrow_life import BUYER, VENDOR, XMR, EscrowLife, assert_paid_once

pytestmark = pytest.mark.timeout(600)


def reasons(view: EscrowView) -> list[WhyNot | None]:
    return [each.reason for each in view.judgements]


async def test_parts_of_a_deposit_are_not_added_up(life: EscrowLife) -> None:
    """A deposit may come in parts, down to the last piconero: one less is not enough."""
    await life.create()
    await life.fund(XMR - 1)
    view = await life.until(lambda seen: seen.escrow.deposit.confirmed == XMR - 1, "all but one piconero is confirmed")
    assert view.escrow.status is Status.AWAITING_FUNDING
    await life.fund(1)
    view = await life.until_status(Status.FUNDED)
    assert view.escrow.deposit.confirmed == XMR
    assert reasons(view) == [None, None]


async def test_excess_of_a_deposit_goes_to_the_vendor(life: EscrowLife) -> None:
    """What was paid beyond the amount goes back to the buyer, within the release."""
    await life.create()
    await life.fund(XMR + XMR // 4)
    await life.until_status(Status.FUNDED)
    await life.say(Released(), Who.BUYER)
    view = await life.until_paid(Status.COMPLETED)
    assert_paid_once(view)
    (one,) = view.payouts[0].transactions
    assert {each.to: each.amount for each in one.outputs} == {VENDOR: XMR - one.network_fee, BUYER: XMR // 4}


async def test_money_to_another_address_of_the_wallet_counts(life: EscrowLife, running: RunningService) -> None:
    """Money to an integrated form of the address counts; money to a subaddress is shown and does not."""
    await life.create()
    async with running.manager.lease(life.id, (WalletRole.BUYER,)) as lease:
        subaddress = (await lease.wallet(WalletRole.BUYER).create_address(0)).addresses[0]
    plain = MoneroAddress.parse(life.address, Network.REGTEST)
    integrated = MoneroAddress.of_keys(
        Network.REGTEST,
        AddressKind.INTEGRATED,
        plain.spend_public_key,
        plain.view_public_key,
        payment_id=secrets.token_bytes(8),
    )
    await life.lab.pay(subaddress, XMR)
    await life.lab.pay(integrated.text, XMR // 2)
    await life.lab.mine(10)
    view = await life.until(lambda seen: len(seen.judgements) == 2, "both payments are seen")
    view = await life.until(lambda seen: seen.escrow.deposit.confirmed > 0, "one of them is confirmed")
    assert view.escrow.deposit.confirmed == XMR // 2
    assert {each.output.amount: each.reason for each in view.judgements} == {
        XMR: WhyNot.SUBADDRESS, XMR // 2: None,
    }  # fmt: skip
    assert integrated.payment_id is not None
    assert integrated.payment_id.hex() in {each.output.payment_id for each in view.judgements}


async def test_reward_of_a_miner_counts(life: EscrowLife) -> None:
    """A miner's reward is locked for sixty blocks: it is shown, and never counts."""
    await life.create()
    await life.lab.mine(1, life.address)
    view = await life.until(lambda seen: seen.escrow.deposit.uncounted > 0, "the reward is seen")
    assert reasons(view) == [WhyNot.LOCKED]
    assert view.escrow.status is Status.AWAITING_FUNDING
    assert (view.escrow.deposit.seen, view.escrow.deposit.uncounted) == (0, view.judgements[0].output.amount)


async def test_payment_that_left_the_pool_still_counts(life: EscrowLife) -> None:
    """A payment that vanishes from the pool is taken back, and counts when it comes again."""
    await life.create()
    txid = await life.lab.pay(life.address, XMR)
    await life.until_status(Status.CONFIRMING)
    raw = (await life.lab.daemon.get_transactions([txid])).txs[0].as_hex
    await life.lab.daemon.flush_txpool([txid])
    view = await life.until_status(Status.AWAITING_FUNDING)
    assert view.escrow.deposit.seen == 0
    assert (await life.lab.daemon.send_raw_transaction(raw)).accepted
    await life.until_status(Status.CONFIRMING)
    await life.lab.mine(10)
    view = await life.until_status(Status.FUNDED)
    assert view.escrow.deposit.confirmed == XMR


async def test_reorganised_deposit_stays_funded(life: EscrowLife) -> None:
    """A reorganisation that takes the deposit out of the chain takes the funding back, until it is deep again."""
    await life.create()
    await life.fund()
    await life.until_status(Status.FUNDED)
    await life.lab.pop_blocks(10)
    view = await life.until_status(Status.CONFIRMING)
    assert (view.escrow.deposit.seen, view.escrow.deposit.confirmed) == (XMR, 0)
    await life.lab.mine(10)
    view = await life.until_status(Status.FUNDED)
    assert view.escrow.deposit.confirmed == XMR


async def test_reorganised_payout_is_lost_or_made_twice(life: EscrowLife) -> None:
    """A final payout that a reorganisation throws out is followed anew, by the same transaction."""
    await life.create()
    await life.fund()
    await life.until_status(Status.FUNDED)
    await life.say(Released(), Who.BUYER)
    before = await life.until_paid(Status.COMPLETED)
    await life.lab.pop_blocks(10)
    await life.until_status(Status.PAYING)
    await life.lab.mine(10)
    view = await life.until_status(Status.COMPLETED)
    assert_paid_once(view)
    txids = [[one.txid for one in each.transactions] for each in view.payouts]
    assert txids == [[one.txid for one in each.transactions] for each in before.payouts]
