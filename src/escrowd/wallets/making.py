"""Makes the hosted wallets of an escrow: fresh files under new names, each open in a process of its own.

What becomes of files:

1. Each wallet has a random suffix in its name, so that no attempt meets the file of another.
2. Its sealed password lies beside it before it is made. Whoever has the vault key can open any wallet file ever found.
3. Files of attempts that failed are **put aside, never deleted**: a database that was restored from a backup may call
   an attempt unfinished whose address was paid to long ago. Two small files for each wallet are a cheap insurance.
"""

import asyncio
import os
import secrets
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog

from escrowd.domain.errors import EscrowdError
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.keying import HostedKey, keys_purpose
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.monero.versions import Capability
from escrowd.monero.wallet import MoneroClient
from escrowd.wallets.caches import ASIDE, force_names
from escrowd.wallets.errors import KeysNotSaved
from escrowd.wallets.opening import SessionOpener
from escrowd.wallets.records import WalletRecord, password_purpose
from escrowd.wallets.registry import Holding
from escrowd.wallets.server import WALLET_ATTRIBUTE, FencedTransport, WalletServer
from escrowd.wallets.session import OpenWallet, WalletSession
from escrowd.wallets.sessions import WalletSessionManager
from escrowd.wallets.vault import random_password

log = structlog.get_logger()

#: How many accounts, and subaddresses of each, a new wallet looks for, where the engine lets us choose. The table of
#: 50 x 200 that a wallet has otherwise takes 400 kB of its cache, and is written at each signature. Only the primary
#: address is ever given out; the watcher's table (:class:`escrowd.chain.watched_keys.Lookahead`) must not be wider.
LOOKAHEAD: Final = 2
#: Ending of the file with the sealed password of a wallet.
PASSWORD_SUFFIX: Final = ".password"  # noqa: S105 - an ending, no password


class KeepOpen(StrEnum):
    """Whether finished wallets stay open as the session of their escrow."""

    #: Yes; another session makes room where that is needed.
    ALWAYS = "always"
    #: Yes, while there is room without closing another session.
    IF_ROOM = "if_room"
    #: No: they are closed, and opened when they are needed.
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class FreshWallet:
    """A wallet that was made a moment ago, open in a process of its own."""

    role: WalletRole
    filename: str
    password: Secret
    sealed_password: str
    server: WalletServer
    client: MoneroClient


class WalletMaker:
    """Makes wallets, and hands the finished ones over to the session manager."""

    def __init__(
        self, opener: SessionOpener, manager: WalletSessionManager, keep_open: KeepOpen = KeepOpen.ALWAYS
    ) -> None:
        self.keep_open = keep_open
        self._opener = opener
        self._manager = manager

    @property
    def directory(self) -> Path:
        """Where the wallet files are."""
        return self._opener.pool.program.wallet_directory

    async def make(self, escrow: EscrowId, roles: Sequence[WalletRole]) -> "FreshSet":
        """Make a wallet for each of the roles, all at the same time, under names that no file ever had.

        Raises:
            PoolExhausted: there are not enough wallet processes; nothing was made.
            EscrowdError: a wallet was not made; none is open.

        """
        fresh = FreshSet(self, self._opener, escrow)
        # First the processes: starting one takes a second, which no core should be kept for.
        servers = await fresh.take_processes(len(roles))
        works = [partial(fresh.create, role, server) for role, server in zip(roles, servers, strict=True)]
        try:
            await self._opener.cores.together(works)
        except BaseException:
            await asyncio.shield(fresh.drop())
            raise
        return fresh

    async def withdraw(self, escrow: EscrowId) -> None:
        """Close the session of an escrow whose keys do not count, and put its wallet files aside.

        To be called only when it is stored that these keys never become the escrow's.

        Raises:
            SessionUnavailable, WalletNotSaved: the session did not close; no file was moved.
            KeysNotSaved: a file could not be moved.

        """
        await self._manager.close_session(escrow)
        with _kept_on_disk():
            moved = await asyncio.to_thread(_put_aside, self.directory, escrow)
        if moved:
            log.warning("wallets.put_aside", escrow=escrow, files=moved)

    async def take_in(self, session: WalletSession) -> None:
        """Lend finished wallets to sessions from now on, or close them, as this maker does."""
        # So that the next set finds processes that run already. Not sooner: a start keeps a core busy for a second,
        # and this set would have waited for it.
        self._opener.pool.refill_soon()
        evicting = self.keep_open is KeepOpen.ALWAYS
        if self.keep_open is not KeepOpen.NEVER and self._manager.admit(session, evicting=evicting):
            return
        try:
            await self._opener.close(session)
        except EscrowdError as error:
            # Everything that counts is on the medium already.
            log.error("wallets.not_closed", escrow=session.escrow, error=str(error))
        finally:
            left = [wallet.server for wallet in session.wallets.values()]
            await asyncio.shield(asyncio.gather(*(self._opener.pool.discard(server) for server in left)))


