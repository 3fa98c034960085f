"""How many sessions, for how long, and how patient."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import psutil

#: Three wallets of 7.6 MiB each (measured, proportional set size), and a little for the cache to grow.
BYTES_PER_SESSION: Final = 24 * 1024 * 1024


class AtExit(StrEnum):
    """What becomes of open wallets when the service stops."""

    #: Saved, and left open in their processes: the next start adopts them.
    LEAVE = "leave"
    #: Saved and closed; their processes end.
    CLOSE = "close"


def sessions_that_fit_in_memory() -> int:
    """Return how many sessions the memory available now has room for; at least one."""
    return max(1, psutil.virtual_memory().available // BYTES_PER_SESSION)


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Bounds of the session manager. All times are seconds."""

    max_sessions: int = field(default_factory=sessions_that_fit_in_memory)
    #: A session that nobody used for so long is closed.
    ttl: float = 2 * 60 * 60
    #: Each lifetime is drawn from ``ttl`` less up to this share of it, so that sessions opened together do not all
    #: close together.
    ttl_jitter: float = 0.1
    cleanup_interval: float = 10 * 60
    #: How many may wait for a lease; one more is refused at once.
    max_waiting: int = 256
    #: How long one may wait for a lease, opening included.
    lease_timeout: float = 60.0
    #: In what time a healthy wallet says who it is.
    check_timeout: float = 10.0
    #: How long a session is kept from eviction after its wallets could not be saved.
    save_retry: float = 60.0
    #: How long the end of the service waits for leases to be returned.
    stop_patience: float = 30.0
    at_exit: AtExit = AtExit.LEAVE
