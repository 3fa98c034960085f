"""Webhook endpoints and deliveries on the wire."""

from typing import Annotated, Literal

from pydantic import Field

from escrowd.wire.values import Answer, Request, ShortText, Timestamp

EventTypes = Annotated[tuple[str, ...], Field(max_length=50, strict=False)]


class NewWebhook(Request):
    """Where events are sent to. Without types, all are."""

    url: Annotated[str, Field(min_length=1, max_length=2048)]
    types: EventTypes = ()
    description: ShortText = ""


class WebhookChange(Request):
    """What is to be different. What is left out stays."""

    url: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    types: EventTypes | None = None
    description: ShortText | None = None
    enabled: bool | None = None


class Rotation(Request):
    """For how long the old secret signs along with the new one."""

    overlap_seconds: Annotated[int, Field(ge=0, le=30 * 86400)] = 86400


class Webhook(Answer):
    """An endpoint."""

    id: str
    url: str
    types: tuple[str, ...]
    description: str
    status: Literal["enabled", "disabled"]
    #: Why and since when it is switched off.
    disabled_reason: str | None = None
    disabled_at: Timestamp | None = None
    #: Since when nothing went well.
    failing_since: Timestamp | None = None
    last_success_at: Timestamp | None = None
    pending: int = 0
    created_at: Timestamp


class WebhookWithSecret(Webhook):
    """An endpoint with its secret, which is shown this once."""

    secret: Annotated[str, Field(repr=False)]


class WebhookList(Answer):
    """All endpoints."""

    items: tuple[Webhook, ...]


class Delivery(Answer):
    """One event on its way to one endpoint."""

    id: str
    event: str
    type: str
    escrow: str
    status: Literal["pending", "delivered"]
    attempts: int
    created_at: Timestamp
    next_attempt_at: Timestamp | None = None
    last_attempt_at: Timestamp | None = None
    #: Status of the last answer; ``null`` where none came.
    last_status: int | None = None
    last_error: str | None = None
    delivered_at: Timestamp | None = None


class DeliveryPage(Answer):
    """Deliveries, the newest first."""

    items: tuple[Delivery, ...]
    next: str | None = None
