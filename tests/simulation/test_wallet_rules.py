import asyncio
import random
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from escrowd.domain.escrow.terms import Terms
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.networks import Network
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.monero.errors import MultisigRefused, OutcomeUnknown, TransferRefused, WalletNotSaved
from escrowd.monero.results_wallet import Recipient
from escrowd.monero.wallet import MoneroClient
from escrowd.testing.simulation.addresses import address
from escrowd.testing.simulation.chain import SimulatedChain
from escrowd.testing.simulation.faults import Crashed, Faults, Life, Trouble
from escrowd.testing.simulation.loop import SimulatedLoop
from escrowd.testing.simulation.nature import Nature, Payment
from escrowd.testing.simulation.people import BUYER_ADDRESS, VENDOR_ADDRESS
from escrowd.testing.simulation.sessions import SimulatedSessions, WalletHouse
from escrowd.testing.simulation.signing import SigningLog
from escrowd.testing.simulation.spending import Costs
from escrowd.testing.simulation.wallet_rpc import NEW_RPC, OLD_RPC, Surroundings
from tests.simulation.simulated_ground import submit_recorded

ResultT = TypeVar("ResultT")

ESCROW = EscrowId("esc_01jd3v9k8z6x5w4t2r1q0p9n8m")
BUYER, VENDOR, ARBITER = WalletRole.BUYER, WalletRole.VENDOR, WalletRole.ARBITER
XMR = 10**12
OTHER = address("other")
TERMS = Terms(Network.REGTEST, 10**12, BUYER_ADDRESS, VENDOR_ADDRESS)


class Bench:
    """Three wallets of one escrow, on a chain of their own."""

    def __init__(self, rpc_version: int = OLD_RPC) -> None:
        self.chain = SimulatedChain(lambda: 1_000_000)
        self.faults = Faults()
        self.log = SigningLog()
        self.around = Surroundings(self.chain, self.log, self.faults, Costs(), lambda: 1_000_000, rpc_version)
        self.house = WalletHouse(self.around)
        self.house.make(ESCROW, address("escrow 0"))
        self.nature = Nature(self.chain, random.Random(0))
        self.life = Life(1)
        self.sessions = SimulatedSessions(self.house, 1, self.life)

    def pay(self, how: Payment = Payment.EXACT) -> None:
        self.nature.pay(ESCROW, address("escrow 0"), TERMS, how)
        self.chain.mine(12)

    def kill_wallets(self) -> None:
        for key in tuple(self.house.processes):
            self.house.kill(key)


