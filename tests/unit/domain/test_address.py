import pytest
from Crypto.Hash import keccak
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_core_ed25519_add, crypto_sign_seed_keypair

from escrowd.domain import base58
from escrowd.domain.address import InvalidAddress, MoneroAddress, WrongNetwork
from escrowd.domain.networks import ADDRESS_PREFIXES, AddressKind, Network

#: The address for donations to Monero's general fund, a subaddress.
GENERAL_FUND = "888tNkZrPN6JsEgekjMnABU4TBzc2Dt29EPAvkRxbANsAnjyPbb3iQ1YBRk1UXcdRsiKc9dhwMVgN5S9cQUiyoogDavup3H"

#: Addresses that monero-wallet-rpc 0.18 made: the primary one of a wallet, its first subaddress, and the integrated one
#: with the payment id ``PAYMENT_ID``.
PAYMENT_ID = "0123456789abcdef"
MADE_BY_MONERO = {
    (Network.MAINNET, AddressKind.STANDARD): (
        "49hqUmNXmnBCnxGVmWnMFjPXxZ7xi37iUWth5wPsHPiaGyXE4g2iYvsT5frsjhDUfsP7NTMDWxvKVHWTYorn4b53LBmX5c1"
    ),
    (Network.MAINNET, AddressKind.SUBADDRESS): (
        "89hzpbdrXY91eHSHuQ1FBRG2n24hMXnwJTNkRCJvUgvCPQuqAZknbg5XEFQTMx9ruWiMXtBpMoivzdQkNtUrLEyh3vsRR4c"
    ),
    (Network.MAINNET, AddressKind.INTEGRATED): (
        "4KQWVaC2P3hCnxGVmWnMFjPXxZ7xi37iUWth5wPsHPiaGyXE4g2iYvsT5frsjhDUfsP7NTMDWxvKVHWTYorn4b53VSFrQovZk2xU2Us4g9"
    ),
    (Network.STAGENET, AddressKind.STANDARD): (
        "579pW1Nj98Q3AbVccrZQgCgUZHJTj95QiaNbPzdqbxrVhc4rgX6cUZwDFHomjUcXFd7dciCP1rRTsCJm6ttqGBpE6nKxhwY"
    ),
    (Network.STAGENET, AddressKind.SUBADDRESS): (
        "77wJSTakbp8edQfzbdER7Njh8LcmetEaGAampR1B599nMUEPP1oqBJSP8ud1TKaovzc5oupMizUY8Vab5uXocrFxBFncyaK"
    ),
    (Network.STAGENET, AddressKind.INTEGRATED): (
        "5GrVWpCDkPv3AbVccrZQgCgUZHJTj95QiaNbPzdqbxrVhc4rgX6cUZwDFHomjUcXFd7dciCP1rRTsCJm6ttqGBpE9XookkUsPCQTzDroVF"
    ),
    (Network.TESTNET, AddressKind.STANDARD): (
        "9x9gzqXLARhMPfu7ombVTsWjzoUQqUHNRTtywqjTduxQXKqmm7LWRgQ9V1gzz6gPj8PmXNCi1VBEZBuzvGPwop7d63fJN4h"
    ),
    (Network.TESTNET, AddressKind.SUBADDRESS): (
        "BeegZ852XoAWqHgcHfaZ4G44AgaNXX85s9pm9geXQX47Fu8eLjtHYKmGGvYCMSsZ8NdsrEjDeh3jNPPxHqyouPwBGjHUXLM"
    ),
    (Network.TESTNET, AddressKind.INTEGRATED): (
        "A7rN1eLpmhDMPfu7ombVTsWjzoUQqUHNRTtywqjTduxQXKqmm7LWRgQ9V1gzz6gPj8PmXNCi1VBEZBuzvGPwop7d8Mu6f6kR8KnTyBSzFc"
    ),
}
STANDARD = MADE_BY_MONERO[Network.MAINNET, AddressKind.STANDARD]
INTEGRATED = MADE_BY_MONERO[Network.MAINNET, AddressKind.INTEGRATED]

#: An address and its two keys, as Monero's own tests pair them (tests/unit_tests/base58.cpp).
KNOWN_TEXT = "4AzKEX4gXdJdNeM6dfiBFL7kqund3HYGvMBF3ttsNd9SfzgYB6L7ep1Yg1osYJzLdaKAYSLVh6e6jKnAuzj3bw1oGy9kXCb"
KNOWN_SPEND_KEY = bytes.fromhex("f724bc5c6cfbb9d97602c300423a2f2864187451" + "3a035778a0c1778d833201e9")
KNOWN_VIEW_KEY = bytes.fromhex("220939689edf1abd5bc1d031f73ecd6c993add66" + "d6808870456afeb8e7eeb68d")

