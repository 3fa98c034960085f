"""A hard fork that is announced: how far away it is, and when integrators get the event. Pure."""

from dataclasses import dataclass
from typing import Final

from escrowd.domain.escrow.events import ForkApproaching
from escrowd.domain.escrow.terms import DAY

#: Seconds from one block to the next, on average (``DIFFICULTY_TARGET_V2`` in ``cryptonote_config.h``).
BLOCK_TIME: Final = 120
BLOCKS_PER_DAY: Final = DAY // BLOCK_TIME
#: So many days before a fork an event goes to each open escrow.
NOTICE_DAYS: Final = (30, 14, 3)


@dataclass(frozen=True, slots=True)
class AnnouncedFork:
    """A hard fork whose height is known."""

    version: int
    #: Of the first block under the new rules.
    height: int

    def blocks_left(self, chain_height: int) -> int:
        """Return how many blocks are still under the old rules, where the chain has so many blocks."""
        return max(0, self.height - chain_height)

    def seconds_left(self, chain_height: int) -> int:
        """Return in how many seconds the fork is expected."""
        return self.blocks_left(chain_height) * BLOCK_TIME

    def days_left(self, chain_height: int) -> float:
        """Return in how many days the fork is expected, to a tenth."""
        return round(self.seconds_left(chain_height) / DAY, 1)


def notice_of(fork: AnnouncedFork, chain_height: int) -> ForkApproaching | None:
    """Return the event that is due at this height, that of the last threshold passed; none where the fork is past."""
    left = fork.blocks_left(chain_height)
    due = [days for days in NOTICE_DAYS if 0 < left <= days * BLOCKS_PER_DAY]
    return ForkApproaching(fork.version, fork.height, min(due), left) if due else None
