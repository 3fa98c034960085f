"""The service kills itself at each named place of a payout. The next start makes exactly one payout of it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from escrowd.domain.escrow.events import Released
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.payouts.records import Attempt, AttemptStep
from escrowd.service.crash_points import CrashPoint
from escrowd.testing.escrow_house import EscrowHouse
from escrowd.testing.lab import RegtestLab
from escrowd.wallets.running import RunningProcess
from tests.escrow_life import PATIENCE, XMR, EscrowLife, assert_paid_once, beside

pytestmark = pytest.mark.timeout(600)

BEFORE_SIGNATURE = (
    CrashPoint.P1_INTENT,
    CrashPoint.P2_EXPORTED,
    CrashPoint.P3_EXPORT_STORED,
    CrashPoint.P4_IMPORTED,
    CrashPoint.P5_PROPOSED,
    CrashPoint.P6_VALIDATED,
    CrashPoint.P7_SIGN_INTENT,
    CrashPoint.P8_SIGNED,
    CrashPoint.P9_SIGN_STORED,
)
AFTER_SIGNATURE = (
    CrashPoint.P10_SIGNED_IN_DB,
    CrashPoint.P11_SUBMIT_SENT,
    CrashPoint.P12_SUBMIT_OK,
    CrashPoint.P13_IN_POOL,
)
AFTER_MINING = (CrashPoint.P14_MINED, CrashPoint.P15_FINAL, CrashPoint.P16_NOTIFIED)
OF_DEPOSITS = (CrashPoint.F1_SEEN, CrashPoint.F2_CREDITED, CrashPoint.F3_NOTIFIED)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def chain() -> AsyncIterator[RegtestLab]:
    async with RegtestLab.start() as lab:
        yield lab


async def dies(service: RunningProcess, house: EscrowHouse, point: CrashPoint) -> None:
    """Wait until the service has killed itself, where it should."""
    assert await service.wait(PATIENCE), f"the service did not pass {point}"
    assert house.crashed_at(point), "it ended by itself, but not there"


async def funded(life: EscrowLife) -> None:
    await life.create()
    await life.fund()
    await life.until_status(Status.FUNDED)


@pytest.mark.parametrize(("number", "point"), list(enumerate(BEFORE_SIGNATURE)))
async def test_crash_before_the_signature_is_stored_makes_a_second_payout(
    chain: RegtestLab, number: int, point: CrashPoint
) -> None:
    """After a crash before the stored signature, the attempt is given up, and a new one pays exactly once."""
    house = await EscrowHouse.build(chain, chain.directory / f"house-{point}", kept=1, first=number)
    async with beside(house, chain) as life:
        async with house.process(crash_at=point) as service:
            await funded(life)
            await life.say(Released(), Who.BUYER)
            await dies(service, house, point)
        async with house.process():
            view = await life.until_paid(Status.COMPLETED)
            attempts = await attempts_of(life)
        assert_paid_once(view)
        assert [each.step for each in attempts] == [AttemptStep.DISCARDED, AttemptStep.SUBMITTED]


@pytest.mark.parametrize("point", AFTER_SIGNATURE + AFTER_MINING)
async def test_crash_after_the_signature_is_stored_builds_a_payout_anew(
    point: CrashPoint, chain_of_its_own: RegtestLab
) -> None:
    """After a crash behind the stored signature the very same transaction is sent and followed."""
    chain = chain_of_its_own
    number = (AFTER_SIGNATURE + AFTER_MINING).index(point)
    house = await EscrowHouse.build(chain, chain.directory / f"house-{point}", kept=1, first=number)
    async with beside(house, chain) as life:
        async with house.process(crash_at=point) as service:
            await funded(life)
            await life.say(Released(), Who.BUYER)
            if point in AFTER_MINING:
                await life.until_sent()
                await chain.mine(10)
            await dies(service, house, point)
            before = await attempts_of(life)
        async with house.process():
            if point in AFTER_MINING:
                view = await life.until_status(Status.COMPLETED)
            else:
                view = await life.until_paid(Status.COMPLETED)
            after = await attempts_of(life)
        assert_paid_once(view)
        assert [each.transactions for each in after] == [each.transactions for each in before]
        assert [each.step for each in after] == [AttemptStep.SUBMITTED]


@pytest.mark.parametrize("point", OF_DEPOSITS)
async def test_crash_while_a_deposit_is_taken_in_loses_it(point: CrashPoint, chain_of_its_own: RegtestLab) -> None:
    """After a crash at any place between seeing a deposit and telling of it, it counts once, to the piconero."""
    chain = chain_of_its_own
    number = (*AFTER_SIGNATURE, *AFTER_MINING, *OF_DEPOSITS).index(point)
    house = await EscrowHouse.build(chain, chain.directory / f"house-{point}", kept=1, first=number)
    async with beside(house, chain) as life:
        async with house.process(crash_at=point) as service:
            await life.create()
            await life.fund()
            await dies(service, house, point)
        async with house.process():
            view = await life.until_status(Status.FUNDED)
        assert (view.escrow.deposit.seen, view.escrow.deposit.confirmed) == (XMR, XMR)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def chain_of_its_own() -> AsyncIterator[RegtestLab]:
    async with RegtestLab.start() as lab:
        yield lab


async def attempts_of(life: EscrowLife) -> list[Attempt]:
    async with life.store.transaction() as tx:
        payouts = await tx.payouts.all_of(life.id)
        return [each for payout in payouts for each in await tx.payouts.attempts(payout.id)]