UNUSABLE_KEYS = {
    "not on the curve": b"\0" + KNOWN_SPEND_KEY[1:],
    "the neutral element": bytes([1]) + bytes(31),
    "of order two": bytes.fromhex("ec" + "ff" * 30 + "7f"),
    "not canonical": bytes.fromhex("f0" + "ff" * 30 + "7f"),
    "torsioned": crypto_core_ed25519_add(KNOWN_SPEND_KEY, bytes.fromhex("ec" + "ff" * 30 + "7f")),
}

public_keys = st.binary(min_size=32, max_size=32).map(lambda seed: crypto_sign_seed_keypair(seed)[0])


def wrapped(prefix: int, content: bytes) -> str:
    """Make a text with a checksum that fits, whatever it holds."""
    data = bytes([prefix]) + content
    return base58.encode(data + keccak.new(digest_bits=256, data=data).digest()[:4])


@pytest.mark.parametrize(("network", "kind"), MADE_BY_MONERO)
def test_address_made_by_monero_is_refused_or_misread(network: Network, kind: AddressKind) -> None:
    """An address that Monero made is taken on its network, and says its kind and payment id."""
    text = MADE_BY_MONERO[network, kind]
    address = MoneroAddress.parse(text, network)
    payment_id = bytes.fromhex(PAYMENT_ID) if kind is AddressKind.INTEGRATED else None
    assert (str(address), address.network, address.kind, address.payment_id) == (text, network, kind, payment_id)


def test_general_fund_is_no_mainnet_subaddress() -> None:
    """The donation address of the Monero project is a subaddress of mainnet."""
    assert MoneroAddress.parse(GENERAL_FUND, Network.MAINNET).kind is AddressKind.SUBADDRESS


def test_keys_are_swapped_or_cut() -> None:
    """The spend key comes first in an address, then the view key."""
    address = MoneroAddress.parse(KNOWN_TEXT, Network.MAINNET)
    assert (address.spend_public_key, address.view_public_key) == (KNOWN_SPEND_KEY, KNOWN_VIEW_KEY)


@given(
    st.sampled_from(Network), st.sampled_from(AddressKind), public_keys, public_keys, st.binary(min_size=8, max_size=8)
)
def test_made_address_reads_back_as_another(
    network: Network, kind: AddressKind, spend_key: bytes, view_key: bytes, payment_id: bytes
) -> None:
    """An address made of keys is the address that its text is read as."""
    made = MoneroAddress.of_keys(
        network, kind, spend_key, view_key, payment_id if kind is AddressKind.INTEGRATED else None
    )
    assert MoneroAddress.parse(str(made), network) == made


@pytest.mark.parametrize("network", [Network.MAINNET, Network.STAGENET, Network.TESTNET])
def test_integrated_address_hides_another_standard_address(network: Network) -> None:
    """Without its payment id an integrated address is the standard address of the same wallet."""
    integrated = MoneroAddress.parse(MADE_BY_MONERO[network, AddressKind.INTEGRATED], network)
    standard = MoneroAddress.parse(MADE_BY_MONERO[network, AddressKind.STANDARD], network)
    assert integrated.without_payment_id() == standard


def test_address_without_payment_id_is_changed() -> None:
    """Where there is no payment id to take away, a subaddress above all, the address stays what it is."""
    subaddress = MoneroAddress.parse(GENERAL_FUND, Network.MAINNET)
    assert subaddress.without_payment_id() is subaddress


@pytest.mark.parametrize(
    ("belongs_to", "runs_on", "message"),
    [
        (Network.STAGENET, Network.MAINNET, "this is a stagenet address, this service runs on mainnet"),
        (Network.TESTNET, Network.STAGENET, "this is a testnet address, this service runs on stagenet"),
        (Network.STAGENET, Network.REGTEST, "this is a stagenet address, this service runs on regtest"),
        (Network.MAINNET, Network.STAGENET, "this is a mainnet or regtest address, this service runs on stagenet"),
    ],
)
@pytest.mark.parametrize("kind", AddressKind)
def test_address_of_another_network_is_taken(
    belongs_to: Network, runs_on: Network, message: str, kind: AddressKind
) -> None:
    """An address of another network is refused, and the error names both networks."""
    with pytest.raises(WrongNetwork, match=message):
        MoneroAddress.parse(MADE_BY_MONERO[belongs_to, kind], runs_on)


