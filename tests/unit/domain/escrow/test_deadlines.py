import itertools
from dataclasses import replace

import pytest

from escrowd.domain.escrow.effects import Effect
from escrowd.domain.escrow.events import (
    Cancelled,
    DeadlineReached,
    DepositSeen,
    FundingVerified,
    Released,
    Resumed,
    SplitProposed,
    UnfundedVerified,
)
from escrowd.domain.escrow.facts import Deadline, Moment
from escrowd.domain.escrow.machine import IllegalMove, allowed_actions, due_event, is_allowed, step
from escrowd.domain.escrow.status import DEADLINE_OF, DeadlineName, Status, Who
from escrowd.domain.escrow.terms import DeadlineTerms
from escrowd.domain.payouts.records import PayoutKind
from tests.unit.domain.escrow.world import (
    AMOUNT,
    HALF,
    PAID,
    START,
    TERMS,
    deadline_of,
    follow,
    ledger,
    output,
    play,
    reached,
)

LATER = Moment(START.utc + 5_000, running=77_000)

# --- deadlines -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", DEADLINE_OF)
def test_deadline_is_due_at_another_time(status: Status) -> None:
    """A period lasts exactly as many seconds of the running clock as the terms say, from the step that began it."""
    terms = replace(TERMS, deadlines=DeadlineTerms(keying=61, funding=62, delivery=63, inspection=64, ruling=65))
    escrow = reached(status, terms)
    seconds = 61 + list(DeadlineName).index(DEADLINE_OF[status])
    began_at = 0 if status is Status.KEYING else (escrow.version - 1) * 1000
    assert escrow.deadline == Deadline(DEADLINE_OF[status], began_at + seconds * 1000, escrow.version)
    assert due_event(escrow, escrow.deadline.due - 1) is None
    assert due_event(escrow, escrow.deadline.due) == deadline_of(escrow)


def test_deadline_is_due_where_none_runs() -> None:
    """Where no deadline runs, none is ever due."""
    assert due_event(reached(Status.PAYING), 10**15) is None


@pytest.mark.parametrize(
    ("status", "becomes", "kind", "effects"),
    [
        (Status.KEYING, Status.CANCELLED, None, (Effect.REST,)),
        (Status.AWAITING_FUNDING, Status.AWAITING_FUNDING, None, (Effect.VERIFY_UNFUNDED,)),
        (Status.FUNDED, Status.PAYING, PayoutKind.REFUND, (Effect.PAY,)),
        (Status.DELIVERED, Status.PAYING, PayoutKind.RELEASE, (Effect.PAY,)),
        (Status.DISPUTED, Status.DISPUTED, None, (Effect.REMIND_ARBITER,)),
    ],
)
def test_deadline_decides_otherwise(
    status: Status, becomes: Status, kind: PayoutKind | None, effects: tuple[Effect, ...]
) -> None:
    """Each deadline has its stated outcome."""
    escrow = reached(status)
    taken = step(escrow, deadline_of(escrow), Who.CLOCK, LATER)
    assert (taken.after.status, taken.effects) == (becomes, effects)
    assert (taken.after.order and taken.after.order.kind) == kind


@pytest.mark.parametrize("status", Status)
def test_stale_timer_is_obeyed(status: Status) -> None:
    """A timer that was set for another period or another version of it is refused."""
    escrow = reached(status)
    armed_at = escrow.deadline.armed_at if escrow.deadline else escrow.version
    running = escrow.deadline.name if escrow.deadline else None
    for name, version in itertools.product(DeadlineName, (armed_at - 1, armed_at, armed_at + 1)):
        if (name, version) != (running, armed_at):
            with pytest.raises(IllegalMove):
                step(escrow, DeadlineReached(name, version), Who.CLOCK, LATER)


def test_words_move_a_deadline() -> None:
    """What does not change the status, such as an offer or an excess, does not give anybody more time."""
    funded = reached(Status.FUNDED)
    later = play([(SplitProposed(HALF), Who.BUYER), (DepositSeen(replace(PAID, seen=2 * AMOUNT)), Who.CHAIN)], funded)
    assert later.deadline == funded.deadline
    assert is_allowed(later, deadline_of(funded), Who.CLOCK)


