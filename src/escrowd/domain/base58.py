"""Monero's base58: bytes as letters and digits, in blocks of fixed width.

Unlike Bitcoin's, it turns each 8 bytes into 11 characters on their own, and what is left at the end into as many
characters as its length needs (``encode_block`` and ``decode_block`` in ``src/common/base58.cpp``). Since a block is
never wider than its number needs and may not exceed its bytes, each byte string has exactly one text.
"""

from operator import mul
from typing import Final

from escrowd.domain.errors import InvalidInput

#: Digits, capitals and small letters without 0, O, I and l, which people mistake for one another.
ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


class InvalidBase58(InvalidInput):
    """A text is not Monero base58."""


def encode(data: bytes) -> str:
    """Write bytes as base58."""
    blocks = (data[start : start + _BLOCK_BYTES] for start in range(0, len(data), _BLOCK_BYTES))
    return "".join(_encoded_block(block) for block in blocks)


def decode(text: str) -> bytes:
    """Read bytes from base58.

    Raises:
        InvalidBase58: a character is foreign, the text has a length that no bytes have, or a block is too large.

    """
    starts = range(0, len(text), _BLOCK_CHARACTERS)
    return b"".join(_decoded_block(text[start : start + _BLOCK_CHARACTERS], start) for start in starts)


# ---------------------------------------------------------------------------------------------------------------------

#: Characters for a block of this many bytes: the least that can hold 256**bytes values in 58**characters.
_CHARACTERS_OF_BYTES: Final = (0, 2, 3, 5, 6, 7, 9, 10, 11)
_BYTES_OF_CHARACTERS: Final = {characters: size for size, characters in enumerate(_CHARACTERS_OF_BYTES)}
_BLOCK_BYTES: Final = len(_CHARACTERS_OF_BYTES) - 1
_BLOCK_CHARACTERS: Final = _CHARACTERS_OF_BYTES[_BLOCK_BYTES]
#: Stands for whatever is no character of ours.
_FOREIGN: Final = 255
#: The value of each byte of a text.
_VALUES: Final = bytes(ALPHABET.find(chr(byte)) % 256 for byte in range(256))
#: What each place of a whole block counts.
_POWERS: Final = tuple(len(ALPHABET) ** place for place in reversed(range(_BLOCK_CHARACTERS)))


def _encoded_block(block: bytes) -> str:
    number = int.from_bytes(block, "big")
    characters = []
    for _ in range(_CHARACTERS_OF_BYTES[len(block)]):
        number, value = divmod(number, len(ALPHABET))
        characters.append(ALPHABET[value])
    return "".join(reversed(characters))


def _decoded_block(block: str, start: int) -> bytes:
    size = _BYTES_OF_CHARACTERS.get(len(block))
    if size is None:
        raise InvalidBase58(f"the text cannot end after {start + len(block)} characters; something is missing or extra")
    values = block.encode("ascii", "replace").translate(_VALUES)
    foreign = values.find(_FOREIGN)
    if foreign >= 0:
        raise InvalidBase58(f"character {start + foreign + 1}, {block[foreign]!r}, is not one of {ALPHABET}")
    number: int = sum(map(mul, _POWERS[-len(values) :], values))
    if number >= 256**size:
        raise InvalidBase58(
            f"characters {start + 1} to {start + len(block)} stand for a number too large; one is wrong"
        )
    return number.to_bytes(size, "big")
