import pytest

from escrowd.domain.secret import Secret
from escrowd.monero.errors import (
    AttributeNotFound,
    BadArgument,
    LoginRefused,
    MultisigRefused,
    NotEnoughMoney,
    NoWalletOpen,
    Refused,
    TransferRefused,
    WalletNotOpened,
)
from escrowd.monero.results_wallet import IncomingKind, KeyKind, Recipient, SubaddressIndex
from escrowd.monero.transport import Endpoint, Login
from escrowd.monero.versions import Release, oldest_release_of
from escrowd.monero.wallet import MoneroClient, wallet_client
from escrowd.testing.funder import FUNDER_ADDRESS
from escrowd.testing.lab import RegtestLab
from escrowd.wallets.process import WalletProcess
from tests.regtest.monero.conftest import PASSWORD

XMR = 10**12
NOBODY = "0" * 64


async def closed(client: MoneroClient) -> MoneroClient:
    """Return the client with no wallet open."""
    try:
        await client.close_wallet()
    except NoWalletOpen:
        return client
    return client


# --- the process and its login ---------------------------------------------------------------------------------------


async def test_the_installed_wallet_is_a_release_we_know(client: MoneroClient) -> None:
    """The RPC version of the installed monero-wallet-rpc stands for a release, at least 0.18.0.0."""
    version = (await client.get_version()).rpc_version
    assert oldest_release_of(version) >= Release(0, 18, 0, 0)


@pytest.mark.parametrize("password", [Secret("wrong"), None])
async def test_a_wrong_login_is_refused(lab: RegtestLab, process: WalletProcess, password: Secret | None) -> None:
    """A stranger on this machine reaches no method of a wallet process."""
    login = Login("escrowd", password) if password else None
    stranger = wallet_client(lab.connections, Endpoint(process.endpoint.host, process.endpoint.port, login))
    with pytest.raises(LoginRefused):
        await stranger.get_version()


async def test_the_login_outlives_many_calls_and_connections(process: WalletProcess, lab: RegtestLab) -> None:
    """Monero's nonces belong to one connection; a call on another one follows the new challenge."""
    again = wallet_client(lab.connections, process.endpoint)
    for client in (process.client, again, process.client, again):
        assert (await client.get_version()).version > 0


# --- opening, closing, storing ---------------------------------------------------------------------------------------


async def test_a_wallet_opens_again_as_it_was_closed(fresh: MoneroClient, name: str) -> None:
    """A wallet that was closed opens with its password and has its address and its attributes."""
    address = await fresh.get_address()
    await fresh.set_attribute("escrow", "esc_1")
    await fresh.close_wallet()
    await fresh.open_wallet(name, PASSWORD)
    assert await fresh.get_address() == address
    assert await fresh.get_attribute("escrow") == "esc_1"
    await fresh.store()


async def test_without_a_wallet_every_call_says_so(client: MoneroClient) -> None:
    """A call that needs a wallet, close and store among them, is refused as long as none is open."""
    await closed(client)
    for call in (client.get_address, client.get_balance, client.close_wallet, client.store, client.is_multisig):
        with pytest.raises(NoWalletOpen):
            await call()


async def test_a_wallet_is_not_opened_without_its_file_or_its_password(fresh: MoneroClient, name: str) -> None:
    """A wrong password and a missing file are refused alike."""
    await fresh.close_wallet()
    with pytest.raises(WalletNotOpened):
        await fresh.open_wallet(name, Secret("wrong"))
    with pytest.raises(WalletNotOpened):
        await fresh.open_wallet("no-such-wallet", PASSWORD)
    with pytest.raises(NoWalletOpen):
        await fresh.get_address()


async def test_a_refused_open_leaves_the_other_wallet_open(fresh: MoneroClient) -> None:
    """After an open that failed the next call goes to the wallet that was open before: nobody may rely on a switch."""
    address = await fresh.get_address()
    with pytest.raises(WalletNotOpened):
        await fresh.open_wallet("no-such-wallet", PASSWORD)
    assert await fresh.get_address() == address


async def test_no_wallet_is_made_over_another_one(fresh: MoneroClient, name: str) -> None:
    """An existing file, and a name that leaves the wallet directory, are refused."""
    address = await fresh.get_address()
    for taken in (name, "../outside", "a/b"):
        with pytest.raises(WalletNotOpened):
            await fresh.create_wallet(taken, PASSWORD)
    await fresh.open_wallet(name, PASSWORD)
    assert await fresh.get_address() == address


async def test_a_seed_restores_the_wallet(fresh: MoneroClient, name: str) -> None:
    """The words of a wallet give the same address again, and words that are no seed give none."""
    address, seed = await fresh.get_address(), await fresh.query_key(KeyKind.MNEMONIC)
    assert await fresh.restore_deterministic_wallet(f"{name}-restored", PASSWORD, seed, 0) == address
    with pytest.raises(WalletNotOpened):
        await fresh.restore_deterministic_wallet(f"{name}-wrong", PASSWORD, Secret("no seed at all"), 0)


async def test_an_attribute_that_was_never_set_is_not_found(fresh: MoneroClient) -> None:
    """A missing attribute is an error of its own, and not an empty text."""
    with pytest.raises(AttributeNotFound):
        await fresh.get_attribute("never set")


