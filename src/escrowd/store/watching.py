"""Where the watcher keeps what it finds: one transaction for each look at the chain. A ``WatchLog`` in SQL."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import ColumnElement, Select, Table, delete, exists, or_, select, text, update

from escrowd.domain.escrow.status import Status
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.keying import view_key_purpose
from escrowd.domain.outputs import ReceivedOutput, Spend
from escrowd.domain.secret import Secret
from escrowd.domain.watching import (
    ChainDecisions,
    Cursor,
    FoundOutput,
    FoundSpend,
    Lane,
    NotedKeyImages,
    PoolFindings,
    Progress,
    WatchedAddress,
    WatchState,
)
from escrowd.store import schema
from escrowd.store.chain_decisions import ChainTable
from escrowd.store.coding import encoded
from escrowd.store.database import Database
from escrowd.store.ledgers import COMMON, LedgerTable, OutputRow
from escrowd.store.session import Session
from escrowd.store.work import WorkTable, escrow_key

ValueT = TypeVar("ValueT")


class Sealer(Protocol):
    """Seals what nobody may read who has only the database."""

    def seal(self, secret: Secret, purpose: str) -> str:
        """Seal a secret for one purpose."""
        ...

    def unseal(self, sealed: str, purpose: str) -> Secret:
        """Return the secret that was sealed for this purpose."""
        ...


class SqlWatchLog:
    """The work of the watcher in the database. View keys are sealed in it."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def load(self) -> WatchState:
        """Return what is kept."""
        async with self._database.reading() as session:
            cursor = await ChainTable(session).cursor()
            rows = (await session.connection.execute(select(schema.watched))).all()
        addresses = tuple(
            WatchedAddress(
                EscrowId(row.escrow),
                row.address,
                self._sealer.unseal(row.sealed_view_key, view_key_purpose(EscrowId(row.escrow))),
                row.from_height,
                Lane(row.lane),
                row.scanned,
            )
            for row in rows
        )
        return WatchState(cursor, addresses)

    async def record(self, progress: Progress) -> None:
        """Store what was found, as :class:`Progress` says, and wake the escrows that it concerns."""
        async with self._database.transaction() as session:
            concerned = await _Recording(session, progress).record()
            work = WorkTable(session)
            for escrow in sorted(concerned):
                await work.wake(escrow_key(escrow))

    async def keep(self, address: WatchedAddress) -> None:
        """Keep an address with its lane and its own cursor, in place of what was kept for this escrow."""
        values = {
            "address": address.address,
            "sealed_view_key": self._sealer.seal(address.view_key, view_key_purpose(address.escrow)),
            "from_height": address.from_height,
            "lane": str(address.lane),
            "scanned": address.scanned,
        }
        async with self._database.transaction() as session:
            statement = session.insert(schema.watched).values(escrow=address.escrow, **values)
            await session.connection.execute(statement.on_conflict_do_update(index_elements=["escrow"], set_=values))

    async def forget(self, escrow: EscrowId) -> None:
        """Watch the address of an escrow no more. What was found stays."""
        async with self._database.transaction() as session:
            await session.connection.execute(delete(schema.watched).where(schema.watched.c.escrow == escrow))

    async def key_images(self, after: int = 0) -> NotedKeyImages:
        """Return the key images that were noted later than ``after``: 0, or ``last`` of an earlier answer."""
        table = schema.key_images
        async with self._database.transaction() as session:
            if session.dialect == "postgresql":
                # Numbers are given before they are committed: until each that was given is there or will never be, a
                # lower one could still come after a higher one was read.
                await session.connection.execute(text("LOCK TABLE key_images IN SHARE MODE"))
            query = select(table.c.number, table.c.escrow, table.c.key_image, _IS_SPENT).where(table.c.number > after)
            rows = (await session.connection.execute(query.order_by(table.c.number))).all()
        return NotedKeyImages(
            rows[-1].number if rows else after,
            tuple((EscrowId(row.escrow), row.key_image) for row in rows),
            frozenset(row.key_image for row in rows if row.is_spent),
        )

    async def decisions(self) -> ChainDecisions:
        """Return what operators decided about the chain."""
        async with self._database.reading() as session:
            return await ChainTable(session).decisions()

    async def outputs(self, escrow: EscrowId) -> tuple[ReceivedOutput, ...]:
        """Return everything that was found for an escrow, in blocks and pool."""
        async with self._database.reading() as session:
            return await LedgerTable(session).outputs(escrow)

    async def note_wallet_outputs(self, escrow: EscrowId, outputs: Sequence[ReceivedOutput]) -> None:
        """Add outputs that a wallet found, and wake the escrow if one is new. Known keys stay as they are."""
        async with self._database.transaction() as session:
            ledgers = LedgerTable(session)
            before = {each.key for each in await ledgers.outputs(escrow)}
            await ledgers.note_wallet_outputs(escrow, outputs)
            if {each.key for each in outputs} - before:
                await WorkTable(session).wake(escrow_key(escrow))

    async def awaiting(self) -> Sequence[EscrowId]:
        """Return the escrows whose deposit is not there yet."""
        table = schema.escrows
        async with self._database.reading() as session:
            query = select(table.c.id).where(table.c.status.in_([str(each) for each in _AWAITING]))
            return [EscrowId(each) for each in (await session.connection.execute(query)).scalars()]


