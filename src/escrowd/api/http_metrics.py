"""Prometheus metrics of the API."""

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from escrowd.domain.escrow.status import Status

#: Seconds. A long poll ends in the last one.
BUCKETS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)


class HttpMetrics:
    """Counts requests by route: the path with names in the place of ids, so that their number stays small."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter("escrowd_http_requests", "Requests", ("method", "route", "status"), registry=registry)
        self._seconds = Histogram(
            "escrowd_http_request_seconds",
            "How long requests took",
            ("method", "route"),
            buckets=BUCKETS,
            registry=registry,
        )

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request. The status is 0 where the caller went away."""
        self._requests.labels(_METHODS.get(method, "other"), route, str(status)).inc()
        self._seconds.labels(_METHODS.get(method, "other"), route).observe(seconds)


class StateMetrics:
    """How escrows and the service stand, as of the last question."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._escrows = Gauge("escrowd_escrows", "Escrows, by status", ("status",), registry=registry)
        self._oldest_payout = Gauge(
            "escrowd_payout_oldest_seconds",
            "Time since the first of the payouts under way was ordered; 0 without any",
            registry=registry,
        )
        self._ready = Gauge("escrowd_ready", "Whether the service can do its work", registry=registry)

    def note(self, escrows: Mapping[str, int], oldest_payout: int, *, is_ready: bool) -> None:
        """Take note of how things stand now. ``oldest_payout`` is in milliseconds."""
        for status in Status:
            self._escrows.labels(str(status)).set(escrows.get(status, 0))
        self._oldest_payout.set(oldest_payout / 1000)
        self._ready.set(is_ready)

    def note_not_ready(self) -> None:
        """Take note that nobody can say. What was known of the escrows stays: none of them has gone away."""
        self._ready.set(0)


# ---------------------------------------------------------------------------------------------------------------------

#: Whoever makes up methods makes no metrics.
_METHODS: Final = {each: each for each in ("GET", "HEAD", "POST", "PATCH", "DELETE")}
