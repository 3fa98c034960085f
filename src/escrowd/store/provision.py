"""What a new escrow begins with: the moment, how far the chain was read, and finished wallets out of the stock."""

from typing import Any, Final

from sqlalchemy import ClauseElement, Select, literal, select, true, update
from sqlalchemy.sql.dml import ReturningUpdate

from escrowd.domain.escrow.facts import Moment
from escrowd.domain.keying import KeySet
from escrowd.domain.provision import Provision
from escrowd.store import schema
from escrowd.store.coding import decoded
from escrowd.store.keys import READY, TAKEN, wallet_set_of
from escrowd.store.ledgers import COMMON
from escrowd.store.prepared import Prepared
from escrowd.store.session import Session, present_columns, present_of


async def provide(session: Session) -> tuple[Provision, str | None]:
    """Take the oldest finished set of wallets out of the stock, and return with everything the node that made it."""
    if session.dialect == "sqlite":
        look = (await session.run(_LOOK)).rows[0]
        row = (*look, *((await session.run(_TAKE)).one_or_none() or (None, None)))
    else:
        row = (await session.run(_LOOK_AND_TAKE)).rows[0]
    present = session.known_present = present_of(row)
    *_, height, body, node = row
    wallets = wallet_set_of(decoded(body, KeySet)) if body else None
    return Provision(Moment(present.utc, present.clock.running), height or 0, wallets), node


# ---------------------------------------------------------------------------------------------------------------------


def _take() -> ReturningUpdate[tuple[str, str]]:
    table = schema.key_sets
    oldest = (
        select(table.c.escrow)
        .where(table.c.status == READY)
        .order_by(table.c.at, table.c.escrow)
        .limit(1)
        .with_for_update(skip_locked=True)
        # PostgreSQL may carry out a mere subquery more than once, and would take more than one.
        .cte("oldest")
    )
    return (
        update(table)
        .where(table.c.escrow.in_(select(oldest.c.escrow)))
        .values(status=TAKEN)
        .returning(table.c.body, table.c.node)
    )


def _look(dialect: str) -> Select[Any]:
    height = select(schema.cursors.c.height).where(schema.cursors.c.lane == COMMON).scalar_subquery()
    return select(*present_columns(dialect), height)


def _look_and_take(dialect: str) -> ClauseElement:
    """Do both with one question, which SQLite cannot."""
    taken, one_row = _take().cte("taken"), select(literal(1).label("one")).subquery()
    columns = _look(dialect).add_columns(taken.c.body, taken.c.node)
    return columns.select_from(one_row.outerjoin(taken, true()))


_LOOK: Final = Prepared(_look)
_TAKE: Final = Prepared(lambda _: _take())
_LOOK_AND_TAKE: Final = Prepared(_look_and_take)
