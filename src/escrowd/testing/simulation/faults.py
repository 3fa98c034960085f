"""What goes wrong, and where: the one place that a call, a commit or a named point of the service passes."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

ResultT = TypeVar("ResultT")


class Crashed(BaseException):
    """The service died here. No code of it may catch this, as none could catch kill -9."""


class Trouble(StrEnum):
    """One thing that goes wrong once."""

    #: kill -9 of the service, before or after the call or commit took effect.
    CRASH_BEFORE = "crash_before"
    CRASH_AFTER = "crash_after"
    #: The reply does not come in time; the call has or has not run. A wallet process is killed for it.
    LOST_BEFORE = "lost_before"
    LOST_AFTER = "lost_after"
    #: kill -9 of the wallet process that is asked.
    DEATH_BEFORE = "death_before"
    DEATH_AFTER = "death_after"
    #: A wallet cannot be written.
    DISK_FULL = "disk_full"
    #: From this call on the daemon does not answer, until the world starts it again.
    DAEMON_DOWN = "daemon_down"
    #: The service stops in the middle (SIGSTOP), and goes on when another one has taken over.
    FREEZE = "freeze"


class Place(StrEnum):
    """Where trouble can strike."""

    WALLET = "wallet"
    DAEMON = "daemon"
    COMMIT = "commit"
    #: A crash point that the service names itself.
    NAMED = "named"


#: Which trouble can strike where.
PLACES: Final = {
    Trouble.CRASH_BEFORE: frozenset(Place),
    Trouble.CRASH_AFTER: frozenset({Place.WALLET, Place.DAEMON, Place.COMMIT}),
    Trouble.LOST_BEFORE: frozenset({Place.WALLET, Place.DAEMON}),
    Trouble.LOST_AFTER: frozenset({Place.WALLET, Place.DAEMON}),
    Trouble.DEATH_BEFORE: frozenset({Place.WALLET}),
    Trouble.DEATH_AFTER: frozenset({Place.WALLET}),
    Trouble.DISK_FULL: frozenset({Place.WALLET}),
    Trouble.DAEMON_DOWN: frozenset({Place.WALLET, Place.DAEMON}),
    Trouble.FREEZE: frozenset({Place.WALLET, Place.DAEMON}),
}


class Hostility(StrEnum):
    """What a wallet that somebody has taken over proposes instead of what it was asked for."""

    #: Everything to a stranger.
    PAYS_A_STRANGER = "pays_a_stranger"
    #: A lock of years.
    LOCKS = "locks"
    #: A fee that eats a large part of it.
    BURNS = "burns"


@dataclass(slots=True)
class Life:
    """One run of the service. What belongs to a life that ended can do nothing more."""

    number: int
    is_over: bool = False

    def check(self) -> None:
        """Stop code that runs on after its death, such as a ``finally``."""
        if self.is_over:
            raise Crashed


class Faults:
    """Strikes at the n-th place that fits, counted from when the trouble was armed.

    Mutable: ``armed``, ``countdown`` and the counters; ``daemon_is_down`` also by the world.
    """

    def __init__(self) -> None:
        self.armed: Trouble | None = None
        self.only_at: str | None = None
        self.countdown = 0
        self.daemon_is_down = False
        #: How wallets lie in what they propose, while they do.
        self.hostility: Hostility | None = None
        #: How often each trouble struck, and where.
        self.fired: Counter[tuple[Trouble, str]] = Counter()
        #: How often each place was passed, by its name.
        self.passed: Counter[str] = Counter()
        #: Set while the service is frozen; the world sets ``thawed`` to let it go on.
        self.frozen = asyncio.Event()
        self.thawed = asyncio.Event()

    def arm(self, trouble: Trouble, countdown: int, only_at: str | None = None) -> None:
        """Let this happen at the n-th place that fits, from 1; with ``only_at`` at places of this name only."""
        self.armed, self.countdown, self.only_at = trouble, countdown, only_at

    def disarm(self) -> None:
        """Let nothing happen."""
        self.armed = None

    def struck(self, place: Place, name: str) -> Trouble | None:
        """Count the place and return what happens here."""
        self.passed[name] += 1
        armed = self.armed
        if armed is None or place not in PLACES[armed] or (self.only_at or name) != name:
            return None
        if armed is Trouble.DISK_FULL and name != "store":
            return None
        self.countdown -= 1
        if self.countdown > 0:
            return None
        self.armed = None
        self.fired[armed, name] += 1
        return armed

    async def freeze(self) -> None:
        """Stand still until the world says so."""
        self.frozen.set()
        await self.thawed.wait()
        self.frozen.clear()
        self.thawed.clear()

    def pass_commit(self, life: Life, commit: Callable[[], None]) -> None:
        """Commit, unless the service dies before it."""
        if self.armed is None:
            # As nearly always, and nothing happens as often.
            life.check()
            commit()
        else:
            self._pass(life, Place.COMMIT, "commit", commit)

    def pass_named(self, life: Life, name: str) -> None:
        """Pass a crash point that has a name."""
        self._pass(life, Place.NAMED, name, lambda: None)

    def _pass(self, life: Life, place: Place, name: str, act: Callable[[], None]) -> None:
        life.check()
        trouble = self.struck(place, name)
        if trouble is Trouble.CRASH_BEFORE:
            life.is_over = True
            raise Crashed
        act()
        if trouble is Trouble.CRASH_AFTER:
            life.is_over = True
            raise Crashed
