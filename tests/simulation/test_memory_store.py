import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from escrowd.domain.conflicts import AlreadyStored, LeaseLost, NoSuchEscrow, PayoutAlreadyOpen, VersionConflict
from escrowd.domain.escrow.events import KeysReady
from escrowd.domain.escrow.facts import Escrow, Moment
from escrowd.domain.escrow.history import broken_links
from escrowd.domain.escrow.machine import Step, create, step
from escrowd.domain.escrow.status import Who
from escrowd.domain.escrow.terms import Terms
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.networks import Network
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.records import Attempt, AttemptStep, Payout, PayoutKind, PayoutStatus
from escrowd.testing.simulation.faults import Crashed, Faults, Life, Trouble
from escrowd.testing.simulation.loop import NothingLeftToDo, SimulatedLoop
from escrowd.testing.simulation.memory import LEASE, Memory, MemoryStore
from escrowd.testing.simulation.people import BUYER_ADDRESS, VENDOR_ADDRESS

ESCROW = EscrowId("esc_01jd3v9k8z6x5w4t2r1q0p9n8m")
MOMENT = Moment(1_000_000, 0)
FIRST = create(ESCROW, Terms(Network.REGTEST, 10**12, BUYER_ADDRESS, VENDOR_ADDRESS), Who.INTEGRATOR, MOMENT)


class Time:
    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        return self.now


def second(escrow: Escrow) -> Step:
    return step(escrow, KeysReady("4address", 100), Who.SERVICE, MOMENT)


def payout(number: int, status: PayoutStatus = PayoutStatus.PLANNED) -> Payout:
    return Payout(f"pay_{number}", ESCROW, PayoutKind.REFUND, status, 0, 0, (), ("key",))


def run(work: Coroutine[Any, Any, None]) -> None:
    loop = SimulatedLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(work)


def test_half_a_transaction_is_kept() -> None:
    """Where the block of a transaction raises, nothing of it is kept, and the next one begins from before it."""

    async def story() -> None:
        store = MemoryStore(Memory(Time()))

        async def fail_in_a_transaction() -> None:
            async with store.transaction() as tx:
                await tx.escrows.add(FIRST)
                raise RuntimeError

        with pytest.raises(RuntimeError):
            await fail_in_a_transaction()
        async with store.transaction() as tx:
            with pytest.raises(NoSuchEscrow):
                await tx.escrows.load(ESCROW)

    run(story())


def test_overtaken_step_is_stored() -> None:
    """A step is stored only over the very version that it was taken from, and a first step only once."""

    async def story() -> None:
        store = MemoryStore(Memory(Time()))
        async with store.transaction() as tx:
            await tx.escrows.add(FIRST)
            with pytest.raises(AlreadyStored):
                await tx.escrows.add(FIRST)
            await tx.escrows.save(second(FIRST.after))
        async with store.transaction() as tx:
            with pytest.raises(VersionConflict):
                await tx.escrows.save(second(FIRST.after))
            entries = await tx.escrows.log(ESCROW)
            assert [each.sequence for each in entries] == [1, 2]
            assert broken_links(entries) == ()

    run(story())


def test_second_payout_is_opened() -> None:
    """An escrow has one payout under way, an order is carried out once, and a payout has one attempt that counts."""

    async def story() -> None:
        store = MemoryStore(Memory(Time()))
        async with store.transaction() as tx:
            await tx.payouts.add(payout(1), order_version=4)
            with pytest.raises(PayoutAlreadyOpen):
                await tx.payouts.add(payout(2), order_version=5)
            await tx.payouts.save(payout(1, PayoutStatus.ABANDONED))
            with pytest.raises(PayoutAlreadyOpen):
                await tx.payouts.add(payout(2), order_version=4)
            await tx.payouts.add(payout(2), order_version=5)
            with pytest.raises(PayoutAlreadyOpen):
                await tx.payouts.save(payout(1))
            attempt = Attempt("pay_2", 1, AttemptStep.SIGN_INTENT, WalletRole.BUYER, WalletRole.VENDOR)
            await tx.payouts.save_attempt(attempt)
            with pytest.raises(PayoutAlreadyOpen):
                await tx.payouts.save_attempt(
                    Attempt("pay_2", 2, AttemptStep.INTENT, WalletRole.BUYER, WalletRole.VENDOR)
                )

    run(story())


