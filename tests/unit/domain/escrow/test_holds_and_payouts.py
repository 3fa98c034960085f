from dataclasses import replace

import pytest

from escrowd.domain.escrow.assess import _changes
from escrowd.domain.escrow.effects import Effect
from escrowd.domain.escrow.events import (
    DepositReorged,
    Event,
    FundingRefuted,
    PayoutBroadcast,
    PayoutConfirmed,
    PayoutFailed,
    PayoutReorged,
    Refunded,
    Released,
    Resumed,
    SpentOutside,
)
from escrowd.domain.escrow.facts import DepositFacts, Hold, HoldReason, Moment, PayoutOrder
from escrowd.domain.escrow.machine import IllegalMove, allowed_actions, is_allowed, step
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.payouts.records import PayoutKind
from tests.unit.domain.escrow.world import AMOUNT, PAID, START, Move, follow, ledger, output, play, reached

LATER = Moment(START.utc + 5_000, running=77_000)
# --- holds and payouts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "event", "who", "hold"),
    [
        (
            Status.CONFIRMING,
            FundingRefuted("they differ"),
            Who.SERVICE,
            Hold(HoldReason.WALLET_DISAGREES, "they differ", Status.CONFIRMING),
        ),
        (
            Status.AWAITING_FUNDING,
            FundingRefuted("they differ"),
            Who.SERVICE,
            Hold(HoldReason.WALLET_DISAGREES, "they differ", Status.AWAITING_FUNDING),
        ),
        (
            Status.DELIVERED,
            SpentOutside("t1"),
            Who.CHAIN,
            Hold(HoldReason.SPENT_OUTSIDE, "transaction t1 spends the deposit and is not ours", Status.DELIVERED),
        ),
        (
            Status.DISPUTED,
            DepositReorged(DepositFacts()),
            Who.CHAIN,
            Hold(HoldReason.DEPOSIT_GONE, "the deposit is no longer in the chain", Status.DISPUTED),
        ),
        (
            Status.PAYING,
            PayoutFailed(HoldReason.SPENT_OUTSIDE, "gone"),
            Who.SERVICE,
            Hold(HoldReason.SPENT_OUTSIDE, "gone", Status.PAYING),
        ),
    ],
)
def test_hold_says_something_else(status: Status, event: Event, who: Who, hold: Hold) -> None:
    """A hold tells the operator what happened, and when it did."""
    assert step(reached(status), event, who, LATER).after.hold == hold


PAYOUT_FAILED: Move = (PayoutFailed(HoldReason.PAYOUT_FAILED, "the fee is too high"), Who.SERVICE)
RESUMED: Move = (Resumed(), Who.OPERATOR)


def test_resumed_payout_carries_out_the_same_decision() -> None:
    """A payout that was held goes on with the decision that it had, on what is there now: a new version of it."""
    paying = reached(Status.PAYING)
    assert paying.order is not None
    resumed = play([PAYOUT_FAILED, RESUMED], paying)
    assert (resumed.status, resumed.hold) == (Status.PAYING, None)
    assert resumed.order == replace(paying.order, version=resumed.version)


def test_operator_may_decide_a_held_payout() -> None:
    """The operator may give a held payout to the other side; then that is the order."""
    held = play([PAYOUT_FAILED], reached(Status.PAYING))
    assert allowed_actions(held, Who.OPERATOR) == ("release", "refund", "resume", "split")
    refunded = step(held, Refunded(), Who.OPERATOR, LATER)
    assert refunded.after.order == PayoutOrder(PayoutKind.REFUND, 0, Who.OPERATOR, held.version + 1)
    assert refunded.effects == (Effect.PAY,)


@pytest.mark.parametrize(
    ("deposit", "becomes", "effects"),
    [
        (PAID, Status.CONFIRMING, (Effect.VERIFY_FUNDING,)),
        (DepositFacts(seen=AMOUNT), Status.CONFIRMING, (Effect.VERIFY_FUNDING,)),
        (DepositFacts(seen=AMOUNT - 1), Status.AWAITING_FUNDING, ()),
    ],
)
def test_resumed_escrow_trusts_what_was_doubted(
    deposit: DepositFacts, becomes: Status, effects: tuple[Effect, ...]
) -> None:
    """An escrow that was held before paying is verified anew, or waits for money, with time to pay it."""
    held = replace(reached(Status.HELD), deposit=deposit)
    resumed = step(held, Resumed(), Who.OPERATOR, LATER)
    assert (resumed.after.status, resumed.effects) == (becomes, effects)
    assert (resumed.after.deadline is not None) is (becomes is Status.AWAITING_FUNDING)


