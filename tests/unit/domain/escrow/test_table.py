import itertools
from collections import defaultdict, deque
from dataclasses import replace

import pytest

from escrowd.domain.escrow.effects import Effect
from escrowd.domain.escrow.events import (
    Created,
    DeadlineReached,
    Divided,
    Event,
    PayoutConfirmed,
    PayoutReinstated,
    PayoutReorged,
    Refunded,
    Released,
    Resumed,
    Ruled,
    Settled,
    SplitAccepted,
)
from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.escrow.machine import Step, allowed_actions, due_event, is_allowed
from escrowd.domain.escrow.status import DEADLINE_OF, ENDED, HOLDING, DeadlineName, PublicEvent, Status, Who
from escrowd.domain.escrow.table import TABLE, Row
from escrowd.domain.payouts.records import PayoutKind, PayoutOrder
from tests.unit.domain.escrow.walk import Shape, news_of_the_chain, passing, shape, whole_walk
from tests.unit.domain.escrow.world import DEPOSIT_EVENTS, DEPOSITS, reached, tries

PEOPLE = (Who.BUYER, Who.VENDOR, Who.ARBITER, Who.INTEGRATOR, Who.OPERATOR)

#: The table of shared statuses, as users know it: who can do what.
CONTRACT: dict[Status, dict[Who, set[str]]] = {
    Status.KEYING: {},
    Status.AWAITING_FUNDING: {Who.BUYER: {"cancel"}, Who.VENDOR: {"cancel"}, Who.INTEGRATOR: {"cancel"}},
    Status.CONFIRMING: {},
    Status.FUNDED: {
        Who.VENDOR: {"deliver", "refund", "dispute", "propose-split"},
        Who.BUYER: {"release", "dispute", "propose-split"},
    },
    Status.DELIVERED: {
        Who.BUYER: {"release", "dispute", "propose-split"},
        Who.VENDOR: {"refund", "dispute", "propose-split"},
    },
    Status.DISPUTED: {
        Who.ARBITER: {"rule"},
        Who.BUYER: {"release", "propose-split"},
        Who.VENDOR: {"refund", "propose-split"},
    },
    Status.PAYING: {},
    Status.COMPLETED: {},
    Status.REFUNDED: {},
    Status.SPLIT: {},
    Status.EXPIRED: {},
    Status.CANCELLED: {},
    Status.HELD: {Who.OPERATOR: {"resume"}},
}


def the_row(taken: Step) -> Row:
    """Return the row that a step took."""
    assert taken.before is not None
    (row,) = passing(taken.before, taken.event, taken.who)
    return row


def reaching(targets: set[Shape], edges: set[tuple[Shape, Shape]]) -> set[Shape]:
    """Return all shapes from which one of the targets can be reached."""
    sources: dict[Shape, set[Shape]] = defaultdict(set)
    for source, target in edges:
        sources[target].add(source)
    found, waiting = set(targets), deque(targets)
    while waiting:
        for source in sources[waiting.popleft()] - found:
            found.add(source)
            waiting.append(source)
    return found


def test_row_is_never_exercised() -> None:
    """Every row of the table can be taken in a life that begins with the creation of an escrow."""
    taken = {id(the_row(each)) for each in whole_walk().steps}
    assert [row for row in TABLE if id(row) not in taken] == []


def test_status_is_an_orphan() -> None:
    """Every status can be reached from the creation of an escrow."""
    assert {each.status for each in whole_walk().escrows} == set(Status)


def test_escrow_can_never_end() -> None:
    """Whatever has happened to an escrow, there is a way to an end."""
    walk = whole_walk()
    ends = {shape(each) for each in walk.escrows if each.has_ended}
    can_end = reaching(ends, set(walk.edges()))
    assert [each for each in walk.escrows if shape(each) not in can_end] == []


def test_money_can_never_be_paid_out() -> None:
    """Whatever has happened to a deposit, it can be paid out, and be final."""
    walk = whole_walk()
    with_money = [each for each in walk.escrows if each.deposit.confirmed and not each.has_ended]
    paid = {shape(each) for each in walk.escrows if each.status in (Status.COMPLETED, Status.REFUNDED, Status.SPLIT)}
    can_be_paid = reaching(paid, set(walk.edges()))
    assert [each for each in with_money if shape(each) not in can_be_paid] == []


