import pytest

from escrowd.chain.ports import WatchedAddress
from escrowd.chain.watched_keys import Lookahead, WatchedKeys, WrongViewKey
from escrowd.domain.address import InvalidAddress
from escrowd.domain.networks import Network
from escrowd.domain.secret import Secret
from escrowd.testing.wallet_sets import wallet_sets
from tests.unit.chain.sender import keys_of

FIRST, SECOND = wallet_sets()[:2]


def watched(address: str, view_key: str) -> WatchedAddress:
    return WatchedAddress(FIRST.escrow, address, Secret(view_key), 0)


@pytest.mark.parametrize(
    "view_key",
    [
        SECOND.secret_view_key,
        "00" * 32,
        "ff" * 32,
        FIRST.secret_view_key * 2,
        "",
        "no key at all",
        FIRST.secret_view_key[:-2],
    ],
)
def test_wrong_view_key_is_watched_with(view_key: str) -> None:
    """A view key that is not that of the address is refused: with it no payment would ever be seen."""
    with pytest.raises(WrongViewKey) as caught:
        WatchedKeys.of(watched(FIRST.address, view_key), Network.REGTEST, Lookahead())
    assert not view_key or view_key not in str(caught.value)


def test_address_of_another_network_is_watched() -> None:
    """An address of another network is refused."""
    with pytest.raises(InvalidAddress):
        WatchedKeys.of(watched(FIRST.address, FIRST.secret_view_key), Network.STAGENET, Lookahead())


def test_view_key_is_shown() -> None:
    """Neither the address that is watched nor its keys show the secret one."""
    keys = keys_of(FIRST)
    assert keys.view_key.hex() == FIRST.secret_view_key
    for shown in (repr(keys), repr(watched(FIRST.address, FIRST.secret_view_key))):
        assert FIRST.secret_view_key not in shown
        assert repr(keys.view_key) not in shown


@pytest.mark.parametrize(("lookahead", "count"), [((2, 5), 10), ((1, 1), 1), ((0, 0), 1), ((3, 2), 6)])
def test_lookahead_leaves_the_address_out(lookahead: tuple[int, int], count: int) -> None:
    """As many subaddresses are looked for as wanted, and the address itself always."""
    keys = keys_of(FIRST, Lookahead(*lookahead))
    assert len(keys.addresses) == count
    assert (0, 0) in keys.addresses.values()
