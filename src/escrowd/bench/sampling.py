"""How samples are taken and compared, so that neither a busy machine nor luck decides."""

import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Final

from escrowd.monero.transport import CallRecord

Work = Callable[[], Awaitable[object]]
#: Tells people of a measurement how many of its steps are done, and how many there are.
Tell = Callable[[str, int, int], None]

#: How many random splits the test for luck draws. With these, chances down to a ten-thousandth can be told.
SPLITS: Final = 10_000


def tell_nobody(_what: str, _done: int, _total: int) -> None:
    """Keep the progress to ourselves."""


@dataclass(frozen=True, slots=True)
class Sides:
    """The samples of both sides, in seconds."""

    raw: list[float] = field(default_factory=list)
    managed: list[float] = field(default_factory=list)

    @property
    def raw_milliseconds(self) -> float:
        """The median of the raw side."""
        return 1000 * median(self.raw)

    @property
    def managed_milliseconds(self) -> float:
        """The median of the managed side."""
        return 1000 * median(self.managed)


@dataclass(frozen=True, slots=True)
class LoggedCall:
    """One RPC call; both times in seconds, ``began`` on the clock of ``time.perf_counter``."""

    method: str
    began: float
    seconds: float


class CallLog:
    """Every RPC call of a house. Give :meth:`observe` to it."""

    def __init__(self) -> None:
        self.calls: list[LoggedCall] = []

    def observe(self, record: CallRecord) -> None:
        """Note one finished call."""
        self.calls.append(LoggedCall(record.method, time.perf_counter() - record.seconds, record.seconds))

    def clear(self) -> None:
        """Forget all calls."""
        self.calls.clear()

    def count(self) -> Counter[str]:
        """Count the calls by method."""
        return Counter(call.method for call in self.calls)

    def lengths(self, method: str) -> tuple[float, ...]:
        """Return how many seconds each call of a method took, in the order in which they began."""
        return tuple(call.seconds for call in sorted(self.calls, key=lambda call: call.began) if call.method == method)


async def seconds_of(work: Work) -> float:
    """Do the work and return how long it took."""
    started = time.perf_counter()
    await work()
    return time.perf_counter() - started


async def side_by_side(rounds: int, raw: Work, managed: Work, before: Work | None = None) -> Sides:
    """Take samples of both sides in turn, so that what else the machine does meets both alike.

    The sides take turns in going first, for the first one after ``before`` may find colder caches.
    """
    sides = Sides()
    turns = [(raw, sides.raw), (managed, sides.managed)]
    for _ in range(rounds):
        if before is not None:
            await before()
        for work, samples in turns:
            samples.append(await seconds_of(work))
        turns.reverse()
    return sides


def shortest_time(lengths: Sequence[float], cores: int) -> float:
    """Return how long works of these lengths need when each core takes the next one as soon as it is free."""
    free_at = [0.0] * cores
    for length in lengths:
        core = free_at.index(min(free_at))
        free_at[core] += length
    return max(free_at)


def chance_of_luck(raw: Sequence[float], managed: Sequence[float], seed: int = 1) -> float:
    """Return how often luck alone makes the managed side at least as much slower than the raw one as it was.

    A one-sided permutation test on the difference of the means: if the side made no difference, any split of all the
    samples into two such groups were as likely as the one that was seen. It assumes nothing of how the times are
    distributed, which matters, because those of a search for primes have a long tail.
    """
    shuffled = random.Random(seed)  # noqa: S311 - the same samples get the same verdict
    together = [*raw, *managed]
    total = sum(together)
    seen = fmean(managed) - fmean(raw)
    as_slow = 0
    for _ in range(SPLITS):
        picked = sum(shuffled.sample(together, len(managed)))
        difference = picked / len(managed) - (total - picked) / len(raw)
        as_slow += difference >= seen - 1e-12
    return (as_slow + 1) / (SPLITS + 1)
