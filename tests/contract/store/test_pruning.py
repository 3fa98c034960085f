"""What is removed from the store when it is old, and what never is."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import pytest
from sqlalchemy import Column, insert, select

from escrowd.domain.conflicts import NoSuchDelivery
from escrowd.domain.escrow.status import Status
from escrowd.domain.retention import Prunable
from escrowd.domain.webhooks import DeliveryStatus, Webhook
from escrowd.service.webhooks.endpoints import WebhookEndpoints
from escrowd.store import schema
from escrowd.store.database import Database
from escrowd.store.pruning import removal
from escrowd.store.schema_access import answers
from escrowd.store.schema_webhooks import deliveries
from escrowd.store.store import SqlStore
from escrowd.wallets.vault import KEY_BYTES, Vault
from tests.contract.backups.contents import VAULT, fill, rows_of_all
from tests.contract.store.samples import escrow_id, life, store_steps

MINUTE: Final = 60_000
DAY: Final = 86_400_000
AGE: Final = 30 * DAY
ENDPOINT: Final = "whk_1"
#: Names the rows of each table.
NAMES: Final[dict[Prunable, Column[str]]] = {Prunable.ANSWERS: answers.c.key, Prunable.DELIVERIES: deliveries.c.id}
ENDPOINTS: Final = WebhookEndpoints(Vault(bytes(KEY_BYTES)))


async def put(database: Database, what: Prunable, ages: Sequence[int]) -> None:
    """Store rows that are so many milliseconds old. They are called 0, 1, 2 and so on."""
    async with database.transaction() as session:
        now = await session.now()
    times = [now - age for age in ages]
    await (put_answers if what is Prunable.ANSWERS else put_deliveries)(database, times)


async def put_answers(database: Database, times: Sequence[int]) -> None:
    rows = [
        {"caller": "key_1", "key": str(number), "request": "r", "status": 201, "sealed_body": "b", "at": at}
        for number, at in enumerate(times)
    ]
    async with database.transaction() as session:
        await session.connection.execute(insert(answers), rows)


async def put_deliveries(database: Database, times: Sequence[int], **values: Any) -> None:
    """Store deliveries of the events of one escrow that were taken at these times, or have other values."""
    store = SqlStore(database, "node")
    await store_steps(store, life(Status.COMPLETED))
    async with store.transaction() as tx:
        await tx.webhooks.add(Webhook(ENDPOINT, "https://a.example", (), "", 1, "sealed"), 1)
    async with database.transaction() as session:
        cursors = (await session.connection.execute(select(schema.log.c.cursor))).scalars().all()
        rows = [
            {
                "id": str(number),
                "webhook": ENDPOINT,
                "escrow": escrow_id(1),
                "cursor": cursors[number],
                "event": f"evt_{number}",
                "type": "escrow.created",
                "created_at": 1,
                "status": "delivered",
                "attempts": 1,
                "failures": 0,
                "delivered_at": at,
                **values,
            }
            for number, at in enumerate(times)
        ]
        await session.connection.execute(insert(deliveries), rows)


async def remove(database: Database, what: Prunable, most: int = 500, age: int = AGE) -> int:
    async with SqlStore(database, "node").transaction() as tx:
        return await tx.pruning.remove(what, age, most)


async def left(database: Database, what: Prunable) -> set[str]:
    async with database.reading() as session:
        return set((await session.connection.execute(select(NAMES[what]))).scalars())


@pytest.mark.parametrize("what", Prunable)
async def test_young_row_goes_or_old_one_stays(database: Database, what: Prunable) -> None:
    """What is older than is kept goes, what is younger stays, and doing it again removes nothing more."""
    await put(database, what, [0, AGE - MINUTE, AGE + MINUTE, 100 * AGE])
    assert await remove(database, what) == 2
    assert await left(database, what) == {"0", "1"}
    assert await remove(database, what) == 0
    assert await left(database, what) == {"0", "1"}


async def test_pending_delivery_goes(database: Database) -> None:
    """What was not taken stays, however old; so does what is to be sent once more although it was taken long ago."""
    await put_deliveries(database, [0, 1, 2], status="pending", next_attempt_at=1)
    assert await remove(database, Prunable.DELIVERIES) == 0
    assert await left(database, Prunable.DELIVERIES) == {"0", "1", "2"}


@pytest.mark.parametrize("what", Prunable)
async def test_one_transaction_removes_everything(database: Database, what: Prunable) -> None:
    """No more rows go at once than is said, and the oldest go first."""
    await put(database, what, [AGE + number * MINUTE for number in (3, 1, 5, 2, 4)])
    steps = [(await remove(database, what, most=2), await left(database, what)) for _ in range(4)]
    assert steps == [(2, {"0", "1", "3"}), (2, {"1"}), (1, set()), (0, set())]


@pytest.mark.parametrize("what", Prunable)
async def test_two_nodes_count_one_row_twice(database: Database, database_url: str, what: Prunable) -> None:
    """Of several nodes that remove at the same time each row goes by one, and none of them fails."""
    rows = 7
    await put(database, what, [AGE + MINUTE] * rows)

    async def until_nothing_is_left(node: Database) -> int:
        removed = 0
        while await left(node, what):
            removed += await remove(node, what, most=2)
        return removed

    async with Database(database_url) as other:
        counts = await asyncio.gather(*(until_nothing_is_left(each) for each in (database, other, database, other)))
    assert sum(counts) == rows


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("what", Prunable)
async def test_node_waits_for_another_one(database: Database, what: Prunable) -> None:
    """What one node is removing is left to it by the others, at once."""
    await put(database, what, [AGE + number * MINUTE for number in range(5, 0, -1)])
    async with SqlStore(database, "one").transaction() as tx:
        assert await tx.pruning.remove(what, AGE, 2) == 2
        async with asyncio.timeout(5):
            assert await remove(database, what, most=500) == 3
        assert await left(database, what) == {"0", "1"}
    assert await left(database, what) == set()


async def test_delivery_goes_that_is_asked_for_anew(database: Database) -> None:
    """A delivery that somebody asks for while old ones are removed stays: it is waited for, and pending then."""
    await put(database, Prunable.DELIVERIES, [2 * AGE, 2 * AGE])
    async with asyncio.TaskGroup() as tasks:
        async with SqlStore(database, "node").transaction() as tx:
            await ENDPOINTS.redeliver(tx, ENDPOINT, "1")
            pruning = tasks.create_task(remove(database, Prunable.DELIVERIES))
            await asyncio.sleep(0.2)
            assert not pruning.done()
        assert await pruning == 1
    assert await left(database, Prunable.DELIVERIES) == {"1"}


async def test_delivery_is_asked_for_and_gone(database: Database) -> None:
    """Who asks for a delivery that is just being removed waits, and is told that it is no longer there."""
    await put(database, Prunable.DELIVERIES, [2 * AGE])

    async def ask() -> DeliveryStatus:
        async with SqlStore(database, "node").transaction() as tx:
            return (await ENDPOINTS.redeliver(tx, ENDPOINT, "0")).status

    async with SqlStore(database, "node").transaction() as tx:
        assert await tx.pruning.remove(Prunable.DELIVERIES, AGE, 500) == 1
        asking = asyncio.create_task(ask())
        await asyncio.sleep(0.2)
        assert not asking.done()
    with pytest.raises(NoSuchDelivery, match="no longer listed"):
        await asking


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_answer_goes_before_it_is_given(database: Database) -> None:
    """A key that is being made somebody's is not seen, however little is kept, and nobody waits for its end."""
    store = SqlStore(database, "node")
    async with store.transaction() as tx:
        assert await tx.answers.reserve("key_1", "mine", "request") is None
        async with asyncio.timeout(5):
            assert await remove(database, Prunable.ANSWERS, age=-DAY) == 0
    assert await left(database, Prunable.ANSWERS) == {"mine"}


