"""Hostile use of a real chain and real wallets, and the books of an escrow to the piconero (findings, part 1)."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import pytest

from escrowd.domain.escrow.events import Released
from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.escrow.terms import Terms
from escrowd.domain.outputs import ReceivedOutput
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.records import Payout
from escrowd.monero.methods import CHANGES, Method
from escrowd.monero.results_daemon import SubmittedTransaction, Transaction
from escrowd.monero.results_signing import BuiltTransaction
from escrowd.monero.results_wallet import IncomingTransfer
from escrowd.service.ports import Lease
from tests.regtest.payouts.office import BUYER, OPERATOR, SETS, VENDOR, Office, Trade

#: Receives what is spent outside: its view key is known, and no escrow of these tests pays it.
OUTSIDE = OPERATOR
#: The keys that spend outside. The service signs a release of the buyer with those of buyer and vendor.
PAIR = (WalletRole.VENDOR, WalletRole.ARBITER)
#: Spends one output. escrowd never does, so its client has no such call.
_SWEEP_SINGLE = Method("sweep_single", CHANGES, 60)
_REFUSED = SubmittedTransaction(
    status="Failed",
    reason="refused by this test",
    not_relayed=False,
    double_spend=False,
    fee_too_low=False,
    invalid_input=True,
    invalid_output=False,
    low_mixin=False,
    overspend=False,
    too_big=False,
)


class Ways:
    """Real wallets over a chain whose blocks may be taken back, and the kept sets that hold no money."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self._free = list(range(SETS))

    @asynccontextmanager
    async def trade(self, terms: Terms | None = None) -> AsyncIterator[Trade]:
        """Begin a trade. Its wallets are used again by a later one, unless money stays in them."""
        kept = self._free.pop(0)
        async with self.office.trade(kept, terms) as trade:
            yield trade
            if not await trade.money_left():
                self._free.insert(0, kept)


@dataclass(frozen=True)
class Books:
    """What came to an escrow in blocks, and where it went, in piconero."""

    deposits: int
    buyer: int = 0
    vendor: int = 0
    outside: int = 0
    #: Of the network.
    fees: int = 0
    left: int = 0

    def __post_init__(self) -> None:
        assert self.deposits == self.buyer + self.vendor + self.outside + self.fees + self.left, self


async def books(trade: Trade) -> Books:
    """Read the books of an escrow from the chain, with the view keys of the receivers."""
    await trade.look()
    async with trade.store.transaction() as tx:
        ledger = await tx.ledgers.ledger(trade.id)
    spending = sorted({each.txid for each in ledger.spends if each.height is not None})
    buyer, vendor, outside = [sum(await trade.office.paid_to(each, spending)) for each in (BUYER, VENDOR, OUTSIDE)]
    return Books(
        deposits=sum(each.amount for each in ledger.outputs if each.is_mined),
        buyer=buyer,
        vendor=vendor,
        outside=outside,
        fees=sum(map(fee_of, await trade.office.transactions(spending))),
        left=sum(each.amount for each in await trade.money_left()),
    )


def fee_of(transaction: Transaction) -> int:
    """Return what the network takes of a transaction."""
    fee: int = json.loads(transaction.as_json)["rct_signatures"]["txnFee"]
    return fee


def fees_of(*payouts: Payout) -> int:
    """Return what the network takes of payouts."""
    return sum(one.network_fee for each in payouts for one in each.transactions)


# --- what the daemon does --------------------------------------------------------------------------------------------


@contextmanager
def refusing(office: Office, *raws: str) -> Iterator[list[str]]:
    """Let the daemon refuse these transactions, or all, as where a deep reorganisation has removed their ring members.

    Gives the list of what was sent and refused.
    """
    sent: list[str] = []
    send = office.daemon.send_raw_transaction

    async def refuse(raw: str, *, do_not_relay: bool = False) -> SubmittedTransaction:
        if raws and raw not in raws:
            return await send(raw, do_not_relay=do_not_relay)
        sent.append(raw)
        return _REFUSED

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(office.daemon, "send_raw_transaction", refuse)
        yield sent


