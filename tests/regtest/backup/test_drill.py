"""Restore drills on the real chain: everything but the backup and the vault key is lost, and the money is paid once."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from escrowd.bootstrap.backups import Restored, back_up, check_log, restore
from escrowd.bootstrap.service import RunningService
from escrowd.domain.escrow.events import Released, Settled
from escrowd.domain.escrow.facts import HoldReason
from escrowd.domain.escrow.machine import IllegalMove
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.payouts.records import PayoutStatus
from escrowd.service.orchestrator import EscrowView
from escrowd.store.backups.archive import Archive
from escrowd.store.backups.manifest import SEAL_PURPOSE
from escrowd.testing.escrow_house import EscrowHouse
from escrowd.testing.lab import RegtestLab
from escrowd.testing.wallet_sets import wallet_sets
from tests.escrow_life import VENDOR, XMR, EscrowLife, assert_paid_once

pytestmark = pytest.mark.timeout(900)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def chain() -> AsyncIterator[RegtestLab]:
    """Start a private chain for these drills: kept wallets are few, and each address is for one escrow of a chain."""
    async with RegtestLab.start() as lab:
        yield lab


@dataclass
class Drill:
    """A service that is lost, and its second life."""

    lab: RegtestLab
    house: EscrowHouse
    #: Lies beside the service, and not in it.
    backup: Path

    @classmethod
    async def begin(cls, lab: RegtestLab, name: str, *, kept: int, first: int = 0) -> "Drill":
        house = await EscrowHouse.build(lab, lab.directory / name, kept=kept, first=first)
        return cls(lab, house, lab.directory / f"{name}.tar")

    async def back_up(self) -> None:
        await back_up(self.house.file.database_url, self.house.vault, self.backup)

    async def lose_everything(self) -> Restored:
        """Remove all files of the service, and restore the backup into a directory of another name."""
        shutil.rmtree(self.house.directory)
        directory = self.house.directory.with_name(f"{self.house.directory.name}-second-life")
        url = f"sqlite+aiosqlite:///{directory / 'escrowd.sqlite'}"
        self.house = self.house.with_settings(directory=str(directory), database_url=url)
        restored = await restore(url, self.house.vault, directory / "wallets", self.backup)
        there = [path.name for path in (directory / "wallets").iterdir()]
        assert there, "the keys are there"
        assert [name for name in there if not name.endswith((".keys", ".password"))] == [], "and no cache"
        return restored

    @asynccontextmanager
    async def running(self) -> AsyncIterator[RunningService]:
        async with self.house.open() as running:
            yield running

    def again(self, running: RunningService, life: EscrowLife) -> EscrowLife:
        """Return the same escrow in another life of the service."""
        return EscrowLife(self.lab, running.orchestrator, running.store, life.id, life.address)


async def created(drill: Drill, running: RunningService) -> EscrowLife:
    life = EscrowLife(drill.lab, running.orchestrator, running.store)
    await life.create()
    return life


async def funded(drill: Drill, running: RunningService) -> EscrowLife:
    life = await created(drill, running)
    await life.fund()
    await life.until_status(Status.FUNDED)
    return life


async def paid(life: EscrowLife) -> str:
    """Release an escrow, wait until that is final, and return the id of the transaction."""
    await life.say(Released(), Who.BUYER)
    view = await life.until_paid(Status.COMPLETED)
    assert_paid_once(view)
    return view.payouts[0].transactions[0].txid


async def test_lost_service_takes_the_money_with_it(chain: RegtestLab) -> None:
    """What was funded when the backup was made is released and paid by the restored service, to the piconero."""
    drill = await Drill.begin(chain, "lost", kept=2)
    async with drill.running() as running:
        life = await funded(drill, running)
        await drill.back_up()
    assert_no_secret_in(drill)
    restored = await drill.lose_everything()
    assert (restored.manifest.escrows, restored.key_files, restored.log.holds) == ({"funded": 1}, 6, True)
    # The chain went on while there was no service.
    await chain.mine(5)
    async with drill.running() as running:
        life = drill.again(running, life)
        assert (await life.view()).escrow.status is Status.FUNDED
        await life.say(Released(), Who.BUYER)
        view = await life.until_paid(Status.COMPLETED)
        assert_paid_once(view)
        (one,) = view.payouts[0].transactions
        assert {each.to: each.amount for each in one.outputs} == {VENDOR: XMR - one.network_fee}
    assert (await check_log(drill.house.file.database_url, drill.house.vault)).holds


async def test_old_backup_pays_twice(chain: RegtestLab) -> None:
    """Payouts that the backup does not know of are found on the chain: no second one, and a person is called.

    Five escrows differ in how far they were when the backup was made, and in what is said to them later. All of
    them were paid out, and final, before it was.
    """
    drill = await Drill.begin(chain, "old", kept=5, first=2)
    async with drill.running() as running:
        silent, impatient, sent, ordered = [await funded(drill, running) for _ in range(4)]
        unpaid = await created(drill, running)
        await sent.say(Released(), Who.BUYER)
        await sent.until_sent()
        await ordered.say(Released(), Who.BUYER)
        # In the middle of its payout, wherever that is.
        await drill.back_up()
        ordered_view = await ordered.until_paid(Status.COMPLETED)
        await unpaid.fund()
        await unpaid.until_status(Status.FUNDED)
        sent_before = [each.txid for each in (await sent.until_status(Status.COMPLETED)).payouts[0].transactions]
        paid_before = {ordered.id: ordered_view.payouts[0].transactions[0].txid}
        paid_before |= {life.id: await paid(life) for life in (silent, impatient, unpaid)}
    await drill.lose_everything()
    async with drill.running() as running:
        first_life = silent, impatient, sent, ordered, unpaid
        silent, impatient, sent, ordered, unpaid = (drill.again(running, each) for each in first_life)
        # Before the watcher has seen a single block.
        await impatient.say(Released(), Who.BUYER)
        await chain.mine(3)
        view = await silent.until_status(Status.HELD)
        assert_held(view, HoldReason.SPENT_OUTSIDE)
        assert view.escrow.outside_spends == (paid_before[silent.id],)
        view = await impatient.until_status(Status.HELD)
        assert_held(view, HoldReason.SPENT_OUTSIDE)
        view = await unpaid.until_status(Status.HELD)
        assert_held(view, HoldReason.WALLET_DISAGREES, HoldReason.SPENT_OUTSIDE)

        view = await sent.until_status(Status.COMPLETED)
        assert_paid_once(view)
        assert [each.txid for each in view.payouts[0].transactions] == sent_before
        await ordered.until(lambda seen: held(seen) or seen.escrow.has_ended, "the order comes to an end")
        await insist(silent, impatient)
        for life in (silent, impatient, ordered):
            spends = {each.txid for each in (await life.view()).ledger.spends}
            assert spends == {paid_before[life.id]}, "one transaction spends the deposit: that of the first life"
    assert (await check_log(drill.house.file.database_url, drill.house.vault)).holds


async def insist(*lives: EscrowLife) -> None:
    """No order of the operator moves the money a second time; an escrow of which nothing is left is closed (W7)."""
    for life in lives:
        view = await life.view()
        actions = view.allowed_actions(Who.OPERATOR)
        assert "settle" in actions
        assert not {"release", "refund", "split"} & set(actions)
        with pytest.raises(IllegalMove):
            await life.say(Released(), Who.OPERATOR)
        await life.say(Settled("paid before the backup was restored"), Who.OPERATOR)
        ended = await life.until(lambda seen: seen.escrow.has_ended, "it is closed")
        assert ended.escrow.status is Status.CANCELLED
        assert not any(each.status in (PayoutStatus.BROADCAST, PayoutStatus.CONFIRMED) for each in ended.payouts)


def assert_no_secret_in(drill: Drill) -> None:
    """Nothing in the backup, unpacked, gives away a vault key, a wallet's password, or a view key."""
    key = drill.house.vault.derived_key(SEAL_PURPOSE)
    with Archive(drill.backup, key) as archive:
        unpacked = b"\n".join(line for entry in archive.manifest.tables for line in archive.lines(entry))
    kept = wallet_sets()
    secrets = [drill.house._key.hex(), key.hex(), *(each.secret_view_key for each in kept)]
    secrets += [wallet.worthless_password for each in kept for wallet in each.wallets.values()]
    assert kept[0].address.encode() in unpacked, "it is looked for in the right place"
    for secret in secrets:
        assert secret.encode() not in unpacked + drill.backup.read_bytes()


def held(view: EscrowView) -> bool:
    return view.escrow.status is Status.HELD


def assert_held(view: EscrowView, *reasons: HoldReason) -> None:
    assert view.escrow.hold is not None
    assert view.escrow.hold.reason in reasons
    assert not any(each.status is PayoutStatus.CONFIRMED for each in view.payouts)
