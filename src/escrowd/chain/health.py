"""What the monitor says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Trouble(StrEnum):
    """Why the watcher does not see everything at the moment."""

    #: It has not looked yet.
    STARTING = "starting"
    #: It is further behind than it may be: there is much to catch up with.
    LAGGING = "lagging"
    #: Looking fails; the error says how.
    FAILING = "failing"
    #: The daemon says that it is not at the end of its chain.
    DAEMON_NOT_SYNCHRONIZED = "daemon_not_synchronized"
    #: The daemon has fewer blocks than were seen before. Nothing is recorded.
    DAEMON_BEHIND = "daemon_behind"
    #: The last block is older than it can be on a chain that grows.
    STALE_TIP = "stale_tip"
    #: The daemon follows another chain than the one that was watched. Nothing is recorded.
    WRONG_CHAIN = "wrong_chain"
    #: The next block holds something that cannot be read. Nothing is recorded.
    UNREADABLE = "unreadable"


#: What the operator can do about each.
ADVICE: Final[Mapping[Trouble, str]] = MappingProxyType(
    {
        Trouble.STARTING: "wait for the first look at the chain",
        Trouble.LAGGING: "wait until it has caught up; if it does not, see the load of this machine and of the daemon",
        Trouble.FAILING: "see the log of the service, and run 'escrowd doctor'",
        Trouble.DAEMON_NOT_SYNCHRONIZED: "wait until monerod has caught up with its peers",
        Trouble.DAEMON_BEHIND: "wait until monerod has caught up, or name the daemon that was used before; if its "
        "shorter chain is the one to follow, 'escrowd chain rescan --accept'",
        Trouble.STALE_TIP: "see that monerod has peers and room on its disk, and that the clock of this machine is "
        "right",
        Trouble.WRONG_CHAIN: "name the daemon or the database that belongs to the other; if the chain of this daemon "
        "is the one to follow, 'escrowd chain rescan --accept'",
        Trouble.UNREADABLE: "upgrade escrowd to a version that reads this block; if there is none, report it, and when "
        "the transaction is known to pay no escrow, 'escrowd chain pass-over TXID'",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorHealth:
    """How well the watcher sees, at one moment."""

    trouble: Trouble | None
    #: Blocks that the daemon has and the watcher has not looked through; ``None`` while no daemon answered.
    lag: int | None
    #: Seconds since a look succeeded; since the start where none did.
    age: float
    #: The last error, in words, while looking fails.
    error: str | None
    #: Whether wallets are asked for what the watcher may not see.
    is_falling_back: bool
    #: Number of blocks that were looked through.
    height: int
    active: int
    resting: int
    #: Transactions of the pool that cannot be read. They stop nothing.
    unreadable_in_pool: int = 0


@dataclass(slots=True)
class MonitorCounters:
    """What the monitor has done since it started."""

    looks: int = 0
    failures: int = 0
    wake_ups: int = 0
    fallback_reads: int = 0
    fallback_failures: int = 0
    seconds: float = 0.0
