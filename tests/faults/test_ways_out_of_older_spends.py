"""Money that two keys spent before the service learned its key image, in a block that is no longer remembered."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from escrowd.bootstrap.service import RunningService
from escrowd.chain.key_images import KEPT_BLOCKS
from escrowd.domain.escrow.events import Refunded, Released, Settled
from escrowd.domain.escrow.status import Status, Who
from escrowd.service.orchestrator import EscrowView
from escrowd.testing.escrow_house import EscrowHouse
from escrowd.testing.lab import RegtestLab
from tests.escrow_life import BUYER, VENDOR, XMR, EscrowLife
from tests.faults.ways_out import exchanged, spend_with

pytestmark = pytest.mark.timeout(600)

#: A block with so many on it is no longer remembered.
OLD = KEPT_BLOCKS + 5
PART = 4 * XMR // 10
#: Of the deposit whose check comes when its spend is old.
CONFIRMATIONS = OLD + 20


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def lab(_nothing_left_behind: None) -> AsyncIterator[RegtestLab]:
    """Start a chain whose escrows are those of these tests."""
    async with RegtestLab.start() as lab:
        yield lab


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(lab: RegtestLab) -> EscrowHouse:
    """Prepare a service with a kept wallet set for each test."""
    return await EscrowHouse.build(lab, lab.directory / "house", kept=3)


async def created(lab: RegtestLab, running: RunningService, **terms: object) -> EscrowLife:
    life = EscrowLife(lab, running.orchestrator, running.store)
    await life.create(**terms)
    return life


async def spend(running: RunningService, life: EscrowLife, amount: int) -> str:
    """Let two parties spend the output of this amount, and mine that. The service does not learn its key image."""
    async with running.manager.lease(life.id) as lease:
        (image,) = [each.key_image for each in await exchanged(lease) if each.amount == amount]
        txid = await spend_with(lease, image)
    await life.lab.mine(1)
    await until_read(life)
    return txid


async def until_read(life: EscrowLife) -> None:
    """Wait until the watcher has read all blocks."""
    height = (await life.lab.daemon.get_info()).height
    await life.until(lambda view: view.ledger.chain_height == height, "all blocks are read")


async def held_for(life: EscrowLife, txid: str) -> EscrowView:
    """Wait until the escrow is held and the transaction is known to spend its money."""
    return await life.until(
        lambda view: view.escrow.status is Status.HELD and view.escrow.outside_spends == (txid,), "the spend is known"
    )


def paid_to(view: EscrowView) -> dict[str, int]:
    """Return what the last payout pays, by address, with its network fee at no address."""
    (one,) = view.payouts[-1].transactions
    return {each.to: each.amount for each in one.outputs} | {"": one.network_fee}


async def test_deposit_spent_in_part_before_its_check_is_refunded(lab: RegtestLab, house: EscrowHouse) -> None:
    """The check of the deposit learns the key images more than 100 blocks after the spend: what is left is refunded."""
    async with house.open() as running:
        life = await created(lab, running, confirmations=CONFIRMATIONS)
        await lab.pay_many([(life.address, XMR - PART), (life.address, PART)])
        await lab.mine(10)
        outside = await spend(running, life, PART)
        assert (await life.view()).ledger.spends == ()
        await lab.mine(OLD + 10)
        view = await held_for(life, outside)
        assert (view.escrow.deposit.unspent, view.escrow.deposit.spendable) == (XMR - PART, XMR - PART)
        await life.say(Refunded(), Who.OPERATOR)
        await life.until_sent()
        await lab.mine(CONFIRMATIONS)
        paid = paid_to(await life.until_status(Status.REFUNDED))
        assert paid == {BUYER: XMR - PART - paid[""], "": paid[""]}


async def test_deposit_spent_before_a_restart_is_settled(lab: RegtestLab, house: EscrowHouse) -> None:
    """The check of the deposit learns the key image in another run than that which read the spend."""
    async with house.open() as running:
        life = await created(lab, running, confirmations=20)
        await life.fund()
        outside = await spend(running, life, XMR)
        assert (await life.view()).ledger.spends == ()
    async with house.open() as running:
        life = EscrowLife(lab, running.orchestrator, running.store, life.id, life.address)
        await lab.mine(10)
        view = await held_for(life, outside)
        assert (view.escrow.deposit.unspent, view.allowed_actions(Who.OPERATOR)) == (0, ("resume", "settle"))
        await life.say(Settled("the parties moved it themselves"), Who.OPERATOR)
        assert (await life.until_status(Status.CANCELLED)).payouts == ()


async def test_spent_output_that_was_planned_leaves_the_rest_to_be_released(
    lab: RegtestLab, house: EscrowHouse
) -> None:
    """The payout learns the key image of a further payment that was spent long ago: the operator releases the rest."""
    async with house.open() as running:
        life = await created(lab, running)
        await life.fund()
        await life.until_status(Status.FUNDED)
        await life.fund(PART)
        outside = await spend(running, life, PART)
        await lab.mine(OLD)
        await until_read(life)
        assert (await life.view()).ledger.spends == ()
        await life.say(Released(), Who.BUYER)
        await held_for(life, outside)
        await life.say(Released(), Who.OPERATOR)
        paid = paid_to(await life.until_paid(Status.COMPLETED))
        assert paid == {VENDOR: XMR - paid[""], "": paid[""]}
