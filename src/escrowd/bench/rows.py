"""The rows of a benchmark: what was measured, what it is held against, and whether the goal is reached."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec
from rich.table import Table


class Row(msgspec.Struct, frozen=True):
    """One thing that was measured. Programs get exactly these fields.

    ``floor`` is what the same work costs without us, in the same unit, and ``ratio`` the value as a multiple of it.
    ``goal`` is for people to read. ``holds`` is ``None`` where there is no goal.
    """

    what: str
    value: float
    unit: str
    floor: float | None = None
    ratio: float | None = None
    goal: str | None = None
    holds: bool | None = None


class Bound(StrEnum):
    """How a value has to stand to its limit."""

    BELOW = "<"
    AT_MOST = "<="
    EXACTLY = "="
    AT_LEAST = ">="


@dataclass(frozen=True, slots=True)
class Goal:
    """What a value must be. With ``of_floor`` the limit is a multiple of the floor, else it has the value's unit."""

    bound: Bound
    limit: float
    of_floor: bool = False

    def text(self, unit: str) -> str:
        """Say the goal, such as ``<= 1.15 x floor`` or ``< 10 ms``."""
        return f"{self.bound} {self.limit:g} {'x floor' if self.of_floor else unit}".rstrip()

    def is_reached(self, value: float, ratio: float | None) -> bool:
        """Judge a value and its ratio to the floor; what is not a number reaches no goal.

        Raises:
            ValueError: the goal is a multiple of a floor, and there is none.

        """
        judged = ratio if self.of_floor else value
        if judged is None:
            raise ValueError("a goal that is a multiple of the floor needs a floor")
        match self.bound:
            case Bound.BELOW:
                return judged < self.limit
            case Bound.AT_MOST:
                return judged <= self.limit
            case Bound.EXACTLY:
                return judged == self.limit
            case Bound.AT_LEAST:
                return judged >= self.limit


def below(limit: float) -> Goal:
    """Return the goal of a value under the limit."""
    return Goal(Bound.BELOW, limit)


def at_most(limit: float) -> Goal:
    """Return the goal of a value up to the limit."""
    return Goal(Bound.AT_MOST, limit)


def at_most_times_floor(limit: float) -> Goal:
    """Return the goal of a value up to a multiple of its floor."""
    return Goal(Bound.AT_MOST, limit, of_floor=True)


def at_least(limit: float) -> Goal:
    """Return the goal of a value from the limit on."""
    return Goal(Bound.AT_LEAST, limit)


def exactly(limit: float) -> Goal:
    """Return the goal of a value that is the limit itself: for counts."""
    return Goal(Bound.EXACTLY, limit)


def row(what: str, value: float, unit: str, *, floor: float | None = None, goal: Goal | None = None) -> Row:
    """Make a row and judge it.

    Raises:
        ValueError: the floor is not above zero, or the goal needs a floor and there is none.

    """
    if floor is not None and not floor > 0:
        raise ValueError(f"the floor of '{what}' is {floor}; nothing is a multiple of that")
    ratio = None if floor is None else value / floor
    if goal is None:
        return Row(what, value, unit, floor, ratio)
    return Row(what, value, unit, floor, ratio, goal.text(unit), goal.is_reached(value, ratio))


def all_hold(rows: Iterable[Row]) -> bool:
    """Return whether no goal was missed. Rows without a goal do not count."""
    return all(each.holds is not False for each in rows)


def as_json(rows: Sequence[Row]) -> str:
    """Return the rows as a JSON list of objects."""
    return msgspec.json.format(msgspec.json.encode(rows), indent=2).decode()


def as_table(rows: Sequence[Row], title: str) -> Table:
    """Return the rows as a table for people."""
    table = Table(title=title, title_justify="left")
    table.add_column("what", overflow="fold")
    for name in ("measured", "floor", "ratio", "goal"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("holds")
    for each in rows:
        table.add_row(
            each.what,
            _number(each.value, each.unit),
            _number(each.floor, each.unit),
            "" if each.ratio is None else f"{each.ratio:.2f}",
            each.goal or "",
            {True: "[green]yes[/]", False: "[bold red]NO[/]", None: ""}[each.holds],
        )
    return table


# ---------------------------------------------------------------------------------------------------------------------


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    digits = 0 if value == int(value) else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f} {unit}".rstrip()
