"""Checks of the Monero daemon, and of the chain that it follows."""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Iterator
from typing import Final

from sqlalchemy import select

from escrowd.chain.comparing import check_common, check_length, newest_common, unreadable_at
from escrowd.chain.errors import DaemonBehind, WrongChain
from escrowd.doctor.check import Check, Need, Surroundings
from escrowd.doctor.findings import Finding, Kind, warning
from escrowd.domain.networks import Network
from escrowd.monero.errors import MoneroError, ReplyLost, Unreachable
from escrowd.monero.results_daemon import DaemonInfo
from escrowd.store import schema
from escrowd.store.chain_decisions import ChainTable

OUT_OF_REACH: Final = Kind(
    "daemon.out_of_reach",
    "the daemon does not answer: {error}",
    "start monerod, or name its host and RPC port as daemon.host and daemon.port",
)
NOT_MONERO: Final = Kind(
    "daemon.not_monero",
    "what answers there is no monerod that can be used: {error}",
    "name the RPC port of monerod as daemon.port, without TLS and without a login, on a network of your own",
)
WRONG_NETWORK: Final = Kind(
    "daemon.wrong_network",
    "the daemon follows {there}, and the settings say {here}",
    'set network = "{there}", or name a daemon of {here}',
)
RESTRICTED: Final = Kind(
    "daemon.restricted",
    "the daemon answers on its restricted RPC, which hides transactions that it has not passed on yet, our own payouts "
    "among them",
    "name its unrestricted port as daemon.port (--rpc-bind-port without --restricted-rpc), open to this machine alone",
)
UNTRUSTED: Final = Kind(
    "daemon.untrusted",
    "the daemon passes on what a stranger tells it (a bootstrap daemon)",
    "start monerod without --bootstrap-daemon-address, and wait until it is synchronized",
)
OUT_OF_SYNC: Final = Kind(
    "daemon.out_of_sync",
    "the daemon has {height} of {target} blocks",
    "wait until it has caught up; deadlines of escrows stand still meanwhile",
)
STALE: Final = Kind(
    "daemon.stale",
    "the last block of the daemon is {minutes} minutes old",
    "see that the daemon has peers and room on its disk, and that the clock of this machine is right; nothing is "
    "signed meanwhile and no deadline runs",
)
AHEAD: Final = Kind(
    "clock.chain",
    "the last block of the chain is {minutes} minutes ahead of the clock of this machine",
    "set the clock of this machine, and run a time service such as chrony or systemd-timesyncd",
)
NO_PEERS: Final = Kind(
    "daemon.no_peers",
    "the daemon has no peers, so it hears of no blocks and its transactions reach nobody",
    "see that it may make connections to the outside, and that it was not started with --offline",
)
DISK_LOW: Final = warning(
    "daemon.disk_low",
    "the daemon has {free} MiB left for its chain",
    "make room on its disk; a pruned chain (--prune-blockchain) takes a third",
)
IN_THE_CLEAR: Final = warning(
    "daemon.in_the_clear",
    "the daemon {host} is reached over public networks without encryption, and what it says is believed",
    "run a daemon on this machine or in a network of your own, or reach it through a tunnel such as WireGuard",
)
OTHER_GENESIS: Final = Kind(
    "chain.other_genesis",
    "the daemon's chain begins with another block ({there}) than the one that this database was made with ({here})",
    "name the daemon or the database that belongs to the other; where the daemon's chain is the one to follow, "
    "'escrowd chain rescan --accept'; nothing is signed or recorded meanwhile",
)
OTHER_BLOCKS: Final = Kind(
    "chain.other_blocks",
    "the daemon has none of the {seen} blocks that were watched but the first",
    "let the daemon catch up with its peers; if it then still differs from other nodes, name another daemon; where its "
    "chain is the one to follow, 'escrowd chain rescan --accept'",
)
BEHIND: Final = Kind(
    "chain.behind",
    "the daemon has {height} blocks, and {seen} were scanned before",
    "wait until the daemon has caught up, or name the one that was used before; where its shorter chain is the one to "
    "follow, 'escrowd chain rescan --accept'",
)
UNREADABLE = Kind(
    "chain.unreadable",
    "{what}",
    "upgrade escrowd to a version that reads this block; if there is none, report it, and when the transaction is "
    "known to pay no escrow, 'escrowd chain pass-over TXID'; nothing is signed meanwhile and no deadline runs",
)
OTHER_NETWORK: Final = Kind(
    "database.other_network",
    "the database holds escrows of {there}, and the settings say {here}",
    'set network = "{there}", or name another database; each network has one of its own',
)


# ---------------------------------------------------------------------------------------------------------------------

#: Real chains, which grow whether or not we do anything.
_LIVING: Final = frozenset(Network) - {Network.REGTEST}
#: How far ahead of the clock the time of a block may be (``CRYPTONOTE_BLOCK_FUTURE_TIME_LIMIT``).
_MOST_AHEAD: Final = 2 * 60 * 60
#: Blocks that the daemon may lack: the newest one is under way.
_MOST_MISSING: Final = 2
#: Seconds in which a daemon that works answers what it is asked first.
_PATIENCE: Final = 6.0
#: What a restricted daemon says in place of a number of bytes.
_UNTOLD: Final = 2**64 - 1
_NETTYPES: Final = {"fakechain", *_LIVING}


