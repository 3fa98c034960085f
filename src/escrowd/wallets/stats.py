"""What the session manager counts."""

from dataclasses import dataclass

from escrowd.domain.identifiers import EscrowId
from escrowd.wallets.plan import Phase


@dataclass(slots=True)
class SessionCounters:
    """Events since the start of the service."""

    #: Leases of a session that was there already.
    hits: int = 0
    #: Leases for which a session had to be opened.
    misses: int = 0
    #: Sessions closed to make room.
    evictions: int = 0
    #: Sessions closed because nobody used them.
    expirations: int = 0
    #: Sessions found in running processes at the start.
    adoptions: int = 0
    #: Sessions of which a broken wallet had to be opened again.
    repairs: int = 0
    #: Sessions that could not be closed because their wallets could not be saved.
    save_failures: int = 0
    #: Leases refused because the queue was full or the wait too long.
    refusals: int = 0
    sessions_opened: int = 0
    #: Seconds, summed over all sessions opened, and of the last one.
    open_seconds_total: float = 0.0
    open_seconds_last: float = 0.0

    def count_request(self, *, found_open: bool) -> None:
        """Count one request for a lease."""
        if found_open:
            self.hits += 1
        else:
            self.misses += 1

    def count_opening(self, seconds: float) -> None:
        """Count one session opened."""
        self.sessions_opened += 1
        self.open_seconds_last = seconds
        self.open_seconds_total += seconds


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One session as others may see it. Times are in seconds."""

    escrow: EscrowId
    phase: Phase
    age: float
    idle: float
    expires_in: float


@dataclass(frozen=True, slots=True)
class SessionStats:
    """The state of the session manager at one moment."""

    active: int
    leased: int
    opening: int
    closing: int
    waiting: int
    max_sessions: int
    #: Seconds since the oldest and, on average, the sessions were opened; 0 without sessions.
    oldest_age: float
    mean_age: float
    counters: SessionCounters

    @property
    def utilisation(self) -> float:
        """The share of the sessions that may be open which are, from 0 to 1."""
        return self.active / self.max_sessions

    @property
    def hit_rate(self) -> float:
        """The share of leases that found their session open, from 0 to 1; 0 before the first lease."""
        leases = self.counters.hits + self.counters.misses
        return self.counters.hits / leases if leases else 0.0
