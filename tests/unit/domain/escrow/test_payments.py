"""Which payments the events of a deposit list, and what a hold says of them (W12)."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from escrowd.domain.escrow.assess import Ledger, assess, judge, judge_lost
from escrowd.domain.escrow.events import DepositConfirmed, DepositReorged, DepositSeen, Event, FundingVerified
from escrowd.domain.escrow.facts import HoldReason, PaymentFact
from escrowd.domain.escrow.history import data_of
from escrowd.domain.escrow.machine import step
from escrowd.domain.escrow.payments import MAX_LISTED
from escrowd.domain.escrow.status import ENDED, Status, Who
from escrowd.domain.outputs import ReceivedOutput, WhyNot
from tests.unit.domain.escrow.test_assess_random import ledgers, statuses, suited
from tests.unit.domain.escrow.world import (
    AMOUNT,
    HALF,
    HEIGHT,
    PAID,
    START,
    TERMS,
    follow,
    ledger,
    output,
    play,
    reached,
    with_deposit,
)

A = output("a")


def listed(events: tuple[Event, ...]) -> list[tuple[type[Event], list[tuple[str, int | None, WhyNot | None]]]]:
    """Return of each deposit event the transactions that it lists, with height and reason."""
    return [
        (type(each), [(payment.txid, payment.height, payment.reason) for payment in each.payments])
        for each in events
        if isinstance(each, DepositSeen | DepositConfirmed | DepositReorged)
    ]


def lost(*outputs: ReceivedOutput, there: tuple[ReceivedOutput, ...] = ()) -> Ledger:
    """Return a ledger that has lost these outputs."""
    return replace(ledger(*there), lost=outputs)


# --- what came -------------------------------------------------------------------------------------------------------


def test_event_of_a_payment_names_transaction_output_amount_and_height() -> None:
    """W12: when a payment is seen, and when it is confirmed, the event names it."""
    found = replace(output("a", confirmations=0), index=3)
    escrow, events = follow(reached(Status.AWAITING_FUNDING), ledger(found))
    seen = PaymentFact("tx of a", 3, "a", AMOUNT, None, confirmed=False)
    assert [each.payments for each in events if isinstance(each, DepositSeen)] == [(seen,)]
    escrow, events = follow(escrow, ledger(replace(A, index=3)))
    confirmed = replace(seen, height=HEIGHT - 10, confirmed=True)
    assert [each.payments for each in events if isinstance(each, DepositConfirmed)] == [(confirmed,)]
    assert escrow.payments == (confirmed,)


def test_event_lists_the_payments_that_changed_and_no_others() -> None:
    """Of two payments of the same amount each is listed when it comes, and again when it is confirmed."""
    first, second = output("a", HALF, confirmations=0), output("b", HALF, confirmations=0)
    escrow, _ = follow(reached(Status.AWAITING_FUNDING), ledger(first))
    escrow, events = follow(escrow, ledger(first, second))
    assert listed(events) == [(DepositSeen, [("tx of b", None, None)])]
    deep = output("a", HALF)
    escrow, events = follow(escrow, ledger(deep, output("b", HALF, confirmations=9)))
    assert listed(events) == [(DepositConfirmed, [("tx of a", HEIGHT - 10, None)])]
    escrow, events = follow(escrow, ledger(deep, output("b", HALF)))
    assert listed(events) == [(DepositConfirmed, [("tx of b", HEIGHT - 10, None)])]


def test_payment_that_is_seen_and_confirmed_at_once_is_in_both_events() -> None:
    """A service that was down sees a payment only when it is deep."""
    escrow, events = follow(reached(Status.AWAITING_FUNDING), ledger(A))
    assert listed(events) == [
        (DepositSeen, [("tx of a", HEIGHT - 10, None)]),
        (DepositConfirmed, [("tx of a", HEIGHT - 10, None)]),
    ]
    assert [each.confirmed for each in escrow.payments] == [True]
    assert [each.payments[0].confirmed for each in events if isinstance(each, DepositSeen | DepositConfirmed)] == [
        False,
        True,
    ]


def test_late_payment_is_listed_as_late() -> None:
    """Money after the end is listed when it is seen, and when it can be spent."""
    escrow, events = follow(reached(Status.EXPIRED), ledger(output("a", confirmations=2)))
    assert listed(events) == [(DepositSeen, [("tx of a", HEIGHT - 2, WhyNot.LATE)])]
    _, events = follow(escrow, ledger(A))
    assert listed(events) == [(DepositConfirmed, [("tx of a", HEIGHT - 10, WhyNot.LATE)])]


@pytest.mark.parametrize("status", sorted(ENDED - {Status.EXPIRED, Status.CANCELLED}))
def test_payment_of_the_deposit_is_not_listed_again_by_the_end(status: Status) -> None:
    """What was listed as the deposit stays so: only what the payout left behind is listed, as late."""
    paid, _ = follow(with_deposit(Status.FUNDED, PAID), ledger(A, output("b", 5)))
    ended = replace(reached(status), payments=paid.payments, deposit=paid.deposit)
    _, events = follow(ended, replace(ledger(A, output("b", 5)), paid_out=frozenset("a")))
    assert {each for _, payments in listed(events) for each in payments} == {("tx of b", HEIGHT - 10, WhyNot.LATE)}


# --- what went -------------------------------------------------------------------------------------------------------


def test_reorganised_deposit_is_listed_with_its_last_height() -> None:
    """W12: the event of a loss names the transaction that was lost, and its last block."""
    escrow, _ = follow(reached(Status.AWAITING_FUNDING), ledger(A))
    gone, events = follow(escrow, lost(replace(A, height=HEIGHT - 8)))
    assert listed(events) == [(DepositReorged, [("tx of a", HEIGHT - 8, WhyNot.REORGED)])]
    assert gone.payments == ()
    _, events = follow(gone, ledger(output("a", confirmations=1)))
    assert listed(events) == [(DepositSeen, [("tx of a", HEIGHT - 1, None)])]


def test_payment_that_is_less_deep_is_listed_and_counts() -> None:
    """A reorganisation that takes a deposit back to the pool has lost nothing, and its event names the payment."""
    escrow, _ = follow(with_deposit(Status.FUNDED, PAID), ledger(A))
    escrow = replace(escrow, payments=(PaymentFact("tx of a", 0, "a", AMOUNT, HEIGHT - 10, confirmed=True),))
    escrow, events = follow(escrow, ledger(output("a", confirmations=0)))
    assert listed(events) == [(DepositReorged, [("tx of a", None, None)])]
    assert [each.confirmed for each in escrow.payments] == [False]


def test_double_spend_in_the_pool_is_listed_as_such() -> None:
    """A payment that stops counting since another transaction spends the same money is in the event of the loss."""
    pool = output("a", confirmations=0)
    escrow, _ = follow(reached(Status.AWAITING_FUNDING), ledger(pool))
    _, events = follow(escrow, ledger(replace(pool, double_spend_seen=True)))
    assert listed(events) == [(DepositReorged, [("tx of a", None, WhyNot.DOUBLE_SPENT)])]


def test_payment_that_replaces_another_of_the_same_amount_is_in_the_next_event() -> None:
    """No sum changes when a double spend pays the same amount to the same escrow; the next event lists both."""
    first, second = output("a", confirmations=0), output("b", confirmations=0)
    escrow, _ = follow(reached(Status.AWAITING_FUNDING), ledger(first))
    assert assess(escrow, lost(first, there=(second,))) == ()
    escrow, events = follow(escrow, lost(first, there=(output("b"),)))
    assert listed(events) == [
        (DepositConfirmed, [("tx of a", None, WhyNot.REORGED), ("tx of b", HEIGHT - 10, None)]),
    ]
    assert [each.txid for each in escrow.payments] == ["tx of b"]


def test_larger_output_of_the_same_key_loses_nothing() -> None:
    """Of two outputs of one key the larger one counts; the smaller one is in its block all the same."""
    larger = replace(A, txid="tx of b", amount=2 * AMOUNT)
    escrow, _ = follow(reached(Status.AWAITING_FUNDING), ledger(A))
    _, events = follow(escrow, ledger(A, larger))
    assert WhyNot.REORGED not in {reason for _, payments in listed(events) for *_, reason in payments}


def test_loss_of_what_an_older_version_noted_is_listed() -> None:
    """An escrow that noted no payments, as before they were noted, lists all that its ledger has lost."""
    older = with_deposit(Status.FUNDED, PAID)
    _, events = follow(older, lost(A))
    assert listed(events) == [(DepositReorged, [("tx of a", HEIGHT - 10, WhyNot.REORGED)])]


def test_lost_output_is_shown_and_counts_nothing() -> None:
    """What is lost is shown beside what is there, and no sum has it."""
    now = lost(A, there=(output("b", HALF),))
    assert [(each.output.key, each.confirmations, each.reason) for each in judge_lost(now)] == [
        ("a", 0, WhyNot.REORGED)
    ]
    assert [each.output.key for each in judge(reached(Status.FUNDED), now)] == ["b"]


# --- how much is listed ----------------------------------------------------------------------------------------------


def test_flood_of_dust_hides_no_deposit_and_swells_no_event() -> None:
    """The largest payments are listed and noted, the others counted."""
    dust = [output(f"{number:04}", 1 + number) for number in range(500)]
    escrow, events = follow(reached(Status.AWAITING_FUNDING), ledger(*dust, A))
    for each in events:
        assert isinstance(each, DepositSeen | DepositConfirmed)
        assert (len(each.payments), each.unlisted) == (MAX_LISTED, 451)
        assert each.payments[0].txid == "tx of a"
    assert len(escrow.payments) == MAX_LISTED
    escrow, events = follow(escrow, ledger(*dust, A, output("one more", 1)))
    assert [(name, len(payments)) for name, payments in listed(events)] == [(DepositSeen, 0), (DepositConfirmed, 0)]
    _, events = follow(escrow, lost(A, there=tuple(dust)))
    ((kind, payments),) = listed(events)
    # And what is among the largest now.
    assert (kind, payments[0], len(payments)) == (DepositReorged, ("tx of a", HEIGHT - 10, WhyNot.REORGED), 2)


@settings(max_examples=300)
@given(statuses, st.lists(ledgers(), min_size=1, max_size=4))
def test_noted_payments_follow_the_ledger(status: Status, seen: list[Ledger]) -> None:
    """After an event, the noted payments are those that the ledger credits, each for the reason that it has now."""
    escrow = reached(status)
    for each in seen:
        now = suited(each, escrow)
        there = {(one.txid, one.key) for one in now.outputs}
        escrow, events = follow(escrow, now)
        if not listed(events):
            continue
        noted = {(one.txid, one.key): one.reason for one in escrow.payments}
        assert {(one.output.txid, one.output.key): one.reason for one in judge(escrow, now)}.items() <= noted.items()
        assert noted.keys() <= there


# --- the hold and the log --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        ((A,), f"1.000000000000 XMR by output 0 of transaction tx of a was in block {HEIGHT - 10}"),
        ((replace(A, height=None, index=2),), "1.000000000000 XMR by output 2 of transaction tx of a was in the pool"),
        (
            tuple(output(f"{number}", HALF) for number in range(5)),
            "; ".join(
                f"0.500000000000 XMR by output 0 of transaction tx of {number} was in block 990" for number in range(3)
            )
            + ", and 2 more",
        ),
    ],
)
def test_hold_names_what_vanished(gone: tuple[ReceivedOutput, ...], words: str) -> None:
    """W12: the hold of an escrow whose deposit vanished after delivery names transaction, output, amount and height."""
    mined = tuple(replace(each, height=HEIGHT - 10) for each in gone)
    escrow, _ = follow(reached(Status.AWAITING_FUNDING), ledger(*mined))
    escrow = replace(reached(Status.DELIVERED), deposit=escrow.deposit, payments=escrow.payments)
    held, _ = follow(escrow, lost(*gone))
    assert held.hold is not None
    assert held.hold.reason is HoldReason.DEPOSIT_GONE
    assert held.hold.details == f"the deposit is no longer in the chain: {words}"


def test_log_of_a_loss_holds_payment_reason_and_reference() -> None:
    """W12: the step by which an escrow becomes held gives reason and details in the log; every step its reference."""
    escrow, _ = follow(reached(Status.AWAITING_FUNDING, terms=replace(TERMS, reference="order-7")), ledger(A))
    escrow = play([(FundingVerified(), Who.SERVICE)], escrow)
    (event,) = assess(escrow, lost(A))
    delivered = replace(escrow, status=Status.DELIVERED)
    taken = step(delivered, event, Who.CHAIN, START)
    content = json.loads(data_of(taken))
    assert content["reference"] == "order-7"
    assert (content["hold"]["reason"], content["hold"]["since"]) == ("deposit_gone", "delivered")
    assert "tx of a" in content["hold"]["details"]
    assert content["details"]["payments"] == [
        {
            "txid": "tx of a",
            "output": "0",
            "key": "a",
            "amount": str(AMOUNT),
            "height": str(HEIGHT - 10),
            "confirmed": False,
            "reason": "reorged",
        }
    ]
    back = step(taken.after, assess(taken.after, ledger(A))[0], Who.CHAIN, START)
    assert "hold" not in json.loads(data_of(back))
