"""The state table: everything that may happen to an escrow, and nothing else does.

Each row reads as a sentence: *in* this status, *who* may *send* what, *provided* something holds; the escrow then *goes
to* another status (``STAYS``: none), the outside is *told*, *and then* this has to be done. Authorisation is a column,
so that no route and no handler can forget it. Allowed actions, the diagram and the documents come from here.

Rows are in the order of a trade. For each event in a status exactly one guard passes, or the move is refused.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from escrowd.domain.escrow import guards
from escrowd.domain.escrow.effects import Effect
from escrowd.domain.escrow.events import (
    CacheRemade,
    Cancelled,
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
    FundingVerified,
    KeysReady,
    PayoutBroadcast,
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
    UnfundedVerified,
)
from escrowd.domain.escrow.guards import Guard, always
from escrowd.domain.escrow.status import ENDED, HOLDING, OPEN, PublicEvent, Status, Who
from escrowd.domain.payouts.records import PayoutKind


@dataclass(frozen=True, slots=True)
class Row:
    """One sentence of the table."""

    status: Status
    who: frozenset[Who]
    sends: type[Event]
    provided: Guard
    #: ``None``: the status stays.
    goes_to: Status | None
    tells: tuple[PublicEvent, ...] = ()
    and_then: tuple[Effect, ...] = ()


def rows_for(status: Status, sends: type[Event], who: Who) -> Iterator[Row]:
    """Yield the rows for an event of this kind that somebody sends in a status."""
    return (row for row in _ROWS.get((status, sends), ()) if who in row.who)


# ---------------------------------------------------------------------------------------------------------------------


def _row(
    statuses: Status | Iterable[Status],
    who: Who | frozenset[Who],
    sends: type[Event],
    provided: Guard,
    goes_to: Status | None,
    *then: PublicEvent | Effect,
) -> tuple[Row, ...]:
    """Write one row for each of the statuses, in the order of their definition."""
    chosen = {statuses} if isinstance(statuses, Status) else set(statuses)
    senders = frozenset({who}) if isinstance(who, Who) else who
    tells = tuple(each for each in then if isinstance(each, PublicEvent))
    effects = tuple(each for each in then if isinstance(each, Effect))
    return tuple(
        Row(status, senders, sends, provided, goes_to, tells, effects) for status in Status if status in chosen
    )


_KEYING, _AWAITING, _CONFIRMING = Status.KEYING, Status.AWAITING_FUNDING, Status.CONFIRMING
_FUNDED, _DELIVERED, _DISPUTED = Status.FUNDED, Status.DELIVERED, Status.DISPUTED
_PAYING, _HELD = Status.PAYING, Status.HELD
#: How an escrow of which payouts were signed can end.
_SETTLED: Final = ENDED - {Status.EXPIRED}
STAYS: Final = None

_BUYER, _VENDOR, _ARBITER, _OPERATOR = Who.BUYER, Who.VENDOR, Who.ARBITER, Who.OPERATOR
_CHAIN, _CLOCK, _SERVICE = Who.CHAIN, Who.CLOCK, Who.SERVICE
_PARTY: Final = frozenset({Who.BUYER, Who.VENDOR})
_MAKER: Final = frozenset({Who.BUYER, Who.VENDOR, Who.INTEGRATOR})

_g, _e, _t = guards, Effect, PublicEvent

# fmt: off
TABLE: Final[tuple[Row, ...]] = (
    #    in status     who        sends             provided                            goes to            and then
    *_row(_KEYING,     _SERVICE,  KeysReady,        always,                             _AWAITING,         _t.ESCROW_READY, _e.WATCH),
    *_row(_KEYING,     _CLOCK,    DeadlineReached,  _g.it_is_the_deadline,              Status.CANCELLED,  _t.ESCROW_CANCELLED, _e.REST),

    *_row(_AWAITING,   _CHAIN,    DepositSeen,      _g.seen_in_part,                    STAYS,             _t.DEPOSIT_SEEN),
    *_row(_AWAITING,   _CHAIN,    DepositSeen,      _g.still_seen_in_full,              _CONFIRMING,       _t.DEPOSIT_SEEN),
    *_row(_AWAITING,   _CHAIN,    DepositConfirmed, always,                             STAYS,             _t.DEPOSIT_CONFIRMED),
    *_row(_AWAITING,   _CHAIN,    DepositReorged,   always,                             STAYS,             _t.DEPOSIT_REORGED),
    *_row(_AWAITING,   _MAKER,    Cancelled,        _g.nothing_was_seen,                Status.CANCELLED,  _t.ESCROW_CANCELLED, _e.REST),
    *_row(_AWAITING,   _CLOCK,    DeadlineReached,  _g.it_is_the_deadline,              STAYS,             _e.VERIFY_UNFUNDED),
    *_row(_AWAITING,   _SERVICE,  UnfundedVerified, _g.the_time_to_pay_is_over,         Status.EXPIRED,    _t.ESCROW_EXPIRED, _e.REST),
    *_row(_AWAITING,   _SERVICE,  FundingRefuted,   always,                             _HELD,             _t.ESCROW_HELD, _e.TELL_OPERATOR),

    *_row(_AWAITING,   _CHAIN,    DepositSpent,     _g.seen_in_part,                    STAYS),
    *_row(_AWAITING,   _CHAIN,    DepositSpent,     _g.seen_in_full,                    _CONFIRMING),
    *_row(_AWAITING,   _CHAIN,    DepositSpent,     _g.confirmed_in_full,               _CONFIRMING,       _e.VERIFY_FUNDING),

    *_row(_CONFIRMING, _CHAIN,    DepositSeen,      always,                             STAYS,             _t.DEPOSIT_SEEN),
    *_row(_CONFIRMING, _CHAIN,    DepositConfirmed, _g.not_confirmed_in_full,           STAYS,             _t.DEPOSIT_CONFIRMED),
    *_row(_CONFIRMING, _CHAIN,    DepositConfirmed, _g.confirmed_in_full,               STAYS,             _t.DEPOSIT_CONFIRMED, _e.VERIFY_FUNDING),
    *_row(_CONFIRMING, _CHAIN,    DepositReorged,   _g.still_seen_in_full,              STAYS,             _t.DEPOSIT_REORGED),
    *_row(_CONFIRMING, _CHAIN,    DepositReorged,   _g.gone_before_anybody_relied_on_it, _AWAITING,        _t.DEPOSIT_REORGED),
    *_row(_CONFIRMING, _CHAIN,    DepositReorged,   _g.gone_after_somebody_relied_on_it, _HELD,            _t.DEPOSIT_REORGED, _t.ESCROW_HELD, _e.TELL_OPERATOR),
    *_row(_CONFIRMING, _CHAIN,    DepositSpent,     _g.seen_in_full,                    STAYS),
    *_row(_CONFIRMING, _CHAIN,    DepositSpent,     _g.confirmed_in_full,               STAYS,             _e.VERIFY_FUNDING),
    *_row(_CONFIRMING, _CHAIN,    DepositSpent,     _g.gone_before_anybody_relied_on_it, _AWAITING),
    *_row(_CONFIRMING, _CHAIN,    DepositSpent,     _g.gone_after_somebody_relied_on_it, _HELD,            _t.ESCROW_HELD, _e.TELL_OPERATOR),
    *_row(_CONFIRMING, _SERVICE,  FundingVerified,  _g.confirmed_and_returns_to(_FUNDED), _FUNDED,         _t.ESCROW_FUNDED),
    *_row(_CONFIRMING, _SERVICE,  FundingVerified,  _g.confirmed_and_returns_to(_DELIVERED), _DELIVERED,   _t.ESCROW_FUNDED),
    *_row(_CONFIRMING, _SERVICE,  FundingVerified,  _g.confirmed_and_returns_to(_DISPUTED), _DISPUTED,     _t.ESCROW_FUNDED),
    *_row(_CONFIRMING, _SERVICE,  FundingRefuted,   always,                             _HELD,             _t.ESCROW_HELD, _e.TELL_OPERATOR),

    *_row(_FUNDED,     _VENDOR,   Delivered,        always,                             _DELIVERED,        _t.ESCROW_DELIVERED),
    *_row(_FUNDED,     _CLOCK,    DeadlineReached,  _g.it_is_the_deadline,              _PAYING,           _e.PAY),
    *_row(_DELIVERED,  _CLOCK,    DeadlineReached,  _g.it_is_the_deadline,              _PAYING,           _e.PAY),
    *_row(HOLDING,     _BUYER,    Released,         always,                             _PAYING,           _e.PAY),
    *_row(HOLDING,     _VENDOR,   Refunded,         always,                             _PAYING,           _e.PAY),
    *_row(HOLDING,     _PARTY,    SplitProposed,    always,                             STAYS),
    *_row(HOLDING,     _PARTY,    SplitAccepted,    _g.the_other_party_offered_it,      _PAYING,           _e.PAY),
    *_row({_FUNDED, _DELIVERED}, _PARTY, Disputed,  always,                             _DISPUTED,         _t.ESCROW_DISPUTED),

    *_row(_DISPUTED,   _ARBITER,  Ruled,            always,                             _PAYING,           _t.ESCROW_RULED, _e.PAY),
    *_row(_DISPUTED,   _OPERATOR, Ruled,            _g.the_arbiter_let_the_time_pass,   _PAYING,           _t.ESCROW_RULED, _e.PAY),
    *_row(_DISPUTED,   _CLOCK,    DeadlineReached,  _g.it_is_the_deadline_and(_g.the_arbiter_was_not_reminded), STAYS, _e.REMIND_ARBITER),
    *_row(_DISPUTED,   _CLOCK,    DeadlineReached,  _g.it_is_the_deadline_and(_g.the_arbiter_was_reminded), STAYS, _e.TELL_OPERATOR),

    *_row(HOLDING,     _CHAIN,    DepositSeen,      always,                             STAYS,             _t.DEPOSIT_SEEN),
    *_row(HOLDING,     _CHAIN,    DepositConfirmed, always,                             STAYS,             _t.DEPOSIT_CONFIRMED),
    *_row(HOLDING,     _CHAIN,    DepositReorged,   _g.confirmed_in_full,               STAYS,             _t.DEPOSIT_REORGED),
    *_row(HOLDING,     _CHAIN,    DepositReorged,   _g.seen_in_full,                    _CONFIRMING,       _t.DEPOSIT_REORGED),
    *_row(_FUNDED,     _CHAIN,    DepositReorged,   _g.seen_in_part,                    _AWAITING,         _t.DEPOSIT_REORGED),
    *_row({_DELIVERED, _DISPUTED}, _CHAIN, DepositReorged, _g.seen_in_part,             _HELD,             _t.DEPOSIT_REORGED, _t.ESCROW_HELD, _e.TELL_OPERATOR),
    *_row(HOLDING,     _CHAIN,    DepositSpent,     _g.confirmed_in_full,               STAYS),
    *_row(HOLDING,     _CHAIN,    DepositSpent,     _g.not_confirmed_in_full,           _HELD,             _t.ESCROW_HELD, _e.TELL_OPERATOR),
    *_row({_AWAITING, _CONFIRMING, *HOLDING, _PAYING}, _CHAIN, SpentOutside, always,    _HELD,             _t.ESCROW_HELD, _e.TELL_OPERATOR),

    *_row(_PAYING,     _CHAIN,    DepositSeen,      always,                             STAYS,             _t.DEPOSIT_LATE),
    *_row(_PAYING,     _CHAIN,    DepositConfirmed, always,                             STAYS),
    *_row(_PAYING,     _CHAIN,    DepositReorged,   always,                             STAYS,             _t.DEPOSIT_REORGED),
    *_row({_PAYING, _HELD}, _CHAIN, DepositSpent,   always,                             STAYS),
    *_row(_PAYING,     _SERVICE,  PayoutBroadcast,  _g.it_is_what_was_ordered,          STAYS,             _t.PAYOUT_BROADCAST),
    *_row(_PAYING,     _SERVICE,  PayoutFailed,     always,                             _HELD,             _t.ESCROW_HELD, _e.TELL_OPERATOR),
    *_row({_PAYING, _HELD}, _SERVICE, PayoutConfirmed, _g.it_is(PayoutKind.RELEASE),    Status.COMPLETED,  _t.PAYOUT_CONFIRMED, _t.ESCROW_COMPLETED, _e.REST),
    *_row({_PAYING, _HELD}, _SERVICE, PayoutConfirmed, _g.it_is(PayoutKind.REFUND),     Status.REFUNDED,   _t.PAYOUT_CONFIRMED, _t.ESCROW_REFUNDED, _e.REST),
    *_row({_PAYING, _HELD}, _SERVICE, PayoutConfirmed, _g.it_is(PayoutKind.SPLIT),      Status.SPLIT,      _t.PAYOUT_CONFIRMED, _t.ESCROW_SPLIT, _e.REST),

    *_row({_PAYING, _HELD, *_SETTLED}, _SERVICE, PayoutReinstated, always,                 _PAYING,           _t.PAYOUT_BROADCAST),

    *_row(Status.COMPLETED, _SERVICE, PayoutReorged, _g.it_is(PayoutKind.RELEASE),      _PAYING),
    *_row(Status.REFUNDED, _SERVICE, PayoutReorged, _g.it_is(PayoutKind.REFUND),        _PAYING),
    *_row(Status.SPLIT, _SERVICE, PayoutReorged,    _g.it_is(PayoutKind.SPLIT),         _PAYING),

    *_row(ENDED,       _CHAIN,    DepositSeen,      always,                             STAYS,             _t.DEPOSIT_LATE),
    *_row(ENDED,       _CHAIN,    DepositConfirmed, _g.late_money_can_be_spent,         STAYS,             _e.RETURN_LATE),
    *_row(ENDED,       _CHAIN,    DepositReorged,   always,                             STAYS,             _t.DEPOSIT_REORGED),
    *_row(ENDED,       _CHAIN,    DepositSpent,     always,                             STAYS),
    *_row(ENDED,       _OPERATOR, Resumed,          _g.late_money_is_left,              STAYS,             _e.RETURN_LATE),
    *_row(ENDED,       _SERVICE,  PayoutBroadcast,  _g.it_is(PayoutKind.RETURN),        STAYS,             _t.PAYOUT_BROADCAST),
    *_row(ENDED,       _SERVICE,  PayoutConfirmed,  _g.it_is(PayoutKind.RETURN),        STAYS,             _t.PAYOUT_CONFIRMED, _e.RETURN_LATE, _e.REST),
    *_row(ENDED,       _SERVICE,  PayoutReorged,    _g.it_is(PayoutKind.RETURN),        STAYS),
    *_row(ENDED,       _SERVICE,  PayoutFailed,     always,                             STAYS,             _e.TELL_OPERATOR),

    *_row(OPEN,        _CHAIN,    ForkApproaching,  _g.it_had_no_such_notice,           STAYS,             _t.FORK_APPROACHING),

    *_row(_HELD,       _CHAIN,    DepositSeen,      always,                             STAYS,             _t.DEPOSIT_SEEN),
    *_row(_HELD,       _CHAIN,    DepositConfirmed, always,                             STAYS,             _t.DEPOSIT_CONFIRMED),
    *_row(_HELD,       _CHAIN,    DepositReorged,   always,                             STAYS,             _t.DEPOSIT_REORGED),
    *_row(_HELD,       _CHAIN,    SpentOutside,     always,                             STAYS),
    *_row(_HELD,       _OPERATOR, Resumed,          _g.held_while_paying_with_money,    _PAYING,           _e.PAY),
    *_row(_HELD,       _OPERATOR, Resumed,          _g.held_before_paying_with_money,   _CONFIRMING,       _e.VERIFY_FUNDING),
    *_row(_HELD,       _OPERATOR, Resumed,          _g.held_before_paying_without_money, _AWAITING),
    *_row(_HELD,       _OPERATOR, Released,         _g.a_deposit_is_there,              _PAYING,           _e.PAY),
    *_row(_HELD,       _OPERATOR, Refunded,         _g.a_deposit_is_there,              _PAYING,           _e.PAY),
    *_row(_HELD,       _OPERATOR, Divided,          _g.a_deposit_is_there,              _PAYING,           _e.PAY),
    *_row(_HELD,       _OPERATOR, Settled,          _g.settled_after(PayoutKind.RELEASE), Status.COMPLETED, _t.ESCROW_COMPLETED, _e.REST),
    *_row(_HELD,       _OPERATOR, Settled,          _g.settled_after(PayoutKind.REFUND), Status.REFUNDED,  _t.ESCROW_REFUNDED, _e.REST),
    *_row(_HELD,       _OPERATOR, Settled,          _g.settled_after(PayoutKind.SPLIT), Status.SPLIT,      _t.ESCROW_SPLIT, _e.REST),
    *_row(_HELD,       _OPERATOR, Settled,          _g.settled_after(None),             Status.CANCELLED,  _t.ESCROW_CANCELLED, _e.REST),

    *_row(Status,      _SERVICE,  CacheRemade,      always,                             STAYS),
)
# fmt: on

#: The same rows by status and kind of event, since each step looks for them many times.
_ROWS: Final = {
    key: tuple(row for row in TABLE if (row.status, row.sends) == key)
    for key in {(row.status, row.sends) for row in TABLE}
}
