"""One transaction, as the repositories use it: statements that were written before, and what is left for its end."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, TypeAlias, TypeVar

from sqlalchemy import BigInteger, ColumnElement, Table, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from escrowd.domain.service_clock import ServiceClock
from escrowd.store import schema
from escrowd.store.prepared import Outcome, Prepared, Written, insert_into
from escrowd.store.sqlite import InPlace

ResultT = TypeVar("ResultT")

#: Milliseconds since 1970, on the clock of the database, when it is asked: ``now()`` of PostgreSQL is the time at which
#: the transaction began, perhaps before it waited for a lock.
NOW: Final = {
    "sqlite": "SELECT CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER)",
    "postgresql": "SELECT CAST(extract(epoch FROM statement_timestamp()) * 1000 AS BIGINT)",
}


@dataclass(frozen=True, slots=True)
class Present:
    """The time of a transaction: in milliseconds since 1970, and the clocks of the service at their last beat."""

    utc: int
    clock: ServiceClock

    @property
    def work(self) -> int:
        """The time on the work clock."""
        return self.clock.work_time(self.utc)

    @property
    def ahead(self) -> int:
        """How far the work clock is ahead of the wall clock."""
        return self.work - self.utc


class Session:
    """One transaction that has begun, as the repositories use it."""

    def __init__(self, connection: AsyncConnection, dialect: str) -> None:
        self.connection = connection
        self.dialect = dialect
        #: When this transaction makes work rows due, by their keys, on the work clock.
        self.woken: dict[str, int] = {}
        #: Which nodes are to do work rows while they live, by the keys of the rows.
        self.preferred: dict[str, str] = {}
        #: The time of the transaction, once it is known.
        self.known_present: Present | None = None
        self._driver = driver_of(connection)
        self._done: set[Prepared] = set()
        self._later: list[tuple[Prepared, Mapping[str, Any]]] = []
        self._last: list[tuple[str, LastAct]] = []

    def before_commit(self, key: str, act: "LastAct") -> None:
        """Do something to a work row at the end of the transaction; what is the same for many rows is done at once.

        Work rows are locked last, in the order of their keys. A command that holds its escrow and waits for the work
        row, and a worker that holds the work row and waits for the escrow, would wait for each other.
        """
        self._last.append((key, act))

    async def finish(self) -> None:
        """Do what was left for the end."""
        in_order = sorted(self._last, key=itemgetter(0))
        self._last.clear()
        for act, rows in groupby(in_order, key=itemgetter(1)):
            await act(self, [key for key, _ in rows])
        await self.catch_up()

    async def run(self, prepared: Prepared, **values: Any) -> Outcome:
        """Carry out a statement that was written before."""
        written = prepared.on(self.connection.dialect)
        return await self._ask(written, written.values(values))

    async def run_later(self, prepared: Prepared, **values: Any) -> None:
        """Carry out a change, at the end of the transaction at the latest, of which nobody needs the outcome.

        Only for rows that the transaction has made or holds, so that it waits for nobody when it has its work rows, and
        only where the order does not matter.
        PostgreSQL gets all changes with one question. What reads what they change calls ``catch_up`` before.
        """
        if self.dialect == "sqlite":
            await self.run(prepared, **values)
        else:
            self._later.append((prepared, values))

    async def catch_up(self) -> None:
        """Carry out what was put off."""
        if self._later:
            last, values = self._later.pop()
            await self.run_with_put_off(last, **values)

    async def run_with_put_off(self, prepared: Prepared, **values: Any) -> Outcome:
        """Carry out a statement, and with it what was put off. None of them sees what another one changes."""
        every = [(each.on(self.connection.dialect), given) for each, given in (*self._later, (prepared, values))]
        self._later.clear()
        text = _joined(tuple(each.text for each, _ in every))
        ordered = tuple(value for each, given in every for value in each.values(given))
        return await self._ask(Written(text, (), {}, every[-1][0].has_rows), ordered)

    async def once(self, prepared: Prepared) -> None:
        """Carry out a statement that need not be repeated in the same transaction, such as taking a lock."""
        if prepared not in self._done:
            await self.run(prepared)
            self.has_done(prepared)

    def has_done(self, prepared: Prepared) -> None:
        """Note that another statement has done what this one would."""
        self._done.add(prepared)

    async def run_for_all(self, prepared: Prepared, rows: Sequence[Mapping[str, Any]]) -> None:
        """Carry out a statement that was written before for each of these rows, in this order."""
        written = prepared.on(self.connection.dialect)
        if len(rows) < _MANY[self.dialect]:
            for row in rows:
                await self.run(prepared, **row)
        elif self.dialect == "sqlite":
            # So many take SQLite a while, and it is done in its thread.
            await self.connection.exec_driver_sql(written.text, [written.values(row) for row in rows])
        else:
            await self._unless_cut_off(self._driver.executemany(written.text, [written.values(row) for row in rows]))

    def insert(self, table: Table) -> "sqlite.Insert | postgresql.Insert":
        """Begin an INSERT that knows ON CONFLICT, which both databases have and standard SQL has not."""
        return insert_into(self.dialect, table)

    async def now(self) -> int:
        """Return the time of the transaction, in milliseconds since 1970, on the clock of the database."""
        return (await self.present()).utc

    async def work_now(self) -> int:
        """Return the time of the transaction on the work clock: stored times that decide about work are compared to it.

        It is never before the last beat, however far the clock of the database was set back.
        """
        return (await self.present()).work

    async def present(self) -> Present:
        """Return the time of the transaction, the same throughout."""
        if self.known_present is None:
            self.known_present = present_of((await self.run(_PRESENT)).rows[0])
        return self.known_present

    async def _ask(self, written: Written, ordered: tuple[Any, ...]) -> Outcome:
        if isinstance(self._driver, InPlace):
            return self._driver.run(written.text, ordered)
        return await self._unless_cut_off(_carry_out_on_postgres(self._driver, written, ordered))

    async def _unless_cut_off(self, answer: Awaitable[ResultT]) -> ResultT:
        try:
            return await answer
        except asyncio.CancelledError:
            # It may be done or not, and the transaction goes on in either case: whoever passes over a time-out would
            # store the rest without it.
            await give_up(self.connection)
            raise


def present_columns(dialect: str) -> tuple[ColumnElement[Any], ...]:
    """Ask for the time and both clocks. Those of the clocks are ``NULL`` before their first beat."""
    clock = schema.service_clock.c
    stored = (clock.running, clock.last_beat, clock.counted, clock.ahead)
    return literal_column(f"({NOW[dialect]})", BigInteger), *(select(each).scalar_subquery() for each in stored)


def present_of(row: Sequence[Any]) -> Present:
    """Return the present of an answer that begins with ``present_columns``."""
    utc, running, last_beat, counted, ahead, *_ = row
    return Present(utc, ServiceClock(running or 0, last_beat, bool(counted), ahead or 0))


def driver_of(connection: AsyncConnection) -> Any:
    """Return the connection of the driver under one of SQLAlchemy, which is open."""
    if connection.sync_connection is None:
        raise RuntimeError("the connection is not open")
    return connection.sync_connection.connection.driver_connection


async def give_up(connection: AsyncConnection) -> None:
    """Close a connection for good, and with it its transaction.

    One that is only invalid connects once more for its next statement, which would be stored by itself.
    """
    if not connection.closed:
        await connection.invalidate()
        await connection.close()


#: What is done to work rows at the end of a transaction, given their keys in order.
LastAct: TypeAlias = Callable[[Session, Sequence[str]], Awaitable[None]]


# ---------------------------------------------------------------------------------------------------------------------

_PRESENT: Final = Prepared(lambda dialect: select(*present_columns(dialect)))
#: From so many rows on they are handed over together.
_MANY: Final = {"sqlite": 50, "postgresql": 2}
_WITH: Final = "WITH "
_PARAMETER: Final = re.compile(r"\$(\d+)")


@lru_cache(maxsize=64)
def _joined(statements: tuple[str, ...]) -> str:
    """Put changes and a last statement into one of PostgreSQL: the changes come before it, in its WITH.

    Nothing is said about the order in which they are done, and none sees what another one does.
    """
    texts, before = [], 0
    for each in statements:
        texts.append(_PARAMETER.sub(lambda found, before=before: f"${int(found[1]) + before}", each))  # type: ignore[misc]
        before += len(set(_PARAMETER.findall(each)))
    *first, last = texts
    changes = [f"change_{number} AS ({each})" for number, each in enumerate(first)]
    if not changes:
        return last
    joins = ", " if last.startswith(_WITH) else " "
    return _WITH + ", ".join(changes) + joins + last.removeprefix(_WITH)


async def _carry_out_on_postgres(driver: Any, written: Written, values: tuple[Any, ...]) -> Outcome:
    if written.has_rows:
        return Outcome(await driver.fetch(written.text, *values))
    # Such as "UPDATE 1" or "INSERT 0 1".
    return Outcome((), int((await driver.execute(written.text, *values)).rpartition(" ")[2]))
