"""Reads Monero's binary form, byte for byte as its ``binary_archive`` does: what that refuses is refused here."""

from typing import Final

#: Bytes of a key, a hash or a commitment.
KEY_BYTES: Final = 32


class Malformed(Exception):
    """The bytes are not in Monero's binary form."""


class Reader:
    """Reads from the beginning of some bytes to their end."""

    __slots__ = ("_data", "position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    @property
    def remaining(self) -> int:
        """Number of bytes that were not read yet."""
        return len(self._data) - self.position

    def take(self, count: int) -> bytes:
        """Read so many bytes. Raises Malformed where there are fewer."""
        end = self.position + count
        if end > len(self._data):
            raise Malformed(f"{count} bytes are wanted at {self.position}, and {self.remaining} are there")
        data = self._data[self.position : end]
        self.position = end
        return data

    def byte(self) -> int:
        """Read one byte as a number. Raises Malformed at the end."""
        return self.take(1)[0]

    def key(self) -> bytes:
        """Read 32 bytes. Raises Malformed where there are fewer."""
        return self.take(KEY_BYTES)

    def varint(self, bits: int = 64) -> int:
        """Read a number of variable length.

        As ``tools::read_varint``: a number that does not fit into its bits and one with a needless last byte are
        refused; the end of the data ends a number too, with what was read until then.

        Raises:
            Malformed: the number is one of those.

        """
        value, shift = 0, 0
        while self.remaining:
            byte = self.byte()
            if shift + 7 >= bits and byte >= 1 << (bits - shift):
                raise Malformed(f"a number before {self.position} has more than {bits} bits")
            if byte == 0 and shift:
                raise Malformed(f"a number before {self.position} is longer than it must be")
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                break
            shift += 7
        return value

    def count(self) -> int:
        """Read how many elements follow, each of at least a byte. Raises Malformed where there is no room for them."""
        count = self.varint()
        if count > self.remaining:
            raise Malformed(f"{count} elements are announced, and {self.remaining} bytes are there")
        return count

    def text(self) -> bytes:
        """Read bytes with their number before them. Raises Malformed where there are fewer."""
        return self.take(self.count())


def varint(number: int) -> bytes:
    """Write a number in the form that :meth:`Reader.varint` reads."""
    data = bytearray()
    while number >= 0x80:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)
    return bytes(data)
