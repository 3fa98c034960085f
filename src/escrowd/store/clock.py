"""The clock of the database, and beside it the running clock: the time in which the service was up and in sync."""

from typing import Final

from sqlalchemy import BigInteger, ColumnElement, literal_column, select

from escrowd.domain.escrow.facts import Moment
from escrowd.store import schema
from escrowd.store.prepared import Prepared
from escrowd.store.session import NOW, Session


class ClockTable:
    """The clock of one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._moment: Moment | None = None

    async def now(self) -> Moment:
        """Return the moment, in UTC and on the running clock: the same throughout the transaction."""
        if self._moment is None:
            utc, running = (await self._session.run(_MOMENT)).rows[0]
            self._moment = Moment(self._session.present or utc, running or 0)
            self._session.present = self._moment.utc
        return self._moment

    def know(self, moment: Moment) -> None:
        """Take this for the moment of the transaction: it was asked for together with other things."""
        self._moment, self._session.present = moment, moment.utc

    async def beat(self, *, counts: bool, longest_gap: int = 30_000) -> Moment:
        """Advance the running clock by the time since the last beat.

        Nothing is added where ``counts`` is false (the daemon is out of sync), where it was false at the last beat, or
        where the last beat is more than ``longest_gap`` milliseconds ago (the service was down).
        """
        table = schema.service_clock
        query = select(table.c.running, table.c.last_beat, table.c.counted).with_for_update()
        last = (await self._session.connection.execute(query)).one_or_none()
        # Asked when the row is ours: another node may have beaten while we waited for it, and no time counts twice.
        now = await self._session.now()
        running = 0
        if last is not None:
            passed = now - last.last_beat
            running = last.running + (passed if counts and last.counted and 0 <= passed <= longest_gap else 0)
        return await self._put(running, now, counts=counts)

    async def advance(self, milliseconds: int) -> Moment:
        """Let the running clock jump ahead. For private chains only: nobody's deadline may be shortened for real."""
        table = schema.service_clock
        last = (await self._session.connection.execute(select(table).with_for_update())).one_or_none()
        running, beat, counted = (0, 0, False) if last is None else (last.running, last.last_beat, last.counted)
        return await self._put(running + milliseconds, beat, counts=counted)

    async def _put(self, running: int, last_beat: int, *, counts: bool) -> Moment:
        values = {"running": running, "last_beat": last_beat, "counted": counts}
        statement = self._session.insert(schema.service_clock).values(one=1, **values)
        await self._session.connection.execute(statement.on_conflict_do_update(index_elements=["one"], set_=values))
        self._moment = Moment(await self._session.now(), running)
        return self._moment


def moment_columns(dialect: str) -> tuple[ColumnElement[int], ColumnElement[int | None]]:
    """Ask for both clocks. The second one is ``NULL`` before its first beat."""
    running = select(schema.service_clock.c.running).scalar_subquery()
    return literal_column(f"({NOW[dialect]})", BigInteger), running


# ---------------------------------------------------------------------------------------------------------------------

_MOMENT: Final = Prepared(lambda dialect: select(*moment_columns(dialect)))
