import pytest
from hypothesis import given
from hypothesis import strategies as st

from escrowd.domain import base58

# Pairs that Monero's own tests hold true (tests/unit_tests/base58.cpp): the largest block of each length, and two whose
# leading zeros must stay.
PAIRS = [
    ("", ""),
    ("ff", "5Q"),
    ("ffff", "LUv"),
    ("ffffff", "2UzHL"),
    ("ffffffff", "7YXq9G"),
    ("ffffffffff", "VtB5VXc"),
    ("ffffffffffff", "3CUsUpv9t"),
    ("ffffffffffffff", "Ahg1opVcGW"),
    ("ffffffffffffffff", "jpXCZedGfVQ"),
    ("0000000000000000", "11111111111"),
    ("06156013762879f7ffffffffff", "22222222222VtB5VXc"),
]


@given(st.binary(max_size=100))
def test_base58_loses_bytes(data: bytes) -> None:
    """Bytes written as base58 read back as themselves."""
    assert base58.decode(base58.encode(data)) == data


@given(st.text(alphabet=base58.ALPHABET, max_size=30))
def test_base58_has_two_spellings(text: str) -> None:
    """A text that decodes is the one spelling of its bytes."""
    try:
        data = base58.decode(text)
    except base58.InvalidBase58:
        return
    assert base58.encode(data) == text


@pytest.mark.parametrize(("data", "text"), PAIRS)
def test_base58_differs_from_that_of_monero(data: str, text: str) -> None:
    """The alphabet and the widths of the blocks are those of Monero."""
    assert (base58.encode(bytes.fromhex(data)), base58.decode(text).hex()) == (text, data)


@pytest.mark.parametrize("text", ["5R", "LUw", "2UzHM", "7YXq9H", "VtB5VXd", "3CUsUpv9u", "Ahg1opVcGX", "jpXCZedGfVR"])
def test_decode_wraps_a_block_that_is_too_large(text: str) -> None:
    """One more than the largest number of a block is refused."""
    with pytest.raises(base58.InvalidBase58, match="too large"):
        base58.decode(text)


@pytest.mark.parametrize("length", [1, 4, 8, 12, 15, 19])
def test_decode_takes_an_impossible_length(length: int) -> None:
    """No bytes have a text of these lengths."""
    with pytest.raises(base58.InvalidBase58, match=f"cannot end after {length} characters"):
        base58.decode("1" * length)


@pytest.mark.parametrize("character", ["0", "O", "I", "l", "_", " ", "\0", "é", "\uff11"])
def test_decode_takes_a_foreign_character(character: str) -> None:
    """A character outside the alphabet is refused, and the error says where it stands."""
    with pytest.raises(base58.InvalidBase58, match="character 13, "):
        base58.decode("1" * 12 + character)
