"""Who gets which session, which session is closed for it, and which has been idle too long: pure planning.

The manager calls :func:`plan` whenever anything changed, applies what it returns without an await in between, and only
then does the work. So a lease changes hands inside the planning step, and nothing can slip between check and act.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from escrowd.domain.identifiers import EscrowId


class Phase(StrEnum):
    """What a session is doing."""

    #: Its wallets are being opened or repaired; nobody may use it yet.
    OPENING = "opening"
    #: Open, verified at its last use, and free.
    IDLE = "idle"
    #: In the hands of one lease.
    LEASED = "leased"
    #: Its wallets are being saved and closed.
    CLOSING = "closing"


@dataclass(frozen=True, slots=True)
class SessionView:
    """What planning needs to know of a session. Times are seconds on one monotonic clock.

    ``evictable_from`` lies in the future where saving the wallets failed a moment ago: such a session is kept.
    """

    escrow: EscrowId
    phase: Phase
    last_used: float
    expires_at: float
    evictable_from: float = 0.0

    def may_be_closed(self, now: float) -> bool:
        """Whether nobody uses it and its wallets may be saved and closed."""
        return self.phase is Phase.IDLE and self.evictable_from <= now


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody who wants a lease; ``ticket`` tells the waiting apart and orders them."""

    ticket: int
    escrow: EscrowId


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now."""

    #: Tickets that get the lease of their escrow's session.
    grants: tuple[Waiting, ...] = ()
    #: Escrows whose session is opened, because somebody waits for it and there is room.
    opens: tuple[EscrowId, ...] = ()
    #: Sessions that are saved and closed to make room.
    evictions: tuple[EscrowId, ...] = ()


def plan(sessions: Iterable[SessionView], waiting: Sequence[Waiting], capacity: int, now: float) -> Plan:
    """Decide for each waiting one, first come first served.

    1. Its session is idle: it gets the lease.
    2. Its session is leased, opening or closing: it goes on waiting.
    3. There is no session, and room for one: the session is opened.
    4. There is no room: the least recently used idle session is evicted, one for which nobody waits before one that
       somebody further back waits for. The room it leaves is taken when it has closed, so at no time are more than
       ``capacity`` sessions open.
    5. All sessions are in use: it goes on waiting.
    """
    sessions = tuple(sessions)
    phases = {session.escrow: session.phase for session in sessions}
    victims = _eviction_order(sessions, {one.escrow for one in waiting}, now)
    occupied = len(phases)
    coming_room = sum(phase is Phase.CLOSING for phase in phases.values())
    grants: list[Waiting] = []
    opens: list[EscrowId] = []
    evictions: list[EscrowId] = []
    for one in waiting:
        phase = phases.get(one.escrow)
        if phase is Phase.IDLE:
            phases[one.escrow] = Phase.LEASED
            grants.append(one)
        elif phase is not None:
            continue
        elif occupied < capacity:
            occupied += 1
            phases[one.escrow] = Phase.OPENING
            opens.append(one.escrow)
        elif coming_room > 0:
            coming_room -= 1
            phases[one.escrow] = Phase.OPENING  # it will be, when that room is there: not counted twice
        elif (victim := next((each for each in victims if phases[each] is Phase.IDLE), None)) is not None:
            phases[victim] = Phase.CLOSING
            phases[one.escrow] = Phase.OPENING
            evictions.append(victim)
    return Plan(tuple(grants), tuple(opens), tuple(evictions))


def stale(sessions: Iterable[SessionView], now: float) -> tuple[EscrowId, ...]:
    """Return the idle sessions whose time is over."""
    return tuple(session.escrow for session in sessions if session.may_be_closed(now) and session.expires_at <= now)


def surplus(sessions: Sequence[SessionView], capacity: int, now: float) -> tuple[EscrowId, ...]:
    """Return the least recently used idle sessions that are more than ``capacity`` allows, as after adoption."""
    excess = max(0, len(sessions) - capacity)
    return tuple(islice(_eviction_order(sessions, set(), now), excess))


# ---------------------------------------------------------------------------------------------------------------------


def _eviction_order(sessions: Iterable[SessionView], wanted: set[EscrowId], now: float) -> Iterator[EscrowId]:
    """Sort only when the first one is asked for: nearly every plan needs no eviction."""
    closable = (session for session in sessions if session.may_be_closed(now))
    for session in sorted(closable, key=lambda session: (session.escrow in wanted, session.last_used)):
        yield session.escrow
