"""The cores of this machine, for work that keeps a whole one busy: making and opening wallets.

Both make an RSA key of 4096 bits each time (see :mod:`escrowd.wallets.opening`). More of them at once than there are
cores would only make each one slower, and the one that somebody waits for most.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


class Cores:
    """Lends cores, first come first served.

    Mutable state: ``_free`` and ``_busy``, changed only between awaits.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count or len(os.sched_getaffinity(0))
        self._free = asyncio.Semaphore(self.count)
        self._gathering = asyncio.Lock()
        self._busy = 0

    @property
    def idle(self) -> int:
        """How many cores nobody uses and nobody waits for."""
        return max(0, self.count - self._busy)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Lend one core until the end of the block."""
        self._busy += 1
        try:
            async with self._free:
                yield
        finally:
            self._busy -= 1

    async def together(self, works: Sequence[Callable[[], Coroutine[Any, Any, ResultT]]]) -> list[ResultT]:
        """Do works of which none is of use without the others, all at once, on as many cores as they can keep busy.

        Three works on two cores one after the other would leave a core idle while the third one runs; side by side
        they end after one and a half times the time of one. When one fails, the others are cancelled.
        """
        lent = min(len(works), self.count)
        await self._borrow(lent)
        running = len(works)

        def ended(_: asyncio.Task[ResultT]) -> None:
            nonlocal running
            running -= 1
            if running < lent:
                self._give_back()

        tasks = [asyncio.create_task(work()) for work in works]
        for task in tasks:
            task.add_done_callback(ended)
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _borrow(self, count: int) -> None:
        self._busy += count
        taken = 0
        try:
            # One at a time: two that have half of what they need would wait for each other.
            async with self._gathering:
                for taken in range(count):  # noqa: B007 - counts for the except clause, too
                    await self._free.acquire()
        except BaseException:
            self._busy -= count
            for _ in range(taken):
                self._free.release()
            raise

    def _give_back(self) -> None:
        self._busy -= 1
        self._free.release()
