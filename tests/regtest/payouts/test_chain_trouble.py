"""What the chain does to a payout that was signed, on a chain of its own: the same bytes again, or a call for help."""

import asyncio

import pytest

from escrowd.domain.address import MoneroAddress
from escrowd.domain.escrow.events import Event, Released, Resumed
from escrowd.domain.escrow.facts import HoldReason
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.networks import Network
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.records import AttemptStep, PayoutStatus
from escrowd.monero.versions import Capability
from escrowd.testing.funder import FUNDER_ADDRESS
from tests.regtest.chain.hostile import Cases
from tests.regtest.chain.mining import mine_by_hand
from tests.regtest.payouts.office import AMOUNT, BUYER, VENDOR, Office, Trade
from tests.unit.chain.sender import keys_of

#: Blocks with outputs for rings.
ROUNDS = 12


async def sent(trade: Trade) -> str:
    """Carry a release as far as to the pool, and return the id of its transaction."""
    assert (await trade.fund()).status is Status.FUNDED
    await trade.say(Released(), Who.BUYER)
    assert (await trade.advance()).status is Status.PAYING
    (attempt,) = await trade.attempts()
    return attempt.transactions[0].txid


async def assert_paid_once(trade: Trade, txid: str) -> None:
    """Make sure that the payout is in the chain, as it was signed in the beginning."""
    (attempt,) = await trade.attempts()
    (one,) = attempt.transactions
    assert (attempt.number, attempt.step, one.txid) == (1, AttemptStep.SUBMITTED, txid)
    (found,) = await trade.office.transactions([txid])
    assert found.block_height is not None
    assert await trade.office.paid_to(VENDOR, [txid]) == [AMOUNT - one.network_fee]
    assert await trade.money_left() == []


async def lose(trade: Trade, txid: str, blocks: int) -> None:
    """Take blocks off the chain, and the payout out of the pool."""
    await trade.office.lab.pop_blocks(blocks)
    await trade.office.daemon.flush_txpool([txid])
    assert await trade.office.transactions([txid]) == ()


async def test_reorganised_payout_is_built_anew(rough: Office) -> None:
    """A payout that a reorganisation throws out is sent again, the same bytes: before it was final and after."""
    async with rough.trade(0) as trade:
        txid = await sent(trade)
        await rough.lab.mine(3)
        await trade.advance()
        await lose(trade, txid, 3)
        assert (await trade.advance()).status is Status.PAYING
        assert (await trade.finish()).status is Status.COMPLETED
        await assert_paid_once(trade, txid)

        await lose(trade, txid, 10)
        await rough.lab.mine(10)
        assert (await trade.advance()).status is Status.PAYING
        await trade.advance()
        assert (await trade.finish()).status is Status.COMPLETED
        await assert_paid_once(trade, txid)


