"""Amounts of Monero: whole piconero, always ``int``, never a float.

An amount has two written forms. Programs exchange piconero as a decimal string, since JSON numbers are floats to many
readers and lose digits above 2**53. People read and type XMR, which is the same digits with the point twelve places
to the left (``CRYPTONOTE_DISPLAY_DECIMAL_POINT`` in ``cryptonote_config.h``). Each amount has exactly one piconero
form, so that equal amounts are equal texts too.
"""

import re
from typing import Final

from escrowd.domain.errors import InvalidInput

#: Digits after the point of an amount in XMR.
DECIMALS: Final = 12
PICONERO_PER_XMR: Final = 10**DECIMALS
#: The largest amount that Monero can express: its amounts are unsigned 64-bit numbers.
MAX_PICONERO: Final = 2**64 - 1


class InvalidAmount(InvalidInput):
    """An amount is not written as amounts are, or is larger than any amount of Monero."""


def parse_piconero(text: str) -> int:
    """Read an amount in piconero from its decimal string, such as ``"1500000000000"``.

    Raises:
        InvalidAmount: there is anything but digits, a leading zero, or more than ``MAX_PICONERO``.

    """
    if not _matches(_PICONERO, text):
        raise InvalidAmount(
            f"{_quoted(text)} is not an amount in piconero: write a string of digits without sign, point, exponent or "
            'leading zeros, such as "1500000000000" for 1.5 XMR'
        )
    return _bounded(text, whole=text, decimals="")


def format_piconero(amount: int) -> str:
    """Write an amount in piconero as the decimal string that :func:`parse_piconero` reads.

    Raises:
        TypeError, ValueError: this is not an amount, which is a bug of the caller.

    """
    return str(_checked(amount))


def parse_xmr(text: str) -> int:
    """Read an amount in XMR, such as ``"1.5"``, and return it in piconero, exactly.

    Raises:
        InvalidAmount: there is a sign, an exponent, a leading zero, a decimal comma or another foreign character, a
            point without digits on both sides, more than twelve decimals, or more than ``MAX_PICONERO``.

    """
    if not _matches(_XMR, text):
        raise InvalidAmount(
            f"{_quoted(text)} is not an amount in XMR: write digits, and if needed a point and more digits, "
            'such as "1.5", without sign, exponent or leading zeros'
        )
    whole, _, decimals = text.partition(".")
    if len(decimals) > DECIMALS:
        raise InvalidAmount(
            f"{_quoted(text)} has {len(decimals)} decimals: XMR has at most {DECIMALS}, down to 0.000000000001"
        )
    return _bounded(text, whole, decimals.ljust(DECIMALS, "0"))


def format_xmr(amount: int) -> str:
    """Write an amount of piconero in XMR with all twelve decimals, as in ``monero:`` URIs: ``1.500000000000``.

    Raises:
        TypeError, ValueError: this is not an amount, which is a bug of the caller.

    """
    whole, decimals = divmod(_checked(amount), PICONERO_PER_XMR)
    return f"{whole}.{decimals:0{DECIMALS}d}"


def format_xmr_short(amount: int) -> str:
    """Write an amount of piconero in XMR for people to read, without trailing zeros: ``1.5``, ``2``.

    Nothing is rounded: :func:`parse_xmr` reads the very same amount back.

    Raises:
        TypeError, ValueError: this is not an amount, which is a bug of the caller.

    """
    return format_xmr(amount).rstrip("0").removesuffix(".")


# ---------------------------------------------------------------------------------------------------------------------

# Spelled as [0-9], because \d and str.isdigit() also take the digits of other scripts.
_PICONERO: Final = re.compile("0|[1-9][0-9]*")
_XMR: Final = re.compile("(0|[1-9][0-9]*)([.][0-9]+)?")

#: Characters of a wrong text that are quoted back in an error.
_QUOTED: Final = 40


def _matches(form: re.Pattern[str], text: object) -> bool:
    # The text comes out of JSON, and no type annotation makes sure that it is a string there.
    return isinstance(text, str) and form.fullmatch(text) is not None


def _bounded(text: str, whole: str, decimals: str) -> int:
    # The length is looked at first: reading digits into an int takes quadratic time, and Python refuses above 4300.
    digits = whole + decimals
    if len(digits) > len(str(MAX_PICONERO)) + 1 or int(digits) > MAX_PICONERO:
        raise InvalidAmount(
            f"{_quoted(text)} is too much: the largest amount is {MAX_PICONERO} piconero, "
            f"which is {format_xmr(MAX_PICONERO)} XMR"
        )
    return int(digits)


def _checked(amount: int) -> int:
    # bool is an int to Python and True would be written as 1 piconero; a float has lost digits already.
    if type(amount) is not int:
        raise TypeError(f"an amount is an int of piconero, not {type(amount).__name__}")
    if not 0 <= amount <= MAX_PICONERO:
        raise ValueError(f"an amount is 0 to {MAX_PICONERO} piconero, not {amount}")
    return amount


def _quoted(text: object) -> str:
    shown = repr(text)
    return shown if len(shown) <= _QUOTED else shown[:_QUOTED] + "…"
