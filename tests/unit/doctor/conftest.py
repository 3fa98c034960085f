import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from escrowd.store.database import Database
from escrowd.store.migrating import migrate
from tests.doctor_place import Place, StubDaemon, make_place, store_api_key, stub_daemon


@pytest_asyncio.fixture
async def daemon() -> AsyncIterator[StubDaemon]:
    """Run a daemon that answers as the test wants."""
    async with stub_daemon() as daemon:
        yield daemon


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an SQLite file with all tables and an API key, to be copied."""
    path = tmp_path_factory.mktemp("template") / "escrowd.sqlite"
    async with Database(f"sqlite+aiosqlite:///{path}") as database:
        await migrate(database)
        await store_api_key(database)
    return path


@pytest_asyncio.fixture
async def place(tmp_path: Path, daemon: StubDaemon, migrated_file: Path) -> Place:
    """Give a place in which nothing is wrong."""
    place = make_place(tmp_path / "place", daemon.port)
    shutil.copy(migrated_file, place.data / "escrowd.sqlite")
    return place
