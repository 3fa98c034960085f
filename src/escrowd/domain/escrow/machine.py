"""The machine over the state table: one event in, one new escrow and its effects out. Pure, and total.

A step first notes the facts that the event brings, then looks for the one row whose guard passes, then moves. What the
move means beyond the status (deadlines, orders, holds) is said here once, and not in rows.
"""

from dataclasses import dataclass, replace
from typing import Final

from escrowd.domain.errors import EscrowdError, Fault, InvalidInput
from escrowd.domain.escrow.effects import Effect
from escrowd.domain.escrow.events import (
    Cancelled,
    Created,
    DeadlineReached,
    Delivered,
    DepositConfirmed,
    DepositReorged,
    DepositSeen,
    DepositSpent,
    Disputed,
    Divided,
    Event,
    ForkApproaching,
    FundingRefuted,
    KeysReady,
    PayoutConfirmed,
    PayoutFailed,
    PayoutReinstated,
    PayoutReorged,
    Refunded,
    Released,
    Resumed,
    Ruled,
    Settled,
    SpentOutside,
    SplitAccepted,
    SplitProposed,
)
from escrowd.domain.escrow.facts import (
    Deadline,
    Escrow,
    ForkNotice,
    Hold,
    HoldReason,
    Moment,
    PayoutOrder,
    SplitProposal,
)
from escrowd.domain.escrow.payments import loss_in_words, noted_after
from escrowd.domain.escrow.status import (
    DEADLINE_OF,
    HOLDING,
    DeadlineName,
    PublicEvent,
    Status,
    Who,
)
from escrowd.domain.escrow.table import Row, rows_for
from escrowd.domain.escrow.terms import Terms
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.payouts.records import PayoutKind


class IllegalMove(EscrowdError):
    """The status does not allow this, or not to this sender. Nothing was changed."""

    fault = Fault.CALLER

    def __init__(self, message: str, allowed: tuple[str, ...]) -> None:
        super().__init__(message)
        #: Names of the actions that the sender may take instead.
        self.allowed = allowed


class InvalidShare(InvalidInput):
    """A share of the deposit is not one that can be paid. Nothing was changed."""


class AmbiguousTable(EscrowdError):
    """Two rows of the state table fit the same event. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one event did. It is stored whole, in one transaction, before any of its effects is carried out."""

    #: ``None`` for the first step of an escrow.
    before: Escrow | None
    after: Escrow
    event: Event
    who: Who
    moment: Moment
    tells: tuple[PublicEvent, ...] = ()
    effects: tuple[Effect, ...] = ()


#: What people may do, by the name of the action in the API.
ACTIONS: Final[dict[str, type[Event]]] = {
    "deliver": Delivered,
    "release": Released,
    "refund": Refunded,
    "dispute": Disputed,
    "rule": Ruled,
    "propose-split": SplitProposed,
    "accept-split": SplitAccepted,
    "cancel": Cancelled,
    "resume": Resumed,
    "split": Divided,
    "settle": Settled,
}


def create(escrow: EscrowId, terms: Terms, who: Who, moment: Moment) -> Step:
    """Begin an escrow: its three wallets are still to be made, or to be taken out of the stock."""
    made = Escrow(escrow, Status.KEYING, version=1, terms=terms, created_at=moment.utc)
    made = replace(made, deadline=_armed(made, moment))
    return Step(None, made, Created(terms), who, moment, (PublicEvent.ESCROW_CREATED,), (Effect.MAKE_KEYS,))


def step(escrow: Escrow, event: Event, who: Who, moment: Moment) -> Step:
    """Apply one event.

    Raises:
        IllegalMove: the table does not allow it; the error lists what is allowed.
        InvalidShare: a share of the deposit is out of bounds.
        AmbiguousTable: the table is wrong, which is a bug.

    """
    noted = _with_facts(escrow, event)
    row = _the_row(escrow, noted, event, who)
    _check_share(noted, event)
    after = _moved(noted, row.goes_to or escrow.status, event, who, moment)
    return Step(escrow, after, event, who, moment, row.tells, row.and_then)


def is_allowed(escrow: Escrow, event: Event, who: Who) -> bool:
    """Return whether exactly this event could be applied now."""
    rows = rows_for(escrow.status, type(event), who)
    return any(row.provided(_with_facts(escrow, event), event, who) for row in rows)


def allowed_actions(escrow: Escrow, who: Who, residue: int = 0) -> tuple[str, ...]:
    """Return the names of what an actor may do now, in the order of :data:`ACTIONS`.

    ``residue`` is the amount, in piconero, up to which what is left of the deposit is not worth its fee.
    """
    samples = ((name, _sample(kind, escrow, residue)) for name, kind in ACTIONS.items())
    return tuple(name for name, sample in samples if is_allowed(escrow, sample, who))


