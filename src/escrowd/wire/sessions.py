"""The wallet sessions of a node on the wire. Times are seconds."""

from escrowd.wire.values import Answer


class Session(Answer):
    """The wallets of one escrow, open."""

    escrow: str
    #: ``opening``, ``idle``, ``leased`` or ``closing``.
    phase: str
    #: Since it was opened, and since somebody used it.
    age: float
    idle: float
    #: Until it is closed if nobody uses it.
    expires_in: float


class SessionList(Answer):
    """All sessions of this node."""

    items: tuple[Session, ...]


class SessionStats(Answer):
    """How the sessions of this node do."""

    active: int
    leased: int
    opening: int
    closing: int
    #: How many wait for a lease.
    waiting: int
    max_sessions: int
    #: The share of the sessions that may be open which are, from 0 to 1.
    utilisation: float
    #: The share of leases that found their session open, from 0 to 1.
    hit_rate: float
    oldest_age: float
    mean_age: float
    hits: int
    misses: int
    evictions: int
    expirations: int
    adoptions: int
    repairs: int
    save_failures: int
    refusals: int
    sessions_opened: int
    open_seconds_total: float
    open_seconds_last: float
