"""Escrows and ledgers for the tests of the state table: how a status is reached, and what may be tried in it."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final, TypeAlias

from escrowd.domain.escrow.assess import Ledger, assess
from escrowd.domain.escrow.events import (
    CacheRemade,
    Cancelled,
    DeadlineReached,
    Delivered,
    DepositConfirmed,
    DepositReorged,
    DepositSeen,
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
from escrowd.domain.escrow.facts import DepositFacts, Escrow, HoldReason, Moment
from escrowd.domain.escrow.machine import create, step
from escrowd.domain.escrow.status import DeadlineName, Status, Who
from escrowd.domain.escrow.terms import Terms
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.networks import Network
from escrowd.domain.outputs import ReceivedOutput
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.records import PayoutKind, PayoutOrder

ID: Final = EscrowId("esc_01jd3v9k8z6x5w4t2r1q0p9n8m")
AMOUNT: Final = 10**12
HALF: Final = AMOUNT // 2
TERMS: Final = Terms(Network.REGTEST, AMOUNT, refund_address="to the buyer", payout_address="to the vendor")
START: Final = Moment(utc=1_700_000_000_000, running=0)

READY: Final = KeysReady("the address", 100)
SEEN: Final = DepositFacts(seen=AMOUNT)
PAID: Final = DepositFacts(seen=AMOUNT, confirmed=AMOUNT)

#: An event, or what makes one that fits the escrow.
Move: TypeAlias = tuple[Event | Callable[[Escrow], Event], Who]


def deadline_of(escrow: Escrow) -> DeadlineReached:
    """Return the event of the deadline that runs."""
    assert escrow.deadline is not None
    return DeadlineReached(escrow.deadline.name, escrow.deadline.armed_at)


def confirmed(kind: PayoutKind) -> Move:
    """Return the move that makes a payout final."""
    return PayoutConfirmed("pay_1", kind, ("tx",)), Who.SERVICE


def play(moves: Iterable[Move], escrow: Escrow | None = None, terms: Terms = TERMS) -> Escrow:
    """Apply moves one after the other, each a second of the running clock after the last."""
    now = escrow or create(ID, terms, Who.INTEGRATOR, START).after
    for event, who in moves:
        moment = Moment(START.utc, now.version * 1000)
        now = step(now, event(now) if callable(event) else event, who, moment).after
    return now


_AWAITING: Final[tuple[Move, ...]] = ((READY, Who.SERVICE),)
_CONFIRMING: Final[tuple[Move, ...]] = (*_AWAITING, (DepositSeen(SEEN), Who.CHAIN))
_FUNDED: Final[tuple[Move, ...]] = (
    *_CONFIRMING,
    (DepositConfirmed(PAID), Who.CHAIN),
    (FundingVerified(), Who.SERVICE),
)
_PAYING: Final[tuple[Move, ...]] = (*_FUNDED, (Released(), Who.BUYER))

#: How each status is reached in the most usual way.
PATHS: Final[dict[Status, tuple[Move, ...]]] = {
    Status.KEYING: (),
    Status.AWAITING_FUNDING: _AWAITING,
    Status.CONFIRMING: _CONFIRMING,
    Status.FUNDED: _FUNDED,
    Status.DELIVERED: (*_FUNDED, (Delivered(), Who.VENDOR)),
    Status.DISPUTED: (*_FUNDED, (Disputed(), Who.BUYER)),
    Status.PAYING: _PAYING,
    Status.COMPLETED: (*_PAYING, confirmed(PayoutKind.RELEASE)),
    Status.REFUNDED: (*_FUNDED, (Refunded(), Who.VENDOR), confirmed(PayoutKind.REFUND)),
    Status.SPLIT: (
        *_FUNDED,
        (SplitProposed(HALF), Who.BUYER),
        (SplitAccepted(HALF), Who.VENDOR),
        confirmed(PayoutKind.SPLIT),
    ),
    Status.EXPIRED: (*_AWAITING, (deadline_of, Who.CLOCK), (UnfundedVerified(), Who.SERVICE)),
    Status.CANCELLED: (*_AWAITING, (Cancelled(), Who.BUYER)),
    Status.HELD: (*_CONFIRMING, (FundingRefuted("the wallet sees nothing"), Who.SERVICE)),
}


def reached(status: Status, terms: Terms = TERMS) -> Escrow:
    """Return an escrow that came to a status in the most usual way."""
    return play(PATHS[status], terms=terms)


# --- everything that may be tried ------------------------------------------------------------------------------------

#: Deposits of all kinds that are well formed, coarsely: in part, in full and beyond, confirmed or not.
DEPOSITS: Final = tuple(
    DepositFacts(seen=seen, confirmed=deep, late_seen=late, late_spendable=min(late, spendable))
    for deep, seen in itertools.combinations_with_replacement((0, HALF, AMOUNT, 2 * AMOUNT), 2)
    for late, spendable in ((0, 0), (HALF, 0), (HALF, HALF))
)
DEPOSIT_EVENTS: Final[tuple[Callable[[DepositFacts], Event], ...]] = (DepositSeen, DepositConfirmed, DepositReorged)
#: Decisions whose payout had been given up, and turns up in a block.
DECISIONS: Final = tuple(
    PayoutOrder(kind, share, Who.ARBITER, 7)
    for kind, share in ((PayoutKind.RELEASE, AMOUNT), (PayoutKind.REFUND, 0), (PayoutKind.SPLIT, HALF))
)
EARLIER: Final = (
    PayoutOrder(PayoutKind.RELEASE, AMOUNT, Who.BUYER, 7),
    PayoutOrder(PayoutKind.REFUND, 0, Who.VENDOR, 7),
)
SHARES: Final = (0, 1, HALF, AMOUNT, 2 * AMOUNT, -1)


def tries(escrow: Escrow) -> list[Event]:
    """Return events of every kind but those of the deposit: such as may fit the escrow, and such as cannot."""
    running = escrow.deadline
    return [
        READY,
        *(FundingVerified(), FundingRefuted("they differ"), UnfundedVerified(), SpentOutside("foreign")),
        *(Cancelled(), Delivered(), Released(), Refunded(), Disputed(), Resumed()),
        *(kind(share) for share in SHARES for kind in (SplitProposed, SplitAccepted, Ruled, Divided)),
        *(Settled("the parties have the money", paid=paid) for paid in (None, *DECISIONS)),
        *(DeadlineReached(name, escrow.version + 1) for name in DeadlineName),
        *([DeadlineReached(running.name, running.armed_at)] if running else []),
        *(kind("pay_1", each, ("tx",)) for each in PayoutKind for kind in (PayoutBroadcast, PayoutConfirmed)),
        *(PayoutReorged("pay_1", each) for each in PayoutKind),
        *(PayoutReinstated("pay_1", each.kind, ("tx",), each) for each in EARLIER),
        PayoutFailed(HoldReason.PAYOUT_FAILED, "the fee is too high"),
        ForkApproaching(17, 1000, 30, 21_000),
        CacheRemade(WalletRole.BUYER, "Failed to open wallet"),
    ]


# --- ledgers ---------------------------------------------------------------------------------------------------------

#: The chain is so high in the ledgers of the tests, and its last block of this time.
HEIGHT: Final = 1000
TIME: Final = 1_700_000_000


def output(key: str, amount: int = AMOUNT, confirmations: int = 10, height: int = HEIGHT) -> ReceivedOutput:
    """Return a plain output to the primary address; without a confirmation it is in the pool."""
    place = height - confirmations if confirmations else None
    return ReceivedOutput(f"tx of {key}", 0, key, amount, height=place, global_index=place)


def ledger(*outputs: ReceivedOutput, height: int = HEIGHT) -> Ledger:
    """Return a ledger with these outputs."""
    return Ledger(height, TIME, outputs)


def follow(escrow: Escrow, now: Ledger) -> tuple[Escrow, tuple[Event, ...]]:
    """Apply what a ledger says to an escrow, and return it with what was said."""
    events = assess(escrow, now)
    return play([(event, Who.CHAIN) for event in events], escrow), events


def plain(events: Iterable[Event]) -> tuple[Event, ...]:
    """Return events without the payments that they list."""
    return tuple(
        replace(each, payments=()) if isinstance(each, DepositSeen | DepositConfirmed | DepositReorged) else each
        for each in events
    )


def with_deposit(status: Status, facts: DepositFacts) -> Escrow:
    """Return an escrow in a status, for which other facts were noted."""
    return replace(reached(status), deposit=facts)
