"""The pool as the watcher knows it: each transaction is looked through once, when it comes.

Most transactions were in the pool before they are in a block, so a new block costs little time.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from escrowd.chain.key_images import KeyImages
from escrowd.chain.ports import FoundOutput, PoolFindings
from escrowd.chain.scan import Filter, Payment, Prepared, scan
from escrowd.chain.source import ChainSource
from escrowd.chain.watched_keys import WatchedKeys
from escrowd.domain.identifiers import EscrowId

log = structlog.get_logger()


@dataclass(slots=True)
class _Entry:
    prepared: Prepared
    is_disputed: bool
    payments: list[Payment]


class Pool:
    """The transactions of the pool, and what they pay to active addresses.

    ``most_pairs`` is how many pairs of a transaction and an address are looked at in one update, about.
    """

    def __init__(self, source: ChainSource, kernel: Filter, most_pairs: int) -> None:
        self._source = source
        self._kernel = kernel
        self._most_pairs = most_pairs
        self._entries: dict[str, _Entry] = {}
        self._looked_for: set[EscrowId] = set()
        #: Transactions that cannot be read. What they pay is found in their block, or watching ends there.
        self._unreadable: frozenset[str] = frozenset()
        #: Whether more is to be done than one update does.
        self.has_more = False
        #: Whether the whole pool was looked through once: before that, what was not found may still be there.
        self.is_known = False

    async def update(self, txids: Collection[str], addresses: Sequence[WatchedKeys]) -> None:
        """Bring it up to date: ``txids`` are all that are in the pool, ``addresses`` all that are active."""
        self._entries = {txid: entry for txid, entry in self._entries.items() if txid in txids}
        self._looked_for &= {each.escrow for each in addresses}
        self._unreadable &= frozenset(txids)
        has_more = await self._look_for_new(addresses)
        looked_for = [each for each in addresses if each.escrow in self._looked_for]
        new = [each for each in txids if each not in self._entries and each not in self._unreadable]
        has_more |= await self._take_in(new, looked_for)
        await self._ask_again_about_payments()
        self.has_more = has_more
        self.is_known |= not has_more

    def findings(self, key_images: KeyImages) -> PoolFindings:
        """Return everything in the pool that concerns escrows, in a fixed order."""
        entries = [self._entries[txid] for txid in sorted(self._entries)]
        outputs = [
            FoundOutput(payment.keys.escrow, replace(output, double_spend_seen=entry.is_disputed))
            for entry in entries
            for payment in entry.payments
            if payment.keys.escrow in self._looked_for
            for output in payment.outputs
        ]
        spends = [spend for entry in entries for spend in key_images.spends_of(entry.prepared.transaction, None)]
        return PoolFindings(tuple(outputs), tuple(spends))

    @property
    def unreadable(self) -> int:
        """How many transactions of the pool cannot be read."""
        return len(self._unreadable)

    def was_looked_through(self, txid: str) -> bool:
        """Whether a transaction is here."""
        return txid in self._entries

    def is_looked_for(self, escrow: EscrowId) -> bool:
        """Whether everything here was looked through for this escrow."""
        return escrow in self._looked_for

    def payments_of(self, txid: str) -> Sequence[Payment]:
        """Return what a transaction that is here pays to the escrows that are looked for."""
        return [each for each in self._entries[txid].payments if each.keys.escrow in self._looked_for]

    # ------------------------------------------------------------------------------------------------------------------

    async def _look_for_new(self, addresses: Sequence[WatchedKeys]) -> bool:
        """Look through what is here for addresses that are new; return whether some of these are left."""
        new = [each for each in addresses if each.escrow not in self._looked_for]
        now = new[: max(1, self._most_pairs // max(1, len(self._entries)))]
        if now and self._entries:
            await self._look_through(list(self._entries.values()), now)
        self._looked_for |= {each.escrow for each in now}
        return len(now) < len(new)

    async def _take_in(self, txids: Sequence[str], addresses: Sequence[WatchedKeys]) -> bool:
        """Look through what is new in the pool; return whether some of it is left."""
        now = txids[: max(1, self._most_pairs // max(1, len(addresses)))]
        if now:
            part = await self._source.pool_transactions(now)
            self._note_unreadable(part.unreadable)
            found = part.transactions
            prepared = await asyncio.to_thread(lambda: [Prepared.of(each.transaction) for each in found])
            new = [_Entry(each, its.is_disputed, []) for each, its in zip(prepared, found, strict=True)]
            await self._look_through(new, addresses)
            self._entries |= {each.prepared.transaction.txid: each for each in new}
        return len(now) < len(txids)

    def _note_unreadable(self, found: Mapping[str, str]) -> None:
        for txid, why in found.items():
            log.warning("chain.pool_transaction_unreadable", txid=txid, error=why)
        self._unreadable |= found.keys()

    async def _look_through(self, entries: Sequence[_Entry], addresses: Sequence[WatchedKeys]) -> None:
        by_txid = {each.prepared.transaction.txid: each for each in entries}
        transactions = [each.prepared for each in entries]
        for payment in await asyncio.to_thread(lambda: list(scan(transactions, addresses, self._kernel))):
            entry = by_txid[payment.transaction.txid]
            kept = [each for each in entry.payments if each.keys.escrow != payment.keys.escrow]
            entry.payments = [*kept, payment]

    async def _ask_again_about_payments(self) -> None:
        """Learn of double spends that came later, for the few transactions where it matters."""
        paying = [txid for txid, entry in self._entries.items() if entry.payments]
        for each in (await self._source.pool_transactions(paying)).transactions:
            self._entries[each.transaction.txid].is_disputed = each.is_disputed
