"""Who waits for something to happen is told, instead of asking again and again."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from escrowd.service.front.errors import Overloaded

FoundT = TypeVar("FoundT")

#: How often one party may wait at the same time: a page or two, on a device or two.
MOST_OF_A_PARTY: Final = 4
#: What the keys of the work rows of escrows begin with.
_ESCROW: Final = "escrow:"


class Watch:
    """Waits for what one listener wants to hear of."""

    def __init__(self, escrow: str | None, party: str | None) -> None:
        #: The party that waits; ``None``: the holder of a key.
        self.party = party
        self._key = None if escrow is None else _ESCROW + escrow
        self._changed = asyncio.Event()
        #: The service is about to end: nobody waits any more.
        self.is_over = False

    def hears(self, key: str) -> None:
        """Take note that a row was woken; an empty key stands for many."""
        if not key or (key.startswith(_ESCROW) if self._key is None else key == self._key):
            self._changed.set()

    def end(self) -> None:
        """Wait no more."""
        self.is_over = True
        self._changed.set()

    async def changed(self, seconds: float) -> bool:
        """Wait until something happens, at most so long; return whether it did since the last call."""
        if self.is_over:
            return False
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        if not self.is_over:
            self._changed.clear()
        return True


class Changes:
    """Tells those who wait. ``heard`` is to be called with the key of each work row that is woken.

    Parties, whom nobody has chosen, leave half of the places to the holders of keys, and one has a few only.
    """

    def __init__(self, most_waiting: int) -> None:
        self._most = most_waiting
        self._watches: set[Watch] = set()
        self._is_over = False

    def heard(self, key: str) -> None:
        """Tell everybody whom it concerns that a row was woken."""
        for watch in tuple(self._watches):
            watch.hears(key)

    @contextmanager
    def watching(self, escrow: str | None = None, party: str | None = None) -> Iterator[Watch]:
        """Listen for one escrow, or for all. Begin before looking, so that nothing between is missed.

        Raises:
            Overloaded: too many are waiting.

        """
        self._check_room(party)
        watch = Watch(escrow, party)
        watch.is_over = self._is_over
        self._watches.add(watch)
        try:
            yield watch
        finally:
            self._watches.discard(watch)

    def end(self) -> None:
        """Let nobody wait any more: the service ends."""
        self._is_over = True
        for watch in tuple(self._watches):
            watch.end()

    async def look_until(
        self,
        look: Callable[[], Awaitable[FoundT]],
        is_enough: Callable[[FoundT], bool],
        seconds: float,
        escrow: str | None = None,
        party: str | None = None,
    ) -> FoundT:
        """Look, and look again whenever something happens, until it is enough or the time is over.

        Raises:
            Overloaded: too many are waiting.

        """
        deadline = time.monotonic() + seconds
        with self.watching(escrow, party) as watch:
            while True:
                found = await look()
                left = deadline - time.monotonic()
                if is_enough(found) or left <= 0 or not await watch.changed(left):
                    return found

    @property
    def waiting(self) -> int:
        """How many are waiting."""
        return len(self._watches)

    def _check_room(self, party: str | None) -> None:
        parties = [each.party for each in self._watches if each.party is not None]
        bounds = [(self.waiting, self._most)]
        if party is not None:
            bounds += [(len(parties), max(1, self._most // 2)), (parties.count(party), MOST_OF_A_PARTY)]
        for waiting, most in bounds:
            if waiting >= most:
                raise Overloaded(f"{most} are waiting for events already; ask without waiting, or later")
