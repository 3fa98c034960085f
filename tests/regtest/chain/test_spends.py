from pathlib import Path

from escrowd.domain.outputs import Spend
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.monero.results_wallet import Recipient
from escrowd.monero.wallet import MoneroClient
from escrowd.testing.lab import RegtestLab
from escrowd.testing.wallet_sets import install, wallet_sets
from tests.regtest.chain.conftest import RealWallet, Watching, open_wallet, send

XMR = 10**12


async def exchange(client: MoneroClient, other: MoneroClient) -> None:
    """Let two wallets of a set learn each other's part of the key images."""
    for each in (client, other):
        await each.refresh()
    exports = [await each.export_multisig_info() for each in (client, other)]
    await client.import_multisig_info([exports[1]])
    await other.import_multisig_info([exports[0]])


async def test_spend_goes_unnoticed(own_lab: RegtestLab, payer: MoneroClient, tmp_path: Path) -> None:
    """A spend is seen in pool and block, taken back with the block, and found late where its key image came late."""
    tmp_path.chmod(0o700)
    wallet_set = install(wallet_sets()[7], tmp_path)
    client, other = [
        await open_wallet(own_lab, wallet_set, tmp_path, role) for role in (WalletRole.BUYER, WalletRole.VENDOR)
    ]
    wallet, escrow = RealWallet(wallet_set, client), wallet_set.escrow
    watching = Watching(own_lab, [wallet])
    await watching.add_all()
    images, payout = await signed_payout(own_lab, payer, wallet, other)
    await watching.look()
    (txid,) = await other.submit_multisig(payout)
    await watching.look()
    assert watching.log.spends(escrow) == ()

    for image in images:
        watching.log.note_key_image(escrow, image)
    await watching.look()
    (in_pool,) = watching.log.spends(escrow)
    assert in_pool == Spend(in_pool.key_image, txid)
    mined = Spend(in_pool.key_image, txid, await own_lab.mine(1) - 1)
    await watching.look()
    assert watching.log.spends(escrow) == (mined,)
    # The change came back to the address, and is told of as any other output is.
    assert await watching.mined(wallet) == await wallet.mined()
    assert txid in {each.txid for each in await watching.outputs(wallet)}

    late = Watching(own_lab, [wallet])
    await late.look()
    await late.add_all()
    late.log.note_key_image(escrow, mined.key_image)
    await late.look()
    assert late.log.spends(escrow) == (mined,)

    await own_lab.pop_blocks(1)
    await watching.look()
    assert watching.log.spends(escrow) == (in_pool,)
    await own_lab.mine(1)


async def signed_payout(
    lab: RegtestLab, payer: MoneroClient, wallet: RealWallet, other: MoneroClient
) -> tuple[list[str], Secret]:
    """Fund a wallet with two outputs; return their key images, and a transaction set that spends one, signed."""
    address = wallet.wallet_set.address
    for _ in range(2):
        await send(payer, [(address, XMR)])
    await lab.mine(10)
    await exchange(wallet.client, other)
    images = [each.key_image for each in await wallet.client.incoming_transfers()]
    assert len(set(images)) == 2
    built = await wallet.client.transfer([Recipient(address, XMR // 2)])
    return images, (await other.sign_multisig(built.multisig_txset)).tx_data_hex
