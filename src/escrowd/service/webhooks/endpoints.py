"""What integrators do with their endpoints. Each call works in the transaction of whoever calls."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from escrowd.domain.conflicts import NoSuchDelivery, NoSuchWebhook
from escrowd.domain.identifiers import RANDOM_BYTES, Prefix, make_identifier
from escrowd.domain.secret import Secret
from escrowd.domain.webhooks import EVENT_TYPES, Delivery, DeliveryStatus, Webhook, WebhookStatus
from escrowd.service.payouts.journal import Sealer
from escrowd.service.webhooks.errors import UnknownEventType, UnusableOverlap, WebhookIsOff
from escrowd.service.webhooks.ports import WebhookTransaction
from escrowd.service.webhooks.settings import WebhookSettings
from escrowd.service.webhooks.signing import new_secret, secret_purpose
from escrowd.service.webhooks.urls import checked_url

#: Seconds for which the old secret signs along, and the most that it may.
USUAL_OVERLAP: Final = 24 * 3600
LONGEST_OVERLAP: Final = 30 * 24 * 3600
MOST_IN_A_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class WithSecret:
    """An endpoint with its secret, which is shown this once."""

    webhook: Webhook
    secret: Secret


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be different. What is ``None`` stays."""

    url: str | None = None
    types: Sequence[str] | None = None
    description: str | None = None
    enabled: bool | None = None


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """Deliveries, the newest first. ``next`` goes on behind them; ``None`` where they are the last."""

    items: tuple[Delivery, ...]
    next: int | None


