"""Prometheus metrics of webhooks."""

import asyncio
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from escrowd.domain.errors import EscrowdError
from escrowd.domain.webhooks import Backlog
from escrowd.service.webhooks.courier import DeliveryCounters
from escrowd.service.webhooks.ports import WebhookStore

log = structlog.get_logger()

#: Seconds between two looks at what waits.
INTERVAL: Final = 15.0


class BacklogWatch:
    """Looks regularly at what has not been delivered, while it is entered with ``async with``.

    Prometheus asks without waiting, and the database has to be waited for.
    """

    def __init__(self, store: WebhookStore, interval: float = INTERVAL) -> None:
        self.backlog = Backlog(pending=0, oldest_pending=None, disabled=0, now=0)
        self._store = store
        self._interval = interval
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._look_regularly(), name="webhook backlog")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> None:
        """Look once."""
        async with self._store.reading() as tx:
            self.backlog = await tx.webhooks.backlog()

    async def _look_regularly(self) -> None:
        while True:
            try:
                await self.look()
            except EscrowdError as error:
                # What was seen last stays: a gap in a graph says no more.
                log.warning("webhook.backlog_unknown", error=str(error))
            await asyncio.sleep(self._interval)


class WebhookCollector(Collector):
    """Reads what was counted when Prometheus asks, so the two cannot drift apart."""

    def __init__(self, counters: DeliveryCounters, watch: BacklogWatch) -> None:
        self._counters = counters
        self._watch = watch

    @override
    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of this moment."""
        tries = CounterMetricFamily("escrowd_webhook_deliveries", "Tries to deliver an event", labels=["outcome"])
        tries.add_metric(["ok"], self._counters.delivered)
        tries.add_metric(["failed"], self._counters.failed)
        yield tries
        backlog = self._watch.backlog
        age = 0.0 if backlog.oldest_pending is None else max(0.0, (backlog.now - backlog.oldest_pending) / 1000)
        for name, help_text, value in (
            ("pending", "Events that an endpoint has not got yet", backlog.pending),
            ("oldest_pending_seconds", "Age of the oldest that is for an endpoint which is switched on", age),
            ("disabled", "Endpoints that are switched off", backlog.disabled),
        ):
            yield GaugeMetricFamily(f"escrowd_webhook_{name}", help_text, value=value)
