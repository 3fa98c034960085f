import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from escrowd.domain.escrow.status import Status
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.outputs import Spend
from escrowd.domain.payouts.records import AttemptStep, PaidOutput, PayoutKind, PayoutStatus, PayoutTransaction
from escrowd.domain.secret import Secret
from escrowd.domain.watching import (
    AcceptedChain,
    BlockId,
    ChainDecisions,
    Cursor,
    FoundOutput,
    FoundSpend,
    Lane,
    PoolFindings,
    Progress,
    WatchedAddress,
)
from escrowd.store.database import Database
from escrowd.store.store import SqlStore
from escrowd.store.watching import SqlWatchLog
from escrowd.testing.watch_log import MemoryWatchLog
from tests.contract.store.samples import MOST, attempt, escrow_id, first_step, life, output, payout, store_steps


class Sealer:
    def seal(self, secret: Secret, purpose: str) -> str:
        return f"{purpose}|{secret.reveal()[::-1]}"

    def unseal(self, sealed: str, purpose: str) -> Secret:
        meant, _, text = sealed.partition("|")
        assert meant == purpose
        return Secret(text[::-1])


@pytest.fixture
def log(database: Database) -> SqlWatchLog:
    return SqlWatchLog(database, Sealer())


@pytest.fixture
def store(database: Database) -> SqlStore:
    return SqlStore(database, "node")


@pytest.fixture
def woken(database: Database) -> list[str]:
    keys: list[str] = []
    database.on_wake(lambda key: keys.append(key.partition(":")[2]))
    return keys


def address(number: int, **changes: Any) -> WatchedAddress:
    return replace(WatchedAddress(escrow_id(number), f"address {number}", Secret(f"view key {number}"), 5), **changes)


def cursor(height: int, fork: str = "") -> Cursor:
    ids = tuple(BlockId(each, f"{fork}{each:x}") for each in range(max(0, height - 3), height))
    return Cursor(height, 1_700_000_000 + height, "genesis", ids)


def found(number: int, name: str, height: int | None = None) -> FoundOutput:
    return FoundOutput(escrow_id(number), output(name, height))


def spent(number: int, name: str, height: int | None = None) -> FoundSpend:
    return FoundSpend(escrow_id(number), Spend(f"image {name}", f"tx {name}", height))


async def test_view_key_lies_open(log: SqlWatchLog, database: Database) -> None:
    """Watched addresses come back as they were kept, and the database holds their view keys sealed only."""
    kept = address(1), address(2, lane=Lane.RESTING, scanned=7)
    for each in (address(1, from_height=9), *kept):
        await log.keep(each)
    state = await log.load()
    assert sorted(state.addresses, key=lambda each: each.escrow) == list(kept)
    assert state.cursor is None
    async with database.reading() as session:
        rows = (await session.connection.exec_driver_sql("SELECT sealed_view_key FROM watched")).scalars().all()
    assert not [each for each in rows if "view key 1" in each or "view key 2" in each]
    await log.forget(escrow_id(1))
    assert (await log.load()).addresses == kept[1:]


async def test_finding_is_lost(log: SqlWatchLog, woken: list[str]) -> None:
    """What a look finds for watched addresses is kept with the cursor, to the last piconero, and wakes its escrow."""
    await log.keep(address(1))
    await log.keep(address(2))
    progress = Progress(
        outputs=(found(1, "a", 3), found(3, "stranger", 3)), spends=(spent(2, "b", 3),), cursor=cursor(4)
    )
    await log.record(progress)
    assert await log.outputs(escrow_id(1)) == (output("a", 3),)
    assert output("a", 3).amount == MOST
    assert await log.outputs(escrow_id(3)) == ()
    assert (await log.load()).cursor == cursor(4)
    assert woken == [escrow_id(1), escrow_id(2)]
    await log.record(progress)
    assert woken == [escrow_id(1), escrow_id(2)]


