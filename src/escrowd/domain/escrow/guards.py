"""Conditions of the state table: predicates over an escrow, with the event's facts already in it, and the event.

The docstring of each is what somebody hears whose move it refuses.
"""

from collections.abc import Callable
from typing import TypeAlias

from escrowd.domain.escrow.events import (
    DeadlineReached,
    Event,
    ForkApproaching,
    PayoutBroadcast,
    PayoutConfirmed,
    PayoutReorged,
    Settled,
    SplitAccepted,
)
from escrowd.domain.escrow.facts import Escrow, ForkNotice, HoldReason
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.payouts.records import PayoutKind

Guard: TypeAlias = Callable[[Escrow, Event, Who], bool]


def always(_escrow: Escrow, _event: Event, _who: Who) -> bool:
    """It is always allowed."""
    return True


# --- the deposit -----------------------------------------------------------------------------------------------------


def nothing_was_seen(escrow: Escrow, _event: Event, _who: Who) -> bool:
    """Money was seen already."""
    return escrow.deposit.seen == 0


def seen_in_part(escrow: Escrow, _event: Event, _who: Who) -> bool:
    """Enough money was seen."""
    return not escrow.is_seen_in_full


def seen_in_full(escrow: Escrow, _event: Event, _who: Who) -> bool:
    """Not enough money was seen, or it is confirmed already."""
    return escrow.is_seen_in_full and not escrow.is_confirmed_in_full


def still_seen_in_full(escrow: Escrow, _event: Event, _who: Who) -> bool:
    """Not enough money was seen."""
    return escrow.is_seen_in_full


def confirmed_in_full(escrow: Escrow, _event: Event, _who: Who) -> bool:
    """Not enough money is confirmed."""
    return escrow.is_confirmed_in_full


def not_confirmed_in_full(escrow: Escrow, _event: Event, _who: Who) -> bool:
    """Enough money is confirmed."""
    return not escrow.is_confirmed_in_full


def gone_before_anybody_relied_on_it(escrow: Escrow, _event: Event, _who: Who) -> bool:
    """Enough money is still seen, or somebody relied on it."""
    return not escrow.is_seen_in_full and escrow.returns_to is Status.FUNDED


def gone_after_somebody_relied_on_it(escrow: Escrow, _event: Event, _who: Who) -> bool:
    """Enough money is still seen, or nobody relied on it."""
    return not escrow.is_seen_in_full and escrow.returns_to is not Status.FUNDED


def the_time_to_pay_is_over(escrow: Escrow, _event: Event, _who: Who) -> bool:
    """Enough money was seen, or there is still time to pay."""
    # Another period may have begun since the wallet was asked. It ends with a question of its own.
    return not escrow.is_seen_in_full and escrow.deadline is None


def late_money_can_be_spent(escrow: Escrow, _event: Event, _who: Who) -> bool:
    """There is no late money that can be spent."""
    return escrow.deposit.late_spendable > 0


def late_money_is_left(escrow: Escrow, _event: Event, _who: Who) -> bool:
    """There is no late money that can be sent back."""
    return escrow.deposit.late_spendable > escrow.deposit.late_spent


# --- where it came from ----------------------------------------------------------------------------------------------


def confirmed_and_returns_to(status: Status) -> Guard:
    """Return the guard of a deposit that is final, at first or again, and leads to this status."""

    def guard(escrow: Escrow, _event: Event, _who: Who) -> bool:
        return escrow.is_confirmed_in_full and escrow.returns_to is status

    guard.__name__ = f"confirmed_and_returns_to_{status}"
    guard.__doc__ = f"Not enough money is confirmed, or it does not return to {status}."
    return guard


def held_while_paying_with_money(escrow: Escrow, _event: Event, _who: Who) -> bool:
    """It could only be held again: too little is left for what was decided, or the deposit came in too many parts."""
    # A split needs what it gives the vendor's side; anything else can be carried out while something is left.
    if escrow.order is None or not _was_held_while_paying(escrow):
        return False
    least = escrow.order.vendor_share if escrow.order.kind is PayoutKind.SPLIT else 1
    return escrow.deposit.unspent >= max(1, least)


def held_before_paying_with_money(escrow: Escrow, _event: Event, _who: Who) -> bool:
    """It was being paid out when it was held, not enough money is there, or that came in too many parts."""
    if _was_held_while_paying(escrow) or not escrow.is_seen_in_full:
        return False
    # The check of the deposit would hold it again for its parts. While none is confirmed, no other command is possible.
    came_in_parts = escrow.hold is not None and escrow.hold.reason is HoldReason.TOO_MANY_PARTS
    return not (came_in_parts and escrow.deposit.spendable)


