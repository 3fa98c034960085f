from escrowd.domain.address import MoneroAddress
from escrowd.domain.networks import Network
from escrowd.testing.lab import RegtestLab
from tests.regtest.chain.conftest import RealWallet, Watching
from tests.regtest.chain.hostile import Cases
from tests.regtest.chain.mining import mine_by_hand
from tests.unit.chain.sender import keys_of


async def test_hostile_extra_is_read_as_no_wallet_reads_it(own_lab: RegtestLab, victim: RealWallet) -> None:
    """Of transactions made by hand to confuse readers, the watcher credits exactly what a real wallet credits."""
    watching = Watching(own_lab, [victim])
    address = MoneroAddress.parse(victim.wallet_set.address, Network.REGTEST)
    cases = list(Cases(address, keys_of(victim.wallet_set), "hostile").all())
    assert len(cases) >= 40
    await watching.add_all()
    await watching.look()
    before = await watching.mined(victim)
    places: dict[int, str] = {}
    for case in cases:
        places[(await watching.lab.daemon.get_info()).height] = case.what
        await mine_by_hand(watching.lab, case.pays, case.extra)
    await watching.look()
    ours, theirs = await watching.mined(victim), await victim.mined()
    differences = {(places.get(each[-1] or 0), each in ours, each) for each in ours ^ theirs}
    assert differences == set()
    credited = {places[each[-1] or 0] for each in ours - before}
    assert 20 <= len(credited) < len(cases)
    payment_ids = {(each[0], each[5]) for each in (await victim.brought())[0]}
    mine = {(each[0], each[5]) for each in (await watching.brought(victim))[0]}
    assert mine - payment_ids == set()
    assert sum(payment_id == "1122334455667788" for _, payment_id in mine) >= 3
