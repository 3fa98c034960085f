"""Prometheus metrics of the watcher."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from escrowd.chain.health import MonitorCounters, MonitorHealth, Trouble


class ChainCollector(Collector):
    """Reads the state of the monitor when Prometheus asks, so the two cannot drift apart."""

    def __init__(self, health: Callable[[], MonitorHealth], counters: MonitorCounters) -> None:
        self._health = health
        self._counters = counters

    @override
    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of this moment."""
        health = self._health()
        trouble = GaugeMetricFamily("escrowd_chain_trouble", "Why the watcher does not see all", labels=("kind",))
        for kind in Trouble:
            trouble.add_metric((kind,), health.trouble is kind)
        yield trouble
        addresses = GaugeMetricFamily("escrowd_chain_addresses", "Watched addresses by lane", labels=("lane",))
        for lane, count in (("active", health.active), ("resting", health.resting)):
            addresses.add_metric((lane,), count)
        yield addresses
        for name, help_text, value in (
            ("height", "Blocks that were looked through", health.height),
            ("age_seconds", "Time since a look at the chain succeeded", health.age),
            ("unreadable_pool_transactions", "Transactions of the pool that cannot be read", health.unreadable_in_pool),
            ("fallback", "Whether wallets are asked in place of the watcher", health.is_falling_back),
        ):
            yield GaugeMetricFamily(f"escrowd_chain_{name}", help_text, value=value)
        if health.lag is not None:
            yield GaugeMetricFamily("escrowd_chain_lag_blocks", "Blocks not looked through yet", value=health.lag)
        yield from self._collect_counters()

    def _collect_counters(self) -> Iterator[Metric]:
        counters = self._counters
        for name, help_text, value in (
            ("looks", "Looks at chain and pool", counters.looks),
            ("failures", "Looks that failed", counters.failures),
            ("wake_ups", "Notifications of the daemon that led to a look", counters.wake_ups),
            ("fallback_reads", "Wallets asked in place of the watcher", counters.fallback_reads),
            (
                "fallback_failures",
                "Wallets asked in place of the watcher that did not answer",
                counters.fallback_failures,
            ),
            ("look_seconds", "Time spent looking", counters.seconds),
        ):
            yield CounterMetricFamily(f"escrowd_chain_{name}", help_text, value=value)
