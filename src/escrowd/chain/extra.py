"""The ``extra`` of a transaction: free bytes of its sender, by custom a row of tagged fields.

It is hostile ground: no rule of consensus says what is in it. So it is read exactly as wallets read it
(``parse_tx_extra`` of 0.18): fields before the first error count, whatever comes after it does not.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from escrowd.chain.curve import KEY_BYTES
from escrowd.chain.reading import Reader, Unreadable


@dataclass(frozen=True, slots=True)
class Extra:
    """What of an ``extra`` matters to whoever looks for payments."""

    #: All public keys of the transaction, in order. wallet2 tries every one of them.
    public_keys: tuple[bytes, ...] = ()
    #: One key for each output, where it pays several addresses and a subaddress among them.
    additional_keys: tuple[bytes, ...] = ()
    #: The first nonce; it may hold a payment id.
    nonce: bytes | None = None

    @property
    def encrypted_payment_id(self) -> bytes | None:
        """The short payment id, encrypted (``get_encrypted_payment_id_from_tx_extra_nonce``)."""
        nonce = self.nonce
        if nonce is None or len(nonce) != 1 + _PAYMENT_ID_BYTES or nonce[0] != _ENCRYPTED_PAYMENT_ID:
            return None
        return nonce[1:]


def parse_extra(data: bytes) -> Extra:
    """Read the fields before the first error."""
    fields = _Fields()
    reader = Reader(data)
    try:
        while not reader.is_at_end and fields.read_one(reader):
            pass
    except Unreadable:
        pass  # what was read so far counts
    return fields.extra()


# ---------------------------------------------------------------------------------------------------------------------

_PAYMENT_ID_BYTES: Final = 8
_ENCRYPTED_PAYMENT_ID: Final = 0x01
#: ``TX_EXTRA_NONCE_MAX_COUNT``
_LONGEST_NONCE: Final = 255


class _Tag(IntEnum):
    """The first byte of a field (``tx_extra.h``), but for the padding, which is 0."""

    PUBLIC_KEY = 0x01
    NONCE = 0x02
    MERGE_MINING = 0x03
    ADDITIONAL_KEYS = 0x04
    MINERGATE = 0xDE


class _Fields:
    """Gathers the fields one after the other."""

    def __init__(self) -> None:
        self._public_keys: list[bytes] = []
        self._additional_keys: tuple[bytes, ...] | None = None
        self._nonce: bytes | None = None

    def extra(self) -> Extra:
        return Extra(tuple(self._public_keys), self._additional_keys or (), self._nonce)

    def read_one(self, reader: Reader) -> bool:
        """Read a field and return whether another one may follow."""
        match reader.byte():
            case _Tag.PUBLIC_KEY:
                self._public_keys.append(reader.take(KEY_BYTES))
            case _Tag.NONCE:
                return self._read_nonce(reader)
            case _Tag.MERGE_MINING:
                return _read_merge_mining(reader)
            case _Tag.ADDITIONAL_KEYS:
                self._read_additional_keys(reader)
            case _Tag.MINERGATE:
                reader.text()
            case _:
                # Padding goes on to the end or is an error: either way nothing follows it. Other tags are unknown.
                return False
        return True

    def _read_nonce(self, reader: Reader) -> bool:
        nonce = reader.text()
        if len(nonce) > _LONGEST_NONCE:
            return False
        if self._nonce is None:
            self._nonce = nonce
        return True

    def _read_additional_keys(self, reader: Reader) -> None:
        count = reader.varint()
        keys = reader.take(count * KEY_BYTES)
        if self._additional_keys is None:
            starts = range(0, len(keys), KEY_BYTES)
            self._additional_keys = tuple(keys[start : start + KEY_BYTES] for start in starts)


def _read_merge_mining(reader: Reader) -> bool:
    """Read the mark of merge mining: a depth and a hash, and nothing else, in bytes with a count before them."""
    inner = Reader(reader.text())
    inner.varint()
    inner.take(KEY_BYTES)
    return inner.is_at_end