async def test_history_goes(database: Database) -> None:
    """However little is kept, nothing goes but answers and deliveries: of all other tables each row stays as it was."""
    await fill(database, VAULT)
    await put_answers(database, [1, 2, 3])
    before = await rows_of_all(database)
    removed = {what: await remove(database, what, age=-DAY) for what in Prunable}
    after = await rows_of_all(database)
    assert removed == {Prunable.ANSWERS: 3, Prunable.DELIVERIES: 0}
    assert {table for table, rows in before.items() if after[table] != rows} == {"answers"}


@pytest.mark.parametrize("what", Prunable)
async def test_whole_table_is_read_to_find_what_is_old(database: Database, what: Prunable) -> None:
    """What is old is found by an index, the oldest first, and removed by its key."""
    dialect = database.engine.dialect
    statement = str(removal(what, 1, 500).compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    async with database.transaction() as session:
        run = session.connection.exec_driver_sql
        if database.is_sqlite:
            plan = [str(row[-1]) for row in await run(f"EXPLAIN QUERY PLAN {statement}")]
            assert not [step for step in plan if step.startswith(f"SCAN {what}") or "TEMP B-TREE" in step]
            return
        # A table that is nearly empty is read whole, whatever indexes it has; so is one that was never counted.
        await run("SET LOCAL enable_seqscan = off")
        await run("SET LOCAL enable_sort = off")
        plan = [str(row[0]) for row in await run(f"EXPLAIN {statement}")]
    assert not [step for step in plan if f"Seq Scan on {what}" in step or "Sort Key" in step]