def run(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    loop = SimulatedLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(work)


async def synchronise(*wallets: MoneroClient) -> None:
    for wallet in wallets:
        await wallet.refresh()
    exports = [await wallet.export_multisig_info() for wallet in wallets]
    for number, wallet in enumerate(wallets):
        await wallet.import_multisig_info([each for other, each in enumerate(exports) if other != number])


async def propose(wallet: MoneroClient, to: str = VENDOR_ADDRESS) -> Secret:
    return (await wallet.sweep_all(to)).multisig_txset


def test_nonce_that_came_back_signs_unnoticed() -> None:
    """A wallet that signed and died before a store signs another set with the same nonces, and that is on record."""

    async def story(bench: Bench) -> list[str]:
        bench.pay()
        async with bench.sessions.lease(ESCROW) as lease:
            await synchronise(lease.wallet(BUYER), lease.wallet(VENDOR))
            await lease.store()
            first = await propose(lease.wallet(BUYER))
            await lease.wallet(VENDOR).sign_multisig(first)
        bench.kill_wallets()
        async with bench.sessions.lease(ESCROW) as lease:
            second = await propose(lease.wallet(BUYER), BUYER_ADDRESS)
            await lease.wallet(VENDOR).sign_multisig(second)
        return bench.log.reuses

    assert len(run(story(Bench()))) == 1
    with pytest.raises(MultisigRefused, match="stale"):
        run(story(Bench(NEW_RPC)))


def test_stored_signature_can_be_made_again() -> None:
    """After a store that followed a signature, no set with the same nonces can be signed any more."""

    async def story(bench: Bench) -> None:
        bench.pay()
        async with bench.sessions.lease(ESCROW) as lease:
            await synchronise(lease.wallet(BUYER), lease.wallet(VENDOR))
            await lease.wallet(VENDOR).sign_multisig(await propose(lease.wallet(BUYER)))
            await lease.store()
        bench.kill_wallets()
        async with bench.sessions.lease(ESCROW) as lease:
            with pytest.raises(MultisigRefused, match="stale"):
                await lease.wallet(VENDOR).sign_multisig(await propose(lease.wallet(BUYER), BUYER_ADDRESS))

    bench = Bench()
    run(story(bench))
    assert bench.log.reuses == []


@pytest.mark.parametrize(("rpc_version", "keeps_data"), [(OLD_RPC, False), (NEW_RPC, True)])
def test_first_import_without_a_daemon_leaves_an_empty_wallet(rpc_version: int, *, keeps_data: bool) -> None:
    """A wallet that fails to read the chain at its first import shows nothing, and that it needs nothing.

    After the next refresh the money is there; on 0.18.0.0 without the co-signers' data, which 0.18.5.3 keeps.
    """

    async def story(bench: Bench) -> tuple[int, bool, int, bool]:
        bench.pay()
        async with bench.sessions.lease(ESCROW) as lease:
            buyer, vendor = lease.wallet(BUYER), lease.wallet(VENDOR)
            await buyer.refresh()
            await vendor.refresh()
            exported = await vendor.export_multisig_info()
            bench.faults.daemon_is_down = True
            with pytest.raises(MultisigRefused):
                await buyer.import_multisig_info([exported])
            lost = await buyer.get_balance()
            bench.faults.daemon_is_down = False
            await buyer.refresh()
            found = await buyer.get_balance()
            return lost.balance, lost.multisig_import_needed, found.balance, found.multisig_import_needed

    assert run(story(Bench(rpc_version))) == (0, False, 10**12, not keeps_data)


def test_later_import_without_a_daemon_leaves_the_wallet_as_it_was() -> None:
    """Outputs whose key images are known already are not read once more, so that nothing of them is lost."""

    async def story(bench: Bench) -> int:
        bench.pay()
        async with bench.sessions.lease(ESCROW) as lease:
            buyer, vendor = lease.wallet(BUYER), lease.wallet(VENDOR)
            await synchronise(buyer, vendor)
            exported = await vendor.export_multisig_info()
            bench.faults.daemon_is_down = True
            with pytest.raises(MultisigRefused):
                await buyer.import_multisig_info([exported])
            return (await buyer.get_balance()).balance

    assert run(story(Bench())) == 10**12


@pytest.mark.parametrize("rpc_version", [OLD_RPC, NEW_RPC])
def test_exact_amounts_leave_no_change_on_old_wallets_only(rpc_version: int) -> None:
    """With all but the fee of the last transfer paid out, 0.18.0.0 leaves no change, and 0.18.5.3 builds nothing."""

    async def story(bench: Bench) -> int | None:
        bench.pay()
        async with bench.sessions.lease(ESCROW) as lease:
            buyer = lease.wallet(BUYER)
            await synchronise(buyer, lease.wallet(VENDOR))
            some = [Recipient(VENDOR_ADDRESS, XMR // 10), Recipient(OTHER, XMR // 10)]
            fee = (await buyer.transfer([*some, Recipient(BUYER_ADDRESS, XMR // 10)])).fee
            exact = [*some, Recipient(BUYER_ADDRESS, XMR * 8 // 10 - fee)]
            try:
                built = await buyer.transfer(exact)
            except TransferRefused:
                return None
            (described,) = await buyer.describe_transfer(multisig_txset=built.multisig_txset)
            return described.change_amount

    assert run(story(Bench(rpc_version))) == (0 if rpc_version == OLD_RPC else None)


@pytest.mark.parametrize(
    ("bearers", "parts"), [([0], (1, 0, 0)), ([1, 2], (0, 2, 2)), ([0, 1, 2], (3, 3, 3)), ([1], None), ([0, 1], None)]
)
def test_fee_is_taken_out_of_those_that_wallet2_counts(bearers: list[int], parts: tuple[int, ...] | None) -> None:
    """Of three receivers wallet2 counts 0, 2, 1: where others than asked would bear the fee, it builds nothing."""

    async def story(bench: Bench) -> tuple[int, list[int]]:
        bench.pay()
        async with bench.sessions.lease(ESCROW) as lease:
            buyer = lease.wallet(BUYER)
            await synchronise(buyer, lease.wallet(VENDOR))
            payees = [
                Recipient(VENDOR_ADDRESS, XMR // 4),
                Recipient(BUYER_ADDRESS, XMR // 4),
                Recipient(OTHER, XMR // 2),
            ]
            built = await buyer.transfer(payees, subtract_fee_from_outputs=bearers)
            (described,) = await buyer.describe_transfer(multisig_txset=built.multisig_txset)
            assert described.change_amount == 0
            paid = [each.amount for each in described.recipients]
            return built.fee, [each.amount - got for each, got in zip(payees, paid, strict=True)]

    if parts is None:
        with pytest.raises(TransferRefused, match="Total received by"):
            run(story(Bench(NEW_RPC)))
        return
    fee, borne = run(story(Bench(NEW_RPC)))
    assert sum(borne) == fee
    assert [round(fee / part) if part else 0 for part in parts] == pytest.approx(borne, abs=2)


def test_output_without_import_is_swept() -> None:
    """A sweep passes over outputs whose key image the co-signers did not tell, without a word."""

    async def story(bench: Bench) -> tuple[int, ...]:
        bench.pay()
        async with bench.sessions.lease(ESCROW) as lease:
            buyer = lease.wallet(BUYER)
            await synchronise(buyer, lease.wallet(VENDOR))
            bench.pay()
            await buyer.refresh()
            built = await buyer.sweep_all(VENDOR_ADDRESS)
            return tuple(amount + fee for amount, fee in zip(built.amount_list, built.fee_list, strict=True))

    assert run(story(Bench())) == (10**12,)


def test_signer_who_was_not_asked_sees_the_payout() -> None:
    """A third wallet still takes the money for unspent after two others spent it, until it imports their data."""

    async def story(bench: Bench) -> tuple[int, int]:
        bench.pay()
        async with bench.sessions.lease(ESCROW) as lease:
            buyer, vendor, arbiter = (lease.wallet(role) for role in (BUYER, VENDOR, ARBITER))
            await synchronise(buyer, vendor)
            await arbiter.refresh()
            signed = await vendor.sign_multisig(await propose(buyer))
            await submit_recorded(bench.around, vendor, signed.tx_data_hex)
            bench.chain.mine(3)
            await arbiter.refresh()
            blind = await arbiter.get_balance()
            await arbiter.import_multisig_info([await buyer.export_multisig_info()])
            return blind.balance, (await arbiter.get_balance()).balance

    assert run(story(Bench())) == (10**12, 0)


def test_one_payout_is_sent_twice() -> None:
    """The same signed bytes are taken again and again; a rival that spends the same is refused."""

    async def story(bench: Bench) -> int:
        bench.pay()
        async with bench.sessions.lease(ESCROW) as lease:
            buyer, vendor = lease.wallet(BUYER), lease.wallet(VENDOR)
            await synchronise(buyer, vendor)
            first, second = await propose(buyer), await propose(buyer, BUYER_ADDRESS)
            signed = (await vendor.sign_multisig(first)).tx_data_hex
            await submit_recorded(bench.around, vendor, signed)
            bench.chain.mine()
            await submit_recorded(bench.around, vendor, signed)
            await synchronise(buyer, vendor)
            with pytest.raises(MultisigRefused, match="stale"):
                await vendor.sign_multisig(second)
            with pytest.raises(TransferRefused):
                await propose(buyer)
        return sum(bool(each.outputs[0].address == VENDOR_ADDRESS) for each in bench.chain.mined())

    assert run(story(Bench())) == 1


def test_reorganised_output_keeps_its_nonces() -> None:
    """An output that is mined in another block is unspendable until the co-signers tell of it anew."""

    async def story(bench: Bench) -> None:
        bench.pay()
        async with bench.sessions.lease(ESCROW) as lease:
            buyer, vendor = lease.wallet(BUYER), lease.wallet(VENDOR)
            await synchronise(buyer, vendor)
            bench.chain.reorganise(14, drop=())
            bench.chain.mine(12)
            await buyer.refresh()
            with pytest.raises(TransferRefused):
                await propose(buyer)
            await synchronise(buyer, vendor)
            await vendor.sign_multisig(await propose(buyer))

    run(story(Bench()))


@pytest.mark.parametrize(
    ("trouble", "ran"), [(Trouble.LOST_BEFORE, False), (Trouble.LOST_AFTER, True), (Trouble.DEATH_AFTER, True)]
)
def test_lost_reply_says_what_happened(trouble: Trouble, *, ran: bool) -> None:
    """A lost reply is an unknown outcome whether the call ran or not, and the process is never used again."""

    async def story(bench: Bench) -> None:
        async with bench.sessions.lease(ESCROW, (BUYER,)) as lease:
            bench.faults.arm(trouble, 1, "store")
            with pytest.raises(OutcomeUnknown):
                await lease.store()
        assert bench.house.processes == {}

    bench = Bench()
    before = bench.house.file((1, ESCROW, BUYER))
    run(story(bench))
    assert (bench.house.files[1, ESCROW, BUYER] is not before) is ran


def test_full_disk_loses_the_old_file() -> None:
    """A store that fails for want of room leaves the file as it was, and the wallet open."""

    async def story(bench: Bench) -> None:
        async with bench.sessions.lease(ESCROW, (BUYER,)) as lease:
            bench.faults.arm(Trouble.DISK_FULL, 1)
            with pytest.raises(WalletNotSaved):
                await lease.store()
            await lease.wallet(BUYER).refresh()

    bench = Bench()
    before = bench.house.file((1, ESCROW, BUYER))
    run(story(bench))
    assert bench.house.files[1, ESCROW, BUYER] is before


def test_dead_service_acts_on() -> None:
    """After its crash no code of a service reaches a wallet any more, not even to clean up."""

    async def story(bench: Bench) -> None:
        async with bench.sessions.lease(ESCROW, (BUYER,)) as lease:
            bench.faults.arm(Trouble.CRASH_BEFORE, 1)
            with pytest.raises(Crashed):
                await lease.wallet(BUYER).refresh()
            with pytest.raises(Crashed):
                await lease.store()

    run(story(Bench()))
