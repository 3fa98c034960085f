"""What the watcher and the wallets found on chain, in SQL."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import delete, select

from escrowd.domain.escrow.assess import Account, Ledger
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.outputs import ReceivedOutput, Spend
from escrowd.domain.payouts.records import Attempt, AttemptStep, Payout, PayoutKind, PayoutStatus
from escrowd.store import schema
from escrowd.store.coding import decoded, encoded
from escrowd.store.database import Session

#: The cursor that all active addresses share; its height is that of every ledger.
COMMON: Final = "common"


class LedgerTable:
    """The ledgers of one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def ledger(self, escrow: EscrowId) -> Ledger:
        """Return everything known of an escrow's money, with the tip that the watcher has reached."""
        return (await self.accounts([escrow]))[escrow].ledger

    async def accounts(self, escrows: Sequence[EscrowId]) -> dict[EscrowId, Account]:
        """Return the ledgers of escrows with their payouts, in a few questions, however many they are."""
        height, time = await self._tip()
        payouts = await self._payouts(escrows)
        outputs = await self._outputs(escrows)
        spends = await self._spends(escrows)
        signed = await self._signed_txids(payouts)
        return {
            escrow: Account(
                Ledger(
                    chain_height=height,
                    chain_time=time,
                    outputs=tuple(outputs[escrow]),
                    spends=tuple(spends[escrow]),
                    our_txids=frozenset(txid for each in payouts[escrow] for txid in signed[each.id]),
                    paid_out=_paid_out(payouts[escrow]),
                ),
                tuple(payouts[escrow]),
            )
            for escrow in escrows
        }

    async def outputs(self, escrow: EscrowId) -> tuple[ReceivedOutput, ...]:
        """Return the outputs of an escrow, in the order of the chain, the pool last."""
        return tuple((await self._outputs([escrow]))[escrow])

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
        table = schema.cursors
        rows = await self._session.connection.execute(
            select(table.c.height, table.c.time).where(table.c.lane == COMMON)
        )
        found = rows.one_or_none()
        return (0, 0) if found is None else (found.height, found.time)

    async def _outputs(self, escrows: Sequence[EscrowId]) -> defaultdict[str, list[ReceivedOutput]]:
        table = schema.outputs
        order = (table.c.height.is_(None), table.c.height, table.c.txid, table.c.index)
        query = select(table.c.escrow, table.c.body).where(table.c.escrow.in_(escrows)).order_by(*order)
        found = defaultdict[str, list[ReceivedOutput]](list)
        for escrow, body in await self._session.connection.execute(query):
            found[escrow].append(decoded(body, ReceivedOutput))
        return found

    async def _payouts(self, escrows: Sequence[EscrowId]) -> defaultdict[str, list[Payout]]:
        table = schema.payouts
        query = select(table.c.escrow, table.c.body).where(table.c.escrow.in_(escrows)).order_by(table.c.number)
        found = defaultdict[str, list[Payout]](list)
        for escrow, body in await self._session.connection.execute(query):
            found[escrow].append(decoded(body, Payout))
        return found

    async def _signed_txids(self, payouts: Mapping[str, Sequence[Payout]]) -> defaultdict[str, list[str]]:
        """Return the ids of the transactions that were signed for each payout."""
        table = schema.attempts
        ids = [each.id for several in payouts.values() for each in several]
        found = defaultdict[str, list[str]](list)
        if ids:
            query = select(table.c.payout, table.c.body).where(
                table.c.payout.in_(ids), table.c.step.in_([str(each) for each in _SIGNED])
            )
            for payout, body in await self._session.connection.execute(query):
                found[payout].extend(one.txid for one in decoded(body, Attempt).transactions)
        return found

    async def _spends(self, escrows: Sequence[EscrowId]) -> defaultdict[str, list[Spend]]:
        table = schema.spends
        query = select(table.c.escrow, table.c.key_image, table.c.txid, table.c.height).where(
            table.c.escrow.in_(escrows)
        )
        found = defaultdict[str, list[Spend]](list)
        for escrow, *spend in await self._session.connection.execute(query.order_by(table.c.key_image, table.c.txid)):
            found[escrow].append(Spend(*spend))
        return found


# ---------------------------------------------------------------------------------------------------------------------

_SIGNED: Final = (AttemptStep.SIGNED, AttemptStep.SUBMITTED)
_STANDING: Final = frozenset(PayoutStatus) - {PayoutStatus.ABANDONED}


def _paid_out(payouts: Sequence[Payout]) -> frozenset[str]:
    ordered = [each for each in payouts if each.kind is not PayoutKind.RETURN and each.status in _STANDING]
    return frozenset(ordered[-1].output_keys) if ordered else frozenset()
