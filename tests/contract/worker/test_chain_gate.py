"""While the chain cannot be trusted, no new signature is made and no deadline runs."""

from escrowd.domain.escrow.effects import Effect
from escrowd.domain.escrow.events import Event
from escrowd.domain.escrow.status import Status
from escrowd.domain.escrow.terms import DAY
from escrowd.service.advance import EscrowAdvance, Task
from escrowd.service.chain_gate import CLOSED_LOOK, GATED
from escrowd.service.worker import WorkClaim
from escrowd.store.database import Database
from escrowd.store.store import SqlStore, SqlWorkQueue
from escrowd.testing.chain_sight import ScriptedSight
from tests.contract.store.samples import escrow_id, life, store_steps

ESCROW = escrow_id(1)


class Office:
    """Carries out effects by noting them, and follows no payout."""

    def __init__(self, database: Database) -> None:
        self.store = SqlStore(database, "node")
        self.queue = SqlWorkQueue(database, "node")
        self.sight = ScriptedSight(is_in_sync=False, why_not_in_sync="wrong_chain")
        self.done: list[Effect] = []
        #: How often what is signed was to be sent.
        self.sent = 0

    async def follow(self, *_: object) -> tuple[Event, ...]:
        return ()

    async def send_signed(self, *_: object) -> None:
        self.sent += 1

    async def note(self, *_: object) -> None:
        raise AssertionError("nothing is followed here")

    async def carry_out(self, task: Task) -> tuple[Event, ...]:
        self.done.append(task.effect.effect)
        return ()

    async def advance(self) -> float | None:
        await self.queue.begin(3600)
        (row,) = await self.queue.claim(frozenset(), 10, 3600)
        handlers = dict.fromkeys(Effect, self.carry_out)
        try:
            advance = EscrowAdvance(self.store, handlers, self, self.sight)
            return await advance.advance(ESCROW, WorkClaim(row, float("inf")))
        finally:
            await self.queue.settle(row, 0)


async def test_payout_is_not_begun_while_the_chain_is_not_trusted(database: Database) -> None:
    """An order to pay waits for the chain, without counting as failed, and is carried out when it is back."""
    office = Office(database)
    await store_steps(office.store, life(Status.PAYING))
    assert await office.advance() == CLOSED_LOOK
    assert not GATED & set(office.done)
    assert office.sent == 1, "what is signed already needs no trust"
    office.sight.is_in_sync = True
    await office.advance()
    assert Effect.PAY in office.done


async def test_deadline_that_is_due_waits_for_the_chain(database: Database) -> None:
    """A time to pay that is over ends nothing while a deposit may be there that is not seen."""
    office = Office(database)
    await store_steps(office.store, life(Status.AWAITING_FUNDING))
    async with office.store.transaction() as tx:
        await tx.clock.advance(400 * DAY * 1000)
    assert await office.advance() == CLOSED_LOOK
    async with office.store.reading() as tx:
        assert await tx.escrows.pending_effects(ESCROW) == ()
    assert Effect.VERIFY_UNFUNDED not in office.done
    office.sight.is_in_sync = True
    await office.advance()
    assert Effect.VERIFY_UNFUNDED in office.done
