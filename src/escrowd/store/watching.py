"""Where the watcher keeps what it finds: one transaction for each look at the chain. A ``WatchLog`` in SQL."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

from sqlalchemy import ColumnElement, delete, or_, select, update

from escrowd.domain.escrow.status import Status
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.keying import view_key_purpose
from escrowd.domain.outputs import ReceivedOutput, Spend
from escrowd.domain.secret import Secret
from escrowd.domain.watching import (
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
from escrowd.store.coding import decoded, encoded
from escrowd.store.database import Database, Session
from escrowd.store.ledgers import COMMON, LedgerTable
from escrowd.store.work import WorkTable, escrow_key


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
        async with self._database.transaction() as session:
            body = (
                await session.connection.execute(select(schema.cursors.c.body).where(schema.cursors.c.lane == COMMON))
            ).scalar_one_or_none()
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
        return WatchState(None if body is None else decoded(body, Cursor), addresses)

    async def record(self, progress: Progress) -> None:
        """Store what was found, as :class:`Progress` says, and wake the escrows that it concerns."""
        async with self._database.transaction() as session:
            concerned = await _Recording(session).record(progress)
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
            query = select(table.c.number, table.c.escrow, table.c.key_image).where(table.c.number > after)
            rows = (await session.connection.execute(query.order_by(table.c.number))).all()
        last = rows[-1].number if rows else after
        return NotedKeyImages(last, tuple((EscrowId(row.escrow), row.key_image) for row in rows))

    async def outputs(self, escrow: EscrowId) -> tuple[ReceivedOutput, ...]:
        """Return everything that was found for an escrow, in blocks and pool."""
        async with self._database.transaction() as session:
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
        async with self._database.transaction() as session:
            query = select(table.c.id).where(table.c.status.in_([str(each) for each in _AWAITING]))
            return [EscrowId(each) for each in (await session.connection.execute(query)).scalars()]


# ---------------------------------------------------------------------------------------------------------------------

_AWAITING: Final = (Status.AWAITING_FUNDING, Status.CONFIRMING)


class _Recording:
    """Stores one progress, and gathers the escrows that it concerns."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._ledgers = LedgerTable(session)
        self._concerned: set[EscrowId] = set()

    async def record(self, progress: Progress) -> set[EscrowId]:
        if progress.rollback is not None:
            await self._roll_back(progress.rollback)
        watched = await self._watched(progress)
        await self._put(progress.outputs, progress.spends, watched)
        if progress.pool is not None:
            await self._replace_pool(progress.pool, watched)
        for escrow, scanned in progress.scanned.items():
            mine = schema.watched.c.escrow == escrow
            await self._session.connection.execute(update(schema.watched).where(mine).values(scanned=scanned))
        if progress.cursor is not None:
            await self._move(progress.cursor)
        return self._concerned

    async def _roll_back(self, height: int) -> None:
        for table in (schema.outputs, schema.spends):
            gone = await self._session.connection.execute(
                delete(table).where(table.c.height >= height).returning(table.c.escrow)
            )
            self._concerned |= {EscrowId(each) for each in gone.scalars()}
        await self._session.connection.execute(
            update(schema.watched).where(schema.watched.c.scanned > height).values(scanned=height)
        )

    async def _watched(self, progress: Progress) -> set[EscrowId]:
        found: list[FoundOutput | FoundSpend] = [*progress.outputs, *progress.spends]
        if progress.pool is not None:
            found += [*progress.pool.outputs, *progress.pool.spends]
        wanted = {each.escrow for each in found}
        if not wanted:
            return set()
        rows = await self._session.connection.execute(
            select(schema.watched.c.escrow).where(schema.watched.c.escrow.in_(sorted(wanted)))
        )
        return {EscrowId(each) for each in rows.scalars()}

    async def _put(self, outputs: Iterable[FoundOutput], spends: Iterable[FoundSpend], watched: set[EscrowId]) -> None:
        for found in outputs:
            if found.escrow in watched:
                await self._ledgers.put_output(found.escrow, found.output)
                self._concerned.add(found.escrow)
        for spent in spends:
            if spent.escrow in watched:
                await self._put_spend(spent.escrow, spent.spend)
                self._concerned.add(spent.escrow)

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
        """Let the pool be what it is now. Only what has changed concerns anybody."""
        outputs = {(each.escrow, each.output.txid, each.output.index): each for each in pool.outputs}
        spends = {(each.escrow, each.spend.key_image, each.spend.txid): each for each in pool.spends}
        await self._drop_from_pool(set(outputs), set(spends))
        known_outputs = await self._known(schema.outputs, ("escrow", "txid", "index"), outputs)
        known_spends = await self._known(schema.spends, ("escrow", "key_image", "txid"), spends)
        await self._put(
            [each for key, each in outputs.items() if known_outputs.get(key) not in (_MINED, encoded(each.output))],
            [each for key, each in spends.items() if key not in known_spends],
            watched,
        )

    async def _drop_from_pool(self, outputs: set[tuple[Any, ...]], spends: set[tuple[Any, ...]]) -> None:
        for table, columns, kept in (
            (schema.outputs, ("escrow", "txid", "index"), outputs),
            (schema.spends, ("escrow", "key_image", "txid"), spends),
        ):
            named = [table.c[name] for name in columns]
            in_pool = table.c.height.is_(None)
            rows = await self._session.connection.execute(select(*named).where(in_pool))
            for row in [tuple(each) for each in rows if tuple(each) not in kept]:
                mine: list[ColumnElement[bool]] = [column == value for column, value in zip(named, row, strict=True)]
                await self._session.connection.execute(delete(table).where(in_pool, *mine))
                self._concerned.add(EscrowId(row[0]))

    async def _known(
        self,
        table: Any,
        columns: tuple[str, ...],
        wanted: Iterable[tuple[Any, ...]],
    ) -> dict[tuple[Any, ...], str]:
        """Return what is kept of these: ``_MINED``, or the body of what is in the pool."""
        found: dict[tuple[Any, ...], str] = {}
        body = table.c.body if "body" in table.c else table.c.txid
        for key in wanted:
            mine = [table.c[name] == value for name, value in zip(columns, key, strict=True)]
            query = select(table.c.height, body).where(*mine)
            for height, text in await self._session.connection.execute(query):
                found[key] = text if height is None else _MINED
        return found

    async def _move(self, cursor: Cursor) -> None:
        values = {"height": cursor.height, "time": cursor.time, "body": encoded(cursor)}
        before = (
            await self._session.connection.execute(
                select(schema.cursors.c.height).where(schema.cursors.c.lane == COMMON)
            )
        ).scalar_one_or_none()
        statement = self._session.insert(schema.cursors).values(lane=COMMON, **values)
        await self._session.connection.execute(statement.on_conflict_do_update(index_elements=["lane"], set_=values))
        if before != cursor.height:
            await self._tell_who_counts_blocks()

    async def _tell_who_counts_blocks(self) -> None:
        escrows, payouts = schema.escrows, schema.payouts
        returning = select(payouts.c.escrow).where(payouts.c.status == "broadcast")
        query = select(escrows.c.id).where(or_(escrows.c.counts_blocks, escrows.c.id.in_(returning)))
        self._concerned |= {EscrowId(each) for each in (await self._session.connection.execute(query)).scalars()}


_MINED: Final = "mined"