async def test_reorganisation_leaves_something(log: SqlWatchLog, woken: list[str], store: SqlStore) -> None:
    """A rollback forgets what was at its height and above, and tells those only for whom something changed."""
    for number in (1, 2, 3):
        await log.keep(address(number, scanned=10 if number == 3 else None))
    await log.record(
        Progress(outputs=(found(1, "a", 5), found(2, "b", 6)), spends=(spent(1, "c", 7),), cursor=cursor(8))
    )
    woken.clear()
    await log.record(Progress(rollback=6, outputs=(found(2, "b", 6),), cursor=cursor(9, "fork")))
    assert woken == [escrow_id(1)]
    async with store.transaction() as tx:
        ledger = await tx.ledgers.ledger(escrow_id(1))
    assert (ledger.outputs, ledger.spends, ledger.chain_height) == ((output("a", 5),), (), 9)
    assert [each.scanned for each in sorted((await log.load()).addresses, key=lambda each: each.escrow)] == [
        None,
        None,
        6,
    ]


async def test_many_addresses_are_scanned_equally_far_at_once(log: SqlWatchLog) -> None:
    """W15: all addresses of a progress keep how far they were scanned, each its own height; no other one moves."""
    for number in range(1, 1204):
        await log.keep(address(number, lane=Lane.RESTING, scanned=5))
    heights: dict[EscrowId, int | None] = {escrow_id(number): 7 for number in range(1, 1202)}
    await log.record(Progress(scanned=heights | {escrow_id(1): 9, escrow_id(2): None}))
    kept = {each.escrow: each.scanned for each in (await log.load()).addresses}
    assert kept == heights | {escrow_id(1): 9, escrow_id(2): None, escrow_id(1202): 5, escrow_id(1203): 5}


async def test_pool_remembers_what_left_it(log: SqlWatchLog, woken: list[str]) -> None:
    """The pool is what it was at the last look; what is in a block stays there, and only changes wake."""
    for number in (1, 2):
        await log.keep(address(number))
    await log.record(Progress(outputs=(found(1, "a", 5),), pool=PoolFindings((found(2, "b"),), (spent(2, "c"),))))
    woken.clear()
    same = PoolFindings((found(1, "a"), found(2, "b")), (spent(2, "c"),))
    await log.record(Progress(pool=same))
    assert woken == []
    assert await log.outputs(escrow_id(1)) == (output("a", 5),)
    disputed = FoundOutput(escrow_id(2), replace(output("b"), double_spend_seen=True))
    await log.record(Progress(pool=PoolFindings((disputed,), (spent(2, "c"),))))
    assert woken == [escrow_id(2)]
    await log.record(Progress())
    assert await log.outputs(escrow_id(2)) == (disputed.output,)
    await log.record(Progress(pool=PoolFindings()))
    assert await log.outputs(escrow_id(2)) == ()
    assert woken == [escrow_id(2)] * 2


async def test_new_block_wakes_everybody(log: SqlWatchLog, woken: list[str], store: SqlStore) -> None:
    """A new tip wakes whoever counts confirmations: waiting deposits, and payouts that were sent. Nobody else."""
    await store_steps(store, life(Status.CONFIRMING))
    async with store.transaction() as tx:
        await tx.escrows.add(first_step(2))
        await tx.escrows.add(first_step(3))
        await tx.payouts.add(
            payout(3, PayoutStatus.BROADCAST, escrow=escrow_id(3), kind=PayoutKind.RETURN), order_version=1
        )
    woken.clear()
    await log.record(Progress(cursor=cursor(8)))
    assert woken == [escrow_id(1), escrow_id(3)]
    await log.record(Progress(cursor=cursor(8)))
    assert len(woken) == 2
    assert await log.awaiting() == [escrow_id(1)]


# --- the same as in memory -------------------------------------------------------------------------------------------


