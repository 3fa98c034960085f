"""What happened to the caches of wallets and is not in the log of their escrows yet."""

from collections import defaultdict
from collections.abc import Sequence

from escrowd.domain.escrow.events import CacheRemade
from escrowd.domain.identifiers import EscrowId


class CacheNews:
    """Keeps events until they are stored, which the holder of the claim on the escrow does.

    In memory alone: a crash before that loses the entry, and leaves a line in the log of the service.
    """

    def __init__(self) -> None:
        self._waiting: defaultdict[EscrowId, list[CacheRemade]] = defaultdict(list)

    def note(self, escrow: EscrowId, event: CacheRemade) -> None:
        """Keep an event."""
        self._waiting[escrow].append(event)

    def of(self, escrow: EscrowId) -> tuple[CacheRemade, ...]:
        """Return what waits to be stored for an escrow."""
        return tuple(self._waiting.get(escrow, ()))

    def stored(self, escrow: EscrowId, events: Sequence[CacheRemade]) -> None:
        """Forget the events of an escrow that are stored now, which are the oldest ones."""
        left = self._waiting.pop(escrow, [])[len(events) :]
        if left:
            self._waiting[escrow] = left
