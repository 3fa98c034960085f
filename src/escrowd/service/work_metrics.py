"""Prometheus metrics of the worker."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from escrowd.service.worker import Worker


class WorkCollector(Collector):
    """Reads the counters of the worker when Prometheus asks, so the two cannot drift apart."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    @override
    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of this moment."""
        counters = self._worker.counters
        yield GaugeMetricFamily("escrowd_work_running", "Steps under way", value=len(self._worker.running))
        for name, help_text, value in (
            ("steps", "Steps that went well", counters.steps),
            ("failures", "Steps that failed and are tried again", counters.failures),
            ("leases_lost", "Steps that were cut off, or overtaken by another node", counters.leases_lost),
        ):
            yield CounterMetricFamily(f"escrowd_work_{name}", help_text, value=value)
