"""A database whose clock a test sets: what the store asks its database for is answered by functions of the test."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from sqlalchemy import event

from escrowd.service.clock import BEAT_INTERVAL
from escrowd.store.database import Database
from escrowd.store.store import SqlStore
from escrowd.testing.postgres import PostgresServer

DAY: Final = 86_400.0
#: Found before the function of the same name in ``pg_catalog``, by the search path of the database.
OUR_CLOCK: Final = """
CREATE SCHEMA test_clock;
CREATE TABLE test_clock.error (seconds double precision NOT NULL);
INSERT INTO test_clock.error VALUES (0);
CREATE FUNCTION test_clock.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE AS
  'SELECT pg_catalog.statement_timestamp() + (SELECT seconds FROM test_clock.error) * interval ''1 second''';
"""
SET_ERROR: Final = "UPDATE test_clock.error SET seconds = {seconds}"
SEARCH_PATH: Final = "ALTER DATABASE {name} SET search_path = test_clock, pg_catalog, public"
EPOCH_OF_JULIAN_DAYS: Final = 2440587.5


class DatabaseClock:
    """Sets the clock of one database, SQLite or PostgreSQL. The service cannot know whether time passes or it jumps."""

    def __init__(self, url: str, server: PostgresServer) -> None:
        self._url = url
        self._server = server
        self._error = 0.0

    @property
    def _name(self) -> str | None:
        return None if self._url.startswith("sqlite") else self._url.rpartition("/")[2]

    async def install(self) -> None:
        """Put our clock into a database of PostgreSQL; that of SQLite is put into each connection."""
        if self._name is not None:
            await self._server.execute(OUR_CLOCK, self._name)
            await self._server.execute(SEARCH_PATH.format(name=self._name))

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Database]:
        """Open the database, as one instance of the service does."""
        async with Database(self._url) as database:
            if database.is_sqlite:
                event.listen(database.engine.sync_engine, "connect", self._put_into)
            yield database

    async def jump(self, seconds: float) -> None:
        """Set the clock forward, or back, while no time passes."""
        self._error += seconds
        if self._name is not None:
            await self._server.execute(SET_ERROR.format(seconds=self._error), self._name)

    async def pass_time(self, seconds: float, database: Database) -> None:
        """Let time pass without waiting for it, while an instance beats."""
        for passed in (*[BEAT_INTERVAL] * int(seconds // BEAT_INTERVAL), seconds % BEAT_INTERVAL):
            await self.jump(passed)
            await beat(database)

    def _put_into(self, connection: Any, _record: object) -> None:
        connection.driver_connection._conn.create_function("julianday", 1, self._julian_day)

    def _julian_day(self, _when: str) -> float:
        return EPOCH_OF_JULIAN_DAYS + (time.time() + self._error) / DAY


async def beat(database: Database) -> int:
    """Beat once, as each instance does every five seconds, and return the running clock."""
    async with SqlStore(database, "node").transaction() as tx:
        return (await tx.clock.beat(counts=True)).running
