"""All metrics written down for people, from the collectors that answer Prometheus."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, cast

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from escrowd.api.changes import Changes
from escrowd.api.http_metrics import HttpMetrics, StateMetrics
from escrowd.bootstrap.api import WaitingCollector
from escrowd.chain.health import MonitorCounters, MonitorHealth
from escrowd.chain.metrics import ChainCollector
from escrowd.domain.forks import AnnouncedFork
from escrowd.domain.retention import Prunable
from escrowd.monero.transport import CallRecord, Endpoint
from escrowd.monero.versions import NEWEST_FORK
from escrowd.service.engine import EngineState
from escrowd.service.engine_metrics import EngineCollector
from escrowd.service.pruning_metrics import PruningCollector
from escrowd.service.webhooks.courier import DeliveryCounters
from escrowd.service.webhooks.metrics import BacklogWatch, WebhookCollector
from escrowd.service.webhooks.ports import WebhookStore
from escrowd.service.work_metrics import WorkCollector
from escrowd.service.worker import Worker, WorkQueue
from escrowd.wallets.metrics import CacheMetrics, RpcMetrics, SessionCollector, StockCollector
from escrowd.wallets.pool import PoolStats
from escrowd.wallets.stats import SessionCounters, SessionStats
from escrowd.wallets.stock import StockStats


@dataclass(frozen=True, slots=True)
class DescribedMetric:
    """One metric: its name as Prometheus shows it, whether a counter, gauge or histogram, its labels, its meaning."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


def described_metrics() -> tuple[DescribedMetric, ...]:
    """Return what a node of the service tells Prometheus, by name."""
    registry = CollectorRegistry()
    _register_all(registry)
    return tuple(sorted((_described(each) for each in registry.collect()), key=lambda each: each.name))


def metrics_page() -> str:
    """Return the whole reference page, in Markdown."""
    return "\n".join(
        [
            "<!-- Made by scripts/make-docs from the collectors. Edit what they say of themselves instead. -->",
            "# Metrics",
            "",
            "What `/metrics` answers, for Prometheus. Times are seconds. Of a histogram there are `_bucket`, with the",
            "label `le`, `_sum` and `_count`. What to look at first, and what to do then, is told in",
            "[operating](../operating.md#metrics-and-alerts).",
            "",
            "| metric | kind | labels | meaning |",
            "|---|---|---|---|",
            *(_row(each) for each in described_metrics()),
            "",
        ]
    )


# ---------------------------------------------------------------------------------------------------------------------

#: A node that has just started and has nothing to do.
_NO_SESSIONS: Final = SessionStats(
    active=0, leased=0, opening=0, closing=0, waiting=0, max_sessions=1, oldest_age=0, mean_age=0,
    counters=SessionCounters(),
)  # fmt: skip
_NO_PROCESSES: Final = PoolStats(in_use=0, in_reserve=0, attached=0, started=0, lost=0)
_NO_STOCK: Final = StockStats(ready=0, wanted=0, making=0, made=0, failed=0)
_IN_STEP: Final = MonitorHealth(
    trouble=None, lag=0, age=0, error=None, is_falling_back=False, height=0, active=0, resting=0
)
_BEFORE_A_FORK: Final = EngineState(height=0, fork=AnnouncedFork(NEWEST_FORK + 1, 1))


def _register_all(registry: CollectorRegistry) -> None:
    """Register what a node registers. What counts by label shows nothing before something was counted."""
    CacheMetrics(registry)
    RpcMetrics(registry).observe(CallRecord(Endpoint("127.0.0.1", 1), "get_info", 0.0, "ok"))
    HttpMetrics(registry).count("GET", "/", 200, 0.0)
    StateMetrics(registry).note({}, 0, is_ready=True)
    # Nobody enters these two, so the one asks no queue and the other no store.
    worker = Worker(cast("WorkQueue", None), {})
    backlog = BacklogWatch(cast("WebhookStore", None))
    for collector in (
        SessionCollector(lambda: _NO_SESSIONS, lambda: _NO_PROCESSES),
        ChainCollector(lambda: _IN_STEP, MonitorCounters()),
        StockCollector(lambda: _NO_STOCK),
        WorkCollector(worker),
        WebhookCollector(DeliveryCounters(), backlog),
        PruningCollector(dict.fromkeys(Prunable, 0)),
        WaitingCollector(Changes(1)),
        EngineCollector(lambda: _BEFORE_A_FORK, is_draining=False),
    ):
        registry.register(collector)


def _described(metric: Metric) -> DescribedMetric:
    name = f"{metric.name}_total" if metric.type == "counter" else metric.name
    return DescribedMetric(name, metric.type, tuple(sorted(_labels(metric))), metric.documentation)


def _labels(metric: Metric) -> Iterator[str]:
    return iter({label for sample in metric.samples for label in sample.labels} - {"le"})


def _row(metric: DescribedMetric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.meaning} |"