def test_regtest_refuses_addresses_of_its_own_wallets() -> None:
    """A regtest chain has the addresses of mainnet."""
    assert MoneroAddress.parse(STANDARD, Network.REGTEST).network is Network.REGTEST


@given(st.data())
def test_mistyped_address_is_taken(data: st.DataObject) -> None:
    """An address with one character changed is refused."""
    text = data.draw(st.sampled_from([STANDARD, INTEGRATED, GENERAL_FUND]))
    position = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(st.sampled_from(base58.ALPHABET.replace(text[position], "")) | st.characters(codec="utf-8"))
    mistyped = text[:position] + character + text[position + 1 :]
    if mistyped != text:
        with pytest.raises(InvalidAddress):
            MoneroAddress.parse(mistyped, Network.MAINNET)


@given(st.text(max_size=120) | st.text(alphabet=base58.ALPHABET, min_size=95, max_size=95))
def test_rubbish_raises_something_else(text: str) -> None:
    """Whatever text is given, the answer is an address or that it is none."""
    with pytest.raises(InvalidAddress):
        MoneroAddress.parse(text, Network.MAINNET)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "this is 0 characters"),
        (STANDARD + " ", "this is 96 characters; check that it was copied whole"),
        ("4" * 1_000_000, "this is 1000000 characters"),
        (STANDARD.replace("5", "0"), "'0', is not one of"),
        ("z" * 95, "a number too large"),
        (STANDARD[:-1] + "2", "at least one character is wrong"),
        (None, "this is a NoneType"),
    ],
)
def test_error_does_not_say_what_is_wrong(text: str, message: str) -> None:
    """The error says what is wrong with the text: its length, a character, its checksum."""
    with pytest.raises(InvalidAddress, match=message):
        MoneroAddress.parse(text, Network.MAINNET)


@pytest.mark.parametrize("key", UNUSABLE_KEYS.values(), ids=UNUSABLE_KEYS.keys())
def test_address_with_an_unusable_key_is_taken(key: bytes) -> None:
    """A key that no wallet can have made is refused in either place, though the checksum fits."""
    prefix = ADDRESS_PREFIXES[Network.MAINNET][AddressKind.STANDARD]
    for name, keys in (("spend", key + KNOWN_VIEW_KEY), ("view", KNOWN_SPEND_KEY + key)):
        with pytest.raises(InvalidAddress, match=f"the public {name} key"):
            MoneroAddress.parse(wrapped(prefix, keys), Network.MAINNET)
    with pytest.raises(InvalidAddress, match="the public spend key"):
        MoneroAddress.of_keys(Network.MAINNET, AddressKind.STANDARD, key, KNOWN_VIEW_KEY)


@pytest.mark.parametrize("prefix", [0, 17, 127, 128, 255])
def test_prefix_of_no_network_is_taken(prefix: int) -> None:
    """A prefix that Monero does not use is refused, and not as one of another network."""
    with pytest.raises(InvalidAddress, match="of no network of Monero") as caught:
        MoneroAddress.parse(wrapped(prefix, KNOWN_SPEND_KEY + KNOWN_VIEW_KEY), Network.MAINNET)
    assert not isinstance(caught.value, WrongNetwork)


@pytest.mark.parametrize(
    ("kind", "payment_id"),
    [(AddressKind.STANDARD, bytes(8)), (AddressKind.SUBADDRESS, bytes(8)), (AddressKind.INTEGRATED, b"")],
)
def test_payment_id_is_taken_where_none_belongs(kind: AddressKind, payment_id: bytes) -> None:
    """An integrated address has a payment id and no other address has one, read or made."""
    text = wrapped(ADDRESS_PREFIXES[Network.MAINNET][kind], KNOWN_SPEND_KEY + KNOWN_VIEW_KEY + payment_id)
    with pytest.raises(InvalidAddress, match="the length of the address does not fit"):
        MoneroAddress.parse(text, Network.MAINNET)
    with pytest.raises(InvalidAddress, match="does not go with a payment id of"):
        MoneroAddress.of_keys(Network.MAINNET, kind, KNOWN_SPEND_KEY, KNOWN_VIEW_KEY, payment_id)
