"""The watcher of the simulated world: writes into the ledger what chain and pool show, and wakes whom it concerns."""

from typing import Final, TypeVar

from escrowd.domain.identifiers import EscrowId
from escrowd.domain.outputs import MAX_SOURCES, ReceivedOutput, Spend
from escrowd.testing.simulation.chain import SimulatedChain
from escrowd.testing.simulation.memory import Memory
from escrowd.testing.simulation.tables import Lane, Tables
from escrowd.testing.simulation.transactions import SimulatedOutput, SimulatedTransaction

#: Accounts, and addresses in each, that it looks for. What goes beyond, only a wallet finds.
ACCOUNTS: Final = 2
INDICES: Final = 5
#: Looks between two at an address that rests.
REST: Final = 4


class SimulatedWatcher:
    """Looks at the chain, all at once. It lags while nobody lets it look.

    An address that rests is looked for in blocks only, and not at every look. As any code it may be wrong: there are
    transactions that it does not see, and outputs that it takes for some.
    """

    def __init__(self, memory: Memory, chain: SimulatedChain) -> None:
        self._memory = memory
        self._chain = chain
        self._looks = 0
        self._seen_changes = -1
        self._seen_blocks: list[str] = []
        #: Outputs as the last block had them, by transaction and one-time key.
        self._last_mined: dict[tuple[str, str], ReceivedOutput] = {}
        #: Ids of transactions that it passes over, and outputs that are not there.
        self.blind_to: set[str] = set()
        self.phantoms: dict[EscrowId, ReceivedOutput] = {}

    def look(self, *, everywhere: bool = False) -> None:
        """Bring the ledger up to date, as one transaction. With ``everywhere`` also what rests."""
        if self._memory.turn.locked():
            raise AssertionError("somebody sleeps inside a transaction")
        self._looks += 1
        everywhere = everywhere or self._looks % REST == 0
        tables = self._memory.tables
        fork = self._fork()
        has_new_tip = fork < self._chain.height or tables.chain[0] != self._chain.height
        tables.chain = (self._chain.height, self._chain.tip.time)
        for escrow, lane in tables.lanes.items():
            changed = self._write(tables, escrow, lane, fork, everywhere=everywhere)
            if changed or (has_new_tip and tables.escrows[escrow].counts_blocks):
                tables.wake(escrow, self._memory.work_now())
        if self.is_behind:
            self._seen_blocks[fork:] = [block.hash for block in self._chain.blocks[fork:]]
        self._seen_changes = self._chain.changes

    @property
    def is_behind(self) -> bool:
        """Whether the chain changed since the last look."""
        return self._seen_changes != self._chain.changes

    def _fork(self) -> int:
        """Return the height of the first block that is not as it was."""
        if not self.is_behind:
            return self._chain.height
        common = min(len(self._seen_blocks), self._chain.height)
        while common and self._seen_blocks[common - 1] != self._chain.blocks[common - 1].hash:
            common -= 1
        return common

    def _write(self, tables: Tables, escrow: EscrowId, lane: Lane, fork: int, *, everywhere: bool) -> bool:
        before = tables.watched.get(escrow, ()), tables.spends.get(escrow, ())
        if lane is Lane.ACTIVE or everywhere:
            is_active = lane is Lane.ACTIVE
            now = self._outputs(escrow, pool=is_active), self._spends(tables, escrow, pool=is_active)
        else:
            # What was replaced is forgotten at once, and what came instead is found at the next look everywhere.
            now = _below(before[0], fork), _below(before[1], fork)
        tables.watched[escrow], tables.spends[escrow] = now
        if now[0] != before[0]:
            self._note_lost(tables, escrow, before[0], now[0], is_pool_scanned=lane is Lane.ACTIVE)
        return now != before

    def _note_lost(
        self,
        tables: Tables,
        escrow: EscrowId,
        before: tuple[ReceivedOutput, ...],
        now: tuple[ReceivedOutput, ...],
        *,
        is_pool_scanned: bool,
    ) -> None:
        """Keep what left blocks and pool, as the last block had it."""
        self._last_mined |= {(each.txid, each.key): each for each in before if each.is_mined}
        there = {(each.txid, each.key) for each in now}
        # What an archived address had in the pool may still be in it.
        gone = {
            (each.txid, each.key): self._last_mined.get((each.txid, each.key), each)
            for each in before
            if each.is_mined or is_pool_scanned
        }
        lost = {(each.txid, each.key): each for each in tables.lost.get(escrow, ())} | gone
        tables.lost[escrow] = tuple(each for place, each in lost.items() if place not in there)

    def _outputs(self, escrow: EscrowId, *, pool: bool) -> tuple[ReceivedOutput, ...]:
        mined = [
            self._output(each.transaction, each.index, each.height, each.global_index)
            for each in self._chain.mined_of(escrow)
        ]
        pooled = [self._output(*each) for each in self._chain.pooled_of(escrow)] if pool else []
        phantoms = [self.phantoms[escrow]] if escrow in self.phantoms else []
        every = (*mined, *pooled, *phantoms)
        return tuple(each for each in every if is_looked_for(each) and each.txid not in self.blind_to)

    def _output(
        self,
        transaction: SimulatedTransaction,
        index: int,
        height: int | None = None,
        global_index: int | None = None,
    ) -> ReceivedOutput:
        output = transaction.outputs[index]
        return ReceivedOutput(
            txid=transaction.txid,
            index=index,
            key=output.key,
            amount=output.amount,
            account=output.account,
            address_index=output.address_index,
            unlock_time=transaction.unlock_time,
            is_coinbase=transaction.is_coinbase,
            payment_id=output.payment_id,
            height=height,
            global_index=global_index,
            double_spend_seen=transaction.txid in self._chain.disputed,
            sources=transaction.key_images[:MAX_SOURCES],
        )

    def _spends(self, tables: Tables, escrow: EscrowId, *, pool: bool) -> tuple[Spend, ...]:
        found = []
        for _, image in tables.key_images.get(escrow, ()):
            txid = self._chain.spender_of(image)
            height = self._chain.height_of.get(txid or "")
            if txid is not None and (pool or height is not None):
                found.append(Spend(image, txid, height))
        return tuple(found)


def is_looked_for(output: ReceivedOutput | SimulatedOutput) -> bool:
    """Return whether the watcher looks for outputs to such an address of a wallet."""
    return output.account < ACCOUNTS and output.address_index < INDICES


# ---------------------------------------------------------------------------------------------------------------------

FoundT = TypeVar("FoundT", ReceivedOutput, Spend)


def _below(found: tuple[FoundT, ...], fork: int) -> tuple[FoundT, ...]:
    return tuple(each for each in found if each.height is not None and each.height < fork)
