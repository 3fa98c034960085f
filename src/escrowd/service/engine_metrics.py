"""Prometheus metrics of the Monero underneath: an announced hard fork, and whether new escrows are taken."""

from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from escrowd.service.engine import EngineState


class EngineCollector(Collector):
    """Reads the state of the engine watch when Prometheus asks. Those of a fork are there while one is announced."""

    def __init__(self, state: Callable[[], EngineState], *, is_draining: bool) -> None:
        self._state = state
        self._is_draining = is_draining

    @override
    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of this moment."""
        state = self._state()
        rows = [
            ("draining", "Whether new escrows are refused by escrows.accept_new", int(self._is_draining)),
            ("engine_supported", "Whether new escrows may be begun on this Monero and chain", int(state.is_supported)),
        ]
        if state.fork is not None and state.blocks_left is not None:
            rows += [
                ("fork_height", "First block under the rules of the announced hard fork", state.fork.height),
                ("fork_blocks_left", "Blocks until the announced hard fork", state.blocks_left),
            ]
        for name, help_text, value in rows:
            yield GaugeMetricFamily(f"escrowd_{name}", help_text, value=value)
