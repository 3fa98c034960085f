"""Payouts on real wallets and a real chain: who gets what, to the piconero."""

import pytest

from escrowd.domain.errors import EscrowdError
from escrowd.domain.escrow.events import Disputed, Event, Refunded, Released, Ruled, SplitAccepted, SplitProposed
from escrowd.domain.escrow.facts import HoldReason
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.escrow.terms import Terms
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.records import AttemptStep, Payout, PayoutKind, PayoutStatus
from escrowd.service.payouts.rates import normal_fee_rate
from tests.regtest.payouts.office import AMOUNT, BUYER, OPERATOR, VENDOR, Office, Trade, a_deal, subaddress, with_fee

B, V, A = WalletRole.BUYER, WalletRole.VENDOR, WalletRole.ARBITER
#: Less than spending it costs on the private chain.
DUST = 10**9


async def paid_out(office: Office, payout: Payout) -> tuple[int, int, int]:
    """Return what buyer, vendor and operator got from a payout, as outsiders see it."""
    txids = [one.txid for one in payout.transactions]
    buyer, vendor, operator = [sum(await office.paid_to(each, txids)) for each in (BUYER, VENDOR, OPERATOR)]
    return buyer, vendor, operator


async def decide(trade: Trade, pair: tuple[WalletRole, WalletRole], *moves: tuple[Event, Who]) -> Payout:
    """Let people speak, and carry the payout to its end: a pair signs it, and the third wallet is not touched."""
    for event, who in moves:
        await trade.say(event, who)
    trade.office.calls.clear()
    assert (await trade.advance()).status is Status.PAYING
    (attempt,) = await trade.attempts()
    assert trade.office.signed_with(trade.wallets) == {attempt.proposer, attempt.cosigner} == set(pair)
    await trade.finish()
    (payout,) = await trade.payouts()
    assert payout.status is PayoutStatus.CONFIRMED
    assert sum(each.amount for each in await trade.money_left() if each.account == 0) == payout.residue
    return payout


async def test_release_pays_the_vendor_all_but_the_network_fee(office: Office) -> None:
    """A release leaves nothing behind: the vendor gets the deposit less the fee of the network."""
    async with office.trade(0) as trade:
        assert (await trade.fund()).status is Status.FUNDED
        payout = await decide(trade, (B, V), (Released(), Who.BUYER))
        (one,) = payout.transactions
        assert await paid_out(office, payout) == (0, AMOUNT - one.network_fee, 0)
        assert (await trade.escrow()).status is Status.COMPLETED


