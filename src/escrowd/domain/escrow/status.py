"""The words of the state table: statuses, who may speak, deadlines, and what the outside world is told."""

from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """Where an escrow stands."""

    #: The three wallets are making the shared address.
    KEYING = "keying"
    #: The address is known, backed up and shown.
    AWAITING_FUNDING = "awaiting_funding"
    #: Enough was seen in pool or chain, and is not final yet.
    CONFIRMING = "confirming"
    #: Final and spendable; a real wallet agrees.
    FUNDED = "funded"
    #: The vendor says so; the inspection period runs.
    DELIVERED = "delivered"
    #: Waits for the arbiter. The parties may still settle.
    DISPUTED = "disputed"
    #: One payout is being signed, sent or confirmed.
    PAYING = "paying"
    #: The release is final.
    COMPLETED = "completed"
    #: The refund is final.
    REFUNDED = "refunded"
    #: The split is final.
    SPLIT = "split"
    #: Not paid in time. The address stays watched.
    EXPIRED = "expired"
    #: Called off unfunded. The address stays watched.
    CANCELLED = "cancelled"
    #: Facts disagree. The money is safe and waits for the operator.
    HELD = "held"


#: No payout is to come for these but the return of money that comes late.
ENDED: Final = frozenset({Status.COMPLETED, Status.REFUNDED, Status.SPLIT, Status.EXPIRED, Status.CANCELLED})
#: Money or keys are still to come, to be decided on or to be paid out.
OPEN: Final = frozenset(Status) - ENDED
#: The deposit is there, and nobody has decided yet.
HOLDING: Final = frozenset({Status.FUNDED, Status.DELIVERED, Status.DISPUTED})


class Who(StrEnum):
    """Who may send an event. The first five are people or their programs."""

    BUYER = "buyer"
    VENDOR = "vendor"
    ARBITER = "arbiter"
    #: The shop that made the escrow.
    INTEGRATOR = "integrator"
    #: Who runs this service.
    OPERATOR = "operator"
    #: What blocks and pool show.
    CHAIN = "chain"
    #: A deadline that has passed.
    CLOCK = "clock"
    #: What came of the service's own work.
    SERVICE = "service"


class DeadlineName(StrEnum):
    """Which period it is that ends."""

    KEYING = "keying"
    FUNDING = "funding"
    DELIVERY = "delivery"
    INSPECTION = "inspection"
    RULING = "ruling"


#: The deadline of each status that waits for somebody.
DEADLINE_OF: Final = {
    Status.KEYING: DeadlineName.KEYING,
    Status.AWAITING_FUNDING: DeadlineName.FUNDING,
    Status.FUNDED: DeadlineName.DELIVERY,
    Status.DELIVERED: DeadlineName.INSPECTION,
    Status.DISPUTED: DeadlineName.RULING,
}


class PublicEvent(StrEnum):
    """What integrators are told: the types of events and webhooks."""

    ESCROW_CREATED = "escrow.created"
    ESCROW_READY = "escrow.ready"
    DEPOSIT_SEEN = "deposit.seen"
    DEPOSIT_CONFIRMED = "deposit.confirmed"
    DEPOSIT_REORGED = "deposit.reorged"
    DEPOSIT_LATE = "deposit.late"
    ESCROW_FUNDED = "escrow.funded"
    ESCROW_DELIVERED = "escrow.delivered"
    ESCROW_DISPUTED = "escrow.disputed"
    ESCROW_RULED = "escrow.ruled"
    PAYOUT_BROADCAST = "payout.broadcast"
    PAYOUT_CONFIRMED = "payout.confirmed"
    ESCROW_COMPLETED = "escrow.completed"
    ESCROW_REFUNDED = "escrow.refunded"
    ESCROW_SPLIT = "escrow.split"
    ESCROW_EXPIRED = "escrow.expired"
    ESCROW_CANCELLED = "escrow.cancelled"
    ESCROW_HELD = "escrow.held"
    FORK_APPROACHING = "fork.approaching"
