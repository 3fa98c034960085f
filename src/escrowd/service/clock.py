"""Keeps the running clock and the work clock.

Deadlines go on only while the service is up and its daemon in sync; work is due whatever the wall clock does.
"""

import asyncio
from types import TracebackType
from typing import Final, Self

import structlog

from escrowd.domain.errors import EscrowdError
from escrowd.service.chain_gate import ChainSight
from escrowd.service.ports import Store

log = structlog.get_logger()

#: Seconds between two beats. What is lost at a crash, or where the wall clock jumps, is at most one.
BEAT_INTERVAL: Final = 5.0


class RunningClock:
    """Beats while it is entered with ``async with``.

    The first beat adds nothing, so that the time in which nobody ran counts for nobody.
    """

    def __init__(self, store: Store, chain: ChainSight, interval: float = BEAT_INTERVAL) -> None:
        self._store = store
        self._chain = chain
        self._interval = interval
        self._beating: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._beat(counts=False)
        self._beating = asyncio.create_task(self._keep_beating(), name="running clock")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)

    async def _beat(self, *, counts: bool) -> None:
        async with self._store.transaction() as tx:
            await tx.clock.beat(counts=counts)

    async def _keep_beating(self) -> None:
        while True:
            try:
                await self._beat(counts=self._chain.is_in_sync)
            except EscrowdError as error:
                log.error("clock.stands_still", error=str(error))
            except Exception as error:
                # The next one may succeed: without beats no deadline passes, and soon no work is due.
                log.error("clock.stands_still", exc_info=error)
            await asyncio.sleep(self._interval)