def test_overtaken_worker_stores_something() -> None:
    """Whoever lost the claim on an escrow stores nothing more for it, also where the claim was lost on the way."""

    async def story() -> None:
        time = Time()
        memory = Memory(time)
        store = MemoryStore(memory)
        async with store.transaction() as tx:
            await tx.escrows.add(FIRST)
        stale = await store.claim(ESCROW, "one")
        assert stale is not None
        assert await store.claim(ESCROW, "two") is None
        time.now += LEASE
        with pytest.raises(LeaseLost):
            stale.check()
        fresh = await store.claim(ESCROW, "two")
        assert fresh is not None
        with pytest.raises(LeaseLost):
            async with store.transaction() as tx:
                await tx.hold_claim(stale)
        await store.settle(fresh, None)
        with pytest.raises(LeaseLost):
            await store.settle(fresh, None)

    run(story())


def test_wake_during_work_is_lost() -> None:
    """An escrow that was woken while somebody worked on it is due again at once."""

    async def story() -> None:
        memory = Memory(Time())
        store = MemoryStore(memory)
        async with store.transaction() as tx:
            await tx.escrows.add(FIRST)
        for woken in (True, False):
            claim = await store.claim(ESCROW, "one")
            assert claim is not None
            async with store.transaction() as tx:
                await tx.wake(ESCROW) if woken else None
            await store.settle(claim, 60)
            row = memory.tables.work[ESCROW]
            assert row.due == memory.now() + (0 if woken else 60_000)

    run(story())


@pytest.mark.parametrize(("trouble", "kept"), [(Trouble.CRASH_BEFORE, False), (Trouble.CRASH_AFTER, True)])
def test_crash_at_commit_keeps_a_part(trouble: Trouble, *, kept: bool) -> None:
    """A crash around a commit leaves all of the transaction or nothing."""

    async def story() -> None:
        faults, life, memory = Faults(), Life(1), Memory(Time())
        store = MemoryStore(memory, lambda act: faults.pass_commit(life, act))
        faults.arm(trouble, 1)
        with pytest.raises(Crashed):
            async with store.transaction() as tx:
                await tx.escrows.add(FIRST)
        assert (ESCROW in memory.tables.escrows, ESCROW in memory.tables.work) == (kept, kept)

    run(story())


def test_time_without_service_counts() -> None:
    """The running clock adds what lies between two beats of a service in sync, and no gap in which none ran."""

    async def story() -> None:
        time = Time()
        store = MemoryStore(Memory(time))
        seen = []
        for passed, counts in ((0, True), (5_000, True), (5_000, False), (5_000, True), (5_000, True), (31_000, True)):
            time.now += passed
            async with store.transaction() as tx:
                seen.append((await tx.clock.beat(counts=counts)).running)
        assert seen == [0, 5_000, 5_000, 5_000, 10_000, 10_000]

    run(story())


def test_simulated_sleep_takes_time_or_hangs() -> None:
    """A sleep in the simulated loop takes no time and is told; a wait that nothing ends is an error."""
    slept: list[float] = []
    loop = SimulatedLoop(slept.append)

    async def story() -> None:
        await asyncio.gather(asyncio.sleep(3600), asyncio.sleep(60))
        await asyncio.to_thread(slept.append, -1.0)
        await asyncio.get_running_loop().create_future()

    with asyncio.Runner(loop_factory=lambda: loop) as runner, pytest.raises(NothingLeftToDo):
        runner.run(story())
    assert slept == [60.0, 3540.0, -1.0]
