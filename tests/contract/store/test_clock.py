import asyncio
import itertools
import time

import pytest
from sqlalchemy import update

from escrowd.domain.escrow.facts import Moment
from escrowd.store import schema
from escrowd.store.database import Database
from escrowd.store.store import SqlStore


@pytest.fixture
def store(database: Database) -> SqlStore:
    return SqlStore(database, "node")


async def let_pass(database: Database, milliseconds: int) -> None:
    """Let the last beat be so much longer ago."""
    clock = schema.service_clock
    async with database.transaction() as session:
        await session.connection.execute(update(clock).values(last_beat=clock.c.last_beat - milliseconds))


async def beat(store: SqlStore, *, counts: bool = True) -> Moment:
    async with store.transaction() as tx:
        return await tx.clock.beat(counts=counts)


async def test_clock_is_wrong(store: SqlStore) -> None:
    """The clock of the database says the time in UTC; before the first beat no time has passed on the running one."""
    async with store.transaction() as tx:
        now = await tx.clock.now()
    assert abs(now.utc - time.time() * 1000) < 2000
    assert now.running == 0


async def test_time_without_service_counts(store: SqlStore, database: Database) -> None:
    """Time counts from beat to beat of a service in sync; an outage, and a time out of sync, count for nobody."""
    seen = [(await beat(store)).running]
    for passed, counts in ((5_000, True), (5_000, False), (5_000, True), (5_000, True), (31_000, True), (5_000, True)):
        await let_pass(database, passed)
        seen.append((await beat(store, counts=counts)).running)
    spans = [round(after - before, -3) for before, after in itertools.pairwise(seen)]
    assert spans == [5_000, 0, 0, 5_000, 0, 5_000]
    async with store.transaction() as tx:
        assert (await tx.clock.now()).running == seen[-1]


async def test_clock_of_the_machine_is_set_back(store: SqlStore, database: Database) -> None:
    """Where the wall clock goes backwards, the running clock stands for a beat, never goes back, and goes on then."""
    await beat(store)
    await let_pass(database, 5_000)
    before = (await beat(store)).running
    await let_pass(database, -60_000)
    assert (await beat(store)).running == before
    await let_pass(database, 5_000)
    assert 5_000 <= (await beat(store)).running - before < 7_000


async def test_two_nodes_count_the_same_time(store: SqlStore, database: Database) -> None:
    """However many nodes beat, each moment counts once."""
    await beat(store)
    await let_pass(database, 5_000)
    await asyncio.gather(*(beat(store) for _ in range(8)))
    async with store.transaction() as tx:
        assert 5_000 <= (await tx.clock.now()).running < 7_000


async def test_jump_ahead_is_forgotten(store: SqlStore) -> None:
    """On private chains the running clock may jump ahead, before the first beat as well as later, and goes on there."""
    for _ in range(2):
        async with store.transaction() as tx:
            await tx.clock.advance(3_600_000)
        await beat(store, counts=False)
    async with store.transaction() as tx:
        assert (await tx.clock.now()).running == 7_200_000
