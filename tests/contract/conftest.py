from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from escrowd.store.database import Database
from escrowd.store.migrating import migrate
from escrowd.testing.postgres import PostgresServer

#: A migrated database, of which each test gets a copy.
TEMPLATE = "migrated"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres() -> AsyncIterator[PostgresServer]:
    """One server for the whole session; each test has a database of its own on it."""
    async with PostgresServer() as server:
        await server.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0")
        async with Database(server.url(TEMPLATE)) as database:
            await migrate(database)
        yield server


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def empty_url(request: pytest.FixtureRequest, postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[str]:
    """Give the URL of a database without tables."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'escrowd.sqlite'}"
        return
    async with postgres.database() as name:
        yield postgres.url(name)


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def database_url(request: pytest.FixtureRequest, postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[str]:
    """Give the URL of a database with all tables, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path / 'escrowd.sqlite'}"
        async with Database(url) as database:
            await migrate(database)
        yield url
        return
    async with postgres.database(TEMPLATE) as name:
        yield postgres.url(name)


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Give an open database with all tables."""
    async with Database(database_url) as database:
        yield database
