"""The database behind everything: SQLite for one process, PostgreSQL for many, one code path.

SQLite: WAL, ``synchronous=FULL`` (a commit is on the medium before anybody hears of it), ``BEGIN IMMEDIATE``, and one
writer at a time in this process, so that nobody waits inside SQLite; readers wait for nobody. PostgreSQL: READ
COMMITTED, with row locks where a row is read to be changed; each law that two transactions could break together is a
constraint. Locks are taken in one order: escrow, its ledger and payouts, the log, the endpoints of webhooks, their
deliveries, and last the work rows by their keys.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import asyncpg  # type: ignore[import-untyped] # its types are in another package
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, EmulatedDBAPIException, InterfaceError
from sqlalchemy.exc import TimeoutError as SQLAlchemyTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from escrowd.store.errors import DatabaseUnavailable, StoreError
from escrowd.store.glance import Glance, PostgresGlance, SqliteGlance
from escrowd.store.postgres import begun_on_postgresql, postgresql_engine
from escrowd.store.prepared import Outcome, Prepared
from escrowd.store.session import NOW, Session
from escrowd.store.sqlite import begun_on_sqlite, sqlite_engine

#: Seconds that SQLite waits for a lock that another process has, where nothing else is said.
BUSY_TIMEOUT: Final = 30.0


class Database:
    """An open database. Enter it with ``async with``.

    With ``read_only`` nothing of it changes, on SQLite not even a file beside it: a missing one is not made.
    On SQLite a transaction waits up to ``busy_timeout`` seconds for a lock that another process has.
    """

    def __init__(self, url: str, *, read_only: bool = False, busy_timeout: float = BUSY_TIMEOUT) -> None:
        self.url: URL = _url(url)
        self._read_only = read_only
        self._busy_timeout = busy_timeout
        if self.dialect not in NOW:
            raise StoreError(
                f"escrowd keeps its data in SQLite or PostgreSQL, not in '{self.url.drivername}': {_EXAMPLES}"
            )
        self._writer = asyncio.Lock() if self.is_sqlite else None
        self._listeners: list[Callable[[str], None]] = []
        self._engine: AsyncEngine | None = None
        self._glance: Glance | None = None

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self.url.get_backend_name()

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of this process."""
        return self.dialect == "sqlite"

    async def __aenter__(self) -> Self:
        if self.is_sqlite and self.url.database and not self._read_only:
            _make_private(Path(self.url.database))
        self._engine = (
            sqlite_engine(self.url, self._busy_timeout, read_only=self._read_only)
            if self.is_sqlite
            else postgresql_engine(self.url, read_only=self._read_only)
        )
        self._glance = (
            SqliteGlance(self.url.database or "", self._busy_timeout)
            if self.is_sqlite
            else PostgresGlance(self.url, self._engine.dialect)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._glance is not None:
            await self._glance.close()
            self._glance = None
        if self._engine is not None:
            await self._engine.dispose()
            self._engine = None

    @property
    def engine(self) -> AsyncEngine:
        """The engine. On PostgreSQL it begins no transactions. An error outside of ``async with``."""
        if self._engine is None:
            raise RuntimeError("a Database is used inside 'async with' only")
        return self._engine

    def on_wake(self, listener: Callable[[str], None]) -> None:
        """Call the listener with the key of each work row that a committed transaction of this process has woken."""
        self._listeners.append(listener)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """Begin a transaction; it commits at the end of the block, and rolls back where the block raises.

        Raises:
            DatabaseUnavailable: no connection, no lock, or the connection broke. Unless it broke during the commit,
                nothing was stored.

        """
        async with _turn(self._writer), self._session(reads=False) as session:
            yield session
        for key in session.woken:
            self.tell_woken(key)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Session]:
        """Look at the database as it is at one moment, without waiting for writers. Writing in the block is refused.

        Raises:
            DatabaseUnavailable: no connection, or it broke.

        """
        async with self._session(reads=True) as session:
            yield session

    async def run(self, prepared: Prepared, **values: Any) -> Outcome:
        """Ask a single question outside of any transaction, as of its own moment. Writing is refused.

        Raises:
            DatabaseUnavailable: no connection, or it broke.

        """
        written = prepared.on(self.engine.dialect)
        if self._glance is None:
            raise RuntimeError("a Database is used inside 'async with' only")
        async with _mapped():
            return await self._glance.ask(written, written.values(values))

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """Lend a connection for what is no transaction, such as listening.

        Raises:
            DatabaseUnavailable: no connection, or it broke.

        """
        async with _mapped(), self.engine.connect() as connection:
            yield connection

    def tell_woken(self, key: str) -> None:
        """Tell the listeners that a work row is due."""
        for listener in self._listeners:
            listener(key)

    @asynccontextmanager
    async def _session(self, *, reads: bool) -> AsyncIterator[Session]:
        begun = begun_on_sqlite if self.is_sqlite else begun_on_postgresql
        async with _mapped(), _inside(), begun(self.engine, reads=reads) as connection:
            session = Session(connection, self.dialect)
            yield session
            # In a look, too: a change that was put off is refused like any other.
            await session.finish()


