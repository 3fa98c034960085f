"""What operators decided about the chain, in SQL, and the cursor that it is about."""

from typing import Final

from sqlalchemy import select

from escrowd.domain.watching import AcceptedChain, BlockId, ChainDecisions, Cursor
from escrowd.store import schema
from escrowd.store.coding import decoded
from escrowd.store.ledgers import COMMON
from escrowd.store.session import Session


class ChainTable:
    """The decisions and the cursor of one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def cursor(self) -> Cursor | None:
        """Return how far the watcher came, and on which chain; ``None`` before its first look."""
        query = select(schema.cursors.c.body).where(schema.cursors.c.lane == COMMON)
        body = (await self._session.connection.execute(query)).scalar_one_or_none()
        return None if body is None else decoded(body, Cursor)

    async def decisions(self) -> ChainDecisions:
        """Return what was decided so far."""
        table = schema.chain_decisions
        rows = (await self._session.connection.execute(select(table).order_by(table.c.at, table.c.hash))).all()
        return ChainDecisions(
            tuple(AcceptedChain(BlockId(row.height, row.hash), row.instead_of) for row in rows if row.kind == _ACCEPT),
            frozenset(row.hash for row in rows if row.kind == _PASS_OVER),
        )

    async def accept(self, accepted: AcceptedChain) -> None:
        """Let the watcher follow another chain. Doing it again changes nothing."""
        await self._decide(_ACCEPT, accepted.block.hash, accepted.block.height, accepted.instead_of)

    async def pass_over(self, txid: str, height: int) -> None:
        """Let the watcher pass over a transaction of this block. Doing it again changes nothing."""
        await self._decide(_PASS_OVER, txid, height, "")

    async def _decide(self, kind: str, hash_: str, height: int, instead_of: str) -> None:
        values = {"kind": kind, "hash": hash_, "height": height, "instead_of": instead_of}
        statement = self._session.insert(schema.chain_decisions).values(at=await self._session.now(), **values)
        await self._session.connection.execute(statement.on_conflict_do_nothing())


# ---------------------------------------------------------------------------------------------------------------------

_ACCEPT: Final = "accept"
_PASS_OVER: Final = "pass_over"  # noqa: S105 - no secret
