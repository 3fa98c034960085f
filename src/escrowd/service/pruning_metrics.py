"""Prometheus metrics of what was removed from the store."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from escrowd.domain.retention import Prunable


class PruningCollector(Collector):
    """Reads what was counted when Prometheus asks, so the two cannot drift apart. ``removed`` is that of a pruner."""

    def __init__(self, removed: Mapping[Prunable, int]) -> None:
        self._removed = removed

    @override
    def collect(self) -> Iterator[Metric]:
        """Yield the metric of this moment."""
        rows = CounterMetricFamily("escrowd_pruned_rows", "Old rows that were removed from the store", labels=["table"])
        for what, count in self._removed.items():
            rows.add_metric([what], count)
        yield rows
