"""Connections to SQLite as the store wants them: quick, and without a lock that outlives its transaction.

Each connection of aiosqlite has a thread, and every visit to it takes longer than most statements do. So only what
waits for the medium goes there. Everything else is done in place: in a transaction that has begun, a statement of the
store waits for nobody, since a writer has its lock and a reader needs none.
"""

import asyncio
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import aiosqlite
from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from typing_extensions import override

from escrowd.store.prepared import Outcome

ResultT = TypeVar("ResultT")

#: The execution option of a connection that only reads.
_READS: Final = "escrowd_reads"
#: Begins a transaction with the lock of the writer, and waits for it.
BEGIN_WRITING: Final = "BEGIN IMMEDIATE"
_BEGIN_READING: Final = "BEGIN"
_QUERY_ONLY: Final = {reads: f"PRAGMA query_only={'ON' if reads else 'OFF'}" for reads in (True, False)}
#: Beside what is prepared, these are done at once.
IN_PLACE: Final = frozenset({_BEGIN_READING, *_QUERY_ONLY.values()})


def sqlite_engine(url: URL, busy_timeout: float, *, read_only: bool = False) -> AsyncEngine:
    """Make an engine whose transactions wait so many seconds for a lock that another process has.

    With ``read_only`` its connections change neither the database nor a file beside it.
    """
    place = partial(_place_to_read, Path(url.database or "")) if read_only else partial(_place, url.database or "")
    creator = partial(_connect, place, busy_timeout, journals=not read_only)
    engine = create_async_engine(url, async_creator=creator)
    event.listen(engine.sync_engine, "connect", _prepare_to_read if read_only else _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


@asynccontextmanager
async def begun_on_sqlite(engine: AsyncEngine, *, reads: bool) -> AsyncIterator[AsyncConnection]:
    """Begin a transaction; it commits at the end of the block, and rolls back where the block raises."""
    async with engine.connect() as plain:
        connection = await plain.execution_options(**{_READS: True}) if reads else plain
        async with connection.begin():
            yield connection


# ---------------------------------------------------------------------------------------------------------------------


def _place(path: str) -> str:
    return Path(path).absolute().as_uri()


def _place_to_read(path: Path) -> str:
    """Return where to read a database. Where it has no journal nobody has it open, and SQLite would make one."""
    is_open = path.with_name(f"{path.name}-wal").exists()
    return f"{_place(str(path))}?{'mode=ro' if is_open else 'mode=ro&immutable=1'}"


def _opened(place: str, busy_timeout: float, *, journals: bool) -> sqlite3.Connection:
    """Open a file, in the thread of its connection; with ``journals`` as one that keeps a journal of writes."""
    connection = sqlite3.connect(
        place,
        uri=True,
        timeout=busy_timeout,
        isolation_level=None,
        check_same_thread=False,
        factory=_SqliteConnection,
    )
    deadline = time.monotonic() + busy_timeout
    while journals:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
            break
        except sqlite3.OperationalError as error:
            # Of two who make this change to a new file at once one is refused without waiting, whatever its patience.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                connection.close()
                raise
            time.sleep(_PAUSE)
    return connection


#: Seconds between two tries at a file that somebody else is changing.
_PAUSE: Final = 0.01


async def _connect(place: Callable[[], str], busy_timeout: float, *, journals: bool) -> aiosqlite.Connection:
    # Without a level of isolation: the driver would begin transactions by itself, and later than we want.
    connection = InPlace(partial(_opened, place(), busy_timeout, journals=journals), iter_chunk_size=64)
    connection.busy_timeout = busy_timeout
    connection._thread.daemon = True  # noqa: SLF001 - as SQLAlchemy does: an abandoned one must not keep us alive
    return await connection


def _prepare(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _prepare_to_read(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("query_only=ON", "trusted_schema=OFF"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Any) -> None:
    reads = connection.get_execution_options().get(_READS, False)
    if connection.info.get(_READS, False) is not reads:
        connection.exec_driver_sql(_QUERY_ONLY[reads])
        connection.info[_READS] = reads
    # Taking the write lock at once: a transaction that reads first and writes later could find it taken in between.
    connection.exec_driver_sql(_BEGIN_READING if reads else BEGIN_WRITING)


class _SqliteConnection(sqlite3.Connection):
    """A connection that ends its transaction before it is closed.

    The connection of a transaction that was cancelled is closed. SQLite keeps one open, with its lock, until the last
    statement on it is gone, and that hangs on the traceback of the cancellation: everybody else would wait for it.
    """

    @override
    def close(self) -> None:
        # Of one that is closed already there is nothing to roll back.
        with suppress(sqlite3.ProgrammingError):
            self.rollback()
        super().close()


#: Seconds between two tries to become the writer. The first is longer than most transactions take.
_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.02
#: How long SQLite itself waits for a lock, in milliseconds.
_PATIENCE: Final = "PRAGMA busy_timeout={}"
#: Of an error code of SQLite, what is left without its details.
_PRIMARY_CODE: Final = 0xFF


class InPlace(aiosqlite.Connection):
    """A connection whose thread is visited only for what may wait."""

    #: Seconds that it waits for a lock that another process has.
    busy_timeout = 0.0
    #: Whether the transaction under way may have changed something.
    is_writing = False
    #: Whether the thread was visited and has not come back: who waited for it was cancelled.
    _is_away = False

    @override
    def cursor(self) -> "_Cursor":  # type: ignore[override] # SQLAlchemy asks for no more than these cursors have
        return _Cursor(self)

    @override
    async def commit(self) -> None:
        await self.do(sqlite3.Connection.commit, waits=self.is_writing)
        self.is_writing = False

    @override
    async def rollback(self) -> None:
        await self.do(sqlite3.Connection.rollback)
        self.is_writing = False

    def run(self, statement: str, values: tuple[Any, ...]) -> Outcome:
        """Carry out a statement in place, in the transaction that has begun."""
        cursor = self._conn.execute(statement, values)
        try:
            # Some statements know how many rows they have changed only when their own rows were fetched.
            return Outcome(cursor.fetchall(), cursor.rowcount)
        finally:
            cursor.close()

    async def begin_writing(self) -> None:
        """Begin a transaction with the lock of the writer, and wait for it as long as our patience lasts.

        It is asked for again and again. SQLite would wait by itself, in a thread and deaf to ``interrupt``: who waits
        and is cancelled would go on only when somebody else has given the lock back.

        Raises:
            sqlite3.OperationalError: another process has it for too long.

        """
        deadline = time.monotonic() + self.busy_timeout
        pause = _FIRST_PAUSE
        self.is_writing = True
        while refusal := await self.do(self._refusal_to_begin):
            if time.monotonic() >= deadline:
                raise refusal
            await asyncio.sleep(pause * (0.5 + random.random()))  # noqa: S311 - it only spreads load
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def do(self, act: Callable[[sqlite3.Connection], ResultT], *, waits: bool = False) -> ResultT:
        """Do something with the connection: in its thread where it may wait, or where that is still at work."""
        if not (waits or self._is_away):
            return act(self._conn)
        self._is_away = True
        visit: Any = self._execute  # how aiosqlite's own cursors do it
        result: ResultT = await visit(act, self._conn)
        self._is_away = False
        return result

    def _refusal_to_begin(self, connection: sqlite3.Connection) -> sqlite3.OperationalError | None:
        connection.execute(_PATIENCE.format(0)).close()
        try:
            connection.execute(BEGIN_WRITING).close()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & _PRIMARY_CODE != sqlite3.SQLITE_BUSY:
                raise
            return error
        finally:
            connection.execute(_PATIENCE.format(round(self.busy_timeout * 1000))).close()
        return None


class _Cursor:
    """Carries out a statement and fetches all its rows, at once."""

    def __init__(self, connection: InPlace) -> None:
        self.description: Sequence[Any] | None = None
        self.rowcount = -1
        self.lastrowid = 0
        self.arraysize = 1
        self._connection = connection
        self._rows: list[Any] = []

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, statement: str, parameters: Iterable[Any] = ()) -> None:
        if statement == BEGIN_WRITING:
            await self._connection.begin_writing()
            return
        # Of a statement that was not prepared nobody knows how long it takes.
        waits = statement not in IN_PLACE
        await self._do(lambda it: self._keep(it.execute(statement, tuple(parameters))), waits=waits)

    async def executemany(self, statement: str, parameters: Iterable[Sequence[Any]]) -> None:
        await self._do(lambda it: self._keep(it.executemany(statement, list(parameters))), waits=True)

    async def fetchall(self) -> list[Any]:
        return self._rows

    async def close(self) -> None:
        self._rows = []

    async def _do(self, act: Callable[[sqlite3.Connection], None], *, waits: bool) -> None:
        try:
            await self._connection.do(act, waits=waits)
        except asyncio.CancelledError:
            # The connection is closed next, and would wait for the end of a statement that nobody waits for.
            await self._connection.interrupt()
            raise

    def _keep(self, cursor: sqlite3.Cursor) -> None:
        try:
            # Some statements know how many rows they have changed only when their own rows were fetched.
            self._rows = cursor.fetchall()
            self.description, self.rowcount, self.lastrowid = cursor.description, cursor.rowcount, cursor.lastrowid or 0
        finally:
            cursor.close()
