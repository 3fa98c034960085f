import random

import pytest

from escrowd.bench.adoption import Adoption, adoption_rows
from escrowd.bench.opening import Openings, opening_rows
from escrowd.bench.rows import all_hold
from escrowd.bench.sampling import CallLog, chance_of_luck, shortest_time, side_by_side
from escrowd.monero.transport import CallRecord, Endpoint

HERE = Endpoint("127.0.0.1", 1)


@pytest.mark.parametrize(
    ("lengths", "cores", "seconds"),
    [((3, 1, 1), 2, 3), ((1, 3, 1), 2, 3), ((2, 2, 2), 2, 4), ((1, 2, 3), 1, 6), ((1, 2, 3), 8, 3), ((), 2, 0)],
)
def test_works_take_the_next_free_core(lengths: tuple[float, ...], cores: int, seconds: float) -> None:
    """Works are done in their order, each on the core that is free first."""
    assert shortest_time(lengths, cores) == seconds


async def test_sides_take_turns() -> None:
    """Samples are interleaved, the sides take turns in going first, and each round is prepared once."""
    order: list[str] = []

    async def note(what: str) -> None:
        order.append(what)

    sides = await side_by_side(
        3, raw=lambda: note("raw"), managed=lambda: note("managed"), before=lambda: note("before")
    )
    assert order == ["before", "raw", "managed", "before", "managed", "raw", "before", "raw", "managed"]
    assert (len(sides.raw), len(sides.managed)) == (3, 3)


def test_call_log_orders_calls_by_their_begin() -> None:
    """A log counts calls by method, and tells lengths in the order in which the calls began."""
    log = CallLog()
    for method, seconds in (("open_wallet", 5.0), ("get_address", 1.0), ("open_wallet", 50.0)):
        log.observe(CallRecord(HERE, method, seconds, "ok"))
    assert log.count() == {"open_wallet": 2, "get_address": 1}
    assert log.lengths("open_wallet") == (50.0, 5.0)


def test_luck_is_told_from_a_real_difference() -> None:
    """Samples of one long-tailed distribution are probably luck; ones that take half again as long are not."""
    draw = random.Random(7)
    raw = [0.5 + draw.expovariate(1) for _ in range(60)]
    same = [0.5 + draw.expovariate(1) for _ in range(60)]
    assert chance_of_luck(raw, same) > 0.05
    assert chance_of_luck(raw, [1.0 + length for length in same]) < 0.001
    assert chance_of_luck([1.0, 2.0], [1.0, 2.0]) > 0.5


def test_unlucky_calls_do_not_miss_the_goal_of_openings() -> None:
    """When the managed calls happened to be longer, only what the manager adds around them counts."""
    raw = Openings([4.0] * 3, [(2.0, 2.0, 2.0)] * 3)
    unlucky = Openings([6.1] * 3, [(2.0, 3.0, 4.0)] * 3)
    fair, luck, _, fallen = opening_rows(raw, unlucky)
    assert fallen.ratio == pytest.approx(6.1 / 4)
    assert (fair.holds, luck.holds) == (True, True)


def test_overhead_around_the_calls_misses_the_goal_of_openings() -> None:
    """What the manager adds beside the calls is held against the raw side, however long the calls were."""
    raw = Openings([4.0] * 3, [(2.0, 2.0, 2.0)] * 3)
    assert [each.holds for each in opening_rows(raw, Openings([4.8] * 3, [(2.0, 2.0, 2.0)] * 3))][:2] == [False, True]


def test_slower_calls_miss_the_goal_of_openings() -> None:
    """Calls that are longer than luck explains fail the run, although they stand on both sides of the ratio."""
    raw = Openings([4.0] * 8, [(2.0, 2.1, 1.9)] * 8)
    slow = Openings([6.0] * 8, [(3.0, 3.1, 2.9)] * 8)
    assert [each.holds for each in opening_rows(raw, slow)][:2] == [True, False]


@pytest.mark.parametrize(
    ("seen", "holds"),
    [
        ([Adoption(0.5, 20, 0), Adoption(9.0, 20, 0), Adoption(0.4, 20, 0)], True),
        ([Adoption(2.5, 20, 0)], False),
        ([Adoption(0.5, 20, 0), Adoption(0.5, 19, 0)], False),
        ([Adoption(0.5, 20, 0), Adoption(0.5, 20, 1)], False),
    ],
)
def test_adoption_is_judged_by_its_median_time_and_its_worst_counts(seen: list[Adoption], *, holds: bool) -> None:
    """One slow start may be the machine's; one session lost or opened again is ours."""
    assert all_hold(adoption_rows(seen, 20)) is holds
