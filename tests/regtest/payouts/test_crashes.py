"""Crashes and lost replies on the way of a payout, on real wallets: exactly one payout, and no nonce used twice."""

import pytest

from escrowd.domain.escrow.events import Released
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.records import Attempt, AttemptStep, PayoutStatus
from escrowd.domain.secret import Secret
from escrowd.monero.errors import MultisigRefused
from escrowd.service.crash_points import CrashPoint, hit_by
from escrowd.service.payouts.journal import set_purpose
from tests.regtest.payouts.office import AMOUNT, SIGNING, VENDOR, Crashed, Office, Trade

#: The buyer's release is signed by these.
PROPOSER, COSIGNER = WalletRole.BUYER, WalletRole.VENDOR
BEFORE_SIGNED = [
    CrashPoint.P1_INTENT,
    CrashPoint.P2_EXPORTED,
    CrashPoint.P3_EXPORT_STORED,
    CrashPoint.P4_IMPORTED,
    CrashPoint.P5_PROPOSED,
    CrashPoint.P6_VALIDATED,
    CrashPoint.P7_SIGN_INTENT,
    CrashPoint.P8_SIGNED,
    CrashPoint.P9_SIGN_STORED,
    CrashPoint.P9_RECORDED,
]


class PowerCut:
    """Kills the wallet processes of both signers at a place, and the service with them."""

    def __init__(self, trade: Trade, at: CrashPoint) -> None:
        self._trade = trade
        self._at = at

    def __call__(self, point: CrashPoint) -> None:
        if point is self._at:
            for role in (PROPOSER, COSIGNER):
                self._trade.office.kill(self._trade.wallets, role)
            raise Crashed(point)


async def released(trade: Trade) -> None:
    """Fund a trade whose wallets are kept, and decide on the money."""
    assert (await trade.fund()).status is Status.FUNDED
    await trade.say(Released(), Who.BUYER)


async def crash(trade: Trade, at: CrashPoint) -> None:
    """Carry the payout to a place where the power is cut."""
    with hit_by(PowerCut(trade, at)), pytest.raises(Crashed):
        await trade.advance()


async def finished(trade: Trade) -> Attempt:
    """Carry the payout to its end, make sure that there was one, and return the attempt that made it."""
    await trade.advance()
    assert (await trade.finish()).status is Status.COMPLETED
    (payout,) = await trade.payouts()
    assert payout.status is PayoutStatus.CONFIRMED
    *given_up, last = await trade.attempts()
    assert [each.step for each in given_up] == [AttemptStep.DISCARDED] * len(given_up)
    assert last.step is AttemptStep.SUBMITTED
    (one,) = last.transactions
    assert await trade.office.paid_to(VENDOR, [one.txid]) == [AMOUNT - one.network_fee]
    assert await trade.money_left() == []
    return last


async def test_service_that_ends_at_each_step_pays_once(office: Office) -> None:
    """However often the service ends before the signature is stored, each time a new attempt begins; one pays."""
    async with office.trade(2) as trade:
        await released(trade)
        for at in BEFORE_SIGNED:
            with hit_by(lambda point, at=at: _end(point, at)), pytest.raises(Crashed):  # type: ignore[misc]
                await trade.advance()
        assert (await finished(trade)).number == len(BEFORE_SIGNED) + 1


async def test_power_cut_before_the_signature_is_stored_begins_anew(office: Office) -> None:
    """What wallets had not stored is lost with them, and nothing of it is needed: fresh nonces make the one payout."""
    async with office.trade(2) as trade:
        await released(trade)
        for at in (CrashPoint.P2_EXPORTED, CrashPoint.P8_SIGNED):
            await crash(trade, at)
        assert (await finished(trade)).number == 3


async def test_power_cut_after_the_signature_is_stored_sends_the_same_bytes(office: Office) -> None:
    """What is signed and stored is sent as often as need be, and never built again."""
    async with office.trade(2) as trade:
        await released(trade)
        await crash(trade, CrashPoint.P10_SIGNED_IN_DB)
        (before,) = await trade.attempts()
        for at in (CrashPoint.P11_SUBMIT_SENT, CrashPoint.P12_SUBMIT_OK, CrashPoint.P13_IN_POOL):
            with hit_by(lambda point, at=at: _end(point, at)), pytest.raises(Crashed):  # type: ignore[misc]
                await trade.advance()
        after = await finished(trade)
        assert (after.number, after.transactions) == (1, before.transactions)


