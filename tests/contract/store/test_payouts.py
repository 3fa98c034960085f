import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from escrowd.domain.conflicts import PayoutAlreadyOpen
from escrowd.domain.payouts.records import AttemptStep, PaidOutput, PayoutStatus, PayoutTransaction
from escrowd.store.database import Database
from escrowd.store.store import SqlStore
from tests.contract.store.samples import MOST, attempt, escrow_id, first_step, payout

SENT = PayoutTransaction("tx", MOST, (PaidOutput("to the vendor", MOST),), ("image",), height=7)


@pytest.fixture
async def store(database: Database) -> SqlStore:
    store = SqlStore(database, "node")
    async with store.transaction() as tx:
        await tx.escrows.add(first_step(1))
        await tx.escrows.add(first_step(2))
    return store


async def winners(act: Callable[[int], Coroutine[Any, Any, None]], actors: int = 32) -> list[int]:
    """Let many act at once, and return who was not refused."""

    async def tried(number: int) -> bool:
        try:
            await act(number)
        except PayoutAlreadyOpen:
            return False
        return True

    outcomes = await asyncio.gather(*(tried(number) for number in range(actors)))
    return [number for number, won in enumerate(outcomes) if won]


async def test_two_payouts_are_opened_at_once(store: SqlStore) -> None:
    """Of many payouts of one escrow that are begun at the same moment, each for another order, one is begun."""

    async def begin(number: int) -> None:
        async with store.transaction() as tx:
            await asyncio.sleep(0)
            await tx.payouts.add(payout(number), order_version=number)

    (winner,) = await winners(begin)
    async with store.transaction() as tx:
        assert await tx.payouts.all_of(escrow_id(1)) == (payout(winner),)


async def test_order_is_carried_out_twice(store: SqlStore) -> None:
    """An order is carried out by one payout, also after that has come to its end."""
    async with store.transaction() as tx:
        await tx.payouts.add(payout(1, PayoutStatus.CONFIRMED), order_version=4)

    async def begin(number: int) -> None:
        async with store.transaction() as tx:
            await tx.payouts.add(payout(10 + number), order_version=4)

    assert await winners(begin, actors=4) == []
    async with store.transaction() as tx:
        assert await tx.payouts.of_order(escrow_id(1), 4) == payout(1, PayoutStatus.CONFIRMED)
        assert await tx.payouts.of_order(escrow_id(1), 5) is None
        assert await tx.payouts.of_order(escrow_id(2), 4) is None


@pytest.mark.parametrize("status", [each for each in PayoutStatus if each.is_open])
async def test_ended_payout_is_opened_beside_another(store: SqlStore, status: PayoutStatus) -> None:
    """A payout that has ended comes back under way only while no other one is. Other escrows do not matter."""
    async with store.transaction() as tx:
        await tx.payouts.add(payout(1, PayoutStatus.ABANDONED), order_version=1)
        await tx.payouts.add(payout(2, PayoutStatus.CONFIRMED), order_version=2)
        await tx.payouts.add(payout(3, status), order_version=3)
        await tx.payouts.add(payout(4, status, escrow=escrow_id(2)), order_version=3)
        for number in (1, 2):
            with pytest.raises(PayoutAlreadyOpen):
                await tx.payouts.save(payout(number, status))
        # Whoever is refused may go on in the same transaction.
        await tx.payouts.save(payout(3, PayoutStatus.ABANDONED))
        await tx.payouts.save(payout(2, status))
    async with store.transaction() as tx:
        found = await tx.payouts.all_of(escrow_id(1))
    assert [each.status for each in found] == [PayoutStatus.ABANDONED, status, PayoutStatus.ABANDONED]


async def test_two_attempts_are_begun_at_once(store: SqlStore) -> None:
    """Of many attempts at one payout that are begun at the same moment, one is begun."""
    async with store.transaction() as tx:
        await tx.payouts.add(payout(1), order_version=1)

    async def begin(number: int) -> None:
        async with store.transaction() as tx:
            await tx.payouts.save_attempt(attempt(number))

    (winner,) = await winners(begin)
    async with store.transaction() as tx:
        assert await tx.payouts.attempts("pay_1") == (attempt(winner),)


@pytest.mark.parametrize("step", [each for each in AttemptStep if each is not AttemptStep.DISCARDED])
async def test_attempt_is_begun_beside_another(store: SqlStore, step: AttemptStep) -> None:
    """As long as an attempt is not given up, no other one is begun, however far it has come."""
    async with store.transaction() as tx:
        await tx.payouts.add(payout(1), order_version=1)
        await tx.payouts.save_attempt(attempt(1))
        await tx.payouts.save_attempt(attempt(1, step, transactions=(SENT,), sealed_proposal="sealed"))
        with pytest.raises(PayoutAlreadyOpen):
            await tx.payouts.save_attempt(attempt(2))
        assert await tx.payouts.attempts("pay_1") == (attempt(1, step, transactions=(SENT,), sealed_proposal="sealed"),)
        await tx.payouts.save_attempt(attempt(1, AttemptStep.DISCARDED))
        await tx.payouts.save_attempt(attempt(2))
        with pytest.raises(PayoutAlreadyOpen):
            await tx.payouts.save_attempt(attempt(1, step))
        assert await tx.payouts.attempts("pay_1") == (attempt(1, AttemptStep.DISCARDED), attempt(2))


async def test_amount_is_rounded(store: SqlStore) -> None:
    """A payout comes back as it was stored, with the largest amounts that there are to the last piconero."""
    stored = payout(1, transactions=(SENT,), residue=MOST)
    async with store.transaction() as tx:
        await tx.payouts.add(stored, order_version=1)
    async with store.transaction() as tx:
        assert await tx.payouts.all_of(escrow_id(1)) == (stored,)
        assert stored.vendor_share == MOST


async def test_bytes_of_a_transaction_are_lost(store: SqlStore) -> None:
    """The bytes of a signed transaction are kept, once for all."""
    async with store.transaction() as tx:
        await tx.payouts.keep_raw("tx", "00ff")
    async with store.transaction() as tx:
        await tx.payouts.keep_raw("tx", "other")
        assert await tx.payouts.raw("tx") == "00ff"
        assert await tx.payouts.raw("absent") is None
