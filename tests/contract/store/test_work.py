import asyncio

import pytest
from sqlalchemy import event, insert, select, text, update

from escrowd.domain.conflicts import LeaseLost
from escrowd.domain.escrow.events import Disputed
from escrowd.domain.escrow.status import Status, Who
from escrowd.store import schema
from escrowd.store.database import Database
from escrowd.store.store import SqlStore, SqlWorkQueue
from escrowd.store.work import ClaimedRow, WorkTable, escrow_key
from tests.contract.store.samples import escrow_id, first_step, keys_ready, life, next_step, store_steps

NONE: frozenset[str] = frozenset()


@pytest.fixture
def queue(database: Database) -> SqlWorkQueue:
    return SqlWorkQueue(database, "one")


@pytest.fixture
def other(database: Database) -> SqlWorkQueue:
    return SqlWorkQueue(database, "two")


async def wake(database: Database, *keys: str, in_seconds: float = 0) -> None:
    async with database.transaction() as session:
        for key in keys:
            await WorkTable(session).wake(key, in_seconds)


async def let_pass(database: Database, milliseconds: int) -> None:
    """Let the leases and the due times of all rows be so much nearer."""
    work = schema.work
    async with database.transaction() as session:
        await session.connection.execute(
            update(work).values(due_at=work.c.due_at - milliseconds, lease_until=work.c.lease_until - milliseconds)
        )


async def claim_one(queue: SqlWorkQueue, seconds: float = 30) -> ClaimedRow:
    (row,) = await queue.claim(NONE, 10, seconds)
    return row


async def test_row_is_claimed_twice(queue: SqlWorkQueue, other: SqlWorkQueue, database: Database) -> None:
    """A row has one claim at a time, until it is given back or its lease runs out; each claim has a higher fence."""
    await wake(database, "escrow:a")
    first = await claim_one(queue)
    assert await other.claim(NONE, 10, 30) == ()
    await let_pass(database, 30_000)
    second = await claim_one(other)
    assert second.fence > first.fence
    assert not await queue.renew(first, 30)
    with pytest.raises(LeaseLost):
        await queue.settle(first, None)
    await queue.fail(first, "too late", 0)
    assert await queue.claim(NONE, 10, 30) == ()
    await other.settle(second, 0)
    assert (await claim_one(queue)).fence > second.fence


async def test_many_claim_the_same_rows(database: Database) -> None:
    """Of many who claim at once, each row goes to one, and nobody gets more than it asked for."""
    keys = [f"escrow:{number:02}" for number in range(40)]
    await wake(database, *keys)
    queues = [SqlWorkQueue(database, f"node {number}") for number in range(8)]
    claimed = await asyncio.gather(*(queue.claim(NONE, 6, 30) for queue in queues))
    assert max(map(len, claimed)) <= 6
    got = [row.key for rows in claimed for row in rows]
    while rows := await queues[0].claim(NONE, 6, 30):
        got += [row.key for row in rows]
    assert sorted(got) == keys


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_claim_waits_for_a_transaction(queue: SqlWorkQueue, database: Database) -> None:
    """A claim passes over a row that a transaction has changed and does not end: a node may have stopped in there."""
    await wake(database, "escrow:a", "escrow:b")
    async with database.transaction() as session, asyncio.timeout(10):
        await session.connection.execute(update(schema.work).where(schema.work.c.key == "escrow:a").values(wake=7))
        assert (await claim_one(queue)).key == "escrow:b"


async def test_row_that_runs_here_is_claimed_again(queue: SqlWorkQueue, database: Database) -> None:
    """An own lease that ran out is not claimed again while its step still runs here."""
    await wake(database, "escrow:a", "escrow:b")
    await queue.claim(NONE, 10, 30)
    await let_pass(database, 30_000)
    assert [row.key for row in await queue.claim(frozenset({"escrow:a"}), 10, 30)] == ["escrow:b"]


