"""Where the story plays: a lab, a service over it that can be stopped and started, and what was seen of both."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from escrowd.bootstrap import RunningHouse, open_wallet_house
from escrowd.domain.errors import EscrowdError
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.monero.transport import CallRecord
from escrowd.testing.house import LabHouse
from escrowd.testing.lab import RegtestLab
from escrowd.testing.left_behind import left_behind
from escrowd.testing.wallet_sets import WalletSet
from escrowd.wallets.registry import ProcessRecord, Registry
from escrowd.wallets.running import ProcessIdentity
from escrowd.wallets.settings import AtExit, SessionSettings

PartT = TypeVar("PartT")

#: How many sessions the service of the story keeps open.
MAX_SESSIONS: Final = 3
#: Seconds that a wallet may take to open: the story is also told on slow machines.
LEASE_TIMEOUT: Final = 600.0
#: Seconds that an interrupted story waits for wallets that are being opened.
STOP_PATIENCE: Final = 1.0


Facts = dict[str, str]


@dataclass(slots=True)
class Measured:
    """What the story measured, in seconds."""

    #: Of each wallet that was opened, how long the call took.
    opens: list[float] = field(default_factory=list)
    #: All sessions opened, from nothing.
    opening: float = 0.0
    #: One look at a balance on an open session.
    look: float = 0.0
    #: All sessions adopted, after the service was killed.
    adoption: float = 0.0


class ClaimFailed(EscrowdError):
    """What the story claims did not happen."""


def claim(holds: bool, what: str) -> None:  # noqa: FBT001 - reads like assert
    """Go on only if a claim of the story holds.

    Raises:
        ClaimFailed: it does not.

    """
    if not holds:
        raise ClaimFailed(f"this should hold and does not: {what}")


class Stage:
    """What runs at the moment. Enter it with ``async with``: at the end of the block nothing runs any more.

    ``says`` is told in a few words what goes on.
    """

    def __init__(self, says: Callable[[str], None]) -> None:
        self.says = says
        #: Every RPC call that this process made for the service, oldest first.
        self.calls: list[CallRecord] = []
        #: How many of them were made before the present act.
        self.act_began = 0
        self.measured = Measured()
        self._evicted: EscrowId | None = None
        self._lab: RegtestLab | None = None
        self._house: LabHouse | None = None
        self._running: RunningHouse | None = None
        self._lab_closer = AsyncExitStack()
        self._service_closer = AsyncExitStack()
        self._seen: set[ProcessIdentity] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- what runs ---------------------------------------------------------------------------------------------------

    @property
    def lab(self) -> RegtestLab:
        """The private chain. An error before :meth:`start_chain`."""
        return _there(self._lab)

    @property
    def house(self) -> LabHouse:
        """The wallets and where the service runs. An error before :meth:`start_chain`."""
        return _there(self._house)

    @property
    def running(self) -> RunningHouse:
        """The service. An error while it is stopped."""
        return _there(self._running)

    @property
    def evicted(self) -> EscrowId:
        """The escrow whose session made room for another one. An error before that happened."""
        return _there(self._evicted)

    @evicted.setter
    def evicted(self, escrow: EscrowId) -> None:
        self._evicted = escrow

    async def start_chain(self, escrows: int) -> None:
        """Start the private chain, with the wallets of so many escrows beside it. Raises as RegtestLab.start does."""
        self._lab = await self._lab_closer.enter_async_context(RegtestLab.start(self.says))
        self._house = LabHouse.build(self._lab, self._lab.directory / "house", escrows)

    async def start_service(self, at_exit: AtExit) -> None:
        """Start the service in this process. Raises as open_wallet_house does."""
        settings = SessionSettings(
            max_sessions=MAX_SESSIONS, lease_timeout=LEASE_TIMEOUT, stop_patience=STOP_PATIENCE, at_exit=at_exit
        )
        house = self.house.house(settings)
        self._running = await self._service_closer.enter_async_context(open_wallet_house(house, self._observe))

    async def stop_service(self) -> None:
        """Stop the service; what becomes of its wallets was said at its start."""
        self.note_processes()
        self._running = None
        await self._service_closer.aclose()

    async def close(self) -> None:
        """Stop everything, in whatever state it is. Wallets that a service left open end with the lab."""
        try:
            await self.stop_service()
        finally:
            await self._lab_closer.aclose()

    # --- what was seen -----------------------------------------------------------------------------------------------

    @property
    def registry(self) -> Registry:
        """The records of the wallet processes, as the service keeps them on disk."""
        return Registry(Path(self.house.file.run_directory))

    @property
    def holders(self) -> list[ProcessRecord]:
        """The processes that hold a wallet open, as the registry has them."""
        return [record for record in self.registry.records() if record.holding is not None]

    def holder(self, escrow: EscrowId, role: WalletRole) -> ProcessRecord:
        """Find the process that holds the wallet of a role of an escrow, as the registry has it.

        Raises:
            ClaimFailed: there is not exactly one.

        """
        found = [
            record
            for record in self.holders
            if record.holding and (record.holding.escrow, record.holding.role) == (escrow, role)
        ]
        claim(len(found) == 1, f"one process holds the {role}'s wallet of {self.name(escrow)}, not {len(found)}")
        return found[0]

    def wallets(self, escrow: EscrowId) -> WalletSet:
        """Return the three wallets of an escrow."""
        return self.house.sets[escrow]

    def name(self, escrow: EscrowId) -> str:
        """Name an escrow for people."""
        return f"escrow {self.house.escrows.index(escrow) + 1}"

    def note_processes(self) -> None:
        """Remember the wallet processes of this moment, to ask at the end whether they have ended."""
        if self._house is not None:
            self._seen |= {record.identity for record in self.registry.records() if record.identity is not None}

    @property
    def seen(self) -> int:
        """How many wallet processes were seen in the registry."""
        return len(self._seen)

    def still_running(self) -> tuple[ProcessIdentity, ...]:
        """Return the processes, of all that were ever started for the story, that still run."""
        return tuple({each for each in self._seen if ProcessIdentity.of(each.pid) == each} | set(left_behind()))

    def methods_since(self, mark: int, port: int | None = None) -> Counter[str]:
        """Count the calls after the first ``mark`` ones, by method; with ``port``, only those to the server there."""
        return Counter(call.method for call in self.calls[mark:] if port is None or call.endpoint.port == port)

    def saved_since(self, moment: float, escrows: Sequence[EscrowId]) -> int:
        """Count the wallets of these escrows that were written to disk after ``moment`` (in Unix time)."""
        directory = Path(self.house.file.wallet_directory)
        files = [directory / kept.filename for each in escrows for kept in self.wallets(each).wallets.values()]
        # A file's time comes from the kernel's coarse clock, which may be some milliseconds behind.
        return sum(file.exists() and file.stat().st_mtime > moment - 0.05 for file in files)

    def _observe(self, record: CallRecord) -> None:
        self.calls.append(record)
        if record.method == "open_wallet":
            self.measured.opens.append(record.seconds)
            self.says(f"wallets opened: {self.methods_since(self.act_began)['open_wallet']}")


# ---------------------------------------------------------------------------------------------------------------------


def _there(part: PartT | None) -> PartT:
    if part is None:
        raise AssertionError("the acts of the story are in the wrong order")
    return part