def any_progress(chance: random.Random, height: int) -> Progress:
    """Draw a look at a small world: few names, so that things meet again."""

    def some(make: Callable[[int, str, int | None], Any], *, mined: bool) -> tuple[Any, ...]:
        drawn = {}
        for _ in range(chance.randint(0, 3)):
            name = chance.choice("abcd")
            number = chance.randint(1, 4)
            drawn[number, name] = make(number, name, chance.randint(0, height) if mined else None)
        return tuple(drawn.values())

    pool = PoolFindings(some(found, mined=False), some(spent, mined=False)) if chance.random() < 0.6 else None
    return Progress(
        rollback=chance.randint(0, height) if chance.random() < 0.3 else None,
        outputs=some(found, mined=True),
        spends=some(spent, mined=True),
        pool=pool,
        cursor=cursor(height) if chance.random() < 0.7 else None,
        scanned={escrow_id(chance.randint(1, 4)): chance.choice((None, 3, 9))} if chance.random() < 0.4 else {},
    )


@pytest.mark.parametrize("seed", range(3))
async def test_database_and_memory_differ(log: SqlWatchLog, woken: list[str], store: SqlStore, seed: int) -> None:
    """After any looks at the chain, the database holds and has woken what the log in memory does."""
    chance = random.Random(seed)
    memory = MemoryWatchLog()
    for number in (1, 2, 3):
        kept = address(number, scanned=chance.choice((None, 8)))
        await log.keep(kept)
        await memory.keep(kept)
    for height in range(1, 16):
        progress = any_progress(chance, height)
        woken.clear()
        memory.woken.clear()
        for _ in range(chance.choice((1, 1, 2))):
            await log.record(progress)
            await memory.record(progress)
        assert sorted(woken) == sorted(memory.woken), progress
        await assert_same(log, memory, store)
        if chance.random() < 0.05:
            await log.forget(escrow_id(3))
            await memory.forget(escrow_id(3))


async def assert_same(log: SqlWatchLog, memory: MemoryWatchLog, store: SqlStore) -> None:
    state, expected = await log.load(), await memory.load()
    assert state.cursor == expected.cursor
    assert sorted(state.addresses, key=lambda each: each.escrow) == sorted(
        expected.addresses, key=lambda each: each.escrow
    )
    for number in range(1, 5):
        escrow = escrow_id(number)
        assert set(await log.outputs(escrow)) == set(await memory.outputs(escrow))
        async with store.transaction() as tx:
            ledger = await tx.ledgers.ledger(escrow)
        assert set(ledger.spends) == set(memory.spends(escrow))
        assert set(ledger.lost) == set(memory.lost(escrow))


# --- what wallets know -----------------------------------------------------------------------------------------------


async def test_wallet_overrules_the_watcher(log: SqlWatchLog, woken: list[str]) -> None:
    """What a wallet sees is added to what the watcher saw, wakes when it is new, and is renewed at each reading."""
    await log.keep(address(1))
    await log.record(Progress(outputs=(found(1, "a", 5),)))
    woken.clear()
    far = replace(output("far", 6), account=1)
    await log.note_wallet_outputs(escrow_id(1), [replace(output("a", 5), amount=1), far])
    assert await log.outputs(escrow_id(1)) == (output("a", 5), far)
    await log.note_wallet_outputs(escrow_id(1), [far])
    assert woken == [escrow_id(1)]
    await log.note_wallet_outputs(escrow_id(1), [replace(far, height=9)])
    assert await log.outputs(escrow_id(1)) == (output("a", 5), replace(far, height=9))


async def test_wallet_hides_what_the_watcher_finds_later(log: SqlWatchLog) -> None:
    """What a wallet found first is known once, and as the watcher tells it, when the watcher finds it too."""
    await log.keep(address(1))
    await log.note_wallet_outputs(escrow_id(1), [output("a", 5), output("b", 5)])
    exact = replace(output("a", 5), index=3, unlock_time=900)
    await log.record(Progress(outputs=(FoundOutput(escrow_id(1), exact),)))
    assert set(await log.outputs(escrow_id(1))) == {exact, output("b", 5)}


async def test_key_image_is_missed(log: SqlWatchLog, store: SqlStore) -> None:
    """Whoever asks for the key images after the last it got misses none, also of a transaction that took longer."""
    async with store.transaction() as tx:
        await tx.ledgers.note_key_images(escrow_id(1), [("key", "image 1")])
        later = asyncio.create_task(note_image(store, 2))
        await asyncio.sleep(0.2)
        asked = asyncio.create_task(log.key_images())
        await asyncio.sleep(0.2)
    await later
    first = await asked
    second = await log.key_images(first.last)
    seen = [*first.key_images, *second.key_images]
    assert sorted(seen) == [(escrow_id(number), f"image {number}") for number in (1, 2)]


