import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from escrowd.chain.errors import ChainInconsistent, DaemonBehind, UnreadableBlock, WrongChain
from escrowd.chain.health import Trouble
from escrowd.chain.monitor import BlockchainMonitor, Fallback, MonitorSettings
from escrowd.chain.ports import BlockId, Cursor, Lane, WatchedAddress
from escrowd.chain.source import Tip
from escrowd.domain.errors import EscrowdError
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.outputs import ReceivedOutput
from escrowd.testing.watch_log import MemoryWatchLog

ESCROW = EscrowId("esc_01m8337q6nhcmkbydjhvxnqtm5")
OUTPUT = ReceivedOutput("ab" * 32, 0, "cd" * 32, 5, height=8)


@dataclass
class ScriptedWatcher:
    """Stands for the watcher: it is where the test puts it, and fails as the test wants."""

    height: int = 10
    chain_height: int = 10
    is_synchronized: bool = True
    error: Exception | None = None
    has_more: bool = False
    is_rescanning: bool = False
    unreadable_in_pool: int = 0
    #: Time of the last block.
    time: int = 10_000
    tip: Tip | None = None
    looks: int = 0
    looked: asyncio.Event = field(default_factory=asyncio.Event)
    added: list[WatchedAddress] = field(default_factory=list)

    @property
    def cursor(self) -> Cursor | None:
        return Cursor(self.height, self.time, "00" * 32, (BlockId(self.height - 1, "11" * 32),))

    async def advance(self) -> Tip:
        self.looks += 1
        self.looked.set()
        if self.error is not None:
            raise self.error
        self.tip = Tip(self.chain_height, "11" * 32, self.is_synchronized)
        return self.tip

    async def add(self, address: WatchedAddress) -> None:
        self.added.append(address)

    def count(self, lane: Lane) -> int:
        return len(self.added) if lane is Lane.ACTIVE else 0

    async def next_look(self) -> None:
        """Return when the next look is over."""
        self.looked.clear()
        async with asyncio.timeout(5):
            await self.looked.wait()
        await asyncio.sleep(0)


@dataclass
class Wallets:
    """Stands for the wallets: it sees one output, or fails."""

    error: Exception | None = None
    asked: list[EscrowId] = field(default_factory=list)

    async def read(self, escrow: EscrowId) -> tuple[ReceivedOutput, ...]:
        self.asked.append(escrow)
        if self.error is not None:
            raise self.error
        return (OUTPUT,)

    async def awaiting(self) -> Sequence[EscrowId]:
        return [ESCROW]