def test_operator_pays_out_nothing() -> None:
    """Without confirmed money the operator cannot order a payout of an escrow that is held."""
    held = reached(Status.HELD)
    for event in (Released(), Refunded()):
        with pytest.raises(IllegalMove, match="there is no confirmed money that could be paid out"):
            step(held, event, Who.OPERATOR, LATER)


def test_replaced_payout_is_final_as_what_was_ordered() -> None:
    """If the payout that the operator replaced is mined after all, the escrow ends as what the chain says."""
    held = play([PAYOUT_FAILED, (Refunded(), Who.OPERATOR)], reached(Status.PAYING))
    ended = play([(PayoutConfirmed("pay_1", PayoutKind.RELEASE, ("tx",)), Who.SERVICE)], held)
    assert ended.status is Status.COMPLETED
    assert is_allowed(ended, PayoutReorged("pay_1", PayoutKind.RELEASE), Who.SERVICE)


@pytest.mark.parametrize("kind", PayoutKind)
def test_another_payout_is_told_as_sent(kind: PayoutKind) -> None:
    """While paying, a payout of the ordered kind is sent and no other one; after the end only a return is."""
    sent = PayoutBroadcast("pay_1", kind, ("tx",))
    assert is_allowed(reached(Status.PAYING), sent, Who.SERVICE) is (kind is PayoutKind.RELEASE)
    assert is_allowed(reached(Status.COMPLETED), sent, Who.SERVICE) is (kind is PayoutKind.RETURN)


@pytest.mark.parametrize(
    ("status", "own"),
    [
        (Status.COMPLETED, PayoutKind.RELEASE),
        (Status.REFUNDED, PayoutKind.REFUND),
        (Status.SPLIT, PayoutKind.SPLIT),
        (Status.EXPIRED, PayoutKind.RETURN),
        (Status.CANCELLED, PayoutKind.RETURN),
    ],
)
def test_end_takes_another_payout_for_its_own(status: Status, own: PayoutKind) -> None:
    """After the end only returns become final; only they, and the payout that made the end, are thrown back."""
    ended = reached(status)
    for kind in PayoutKind:
        is_return = kind is PayoutKind.RETURN
        assert is_allowed(ended, PayoutConfirmed("pay_2", kind, ("tx",)), Who.SERVICE) is is_return
        assert is_allowed(ended, PayoutReorged("pay_2", kind), Who.SERVICE) is (is_return or kind is own)


def test_payout_that_was_thrown_back_is_ordered_again() -> None:
    """A payout that was final and is no longer is followed as before: the order stays, and nothing is paid anew."""
    ended = reached(Status.SPLIT)
    with_late = replace(ended, deposit=replace(ended.deposit, late_seen=5, late_spendable=5))
    back = step(with_late, PayoutReorged("pay_1", PayoutKind.SPLIT), Who.SERVICE, LATER)
    assert (back.after.status, back.after.order, back.effects) == (Status.PAYING, ended.order, ())
    assert (back.after.deposit.late_seen, back.after.deposit.late_spendable) == (0, 0)


@pytest.mark.parametrize("status", [Status.SPLIT, Status.EXPIRED, Status.CANCELLED])
def test_late_money_stays(status: Status) -> None:
    """Late money is sent back once it can be spent, and what came meanwhile follows when that is final."""
    ended = reached(status)
    late, _ = follow(ended, ledger(output("z", confirmations=1)))
    (spendable,) = _changes(late.deposit, replace(late.deposit, late_spendable=AMOUNT))
    assert step(late, spendable, Who.CHAIN, LATER).effects == (Effect.RETURN_LATE,)
    returned = PayoutConfirmed("pay_2", PayoutKind.RETURN, ("tx",))
    assert step(late, returned, Who.SERVICE, LATER).effects == (Effect.RETURN_LATE, Effect.REST)
    failed = step(late, PAYOUT_FAILED[0], Who.SERVICE, LATER)  # type: ignore[arg-type]
    assert (failed.after.status, failed.effects) == (status, (Effect.TELL_OPERATOR,))
