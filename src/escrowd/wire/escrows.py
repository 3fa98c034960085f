"""Escrows on the wire."""

from typing import Annotated, Literal

from pydantic import Field

from escrowd.wire.values import (
    NO_CONTROLS,
    AddressText,
    Answer,
    LongText,
    Piconero,
    PiconeroText,
    Request,
    ShortText,
    Timestamp,
)

Role = Literal["buyer", "vendor", "arbiter"]
Custody = Literal["hosted", "own"]
Network = Literal["mainnet", "stagenet", "testnet", "regtest"]
Status = Literal[
    "keying",
    "awaiting_funding",
    "confirming",
    "funded",
    "delivered",
    "disputed",
    "paying",
    "completed",
    "refunded",
    "split",
    "expired",
    "cancelled",
    "held",
]
ActionName = Literal[
    "deliver",
    "release",
    "refund",
    "dispute",
    "rule",
    "propose-split",
    "accept-split",
    "cancel",
    "resume",
    "split",
    "settle",
]

# --- requests --------------------------------------------------------------------------------------------------------


class NewBuyer(Request):
    """Who pays in."""

    refund_address: AddressText
    custody: Custody = "hosted"


class NewVendor(Request):
    """Who is paid."""

    payout_address: AddressText
    custody: Custody = "hosted"


class NewArbiter(Request):
    """Who decides a dispute."""

    custody: Custody = "hosted"


class NewFee(Request):
    """What the operator of the site earns: a part of what the vendor gets, paid on chain with the payout."""

    basis_points: Annotated[int, Field(ge=1, le=5000, description="Hundredths of a percent.")]
    address: AddressText


Seconds = Annotated[int, Field(ge=60, le=3650 * 86400)]


class NewDeadlines(Request):
    """How long each period lasts, in seconds in which the service was up and in sync. Left out: the default."""

    keying: Seconds | None = None
    funding: Seconds | None = None
    delivery: Seconds | None = None
    inspection: Seconds | None = None
    ruling: Seconds | None = None


class Underpayment(Request):
    """How much less than the amount still counts as paid, in piconero: at most a tenth of it. Left out: the default."""

    tolerance: PiconeroText


class NewEscrow(Request):
    """The terms of an escrow. They never change afterwards."""

    amount: PiconeroText
    buyer: NewBuyer
    vendor: NewVendor
    arbiter: NewArbiter = NewArbiter()
    reference: ShortText = ""
    description: LongText = ""
    metadata: Annotated[dict[ShortText, ShortText], Field(max_length=20, default_factory=dict)]
    fee: NewFee | None = None
    confirmations: Annotated[int, Field(ge=10, le=720)] | None = None
    deadlines: NewDeadlines = NewDeadlines()
    underpayment: Underpayment | None = None
    overpayment: Literal["return", "keep"] | None = None


class Nothing(Request):
    """A request without content. The body may be left out."""


class Dispute(Request):
    """Why a party asks the arbiter."""

    reason: LongText = ""


class Share(Request):
    """A division of the deposit: this much before fees for the vendor's side, the rest for the buyer."""

    vendor_share: PiconeroText


class Settlement(Request):
    """Why a held escrow is closed. The reason stays in its history."""

    reason: Annotated[str, Field(min_length=1, max_length=1000, pattern=NO_CONTROLS)]


class Preview(Request):
    """What to reckon: as if this action were taken now."""

    action: Literal["release", "refund", "rule", "split", "propose-split", "accept-split"]
    vendor_share: PiconeroText | None = None


# --- answers ---------------------------------------------------------------------------------------------------------


class DepositPayment(Answer):
    """One output that came to the escrow, also one that left blocks and pool since: its ``reason`` is ``reorged``."""

    txid: str
    output: Annotated[
        int,
        Field(description="Its place in the transaction. 0 where a wallet found it, which does not know the place."),
    ]
    amount: Piconero
    height: Annotated[
        int | None, Field(description="Of its block; of the last one that held it where it is lost; null in the pool.")
    ] = None
    confirmations: int
    counts: bool
    #: Why it does not count; ``None`` where it does.
    reason: str | None = None


