import pytest
from hypothesis import given
from hypothesis import strategies as st

from escrowd.chain.curve import varint
from escrowd.chain.reading import Unreadable
from escrowd.chain.transaction import parse_block, parse_transaction
from tests.unit.chain.sender import Draft, Pay, public_key_field, receiver, shared

TXID = "cd" * 32
PAY = Pay(shared(receiver()), receiver().spend_public_key, 10**12)
BLOB = Draft([PAY, PAY], public_key_field(), unlock_time=12).blob()

#: The first block of the main chain, and of regtest chains too, as every node has it (``GENESIS_TX``).
GENESIS_MINER_TX = (
    "013c01ff0001ffffffffffff03029b2e4c0281c0b02e7c53291a94d1d0cbff8883f8024f5142ee494ffbbd088071"
    "210177"
    "67aafcde9be00dcfd098715ebcf7f410daebc582fda69d24a28e9d0bc890d1"
)
GENESIS = bytes.fromhex("010000" + "00" * 32 + "10270000" + GENESIS_MINER_TX + "00")


def test_transaction_is_misread() -> None:
    """Everything that matters of a transaction is read: locks, key images, keys, tags, hidden amounts."""
    transaction = parse_transaction(TXID, BLOB)
    assert (transaction.txid, transaction.unlock_time, transaction.is_coinbase) == (TXID, 12, False)
    assert transaction.key_images == (bytes(range(32)),)
    assert [(len(each.key), each.amount) for each in transaction.outputs] == [(32, 0)] * 2
    assert all(each.masked_amount and each.commitment for each in transaction.outputs)
    assert transaction.extra.public_keys == (public_key_field()[1:],)


def test_signatures_are_in_the_way() -> None:
    """A transaction with its signatures is read as the one without."""
    assert parse_transaction(TXID, BLOB + bytes(500)) == parse_transaction(TXID, BLOB)


def test_old_transaction_is_misread() -> None:
    """A transaction of version 1, as the sweep of old dust still is, has its amounts in clear and no RingCT."""
    old = b"\1\0" + varint(1) + b"\2" + varint(7) + varint(1) + varint(3) + bytes(32)
    old += varint(1) + varint(999) + b"\2" + bytes(32) + varint(0)
    (output,) = parse_transaction(TXID, old).outputs
    assert (output.amount, output.masked_amount, output.view_tag) == (999, None, None)


@pytest.mark.parametrize("rct_type", [1, 2, 3, 7, 255])
def test_unknown_ringct_is_guessed(rct_type: int) -> None:
    """RingCT of a type that is not known stops the scan, for money could hide in it."""
    with pytest.raises(Unreadable, match="RingCT"):
        parse_transaction(TXID, Draft([PAY], public_key_field(), rct_type=rct_type).blob())


@pytest.mark.parametrize(
    ("blob", "reason"),
    [
        (b"\3" + BLOB[1:], "version 3"),
        (b"\0" + BLOB[1:], "version 0"),
        (b"\2\0\1\1", "an input of kind 1"),
        (b"\2\0\1\xff\1\1\0\0", "an output of kind 0"),
    ],
)
def test_unknown_form_is_guessed(blob: bytes, reason: str) -> None:
    """A version, an input or an output of another kind stops the scan."""
    with pytest.raises(Unreadable, match=reason):
        parse_transaction(TXID, blob)


@given(st.integers(0, len(BLOB) - 1))
def test_cut_transaction_is_read(end: int) -> None:
    """A transaction that is not whole is refused."""
    with pytest.raises(Unreadable):
        parse_transaction(TXID, BLOB[:end])


@given(st.binary(max_size=200))
def test_rubbish_breaks_the_reader(data: bytes) -> None:
    """Bytes that are no block give the one error that the watcher expects, or a block that has all of them."""
    try:
        block = parse_block(data)
    except Unreadable:
        return
    assert len(block.header.id) == 64


def test_something_follows_the_block() -> None:
    """The first block of the main chain has its known id, and a byte more makes it none."""
    block = parse_block(GENESIS)
    assert block.header.id == "418015bb9ae982a1975da7d79277c2705727a56894ba0fb246adaabb1f4632e3"
    assert (block.header.time, block.header.previous_id, block.txids) == (0, "00" * 32, ())
    with pytest.raises(Unreadable, match="follows"):
        parse_block(GENESIS + b"\0")
