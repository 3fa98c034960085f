"""Payouts and the attempts at them, as they are stored: each step is written down before the next one is taken."""

from dataclasses import dataclass
from enum import StrEnum

from escrowd.domain.escrow.status import Who
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole


class PayoutKind(StrEnum):
    """What a payout is for."""

    RELEASE = "release"
    REFUND = "refund"
    SPLIT = "split"
    #: Late or excess money back to the buyer; the status of the escrow stays what it is.
    RETURN = "return"


@dataclass(frozen=True, slots=True)
class PayoutOrder:
    """A decision on the money, and whose word it was. ``version`` is that of the step in which it fell."""

    kind: PayoutKind
    vendor_share: int
    by: Who
    version: int

    def decides_as(self, other: "Payout") -> bool:
        """Whether a payout carries out this very decision. All that there is goes to one side, or a share is named."""
        same_share = self.vendor_share == other.vendor_share
        return self.kind is other.kind and (same_share or self.kind is not PayoutKind.SPLIT)


class PayoutStatus(StrEnum):
    """How far a payout is, for everybody to see."""

    PLANNED = "planned"
    SIGNING = "signing"
    BROADCAST = "broadcast"
    CONFIRMED = "confirmed"
    #: It cannot be made: the escrow is held for the operator, or the rest is too small to be worth its fee.
    ABANDONED = "abandoned"

    @property
    def is_open(self) -> bool:
        """Whether the payout is under way. An escrow has at most one such."""
        return self in (PayoutStatus.PLANNED, PayoutStatus.SIGNING, PayoutStatus.BROADCAST)


class AttemptStep(StrEnum):
    """The steps of one attempt at a payout, in order. Each is stored before the next one begins."""

    #: The attempt has a number and its signers; nothing was asked of a wallet.
    INTENT = "intent"
    #: Both signers exported, and both wallets were stored after it.
    EXPORTED = "exported"
    #: Both signers imported, and see all outputs of the plan.
    IMPORTED = "imported"
    #: The first signer built the transaction set, with its own signature in it, and its wallet was stored.
    PROPOSED = "proposed"
    #: Every field of every transaction was checked against the plan.
    VALIDATED = "validated"
    #: The second signer is about to sign. After a crash here the attempt is discarded, never signed again.
    SIGN_INTENT = "sign_intent"
    #: The second signer's wallet was stored after the signature, and the bytes of the transactions are in the database.
    SIGNED = "signed"
    #: The daemon took the transactions; the same bytes are sent again after any doubt.
    SUBMITTED = "submitted"
    #: Given up before it was signed. Its key images bind the next attempt.
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class PaidOutput:
    """Who gets what from one transaction, in piconero."""

    to: str
    amount: int


@dataclass(frozen=True, slots=True)
class PayoutTransaction:
    """One transaction of a payout. A payout of many inputs has several."""

    txid: str
    network_fee: int
    outputs: tuple[PaidOutput, ...]
    #: Hex. What it spends; all attempts at one payout share at least one.
    key_images: tuple[str, ...] = ()
    #: Height of its block; ``None`` while it is not mined.
    height: int | None = None


@dataclass(frozen=True, slots=True)
class Payout:
    """One payout: what it is for, from which account of the escrow's wallet, and how far it is."""

    id: str
    escrow: EscrowId
    kind: PayoutKind
    status: PayoutStatus
    #: What the vendor's side gets of the deposit before fees, in piconero; the rest is the buyer's.
    vendor_share: int
    #: Account of the wallet that is swept. Only account 0 holds deposits that count.
    account: int
    #: Who may sign, in order of preference: pairs of proposer and co-signer.
    signers: tuple[tuple[WalletRole, WalletRole], ...]
    #: One-time keys of all outputs that it spends.
    output_keys: tuple[str, ...]
    transactions: tuple[PayoutTransaction, ...] = ()
    #: Piconero that stayed behind because they are worth less than their own fee.
    residue: int = 0
    #: What it carries out; ``None`` for the return of late money, and for a payout from before orders were stored.
    order: PayoutOrder | None = None
    #: How often in a row the daemon refused its bytes, and when, on the running clock, they are sent again.
    refusals: int = 0
    send_again_at: int = 0

    def decision(self, version: int) -> PayoutOrder:
        """Return what it carries out. One from before orders were stored is taken to be of this version."""
        return self.order or PayoutOrder(self.kind, self.vendor_share, Who.SERVICE, version)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a payout. The proposal is sealed: a transaction set can carry nonces."""

    payout: str
    number: int
    step: AttemptStep
    proposer: WalletRole
    cosigner: WalletRole
    sealed_proposal: str = ""
    transactions: tuple[PayoutTransaction, ...] = ()
    #: Why what was proposed was not signed; empty where it was, or where a crash or a lost wallet ended the attempt.
    refused: str = ""
