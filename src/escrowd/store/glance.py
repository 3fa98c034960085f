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
    """Asks PostgreSQL, where each question outside of a transaction is one of its own.

    It keeps the few connections itself: the pool of the driver takes as long for one question as PostgreSQL does.
    """

    def __init__(self, url: URL, dialect: Dialect) -> None:
        _, options = dialect.create_connect_args(url)
        self._options = {name: value for name, value in options.items() if name not in _OF_SQLALCHEMY}
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)
        self._idle: list[asyncpg.Connection] = []
        self._open: set[asyncpg.Connection] = set()
        self._is_closed = False

    async def ask(self, written: Written, values: tuple[Any, ...]) -> Outcome:
        """Return what a question is answered."""
        async with self._turns:
            connection = self._unused() or await self._connect()
            try:
                rows = await connection.fetch(written.text, *values)
            except BaseException:
                # Whatever is under way on it, nobody waits for that any more.
                self._give_up(connection)
                raise
            if self._is_closed:
                self._give_up(connection)
            else:
                self._idle.append(connection)
            return Outcome(rows)

    async def close(self) -> None:
        """Give up the connections. One that is just being opened is given up after its question."""
        self._is_closed = True
        for connection in tuple(self._open):
            self._give_up(connection)
        self._idle.clear()

    def _unused(self) -> asyncpg.Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
            self._give_up(connection)
        return None

    async def _connect(self) -> asyncpg.Connection:
        connection = await asyncpg.connect(**self._options, server_settings=_SETTINGS)
        self._open.add(connection)
        return connection

    def _give_up(self, connection: asyncpg.Connection) -> None:
        self._open.discard(connection)
        connection.terminate()


# ---------------------------------------------------------------------------------------------------------------------

_OF_SQLALCHEMY: Final = frozenset({"prepared_statement_cache_size", "prepared_statement_name_func", "async_fallback"})


#: A plan is made once for each question: all of them go by keys, and to plan one takes longer than to carry it out.
_SETTINGS: Final = {"default_transaction_read_only": "on", "plan_cache_mode": "force_generic_plan"}
