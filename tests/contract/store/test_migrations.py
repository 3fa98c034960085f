import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from escrowd.store.database import Database
from escrowd.store.errors import WrongSchema
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
        async with database.transaction() as session:
            await session.connection.run_sync(metadata.create_all)
            meant = await session.connection.run_sync(laws)
            await session.connection.run_sync(metadata.drop_all)
        await migrate(database)
        async with database.connection() as connection:
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
        async with two.connection() as connection:
            assert await connection.run_sync(differences) == []
