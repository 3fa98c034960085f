"""The history of an escrow: what each step says, and the chain of hashes that shows when somebody changed it later."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Final

import msgspec

from escrowd.domain.escrow.machine import Step
from escrowd.domain.identifiers import EscrowId

#: What the first entry of an escrow follows.
NO_HASH: Final = "0" * 64


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of an escrow's history: what it told the outside, or an inner event, with its chained hash.

    ``cursor`` orders the entries of all escrows; ``sequence`` those of one, from 1.
    """

    cursor: int
    id: str
    escrow: EscrowId
    sequence: int
    version: int
    type: str
    who: str
    #: Milliseconds since 1970, UTC.
    at: int
    #: JSON text in canonical form, exactly as hashed.
    data: str
    previous_hash: str
    hash: str
    #: Ties it to the log of the service (see :mod:`escrowd.domain.cause`). Not a part of the history: it is not hashed.
    cause: str = ""


def types_of(step: Step) -> tuple[str, ...]:
    """Return the types of the entries that a step makes: what it tells, or one inner type where it tells nothing."""
    return step.tells or (f"inner.{type(step.event).__name__}",)


def data_of(step: Step) -> str:
    """Write down what a step says, as canonical JSON: keys sorted, amounts as strings.

    The step by which an escrow becomes held gives the reason, and the status that it came from.
    """
    was_held = step.before is not None and step.before.hold is not None
    hold = {} if was_held or step.after.hold is None else {"hold": _plain(step.after.hold)}
    content = {
        **hold,
        "event": type(step.event).__name__,
        "reference": step.after.terms.reference,
        "status_before": step.before.status if step.before else None,
        "status": step.after.status,
        "details": _plain(step.event),
    }
    return msgspec.json.encode(content, order="deterministic").decode()


def chained(entry: LogEntry) -> str:
    """Return the hash that an entry must have: over everything it tells but the cursor, and the hash before it."""
    parts = (
        entry.previous_hash,
        entry.id,
        entry.escrow,
        entry.sequence,
        entry.version,
        entry.type,
        entry.who,
        entry.at,
        entry.data,
    )
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


def broken_links(entries: Iterable[LogEntry]) -> tuple[int, ...]:
    """Return the sequences, of the entries of one escrow in order, that do not follow from the ones before them.

    A history whose end was cut off is whole in itself: compare its length or last hash with what others were told.
    """
    broken = []
    previous, expected = NO_HASH, 1
    for entry in entries:
        if entry.previous_hash != previous or entry.sequence != expected or entry.hash != chained(entry):
            broken.append(entry.sequence)
        previous, expected = entry.hash, entry.sequence + 1
    return tuple(broken)


# ---------------------------------------------------------------------------------------------------------------------


def _plain(value: object) -> object:
    """Turn a value of the domain into what JSON has. Numbers become strings: readers lose digits above 2**53."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str | int):
        return str(value)  # of an enumeration, what it stands for
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return value
