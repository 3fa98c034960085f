"""The people of a world: what they agree on, what they say, and what they try without having the right to."""

import random
from typing import Final

from escrowd.domain.escrow.events import (
    Cancelled,
    DeadlineReached,
    Delivered,
    Disputed,
    Divided,
    Event,
    FundingVerified,
    PayoutConfirmed,
    Refunded,
    Released,
    Resumed,
    Ruled,
    Settled,
    SplitAccepted,
    SplitProposed,
)
from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.escrow.machine import allowed_actions
from escrowd.domain.escrow.status import DeadlineName, Who
from escrowd.domain.escrow.terms import DeadlineTerms, FeeRule, Overpayment, Terms
from escrowd.domain.networks import Network
from escrowd.domain.payouts.records import PayoutKind
from escrowd.testing.simulation.addresses import address

#: Who can send a command.
PEOPLE: Final = (Who.BUYER, Who.VENDOR, Who.ARBITER, Who.INTEGRATOR, Who.OPERATOR)

BUYER_ADDRESS: Final = address("buyer")
VENDOR_ADDRESS: Final = address("vendor")
FEE_ADDRESS: Final = address("fee")

#: Seconds. Long enough that nothing is due by the time a test takes, short enough that a world reaches each.
DEADLINES: Final = DeadlineTerms(keying=900, funding=3_600, delivery=5_400, inspection=2_700, ruling=4_500)


def draw_terms(chance: random.Random) -> Terms:
    """Draw an agreement."""
    amount = chance.choice((10**12, 10**12, 5 * 10**9, 3_141_592_653_589, 999_999_999_999, 10**15 + 7))
    return Terms(
        network=Network.REGTEST,
        amount=amount,
        refund_address=BUYER_ADDRESS,
        payout_address=VENDOR_ADDRESS,
        fee=FeeRule(chance.choice((1, 100, 333)), FEE_ADDRESS) if chance.random() < 0.4 else None,
        confirmations=chance.choice((10, 10, 12)),
        deadlines=DEADLINES,
        tolerance=chance.choice((0, 0, amount // 20)),
        overpayment=chance.choice((Overpayment.RETURN, Overpayment.KEEP)),
    )


def draw_allowed(chance: random.Random, escrow: Escrow) -> tuple[Who, Event] | None:
    """Draw something that somebody may say, or ``None`` where nobody may say anything."""
    for who in chance.sample(PEOPLE, len(PEOPLE)):
        may = allowed_actions(escrow, who)
        if may:
            action = chance.choices(may, [_LIKELIHOOD.get(each, 1.0) for each in may])[0]
            # What ends a trade is not said each time that it could be.
            return (who, draw_event(chance, escrow, action)) if chance.random() < _LIKELIHOOD.get(action, 1.0) else None
    return None


def draw_illegal(chance: random.Random, escrow: Escrow) -> tuple[Who, Event]:
    """Draw something that is most likely not allowed, such as the word of another role or of the machine itself."""
    who = chance.choice(PEOPLE)
    if chance.random() < 0.3:
        return who, chance.choice(_NOT_FOR_PEOPLE)
    action = chance.choice((*_PLAIN, "propose-split", "accept-split", "rule", "split"))
    return who, draw_event(chance, escrow, action, exceed=chance.random() < 0.3)


def draw_event(chance: random.Random, escrow: Escrow, action: str, *, exceed: bool = False) -> Event:
    """Draw what is said with an action."""
    if action in _PLAIN:
        return _PLAIN[action]
    share = escrow.divisible + 1 if exceed else _share(chance, escrow.divisible)
    if action == "accept-split":
        offered = escrow.proposal.vendor_share if escrow.proposal is not None else share
        return SplitAccepted(offered if chance.random() < 0.9 else share)
    return _DIVISIONS[action](share)


# ---------------------------------------------------------------------------------------------------------------------

_PLAIN: Final[dict[str, Event]] = {
    "deliver": Delivered(),
    "release": Released(),
    "refund": Refunded(),
    "dispute": Disputed("it does not work"),
    "cancel": Cancelled(),
    "resume": Resumed(),
    "settle": Settled("nothing is left"),
}

_DIVISIONS: Final[dict[str, type[Divided | Ruled | SplitProposed]]] = {
    "rule": Ruled,
    "split": Divided,
    "propose-split": SplitProposed,
}

#: How likely it is that something is said when it may be, where it is not certain.
_LIKELIHOOD: Final = {"cancel": 0.2, "release": 0.4, "refund": 0.3, "accept-split": 0.5, "rule": 0.5}

#: What only the service itself may say.
_NOT_FOR_PEOPLE: Final[tuple[Event, ...]] = (
    FundingVerified(),
    DeadlineReached(DeadlineName.INSPECTION, 1),
    PayoutConfirmed("pay_none", PayoutKind.RELEASE, ()),
)


def _share(chance: random.Random, divisible: int) -> int:
    """Draw a share with a liking for the borders, where one side gets nothing or next to nothing."""
    return chance.choice((0, 1, divisible // 3, divisible // 2, max(0, divisible - 1), divisible))
