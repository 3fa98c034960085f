"""``escrowd bench watching``: what it costs to watch addresses by view key, beside the one call that it cannot avoid.

For every public key of a transaction and every watched address, one point has to be multiplied. The floor is that
multiplication, as PyNaCl offers it; what is measured is everything that the scanner does for the pair. Both sides take
their samples in turn, on transactions of two outputs, which nearly all are, that pay nobody who is watched.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Final

from nacl.bindings import crypto_scalarmult_ed25519_noclamp

from escrowd.bench.rows import Row, at_most_times_floor, row
from escrowd.bench.sampling import Tell, tell_nobody
from escrowd.chain.curve import KEY_BYTES, public_key
from escrowd.chain.extra import Extra
from escrowd.chain.scan import Filter, Prepared, ReferenceFilter, scan
from escrowd.chain.transaction import Output, Transaction
from escrowd.chain.watched_keys import WatchedKeys
from escrowd.domain.identifiers import EscrowId
from escrowd.monero.scalars import GROUP_ORDER

#: How many watched addresses are measured.
CROWDS: Final = (100, 1_000, 10_000)
#: The cost of a pair may be so many times that of the one multiplication.
MOST: Final = 1.3
#: Pairs that one sample of a side looks at: a fifth of a second of work.
PAIRS: Final = 2_000


@dataclass(frozen=True, slots=True)
class WatchingSamples:
    """How much is measured."""

    crowds: tuple[int, ...] = CROWDS
    pairs: int = PAIRS
    rounds: int = 9


def measure_watching(
    samples: WatchingSamples | None = None, kernel: Filter | None = None, tell: Tell = tell_nobody
) -> tuple[Row, ...]:
    """Measure each crowd with a filter, the reference one unless another is given. Needs no daemon and no chain."""
    wanted = samples or WatchingSamples()
    rows: list[Row] = []
    for done, crowd in enumerate(wanted.crowds):
        tell("scanning", done, len(wanted.crowds))
        rows += _measure(crowd, wanted, kernel or ReferenceFilter())
    tell("scanning", len(wanted.crowds), len(wanted.crowds))
    return tuple(rows)


# ---------------------------------------------------------------------------------------------------------------------

#: Transactions of a busy day on the main chain, by which the share of a core is reckoned.
_A_DAY: Final = 100_000
_SECONDS_OF_A_DAY: Final = 86_400
_MICRO: Final = 1e6


def _measure(crowd: int, wanted: WatchingSamples, kernel: Filter) -> tuple[Row, Row]:
    addresses = [_watched(number) for number in range(crowd)]
    transactions = [_transaction() for _ in range(max(1, wanted.pairs // crowd))]
    prepared = [Prepared.of(each) for each in transactions]
    points = [point for each in prepared for point in each.public_keys if point is not None]

    def multiply() -> None:
        for point in points:
            for address in addresses:
                crypto_scalarmult_ed25519_noclamp(address.view_key, point)

    def look() -> None:
        # As it is done for a block: the transactions are prepared, too.
        for _ in scan([Prepared.of(each) for each in transactions], addresses, kernel):
            raise AssertionError("a transaction of nobody pays somebody")

    pairs = crowd * len(points)
    floor, value = (seconds * _MICRO / pairs for seconds in _in_turn(wanted.rounds, multiply, look))
    goal = at_most_times_floor(MOST)
    what = f"{crowd:,} addresses"
    share = value / _MICRO * crowd * _A_DAY / _SECONDS_OF_A_DAY
    return (
        row(f"{what}: one transaction key and one address", value, "us", floor=floor, goal=goal),
        row(f"{what}: of one core, at {_A_DAY:,} transaction keys a day", 100 * share, "%"),
    )


def _in_turn(rounds: int, *works: Callable[[], None]) -> list[float]:
    """Return the median time of each work, in seconds of a core, the works taken in turn.

    The time of this thread alone is taken: what else the machine does is no cost of the scanner.
    """
    samples: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, its in zip(works, samples, strict=True):
            started = time.thread_time()
            work()
            its.append(time.thread_time() - started)
    return [median(its) for its in samples]


def _watched(number: int) -> WatchedKeys:
    return WatchedKeys(EscrowId(f"esc_{number:026}"), _scalar(), {public_key(_scalar()): (0, 0)})


def _transaction() -> Transaction:
    outputs = tuple(Output(public_key(_scalar()), secrets.randbelow(256), 0, bytes(8)) for _ in range(2))
    extra = Extra((public_key(_scalar()),))
    return Transaction(
        secrets.token_hex(KEY_BYTES), unlock_time=0, is_coinbase=False, key_images=(), outputs=outputs, extra=extra
    )


def _scalar() -> bytes:
    return (1 + secrets.randbelow(GROUP_ORDER - 1)).to_bytes(KEY_BYTES, "little")
