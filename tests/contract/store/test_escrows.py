import asyncio

import pytest
from sqlalchemy import delete, select, text, update

from escrowd.domain.conflicts import AlreadyStored, NoSuchEscrow, VersionConflict
from escrowd.domain.escrow.events import Disputed, Released
from escrowd.domain.escrow.history import LogEntry, broken_links
from escrowd.domain.escrow.status import Status, Who
from escrowd.service.orchestrator import EscrowOrchestrator
from escrowd.store import schema
from escrowd.store.database import Database
from escrowd.store.errors import StoreError, UnknownShape
from escrowd.store.escrows import EscrowTable
from escrowd.store.store import SqlStore
from tests.contract.store.samples import MOST, escrow_id, first_step, keys_ready, life, next_step, store_steps


@pytest.fixture
def store(database: Database) -> SqlStore:
    return SqlStore(database, "node")


async def test_escrow_comes_back_changed(store: SqlStore) -> None:
    """An escrow is read as it was stored, with the largest amount that there is to the last piconero."""
    first = first_step()
    async with store.transaction() as tx:
        await tx.escrows.add(first)
    async with store.transaction() as tx:
        assert await tx.escrows.load(first.after.id) == first.after
        assert first.after.terms.amount == MOST


@pytest.mark.parametrize("status", Status)
async def test_status_cannot_be_stored(store: SqlStore, status: Status) -> None:
    """An escrow in any status, with all that is known of it then, is read as it was stored."""
    steps = life(status)
    await store_steps(store, steps)
    async with store.transaction() as tx:
        assert await tx.escrows.load(escrow_id(1)) == steps[-1].after
        assert await tx.escrows.with_status(status) == (escrow_id(1),)


async def test_payout_that_takes_long_is_not_seen(store: SqlStore) -> None:
    """The age of the oldest payout counts from the order of an escrow that is being paid out, and is 0 without one."""
    steps = life(Status.PAYING)
    await store_steps(store, steps[:-1])
    async with store.reading() as tx:
        assert await tx.escrows.oldest_payout() == 0
    await store_steps(store, steps[-1:])
    async with store.reading() as tx:
        (ordered,) = {each.at for each in await tx.escrows.feed() if each.version == steps[-1].after.version}
        assert await tx.escrows.oldest_payout() == await tx.escrows._session.now() - ordered > 0


async def test_second_escrow_of_an_id_is_stored(store: SqlStore) -> None:
    """An id is given once. Whoever is refused may go on in the same transaction."""
    async with store.transaction() as tx:
        await tx.escrows.add(first_step())
        with pytest.raises(AlreadyStored):
            await tx.escrows.add(first_step())
        await tx.escrows.add(first_step(2))
    async with store.transaction() as tx:
        assert await tx.escrows.with_status("keying") == (escrow_id(1), escrow_id(2))
        with pytest.raises(NoSuchEscrow):
            await tx.escrows.load(escrow_id(3))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_log_is_unlocked_after_a_refusal(store: SqlStore, database: Database) -> None:
    """Whoever goes on after a refused escrow holds the lock of the log when it gives out a cursor."""
    await store_steps(store, [first_step(1), first_step(2)])
    async with database.transaction() as session:
        escrows = EscrowTable(session)
        with pytest.raises(AlreadyStored):
            await escrows.add(first_step(1))
        await escrows.save(keys_ready(first_step(2).after))
        mine = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
        assert (await session.connection.execute(mine)).scalar_one() == 1


async def test_half_a_transaction_is_kept(store: SqlStore) -> None:
    """Where the block of a transaction raises, nothing of it is kept: no escrow, no history, no work."""

    async def fail() -> None:
        async with store.transaction() as tx:
            await tx.escrows.add(first_step())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with store.transaction() as tx:
        assert await tx.escrows.feed() == ()
        rows = await tx.escrows._session.connection.execute(select(schema.work))
        assert rows.all() == []


async def test_overtaken_step_is_stored(store: SqlStore) -> None:
    """Of steps that were taken from the same version, one is stored, however many are tried at once."""
    first = first_step()
    async with store.transaction() as tx:
        await tx.escrows.add(first)

    async def save() -> bool:
        try:
            async with store.transaction() as tx:
                await tx.escrows.save(keys_ready(first.after))
        except VersionConflict:
            return False
        return True

    assert sorted(await asyncio.gather(*(save() for _ in range(8)))) == [False] * 7 + [True]
    async with store.transaction() as tx:
        assert [each.sequence for each in await tx.escrows.log(first.after.id)] == [1, 2]


async def test_two_commands_read_the_same_version(store: SqlStore) -> None:
    """Whoever loads an escrow to change it sees all changes of those who came before, so that none is refused."""
    await store_steps(store, life(Status.FUNDED))

    async def command() -> None:
        async with store.transaction() as tx:
            now = await tx.escrows.load(escrow_id(1), for_update=True)
            await asyncio.sleep(0.01)
            event = Disputed() if now.status is Status.FUNDED else Released()
            await tx.escrows.save(next_step(now, event, Who.BUYER))

    await asyncio.gather(command(), command())
    async with store.transaction() as tx:
        assert (await tx.escrows.load(escrow_id(1))).status is Status.PAYING


# --- history ---------------------------------------------------------------------------------------------------------


async def history(store: SqlStore) -> tuple[LogEntry, ...]:
    await store_steps(store, life(Status.PAYING))
    async with store.transaction() as tx:
        return await tx.escrows.log(escrow_id(1))


