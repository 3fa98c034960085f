"""How endpoints and deliveries are shown."""

from datetime import datetime

from escrowd.domain.webhooks import Delivery, Webhook
from escrowd.service.ports import Clock
from escrowd.service.webhooks.endpoints import WithSecret
from escrowd.wire import webhooks as wire
from escrowd.wire.values import timestamp


def webhook_shown(webhook: Webhook, pending: int) -> wire.Webhook:
    """Show an endpoint for which so much waits."""
    return wire.Webhook(
        id=webhook.id,
        url=webhook.url,
        types=webhook.types,
        description=webhook.description,
        status=webhook.status.value,
        disabled_reason=webhook.disabled_reason,
        disabled_at=_time(webhook.disabled_at),
        failing_since=_time(webhook.failing_since),
        last_success_at=_time(webhook.last_success_at),
        pending=pending,
        created_at=timestamp(webhook.created_at),
    )


def with_secret_shown(made: WithSecret) -> wire.WebhookWithSecret:
    """Show an endpoint with its secret, this once."""
    shown = webhook_shown(made.webhook, 0)
    plain = {name: getattr(shown, name) for name in wire.Webhook.model_fields}
    return wire.WebhookWithSecret(**plain, secret=made.secret.reveal())


async def work_ahead(clock: Clock) -> int:
    """Return how many milliseconds the work clock is ahead of the wall clock."""
    return await clock.work_now() - (await clock.now()).utc


def delivery_shown(delivery: Delivery, ahead: int) -> wire.Delivery:
    """Show one event on its way to one endpoint; ``ahead`` is by how much the work clock is ahead of the wall clock."""
    due = delivery.next_attempt_at
    return wire.Delivery(
        id=delivery.id,
        event=delivery.event,
        type=delivery.type,
        escrow=delivery.escrow,
        status=delivery.status.value,
        attempts=delivery.attempts,
        created_at=timestamp(delivery.created_at),
        next_attempt_at=_time(None if due is None else due - ahead),
        last_attempt_at=_time(delivery.last_attempt_at),
        last_status=delivery.last_status,
        last_error=delivery.last_error,
        delivered_at=_time(delivery.delivered_at),
    )


# ---------------------------------------------------------------------------------------------------------------------


def _time(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else timestamp(milliseconds)
