"""Removes what is not kept for ever: old answers to requests with an Idempotency-Key, and deliveries taken long ago.

A key that is asked for while its answer goes is no danger: whoever asks finds the answer, or makes the forgotten key
theirs. And a key that is being made theirs is not seen: it is stored with its answer, in one transaction, and is new.
"""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, Table, TextClause, delete, select, text, tuple_
from sqlalchemy.sql.dml import UpdateBase

from escrowd.domain.retention import Prunable
from escrowd.store.schema_access import answers
from escrowd.store.schema_webhooks import deliveries, webhooks
from escrowd.store.session import Session


class PruningTable:
    """What is old in the tables that are pruned, of one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def remove(self, what: Prunable, older_than: int, most: int) -> int:
        """Remove up to ``most`` rows that are older than so many milliseconds, the oldest first; return how many.

        Where there are fewer, nothing old is left, or another node is just removing it.
        """
        rule = _RULES[what]
        if rule.held is not None:
            await self._session.connection.execute(select(*rule.held.primary_key).with_for_update(read=True))
        before = await self._session.now() - older_than
        # Not prepared: so many rows take SQLite a while, and it is done in its thread.
        return len((await self._session.connection.execute(removal(what, before, most))).all())


def removal(what: Prunable, before: int, most: int) -> UpdateBase:
    """Return the statement that removes up to ``most`` rows that are older than a time, and answers with each."""
    rule = _RULES[what]
    key = tuple(rule.table.primary_key)
    oldest = (
        select(*key)
        .where(rule.since < before, *rule.only)
        .order_by(rule.since)
        .limit(most)
        # What another node is removing is left to it.
        .with_for_update(skip_locked=True)
        # PostgreSQL may carry out a mere subquery more than once, and would remove more.
        .cte("oldest")
    )
    return delete(rule.table).where(tuple_(*key).in_(select(*oldest.c))).returning(rule.since)


# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Rule:
    """How old rows are found. There is an index for each."""

    table: Table
    #: From when on the age of a row counts.
    since: Column[Any]
    #: Of rows for which more must hold. It is written out, so that SQLite knows that its partial index will do.
    only: tuple[TextClause, ...] = ()
    #: A table whose rows nobody may change meanwhile. Locks are taken in the order that the database module tells.
    held: Table | None = None


_RULES: Final = {
    Prunable.ANSWERS: _Rule(answers, answers.c.at),
    # Whoever asks for a delivery anew holds its endpoint from when they look for it until it is pending.
    Prunable.DELIVERIES: _Rule(deliveries, deliveries.c.delivered_at, (text("status = 'delivered'"),), webhooks),
}
