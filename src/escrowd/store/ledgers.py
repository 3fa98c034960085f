"""What the watcher and the wallets found on chain, in SQL."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, select, update

from escrowd.domain.escrow.assess import Ledger
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.outputs import ReceivedOutput, Spend
from escrowd.domain.payouts.books import paid_out_keys, planned_keys
from escrowd.domain.payouts.records import Attempt, AttemptStep, Payout
from escrowd.store import schema
from escrowd.store.coding import decoded, encoded
from escrowd.store.prepared import Prepared
from escrowd.store.session import Session

#: The cursor that all active addresses share; its height is that of every ledger.
COMMON: Final = "common"
#: The steps in which the transactions of an attempt are the service's own: they are, or may have been, sent.
SIGNED: Final = (AttemptStep.SIGNED, AttemptStep.SUBMITTED)


@dataclass(frozen=True, slots=True)
class OutputRow:
    """An output as it is stored."""

    escrow: str
    txid: str
    key: str
    index: int
    height: int | None
    body: str


class LedgerTable:
    """The ledgers of one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def ledger(self, escrow: EscrowId) -> Ledger:
        """Return everything known of an escrow's money, with the tip that the watcher has reached."""
        height, time = await self._tip()
        payouts = await self._payouts(escrow)
        outputs = await self.outputs(escrow)
        spends, key_images = await self._spends(escrow), dict(await self.key_images(escrow))
        return Ledger(
            chain_height=height,
            chain_time=time,
            outputs=outputs,
            spends=spends,
            our_txids=await self._our_txids(payouts),
            key_images=key_images,
            planned=planned_keys(payouts, outputs, spends),
            paid_out=paid_out_keys(payouts, spends, key_images),
            lost=await self.lost(escrow),
        )

    async def lost(self, escrow: EscrowId) -> tuple[ReceivedOutput, ...]:
        """Return the outputs of an escrow that left blocks and pool, the latest loss last.

        Each is as it was in the last block that held it; where none did, as it was in the pool.
        """
        table = schema.lost_outputs
        query = select(table.c.body).where(table.c.escrow == escrow, table.c.lost_at.is_not(None))
        rows = await self._session.connection.execute(
            query.order_by(table.c.lost_at, table.c.txid, table.c.key, table.c.index)
        )
        return tuple(decoded(each, ReceivedOutput) for each in rows.scalars())

    async def note_lost(self, rows: Iterable[OutputRow]) -> None:
        """Keep outputs that left blocks and pool. One that is found again leaves these by :meth:`put_output`."""
        lost_at = await self._session.now()
        for row in rows:
            values = {"escrow": row.escrow, "txid": row.txid, "key": row.key, "index": row.index, "body": row.body}
            statement = self._session.insert(schema.lost_outputs).values(**values, lost_at=lost_at)
            # Out of the pool, where it had no height: the last block that held it may be known.
            changing = {"lost_at": lost_at} if row.height is None else {"lost_at": lost_at, "body": row.body}
            await self._session.connection.execute(
                statement.on_conflict_do_update(index_elements=["escrow", "txid", "key", "index"], set_=changing)
            )

    async def outputs(self, escrow: EscrowId) -> tuple[ReceivedOutput, ...]:
        """Return the outputs of an escrow, in the order of the chain, the pool last."""
        table = schema.outputs
        query = select(table.c.body).where(table.c.escrow == escrow)
        order = (table.c.height.is_(None), table.c.height, table.c.txid, table.c.index)
        rows = await self._session.connection.execute(query.order_by(*order))
        return tuple(decoded(each, ReceivedOutput) for each in rows.scalars())

    async def note_wallet_outputs(self, escrow: EscrowId, outputs: Sequence[ReceivedOutput]) -> None:
        """Add outputs that only a wallet found. What the watcher knows stays as it is; what a wallet found is renewed.

        A reorganisation is not told to us of such outputs, so each reading of a wallet replaces the one before.
        """
        table = schema.outputs
        mine = table.c.escrow == escrow
        await self._session.connection.execute(delete(table).where(mine, table.c.source == "wallet"))
        rows = await self._session.connection.execute(select(table.c.key).where(mine))
        known = set(rows.scalars())
        for output in outputs:
            if output.key not in known:
                await self.put_output(escrow, output, source="wallet")

    async def put_output(self, escrow: EscrowId, output: ReceivedOutput, source: str = "watcher") -> None:
        """Store an output as it is now, in place of what was known of it, by a wallet too."""
        table = schema.outputs
        copies = (table.c.escrow == escrow, table.c.key == output.key, table.c.source == "wallet")
        await self._session.connection.execute(delete(table).where(*copies))
        values = {
            "escrow": escrow,
            "txid": output.txid,
            "key": output.key,
            "index": output.index,
            "source": source,
            "amount": str(output.amount),
            "height": output.height,
            "body": encoded(output),
        }
        changing = {name: values[name] for name in ("source", "amount", "height", "body")}
        statement = self._session.insert(table).values(**values)
        await self._session.connection.execute(
            statement.on_conflict_do_update(index_elements=["escrow", "txid", "key", "index"], set_=changing)
        )
        await self._note_found(escrow, output)

    async def _note_found(self, escrow: EscrowId, output: ReceivedOutput) -> None:
        """Note that an output is not lost; in the pool, with the last block that held it."""
        table = schema.lost_outputs
        # Not by its place in the transaction, which a wallet does not know.
        same = (table.c.escrow == escrow, table.c.txid == output.txid, table.c.key == output.key)
        change = delete(table) if output.is_mined else update(table).values(lost_at=None)
        await self._session.connection.execute(change.where(*same))

    async def note_key_images(self, escrow: EscrowId, key_images: Sequence[tuple[str, str]]) -> None:
        """Note pairs of one-time key and key image, both hex, and let the watcher look for spends of them."""
        table = schema.key_images
        for key, image in key_images:
            # Another image of the same key gets a number of its own, so that the watcher hears of it.
            changed = (table.c.escrow == escrow, table.c.key == key, table.c.key_image != image)
            await self._session.connection.execute(delete(table).where(*changed))
            statement = self._session.insert(table).values(escrow=escrow, key=key, key_image=image)
            await self._session.connection.execute(statement.on_conflict_do_nothing(index_elements=["escrow", "key"]))

    async def key_images(self, escrow: EscrowId) -> tuple[tuple[str, str], ...]:
        """Return the noted pairs of one-time key and key image."""
        table = schema.key_images
        rows = await self._session.connection.execute(
            select(table.c.key, table.c.key_image).where(table.c.escrow == escrow).order_by(table.c.key)
        )
        return tuple((key, image) for key, image in rows)

    async def _tip(self) -> tuple[int, int]:
        height, time = (await self._session.run(_TIP)).one_or_none() or (0, 0)
        return height, time

    async def _payouts(self, escrow: EscrowId) -> list[Payout]:
        table = schema.payouts
        query = select(table.c.body).where(table.c.escrow == escrow).order_by(table.c.number)
        return [decoded(each, Payout) for each in (await self._session.connection.execute(query)).scalars()]

    async def _our_txids(self, payouts: Sequence[Payout]) -> frozenset[str]:
        table = schema.attempts
        query = select(table.c.body).where(
            table.c.payout.in_([each.id for each in payouts]), table.c.step.in_([str(each) for each in SIGNED])
        )
        attempts = [decoded(each, Attempt) for each in (await self._session.connection.execute(query)).scalars()]
        return frozenset(one.txid for each in attempts for one in each.transactions)

    async def _spends(self, escrow: EscrowId) -> tuple[Spend, ...]:
        table = schema.spends
        query = select(table.c.key_image, table.c.txid, table.c.height).where(table.c.escrow == escrow)
        rows = await self._session.connection.execute(query.order_by(table.c.key_image, table.c.txid))
        return tuple(Spend(*row) for row in rows)


# ---------------------------------------------------------------------------------------------------------------------

_TIP: Final = Prepared(
    lambda _: select(schema.cursors.c.height, schema.cursors.c.time).where(schema.cursors.c.lane == COMMON)
)
