"""The watcher of the simulation keeps lost outputs as the one of the service does (W12)."""

from dataclasses import replace

from escrowd.domain.escrow.machine import create
from escrowd.domain.escrow.status import Who
from escrowd.domain.outputs import ReceivedOutput
from escrowd.testing.simulation.chain import SimulatedChain
from escrowd.testing.simulation.memory import Memory
from escrowd.testing.simulation.tables import Lane
from escrowd.testing.simulation.transactions import SimulatedOutput, SimulatedTransaction
from escrowd.testing.simulation.watcher import SimulatedWatcher
from tests.simulation.test_memory_store import ESCROW, FIRST, Time, run


class Watched:
    """An escrow to which one payment was sent."""

    def __init__(self) -> None:
        self.memory = Memory(Time())
        self.chain = SimulatedChain(lambda: 1_000)
        self.watcher = SimulatedWatcher(self.memory, self.chain)
        self.memory.tables.escrows[ESCROW] = create(ESCROW, FIRST.after.terms, Who.INTEGRATOR, FIRST.moment).after
        self.memory.tables.lanes[ESCROW] = Lane.ACTIVE
        output = SimulatedOutput(self.chain.unique("key"), ESCROW, "4address", 10**12)
        self.transaction = SimulatedTransaction(
            self.chain.unique("transaction"), (self.chain.unique("image"),), (output,), fee=1
        )
        assert self.chain.send(self.transaction) is None

    def look(self) -> tuple[tuple[ReceivedOutput, ...], tuple[ReceivedOutput, ...]]:
        """Return what the ledger shows after a look, and what it has lost."""
        self.watcher.look()
        found: list[tuple[tuple[ReceivedOutput, ...], tuple[ReceivedOutput, ...]]] = []

        async def read() -> None:
            ledger = await self.memory.ledgers.ledger(ESCROW)
            found.append((ledger.outputs, ledger.lost))

        run(read())
        return found[0]


def test_simulated_output_is_lost_with_its_last_block_until_it_is_mined_again() -> None:
    """Out of the block and the pool at once, or one after the other: the last block that held it is known."""
    for at_once in (True, False):
        watched = Watched()
        watched.chain.mine(1)
        (deposit,), lost = watched.look()
        assert (deposit.height, deposit.sources, lost) == (watched.chain.height - 1, watched.transaction.key_images, ())
        watched.chain.reorganise(1, {deposit.txid} if at_once else ())
        if not at_once:
            (pooled,), lost = watched.look()
            assert (pooled, lost) == (replace(deposit, height=None, global_index=None), ())
            watched.chain.forget(deposit.txid)
        assert watched.look() == ((), (deposit,))
        watched.chain.send(watched.transaction)
        watched.chain.mine(1)
        (back,), lost = watched.look()
        assert (back.txid, back.height, lost) == (deposit.txid, watched.chain.height - 1, ())