def due_event(escrow: Escrow, running: int) -> DeadlineReached | None:
    """Return the event of the deadline that has passed on the running clock, if one has."""
    deadline = escrow.deadline
    if deadline is None or running < deadline.due:
        return None
    return DeadlineReached(deadline.name, deadline.armed_at)


def kind_of_share(vendor_share: int, divisible: int) -> PayoutKind:
    """Name a division that gives all to one side for what it is."""
    if vendor_share == 0:
        return PayoutKind.REFUND
    return PayoutKind.RELEASE if vendor_share == divisible else PayoutKind.SPLIT


# ---------------------------------------------------------------------------------------------------------------------


def _the_row(escrow: Escrow, noted: Escrow, event: Event, who: Who) -> Row:
    rows = tuple(rows_for(noted.status, type(event), who))
    passing = [row for row in rows if row.provided(noted, event, who)]
    if len(passing) > 1:
        raise AmbiguousTable(f"{len(passing)} rows fit {type(event).__name__} of {who} while {noted.status}")
    if passing:
        return passing[0]
    allowed = allowed_actions(escrow, who)
    instead = f"; allowed for the {who}: {', '.join(allowed) or 'nothing'}"
    if rows:
        raise IllegalMove(f"{_action(event)} is not possible now: {_objection(rows[0])}{instead}", allowed)
    raise IllegalMove(f"{_action(event)} is not for the {who} while the escrow is {noted.status}{instead}", allowed)


def _objection(row: Row) -> str:
    # Python leaves out docstrings where it is started with -OO.
    sentence = row.provided.__doc__ or "Its condition does not hold."
    return sentence[0].lower() + sentence[1:].rstrip(".")


def _action(event: Event) -> str:
    return next((name for name, kind in ACTIONS.items() if isinstance(event, kind)), type(event).__name__)


def _sample(kind: type[Event], escrow: Escrow, residue: int) -> Event:
    """Make an event of this kind that is well formed, to ask the table about it."""
    if kind is SplitAccepted:
        return SplitAccepted(escrow.proposal.vendor_share if escrow.proposal else 0)
    if kind is SplitProposed:
        return SplitProposed(0)
    if kind is Ruled:
        return Ruled(0)
    if kind is Divided:
        return Divided(0)
    if kind is Settled:
        # Which end it would be does not matter to whether it is possible: the service adds what was paid.
        return Settled("", residue)
    return _PLAIN[kind]


#: Events without content.
_PLAIN: Final[dict[type[Event], Event]] = {
    each: each() for each in (Delivered, Released, Refunded, Disputed, Cancelled, Resumed)
}


def _check_share(noted: Escrow, event: Event) -> None:
    if (
        isinstance(event, SplitProposed | SplitAccepted | Ruled | Divided)
        and not 0 <= event.vendor_share <= noted.divisible
    ):
        raise InvalidShare(
            f"the vendor's share must be 0 to {noted.divisible} piconero, all that there is to divide, "
            f"not {event.vendor_share}"
        )


def _with_facts(escrow: Escrow, event: Event) -> Escrow:
    """Note what the event says, before its consequences."""
    match event:
        case KeysReady(address, restore_height):
            return replace(escrow, address=address, restore_height=restore_height)
        case DepositSeen(deposit) | DepositConfirmed(deposit) | DepositReorged(deposit) | DepositSpent(deposit):
            return replace(escrow, deposit=deposit)
        case SpentOutside(txid):
            return replace(escrow, outside_spends=tuple(dict.fromkeys((*escrow.outside_spends, txid))))
        case PayoutReorged(kind=kind) | PayoutReinstated(kind=kind) if (
            escrow.has_ended and kind is not PayoutKind.RETURN
        ):
            # Late money waits until the payout is final again, and is counted anew then.
            return replace(escrow, deposit=replace(escrow.deposit, late_seen=0, late_spendable=0, late_spent=0))
        case _:
            return escrow


def _moved(noted: Escrow, status: Status, event: Event, who: Who, moment: Moment) -> Escrow:
    """Take the step: status and version, and what comes with them."""
    after = replace(
        noted,
        status=status,
        version=noted.version + 1,
        payments=noted_after(noted.payments, event),
        proposal=_proposal(noted, status, event, who),
        order=_order(noted, status, event, who),
        returns_to=noted.status if noted.status in HOLDING else noted.returns_to,
        reminders=_reminders(noted, status, event),
        hold=_hold(noted, status, event),
        fork_notices=_fork_notices(noted, event),
    )
    if status is not noted.status or isinstance(event, DeadlineReached):
        return replace(after, deadline=_armed(after, moment, again=status is noted.status))
    return after


