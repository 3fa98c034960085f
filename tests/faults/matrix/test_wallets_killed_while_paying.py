"""A signer's wallet process is killed at a step of a payout. The service opens the wallet again, and pays once."""

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from escrowd.bootstrap.service import RunningService
from escrowd.domain.escrow.events import Released
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.service.crash_points import CrashPoint, hit_by
from escrowd.testing.escrow_house import EscrowHouse
from escrowd.testing.lab import RegtestLab
from escrowd.wallets.running import RunningProcess
from tests.escrow_life import EscrowLife, assert_paid_once

pytestmark = pytest.mark.timeout(600)

STEPS = (
    CrashPoint.P1_INTENT,
    CrashPoint.P2_EXPORTED,
    CrashPoint.P3_EXPORT_STORED,
    CrashPoint.P4_IMPORTED,
    CrashPoint.P5_PROPOSED,
    CrashPoint.P6_VALIDATED,
    CrashPoint.P7_SIGN_INTENT,
    CrashPoint.P8_SIGNED,
    CrashPoint.P9_SIGN_STORED,
    CrashPoint.P10_SIGNED_IN_DB,
    CrashPoint.P11_SUBMIT_SENT,
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def chain() -> AsyncIterator[RegtestLab]:
    async with RegtestLab.start() as lab:
        yield lab


class WalletKiller:
    """Kills one wallet process of an escrow at a place, once."""

    def __init__(self, running: RunningService, point: CrashPoint, role: WalletRole) -> None:
        self.hits = 0
        self._running = running
        self._point = point
        self._role = role
        self.escrow: EscrowId | None = None

    def __call__(self, passed: CrashPoint) -> None:
        if passed is self._point and not self.hits:
            self.hits += 1
            self._kill()

    def _kill(self) -> None:
        for record in self._running.wallets.pool.around.registry.records():
            holding = record.holding
            if holding and (holding.escrow, holding.role) == (self.escrow, self._role) and record.identity:
                process = RunningProcess.grip(record.identity)
                assert process is not None
                process.signal(signal.SIGKILL)
                process.close()
                return
        raise AssertionError("no process holds that wallet")


@pytest.mark.parametrize(("number", "point"), list(enumerate(STEPS)))
async def test_killed_signer_loses_or_doubles_a_payout(chain: RegtestLab, number: int, point: CrashPoint) -> None:
    """Whichever step a signer's process dies at, exactly one payout of the right amount is made."""
    house = await EscrowHouse.build(chain, chain.directory / f"house-{point}", kept=1, first=number)
    async with house.open() as running:
        life = EscrowLife(chain, running.orchestrator, running.store)
        role = WalletRole.BUYER if number % 2 else WalletRole.VENDOR
        killer = WalletKiller(running, point, role)
        await life.create()
        killer.escrow = life.id
        await life.fund()
        await life.until_status(Status.FUNDED)
        with hit_by(killer):
            await life.say(Released(), Who.BUYER)
            view = await life.until_paid(Status.COMPLETED)
        assert killer.hits == 1
        assert_paid_once(view)
    await asyncio.sleep(0)
