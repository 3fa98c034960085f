"""Random lives of an escrow, drawn from the rows of its present status, with illegal moves in between."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from escrowd.domain.escrow.assess import _changes
from escrowd.domain.escrow.events import (
    DeadlineReached,
    DepositConfirmed,
    DepositReorged,
    DepositSeen,
    DepositSpent,
    Divided,
    Event,
    FundingVerified,
    PayoutBroadcast,
    PayoutConfirmed,
    PayoutReinstated,
    PayoutReorged,
    Refunded,
    Released,
    Ruled,
    Settled,
    SplitAccepted,
    SplitProposed,
    UnfundedVerified,
)
from escrowd.domain.escrow.facts import DepositFacts, Escrow, Moment
from escrowd.domain.escrow.machine import IllegalMove, InvalidShare, Step, allowed_actions, create, is_allowed, step
from escrowd.domain.escrow.status import DEADLINE_OF, ENDED, HOLDING, DeadlineName, Status, Who
from escrowd.domain.escrow.table import TABLE
from escrowd.domain.escrow.terms import Overpayment
from escrowd.domain.payouts.records import PayoutKind
from tests.unit.domain.escrow.world import DEPOSITS, ID, PAID, PATHS, READY, START, TERMS, deadline_of, tries

T = TypeVar("T")

#: Deposits to draw from. Those in full come more often, since less makes lives short.
LIKELY = (*[each for each in DEPOSITS if each.confirmed >= PAID.confirmed] * 5, *DEPOSITS)

LEAST_STEPS, MOST_STEPS = 10, 40


class Choices:
    """Makes choices out of one number, so that a smaller number makes simpler ones."""

    def __init__(self, number: int) -> None:
        self._number = number

    def of(self, several: Sequence[T]) -> T:
        self._number, index = divmod(self._number, len(several))
        return several[index]


class Life:
    """An escrow, and all that has happened to it."""

    def __init__(self, overpayment: Overpayment) -> None:
        first = create(ID, replace(TERMS, overpayment=overpayment), Who.INTEGRATOR, START)
        self.escrow = first.after
        self.steps: list[Step] = []

    def take(self, event: Event, who: Who) -> bool:
        """Send an event, and check what it did. Return whether it was allowed."""
        before = self.escrow
        try:
            taken = step(before, event, who, Moment(START.utc, before.version * 1000))
        except IllegalMove as refused:
            return self._was_refused(event, who, refused.allowed)
        except InvalidShare:
            assert isinstance(event, SplitProposed | SplitAccepted | Ruled | Divided)
            assert not 0 <= event.vendor_share <= before.divisible
            return False
        assert is_allowed(before, event, who)
        assert (taken.before, taken.after.version) == (before, before.version + 1)
        self.escrow = taken.after
        self.steps.append(taken)
        check_deadline(taken)
        check_status(self.escrow)
        check_word(self.steps)
        return True

    def _was_refused(self, event: Event, who: Who, allowed: tuple[str, ...]) -> bool:
        assert not is_allowed(self.escrow, event, who)
        assert allowed == allowed_actions(self.escrow, who)
        return False


def check_deadline(taken: Step) -> None:
    """Check that a period begins with its status, ends in time, and is ended by its own timer only."""
    before, after = taken.before, taken.after
    assert before is not None
    if isinstance(taken.event, DeadlineReached):
        assert before.deadline is not None
        assert deadline_of(before) == taken.event
        assert after.deadline != before.deadline
    elif after.status is before.status:
        assert after.deadline == before.deadline
    if after.deadline is not None and after.deadline != before.deadline:
        assert after.deadline.armed_at == after.version
        assert after.deadline.due > taken.moment.running


def check_status(escrow: Escrow) -> None:
    """Check that the status, the deposit and all else that is known go together."""
    is_asked = escrow.status is Status.AWAITING_FUNDING and escrow.deadline is None
    assert is_asked or (escrow.deadline and escrow.deadline.name) == DEADLINE_OF.get(escrow.status)
    assert (escrow.hold is not None) == (escrow.status is Status.HELD)
    assert escrow.status not in HOLDING or escrow.is_confirmed_in_full
    assert escrow.status is not Status.CONFIRMING or escrow.is_seen_in_full
    assert escrow.status is not Status.AWAITING_FUNDING or not escrow.is_seen_in_full
    assert escrow.proposal is None or (escrow.status in HOLDING and escrow.proposal.vendor_share <= escrow.divisible)
    assert escrow.order is None or escrow.status not in (*HOLDING, Status.CONFIRMING, Status.AWAITING_FUNDING)


def check_word(steps: Sequence[Step]) -> None:
    """Check, by the history alone, that whoever was paid was paid by the word of somebody who may say it."""
    words, offers = set(), dict[Who, int]()
    for taken in steps:
        if isinstance(taken.event, SplitProposed):
            offers[taken.who] = taken.event.vendor_share
        words.add(word_of(taken, offers))
    status = steps[-1].after.status
    paid = {
        Status.COMPLETED: PayoutKind.RELEASE,
        Status.REFUNDED: PayoutKind.REFUND,
        Status.SPLIT: PayoutKind.SPLIT,
    }
    assert status not in paid or paid[status] in words
    assert status is not Status.PAYING or words != {None}


def word_of(taken: Step, offers: dict[Who, int]) -> PayoutKind | None:
    """Return what a step decided about the money, if it did, and check that its sender may decide it."""
    assert taken.before is not None
    event, who = taken.event, taken.who
    match event:
        case PayoutReinstated() | Settled():
            assert who is (Who.OPERATOR if isinstance(event, Settled) else Who.SERVICE)
            order = event.order if isinstance(event, PayoutReinstated) else event.paid
            return order.kind if order is not None else None
        case SplitAccepted(share) | Ruled(share) | Divided(share):
            if isinstance(event, SplitAccepted):
                assert offers[Who.VENDOR if who is Who.BUYER else Who.BUYER] == share
            assert who in _DIVIDING[type(event)]
            return kind_of(share, taken.before)
        case _:
            decided = next((each for each in _DECIDING if _is_such(event, each)), None)
            assert decided is None or who in _DECIDING[decided]
            return decided[-1] if decided else None


#: Who may divide the money by what, and who may give it to one side.
_DIVIDING: dict[type[Event], set[Who]] = {
    SplitAccepted: {Who.BUYER, Who.VENDOR},
    Ruled: {Who.ARBITER, Who.OPERATOR},
    Divided: {Who.OPERATOR},
}
_DECIDING: dict[tuple[type[Event], DeadlineName | None, PayoutKind], set[Who]] = {
    (Released, None, PayoutKind.RELEASE): {Who.BUYER, Who.OPERATOR},
    (Refunded, None, PayoutKind.REFUND): {Who.VENDOR, Who.OPERATOR},
    (DeadlineReached, DeadlineName.INSPECTION, PayoutKind.RELEASE): {Who.CLOCK},
    (DeadlineReached, DeadlineName.DELIVERY, PayoutKind.REFUND): {Who.CLOCK},
}


def _is_such(event: Event, decided: tuple[type[Event], DeadlineName | None, PayoutKind]) -> bool:
    return isinstance(event, decided[0]) and getattr(event, "name", None) is decided[1]


def kind_of(share: int, before: Escrow) -> PayoutKind:
    """Return what a division is called."""
    if share in (0, before.divisible):
        return PayoutKind.RELEASE if share else PayoutKind.REFUND
    return PayoutKind.SPLIT


def make(life: Life, kind: type[Event], choices: Choices) -> Event:
    """Make an event of a kind that may fit, such as chain, clock, service and people send them."""
    escrow = life.escrow
    if kind is DeadlineReached and escrow.deadline is not None:
        return deadline_of(escrow)
    if kind is SplitAccepted and escrow.proposal is not None:
        return SplitAccepted(escrow.proposal.vendor_share)
    return choices.of([each for each in possible(life) if isinstance(each, kind)])


def possible(life: Life) -> list[Event]:
    """Return what can be sent at all: of payouts the service tells none of a kind that was never ordered."""
    kinds = {PayoutKind.RETURN, *(each.after.order.kind for each in life.steps if each.after.order is not None)}
    payouts = PayoutBroadcast | PayoutConfirmed | PayoutReorged
    return [each for each in tries(life.escrow) if not isinstance(each, payouts) or each.kind in kinds]


def hear_the_chain(life: Life, choices: Choices) -> None:
    """Let the chain show another deposit, and apply all that is told of it: each piece has its row."""
    escrow, drawn = life.escrow, choices.of(LIKELY)
    if escrow.address is None:
        return
    if escrow.status in ENDED:
        facts = replace(escrow.deposit, late_seen=drawn.late_seen, late_spendable=drawn.late_spendable)
    elif escrow.status in (Status.PAYING, Status.HELD):
        facts = replace(drawn, late_spendable=0, spent=choices.of((0, 0, drawn.seen // 2, drawn.seen)))
    else:
        facts = DepositFacts(drawn.seen, drawn.confirmed, uncounted=choices.of((0, 0, 7)))
    for event in _changes(escrow.deposit, facts):
        assert life.take(event, Who.CHAIN), (life.escrow, event)
    assert life.escrow.deposit == facts


def live(life: Life, number: int) -> None:
    """Take one step: usually one that a row of the present status offers, sometimes any."""
    choices = Choices(number)
    if choices.of((0, 0, 0, 0, 1)):
        life.take(choices.of(possible(life)), choices.of(tuple(Who)))
        return
    row = choices.of([row for row in TABLE if row.status is life.escrow.status])
    if row.sends in (DepositSeen, DepositConfirmed, DepositReorged, DepositSpent):
        hear_the_chain(life, choices)
    else:
        life.take(make(life, row.sends, choices), choices.of(sorted(row.who)))


def heal(life: Life) -> None:
    """Let everybody do their duty until the escrow has ended, which takes few steps."""
    for _ in range(12):
        if life.escrow.has_ended:
            return
        for event, who in duty(life.escrow):
            assert life.take(event, who), (life.escrow, event)
    raise AssertionError(f"it has not ended: {life.escrow}")


def duty(escrow: Escrow) -> list[tuple[Event, Who]]:
    """Return what comes next if all is well, and nobody but the operator says a word."""
    match escrow.status:
        case Status.AWAITING_FUNDING if escrow.deadline is None:
            return [(UnfundedVerified(), Who.SERVICE)]
        case Status.CONFIRMING:
            paid = [(each, Who.CHAIN) for each in _changes(escrow.deposit, PAID)]
            return [*paid, (FundingVerified(), Who.SERVICE)]
        case Status.DISPUTED if escrow.reminders > 1:
            return [(Ruled(0), Who.OPERATOR)]
        case Status.PAYING if escrow.order is not None:
            return [(PayoutConfirmed("pay_1", escrow.order.kind, ("tx",)), Who.SERVICE)]
        case Status.HELD:
            return _operators_duty(escrow)
        case _:
            return [(READY, Who.SERVICE)] if escrow.status is Status.KEYING else [(deadline_of(escrow), Who.CLOCK)]


def _operators_duty(escrow: Escrow) -> list[tuple[Event, Who]]:
    """Return what an operator does with a held escrow: pay out what is there, wait for what comes, or close it."""
    if escrow.deposit.spendable:
        return [(Refunded(), Who.OPERATOR)]
    coming: list[tuple[Event, Who]] = [(each, Who.CHAIN) for each in _changes(escrow.deposit, PAID)]
    return coming if escrow.deposit.unspent else [(Settled("nothing is left"), Who.OPERATOR)]


numbers = st.lists(st.integers(0, 2**48), min_size=LEAST_STEPS, max_size=MOST_STEPS)
#: Where lives begin: most where most can happen, so that few are over soon.
beginnings = st.sampled_from(
    [
        *(Status.FUNDED, Status.FUNDED, Status.FUNDED, Status.DELIVERED, Status.DELIVERED, Status.DISPUTED),
        *(Status.DISPUTED, Status.PAYING, Status.PAYING, Status.CONFIRMING, Status.HELD, Status.KEYING, Status.SPLIT),
    ]
)


@settings(max_examples=2000)
@given(beginnings, numbers, st.sampled_from(Overpayment))
def test_life_breaks_a_law(beginning: Status, choices: list[int], overpayment: Overpayment) -> None:
    """Whatever happens in whatever order, the laws of words, deadlines and deposits hold, and an end is near."""
    life = Life(overpayment)
    for move, who in PATHS[beginning]:
        assert life.take(move(life.escrow) if callable(move) else move, who)
    for number in choices:
        live(life, number)
    heal(life)
