"""Follows signed payouts: sent again while neither pool nor chain has them, counted to final, taken back in.

The books go by what is in a block (:mod:`escrowd.domain.payouts.books`), and not by what is recorded of a payout: one
that was given up may be mined all the same, and of one that is under way a part may never be.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from escrowd.domain.escrow.assess import Ledger
from escrowd.domain.escrow.events import Event, PayoutConfirmed, PayoutFailed, PayoutReinstated, PayoutReorged
from escrowd.domain.escrow.facts import Escrow, HoldReason
from escrowd.domain.escrow.machine import is_allowed
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.money import format_piconero
from escrowd.domain.payouts.books import Fate, fates_of, status_by_fates
from escrowd.domain.payouts.records import (
    AttemptStep,
    Payout,
    PayoutKind,
    PayoutStatus,
    PayoutTransaction,
)
from escrowd.monero.daemon import MoneroDaemon
from escrowd.service.crash_points import CrashPoint, crash_point
from escrowd.service.payouts.attempt import SIGNED_STEPS, signed
from escrowd.service.payouts.errors import NothingLeft, PayoutError
from escrowd.service.payouts.sending import Sending
from escrowd.service.ports import Claim, Store, Transaction

log = structlog.get_logger()

#: Blocks after which a payout is followed no more: no chain was ever reorganised so deep.
FOLLOWED_BLOCKS: Final = 720
#: Milliseconds on the running clock before refused bytes are sent again: the first pause, doubled up to the longest.
FIRST_PAUSE: Final = 10_000
LONGEST_PAUSE: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class _Books:
    """What is known of an escrow's payouts at one moment."""

    escrow: Escrow
    ledger: Ledger
    payouts: tuple[Payout, ...]
    #: On the running clock.
    now: int
    claim: Claim

    def is_decided(self, payout: Payout) -> bool:
        """Whether a payout carries out the present decision on the escrow."""
        order = self.escrow.order
        if order is None or payout.kind is PayoutKind.RETURN:
            return False
        if payout.order is None:
            ordered = [each for each in self.payouts if each.kind is not PayoutKind.RETURN]
            return payout == ordered[-1]
        return payout.order.version == order.version