class FreshSet:
    """The hosted wallets of one attempt at an escrow's keys.

    Mutable state: ``_servers`` (every process that is ours to end) and ``_wallets`` (those that were made).
    """

    def __init__(self, maker: WalletMaker, opener: SessionOpener, escrow: EscrowId) -> None:
        self.escrow = escrow
        self._maker = maker
        self._opener = opener
        self._servers: list[WalletServer] = []
        self._wallets: dict[WalletRole, FreshWallet] = {}

    def wallet(self, role: WalletRole) -> FreshWallet:
        """Return the wallet of a role."""
        return self._wallets[role]

    async def take_processes(self, count: int) -> tuple[WalletServer, ...]:
        """Take processes from the pool: so many, or none.

        Raises:
            PoolExhausted, ProcessNotStarted: so many could not be had.

        """
        try:
            await _all_done([self._take_process() for _ in range(count)])
        except BaseException:
            servers, self._servers = self._servers, []
            await asyncio.shield(asyncio.gather(*(self._opener.pool.give_back(server) for server in servers)))
            raise
        return tuple(self._servers)

    async def create(self, role: WalletRole, server: WalletServer) -> None:
        """Make the wallet of a role in a process.

        Raises:
            WalletNotOpened, KeysNotSaved: a file could not be written.

        """
        vault = self._opener.vault
        filename = f"{self.escrow}-{role}-{secrets.token_hex(4)}"
        password = random_password()
        sealed = vault.seal(password, password_purpose(filename))
        path = self._maker.directory / (filename + PASSWORD_SUFFIX)
        with _kept_on_disk():
            await asyncio.to_thread(_write_lasting, path, sealed)
        client = MoneroClient(FencedTransport(server, server.raise_fence()))
        await client.create_wallet(filename, password)
        if Capability.SUBADDRESS_LOOKAHEAD in await client.capabilities():
            await client.set_subaddress_lookahead(LOOKAHEAD, LOOKAHEAD, password)
        self._wallets[role] = FreshWallet(role, filename, password, sealed, server, client)

    async def keep(self, address: str) -> tuple[HostedKey, ...]:
        """Make ready wallets last: stored, forced to the medium, backed up; and lend them to sessions from now on.

        Raises:
            WalletNotSaved, KeysNotSaved: the disk is full or broken, so the address must not be used.
            EscrowdError: a wallet process did not answer.

        """
        # In the order of the roles, not in that in which they came to be.
        self._wallets = {role: self._wallets[role] for role in WalletRole if role in self._wallets}
        records = {role: self._record(wallet, address) for role, wallet in self._wallets.items()}
        await _all_done([_finish(wallet) for wallet in self._wallets.values()])
        with _kept_on_disk():
            keys = await asyncio.to_thread(self._backed_up)
        for role, wallet in self._wallets.items():
            wallet.server.hold(Holding(self.escrow, role, wallet.filename, address))
        session = WalletSession(
            self.escrow, records, {role: OpenWallet(records[role], each.server) for role, each in self._wallets.items()}
        )
        self._servers.clear()
        await self._maker.take_in(session)
        return keys

    async def drop(self) -> None:
        """End the processes without saving anything. The files stay."""
        servers, self._servers = self._servers, []
        await asyncio.gather(*(self._opener.pool.discard(server) for server in servers))

    async def _take_process(self) -> None:
        self._servers.append(await self._opener.pool.acquire())

    def _record(self, wallet: FreshWallet, address: str) -> WalletRecord:
        return WalletRecord(self.escrow, wallet.role, wallet.filename, address, wallet.sealed_password)

    def _backed_up(self) -> tuple[HostedKey, ...]:
        """Force the key files to the medium, which wallet2 never does, and return them sealed."""
        directory = self._maker.directory
        contents = {role: _read_forced(directory / f"{each.filename}.keys") for role, each in self._wallets.items()}
        force_names(directory)
        vault = self._opener.vault
        return tuple(
            HostedKey(
                role, each.filename, each.sealed_password, vault.seal_bytes(contents[role], keys_purpose(each.filename))
            )
            for role, each in self._wallets.items()
        )


def restore_keys(directory: Path, key: HostedKey, data: bytes) -> None:
    """Write the bytes of a ``.keys`` file back to where it was lost; ``data`` was unsealed by the vault.

    The cache is made again when the wallet is opened. What it had taken in of its co-signers is lost with it, so they
    have to exchange their data anew before the wallet can sign.

    Raises:
        FileExistsError: there is such a file.

    """
    path = directory / f"{key.filename}.keys"
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(data)
    _read_forced(path)
    force_names(directory)


# ---------------------------------------------------------------------------------------------------------------------


async def _finish(wallet: FreshWallet) -> None:
    await wallet.client.set_attribute(WALLET_ATTRIBUTE, wallet.filename)
    await wallet.client.store()


async def _all_done(works: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Wait until every work has ended, whichever fails; then raise the first error."""
    answers = await asyncio.gather(*works, return_exceptions=True)
    for answer in answers:
        if answer is not None:
            raise answer


@contextmanager
def _kept_on_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise KeysNotSaved(f"wallet files could not be kept: {error}") from error


def _write_lasting(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def _read_forced(path: Path) -> bytes:
    """Force what was written of a file to the medium, and read it."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return file.read()


def _put_aside(directory: Path, escrow: EscrowId) -> int:
    """Move keys and passwords of an escrow's wallets aside, remove the rest, and return how many wallets these were."""
    aside = directory / ASIDE
    aside.mkdir(mode=0o700, exist_ok=True)
    wallets = set()
    for path in directory.glob(f"{escrow}-*"):
        if path.suffix in (".keys", PASSWORD_SUFFIX):
            wallets.add(path.stem)
            path.replace(aside / path.name)
        else:
            path.unlink()  # the cache, which the keys bring back
    force_names(aside)
    force_names(directory)
    return len(wallets)
