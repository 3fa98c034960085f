from prometheus_client import CollectorRegistry, generate_latest

from escrowd.domain.secret import Secret
from escrowd.monero.transport import CallRecord, Endpoint, Login
from escrowd.wallets.metrics import RpcMetrics, SessionCollector, StockCollector
from escrowd.wallets.pool import PoolStats
from escrowd.wallets.stats import SessionCounters, SessionStats
from escrowd.wallets.stock import StockStats

STATS = SessionStats(
    active=7, leased=2, opening=1, closing=1, waiting=3, max_sessions=10, oldest_age=60, mean_age=30,
    counters=SessionCounters(hits=5, misses=4, evictions=3, expirations=2, adoptions=1, repairs=6, sessions_opened=4),
)  # fmt: skip


def test_sessions_are_counted_by_phase_when_asked() -> None:
    """The metrics show the state of the moment in which Prometheus asks."""
    registry = CollectorRegistry()
    registry.register(SessionCollector(lambda: STATS, lambda: PoolStats(6, 3, 0, 9, 1, 64)))
    values = {
        phase: registry.get_sample_value("escrowd_sessions", {"phase": phase})
        for phase in ("idle", "leased", "opening", "closing")
    }
    assert values == {"idle": 3, "leased": 2, "opening": 1, "closing": 1}
    assert registry.get_sample_value("escrowd_session_evictions_total") == 3
    assert registry.get_sample_value("escrowd_session_repairs_total") == 6
    assert registry.get_sample_value("escrowd_wallet_processes", {"use": "reserve"}) == 3
    assert registry.get_sample_value("escrowd_wallet_processes_lost_total") == 1
    assert registry.get_sample_value("escrowd_wallet_processes_memory_bytes") == 64


def test_calls_are_counted_by_method_and_outcome_and_hold_no_secret() -> None:
    """Each call counts under its method and outcome, and no metric shows where it went or with what login."""
    registry = CollectorRegistry()
    metrics = RpcMetrics(registry)
    endpoint = Endpoint("127.0.0.1", 18082, Login("escrowd", Secret("canary")))
    metrics.observe(CallRecord(endpoint, "get_balance", 0.002, "ok"))
    metrics.observe(CallRecord(endpoint, "get_balance", 20.0, "ReplyLost"))
    labels = {"method": "get_balance", "outcome": "ReplyLost"}
    assert registry.get_sample_value("escrowd_rpc_calls_total", labels) == 1
    assert registry.get_sample_value("escrowd_rpc_seconds_count", {"method": "get_balance"}) == 2
    assert b"canary" not in generate_latest(registry)
    assert b"18082" not in generate_latest(registry)


def test_empty_stock_is_not_shown_to_prometheus() -> None:
    """The metrics show how many sets there are, and how many there shall be."""
    registry = CollectorRegistry()
    registry.register(StockCollector(lambda: StockStats(ready=1, wanted=6, making=2, made=9, failed=3)))
    names = ("ready", "wanted", "making", "made_total", "failed_total")
    assert [registry.get_sample_value(f"escrowd_stock_{name}") for name in names] == [1, 6, 2, 9, 3]
