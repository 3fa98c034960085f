"""The lock of the log, by which its cursors are given in the order of commits.

A reader who has seen a cursor never misses an earlier one that was committed later, and whoever is to be told of events
is told of all that get a cursor from then on. On SQLite there is one writer anyway.
"""

from typing import Final

from sqlalchemy import func, literal_column, select
from sqlalchemy.sql.functions import Function

from escrowd.store.prepared import Prepared
from escrowd.store.session import Session


def locking() -> Function[None]:
    """Return the call that takes the lock, for a question that does more."""
    return func.pg_advisory_xact_lock(literal_column(str(_NUMBER)))


async def lock_log(session: Session) -> None:
    """Take the lock, until the end of the transaction. What is asked from then on sees what others did under it."""
    if session.dialect == "postgresql":
        await session.once(_LOCK)


def note_locked(session: Session) -> None:
    """Take note that a question of this transaction has taken the lock."""
    session.has_done(_LOCK)


# ---------------------------------------------------------------------------------------------------------------------

#: A number of our own.
_NUMBER: Final = 0x657363726F77
_LOCK: Final = Prepared(lambda _: select(locking()))
