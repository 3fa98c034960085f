"""The wallet files of a world, the processes that hold them open, and who lends them to the service."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, cast

from typing_extensions import override

from escrowd.domain.errors import EscrowdError
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.monero.methods import WALLET_METHODS
from escrowd.monero.results_wallet import Nothing
from escrowd.monero.transport import Endpoint
from escrowd.testing.simulation.faults import Life, Place
from escrowd.testing.simulation.transport import Answer, SimulatedTransport
from escrowd.testing.simulation.wallet import SimulatedWallet
from escrowd.testing.simulation.wallet_rpc import RECORDER_HOST, Surroundings, WalletRpc
from escrowd.wallets.errors import UnknownEscrow, WalletFileMissing
from escrowd.wallets.records import WalletRecord
from escrowd.wallets.server import WalletServer
from escrowd.wallets.session import OpenWallet, SessionLease, Tip, WalletSession
from escrowd.wallets.submissions import SubmissionRecorder

#: The daemon of all wallets.
DAEMON: Final = Endpoint("simulated-daemon", 1)

#: A wallet on the disk of one node.
FileKey = tuple[int, EscrowId, WalletRole]


class WalletHouse:
    """The wallet files of all nodes, and the processes that have them open. It outlives the service.

    ``older`` holds what was in each file before: somebody may put an old copy back.
    """

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.files: dict[FileKey, SimulatedWallet] = {}
        self.older: dict[FileKey, list[SimulatedWallet]] = {}
        self.processes: dict[FileKey, WalletProcess] = {}
        self.addresses: dict[EscrowId, str] = {}
        #: Roles of escrows whose key files are gone, on every node.
        self.keyless: set[tuple[EscrowId, WalletRole]] = set()

    def make(self, escrow: EscrowId, address: str) -> None:
        """Let three wallets share an address. Their keys are on every node, what they know only where they are used."""
        self.addresses[escrow] = address

    def file(self, key: FileKey) -> SimulatedWallet:
        """Return what is on disk; on a node that never had the wallet open, that is its keys alone."""
        _, escrow, role = key
        if key not in self.files:
            self.files[key] = SimulatedWallet(escrow, role, self.addresses[escrow])
        return self.files[key]

    def write(self, key: FileKey, wallet: SimulatedWallet) -> None:
        """Write a file, in place of the one before."""
        if key in self.files:
            self.older.setdefault(key, []).append(self.files[key])
        self.files[key] = wallet.copy()

    def restore_older(self, key: FileKey, age: int) -> bool:
        """Put the copy back that was overwritten ``age`` stores ago, unless there is none or a process is open."""
        copies = self.older.get(key, [])
        if key in self.processes or not 0 < age <= len(copies):
            return False
        self.files[key] = copies[-age].copy()
        return True

    def lose_cache(self, key: FileKey) -> None:
        """Let a cache be gone, and its process. The next wallet is made of the keys alone."""
        self.kill(key)
        self.files.pop(key, None)

    def lose_keys(self, escrow: EscrowId, role: WalletRole) -> None:
        """Let the keys of a role be gone on every node, and its processes."""
        self.keyless.add((escrow, role))
        for key in [each for each in self.processes if each[1:] == (escrow, role)]:
            self.kill(key)

    def can_sign(self, escrow: EscrowId) -> bool:
        """Return whether the keys of two roles are left."""
        return sum((escrow, role) not in self.keyless for role in WalletRole) > 1

    def kill(self, key: FileKey) -> None:
        """End a process at once."""
        process = self.processes.pop(key, None)
        if process is not None:
            process.die()


class WalletProcess(WalletServer):
    """One simulated monero-wallet-rpc. What it knows beyond its file dies with it."""

    def __init__(self, house: WalletHouse, key: FileKey, life: Life) -> None:
        self._house = house
        self._key = key
        self.rpc = WalletRpc(house.around, lambda wallet: house.write(key, wallet))
        self._is_up = True
        transport = SimulatedTransport(self, house.around.faults, life)
        super().__init__(f"simulated-{key[0]}-{key[2]}", Endpoint("simulated", 0), transport, DAEMON)

    def adopted_by(self, life: Life) -> "WalletProcess":
        """Return the same process for the service that found it running."""
        again = WalletProcess(self._house, self._key, life)
        again.rpc = self.rpc
        self._house.processes[self._key] = again
        return again

    @property
    def place(self) -> Place:
        """It is a wallet process."""
        return Place.WALLET

    @property
    def is_up(self) -> bool:
        """Whether it accepts calls."""
        return self._is_up

    @property
    @override
    def is_alive(self) -> bool:
        return self._is_up

    def answer(self, method: str) -> Answer:
        """Return who answers the method."""
        if method not in WALLET_METHODS:
            raise AssertionError(f"monero-wallet-rpc has no method {method}")
        if method == "open_wallet":
            return lambda _params: self._open()
        return cast("Answer", getattr(self.rpc, method))

    def die(self) -> None:
        """End at once."""
        self._is_up = False
        self.rpc.wallet = None

    @override
    async def end(self, patience: float) -> None:
        self.die()

    @override
    def condemn(self, reason: str) -> None:
        self.fault = reason
        self.raise_fence()
        if self._house.processes.get(self._key) is self:
            del self._house.processes[self._key]
        self.die()

    def _open(self) -> Nothing:
        self.rpc.wallet = self._house.file(self._key).copy()
        return Nothing()


class SimulatedLease(SessionLease):
    """The real lease, but for saving: one wallet after the other, and a failure as itself; and for sockets."""

    def __init__(
        self, session: WalletSession, roles: Sequence[WalletRole], recorders: dict[str, SubmissionRecorder]
    ) -> None:
        super().__init__(session, _TIPS, roles)
        self._recorders = recorders

    @override
    def _recorder(self, txids: Collection[str]) -> AbstractAsyncContextManager[SubmissionRecorder]:
        return self._recording(txids)

    @asynccontextmanager
    async def _recording(self, txids: Collection[str]) -> AsyncIterator[SubmissionRecorder]:
        recorder = SubmissionRecorder(Endpoint(RECORDER_HOST, len(self._recorders) + 1), txids)
        address = f"{recorder.endpoint.host}:{recorder.endpoint.port}"
        self._recorders[address] = recorder
        try:
            yield recorder
        finally:
            del self._recorders[address]

    @override
    async def store(self) -> None:
        for role in self.roles:
            await self.wallet(role).store()


class SimulatedSessions:
    """Lends the wallets of one node to one life of the service, one holder at a time."""

    def __init__(self, house: WalletHouse, node: int, life: Life) -> None:
        self._house = house
        self._node = node
        self._life = life
        self._sessions: dict[EscrowId, WalletSession] = {}
        self._turns: dict[EscrowId, asyncio.Lock] = {}

    @asynccontextmanager
    async def lease(
        self,
        escrow: EscrowId,
        roles: Sequence[WalletRole] | None = None,
        timeout: float | None = None,  # noqa: ARG002 - the real one has it
    ) -> AsyncIterator["SimulatedLease"]:
        """Lend wallets; those that broke, or were never open, are opened first."""
        async with self._turns.setdefault(escrow, asyncio.Lock()):
            self._life.check()
            session = self._session(escrow)
            for role in roles or tuple(WalletRole):
                if role not in session.wallets or not session.wallets[role].server.is_trusted:
                    session.wallets[role] = OpenWallet(session.records[role], await self._opened(escrow, role))
            try:
                yield SimulatedLease(session, roles or tuple(WalletRole), self._house.around.recorders)
            finally:
                session.raise_fences()

    async def close_session(
        self,
        escrow: EscrowId,
        timeout: float | None = None,  # noqa: ARG002 - the real one has it
    ) -> None:
        """Save and close the wallets of an escrow."""
        async with self._turns.setdefault(escrow, asyncio.Lock()):
            session = self._sessions.get(escrow)
            for role in tuple(session.wallets) if session else ():
                await self._close(self._session(escrow), role)
            self._sessions.pop(escrow, None)

    def _session(self, escrow: EscrowId) -> WalletSession:
        if escrow not in self._house.addresses:
            raise UnknownEscrow(f"no wallets are recorded for {escrow}")
        if escrow not in self._sessions:
            address = self._house.addresses[escrow]
            records = {role: WalletRecord(escrow, role, f"{escrow}-{role}", address, "sealed") for role in WalletRole}
            self._sessions[escrow] = WalletSession(escrow, records)
        return self._sessions[escrow]

    async def _opened(self, escrow: EscrowId, role: WalletRole) -> WalletProcess:
        if (escrow, role) in self._house.keyless:
            raise WalletFileMissing(f"the {role}'s wallet of {escrow} cannot open")
        key = (self._node, escrow, role)
        running = self._house.processes.get(key)
        if running is not None and running.is_trusted and running.rpc.wallet is not None:
            # After a restart, wallets are found open and taken over.
            adopted = running.adopted_by(self._life)
            await adopted.client.set_daemon(adopted.daemon)
            return adopted
        process = WalletProcess(self._house, key, self._life)
        try:
            await process.client.open_wallet(f"{escrow}-{role}", Secret("password"))
        except EscrowdError:
            process.die()
            raise
        self._house.processes[key] = process
        return process

    async def _close(self, session: WalletSession, role: WalletRole) -> None:
        server = session.wallets[role].server
        server.raise_fence()
        if server.is_trusted:
            await server.client.close_wallet()
        server.condemn("closed")
        del session.wallets[role]


# ---------------------------------------------------------------------------------------------------------------------


class _Tips:
    async def tip(self) -> Tip:
        """No balance is asked for through a lease here."""
        raise AssertionError("a balance was asked for")


_TIPS: Final = _Tips()
