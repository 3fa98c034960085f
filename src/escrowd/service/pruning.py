"""Removes in the background what is not kept for ever, a few rows at a time, so that nobody waits long for it.

Several nodes may do it at once: what one of them is removing the others leave to it.
"""

import asyncio
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Final, Protocol, Self

import structlog

from escrowd.domain.errors import EscrowdError
from escrowd.domain.retention import Prunable, Retention

log = structlog.get_logger()

#: Seconds between two times, and until the next try after one that failed.
INTERVAL: Final = 3600.0
AFTER_FAILURE: Final = 60.0
#: Rows of one transaction, and seconds until the next one: other processes get their turn at a file of SQLite.
BATCH: Final = 500
PAUSE: Final = 0.1


class PruningRows(Protocol):
    """What is old."""

    async def remove(self, what: Prunable, older_than: int, most: int) -> int:
        """Remove up to ``most`` rows that are older than so many milliseconds, the oldest first; return how many."""
        ...


class PruningTransaction(Protocol):
    """One database transaction, as pruning uses it."""

    @property
    def pruning(self) -> PruningRows: ...  # noqa: D102 - the type says it


class PruningStore(Protocol):
    """Where everything is kept."""

    def transaction(self) -> AbstractAsyncContextManager[PruningTransaction]:
        """Begin a transaction; it commits at the end of the block, and rolls back where the block raises."""
        ...


class Pruner:
    """Removes what is old while it is entered with ``async with``: at once, and then every ``interval`` seconds.

    Whatever fails is tried again ``after_failure`` seconds later, for as long as it takes.
    """

    def __init__(
        self,
        store: PruningStore,
        retention: Retention,
        interval: float = INTERVAL,
        after_failure: float = AFTER_FAILURE,
    ) -> None:
        #: Rows that were removed since the start.
        self.removed = dict.fromkeys(Prunable, 0)
        self._store = store
        self._retention = retention
        self._interval = interval
        self._after_failure = after_failure
        self._pruning: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._pruning = asyncio.create_task(self._prune_regularly(), name="pruning")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pruning is not None:
            self._pruning.cancel()
            await asyncio.gather(self._pruning, return_exceptions=True)

    async def prune(self) -> None:
        """Remove everything that is old now.

        Raises:
            StoreError: the database did not do its work. What was removed before stays removed.

        """
        for what in Prunable:
            rows = await self._remove_all(what)
            (log.info if rows else log.debug)("store.pruned", table=what, rows=rows)

    async def _remove_all(self, what: Prunable) -> int:
        all_rows = rows = await self._remove_some(what)
        while rows == BATCH:
            await asyncio.sleep(PAUSE)
            rows = await self._remove_some(what)
            all_rows += rows
        return all_rows

    async def _remove_some(self, what: Prunable) -> int:
        async with self._store.transaction() as tx:
            rows = await tx.pruning.remove(what, self._retention.milliseconds(what), BATCH)
        self.removed[what] += rows
        return rows

    async def _prune_regularly(self) -> None:
        while True:
            pause = await self._try_to_prune()
            await asyncio.sleep(pause)

    async def _try_to_prune(self) -> float:
        """Prune, and return in how many seconds to do it again."""
        try:
            await self.prune()
        except EscrowdError as error:
            log.warning("store.not_pruned", error=str(error))
        except Exception as error:
            # A bug in here must not let the store grow until the next start.
            log.error("store.not_pruned", exc_info=error)
        else:
            return self._interval
        return self._after_failure