class Clock:
    """A clock that stands still."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    """A monitor with everything around it scripted."""

    watcher: ScriptedWatcher = field(default_factory=ScriptedWatcher)
    wallets: Wallets = field(default_factory=Wallets)
    log: MemoryWatchLog = field(default_factory=MemoryWatchLog)
    clock: Clock = field(default_factory=Clock)
    wall_clock: Clock = field(default_factory=lambda: Clock(10_000))

    @asynccontextmanager
    async def monitor(self, **settings: float) -> AsyncIterator[BlockchainMonitor]:
        quick = {"poll_interval": 0.001, "longest_backoff": 0.002, "fallback_interval": 0.001}
        async with BlockchainMonitor(
            self.watcher,  # type: ignore[arg-type] # it has what the monitor uses
            self.log,
            MonitorSettings(**(quick | settings)),  # type: ignore[arg-type] # names and types are the test's
            Fallback(self.wallets, self.wallets),
            self.clock,
            self.wall_clock,
        ) as monitor:
            await self.watcher.next_look()
            yield monitor


async def test_monitor_is_in_sync_only_when_it_sees_all() -> None:
    """It is in sync when daemon and watcher are, and says what is wrong when one of them is not."""
    world = World()
    async with world.monitor() as monitor:
        assert monitor.is_in_sync
        world.watcher.is_synchronized = False
        await world.watcher.next_look()
        await world.watcher.next_look()
        assert monitor.health.trouble is Trouble.DAEMON_NOT_SYNCHRONIZED
        world.watcher.is_synchronized, world.watcher.chain_height = True, 20
        await world.watcher.next_look()
        await world.watcher.next_look()
        assert (monitor.health.trouble, monitor.health.lag) == (Trouble.LAGGING, 10)
        assert not monitor.is_in_sync


async def test_failure_ends_the_watching() -> None:
    """Whatever a look raises, a bug included, it looks again, and is in sync when that succeeds."""
    for error, trouble in (
        (ChainInconsistent("odd"), Trouble.FAILING),
        (WrongChain("other"), Trouble.WRONG_CHAIN),
        (DaemonBehind("less"), Trouble.DAEMON_BEHIND),
        (UnreadableBlock(7, 17, "ab" * 32, "odd"), Trouble.UNREADABLE),
        (KeyError("a bug"), Trouble.FAILING),
    ):
        world = World()
        world.watcher.error = error
        async with world.monitor() as monitor:
            failing = monitor.health
            assert failing.trouble is trouble
            assert failing.error
            assert monitor.counters.failures >= 1
            world.watcher.error = None
            await world.watcher.next_look()
            await world.watcher.next_look()
            assert monitor.health.error is None
            assert monitor.is_in_sync


async def test_old_tip_is_not_in_sync() -> None:
    """A last block that is older than an hour is trouble, whatever the daemon says; not so on a private chain."""
    world = World()
    async with world.monitor() as monitor:
        world.wall_clock.now += 3600
        assert monitor.is_in_sync
        world.wall_clock.now += 1
        assert monitor.health.trouble is Trouble.STALE_TIP
        assert "clock" in monitor.why_not_in_sync
        world.watcher.time += 1
        assert monitor.is_in_sync
    async with World().monitor(oldest_tip=None) as monitor:  # type: ignore[arg-type]
        world.wall_clock.now += 10**9
        assert monitor.is_in_sync


async def test_rescan_of_another_branch_is_not_in_sync() -> None:
    """While the blocks of another branch are read, what is recorded is known to be wrong."""
    world = World()
    async with world.monitor() as monitor:
        world.watcher.is_rescanning = True
        assert monitor.health.trouble is Trouble.LAGGING


async def test_trouble_is_told_with_what_to_do() -> None:
    """What stops the watcher is told with the block and the way out, and no word of where the daemon is."""
    world = World()
    world.watcher.error = UnreadableBlock(7, 17, "ab" * 32, "odd")
    async with world.monitor() as monitor:
        for fact in ("unreadable", "block 7", "version 17", "ab" * 32, "upgrade escrowd", "chain pass-over"):
            assert fact in monitor.why_not_in_sync
        world.watcher.error = OSError("10.1.2.3 does not answer")
        await until(lambda: monitor.health.trouble is Trouble.FAILING)
        assert "10.1.2.3" not in monitor.why_not_in_sync
        assert "escrowd doctor" in monitor.why_not_in_sync


async def test_look_that_never_ends_counts_as_seeing() -> None:
    """When no look has ended for long, it is not in sync, whatever the last one saw."""
    world = World()
    async with world.monitor(poll_interval=60, longest_look=30) as monitor:
        assert monitor.is_in_sync
        world.clock.now += 31
        assert monitor.health.trouble is Trouble.LAGGING
        assert monitor.health.age == 31


async def test_new_address_waits_for_the_next_poll() -> None:
    """A new address is looked for at once, and so is what is left over from the last look."""
    world = World()

    class Ready:
        escrow, address, view_key = ESCROW, "4", None

    async with world.monitor(poll_interval=60) as monitor:
        looks = world.watcher.looks
        await monitor.watch(Ready(), 7)  # type: ignore[arg-type] # the key is not looked at here
        await world.watcher.next_look()
        assert world.watcher.looks == looks + 1
        assert (world.watcher.added[0].escrow, world.watcher.added[0].from_height) == (ESCROW, 7)


async def test_wallets_are_asked_while_the_watcher_sees() -> None:
    """Wallets are asked only after the watcher has seen badly for long, and what they see is noted."""
    world = World()
    async with world.monitor(fallback_after=100) as monitor:
        world.watcher.error = ChainInconsistent("odd")
        await world.watcher.next_look()
        await world.watcher.next_look()
        assert world.wallets.asked == []
        world.clock.now += 101
        failing = monitor.health
        assert failing.is_falling_back
        await until(lambda: monitor.counters.fallback_reads > 0)
        assert await world.log.outputs(ESCROW) == (OUTPUT,)
        world.watcher.error = None
        await world.watcher.next_look()
        await world.watcher.next_look()
        assert not monitor.health.is_falling_back


async def test_wallets_are_asked_on_a_wrong_chain() -> None:
    """Where the daemon follows another chain, its wallets would only tell what is on that one."""
    world = World()
    world.watcher.error = WrongChain("other")
    async with world.monitor(fallback_after=0) as monitor:
        for _ in range(10):
            await world.watcher.next_look()
        assert not monitor.health.is_falling_back
        assert world.wallets.asked == []


@pytest.mark.parametrize("error", [EscrowdError("no lease"), ValueError("a bug")])
async def test_failing_wallet_ends_the_fallback(error: Exception) -> None:
    """A wallet that does not answer is counted, and asked again in the next round."""
    world = World()
    world.watcher.error, world.wallets.error = ChainInconsistent("odd"), error
    async with world.monitor(fallback_after=0) as monitor:
        await until(lambda: monitor.counters.fallback_failures > 1)
        world.wallets.error = None
        await until(lambda: monitor.counters.fallback_reads > 0)


async def test_funding_waits_for_a_wallet() -> None:
    """What is known is told at once; a wallet is asked only where that is wanted."""
    world = World()
    async with world.monitor(poll_interval=60) as monitor:
        assert (await monitor.check_escrow_funding(ESCROW)).outputs == ()
        assert world.wallets.asked == []
        funding = await monitor.check_escrow_funding(ESCROW, afresh=True)
        assert (funding.outputs, funding.received(2), funding.received(3)) == ((OUTPUT,), 5, 0)
        assert funding.is_in_sync
        assert await monitor.check_transaction_confirmations(ESCROW) == {OUTPUT.txid: 2}
        assert world.wallets.asked == [ESCROW]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.001)
