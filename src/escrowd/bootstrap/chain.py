"""Puts together the watcher of the chain and the monitor over it."""

from dataclasses import dataclass, field, replace

from escrowd.bootstrap.wallet_house import RunningHouse
from escrowd.chain.metrics import ChainCollector
from escrowd.chain.monitor import BlockchainMonitor, Fallback, MonitorSettings
from escrowd.chain.source import ChainSource
from escrowd.chain.watched_keys import Lookahead
from escrowd.chain.watcher import Watcher, WatcherSettings
from escrowd.domain.networks import Network
from escrowd.monero.block_feed import block_feed
from escrowd.service.funding import WalletLook
from escrowd.store.watching import SqlWatchLog


@dataclass(frozen=True, slots=True)
class ChainSettings:
    """How the chain is watched."""

    monitor: MonitorSettings = field(default_factory=MonitorSettings)
    #: Which addresses of a wallet are looked for besides the one that is given out.
    lookahead: Lookahead = field(default_factory=Lookahead)


def monitor_of(
    settings: ChainSettings, network: Network, wallets: RunningHouse, watch_log: SqlWatchLog
) -> BlockchainMonitor:
    """Make the monitor. Enter it with ``async with``, and it looks."""
    feed = block_feed(wallets.connections, wallets.daemon_endpoint)
    watcher = Watcher(
        ChainSource(wallets.daemon, feed),
        watch_log,
        WatcherSettings(network, settings.lookahead),
    )
    fallback = Fallback(WalletLook(wallets.manager), watch_log)
    # A private chain grows on demand: the age of its last block means nothing.
    looking = replace(settings.monitor, oldest_tip=None) if network is Network.REGTEST else settings.monitor
    monitor = BlockchainMonitor(watcher, watch_log, looking, fallback)
    wallets.metrics.register(ChainCollector(lambda: monitor.health, monitor.counters))
    return monitor
