"""Opens, repairs and closes the wallets of a session.

A wallet whose cache does not open gets a new one, once for each opening.

Opening a wallet costs seconds of one core, whatever the disk does (Monero makes an RSA key for each wallet object). So
no more wallets are opened at a time than there are cores: more would only make all of them slower.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from escrowd.domain.errors import EscrowdError, Fault
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.monero.errors import WalletNotOpened, WalletNotSaved
from escrowd.wallets.caches import RemadeCache, may_be_the_cache, move_cache_aside
from escrowd.wallets.cores import Cores
from escrowd.wallets.errors import WalletFileMissing, WrongWallet
from escrowd.wallets.pool import WalletPool
from escrowd.wallets.records import WalletRecord, WalletRecords
from escrowd.wallets.registry import Holding
from escrowd.wallets.server import WALLET_ATTRIBUTE, WalletServer
from escrowd.wallets.session import Faults, OpenWallet, WalletSession
from escrowd.wallets.vault import Vault

log = structlog.get_logger()


class SessionOpener:
    """Turns wallet records into open wallets and back."""

    def __init__(
        self,
        pool: WalletPool,
        records: WalletRecords,
        vault: Vault,
        cores: Cores | None = None,
        on_opened: Callable[[float], None] | None = None,
        on_cache_remade: Callable[[RemadeCache], None] | None = None,
    ) -> None:
        self.pool = pool
        self.vault = vault
        #: Shared with whoever makes wallets, which costs as much.
        self.cores = cores or Cores()
        self._records = records
        # A process is started while the one before it opens its wallet, and no earlier: starting takes a second, too.
        self._ahead = asyncio.Semaphore(2 * self.cores.count)
        self._on_opened = on_opened
        self._on_cache_remade = on_cache_remade

    async def open(self, escrow: EscrowId) -> WalletSession:
        """Open the hosted wallets of an escrow, each in a process of its own.

        Any two of three move the money. So a wallet that does not open is left out: who wants it has it opened again,
        and gets the error if that fails.

        Raises:
            UnknownEscrow: no wallets are recorded.
            SessionUnavailable: there are no processes for all of them now; those that opened are closed again.
            EscrowdError: none of them opened.

        """
        records = await self._records.wallets_of(escrow)
        session = WalletSession(escrow, {record.role: record for record in records})
        try:
            failures = await self._open(session, records)
            if failures and (not session.wallets or any(each.fault is Fault.LOAD for each in failures)):
                raise failures[0]
        except BaseException:
            # Opened a moment ago and never used: there is nothing in them to save.
            for wallet in session.wallets.values():
                await asyncio.shield(self.pool.discard(wallet.server, kindly=True))
            raise
        return session

    async def repair(self, session: WalletSession, faults: Faults) -> WalletSession:
        """Open the wallets of these roles again, in other processes; the others stay as they are.

        Raises:
            WalletFileMissing: a file is not there.
            EscrowdError: a wallet did not open. The session lacks it until the next repair.

        """
        for role, fault in faults.items():
            log.warning("session.wallet_lost", escrow=session.escrow, role=role, error=str(fault))
            wallet = session.wallets.pop(role, None)
            if wallet is not None:
                # A stranger's wallet in our process is saved by its end; a process out of its mind is not asked.
                await self.pool.discard(wallet.server, kindly=isinstance(fault, WrongWallet))
                if wallet.server.spoiled_cache:
                    await self._drop_cache(wallet.record, wallet.server.spoiled_cache)
        for failure in await self._open(session, [session.records[role] for role in faults]):
            raise failure
        return session

    async def close(self, session: WalletSession) -> None:
        """Save and close all wallets of a session, and give their processes back.

        Raises:
            WalletNotSaved: a wallet could not be written to disk. It stays open, and so does the session.

        """
        answers = await asyncio.gather(
            *(self._close_wallet(session, role) for role in tuple(session.wallets)), return_exceptions=True
        )
        for answer in answers:
            if answer is not None:
                raise answer

    async def leave(self, session: WalletSession) -> None:
        """Save the wallets and leave them open in their processes, for adoption by the next start."""
        for wallet in session.wallets.values():
            try:
                await wallet.server.client.store()
            except EscrowdError as error:
                log.error("wallet.not_saved", escrow=session.escrow, role=wallet.record.role, error=str(error))
            await self.pool.leave(wallet.server)
        session.wallets.clear()

    async def _open(self, session: WalletSession, records: Sequence[WalletRecord]) -> list[EscrowdError]:
        """Open these wallets into a session, and return why those did not open that did not."""
        # Not a TaskGroup: that would cancel the openings under way, and a cancelled opening costs its process.
        openings = [asyncio.create_task(self._open_wallet(record)) for record in records]
        try:
            await asyncio.gather(*openings, return_exceptions=True)
        finally:
            # Cancelled ourselves, we still have to know which wallets came to be open.
            answers = await asyncio.shield(asyncio.gather(*openings, return_exceptions=True))
            session.wallets |= {answer.record.role: answer for answer in answers if isinstance(answer, OpenWallet)}
        failures = []
        for record, answer in zip(records, answers, strict=True):
            if isinstance(answer, EscrowdError):
                log.error("wallet.not_opened", escrow=record.escrow, role=record.role, error=str(answer))
                failures.append(answer)
            elif isinstance(answer, BaseException):
                raise answer
        return failures

    async def _open_wallet(self, record: WalletRecord) -> OpenWallet:
        self._check_file(record)
        password = record.password(self.vault)
        async with self._ahead:
            server = await self.pool.acquire()
            return await self._opened(server, record, password)

    async def _opened(self, server: WalletServer, record: WalletRecord, password: Secret) -> OpenWallet:
        try:
            async with self.cores.one():
                started = time.monotonic()
                await self._open_file(server, record, password)
                seconds = time.monotonic() - started
            address = await server.client.get_address()
            if address != record.address:
                raise WrongWallet(f"the file {record.filename} holds the wallet of another address than recorded")
            await server.client.set_attribute(WALLET_ATTRIBUTE, record.filename)
            server.hold(Holding(record.escrow, record.role, record.filename, record.address))
        except BaseException as error:
            if isinstance(error, EscrowdError):
                server.condemn(str(error))  # so that its log is kept
            await asyncio.shield(self.pool.discard(server))
            raise
        if self._on_opened is not None:
            self._on_opened(seconds)
        log.info("wallet.opened", escrow=record.escrow, role=record.role, process=server.name, seconds=seconds)
        return OpenWallet(record, server)

    async def _open_file(self, server: WalletServer, record: WalletRecord, password: Secret) -> None:
        """Open a wallet file; where its cache may keep it from opening, try once more with a new cache.

        Raises:
            WalletNotOpened: it does not open; the error names the kept log of the process.

        """
        try:
            await self._open_or_remake(server, record, password)
        except WalletNotOpened as error:
            kept = f"; the log of its process is kept as {server.kept_log}" if server.kept_log else ""
            raise WalletNotOpened(error.method, error.code, f"{error.reason}{kept}") from error

    async def _open_or_remake(self, server: WalletServer, record: WalletRecord, password: Secret) -> None:
        try:
            await server.client.open_wallet(record.filename, password)
        except WalletNotOpened as error:
            is_suspect = await asyncio.to_thread(
                may_be_the_cache, error, self.pool.program.wallet_directory, record.filename
            )
            remade = await self._move_cache_aside(record, error.reason) if is_suspect else None
            if remade is None:
                raise
        else:
            return
        await server.client.open_wallet(record.filename, password)
        if self._on_cache_remade is not None:
            self._on_cache_remade(remade)

    async def _drop_cache(self, record: WalletRecord, reason: str) -> None:
        """Move the cache of a wallet that is closed aside: the next opening makes a new one."""
        remade = await self._move_cache_aside(record, reason)
        if remade is not None and self._on_cache_remade is not None:
            self._on_cache_remade(remade)

    async def _move_cache_aside(self, record: WalletRecord, reason: str) -> RemadeCache | None:
        try:
            moved_to = await asyncio.to_thread(move_cache_aside, self.pool.program.wallet_directory, record.filename)
        except OSError as failure:
            log.error("wallet.cache_not_moved", escrow=record.escrow, role=record.role, error=str(failure))
            return None
        if moved_to is None:
            return None
        log.error(
            "wallet.cache_moved_aside",
            escrow=record.escrow,
            role=record.role,
            reason=reason,
            moved_to=str(moved_to),
        )
        return RemadeCache(record.escrow, record.role, reason, moved_to)

    async def _close_wallet(self, session: WalletSession, role: WalletRole) -> None:
        server = session.wallets[role].server
        server.raise_fence()
        try:
            await server.verify()
            await server.client.close_wallet()  # saves first (on_close_wallet, autosave_current)
        except WalletNotSaved:
            raise
        except EscrowdError as error:
            # It does not hold our wallet, or does not answer: there is nothing of ours that could still be saved.
            log.warning("session.wallet_lost", escrow=session.escrow, role=role, error=str(error))
            await self.pool.discard(server, kindly=isinstance(error, WrongWallet))
        else:
            server.hold(None)
            await self.pool.give_back(server)
        del session.wallets[role]

    def _check_file(self, record: WalletRecord) -> None:
        path = self.pool.program.wallet_directory / f"{record.filename}.keys"
        if not path.is_file():
            raise WalletFileMissing(f"{path} is missing, so the {record.role}'s wallet of {record.escrow} cannot open")
