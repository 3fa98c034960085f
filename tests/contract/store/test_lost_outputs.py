"""Outputs that a reorganisation or the pool removed stay known, marked as lost, until they are found again (W12)."""

import asyncio
from dataclasses import replace

import pytest

from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.escrow.status import Status
from escrowd.domain.outputs import ReceivedOutput
from escrowd.domain.watching import FoundOutput, Lane, PoolFindings, Progress
from escrowd.store.coding import decoded, encoded
from escrowd.store.database import Database
from escrowd.store.store import SqlStore
from escrowd.store.watching import SqlWatchLog
from tests.contract.store.samples import escrow_id, life, output, store_steps
from tests.contract.store.test_watching import Sealer, address, cursor, found


@pytest.fixture
def log(database: Database) -> SqlWatchLog:
    return SqlWatchLog(database, Sealer())


@pytest.fixture
def store(database: Database) -> SqlStore:
    return SqlStore(database, "node")


async def lost(store: SqlStore, number: int) -> tuple[ReceivedOutput, ...]:
    async with store.transaction() as tx:
        ledger = await tx.ledgers.ledger(escrow_id(number))
    return ledger.lost


async def test_output_of_a_rollback_is_kept_as_lost_until_it_is_found_again(log: SqlWatchLog, store: SqlStore) -> None:
    """W12: what a reorganisation removes is kept with its last height, and no longer when a block holds it again."""
    await log.keep(address(1))
    one, other = replace(output("a", 6), sources=("image of the sender",)), output("b", 7)
    findings = tuple(FoundOutput(escrow_id(1), each) for each in (output("below", 5), one, other))
    await log.record(Progress(outputs=findings, cursor=cursor(8)))
    await log.record(Progress(rollback=6, cursor=cursor(9, "fork")))
    assert await log.outputs(escrow_id(1)) == (output("below", 5),)
    assert await lost(store, 1) == (one, other)
    await log.record(Progress(outputs=(found(1, "b", 9),)))
    assert await lost(store, 1) == (one,)
    # In the pool again, and out of it: the last block that held it is still known.
    await log.record(Progress(pool=PoolFindings((found(1, "a"),))))
    assert await lost(store, 1) == ()
    for _ in range(2):
        await log.record(Progress(pool=PoolFindings()))
        assert await lost(store, 1) == (one,)
    await log.record(Progress(outputs=(found(1, "a", 9),)))
    await log.record(Progress(rollback=9, pool=PoolFindings((found(1, "a"),))))
    await log.record(Progress(pool=PoolFindings()))
    assert set(await lost(store, 1)) == {output("a", 9), output("b", 9)}


async def test_payment_that_the_pool_drops_is_kept_as_lost(log: SqlWatchLog, store: SqlStore) -> None:
    """W12: a payment that leaves the pool for no block is kept as lost, and one that a block takes is not."""
    for number in (1, 2):
        await log.keep(address(number))
    await log.record(Progress(pool=PoolFindings((found(1, "dropped"), found(1, "mined"), found(2, "stays")))))
    await log.record(Progress(outputs=(found(1, "mined", 5),), pool=PoolFindings((found(2, "stays"),))))
    assert await lost(store, 1) == (output("dropped"),)
    assert await lost(store, 2) == ()


async def test_payment_in_the_pool_to_an_archived_address_is_not_lost(log: SqlWatchLog, store: SqlStore) -> None:
    """The pool is not scanned for an archived address: what its findings lack may be in the pool all the same."""
    await log.keep(address(1))
    await log.record(Progress(pool=PoolFindings((found(1, "late"),))))
    await log.keep(address(1, lane=Lane.RESTING, scanned=5))
    await log.record(Progress(pool=PoolFindings()))
    assert (await log.outputs(escrow_id(1)), await lost(store, 1)) == ((), ())


async def test_lost_output_that_a_wallet_finds_is_no_longer_lost(log: SqlWatchLog, store: SqlStore) -> None:
    """A wallet does not know the place of an output in its transaction, and the output is the same all the same."""
    await log.keep(address(1))
    await log.record(Progress(outputs=(FoundOutput(escrow_id(1), replace(output("a", 6), index=3)),)))
    await log.record(Progress(rollback=6))
    assert await lost(store, 1) == (replace(output("a", 6), index=3),)
    await log.note_wallet_outputs(escrow_id(1), [output("a", 7)])
    assert await lost(store, 1) == ()


async def test_lost_outputs_are_shown_as_the_ledger_has_them(log: SqlWatchLog, store: SqlStore) -> None:
    """The one question by which escrows are shown finds the same lost outputs, the latest loss last."""
    await store_steps(store, life(Status.CONFIRMING))
    await log.keep(address(1))
    await log.record(Progress(outputs=(found(1, "z", 6), found(1, "y", 5))))
    for height in (6, 5):
        await log.record(Progress(rollback=height))
        await asyncio.sleep(0.01)
    async with store.reading() as tx:
        overview = await tx.overview.of([escrow_id(1)])
    assert overview.escrows[escrow_id(1)][1].ledger.lost == (output("z", 6), output("y", 5)) == await lost(store, 1)


def test_values_that_an_older_version_stored_can_be_read() -> None:
    """An output without sources, and an escrow without noted payments, are read as having none."""
    escrow = life(Status.FUNDED)[-1].after
    stored = encoded(escrow)
    assert '"payments":[],' in stored
    assert decoded(stored.replace('"payments":[],', ""), Escrow) == escrow
    stored = encoded(output("a", 5))
    assert ',"sources":[]' in stored
    assert decoded(stored.replace(',"sources":[]', ""), ReceivedOutput) == output("a", 5)
