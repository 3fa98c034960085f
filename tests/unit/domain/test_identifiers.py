import pytest
from hypothesis import given
from hypothesis import strategies as st

from escrowd.domain.identifiers import InvalidIdentifier, Prefix, make_identifier, parse_escrow_id, parse_identifier

times = st.integers(min_value=0, max_value=2**48 - 1)
random_bytes = st.binary(min_size=10, max_size=10)

GOOD = "01jd3v9k8z6x5w4t2r1q0p9n8m"


@given(st.sampled_from(Prefix), times, random_bytes)
def test_made_identifier_is_refused(prefix: Prefix, milliseconds: int, randomness: bytes) -> None:
    """Every id that is made can be read, with its own prefix."""
    made = make_identifier(prefix, milliseconds, randomness)
    assert parse_identifier(prefix, made) == made


@given(times, random_bytes, times, random_bytes)
def test_identifiers_sort_otherwise_than_time(first: int, some: bytes, second: int, other: bytes) -> None:
    """Ids sort as texts by time first, then by their random bytes; different ones are never the same text."""
    made = make_identifier(Prefix.EVENT, first, some), make_identifier(Prefix.EVENT, second, other)
    assert (made[0] < made[1], made[0] == made[1]) == (
        (first, some) < (second, other),
        (first, some) == (second, other),
    )


@pytest.mark.parametrize(
    ("milliseconds", "randomness", "expected"),
    [
        (0, bytes(10), "esc_" + "0" * 26),
        (2**48 - 1, b"\xff" * 10, "esc_7" + "z" * 25),
        (1469918176385, bytes(10), "esc_01aryz6s41" + "0" * 16),
    ],
)
def test_layout_differs_from_ulid(milliseconds: int, randomness: bytes, expected: str) -> None:
    """Ten characters of time and sixteen of chance, as a ULID has them."""
    assert make_identifier(Prefix.ESCROW, milliseconds, randomness) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "esc_",
        GOOD,
        f"evt_{GOOD}",
        f"ESC_{GOOD}",
        f"esc_{GOOD.upper()}",
        f"esc_{GOOD[:-1]}",
        f"esc_{GOOD}0",
        f"esc_{GOOD}\n",
        f" esc_{GOOD}",
        f"esc_8{GOOD[1:]}",
        *(f"esc_{GOOD[:-1]}{character}" for character in "ilou-._/\\\0 %é٣"),
        "esc_../../../../../etc/passwd",
        "esc_0000000000000000000000/../",
    ],
)
def test_parse_escrow_id_takes_what_could_be_a_path(text: str) -> None:
    """An escrow id is its prefix and 26 fixed letters and digits, and can never leave the wallet directory."""
    with pytest.raises(InvalidIdentifier, match="an id of this kind is 'esc_' and 26"):
        parse_escrow_id(text)


@given(st.text())
def test_parse_escrow_id_takes_rubbish(text: str) -> None:
    """A text that is taken as an escrow id is a plain file name, and is given back unchanged."""
    try:
        escrow = parse_escrow_id(text)
    except InvalidIdentifier:
        return
    assert (escrow, len(escrow), escrow.isascii(), escrow.replace("_", "").isalnum()) == (text, 30, True, True)


def test_example_of_the_error_is_refused() -> None:
    """The example that the error gives is itself an id."""
    with pytest.raises(InvalidIdentifier) as caught:
        parse_escrow_id("?")
    example = str(caught.value).split("'")[-2]
    assert parse_escrow_id(example) == example


@pytest.mark.parametrize("value", [None, 1, b"esc_01jd3v9k8z6x5w4t2r1q0p9n8m"])
def test_parse_escrow_id_takes_something_else_than_text(value: object) -> None:
    """Only a text is an id."""
    with pytest.raises(InvalidIdentifier):
        parse_escrow_id(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(("milliseconds", "size"), [(-1, 10), (2**48, 10), (0, 9), (0, 11)])
def test_make_identifier_overflows_its_fields(milliseconds: int, size: int) -> None:
    """A time beyond 48 bits or a wrong number of random bytes makes no id."""
    with pytest.raises(ValueError, match="an id"):
        make_identifier(Prefix.ESCROW, milliseconds, bytes(size))