# --- addresses and money ---------------------------------------------------------------------------------------------


async def test_subaddresses_are_made_in_order(fresh: MoneroClient) -> None:
    """New subaddresses follow the primary address, and all are listed."""
    made = await fresh.create_address(0, 2)
    assert made.address_indices == (1, 2)
    assert [each.address for each in (await fresh.get_addresses()).addresses] == [
        await fresh.get_address(),
        *made.addresses,
    ]
    with pytest.raises(BadArgument):
        await fresh.get_address(7)


async def test_addresses_are_judged(fresh: MoneroClient) -> None:
    """A subaddress is told from a primary address, and rubbish from both."""
    (subaddress,) = (await fresh.create_address(0)).addresses
    verdicts = [await fresh.validate_address(text) for text in (FUNDER_ADDRESS, subaddress, "4rubbish")]
    assert [(verdict.valid, verdict.subaddress) for verdict in verdicts] == [
        (True, False),
        (True, True),
        (False, False),
    ]


async def test_a_payment_is_seen_in_every_way(lab: RegtestLab, fresh: MoneroClient) -> None:
    """A payment to a subaddress shows in balances, transfers and outputs, in the pool and in the chain."""
    (address,) = (await fresh.create_address(0)).addresses
    txid = await lab.pay(address, XMR)
    await fresh.refresh()
    assert (await fresh.get_balance()).balance == XMR
    assert (await fresh.get_balance(strict=True)).balance == 0
    assert [transfer.txid for transfer in (await fresh.get_transfers()).pool] == [txid]
    height = await lab.mine(1)
    assert (await fresh.refresh()).received_money
    assert await fresh.get_height() == height
    (balance,) = (await fresh.get_balance_of_all_accounts()).per_subaddress
    assert (balance.address, balance.balance, balance.unlocked_balance) == (address, XMR, 0)
    assert [transfer.txid for transfer in (await fresh.get_transfers(above_height=height - 2)).incoming] == [txid]
    assert (await fresh.get_transfers(above_height=height - 1)).incoming == ()
    (output,) = await fresh.incoming_transfers()
    assert (output.amount, output.subaddr_index, output.spent) == (XMR, SubaddressIndex(0, 1), False)
    assert await fresh.incoming_transfers(IncomingKind.UNAVAILABLE) == ()
    await fresh.freeze(output.key_image)
    assert [each.frozen for each in await fresh.incoming_transfers()] == [True]
    await fresh.thaw(output.key_image)
    assert [each.frozen for each in await fresh.incoming_transfers()] == [False]
    await fresh.rescan_spent()


async def test_an_unknown_transaction_is_a_wrong_argument(fresh: MoneroClient) -> None:
    """A transaction that the wallet never saw, and an id that is none, are refused."""
    for txid in (NOBODY, "rubbish"):
        with pytest.raises(Refused):
            await fresh.freeze(txid)
        with pytest.raises(BadArgument):
            await fresh.get_tx_key(txid)


async def test_an_empty_wallet_pays_nothing(fresh: MoneroClient) -> None:
    """Paying without money, nothing, or to nobody is refused, each in its own way; sweeping nothing is refused too."""
    with pytest.raises(NotEnoughMoney):
        await fresh.transfer([Recipient(FUNDER_ADDRESS, XMR)])
    with pytest.raises(BadArgument):
        await fresh.transfer([Recipient(FUNDER_ADDRESS, 0)])
    with pytest.raises(BadArgument):
        await fresh.transfer([Recipient("4rubbish", XMR)])
    with pytest.raises(TransferRefused):
        await fresh.sweep_all(FUNDER_ADDRESS)


async def test_a_wallet_that_is_not_multisig_refuses_multisig(fresh: MoneroClient) -> None:
    """No multisig call passes for a wallet with one key."""
    assert not (await fresh.is_multisig()).multisig
    with pytest.raises(MultisigRefused):
        await fresh.export_multisig_info()
    with pytest.raises(MultisigRefused):
        await fresh.sign_multisig(Secret("00"))
    with pytest.raises(MultisigRefused):
        await fresh.make_multisig([Secret("rubbish"), Secret("rubbish")], 2, PASSWORD)


async def test_a_false_transaction_key_does_not_end_the_process(lab: RegtestLab, fresh: MoneroClient) -> None:
    """A number that is no key is refused; a key that is not the right one proves a payment of nothing."""
    txid = await lab.pay(await fresh.get_address(), XMR)
    with pytest.raises(BadArgument):
        await fresh.check_tx_key(txid, Secret("11" * 32), await fresh.get_address())
    paid = await fresh.check_tx_key(txid, Secret("01" * 32), await fresh.get_address())
    assert paid.received == 0


async def test_stopping_the_wallet_ends_its_process(lab: RegtestLab) -> None:
    """stop_wallet stores the wallet and ends the process; the wallet opens in the next one."""
    process = await lab.start_wallet_process(lab.directory / "stopped")
    await process.client.create_wallet("stopped", PASSWORD)
    address = await process.client.get_address()
    await process.client.stop_wallet()
    assert await process.running.wait(20)
    again = await lab.start_wallet_process(lab.directory / "stopped")
    await again.client.open_wallet("stopped", PASSWORD)
    assert await again.client.get_address() == address
