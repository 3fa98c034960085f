import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import pytest

from escrowd.domain.secret import Secret
from escrowd.monero.errors import BadArgument, MultisigRefused, TransferRefused
from escrowd.monero.results_daemon import KeyImageStatus
from escrowd.monero.results_signing import MultisigStatus
from escrowd.monero.results_wallet import Recipient
from escrowd.monero.wallet import MoneroClient
from escrowd.testing.funder import FUNDER_ADDRESS
from escrowd.testing.lab import RegtestLab
from tests.regtest.monero.conftest import PASSWORD

XMR = 10**12
FEE_CAP = XMR // 20


class Signers(NamedTuple):
    """Three wallets of one 2-of-3 address."""

    clients: tuple[MoneroClient, ...]
    address: str


def of_others(messages: Sequence[Secret], own: int) -> list[Secret]:
    """Return the messages without one's own."""
    return [message for index, message in enumerate(messages) if index != own]


async def synchronised(clients: Sequence[MoneroClient]) -> list[int]:
    """Exchange key images and nonces; return of how many outputs each wallet learned."""
    for client in clients:
        await client.refresh()
    infos = [await client.export_multisig_info() for client in clients]
    return [await client.import_multisig_info(of_others(infos, own)) for own, client in enumerate(clients)]


@pytest.fixture(scope="module")
async def signers(lab: RegtestLab) -> AsyncIterator[Signers]:
    """Make a 2-of-3 wallet in three processes, and pay 1 XMR into it."""
    processes = await asyncio.gather(*(lab.start_wallet_process() for _ in range(3)))
    clients = tuple(process.client for process in processes)
    for client in clients:
        await client.create_wallet("signer", PASSWORD)
    infos = [await client.prepare_multisig() for client in clients]
    rounds = [await client.make_multisig(of_others(infos, own), 2, PASSWORD) for own, client in enumerate(clients)]
    for _ in range(2):
        infos = [made.multisig_info for made in rounds]
        rounds = [
            await client.exchange_multisig_keys(of_others(infos, own), PASSWORD) for own, client in enumerate(clients)
        ]
    (address,) = {made.address for made in rounds}
    await lab.pay(address, XMR)
    await lab.mine(10)
    yield Signers(clients, address)
    for process in processes:
        await process.end(20)


async def test_three_wallets_become_one_address_and_pay_from_it(lab: RegtestLab, signers: Signers) -> None:
    """Two of three signers empty the address, as described before, and chain and proofs bear witness to it."""
    proposer, signer, _ = signers.clients
    for client in signers.clients:
        assert await client.is_multisig() == MultisigStatus(multisig=True, ready=True, threshold=2, total=3)
        assert await client.get_address() == signers.address
    await proposer.refresh()
    with pytest.raises(TransferRefused):
        await proposer.sweep_all(FUNDER_ADDRESS)  # it has no key images yet
    assert (await proposer.get_balance()).multisig_import_needed
    assert await synchronised(signers.clients) == [1, 1, 1]
    assert not (await proposer.get_balance()).multisig_import_needed

    built = await proposer.sweep_all(FUNDER_ADDRESS)
    (described,) = await signer.describe_transfer(multisig_txset=built.multisig_txset)
    assert described.recipients == (Recipient(FUNDER_ADDRESS, XMR - described.fee),)
    assert (described.amount_in, described.change_amount, described.unlock_time) == (XMR, 0, 0)
    assert 0 < described.fee == built.fee_list[0] < FEE_CAP
    with pytest.raises(MultisigRefused):
        await proposer.submit_multisig(built.multisig_txset)  # one signature of two

    signed = await signer.sign_multisig(built.multisig_txset)
    with pytest.raises(MultisigRefused):
        await signer.sign_multisig(built.multisig_txset)  # its nonces are used up
    (txid,) = await signer.submit_multisig(signed.tx_data_hex)
    assert signed.tx_hash_list == (txid,)
    assert await signer.submit_multisig(signed.tx_data_hex) == (txid,)

    images = built.spent_key_images_list[0].key_images
    assert await lab.daemon.is_key_image_spent(images) == (KeyImageStatus.SPENT_IN_POOL,)
    await lab.mine(1)
    assert await lab.daemon.is_key_image_spent(images) == (KeyImageStatus.SPENT_IN_CHAIN,)
    await evidence_holds(signers.clients, txid, XMR - described.fee)


async def evidence_holds(clients: Sequence[MoneroClient], txid: str, amount: int) -> None:
    """Check the proofs of a payout to the funder, made by the wallet that signed last."""
    proposer, signer, bystander = clients
    with pytest.raises(BadArgument):
        await proposer.get_tx_key(txid)
    paid = await bystander.check_tx_key(txid, await signer.get_tx_key(txid), FUNDER_ADDRESS)
    assert (paid.received, paid.in_pool) == (amount, False)
    assert paid.confirmations >= 1
    proof = await signer.get_tx_proof(txid, FUNDER_ADDRESS, "esc_1")
    right = await bystander.check_tx_proof(txid, FUNDER_ADDRESS, proof, "esc_1")
    wrong = await bystander.check_tx_proof(txid, FUNDER_ADDRESS, proof, "esc_2")
    assert (right.good, right.received, wrong.good) == (True, amount, False)


async def test_rubbish_is_refused_by_a_multisig_wallet(signers: Signers) -> None:
    """A message or a set that is none is refused, and the wallet stays as it was."""
    client = signers.clients[0]
    for call in (client.sign_multisig, client.submit_multisig):
        for rubbish in (Secret("00"), Secret("not hex")):
            with pytest.raises((MultisigRefused, BadArgument)):
                await call(rubbish)
    with pytest.raises(MultisigRefused):
        await client.describe_transfer(multisig_txset=Secret("00"))
    with pytest.raises(MultisigRefused):
        await client.import_multisig_info([])
    with pytest.raises(MultisigRefused):
        await client.import_multisig_info([Secret("00")])
    with pytest.raises(MultisigRefused):
        await client.exchange_multisig_keys([], PASSWORD)
    assert (await client.is_multisig()).ready
