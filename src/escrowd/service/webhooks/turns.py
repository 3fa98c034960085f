"""Keeps one endpoint from taking the places of all others: a receiver that hangs holds each of its tries for long."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

#: Seconds that a step waits for a turn at an endpoint that is well.
PATIENCE: Final = 1.0


class Turns:
    """Turns at endpoints: at most so many tries at one at the same time, in this process."""

    def __init__(self, most: int) -> None:
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(most))

    @asynccontextmanager
    async def turn(self, webhook: str, patience: float) -> AsyncIterator[bool]:
        """Hold a turn until the end of the block; yields whether there was one within so many seconds."""
        turns = self._turns[webhook]
        if not await _acquired(turns, patience):
            yield False
            return
        try:
            yield True
        finally:
            turns.release()


# ---------------------------------------------------------------------------------------------------------------------


async def _acquired(turns: asyncio.Semaphore, patience: float) -> bool:
    if not turns.locked():
        return await turns.acquire()  # at once
    if patience <= 0:
        return False
    try:
        async with asyncio.timeout(patience):
            return await turns.acquire()
    except TimeoutError:
        return False
