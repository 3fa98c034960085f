import asyncio
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import select, text

from escrowd.domain.errors import Retry
from escrowd.store import schema
from escrowd.store.database import Database
from escrowd.store.errors import DatabaseUnavailable, StoreError
from escrowd.store.work import WorkTable
from escrowd.testing.postgres import PostgresServer


async def wake(database: Database, key: str) -> None:
    async with database.transaction() as session:
        await WorkTable(session).wake(key)


async def keys(database: Database) -> list[str]:
    async with database.reading() as session:
        return list((await session.connection.execute(select(schema.work.c.key).order_by("key"))).scalars())


@pytest.mark.parametrize("ending", ["stop", "kill"])
async def test_outage_of_the_server_breaks_more_than_itself(ending: str) -> None:
    """While the server is away each call says so, in the middle of a transaction too; afterwards all goes on."""
    async with PostgresServer() as server, Database(server.url("postgres")) as database:
        async with database.transaction() as session:
            await session.connection.run_sync(schema.metadata.create_all)
        await wake(database, "escrow:a")

        async def interrupted() -> None:
            async with database.transaction() as session:
                await WorkTable(session).wake("escrow:lost")
                await getattr(server, ending)()

        with pytest.raises(DatabaseUnavailable) as raised:
            await interrupted()
        assert raised.value.retry is Retry.UNKNOWN
        for attempt in (wake(database, "escrow:lost"), keys(database)):
            with pytest.raises(DatabaseUnavailable):
                await attempt
        await server.start()
        await wake(database, "escrow:b")
        assert await keys(database) == ["escrow:a", "escrow:b"]


async def test_wrong_address_shows_the_password(postgres: PostgresServer) -> None:
    """A database that is not there, or a wrong password, is an error of ours that does not show the password."""
    for url in (postgres.url("absent"), postgres.url("postgres").replace("escrowd:", "escrowd:wrong")):
        async with Database(url) as database:
            with pytest.raises(StoreError) as raised:
                await keys(database)
            assert "wrong" not in str(raised.value)


async def test_locked_file_hangs_the_service(tmp_path: Path, sqlite_template: Path) -> None:
    """A file that another program keeps locked is told after a while; when it is free again, all goes on."""
    path = tmp_path / "escrowd.sqlite"
    path.write_bytes(sqlite_template.read_bytes())
    async with Database(f"sqlite+aiosqlite:///{path}", busy_timeout=0.2) as database:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailable, match="locked"):
            await wake(database, "escrow:lost")
        assert await keys(database) == []
        other.execute("ROLLBACK")
        other.close()
        await wake(database, "escrow:a")
        assert await keys(database) == ["escrow:a"]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_deadlock_is_taken_for_a_bug(database: Database) -> None:
    """Of two transactions that wait for each other the database ends one, which may be tried again."""
    await wake(database, "escrow:a")
    await wake(database, "escrow:b")
    both = asyncio.Barrier(2)

    async def change(*in_order: str) -> None:
        async with database.transaction() as session:
            for number, key in enumerate(in_order):
                await session.connection.execute(text("UPDATE work SET wake = 9 WHERE key = :key"), {"key": key})
                if not number:
                    await both.wait()

    async with asyncio.timeout(30):
        outcomes = await asyncio.gather(
            change("escrow:a", "escrow:b"), change("escrow:b", "escrow:a"), return_exceptions=True
        )
    assert sorted(type(each).__name__ for each in outcomes) == ["DatabaseUnavailable", "NoneType"]
