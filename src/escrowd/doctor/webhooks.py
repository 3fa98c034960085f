"""Checks of webhooks whose receivers do not hear of what happens. A URL may hold a secret, so none is told."""

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Select, select, text

from escrowd.doctor.check import Check, Need, Surroundings
from escrowd.doctor.findings import Finding, warning
from escrowd.domain.webhooks import WebhookStatus
from escrowd.service.webhooks.endpoints import SWITCHED_OFF
from escrowd.store.schema_webhooks import deliveries, webhooks

DISABLED: Final = warning(
    "webhooks.disabled",
    "the webhook {webhook} was switched off, and what happens waits for it: {reason}",
    "see that its receiver takes what it is sent, then run: escrowd webhooks enable {webhook}",
)
BEHIND: Final = warning(
    "webhooks.behind",
    "the webhook {webhook} has not got what happened {hours} hours ago; the last try: {error}",
    "see that the service runs and its receiver takes what it is sent; "
    "'escrowd webhooks deliveries {webhook} --status pending' shows what waits",
)


# ---------------------------------------------------------------------------------------------------------------------


async def _disabled(around: Surroundings) -> Iterable[Finding]:
    """Look for endpoints that were switched off because of failures. Those that a person switched off may stay so."""
    query = (
        select(webhooks.c.id, webhooks.c.disabled_reason)
        .where(webhooks.c.status == str(WebhookStatus.DISABLED), webhooks.c.disabled_reason != SWITCHED_OFF)
        .order_by(webhooks.c.created_at, webhooks.c.id)
    )
    async with around.opened.reading() as session:
        off = (await session.connection.execute(query)).all()
    return [DISABLED.found(webhook=each.id, reason=each.disabled_reason) for each in off]


async def _behind(around: Surroundings) -> Iterable[Finding]:
    """Look for the oldest event that waits for each endpoint which is switched on, and how its last try ended."""
    is_on = webhooks.c.status == str(WebhookStatus.ENABLED)
    query = select(webhooks.c.id).where(is_on).order_by(webhooks.c.created_at, webhooks.c.id)
    async with around.opened.reading() as session:
        now = await session.now()
        # There are a few dozen at most.
        ids = (await session.connection.execute(query)).scalars().all()
        oldest = [(await session.connection.execute(_oldest_of(each))).one_or_none() for each in ids]
    return [
        BEHIND.found(webhook=each.webhook, hours=(now - each.created_at) // _HOUR, error=each.last_error or "none yet")
        for each in oldest
        if each is not None and now - each.created_at > 1000 * around.thresholds.delivery
    ]


def _oldest_of(webhook: str) -> Select[Any]:
    # The status is written out, so that SQLite knows that its partial index will do.
    waiting = deliveries.c.webhook == webhook, text("status = 'pending'")
    columns = (deliveries.c.webhook, deliveries.c.created_at, deliveries.c.last_error)
    return select(*columns).where(*waiting).order_by(deliveries.c.created_at, deliveries.c.cursor).limit(1)


#: In milliseconds.
_HOUR: Final = 3_600_000
_SCHEMA: Final = frozenset({Need.SCHEMA})

CHECKS: Final = (
    Check("webhooks are switched on", _disabled, (DISABLED,), _SCHEMA),
    Check("webhooks are told in time", _behind, (BEHIND,), _SCHEMA),
)