async def test_longest_due_row_waits(queue: SqlWorkQueue, database: Database) -> None:
    """Rows are claimed in the order in which they are due, and not before."""
    for number, key in enumerate(("escrow:c", "escrow:b", "escrow:a")):
        await wake(database, key, in_seconds=number)
    await wake(database, "escrow:later", in_seconds=60)
    await let_pass(database, 5_000)
    assert [(await queue.claim(NONE, 1, 30))[0].key for _ in range(3)] == ["escrow:c", "escrow:b", "escrow:a"]
    assert await queue.claim(NONE, 10, 30) == ()
    assert 50 < (await queue.seconds_to_next() or 0) < 56


async def test_wake_during_a_step_is_lost(queue: SqlWorkQueue, database: Database) -> None:
    """A row that was woken while it was claimed is due at once when it is given back, whatever was asked for."""
    await wake(database, "escrow:a")
    for in_seconds in (None, 3600.0):
        row = await claim_one(queue)
        await wake(database, "escrow:a")
        await queue.settle(row, in_seconds)
    row = await claim_one(queue)
    await queue.settle(row, None)
    assert await queue.claim(NONE, 10, 30) == ()
    assert await queue.seconds_to_next() is None


async def test_wake_makes_a_row_wait_longer(queue: SqlWorkQueue, database: Database) -> None:
    """A later wake never puts off what is due earlier, and an earlier one brings it forward."""
    await wake(database, "escrow:a", in_seconds=60)
    await wake(database, "escrow:a", in_seconds=3600)
    assert 50 < (await queue.seconds_to_next() or 0) <= 60
    await wake(database, "escrow:a")
    row = await claim_one(queue)
    await queue.settle(row, None)
    await wake(database, "escrow:a", in_seconds=5)
    assert 3 < (await queue.seconds_to_next() or 0) <= 5


async def test_failure_is_forgotten(queue: SqlWorkQueue, database: Database) -> None:
    """A failed row is due again after its pause, counts its failures, and forgets them when it goes well."""
    await wake(database, "escrow:a")
    await queue.fail(await claim_one(queue), "DaemonDown: it sleeps", 10)
    assert await queue.claim(NONE, 10, 30) == ()
    await let_pass(database, 10_000)
    row = await claim_one(queue)
    assert row.attempt == 1
    async with database.reading() as session:
        assert (await session.connection.execute(select(schema.work.c.last_error))).scalar() == "DaemonDown: it sleeps"
    await queue.settle(row, 0)
    assert (await claim_one(queue)).attempt == 0


async def test_restarted_node_waits_for_its_own_leases(
    queue: SqlWorkQueue, other: SqlWorkQueue, database: Database
) -> None:
    """A node that starts again frees what its earlier run had claimed, at once, and nothing of others."""
    await wake(database, "escrow:a")
    await claim_one(queue)
    await wake(database, "escrow:b")
    await claim_one(other)
    assert await queue.begin(30) == 1
    assert [row.key for row in await other.claim(NONE, 10, 30)] == ["escrow:a"]


async def test_row_of_another_node_is_taken(queue: SqlWorkQueue, other: SqlWorkQueue, database: Database) -> None:
    """A row that belongs to a node is left to it while it lives, and is anybody's when it does not."""
    await wake(database, "escrow:a")
    await other.begin(30)
    async with database.transaction() as session:
        await session.connection.execute(update(schema.work).values(affinity="two"))
    assert await queue.claim(NONE, 10, 30) == ()
    async with database.transaction() as session:
        await session.connection.execute(update(schema.nodes).values(alive_until=1))
    assert (await claim_one(queue)).key == "escrow:a"


# --- transactions under a claim --------------------------------------------------------------------------------------


