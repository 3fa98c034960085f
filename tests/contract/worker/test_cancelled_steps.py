"""A step that is cancelled gives its claim back, so that another try begins at once (finding W9)."""

import asyncio
import time
from dataclasses import replace

import pytest
from typing_extensions import override

from escrowd.domain.work import ClaimedRow
from escrowd.service.worker import WorkClaim, Worker
from escrowd.store.database import Database
from escrowd.store.errors import DatabaseUnavailable
from escrowd.store.store import SqlWorkQueue
from tests.contract.database_clock import DAY, DatabaseClock, beat
from tests.contract.worker.test_worker import QUICK, Steps, row, until, wake

#: Seconds for which a claim lasts whose renewal was stored while its reply was lost.
HOUR = 3600.0


class LostReplies(SqlWorkQueue):
    """A queue whose renewals are stored, and whose replies are lost, until it is mended."""

    is_broken = True
    settles_hang = False

    @override
    async def renew(self, claimed: ClaimedRow, seconds: float) -> bool:
        if not self.is_broken:
            return await super().renew(claimed, seconds)
        await super().renew(claimed, HOUR)
        raise DatabaseUnavailable("the reply was lost")

    @override
    async def settle(self, claimed: ClaimedRow, in_seconds: float | None) -> None:
        if self.settles_hang:
            await asyncio.sleep(HOUR)
        await super().settle(claimed, in_seconds)


def cancelled_once(queue: LostReplies) -> Steps:
    """Return steps of which the first one lasts until it is cancelled."""

    async def act(_claim: WorkClaim) -> None:
        if len(steps.begun) == 1:
            try:
                await asyncio.sleep(HOUR)
            finally:
                queue.is_broken = False

    steps = Steps(act)
    return steps


async def until_ended(steps: Steps) -> float:
    """Return the seconds until a step has come to its end."""
    began = time.monotonic()
    await until(lambda: steps.ended == ["a"])
    return time.monotonic() - began


async def test_cancelled_step_gives_its_claim_back(database: Database) -> None:
    """Another try begins at once, and not when the claim ends that was renewed without its worker's knowledge."""
    queue = LostReplies(database, "node")
    steps = cancelled_once(queue)
    running = Worker(queue, {"test": steps}, QUICK)
    async with running:
        await wake(database, "a")
        assert await until_ended(steps) < 3 * QUICK.lease
        await until(lambda: not running.running)
    assert (steps.begun, steps.most_at_once, running.counters.leases_lost) == (["a", "a"], 1, 1)
    assert ((after := await row(database))["owner"], after["due_at"]) == (None, None)


@pytest.mark.parametrize("jump", [-DAY, DAY])
async def test_claim_of_a_cancelled_step_does_not_outlast_a_jump(database_clock: DatabaseClock, jump: float) -> None:
    """The clock jumps while the step runs, and it is cancelled before the next beat."""
    async with database_clock.opened() as database:
        await beat(database)
        queue = LostReplies(database, "node")
        steps = cancelled_once(queue)
        async with Worker(queue, {"test": steps}, QUICK):
            await wake(database, "a")
            await until(lambda: steps.begun == ["a"])
            await database_clock.jump(jump)
            assert await until_ended(steps) < 3 * QUICK.lease
    assert steps.most_at_once == 1


async def test_database_that_hangs_does_not_hold_a_cancelled_step(database: Database) -> None:
    """It tries to give its claim back for one lease; then its place is free again."""
    queue = LostReplies(database, "node")
    steps = cancelled_once(queue)
    running = Worker(queue, {"test": steps}, QUICK)
    async with running:
        await wake(database, "a")
        await until(lambda: steps.begun == ["a"])
        queue.settles_hang = True
        began = time.monotonic()
        await until(lambda: not running.running)
        assert time.monotonic() - began < 3 * QUICK.lease
        queue.settles_hang = False
        await wake(database, "b")
        await until(lambda: steps.ended == ["b"])


async def test_database_that_hangs_does_not_hold_the_end_of_the_worker(database: Database) -> None:
    """A step that is cancelled because the service ends tries to give its claim back while that lasts."""

    async def act(_claim: WorkClaim) -> None:
        await asyncio.sleep(HOUR)

    queue = LostReplies(database, "node")
    queue.is_broken = False
    queue.settles_hang = True
    steps = Steps(act)
    running = Worker(queue, {"test": steps}, replace(QUICK, stop_patience=0.1))
    async with running:
        await wake(database, "a")
        await until(lambda: steps.begun == ["a"])
        began = time.monotonic()
    assert time.monotonic() - began < 2 * QUICK.lease
