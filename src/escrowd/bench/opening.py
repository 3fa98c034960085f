"""What it costs to open a session of three wallets, beside three bare calls.

Nearly all of an ``open_wallet`` call is a search for two random primes (Monero makes an RSA key for each wallet
object), which takes half a second or five. The sum over a few samples is therefore mostly luck, and a ratio of two
such sums says nothing about 10 %. So the question is taken apart:

1. What does the manager add around its ``open_wallet`` calls? The floor is how long the *very same* calls would have
   needed in the hands of the raw caller: their own lengths, each core taking the next one as soon as it is free, and
   what the raw caller was seen to need beside its calls. Luck stands on both sides of this ratio and cancels out.
2. Are the calls themselves longer under the manager? The lengths of all single calls of both sides are compared by a
   permutation test: the goal is missed only by a difference that luck makes less than once in a thousand runs.

The plain ratio of the times as they fell stands beside it, without a goal.
"""

import time
from dataclasses import dataclass, field
from statistics import fmean

from escrowd.bench.houses import LONG, SideBySide
from escrowd.bench.raw_calls import cores
from escrowd.bench.rows import Row, at_least, at_most_times_floor, row
from escrowd.bench.sampling import Tell, chance_of_luck, shortest_time

OPENING_GOAL = at_most_times_floor(1.1)
LUCK_GOAL = at_least(0.001)


@dataclass(frozen=True, slots=True)
class Openings:
    """What opening sessions took on one side. All in seconds."""

    #: From the wish to the open session.
    wholes: list[float] = field(default_factory=list)
    #: The ``open_wallet`` calls of each session, in the order in which they began.
    calls: list[tuple[float, ...]] = field(default_factory=list)

    @property
    def shortest(self) -> float:
        """The mean time that the calls alone need on the cores there are."""
        return fmean(shortest_time(lengths, cores()) for lengths in self.calls)

    @property
    def beside_calls(self) -> float:
        """The mean time spent on anything else."""
        return fmean(self.wholes) - self.shortest

    @property
    def single_calls(self) -> list[float]:
        """The lengths of all single calls."""
        return [length for lengths in self.calls for length in lengths]


async def measure_openings(sides: SideBySide, rounds: int, tell: Tell) -> tuple[Row, ...]:
    """Close and open the wallets of both sides in turn; only the opening is timed."""
    raw, managed = Openings(), Openings()
    turns = [(_open_raw, raw), (_open_managed, managed)]
    for number in range(rounds):
        tell("opening sessions of three wallets", number, rounds)
        for open_session, openings in turns:
            whole, lengths = await open_session(sides)
            openings.wholes.append(whole)
            openings.calls.append(lengths)
        turns.reverse()
    tell("opening sessions of three wallets", rounds, rounds)
    return opening_rows(raw, managed)


def opening_rows(raw: Openings, managed: Openings) -> tuple[Row, ...]:
    """Compare the two sides as the head of this module says."""
    return (
        row(
            "open a session of three wallets (floor: the same three calls, raw)",
            fmean(managed.wholes),
            "s",
            floor=managed.shortest + raw.beside_calls,
            goal=OPENING_GOAL,
        ),
        row(
            "chance that luck alone makes managed open_wallet calls so long",
            chance_of_luck(raw.single_calls, managed.single_calls),
            "",
            goal=LUCK_GOAL,
        ),
        row("one open_wallet call, as it fell", fmean(managed.single_calls), "s", floor=fmean(raw.single_calls)),
        row("open a session of three wallets, as it fell", fmean(managed.wholes), "s", floor=fmean(raw.wholes)),
    )


# ---------------------------------------------------------------------------------------------------------------------


async def _open_raw(sides: SideBySide) -> tuple[float, tuple[float, ...]]:
    await sides.raw.close()
    started = time.perf_counter()
    lengths = await sides.raw.open()
    return time.perf_counter() - started, lengths


async def _open_managed(sides: SideBySide) -> tuple[float, tuple[float, ...]]:
    await sides.running.manager.close_session(sides.escrow, LONG)
    already = len(sides.calls.lengths("open_wallet"))
    started = time.perf_counter()
    await sides.running.manager.get_or_create_session(sides.escrow)
    return time.perf_counter() - started, sides.calls.lengths("open_wallet")[already:]
