"""What a check is, what it may need, and what it looks at."""

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeAlias

from escrowd.doctor.findings import Finding, Kind
from escrowd.domain.networks import Network
from escrowd.monero.daemon import MoneroDaemon, daemon_client
from escrowd.monero.transport import Connections, Endpoint
from escrowd.settings.loading import Settings
from escrowd.store.database import Database
from escrowd.store.errors import StoreError

GIBIBYTE: Final = 2**30


class Need(StrEnum):
    """What a check cannot do without. Each is given by the one check that found nothing wrong with it."""

    DATA_DIRECTORY = "data_directory"
    #: The file of the vault key, where there is to be one, lies where it should.
    KEY_FILE = "key_file"
    VAULT_KEY = "vault_key"
    #: It answers, and is ours to read.
    DATABASE = "database"
    #: Its tables are those of this program.
    SCHEMA = "schema"
    #: It answers as a monerod does.
    DAEMON = "daemon"
    #: It follows the network of the settings.
    NETWORK = "network"
    #: It is a program.
    WALLET_PROGRAM_THERE = "wallet_program_there"
    #: It tells its version.
    WALLET_PROGRAM = "wallet_program"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From where on something is wrong. Times are seconds."""

    #: Free where the data directory is. A wallet that cannot be saved lets no signature out.
    disk_full: int = GIBIBYTE // 4
    disk_low: int = 2 * GIBIBYTE
    inodes_low: int = 10_000
    #: Free where the daemon keeps its chain, which grows by some ten GiB a year.
    daemon_disk_low: int = 5 * GIBIBYTE
    #: As the service judges it: a block comes in two minutes on average, and none in an hour once in ages.
    last_block: float = 60 * 60.0
    #: How much clocks may differ.
    clock: float = 60.0
    #: How long an effect may wait to be carried out.
    effect: float = 60 * 60.0
    #: How long an event may be on its way to a webhook.
    delivery: float = 24 * 60 * 60.0
    #: Failures in a row.
    attempts: int = 5
    #: Escrows, the newest ones, whose history is checked.
    histories: int = 200


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the checks look at."""

    settings: Settings
    daemon: MoneroDaemon
    #: Read only; ``None`` where its URL is none.
    database: Database | None
    thresholds: Thresholds = field(default_factory=Thresholds)
    #: What is mounted where, as the kernel tells it (proc(5)).
    mounts: Path = Path("/proc/self/mounts")
    #: Seconds since 1970.
    clock: Callable[[], float] = time.time

    @property
    def network(self) -> Network:
        """The network that the settings name."""
        return self.settings.model.network

    @property
    def sqlite_file(self) -> Path | None:
        """The file of an SQLite database; ``None`` where it is no file."""
        if self.database is None or not self.database.is_sqlite:
            return None
        return Path(self.database.url.database or "").absolute()

    @property
    def opened(self) -> Database:
        """The database, for checks that need it."""
        if self.database is None:
            raise RuntimeError("a check that reads the database says that it needs it")
        return self.database


Look: TypeAlias = Callable[[Surroundings], Awaitable[Iterable[Finding]]]


@dataclass(frozen=True, slots=True)
class Check:
    """One check: what it does, what it can find, and what it needs and gives."""

    name: str
    look: Look
    kinds: tuple[Kind, ...]
    needs: frozenset[Need] = frozenset()
    #: Given where the check ran to its end and found nothing.
    gives: Need | None = None
    #: Seconds until it is given up.
    timeout: float = 10.0


@asynccontextmanager
async def surroundings_of(settings: Settings) -> AsyncIterator[Surroundings]:
    """Make what the checks look at. Nothing is connected before a check asks for it."""
    async with AsyncExitStack() as closers:
        connections = await closers.enter_async_context(Connections())
        endpoint = Endpoint(settings.model.daemon.host, settings.daemon_port)
        try:
            database = await closers.enter_async_context(Database(settings.database_url, read_only=True))
        except StoreError:
            database = None
        yield Surroundings(settings, daemon_client(connections, endpoint), database)


def others_may(path: Path) -> str | None:
    """Return the rights of a file, such as ``0640``, where others than its owner have any; else ``None``."""
    mode = path.stat().st_mode & 0o777
    return f"{mode:04o}" if mode & 0o077 else None


def is_root() -> bool:
    """Tell whether we may do anything, so that trying tells nothing of what the service may do."""
    return os.geteuid() == 0
