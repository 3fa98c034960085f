"""Tells whoever wants to know that a piece of work was done: requests, effects, calls."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Done:
    """A piece of work that has just ended, well or not. No secrets are in it."""

    name: str
    #: Ties it to all else that came of the same (see :mod:`escrowd.domain.cause`).
    cause: str
    seconds: float
    attributes: Mapping[str, str | int | float] = field(default_factory=dict)


Observer: TypeAlias = Callable[[Done], None]


def nobody_wants_to_know(_done: Done) -> None:
    """Take no note."""
