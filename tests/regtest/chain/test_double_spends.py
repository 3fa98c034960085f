from pathlib import Path

from escrowd.domain.outputs import WhyNot
from escrowd.domain.secret import Secret
from escrowd.monero.results_daemon import KeyImageStatus
from escrowd.monero.results_signing import BuiltTransaction
from escrowd.monero.wallet import MoneroClient
from escrowd.testing.lab import RegtestLab
from tests.regtest.chain.conftest import RealWallet, Watching, send

XMR = 10**12


async def rivals(
    lab: RegtestLab, payer: MoneroClient, address: str, directory: Path
) -> tuple[BuiltTransaction, BuiltTransaction]:
    """Return two transactions that spend the same money and were not sent: one to this address, one to the sender."""
    directory.chmod(0o700)
    cheat = (await lab.start_wallet_process(directory)).client
    await cheat.create_wallet("cheat", Secret("password of a test"))
    await send(payer, [(await cheat.get_address(), 2 * XMR)])
    await lab.mine(10)
    to_us = await send(cheat, [(address, XMR)], do_not_relay=True)
    return to_us, await send(cheat, [(await cheat.get_address(), XMR)], do_not_relay=True)


async def test_double_spend_counts(
    own_lab: RegtestLab, watching: Watching, wallets: list[RealWallet], payer: MoneroClient, tmp_path: Path
) -> None:
    """A payment whose money is also spent elsewhere is marked when that becomes known, and one of the two is mined."""
    wallet = wallets[0]
    to_us, back = await rivals(own_lab, payer, wallet.wallet_set.address, tmp_path)
    await watching.add_all()
    assert (await own_lab.daemon.send_raw_transaction(to_us.tx_blob)).accepted
    await watching.look()
    (seen,) = [each for each in await watching.outputs(wallet) if each.txid == to_us.tx_hash]
    assert seen.why_it_does_not_count() is None
    refused = await own_lab.daemon.send_raw_transaction(back.tx_blob)
    assert refused.double_spend
    await watching.look()
    (seen,) = [each for each in await watching.outputs(wallet) if each.txid == to_us.tx_hash]
    assert seen.why_it_does_not_count() is WhyNot.DOUBLE_SPENT

    await own_lab.daemon.flush_txpool([to_us.tx_hash])
    assert (await own_lab.daemon.send_raw_transaction(back.tx_blob)).accepted
    await own_lab.mine(1)
    await watching.look()
    assert to_us.tx_hash not in {each.txid for each in await watching.outputs(wallet)}


async def test_double_spend_in_a_block_spends_a_source_of_the_lost_payment(
    own_lab: RegtestLab, watching: Watching, wallets: list[RealWallet], payer: MoneroClient, tmp_path: Path
) -> None:
    """W5, W12: what a reorganisation removed and a rival replaced is kept with key images that prove it."""
    wallet = wallets[1]
    to_us, back = await rivals(own_lab, payer, wallet.wallet_set.address, tmp_path)
    await watching.add_all()
    assert (await own_lab.daemon.send_raw_transaction(to_us.tx_blob)).accepted
    await own_lab.mine(1)
    await watching.look()
    (deposit,) = [each for each in await watching.outputs(wallet) if each.txid == to_us.tx_hash]
    await own_lab.pop_blocks(1)
    await own_lab.daemon.flush_txpool([to_us.tx_hash])
    await watching.look()
    assert watching.log.lost(wallet.wallet_set.escrow) == (deposit,)
    assert set(await own_lab.daemon.is_key_image_spent(deposit.sources)) == {KeyImageStatus.UNSPENT}
    assert (await own_lab.daemon.send_raw_transaction(back.tx_blob)).accepted
    assert set(await own_lab.daemon.is_key_image_spent(deposit.sources)) == {KeyImageStatus.SPENT_IN_POOL}
    await own_lab.mine(1)
    assert set(await own_lab.daemon.is_key_image_spent(deposit.sources)) == {KeyImageStatus.SPENT_IN_CHAIN}
    assert (await own_lab.daemon.get_transactions([to_us.tx_hash])).missed_tx == (to_us.tx_hash,)
    assert (await own_lab.daemon.send_raw_transaction(to_us.tx_blob)).double_spend
