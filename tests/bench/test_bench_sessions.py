from collections.abc import AsyncIterator

import pytest

from escrowd.bench.adoption import measure_adoption
from escrowd.bench.crowd import measure_crowd
from escrowd.bench.houses import both_sides
from escrowd.bench.opening import measure_openings
from escrowd.bench.rows import Row
from escrowd.bench.sampling import tell_nobody
from escrowd.bench.warm import measure_balances, measure_leases
from escrowd.bootstrap import raise_open_files_limit
from escrowd.testing.lab import RegtestLab

# Times are never asserted here: these tests run on machines that do other things.


def shape(rows: tuple[Row, ...]) -> list[tuple[str, str | None]]:
    """Return the unit and the goal of each row, after a look at what all rows have in common."""
    assert all(row.what and row.value >= 0 for row in rows)
    assert all((row.ratio is None) == (row.floor is None) for row in rows)
    assert all((row.holds is None) == (row.goal is None) for row in rows)
    return [(row.unit, row.goal) for row in rows]


@pytest.fixture
async def own_lab() -> AsyncIterator[RegtestLab]:
    """Run a lab for one test: the houses of a benchmark have fixed places in the lab's directory."""
    async with RegtestLab.start() as lab:
        yield lab


async def test_warm_measurements_open_nothing(own_lab: RegtestLab) -> None:
    """Each row has its goal; warm sessions are used without opening, and refresh only for the new block."""
    async with both_sides(own_lab) as sides:
        sides.calls.clear()
        leases = await measure_leases(sides, 2)
        assert sides.calls.count() == {"get_attribute": 2 * 3 + 2, "get_address": 2 * 3 + 2}

        sides.calls.clear()
        balances = await measure_balances(sides, rounds=2, rounds_with_block=1)
        assert sides.calls.count() == {
            "get_attribute": 3, "get_address": 3, "get_info": 3, "get_balance": 3, "refresh": 1
        }  # fmt: skip

        sides.calls.clear()
        openings = await measure_openings(sides, 1, tell_nobody)
        assert sides.calls.count()["open_wallet"] == 3

    assert shape(leases + balances + openings) == [
        ("ms", "< 10 ms"),
        ("ms", "< 10 ms"),
        ("ms", "<= 1.15 x floor"),
        ("ms", "< 15 ms"),
        ("s", "<= 1.1 x floor"),
        ("", ">= 0.001"),
        ("s", None),
        ("s", None),
    ]


async def test_adoption_finds_the_sessions_of_a_killed_service(own_lab: RegtestLab) -> None:
    """The wallets that a killed service left open are all adopted, each time, and none is opened again."""
    told: list[tuple[int, int]] = []
    rows = await measure_adoption(own_lab, 1, 2, lambda _, done, total: told.append((done, total)))
    assert shape(rows) == [("s", "< 2 s"), ("sessions", "= 1 sessions"), ("calls", "= 0 calls")]
    assert [row.value for row in rows[1:]] == [1, 0]
    assert told[-1] == (3, 3)


async def test_crowd_counts_its_wallets(own_lab: RegtestLab) -> None:
    """All sessions of a crowd are open when they are looked at."""
    raise_open_files_limit()
    rows = await measure_crowd(own_lab, escrows=2, rounds=3, window=0.2, tell=tell_nobody)
    assert shape(rows) == [
        ("wallets", "= 6 wallets"),
        ("s", None),
        ("MiB", "<= 9 MiB"),
        ("cores", "< 0.5 cores"),
        ("ms", "< 10 ms"),
        ("ms", "< 15 ms"),
    ]
    assert rows[0].value == 6
