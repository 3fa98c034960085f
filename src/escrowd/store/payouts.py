"""Payouts and the attempts at them, in SQL. That only one is under way is held by the indexes, not by this code."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from escrowd.domain.conflicts import PayoutAlreadyOpen
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.payouts.records import Attempt, Payout
from escrowd.store import schema
from escrowd.store.coding import decoded, encoded
from escrowd.store.session import Session


class PayoutTable:
    """Payouts and attempts of one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def add(self, payout: Payout, order_version: int) -> None:
        """Store a new payout.

        Raises:
            PayoutAlreadyOpen: one is open for this escrow, or there is one for this order.

        """
        number = len(await self.all_of(payout.escrow)) + 1
        values = _payout_columns(payout) | {"escrow": payout.escrow, "order_version": order_version, "number": number}
        async with _one_payout(self._session, payout.escrow):
            await self._session.connection.execute(insert(schema.payouts).values(id=payout.id, **values))

    async def of_order(self, escrow: EscrowId, order_version: int) -> Payout | None:
        """Return the payout that carries out the order of this version, if it was planned already."""
        table = schema.payouts
        query = select(table.c.body).where(table.c.escrow == escrow, table.c.order_version == order_version)
        body = (await self._session.connection.execute(query)).scalar_one_or_none()
        return None if body is None else decoded(body, Payout)

    async def all_of(self, escrow: EscrowId) -> tuple[Payout, ...]:
        """Return all payouts of an escrow, oldest first."""
        table = schema.payouts
        query = select(table.c.body).where(table.c.escrow == escrow).order_by(table.c.number)
        return tuple(decoded(each, Payout) for each in (await self._session.connection.execute(query)).scalars())

    async def save(self, payout: Payout) -> None:
        """Store a payout anew.

        Raises:
            PayoutAlreadyOpen: it would be a second one under way.

        """
        async with _one_payout(self._session, payout.escrow):
            await self._session.connection.execute(
                update(schema.payouts).where(schema.payouts.c.id == payout.id).values(**_payout_columns(payout))
            )

    async def attempts(self, payout: str) -> tuple[Attempt, ...]:
        """Return all attempts at a payout, oldest first."""
        table = schema.attempts
        query = select(table.c.body).where(table.c.payout == payout).order_by(table.c.number)
        return tuple(decoded(each, Attempt) for each in (await self._session.connection.execute(query)).scalars())

    async def save_attempt(self, attempt: Attempt) -> None:
        """Store a new attempt, or the next step of a known one.

        Raises:
            PayoutAlreadyOpen: another attempt at this payout is not given up.

        """
        statement = self._session.insert(schema.attempts).values(
            payout=attempt.payout, number=attempt.number, step=str(attempt.step), body=encoded(attempt)
        )
        changing = {"step": str(attempt.step), "body": encoded(attempt)}
        async with _one_payout(self._session, attempt.payout):
            await self._session.connection.execute(
                statement.on_conflict_do_update(index_elements=["payout", "number"], set_=changing)
            )

    async def keep_raw(self, txid: str, raw: str) -> None:
        """Keep the bytes of a signed transaction, hex, so that it can be sent again without a wallet."""
        statement = self._session.insert(schema.raw_transactions).values(txid=txid, raw=raw)
        await self._session.connection.execute(statement.on_conflict_do_nothing(index_elements=["txid"]))

    async def raw(self, txid: str) -> str | None:
        """Return the kept bytes of a transaction, hex."""
        table = schema.raw_transactions
        found = await self._session.connection.execute(select(table.c.raw).where(table.c.txid == txid))
        return found.scalar_one_or_none()


# ---------------------------------------------------------------------------------------------------------------------


def _payout_columns(payout: Payout) -> dict[str, Any]:
    return {"kind": str(payout.kind), "status": str(payout.status), "body": encoded(payout)}


@asynccontextmanager
async def _one_payout(session: Session, whose: str) -> AsyncIterator[None]:
    try:
        # A savepoint: PostgreSQL carries out nothing more in a transaction in which a statement was refused.
        # What was put off before is no part of what may be taken back here.
        await session.catch_up()
        async with session.connection.begin_nested():
            yield
    except IntegrityError as error:
        raise PayoutAlreadyOpen(f"a payout of {whose} is under way, or was made for this order") from error
