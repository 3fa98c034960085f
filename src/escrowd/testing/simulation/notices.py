"""What a service learns beside chain and clock: announced hard forks, and caches that were made anew."""

from collections import Counter

from typing_extensions import override

from escrowd.domain.escrow.events import CacheRemade, ForkApproaching
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.service.cache_news import CacheNews
from escrowd.testing.simulation.chain import SimulatedChain

#: Blocks for which the same fork is announced, so near.
_BLOCKS_OF_A_NOTICE = 5
_WITHIN_DAYS = (30, 14, 3)


def announced_fork(chain: SimulatedChain) -> ForkApproaching:
    """Return the fork that the daemon announces now. Another one follows as the chain grows, and comes nearer."""
    number = chain.height // _BLOCKS_OF_A_NOTICE
    height = 10_000 + number // len(_WITHIN_DAYS)
    return ForkApproaching(17, height, _WITHIN_DAYS[number % len(_WITHIN_DAYS)], height - chain.height)


class RemadeCaches(CacheNews):
    """Reports a cache that was made anew at some looks at each escrow, ever fewer, whatever its status is."""

    def __init__(self) -> None:
        super().__init__()
        self._looks: Counter[EscrowId] = Counter()

    @override
    def of(self, escrow: EscrowId) -> tuple[CacheRemade, ...]:
        self._looks[escrow] += 1
        # At the looks 1, 2, 4, 8 and so on: a world that waits until nothing changes has to come to an end.
        is_due = self._looks[escrow].bit_count() == 1
        return (CacheRemade(WalletRole.ARBITER, "the cache did not open"),) if is_due else ()