def test_status_waits_without_a_deadline() -> None:
    """Every status that waits has its deadline, unless the time to pay is over and a wallet is being asked."""
    for escrow in whole_walk().escrows:
        name = escrow.deadline and escrow.deadline.name
        if escrow.status is Status.AWAITING_FUNDING and name is None:
            continue
        assert name == DEADLINE_OF.get(escrow.status), escrow


def test_end_of_the_time_to_pay_asks_no_wallet() -> None:
    """An escrow that waits for money without a deadline came to it by one that ordered to ask a wallet."""
    for taken in whole_walk().steps:
        before, after = taken.before, taken.after
        assert before is not None
        if after.status is Status.AWAITING_FUNDING and after.deadline is None and before.deadline is not None:
            assert isinstance(taken.event, DeadlineReached)
            assert taken.effects == (Effect.VERIFY_UNFUNDED,)


def test_deadline_that_passed_is_refused() -> None:
    """The event of a deadline that has passed always finds its row."""
    for escrow in whole_walk().escrows:
        if escrow.deadline is not None:
            due = due_event(escrow, escrow.deadline.due)
            assert due is not None
            assert is_allowed(escrow, due, Who.CLOCK)


def test_guards_of_two_rows_pass() -> None:
    """Over all facts that go together, at most one row fits an event of a sender: the table is never ambiguous."""
    for escrow in whole_walk().escrows:
        for event, who in itertools.product(tries(escrow), Who):
            assert len(passing(escrow, event, who)) <= 1, (escrow.status, event, who)


@pytest.mark.parametrize("status", Status)
def test_guards_of_two_rows_pass_on_one_deposit(status: Status) -> None:
    """Whatever deposit an event of the chain tells, and whatever came before, at most one row fits."""
    grid = itertools.product((Status.FUNDED, Status.DELIVERED, Status.DISPUTED), DEPOSITS, DEPOSIT_EVENTS)
    for returns_to, facts, kind in grid:
        escrow = replace(reached(status), returns_to=returns_to)
        assert len(passing(escrow, kind(facts), Who.CHAIN)) <= 1, (facts, kind)


def test_status_and_deposit_contradict_each_other() -> None:
    """Who waits for money has not seen enough, who confirms has seen it, and who holds it has it confirmed."""
    for escrow in whole_walk().escrows:
        if escrow.status is Status.AWAITING_FUNDING:
            assert not escrow.is_seen_in_full
        if escrow.status is Status.CONFIRMING:
            assert escrow.is_seen_in_full
        if escrow.status in HOLDING:
            assert escrow.is_confirmed_in_full


@pytest.mark.parametrize("status", Status)
def test_people_may_do_something_else_than_the_contract_says(status: Status) -> None:
    """Who can do what in a status is what users were told, no more and no less."""
    escrow = reached(status)
    allowed = {who: set(allowed_actions(escrow, who)) for who in PEOPLE}
    assert {who: names for who, names in allowed.items() if names} == CONTRACT[status]


def test_people_may_end_what_they_have_no_say_in() -> None:
    """Buyer and vendor have no say in a payout, an end or a hold, whatever came before; nor has the integrator ever."""
    silent = {Status.KEYING, Status.CONFIRMING, Status.PAYING, Status.HELD, *ENDED}
    for escrow in whole_walk().escrows:
        for who in (Who.BUYER, Who.VENDOR, Who.ARBITER, Who.INTEGRATOR):
            if escrow.status in silent:
                assert allowed_actions(escrow, who) == ()
        if escrow.status is not Status.AWAITING_FUNDING:
            assert allowed_actions(escrow, Who.INTEGRATOR) == ()


def test_escrow_is_cancelled_although_money_was_seen() -> None:
    """An escrow is called off while it waits for money and nothing was seen, without keys, or with nothing left."""
    for taken in whole_walk().steps:
        before = taken.before
        assert before is not None
        if taken.after.status is Status.CANCELLED and before.status is not Status.CANCELLED:
            is_settled = isinstance(taken.event, Settled) and before.deposit.unspent == 0
            assert (
                is_settled
                or before.status is Status.KEYING
                or (before.status is Status.AWAITING_FUNDING and before.deposit.seen == 0)
            )


