"""What can be asked and done about webhooks, one call each."""

from collections.abc import Iterable
from typing import Final, Literal

from escrowd.sdk.calls import Call, changing, checked, deleting, part, posting, reading, several
from escrowd.wire.webhooks import (
    Delivery,
    DeliveryPage,
    NewWebhook,
    Rotation,
    Webhook,
    WebhookChange,
    WebhookList,
    WebhookWithSecret,
)

_WEBHOOKS: Final = "/v1/webhooks"


def create_webhook(
    *, url: str, types: str | Iterable[str] = (), description: str = "", idempotency_key: str | None = None
) -> Call[WebhookWithSecret]:
    """Have events sent to a URL: those of these types, or all. The answer shows the secret this once.

    >>> client.webhooks.create(url="https://shop.example/escrow-events", types=["escrow.funded"])
    """
    body = checked(NewWebhook, url=url, types=several(types), description=description)
    return posting(WebhookWithSecret, _WEBHOOKS, body, idempotency_key)


def all_webhooks() -> Call[WebhookList]:
    """Return all endpoints."""
    return reading(WebhookList, _WEBHOOKS)


def get_webhook(webhook_id: str) -> Call[Webhook]:
    """Return an endpoint."""
    return reading(Webhook, f"{_WEBHOOKS}/{part(webhook_id)}")


def update_webhook(
    webhook_id: str,
    *,
    url: str | None = None,
    types: str | Iterable[str] | None = None,
    description: str | None = None,
    enabled: bool | None = None,
) -> Call[Webhook]:
    """Change an endpoint, or switch it off or on. What is left out stays; ``types=()`` means all types."""
    body = checked(
        WebhookChange,
        url=url,
        types=None if types is None else several(types),
        description=description,
        enabled=enabled,
    )
    return changing(Webhook, f"{_WEBHOOKS}/{part(webhook_id)}", body)


def delete_webhook(webhook_id: str) -> Call[None]:
    """Remove an endpoint, and what was still to be sent to it."""
    return deleting(f"{_WEBHOOKS}/{part(webhook_id)}")


def rotate_secret(
    webhook_id: str, *, overlap_seconds: int | None = None, idempotency_key: str | None = None
) -> Call[WebhookWithSecret]:
    """Give an endpoint a new secret. The old one signs along for the overlap: by default a day."""
    body = checked(Rotation, overlap_seconds=overlap_seconds)
    return posting(WebhookWithSecret, f"{_WEBHOOKS}/{part(webhook_id)}/rotate-secret", body, idempotency_key)


def delivery_page(
    webhook_id: str,
    *,
    status: Literal["pending", "delivered"] | None = None,
    cursor: str | None = None,
    limit: int | None = None,
) -> Call[DeliveryPage]:
    """Return one page of what was sent to an endpoint or is to be, the newest first."""
    path = f"{_WEBHOOKS}/{part(webhook_id)}/deliveries"
    return reading(DeliveryPage, path, status=status, cursor=cursor, limit=limit)


def redeliver(webhook_id: str, delivery_id: str, *, idempotency_key: str | None = None) -> Call[Delivery]:
    """Send an event to an endpoint once more, now."""
    path = f"{_WEBHOOKS}/{part(webhook_id)}/deliveries/{part(delivery_id)}/redeliver"
    return posting(Delivery, path, None, idempotency_key)