def _armed(escrow: Escrow, moment: Moment, *, again: bool = False) -> Deadline | None:
    """Begin the period of a status. Once the time for funding is over, no second one begins while that is verified."""
    name = DEADLINE_OF.get(escrow.status)
    if name is None or (again and name is DeadlineName.FUNDING):
        return None
    terms = escrow.terms.deadlines
    seconds = {
        DeadlineName.KEYING: terms.keying,
        DeadlineName.FUNDING: terms.funding,
        DeadlineName.DELIVERY: terms.delivery,
        DeadlineName.INSPECTION: terms.inspection,
        DeadlineName.RULING: terms.ruling,
    }[name]
    return Deadline(name, moment.running + 1000 * seconds, escrow.version)


def _proposal(noted: Escrow, status: Status, event: Event, who: Who) -> SplitProposal | None:
    if isinstance(event, SplitProposed):
        return SplitProposal(who, event.vendor_share)
    # An offer was made for a deposit that all took for final, and was at most that.
    proposal = noted.proposal
    stands = proposal is not None and status in HOLDING and proposal.vendor_share <= noted.divisible
    return proposal if stands else None


def _order(noted: Escrow, status: Status, event: Event, who: Who) -> PayoutOrder | None:
    """Note the decision on the money: the word that leads to a payout, or that of the payout that is in the chain."""
    if isinstance(event, PayoutReinstated | PayoutConfirmed) and event.order is not None:
        return event.order
    if isinstance(event, Settled):
        return event.paid  # whatever came to be decided later was not carried out
    is_decided = status is Status.PAYING and noted.status is not Status.PAYING
    return _decision(noted, event, who) if is_decided else noted.order


def _decision(noted: Escrow, event: Event, who: Who) -> PayoutOrder | None:
    order = noted.order
    match event:
        case Released() | DeadlineReached(name=DeadlineName.INSPECTION):
            order = PayoutOrder(PayoutKind.RELEASE, noted.divisible, who, noted.version + 1)
        case Refunded() | DeadlineReached(name=DeadlineName.DELIVERY):
            order = PayoutOrder(PayoutKind.REFUND, 0, who, noted.version + 1)
        case SplitAccepted(vendor_share) | Ruled(vendor_share) | Divided(vendor_share):
            kind = kind_of_share(vendor_share, noted.divisible)
            order = PayoutOrder(kind, vendor_share, who, noted.version + 1)
        case Resumed() if order is not None:
            # The same decision on what is there now. A release gives the vendor's side all that is to be divided.
            is_release = order.kind is PayoutKind.RELEASE and noted.divisible > 0
            share = noted.divisible if is_release else order.vendor_share
            order = replace(order, vendor_share=share, version=noted.version + 1)
        case _:
            pass
    return order


def _reminders(noted: Escrow, status: Status, event: Event) -> int:
    if status is not Status.DISPUTED:
        return noted.reminders if status in (Status.CONFIRMING, Status.HELD) else 0
    return noted.reminders + 1 if isinstance(event, DeadlineReached) else noted.reminders


def _hold(noted: Escrow, status: Status, event: Event) -> Hold | None:
    if status is not Status.HELD:
        return None
    if noted.status is Status.HELD:
        return noted.hold
    reason, details = _why_held(event)
    return Hold(reason, details, noted.status)


def _fork_notices(noted: Escrow, event: Event) -> tuple[ForkNotice, ...]:
    if isinstance(event, ForkApproaching):
        return (*noted.fork_notices, ForkNotice(event.height, event.within_days))
    return noted.fork_notices


def _why_held(event: Event) -> tuple[HoldReason, str]:
    match event:
        case FundingRefuted(details, reason):
            return reason, details
        case DepositSpent():
            return HoldReason.SPENT_OUTSIDE, "a transaction in the chain spends the deposit and is not ours"
        case SpentOutside(txid):
            return HoldReason.SPENT_OUTSIDE, f"transaction {txid} spends the deposit and is not ours"
        case PayoutFailed(reason, details):
            return reason, details
        case DepositReorged(payments=payments) if lost := loss_in_words(payments):
            return HoldReason.DEPOSIT_GONE, f"the deposit is no longer in the chain: {lost}"
        case _:
            return HoldReason.DEPOSIT_GONE, "the deposit is no longer in the chain"