def test_money_is_ordered_without_a_word() -> None:
    """The buyer's word pays the vendor, the vendor's the buyer; else both, arbiter, operator or time decide."""
    for taken in whole_walk().steps:
        before, after = taken.before, taken.after
        assert before is not None
        if after.order is not None and after.order != before.order:
            if isinstance(taken.event, PayoutReinstated | Settled):
                # What is in a block was decided before: the order is that of the payout that turned up (W1, W14).
                assert after.order == _decision_of(taken.event)
                continue
            assert after.status is Status.PAYING
            if isinstance(taken.event, Resumed):
                assert before.order is not None
                assert (after.order.kind, after.order.by) == (before.order.kind, before.order.by)
                continue
            assert (after.order.by, after.order.version) == (taken.who, after.version)
            assert _is_a_word(before, taken), taken


def _decision_of(event: PayoutReinstated | Settled) -> PayoutOrder | None:
    return event.order if isinstance(event, PayoutReinstated) else event.paid


def _is_a_word(before: Escrow, taken: Step) -> bool:
    by_operator = taken.who is Who.OPERATOR and before.status is Status.HELD
    is_release, is_refund = _pays(taken, PayoutKind.RELEASE, before.divisible), _pays(taken, PayoutKind.REFUND, 0)
    match taken.event:
        case Released():
            by_right = by_operator or (taken.who is Who.BUYER and before.status in HOLDING)
        case Refunded():
            by_right = by_operator or (taken.who is Who.VENDOR and before.status in HOLDING)
        case DeadlineReached(name=name):
            expected = {DeadlineName.INSPECTION: Status.DELIVERED, DeadlineName.DELIVERY: Status.FUNDED}
            by_right = before.status is expected.get(name)
        case SplitAccepted(share):
            offer = before.proposal
            both = offer is not None and {offer.by, taken.who} == {Who.BUYER, Who.VENDOR}
            return both and offer is not None and offer.vendor_share == share and _divides(share, taken)
        case Divided(share):
            return by_operator and _divides(share, taken)
        case Ruled(share):
            by_right = taken.who is Who.ARBITER or (taken.who is Who.OPERATOR and before.reminders > 1)
            return by_right and before.status is Status.DISPUTED and _divides(share, taken)
        case _:
            return False
    to_vendor = isinstance(taken.event, Released) or before.status is Status.DELIVERED
    return by_right and (is_refund if isinstance(taken.event, Refunded) or not to_vendor else is_release)


def _pays(taken: Step, kind: PayoutKind, vendor_share: int) -> bool:
    order = taken.after.order
    return order is not None and (order.kind, order.vendor_share) == (kind, vendor_share)


def _divides(share: int, taken: Step) -> bool:
    order = taken.after.order
    assert order is not None
    assert taken.before is not None
    kinds = {taken.before.divisible: PayoutKind.RELEASE, 0: PayoutKind.REFUND}
    return order.vendor_share == share and order.kind is kinds.get(share, PayoutKind.SPLIT)


def test_money_is_paid_without_an_order() -> None:
    """An escrow that pays, was paid out or is held while paying has its order; no other one has."""
    with_order = {Status.PAYING, Status.COMPLETED, Status.REFUNDED, Status.SPLIT}
    for escrow in whole_walk().escrows:
        if escrow.status is not Status.HELD:
            assert (escrow.order is not None) == (escrow.status in with_order), escrow
        elif escrow.order is not None:
            assert escrow.hold is not None
            assert escrow.hold.since is Status.PAYING


def test_every_order_is_carried_out() -> None:
    """Every step that leads to paying orders the payout, except where one that was final is thrown back."""
    for taken in whole_walk().steps:
        before = taken.before
        assert before is not None
        if taken.after.status is Status.PAYING and before.status is not Status.PAYING:
            thrown_back = isinstance(taken.event, PayoutReorged | PayoutReinstated)
            assert taken.effects == (() if thrown_back else (Effect.PAY,))


def test_end_and_payout_differ() -> None:
    """Completed, refunded and split are reached by the payout of that kind being final, or settled after it."""
    kinds = {
        Status.COMPLETED: PayoutKind.RELEASE,
        Status.REFUNDED: PayoutKind.REFUND,
        Status.SPLIT: PayoutKind.SPLIT,
    }
    for taken in whole_walk().steps:
        assert taken.before is not None
        if taken.after.status in kinds and taken.before.status is not taken.after.status:
            if isinstance(taken.event, Settled):
                assert taken.event.paid is not None
                assert (taken.event.paid.kind, taken.who) == (kinds[taken.after.status], Who.OPERATOR)
                assert taken.after.order == taken.event.paid
                continue
            assert isinstance(taken.event, PayoutConfirmed)
            assert taken.event.kind is kinds[taken.after.status]
            assert taken.who is Who.SERVICE