async def test_history_does_not_hold_together(store: SqlStore) -> None:
    """Each entry follows from the one before, in the order of the steps, and can be read in parts."""
    entries = await history(store)
    assert len(entries) > 5
    assert broken_links(entries) == ()
    assert [each.cursor for each in entries] == sorted(each.cursor for each in entries)
    async with store.transaction() as tx:
        assert await tx.escrows.log(escrow_id(1), after=2, limit=2) == entries[2:4]
        assert await tx.escrows.feed(entries[2].cursor) == entries[3:]


@pytest.mark.parametrize("statement", ["UPDATE log SET data = '{}'", "DELETE FROM log WHERE sequence = 1"])
async def test_history_is_rewritten(store: SqlStore, database: Database, statement: str) -> None:
    """The database itself refuses to change or remove what happened."""
    entries = await history(store)
    with pytest.raises(StoreError, match="append-only"):
        async with database.transaction() as session:
            await session.connection.execute(text(statement))
    async with store.transaction() as tx:
        assert await tx.escrows.log(escrow_id(1)) == entries


_REFUSALS = {
    "sqlite": ("log_refuses_update", "log_refuses_delete"),
    "postgresql": ("log_refuses_changes ON log",),
}


@pytest.mark.parametrize("tampering", ["flip", "delete", "reorder", "other time", "other speaker"])
async def test_forged_history_is_believed(own_database: Database, tampering: str) -> None:
    """Whoever goes around the database's refusal is found out by the chain of hashes."""
    store = SqlStore(own_database, "node")
    await history(store)
    log = schema.log
    async with own_database.transaction() as session:
        run = session.connection.execute
        for trigger in _REFUSALS[own_database.dialect]:
            await run(text(f"DROP TRIGGER {trigger}"))
        third = log.c.sequence == 3
        match tampering:
            case "flip":
                await run(update(log).where(third).values(data=text("replace(data, 'e', 'a')")))
            case "delete":
                await run(delete(log).where(third))
            case "reorder":
                for now, then in ((3, 99), (4, 3), (99, 4)):
                    await run(update(log).where(log.c.sequence == now).values(sequence=then))
            case "other time":
                await run(update(log).where(third).values(at=log.c.at + 1))
            case _:
                await run(update(log).where(third).values(who="arbiter"))
    async with store.transaction() as tx:
        assert min(broken_links(await tx.escrows.log(escrow_id(1)))) in (3, 4)


async def test_feed_passes_a_gap(store: SqlStore, database: Database) -> None:
    """Whoever follows the feed sees every entry, also of a transaction that took longer than later ones."""
    seen: list[LogEntry] = []

    async def read() -> None:
        async with database.reading() as session:
            seen.extend(await EscrowTable(session).feed(seen[-1].cursor if seen else 0))

    async with store.transaction() as tx:
        await tx.escrows.add(first_step(1))
        others = [asyncio.create_task(store_steps(store, [first_step(number)])) for number in (2, 3)]
        await asyncio.sleep(0.2)
        await read()
    await asyncio.gather(*others)
    await read()
    assert sorted(each.escrow for each in seen) == [escrow_id(1), escrow_id(2), escrow_id(3)]


async def test_feed_is_out_of_order(store: SqlStore) -> None:
    """While many commit at once, whoever reads the feed in parts gets each entry once, in the order of the cursors."""
    seen: list[LogEntry] = []
    writing = [asyncio.create_task(store_steps(store, [first_step(number)])) for number in range(30)]
    while True:
        done = all(each.done() for each in writing)
        async with store.transaction() as tx:
            found = await tx.escrows.feed(seen[-1].cursor if seen else 0, limit=7)
        seen += found
        if done and not found:
            break
    await asyncio.gather(*writing)
    assert sorted(each.escrow for each in seen) == [escrow_id(number) for number in range(30)]
    assert [each.cursor for each in seen] == sorted({each.cursor for each in seen})


# --- effects ---------------------------------------------------------------------------------------------------------


async def test_effect_is_forgotten_or_done_twice(store: SqlStore) -> None:
    """Effects wait in the order of the steps until each is done; noting one as done again changes nothing."""
    first = first_step()
    second = keys_ready(first.after)
    async with store.transaction() as tx:
        await tx.escrows.add(first)
        await tx.escrows.save(second)
        pending = await tx.escrows.pending_effects(first.after.id)
    assert [each.effect for each in pending] == [*first.effects, *second.effects]
    assert len(pending) > 1
    for _ in range(2):
        async with store.transaction() as tx:
            await tx.escrows.effect_done(first.after.id, pending[0])
            assert await tx.escrows.pending_effects(first.after.id) == pending[1:]


async def test_unknown_shape_is_guessed(store: SqlStore, database: Database) -> None:
    """What a stored escrow says in a form that this version does not know is an error, and no escrow."""
    async with store.transaction() as tx:
        await tx.escrows.add(first_step())
    async with database.transaction() as session:
        await session.connection.execute(update(schema.escrows).values(body='{"id": 1}'))
    async with store.transaction() as tx:
        with pytest.raises(UnknownShape):
            await tx.escrows.load(escrow_id(1))


async def test_view_waits_for_a_writer(store: SqlStore) -> None:
    """Whoever looks at an escrow sees what is stored at once, while somebody else is in the middle of changing it."""
    first = first_step()
    async with store.transaction() as tx:
        await tx.escrows.add(first)
    async with store.transaction() as tx:
        await tx.escrows.load(first.after.id, for_update=True)
        await tx.wake(first.after.id)
        async with asyncio.timeout(5):
            # In a task of its own, as somebody else's look would be.
            view = await asyncio.create_task(EscrowOrchestrator(store).view(first.after.id))
    assert view.escrow == first.after
