"""Backups of databases with something of everything in them, and empty databases to restore into."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from escrowd.testing.postgres import PostgresServer
from escrowd.wallets.vault import Vault
from tests.contract.backups.contents import VAULT, Original, original_of
from tests.contract.conftest import TEMPLATE, sqlite_copy, sqlite_url


@pytest.fixture
def vault() -> Vault:
    return VAULT


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def of_sqlite(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Original:
    """Fill a database on SQLite and back it up, once for each module."""
    directory = tmp_path_factory.mktemp("original")
    return await original_of(sqlite_copy(sqlite_template, directory), directory / "backup.tar")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def of_postgresql(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Original]:
    """Fill a database on PostgreSQL and back it up, once for each module."""
    async with postgres.database(TEMPLATE) as name:
        yield await original_of(postgres.url(name), tmp_path_factory.mktemp("original") / "backup.tar")


@pytest.fixture(params=["sqlite", "postgresql"])
def original(request: pytest.FixtureRequest, of_sqlite: Original, of_postgresql: Original) -> Original:
    """Give a backup with what it was made of, from either database."""
    return of_sqlite if request.param == "sqlite" else of_postgresql


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def target_url(request: pytest.FixtureRequest, postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[str]:
    """Give the URL of another database, without tables."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path / "second life" / "escrowd.sqlite")
        return
    async with postgres.database() as name:
        yield postgres.url(name)


@pytest.fixture
def sqlite_target(tmp_path: Path) -> str:
    """Give the URL of another database, without tables, on SQLite."""
    return sqlite_url(tmp_path / "second life" / "escrowd.sqlite")
