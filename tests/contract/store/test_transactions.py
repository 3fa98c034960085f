import asyncio
import random
from contextlib import suppress

import pytest
from sqlalchemy import func, insert, literal_column, select, text
from sqlalchemy.exc import SQLAlchemyError

from escrowd.store import schema
from escrowd.store.database import Database, is_in_transaction
from escrowd.store.errors import DatabaseUnavailable, StoreError
from escrowd.store.prepared import Prepared
from escrowd.store.session import driver_of
from escrowd.store.store import SqlStore
from escrowd.store.work import WorkTable


async def sign_in(database: Database, node: str) -> None:
    async with database.transaction() as session:
        await session.connection.execute(insert(schema.nodes).values(node=node, alive_until=1))


async def signed_in(database: Database) -> list[str]:
    async with database.reading() as session:
        return list((await session.connection.execute(select(schema.nodes.c.node))).scalars())


async def left_open(database: Database) -> int:
    """Return how many transactions that have changed something nobody goes on with."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND state LIKE 'idle in transaction%' AND backend_xid IS NOT NULL"
    )
    async with database.connection() as connection:
        return int((await connection.execute(query)).scalar_one())


async def test_cancelled_transaction_keeps_its_locks(database: Database) -> None:
    """A transaction that is cancelled anywhere is stored wholly or not at all, and nobody waits for it afterwards."""

    async def store(number: int) -> None:
        async with database.transaction() as session:
            for part in "ab":
                await WorkTable(session).wake(f"test:{number}{part}")

    # Kept: what a cancelled transaction holds on to must not hang on its traceback.
    cancelled: list[object] = []
    for number in range(80):
        task = asyncio.create_task(store(number))
        await asyncio.sleep(random.random() * 0.008)
        task.cancel()
        cancelled += await asyncio.gather(task, return_exceptions=True)
        async with asyncio.timeout(10):
            await store(number + 1000)
    async with database.reading() as session:
        rows = (await session.connection.execute(select(schema.work.c.key))).scalars().all()
    stored = {key.rstrip("ab") for key in rows}
    assert len(rows) == 2 * len(stored)
    assert any(isinstance(each, asyncio.CancelledError) for each in cancelled)
    assert len(stored) >= 80


async def test_cancelled_transaction_waits_on(database: Database, database_url: str) -> None:
    """A transaction that is cancelled while it waits for somebody else's lock ends at once, and not with that lock."""
    async with Database(database_url) as other, database.transaction() as theirs:
        await theirs.connection.execute(insert(schema.nodes).values(node="one", alive_until=1))
        waiting = asyncio.create_task(sign_in(other, "one"))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting], timeout=5)
        assert waiting.cancelled()


async def test_cancelled_reader_keeps_writers_out(database: Database) -> None:
    """A look at the database that is cancelled hinders nobody, and leaves no connection that refuses to write."""

    async def look() -> None:
        async with database.reading() as session:
            for _ in range(5):
                await session.connection.execute(select(func.count()).select_from(schema.work))

    cancelled: list[object] = []
    for number in range(40):
        task = asyncio.create_task(look())
        await asyncio.sleep(random.random() * 0.005)
        task.cancel()
        cancelled += await asyncio.gather(task, return_exceptions=True)
        async with asyncio.timeout(10), database.transaction() as session:
            await WorkTable(session).wake(f"test:{number}")
    assert any(isinstance(each, asyncio.CancelledError) for each in cancelled)