class Following:
    """Looks after signed payouts."""

    def __init__(self, store: Store, daemon: MoneroDaemon) -> None:
        self._store = store
        self._sending = Sending(store, daemon)

    async def follow(self, escrow: Escrow, claim: Claim) -> tuple[Event, ...]:
        """Look at the escrow's payouts in pool and chain, send what got lost once more, and return what is new.

        What an event means for its payout is stored together with it, by :meth:`note`.
        """
        async with self._store.reading() as tx:
            books = _Books(
                escrow,
                await tx.ledgers.ledger(escrow.id),
                await tx.payouts.all_of(escrow.id),
                (await tx.clock.now()).running,
                claim,
            )
        events: list[Event] = []
        for payout in books.payouts:
            events += await self._follow_one(books, payout)
        return tuple(events)

    async def send_signed(self, escrow: EscrowId, claim: Claim) -> None:
        """Send what is signed, stored and not sent yet. It needs no judgement of the chain: the bytes are final.

        Raises:
            MoneroError: the outcome is unknown; call it again.

        """
        async with self._store.reading() as tx:
            payouts = [each for each in await tx.payouts.all_of(escrow) if each.status is PayoutStatus.SIGNING]
            ready = [signed(await tx.payouts.attempts(each.id)) for each in payouts]
        for attempt in ready:
            if attempt is not None and attempt.step is AttemptStep.SIGNED:
                try:
                    await self._sending.submit(attempt, claim)
                except PayoutError as error:
                    # What follows from a refusal is decided once the chain can be trusted again.
                    log.warning("payout.not_sent", payout=attempt.payout, error=str(error))

    async def note(self, tx: Transaction, escrow: EscrowId, event: Event) -> None:
        """Store with an event what it means for its payout."""
        if not isinstance(event, PayoutConfirmed | PayoutReorged | PayoutReinstated | PayoutFailed):
            return
        ledger = await tx.ledgers.ledger(escrow)
        payouts = await tx.payouts.all_of(escrow)
        for payout in payouts:
            if payout.id != event.payout:
                continue
            found = with_heights(payout, ledger)
            match event:
                case PayoutConfirmed():
                    status = PayoutStatus.CONFIRMED
                case PayoutReorged():
                    status = PayoutStatus.BROADCAST
                case PayoutReinstated():
                    await give_up_others(tx, payouts, payout)
                    status = PayoutStatus.BROADCAST
                case _:
                    status = _given_up_as(found)
            await tx.payouts.save(replace(found, status=status, refusals=0, send_again_at=0))

    # --- one payout ---------------------------------------------------------------------------------------------------

    async def _follow_one(self, books: _Books, payout: Payout) -> list[Event]:
        fates = fates_of(payout.transactions, books.ledger)
        is_mined = Fate.MINED in fates
        if books.escrow.has_ended and payout.status.is_open and payout.kind is not PayoutKind.RETURN:
            return await self._follow_settled(books, payout, is_mined=is_mined)
        if payout.status is PayoutStatus.BROADCAST or (payout.status.is_open and is_mined):
            return await self._follow_sent(books, payout, fates)
        if payout.status is PayoutStatus.CONFIRMED and _is_lost(payout, fates, books.ledger):
            return await self._follow_lost(books, payout)
        if payout.status is PayoutStatus.ABANDONED and is_mined:
            return await self._take_back(books, payout)
        return []

    async def _follow_settled(self, books: _Books, payout: Payout, *, is_mined: bool) -> list[Event]:
        """Give up what is under way of an escrow that was settled, as nothing is left that it could pay out.

        What a block holds of it is done. A decision that was not known at the settlement is taken back in.
        """
        if not is_mined:
            await self._abandon(books, payout)
        elif books.is_decided(payout):
            await self._save(books, replace(with_heights(payout, books.ledger), status=PayoutStatus.CONFIRMED))
        else:
            return await self._take_back(books, payout)
        return []

    async def _follow_sent(self, books: _Books, payout: Payout, fates: Sequence[Fate]) -> list[Event]:
        found = with_heights(payout, books.ledger)
        if found != payout:
            crash_point(CrashPoint.P14_MINED)
            await self._save(books, found)
        status = status_by_fates(fates)
        if status is PayoutStatus.CONFIRMED:
            return await self._confirm(books, found, has_rest=Fate.DEAD in fates)
        if status is PayoutStatus.ABANDONED:
            return await self._give_up(books, found, HoldReason.SPENT_OUTSIDE, _beaten(found))
        return await self._send_again(books, found)

    async def _confirm(self, books: _Books, payout: Payout, *, has_rest: bool) -> list[Event]:
        """Count what is mined of a payout to final. Where a part can never be, what is left of it is to be decided."""
        mined = [one for one in payout.transactions if one.height is not None]
        if not all(_depth(one, books.ledger) >= books.escrow.terms.confirmations for one in mined):
            return []
        left = _left_of(payout, books.ledger) if has_rest else 0
        if left and payout.kind is not PayoutKind.RETURN:
            return await self._give_up(
                books,
                payout,
                HoldReason.PAYOUT_FAILED,
                f"{len(mined)} of {len(payout.transactions)} transactions of payout {payout.id} are in the chain, "
                f"and the others can never be: {format_piconero(left)} piconero are left",
            )
        crash_point(CrashPoint.P15_FINAL)
        txids = tuple(one.txid for one in mined)
        return [PayoutConfirmed(payout.id, payout.kind, txids, payout.order)]

    async def _give_up(self, books: _Books, payout: Payout, reason: HoldReason, why: str) -> list[Event]:
        """Give up what can never be mined. The event is stored together with it, where there is one to be told."""
        event = PayoutFailed(reason, why, payout.id)
        is_waited_for = books.is_decided(payout) or payout.kind is PayoutKind.RETURN
        if is_waited_for and is_allowed(books.escrow, event, Who.SERVICE):
            return [event]
        # An escrow that is held waits for the operator already, and a newer decision is about to replace this one.
        log.warning("payout.given_up", escrow=payout.escrow, payout=payout.id, reason=why)
        await self._save(books, replace(payout, status=_given_up_as(payout)))
        return []

    async def _send_again(self, books: _Books, payout: Payout) -> list[Event]:
        """Send what neither pool nor chain has once more, later each time that the daemon refuses it."""
        refused = await self._send_missing(books, payout)
        if not refused:
            return []
        if proof := await self._refuted(books, payout):
            return await self._give_up(books, payout, HoldReason.DEPOSIT_GONE, proof)
        if payout.kind is PayoutKind.RETURN:
            return await self._give_up_return(books, payout, refused)
        if not (books.escrow.status is Status.PAYING and books.is_decided(payout)):
            return []
        return [await self._failure(payout, refused)]

    async def _send_missing(self, books: _Books, payout: Payout) -> str:
        """Send open transactions that were not seen; return why the daemon refused one, if it did."""
        if books.now < payout.send_again_at:
            return ""
        seen = {spend.txid for spend in books.ledger.spends}
        unseen = [one.txid for one in _open_ones(payout, books.ledger) if one.txid not in seen]
        refused = await self._sending.send_missing(payout, unseen, books.claim)
        refusals = payout.refusals + 1 if refused else 0
        if refusals != payout.refusals:
            again_at = books.now + pause_after(refusals) if refused else 0
            await self._save(books, replace(payout, refusals=refusals, send_again_at=again_at))
        return refused

    async def _refuted(self, books: _Books, payout: Payout) -> str:
        """Return the proof that no block can hold a payout, because what it spends can be in none; empty without one.

        A deposit that left the chain never comes back where another transaction in the chain spends what it spent.
        """
        lost = [each for each in books.ledger.lost if each.key in payout.output_keys and each.sources]
        refuted = [each for each in lost if await self._sending.is_double_spent(each)]
        images = {books.ledger.key_images.get(each.key, "") for each in refuted}
        if status_by_fates(fates_of(payout.transactions, books.ledger, images)) is None:
            return ""
        txids = ", ".join(sorted({each.txid for each in refuted}))
        return f"payout {payout.id} spends a deposit that another transaction in the chain has double spent: {txids}"

    async def _give_up_return(self, books: _Books, payout: Payout, refused: str) -> list[Event]:
        """Give up what is open of a return, where the daemon takes it no more and has no part of it.

        Another return may take its place: it goes to the same receiver, and spends what this one spends.
        """
        left = _open_ones(payout, books.ledger)
        # What is only in the pool may vanish, and then the same bytes are taken again.
        if await self._sending.has_any([one.txid for one in left]) or await self._sending.is_contested(left):
            log.error("payout.stuck", escrow=payout.escrow, payout=payout.id, reason=refused)
            return []
        return await self._give_up(books, payout, HoldReason.PAYOUT_FAILED, refused)

    async def _failure(self, payout: Payout, refused: str) -> PayoutFailed:
        """Say why a payout is not taken. It is not given up: its bytes are sent again while the escrow is held."""
        async with self._store.reading() as tx:
            attempts = await tx.payouts.attempts(payout.id)
        sent = next((each for each in attempts if each.step is AttemptStep.SUBMITTED), None)
        try:
            if sent is not None:
                await self._sending.check_not_spent_by_others(sent)
        except NothingLeft as error:
            return PayoutFailed(HoldReason.SPENT_OUTSIDE, str(error))
        return PayoutFailed(HoldReason.PAYOUT_FAILED, refused)

    # --- against what was recorded ------------------------------------------------------------------------------------

    async def _take_back(self, books: _Books, payout: Payout) -> list[Event]:
        """Let a payout count again that was given up, and is in a block after all."""
        found = with_heights(payout, books.ledger)
        if payout.kind is PayoutKind.RETURN:
            if books.escrow.has_ended and not await self._under_way(books):
                # So that it is counted to final, it is under way again.
                await self._save(books, replace(found, status=PayoutStatus.BROADCAST))
            return []
        others = [each for each in books.payouts if each != payout and each.kind is not PayoutKind.RETURN]
        is_booked = any(Fate.MINED in fates_of(each.transactions, books.ledger) for each in others)
        event = reinstated(payout, _mined_txids(found), books.escrow)
        if not is_booked and is_allowed(books.escrow, event, Who.SERVICE):
            log.warning("payout.reinstated", escrow=payout.escrow, payout=payout.id)
            return [event]
        # It was settled, or another payout is in a block beside it: both have paid what they spent.
        log.warning("payout.booked", escrow=payout.escrow, payout=payout.id)
        await self._save(books, replace(found, status=PayoutStatus.CONFIRMED))
        return []

    async def _follow_lost(self, books: _Books, payout: Payout) -> list[Event]:
        """Say that a payout which was final is no longer so, unless another one is under way: then it is only sent."""
        log.warning("payout.reorged", escrow=payout.escrow, payout=payout.id)
        event = PayoutReorged(payout.id, payout.kind)
        is_told = books.is_decided(payout) or payout.kind is PayoutKind.RETURN
        if is_told and not await self._under_way(books):
            if is_allowed(books.escrow, event, Who.SERVICE):
                return [event]
            if not books.escrow.has_ended:
                # It was final in part, and the escrow is held: until a new decision it is under way again.
                await self._save(books, replace(with_heights(payout, books.ledger), status=PayoutStatus.BROADCAST))
                return []
        # What was given up of it when it was confirmed in part is never sent again.
        is_over = not _open_ones(payout, books.ledger)
        if is_over and is_told and books.escrow.has_ended:
            return []  # a return is under way: the loss becomes an event after it
        refused = "" if is_over else await self._send_missing(books, payout)
        if is_over or (refused and not is_told):
            found = with_heights(payout, books.ledger)
            await self._save(books, replace(found, status=_given_up_as(found)))
        return []

    async def _under_way(self, books: _Books) -> list[Payout]:
        """Abandon returns that are not signed, and return the other payouts that are under way.

        Such a return would wait permanently: to the wallets, the outputs of the lost payout are unspent again.
        """
        under_way: list[Payout] = []
        async with self._store.transaction() as tx:
            await tx.hold_claim(books.claim)
            for payout in books.payouts:
                if not payout.status.is_open:
                    continue
                attempts = await tx.payouts.attempts(payout.id)
                if payout.kind is not PayoutKind.RETURN or any(each.step in SIGNED_STEPS for each in attempts):
                    under_way.append(payout)
                else:
                    await give_up(tx, payout)
        return under_way

    async def _abandon(self, books: _Books, payout: Payout) -> None:
        async with self._store.transaction() as tx:
            await tx.hold_claim(books.claim)
            await give_up(tx, payout)

    async def _save(self, books: _Books, payout: Payout) -> None:
        async with self._store.transaction() as tx:
            await tx.hold_claim(books.claim)
            await tx.payouts.save(payout)


