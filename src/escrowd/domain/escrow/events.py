"""What can happen to an escrow. Events are facts, in the past tense; who may send them is said by the table."""

from dataclasses import dataclass
from typing import TypeAlias

from escrowd.domain.escrow.facts import DepositFacts, HoldReason, PaymentFact
from escrowd.domain.escrow.status import DeadlineName
from escrowd.domain.escrow.terms import Terms
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.records import PayoutKind, PayoutOrder

# --- the keys --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Created:
    """The parties agreed on terms. The first event of every escrow."""

    terms: Terms


@dataclass(frozen=True, slots=True)
class KeysReady:
    """All three wallets are ready, agree on the address, and their keys are backed up."""

    address: str
    restore_height: int


# --- the deposit -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DepositSeen:
    """More money came into pool or chain."""

    deposit: DepositFacts
    #: Payments that changed, the largest first.
    payments: tuple[PaymentFact, ...] = ()
    #: How many payments there are besides the largest ones, which alone are listed.
    unlisted: int = 0


@dataclass(frozen=True, slots=True)
class DepositConfirmed:
    """More money is as deep as the terms ask, or late money can be spent."""

    deposit: DepositFacts
    #: Payments that changed, the largest first.
    payments: tuple[PaymentFact, ...] = ()
    #: How many payments there are besides the largest ones, which alone are listed.
    unlisted: int = 0


@dataclass(frozen=True, slots=True)
class DepositReorged:
    """Money left the pool or the chain, or is less deep than it was."""

    deposit: DepositFacts
    #: Payments that left blocks and pool, marked as ``reorged``, or are less deep now, the largest first.
    payments: tuple[PaymentFact, ...] = ()
    #: How many payments there are besides the largest ones, which alone are listed.
    unlisted: int = 0


@dataclass(frozen=True, slots=True)
class DepositSpent:
    """What is left of the deposit changed: a transaction in a block spends some of it, or no longer does."""

    deposit: DepositFacts


@dataclass(frozen=True, slots=True)
class FundingVerified:
    """A real wallet sees the same deposit as the watcher."""


@dataclass(frozen=True, slots=True)
class FundingRefuted:
    """A real wallet sees another deposit than the watcher, or one that could not be paid out; ``details`` says how."""

    details: str
    reason: HoldReason = HoldReason.WALLET_DISAGREES


@dataclass(frozen=True, slots=True)
class UnfundedVerified:
    """A real wallet agrees that the deposit is not there."""


@dataclass(frozen=True, slots=True)
class SpentOutside:
    """A transaction that is not ours spends the deposit."""

    txid: str


# --- what people say -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Somebody called the trade off before anything was paid."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The vendor says that the goods were delivered."""


@dataclass(frozen=True, slots=True)
class Released:
    """The money shall go to the vendor."""


@dataclass(frozen=True, slots=True)
class Refunded:
    """The money shall go back to the buyer."""


@dataclass(frozen=True, slots=True)
class Disputed:
    """A party asks the arbiter to decide."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class SplitProposed:
    """A party offers to divide the deposit: ``vendor_share`` piconero for the vendor's side, the rest for the buyer."""

    vendor_share: int


@dataclass(frozen=True, slots=True)
class SplitAccepted:
    """The other party takes the offer, naming its share, so that nobody accepts what was changed meanwhile."""

    vendor_share: int


@dataclass(frozen=True, slots=True)
class Ruled:
    """The arbiter divides the deposit: ``vendor_share`` piconero for the vendor's side, the rest for the buyer."""

    vendor_share: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """The operator found nothing wrong: the escrow goes on where it was held, or late money is sent back after all."""


@dataclass(frozen=True, slots=True)
class Divided:
    """The operator divides what is left: ``vendor_share`` piconero for the vendor's side, the rest for the buyer."""

    vendor_share: int


@dataclass(frozen=True, slots=True)
class Settled:
    """The operator closes an escrow of which nothing is left that is worth the fee of paying it out.

    The service adds the facts: ``residue`` is the amount, in piconero, up to which nothing is, and ``paid`` what the
    last payout in a block has carried out.
    """

    reason: str
    residue: int = 0
    paid: PayoutOrder | None = None


# --- the network -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ForkApproaching:
    """A hard fork is announced, and near: what is not settled before it needs a service that knows its rules.

    It comes once for each of the thresholds of ``within_days``, 30, 14 and 3 days, and each announced height.
    """

    #: Of the rules of the chain.
    version: int
    #: Of the first block under the new rules.
    height: int
    within_days: int
    blocks_left: int


# --- the wallets -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CacheRemade:
    """The cache of a wallet did not open. It was moved aside and is made anew from its keys and the chain."""

    role: WalletRole
    details: str


# --- time and payouts ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeadlineReached:
    """A period ended. ``armed_at`` names the version in which it began."""

    name: DeadlineName
    armed_at: int


@dataclass(frozen=True, slots=True)
class PayoutBroadcast:
    """The transactions of a payout were sent."""

    payout: str
    kind: PayoutKind
    txids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PayoutConfirmed:
    """All transactions of a payout that can be mined are as deep as the terms ask."""

    payout: str
    kind: PayoutKind
    txids: tuple[str, ...]
    #: The decision that it carries out; ``None`` for the return of late money.
    order: PayoutOrder | None = None


@dataclass(frozen=True, slots=True)
class PayoutReinstated:
    """A payout that had been given up is in a block after all: it takes the place of what was decided later."""

    payout: str
    kind: PayoutKind
    txids: tuple[str, ...]
    order: PayoutOrder


@dataclass(frozen=True, slots=True)
class PayoutReorged:
    """A payout that was final is no longer in the chain."""

    payout: str
    kind: PayoutKind


@dataclass(frozen=True, slots=True)
class PayoutFailed:
    """A payout cannot be made or cannot become final. ``payout`` names it where it is given up for good."""

    reason: HoldReason
    details: str
    payout: str = ""


Event: TypeAlias = (
    Created
    | KeysReady
    | DepositSeen
    | DepositConfirmed
    | DepositReorged
    | DepositSpent
    | FundingVerified
    | FundingRefuted
    | UnfundedVerified
    | SpentOutside
    | Cancelled
    | Delivered
    | Released
    | Refunded
    | Disputed
    | SplitProposed
    | SplitAccepted
    | Ruled
    | Resumed
    | Divided
    | Settled
    | ForkApproaching
    | CacheRemade
    | DeadlineReached
    | PayoutBroadcast
    | PayoutConfirmed
    | PayoutReinstated
    | PayoutReorged
    | PayoutFailed
)
