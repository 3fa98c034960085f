"""A store in memory, with the transactions of a real one: all or nothing, one after the other, fenced by the claim."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final, Self

from escrowd.domain.conflicts import AlreadyStored, LeaseLost, NoSuchEscrow, PayoutAlreadyOpen, VersionConflict
from escrowd.domain.escrow.assess import Ledger
from escrowd.domain.escrow.facts import Escrow, Moment
from escrowd.domain.escrow.machine import Step
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.outputs import ReceivedOutput
from escrowd.domain.payouts.books import paid_out_keys, planned_keys
from escrowd.domain.payouts.records import Attempt, AttemptStep, Payout
from escrowd.domain.service_clock import LONGEST_GAP
from escrowd.service.ports import Claim, LogEntry, PendingEffect, Provision, WalletSet
from escrowd.testing.simulation.tables import Tables, WorkRow

#: Milliseconds for which an escrow is claimed.
LEASE: Final = 20_000


@dataclass(slots=True)
class MemoryClaim:
    """A claim on one escrow, good while its fence is the newest and its time has not run out.

    Its keeper moves ``deadline``, on the monotonic clock ``now``, while it works.
    """

    escrow: EscrowId
    fence: int
    wake: int
    deadline: int
    now: Callable[[], int]

    @property
    def key(self) -> str:
        """The name of the work row."""
        return f"escrow:{self.escrow}"

    def check(self) -> None:
        """Make sure that the lease has not run out. Raises LeaseLost."""
        if self.now() >= self.deadline:
            raise LeaseLost(f"the lease of {self.escrow} has run out")


class Memory:
    """What survives a crash: the tables, and the lock that makes transactions follow one another.

    ``now`` is asked for milliseconds since 1970, and ``monotonic``, the same one where none is given, for the
    milliseconds of a clock that is never set.
    """

    def __init__(self, now: Callable[[], int], monotonic: Callable[[], int] | None = None) -> None:
        self.now = now
        self.monotonic = monotonic or now
        self.tables = Tables()
        self.turn = asyncio.Lock()
        #: Told of every step that was committed.
        self.observer: Callable[[Step], None] = lambda _step: None
        #: Told of every attempt when a step of it was committed.
        self.attempt_observer: Callable[[Attempt], None] = lambda _attempt: None
        self.escrows = MemoryEscrows(self.tables, self.work_now)
        self.ledgers = MemoryLedgers(self.tables)
        self.payouts = MemoryPayouts(self.tables)
        self.clock = MemoryClock(self.tables, now)

    def work_now(self) -> int:
        """Return the time on the work clock."""
        return self.tables.clock.work_time(self.now())


class MemoryStore:
    """The store of one run of the service. ``commit`` is called with what makes a transaction last."""

    def __init__(self, memory: Memory, commit: Callable[[Callable[[], None]], None] = lambda act: act()) -> None:
        self._memory = memory
        self._commit = commit

    def transaction(self) -> "MemoryTransaction":
        """Begin a transaction. Where the block raises, nothing of it is kept."""
        return MemoryTransaction(self._memory, self._commit)

    def reading(self) -> "MemoryTransaction":
        """Look at everything as it is at one moment."""
        return self.transaction()

    async def claim(self, escrow: EscrowId, owner: str) -> MemoryClaim | None:
        """Claim an escrow that is due, unless somebody has it."""
        async with self.transaction() as tx:
            row = tx.tables.work.get(escrow, WorkRow(None))
            if row.due is None or row.due > tx.now or (row.owner and row.lease_until > tx.now):
                return None
            claimed = WorkRow(row.due, row.fence + 1, owner, tx.now + LEASE, row.wake, row.attempt)
            tx.tables.work[escrow] = claimed
            monotonic = self._memory.monotonic
            return MemoryClaim(escrow, claimed.fence, row.wake, monotonic() + LEASE, monotonic)

    def renew(self, claim: MemoryClaim) -> None:
        """Make a claim last longer, if it is still ours."""
        tables = self._memory.tables
        if _is_held(tables, claim):
            claim.deadline = self._memory.monotonic() + LEASE
            until = self._memory.work_now() + LEASE
            tables.work[claim.escrow] = replace(tables.work[claim.escrow], lease_until=until)

    async def settle(self, claim: MemoryClaim, in_seconds: float | None) -> None:
        """Give a claim back; the escrow is due again in a while, when woken (``None``), or at once if it was woken.

        Raises:
            LeaseLost: somebody else has it by now.

        """
        async with self.transaction() as tx:
            await tx.hold_claim(claim)
            row = tx.tables.work[claim.escrow]
            due = None if in_seconds is None else tx.now + int(in_seconds * 1000)
            if row.wake != claim.wake:
                due = tx.now
            tx.tables.work[claim.escrow] = WorkRow(due, row.fence, wake=row.wake)

    async def fail(self, claim: MemoryClaim, in_seconds: float) -> None:
        """Give a claim back after a failure, to be tried again in a while. Raises LeaseLost."""
        async with self.transaction() as tx:
            await tx.hold_claim(claim)
            row = tx.tables.work[claim.escrow]
            due = tx.now + int(in_seconds * 1000)
            tx.tables.work[claim.escrow] = WorkRow(due, row.fence, wake=row.wake, attempt=row.attempt + 1)


class MemoryTransaction:
    """One transaction: what is changed in the tables stays when the block ends, and goes when it raises."""

    def __init__(self, memory: Memory, commit: Callable[[Callable[[], None]], None]) -> None:
        self._memory = memory
        self._commit = commit
        self._is_stored = False
        self.tables = memory.tables
        #: On the work clock.
        self.now = memory.work_now()
        self.escrows = memory.escrows
        self.ledgers = memory.ledgers
        self.payouts = memory.payouts
        self.clock = memory.clock

    async def __aenter__(self) -> Self:
        await self._memory.turn.acquire()
        self.tables.begin()
        self.escrows.steps.clear()
        self.payouts.saved.clear()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._commit(self._store)
        finally:
            if not self._is_stored:
                self.tables.roll_back()
            self._memory.turn.release()

    def _store(self) -> None:
        self._is_stored = True
        for step in self.escrows.steps:
            self._memory.observer(step)
        for attempt in self.payouts.saved:
            self._memory.attempt_observer(attempt)

    async def provide(self) -> Provision:
        """Return what a new escrow begins with, and take a finished set of wallets, the oldest first."""
        taken = next(iter(self.tables.stock), None)
        wallets = self.tables.wallet_sets[taken] if taken else None
        if taken:
            del self.tables.stock[taken]
        return Provision(await self._memory.clock.now(), self.tables.chain[0], wallets)

    async def wallet_set(self, escrow: EscrowId) -> WalletSet | None:
        """Return the finished wallets of an escrow."""
        return self.tables.wallet_sets.get(escrow)

    async def wake(self, escrow: EscrowId, in_seconds: float = 0) -> None:
        """Make the escrow's work row due."""
        self.tables.wake(escrow, self.now + int(in_seconds * 1000))

    async def hold_claim(self, claim: Claim) -> None:
        """Tie the transaction to a claim, which nobody can take before it ends. Raises LeaseLost."""
        if not isinstance(claim, MemoryClaim):
            raise TypeError("a claim of another store")
        if not _is_held(self.tables, claim):
            raise LeaseLost(f"somebody else works on {claim.escrow}, or it was given back")


