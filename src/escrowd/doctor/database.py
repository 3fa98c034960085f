"""Checks of the database."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Final

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from escrowd.doctor.check import Check, Need, Surroundings, others_may
from escrowd.doctor.findings import Finding, Kind, warning
from escrowd.store.errors import DatabaseUnavailable, StoreError
from escrowd.store.migrating import migrations

URL_UNKNOWN: Final = Kind(
    "database.url_unknown",
    "database.url names no database that escrowd can use",
    "give sqlite+aiosqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME, or leave it out for SQLite",
)
NEW: Final = warning(
    "database.new",
    "there is no database at {path} yet",
    "nothing, before the first start, which makes it; otherwise data_directory or database.url names another place",
)
OUT_OF_REACH: Final = Kind(
    "database.out_of_reach",
    "the database did not answer: {why}",
    "see that the database server runs, and that database.url has its host, name, user and password",
)
UNREADABLE: Final = Kind(
    "database.unreadable",
    "the database cannot be read: {error}",
    "see that database.url names the database of escrowd; where that is damaged, restore the newest backup",
)
READABLE_BY_OTHERS: Final = Kind(
    "database.readable_by_others",
    "others than its owner may read {path} (mode {mode})",
    "run: chmod 600 {path}",
)
OLDER: Final = warning(
    "database.older",
    "the tables are those of an older version (revision {present}, this program has {head})",
    "make a backup, then start the service: it changes the tables",
)
NEWER: Final = Kind(
    "database.newer",
    "the tables are those of a newer version (revision {present}, this program knows {head})",
    "run that newer version, or restore a backup from before it",
)
NOT_DURABLE: Final = Kind(
    "database.not_durable",
    "PostgreSQL runs with {name} = {value}, so what was committed can be lost in a power cut, signatures among it",
    "set {name} = on for the server, and for the user and the database of escrowd (ALTER ROLE, ALTER DATABASE)",
)
DAMAGED: Final = Kind(
    "database.damaged",
    "SQLite finds its file damaged: {error}",
    "stop the service, keep a copy of the file for inspection, and restore the newest backup",
)
CLOCK: Final = Kind(
    "clock.database",
    "the clock of the database server and that of this machine are {seconds} s apart",
    "run a time service, such as chrony or systemd-timesyncd, on both machines",
)


def revisions() -> tuple[str, ...]:
    """Return the revisions of the tables that this program knows, the newest first."""
    return tuple(each.revision for each in ScriptDirectory.from_config(migrations()).walk_revisions())


# ---------------------------------------------------------------------------------------------------------------------

#: Settings of PostgreSQL that must not be off (postgresql.org/docs/current/runtime-config-wal.html).
_DURABLE: Final = ("fsync", "synchronous_commit", "full_page_writes")


async def _answers(around: Surroundings) -> Iterable[Finding]:
    database = around.database
    if database is None:
        return (URL_UNKNOWN.found(),)
    file = around.sqlite_file
    if file is not None and not await asyncio.to_thread(file.exists):
        return (NEW.found(path=file),)
    try:
        async with database.reading() as session:
            # SQLite opens its file only now.
            await session.connection.execute(text("SELECT 1" if file is None else "PRAGMA schema_version"))
    except DatabaseUnavailable as error:
        return (OUT_OF_REACH.found(why=str(error).partition(": ")[2]),)
    except StoreError as error:
        return (UNREADABLE.found(error=error),)
    return ()


async def _private(around: Surroundings) -> Iterable[Finding]:
    return _readable(around)


def _readable(around: Surroundings) -> Iterator[Finding]:
    file = around.sqlite_file
    if file is None:
        return
    for path in (file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
        if path.exists() and (mode := others_may(path)):
            yield READABLE_BY_OTHERS.found(path=path, mode=mode)


async def _version(around: Surroundings) -> Iterable[Finding]:
    async with around.opened.reading() as session:
        present = await session.connection.run_sync(
            lambda connection: MigrationContext.configure(connection).get_current_revision()
        )
    head, *older = revisions()
    if present == head:
        return ()
    kind = OLDER if present is None or present in older else NEWER
    return (kind.found(present=present or "none", head=head),)


async def _durable(around: Surroundings) -> Iterable[Finding]:
    if around.opened.is_sqlite:
        return ()
    async with around.opened.reading() as session:
        values = [(name, (await session.connection.execute(text(f"SHOW {name}"))).scalar_one()) for name in _DURABLE]
    return [NOT_DURABLE.found(name=name, value=value) for name, value in values if value == "off"]


async def _whole(around: Surroundings) -> Iterable[Finding]:
    if not around.opened.is_sqlite:
        return ()
    try:
        async with around.opened.reading() as session:
            told = (await session.connection.execute(text("PRAGMA quick_check(3)"))).scalars().all()
    except StoreError as error:
        return (DAMAGED.found(error=error),)
    return () if told == ["ok"] else (DAMAGED.found(error="; ".join(told)),)


async def _clock(around: Surroundings) -> Iterable[Finding]:
    async with around.opened.reading() as session:
        apart = abs(around.clock() - await session.now() / 1000)
    return (CLOCK.found(seconds=round(apart)),) if apart > around.thresholds.clock else ()


_DATABASE: Final = frozenset({Need.DATABASE})

CHECKS: Final = (
    Check("the database answers", _answers, (URL_UNKNOWN, NEW, OUT_OF_REACH, UNREADABLE), gives=Need.DATABASE),
    Check("the database is private", _private, (READABLE_BY_OTHERS,), _DATABASE),
    Check("the tables are those of this version", _version, (OLDER, NEWER), _DATABASE, gives=Need.SCHEMA),
    Check("what is committed stays", _durable, (NOT_DURABLE,), _DATABASE),
    Check("the database is whole", _whole, (DAMAGED,), _DATABASE, timeout=20.0),
    Check("the database has the same time", _clock, (CLOCK,), _DATABASE),
)
