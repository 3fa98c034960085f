from prometheus_client import CollectorRegistry

from escrowd.api.http_metrics import HttpMetrics, StateMetrics
from escrowd.domain.escrow.status import Status


def test_escrows_vanish_with_the_database() -> None:
    """Where nobody can say how things stand the service is not ready, and held escrows go on being counted."""
    registry = CollectorRegistry()
    metrics = StateMetrics(registry)
    metrics.note({"held": 2, "paying": 1}, 90_000, is_ready=True)
    metrics.note_not_ready()
    counts = {status: registry.get_sample_value("escrowd_escrows", {"status": status}) for status in Status}
    assert {status: count for status, count in counts.items() if count} == {Status.HELD: 2, Status.PAYING: 1}
    assert registry.get_sample_value("escrowd_payout_oldest_seconds") == 90
    assert registry.get_sample_value("escrowd_ready") == 0
    metrics.note({}, 0, is_ready=True)
    assert registry.get_sample_value("escrowd_escrows", {"status": "held"}) == 0
    assert registry.get_sample_value("escrowd_ready") == 1


def test_caller_makes_metrics() -> None:
    """Requests count by route and status, and a method that somebody made up counts as ``other``."""
    registry = CollectorRegistry()
    metrics = HttpMetrics(registry)
    metrics.count("GET", "/v1/escrows/{id}", 200, 0.01)
    metrics.count("BREW", "/v1/escrows/{id}", 405, 0.01)
    labels = {"method": "other", "route": "/v1/escrows/{id}", "status": "405"}
    assert registry.get_sample_value("escrowd_http_requests_total", labels) == 1
