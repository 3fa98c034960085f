from escrowd.domain.address import MoneroAddress
from escrowd.domain.networks import Network
from escrowd.monero.versions import Release
from escrowd.testing.lab import RegtestLab
from tests.engine import installed_release
from tests.regtest.chain.conftest import RealWallet, Watching
from tests.regtest.chain.hostile import Cases
from tests.regtest.chain.mining import mine_by_hand
from tests.unit.chain.sender import keys_of

#: Cases whose last transaction key is no point. 0.18.5.3 decrypts a payment id with it all the same, and shows what
#: comes out of that; 0.18.0.0 and the watcher show none. Nothing depends on it.
IDS_BY_NO_KEY = {"id by no point", "id by nothing"}


async def test_watcher_credits_hostile_transactions_as_a_wallet(own_lab: RegtestLab, victim: RealWallet) -> None:
    """Of transactions made by hand to confuse readers, the watcher credits exactly what a real wallet credits.

    Payment ids are the same, too, but for those that only 0.18.5.3 shows.
    """
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
    theirs_ids = {(each[7], each[5]) for each in (await victim.brought())[0]}
    our_ids = {(each[7], each[5]) for each in (await watching.brought(victim))[0]}
    shows_more = installed_release() >= Release(0, 18, 5, 3)
    assert {places[height] for height, _ in our_ids - theirs_ids} == (IDS_BY_NO_KEY if shows_more else set())
    assert sum(payment_id == "1122334455667788" for _, payment_id in our_ids) >= 3
