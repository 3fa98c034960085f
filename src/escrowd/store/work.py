"""Durable work: one row for each escrow, claimed by one worker at a time, and settled under its fence.

A row says only that somebody has to look, and when. Who claims it gets a number, the fence, that is higher than any
before. Whatever is stored for the work is stored under that number; who has been overtaken stores nothing.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Text,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal,
    null,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from escrowd.domain.conflicts import LeaseLost
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.work import ClaimedRow as ClaimedRow
from escrowd.store import schema
from escrowd.store.prepared import Prepared, filled, insert_into
from escrowd.store.session import Session

#: The kind of the work rows of escrows, and what their keys begin with.
ESCROW: Final = "escrow"
#: The channel on which PostgreSQL tells other nodes of woken rows.
CHANNEL: Final = "escrowd_work"


def escrow_key(escrow: EscrowId) -> str:
    """Name the work row of an escrow."""
    return f"{ESCROW}:{escrow}"


class WorkTable:
    """The work rows of one transaction. Times in seconds, unless named otherwise.

    What is stored is on the work clock, so that a wall clock that is set back delays nothing.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    async def wake(self, key: str, in_seconds: float = 0) -> None:
        """Make a row due, now or in a while, and never later than it is due already. Makes the row if need be."""
        due = await self._session.work_now() + int(1000 * in_seconds)
        self._touch(key)
        self._session.woken[key] = min(due, self._session.woken.get(key, due))

    async def claim(
        self,
        owner: str,
        exclude: frozenset[str],
        limit: int,
        seconds: float,
        *,
        kinds: frozenset[str] | None = None,
    ) -> tuple[ClaimedRow, ...]:
        """Claim rows that are due and that nobody has, the longest due first; ``kinds`` is ``None`` for all kinds.

        ``exclude`` names rows that run here: an own lease that ran out is not claimed again while its step still runs.
        A row that is preferably done by another node is claimed only when that no longer lives, and then moves to us.
        """
        table, now = schema.work, await self._session.work_now()
        due = (
            select(table.c.key)
            .where(table.c.due_at <= now, *self._claimable(owner, exclude, kinds, now))
            .order_by(table.c.due_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
            # PostgreSQL may carry out a mere subquery more than once, and would claim more than the limit.
            .cte("due")
        )
        claimed = await self._session.connection.execute(
            update(table)
            .where(table.c.key.in_(select(due.c.key)))
            .values(
                owner=owner,
                lease_until=now + int(1000 * seconds),
                fence=table.c.fence + 1,
                affinity=case((table.c.affinity.is_(None), null()), else_=literal(owner)),
            )
            .returning(table.c.key, table.c.kind, table.c.fence, table.c.wake, table.c.attempt)
        )
        return tuple(ClaimedRow(*row) for row in claimed)

    async def prefer(self, key: str, node: str) -> None:
        """Let a row be done by this node while it lives: its wallets are open there. Makes the row if need be."""
        self._touch(key)
        self._session.preferred[key] = node

    async def renew(self, key: str, fence: int, seconds: float) -> bool:
        """Make a claim last longer; return whether it is still ours."""
        until = await self._session.work_now() + int(1000 * seconds)
        return await self._change(key, fence, lease_until=until)

    async def hold(self, key: str, fence: int) -> None:
        """Make sure that a claim is ours when this transaction commits.

        Raises:
            LeaseLost: somebody else has it by now. It is raised here, or at the end of the transaction.

        """
        mine = and_(*_is_mine(key, fence))
        if (await self._session.connection.execute(select(schema.work.c.key).where(mine))).one_or_none() is None:
            raise LeaseLost(f"somebody else works on {key}, or it was given back")
        self._session.before_commit(key, partial(_hold, fence=fence))

    async def settle(self, claimed: ClaimedRow, in_seconds: float | None) -> None:
        """Give a claim back. The row is due in a while, or when woken (``None``); at once if it was woken meanwhile.

        Raises:
            LeaseLost: somebody else has it by now.

        """
        table, now = schema.work, await self._session.work_now()
        due = null() if in_seconds is None else literal(now + int(1000 * in_seconds))
        was_woken = table.c.wake != claimed.wake
        if not await self._change(
            claimed.key,
            claimed.fence,
            owner=None,
            lease_until=0,
            due_at=case((was_woken, literal(now)), else_=due),
            attempt=0,
            last_error="",
        ):
            raise LeaseLost(f"somebody else works on {claimed.key}")

    async def fail(self, claimed: ClaimedRow, error: str, in_seconds: float) -> None:
        """Give a claim back after a failure, to be tried again in a while. Where it is not ours, nothing happens."""
        await self._change(
            claimed.key,
            claimed.fence,
            owner=None,
            lease_until=0,
            due_at=await self._session.work_now() + int(1000 * in_seconds),
            attempt=claimed.attempt + 1,
            last_error=error,
        )

    async def free_all_of(self, owner: str) -> int:
        """Free what an earlier run of this node had claimed, and return how much that was."""
        table = schema.work
        freed = await self._session.connection.execute(
            update(table).where(table.c.owner == owner).values(owner=None, lease_until=0)
        )
        return freed.rowcount

    async def heartbeat(self, node: str, seconds: float) -> None:
        """Say that a node lives, and will for so long."""
        values = {"alive_until": await self._session.work_now() + int(1000 * seconds)}
        statement = self._session.insert(schema.nodes).values(node=node, **values)
        await self._session.connection.execute(statement.on_conflict_do_update(index_elements=["node"], set_=values))

    async def sign_off(self, node: str) -> None:
        """Say that a node lives no more."""
        await self._session.connection.execute(delete(schema.nodes).where(schema.nodes.c.node == node))

    async def seconds_to_next(
        self, owner: str, exclude: frozenset[str] = frozenset(), *, kinds: frozenset[str] | None = None
    ) -> float | None:
        """Return in how many seconds the next row that we may claim is due; ``None`` where there is none."""
        table, now = schema.work, await self._session.work_now()
        query = select(func.min(table.c.due_at)).where(
            table.c.due_at.is_not(None), *self._claimable(owner, exclude, kinds, now)
        )
        due = (await self._session.connection.execute(query)).scalar_one_or_none()
        return None if due is None else max(0.0, (due - now) / 1000)

    async def wake_all(self, condition: str) -> int:
        """Wake the escrows that a condition on the table ``escrows`` names, and return how many those are."""
        rows = await self._session.connection.execute(text(f"SELECT id FROM escrows WHERE {condition}"))  # noqa: S608
        woken = [EscrowId(each) for each in rows.scalars()]
        for escrow in woken:
            await self.wake(escrow_key(escrow))
        return len(woken)

    def _touch(self, key: str) -> None:
        if key not in self._session.woken and key not in self._session.preferred:
            self._session.before_commit(key, _store_touched)

    async def _change(self, key: str, claim: int, **values: object) -> bool:
        mine = and_(*_is_mine(key, claim))
        return (await self._session.connection.execute(update(schema.work).where(mine).values(**values))).rowcount == 1

    @staticmethod
    def _claimable(
        owner: str, exclude: frozenset[str], kinds: frozenset[str] | None, now: int
    ) -> Iterator[ColumnElement[bool]]:
        table = schema.work
        alive = select(schema.nodes.c.node).where(schema.nodes.c.alive_until > now)
        yield or_(table.c.owner.is_(None), table.c.lease_until <= now)
        yield or_(table.c.affinity.is_(None), table.c.affinity == owner, table.c.affinity.not_in(alive))
        if kinds is not None:
            yield table.c.kind.in_(kinds)
        if exclude:
            yield table.c.key.not_in(exclude)


# ---------------------------------------------------------------------------------------------------------------------


def _is_mine(key: str, fence: int) -> tuple[ColumnElement[bool], ...]:
    table = schema.work
    return table.c.key == key, table.c.fence == fence, table.c.owner.is_not(None)


def _touch_statement(dialect: str) -> "sqlite.Insert | postgresql.Insert":
    """Make a row due, or let a node be the one that does it, or both; it is made if need be."""
    table = schema.work
    statement = insert_into(dialect, table).values(filled(table, "key", "kind", "due_at", "wake", "affinity"))
    new = statement.excluded
    due = case(
        (new.due_at.is_(None), table.c.due_at),
        (table.c.due_at < new.due_at, table.c.due_at),
        else_=new.due_at,
    )
    changes = {
        "due_at": due,
        "wake": table.c.wake + new.wake,
        "affinity": func.coalesce(new.affinity, table.c.affinity),
    }
    return statement.on_conflict_do_update(index_elements=["key"], set_=changes)


_TOUCH: Final = Prepared(_touch_statement)
_notify: Final = select(func.pg_notify(CHANNEL, bindparam("told", type_=Text)))
_NOTIFY: Final = Prepared(lambda _: _notify)
#: Both with one question, for what nearly every transaction does.
_TOUCH_AND_NOTIFY: Final = Prepared(
    lambda dialect: _notify.add_cte(_touch_statement(dialect).returning(schema.work.c.key).cte("touched"))
)


async def _store_touched(session: Session, keys: Sequence[str]) -> None:
    """Store what was touched, all of it with one statement: each block wakes everybody who counts confirmations."""
    rows = [_touched(session, key) for key in keys]
    woken = [key for key in keys if key in session.woken]
    if session.dialect == "sqlite" or not woken:
        await session.run_for_all(_TOUCH, rows)
    elif len(rows) == 1:
        await session.run_with_put_off(_TOUCH_AND_NOTIFY, told=woken[0], **rows[0])
    else:
        await session.run_for_all(_TOUCH, rows)
        # Whoever listens looks for all that is due, so one word is enough for many rows.
        await session.run(_NOTIFY, told="")


def _touched(session: Session, key: str) -> dict[str, object]:
    return {
        "key": key,
        "kind": key.partition(":")[0],
        "due_at": session.woken.get(key),
        "wake": 1 if key in session.woken else 0,
        "affinity": session.preferred.get(key),
    }


async def _hold(session: Session, keys: Sequence[str], fence: int) -> None:
    (key,) = keys
    # An update and no question: on PostgreSQL it locks the row, so nobody can claim it before we have committed.
    statement = update(schema.work).where(*_is_mine(key, fence)).values(fence=schema.work.c.fence)
    if (await session.connection.execute(statement)).rowcount != 1:
        raise LeaseLost(f"somebody else works on {key} by now")
