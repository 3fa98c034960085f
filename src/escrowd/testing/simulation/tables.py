"""What the in-memory store holds. Everything in the tables is a value, so a copy of the tables is a snapshot."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Final

import msgspec

from escrowd.domain.escrow.events import Created
from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.escrow.machine import Step
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.outputs import ReceivedOutput, Spend
from escrowd.domain.payouts.records import Attempt, Payout
from escrowd.service.ports import LogEntry, PendingEffect, WalletSet

#: The hash before the first entry of an escrow.
NO_HASH: Final = "0" * 64


@dataclass(frozen=True, slots=True)
class WorkRow:
    """When an escrow is to be looked at, and who does. Times are milliseconds since 1970."""

    #: ``None``: only when it is woken.
    due: int | None
    fence: int = 0
    owner: str = ""
    lease_until: int = 0
    #: Counts wakes, so that one during a step is not lost.
    wake: int = 0
    #: How often in a row it failed.
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Beats:
    """The running clock: how far it is, and its last beat."""

    running: int = 0
    last: int | None = None
    counted: bool = False


class Lane(StrEnum):
    """How closely an address is watched."""

    ACTIVE = "active"
    RESTING = "resting"


@dataclass(slots=True)
class Tables:
    """All that is stored."""

    escrows: dict[EscrowId, Escrow] = field(default_factory=dict)
    log: dict[EscrowId, tuple[LogEntry, ...]] = field(default_factory=dict)
    effects: dict[EscrowId, tuple[PendingEffect, ...]] = field(default_factory=dict)
    payouts: dict[str, Payout] = field(default_factory=dict)
    #: The order that each payout carries out.
    orders: dict[str, int] = field(default_factory=dict)
    attempts: dict[tuple[str, int], Attempt] = field(default_factory=dict)
    raw: dict[str, str] = field(default_factory=dict)
    watched: dict[EscrowId, tuple[ReceivedOutput, ...]] = field(default_factory=dict)
    from_wallets: dict[EscrowId, tuple[ReceivedOutput, ...]] = field(default_factory=dict)
    spends: dict[EscrowId, tuple[Spend, ...]] = field(default_factory=dict)
    key_images: dict[EscrowId, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    lanes: dict[EscrowId, Lane] = field(default_factory=dict)
    stock: dict[EscrowId, None] = field(default_factory=dict)
    wallet_sets: dict[EscrowId, WalletSet] = field(default_factory=dict)
    work: dict[EscrowId, WorkRow] = field(default_factory=dict)
    #: Number of blocks that the watcher has read, and the time of the last one in seconds since 1970.
    chain: tuple[int, int] = (0, 0)
    beats: Beats = Beats()
    entries: int = 0

    def copy(self) -> "Tables":
        """Return the same tables, to be changed without changing these."""
        copied = replace(self)
        for name in _DICTIONARIES:
            setattr(copied, name, dict(getattr(copied, name)))
        return copied

    def note(self, step: Step, changes: Sequence[tuple[str, object]] = ()) -> None:
        """Store a step: the escrow, its entries in the log, its effects; and make its work row due."""
        after = step.after
        self.escrows[after.id] = after
        kinds = step.tells or (f"inner.{type(step.event).__name__}",)
        for kind in kinds:
            self._append(step, str(kind), dict(changes))
        done = self.effects.get(after.id, ())
        new = (PendingEffect(after.version, index, effect) for index, effect in enumerate(step.effects))
        self.effects[after.id] = (*done, *new)

    def wake(self, escrow: EscrowId, due: int) -> None:
        """Make a work row due no later than this, and count it."""
        row = self.work.get(escrow, WorkRow(None))
        self.work[escrow] = replace(row, due=due if row.due is None else min(row.due, due), wake=row.wake + 1)

    def _append(self, step: Step, kind: str, changes: dict[str, object]) -> None:
        escrow = step.after.id
        entries = self.log.get(escrow, ())
        self.entries += 1
        previous = entries[-1].hash if entries else NO_HASH
        data = msgspec.json.encode(_said(step) | changes).decode()
        entry = LogEntry(
            cursor=self.entries,
            id=f"evt_{self.entries:026d}",
            escrow=escrow,
            sequence=len(entries) + 1,
            version=step.after.version,
            type=kind,
            who=str(step.who),
            at=step.moment.utc,
            data=data,
            previous_hash=previous,
            hash="",
        )
        self.log[escrow] = (*entries, replace(entry, hash=chained(entry)))


def chained(entry: LogEntry) -> str:
    """Return the hash that an entry must have after the one before it."""
    parts = (entry.previous_hash, entry.id, entry.escrow, entry.sequence, entry.version, entry.type, entry.who)
    return hashlib.sha256("\n".join(map(str, (*parts, entry.at, entry.data))).encode()).hexdigest()


def broken_links(entries: Iterable[LogEntry]) -> list[int]:
    """Return the sequences of the entries that do not follow from the ones before them."""
    previous, expected, broken = NO_HASH, 1, []
    for entry in entries:
        if (entry.sequence, entry.previous_hash, entry.hash) != (expected, previous, chained(entry)):
            broken.append(entry.sequence)
        previous, expected = entry.hash, entry.sequence + 1
    return broken


# ---------------------------------------------------------------------------------------------------------------------

_DICTIONARIES: Final = tuple(each.name for each in fields(Tables) if each.default_factory is dict)


def _said(step: Step) -> dict[str, object]:
    """Return what a log entry says of a step."""
    event = step.event
    what = {} if isinstance(event, Created) else msgspec.to_builtins(event)
    before = None if step.before is None else str(step.before.status)
    return {"event": type(event).__name__, "from": before, "to": str(step.after.status), "said": what}
