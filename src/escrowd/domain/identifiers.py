"""Names of things: a prefix that says what it is, and 26 characters that sort by the time of making.

The layout is that of ULID: 48 bits of milliseconds since 1970, then 80 random bits, in Crockford's base32. It is
written in lower case, because an id may become a file name, and on some file systems case does not count.
"""

import re
from enum import StrEnum
from typing import Final, NewType

from escrowd.domain.errors import InvalidInput

EscrowId = NewType("EscrowId", str)

#: Crockford's base32: digits and letters without i, l, o and u. In ASCII order, so that texts sort as numbers do.
ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
#: Random bytes in an id.
RANDOM_BYTES: Final = 10


class Prefix(StrEnum):
    """What an id is the name of."""

    ESCROW = "esc"
    EVENT = "evt"
    PAYOUT = "pay"
    WEBHOOK = "whk"
    DELIVERY = "dlv"
    API_KEY = "key"


class InvalidIdentifier(InvalidInput):
    """The text is not an id that the service has made."""


def parse_escrow_id(text: str) -> EscrowId:
    """Take a text as the id of an escrow.

    Raises:
        InvalidIdentifier: it has not the form of one.

    """
    return EscrowId(parse_identifier(Prefix.ESCROW, text))


def parse_identifier(prefix: Prefix, text: str) -> str:
    """Take a text as an id with this prefix.

    Raises:
        InvalidIdentifier: it has not the form of one.

    """
    # The ids of escrows become names of wallet files, and reach SQL, URLs and logs. A fixed length over an alphabet
    # without dot, slash, backslash, NUL and blank makes a path out of the wallet directory impossible, so this check
    # is the border that nothing may go around.
    if not _has_form(prefix, text):
        raise InvalidIdentifier(
            f"an id of this kind is '{prefix}_' and {_CHARACTERS} lower-case letters and digits, "
            f"such as '{prefix}_01jd3v9k8z6x5w4t2r1q0p9n8m'"
        )
    return text


def make_identifier(prefix: Prefix, milliseconds: int, randomness: bytes) -> str:
    """Make an id out of a time, in milliseconds since 1970, and ten random bytes.

    Both are given, since the domain knows neither clock nor chance. Ids of one prefix sort by time.

    Raises:
        ValueError: the time does not fit into 48 bits or the bytes are not ten, which is a bug of the caller.

    """
    if not 0 <= milliseconds < 2**_TIME_BITS:
        raise ValueError(f"the time of an id is 0 to 2**{_TIME_BITS} milliseconds, not {milliseconds}")
    if len(randomness) != RANDOM_BYTES:
        raise ValueError(f"an id takes {RANDOM_BYTES} random bytes, not {len(randomness)}")
    number = milliseconds << (8 * RANDOM_BYTES) | int.from_bytes(randomness, "big")
    shifts = range(_CHARACTER_BITS * (_CHARACTERS - 1), -1, -_CHARACTER_BITS)
    return f"{prefix}_" + "".join(ALPHABET[number >> shift & len(ALPHABET) - 1] for shift in shifts)


# ---------------------------------------------------------------------------------------------------------------------

_TIME_BITS: Final = 48
_CHARACTER_BITS: Final = 5
_CHARACTERS: Final = 26
#: The first character holds three bits only: 26 characters have room for 130 bits, and an id has 128.
_FORM: Final = re.compile(f"[a-z]{{3}}_[0-7][{ALPHABET}]{{{_CHARACTERS - 1}}}")


def _has_form(prefix: Prefix, text: object) -> bool:
    return isinstance(text, str) and _FORM.fullmatch(text) is not None and text.startswith(f"{prefix}_")
