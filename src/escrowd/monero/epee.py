"""The portable storage of epee: the binary form of Monero's ``.bin`` calls. Reading is strict, for it is foreign data.

A section is a ``dict``; an entry is a whole number, a float, a ``bool``, ``bytes``, a section or a list of one of
these. The form is that of ``portable_storage_to_bin.h`` and ``portable_storage_from_bin.h``: a header, then the root
section; every count and length is a number whose lowest two bits say in how many bytes it is written.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

Entry: TypeAlias = "bool | int | float | bytes | Section | list[bool | int | float | bytes | Section]"
Section: TypeAlias = dict[str, Entry]
#: What may be written: whole numbers from 0 on, truths, bytes, and sections of these.
Writable: TypeAlias = "bool | int | bytes | Mapping[str, Writable] | Sequence[Mapping[str, Writable]]"

#: Sections within sections. Nothing that Monero answers has more than five.
DEEPEST: Final = 32


class InvalidStorage(ValueError):
    """The bytes are no portable storage."""


def encode(section: Mapping[str, Writable]) -> bytes:
    """Write a root section. Whole numbers are written with 64 bits."""
    return _HEADER + _encoded_section(section)


def decode(data: bytes) -> Section:
    """Read a root section.

    Raises:
        InvalidStorage: it is none, it ends too early, or something follows it.

    """
    reader = _Reader(data)
    if reader.take(len(_HEADER)) != _HEADER:
        raise InvalidStorage("it does not begin as portable storage does")
    section = reader.section(DEEPEST)
    if not reader.is_at_end:
        raise InvalidStorage("something follows the storage")
    return section


# ---------------------------------------------------------------------------------------------------------------------

#: Two signatures and the version of the form.
_HEADER: Final = struct.pack("<IIB", 0x01011101, 0x01020101, 1)

_UINT64: Final = 5
_STRING: Final = 10
_BOOL: Final = 11
_OBJECT: Final = 12
_ARRAY_FLAG: Final = 0x80
#: Letter of ``struct`` and number of bytes of each type of fixed size.
_FIXED: Final = {
    1: ("q", 8), 2: ("i", 4), 3: ("h", 2), 4: ("b", 1),
    5: ("Q", 8), 6: ("I", 4), 7: ("H", 2), 8: ("B", 1),
    9: ("d", 8), _BOOL: ("?", 1),
}  # fmt: skip


def _encoded_section(section: Mapping[str, Writable]) -> bytes:
    parts = [_encoded_size(len(section))]
    for name, value in section.items():
        letters = name.encode()
        parts += [bytes([len(letters)]), letters, _encoded_entry(value)]
    return b"".join(parts)


def _encoded_entry(value: Writable) -> bytes:
    match value:
        case bool():
            return bytes([_BOOL, value])
        case int():
            return struct.pack("<BQ", _UINT64, value)
        case bytes():
            return bytes([_STRING]) + _encoded_size(len(value)) + value
        case Mapping():
            return bytes([_OBJECT]) + _encoded_section(value)
        case _:
            parts = [bytes([_OBJECT | _ARRAY_FLAG]), _encoded_size(len(value)), *map(_encoded_section, value)]
            return b"".join(parts)


def _encoded_size(size: int) -> bytes:
    for mark, letter in enumerate("BHIQ"):
        if size < 1 << (8 * (1 << mark) - 2):
            return struct.pack(f"<{letter}", size << 2 | mark)
    raise InvalidStorage(f"{size} is more than can be written")


class _Reader:
    """Goes through the bytes from first to last."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    @property
    def is_at_end(self) -> bool:
        return self._place == len(self._data)

    def take(self, size: int) -> bytes:
        end = self._place + size
        if end > len(self._data):
            raise InvalidStorage("it ends too early")
        taken = self._data[self._place : end]
        self._place = end
        return taken

    def section(self, depth: int) -> Section:
        if depth == 0:
            raise InvalidStorage(f"it has sections within sections, more than {DEEPEST} deep")
        section: Section = {}
        for _ in range(self._size()):
            name = self.take(self.take(1)[0]).decode("utf-8", errors="replace")
            if name in section:
                raise InvalidStorage("a section has two entries of the same name")
            section[name] = self._entry(depth - 1)
        return section

    def _entry(self, depth: int) -> Entry:
        kind = self.take(1)[0]
        if kind & _ARRAY_FLAG:
            return self._array(kind & ~_ARRAY_FLAG, depth)
        return self._value(kind, depth)

    def _array(self, kind: int, depth: int) -> list[bool | int | float | bytes | Section]:
        count = self._size()
        # Every element takes a byte at least, so a count beyond the end is a lie that must not cost memory.
        if count > len(self._data) - self._place:
            raise InvalidStorage("an array ends too early")
        if kind in _FIXED:
            letter, size = _FIXED[kind]
            return list(struct.unpack(f"<{count}{letter}", self.take(count * size)))
        return [self._value(kind, depth) for _ in range(count)]

    def _value(self, kind: int, depth: int) -> bool | int | float | bytes | Section:
        if kind == _STRING:
            return self.take(self._size())
        if kind == _OBJECT:
            return self.section(depth)
        if kind not in _FIXED:
            raise InvalidStorage(f"there is no type {kind}")
        letter, size = _FIXED[kind]
        value: bool | int | float = struct.unpack(f"<{letter}", self.take(size))[0]
        return value

    def _size(self) -> int:
        first = self.take(1)
        more = self.take((1 << (first[0] & 3)) - 1)
        return int.from_bytes(first + more, "little") >> 2
