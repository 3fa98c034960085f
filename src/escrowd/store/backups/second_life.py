"""What is different in a database that was restored from a backup: its first life went on after the backup was made.

What happened between the two is on the chain, or with those who were told of it. So whoever was at work is forgotten,
every escrow is looked at anew, and nothing that was given out in the meantime is given out a second time.
"""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Table, delete, func, select, text, update

from escrowd.store import schema
from escrowd.store.backups.tables import tables_of
from escrowd.store.keys import FAILED, MAKING, READY
from escrowd.store.session import Session
from escrowd.store.work import WorkTable

#: So many numbers are left out wherever numbers are counted up: more than the first life gave after the backup.
SKIPPED: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class SecondLife:
    """What was changed."""

    #: Escrows that are looked at as soon as the service runs.
    woken: int
    #: Sets of wallets that were taken out of the stock.
    withdrawn: int


async def begin_second_life(session: Session) -> SecondLife:
    """Change what would be wrong now in a database that was true when its backup was made."""
    work, clock = schema.work, schema.service_clock
    run = session.connection.execute
    await run(update(work).values(owner=None, lease_until=0, affinity=None))
    await run(delete(schema.nodes))
    # The time between the backup and now is nobody's: the next beat adds nothing.
    await run(update(clock).values(counted=False))
    for table in await tables_of(session):
        await _skip(session, table)
    return SecondLife(await WorkTable(session).wake_all("true"), await _withdraw_stock(session))


# ---------------------------------------------------------------------------------------------------------------------


async def _withdraw_stock(session: Session) -> int:
    """Take all sets out of the stock: perhaps the address of one was given to somebody after the backup was made.

    An escrow with an address that is another escrow's would take that one's money for its own. The wallets stay.
    """
    table = schema.key_sets
    count = select(func.count()).select_from(table).where(table.c.status == READY)
    withdrawn = int((await session.connection.execute(count)).scalar_one())
    why = "a backup was restored: it may have been given to an escrow since that was made"
    unfinished = table.c.status.in_((READY, MAKING))
    await session.connection.execute(update(table).where(unfinished).values(status=FAILED, why=why))
    return withdrawn


async def _skip(session: Session, table: Table) -> None:
    """Let the next row of a table that counts its rows get a number that no row of the first life has had.

    Who follows the log from a cursor would miss an entry whose number is not above it.
    """
    key = tuple(table.primary_key.columns)
    if len(key) != 1:
        return
    highest = (await session.connection.execute(select(func.max(key[0])))).scalar_one_or_none()
    names: dict[str, Any] = {"table": table.name, "column": key[0].name}
    if session.dialect == "sqlite":
        await _skip_on_sqlite(session, table.name, highest)
        return
    sequence = await session.connection.execute(
        text("SELECT pg_get_serial_sequence(quote_ident(:table), :column)"), names
    )
    name = sequence.scalar_one_or_none()
    if name is not None:
        following = {"sequence": name, "number": (highest or 0) + SKIPPED}
        await session.connection.execute(text("SELECT setval(CAST(:sequence AS regclass), :number)"), following)


async def _skip_on_sqlite(session: Session, table: str, highest: Any) -> None:
    made = await session.connection.execute(
        text("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = :table AND sql LIKE '%AUTOINCREMENT%'"),
        {"table": table},
    )
    if made.scalar_one_or_none() is None:
        return
    await session.connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :table"), {"table": table})
    await session.connection.execute(
        text("INSERT INTO sqlite_sequence (name, seq) VALUES (:table, :number)"),
        {"table": table, "number": (highest or 0) + SKIPPED},
    )
