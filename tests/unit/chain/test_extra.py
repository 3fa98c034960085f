import pytest
from hypothesis import given
from hypothesis import strategies as st

from escrowd.chain.curve import varint
from escrowd.chain.extra import Extra, parse_extra
from escrowd.chain.reading import Reader, Unreadable
from tests.unit.chain.sender import nonce_field

KEY = bytes(range(32))
OTHER = bytes(range(1, 33))
PUBLIC = b"\1" + KEY
MERGE_MINING = b"\3\x21\0" + OTHER


def additional(*keys: bytes) -> bytes:
    return b"\4" + varint(len(keys)) + b"".join(keys)


@given(st.integers(0, 2**64 - 1))
def test_number_changes_on_its_way(number: int) -> None:
    """A number of 64 bits is read as it was written, to its last byte."""
    reader = Reader(varint(number))
    assert reader.varint() == number
    assert reader.is_at_end


@pytest.mark.parametrize(
    "written",
    ["8000", "ff8000", "80" * 9 + "02", "ff" * 9 + "02", "ff" * 10 + "01", "80" * 9 + "00", "", "80"],
)
def test_number_in_a_wrong_form_is_read(written: str) -> None:
    """A number that is longer than need be, too large or not whole is refused."""
    with pytest.raises(Unreadable):
        Reader(bytes.fromhex(written)).varint()


def test_fields_are_not_read() -> None:
    """All fields that wallets know are read, in any order."""
    data = nonce_field(b"abc") + MERGE_MINING + PUBLIC + b"\xde\2xy" + additional(OTHER, KEY) + b"\1" + OTHER + bytes(9)
    assert parse_extra(data) == Extra((KEY, OTHER), (OTHER, KEY), b"abc")


def test_later_field_takes_the_place_of_the_first() -> None:
    """Of nonces and of lists of additional keys the first one counts, be it empty."""
    data = PUBLIC + additional() + additional(KEY) + nonce_field(b"") + nonce_field(b"\1" + bytes(8))
    assert parse_extra(data) == Extra((KEY,), (), b"")


@pytest.mark.parametrize(
    "error",
    [
        b"\5",  # an unknown tag
        b"\0\1",  # padding that is not zero
        b"\0" * 256,  # too much padding
        nonce_field(bytes(256)),
        b"\2\x83\0abc",  # a length in too many bytes
        b"\2\x50abc",  # a length beyond the end
        b"\3\x22\0" + OTHER + b"\0",  # the mark of merge mining with something after it
        b"\3\x20" + OTHER,  # and without a depth
        b"\3\x23\x80\0" + OTHER + b"\0",
        b"\4" + varint(2**59) + KEY,
        b"\xde\xff\xff\xff\xff\xff\xff\xff\xff\xff\1",
    ],
)
def test_field_after_an_error_counts(error: bytes) -> None:
    """What comes before an error counts, and nothing that comes after it."""
    assert parse_extra(PUBLIC + error + b"\1" + OTHER).public_keys == (KEY,)


def test_padding_to_the_end_hides_what_is_before() -> None:
    """Padding to the end of the extra is no error."""
    assert parse_extra(PUBLIC + bytes(255)) == parse_extra(PUBLIC) == Extra((KEY,))


@given(st.binary(max_size=300))
def test_hostile_extra_breaks_the_reader(data: bytes) -> None:
    """Whatever a sender writes, it is read to the first error, and what is read first stays the same."""
    keys = parse_extra(PUBLIC + data).public_keys
    assert keys[0] == KEY
    assert parse_extra(PUBLIC + PUBLIC + data).public_keys == (KEY, *keys)
