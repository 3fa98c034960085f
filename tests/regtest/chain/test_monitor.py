import asyncio
from collections.abc import Callable

from escrowd.chain.monitor import BlockchainMonitor, MonitorSettings
from escrowd.chain.source import ChainSource
from escrowd.chain.watcher import Watcher, WatcherSettings
from escrowd.domain.networks import Network
from escrowd.monero.block_feed import block_feed
from escrowd.testing.lab import RegtestLab
from escrowd.testing.wallet_sets import WalletSet, wallet_sets
from escrowd.testing.watch_log import MemoryWatchLog
from tests.regtest.chain.conftest import address_of

XMR = 10**12
#: Longer than any test runs: what happens then was not waited for.
NEVER = 3600.0


def monitor_of(lab: RegtestLab, log: MemoryWatchLog, settings: MonitorSettings) -> BlockchainMonitor:
    source = ChainSource(lab.daemon, block_feed(lab.connections, lab.daemon_endpoint))
    return BlockchainMonitor(Watcher(source, log, WatcherSettings(Network.REGTEST)), log, settings)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.005)


async def test_payment_is_seen_late(own_lab: RegtestLab) -> None:
    """A payment in the pool, and its block, are seen by the second look that begins after they are there."""
    wallet_set = wallet_sets()[8]
    log = MemoryWatchLog()
    async with monitor_of(own_lab, log, MonitorSettings(poll_interval=0.05, oldest_tip=None)) as monitor:
        await monitor.watch(address_of(wallet_set), (await own_lab.daemon.get_info()).height)
        await until(lambda: monitor.is_in_sync)
        await own_lab.pay(wallet_set.address, XMR)
        looks = monitor.counters.looks
        await until(lambda: monitor.counters.looks >= looks + 3)
        assert await confirmations(monitor, wallet_set) == [0]
        await own_lab.mine(1)
        looks = monitor.counters.looks
        await until(lambda: monitor.counters.looks >= looks + 3)
        assert await confirmations(monitor, wallet_set) == [1]
        funding = await monitor.check_escrow_funding(wallet_set.escrow)
        assert (funding.received(), funding.received(1), funding.received(2)) == (XMR, XMR, 0)


async def confirmations(monitor: BlockchainMonitor, wallet_set: WalletSet) -> list[int]:
    return list((await monitor.check_transaction_confirmations(wallet_set.escrow)).values())


async def test_notification_does_not_wake_the_monitor() -> None:
    """With notifications a block is seen at once, long before the next poll."""
    wallet_set = wallet_sets()[8]
    async with RegtestLab.start(notifies=True) as lab:
        log = MemoryWatchLog()
        settings = MonitorSettings(
            poll_interval=NEVER, notification_address=lab.daemon_process.notification_address, oldest_tip=None
        )
        async with monitor_of(lab, log, settings) as monitor:
            await monitor.watch(address_of(wallet_set), 0)
            await until(lambda: monitor.is_in_sync and not monitor._watcher.has_more)
            # The subscription takes a moment to reach the daemon, so the first blocks may go by unheard.
            while not monitor.counters.wake_ups:
                await lab.mine(1)
                await asyncio.sleep(0.05)
            height = await lab.mine(1, wallet_set.address)
            await until(lambda: monitor.tip is not None and monitor.tip.height == height)
            assert [each.height for each in await log.outputs(wallet_set.escrow)] == [height - 1]


async def test_daemon_that_is_gone_ends_the_watching() -> None:
    """While the daemon is gone the monitor is not in sync and says why; when it is back, so is the monitor."""
    async with RegtestLab.start() as lab:
        settings = MonitorSettings(poll_interval=0.02, longest_backoff=0.1, oldest_tip=None)
        async with monitor_of(lab, MemoryWatchLog(), settings) as monitor:
            await until(lambda: monitor.is_in_sync)
            await lab.daemon_process.kill()
            await until(lambda: not monitor.is_in_sync)
            assert monitor.health.error is not None
            await lab.daemon_process.start()
            await until(lambda: monitor.is_in_sync)
            assert monitor.health.lag == 0
