"""An escrow and what is known of it. Values never change; each step makes a new one."""

from dataclasses import dataclass, field
from enum import StrEnum

from escrowd.domain.escrow.status import ENDED, DeadlineName, Status, Who
from escrowd.domain.escrow.terms import Overpayment, Terms
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.outputs import WhyNot
from escrowd.domain.payouts.records import PayoutOrder as PayoutOrder


@dataclass(frozen=True, slots=True)
class Moment:
    """When something happens.

    ``utc`` is milliseconds since 1970. ``running`` counts the milliseconds in which the service was up and its daemon
    in sync: deadlines are measured with it, so that nobody loses time to our outage.
    """

    utc: int
    running: int


@dataclass(frozen=True, slots=True)
class DepositFacts:
    """What blocks and pool showed at the last look. Piconero."""

    #: Money that counts, in the pool or the chain.
    seen: int = 0
    #: Money that counts and is as deep as the terms ask.
    confirmed: int = 0
    #: Money beside the deposit of an escrow that is being paid out or has ended, in the pool or the chain.
    late_seen: int = 0
    #: How much of it can be spent, or was sent back already. Only of an escrow that has ended.
    late_spendable: int = 0
    #: Money that never counts: locked, or to another address of the wallet. At the end of an escrow it is late, too.
    uncounted: int = 0
    #: Of ``seen``, what a transaction in a block has spent.
    spent: int = 0
    #: Of ``late_spendable``, what a transaction in a block has spent.
    late_spent: int = 0

    @property
    def unspent(self) -> int:
        """Money that counts and is not spent, in piconero."""
        return max(0, self.seen - self.spent)

    @property
    def spendable(self) -> int:
        """What a decision can pay out: of what is as deep as the terms ask, what is not spent, in piconero."""
        return max(0, self.confirmed - self.spent)


@dataclass(frozen=True, slots=True)
class PaymentFact:
    """One payment, as it was at the last look."""

    txid: str
    #: Its place among the outputs of the transaction; 0 where a wallet found it, which does not know the place.
    output: int
    #: One-time public key, hex: with the transaction it names the output.
    key: str
    #: Piconero.
    amount: int
    #: Height of its block, or of the last one that held it; ``None`` in the pool.
    height: int | None
    #: It is as deep as the terms ask; of money that does not count: it can be spent.
    confirmed: bool
    #: Why it does not count; ``None`` where it does.
    reason: WhyNot | None = None


@dataclass(frozen=True, slots=True)
class Deadline:
    """The end of a period.

    ``armed_at`` is the version of the escrow in which it began: a timer that was set for another version is stale.
    """

    name: DeadlineName
    #: On the clock of :attr:`Moment.running`.
    due: int
    armed_at: int


@dataclass(frozen=True, slots=True)
class SplitProposal:
    """One party's offer. ``vendor_share`` is what the vendor's side gets of the deposit, in piconero."""

    by: Who
    vendor_share: int


class HoldReason(StrEnum):
    """Why an escrow waits for the operator."""

    #: A real wallet and the chain's watcher see different money.
    WALLET_DISAGREES = "wallet_disagrees"
    #: The deposit came in more parts than one transaction could pay to several receivers.
    TOO_MANY_PARTS = "too_many_parts"
    #: The deposit was spent by a transaction that is not ours.
    SPENT_OUTSIDE = "spent_outside"
    #: The deposit vanished from the chain after the vendor had delivered or somebody had disputed.
    DEPOSIT_GONE = "deposit_gone"
    #: The payout cannot be made; the message says why.
    PAYOUT_FAILED = "payout_failed"


@dataclass(frozen=True, slots=True)
class Hold:
    """Why the escrow is held, in words for the operator, and the status it came from."""

    reason: HoldReason
    details: str
    since: Status


@dataclass(frozen=True, slots=True)
class ForkNotice:
    """An event about an announced hard fork that this escrow has had."""

    height: int
    within_days: int


@dataclass(frozen=True, slots=True)
class EscrowFilter:
    """Which escrows are looked for. Times are milliseconds since 1970; ``created_before`` itself is not wanted."""

    #: Empty: all of them.
    statuses: tuple[Status, ...] = ()
    reference: str | None = None
    created_from: int | None = None
    created_before: int | None = None

    def takes(self, escrow: "Escrow") -> bool:
        """Whether an escrow is one of those that are looked for."""
        return (
            (not self.statuses or escrow.status in self.statuses)
            and self.reference in (None, escrow.terms.reference)
            and (self.created_from is None or escrow.created_at >= self.created_from)
            and (self.created_before is None or escrow.created_at < self.created_before)
        )


@dataclass(frozen=True, slots=True)
class Escrow:
    """One trade.

    ``version`` counts its steps. What is only known later is ``None`` until then.
    """

    id: EscrowId
    status: Status
    version: int
    terms: Terms
    #: Milliseconds since 1970, UTC.
    created_at: int
    address: str | None = None
    #: Height of the chain when the keys were made: no deposit can be older.
    restore_height: int | None = None
    deposit: DepositFacts = field(default_factory=DepositFacts)
    #: The largest payments that are there, as they were noted.
    payments: tuple[PaymentFact, ...] = ()
    deadline: Deadline | None = None
    proposal: SplitProposal | None = None
    order: PayoutOrder | None = None
    #: Where a deposit that is final again leads: a reorganisation may have thrown the escrow back to confirming.
    returns_to: Status = Status.FUNDED
    #: How often the arbiter was reminded since the dispute began.
    reminders: int = 0
    hold: Hold | None = None
    #: Transactions that are not ours and spend its money, as far as they were noted.
    outside_spends: tuple[str, ...] = ()
    #: All of them and not the last alone: two daemons may announce different heights.
    fork_notices: tuple[ForkNotice, ...] = ()

    @property
    def has_ended(self) -> bool:
        """Whether no payout is to come but the return of late money."""
        return self.status in ENDED

    @property
    def counts_blocks(self) -> bool:
        """Whether the next block may change something for it, although no transaction of its own is in that."""
        deposit = self.deposit
        waits = self.status in (Status.CONFIRMING, Status.PAYING) or (
            self.status is Status.HELD and self.order is not None
        )
        return waits or deposit.seen > deposit.confirmed or deposit.late_seen > deposit.late_spendable

    @property
    def is_seen_in_full(self) -> bool:
        """Whether enough money that counts is in pool or chain, and not spent."""
        return self.deposit.unspent >= self.terms.least_deposit

    @property
    def is_confirmed_in_full(self) -> bool:
        """Whether enough money that counts is as deep as the terms ask, and not spent."""
        return self.deposit.spendable >= self.terms.least_deposit

    @property
    def divisible(self) -> int:
        """What there is to be divided between vendor and buyer, in piconero: the deposit without a returned excess."""
        if self.terms.overpayment is Overpayment.KEEP:
            return self.deposit.spendable
        return min(self.deposit.spendable, self.terms.amount)
