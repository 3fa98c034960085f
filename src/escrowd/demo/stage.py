"""Where the story plays: a private chain, the whole service over it, and wallets that the service does not own."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self, TypeVar

from escrowd.bootstrap.service import RunningService
from escrowd.domain.errors import EscrowdError
from escrowd.domain.escrow.events import Event
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.secret import Secret
from escrowd.monero.wallet import MoneroClient
from escrowd.service.orchestrator import EscrowView
from escrowd.testing.escrow_house import EscrowHouse
from escrowd.testing.lab import RegtestLab
from escrowd.testing.left_behind import left_behind

PartT = TypeVar("PartT")

#: Seconds that a step of the story may take: it is also told on slow machines.
PATIENCE: Final = 300.0
#: Blocks until money may be spent, and until it counts as final here.
DEPTH: Final = 10
#: Those whose wallets the service does not own.
OUTSIDERS: Final = ("buyer", "vendor", "operator")

Facts = dict[str, str]


class ClaimFailed(EscrowdError):
    """What the story claims did not happen."""


def claim(holds: bool, what: str) -> None:  # noqa: FBT001 - reads like assert
    """Go on only if a claim of the story holds.

    Raises:
        ClaimFailed: it does not.

    """
    if not holds:
        raise ClaimFailed(f"this should hold and does not: {what}")


@dataclass(slots=True)
class Outsider:
    """A wallet on the same chain that is none of the service's business."""

    name: str
    client: MoneroClient
    address: str
    #: What it had when it was looked at last, in piconero.
    balance: int = 0


@dataclass(slots=True)
class Play:
    """One escrow of the story, as far as it has come."""

    scenario: str
    escrow: EscrowId
    address: str
    deposit: int = 0
    network_fees: int = 0
    #: What each address was paid on chain, in piconero.
    paid: dict[str, int] = field(default_factory=dict)


class Stage:
    """What runs at the moment. Enter it with ``async with``: at the end of the block nothing runs any more.

    ``says`` is told in a few words what goes on.
    """

    def __init__(self, says: Callable[[str], None], scenarios: int) -> None:
        self.says = says
        self.scenarios = scenarios
        self.outsiders: dict[str, Outsider] = {}
        self.plays: list[Play] = []
        self._lab: RegtestLab | None = None
        self._running: RunningService | None = None
        self._closers = AsyncExitStack()
        # Whoever tells the story may run others of them.
        self._others = frozenset(left_behind())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def lab(self) -> RegtestLab:
        """The private chain. An error before :meth:`start_chain`."""
        return _there(self._lab)

    @property
    def running(self) -> RunningService:
        """The service. An error before :meth:`start_service`."""
        return _there(self._running)

    @property
    def play(self) -> Play:
        """The escrow that the story is at."""
        return self.plays[-1]

    async def start_chain(self) -> None:
        """Start the private chain. Raises as RegtestLab.start does."""
        self._lab = await self._closers.enter_async_context(RegtestLab.start(self.says))

    async def start_service(self) -> None:
        """Start the service; it makes wallets ahead of need where more than one escrow is to come."""
        house = await EscrowHouse.build(
            self.lab, self.lab.directory / "house", stock_size=1 if self.scenarios > 1 else 0
        )
        self._running = await self._closers.enter_async_context(house.open())

    async def make_outsiders(self) -> None:
        """Make the wallets that the service does not own."""

        async def make(name: str) -> Outsider:
            process = await self.lab.start_wallet_process()
            await process.client.create_wallet(name, Secret("worthless"))
            return Outsider(name, process.client, await process.client.get_address())

        made = await asyncio.gather(*map(make, OUTSIDERS))
        self.outsiders = {each.name: each for each in made}

    async def stock_is_ready(self) -> None:
        """Wait until a set of wallets that was made ahead of need is there."""
        deadline = time.monotonic() + PATIENCE
        while self.running.stock.stats().made < len(self.plays):
            claim(time.monotonic() < deadline, f"the stock is filled within {PATIENCE:.0f} s")
            await asyncio.sleep(0.05)

    async def received_by(self, name: str) -> int:
        """Let an outside wallet read the chain, and return how much more it has than at the last look."""
        outsider = self.outsiders[name]
        await outsider.client.refresh()
        before, outsider.balance = outsider.balance, (await outsider.client.get_balance()).balance
        return outsider.balance - before

    async def says_who(self, event: Event, who: Who) -> None:
        """Let somebody say something about the present escrow."""
        await self.running.orchestrator.command(self.play.escrow, event, who)

    async def until(self, what: str, holds: Callable[[EscrowView], bool]) -> EscrowView:
        """Wait until something holds of the present escrow.

        Raises:
            ClaimFailed: it does not come to hold, or the escrow is held.

        """
        self.says(f"waiting until {what}")
        deadline = time.monotonic() + PATIENCE
        while True:
            view = await self.running.orchestrator.view(self.play.escrow)
            if holds(view):
                return view
            hold = view.escrow.hold
            claim(view.escrow.status is not Status.HELD, f"the escrow is not held: {hold.details if hold else ''}")
            claim(time.monotonic() < deadline, f"{what}, within {PATIENCE:.0f} s")
            await asyncio.sleep(0.02)

    async def until_status(self, status: Status) -> EscrowView:
        """Wait until the present escrow has a status."""
        return await self.until(f"the escrow is {status}", lambda view: view.escrow.status is status)

    async def close(self) -> None:
        """Stop everything, in whatever state it is."""
        self._running = None
        await self._closers.aclose()
        left = frozenset(left_behind()) - self._others
        claim(not left, f"no process of this story still runs, and these do: {left}")


# ---------------------------------------------------------------------------------------------------------------------


def _there(part: PartT | None) -> PartT:
    if part is None:
        raise AssertionError("the acts of the story are in the wrong order")
    return part