async def test_overtaken_worker_stores_something(queue: SqlWorkQueue, other: SqlWorkQueue, database: Database) -> None:
    """Whoever lost the claim stores nothing, whether it was lost before the transaction or in the middle of it."""
    store = SqlStore(database, "one")
    await store_steps(store, [first_step()])
    stale = await claim_one(queue)
    held = HeldClaim(escrow_key(escrow_id(1)), stale.fence)

    async def save(*, overtake: bool) -> None:
        async with store.transaction() as tx:
            await tx.hold_claim(held)
            before = await tx.escrows.load(escrow_id(1), for_update=True)
            await tx.escrows.save(keys_ready(before))
            if overtake:
                work = schema.work
                await tx._session.connection.execute(update(work).values(fence=work.c.fence + 1))

    with pytest.raises(LeaseLost):
        await save(overtake=True)
    await let_pass(database, 30_000)
    await claim_one(other)
    with pytest.raises(LeaseLost):
        await save(overtake=False)
    async with store.transaction() as tx:
        assert (await tx.escrows.load(escrow_id(1))).version == 1


async def test_command_and_worker_wait_for_each_other(queue: SqlWorkQueue, database: Database) -> None:
    """A command on an escrow and its worker's transaction meet without a deadlock; both are stored, one by one."""
    store = SqlStore(database, "one")
    await store_steps(store, life(Status.DISPUTED)[:-1])
    claimed = await claim_one(queue)
    held = HeldClaim(claimed.key, claimed.fence)

    async def work() -> None:
        async with store.transaction() as tx:
            await tx.hold_claim(held)
            await asyncio.sleep(0.05)
            before = await tx.escrows.load(escrow_id(1), for_update=True)
            await tx.escrows.effect_done(before.id, (await tx.escrows.pending_effects(before.id))[0])
            await tx.wake(escrow_id(1))

    async def command() -> None:
        async with store.transaction() as tx:
            before = await tx.escrows.load(escrow_id(1), for_update=True)
            await tx.escrows.save(next_step(before, Disputed(), Who.BUYER))
            await asyncio.sleep(0.1)

    async with asyncio.timeout(20):
        await asyncio.gather(work(), command())
    async with store.transaction() as tx:
        assert (await tx.escrows.load(escrow_id(1))).status is Status.DISPUTED


class HeldClaim:
    def __init__(self, key: str, fence: int) -> None:
        self.key = key
        self.fence = fence


async def test_listener_hears_of_what_was_rolled_back(database: Database) -> None:
    """Whoever listens hears of woken rows after they are committed, and of none that was rolled back."""
    heard: list[str] = []
    database.on_wake(heard.append)

    async def fail() -> None:
        async with database.transaction() as session:
            await WorkTable(session).wake("escrow:a")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert heard == []
    await wake(database, "escrow:b")
    assert heard == ["escrow:b"]


async def test_claim_reads_every_pending_row(database: Database, queue: SqlWorkQueue) -> None:
    """Among 20,000 timers of later days a claim finds what is due by the index, without reading the others."""
    rows = [
        {"key": f"escrow:{number}", "kind": "escrow", "due_at": 4_000_000_000_000 + number} for number in range(20_000)
    ]
    async with database.transaction() as session:
        await session.connection.execute(insert(schema.work), rows)
    await wake(database, "escrow:due")
    plans = await plans_of_a_claim(database)
    assert "ix_work_due" in plans
    assert "Seq Scan on work" not in plans
    assert "SCAN work" not in plans.replace("SCAN work USING INDEX", "")
    assert (await claim_one(queue)).key == "escrow:due"


async def plans_of_a_claim(database: Database) -> str:
    """Return how the database would carry out the statement of a claim."""
    statements: list[tuple[str, object]] = []

    def note(_connection, _cursor, statement, parameters, *_rest):  # type: ignore[no-untyped-def]
        statements.append((statement, parameters))

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    try:
        async with database.transaction() as session:
            if not database.is_sqlite:
                await session.connection.execute(text("ANALYZE work"))
            await WorkTable(session).claim("explained", frozenset({"escrow:5"}), 10, 0)
    finally:
        event.remove(database.engine.sync_engine, "before_cursor_execute", note)
    statement, parameters = next(each for each in statements if "UPDATE work" in each[0])
    explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
    async with database.transaction() as session:
        rows = await session.connection.exec_driver_sql(explain + statement, parameters)  # type: ignore[arg-type]
        return "\n".join(str(tuple(row)) for row in rows)
