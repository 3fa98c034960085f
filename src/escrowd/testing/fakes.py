"""Stand-ins for unit tests of pure scheduling: no process, no wallet, no money. Never for tests of money."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import TypeVar

from typing_extensions import override

from escrowd.domain.errors import EscrowdError
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.monero.methods import Method
from escrowd.monero.transport import Endpoint
from escrowd.wallets.errors import ProcessLost, UnknownEscrow
from escrowd.wallets.records import WalletRecord
from escrowd.wallets.server import WalletServer
from escrowd.wallets.session import Faults, OpenWallet, Tip, WalletSession

ResultT = TypeVar("ResultT")


class ManualClock:
    """A clock that stands still until it is told to go on. Call it for the time in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


class FixedTip:
    """A chain whose tip moves when a test moves it."""

    def __init__(self) -> None:
        self.height = 100

    async def tip(self) -> Tip:
        """Return the tip."""
        return Tip(self.height, f"{self.height:064x}")


class DictRecords:
    """Wallet records kept in a dictionary."""

    def __init__(self, records: Mapping[EscrowId, tuple[WalletRecord, ...]] | None = None) -> None:
        self.records = dict(records or {})

    async def wallets_of(self, escrow: EscrowId) -> tuple[WalletRecord, ...]:
        """Return the hosted wallets of an escrow. Raises UnknownEscrow where there are none."""
        if escrow not in self.records:
            raise UnknownEscrow(f"no wallets are recorded for {escrow}")
        return self.records[escrow]


class FakeServer(WalletServer):
    """A server without a process behind it; ``wrong`` is what its verification will find."""

    def __init__(self, name: str) -> None:
        super().__init__(name, Endpoint("127.0.0.1", 1), _NoTransport(), Endpoint("127.0.0.1", 2))
        self.wrong: EscrowdError | None = None

    @property
    @override
    def is_alive(self) -> bool:
        return True

    @override
    async def verify(self) -> None:
        await asyncio.sleep(0)
        if self.wrong is not None:
            raise self.wrong

    @override
    async def end(self, patience: float) -> None:
        return None

    @override
    def condemn(self, reason: str) -> None:
        self.wrong = ProcessLost(reason)


class FakeOpener:
    """Opens sessions out of nothing, each when the test lets it, and counts."""

    def __init__(self, *, at_once: bool = True) -> None:
        self.opened: Counter[EscrowId] = Counter()
        self.closed: Counter[EscrowId] = Counter()
        self.repaired: Counter[EscrowId] = Counter()
        self.left: Counter[EscrowId] = Counter()
        self.open_now: set[EscrowId] = set()
        self.most_open = 0
        #: What the next opening, or the next closing, fails with.
        self.open_fails: EscrowdError | None = None
        self.close_fails: EscrowdError | None = None
        self.gate = asyncio.Event()
        if at_once:
            self.gate.set()

    async def open(self, escrow: EscrowId) -> WalletSession:
        """Open a session once the gate is open."""
        self.opened[escrow] += 1
        self.open_now.add(escrow)
        self.most_open = max(self.most_open, len(self.open_now))
        await self.gate.wait()
        await asyncio.sleep(0)
        if self.open_fails is not None:
            self.open_now.discard(escrow)
            raise self.open_fails
        return fake_session(escrow)

    async def repair(self, session: WalletSession, faults: Faults) -> WalletSession:
        """Replace the servers of these roles."""
        self.repaired[session.escrow] += 1
        await asyncio.sleep(0)
        if self.open_fails is not None:
            for role in faults:
                session.wallets.pop(role, None)
            if not session.wallets:
                self.open_now.discard(session.escrow)
            raise self.open_fails
        for role in faults:
            session.wallets[role] = OpenWallet(session.records[role], FakeServer(f"{session.escrow}-{role}-again"))
        return session

    async def close(self, session: WalletSession) -> None:
        """Close a session."""
        await asyncio.sleep(0)
        if self.close_fails is not None:
            raise self.close_fails
        self.closed[session.escrow] += 1
        self.open_now.discard(session.escrow)

    async def leave(self, session: WalletSession) -> None:
        """Leave a session open."""
        await asyncio.sleep(0)
        self.left[session.escrow] += 1
        self.open_now.discard(session.escrow)


def fake_session(escrow: EscrowId) -> WalletSession:
    """Make a session of three servers without processes."""
    records = {role: WalletRecord(escrow, role, f"{escrow}-{role}", "4fake", "sealed") for role in WalletRole}
    wallets = {role: OpenWallet(record, FakeServer(record.filename)) for role, record in records.items()}
    return WalletSession(escrow, records, wallets)


class _NoTransport:
    async def call(self, method: Method, params: Mapping[str, object], result: type[ResultT]) -> ResultT:
        raise AssertionError(f"a fake server was asked to {method.name}({', '.join(params)}) -> {result.__name__}")
