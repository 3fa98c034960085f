import asyncio
import stat
from pathlib import Path

import pytest
from sqlalchemy import text

from escrowd.domain.escrow.status import Status
from escrowd.store.database import Database
from escrowd.store.errors import StoreError
from escrowd.store.migrating import migrate
from escrowd.store.session import driver_of
from escrowd.store.store import SqlStore
from tests.contract.store.samples import escrow_id, life, store_steps


async def test_file_is_readable_by_others(tmp_path: Path) -> None:
    """The database file and its journals can be read by their owner only."""
    path = tmp_path / "made" / "escrowd.sqlite"
    async with Database(f"sqlite+aiosqlite:///{path}") as database:
        await migrate(database)
        rights = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert rights == dict.fromkeys(("escrowd.sqlite", "escrowd.sqlite-wal", "escrowd.sqlite-shm"), 0o600)


async def test_commit_is_not_on_the_medium(tmp_path: Path) -> None:
    """On SQLite a commit is in the journal on the medium before anybody hears of it, and foreign keys hold."""
    async with (
        Database(f"sqlite+aiosqlite:///{tmp_path / 'escrowd.sqlite'}") as database,
        database.reading() as session,
    ):
        found = [
            (await session.connection.execute(text(f"PRAGMA {name}"))).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert found == ["wal", 2, 1]


async def test_reader_writes(database: Database) -> None:
    """A look at the database cannot change it, and the next transaction can."""
    with pytest.raises(StoreError):
        async with database.reading() as session:
            await session.connection.execute(text("INSERT INTO nodes VALUES ('n', 1)"))
    for _ in range(3):
        async with database.transaction() as session:
            await session.connection.execute(text("DELETE FROM nodes"))


async def test_reader_waits_for_a_writer(database: Database) -> None:
    """A reader sees what was committed, at once, while a transaction is open that changes it."""
    async with database.transaction() as session:
        await session.connection.execute(text("INSERT INTO nodes VALUES ('n', 1)"))
        async with asyncio.timeout(5), database.reading() as reader:
            assert (await reader.connection.execute(text("SELECT count(*) FROM nodes"))).scalar_one() == 0


async def test_address_of_another_database_is_taken() -> None:
    """Only the two databases that are tested are taken; the error names both."""
    with pytest.raises(StoreError, match="sqlite") as raised:
        Database("mysql+aiomysql://localhost/escrowd")
    assert "postgresql+asyncpg://" in str(raised.value)


async def test_errors_of_a_database_show_what_was_asked(database: Database) -> None:
    """What the database refuses is our own error, without the statement and its values."""
    with pytest.raises(StoreError) as raised:
        async with database.transaction() as session:
            await session.connection.execute(text("INSERT INTO absent VALUES ('a secret')"))
    assert "a secret" not in str(raised.value)
    assert type(raised.value) is StoreError


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    "statement", ["SELECT CAST(CAST(:value AS TEXT) AS INTEGER)", "SELECT CAST(:value AS INTEGER)"]
)
async def test_errors_of_postgresql_show_what_was_given(database: Database, statement: str) -> None:
    """A value that does not fit is not repeated, whether the server refuses it or the driver already does."""
    with pytest.raises(StoreError) as raised:
        async with database.transaction() as session:
            await session.connection.execute(text(statement), {"value": "a secret"})
    assert "a secret" not in str(raised.value)
    with pytest.raises(StoreError) as raised:
        async with database.transaction() as session:
            await driver_of(session.connection).fetch("SELECT CAST($1 AS INTEGER)", "a secret")
    assert "a secret" not in str(raised.value)


async def test_view_mixes_two_moments(database: Database) -> None:
    """All that is seen in one look is of one moment, whatever is committed meanwhile."""
    store = SqlStore(database, "node")
    await store_steps(store, life(Status.FUNDED)[:-1])
    async with store.reading() as looking:
        before = await looking.escrows.load(escrow_id(1))
        await store_steps(store, life(Status.FUNDED)[-1:])
        assert await looking.escrows.load(escrow_id(1)) == before
        assert (await looking.escrows.log(escrow_id(1)))[-1].version == before.version
    async with store.reading() as looking:
        assert (await looking.escrows.load(escrow_id(1))).version == before.version + 1