def reinstated(payout: Payout, mined: tuple[str, ...], escrow: Escrow) -> PayoutReinstated:
    """Return the event by which a payout that is in a block takes the place of a later decision."""
    return PayoutReinstated(payout.id, payout.kind, mined, payout.decision(escrow.version))


async def give_up(tx: Transaction, payout: Payout) -> None:
    """Abandon a payout, and discard what of it was not signed."""
    for each in await tx.payouts.attempts(payout.id):
        if each.step not in SIGNED_STEPS | {AttemptStep.DISCARDED}:
            await tx.payouts.save_attempt(replace(each, step=AttemptStep.DISCARDED))
    await tx.payouts.save(replace(payout, status=PayoutStatus.ABANDONED))


async def give_up_others(tx: Transaction, payouts: Sequence[Payout], kept: Payout) -> None:
    """Abandon what is under way beside a payout."""
    for each in payouts:
        if each.status.is_open and each.id != kept.id:
            await give_up(tx, each)


def with_heights(payout: Payout, ledger: Ledger) -> Payout:
    """Return a payout with the heights of those of its transactions that a block holds now."""
    heights = {spend.txid: spend.height for spend in ledger.spends}
    transactions = tuple(replace(one, height=heights.get(one.txid)) for one in payout.transactions)
    return replace(payout, transactions=transactions)


