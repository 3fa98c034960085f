"""The clock of the database is set back by a day, or forward, or both: no work is delayed by it (finding W9)."""

from collections.abc import AsyncIterator

import pytest_asyncio
from sqlalchemy import update

from escrowd.domain.service_clock import LONGEST_GAP
from escrowd.store import schema
from escrowd.store.database import Database
from escrowd.store.store import SqlStore, SqlWorkQueue
from escrowd.store.work import WorkTable, escrow_key
from tests.contract.database_clock import DAY, DatabaseClock, beat
from tests.contract.store.samples import escrow_id, first_step, store_steps

NONE: frozenset[str] = frozenset()
KEY = "escrow:a"


@pytest_asyncio.fixture
async def opened(database_clock: DatabaseClock) -> AsyncIterator[Database]:
    """Give the database of an instance that has just started."""
    async with database_clock.opened() as database:
        await beat(database)
        yield database


async def wake(database: Database, key: str = KEY, in_seconds: float = 0) -> None:
    async with database.transaction() as session:
        await WorkTable(session).wake(key, in_seconds)


async def claimed(database: Database, node: str, seconds: float = 30) -> list[str]:
    return [row.key for row in await SqlWorkQueue(database, node).claim(NONE, 10, seconds)]


async def test_row_due_in_a_minute_is_due_in_a_minute(database_clock: DatabaseClock, opened: Database) -> None:
    """A timer that was set before the jump comes when it was to come, and neither earlier nor a day later."""
    await wake(opened, in_seconds=60)
    await database_clock.jump(-DAY)
    await beat(opened)
    assert 50 < (await SqlWorkQueue(opened, "one").seconds_to_next() or 0) < 65
    assert await claimed(opened, "one") == []
    await database_clock.pass_time(61, opened)
    assert await claimed(opened, "one") == [KEY]


async def test_row_that_is_woken_before_the_next_beat_is_due_at_once(
    database_clock: DatabaseClock, opened: Database
) -> None:
    """Between the jump and the beat that corrects it, work goes on; nothing that is claimed there is claimed twice."""
    await database_clock.jump(-DAY)
    await wake(opened)
    assert await claimed(opened, "one") == [KEY]
    await beat(opened)
    assert await claimed(opened, "two") == []
    await database_clock.pass_time(31, opened)
    assert await claimed(opened, "two") == [KEY]


async def test_claim_of_a_dead_instance_runs_out_after_its_lease(
    database_clock: DatabaseClock, opened: Database
) -> None:
    """Another instance takes the row over when the lease is over, and not before."""
    await wake(opened)
    assert await claimed(opened, "dead") == [KEY]
    await database_clock.jump(-DAY)
    await beat(opened)
    assert await claimed(opened, "other") == []
    await database_clock.pass_time(31, opened)
    assert await claimed(opened, "other") == [KEY]


async def test_heartbeat_of_a_dead_instance_runs_out(database_clock: DatabaseClock, opened: Database) -> None:
    """Work that is preferably done by an instance is left to it while it lives, and no longer."""
    alive = SqlWorkQueue(opened, "one")
    await alive.begin(30)
    async with opened.transaction() as session:
        await WorkTable(session).wake(KEY)
        await WorkTable(session).prefer(KEY, "one")
    await database_clock.jump(-DAY)
    await beat(opened)
    await alive.heartbeat(30)
    await database_clock.pass_time(20, opened)
    assert await claimed(opened, "two") == []
    await database_clock.pass_time(11, opened)
    assert await claimed(opened, "two") == [KEY]


async def test_row_is_due_in_time_where_the_clock_was_set_back_between_two_runs(
    database_clock: DatabaseClock,
) -> None:
    """The first beat of the next run corrects the work clock by what the last run stored."""
    async with database_clock.opened() as database:
        await beat(database)
        await wake(database, in_seconds=60)
    await database_clock.jump(-DAY)
    async with database_clock.opened() as database:
        await beat(database)
        await database_clock.pass_time(61, database)
        assert await claimed(database, "one") == [KEY]