def test_funded_without_a_final_deposit() -> None:
    """An escrow comes to count as funded only by a wallet's word on a deposit that is confirmed in full."""
    for taken in whole_walk().steps:
        assert taken.before is not None
        if taken.after.status in HOLDING and taken.before.status not in HOLDING:
            assert taken.before.status is Status.CONFIRMING
            assert taken.after.is_confirmed_in_full
            assert PublicEvent.ESCROW_FUNDED in taken.tells


def test_news_of_the_chain_has_no_row() -> None:
    """Whatever the chain may show, in whatever an escrow has come to, it has its row: no fact is refused."""
    for escrow in whole_walk().escrows:
        if escrow.address is not None:
            for event in news_of_the_chain(escrow):
                assert len(passing(escrow, event, Who.CHAIN)) == 1, (escrow, event)


def test_final_deposit_waits_for_nobody() -> None:
    """Whenever a deposit becomes final, or might be so after a hold, a real wallet is asked: else it waits for ever."""
    for taken in whole_walk().steps:
        before, after = taken.before, taken.after
        assert before is not None
        was_final = before.status is Status.CONFIRMING and before.is_confirmed_in_full
        if after.status is Status.CONFIRMING and after.is_confirmed_in_full and not was_final:
            assert Effect.VERIFY_FUNDING in taken.effects


def test_late_money_that_can_be_spent_waits_for_nobody() -> None:
    """Whenever more late money can be spent, it is sent back."""
    for taken in whole_walk().steps:
        assert taken.before is not None
        if taken.after.deposit.late_spendable > taken.before.deposit.late_spendable:
            assert taken.effects == (Effect.RETURN_LATE,)


def test_hold_does_not_call_the_operator() -> None:
    """Every hold says why and since when, is told to the outside and to the operator, and ends with its status."""
    for taken in whole_walk().steps:
        before, after = taken.before, taken.after
        assert before is not None
        assert (after.hold is not None) == (after.status is Status.HELD)
        if after.hold is not None and before.hold is None:
            assert after.hold.since is before.status
            assert after.hold.details
            assert PublicEvent.ESCROW_HELD in taken.tells
            assert Effect.TELL_OPERATOR in taken.effects
        elif after.hold is not None:
            assert after.hold == before.hold


def test_end_keeps_wallets_open() -> None:
    """Whoever comes to an end lets the wallets rest."""
    for taken in whole_walk().steps:
        assert taken.before is not None
        if taken.after.has_ended and not taken.before.has_ended:
            assert taken.effects[-1] is Effect.REST


def test_offer_outlives_the_deposit_it_was_made_for() -> None:
    """An offer stands only while the deposit is held for both, and never promises more than there is."""
    for escrow in whole_walk().escrows:
        if escrow.proposal is not None:
            assert escrow.status in HOLDING
            assert 0 <= escrow.proposal.vendor_share <= escrow.divisible


def test_public_event_is_never_told() -> None:
    """Every event that integrators are promised is told somewhere; the first one by the creation."""
    told = {each for row in TABLE for each in row.tells}
    assert set(PublicEvent) - told == {PublicEvent.ESCROW_CREATED}


def test_effect_is_never_ordered() -> None:
    """Every effect is ordered somewhere; the making of keys by the creation."""
    ordered = {each for row in TABLE for each in row.and_then}
    assert set(Effect) - ordered == {Effect.MAKE_KEYS}


def test_event_has_no_row() -> None:
    """Every kind of event has a row, but the creation, which has no status before it."""
    assert {*Event.__args__} - {row.sends for row in TABLE} == {Created}


def test_people_can_send_what_only_the_machine_knows() -> None:
    """What chain, clock and service say can be sent by nobody else."""
    facts = {row.sends for row in TABLE if row.who & {Who.CHAIN, Who.CLOCK, Who.SERVICE}}
    assert [row for row in TABLE if row.sends in facts and row.who & set(PEOPLE)] == []


def test_guard_cannot_say_why_it_refuses() -> None:
    """Every guard has one sentence for those it refuses, and a name that can be read."""
    for row in TABLE:
        sentence = row.provided.__doc__ or ""
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert "\n" not in sentence
        assert row.provided.__name__ != "guard"
