"""The clock of the database, and beside it the running clock: the time in which the service was up and in sync."""

from dataclasses import asdict, replace

from sqlalchemy import select

from escrowd.domain.escrow.facts import Moment
from escrowd.domain.service_clock import LONGEST_GAP, ServiceClock
from escrowd.store import schema
from escrowd.store.session import Present, Session


class ClockTable:
    """The clock of one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def now(self) -> Moment:
        """Return the moment, in UTC and on the running clock: the same throughout the transaction."""
        present = await self._session.present()
        return Moment(present.utc, present.clock.running)

    async def work_now(self) -> int:
        """Return the time on the work clock, which never goes back: the same throughout the transaction."""
        return await self._session.work_now()

    async def beat(self, *, counts: bool, longest_gap: int = LONGEST_GAP) -> Moment:
        """Advance the running clock by the time since the last beat, and set the work clock right.

        Nothing is added where ``counts`` is false (the daemon is out of sync), where it was false at the last beat, or
        where the last beat is more than ``longest_gap`` milliseconds ago (the service was down).
        """
        present = await self._present_of_holder()
        return await self._put(present, present.clock.after_beat(present.utc, longest_gap, counts=counts))

    async def advance(self, milliseconds: int) -> Moment:
        """Let the running clock jump ahead. For private chains only: nobody's deadline may be shortened for real."""
        present = await self._present_of_holder()
        clock = present.clock
        last_beat = present.work if clock.last_beat is None else clock.last_beat
        return await self._put(present, replace(clock, running=clock.running + milliseconds, last_beat=last_beat))

    async def _present_of_holder(self) -> Present:
        """Lock the row, and then ask for it and the time: another instance may have beaten while we waited."""
        await self._session.connection.execute(select(schema.service_clock.c.one).with_for_update())
        self._session.known_present = None
        return await self._session.present()

    async def _put(self, present: Present, clock: ServiceClock) -> Moment:
        values = asdict(clock)
        statement = self._session.insert(schema.service_clock).values(one=1, **values)
        await self._session.connection.execute(statement.on_conflict_do_update(index_elements=["one"], set_=values))
        self._session.known_present = replace(present, clock=clock)
        return await self.now()
