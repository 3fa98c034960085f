"""What the in-memory store holds: tables of values, which remember how they were when a transaction began."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import TypeVar

from typing_extensions import override

from escrowd.domain.escrow.effects import PendingEffect
from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.escrow.history import NO_HASH, LogEntry, chained, data_of, types_of
from escrowd.domain.escrow.machine import Step
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.keying import KeyingRecord
from escrowd.domain.outputs import ReceivedOutput, Spend
from escrowd.domain.payouts.records import Attempt, Payout
from escrowd.domain.service_clock import ServiceClock
from escrowd.domain.wallet_set import WalletSet

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True)
class WorkRow:
    """When an escrow is to be looked at, and who does. Times are milliseconds on the work clock."""

    #: ``None``: only when it is woken.
    due: int | None
    fence: int = 0
    owner: str = ""
    lease_until: int = 0
    #: Counts wakes, so that one during a step is not lost.
    wake: int = 0
    #: How often in a row it failed.
    attempt: int = 0


class Lane(StrEnum):
    """How closely an address is watched."""

    ACTIVE = "active"
    RESTING = "resting"


class Table(dict[KeyT, ValueT]):
    """Rows by their keys. What they were before each change is noted, to be put back."""

    def __init__(self, undo: "list[Callable[[], None]]") -> None:
        super().__init__()
        self._undo = undo

    @override
    def __setitem__(self, key: KeyT, value: ValueT) -> None:
        self._note(key)
        super().__setitem__(key, value)

    @override
    def __delitem__(self, key: KeyT) -> None:
        self._note(key)
        super().__delitem__(key)

    def _note(self, key: KeyT) -> None:
        if key in self:
            self._undo.append(partial(super().__setitem__, key, self[key]))
        else:
            self._undo.append(partial(super().__delitem__, key))


class Tables:
    """All that is stored."""

    def __init__(self) -> None:
        #: How to put back what was changed since :meth:`begin`, the last change last.
        self._undo: list[Callable[[], None]] = []
        undo = self._undo
        self.escrows: Table[EscrowId, Escrow] = Table(undo)
        self.log: Table[EscrowId, tuple[LogEntry, ...]] = Table(undo)
        self.effects: Table[EscrowId, tuple[PendingEffect, ...]] = Table(undo)
        self.payouts: Table[str, Payout] = Table(undo)
        #: The order that each payout carries out.
        self.orders: Table[str, int] = Table(undo)
        self.attempts: Table[tuple[str, int], Attempt] = Table(undo)
        self.raw: Table[str, str] = Table(undo)
        self.watched: Table[EscrowId, tuple[ReceivedOutput, ...]] = Table(undo)
        #: Outputs that left blocks and pool, the latest loss last.
        self.lost: Table[EscrowId, tuple[ReceivedOutput, ...]] = Table(undo)
        self.from_wallets: Table[EscrowId, tuple[ReceivedOutput, ...]] = Table(undo)
        self.spends: Table[EscrowId, tuple[Spend, ...]] = Table(undo)
        self.key_images: Table[EscrowId, tuple[tuple[str, str], ...]] = Table(undo)
        self.lanes: Table[EscrowId, Lane] = Table(undo)
        self.stock: Table[EscrowId, None] = Table(undo)
        self.wallet_sets: Table[EscrowId, WalletSet] = Table(undo)
        self.keyings: Table[EscrowId, KeyingRecord] = Table(undo)
        self.work: Table[EscrowId, WorkRow] = Table(undo)
        #: Number of blocks that the watcher has read, and the time of the last one in seconds since 1970.
        self.chain = (0, 0)
        self.clock = ServiceClock()
        self.entries = 0

    def begin(self) -> None:
        """Begin a transaction: from now on everything can be put back."""
        self._undo.clear()
        self._undo.append(partial(self._put_back, self.chain, self.clock, self.entries))

    def roll_back(self) -> None:
        """Put everything back as it was at the beginning of the transaction."""
        while self._undo:
            self._undo.pop()()

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
        earlier = due if row.due is None else min(row.due, due)
        # Not by "replace": nothing is done as often.
        self.work[escrow] = WorkRow(earlier, row.fence, row.owner, row.lease_until, row.wake + 1, row.attempt)

    def _put_back(self, chain: tuple[int, int], clock: ServiceClock, entries: int) -> None:
        self.chain, self.clock, self.entries = chain, clock, entries

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
