"""Single questions outside of any transaction: each is answered as of one moment, and waits for nobody.

What needs two questions of the same moment needs a transaction that reads.
"""

import asyncio
import sqlite3
from typing import Any, Final, Protocol

import asyncpg  # type: ignore[import-untyped] # its types are in another package
from sqlalchemy.engine import URL, Dialect

from escrowd.store.prepared import Outcome, Written

#: How many questions PostgreSQL is asked at the same time; others wait for their turn.
MOST_AT_ONCE: Final = 4


class Glance(Protocol):
    """Asks a database."""

    async def ask(self, written: Written, values: tuple[Any, ...]) -> Outcome:
        """Return what a question is answered."""
        ...

    async def close(self) -> None:
        """Give up the connections."""
        ...


class SqliteGlance:
    """Asks an SQLite file over a connection that cannot write.

    It asks in place: a reader of a file in WAL mode waits for nobody, and one answer is there before another begins.
    """

    def __init__(self, path: str, busy_timeout: float) -> None:
        self._path = path
        self._busy_timeout = busy_timeout
        self._connection: sqlite3.Connection | None = None

    async def ask(self, written: Written, values: tuple[Any, ...]) -> Outcome:
        """Return what a question is answered."""
        if self._connection is None:
            self._connection = sqlite3.connect(self._path, timeout=self._busy_timeout, isolation_level=None)
            for pragma in ("query_only=ON", "trusted_schema=OFF"):
                self._connection.execute(f"PRAGMA {pragma}")
        # All rows at once: a question that is not read to its end would keep its moment, and the journal with it.
        return Outcome(self._connection.execute(written.text, values).fetchall())

    async def close(self) -> None:
        """Give up the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class PostgresGlance:
    """Asks PostgreSQL, where each question outside of a transaction is one of its own."""

    def __init__(self, url: URL, dialect: Dialect) -> None:
        _, options = dialect.create_connect_args(url)
        self._options = {name: value for name, value in options.items() if name not in _OF_SQLALCHEMY}
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

    async def ask(self, written: Written, values: tuple[Any, ...]) -> Outcome:
        """Return what a question is answered."""
        pool = self._pool or await self._open()
        return Outcome(await pool.fetch(written.text, *values))

    async def close(self) -> None:
        """Give up the connections."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    async def _open(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    **self._options,
                    min_size=0,
                    max_size=MOST_AT_ONCE,
                    server_settings=_SETTINGS,
                    reset=_leave_as_it_is,
                )
            return self._pool


# ---------------------------------------------------------------------------------------------------------------------

_OF_SQLALCHEMY: Final = frozenset({"prepared_statement_cache_size", "prepared_statement_name_func", "async_fallback"})


#: A plan is made once for each question: all of them go by keys, and to plan one takes longer than to carry it out.
_SETTINGS: Final = {"default_transaction_read_only": "on", "plan_cache_mode": "force_generic_plan"}


async def _leave_as_it_is(_connection: object) -> None:
    """Reset nothing: questions leave nothing behind, and asking PostgreSQL to forget it takes as long as a question."""
