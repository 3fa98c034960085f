"""Carries one escrow as far as it can go now: the only place where events of chain, clock and service are applied.

Whoever claims the escrow's work row runs this, and nobody else at the same time. Everything here may be run again after
a crash at any point: facts are assessed anew, effects are marked done in the transaction that stores what came of them.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import structlog

from escrowd.domain.cause import caused_by, present_cause
from escrowd.domain.escrow.assess import Ledger, assess
from escrowd.domain.escrow.effects import Effect
from escrowd.domain.escrow.events import Event, ForkApproaching
from escrowd.domain.escrow.facts import Escrow, Moment
from escrowd.domain.escrow.machine import due_event, is_allowed, step
from escrowd.domain.escrow.status import Who
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.payouts.records import Payout, PayoutStatus
from escrowd.service.cache_news import CacheNews
from escrowd.service.chain_gate import CLOSED_LOOK, GATED, ChainSight
from escrowd.service.crash_points import CrashPoint, crash_point
from escrowd.service.observing import Done, Observer, nobody_wants_to_know
from escrowd.service.ports import Claim, PendingEffect, Store, Transaction

log = structlog.get_logger()

#: Seconds between two looks at a payout that waits for blocks, where none wakes its escrow.
PAYOUT_LOOK: Final = 60.0


@dataclass(frozen=True, slots=True)
class Task:
    """One effect to be carried out for an escrow, under a claim."""

    escrow: Escrow
    effect: PendingEffect
    claim: Claim


#: Carries out an effect and returns what came of it. May be run again, with the same result or none.
Handler: TypeAlias = Callable[[Task], Awaitable[tuple[Event, ...]]]


class Follower(Protocol):
    """Who looks after transactions that were sent."""

    async def follow(self, escrow: Escrow, claim: Claim) -> tuple[Event, ...]:
        """Look at the escrow's payouts in pool and chain, send what got lost once more, and return what is new."""
        ...

    async def send_signed(self, escrow: EscrowId, claim: Claim) -> None:
        """Send transactions that are signed, stored and not sent yet."""
        ...

    async def note(self, tx: Transaction, escrow: EscrowId, event: Event) -> None:
        """Store what such an event means for its payout, in the transaction that stores the event."""
        ...


