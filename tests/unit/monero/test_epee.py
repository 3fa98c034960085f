import pytest
from hypothesis import given
from hypothesis import strategies as st

from escrowd.monero.epee import DEEPEST, InvalidStorage, decode, encode

HEADER = bytes.fromhex("011101010101020101")

VALUES = st.recursive(
    st.booleans() | st.integers(0, 2**64 - 1) | st.binary(max_size=300),
    lambda values: (
        st.dictionaries(st.text(max_size=20), values, max_size=4)
        | st.lists(st.dictionaries(st.text(max_size=20), values, max_size=3), min_size=1, max_size=4)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=20), VALUES, max_size=5))
def test_storage_changes_on_its_way(section: dict[str, object]) -> None:
    """What is written is read as it was."""
    assert decode(encode(section)) == section  # type: ignore[arg-type] # Hypothesis cannot say what it makes


def test_request_is_not_as_monero_writes_it() -> None:
    """A request has the very bytes that wallet2 sends."""
    written = encode({"prune": True, "start_height": 5, "block_ids": b"\1\2"})
    assert written == HEADER + bytes.fromhex(
        "0c" + "05" + b"prune".hex() + "0b01" + "0c" + b"start_height".hex() + "050500000000000000"
        "09" + b"block_ids".hex() + "0a08" + "0102"
    )  # fmt: skip


def test_lists_and_small_numbers_are_not_read() -> None:
    """Numbers of every size are read, negative ones and lists too."""
    entries = {
        "a": "850c" + "0100000000000000" + "0200000000000000" + "ffffffffffffffff",
        "b": "04ff",
        "c": "08ff",
        "d": "8a08" + "0461" + "00",
        "e": "8c0400",
    }
    body = b"".join(bytes([1]) + name.encode() + bytes.fromhex(value) for name, value in entries.items())
    assert decode(HEADER + bytes([len(entries) << 2]) + body) == {
        "a": [1, 2, 2**64 - 1],
        "b": -1,
        "c": 255,
        "d": [b"a", b""],
        "e": [{}],
    }


@given(st.binary(max_size=200))
def test_rubbish_is_taken_for_storage(data: bytes) -> None:
    """Whatever bytes follow the header, they are read or refused, and nothing else happens."""
    try:
        section = decode(HEADER + data)
    except InvalidStorage:
        return
    assert isinstance(section, dict)


@given(st.dictionaries(st.text(max_size=5), VALUES, min_size=1, max_size=3), st.data())
def test_cut_storage_is_taken_for_whole(section: dict[str, object], data: st.DataObject) -> None:
    """Storage that is not whole, or with something after it, is refused."""
    written = encode(section)  # type: ignore[arg-type] # Hypothesis cannot say what it makes
    end = data.draw(st.integers(0, len(written) - 1))
    with pytest.raises(InvalidStorage):
        decode(written[:end])
    with pytest.raises(InvalidStorage):
        decode(written + b"\0")


@pytest.mark.parametrize(
    "body",
    [
        "04" + "0161" + "8503" + "ffffffff"[:6],  # a huge count of numbers
        "04" + "0161" + "8a" + "03ffffffffffffff",  # a huge count of texts
        "04" + "0161" + "0a" + "03ffffffffffffff",  # a huge text
        "04" + "0161" + "0d04",  # an array within an array, which nothing of Monero's has
        "04" + "0161" + "00",
        "08" + "0161" + "0801" + "0161" + "0802",  # twice the same name
        ("04" + "0161" + "0c") * (DEEPEST + 1) + "00",
    ],
)
def test_hostile_storage_is_read(body: str) -> None:
    """Counts and lengths beyond the end, unknown types, double names and endless depth are refused."""
    with pytest.raises(InvalidStorage):
        decode(HEADER + bytes.fromhex(body))
