"""Reads the whole log and says where it does not hold together.

Three things are compared: each entry with the one before it, by the chain of hashes; the end of each history with its
escrow; and, where there are any, *heads* that were kept elsewhere. Who can write to the database can forge the first
two with patience. Heads that are out of reach show even that.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final, NamedTuple, TypeAlias

from sqlalchemy import Select, select

from escrowd.domain.escrow.endings import wrong_end
from escrowd.domain.escrow.history import LogEntry, broken_links
from escrowd.domain.identifiers import EscrowId
from escrowd.store import schema
from escrowd.store.database import Database
from escrowd.store.heads import Head
from escrowd.store.session import Session


@dataclass(frozen=True, slots=True)
class BrokenLink:
    """A place at which the log does not hold together."""

    escrow: EscrowId
    #: Number of the entry within the history of the escrow, from 1; 0 where it is not one entry.
    sequence: int
    what: str


@dataclass(frozen=True, slots=True)
class LogReport:
    """What was looked at and what was found."""

    escrows: int
    entries: int
    broken: tuple[BrokenLink, ...]
    #: The end of each history, in the order of the escrows.
    heads: tuple[Head, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return not self.broken


async def verify_log(database: Database, heads: Mapping[EscrowId, Head] | None = None) -> LogReport:
    """Look through the histories of all escrows as they are at one moment, without hindering anybody.

    ``heads`` are ends that the histories had earlier: they must still be there, with the same hash.
    """
    async with database.reading() as session:
        return await verify_log_in(session, heads)


async def verify_log_in(session: Session, heads: Mapping[EscrowId, Head] | None = None) -> LogReport:
    """Look through all histories within a transaction."""
    looking = _Looking(dict(heads or {}))
    async for escrows, entries in _pages(session):
        looking.look(escrows, entries)
    for escrow in await _without_escrow(session):
        looking.find(escrow, 0, "there are entries of an escrow that does not exist")
    return looking.report()


# ---------------------------------------------------------------------------------------------------------------------

#: Escrows whose histories are in memory at the same time.
_AT_ONCE: Final = 100
_Histories: TypeAlias = Mapping[str, Sequence[LogEntry]]


class _EscrowRow(NamedTuple):
    id: str
    version: int
    status: str


@dataclass(slots=True)
class _Looking:
    """What was seen so far."""

    #: Earlier ends of escrows that have not come yet.
    earlier: dict[EscrowId, Head]
    escrows: int = 0
    entries: int = 0
    broken: list[BrokenLink] = field(default_factory=list)
    heads: list[Head] = field(default_factory=list)

    def look(self, escrows: Sequence[_EscrowRow], histories: _Histories) -> None:
        for row in escrows:
            escrow, entries = EscrowId(row.id), histories.get(row.id, ())
            self.escrows += 1
            self.entries += len(entries)
            for sequence in broken_links(entries):
                self.find(escrow, sequence, "it does not follow from the entry before it")
            if end := wrong_end(entries, row.version, row.status):
                self.find(escrow, entries[-1].sequence if entries else 0, end)
            self._compare(escrow, entries)
            if entries:
                self.heads.append(Head(escrow, entries[-1].sequence, entries[-1].hash))

    def find(self, escrow: EscrowId, sequence: int, what: str) -> None:
        self.broken.append(BrokenLink(escrow, sequence, what))

    def report(self) -> LogReport:
        for escrow, head in self.earlier.items():
            self.find(escrow, head.sequence, "the escrow was there earlier, and is not any more")
        return LogReport(self.escrows, self.entries, tuple(self.broken), tuple(self.heads))

    def _compare(self, escrow: EscrowId, entries: Sequence[LogEntry]) -> None:
        head = self.earlier.pop(escrow, None)
        if head is None:
            return
        found = next((each for each in entries if each.sequence == head.sequence), None)
        if found is None:
            self.find(escrow, head.sequence, "the history was longer earlier")
        elif found.hash != head.hash:
            self.find(escrow, head.sequence, "the history was another one earlier")


async def _pages(session: Session) -> AsyncIterator[tuple[Sequence[_EscrowRow], _Histories]]:
    table, log = schema.escrows, schema.log
    query = select(table.c.id, table.c.version, table.c.status).order_by(table.c.id).limit(_AT_ONCE)
    escrows = await _escrows(session, query)
    while escrows:
        these = log.c.escrow.in_([each.id for each in escrows])
        rows = await session.connection.execute(select(log).where(these).order_by(log.c.escrow, log.c.sequence))
        entries = [LogEntry(**row._mapping) for row in rows]  # noqa: SLF001 - the documented way to a row's names
        yield escrows, {escrow: tuple(some) for escrow, some in groupby(entries, key=_escrow_of)}
        escrows = await _escrows(session, query.where(table.c.id > escrows[-1].id))


async def _escrows(session: Session, query: Select[str, int, str]) -> list[_EscrowRow]:
    return [_EscrowRow(*each) for each in await session.connection.execute(query)]


def _escrow_of(entry: LogEntry) -> str:
    return entry.escrow


async def _without_escrow(session: Session) -> Sequence[EscrowId]:
    log, table = schema.log, schema.escrows
    query = select(log.c.escrow).where(log.c.escrow.not_in(select(table.c.id))).distinct()
    return [EscrowId(each) for each in (await session.connection.execute(query)).scalars()]
