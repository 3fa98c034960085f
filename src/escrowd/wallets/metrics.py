"""Prometheus metrics of wallet sessions, wallet processes and RPC calls."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from escrowd.monero.transport import CallRecord
from escrowd.wallets.caches import RemadeCache
from escrowd.wallets.pool import PoolStats
from escrowd.wallets.stats import SessionStats
from escrowd.wallets.stock import StockStats


class RpcMetrics:
    """Counts and times the calls to Monero servers, by method and outcome. Give :meth:`observe` to Connections."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "escrowd_rpc_seconds",
            "Time of calls to monerod and monero-wallet-rpc",
            ("method",),
            buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100),
            registry=registry,
        )
        self._calls = Counter(
            "escrowd_rpc_calls", "Calls to monerod and monero-wallet-rpc", ("method", "outcome"), registry=registry
        )

    def observe(self, record: CallRecord) -> None:
        """Take note of one finished call."""
        self._seconds.labels(record.method).observe(record.seconds)
        self._calls.labels(record.method, record.outcome).inc()


class CacheMetrics:
    """Counts the caches of wallets that did not open and were made anew."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._remade = Counter(
            "escrowd_wallet_caches_remade", "Caches of wallets that did not open and were made anew", registry=registry
        )

    def count(self, _remade: RemadeCache) -> None:
        """Count one of them."""
        self._remade.inc()


class SessionCollector(Collector):
    """Reads the state of the sessions and of the pool when Prometheus asks, so the two cannot drift apart."""

    def __init__(self, sessions: Callable[[], SessionStats], pool: Callable[[], PoolStats]) -> None:
        self._sessions = sessions
        self._pool = pool

    @override
    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of this moment."""
        yield from self._collect_sessions(self._sessions())
        yield from self._collect_pool(self._pool())

    def _collect_sessions(self, stats: SessionStats) -> Iterator[Metric]:
        phases = GaugeMetricFamily("escrowd_sessions", "Wallet sessions by phase", labels=("phase",))
        idle = stats.active - stats.leased - stats.opening - stats.closing
        for phase, count in (
            ("idle", idle), ("leased", stats.leased), ("opening", stats.opening), ("closing", stats.closing)
        ):  # fmt: skip
            phases.add_metric((phase,), count)
        yield phases
        yield GaugeMetricFamily("escrowd_sessions_max", "Sessions that may be open", value=stats.max_sessions)
        yield GaugeMetricFamily("escrowd_sessions_waiting", "Callers who wait for a lease", value=stats.waiting)
        yield GaugeMetricFamily("escrowd_session_oldest_seconds", "Age of the oldest session", value=stats.oldest_age)
        counters = stats.counters
        for name, help_text, value in (
            ("hits", "Leases of a session that was open", counters.hits),
            ("misses", "Leases that had to open a session", counters.misses),
            ("evictions", "Sessions closed to make room", counters.evictions),
            ("expirations", "Sessions closed because nobody used them", counters.expirations),
            ("adoptions", "Sessions taken over from running processes", counters.adoptions),
            ("repairs", "Sessions of which a wallet was opened again", counters.repairs),
            ("save_failures", "Sessions that could not be saved", counters.save_failures),
            ("refusals", "Leases refused for lack of room or time", counters.refusals),
            ("opened", "Sessions opened", counters.sessions_opened),
            ("open_seconds", "Time spent opening sessions", counters.open_seconds_total),
        ):
            yield CounterMetricFamily(f"escrowd_session_{name}", help_text, value=value)

    def _collect_pool(self, stats: PoolStats) -> Iterator[Metric]:
        processes = GaugeMetricFamily("escrowd_wallet_processes", "Wallet processes by use", labels=("use",))
        for use, count in (("in_use", stats.in_use), ("reserve", stats.in_reserve)):
            processes.add_metric((use,), count)
        yield processes
        yield GaugeMetricFamily(
            "escrowd_wallet_processes_memory_bytes", "Memory of all wallet processes", value=stats.memory_bytes
        )
        yield CounterMetricFamily("escrowd_wallet_processes_started", "Wallet processes started", value=stats.started)
        yield CounterMetricFamily("escrowd_wallet_processes_lost", "Wallet processes lost", value=stats.lost)


class StockCollector(Collector):
    """Reads how the stock of finished wallets stands when Prometheus asks."""

    def __init__(self, stock: Callable[[], StockStats]) -> None:
        self._stock = stock

    @override
    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of this moment."""
        stats = self._stock()
        for name, help_text, value in (
            ("ready", "Finished sets of wallets that wait for an escrow", stats.ready),
            ("wanted", "Finished sets that there shall be", stats.wanted),
            ("making", "Sets that are being made", stats.making),
        ):
            yield GaugeMetricFamily(f"escrowd_stock_{name}", help_text, value=value)
        yield CounterMetricFamily("escrowd_stock_made", "Sets made", value=stats.made)
        yield CounterMetricFamily("escrowd_stock_failed", "Sets that could not be made", value=stats.failed)