class EscrowAdvance:
    """Advances escrows. ``handlers`` has one handler for each effect."""

    def __init__(
        self,
        store: Store,
        handlers: Mapping[Effect, Handler],
        follower: Follower,
        chain: ChainSight,
        observe: Observer = nobody_wants_to_know,
        fork_notice: Callable[[], ForkApproaching | None] = lambda: None,
        cache_news: CacheNews | None = None,
    ) -> None:
        missing = set(Effect) - set(handlers)
        if missing:
            raise ValueError(f"no handler for the effects {sorted(missing)}")
        self._store = store
        self._handlers = handlers
        self._follower = follower
        self._chain = chain
        self._observe = observe
        self._fork_notice = fork_notice
        self._cache_news = cache_news or CacheNews()

    async def advance(self, escrow: EscrowId, claim: Claim) -> float | None:
        """Do all that is due for an escrow, and return in how many seconds to look again (``None``: when woken).

        Raises:
            LeaseLost: the claim is no longer ours; nothing of the last part was stored.
            EscrowdError: something failed; it is tried again later, from where it stands.

        """
        with caused_by(f"{claim.key}/{claim.fence}"):
            return await self._advance(escrow, claim)

    async def _advance(self, escrow: EscrowId, claim: Claim) -> float | None:
        await self._look_at_chain_and_clock(escrow, claim)
        # Before the effects: one that fails may wait for the very payout that has to be sent once more.
        await self._follow(escrow, claim)
        while (task := await self._next_task(escrow, claim)) is not None:
            claim.check()
            if task.effect.effect in GATED and not self._chain.is_in_sync:
                log.debug(
                    "effect.waits_for_chain",
                    escrow=escrow,
                    effect=task.effect.effect,
                    reason=self._chain.why_not_in_sync,
                )
                await self._follower.send_signed(escrow, claim)
                return CLOSED_LOOK
            # An effect goes on with what it came of, and so does what comes of it.
            with caused_by(task.effect.cause or present_cause()):
                await self._carry_out(task)
        return await self._seconds_to_next_look(escrow)

    async def _look_at_chain_and_clock(self, escrow: EscrowId, claim: Claim) -> None:
        news = self._cache_news.of(escrow)
        async with self._fenced(claim) as tx:
            before = await tx.escrows.load(escrow, for_update=True)
            moment = await tx.clock.now()
            before = await apply(tx, before, news, Who.SERVICE, moment)
            seen = assess(before, await tx.ledgers.ledger(escrow))
            after = await apply(tx, before, seen, Who.CHAIN, moment)
            if seen:
                crash_point(CrashPoint.F1_SEEN)
            # Facts may be missing that would have kept the deadline.
            due = due_event(after, moment.running) if self._chain.is_in_sync else None
            if due is not None:
                after = await apply(tx, after, (due,), Who.CLOCK, moment)
            notice = self._fork_notice()
            if notice is not None and is_allowed(after, notice, Who.CHAIN):
                await apply(tx, after, (notice,), Who.CHAIN, moment)
        self._cache_news.stored(escrow, news)
        if seen:
            crash_point(CrashPoint.F2_CREDITED)

    async def _next_task(self, escrow: EscrowId, claim: Claim) -> Task | None:
        async with self._store.reading() as tx:
            pending = await tx.escrows.pending_effects(escrow)
            return Task(await tx.escrows.load(escrow), pending[0], claim) if pending else None

    async def _carry_out(self, task: Task) -> None:
        effect, begun = task.effect, time.monotonic()
        log.info("effect.begins", escrow=task.escrow.id, effect=effect.effect, version=effect.version)
        events = await self._handlers[effect.effect](task)
        news = self._cache_news.of(task.escrow.id)
        async with self._fenced(task.claim) as tx:
            now = await tx.escrows.load(task.escrow.id, for_update=True)
            moment = await tx.clock.now()
            # The chain may have changed while a wallet was asked: what it said counts only for what is there now.
            now = await apply(tx, now, assess(now, await tx.ledgers.ledger(now.id)), Who.CHAIN, moment)
            await apply(tx, now, (*news, *events), Who.SERVICE, moment)
            await tx.escrows.effect_done(task.escrow.id, effect)
        self._cache_news.stored(task.escrow.id, news)
        if effect.effect is Effect.VERIFY_FUNDING:
            crash_point(CrashPoint.F3_NOTIFIED)
        seconds = time.monotonic() - begun
        log.info(
            "effect.done",
            escrow=task.escrow.id,
            effect=effect.effect,
            version=effect.version,
            seconds=round(seconds, 3),
        )
        self._observe(Done(f"effect {effect.effect}", present_cause(), seconds, {"escrow": task.escrow.id}))

    async def _follow(self, escrow: EscrowId, claim: Claim) -> None:
        async with self._store.reading() as tx:
            now = await tx.escrows.load(escrow)
        events = await self._follower.follow(now, claim)
        if events:
            async with self._fenced(claim) as tx:
                await self._take_one(tx, await tx.escrows.load(escrow, for_update=True), events)
            crash_point(CrashPoint.P16_NOTIFIED)

    async def _take_one(self, tx: Transaction, escrow: Escrow, events: Iterable[Event]) -> None:
        """Apply the first of these events that is allowed, and store what it means for its payout.

        One may rule out another: of two payouts that a reorganisation threw back, only one is under way at a time. The
        others come again at the next turn, which comes at once; so does one that was left out, when its time comes.
        """
        moment = await tx.clock.now()
        for event in events:
            if await apply(tx, escrow, (event,), Who.SERVICE, moment) != escrow:
                await self._follower.note(tx, escrow.id, event)
                await tx.wake(escrow.id)
                return

    async def _seconds_to_next_look(self, escrow: EscrowId) -> float | None:
        async with self._store.transaction() as tx:
            looks = []
            deadline = (await tx.escrows.load(escrow)).deadline
            if deadline is not None:
                # The running clock is never faster than the wall clock, so this is never too late by much: when it
                # wakes too early, it looks again.
                soonest = 0.0 if self._chain.is_in_sync else CLOSED_LOOK
                looks.append(max(soonest, (deadline.due - (await tx.clock.now()).running) / 1000))
            if _waits_for_blocks(await tx.payouts.all_of(escrow), await tx.ledgers.ledger(escrow)):
                # The escrow may have ended, so that no block wakes it any more.
                looks.append(PAYOUT_LOOK)
            return min(looks, default=None)

    @asynccontextmanager
    async def _fenced(self, claim: Claim) -> AsyncIterator[Transaction]:
        async with self._store.transaction() as tx:
            await tx.hold_claim(claim)
            yield tx


async def apply(tx: Transaction, escrow: Escrow, events: Iterable[Event], who: Who, moment: Moment) -> Escrow:
    """Apply events of the chain, the clock or the service, and store each step.

    An event that the table no longer allows was overtaken by another one, such as a deadline by a deposit. It is left
    out: facts are assessed again at the next turn, so none can be lost that way.
    """
    for event in events:
        if not is_allowed(escrow, event, who):
            log.info("event.overtaken", escrow=escrow.id, overtaken=type(event).__name__, status=escrow.status)
            continue
        taken = step(escrow, event, who, moment)
        await tx.escrows.save(taken)
        escrow = taken.after
    return escrow


# ---------------------------------------------------------------------------------------------------------------------


def _waits_for_blocks(payouts: Iterable[Payout], ledger: Ledger) -> bool:
    """Whether a payout is under way, or one that was final is not in the chain any more."""
    mined = {spend.txid for spend in ledger.spends if spend.height is not None}
    return any(
        payout.status.is_open
        or (payout.status is PayoutStatus.CONFIRMED and any(one.txid not in mined for one in payout.transactions))
        for payout in payouts
    )
