"""Opens settings and database for a command, while the service runs or while it does not."""

import logging
import os
import secrets
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from escrowd.bootstrap import configure_logging
from escrowd.cli.interruption import run_until_interrupted
from escrowd.domain.cause import caused_by
from escrowd.domain.errors import EscrowdError, Fault
from escrowd.domain.payouts.fees import FeeRate
from escrowd.service.front.callers import Callers
from escrowd.service.front.escrows import EscrowDesk
from escrowd.service.orchestrator import EscrowOrchestrator
from escrowd.settings.loading import Settings, load_settings
from escrowd.store.database import Database
from escrowd.store.errors import WrongSchema
from escrowd.store.migrating import head_revision, migrate, revision_of
from escrowd.store.store import SqlStore

ResultT = TypeVar("ResultT")

#: Seconds that a command waits for a lock on an SQLite file. The service holds one for milliseconds.
LOCK_PATIENCE: Final = 5.0


class NoDatabase(EscrowdError):
    """There is no database where the settings say."""

    fault = Fault.OPERATOR


class NotOurDirectory(EscrowdError):
    """The data directory is another user's, who could not use what is made in it."""

    fault = Fault.OPERATOR


@dataclass(frozen=True, slots=True)
class Opened:
    """What a command works with."""

    settings: Settings
    database: Database
    store: SqlStore
    desk: EscrowDesk

    def desk_at(self, rate: FeeRate | None) -> EscrowDesk:
        """Return a desk that judges by this fee rate, as the service does by the one that it polls."""
        return EscrowDesk(EscrowOrchestrator(self.store, fee_rate=lambda: rate))

    def callers(self) -> Callers:
        """Return who makes keys and links. Raises VaultKeyRefused."""
        return Callers(self.store, self.settings.vault())


@asynccontextmanager
async def opened(config: Path | None, *, may_make: bool = False) -> AsyncIterator[Opened]:
    """Open what the settings name; ``may_make`` allows to make a database where there is none.

    Raises:
        InvalidSettings: the settings cannot be read, or one is wrong.
        NoDatabase: there is none, and none was made.
        NotOurDirectory: it would be made for another user.
        WrongSchema: it is one of another version of escrowd.
        DatabaseUnavailable: it is out of reach or locked.

    """
    settings = load_settings(config)
    database = Database(settings.database_url, busy_timeout=LOCK_PATIENCE)
    if database.is_sqlite:
        _check_file(Path(database.url.database or ""), may_make=may_make)
    async with database:
        await _check_revision(database, may_make=may_make)
        store = SqlStore(database, settings.model.node)
        with caused_by(f"command-{secrets.token_hex(8)}"):
            yield Opened(settings, database, store, EscrowDesk(EscrowOrchestrator(store)))


def run_command(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run what a command does, with no more on standard error than what went wrong."""
    configure_logging(level=logging.ERROR, as_json=False)
    return run_until_interrupted(work, lambda: None)


# ---------------------------------------------------------------------------------------------------------------------


def _check_file(path: Path, *, may_make: bool) -> None:
    """Look before SQLite does: it would make a file that is not there."""
    try:
        if path.stat().st_size or not may_make:
            return
    except FileNotFoundError:
        if not may_make:
            raise NoDatabase(
                f"there is no database at {path}: is data_directory right? The first 'escrowd serve' makes it"
            ) from None
    except OSError as error:
        raise NoDatabase(f"the database {path} cannot be looked at: {error.strerror}") from error
    there = next(each for each in path.absolute().parents if each.exists())
    if path.parent.exists() and there.stat().st_uid != os.geteuid():
        raise NotOurDirectory(
            f"{there} belongs to user {there.stat().st_uid}, who runs the service and could not use a database that "
            f"user {os.geteuid()} makes: run this command as that user, such as with 'sudo -u'"
        )


async def _check_revision(database: Database, *, may_make: bool) -> None:
    async with database.reading() as session:
        present = await revision_of(session)
    if present == head_revision():
        return
    if present is None and may_make:
        await migrate(database)
        return
    if present is None:
        raise NoDatabase("the database has no tables yet: the first 'escrowd serve' makes them")
    raise WrongSchema(
        f"the database is at revision {present}, and this version of escrowd works with {head_revision()}: "
        "the next 'escrowd serve' brings an older one up to date; for a newer one, run the newer version"
    )
