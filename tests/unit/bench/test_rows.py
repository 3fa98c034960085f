import json

import pytest
from rich.console import Console

from escrowd.bench.rows import (
    Goal,
    all_hold,
    as_json,
    as_table,
    at_least,
    at_most,
    at_most_times_floor,
    below,
    exactly,
    row,
)

NOT_A_NUMBER = float("nan")


@pytest.mark.parametrize(
    ("goal", "value", "reached"),
    [
        (below(10), 9.999, True),
        (below(10), 10.0, False),
        (at_most(9), 9.0, True),
        (at_most(9), 9.001, False),
        (exactly(20), 20, True),
        (exactly(20), 19, False),
        (at_least(0.001), 0.001, True),
        (at_least(0.001), 0.0009, False),
        (below(10), NOT_A_NUMBER, False),
        (at_most(10), NOT_A_NUMBER, False),
        (at_least(10), NOT_A_NUMBER, False),
    ],
)
def test_value_is_judged_by_its_limit(goal: Goal, value: float, *, reached: bool) -> None:
    """A goal holds up to its limit, with it or without it as its sign says, and never for what is not a number."""
    assert row("work", value, "ms", goal=goal).holds is reached


@pytest.mark.parametrize(("value", "holds"), [(100.0, True), (115.0, True), (115.1, False)])
def test_ratio_is_judged_and_not_the_value(value: float, *, holds: bool) -> None:
    """Where the goal is a multiple of the floor, the ratio to the floor decides."""
    judged = row("work", value, "ms", floor=100.0, goal=at_most_times_floor(1.15))
    assert (judged.ratio, judged.holds) == (value / 100, holds)


def test_floor_without_a_goal_of_its_own_is_only_shown() -> None:
    """A goal in the value's unit is judged by the value, however large the ratio is."""
    judged = row("work", 8.0, "ms", floor=0.5, goal=below(10))
    assert (judged.ratio, judged.holds) == (16.0, True)


@pytest.mark.parametrize(
    ("goal", "unit", "text"),
    [
        (below(10), "ms", "< 10 ms"),
        (at_most(9), "MiB", "<= 9 MiB"),
        (at_most_times_floor(1.15), "ms", "<= 1.15 x floor"),
        (exactly(0), "calls", "= 0 calls"),
        (at_least(0.001), "", ">= 0.001"),
    ],
)
def test_goal_reads_as_text(goal: Goal, unit: str, text: str) -> None:
    """A goal says its sign, its limit and its unit."""
    assert row("work", 1.0, unit, floor=1.0, goal=goal).goal == text


def test_row_without_a_goal_has_no_verdict() -> None:
    """What is only reported neither holds nor fails, and fails no run."""
    reported = row("work", 1.0, "s", floor=2.0)
    assert (reported.goal, reported.holds, reported.ratio) == (None, None, 0.5)
    assert all_hold([reported, row("work", 1.0, "s", goal=below(2))])


def test_one_missed_goal_fails_the_run() -> None:
    """A run holds only if each of its goals does."""
    assert not all_hold([row("quick", 1.0, "s", goal=below(2)), row("slow", 3.0, "s", goal=below(2))])


@pytest.mark.parametrize("floor", [0.0, -1.0, NOT_A_NUMBER])
def test_floor_that_nothing_is_a_multiple_of_is_refused(floor: float) -> None:
    """A floor is above zero."""
    with pytest.raises(ValueError, match="the floor of 'work'"):
        row("work", 1.0, "s", floor=floor)


def test_goal_of_a_floor_needs_one() -> None:
    """A multiple of a floor that was not measured is a mistake of the benchmark."""
    with pytest.raises(ValueError, match="needs a floor"):
        row("work", 1.0, "s", goal=at_most_times_floor(1.1))


def test_json_has_exactly_the_promised_keys() -> None:
    """Programs get a list of objects with these seven keys, ``null`` where there is nothing to say."""
    rows = [row("bare", 1.0, "s"), row("full", 2.0, "ms", floor=1.0, goal=at_most_times_floor(1.1))]
    bare = {"what": "bare", "value": 1.0, "unit": "s", "floor": None, "ratio": None, "goal": None, "holds": None}
    full = {"what": "full", "value": 2.0, "unit": "ms", "floor": 1.0, "ratio": 2.0, "goal": "<= 1.1 x floor"}
    assert json.loads(as_json(rows)) == [bare, full | {"holds": False}]


def test_table_names_each_row_and_its_verdict() -> None:
    """People see what was measured, and which goal was missed."""
    console = Console(width=160)
    with console.capture() as capture:
        console.print(as_table([row("quick", 1.5, "ms", goal=below(2)), row("slow", 3.0, "ms", goal=below(2))], "x"))
    lines = capture.get().splitlines()
    assert [("yes" in line, "NO" in line) for line in lines if "ms" in line] == [(True, False), (False, True)]
    assert any("1.50 ms" in line and "< 2 ms" in line for line in lines)
