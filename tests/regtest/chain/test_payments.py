from dataclasses import replace

from escrowd.domain.address import MoneroAddress
from escrowd.domain.networks import AddressKind, Network
from escrowd.domain.outputs import ReceivedOutput
from escrowd.monero.wallet import MoneroClient
from escrowd.service.reading import as_received, read
from tests.regtest.chain.conftest import RealWallet, Watching, send
from tests.regtest.old_engine import pay_locked

XMR = 10**12
UNIX_TIME = 1_900_000_000


def integrated(wallet: RealWallet, payment_id: bytes) -> str:
    address = MoneroAddress.parse(wallet.wallet_set.address, Network.REGTEST)
    keys = address.spend_public_key, address.view_public_key
    return MoneroAddress.of_keys(Network.REGTEST, AddressKind.INTEGRATED, *keys, payment_id).text


async def test_watcher_finds_of_each_payment_what_wallets_find(
    watching: Watching, wallets: list[RealWallet], payer: MoneroClient
) -> None:
    """Of every kind of payment the watcher finds what real wallets find, in the pool and in blocks."""
    first, second, third = wallets
    addresses = [each.wallet_set.address for each in wallets]
    subaddresses = [(await each.client.create_address(0)).addresses for each in wallets]
    payments: list[list[tuple[str, int]]] = [
        [(addresses[0], XMR)],
        [(subaddresses[0][0], 2 * XMR)],
        [(addresses[1], 3), (subaddresses[1][0], XMR), (subaddresses[2][0], XMR + 1)],
        [(addresses[2], XMR), (addresses[2], XMR)],
        [(integrated(first, b"\1\2\3\4\5\6\7\x08"), XMR // 3)],
        [(integrated(third, b"\xff" * 8), XMR // 7)],
        [(addresses[number % 3], XMR // 100 + number) for number in range(15)],
    ]
    await watching.add_all()
    for recipients in payments:
        await send(payer, recipients)
    await watching.assert_as_wallets()
    seen_in_pool = [await watching.brought(each) for each in wallets]
    assert all(pool for _, pool in seen_in_pool)
    await watching.lab.mine(1)
    for amount, unlock_time in ((XMR // 2, (await watching.lab.daemon.get_info()).height + 500), (XMR // 4, UNIX_TIME)):
        await pay_locked(watching.lab, [(addresses[1], amount)], unlock_time)
    await watching.lab.mine(2, addresses[2])
    await watching.assert_as_wallets()
    assert [(await watching.brought(each))[1] for each in wallets] == [set()] * 3
    assert sum([len(await watching.outputs(each)) for each in wallets]) >= 28
    await send(payer, [(addresses[0], XMR)])
    await send(payer, [(subaddresses[1][0], XMR), (addresses[1], 1)])
    await watching.assert_as_wallets()
    await watching.lab.mine(1)
    await watching.assert_as_wallets()
    assert second.wallet_set.escrow in watching.log.woken
    told = [set(await as_received(each.client, (await read(each.client)).found)) for each in wallets]
    assert told == [{as_wallets_tell(output) for output in await watching.outputs(each)} for each in wallets]
    assert {each.unlock_time for each in told[1]} >= {0, UNIX_TIME}
    assert any(each.is_coinbase for each in told[2])


def as_wallets_tell(output: ReceivedOutput) -> ReceivedOutput:
    """Return an output without what a wallet does not tell of it."""
    return replace(output, index=0, payment_id=None, sources=())
