import dataclasses

from prometheus_client import CollectorRegistry

from escrowd.chain.health import MonitorCounters, MonitorHealth, Trouble
from escrowd.chain.metrics import ChainCollector

HEALTH = MonitorHealth(
    trouble=Trouble.LAGGING, lag=7, age=3.5, error=None, is_falling_back=True, height=12, active=4, resting=5
)


def test_monitor_is_not_shown_to_prometheus() -> None:
    """The metrics show lag, trouble and fallback of the moment in which Prometheus asks."""
    registry = CollectorRegistry()
    counters = MonitorCounters(looks=9, failures=2, fallback_reads=3)
    registry.register(ChainCollector(lambda: HEALTH, counters))
    value = registry.get_sample_value
    assert value("escrowd_chain_lag_blocks") == 7
    assert value("escrowd_chain_age_seconds") == 3.5
    assert value("escrowd_chain_fallback") == 1
    assert [value("escrowd_chain_trouble", {"kind": kind}) for kind in Trouble] == [
        int(kind is Trouble.LAGGING) for kind in Trouble
    ]
    assert value("escrowd_chain_addresses", {"lane": "resting"}) == 5
    assert value("escrowd_chain_failures_total") == 2
    counters.failures += 1
    assert value("escrowd_chain_failures_total") == 3


def test_unknown_lag_is_shown_as_none() -> None:
    """While no daemon answered there is no number that would look like being in step."""
    registry = CollectorRegistry()
    registry.register(ChainCollector(lambda: dataclasses.replace(HEALTH, lag=None), MonitorCounters()))
    assert registry.get_sample_value("escrowd_chain_lag_blocks") is None
