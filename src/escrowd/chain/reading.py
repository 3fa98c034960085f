"""Reads the bytes of blocks and transactions in order, as ``binary_archive`` does."""

from typing import Final

from escrowd.domain.errors import EscrowdError, Fault, Retry


class Unreadable(EscrowdError):
    """The bytes are no block or transaction of a form that is known here."""

    fault = Fault.MONERO
    retry = Retry.SAFE


class Reader:
    """Goes through bytes from first to last."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        #: Where the next byte is.
        self.place = 0

    @property
    def is_at_end(self) -> bool:
        """Whether all was read."""
        return self.place == len(self.data)

    def take(self, size: int) -> bytes:
        """Return the next bytes, as many as given."""
        end = self.place + size
        if end > len(self.data):
            raise Unreadable("it ends too early")
        taken = self.data[self.place : end]
        self.place = end
        return taken

    def byte(self) -> int:
        """Return the next byte."""
        return self.take(1)[0]

    def varint(self) -> int:
        """Return a number of 64 bits at most, written in the shortest way (``read_varint``)."""
        number = 0
        for shift in range(0, _BITS, 7):
            byte = self.byte()
            if shift + 7 >= _BITS and byte >= 1 << (_BITS - shift):
                break
            if byte == 0 and shift:
                raise Unreadable("a number is not written in the shortest way")
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
        raise Unreadable("a number has more than 64 bits")

    def text(self) -> bytes:
        """Return bytes that are preceded by their count."""
        return self.take(self.varint())


# ---------------------------------------------------------------------------------------------------------------------

_BITS: Final = 64
