"""Databases with something of everything in them, and empty ones to restore into."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from escrowd.store.database import Database
from escrowd.testing.postgres import PostgresServer
from escrowd.wallets.vault import KEY_BYTES, Vault
from tests.contract.backups.contents import Contents, fill
from tests.contract.conftest import sqlite_url


@pytest.fixture
def vault() -> Vault:
    return Vault(b"the vault key of these tests:" + bytes(KEY_BYTES - 29))


@pytest_asyncio.fixture
async def contents(database: Database, vault: Vault) -> Contents:
    """Fill the database."""
    return await fill(database, vault)


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
