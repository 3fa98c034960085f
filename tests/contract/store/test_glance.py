import asyncio

from sqlalchemy import text

from escrowd.store.database import Database
from escrowd.store.overview import OverviewTable
from escrowd.testing.postgres import PostgresServer
from tests.contract.conftest import SHARED

#: As PostgreSQL counts whoever is connected to the database of a test, but for who asks.
CONNECTED = (
    f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{SHARED}' AND pid <> pg_backend_pid() "  # noqa: S608
    "AND backend_type = 'client backend'"
)


async def test_closed_database_stays_connected(postgres: PostgresServer) -> None:
    """A database that is closed leaves no connection, whatever was being asked or opened at that moment."""
    for tries in range(8):
        async with Database(postgres.url(SHARED)) as database:
            asked = [asyncio.create_task(OverviewTable(database).of([])) for _ in range(8)]
            # Long enough now and then for a connection to be half open, and for an answer to be under way.
            await asyncio.sleep(0.004 * tries)
        await asyncio.gather(*asked, return_exceptions=True)
    assert await _connected(postgres) == 0


async def _connected(postgres: PostgresServer) -> int:
    """Count the connections, once the server has noticed which are closed."""
    async with Database(postgres.url("postgres")) as server:
        tries = 100
        while True:
            async with server.connection() as connection:
                count = int((await connection.execute(text(CONNECTED))).scalar_one())
            tries -= 1
            if not (count and tries):
                return count
            await asyncio.sleep(0.05)
