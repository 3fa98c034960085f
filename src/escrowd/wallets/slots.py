"""What the session manager keeps of each session and of each one who waits for a lease."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

from escrowd.domain.identifiers import EscrowId
from escrowd.wallets.plan import Phase, SessionView
from escrowd.wallets.session import WalletSession
from escrowd.wallets.stats import SessionCounters, SessionInfo, SessionStats


@dataclass(slots=True, eq=False)
class Slot:
    """One session in whatever phase. Times are seconds on the manager's clock."""

    escrow: EscrowId
    opened_at: float
    last_used: float
    phase: Phase = Phase.OPENING
    expires_at: float = 0.0
    evictable_from: float = 0.0
    #: ``None`` until the wallets are open for the first time.
    session: WalletSession | None = None
    #: The last opening, repair or closing.
    work: asyncio.Task[Any] | None = None
    #: Those who wait for the session to be closed.
    closers: list[asyncio.Future[None]] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        """Whether a lease of it needs no opening."""
        return self.phase in (Phase.IDLE, Phase.LEASED)

    @property
    def open_session(self) -> WalletSession:
        """The session of a slot that is not being opened for the first time."""
        if self.session is None:
            raise AssertionError(f"the session of {self.escrow} was never opened")
        return self.session

    def view(self) -> SessionView:
        """Show what planning needs."""
        return SessionView(self.escrow, self.phase, self.last_used, self.expires_at, self.evictable_from)

    def info(self, now: float) -> SessionInfo:
        """Show what others may see."""
        idle = 0.0 if self.phase is Phase.LEASED else now - self.last_used
        return SessionInfo(self.escrow, self.phase, now - self.opened_at, idle, self.expires_at - now)

    def tell_closers(self, error: BaseException | None) -> None:
        """Answer those who wait for the close."""
        closers, self.closers = self.closers, []
        for closer in closers:
            if closer.done():
                continue
            if error is None:
                closer.set_result(None)
            else:
                closer.set_exception(error)


@dataclass(slots=True, eq=False)
class Waiter:
    """Somebody who waits for the lease of an escrow's session."""

    escrow: EscrowId
    granted: asyncio.Future[Slot]

    @property
    def is_waiting(self) -> bool:
        """Whether there is still somebody to grant the lease to."""
        return not self.granted.done()

    @property
    def has_lease(self) -> bool:
        """Whether the lease was granted, taken or not."""
        return self.granted.done() and not self.granted.cancelled() and self.granted.exception() is None

    def grant(self, slot: Slot) -> None:
        """Hand over the lease."""
        self.granted.set_result(slot)

    def fail(self, error: BaseException) -> None:
        """Tell that there will be no lease."""
        if self.is_waiting:
            self.granted.set_exception(error)


def stats_of(
    slots: Collection[Slot], waiting: int, max_sessions: int, counters: SessionCounters, now: float
) -> SessionStats:
    """Count the sessions at this moment."""
    phases = [slot.phase for slot in slots]
    ages = [now - slot.opened_at for slot in slots]
    return SessionStats(
        active=len(phases),
        leased=phases.count(Phase.LEASED),
        opening=phases.count(Phase.OPENING),
        closing=phases.count(Phase.CLOSING),
        waiting=waiting,
        max_sessions=max_sessions,
        oldest_age=max(ages, default=0.0),
        mean_age=sum(ages) / len(ages) if ages else 0.0,
        counters=replace(counters),
    )
