"""Whatever is changed in the log is found: within a history, at its end, and in whole histories made anew."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import delete, insert, select, text, update

from escrowd.bootstrap.backups import check_log
from escrowd.domain.escrow.history import NO_HASH, LogEntry, chained
from escrowd.domain.escrow.status import Status
from escrowd.store import schema
from escrowd.store.database import Database
from escrowd.store.heads import Head, HeadsRefused, read_heads
from escrowd.store.session import Session
from escrowd.store.store import SqlStore
from escrowd.store.verifying import LogReport, verify_log, verify_log_in
from escrowd.wallets.vault import KEY_BYTES, Vault
from tests.contract.backups.contents import life_of
from tests.contract.store.samples import escrow_id, store_steps

MUTATIONS: Final = 1000
VAULT: Final = Vault(bytes(range(KEY_BYTES)))
#: What a test needs to be out of the way to change the log.
REFUSALS: Final = {
    "sqlite": ("DROP TRIGGER log_refuses_update", "DROP TRIGGER log_refuses_delete"),
    "postgresql": ("DROP TRIGGER log_refuses_changes ON log",),
}
LOG = schema.log


class Undone(Exception):
    """The change was looked at, and is taken back."""


async def histories(database: Database) -> list[LogEntry]:
    """Store an escrow of each status, and return the log, which anybody may change from now on."""
    for number, status in enumerate(Status, 1):
        await store_steps(SqlStore(database, "node"), life_of(number, status))
    async with database.transaction() as session:
        for statement in REFUSALS[database.dialect]:
            await session.connection.execute(text(statement))
    return await entries_of(database)


async def entries_of(database: Database) -> list[LogEntry]:
    async with database.reading() as session:
        rows = await session.connection.execute(select(LOG).order_by(LOG.c.escrow, LOG.c.sequence))
        return [LogEntry(**row._mapping) for row in rows]


def columns(entry: LogEntry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in entry.__slots__ if name != "cursor"}


async def after(database: Database, mutation: "Mutation", entry: LogEntry, chance: random.Random) -> LogReport | None:
    """Return what is found after a mutation, which is then taken back; ``None`` where it changes nothing."""
    report = None
    try:
        async with database.transaction() as session:
            if await mutation(session, entry, chance):
                report = await verify_log_in(session)
            raise Undone
    except Undone:
        return report


Mutation = Callable[[Session, LogEntry, random.Random], Any]


async def flip(session: Session, entry: LogEntry, chance: random.Random) -> bool:
    name = chance.choice(("id", "version", "type", "who", "at", "data", "previous_hash", "hash", "sequence"))
    value = getattr(entry, name)
    if isinstance(value, int):
        changed: object = value + chance.choice((1000, 2000))
    else:
        place = chance.randrange(len(value))
        changed = value[:place] + chr(ord(value[place]) ^ 1) + value[place + 1 :]
    await session.connection.execute(update(LOG).where(LOG.c.cursor == entry.cursor).values({name: changed}))
    return True


async def remove(session: Session, entry: LogEntry, chance: random.Random) -> bool:
    await session.connection.execute(delete(LOG).where(LOG.c.cursor == entry.cursor))
    return True


async def truncate(session: Session, entry: LogEntry, chance: random.Random) -> bool:
    tail = (LOG.c.escrow == entry.escrow, LOG.c.sequence >= entry.sequence)
    await session.connection.execute(delete(LOG).where(*tail))
    return True


async def reorder(session: Session, entry: LogEntry, chance: random.Random) -> bool:
    mine = (LOG.c.escrow == entry.escrow, LOG.c.cursor != entry.cursor)
    others = (await session.connection.execute(select(LOG.c.cursor, LOG.c.sequence).where(*mine))).all()
    if not others:
        return False
    other = chance.choice(others)
    for cursor, sequence in ((entry.cursor, -1), (other.cursor, entry.sequence), (entry.cursor, other.sequence)):
        await session.connection.execute(update(LOG).where(LOG.c.cursor == cursor).values(sequence=sequence))
    return True


async def put_in(session: Session, entry: LogEntry, chance: random.Random) -> bool:
    """Put a further entry behind one, with a hash that is right there, and number the later ones anew."""
    forged = replace(entry, id=f"evt_{chance.random()}", sequence=entry.sequence + 1, previous_hash=entry.hash)
    later = (LOG.c.escrow == entry.escrow, LOG.c.sequence > entry.sequence)
    for shift in (1000, -999):
        await session.connection.execute(update(LOG).where(*later).values(sequence=LOG.c.sequence + shift))
    await session.connection.execute(insert(LOG).values(columns(replace(forged, hash=chained(forged)))))
    return True


async def move(session: Session, entry: LogEntry, chance: random.Random) -> bool:
    """Give the end of a history to another escrow."""
    other = escrow_id(chance.randint(1, len(Status)))
    tail = (LOG.c.escrow == entry.escrow, LOG.c.sequence >= entry.sequence)
    await session.connection.execute(update(LOG).where(*tail).values(escrow=other, sequence=LOG.c.sequence + 1000))
    return True


MUTATING: Final[Sequence[Mutation]] = (flip, remove, truncate, reorder, put_in, move)


async def test_change_of_the_log_is_not_found(own_database: Database) -> None:
    """Of a thousand changes, by flipping, removing, cutting off, turning round and putting in, each is found."""
    chance, entries = random.Random(7), await histories(own_database)
    assert (await verify_log(own_database)).holds
    tried = 0
    while tried < MUTATIONS:
        mutation, entry = MUTATING[tried % len(MUTATING)], chance.choice(entries)
        report = await after(own_database, mutation, entry, chance)
        if report is None:
            continue
        tried += 1
        assert not report.holds, (mutation.__name__, entry)
    assert (await verify_log(own_database)).holds, "each was taken back"


async def test_end_of_any_history_is_cut_off(own_database: Database) -> None:
    """Of each history, the last entry alone, and all of it, are missed."""
    entries = await histories(own_database)
    ends = {each.escrow: each for each in entries}
    starts = {each.escrow: each for each in reversed(entries)}
    assert len(ends) == len(Status)
    for entry in (*ends.values(), *starts.values()):
        report = await after(own_database, truncate, entry, random.Random())
        assert report is not None
        assert {each.escrow for each in report.broken} == {entry.escrow}


async def test_report_counts_wrongly(own_database: Database) -> None:
    """The report names each broken place once, with what is wrong, and counts what was looked at."""
    entries = await histories(own_database)
    report = await verify_log(own_database)
    assert (report.escrows, report.entries, report.broken) == (len(Status), len(entries), ())
    third = next(each for each in entries if each.sequence == 3)
    async with own_database.transaction() as session:
        await session.connection.execute(update(LOG).where(LOG.c.cursor == third.cursor).values(who="arbiter"))
        await session.connection.execute(update(schema.escrows).where(schema.escrows.c.id == escrow_id(1)).values(
            version=9
        ))  # fmt: skip
    broken = (await verify_log(own_database)).broken
    assert {(each.escrow, each.sequence) for each in broken} == {(third.escrow, 3), (escrow_id(1), 1)}
    assert any("at version 9" in each.what for each in broken)


async def test_more_escrows_than_fit_in_a_page_are_left_out(own_database: Database) -> None:
    """All escrows are looked at, however many."""
    async with SqlStore(own_database, "node").transaction() as tx:
        for number in range(1, 252):
            await tx.escrows.add(life_of(number, Status.KEYING)[0])
    report = await verify_log(own_database)
    assert (report.escrows, report.entries, report.holds) == (251, 251, True)
    assert len({each.escrow for each in report.heads}) == 251


# --- heads -----------------------------------------------------------------------------------------------------------


def made_anew(entries: Sequence[LogEntry], changed: LogEntry) -> list[LogEntry]:
    """Return a history in which one entry is another one, with all hashes made anew: it is whole in itself."""
    made: list[LogEntry] = []
    for each in entries:
        entry = changed if each.sequence == changed.sequence else each
        entry = replace(entry, previous_hash=made[-1].hash if made else NO_HASH)
        made.append(replace(entry, hash=chained(entry)))
    return made


async def test_history_made_anew_is_believed(own_database: Database, own_url: str, tmp_path: Path) -> None:
    """A history that was made anew as a whole holds together; the heads that were kept elsewhere show it."""
    entries = [each for each in await histories(own_database) if each.escrow == escrow_id(7)]
    await check_log(own_url, VAULT, new_head=tmp_path / "heads")
    assert (await check_log(own_url, VAULT, head=tmp_path / "heads")).holds
    forged = made_anew(entries, replace(entries[2], who="arbiter"))
    async with own_database.transaction() as session:
        for each in forged:
            await session.connection.execute(update(LOG).where(LOG.c.cursor == each.cursor).values(columns(each)))
    assert (await verify_log(own_database)).holds
    (found,) = (await check_log(own_url, VAULT, head=tmp_path / "heads")).broken
    assert (found.escrow, found.sequence) == (escrow_id(7), entries[-1].sequence)
    assert "another one earlier" in found.what


async def test_removed_escrow_is_forgotten(own_database: Database, own_url: str, tmp_path: Path) -> None:
    """An escrow that is gone without a trace, and a history that became shorter, are missed by the heads."""
    await histories(own_database)
    await check_log(own_url, VAULT, new_head=tmp_path / "heads")
    gone = escrow_id(3)
    async with own_database.transaction() as session:
        for table in (LOG, schema.effects):
            await session.connection.execute(delete(table).where(table.c.escrow == gone))
        await session.connection.execute(delete(schema.escrows).where(schema.escrows.c.id == gone))
    assert (await verify_log(own_database)).holds
    (found,) = (await check_log(own_url, VAULT, head=tmp_path / "heads")).broken
    assert (found.escrow, found.what) == (gone, "the escrow was there earlier, and is not any more")


async def test_history_that_went_on_is_refused(own_database: Database, own_url: str, tmp_path: Path) -> None:
    """Heads say what must still be there, and not that nothing may have been added."""
    await histories(own_database)
    await check_log(own_url, VAULT, new_head=tmp_path / "heads")
    await store_steps(SqlStore(own_database, "node"), life_of(40, Status.PAYING))
    assert (await check_log(own_url, VAULT, head=tmp_path / "heads")).holds
    heads = read_heads(tmp_path / "heads", VAULT.derived_key("seal of heads of the log"))
    assert set(heads) == {escrow_id(number) for number in range(1, len(Status) + 1)}
    assert heads[escrow_id(1)] == Head(escrow_id(1), 1, heads[escrow_id(1)].hash)


async def test_forged_heads_are_believed(own_database: Database, own_url: str, tmp_path: Path) -> None:
    """A file of heads that was changed anywhere, or that another vault key has sealed, is refused."""
    await histories(own_database)
    path, key = tmp_path / "heads", VAULT.derived_key("seal of heads of the log")
    await check_log(own_url, VAULT, new_head=path)
    with pytest.raises(HeadsRefused, match="never overwritten"):
        await check_log(own_url, VAULT, new_head=path)
    whole, chance = path.read_bytes(), random.Random(4)
    with pytest.raises(HeadsRefused, match="another vault key"):
        read_heads(path, Vault(bytes(KEY_BYTES)).derived_key("seal of heads of the log"))
    for _ in range(300):
        changed = bytearray(whole)
        changed[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(HeadsRefused):
            read_heads(path, key)
        path.write_bytes(whole[: chance.randrange(len(whole))])
        with pytest.raises(HeadsRefused):
            read_heads(path, key)
    with pytest.raises(HeadsRefused, match="cannot be read"):
        read_heads(tmp_path / "nowhere", key)
