"""What is behind an escrow, for its operator: its work row, its keys, what waits to be done, and who works."""

from dataclasses import dataclass

from sqlalchemy import and_, func, select

from escrowd.domain.escrow.effects import Effect, PendingEffect
from escrowd.domain.escrow.history import LogEntry
from escrowd.domain.identifiers import EscrowId
from escrowd.store import schema
from escrowd.store.session import Session
from escrowd.store.work import escrow_key


@dataclass(frozen=True, slots=True)
class WorkState:
    """How the work on an escrow stands. Times are milliseconds since 1970, by the wall clock as it is now."""

    #: ``None``: it waits for something to happen.
    due_at: int | None
    #: The node that works on it, or did so until ``lease_until``.
    owner: str | None
    lease_until: int
    #: How often it failed since it last went well, and why the last time.
    attempt: int
    last_error: str
    #: The node where its wallets are open, while that lives.
    affinity: str | None


@dataclass(frozen=True, slots=True)
class KeySetState:
    """How the wallets of an escrow stand, which node made them, and when (milliseconds since 1970)."""

    status: str
    node: str
    at: int
    why: str


@dataclass(frozen=True, slots=True)
class WaitingEffect:
    """An effect that is not done yet, and since when it waits, in milliseconds since 1970."""

    effect: PendingEffect
    since: int


class InspectionTable:
    """Questions of one transaction that the service itself never asks."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def work(self, escrow: EscrowId) -> WorkState | None:
        """Return how the work on an escrow stands."""
        table = schema.work
        query = select(
            table.c.due_at, table.c.owner, table.c.lease_until, table.c.attempt, table.c.last_error, table.c.affinity
        ).where(table.c.key == escrow_key(escrow))
        row = (await self._session.connection.execute(query)).one_or_none()
        if row is None:
            return None
        ahead = (await self._session.present()).ahead
        due = None if row.due_at is None else row.due_at - ahead
        return WorkState(due, row.owner, row.lease_until - ahead, *row[3:])

    async def key_set(self, escrow: EscrowId) -> KeySetState | None:
        """Return how the wallets of an escrow stand."""
        table = schema.key_sets
        query = select(table.c.status, table.c.node, table.c.at, table.c.why).where(table.c.escrow == escrow)
        row = (await self._session.connection.execute(query)).one_or_none()
        return None if row is None else KeySetState(*row)

    async def waiting_effects(self, escrow: EscrowId) -> tuple[WaitingEffect, ...]:
        """Return the effects that are not done yet, oldest first."""
        effects, log = schema.effects, schema.log
        same_step = and_(log.c.escrow == effects.c.escrow, log.c.version == effects.c.version)
        query = (
            select(effects.c.version, effects.c.index, effects.c.effect, effects.c.cause, func.min(log.c.at))
            .join_from(effects, log, same_step)
            .where(effects.c.escrow == escrow, effects.c.done_at.is_(None))
            .group_by(effects.c.version, effects.c.index, effects.c.effect, effects.c.cause)
            .order_by(effects.c.version, effects.c.index)
        )
        rows = await self._session.connection.execute(query)
        return tuple(
            WaitingEffect(PendingEffect(version, index, Effect(effect), cause), since)
            for version, index, effect, cause, since in rows
        )

    async def latest_log(self, escrow: EscrowId, limit: int) -> tuple[LogEntry, ...]:
        """Return the last entries of an escrow's history, in order."""
        table = schema.log
        query = select(table).where(table.c.escrow == escrow).order_by(table.c.sequence.desc()).limit(limit)
        rows = (await self._session.connection.execute(query)).all()
        return tuple(LogEntry(**row._mapping) for row in reversed(rows))  # noqa: SLF001 - the documented way

    async def living_nodes(self) -> tuple[str, ...]:
        """Return the nodes that work at the moment. One that was killed is among them for some seconds."""
        table = schema.nodes
        query = select(table.c.node).where(table.c.alive_until > await self._session.work_now()).order_by(table.c.node)
        return tuple((await self._session.connection.execute(query)).scalars())
