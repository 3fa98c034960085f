"""Restores a backup into an empty database: all of it, in one transaction, or nothing."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import structlog
from sqlalchemy import Table, insert, select, tuple_

from escrowd.store import schema
from escrowd.store.backups.archive import Archive
from escrowd.store.backups.errors import BackupDamaged, LogBroken, NotEmpty
from escrowd.store.backups.manifest import Manifest, TableEntry
from escrowd.store.backups.second_life import SecondLife, begin_second_life
from escrowd.store.backups.tables import PAGE, rows_of, tables_of
from escrowd.store.database import Database
from escrowd.store.errors import WrongSchema
from escrowd.store.migrating import bring_to, head_revision, known_revisions, revision_of
from escrowd.store.session import Session
from escrowd.store.verifying import LogReport, verify_log_in

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SealedKeys:
    """The ``.keys`` file of a wallet and its password, as they are stored."""

    filename: str
    sealed_password: str
    sealed_keys: str


@dataclass(frozen=True, slots=True)
class Restoration:
    """A database that is restored, and not committed yet."""

    manifest: Manifest
    #: What was found in the histories of all escrows.
    log: LogReport
    second_life: SecondLife
    session: Session

    async def sealed_keys(self) -> AsyncIterator[Sequence[SealedKeys]]:
        """Yield the key files of all wallets, some at a time."""
        table = schema.wallets
        key = (table.c.escrow, table.c.role)
        query = select(*key, table.c.filename, table.c.sealed_password, table.c.sealed_keys).order_by(*key).limit(PAGE)
        found = (await self.session.connection.execute(query)).all()
        while found:
            yield [SealedKeys(each.filename, each.sealed_password, each.sealed_keys) for each in found]
            after = tuple_(*key) > tuple_(found[-1].escrow, found[-1].role)
            found = (await self.session.connection.execute(query.where(after))).all()


@asynccontextmanager
async def restoration(
    database: Database, path: Path, key: bytes, *, accept_broken_log: bool = False
) -> AsyncIterator[Restoration]:
    """Restore a backup; it is committed at the end of the block, and nothing is there if the block raises.

    ``key`` is that with which the backup was sealed. The archive is checked whole before the database is touched. With
    ``accept_broken_log`` it is restored although the histories in it do not hold together: there may be money to save.

    Raises:
        BackupUnreadable, BackupDamaged, OtherVaultKey: the archive is not to be used.
        LogBroken: a history in it does not hold together.
        NotEmpty: there are tables in the database.
        WrongSchema: the backup was made by a newer version of the program.
        DatabaseUnavailable: the database did not answer.

    """
    with await asyncio.to_thread(Archive, path, key) as archive:
        manifest = archive.manifest
        if manifest.revision not in known_revisions():
            raise WrongSchema(
                f"the backup was made by escrowd {manifest.escrowd}, whose revision {manifest.revision} this version "
                "does not know: restore it with that version or a newer one"
            )
        async with database.transaction() as session:
            await _check_empty(session)
            await bring_to(session, manifest.revision)
            await _insert_all(session, archive)
            await bring_to(session, head_revision())
            report = await verify_log_in(session)
            if not accept_broken_log:
                _check_log(report)
            yield Restoration(manifest, report, await begin_second_life(session), session)
    log.info("backup.restored", file=str(path), escrows=report.escrows)


# ---------------------------------------------------------------------------------------------------------------------


async def _check_empty(session: Session) -> None:
    tables = await tables_of(session)
    if tables or await revision_of(session) is not None:
        raise NotEmpty(
            f"the database holds {len(tables)} tables already, and a backup is restored into an empty one only: "
            "name another file for SQLite, or make a new database with PostgreSQL's createdb"
        )


def _check_log(report: LogReport) -> None:
    for first in report.broken[:1]:
        raise LogBroken(
            f"{len(report.broken)} places of the histories do not hold together, and did not when the backup was made; "
            f"the first is entry {first.sequence} of {first.escrow}: {first.what}. Take an earlier backup, or find out "
            "what happened and restore with --accept-broken-log"
        )


async def _insert_all(session: Session, archive: Archive) -> None:
    entries = {each.name: each for each in archive.manifest.tables}
    for table in await tables_of(session):
        entry = entries.pop(table.name, None)
        if entry is None:
            raise BackupDamaged(f"the backup lacks the table {table.name} of its own revision")
        await _insert(session, archive, table, entry)
    for name in entries:
        # Somebody put it beside ours into the old database; nobody would know what to do with it in the new one.
        log.warning("backup.table_left_out", table=name)


async def _insert(session: Session, archive: Archive, table: Table, entry: TableEntry) -> None:
    lines = archive.lines(entry)
    while rows := rows_of(table, await asyncio.to_thread(lambda: list(islice(lines, PAGE)))):
        await session.connection.execute(insert(table), rows)
