"""The whole service over a lab: in this process, or in one of its own that can be killed at a named place.

Its stock begins with kept wallets, whose keys are public, so that an escrow needs none of the many seconds that real
keys take to be made.
"""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Self

import msgspec

from escrowd.bootstrap.chain import ChainSettings
from escrowd.bootstrap.service import RunningService, ServiceHouse, open_service
from escrowd.chain.monitor import MonitorSettings
from escrowd.domain.keying import HostedKey, KeySet, keys_purpose, view_key_purpose
from escrowd.domain.networks import Network
from escrowd.domain.secret import Secret
from escrowd.monero.programs import MoneroProgram, find_program
from escrowd.monero.transport import CallObserver
from escrowd.service.crash_points import CrashPoint, hit_by
from escrowd.store.database import Database
from escrowd.store.migrating import migrate
from escrowd.store.store import SqlShelf
from escrowd.testing.ending import until_told_or_orphaned
from escrowd.testing.lab import RegtestLab
from escrowd.testing.wallet_process import regtest_program
from escrowd.testing.wallet_sets import WalletSet, install, keys_file, wallet_sets
from escrowd.wallets.records import password_purpose
from escrowd.wallets.running import RunningProcess
from escrowd.wallets.settings import AtExit, SessionSettings
from escrowd.wallets.stock import StockSettings
from escrowd.wallets.vault import KEY_BYTES, Vault
from escrowd.wallets.vault_key import ENVIRONMENT_VARIABLE, key_from_environment

#: Names the place at which a service in a process of its own kills itself.
CRASH_VARIABLE: Final = "ESCROWD_TEST_CRASH_POINT"
#: What a service in a process of its own says goes to this file in its directory.
OUTPUT: Final = "service.out"
#: Seconds that a service gets to save and close its wallets.
STOP_PATIENCE: Final = 60.0
NODE: Final = "node-1"


class EscrowHouseFile(msgspec.Struct, frozen=True):
    """Where a service runs. The vault key is not in it."""

    wallet_rpc: str
    daemon_port: int
    directory: str
    database_url: str
    stock_size: int = 0
    max_sessions: int = 12
    at_exit: AtExit = AtExit.CLOSE

    def house(self, vault: Vault) -> ServiceHouse:
        """Return the service that this describes."""
        directory = Path(self.directory)
        return ServiceHouse(
            network=Network.REGTEST,
            program=regtest_program(self.daemon_port, directory / "wallets", Path(self.wallet_rpc)),
            run_directory=directory / "run",
            database_url=self.database_url,
            vault=vault,
            node=NODE,
            sessions=SessionSettings(max_sessions=self.max_sessions, at_exit=self.at_exit, lease_timeout=300),
            stock=StockSettings(size=self.stock_size, low_water=self.stock_size),
            chain=ChainSettings(MonitorSettings(poll_interval=0.2)),
        )


