"""What the in-memory store holds. Everything in the tables is a value, so a copy of the tables is a snapshot."""

from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Final, cast

from escrowd.domain.escrow.effects import PendingEffect
from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.escrow.history import NO_HASH, LogEntry, chained, data_of, types_of
from escrowd.domain.escrow.machine import Step
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.keying import KeyingRecord
from escrowd.domain.outputs import ReceivedOutput, Spend
from escrowd.domain.payouts.records import Attempt, Payout
from escrowd.domain.wallet_set import WalletSet


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

    def after(self, now: int, longest_gap: int = 30_000, *, counts: bool) -> "Beats":
        """Return the clock after one more beat; the time since the last one is added where it counts."""
        gap = longest_gap + 1 if self.last is None else now - self.last
        passed = gap if counts and self.counted and 0 <= gap <= longest_gap else 0
        return Beats(self.running + passed, now, counts)


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
    keyings: dict[EscrowId, KeyingRecord] = field(default_factory=dict)
    work: dict[EscrowId, WorkRow] = field(default_factory=dict)
    #: Number of blocks that the watcher has read, and the time of the last one in seconds since 1970.
    chain: tuple[int, int] = (0, 0)
    beats: Beats = Beats()
    entries: int = 0

    def copy(self) -> "Tables":
        """Return the same tables, to be changed without changing these."""
        return Tables(
            *cast(
                "Any", [dict(each) if isinstance(each, dict) else each for each in map(self.__getattribute__, _NAMES)]
            )
        )

    def note(self, step: Step) -> None:
        """Store a step: the escrow, its entries in the log, its effects; and make its work row due."""
        after = step.after
        self.escrows[after.id] = after
        for kind in types_of(step):
            self._append(step, kind)
        done = self.effects.get(after.id, ())
        new = (PendingEffect(after.version, index, effect) for index, effect in enumerate(step.effects))
        self.effects[after.id] = (*done, *new)

    def wake(self, escrow: EscrowId, due: int) -> None:
        """Make a work row due no later than this, and count it."""
        row = self.work.get(escrow, WorkRow(None))
        self.work[escrow] = replace(row, due=due if row.due is None else min(row.due, due), wake=row.wake + 1)

    def _append(self, step: Step, kind: str) -> None:
        escrow = step.after.id
        entries = self.log.get(escrow, ())
        self.entries += 1
        entry = LogEntry(
            cursor=self.entries,
            id=f"evt_{self.entries:026d}",
            escrow=escrow,
            sequence=len(entries) + 1,
            version=step.after.version,
            type=kind,
            who=str(step.who),
            at=step.moment.utc,
            data=data_of(step),
            previous_hash=entries[-1].hash if entries else NO_HASH,
            hash="",
        )
        self.log[escrow] = (*entries, replace(entry, hash=chained(entry)))


# ---------------------------------------------------------------------------------------------------------------------

_NAMES: Final = tuple(each.name for each in fields(Tables))
