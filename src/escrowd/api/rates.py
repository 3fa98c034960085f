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

    def seconds_until_next(self, caller: str) -> float:
        """Return how long a caller has to wait before a request is taken, without counting one."""
        now = self._clock()
        tokens, last = self._buckets.get(caller, (self._most, now))
        tokens = min(self._most, tokens + (now - last) * self._per_second)
        return 0.0 if tokens >= 1 else (1 - tokens) / self._per_second

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


class Doorkeeper:
    """Slows down whoever tries out tokens, by the address that they come from.

    Each token that is made up is a new caller with a bucket of its own. Those whose token was good before pass, from
    whatever address others try: it may be that of a proxy.
    """

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        #: Hashes of tokens that were good, in the order in which they came.
        self._good: dict[str, None] = {}

    def seconds_to_wait(self, token: str, address: str) -> float:
        """Return how long to wait before a token from an address is looked at; ``token`` is a hash of it."""
        return 0.0 if token in self._good else self._rates.seconds_until_next(_tries_from(address))

    def was_good(self, token: str) -> None:
        """Take note of a token that opened something."""
        self._good[token] = None
        if len(self._good) > MOST_CALLERS:
            del self._good[next(iter(self._good))]

    def was_wrong(self, address: str) -> None:
        """Take note of a token that opened nothing."""
        self._rates.seconds_to_wait(_tries_from(address))


# ---------------------------------------------------------------------------------------------------------------------


def _tries_from(address: str) -> str:
    return f"tries from {address}"
