"""Brings the schema of a database up to that of this program.

Whoever imports this has all tables in the one ``metadata``, those of every file.
"""

from functools import partial
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from escrowd.store import schema_access as schema_access
from escrowd.store import schema_webhooks as schema_webhooks
from escrowd.store.database import Database
from escrowd.store.errors import WrongSchema
from escrowd.store.session import Session


async def migrate(database: Database) -> None:
    """Make all tables, or change those of an older version. Several processes may do it at the same time.

    Raises:
        WrongSchema: the database belongs to a newer version of the program.
        DatabaseUnavailable: it did not answer.

    """
    async with database.transaction() as session:
        await bring_to(session, head_revision())


async def bring_to(session: Session, revision: str) -> None:
    """Bring the tables up to a revision within a transaction: others see all of it or nothing. Raises as above."""
    if session.dialect != "sqlite":
        await session.connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
    await session.connection.run_sync(partial(_upgrade, revision))


async def revision_of(session: Session) -> str | None:
    """Return at which revision the tables are; ``None`` where there are none."""
    return await session.connection.run_sync(_revision)


def head_revision() -> str:
    """Return the revision of this program's tables."""
    return _script().get_current_head() or ""


def known_revisions() -> frozenset[str]:
    """Return all revisions that this program can bring up to its own."""
    return frozenset(each.revision for each in _script().walk_revisions())


def migrations() -> Config:
    """Return the configuration of alembic: where the migrations are."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    return config


# ---------------------------------------------------------------------------------------------------------------------

#: A number of our own for the advisory lock, so that one process migrates and the others wait.
_MIGRATION_LOCK: Final = 0x6D696772


def _script() -> ScriptDirectory:
    return ScriptDirectory.from_config(migrations())


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _upgrade(revision: str, connection: Connection) -> None:
    config = migrations()
    present = _revision(connection)
    if present is not None and present not in known_revisions():
        raise WrongSchema(
            f"the database is at revision {present}, which this version of escrowd does not know: "
            "it was used by a newer one; run that, or restore a backup from before"
        )
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
