import asyncio
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from escrowd.store.database import Database
from escrowd.store.errors import StoreError, WrongSchema
from escrowd.store.migrating import migrate
from escrowd.store.schema import metadata


def differences(connection: Connection) -> list[object]:
    options = {"compare_type": True, "compare_server_default": True}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def conditions(index: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(each) for each in (index.get("dialect_options") or {}).values())


def laws(connection: Connection) -> dict[str, object]:
    """Return the constraints and partial indexes of all tables, which alembic does not compare."""
    found = inspect(connection)
    return {
        table: (
            {(each["name"], each["sqltext"]) for each in found.get_check_constraints(table)},
            {(each["name"], conditions(each), each["unique"]) for each in found.get_indexes(table)},
            {each["name"] for each in found.get_unique_constraints(table)},
        )
        for table in metadata.tables
    }


async def test_migrated_schema_differs_from_that_of_the_program(empty_url: str) -> None:
    """The migrations make the very tables, constraints and indexes that the program means."""
    async with Database(empty_url) as database:
        async with database.engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
            meant = await connection.run_sync(laws)
            await connection.run_sync(metadata.drop_all)
        await migrate(database)
        async with database.engine.connect() as connection:
            assert await connection.run_sync(differences) == []
            assert await connection.run_sync(laws) == meant


async def test_newer_database_is_used_by_an_older_program(own_database: Database) -> None:
    """A database that a newer version has changed is refused, and stays as it is."""
    async with own_database.transaction() as session:
        await session.connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(WrongSchema):
        await migrate(own_database)
    async with own_database.reading() as session:
        kept = (await session.connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one()
    assert kept == "9999"


async def test_migrations_of_two_processes_meet(empty_url: str) -> None:
    """Several processes may bring the same database up to date at once, and doing it again changes nothing."""
    async with Database(empty_url) as one, Database(empty_url) as two, Database(empty_url) as three:
        await asyncio.gather(migrate(one), migrate(two), migrate(three))
        await migrate(one)
        async with two.engine.connect() as connection:
            assert await connection.run_sync(differences) == []


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
