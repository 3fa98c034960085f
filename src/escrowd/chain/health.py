"""What the monitor says of itself."""

from dataclasses import dataclass
from enum import StrEnum


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
    #: The daemon follows another chain than the one that was watched. Nothing is recorded.
    WRONG_CHAIN = "wrong_chain"


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


@dataclass(slots=True)
class MonitorCounters:
    """What the monitor has done since it started."""

    looks: int = 0
    failures: int = 0
    wake_ups: int = 0
    fallback_reads: int = 0
    fallback_failures: int = 0
    seconds: float = 0.0
