from escrowd.domain.address import MoneroAddress
from escrowd.domain.networks import Network
from tests.regtest.chain.conftest import RealWallet, Watching
from tests.regtest.chain.hostile import Cases
from tests.regtest.chain.mining import mine_by_hand
from tests.unit.chain.sender import keys_of


async def test_hostile_extra_is_read_as_no_wallet_reads_it(watching: Watching, wallets: list[RealWallet]) -> None:
    """Of transactions made by hand to confuse readers, the watcher credits exactly what a real wallet credits."""
    wallet = wallets[1]
    address = MoneroAddress.parse(wallet.wallet_set.address, Network.REGTEST)
    cases = list(Cases(address, keys_of(wallet.wallet_set), "hostile").all())
    assert len(cases) >= 40
    await watching.add_all()
    await watching.look()
    before = await watching.mined(wallet)
    places: dict[int, str] = {}
    for case in cases:
        places[(await watching.lab.daemon.get_info()).height] = case.what
        await mine_by_hand(watching.lab, case.pays, case.extra)
    await watching.look()
    ours, theirs = await watching.mined(wallet), await wallet.mined()
    differences = {(places.get(each[-1] or 0), each in ours, each) for each in ours ^ theirs}
    assert differences == set()
    credited = {places[each[-1] or 0] for each in ours - before}
    assert 20 <= len(credited) < len(cases)
    payment_ids = {(each[0], each[5]) for each in (await wallet.brought())[0]}
    mine = {(each[0], each[5]) for each in (await watching.brought(wallet))[0]}
    assert mine - payment_ids == set()
    assert sum(payment_id == "1122334455667788" for _, payment_id in mine) >= 3