async def _answers(around: Surroundings) -> Iterable[Finding]:
    try:
        async with asyncio.timeout(_PATIENCE):
            info = await around.daemon.get_info()
    except TimeoutError:
        endpoint = f"{around.settings.model.daemon.host}:{around.settings.daemon_port}"
        return (OUT_OF_REACH.found(error=f"{endpoint} does not answer in {_PATIENCE:g} s"),)
    except (Unreachable, ReplyLost) as error:
        return (OUT_OF_REACH.found(error=error),)
    except MoneroError as error:
        return (NOT_MONERO.found(error=error),)
    if info.nettype not in _NETTYPES:
        return (NOT_MONERO.found(error=f"it names the network '{info.nettype[:40]}'"),)
    return ()


async def _network(around: Surroundings) -> Iterable[Finding]:
    there = (await around.daemon.get_info()).network
    return () if there is around.network else (WRONG_NETWORK.found(there=there, here=around.network),)


async def _state(around: Surroundings) -> Iterable[Finding]:
    return _wrong_with(await around.daemon.get_info(), around)


def _wrong_with(info: DaemonInfo, around: Surroundings) -> Iterator[Finding]:
    is_living = around.network in _LIVING
    if info.restricted:
        yield RESTRICTED.found()
    if info.untrusted:
        yield UNTRUSTED.found()
    if info.target_height > info.height + _MOST_MISSING or info.busy_syncing or not info.synchronized:
        yield OUT_OF_SYNC.found(height=info.height, target=max(info.height, info.target_height) or "all")
    # A restricted daemon tells neither of its peers nor of its disk.
    if is_living and not info.restricted and not info.outgoing_connections_count:
        yield NO_PEERS.found()
    if is_living and info.free_space != _UNTOLD and info.free_space < around.thresholds.daemon_disk_low:
        yield DISK_LOW.found(free=info.free_space // 2**20)


async def _time(around: Surroundings) -> Iterable[Finding]:
    if around.network not in _LIVING:
        return ()
    age = around.clock() - (await around.daemon.get_last_block_header()).timestamp
    if age < -_MOST_AHEAD:
        return (AHEAD.found(minutes=round(-age / 60)),)
    return (STALE.found(minutes=round(age / 60)),) if age > around.thresholds.last_block else ()


async def _way(around: Surroundings) -> Iterable[Finding]:
    host = around.settings.model.daemon.host
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return ()  # which the check tells that asks it
    is_public = any(ipaddress.ip_address(address[0]).is_global for *_, address in found)
    return (IN_THE_CLEAR.found(host=host),) if is_public else ()


async def _chain(around: Surroundings) -> Iterable[Finding]:
    async with around.opened.reading() as session:
        cursor = await ChainTable(session).cursor()
    if cursor is None:
        return ()
    genesis = (await around.daemon.get_block_header_by_height(0)).hash
    if genesis != cursor.genesis:
        return (OTHER_GENESIS.found(there=genesis, here=cursor.genesis),)
    height = (await around.daemon.get_info()).height
    try:
        check_length(cursor, height)
        check_common(cursor, height, await newest_common(around.daemon, cursor))
    except WrongChain:
        return (OTHER_BLOCKS.found(seen=cursor.height),)
    except DaemonBehind:
        return (BEHIND.found(height=height, seen=cursor.height),)
    return ()


async def _next_block(around: Surroundings) -> Iterable[Finding]:
    async with around.opened.reading() as session:
        chain = ChainTable(session)
        cursor, decisions = await chain.cursor(), await chain.decisions()
    if cursor is None or cursor.height >= (await around.daemon.get_info()).height:
        return ()
    unreadable = await unreadable_at(around.daemon, cursor.height, decisions.passed_over)
    return () if unreadable is None else (UNREADABLE.found(what=unreadable),)


async def _one_network(around: Surroundings) -> Iterable[Finding]:
    query = select(schema.escrows.c.network).where(schema.escrows.c.network != str(around.network)).limit(1)
    async with around.opened.reading() as session:
        other = (await session.connection.execute(query)).scalar_one_or_none()
    return () if other is None else (OTHER_NETWORK.found(there=other, here=around.network),)


_OURS: Final = frozenset({Need.DAEMON, Need.NETWORK})

CHECKS: Final = (
    Check("the daemon answers", _answers, (OUT_OF_REACH, NOT_MONERO), gives=Need.DAEMON),
    Check(
        "the daemon follows our network",
        _network,
        (WRONG_NETWORK,),
        frozenset({Need.DAEMON}),
        gives=Need.NETWORK,
    ),
    Check("the daemon is well", _state, (RESTRICTED, UNTRUSTED, OUT_OF_SYNC, NO_PEERS, DISK_LOW), _OURS),
    Check("the daemon's chain is up to date", _time, (STALE, AHEAD), _OURS),
    Check("the daemon is reached safely", _way, (IN_THE_CLEAR,)),
    Check(
        "the chain is the one of this database", _chain, (OTHER_GENESIS, OTHER_BLOCKS, BEHIND), _OURS | {Need.SCHEMA}
    ),
    Check("the next block can be read", _next_block, (UNREADABLE,), _OURS | {Need.SCHEMA}),
    Check("the database is of our network", _one_network, (OTHER_NETWORK,), frozenset({Need.SCHEMA})),
)