def pause_after(refusals: int) -> int:
    """Return how long refused bytes are not sent again, in milliseconds."""
    return min(LONGEST_PAUSE, FIRST_PAUSE << min(refusals - 1, 16))


# ---------------------------------------------------------------------------------------------------------------------


def _given_up_as(found: Payout) -> PayoutStatus:
    """Return the status of a payout that is given up: what is in a block of it is done."""
    return PayoutStatus.CONFIRMED if _mined_txids(found) else PayoutStatus.ABANDONED


def _mined_txids(found: Payout) -> tuple[str, ...]:
    return tuple(one.txid for one in found.transactions if one.height is not None)


def _open_ones(payout: Payout, ledger: Ledger) -> list[PayoutTransaction]:
    """Return the transactions that may still be mined. What was in no block of a confirmed payout was given up."""
    fates = fates_of(payout.transactions, ledger)
    given_up = payout.status is PayoutStatus.CONFIRMED
    return [
        one
        for one, fate in zip(payout.transactions, fates, strict=True)
        if fate is Fate.OPEN and not (given_up and one.height is None)
    ]


def _is_lost(payout: Payout, fates: Sequence[Fate], ledger: Ledger) -> bool:
    """Whether a reorganisation took a final payout out of the chain, as far as payouts are followed."""
    heights = [one.height for one in payout.transactions if one.height is not None]
    is_followed = ledger.chain_height - min(heights, default=ledger.chain_height) <= FOLLOWED_BLOCKS
    return is_followed and (bool(_open_ones(payout, ledger)) or Fate.MINED not in fates)


def _left_of(payout: Payout, ledger: Ledger) -> int:
    """Return how much of what a payout was to spend is there and not spent, in piconero."""
    spent = ledger.spent
    return sum(each.amount for each in ledger.outputs if each.key in payout.output_keys and each.key not in spent)


def _depth(one: PayoutTransaction, ledger: Ledger) -> int:
    return 0 if one.height is None else max(0, ledger.chain_height - one.height)


def _beaten(payout: Payout) -> str:
    return f"other transactions in the chain spend what payout {payout.id} spends"
