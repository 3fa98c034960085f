from collections.abc import Iterator, Sequence

import pytest
from typing_extensions import override

from escrowd.bench.watching import WatchingSamples, measure_watching
from escrowd.chain.scan import Prepared, ReferenceFilter
from escrowd.chain.watched_keys import WatchedKeys


class Counting(ReferenceFilter):
    """The reference filter, which counts what it was given."""

    def __init__(self) -> None:
        self.pairs: list[int] = []

    @override
    def candidates(
        self, transactions: Sequence[Prepared], addresses: Sequence[WatchedKeys]
    ) -> Iterator[tuple[int, int]]:
        self.pairs.append(len(transactions) * len(addresses))
        yield from super().candidates(transactions, addresses)


def test_measurement_leaves_pairs_out() -> None:
    """Each crowd is measured as often as wanted, with so many pairs, and held to the plain multiplication."""
    kernel = Counting()
    rows = measure_watching(WatchingSamples(crowds=(5, 20), pairs=20, rounds=2), kernel)
    assert kernel.pairs == [20, 20, 20, 20]
    assert [each.unit for each in rows] == ["us", "%"] * 2
    first, share = rows[:2]
    assert first.floor is not None
    assert first.ratio == pytest.approx(first.value / first.floor)
    assert first.goal == "<= 1.3 x floor"
    assert share.value == pytest.approx(first.value * 5 * 100_000 / 86_400 / 1e4)
