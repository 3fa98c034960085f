"""What the parties agreed on when the escrow was made. Terms never change."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from escrowd.domain.address import MoneroAddress
from escrowd.domain.errors import InvalidInput
from escrowd.domain.money import MAX_PICONERO
from escrowd.domain.networks import AddressKind, Network
from escrowd.domain.outputs import SPENDABLE_AGE
from escrowd.domain.parties import WalletRole

#: One hundredth of a percent is one basis point.
BASIS_POINTS: Final = 10_000
#: The least that is worth an escrow: below it the network fee of a payout would be a large part.
LEAST_AMOUNT: Final = 10**9
#: What may be missing is at most the amount divided by this.
TOLERANCE_DIVISOR: Final = 10
#: An excess below this, in piconero, is not sent back by itself: the output would cost more than it brings.
LEAST_RETURN: Final = 10**9
MOST_CONFIRMATIONS: Final = 720

MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
#: No deadline is longer: the running clock counts milliseconds, in a number of 64 bits.
LONGEST_DEADLINE: Final = 3650 * DAY


class InvalidTerms(InvalidInput):
    """The terms of an escrow contradict themselves or go beyond what can be done."""


class Custody(StrEnum):
    """Who keeps the key of a role."""

    #: This service keeps it and drives it.
    HOSTED = "hosted"
    #: The party keeps it; the service relays messages.
    OWN = "own"


class Overpayment(StrEnum):
    """Where money goes that was paid beyond the amount."""

    #: Back to the buyer, with the payout.
    RETURN = "return"
    #: To whoever gets the deposit.
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class FeeRule:
    """What the operator of the service earns: a part of what the vendor gets, paid on chain with the payout."""

    basis_points: int
    address: str

    def of(self, vendor_amount: int) -> int:
        """Return the fee on what the vendor gets, in piconero, rounded down in favour of the vendor."""
        return vendor_amount * self.basis_points // BASIS_POINTS


@dataclass(frozen=True, slots=True)
class DeadlineTerms:
    """How long each status that waits may last, in seconds in which the service was up and in sync."""

    keying: int = HOUR
    funding: int = DAY
    #: From funding to the vendor's word that it was delivered.
    delivery: int = 14 * DAY
    inspection: int = 3 * DAY
    #: From the dispute, and again from the reminder, to a ruling.
    ruling: int = 7 * DAY

    @property
    def longest(self) -> int:
        """How long an escrow can take until its last deadline, in seconds: the arbiter has the period to rule twice."""
        return self.keying + self.funding + self.delivery + self.inspection + 2 * self.ruling


def all_hosted() -> Mapping[WalletRole, Custody]:
    """Return the custody of an escrow whose three keys are all kept by this service."""
    return MappingProxyType(dict.fromkeys(WalletRole, Custody.HOSTED))


@dataclass(frozen=True, slots=True)
class Terms:
    """The agreement. Make one with :func:`checked_terms`, which refuses what cannot be kept."""

    network: Network
    #: What the buyer has to pay in, in piconero.
    amount: int
    refund_address: str
    payout_address: str
    custody: Mapping[WalletRole, Custody] = field(default_factory=all_hosted)
    fee: FeeRule | None = None
    #: Blocks on the deposit, its own included, until it is final.
    confirmations: int = SPENDABLE_AGE
    deadlines: DeadlineTerms = DeadlineTerms()
    #: How much less than the amount still counts as paid, in piconero.
    tolerance: int = 0
    overpayment: Overpayment = Overpayment.RETURN
    #: The integrator's own name for the trade.
    reference: str = ""
    description: str = ""
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def least_deposit(self) -> int:
        """The deposit from which on the escrow counts as paid, in piconero."""
        return self.amount - self.tolerance


def checked_terms(terms: Terms) -> Terms:
    """Return the terms if the service can keep them.

    Raises:
        InvalidAddress: an address is none, or of another network.
        InvalidTerms: anything else; the message says what is wrong and what would be right.

    """
    for name, address in _addresses(terms):
        _check_payable(name, MoneroAddress.parse(address, terms.network))
    for holds, message in _rules(terms):
        if not holds:
            raise InvalidTerms(message)
    return terms


# ---------------------------------------------------------------------------------------------------------------------


def _addresses(terms: Terms) -> list[tuple[str, str]]:
    fee = [("fee address", terms.fee.address)] if terms.fee is not None else []
    return [("refund address", terms.refund_address), ("payout address", terms.payout_address), *fee]


def _check_payable(name: str, address: MoneroAddress) -> None:
    # wallet2 puts the payment id into the transaction, where only one fits; a payout may have several receivers.
    if address.kind is AddressKind.INTEGRATED:
        raise InvalidTerms(
            f"the {name} carries a payment id, which a payout cannot: give a standard address or a subaddress"
        )


def _rules(terms: Terms) -> list[tuple[bool, str]]:
    fee = terms.fee.basis_points if terms.fee is not None else 1
    deadlines = astuple(terms.deadlines)
    return [
        (
            LEAST_AMOUNT <= terms.amount <= MAX_PICONERO,
            f"the amount must be {LEAST_AMOUNT} to {MAX_PICONERO} piconero, not {terms.amount}",
        ),
        (
            0 <= terms.tolerance <= terms.amount // TOLERANCE_DIVISOR,
            f"the tolerance must be 0 to a tenth of the amount, not {terms.tolerance} piconero",
        ),
        (1 <= fee <= BASIS_POINTS // 2, f"the fee must be 1 to {BASIS_POINTS // 2} basis points, not {fee}"),
        (
            SPENDABLE_AGE <= terms.confirmations <= MOST_CONFIRMATIONS,
            f"confirmations must be {SPENDABLE_AGE}, before which no output can be spent, "
            f"to {MOST_CONFIRMATIONS}, not {terms.confirmations}",
        ),
        (min(deadlines) >= MINUTE, f"a deadline must be at least {MINUTE} seconds, not {min(deadlines)}"),
        (
            max(deadlines) <= LONGEST_DEADLINE,
            f"a deadline must be at most {LONGEST_DEADLINE} seconds, not {max(deadlines)}",
        ),
        (set(terms.custody) == set(WalletRole), "custody must be said for buyer, vendor and arbiter, each of them"),
        (
            len({terms.refund_address, terms.payout_address}) == 2,
            "the refund address and the payout address are the same: buyer and vendor need one each",
        ),
    ]
