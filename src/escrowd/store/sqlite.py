"""Connections to SQLite as the store wants them: quick, and without a lock that outlives its transaction.

Each connection of aiosqlite has a thread, and every call waits for it. SQLAlchemy makes four calls for a statement: one
of them does everything here.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import aiosqlite
from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from typing_extensions import override

#: The execution option of a connection that only reads.
READS: Final = "escrowd_reads"


def sqlite_engine(url: URL, busy_timeout: float, *, read_only: bool = False) -> AsyncEngine:
    """Make an engine whose transactions wait so many seconds for a lock that another process has.

    With ``read_only`` its connections change neither the database nor a file beside it.
    """
    place = partial(_place_to_read, Path(url.database or "")) if read_only else partial(_place, url.database or "")
    engine = create_async_engine(url, async_creator=partial(_connect, place, busy_timeout))
    event.listen(engine.sync_engine, "connect", _prepare_to_read if read_only else _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


# ---------------------------------------------------------------------------------------------------------------------


def _place(path: str) -> str:
    return Path(path).absolute().as_uri()


def _place_to_read(path: Path) -> str:
    """Return where to read a database. Where it has no journal nobody has it open, and SQLite would make one."""
    is_open = path.with_name(f"{path.name}-wal").exists()
    return f"{_place(str(path))}?{'mode=ro' if is_open else 'mode=ro&immutable=1'}"


async def _connect(place: Callable[[], str], busy_timeout: float) -> aiosqlite.Connection:
    # Without a level of isolation: the driver would begin transactions by itself, and later than we want.
    connect = partial(
        sqlite3.connect,
        place(),
        uri=True,
        timeout=busy_timeout,
        isolation_level=None,
        check_same_thread=False,
        factory=_SqliteConnection,
    )
    connection = _Connection(connect, iter_chunk_size=64)
    connection._thread.daemon = True  # noqa: SLF001 - as SQLAlchemy does: an abandoned one must not keep us alive
    return await connection


def _prepare(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _prepare_to_read(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("query_only=ON", "trusted_schema=OFF"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Any) -> None:
    reads = connection.get_execution_options().get(READS, False)
    if connection.info.get(READS, False) is not reads:
        connection.exec_driver_sql(f"PRAGMA query_only={'ON' if reads else 'OFF'}")
        connection.info[READS] = reads
    # Taking the write lock at once: a transaction that reads first and writes later could find it taken in between.
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


class _SqliteConnection(sqlite3.Connection):
    """A connection that ends its transaction before it is closed.

    The connection of a transaction that was cancelled is closed. SQLite keeps one open, with its lock, until the last
    statement on it is gone, and that hangs on the traceback of the cancellation: everybody else would wait for it.
    """

    @override
    def close(self) -> None:
        self.rollback()
        super().close()


class _Connection(aiosqlite.Connection):
    """A connection whose cursors do everything at once."""

    @override
    def cursor(self) -> "_Cursor":  # type: ignore[override] # SQLAlchemy asks for no more than these cursors have
        return _Cursor(self)


class _Cursor:
    """Carries out a statement and fetches all its rows, in one visit to the thread."""

    def __init__(self, connection: _Connection) -> None:
        self.description: Sequence[Any] | None = None
        self.rowcount = -1
        self.lastrowid = 0
        self.arraysize = 1
        self._connection = connection
        self._rows: list[Any] = []

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, statement: str, parameters: Iterable[Any] = ()) -> None:
        await self._visit(lambda connection: connection.execute(statement, tuple(parameters)))

    async def executemany(self, statement: str, parameters: Iterable[Sequence[Any]]) -> None:
        await self._visit(lambda connection: connection.executemany(statement, list(parameters)))

    async def fetchall(self) -> list[Any]:
        return self._rows

    async def close(self) -> None:
        self._rows = []

    async def _visit(self, act: Callable[[sqlite3.Connection], sqlite3.Cursor]) -> None:
        visit: Any = self._connection._execute  # noqa: SLF001 - how aiosqlite's own cursors do it
        try:
            await visit(partial(self._run, act))
        except asyncio.CancelledError:
            # The connection is closed next, and would wait for the end of a statement that nobody waits for.
            await self._connection.interrupt()
            raise

    def _run(self, act: Callable[[sqlite3.Connection], sqlite3.Cursor]) -> None:
        cursor = act(self._connection._conn)  # noqa: SLF001 - the thread's own
        try:
            # Some statements know how many rows they have changed only when their own rows were fetched.
            self._rows = cursor.fetchall()
            self.description, self.rowcount, self.lastrowid = cursor.description, cursor.rowcount, cursor.lastrowid or 0
        finally:
            cursor.close()