# ---------------------------------------------------------------------------------------------------------------------

_AWAITING: Final = (Status.AWAITING_FUNDING, Status.CONFIRMING)
#: Whether a block spends a noted key image.
_IS_SPENT: Final = (
    exists()
    .where(
        schema.spends.c.escrow == schema.key_images.c.escrow,
        schema.spends.c.key_image == schema.key_images.c.key_image,
        schema.spends.c.height.is_not(None),
    )
    .label("is_spent")
)
#: Escrows whose payments in the pool are scanned. That of an archived address leaves the findings and not the pool.
_SCANNED_IN_POOL: Final = select(schema.watched.c.escrow).where(schema.watched.c.lane == str(Lane.ACTIVE))


class _Recording:
    """Stores one progress, and finds out whom it concerns: for whom something is not as it was before."""

    def __init__(self, session: Session, progress: Progress) -> None:
        self._session = session
        self._progress = progress
        self._ledgers = LedgerTable(session)

    async def record(self) -> set[EscrowId]:
        progress = self._progress
        before = await self._kept()
        if progress.rollback is not None:
            await self._roll_back(progress.rollback)
        watched = await self._watched()
        await self._put(progress.outputs, progress.spends, watched)
        if progress.pool is not None:
            await self._replace_pool(progress.pool, watched)
        await self._put_scanned(progress.scanned)
        concerned = {EscrowId(each[0]) for each in before ^ await self._kept()}
        if progress.cursor is not None and await self._move(progress.cursor):
            concerned |= await self._who_counts_blocks()
        return concerned

    async def _kept(self) -> set[tuple[Any, ...]]:
        """Return all that is kept and that this progress can change, as rows that begin with the escrow."""
        outputs, spends = schema.outputs, schema.spends
        rows = await self._rows(select(outputs.c.escrow, outputs.c.txid, outputs.c.body), outputs)
        return rows | await self._rows(
            select(spends.c.escrow, spends.c.txid, spends.c.key_image, spends.c.height), spends
        )

    async def _rows(self, query: Select[Any], table: Table) -> set[tuple[Any, ...]]:
        found: set[tuple[Any, ...]] = set()
        if self._progress.rollback is not None:
            found |= await self._all(query.where(table.c.height >= self._progress.rollback))
        if self._progress.pool is not None:
            found |= await self._all(query.where(table.c.height.is_(None)))
        for some in _in_parts(sorted(self._named_txids())):
            found |= await self._all(query.where(table.c.txid.in_(some)))
        return found

    async def _all(self, query: Select[Any]) -> set[tuple[Any, ...]]:
        return {tuple(row) for row in await self._session.connection.execute(query)}

    def _findings(self) -> Iterator[FoundOutput | FoundSpend]:
        pool = self._progress.pool or PoolFindings()
        yield from self._progress.outputs
        yield from self._progress.spends
        yield from pool.outputs
        yield from pool.spends

    def _named_txids(self) -> set[str]:
        return {each.output.txid if isinstance(each, FoundOutput) else each.spend.txid for each in self._findings()}

    async def _watched(self) -> set[EscrowId]:
        found: set[EscrowId] = set()
        for some in _in_parts(sorted({each.escrow for each in self._findings()})):
            query = select(schema.watched.c.escrow).where(schema.watched.c.escrow.in_(some))
            found |= {EscrowId(each) for each in (await self._session.connection.execute(query)).scalars()}
        return found

    async def _roll_back(self, height: int) -> None:
        outputs, spends = schema.outputs, schema.spends
        gone = await self._output_rows(outputs.c.height >= height)
        for table in (outputs, spends):
            await self._session.connection.execute(delete(table).where(table.c.height >= height))
        await self._ledgers.note_lost(gone)
        await self._session.connection.execute(
            update(schema.watched).where(schema.watched.c.scanned > height).values(scanned=height)
        )

    async def _put_scanned(self, scanned: Mapping[EscrowId, int | None]) -> None:
        """Keep how far each address was scanned: mostly all of them equally far, so one statement does for many."""
        watched = schema.watched
        for height in set(scanned.values()):
            for some in _in_parts([escrow for escrow, own in scanned.items() if own == height]):
                statement = update(watched).where(watched.c.escrow.in_(some)).values(scanned=height)
                await self._session.connection.execute(statement)

    async def _put(self, outputs: Iterable[FoundOutput], spends: Iterable[FoundSpend], watched: set[EscrowId]) -> None:
        for found in outputs:
            if found.escrow in watched:
                await self._ledgers.put_output(found.escrow, found.output)
        for spent in spends:
            if spent.escrow in watched:
                await self._put_spend(spent.escrow, spent.spend)

    async def _put_spend(self, escrow: EscrowId, spend: Spend) -> None:
        statement = self._session.insert(schema.spends).values(
            escrow=escrow, key_image=spend.key_image, txid=spend.txid, height=spend.height
        )
        await self._session.connection.execute(
            statement.on_conflict_do_update(
                index_elements=["escrow", "key_image", "txid"], set_={"height": spend.height}
            )
        )

    async def _replace_pool(self, pool: PoolFindings, watched: set[EscrowId]) -> None:
        """Let the pool be what it is now. What is in a block stays as it is."""
        outputs, spends = schema.outputs, schema.spends
        before = await self._output_rows(outputs.c.height.is_(None), outputs.c.escrow.in_(_SCANNED_IN_POOL))
        for table in (outputs, spends):
            await self._session.connection.execute(delete(table).where(table.c.height.is_(None)))
        mined_outputs = await self._mined(select(outputs.c.escrow, outputs.c.txid, outputs.c.index), outputs)
        mined_spends = await self._mined(select(spends.c.escrow, spends.c.key_image, spends.c.txid), spends)
        await self._put(
            [each for each in pool.outputs if (each.escrow, each.output.txid, each.output.index) not in mined_outputs],
            [each for each in pool.spends if (each.escrow, each.spend.key_image, each.spend.txid) not in mined_spends],
            watched,
        )
        still = {(each.escrow, each.output.txid, each.output.key) for each in pool.outputs}
        await self._ledgers.note_lost(each for each in before if (each.escrow, each.txid, each.key) not in still)

    async def _output_rows(self, *which: ColumnElement[bool]) -> list[OutputRow]:
        """Return rows of outputs."""
        table = schema.outputs
        columns = table.c.escrow, table.c.txid, table.c.key, table.c.index, table.c.height, table.c.body
        return [OutputRow(*row) for row in await self._session.connection.execute(select(*columns).where(*which))]

    async def _mined(self, query: Select[Any], table: Table) -> set[tuple[Any, ...]]:
        found: set[tuple[Any, ...]] = set()
        for some in _in_parts(sorted(self._named_txids())):
            found |= await self._all(query.where(table.c.txid.in_(some)))
        return found

    async def _move(self, cursor: Cursor) -> bool:
        """Keep the cursor, and return whether it came to another height."""
        table = schema.cursors
        values = {"height": cursor.height, "time": cursor.time, "body": encoded(cursor)}
        query = select(table.c.height).where(table.c.lane == COMMON)
        before = (await self._session.connection.execute(query)).scalar_one_or_none()
        statement = self._session.insert(table).values(lane=COMMON, **values)
        await self._session.connection.execute(statement.on_conflict_do_update(index_elements=["lane"], set_=values))
        return before != cursor.height

    async def _who_counts_blocks(self) -> set[EscrowId]:
        escrows, payouts = schema.escrows, schema.payouts
        paying = select(payouts.c.escrow).where(payouts.c.status == "broadcast")
        query = select(escrows.c.id).where(or_(escrows.c.counts_blocks, escrows.c.id.in_(paying)))
        return {EscrowId(each) for each in (await self._session.connection.execute(query)).scalars()}


#: So many values are compared with a column at once: SQLite has a limit.
_MOST_AT_ONCE: Final = 500


def _in_parts(values: Sequence[ValueT]) -> Iterator[Sequence[ValueT]]:
    for start in range(0, len(values), _MOST_AT_ONCE):
        yield values[start : start + _MOST_AT_ONCE]