async def test_proposal_from_before_a_crash_cannot_be_signed_any_more(office: Office) -> None:
    """Once the next attempt has begun, no wallet signs what an earlier one proposed: its nonces are gone."""
    async with office.trade(2) as trade:
        await released(trade)
        await crash(trade, CrashPoint.P8_SIGNED)
        await crash(trade, CrashPoint.P5_PROPOSED)
        first, second = await trade.attempts()
        assert (first.step, second.step) == (AttemptStep.DISCARDED, AttemptStep.PROPOSED)
        async with trade.lease() as lease:
            for role in (COSIGNER, WalletRole.ARBITER):
                with pytest.raises(MultisigRefused):
                    await lease.wallet(role).sign_multisig(proposal(trade, first))
        assert (await finished(trade)).number == 3


async def test_stored_bytes_are_sent_without_any_wallet(office: Office) -> None:
    """What is signed and stored goes out by the daemon, though no wallet process or file is left (E9, W6)."""
    async with office.trade(2) as trade:
        await released(trade)
        await crash(trade, CrashPoint.P10_SIGNED_IN_DB)
        office.kill(trade.wallets, WalletRole.ARBITER)
        with office.without_files(trade.wallets):
            office.calls.clear()
            assert (await trade.advance()).status is Status.PAYING
            (payout,) = await trade.payouts()
            assert payout.status is PayoutStatus.BROADCAST
            assert not {call.method for call in office.calls} & {*SIGNING, "open_wallet"}
        assert (await finished(trade)).number == 1


async def test_stored_bytes_are_sent_while_the_chain_cannot_be_trusted(office: Office) -> None:
    """A closed gate keeps new signatures back, and not the bytes that are signed and stored."""
    async with office.trade(2) as trade:
        await released(trade)
        await crash(trade, CrashPoint.P10_SIGNED_IN_DB)
        trade.sight.is_in_sync = False
        await trade.advance()
        (attempt,) = await trade.attempts()
        assert attempt.step is AttemptStep.SUBMITTED
        assert len(await office.transactions([attempt.transactions[0].txid])) == 1
        trade.sight.is_in_sync = True
        assert (await finished(trade)).number == 1


async def test_signed_attempt_without_bytes_is_replaced_by_one_that_shares_an_input(office: Office) -> None:
    """An attempt whose bytes are not stored, and that the daemon never saw, gives way to a new one (E9, I3)."""
    async with office.trade(2) as trade:
        await released(trade)
        await crash(trade, CrashPoint.P10_SIGNED_IN_DB)
        await trade.lose_bytes()
        attempt = await finished(trade)
        lost, _ = await trade.attempts()
        assert attempt.number == 2
        assert set(attempt.transactions[0].key_images) & set(lost.transactions[0].key_images)


async def test_wallet_that_refuses_its_own_set_is_not_reported_as_a_refusal_of_the_daemon(office: Office) -> None:
    """Where the wallet does not hand over the bytes, the attempt is given up and made anew; nothing is held (E9)."""
    async with office.trade(2) as trade:
        await released(trade)
        async with trade.lease():
            office.refuse(trade.wallets, COSIGNER, "submit_multisig", -34, "Failed to parse multisig tx data.")
        with pytest.raises(MultisigRefused, match="Failed to parse"):
            await trade.advance()
        assert (await trade.escrow()).status is Status.PAYING
        assert (await finished(trade)).number == 2


async def test_lost_replies_cost_attempts_and_no_second_payout(office: Office) -> None:
    """A lost reply on the way to the stored bytes costs an attempt, and never makes a second payout."""
    for method in ("export_multisig_info", "sweep_all", "sign_multisig", "set_daemon", "submit_multisig"):
        async with office.trade(2) as trade:
            await released(trade)
            role = PROPOSER if method == "sweep_all" else COSIGNER
            async with trade.lease():
                office.lose_reply(trade.wallets, role, method)
            paid = await finished(trade)
            assert paid.number == 2
            assert role not in (paid.proposer, paid.cosigner)


def _end(point: CrashPoint, at: CrashPoint) -> None:
    if point is at:
        raise Crashed(point)


def proposal(trade: Trade, attempt: Attempt) -> Secret:
    """Return what an attempt proposed."""
    return trade.office.vault.unseal(attempt.sealed_proposal, set_purpose(attempt))