class Deposit(Answer):
    """What the buyer pays in, and how much of it is there."""

    #: ``None`` while the keys are being made.
    address: str | None = None
    uri: str | None = None
    expected: Piconero
    #: How much less than `expected` counts as paid.
    tolerance: Piconero = 0
    seen: Piconero
    confirmed: Piconero
    spendable: Piconero
    missing: Piconero
    required_confirmations: int
    payments: tuple[DepositPayment, ...] = ()


class Buyer(Answer):
    """Who pays in."""

    custody: Custody
    refund_address: str


class Vendor(Answer):
    """Who is paid."""

    custody: Custody
    payout_address: str


class Arbiter(Answer):
    """Who decides a dispute."""

    custody: Custody


class Parties(Answer):
    """The three roles."""

    buyer: Buyer
    vendor: Vendor
    arbiter: Arbiter


class CustodyPromise(Answer):
    """What the custody of the keys means: whether whoever runs this service could move the money alone."""

    operator_can_spend: bool
    statement: str


class Fee(Answer):
    """The operator's part of what the vendor gets."""

    basis_points: int
    address: str


class Deadlines(Answer):
    """When the present period ends if the service stays up and in sync until then; ``null`` where none runs."""

    keying_ends_at: Timestamp | None = None
    funding_ends_at: Timestamp | None = None
    delivery_ends_at: Timestamp | None = None
    inspection_ends_at: Timestamp | None = None
    ruling_ends_at: Timestamp | None = None


class SplitProposal(Answer):
    """A party's offer to divide the deposit."""

    by: Role
    vendor_share: Piconero


class Hold(Answer):
    """Why an escrow waits for the operator."""

    reason: str
    details: str
    since: Status


class PaidOutput(Answer):
    """Who gets what."""

    to: str
    amount: Piconero


class PayoutTransaction(Answer):
    """One transaction of a payout."""

    txid: str
    network_fee: Piconero
    confirmations: int
    outputs: tuple[PaidOutput, ...]


class Payout(Answer):
    """Money on its way out."""

    id: str
    kind: Literal["release", "refund", "split", "return"]
    status: Literal["planned", "signing", "broadcast", "confirmed", "abandoned"]
    transactions: tuple[PayoutTransaction, ...] = ()


class PartyLink(Answer):
    """The way of one party to its escrow. The token is a secret: give it to that party only."""

    role: Role
    # Whoever reads either may do what the party may; so an answer that is printed does not show them.
    token: Annotated[str, Field(repr=False)]
    url: Annotated[str, Field(repr=False)]


class PartyLinks(Answer):
    """The ways of the parties to one escrow; the arbiter's only for keys with `arbiter` or `admin`."""

    items: tuple[PartyLink, ...]


class Escrow(Answer):
    """One trade. ``allowed_actions`` is what the caller may do now."""

    id: str
    status: Status
    version: int
    amount: Piconero
    network: Network
    deposit: Deposit
    parties: Parties
    custody: CustodyPromise
    fee: Fee | None = None
    payout: Payout | None = None
    #: Money that came late or was too much, on its way back to the buyer.
    returns: tuple[Payout, ...] = ()
    proposal: SplitProposal | None = None
    hold: Hold | None = None
    deadlines: Deadlines
    allowed_actions: tuple[ActionName, ...]
    reference: str
    description: str
    metadata: dict[str, str]
    created_at: Timestamp


class CreatedEscrow(Escrow):
    """A new escrow, with the links of its parties; the arbiter's only for keys that have `arbiter` or `admin`, too."""

    links: tuple[PartyLink, ...]


class EscrowPage(Answer):
    """Escrows, the newest first. ``next`` is the cursor of the page that follows; ``null`` on the last one."""

    items: tuple[Escrow, ...]
    next: str | None = None


class PreviewedPayout(Answer):
    """What a payout would pay if it were decided now. The outputs and the fee together are what is in the escrow."""

    action: str
    kind: Literal["release", "refund", "split"]
    #: Everything that would go in.
    total: Piconero
    #: An estimate: the transaction's own weight decides. The vendor's part of a split and the operator's fee are exact.
    network_fee: Piconero
    #: What would stay behind because it costs more than it brings, or goes back to the buyer by itself.
    left_out: Piconero
    outputs: tuple[PaidOutput, ...]