async def raw_of(trade: Trade, txid: str) -> str:
    """Return the stored bytes of a signed transaction."""
    async with trade.store.transaction() as tx:
        raw = await tx.payouts.raw(txid)
    assert raw is not None
    return raw


async def put_into_pool(office: Office, raw: str) -> None:
    """Send a transaction past the service."""
    assert (await office.daemon.send_raw_transaction(raw)).accepted


async def take_back(office: Office, blocks: int, without: Sequence[str]) -> None:
    """Take blocks off the chain, and these of their transactions out of the pool."""
    await office.lab.pop_blocks(blocks)
    await office.daemon.flush_txpool(without)
    assert await office.transactions(without) == ()


# --- what the parties do ---------------------------------------------------------------------------------------------


async def sent_release(trade: Trade, *deposits: int) -> Payout:
    """Fund an escrow, and carry the buyer's release as far as to the pool."""
    assert (await trade.fund(*deposits)).status is Status.FUNDED
    await trade.say(Released(), Who.BUYER)
    assert (await trade.advance()).status is Status.PAYING
    (release,) = await trade.payouts()
    return release


async def refused_release(trade: Trade, *deposits: int) -> Payout:
    """Fund an escrow, and let the daemon refuse the buyer's release: it is signed, and the escrow is held."""
    assert (await trade.fund(*deposits)).status is Status.FUNDED
    await trade.say(Released(), Who.BUYER)
    with refusing(trade.office):
        assert (await trade.advance()).status is Status.HELD
    (release,) = await trade.payouts()
    return release


async def learn_key_images(trade: Trade) -> Sequence[IncomingTransfer]:
    """Let two wallets exchange key images, and note them as the check of the funding does. Return the unspent money."""
    async with trade.lease() as lease:
        found = await exchanged(lease)
    async with trade.store.transaction() as tx:
        await tx.ledgers.note_key_images(trade.id, [(each.pubkey, each.key_image) for each in found])
    return found


async def spend_outside(trade: Trade, key_image: str = "") -> str:
    """Let two parties spend money of a trade past the service. Return the transaction, in the pool."""
    async with trade.lease() as lease:
        txid = await spend_with(lease, key_image)
    trade.txids.append(txid)
    return txid


async def spend_with(lease: Lease, key_image: str = "") -> str:
    """Let two wallets spend one output outside, or all that is there. Return the transaction, in the pool."""
    await exchanged(lease)
    proposer, cosigner = (lease.wallet(role) for role in PAIR)
    if key_image:
        params = {"address": OUTSIDE.address, "key_image": key_image}
        built = await proposer._transport.call(_SWEEP_SINGLE, params, BuiltTransaction)
        txset = built.multisig_txset
    else:
        txset = (await proposer.sweep_all(OUTSIDE.address)).multisig_txset
    signed = await cosigner.sign_multisig(txset)
    (txid,) = await cosigner.submit_multisig(signed.tx_data_hex)
    return txid


async def held(trade: Trade) -> Escrow:
    """Carry the escrow on, make sure that it is held, and return it."""
    escrow = await trade.advance()
    assert escrow.status is Status.HELD, escrow
    return escrow


async def spent_keys(trade: Trade) -> set[str]:
    """Return the ids of the transactions in blocks that spend money of the escrow."""
    async with trade.store.transaction() as tx:
        return {each.txid for each in (await tx.ledgers.ledger(trade.id)).spends if each.height is not None}


def unspent_of(found: Sequence[ReceivedOutput]) -> list[int]:
    """Return the amounts, the smallest first."""
    return sorted(each.amount for each in found)


async def exchanged(lease: Lease) -> list[IncomingTransfer]:
    """Let two wallets exchange key images, and return the unspent money."""
    wallets = [lease.wallet(role) for role in PAIR]
    await asyncio.gather(*(each.refresh() for each in wallets))
    exported = [await each.export_multisig_info() for each in wallets]
    await wallets[0].import_multisig_info(exported[1:])
    await wallets[1].import_multisig_info(exported[:1])
    await wallets[0].rescan_spent()
    return [each for each in await wallets[0].incoming_transfers() if not each.spent]
