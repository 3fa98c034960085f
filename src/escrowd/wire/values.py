"""The small types of the wire: amounts, times, ids."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

#: The type of a parameter that was left out: in a query there is no ``null``.
Absent: TypeAlias = SkipJsonSchema[None]
#: The largest amount that Monero can express.
MAX_PICONERO: Final = 2**64 - 1
_PICONERO: Final = re.compile("0|[1-9][0-9]{0,19}")
_PATTERN: Final = "^(0|[1-9][0-9]{0,19})$"


class Request(BaseModel):
    """What is sent to the API. Unknown fields are refused: a misspelt one must not be left out in silence."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Answer(BaseModel):
    """What the API answers. Unknown fields are passed over, so that a newer server can be read."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def read_piconero(value: Any) -> int:
    """Read an amount from its decimal string, or take one that is a number already.

    Raises:
        ValueError: it is neither, or more than any amount of Monero.

    """
    if isinstance(value, str) and _PICONERO.fullmatch(value):
        value = int(value)
    if type(value) is not int or not 0 <= value <= MAX_PICONERO:
        raise ValueError(
            "an amount is a string of digits, in piconero, without sign, point, exponent or leading zeros, "
            f'at most {MAX_PICONERO}, such as "1500000000000" for 1.5 XMR'
        )
    return value


def _read_text(value: Any) -> int:
    # JSON numbers are floats to many programs, which lose digits above 2**53.
    return read_piconero(value if isinstance(value, str) else None)


_AMOUNT_SCHEMA: Final = WithJsonSchema(
    {"type": "string", "pattern": _PATTERN, "description": "Piconero (10^-12 XMR), in decimal."}
)

#: An amount in piconero: ``int`` in Python, a decimal string in JSON.
Piconero = Annotated[int, BeforeValidator(read_piconero), PlainSerializer(str), _AMOUNT_SCHEMA]
#: The same in a request, where nothing but a string is taken.
PiconeroText = Annotated[int, BeforeValidator(_read_text), PlainSerializer(str), _AMOUNT_SCHEMA]


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


#: A time in UTC; in JSON as RFC 3339 with milliseconds.
Timestamp = Annotated[datetime, AfterValidator(_in_utc), PlainSerializer(_rfc3339, return_type=str)]


def timestamp(milliseconds: int) -> datetime:
    """Return the time that is so many milliseconds after 1970."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


#: An id of 26 characters with a prefix, as the API makes them.
ESCROW_ID_PATTERN: Final = "^esc_[0-7][0-9a-hjkmnp-tv-z]{25}$"
WEBHOOK_ID_PATTERN: Final = "^whk_[0-7][0-9a-hjkmnp-tv-z]{25}$"
#: A text of the caller's own: no control characters but line breaks and tabs, which no program shows well.
NO_CONTROLS: Final = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
ShortText = Annotated[str, Field(max_length=200, pattern=NO_CONTROLS)]
LongText = Annotated[str, Field(max_length=2000, pattern=NO_CONTROLS)]
AddressText = Annotated[str, Field(min_length=1, max_length=200, description="A Monero address.")]
