"""Puts together the delivery of webhooks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from escrowd.domain.identifiers import EscrowId
from escrowd.service.webhooks.courier import WebhookCourier
from escrowd.service.webhooks.metrics import BacklogWatch, WebhookCollector
from escrowd.service.webhooks.sending import WebhookSender
from escrowd.service.webhooks.settings import WebhookSettings
from escrowd.service.worker import RowHandler, WorkClaim
from escrowd.store.store import SqlStore
from escrowd.wallets.vault import Vault


@asynccontextmanager
async def webhook_handler(
    store: SqlStore, vault: Vault, settings: WebhookSettings, metrics: CollectorRegistry
) -> AsyncIterator[RowHandler]:
    """Make what carries out the work rows of webhooks, until the end of the block."""
    async with WebhookSender(settings) as sender, BacklogWatch(store) as watch:
        courier = WebhookCourier(store, sender, vault, settings)
        metrics.register(WebhookCollector(courier.counters, watch))
        yield handler_of(courier)


def handler_of(courier: WebhookCourier) -> RowHandler:
    """Let a courier carry out work rows, whose subjects are an endpoint and an escrow."""

    async def carry_out(claim: WorkClaim) -> float | None:
        webhook, _, escrow = claim.subject.partition(":")
        return await courier.deliver(webhook, EscrowId(escrow), claim)

    return carry_out