def held_before_paying_without_money(escrow: Escrow, _event: Event, _who: Who) -> bool:
    """It was being paid out when it was held, or enough money is there."""
    return not _was_held_while_paying(escrow) and not escrow.is_seen_in_full


def a_deposit_is_there(escrow: Escrow, _event: Event, _who: Who) -> bool:
    """There is no confirmed money that could be paid out."""
    return escrow.deposit.spendable > 0


def settled_after(paid: PayoutKind | None) -> Guard:
    """Return the guard of an escrow with nothing left to pay out, whose last payout in a block was of this kind."""

    def guard(escrow: Escrow, event: Event, _who: Who) -> bool:
        if not isinstance(event, Settled):
            return False
        kind = event.paid.kind if event.paid is not None else None
        return kind is paid and escrow.deposit.unspent <= event.residue

    guard.__name__ = f"nothing_is_left_after_{f'a_{paid}' if paid else 'no_payout'}"
    guard.__doc__ = "Money is left that can be paid out: release, refund or split it."
    return guard


def _was_held_while_paying(escrow: Escrow) -> bool:
    return escrow.hold is not None and escrow.hold.since is Status.PAYING


# --- the network -----------------------------------------------------------------------------------------------------


def it_had_no_such_notice(escrow: Escrow, event: Event, _who: Who) -> bool:
    """It had this notice already."""
    return isinstance(event, ForkApproaching) and ForkNotice(event.height, event.within_days) not in escrow.fork_notices


# --- offers, rulings and time ----------------------------------------------------------------------------------------


def the_other_party_offered_it(escrow: Escrow, event: Event, who: Who) -> bool:
    """The other party has no such offer standing; look at the escrow again."""
    proposal = escrow.proposal
    return (
        isinstance(event, SplitAccepted)
        and proposal is not None
        and proposal.by is not who
        and proposal.vendor_share == event.vendor_share
    )


def the_arbiter_was_reminded(escrow: Escrow, _event: Event, _who: Who) -> bool:
    """The arbiter was not reminded yet."""
    return escrow.reminders > 0


def the_arbiter_was_not_reminded(escrow: Escrow, _event: Event, _who: Who) -> bool:
    """The arbiter was reminded already."""
    return escrow.reminders == 0


def the_arbiter_let_the_time_pass(escrow: Escrow, _event: Event, _who: Who) -> bool:
    """The arbiter has still time to rule."""
    # The first period ends with a reminder. A second one runs from there, and ends with a call for the operator.
    return escrow.reminders > 1


def it_is_the_deadline(escrow: Escrow, event: Event, _who: Who) -> bool:
    """Another period runs now, or none."""
    deadline = escrow.deadline
    return (
        isinstance(event, DeadlineReached)
        and deadline is not None
        and (deadline.name, deadline.armed_at) == (event.name, event.armed_at)
    )


def it_is_the_deadline_and(further: Guard) -> Guard:
    """Return the guard of a deadline that does different things in different cases."""

    def guard(escrow: Escrow, event: Event, who: Who) -> bool:
        return it_is_the_deadline(escrow, event, who) and further(escrow, event, who)

    guard.__name__ = f"it_is_the_deadline_and_{further.__name__}"
    guard.__doc__ = it_is_the_deadline.__doc__
    return guard


# --- payouts ---------------------------------------------------------------------------------------------------------


def it_is(kind: PayoutKind) -> Guard:
    """Return the guard of a payout of this kind. Only late money goes back without an order."""

    def guard(escrow: Escrow, event: Event, _who: Who) -> bool:
        is_such = isinstance(event, PayoutBroadcast | PayoutConfirmed | PayoutReorged) and event.kind is kind
        return is_such and (escrow.order is not None or kind is PayoutKind.RETURN)

    guard.__name__ = f"it_is_a_{kind}"
    guard.__doc__ = f"It is no {kind}, or none was ordered."
    return guard


def it_is_what_was_ordered(escrow: Escrow, event: Event, _who: Who) -> bool:
    """It is not the payout that was ordered."""
    order = escrow.order
    return (
        isinstance(event, PayoutBroadcast | PayoutConfirmed | PayoutReorged)
        and order is not None
        and event.kind is order.kind
    )
