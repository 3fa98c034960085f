import pytest
from hypothesis import given
from hypothesis import strategies as st

from escrowd.domain.errors import Fault, InvalidInput
from escrowd.domain.money import (
    MAX_PICONERO,
    PICONERO_PER_XMR,
    InvalidAmount,
    format_piconero,
    format_xmr,
    format_xmr_short,
    parse_piconero,
    parse_xmr,
)

amounts = st.integers(min_value=0, max_value=MAX_PICONERO)

NOT_DIGITS = ["", " ", "1 ", " 1", "1\n", "+1", "-1", "1_000", "1,5", "1e3", "0x10", "nan", "inf", "٣", "²", "\uff11"]


@given(amounts)
def test_piconero_text_loses_an_amount(amount: int) -> None:
    """Every amount written in piconero reads back as itself."""
    assert parse_piconero(format_piconero(amount)) == amount


@given(amounts)
def test_xmr_text_loses_an_amount(amount: int) -> None:
    """Every amount written in XMR, in the long and in the short form, reads back as itself."""
    assert (parse_xmr(format_xmr(amount)), parse_xmr(format_xmr_short(amount))) == (amount, amount)


@given(st.text())
def test_piconero_text_has_two_spellings(text: str) -> None:
    """A text that is taken as piconero is the one spelling of that amount."""
    try:
        amount = parse_piconero(text)
    except InvalidAmount:
        return
    assert format_piconero(amount) == text


@pytest.mark.parametrize("text", [*NOT_DIGITS, "007", "00", "1.0", "."])
def test_parse_piconero_takes_a_foreign_spelling(text: str) -> None:
    """Piconero are digits without sign, point, exponent, blank or leading zero; the error shows what would be right."""
    with pytest.raises(InvalidAmount, match="write a string of digits"):
        parse_piconero(text)


@pytest.mark.parametrize("text", [*NOT_DIGITS, "01", "00.5", ".5", "1.", ".", "1.5.0", "1.5e3", "1.5 XMR"])
def test_parse_xmr_takes_a_foreign_spelling(text: str) -> None:
    """XMR are digits, and perhaps a point with digits on both sides; the error shows what would be right."""
    with pytest.raises(InvalidAmount, match="write digits"):
        parse_xmr(text)


@pytest.mark.parametrize("value", [1, 1.5, True, None, b"1"])
def test_parsers_take_something_else_than_text(value: object) -> None:
    """An amount is read from a string only: a JSON number has gone through a float somewhere."""
    for parse in (parse_piconero, parse_xmr):
        with pytest.raises(InvalidAmount):
            parse(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0", 0),
        ("1", PICONERO_PER_XMR),
        ("1.5", 1_500_000_000_000),
        ("0.000000000001", 1),
        ("1.000000000000", PICONERO_PER_XMR),
        ("18446744.073709551615", MAX_PICONERO),
    ],
)
def test_parse_xmr_misplaces_the_point(text: str, amount: int) -> None:
    """One XMR is 10**12 piconero, exactly."""
    assert parse_xmr(text) == amount


def test_parse_xmr_rounds() -> None:
    """More than twelve decimals are an error and not rounded, even where they are zeros."""
    with pytest.raises(InvalidAmount, match="has 13 decimals: XMR has at most 12"):
        parse_xmr("0.1000000000000")


@pytest.mark.parametrize("text", [str(MAX_PICONERO + 1), "9" * 21, "9" * 100_000])
def test_parse_piconero_goes_over_64_bits(text: str) -> None:
    """An amount beyond 2**64-1 piconero is an error at once, however long its text is."""
    with pytest.raises(InvalidAmount, match="the largest amount is 18446744073709551615 piconero"):
        parse_piconero(text)


@pytest.mark.parametrize("text", ["18446744.073709551616", "18446745", "9" * 100_000])
def test_parse_xmr_goes_over_64_bits(text: str) -> None:
    """An amount beyond 2**64-1 piconero is an error in XMR too."""
    with pytest.raises(InvalidAmount, match=r"18446744\.073709551615 XMR"):
        parse_xmr(text)


def test_error_repeats_a_long_text() -> None:
    """An error quotes no more than the beginning of what was wrong."""
    with pytest.raises(InvalidAmount) as caught:
        parse_piconero("x" * 100_000)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("amount", "long", "short"),
    [
        (0, "0.000000000000", "0"),
        (1, "0.000000000001", "0.000000000001"),
        (PICONERO_PER_XMR, "1.000000000000", "1"),
        (10 * PICONERO_PER_XMR, "10.000000000000", "10"),
        (1_500_000_000_000, "1.500000000000", "1.5"),
    ],
)
def test_format_xmr_misplaces_the_point(amount: int, long: str, short: str) -> None:
    """The long form always has twelve decimals, and the short form drops the zeros after the point only."""
    assert (format_xmr(amount), format_xmr_short(amount)) == (long, short)


@pytest.mark.parametrize("value", [True, False, 1.0, "1", None])
def test_formatters_write_what_is_no_int(value: object) -> None:
    """Only an int is an amount: neither a float nor a bool is ever written as money."""
    for write in (format_piconero, format_xmr, format_xmr_short):
        with pytest.raises(TypeError):
            write(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("amount", [-1, MAX_PICONERO + 1])
def test_formatters_write_what_is_no_amount(amount: int) -> None:
    """An amount below zero or above 64 bits is never written."""
    for write in (format_piconero, format_xmr, format_xmr_short):
        with pytest.raises(ValueError, match="an amount is 0 to"):
            write(amount)


def test_wrong_amount_blames_the_service() -> None:
    """A wrongly written amount is the caller's to mend."""
    assert (issubclass(InvalidAmount, InvalidInput), InvalidAmount.fault) == (True, Fault.CALLER)
