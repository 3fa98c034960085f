"""A deposit that a reorganisation removes after delivery, on the real engine (W12)."""

from typing import Any

import msgspec
import pytest

from escrowd.bootstrap.service import RunningService
from escrowd.domain.escrow.events import Delivered, Resumed
from escrowd.domain.escrow.facts import HoldReason
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.outputs import ReceivedOutput
from escrowd.monero.results_daemon import KeyImageStatus
from escrowd.testing.escrow_house import EscrowHouse
from escrowd.testing.lab import RegtestLab
from tests.escrow_life import XMR, EscrowLife

pytestmark = pytest.mark.timeout(600)


async def entries(life: EscrowLife, kind: str) -> list[dict[str, Any]]:
    """Return what the log of the escrow holds of one type, oldest first."""
    async with life.store.reading() as tx:
        log = await tx.escrows.log(life.id)
    return [msgspec.json.decode(each.data) for each in log if each.type == kind]


def listed(deposit: ReceivedOutput, **changes: object) -> dict[str, object]:
    """Return a payment as an event lists it."""
    return {
        "txid": deposit.txid,
        "output": str(deposit.index),
        "key": deposit.key,
        "amount": str(XMR),
        "height": str(deposit.height),
        "confirmed": False,
        "reason": None,
        **changes,
    }


async def delivered(lab: RegtestLab, running: RunningService) -> tuple[EscrowLife, ReceivedOutput]:
    """Return an escrow whose deposit was final when the vendor delivered, and that deposit."""
    life = EscrowLife(lab, running.orchestrator, running.store)
    await life.create(reference="order-7")
    await life.fund()
    (deposit,) = (await life.until_status(Status.FUNDED)).ledger.outputs
    await life.say(Delivered(), Who.VENDOR)
    return life, deposit


async def test_deposit_that_a_reorganisation_removes_is_named_until_it_is_back() -> None:
    """W12: hold, events and ledger name transaction, output, amount and block of the deposit that is gone.

    Its transaction spent key images that the chain shows as spent while it is in a block, and no longer afterwards.
    """
    async with RegtestLab.start() as lab:
        house = await EscrowHouse.build(lab, lab.directory / "house", kept=1)
        async with house.open() as running:
            life, deposit = await delivered(lab, running)
            (found,) = (await lab.daemon.get_transactions([deposit.txid])).txs
            assert set(await lab.daemon.is_key_image_spent(deposit.sources)) == {KeyImageStatus.SPENT_IN_CHAIN}
            (confirmed,) = await entries(life, "deposit.confirmed")
            assert confirmed["details"]["payments"] == [listed(deposit, confirmed=True)]

            await lab.pop_blocks(10)
            await lab.daemon.flush_txpool([deposit.txid])
            held = await life.until_status(Status.HELD)
            assert (held.ledger.outputs, held.ledger.lost) == ((), (deposit,))
            assert set(await lab.daemon.is_key_image_spent(deposit.sources)) == {KeyImageStatus.UNSPENT}
            assert held.escrow.hold is not None
            assert held.escrow.hold.reason is HoldReason.DEPOSIT_GONE
            details = (
                f"the deposit is no longer in the chain: 1.000000000000 XMR by output {deposit.index} "
                f"of transaction {deposit.txid} was in block {deposit.height}"
            )
            assert held.escrow.hold.details == details
            assert (await entries(life, "deposit.reorged"))[-1]["details"]["payments"] == [
                listed(deposit, reason="reorged")
            ]
            (told,) = await entries(life, "escrow.held")
            assert (told["reference"], told["hold"]["details"]) == ("order-7", details)

            await lab.daemon.send_raw_transaction(found.as_hex)
            await lab.mine(10)
            back = await life.until(lambda view: view.escrow.is_confirmed_in_full, "the deposit is back")
            assert [each.txid for each in back.ledger.outputs] == [deposit.txid]
            assert back.ledger.lost == ()
            await life.say(Resumed(), Who.OPERATOR)
            await life.until_status(Status.DELIVERED)
