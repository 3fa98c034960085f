"""Journal and shelf in memory, and a keyer over real wallet processes: for tests of keys and for the bench."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from typing_extensions import override

from escrowd.bootstrap import RunningHouse, WalletHouse, open_wallet_house
from escrowd.domain.identifiers import RANDOM_BYTES, EscrowId, Prefix, make_identifier
from escrowd.domain.keying import KeySet, StaleAttempt
from escrowd.domain.networks import Network
from escrowd.domain.parties import WalletRole
from escrowd.monero.transport import CallObserver
from escrowd.service.keying.keyer import Keyer
from escrowd.service.keying.transient import TransientJournal
from escrowd.testing.wallet_process import regtest_program
from escrowd.wallets.errors import UnknownEscrow
from escrowd.wallets.making import KeepOpen, WalletMaker
from escrowd.wallets.records import WalletRecord
from escrowd.wallets.settings import SessionSettings
from escrowd.wallets.vault import KEY_BYTES, Vault


class KeySets:
    """Finished keys, in place of a table. As :class:`escrowd.wallets.records.WalletRecords`."""

    def __init__(self) -> None:
        self.sets: dict[EscrowId, KeySet] = {}

    async def wallets_of(self, escrow: EscrowId) -> tuple[WalletRecord, ...]:
        """Return the hosted wallets of an escrow. Raises UnknownEscrow where there are none."""
        keys = self.sets.get(escrow)
        if keys is None:
            raise UnknownEscrow(f"no wallets are recorded for {escrow}")
        return tuple(
            WalletRecord(escrow, each.role, each.filename, keys.address, each.sealed_password) for each in keys.hosted
        )


class MemoryKeyingJournal(TransientJournal):
    """A journal that also remembers which attempts there were, and can fail once."""

    def __init__(self, keys: KeySets) -> None:
        super().__init__()
        #: Each attempt that was begun: its escrow, its number, and why the one before was given up.
        self.begun: list[tuple[EscrowId, int, str]] = []
        #: What the next finish fails with after it was carried out, like a database whose answer is lost.
        self.loses_answer: Exception | None = None
        self._keys = keys

    @override
    async def begin(self, escrow: EscrowId, number: int, restore_height: int, why: str) -> None:
        await super().begin(escrow, number, restore_height, why)
        self.begun.append((escrow, number, why))

    @override
    async def finish(self, escrow: EscrowId, number: int, keys: KeySet) -> None:
        await super().finish(escrow, number, keys)
        self._keys.sets[escrow] = keys
        if self.loses_answer is not None:
            error, self.loses_answer = self.loses_answer, None
            raise error


class MemoryShelf:
    """A shelf in memory. As :class:`escrowd.wallets.stock.Shelf`."""

    def __init__(self, keys: KeySets) -> None:
        self.making: list[EscrowId] = []
        self.sets: dict[EscrowId, KeySet] = {}
        self.failures: dict[EscrowId, str] = {}
        self.taken: list[EscrowId] = []
        self.changed = asyncio.Event()
        self._keys = keys

    async def count_ready(self) -> int:
        """Return how many sets wait."""
        return len(self.sets)

    async def begin(self, escrow: EscrowId) -> None:
        """Note a set that is being made."""
        self.making.append(escrow)

    async def ready(self, keys: KeySet) -> None:
        """Store a finished set."""
        if keys.escrow in self.making:
            self.making.remove(keys.escrow)
            self.sets[keys.escrow] = self._keys.sets[keys.escrow] = keys
        self.changed.set()

    async def failed(self, escrow: EscrowId, why: str) -> None:
        """Note a set that failed. Raises StaleAttempt."""
        if escrow in self.sets or escrow in self.taken:
            raise StaleAttempt(f"the set of {escrow} is finished")
        if escrow in self.making:
            self.making.remove(escrow)
        self.failures[escrow] = why
        self.changed.set()

    async def left_making(self) -> tuple[EscrowId, ...]:
        """Return the sets that are being made."""
        return tuple(self.making)

    def take(self) -> KeySet | None:
        """Take the oldest set, as the transaction that creates an escrow does."""
        if not self.sets:
            return None
        escrow = next(iter(self.sets))
        self.taken.append(escrow)
        return self.sets.pop(escrow)


@dataclass(frozen=True, slots=True)
class Workshop:
    """A running house with a keyer over it."""

    house: RunningHouse
    vault: Vault
    maker: WalletMaker
    keyer: Keyer


class KeyingHouse:
    """A directory in which keys are made over a private chain. It can be opened again, as after a crash."""

    def __init__(self, daemon_port: int, directory: Path, key: bytes | None = None) -> None:
        self.daemon_port = daemon_port
        self.directory = directory
        self.keys = KeySets()
        self.journal = MemoryKeyingJournal(self.keys)
        self.shelf = MemoryShelf(self.keys)
        #: The key of the vault; a random one unless it is given.
        self.key = key or secrets.token_bytes(KEY_BYTES)
        self.vault = Vault(self.key)
        self.wallet_directory = directory / "wallets"
        self.wallet_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._run_directory = directory / "run"

    @asynccontextmanager
    async def open(
        self,
        settings: SessionSettings | None = None,
        keep_open: KeepOpen = KeepOpen.ALWAYS,
        observer: CallObserver | None = None,
    ) -> AsyncIterator[Workshop]:
        """Open sessions and a keyer here."""
        program = regtest_program(self.daemon_port, self.wallet_directory)
        house = WalletHouse(
            program, self._run_directory, self.vault, self.keys, settings or SessionSettings(max_sessions=10)
        )
        async with open_wallet_house(house, observer) as running:
            maker = WalletMaker(running.opener, running.manager, keep_open)
            height = partial(_height, running)
            async with Keyer(maker, self.vault, height, Network.REGTEST) as keyer:
                yield Workshop(running, self.vault, maker, keyer)

    def files(self) -> set[str]:
        """Return the names of the files in the wallet directory, those put aside with the name of their directory."""
        return {
            path.relative_to(self.wallet_directory).as_posix()
            for path in self.wallet_directory.rglob("*")
            if path.is_file() and "ringdb" not in path.parts
        }


def new_escrow_id() -> EscrowId:
    """Make the id of an escrow."""
    return EscrowId(make_identifier(Prefix.ESCROW, time.time_ns() // 1_000_000, secrets.token_bytes(RANDOM_BYTES)))


def filenames(keys: KeySet) -> Mapping[WalletRole, str]:
    """Return the names of the hosted wallets."""
    return {each.role: each.filename for each in keys.hosted}


# ---------------------------------------------------------------------------------------------------------------------


async def _height(running: RunningHouse) -> int:
    return (await running.daemon.get_info()).height
