"""The engine is exchanged under escrows in every status: to the newer one, back, and to the newer one again."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from escrowd.bootstrap.service import RunningService
from escrowd.domain.escrow.events import Delivered, Disputed, Refunded, Released, Ruled
from escrowd.domain.escrow.facts import HoldReason
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.payouts.plan import MOST_INPUTS
from escrowd.monero.programs import DIRECTORY_VARIABLE
from escrowd.service.orchestrator import EscrowView
from escrowd.testing.escrow_house import EscrowHouse
from escrowd.testing.lab import RegtestLab
from escrowd.testing.two_engines import new_wallet_rpc, old_wallet_rpc
from tests.escrow_life import VENDOR, XMR, EscrowLife, assert_paid_once

pytestmark = pytest.mark.timeout(1500)

#: Escrows that take their wallets from the stock; one more makes its own.
KEPT = 9


@dataclass
class Installation:
    """One service over one chain, whose engine the test exchanges while both are stopped."""

    lab: RegtestLab
    house: EscrowHouse
    engine: pytest.MonkeyPatch
    lives: dict[str, EscrowLife] = field(default_factory=dict)

    @asynccontextmanager
    async def on(self, wallet_rpc: Path) -> AsyncIterator["Installation"]:
        """Run daemon and service with the programs of one engine."""
        await self.lab.daemon_process.end()
        self.engine.setenv(DIRECTORY_VARIABLE, str(wallet_rpc.parent))
        await self.lab.daemon_process.start()
        async with self.house.with_settings(wallet_rpc=str(wallet_rpc)).open() as service:
            for life in self.lives.values():
                life.orchestrator, life.store = service.orchestrator, service.store
            self._service = service
            yield self

    async def create(self, name: str) -> EscrowLife:
        """Make an escrow."""
        service: RunningService = self._service
        life = self.lives[name] = EscrowLife(self.lab, service.orchestrator, service.store)
        await life.create()
        return life

    async def fund(self, names: Sequence[str], blocks: int) -> None:
        """Pay into escrows, all with one transaction, and mine."""
        await self.lab.pay_many([(self.lives[name].address, XMR) for name in names])
        await self.lab.mine(blocks)

    async def statuses(self) -> dict[str, Status]:
        """Return the status of each escrow."""
        return {name: (await life.view()).escrow.status for name, life in self.lives.items()}


async def released(life: EscrowLife) -> EscrowView:
    """Let the buyer release, and return the escrow at its end."""
    await life.say(Released(), Who.BUYER)
    view = await life.until_paid(Status.COMPLETED)
    assert_paid_once(view)
    return view


async def make_every_status(drill: Installation) -> None:
    """Bring one escrow into each status that waits, on the old engine."""
    names = ("awaiting", "confirming", "funded", "delivered", "disputed", "paying", "held", "completed", "later")
    for name in names:
        await drill.create(name)
    paid_early = ("funded", "delivered", "disputed", "paying", "completed", "later")
    await drill.fund(paid_early, 10)
    for name in paid_early:
        await drill.lives[name].until_status(Status.FUNDED)
    await released(drill.lives["completed"])
    await drill.lives["delivered"].say(Delivered(), Who.VENDOR)
    await drill.lives["disputed"].say(Disputed(), Who.BUYER)
    # More parts than one transaction could divide: the operator decides.
    parts = MOST_INPUTS + 1
    await drill.lab.pay_many([(drill.lives["held"].address, XMR // parts + 1)] * parts)
    await drill.lab.mine(10)
    view = await drill.lives["held"].until_status(Status.HELD)
    assert view.escrow.hold is not None
    assert view.escrow.hold.reason is HoldReason.TOO_MANY_PARTS
    await drill.lives["paying"].say(Released(), Who.BUYER)
    await drill.lives["paying"].until_sent()
    await drill.fund(("confirming",), 3)
    await drill.lives["confirming"].until_status(Status.CONFIRMING)
    await drill.create("keying")
    assert await drill.statuses() == {
        "awaiting": Status.AWAITING_FUNDING,
        "confirming": Status.CONFIRMING,
        "funded": Status.FUNDED,
        "delivered": Status.DELIVERED,
        "disputed": Status.DISPUTED,
        "paying": Status.PAYING,
        "held": Status.HELD,
        "completed": Status.COMPLETED,
        "later": Status.FUNDED,
        "keying": Status.KEYING,
    }


async def test_escrows_in_every_status_are_paid_out_across_an_upgrade_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0.18.0.0, 0.18.5.3, 0.18.0.0, 0.18.5.3: what was begun on one engine ends on the other, to the piconero."""
    old, new = old_wallet_rpc(), new_wallet_rpc()
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(old.parent))
    async with RegtestLab.start() as lab:
        drill = Installation(lab, await EscrowHouse.build(lab, tmp_path / "house", kept=KEPT), monkeypatch)
        async with drill.on(old):
            await make_every_status(drill)
        async with drill.on(new):
            await lab.mine(10)
            assert_paid_once(await drill.lives["paying"].until_status(Status.COMPLETED))
            await drill.lives["confirming"].until_status(Status.FUNDED)
            await released(drill.lives["delivered"])
        async with drill.on(old):
            await drill.lives["funded"].say(Refunded(), Who.VENDOR)
            assert_paid_once(await drill.lives["funded"].until_paid(Status.REFUNDED))
            await released(drill.lives["confirming"])
            await drill.lives["keying"].until_status(Status.AWAITING_FUNDING)
        async with drill.on(new):
            await finish_the_rest(drill)
            assert set((await drill.statuses()).values()) == {Status.COMPLETED, Status.REFUNDED, Status.SPLIT}


async def finish_the_rest(drill: Installation) -> None:
    """Pay out what is left, on the newer engine."""
    keying = drill.lives["keying"]
    keying.address = (await keying.view()).escrow.address or ""
    await drill.fund(("awaiting", "keying"), 10)
    for name in ("awaiting", "keying"):
        await drill.lives[name].until_status(Status.FUNDED)
        await released(drill.lives[name])
    await released(drill.lives["later"])
    await drill.lives["held"].say(Refunded(), Who.OPERATOR)
    assert_paid_once(await drill.lives["held"].until_paid(Status.REFUNDED))
    await drill.lives["disputed"].say(Ruled(XMR // 4), Who.ARBITER)
    view = await drill.lives["disputed"].until_paid(Status.SPLIT)
    assert_paid_once(view)
    (one,) = view.payouts[-1].transactions
    assert sum(each.amount for each in one.outputs) + one.network_fee == XMR
    assert {each.to for each in one.outputs} > {VENDOR}