async def outputs_for_rings(rough: Office) -> list[str]:
    """Fill blocks with outputs that go into rings, for which miners' are too young. Return their transactions."""
    txids: set[str] = set()
    for _ in range(ROUNDS):
        txids |= set(await rough.lab.pay_many([(FUNDER_ADDRESS, AMOUNT // 100)] * 15))
        await rough.lab.mine(1)
    await rough.lab.mine(10)
    return list(txids)


@pytest.mark.parametrize("command", [Released(), Resumed()], ids=["release", "resume"])
async def test_rings_that_a_deep_reorganisation_broke_do_not_lock_the_money_up(rough: Office, command: Event) -> None:
    """What the daemon takes no more is replaced at the command of the operator, by what spends the same output."""
    async with rough.trade(3) as trade:
        assert (await trade.fund()).status is Status.FUNDED
        young = await outputs_for_rings(rough)
        await trade.say(Released(), Who.BUYER)
        assert (await trade.advance()).status is Status.PAYING
        (lost,) = (await trade.payouts())[0].transactions
        await lose(trade, lost.txid, ROUNDS + 10)
        await rough.daemon.flush_txpool(young)
        await rough.lab.mine(ROUNDS + 12)
        assert (await trade.advance()).status is Status.HELD

        await trade.say(command, Who.OPERATOR)
        assert (await trade.advance()).status is Status.PAYING
        assert (await trade.finish()).status is Status.COMPLETED
        first, second = await trade.payouts()
        assert (first.status, second.status) == (PayoutStatus.ABANDONED, PayoutStatus.CONFIRMED)
        (one,) = second.transactions
        assert one.txid != lost.txid
        assert one.key_images == lost.key_images
        assert await rough.paid_to(VENDOR, [one.txid]) == [AMOUNT - one.network_fee]
        assert await rough.transactions([lost.txid]) == ()
        assert await trade.money_left() == []


async def test_unreadable_output_takes_no_more_than_what_came_after_it(rough: Office) -> None:
    """A transaction made to stop the wallets stops those of 0.18.0.0 permanently, and those of 0.18.5.3 not at all.

    Wallets that are stuck pay out what was there before its block, and what came later stays; the others pay it all.
    """
    async with rough.trade(4) as trade:
        assert (await trade.fund()).status is Status.FUNDED
        address = MoneroAddress.parse(trade.wallets.address, Network.REGTEST)
        extra, pays = Cases(address, keys_of(trade.wallets), "stuck").that_no_wallet_gets_over()
        await mine_by_hand(rough.lab, pays, extra)
        await trade.pay_in(AMOUNT // 4)
        await rough.lab.mine(12)
        await trade.say(Released(), Who.BUYER)
        assert (await trade.advance()).status is Status.PAYING
        assert (await trade.finish()).status is Status.COMPLETED
        async with trade.lease() as lease:
            heights = {await lease.wallet(role).get_height() for role in WalletRole}
            passes = Capability.PASSES_UNREADABLE_OUTPUTS in await lease.wallet(WalletRole.BUYER).capabilities()
        (one,) = (await trade.payouts())[0].transactions
        assert await rough.paid_to(VENDOR, [one.txid]) == [AMOUNT - one.network_fee]
        steps = [each.step for each in await trade.attempts()]
        left = [each.amount for each in await trade.money_left()]
        if passes:
            assert steps == [AttemptStep.SUBMITTED]
            assert await rough.paid_to(BUYER, [one.txid]) == [AMOUNT // 4]
            assert left == []
        else:
            assert steps[:2] == [AttemptStep.DISCARDED, AttemptStep.SUBMITTED]
            assert left == [AMOUNT // 4]
            assert max(heights) < (await rough.daemon.get_info()).height - 12


async def swept_outside(trade: Trade) -> str:
    """Let buyer and vendor pay the deposit to somebody else, past the service."""
    async with trade.lease() as lease:
        buyer, vendor = (lease.wallet(role) for role in (WalletRole.BUYER, WalletRole.VENDOR))
        await asyncio.gather(buyer.refresh(), vendor.refresh())
        exported = await asyncio.gather(buyer.export_multisig_info(), vendor.export_multisig_info())
        await asyncio.gather(buyer.import_multisig_info(exported[1:]), vendor.import_multisig_info(exported[:1]))
        built = await buyer.sweep_all(FUNDER_ADDRESS)
        signed = await vendor.sign_multisig(built.multisig_txset)
        (txid,) = await vendor.submit_multisig(signed.tx_data_hex)
        return txid


async def test_signed_payout_loses_against_an_outside_spend_unnoticed(rough: Office) -> None:
    """A payout that is signed and finds its money spent in the chain calls a person, and is never built anew."""
    async with rough.trade(2) as trade:
        txid = await sent(trade)
        await rough.daemon.flush_txpool([txid])
        await swept_outside(trade)
        await rough.lab.mine(1)
        assert (await trade.advance()).status is Status.HELD
        hold = (await trade.escrow()).hold
        assert hold is not None
        assert hold.reason is HoldReason.SPENT_OUTSIDE
        (attempt,) = await trade.attempts()
        assert attempt.transactions[0].txid == txid