def test_operator_rules_while_the_arbiter_has_time() -> None:
    """The arbiter has one period, a reminder, and another period; then the operator is called, and may rule."""
    disputed = reached(Status.DISPUTED)
    reminded = play([(deadline_of, Who.CLOCK)], disputed)
    assert reminded.deadline is not None
    assert (reminded.deadline.name, reminded.deadline.armed_at) == (DeadlineName.RULING, reminded.version)
    assert allowed_actions(reminded, Who.OPERATOR) == ()
    overdue = step(reminded, deadline_of(reminded), Who.CLOCK, LATER)
    assert overdue.effects == (Effect.TELL_OPERATOR,)
    assert allowed_actions(overdue.after, Who.OPERATOR) == ("rule",)
    assert allowed_actions(overdue.after, Who.ARBITER) == ("rule",)
    again = step(overdue.after, deadline_of(overdue.after), Who.CLOCK, LATER)
    assert again.effects == (Effect.TELL_OPERATOR,)


def test_reminders_are_forgotten_in_a_reorganisation() -> None:
    """A dispute that was thrown back to confirming goes on where it was; the next one begins anew."""
    reminded = play([(deadline_of, Who.CLOCK)], reached(Status.DISPUTED))
    thrown, _ = follow(reminded, ledger(output("a", confirmations=1)))
    assert (thrown.status, thrown.reminders) == (Status.CONFIRMING, 1)
    back = play([(FundingVerified(), Who.SERVICE)], follow(thrown, ledger(output("a")))[0])
    assert (back.status, back.reminders) == (Status.DISPUTED, 1)
    assert play([(Released(), Who.BUYER)], back).reminders == 0


def test_reminders_are_forgotten_in_a_hold() -> None:
    """A dispute that was held because its deposit vanished goes on where it was when that is back."""
    reminded = play([(deadline_of, Who.CLOCK)], reached(Status.DISPUTED))
    held, _ = follow(reminded, ledger())
    resumed = play([(Resumed(), Who.OPERATOR)], follow(held, ledger(output("a")))[0])
    back = play([(FundingVerified(), Who.SERVICE)], resumed)
    assert (held.status, back.status, back.reminders) == (Status.HELD, Status.DISPUTED, 1)


# --- the time to pay -------------------------------------------------------------------------------------------------


def test_answer_to_an_old_question_expires_an_escrow() -> None:
    """When the time to pay began anew, the wallet's answer about the time before expires nothing."""
    over = play([(deadline_of, Who.CLOCK)], reached(Status.AWAITING_FUNDING))
    assert over.deadline is None
    assert is_allowed(over, UnfundedVerified(), Who.SERVICE)
    paid, _ = follow(over, ledger(output("a", confirmations=0)))
    anew, _ = follow(paid, ledger())
    assert (anew.status, anew.deadline and anew.deadline.name) == (Status.AWAITING_FUNDING, DeadlineName.FUNDING)
    assert not is_allowed(anew, UnfundedVerified(), Who.SERVICE)


@pytest.mark.parametrize("who", [Who.BUYER, Who.VENDOR, Who.INTEGRATOR])
def test_escrow_is_cancelled_over_a_payment(who: Who) -> None:
    """One piconero in the pool is enough to forbid calling it off."""
    waiting = reached(Status.AWAITING_FUNDING)
    assert step(waiting, Cancelled(), who, LATER).after.status is Status.CANCELLED
    seen, _ = follow(waiting, ledger(output("a", 1, confirmations=0)))
    with pytest.raises(IllegalMove, match="money was seen already"):
        step(seen, Cancelled(), who, LATER)


def test_wallet_confirms_what_the_chain_does_not() -> None:
    """A wallet's word makes no escrow funded whose deposit is not confirmed in full, as far as is known."""
    assert not is_allowed(reached(Status.CONFIRMING), FundingVerified(), Who.SERVICE)
