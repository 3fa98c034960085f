"""Blocks that are taken back with the deposit and its payout in them."""

import json
from pathlib import Path
from typing import Any

import pytest

from escrowd.domain.escrow.events import Delivered, Released
from escrowd.domain.escrow.facts import HoldReason
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.payouts.records import PayoutStatus
from escrowd.domain.secret import Secret
from escrowd.monero.results_signing import BuiltTransaction
from escrowd.monero.versions import Release
from tests.engine import installed_release
from tests.faults.ways_out import Books, Ways, books, fees_of, held, put_into_pool, sent_release, take_back
from tests.regtest.chain.conftest import send
from tests.regtest.payouts.office import AMOUNT, Office, Trade

pytestmark = pytest.mark.timeout(600)


async def two_spends(office: Office, trade: Trade, directory: Path) -> tuple[BuiltTransaction, BuiltTransaction]:
    """Let a buyer sign two transactions that spend the same output: one pays the escrow, the other the buyer."""
    directory.chmod(0o700)
    buyer = (await office.lab.start_wallet_process(directory)).client
    await buyer.create_wallet("buyer", Secret("password of a test"))
    address = await buyer.get_address()
    await office.lab.pay(address, 2 * AMOUNT)
    await office.lab.mine(10)
    deposit = await send(buyer, [(trade.wallets.address, AMOUNT)], do_not_relay=True)
    return deposit, await send(buyer, [(address, AMOUNT)], do_not_relay=True)


async def test_money_paid_again_after_a_double_spend_counts_as_the_deposit(ways: Ways, tmp_path: Path) -> None:
    """Deposit and payout are taken back, the deposit is spent otherwise and paid once more: that is released (W5)."""
    async with ways.trade() as trade:
        deposit, double_spend = await two_spends(ways.office, trade, tmp_path)
        await put_into_pool(ways.office, deposit.tx_blob)
        trade.txids.append(deposit.tx_hash)
        await ways.office.lab.mine(10)
        assert (await trade.advance()).status is Status.FUNDED
        await trade.say(Released(), Who.BUYER)
        assert (await trade.advance()).status is Status.PAYING
        (lost,) = await trade.payouts()
        await ways.office.lab.mine(4)
        await trade.advance()

        await take_back(ways.office, 14, [deposit.tx_hash, lost.transactions[0].txid])
        await put_into_pool(ways.office, double_spend.tx_blob)
        await ways.office.lab.mine(14)
        await held(trade)
        await trade.pay_in(AMOUNT)
        await ways.office.lab.mine(10)
        assert (await held(trade)).deposit.spendable == AMOUNT
        await trade.say(Released(), Who.OPERATOR)
        assert (await trade.advance()).status is Status.PAYING
        assert (await trade.settle()).status is Status.COMPLETED
        assert [each.status for each in await trade.payouts()] == [PayoutStatus.ABANDONED, PayoutStatus.CONFIRMED]
        fee = fees_of((await trade.payouts())[-1])
        assert await books(trade) == Books(AMOUNT, vendor=AMOUNT - fee, fees=fee)


async def test_deposit_that_comes_back_after_another_was_paid_out_goes_to_the_buyer(ways: Ways) -> None:
    """The first deposit is mined again elsewhere, where its payout names other ring members: it is late money."""
    async with ways.trade() as trade:
        release = await sent_release(trade)
        (payout,) = (one.txid for one in release.transactions)
        (deposit,) = (each for each in trade.txids if each != payout)
        (found,) = await ways.office.transactions([deposit])
        await ways.office.lab.mine(4)
        await trade.advance()
        await take_back(ways.office, 14, [deposit, payout])
        await ways.office.lab.mine(1)
        await held(trade)
        await trade.pay_in(AMOUNT)
        await ways.office.lab.mine(10)
        await held(trade)
        await trade.say(Released(), Who.OPERATOR)
        assert (await trade.advance()).status is Status.PAYING
        await put_into_pool(ways.office, found.as_hex)
        await ways.office.lab.mine(10)
        await trade.advance()
        assert (await trade.settle()).status is Status.COMPLETED
        first, second, returned = await trade.payouts()
        assert first.status is PayoutStatus.ABANDONED
        fee, return_fee = fees_of(second), fees_of(returned)
        assert await books(trade) == Books(
            2 * AMOUNT, vendor=AMOUNT - fee, buyer=AMOUNT - return_fee, fees=fee + return_fee
        )


async def test_deposit_and_payout_that_are_taken_back_come_back(ways: Ways) -> None:
    """A reorganisation takes deposit and payout, and both are mined again: the same transaction pays, once."""
    async with ways.trade() as trade:
        release = await sent_release(trade)
        await ways.office.lab.mine(4)
        await trade.advance()
        await ways.office.lab.pop_blocks(14)
        assert (await trade.advance()).status is Status.PAYING
        await ways.office.lab.mine(10)
        await trade.advance()
        await ways.office.lab.mine(4)
        await trade.advance()
        if installed_release() < Release(0, 18, 5, 3):
            # Its pool never tries a transaction again that failed on a block which is still in the chain
            # (is_transaction_ready_to_go in tx_pool.cpp). Flushed by the operator, it is sent again.
            assert (await trade.finish()).status is Status.PAYING
            await ways.office.daemon.flush_txpool([one.txid for one in release.transactions])
            assert (await trade.advance()).status is Status.PAYING
        assert (await trade.settle()).status is Status.COMPLETED
        (paid,) = await trade.payouts()
        assert [one.txid for one in paid.transactions] == [one.txid for one in release.transactions]
        fee = fees_of(paid)
        assert await books(trade) == Books(AMOUNT, vendor=AMOUNT - fee, fees=fee)


async def told(trade: Trade, type_: str) -> dict[str, Any]:
    """Return what the log of an escrow says of the last event of a type."""
    data: dict[str, Any] = json.loads([each.data for each in await trade.log() if each.type == type_][-1])
    return data


async def test_log_names_the_deposit_that_a_reorganisation_took(ways: Ways) -> None:
    """The log has transaction, output and height of a lost deposit, and the reason of the hold (W12)."""
    async with ways.trade() as trade:
        (txid,) = await trade.pay_in(AMOUNT)
        height = await ways.office.lab.mine(10) - 10
        assert (await trade.advance()).status is Status.FUNDED
        (payment,) = (await told(trade, "deposit.confirmed"))["details"]["payments"]
        place = {"txid": txid, "output": payment["output"], "height": str(height), "amount": str(AMOUNT)}
        assert payment | place == payment
        await trade.say(Delivered(), Who.VENDOR)

        await take_back(ways.office, 10, [txid])
        escrow = await held(trade)
        assert escrow.hold is not None
        assert escrow.hold.reason is HoldReason.DEPOSIT_GONE
        assert txid in escrow.hold.details
        (lost,) = (await told(trade, "deposit.reorged"))["details"]["payments"]
        assert lost | place == lost
        hold = (await told(trade, "escrow.held"))["hold"]
        assert (hold["reason"], hold["since"]) == ("deposit_gone", "delivered")
        assert txid in hold["details"]

        await trade.pay_in(AMOUNT)
        await ways.office.lab.mine(10)
        await held(trade)
        await trade.say(Released(), Who.OPERATOR)
        assert (await trade.advance()).status is Status.PAYING
        assert (await trade.settle()).status is Status.COMPLETED
        fee = fees_of(*await trade.payouts())
        assert await books(trade) == Books(AMOUNT, vendor=AMOUNT - fee, fees=fee)
