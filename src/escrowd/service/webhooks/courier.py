"""Delivers what is pending for one endpoint about one escrow, in order, never past a failure.

Whoever claims the work row of the two runs this, and nobody else at the same time. What came of a try is stored under
the claim: after a crash in between the event is sent once more, with the same ``webhook-id`` and the same bytes.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final

import structlog

from escrowd.domain.cause import caused_by
from escrowd.domain.escrow.facts import Moment
from escrowd.domain.escrow.history import LogEntry
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.webhooks import Delivery, DeliveryStatus, Webhook, WebhookStatus
from escrowd.service.event_view import event_json
from escrowd.service.payouts.journal import Sealer
from escrowd.service.ports import Claim
from escrowd.service.webhooks.ports import Sender, WebhookStore, WebhookTransaction
from escrowd.service.webhooks.schedule import pause_after
from escrowd.service.webhooks.sending import Outcome
from escrowd.service.webhooks.settings import WebhookSettings
from escrowd.service.webhooks.signing import signed_headers, valid_secrets
from escrowd.service.webhooks.turns import PATIENCE, Turns

log = structlog.get_logger()

#: Seconds after which a step begins no further delivery, so that others get their turn, and the service its end.
STEP: Final = 5.0


@dataclass(slots=True)
class DeliveryCounters:
    """What was delivered since the start. Every try counts."""

    delivered: int = 0
    failed: int = 0


class WebhookCourier:
    """Delivers events to endpoints. ``chance`` draws numbers from 0 to 1."""

    def __init__(
        self,
        store: WebhookStore,
        sender: Sender,
        sealer: Sealer,
        settings: WebhookSettings | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.counters = DeliveryCounters()
        self._store = store
        self._sender = sender
        self._sealer = sealer
        self._settings = settings or WebhookSettings()
        self._chance = chance
        self._turns = Turns(max(1, self._settings.at_once // 2))

    async def deliver(self, webhook: str, escrow: EscrowId, claim: Claim) -> float | None:
        """Deliver what is due, and return in how many seconds to look again (``None``: when woken).

        Raises:
            LeaseLost: the claim is no longer ours; what came of the last try was not stored.

        """
        ends = time.monotonic() + STEP
        while (task := await self._next(webhook, escrow)) is not None:
            if task.seconds_left > 0:
                return task.seconds_left
            async with self._turns.turn(webhook, PATIENCE if task.webhook.failing_since is None else 0.0) as has_turn:
                if not has_turn:
                    return self._settings.timeout * (1.0 + self._chance())
                pause = await self._try(task, claim)
            if pause is not None or time.monotonic() >= ends:
                return pause or 0.0
        return None

    async def _next(self, webhook: str, escrow: EscrowId) -> "_Task | None":
        async with self._store.reading() as tx:
            found = await tx.webhooks.find(webhook)
            if found is None or found.status is WebhookStatus.DISABLED:
                return None
            head = await tx.webhooks.next_delivery(webhook, escrow)
            return _Task(found, *head, (await tx.clock.now()).utc, await tx.clock.work_now()) if head else None

    async def _try(self, task: "_Task", claim: Claim) -> float | None:
        """Send one event, store what came of it, and return the pause before the next try if it was not taken."""
        body = event_json(task.entry)
        signing = valid_secrets(task.webhook, self._sealer, task.now)
        headers = signed_headers(task.entry.id, body, signing, task.now)
        with caused_by(task.entry.cause):
            claim.check()
            outcome = await self._sender.send(task.webhook.url, body, headers)
            self._tell(task, outcome)
            async with self._store.transaction() as tx:
                await tx.hold_claim(claim)
                return await self._note(tx, task.delivery, outcome)

    async def _note(self, tx: WebhookTransaction, delivery: Delivery, outcome: Outcome) -> float | None:
        moment = await tx.clock.now()
        if outcome.is_ok:
            await tx.webhooks.went_well(delivery.webhook, moment.utc)
            await tx.webhooks.save_delivery(_delivered(delivery, outcome, moment.utc))
            return None
        # Whoever changes an endpoint, or asks for an event now, holds the endpoint: so they come before us or after.
        await tx.webhooks.find(delivery.webhook, for_update=True)
        present = await tx.webhooks.delivery(delivery.webhook, delivery.id)
        if present is not None and present.next_attempt_at != delivery.next_attempt_at:
            # It was asked for anew during the try, perhaps from another URL, which is not to blame for what came of it.
            await tx.webhooks.save_delivery(_tried(present, outcome, moment.utc))
            return 0.0
        pause = pause_after(delivery.failures + 1, self._chance())
        webhook = await tx.webhooks.went_wrong(delivery.webhook, moment)
        due = await tx.clock.work_now() + int(1000 * pause)
        await tx.webhooks.save_delivery(_failed(delivery, outcome, moment.utc, due))
        reason = self._why_off(webhook, outcome, moment) if webhook else None
        if webhook and reason:
            off = replace(webhook, status=WebhookStatus.DISABLED, disabled_reason=reason, disabled_at=moment.utc)
            await tx.webhooks.save(off)
            log.error("webhook.disabled", webhook=webhook.id, reason=reason)
        return pause

    def _why_off(self, webhook: Webhook, outcome: Outcome, moment: Moment) -> str | None:
        if webhook.status is WebhookStatus.DISABLED:
            return None
        if outcome.status == HTTPStatus.GONE:
            return "the receiver answered 410 Gone"
        # On the running clock: for an outage of the service itself the receiver is not to blame.
        since = webhook.failing_from if webhook.failing_from is not None else moment.running
        if moment.running - since < self._settings.disable_after * 1000:
            return None
        return f"nothing was taken for {self._settings.disable_after / _DAY:g} days; the last try: {outcome.error}"

    def _tell(self, task: "_Task", outcome: Outcome) -> None:
        # Never the URL: it may hold a secret of the receiver's.
        told = {
            "webhook": task.webhook.id,
            "escrow": task.entry.escrow,
            "delivery": task.delivery.id,
            "attempt": task.delivery.attempts + 1,
            "status": outcome.status,
            "milliseconds": outcome.milliseconds,
        }
        if outcome.is_ok:
            self.counters.delivered += 1
            log.info("webhook.delivered", **told)
        else:
            self.counters.failed += 1
            log.warning("webhook.failed", **told, error=outcome.error)


# ---------------------------------------------------------------------------------------------------------------------

_DAY: Final = 24 * 3600


@dataclass(frozen=True, slots=True)
class _Task:
    """A delivery that is next, and the time: in milliseconds since 1970, and on the work clock."""

    webhook: Webhook
    delivery: Delivery
    entry: LogEntry
    now: int
    work_now: int

    @property
    def seconds_left(self) -> float:
        return ((self.delivery.next_attempt_at or 0) - self.work_now) / 1000


def _delivered(delivery: Delivery, outcome: Outcome, now: int) -> Delivery:
    return replace(
        delivery,
        status=DeliveryStatus.DELIVERED,
        attempts=delivery.attempts + 1,
        failures=0,
        next_attempt_at=None,
        last_attempt_at=now,
        last_status=outcome.status,
        last_error=None,
        delivered_at=now,
    )


def _failed(delivery: Delivery, outcome: Outcome, now: int, due: int) -> Delivery:
    return replace(_tried(delivery, outcome, now), failures=delivery.failures + 1, next_attempt_at=due)


def _tried(delivery: Delivery, outcome: Outcome, now: int) -> Delivery:
    return replace(
        delivery,
        attempts=delivery.attempts + 1,
        last_attempt_at=now,
        last_status=outcome.status,
        last_error=outcome.error,
    )