async def test_refund_pays_the_buyer_everything_beside_the_deposit_too(office: Office) -> None:
    """A refund gives the buyer all that is there, excess and money to subaddresses of the account included."""
    async with office.trade(0) as trade:
        await trade.pay_in(AMOUNT // 100, address=subaddress(trade.wallets, 0, 1))
        assert (await trade.fund(AMOUNT // 4, AMOUNT)).status is Status.FUNDED
        payout = await decide(trade, (V, B), (Refunded(), Who.VENDOR))
        fee = sum(one.network_fee for one in payout.transactions)
        assert await paid_out(office, payout) == (AMOUNT + AMOUNT // 4 + AMOUNT // 100 - fee, 0, 0)
        assert (await trade.escrow()).status is Status.REFUNDED


async def test_split_pays_three_receivers_their_parts(office: Office) -> None:
    """In a split the vendor bears its part of the expected network fee, the buyer the rest; no change (E4)."""
    async with office.trade(0, with_fee(250)) as trade:
        assert (await trade.fund(AMOUNT // 2, AMOUNT // 2)).status is Status.FUNDED
        share = 3 * AMOUNT // 4
        moves = ((SplitProposed(share), Who.BUYER), (SplitAccepted(share), Who.VENDOR))
        expected_fee = (await normal_fee_rate(office.daemon)).estimate(2, 3)
        payout = await decide(trade, (B, V), *moves)
        (one,) = payout.transactions
        earned = share * 250 // 10_000
        vendor, buyer = share - earned, AMOUNT - share
        of_vendor = expected_fee * vendor // (vendor + buyer)
        assert await paid_out(office, payout) == (buyer - one.network_fee + of_vendor, vendor - of_vendor, earned)
        assert (await trade.escrow()).status is Status.SPLIT
        assert await trade.money_left() == []


async def test_ruling_pays_excess_back_in_the_same_transaction(office: Office) -> None:
    """A release returns an excess to the buyer without a network fee, which the vendor bears alone."""
    async with office.trade(0) as trade:
        assert (await trade.fund(AMOUNT, AMOUNT // 10)).status is Status.FUNDED
        payout = await decide(trade, (A, V), (Disputed(), Who.BUYER), (Ruled(AMOUNT), Who.ARBITER))
        (one,) = payout.transactions
        assert payout.kind is PayoutKind.RELEASE
        assert await paid_out(office, payout) == (AMOUNT // 10, AMOUNT - one.network_fee, 0)


async def test_late_money_goes_back_to_the_buyer(office: Office) -> None:
    """What comes after the end goes back to the buyer, each account of the wallet by itself, and once."""
    async with office.trade(0) as trade:
        await trade.fund()
        await decide(trade, (B, V), (Released(), Who.BUYER))
        await trade.pay_in(AMOUNT // 3)
        await trade.pay_in(AMOUNT // 5, address=subaddress(trade.wallets, 1, 0))
        await office.lab.mine(10)
        await trade.advance()
        await trade.settle()
        _, *returns = await trade.payouts()
        assert [(each.kind, each.account, each.status) for each in returns] == [
            (PayoutKind.RETURN, 0, PayoutStatus.CONFIRMED),
            (PayoutKind.RETURN, 1, PayoutStatus.CONFIRMED),
        ]
        fees = [sum(one.network_fee for one in each.transactions) for each in returns]
        assert [await paid_out(office, each) for each in returns] == [
            (AMOUNT // 3 - fees[0], 0, 0),
            (AMOUNT // 5 - fees[1], 0, 0),
        ]
        assert {(each.proposer, each.cosigner) for each in (await trade.attempts())[1:]} == {(A, B)}
        assert await trade.money_left() == []


async def test_second_deposit_while_paying_goes_back_by_itself(office: Office) -> None:
    """Money that comes while the payout is under way changes nothing of it, and goes back to the buyer afterwards."""
    async with office.trade(0) as trade:
        await trade.fund()
        await trade.say(Released(), Who.BUYER)
        await trade.pay_in(AMOUNT // 2)
        assert (await trade.advance()).status is Status.PAYING
        await trade.pay_in(AMOUNT // 4)
        assert (await trade.settle()).status is Status.COMPLETED
        first, *returns = await trade.payouts()
        assert await paid_out(office, first) == (0, AMOUNT - first.transactions[0].network_fee, 0)
        fees = sum(one.network_fee for each in returns for one in each.transactions)
        assert sum([(await paid_out(office, each))[0] for each in returns]) == AMOUNT // 2 + AMOUNT // 4 - fees
        assert await trade.money_left() == []


@pytest.mark.parametrize(("kept", "terms"), [(1, a_deal()), (7, with_fee())], ids=["one receiver", "two receivers"])
async def test_sixty_inputs_are_paid_out(office: Office, kept: int, terms: Terms) -> None:
    """A deposit in sixty pieces is paid out; what stays behind is less than a part of the fee, and told."""
    async with office.trade(kept, terms) as trade:
        assert (await trade.fund(*[AMOUNT // 60 + 1] * 60)).status is Status.FUNDED
        payout = await decide(trade, (B, V), (Released(), Who.BUYER))
        fee = sum(one.network_fee for one in payout.transactions)
        total = 60 * (AMOUNT // 60 + 1)
        earned = terms.fee.of(total) if terms.fee else 0
        assert await paid_out(office, payout) == (0, total - earned - fee - payout.residue, earned)
        assert payout.residue < fee // 10
        assert len(payout.output_keys) == 60


async def test_dust_beside_the_deposit_is_left_behind_and_told(office: Office) -> None:
    """Somebody who sends dust to addresses of the escrow neither stops the payout nor makes it dearer."""
    async with office.trade(8, with_fee()) as trade:
        for account, index in ((0, 1), (1, 0)):
            await trade.pay_in(DUST, address=subaddress(trade.wallets, account, index))
        assert (await trade.fund(AMOUNT, DUST)).status is Status.FUNDED
        payout = await decide(trade, (B, V), (Released(), Who.BUYER))
        (one,) = payout.transactions
        assert await paid_out(office, payout) == (0, AMOUNT - AMOUNT // 40 - one.network_fee, AMOUNT // 40)
        assert (payout.residue, len(payout.output_keys)) == (2 * DUST, 1)
        assert [each.amount for each in await trade.money_left()] == [DUST] * 3


async def test_deposit_that_was_spent_outside_is_not_paid_out(office: Office) -> None:
    """When two signers have moved the deposit behind our back, nothing is signed, and the operator is told."""
    async with office.trade(1) as trade:
        await trade.fund()
        outside = await spent_outside(trade)
        await trade.say(Released(), Who.BUYER)
        with pytest.raises(EscrowdError):
            await trade.advance()
        await office.lab.mine(1)
        trade.txids.append(outside)
        escrow = await trade.advance()
        assert escrow.hold is not None
        assert (escrow.status, escrow.hold.reason) == (Status.HELD, HoldReason.SPENT_OUTSIDE)
        assert {each.step for each in await trade.attempts()} <= {AttemptStep.DISCARDED, AttemptStep.EXPORTED}


async def spent_outside(trade: Trade) -> str:
    """Pay the deposit to the buyer with the keys of vendor and arbiter, past the service."""
    async with trade.lease() as lease:
        vendor, arbiter = lease.wallet(V), lease.wallet(A)
        await vendor.refresh()
        await arbiter.refresh()
        from_vendor, from_arbiter = await vendor.export_multisig_info(), await arbiter.export_multisig_info()
        await vendor.import_multisig_info([from_arbiter])
        await arbiter.import_multisig_info([from_vendor])
        proposed = await vendor.sweep_all(BUYER.address)
        signed = await arbiter.sign_multisig(proposed.multisig_txset)
        (txid,) = await arbiter.submit_multisig(signed.tx_data_hex)
        return txid