async def test_jump_forward_and_back_delays_nothing(database_clock: DatabaseClock, opened: Database) -> None:
    """Rows and claims that were stored while the clock was wrong are due in time when it is right again."""
    await wake(opened, "escrow:held")
    await database_clock.jump(DAY)
    await beat(opened)
    await wake(opened, "escrow:later", in_seconds=60)
    assert await claimed(opened, "dead") == ["escrow:held"]
    await database_clock.jump(-DAY)
    await beat(opened)
    assert await claimed(opened, "other") == []
    await database_clock.pass_time(61, opened)
    assert sorted(await claimed(opened, "other")) == ["escrow:held", "escrow:later"]


async def test_jump_forward_and_back_between_two_beats_delays_by_a_minute(
    database_clock: DatabaseClock, opened: Database
) -> None:
    """Nothing but what was stored shows that there was such a jump: so the work clock waits for a beat."""
    await wake(opened, "escrow:held")
    await database_clock.jump(DAY)
    await wake(opened, "escrow:later", in_seconds=60)
    assert await claimed(opened, "dead") == ["escrow:held"]
    await database_clock.jump(-DAY)
    await beat(opened)
    await database_clock.pass_time(125, opened)
    assert sorted(await claimed(opened, "other")) == ["escrow:held", "escrow:later"]


async def test_jump_is_corrected_once_by_two_instances(database_clock: DatabaseClock, opened: Database) -> None:
    """Whichever instance beats first corrects the work clock, and all of them go by it."""
    async with database_clock.opened() as second:
        await wake(second, in_seconds=60)
        await database_clock.jump(-DAY)
        for instance in (second, opened, second, opened):
            await beat(instance)
        assert 50 < (await SqlWorkQueue(opened, "one").seconds_to_next() or 0) < 65
        assert 50 < (await SqlWorkQueue(second, "two").seconds_to_next() or 0) < 65


async def test_lease_that_a_jump_forward_ends_is_fenced(database_clock: DatabaseClock, opened: Database) -> None:
    """Another instance may take the row early; the one before renews, settles and stores nothing then."""
    await wake(opened)
    before = SqlWorkQueue(opened, "before")
    (stale,) = await before.claim(NONE, 1, 30)
    await database_clock.jump(DAY)
    (fresh,) = await SqlWorkQueue(opened, "after").claim(NONE, 1, 30)
    assert fresh.fence > stale.fence
    assert not await before.renew(stale, 30)


async def test_running_clock_loses_a_beat_and_gains_a_gap_at_most(
    database_clock: DatabaseClock, opened: Database
) -> None:
    """A jump in either direction takes no more of a deadline, and gives it no more, than a late beat does."""
    for jump in (-DAY, DAY, -7.0):
        await database_clock.pass_time(5, opened)
        before = await beat(opened)
        await database_clock.jump(jump)
        assert 0 <= await beat(opened) - before <= LONGEST_GAP
        await database_clock.pass_time(5, opened)
        assert 5_000 <= await beat(opened) - before <= LONGEST_GAP + 6_000


async def test_due_time_is_shown_by_the_clock_as_it_is_now(database_clock: DatabaseClock, opened: Database) -> None:
    """An operator sees in how many seconds a row is due, whatever the clock did since it was stored."""
    store = SqlStore(opened, "one")
    await store_steps(store, [first_step()])
    await SqlWorkQueue(opened, "one").claim(NONE, 1, 30)
    async with opened.transaction() as session:
        due = schema.work.c.due_at
        await session.connection.execute(
            update(schema.work).where(schema.work.c.key == escrow_key(escrow_id(1))).values(due_at=due + 60_000)
        )
    await database_clock.jump(-DAY)
    await beat(opened)
    async with store.reading() as tx:
        state, now = await tx.inspection.work(escrow_id(1)), (await tx.clock.now()).utc
    assert state is not None
    assert state.due_at is not None
    assert 50_000 < state.due_at - now < 65_000
    assert 20_000 < state.lease_until - now < 35_000
