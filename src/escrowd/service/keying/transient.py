"""A journal in memory, for keys that are all hosted and nobody's yet: those of the stock.

A crash ends such an attempt whatever was stored of it, so storing its messages would only be one more place where they
lie. What counts is stored once, when the set is finished, by the stock's shelf.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from escrowd.domain.identifiers import EscrowId
from escrowd.domain.keying import KeyingRecord, KeySet, MessageConflict, MessageKey, StaleAttempt


class TransientJournal:
    """The set-ups of any number of escrows, forgotten with the process. As a :class:`.ports.KeyingJournal`."""

    def __init__(self) -> None:
        self.records: dict[EscrowId, KeyingRecord] = {}

    async def load(self, escrow: EscrowId) -> KeyingRecord | None:
        """Return the current attempt, or ``None`` before the first."""
        return self.records.get(escrow)

    async def begin(self, escrow: EscrowId, number: int, restore_height: int, why: str) -> None:
        """Begin the attempt with this number. Raises StaleAttempt."""
        current = self.records.get(escrow)
        expected = current.number + 1 if current is not None else 1
        if number != expected or (current is not None and current.keys is not None):
            raise StaleAttempt(f"attempt {number} at the keys of {escrow} cannot begin now")
        self.records[escrow] = KeyingRecord(number, restore_height, why)

    async def store(self, escrow: EscrowId, number: int, messages: Mapping[MessageKey, str]) -> None:
        """Add sealed messages, all or none. Raises StaleAttempt, MessageConflict."""
        record = self._open(escrow, number)
        if set(messages) & set(record.messages):
            raise MessageConflict
        together = MappingProxyType({**record.messages, **messages})
        self.records[escrow] = replace(record, messages=together)

    async def finish(self, escrow: EscrowId, number: int, keys: KeySet) -> None:
        """Store the keys. Raises StaleAttempt."""
        current = self.records.get(escrow)
        if current is not None and (current.number, current.keys) == (number, keys):
            return
        self.records[escrow] = replace(self._open(escrow, number), keys=keys)

    def _open(self, escrow: EscrowId, number: int) -> KeyingRecord:
        record = self.records.get(escrow)
        if record is None or record.number != number or record.keys is not None:
            raise StaleAttempt(f"attempt {number} at the keys of {escrow} is not the current one")
        return record
