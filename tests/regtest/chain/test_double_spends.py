from pathlib import Path

from escrowd.domain.outputs import WhyNot
from escrowd.domain.secret import Secret
from escrowd.monero.wallet import MoneroClient
from escrowd.testing.lab import RegtestLab
from tests.regtest.chain.conftest import RealWallet, Watching, send

XMR = 10**12


async def test_double_spend_counts(
    own_lab: RegtestLab, watching: Watching, wallets: list[RealWallet], payer: MoneroClient, tmp_path: Path
) -> None:
    """A payment whose money is also spent elsewhere is marked when that becomes known, and one of the two is mined."""
    tmp_path.chmod(0o700)
    cheat = (await own_lab.start_wallet_process(tmp_path)).client
    await cheat.create_wallet("cheat", Secret("password of a test"))
    await send(payer, [(await cheat.get_address(), 2 * XMR)])
    await own_lab.mine(10)
    wallet = wallets[0]
    to_us = await send(cheat, [(wallet.wallet_set.address, XMR)], do_not_relay=True)
    back = await send(cheat, [(await cheat.get_address(), XMR)], do_not_relay=True)

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
