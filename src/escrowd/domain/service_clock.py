"""The clocks of the service, as its database keeps them: the running clock of deadlines, and the work clock."""

from dataclasses import dataclass
from typing import Final

#: Milliseconds between two beats beyond which the service counts as down.
LONGEST_GAP: Final = 30_000
#: Milliseconds that the work clock goes beyond the last beat at most: longer than a claim or a heartbeat lasts. A wall
#: clock that is set forward and back between two beats delays what was stored meanwhile by no more than this.
FURTHEST: Final = 60_000


@dataclass(frozen=True, slots=True)
class ServiceClock:
    """Both clocks at the last beat. Times are milliseconds.

    The work clock decides when work is due and when a claim runs out. It goes as the wall clock does, and never back:
    where the wall clock was set back, it stands still until the next beat, which corrects it, and goes on from there.
    """

    #: The time in which the service was up and in sync.
    running: int = 0
    #: When the last beat was, on the work clock; ``None`` before the first.
    last_beat: int | None = None
    #: Whether the service was in sync at the last beat.
    counted: bool = False
    #: How far the work clock is ahead of the wall clock.
    ahead: int = 0

    def work_time(self, utc: int) -> int:
        """Return the time of the work clock at a time of the wall clock."""
        now = self._time_of_a_beat(utc)
        return now if self.last_beat is None else min(now, self.last_beat + FURTHEST)

    def after_beat(self, utc: int, longest_gap: int = LONGEST_GAP, *, counts: bool) -> "ServiceClock":
        """Return both clocks after one more beat.

        The running clock goes on by the time since the last beat. Nothing is added where ``counts`` is false now or was
        at the last beat, and where the last beat is longer ago than ``longest_gap``. A wall clock that is set back adds
        nothing, and one that is set forward no more than that gap.
        """
        now = self._time_of_a_beat(utc)
        gap = longest_gap + 1 if self.last_beat is None else now - self.last_beat
        passed = gap if counts and self.counted and gap <= longest_gap else 0
        return ServiceClock(self.running + passed, now, counts, now - utc)

    def _time_of_a_beat(self, utc: int) -> int:
        """Return what a beat sets the work clock to: a service that was down, or a jump forward, takes it further."""
        return max(utc + self.ahead, self.last_beat or 0)
