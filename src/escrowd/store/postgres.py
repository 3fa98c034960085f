"""Connections to PostgreSQL as the store wants them: transactions that are begun and ended on the driver itself.

SQLAlchemy would begin one with the first statement that goes through it, and most do not: what is prepared goes to the
driver. So its connections begin nothing by themselves, and hand statements through into the transaction that is there.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg  # type: ignore[import-untyped] # its types are in another package
import structlog
from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DisconnectionError, InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from escrowd.store.errors import StoreError
from escrowd.store.session import driver_of, give_up

log = structlog.get_logger()


def postgresql_engine(url: URL, *, read_only: bool) -> AsyncEngine:
    """Make an engine whose connections begin no transactions. With ``read_only`` they change nothing."""
    options = {"server_settings": {"default_transaction_read_only": "on"}} if read_only else {}
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT", pool_size=10, connect_args=options)
    event.listen(engine.sync_engine, "checkout", _refuse_unfit)
    return engine


@asynccontextmanager
async def begun_on_postgresql(engine: AsyncEngine, *, reads: bool) -> AsyncIterator[AsyncConnection]:
    """Begin a transaction; it commits at the end of the block, and rolls back where the block raises.

    What was cut off half-way may still be under way, and after a failed rollback nobody knows how things stand: then
    the connection is closed, which ends the transaction.
    """
    async with engine.connect() as connection:
        driver = driver_of(connection)
        try:
            await driver.execute(_BEGIN_READING if reads else _BEGIN_WRITING)
            yield connection
            await _commit(driver)
        except Exception:
            await _roll_back(connection, driver)
            raise
        except BaseException:
            await give_up(connection)
            raise


# ---------------------------------------------------------------------------------------------------------------------

#: Named, since a server can be set up to begin other ones.
_BEGIN_WRITING: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
#: One snapshot for all statements of the transaction.
_BEGIN_READING: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_COMMIT: Final = "COMMIT"
_ROLLBACK: Final = "ROLLBACK"


async def _commit(driver: asyncpg.Connection) -> None:
    # PostgreSQL rolls back where a statement had failed, and says so instead of refusing.
    done = await driver.execute(_COMMIT)
    if done != _COMMIT:
        raise StoreError("the transaction was not stored, because a statement in it had failed")


async def _roll_back(connection: AsyncConnection, driver: asyncpg.Connection) -> None:
    try:
        if driver.is_in_transaction():
            await driver.execute(_ROLLBACK)
    except BaseException as error:
        await give_up(connection)
        if not isinstance(error, Exception):
            raise


def _refuse_unfit(connection: Any, _record: object, _proxy: object) -> None:
    """Let the pool replace its connections where one has broken since it was used: the driver has heard of that.

    The usual way is to ask the server something before each transaction, which takes as long as a statement.
    """
    driver = connection.driver_connection
    if driver.is_closed():
        raise InvalidatePoolError("the server has closed the connection")
    if driver.is_in_transaction():
        # What follows would be stored with something else, or not at all.
        log.error("store.left_in_transaction")
        raise DisconnectionError("the connection was given back within a transaction")
