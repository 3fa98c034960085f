"""Puts together what keeps wallets open: pool, adoption, sessions."""

import resource
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry
from typing_extensions import override

from escrowd.monero.daemon import MoneroDaemon, daemon_client
from escrowd.monero.transport import CallObserver, CallRecord, Connections, Endpoint
from escrowd.wallets.adopt import Adopted, adopt
from escrowd.wallets.caches import RemadeCache
from escrowd.wallets.metrics import CacheMetrics, RpcMetrics, SessionCollector
from escrowd.wallets.opening import SessionOpener
from escrowd.wallets.pool import PoolBounds, WalletPool
from escrowd.wallets.process import Surroundings, WalletProgram
from escrowd.wallets.records import WalletRecords
from escrowd.wallets.registry import Registry
from escrowd.wallets.server import AttachedServer
from escrowd.wallets.session import Tip, TipSource
from escrowd.wallets.sessions import WalletSessionManager
from escrowd.wallets.settings import SessionSettings
from escrowd.wallets.vault import Vault


@dataclass(frozen=True, slots=True)
class WalletHouse:
    """Everything that keeps wallets open: where it runs, with what key, and within what bounds."""

    program: WalletProgram
    run_directory: Path
    vault: Vault
    records: WalletRecords
    sessions: SessionSettings = field(default_factory=SessionSettings)
    #: ``None``: room for the sessions, and a few more.
    pool: PoolBounds | None = None
    attached: Sequence[Endpoint] = ()


@dataclass(frozen=True, slots=True)
class RunningHouse:
    """The parts while they run."""

    manager: WalletSessionManager
    opener: SessionOpener
    pool: WalletPool
    daemon: MoneroDaemon
    adopted: Adopted
    metrics: CollectorRegistry
    #: For further clients of the same servers.
    connections: Connections
    daemon_endpoint: Endpoint


class DaemonTip(TipSource):
    """Asks the daemon for the end of the chain."""

    def __init__(self, daemon: MoneroDaemon) -> None:
        self._daemon = daemon

    @override
    async def tip(self) -> Tip:
        """Return the daemon's top block. Raises MoneroError where it does not answer."""
        info = await self._daemon.get_info()
        return Tip(info.height, info.top_block_hash)


@asynccontextmanager
async def open_wallet_house(
    house: WalletHouse,
    observer: CallObserver | None = None,
    on_cache_remade: Callable[[RemadeCache], None] | None = None,
) -> AsyncIterator[RunningHouse]:
    """Start the pool, adopt what an earlier run left, and open the session manager over it.

    ``on_cache_remade`` gets each cache of a wallet that did not open and was made anew.

    Raises:
        AlreadyInUse: another service runs in this directory.

    """
    raise_open_files_limit()
    metrics = CollectorRegistry()
    observers = [RpcMetrics(metrics).observe, *([observer] if observer else [])]
    registry = Registry(house.run_directory)
    with registry.owned():
        async with Connections(_all(observers)) as connections:
            endpoint = Endpoint(house.program.daemon_host, house.program.daemon_port)
            around = Surroundings(connections, endpoint, registry, house.vault)
            daemon = daemon_client(connections, endpoint)
            pool = WalletPool(
                house.program,
                around,
                house.pool or PoolBounds(maximum=3 * house.sessions.max_sessions + 6),
                [AttachedServer.at(connections, each, endpoint) for each in house.attached],
            )
            adopted = await adopt(pool, house.records)
            async with pool:
                noted = _both(CacheMetrics(metrics).count, on_cache_remade)
                opener = SessionOpener(pool, house.records, house.vault, on_cache_remade=noted)
                async with WalletSessionManager(opener, DaemonTip(daemon), house.sessions) as manager:
                    manager.adopt(adopted.sessions)
                    metrics.register(SessionCollector(manager.get_stats, pool.stats))
                    yield RunningHouse(manager, opener, pool, daemon, adopted, metrics, connections, endpoint)


def raise_open_files_limit() -> None:
    """Allow this process and those that it will start as many open files as the system lets us.

    Each wallet process takes two here (its ``pidfd`` and its connection), and one or two in monerod.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _all(observers: Sequence[Callable[[CallRecord], None]]) -> CallObserver:
    def observe(record: CallRecord) -> None:
        for each in observers:
            each(record)

    return observe


def _both(
    first: Callable[[RemadeCache], None], second: Callable[[RemadeCache], None] | None
) -> Callable[[RemadeCache], None]:
    def note(remade: RemadeCache) -> None:
        first(remade)
        if second is not None:
            second(remade)

    return note
