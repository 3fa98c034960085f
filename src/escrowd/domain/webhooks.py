"""Endpoints to which events are sent, and the deliveries to them. Times are milliseconds since 1970, UTC."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from escrowd.domain.escrow.status import PublicEvent
from escrowd.domain.identifiers import EscrowId

#: What can be delivered, by type. Inner events are in the log only.
EVENT_TYPES: Final = frozenset(str(each) for each in PublicEvent)


class WebhookStatus(StrEnum):
    """Whether an endpoint is sent anything."""

    ENABLED = "enabled"
    #: Nothing is sent. What happens meanwhile is kept for it.
    DISABLED = "disabled"


class DeliveryStatus(StrEnum):
    """How far a delivery has come."""

    PENDING = "pending"
    DELIVERED = "delivered"


@dataclass(frozen=True, slots=True)
class Webhook:
    """An endpoint."""

    id: str
    url: str
    #: Types of the events that it wants; empty: all of them.
    types: tuple[str, ...]
    description: str
    created_at: int
    sealed_secret: str
    #: The secret before it signs along until this time.
    previous_sealed_secret: str | None = None
    previous_until: int | None = None
    status: WebhookStatus = WebhookStatus.ENABLED
    disabled_reason: str | None = None
    disabled_at: int | None = None
    #: The first failure since something went well, and the same moment on the running clock.
    failing_since: int | None = None
    failing_from: int | None = None
    last_success_at: int | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one endpoint."""

    id: str
    webhook: str
    escrow: EscrowId
    #: Cursor, id and type of the entry in the log.
    cursor: int
    event: str
    type: str
    created_at: int
    status: DeliveryStatus = DeliveryStatus.PENDING
    #: How often it was tried at all.
    attempts: int = 0
    #: How often it failed since it was last due at once. The pause to the next try grows with it.
    failures: int = 0
    #: On the work clock (:mod:`escrowd.domain.service_clock`); ``None`` once it was delivered.
    next_attempt_at: int | None = None
    last_attempt_at: int | None = None
    #: Status of the last answer; ``None`` where none came.
    last_status: int | None = None
    last_error: str | None = None
    delivered_at: int | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What has not been delivered yet, and how many endpoints are switched off."""

    pending: int
    #: When the oldest of it happened that is for an endpoint that is not switched off.
    oldest_pending: int | None
    disabled: int
    now: int
