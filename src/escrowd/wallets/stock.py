"""Finished 2-of-3 wallets made ahead of need, so that an escrow has its address at once.

Each set is made under the id that its escrow will have. Taking one is a matter of the shelf alone: it is done in the
transaction that creates the escrow.
"""

from dataclasses import dataclass
from typing import Protocol

from escrowd.domain.identifiers import EscrowId
from escrowd.domain.keying import KeySet


@dataclass(frozen=True, slots=True)
class StockSettings:
    """How many sets to have, and how fast to make them. Times are seconds."""

    #: Sets that wait for an escrow; 0 for no stock.
    size: int = 8
    #: Filling begins when fewer than this are left, and goes on to ``size``.
    low_water: int = 6
    #: Sets that are made at the same time, at most.
    at_once: int = 1
    #: From the end of one set to the beginning of the next.
    pause: float = 1.0
    #: How often the shelf is looked at when nobody says that a set was taken.
    check_interval: float = 10.0
    #: Whether finished wallets stay open as sessions while there is room for them.
    keep_open: bool = True


class Shelf(Protocol):
    """Where the stock of this node is stored. Each call is one transaction."""

    async def count_ready(self) -> int:
        """Return how many sets wait for an escrow."""
        ...

    async def begin(self, escrow: EscrowId) -> None:
        """Note that a set is being made under this id."""
        ...

    async def ready(self, keys: KeySet) -> None:
        """Store a finished set and the records of its wallets; it may be taken. Doing it again changes nothing."""
        ...

    async def failed(self, escrow: EscrowId, why: str) -> None:
        """Note that a set is never going to be ready. Doing it again changes nothing.

        Raises:
            StaleAttempt: it is ready, or was taken.

        """
        ...

    async def left_making(self) -> tuple[EscrowId, ...]:
        """Return the sets of this node that are being made, or were when an earlier run of the service ended."""
        ...
