"""A chain with a pool: it holds each key image once, and its last blocks may be replaced by others."""

from collections.abc import Callable, Collection, Iterable, Iterator
from enum import StrEnum
from typing import Final

from escrowd.testing.simulation.transactions import (
    MinedOutput,
    SimulatedBlock,
    SimulatedOutput,
    SimulatedTransaction,
    digest,
)

#: The length of the chain when a world begins. Nothing happens below it.
FIRST_HEIGHT: Final = 100


class Refusal(StrEnum):
    """Why the pool does not take a transaction."""

    #: Another transaction of pool or chain spends the same.
    DOUBLE_SPEND = "double_spend"
    #: What it spends is not in the chain.
    INVALID_INPUT = "invalid_input"


class SimulatedChain:
    """Blocks and pool, as the one daemon of the world knows them.

    Every transaction that was ever sent stays in ``known``, so that a test can ask what became of it. ``now`` is asked
    for the time in seconds since 1970.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self.known: dict[str, SimulatedTransaction] = {}
        #: Signed transactions whose bytes a wallet has handed over, whether they were sent or not.
        self.submitted: dict[str, SimulatedTransaction] = {}
        self.blocks: list[SimulatedBlock] = list(_BEGINNING)
        #: Ids, in the order of their coming.
        self.pool: dict[str, None] = {}
        #: Transactions that the pool takes no more, since it does not know what their rings name.
        self.unwelcome: set[str] = set()
        #: Pool transactions of which a rival was seen.
        self.disputed: set[str] = set()
        self.height_of: dict[str, int] = {}
        self.spent_by: dict[str, str] = {}
        #: All that was ever sent to a wallet, by the wallet's name; what of it is mined is asked of :meth:`mined_of`.
        self._sent_to: dict[str, list[tuple[SimulatedTransaction, int]]] = {}
        #: The first global index of the outputs of each transaction.
        self._first_index: dict[str, int] = {}
        self._outputs = 0
        self._made = 0
        self._mined = 0
        #: Counts changes, so that a reader knows whether there is anything new.
        self.changes = 0

    @property
    def height(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @property
    def tip(self) -> SimulatedBlock:
        """The last block."""
        return self.blocks[-1]

    # --- transactions -------------------------------------------------------------------------------------------------

    def unique(self, what: str) -> str:
        """Return 32 bytes, hex, that nothing else in this world has."""
        self._made += 1
        return digest(what, self._made)

    def send(self, transaction: SimulatedTransaction) -> Refusal | None:
        """Take a transaction into the pool, or say why not.

        One that is in pool or chain already is taken again, without any effect.
        """
        self._remember(transaction)
        if transaction.txid in self.height_of or transaction.txid in self.pool:
            return None
        rival = self.rival_of(transaction)
        if rival is not None:
            if rival in self.pool:
                self.disputed.add(rival)
            return Refusal.DOUBLE_SPEND
        if transaction.txid in self.unwelcome or not self._is_valid(transaction):
            return Refusal.INVALID_INPUT
        self.pool[transaction.txid] = None
        self.changes += 1
        return None

    def rival_of(self, transaction: SimulatedTransaction) -> str | None:
        """Return the id of another transaction of pool or chain that spends one of the same outputs."""
        for key_image in transaction.key_images:
            spender = self.spender_of(key_image)
            if spender is not None and spender != transaction.txid:
                return spender
        return None

    def spender_of(self, key_image: str) -> str | None:
        """Return the id of the transaction of pool or chain that spends this."""
        if key_image in self.spent_by:
            return self.spent_by[key_image]
        return next((txid for txid in self.pool if key_image in self.known[txid].key_images), None)

    def forget(self, txid: str) -> None:
        """Drop a transaction from the pool, as after days without a block that took it."""
        if txid in self.pool:
            del self.pool[txid]
            self.disputed.discard(txid)
            self.changes += 1

    def refuse(self, txid: str) -> None:
        """Drop a transaction from the pool, and take it no more. A block may hold it all the same."""
        self.unwelcome.add(txid)
        self.forget(txid)

    def forget_invalid(self) -> None:
        """Drop what no block can hold any more, as the pool does after days."""
        for txid in [each for each in self.pool if not self._is_valid(self.known[each])]:
            self.forget(txid)

    def can_be_mined(self, txid: str) -> bool:
        """Return whether a later block may hold a transaction that is in none."""
        transaction = self.known[txid]
        rivals = (self.spent_by.get(image, txid) for image in transaction.key_images)
        return self._is_valid(transaction) and all(rival == txid for rival in rivals)

    # --- blocks -------------------------------------------------------------------------------------------------------

    def mine(self, count: int = 1, leave_out: Collection[str] = ()) -> None:
        """Add blocks; the first of them takes all of the pool but what is left out."""
        for _ in range(count):
            self._add_block([txid for txid in self.pool if txid not in leave_out and self._is_valid(self.known[txid])])

    def mine_instead(self, transaction: SimulatedTransaction) -> None:
        """Mine a block of somebody who never saw its rivals of the pool; those are lost."""
        self._remember(transaction)
        for txid in [each for each in self.pool if set(self.known[each].key_images) & set(transaction.key_images)]:
            self.forget(txid)
        self.unwelcome.discard(transaction.txid)
        self._add_block([transaction.txid])

    def reorganise(self, depth: int, drop: Collection[str], blocks: int | None = None) -> None:
        """Replace the last blocks by others, one more than they were unless told otherwise.

        Their transactions go back to the pool, but those to drop are lost; none of them is in the new blocks.
        """
        for _ in range(min(depth, self.height - FIRST_HEIGHT)):
            self._pop_block(drop)
        for _ in range(depth + 1 if blocks is None else blocks):
            self._add_block(())

    # --- what is in it ------------------------------------------------------------------------------------------------

    def mined_of(self, wallet: str) -> Iterator[MinedOutput]:
        """Yield the outputs of a wallet that are in the chain, oldest first."""
        mined = [
            (self.height_of[transaction.txid], position, transaction, index)
            for position, (transaction, index) in enumerate(self._sent_to.get(wallet, ()))
            if transaction.txid in self.height_of
        ]
        for height, _, transaction, index in sorted(mined, key=lambda each: each[:2]):
            yield MinedOutput(
                transaction.outputs[index],
                transaction,
                index,
                height,
                self.blocks[height].hash,
                self.index_of(transaction, index),
            )

    def index_of(self, transaction: SimulatedTransaction, index: int) -> int:
        """Return the global index of an output. Here it stays the same in whatever block it is."""
        return self._first_index[transaction.txid] + index

    def indices_of(self, transaction: SimulatedTransaction) -> tuple[int, ...]:
        """Return the global indices of all outputs."""
        first = self._first_index[transaction.txid]
        return tuple(range(first, first + max(2, len(transaction.outputs))))

    def pooled_of(self, wallet: str) -> Iterator[tuple[SimulatedTransaction, int]]:
        """Yield the outputs of a wallet that are in the pool, as transaction and place."""
        return (each for each in self._sent_to.get(wallet, ()) if each[0].txid in self.pool)

    def ever_sent_to(self, wallet: str, leave_out: Collection[str] = ()) -> Iterator[SimulatedOutput]:
        """Yield every output that was ever sent to a wallet, but by these transactions, whatever became of it."""
        sent = self._sent_to.get(wallet, ())
        return (transaction.outputs[index] for transaction, index in sent if transaction.txid not in leave_out)

    def mined(self) -> Iterator[SimulatedTransaction]:
        """Yield every transaction of the chain."""
        return (self.known[txid] for txid in self.height_of)

    # --- private ------------------------------------------------------------------------------------------------------

    def _remember(self, transaction: SimulatedTransaction) -> None:
        if transaction.txid not in self.known:
            self.known[transaction.txid] = transaction
            self._first_index[transaction.txid] = self._outputs
            # A transaction has two outputs at least: change, or an output of nothing.
            self._outputs += max(2, len(transaction.outputs))
            for index, output in enumerate(transaction.outputs):
                self._sent_to.setdefault(output.wallet, []).append((transaction, index))

    def _is_valid(self, transaction: SimulatedTransaction) -> bool:
        """Return whether a block may hold it: what it spends is in the chain, if it was made in this world at all."""
        return all(txid in self.height_of for txid in transaction.sources)

    def _add_block(self, txids: Iterable[str]) -> None:
        chosen = tuple(txids)
        self._mined += 1
        for txid in chosen:
            self.height_of[txid] = self.height
            self.spent_by |= dict.fromkeys(self.known[txid].key_images, txid)
            self.pool.pop(txid, None)
            self.disputed.discard(txid)
        self.blocks.append(SimulatedBlock(digest("mined", self._mined), self._now(), chosen))
        self.changes += 1

    def _pop_block(self, drop: Collection[str]) -> None:
        block = self.blocks.pop()
        for txid in block.txids:
            del self.height_of[txid]
            for key_image in self.known[txid].key_images:
                del self.spent_by[key_image]
            if txid not in drop and not self.known[txid].is_coinbase:
                self.pool[txid] = None
        self.changes += 1


# ---------------------------------------------------------------------------------------------------------------------

_BEGINNING: Final = tuple(SimulatedBlock(digest("block", height), 0, ()) for height in range(FIRST_HEIGHT))