def is_in_transaction() -> bool:
    """Tell whether the caller is inside a transaction: nobody waits for another service there."""
    return _IN_TRANSACTION.get()


# ---------------------------------------------------------------------------------------------------------------------

_IN_TRANSACTION: Final = ContextVar("in_transaction", default=False)
_EXAMPLES: Final = "give a URL such as sqlite+aiosqlite:///FILE or postgresql+asyncpg://USER@HOST/NAME"


def _url(text: str) -> URL:
    try:
        return make_url(text)
    except ArgumentError:
        # Without the text: it may hold a password.
        raise StoreError(f"the address of the database is no URL: {_EXAMPLES}") from None


def _make_private(path: Path) -> None:
    """Make the file before SQLite does, readable by its owner only: the journals take their rights from it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


@asynccontextmanager
async def _inside() -> AsyncIterator[None]:
    before = _IN_TRANSACTION.get()
    _IN_TRANSACTION.set(True)
    try:
        yield
    finally:
        _IN_TRANSACTION.set(before)


@asynccontextmanager
async def _turn(lock: asyncio.Lock | None) -> AsyncIterator[None]:
    if lock is None:
        yield
        return
    async with lock:
        yield


@asynccontextmanager
async def _mapped() -> AsyncIterator[None]:
    """Turn the troubles of a database into ours, once. What a constraint refuses is mapped where it is expected."""
    try:
        yield
    except _TROUBLES as error:
        if _is_outage(error):
            raise DatabaseUnavailable(f"the database did not answer: {_reason(error)}") from error
        raise StoreError(f"the database refused: {_reason(error)}") from error


#: What SQLAlchemy, the drivers under it and the system tell of.
_TROUBLES: Final = (
    DBAPIError,
    EmulatedDBAPIException,
    SQLAlchemyTimeout,
    sqlite3.Error,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    OSError,
)


def _is_outage(error: BaseException) -> bool:
    """Tell a database that is away, locked or full from one that was asked something wrong."""
    original = getattr(error, "orig", None) or error
    if isinstance(original, sqlite3.Error):
        return isinstance(original, sqlite3.OperationalError) and original.sqlite_errorcode != sqlite3.SQLITE_ERROR
    state = _state(original)
    if state:
        return state[:2] in _OUTAGES
    return not isinstance(error, DBAPIError) or error.connection_invalidated or isinstance(error, InterfaceError)


#: Classes of SQLSTATE: connection, serialization and deadlocks, resources, locks, and the operator's intervention.
_OUTAGES: Final = frozenset({"08", "40", "53", "55", "57"})


def _state(error: BaseException | None) -> str:
    return str(getattr(error, "sqlstate", None) or "")


#: The class of SQLSTATE for values that do not fit; PostgreSQL repeats them.
_DATA: Final = "22"


def _reason(error: BaseException) -> str:
    # Without the statement and its parameters: they may hold what nobody should read in a log.
    original = getattr(error, "orig", None) or error
    name, text = type(original).__name__, str(original)
    said = (original, original.__cause__)
    says_values = any(isinstance(each, ValueError) or _state(each)[:2] == _DATA for each in said)
    return name if says_values or not text else f"{name}: {text.splitlines()[0]}"