class WebhookEndpoints:
    """The endpoints of this service."""

    def __init__(self, sealer: Sealer, settings: WebhookSettings | None = None) -> None:
        self._sealer = sealer
        self._settings = settings or WebhookSettings()

    async def create(
        self, tx: WebhookTransaction, url: str, types: Sequence[str] = (), description: str = ""
    ) -> WithSecret:
        """Add an endpoint, to which all events are sent from now on, or those of some types.

        Raises:
            UnusableUrl: it is none that events are sent to.
            UnknownEventType: there are no events of such a type.
            TooManyWebhooks: there are as many as there may be.

        """
        now = (await tx.clock.now()).utc
        secret, id_ = new_secret(), make_identifier(Prefix.WEBHOOK, now, secrets.token_bytes(RANDOM_BYTES))
        webhook = Webhook(
            id=id_,
            url=self._usable(url),
            types=_known(types),
            description=description,
            created_at=now,
            sealed_secret=self._sealer.seal(secret, secret_purpose(id_)),
        )
        await tx.webhooks.add(webhook, self._settings.most_endpoints)
        return WithSecret(webhook, secret)

    async def get(self, tx: WebhookTransaction, webhook: str) -> Webhook:
        """Return an endpoint. Raises NoSuchWebhook."""
        return _there(await tx.webhooks.find(webhook), webhook)

    async def update(self, tx: WebhookTransaction, webhook: str, change: Change) -> Webhook:
        """Change an endpoint; types count for events from now on.

        One that is switched on again, or gets another URL, is sent at once what it has not got.

        Raises:
            NoSuchWebhook: there is none of this id.
            UnusableUrl, UnknownEventType: see :meth:`create`.

        """
        before = _there(await tx.webhooks.find(webhook, for_update=True), webhook)
        after = replace(
            before,
            url=before.url if change.url is None else self._usable(change.url),
            types=before.types if change.types is None else _known(change.types),
            description=before.description if change.description is None else change.description,
        )
        if change.enabled is not None:
            after = _switched(after, (await tx.clock.now()).utc, on=change.enabled)
        begins_anew = (after.status, after.url) != (before.status, before.url)
        if begins_anew:
            after = replace(after, failing_since=None, failing_from=None)
        await tx.webhooks.save(after)
        if begins_anew and after.status is WebhookStatus.ENABLED:
            await tx.webhooks.due_at_once(webhook)
        return after

    async def delete(self, tx: WebhookTransaction, webhook: str) -> None:
        """Remove an endpoint and its deliveries. Raises NoSuchWebhook."""
        _there(await tx.webhooks.find(webhook, for_update=True), webhook)
        await tx.webhooks.remove(webhook)

    async def rotate_secret(self, tx: WebhookTransaction, webhook: str, overlap: int = USUAL_OVERLAP) -> WithSecret:
        """Give an endpoint a new secret. The one before it signs along for ``overlap`` seconds, any older one no more.

        Raises:
            NoSuchWebhook: there is none of this id.
            UnusableOverlap: the overlap is negative or too long.

        """
        if not 0 <= overlap <= LONGEST_OVERLAP:
            raise UnusableOverlap(f"the old secret may sign along for 0 to {LONGEST_OVERLAP} seconds, not {overlap}")
        before = _there(await tx.webhooks.find(webhook, for_update=True), webhook)
        secret, until = new_secret(), (await tx.clock.now()).utc + 1000 * overlap
        after = replace(
            before,
            sealed_secret=self._sealer.seal(secret, secret_purpose(webhook)),
            previous_sealed_secret=before.sealed_secret if overlap else None,
            previous_until=until if overlap else None,
        )
        await tx.webhooks.save(after)
        return WithSecret(after, secret)

    async def deliveries(
        self,
        tx: WebhookTransaction,
        webhook: str,
        status: DeliveryStatus | None = None,
        before: int | None = None,
        limit: int = MOST_IN_A_PAGE,
    ) -> DeliveryPage:
        """Return deliveries to an endpoint, the newest event first. Raises NoSuchWebhook.

        ``before`` is the ``next`` of the page before; ``limit`` is 100 at most.
        """
        await self.get(tx, webhook)
        limit = max(1, min(limit, MOST_IN_A_PAGE))
        found = await tx.webhooks.page(webhook, status, before, limit + 1)
        items = found[:limit]
        return DeliveryPage(items, items[-1].cursor if len(found) > limit else None)

    async def redeliver(self, tx: WebhookTransaction, webhook: str, delivery: str) -> Delivery:
        """Let an event be sent now, also one that was delivered before; it keeps its id, and its place in the order.

        What the endpoint has not got of the same escrow from before is tried now, too: it is never passed by.

        Raises:
            NoSuchWebhook, NoSuchDelivery: there is none of this id.
            WebhookIsOff: nothing is sent to this endpoint.

        """
        endpoint = _there(await tx.webhooks.find(webhook, for_update=True), webhook)
        found = await tx.webhooks.delivery(webhook, delivery)
        if found is None:
            raise NoSuchDelivery(
                f"there is no delivery {delivery} to {webhook}; if it was taken long ago it is no longer listed, "
                "and its event is still to be had from GET /v1/events"
            )
        if endpoint.status is WebhookStatus.DISABLED:
            raise WebhookIsOff(f"nothing is sent to {webhook} ({endpoint.disabled_reason}): switch it on first")
        due = await tx.clock.work_now()
        again = replace(found, status=DeliveryStatus.PENDING, next_attempt_at=due, failures=0)
        await tx.webhooks.save_delivery(again)
        await tx.webhooks.due_at_once(webhook, found.escrow, found.cursor)
        return again

    def _usable(self, url: str) -> str:
        return str(checked_url(url, self._settings.allowed_networks))


# ---------------------------------------------------------------------------------------------------------------------

SWITCHED_OFF: Final = "switched off by request"


def _there(found: Webhook | None, webhook: str) -> Webhook:
    if found is None:
        raise NoSuchWebhook(f"there is no webhook {webhook}")
    return found


def _known(types: Sequence[str]) -> tuple[str, ...]:
    unknown = sorted(set(types) - EVENT_TYPES)
    if unknown:
        known = ", ".join(sorted(EVENT_TYPES))
        raise UnknownEventType(f"there are no events of the type {', '.join(map(repr, unknown))}; there are {known}")
    return tuple(sorted(set(types)))


def _switched(webhook: Webhook, now: int, *, on: bool) -> Webhook:
    if on is (webhook.status is WebhookStatus.ENABLED):
        return webhook
    if on:
        return replace(webhook, status=WebhookStatus.ENABLED, disabled_reason=None, disabled_at=None)
    return replace(webhook, status=WebhookStatus.DISABLED, disabled_reason=SWITCHED_OFF, disabled_at=now)