async def test_call_inside_a_transaction_goes_unnoticed(database: Database) -> None:
    """Inside a transaction or a look, and only there, it can be told that one is inside, also after a failure."""
    seen = [is_in_transaction()]
    async with database.transaction():
        seen.append(is_in_transaction())

    async def fail() -> None:
        async with database.reading() as session:
            seen.append(is_in_transaction())
            await session.connection.execute(text("SELECT * FROM absent"))

    with pytest.raises(StoreError):
        await fail()
    seen.append(is_in_transaction())
    assert seen == [False, True, True, False]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_failure_that_was_passed_over_is_stored(database: Database) -> None:
    """Where a statement has failed and somebody goes on, PostgreSQL stores nothing, and the transaction says so."""

    async def go_on() -> None:
        async with database.transaction() as session:
            await session.connection.execute(text("INSERT INTO nodes VALUES ('lost', 1)"))
            with suppress(SQLAlchemyError):
                await session.connection.execute(text("SELECT 1/0"))

    with pytest.raises(StoreError, match="not stored"):
        await go_on()
    await sign_in(database, "next")
    assert await signed_in(database) == ["next"]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_time_out_that_was_passed_over_is_stored(database: Database) -> None:
    """Where a statement is cut off and somebody goes on, nothing is stored, whether or not it was done by then."""

    async def go_on(number: int) -> bool:
        """Return whether it was cut off."""
        # Written anew each time: the driver can be cut off before the server knows the statement, and after.
        late = Prepared(lambda _: insert(schema.nodes).values(node=literal_column(f"'late {number}'"), alive_until=1))
        is_cut_off = False
        async with database.transaction() as session:
            await session.connection.execute(insert(schema.nodes).values(node=f"early {number}", alive_until=1))
            try:
                async with asyncio.timeout(random.random() * 0.002):
                    await session.run(late)
            except TimeoutError:
                is_cut_off = True
        return is_cut_off

    outcomes = [await asyncio.gather(go_on(number), return_exceptions=True) for number in range(120)]
    whole = {number for number, (outcome,) in enumerate(outcomes) if outcome is False}
    assert any(isinstance(outcome, DatabaseUnavailable) for (outcome,) in outcomes)
    assert not any(outcome is True for (outcome,) in outcomes)
    assert set(await signed_in(database)) == {f"{name} {number}" for number in whole for name in ("early", "late")}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_statement_after_a_cut_is_stored_alone(database: Database) -> None:
    """Whoever goes on after a statement that was cut off stores nothing, also not outside of the transaction."""

    async def go_on() -> None:
        # SQLAlchemy has heard of no transaction by then, and would connect once more.
        async with database.transaction() as session:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await session.run(Prepared(lambda _: select(func.pg_sleep(literal_column("60")))))
            await session.connection.execute(insert(schema.nodes).values(node="alone", alive_until=1))

    with pytest.raises((StoreError, SQLAlchemyError)):
        await go_on()
    assert await signed_in(database) == []


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_cancelled_transaction_stays_open(database: Database, database_url: str) -> None:
    """What was cancelled between two statements leaves no transaction open on the server, with its locks."""
    inside = asyncio.Event()

    async def wait_inside() -> None:
        async with database.transaction() as session:
            await session.connection.execute(text("INSERT INTO nodes VALUES ('lost', 1)"))
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait_inside())
    await inside.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    # Asked by others: whoever takes the next connection of this pool would end what is left on it.
    async with asyncio.timeout(10), Database(database_url) as other:
        while await left_open(other):
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_transaction_goes_on_in_the_next_one(database: Database) -> None:
    """A connection that was given back within a transaction is not used for another one, and what it did is undone."""
    async with database.connection() as connection:
        await driver_of(connection).execute("BEGIN")
        await driver_of(connection).execute("INSERT INTO nodes VALUES ('left', 1)")
    await sign_in(database, "next")
    assert await signed_in(database) == ["next"]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_settings_of_the_server_choose_the_isolation(database: Database) -> None:
    """Transactions are what the store needs, whatever the server begins where nothing is said."""
    async with database.transaction() as session:
        await session.connection.execute(
            text("SELECT set_config('default_transaction_isolation', 'serializable', false)")
        )
    async with database.transaction() as session:
        assert (await session.connection.execute(text("SHOW transaction_isolation"))).scalar_one() == "read committed"
    async with database.reading() as session:
        assert (await session.connection.execute(text("SHOW transaction_isolation"))).scalar_one() == "repeatable read"


async def test_change_is_put_off_for_ever(database: Database) -> None:
    """A change that is put off is stored with the transaction, is there for who reads it before, and goes with it."""
    store = SqlStore(database, "node")
    async with store.transaction() as tx:
        await tx.audit.note("somebody", "first", "nothing")
        assert [each.action for each in await tx.audit.latest()] == ["first"]
        await tx.audit.note("somebody", "second", "nothing")

    async def fail() -> None:
        async with store.transaction() as tx:
            await tx.audit.note("somebody", "third", "nothing")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with store.reading() as tx:
        assert [each.action for each in await tx.audit.entries()] == ["first", "second"]


async def test_change_is_put_off_where_nothing_may_change(database: Database) -> None:
    """Who only looks cannot change anything, not even at the end."""

    async def change() -> None:
        async with SqlStore(database, "node").reading() as tx:
            await tx.audit.note("somebody", "look", "nothing")

    with pytest.raises(StoreError):
        await change()


@pytest.mark.parametrize("count", [1, 2, 49, 50, 120])
async def test_one_of_many_rows_is_left_out(database: Database, count: int) -> None:
    """However many rows one transaction wakes, it wakes all of them, and once."""
    async with database.transaction() as session:
        for number in range(count):
            await WorkTable(session).wake(f"test:{number}")
    async with database.reading() as session:
        rows = await session.connection.execute(select(schema.work.c.key, schema.work.c.wake))
        assert {key: wake for key, wake in rows} == {f"test:{number}": 1 for number in range(count)}