class EscrowHouse:
    """A directory with a service in it, over the chain of a lab."""

    def __init__(self, file: EscrowHouseFile, key: bytes) -> None:
        self.file = file
        self._key = key

    @classmethod
    async def build(
        cls,
        lab: RegtestLab,
        directory: Path,
        *,
        kept: int = 0,
        first: int = 0,
        stock_size: int = 0,
        database_url: str | None = None,
    ) -> Self:
        """Prepare a service: ``kept`` escrows find kept wallets in the stock, ``stock_size`` is for real ones.

        Services that share a chain take different kept wallets, from the ``first`` on: one address is for one escrow.
        """
        (directory / "wallets").mkdir(mode=0o700, parents=True)
        file = EscrowHouseFile(
            wallet_rpc=str(find_program(MoneroProgram.WALLET_RPC)),
            daemon_port=lab.daemon_endpoint.port,
            directory=str(directory),
            database_url=database_url or f"sqlite+aiosqlite:///{directory / 'escrowd.sqlite'}",
            stock_size=stock_size,
        )
        house = cls(file, secrets.token_bytes(KEY_BYTES))
        await house._put_into_stock(wallet_sets()[first : first + kept])
        return house

    @property
    def directory(self) -> Path:
        """Where everything of the service lies."""
        return Path(self.file.directory)

    @property
    def vault(self) -> Vault:
        """What seals its secrets."""
        return Vault(self._key)

    def with_settings(self, **changes: object) -> "EscrowHouse":
        """Return the same house with other settings of :class:`EscrowHouseFile`."""
        return EscrowHouse(msgspec.structs.replace(self.file, **changes), self._key)

    @asynccontextmanager
    async def open(self, observer: CallObserver | None = None) -> AsyncIterator[RunningService]:
        """Run the service in this process."""
        async with open_service(self.file.house(self.vault), observer) as running:
            yield running
        await asyncio.sleep(0)

    @asynccontextmanager
    async def process(self, crash_at: CrashPoint | None = None) -> AsyncIterator[RunningProcess]:
        """Run the service in a process of its own until the end of the block, where it is stopped if it still runs.

        With ``crash_at`` it kills itself there, with SIGKILL, as soon as it passes. Its wallets live on; those that no
        later run takes over end with the lab, if the house stands in the lab's directory.
        """
        path = self.directory / "house.json"
        path.write_bytes(msgspec.json.encode(self.file))
        output = self.directory / OUTPUT
        output.unlink(missing_ok=True)
        environment = os.environ | {ENVIRONMENT_VARIABLE: self._key.hex()}
        if crash_at is not None:
            environment |= {CRASH_VARIABLE: str(crash_at)}
        running = RunningProcess.spawn([sys.executable, "-m", __name__, str(path)], environment, output)
        try:
            await _ready(running, output, may_end=crash_at is not None)
            yield running
        finally:
            await running.end(STOP_PATIENCE)
            running.close()

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        """Open the database beside a service in a process of its own: several processes may use it."""
        async with Database(self.file.database_url) as database:
            yield database

    def crashed_at(self, point: CrashPoint) -> bool:
        """Whether a service of this house has killed itself at a place."""
        return (self.directory / f"crashed-{point}").exists()

    async def _put_into_stock(self, kept: Sequence[WalletSet]) -> None:
        async with self.database() as database:
            await migrate(database)
            shelf = SqlShelf(database, NODE)
            for wallets in kept:
                there = install(wallets, self.directory / "wallets")
                await shelf.ready(key_set(there, self.vault, self.directory / "wallets"))


def key_set(wallets: WalletSet, vault: Vault, wallet_directory: Path) -> KeySet:
    """Return installed kept wallets as finished keys, as keying would have stored them."""
    hosted = tuple(
        HostedKey(
            role=role,
            filename=wallet.filename,
            sealed_password=vault.seal(wallet.password, password_purpose(wallet.filename)),
            sealed_keys=vault.seal_bytes(
                (wallet_directory / keys_file(wallet.filename)).read_bytes(), keys_purpose(wallet.filename)
            ),
        )
        for role, wallet in wallets.wallets.items()
    )
    return KeySet(
        escrow=wallets.escrow,
        address=wallets.address,
        sealed_view_key=vault.seal(Secret(wallets.secret_view_key), view_key_purpose(wallets.escrow)),
        restore_height=wallets.restore_height,
        transcript="0" * 64,
        hosted=hosted,
    )


async def serve_until_killed(file: EscrowHouseFile) -> None:
    """Run a service, say ``ready``, and stay until SIGTERM, or until whoever started it is gone."""
    ended = asyncio.create_task(until_told_or_orphaned())
    async with open_service(file.house(Vault(key_from_environment(os.environ)))):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await ended


# ---------------------------------------------------------------------------------------------------------------------


async def _ready(running: RunningProcess, output: Path, *, may_end: bool) -> None:
    while "ready" not in (said := _text_of(output)):
        if not running.is_alive:
            if may_end:
                return
            raise RuntimeError(f"the service ended before it was ready: {said}")
        await asyncio.sleep(0.02)


def _text_of(output: Path) -> str:
    return output.read_text() if output.exists() else ""


def _die_at(point: CrashPoint, directory: Path) -> None:
    with hit_by(lambda passed: _die(directory, point) if passed is point else None):
        asyncio.run(serve_until_killed(_file()))


def _die(directory: Path, point: CrashPoint) -> None:
    (directory / f"crashed-{point}").touch()
    os.kill(os.getpid(), signal.SIGKILL)


def _file() -> EscrowHouseFile:
    return msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=EscrowHouseFile)


if __name__ == "__main__":
    place = os.environ.get(CRASH_VARIABLE)
    if place is None:
        asyncio.run(serve_until_killed(_file()))
    else:
        _die_at(CrashPoint(place), Path(_file().directory))
