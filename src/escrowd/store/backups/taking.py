"""Makes a backup while the service runs."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

import structlog
from sqlalchemy import Table, select

from escrowd import __version__
from escrowd.domain.watching import Cursor
from escrowd.store import schema
from escrowd.store.backups.archive import Spool, check_free, write_archive
from escrowd.store.backups.manifest import Manifest, TableEntry, key_name
from escrowd.store.backups.tables import pages, tables_of
from escrowd.store.coding import decoded
from escrowd.store.database import Database
from escrowd.store.errors import WrongSchema
from escrowd.store.escrows import EscrowTable
from escrowd.store.ledgers import COMMON
from escrowd.store.migrating import head_revision, revision_of
from escrowd.store.session import Session

log = structlog.get_logger()


async def take_backup(database: Database, path: Path, key: bytes) -> Manifest:
    """Write everything that is in the database at one moment to a new file, and return what is in it.

    Nobody waits for it: the service goes on, and what it stores meanwhile is not in the backup. ``key`` seals the
    backup; secrets are in it as they are in the database, sealed with the vault key. For a while it needs as much room
    again as the file, beside it.

    Raises:
        BackupExists: there is a file of this name.
        BackupNotWritten: the disk is full, or the like.
        WrongSchema: the database is empty, or was made by another version of the program.
        DatabaseUnavailable: it did not answer.

    """
    check_free(path)
    with ExitStack() as spooling:
        async with database.reading() as session:
            await _check_revision(session)
            spools, entries = [], []
            for table in await tables_of(session):
                spool = Spool(str(table.name), path.parent)
                spooling.callback(spool.close)
                entries.append(await _fill(spool, session, table))
                spools.append(spool)
            manifest = await _manifest(session, entries, key)
        await asyncio.to_thread(write_archive, path, manifest, spools, key)
    log.info("backup.written", file=str(path), escrows=sum(manifest.escrows.values()))
    return manifest


# ---------------------------------------------------------------------------------------------------------------------


async def _check_revision(session: Session) -> None:
    revision = await revision_of(session)
    if revision is None:
        raise WrongSchema("there is nothing to back up: the database has no tables of escrowd")
    if revision != head_revision():
        raise WrongSchema(
            f"the database is at revision {revision}, and this version of escrowd has {head_revision()}: "
            "make the backup with the version that the service runs"
        )


async def _fill(spool: Spool, session: Session, table: Table) -> TableEntry:
    async for lines in pages(session, table):
        await asyncio.to_thread(spool.write, lines)
    return await asyncio.to_thread(spool.finish)


async def _manifest(session: Session, entries: list[TableEntry], key: bytes) -> Manifest:
    network = await session.connection.execute(select(schema.escrows.c.network).limit(1))
    body = (
        await session.connection.execute(select(schema.cursors.c.body).where(schema.cursors.c.lane == COMMON))
    ).scalar_one_or_none()
    cursor = None if body is None else decoded(body, Cursor)
    return Manifest(
        escrowd=__version__,
        revision=head_revision(),
        dialect=session.dialect,
        created_at=await session.now(),
        network=network.scalar_one_or_none(),
        genesis=cursor.genesis if cursor else None,
        height=cursor.height if cursor else None,
        escrows=await EscrowTable(session).count_by_status(),
        tables=tuple(entries),
        key_name=key_name(key),
    )