class MemoryEscrows:
    """The escrows and their history."""

    def __init__(self, tables: Tables, now: Callable[[], int]) -> None:
        self._tables = tables
        self._now = now
        self.steps: list[Step] = []

    async def add(self, first: Step, *further: Step) -> None:
        """Store the first steps. Raises AlreadyStored."""
        if first.after.id in self._tables.escrows:
            raise AlreadyStored(f"there is an escrow {first.after.id}")
        for step in (first, *further):
            self._note(step)

    async def load(self, escrow: EscrowId, *, for_update: bool = False) -> Escrow:  # noqa: ARG002 - one at a time here
        """Return an escrow. Raises NoSuchEscrow."""
        if escrow not in self._tables.escrows:
            raise NoSuchEscrow(f"there is no escrow {escrow}")
        return self._tables.escrows[escrow]

    async def save(self, step: Step) -> None:
        """Store a further step. Raises VersionConflict."""
        stored = self._tables.escrows.get(step.after.id)
        if step.before is None or stored is None or stored.version != step.before.version:
            raise VersionConflict(f"{step.after.id} is no longer as it was")
        self._note(step)

    async def pending_effects(self, escrow: EscrowId) -> tuple[PendingEffect, ...]:
        """Return the effects that are not done yet."""
        return self._tables.effects.get(escrow, ())

    async def effect_done(self, escrow: EscrowId, effect: PendingEffect) -> None:
        """Note that an effect was carried out."""
        left = [each for each in self._tables.effects.get(escrow, ()) if each != effect]
        self._tables.effects[escrow] = tuple(left)

    async def log(self, escrow: EscrowId, after: int = 0, limit: int = 1000) -> tuple[LogEntry, ...]:
        """Return entries of an escrow."""
        return self._tables.log.get(escrow, ())[after : after + limit]

    async def feed(self, after: int = 0, limit: int = 1000) -> tuple[LogEntry, ...]:
        """Return entries of all escrows."""
        every = (entry for entries in self._tables.log.values() for entry in entries if entry.cursor > after)
        return tuple(sorted(every, key=lambda entry: entry.cursor)[:limit])

    async def with_status(self, *statuses: str, limit: int = 1000) -> tuple[EscrowId, ...]:
        """Return escrows in these statuses."""
        return tuple(each.id for each in self._tables.escrows.values() if each.status in statuses)[:limit]

    def _note(self, step: Step) -> None:
        self._tables.note(step)
        self.steps.append(step)
        self._tables.wake(step.after.id, self._now())