async def test_key_image_is_told_again(log: SqlWatchLog, store: SqlStore) -> None:
    """A key image that is noted again is no news; another image of the same key takes its place, and is."""
    for _ in range(2):
        await note_image(store, 1)
    noted = await log.key_images()
    assert noted.key_images == ((escrow_id(1), "image 1"),)
    await note_image(store, 1)
    assert (await log.key_images(noted.last)).key_images == ()
    async with store.transaction() as tx:
        assert await tx.ledgers.key_images(escrow_id(1)) == (("key", "image 1"),)
        await tx.ledgers.note_key_images(escrow_id(1), [("key", "corrected")])
    assert (await log.key_images(noted.last)).key_images == ((escrow_id(1), "corrected"),)


async def test_spend_of_a_noted_key_image_is_known_once_a_block_holds_it(log: SqlWatchLog, store: SqlStore) -> None:
    """Of an image that only the pool spends, or that another escrow has noted, no spend is known."""
    for number in (1, 2, 3):
        await log.keep(address(number))
        await note_image(store, number)
    other = FoundSpend(escrow_id(1), Spend("image 3", "payout", 7))
    await log.record(Progress(spends=(spent(1, "1", 7), other), pool=PoolFindings(spends=(spent(2, "2"),))))
    noted = await log.key_images()
    assert noted.spent == {"image 1"}
    assert (await log.key_images(noted.last)).spent == frozenset()


async def note_image(store: SqlStore, number: int) -> None:
    async with store.transaction() as tx:
        await tx.ledgers.note_key_images(escrow_id(number), [("key", f"image {number}")])


async def test_ledger_takes_foreign_money_for_ours(store: SqlStore) -> None:
    """A ledger knows the transactions that were signed, and what the newest standing payout of an order spends."""
    ours = PayoutTransaction("ours", 1, (PaidOutput("to", 1),))
    async with store.transaction() as tx:
        await tx.escrows.add(first_step())
        assert (await tx.ledgers.ledger(escrow_id(1))).our_txids == frozenset()
        await tx.payouts.add(payout(1, output_keys=("one",)), order_version=1)
        await tx.payouts.save_attempt(attempt(1, AttemptStep.DISCARDED, transactions=(replace(ours, txid="given up"),)))
        await tx.payouts.save_attempt(attempt(2, AttemptStep.VALIDATED, transactions=(replace(ours, txid="unsigned"),)))
        assert (await tx.ledgers.ledger(escrow_id(1))).our_txids == frozenset()
        await tx.payouts.save_attempt(attempt(2, AttemptStep.SIGNED, transactions=(ours,)))
        await tx.payouts.save(payout(1, PayoutStatus.CONFIRMED, output_keys=("one",)))
        await tx.payouts.add(payout(2, kind=PayoutKind.RETURN, output_keys=("late",)), order_version=2)
        ledger = await tx.ledgers.ledger(escrow_id(1))
        assert (ledger.our_txids, ledger.paid_out) == (frozenset({"ours"}), frozenset({"one"}))
        await tx.payouts.save(payout(1, PayoutStatus.ABANDONED, output_keys=("one",)))
        assert (await tx.ledgers.ledger(escrow_id(1))).paid_out == frozenset()


async def test_decisions_about_the_chain_are_kept_once(log: SqlWatchLog, store: SqlStore) -> None:
    """What the operator decides is what the watcher reads, and deciding it again changes nothing."""
    accepted = AcceptedChain(BlockId(7, "aa" * 32), "bb" * 32)
    assert await log.decisions() == ChainDecisions()
    for _ in range(2):
        async with store.transaction() as tx:
            await tx.chain.accept(accepted)
            await tx.chain.pass_over("cc" * 32, 9)
    assert await log.decisions() == ChainDecisions((accepted,), frozenset({"cc" * 32}))
