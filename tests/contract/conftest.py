import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from escrowd.store.database import Database
from escrowd.store.migrating import migrate
from escrowd.testing.postgres import PostgresServer
from tests.contract.database_clock import DatabaseClock

#: A database with all tables that stays as it is, and one that all tests share which only fill and empty it: making a
#: copy takes most of a second.
TEMPLATE, SHARED = "migrated", "shared"
#: Whoever is still connected is a process of an earlier test. Triggers are off, since the history refuses to go. The
#: server is asked for the tables: those that the program knows depend on which of its modules a test has loaded.
EMPTY_ALL_TABLES = "; ".join(
    (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        "SET session_replication_role = replica",
        "DO $$ DECLARE found record; BEGIN "
        "FOR found IN SELECT tablename FROM pg_tables "
        "WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP "
        "EXECUTE format('DELETE FROM %I', found.tablename); END LOOP; END $$",
    )
)


def sqlite_url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


def sqlite_copy(template: Path, directory: Path) -> str:
    copy = directory / "escrowd.sqlite"
    shutil.copy(template, copy)
    return sqlite_url(copy)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres() -> AsyncIterator[PostgresServer]:
    """One server for the whole session."""
    async with PostgresServer() as server:
        await server.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0")
        async with Database(server.url(TEMPLATE)) as database:
            await migrate(database)
        await server.execute(f"CREATE DATABASE {SHARED} TEMPLATE {TEMPLATE}")
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an SQLite file with all tables, to be copied."""
    path = tmp_path_factory.mktemp("template") / "escrowd.sqlite"
    async with Database(sqlite_url(path)) as database:
        await migrate(database)
    return path


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def empty_url(request: pytest.FixtureRequest, postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[str]:
    """Give the URL of a database without tables."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path / "escrowd.sqlite")
        return
    async with postgres.database() as name:
        yield postgres.url(name)


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def own_url(
    request: pytest.FixtureRequest, postgres: PostgresServer, sqlite_template: Path, tmp_path: Path
) -> AsyncIterator[str]:
    """Give the URL of a database with all tables that the test may spoil, and use from other processes."""
    if request.param == "sqlite":
        yield sqlite_copy(sqlite_template, tmp_path)
        return
    async with postgres.database(TEMPLATE) as name:
        yield postgres.url(name)


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def database_url(
    request: pytest.FixtureRequest, postgres: PostgresServer, sqlite_template: Path, tmp_path: Path
) -> str:
    """Give the URL of a database with all tables, which are empty, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return sqlite_copy(sqlite_template, tmp_path)
    await postgres.execute(EMPTY_ALL_TABLES, SHARED)
    return postgres.url(SHARED)


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Give an open database with all tables."""
    async with Database(database_url) as database:
        yield database


@pytest_asyncio.fixture
async def own_database(own_url: str) -> AsyncIterator[Database]:
    """Give an open database with all tables that the test may spoil."""
    async with Database(own_url) as database:
        yield database


@pytest_asyncio.fixture
async def database_clock(own_url: str, postgres: PostgresServer) -> DatabaseClock:
    """Give the clock of a database with all tables, to be opened by it."""
    clock = DatabaseClock(own_url, postgres)
    await clock.install()
    return clock