class MemoryLedgers:
    """What watcher and wallets found."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def ledger(self, escrow: EscrowId) -> Ledger:
        """Return everything known of an escrow's money."""
        tables = self._tables
        payouts = [each for each in tables.payouts.values() if each.escrow == escrow]
        ours = {payout.id for payout in payouts}
        signed = [each for each in tables.attempts.values() if each.payout in ours and each.step in _SIGNED]
        outputs = self._outputs(escrow)
        spends, key_images = tables.spends.get(escrow, ()), dict(tables.key_images.get(escrow, ()))
        return Ledger(
            chain_height=tables.chain[0],
            chain_time=tables.chain[1],
            outputs=outputs,
            spends=spends,
            our_txids=frozenset(one.txid for each in signed for one in each.transactions),
            key_images=key_images,
            planned=planned_keys(payouts, outputs, spends),
            paid_out=paid_out_keys(payouts, spends, key_images),
            lost=tables.lost.get(escrow, ()),
        )

    async def note_wallet_outputs(self, escrow: EscrowId, outputs: Sequence[ReceivedOutput]) -> None:
        """Keep outputs that only a wallet found, in place of those that one found before."""
        self._tables.from_wallets[escrow] = tuple(outputs)

    async def note_key_images(self, escrow: EscrowId, key_images: Sequence[tuple[str, str]]) -> None:
        """Note key images."""
        noted = dict(self._tables.key_images.get(escrow, ())) | dict(key_images)
        self._tables.key_images[escrow] = tuple(noted.items())

    async def key_images(self, escrow: EscrowId) -> tuple[tuple[str, str], ...]:
        """Return the noted key images."""
        return self._tables.key_images.get(escrow, ())

    def _outputs(self, escrow: EscrowId) -> tuple[ReceivedOutput, ...]:
        watched = self._tables.watched.get(escrow, ())
        keys = {each.key for each in watched}
        return (*watched, *(each for each in self._tables.from_wallets.get(escrow, ()) if each.key not in keys))


