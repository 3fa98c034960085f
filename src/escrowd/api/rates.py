"""How many requests a caller may make: a bucket of tokens for each, that fills as time goes by."""

import time
from collections.abc import Callable
from typing import Final

#: How many callers are kept apart. Beyond that, those who have been away the longest begin anew with a full bucket.
MOST_CALLERS: Final = 10_000


class Rates:
    """Counts requests. A caller may make as many at once as it may make in a minute."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(per_minute)
        self._per_second = per_minute / 60
        self._clock = clock
        #: Tokens that a caller had, and when: in the order of their last requests.
        self._buckets: dict[str, tuple[float, float]] = {}

    def seconds_to_wait(self, caller: str) -> float:
        """Count a request, and return how long its caller has to wait before it is taken; 0 where it is taken."""
        now = self._clock()
        tokens, last = self._buckets.pop(caller, (self._most, now))
        tokens = min(self._most, tokens + (now - last) * self._per_second)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / self._per_second
        self._buckets[caller] = (tokens if wait else tokens - 1, now)
        if len(self._buckets) > MOST_CALLERS:
            del self._buckets[next(iter(self._buckets))]
        return wait
