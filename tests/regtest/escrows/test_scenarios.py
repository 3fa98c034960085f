"""Whole escrows on the real chain, from the deposit to the end: every way there is, exact to the piconero."""

from typing import Any

import pytest

from escrowd.bootstrap.service import RunningService
from escrowd.domain.escrow.events import (
    Cancelled,
    Delivered,
    Disputed,
    Refunded,
    Released,
    Ruled,
    SplitAccepted,
    SplitProposed,
)
from escrowd.domain.escrow.history import broken_links
from escrowd.domain.escrow.machine import IllegalMove
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.escrow.terms import DAY, FeeRule
from escrowd.domain.outputs import SPENDABLE_AGE
from escrowd.domain.payouts.records import PayoutKind, PayoutStatus
from escrowd.service.orchestrator import EscrowView
from escrowd.service.payouts.rates import normal_fee_rate
from escrowd.testing.wallet_sets import wallet_sets
from tests.escrow_life import BUYER, VENDOR, XMR, EscrowLife, assert_paid_once

pytestmark = pytest.mark.timeout(600)

#: An address that is nobody's in these tests.
OPERATOR = wallet_sets()[-2].address


def paid_to(view: EscrowView) -> dict[str, int]:
    outputs = [each for one in view.payouts[-1].transactions for each in one.outputs]
    return {each.to: each.amount for each in outputs}


def fee_of(view: EscrowView) -> int:
    return sum(one.network_fee for one in view.payouts[-1].transactions)


async def funded(life: EscrowLife, **terms: Any) -> None:
    await life.create(**terms)
    await life.fund()
    await life.until_status(Status.FUNDED)


async def test_release_pays_another_sum_than_agreed(life: EscrowLife) -> None:
    """A release pays the vendor the deposit less the fee rule and the network fee, and the operator its fee."""
    await funded(life, fee=FeeRule(250, OPERATOR))
    await life.say(Delivered(), Who.VENDOR)
    with pytest.raises(IllegalMove):
        await life.say(Released(), Who.VENDOR)
    await life.say(Released(), Who.BUYER)
    view = await life.until_paid(Status.COMPLETED)
    assert_paid_once(view)
    assert paid_to(view) == {VENDOR: XMR - XMR // 40 - fee_of(view), OPERATOR: XMR // 40}
    async with life.store.transaction() as tx:
        entries = await tx.escrows.log(life.id)
    assert broken_links(entries) == ()
    told = [each.type for each in entries if "." in each.type and not each.type.startswith("inner.")]
    assert told == [
        "escrow.created", "escrow.ready", "deposit.seen", "deposit.confirmed", "escrow.funded", "escrow.delivered",
        "payout.broadcast", "payout.confirmed", "escrow.completed",
    ]  # fmt: skip


async def test_refund_keeps_something_from_the_buyer(life: EscrowLife) -> None:
    """A refund pays the buyer everything but the network fee; no fee rule applies."""
    await funded(life, fee=FeeRule(250, OPERATOR))
    await life.say(Refunded(), Who.VENDOR)
    view = await life.until_paid(Status.REFUNDED)
    assert_paid_once(view)
    assert paid_to(view) == {BUYER: XMR - fee_of(view)}


async def test_agreed_split_shares_the_expected_network_fee_in_proportion(life: EscrowLife) -> None:
    """The vendor of a split bears its part of the expected network fee; the buyer bears the rest of the real one."""
    await funded(life)
    share = 3 * XMR // 10
    await life.say(SplitProposed(share), Who.VENDOR)
    with pytest.raises(IllegalMove):
        await life.say(SplitAccepted(share), Who.VENDOR)
    expected_fee = (await normal_fee_rate(life.lab.daemon)).estimate(1, 2)
    await life.say(SplitAccepted(share), Who.BUYER)
    view = await life.until_paid(Status.SPLIT)
    assert_paid_once(view)
    vendor = share - expected_fee * share // XMR
    assert paid_to(view) == {VENDOR: vendor, BUYER: XMR - fee_of(view) - vendor}


async def test_ruling_is_not_carried_out(life: EscrowLife) -> None:
    """The arbiter rules on a dispute, and the money goes as ruled, with the arbiter's key and the winner's."""
    await funded(life)
    await life.say(Disputed("it was broken"), Who.BUYER)
    with pytest.raises(IllegalMove):
        await life.say(Ruled(0), Who.BUYER)
    await life.say(Ruled(0), Who.ARBITER)
    view = await life.until_paid(Status.REFUNDED)
    assert_paid_once(view)
    assert paid_to(view) == {BUYER: XMR - fee_of(view)}


async def test_silence_of_the_buyer_does_not_release(life: EscrowLife, running: RunningService) -> None:
    """When the inspection period ends without a word of the buyer, the vendor is paid."""
    await funded(life)
    await life.say(Delivered(), Who.VENDOR)
    await pass_time(running, 3 * DAY)
    view = await life.until_paid(Status.COMPLETED)
    assert_paid_once(view)
    assert view.escrow.order is not None
    assert view.escrow.order.by is Who.CLOCK
    assert paid_to(view) == {VENDOR: XMR - fee_of(view)}


async def test_part_of_the_deposit_is_kept_when_the_time_to_pay_is_over(
    life: EscrowLife, running: RunningService
) -> None:
    """An escrow that was paid in part only expires, and what came goes back to the buyer."""
    await life.create()
    await life.fund(XMR // 2)
    await life.until(lambda view: view.escrow.deposit.confirmed == XMR // 2, "half of it is confirmed")
    await pass_time(running, DAY)
    await life.until_status(Status.EXPIRED)
    await life.until_sent()
    await life.lab.mine(10)
    view = await life.until(lambda seen: seen.payouts[-1].status is PayoutStatus.CONFIRMED, "it is sent back")
    assert view.payouts[-1].kind is PayoutKind.RETURN
    assert paid_to(view) == {BUYER: XMR // 2 - fee_of(view)}
    assert view.escrow.status is Status.EXPIRED


async def test_deposit_of_a_cancelled_escrow_is_kept(life: EscrowLife) -> None:
    """W15: money that comes after an escrow was called off goes back to the buyer, ten blocks after it came."""
    await life.create()
    await life.say(Cancelled(), Who.VENDOR)
    await life.until_status(Status.CANCELLED)
    await life.fund()
    # The address of an ended escrow is scanned when it is ten blocks behind, as long as its money is locked.
    await life.lab.mine(SPENDABLE_AGE)
    await life.until_sent()
    await life.lab.mine(10)
    view = await life.until(lambda seen: seen.payouts[-1].status is PayoutStatus.CONFIRMED, "it is sent back")
    assert paid_to(view) == {BUYER: XMR - fee_of(view)}
    assert view.escrow.status is Status.CANCELLED


async def pass_time(running: RunningService, seconds: int) -> None:
    """Let the running clock jump ahead, and everybody look at it."""
    async with running.store.transaction() as tx:
        await tx.clock.advance(1000 * seconds)
        for escrow in await tx.escrows.with_status(*Status):
            await tx.wake(escrow)