class MemoryPayouts:
    """Payouts and attempts."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.saved: list[Attempt] = []

    async def add(self, payout: Payout, order_version: int) -> None:
        """Store a new payout. Raises PayoutAlreadyOpen."""
        others = [each for each in self._tables.payouts.values() if each.escrow == payout.escrow]
        if any(each.status.is_open or self._tables.orders[each.id] == order_version for each in others):
            raise PayoutAlreadyOpen(f"a payout of {payout.escrow} is under way, or was made for this order")
        self._tables.payouts[payout.id] = payout
        self._tables.orders[payout.id] = order_version

    async def of_order(self, escrow: EscrowId, order_version: int) -> Payout | None:
        """Return the payout of this order."""
        found = (each for each in self._tables.payouts.values() if each.escrow == escrow)
        return next((each for each in found if self._tables.orders[each.id] == order_version), None)

    async def all_of(self, escrow: EscrowId) -> tuple[Payout, ...]:
        """Return all payouts of an escrow."""
        return tuple(each for each in self._tables.payouts.values() if each.escrow == escrow)

    async def save(self, payout: Payout) -> None:
        """Store a payout anew. Raises PayoutAlreadyOpen where it would be a second one under way."""
        others = (each for each in self._tables.payouts.values() if each.escrow == payout.escrow)
        if payout.status.is_open and any(each.status.is_open and each.id != payout.id for each in others):
            raise PayoutAlreadyOpen(f"another payout of {payout.escrow} is under way")
        self._tables.payouts[payout.id] = payout

    async def attempts(self, payout: str) -> tuple[Attempt, ...]:
        """Return all attempts at a payout."""
        return tuple(each for (of, _), each in self._tables.attempts.items() if of == payout)

    async def save_attempt(self, attempt: Attempt) -> None:
        """Store an attempt or its next step. One undiscarded attempt for a payout, as the unique index says."""
        for (payout, number), other in self._tables.attempts.items():
            if payout == attempt.payout and number != attempt.number and other.step is not AttemptStep.DISCARDED:
                raise PayoutAlreadyOpen(f"attempt {number} at {payout} is not given up")
        self._tables.attempts[attempt.payout, attempt.number] = attempt
        self.saved.append(attempt)

    async def keep_raw(self, txid: str, raw: str) -> None:
        """Keep the bytes of a transaction."""
        self._tables.raw[txid] = raw

    async def raw(self, txid: str) -> str | None:
        """Return the kept bytes."""
        return self._tables.raw.get(txid)


class MemoryClock:
    """The one clock."""

    def __init__(self, tables: Tables, now: Callable[[], int]) -> None:
        self._tables = tables
        self._now = now

    async def now(self) -> Moment:
        """Return the moment."""
        return Moment(self._now(), self._tables.clock.running)

    async def work_now(self) -> int:
        """Return the time on the work clock."""
        return self._tables.clock.work_time(self._now())

    async def beat(self, *, counts: bool, longest_gap: int = LONGEST_GAP) -> Moment:
        """Advance the running clock, where the time since the last beat counts."""
        self._tables.clock = self._tables.clock.after_beat(self._now(), longest_gap, counts=counts)
        return await self.now()

    async def advance(self, milliseconds: int) -> Moment:
        """Let the running clock jump ahead."""
        self._tables.clock = replace(self._tables.clock, running=self._tables.clock.running + milliseconds)
        return await self.now()


# ---------------------------------------------------------------------------------------------------------------------


def _is_held(tables: Tables, claim: MemoryClaim) -> bool:
    row = tables.work[claim.escrow]
    return row.fence == claim.fence and row.owner != ""


_SIGNED: Final = (AttemptStep.SIGNED, AttemptStep.SUBMITTED)
