"""The whole service through a fork deeper than the block ids that are kept without a gap (E6), on the real engine."""

import asyncio

import pytest

from escrowd.bootstrap.service import RunningService
from escrowd.chain.health import Trouble
from escrowd.domain.escrow.events import Delivered, Released
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.payouts.records import PayoutKind, PayoutStatus
from escrowd.testing.escrow_house import EscrowHouse
from escrowd.testing.lab import RegtestLab
from tests.escrow_life import EscrowLife
from tests.regtest.chain.test_reorganisations import ELSEWHERE

pytestmark = pytest.mark.timeout(900)


def life_in(lab: RegtestLab, running: RunningService) -> EscrowLife:
    return EscrowLife(lab, running.orchestrator, running.store)


async def until_in_sync(running: RunningService) -> None:
    async with asyncio.timeout(60):
        while not running.monitor.is_in_sync:
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("depth", [105, 250])
async def test_deep_fork_is_followed(depth: int) -> None:
    """A deposit below the fork stays and is paid out, one above it is gone, and a restart changes nothing of it.

    While the daemon has neither branch whole, a release that is ordered is not signed.
    """
    async with RegtestLab.start() as lab:
        house = await EscrowHouse.build(lab, lab.directory / "house", kept=2)
        async with house.open() as running:
            below, above = life_in(lab, running), life_in(lab, running)
            await below.create()
            await below.fund()
            await below.until_status(Status.FUNDED)
            fork = (await lab.daemon.get_info()).height
            await above.create()
            await above.fund()
            await above.until_status(Status.FUNDED)
            await lab.mine(depth - 10)
            await until_in_sync(running)
            await below.say(Delivered(), Who.VENDOR)
            await lab.pop_blocks((await lab.daemon.get_info()).height - fork)
            await lab.daemon.flush_txpool(())
            await until_trouble(running, Trouble.DAEMON_BEHIND)
            await below.say(Released(), Who.BUYER)
            await asyncio.sleep(8)
            assert (await below.view()).payouts == ()
            assert (await above.view()).escrow.status is Status.FUNDED
            await lab.mine(depth + 1, ELSEWHERE)
            unfunded = await above.until_status(Status.AWAITING_FUNDING)
            assert unfunded.ledger.outputs == ()
            await below.until_sent()
        async with house.open() as running:
            await until_in_sync(running)
            again = life_in(lab, running)
            again.id = below.id
            await lab.mine(10)
            ended = await again.until_status(Status.COMPLETED)
            assert [each.kind for each in ended.payouts if each.status is PayoutStatus.CONFIRMED] == [
                PayoutKind.RELEASE
            ]
            again.id, again.address = above.id, above.address
            await again.fund()
            await again.until_status(Status.FUNDED)


async def until_trouble(running: RunningService, trouble: Trouble) -> None:
    async with asyncio.timeout(60):
        while running.monitor.health.trouble is not trouble:
            await asyncio.sleep(0.1)
    assert str(trouble) in running.monitor.why_not_in_sync
