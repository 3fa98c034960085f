"""Signed transactions: sent, kept, looked for, sent again while they are in neither pool nor chain, counted to final.

Sending the same bytes again is harmless (monerod accepts them in the pool and in the chain alike), so after any doubt
they are sent again. Nothing is built anew in their place, unless an operator decides anew and the daemon refuses them.
"""

from dataclasses import replace
from typing import Final

import structlog

from escrowd.domain.escrow.assess import Ledger
from escrowd.domain.escrow.events import Event, PayoutConfirmed, PayoutFailed, PayoutReorged
from escrowd.domain.escrow.facts import Escrow, HoldReason
from escrowd.domain.escrow.machine import is_allowed
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.payouts.records import (
    Attempt,
    AttemptStep,
    Payout,
    PayoutKind,
    PayoutStatus,
    PayoutTransaction,
)
from escrowd.monero.daemon import MoneroDaemon
from escrowd.monero.results_daemon import KeyImageStatus
from escrowd.service.crash_points import CrashPoint, crash_point
from escrowd.service.payouts.errors import BytesMissing, NothingLeft, NotSubmitted
from escrowd.service.ports import Claim, Store, Transaction

log = structlog.get_logger()

#: Blocks after which a payout is followed no more: no chain was ever reorganised so deep.
FOLLOWED_BLOCKS: Final = 720


class Sending:
    """Looks after signed transactions."""

    def __init__(self, store: Store, daemon: MoneroDaemon) -> None:
        self._store = store
        self._daemon = daemon

    # --- sending ------------------------------------------------------------------------------------------------------

    async def has_any(self, attempt: Attempt) -> bool:
        """Ask the daemon whether it has a transaction of an attempt, in pool or chain."""
        return bool((await self._daemon.get_transactions(_txids(attempt), prune=True)).txs)

    async def is_contested(self, transactions: tuple[PayoutTransaction, ...]) -> bool:
        """Ask the daemon whether its pool holds a transaction that spends what these spend."""
        statuses = await self._daemon.is_key_image_spent([image for one in transactions for image in one.key_images])
        return KeyImageStatus.SPENT_IN_POOL in statuses

    async def is_taken(self, attempt: Attempt, claim: Claim) -> bool:
        """Send a signature once more, and return whether the daemon has it, or might have it again.

        It takes none whose rings name outputs that a deep reorganisation has removed: that was seen on mainnet, with
        18 blocks in September 2025. What is contested in the pool may be taken when the pool has forgotten the rival.

        Raises:
            EscrowdError: the outcome is unknown.

        """
        if await self.has_any(attempt) or await self.is_contested(attempt.transactions):
            return True
        try:
            await self.submit(attempt, claim)
        except (NotSubmitted, NothingLeft, BytesMissing) as error:
            log.warning("payout.refused_for_good", payout=attempt.payout, error=str(error))
            # Of a set of several it may have taken one, and refused the next.
            return await self.has_any(attempt)
        return True

    async def submit(self, attempt: Attempt, claim: Claim) -> Attempt:
        """Send the stored bytes of a signed attempt, and make sure that the daemon has them. Needs no wallet.

        Returns the attempt with its new step, which is stored.

        Raises:
            NothingLeft: another transaction spends the same outputs, and is in the chain.
            NotSubmitted: the daemon does not take it.
            BytesMissing: there is nothing to send; nothing was sent.
            MoneroError: the outcome is unknown; call it again.

        """
        missing = (await self._daemon.get_transactions(_txids(attempt), prune=True)).missed_tx
        async with self._store.transaction() as tx:
            raws = {txid: await tx.payouts.raw(txid) for txid in missing}
        refused = ""
        for txid, raw in raws.items():
            if raw is None:
                raise BytesMissing(f"the bytes of transaction {txid} of payout {attempt.payout} are not stored")
            claim.check()
            crash_point(CrashPoint.P11_SUBMIT_SENT)
            answer = await self._daemon.send_raw_transaction(raw)
            crash_point(CrashPoint.P12_SUBMIT_OK)
            if not answer.accepted:
                refused = answer.why_not
                log.warning("payout.submission_refused", payout=attempt.payout, txid=txid, reason=refused)
        return await self._note_submitted(attempt, claim, refused)

    async def _note_submitted(self, attempt: Attempt, claim: Claim, refused: str) -> Attempt:
        found = await self._daemon.get_transactions(_txids(attempt))
        if found.missed_tx:
            await self._check_not_spent_by_others(attempt)
            raise NotSubmitted(
                f"the daemon does not take transaction {found.missed_tx[0]} of payout {attempt.payout}: "
                f"{refused or 'it accepted it and does not have it'}"
            )
        crash_point(CrashPoint.P13_IN_POOL)
        submitted = replace(attempt, step=AttemptStep.SUBMITTED)
        async with self._store.transaction() as tx:
            await tx.hold_claim(claim)
            for one in found.txs:
                await tx.payouts.keep_raw(one.tx_hash, one.as_hex)
            await tx.payouts.save_attempt(submitted)
        return submitted

    async def _check_not_spent_by_others(self, attempt: Attempt) -> None:
        """Find out whether a block spends what these transactions spend, although it does not hold them.

        Raises:
            NothingLeft: one does.

        """
        images = [image for one in attempt.transactions for image in one.key_images]
        statuses = await self._daemon.is_key_image_spent(images)
        spent = {image for image, each in zip(images, statuses, strict=True) if each is KeyImageStatus.SPENT_IN_CHAIN}
        # Asked in this order, a transaction of ours that was mined in between is found.
        missing = set((await self._daemon.get_transactions(_txids(attempt), prune=True)).missed_tx)
        for one in attempt.transactions:
            if one.txid in missing and spent.intersection(one.key_images):
                raise NothingLeft(f"another transaction spends what {one.txid} of payout {attempt.payout} spends")

    # --- following ----------------------------------------------------------------------------------------------------

    async def follow(self, escrow: Escrow, claim: Claim) -> tuple[Event, ...]:
        """Look at the escrow's payouts in pool and chain, send what got lost once more, and return what is new.

        What an event means for its payout is stored together with it, by :meth:`note`.
        """
        async with self._store.transaction() as tx:
            ledger = await tx.ledgers.ledger(escrow.id)
            payouts = await tx.payouts.all_of(escrow.id)
            ordered = await tx.payouts.of_order(escrow.id, escrow.order.version) if escrow.order else None
        events: list[Event] = []
        for payout in payouts:
            if payout.status is PayoutStatus.BROADCAST:
                is_waited_for = escrow.status is Status.PAYING and payout == ordered
                events += await self._follow_sent(escrow, payout, ledger, claim, is_waited_for=is_waited_for)
            elif payout.status is PayoutStatus.CONFIRMED and _is_lost(payout, ledger):
                events += await self._follow_lost(escrow, payout, payouts, ledger, claim)
        return tuple(events)

    async def note(self, tx: Transaction, escrow: EscrowId, event: Event) -> None:
        """Store with an event what it means for its payout."""
        if not isinstance(event, PayoutConfirmed | PayoutReorged):
            return
        status = PayoutStatus.CONFIRMED if isinstance(event, PayoutConfirmed) else PayoutStatus.BROADCAST
        ledger = await tx.ledgers.ledger(escrow)
        for payout in await tx.payouts.all_of(escrow):
            if payout.id == event.payout:
                await tx.payouts.save(replace(_with_heights(payout, ledger), status=status))

    async def _follow_sent(
        self, escrow: Escrow, payout: Payout, ledger: Ledger, claim: Claim, *, is_waited_for: bool
    ) -> list[Event]:
        found = _with_heights(payout, ledger)
        if found != payout:
            crash_point(CrashPoint.P14_MINED)
            async with self._store.transaction() as tx:
                await tx.hold_claim(claim)
                await tx.payouts.save(found)
        if all(_depth(one, ledger) >= escrow.terms.confirmations for one in found.transactions):
            crash_point(CrashPoint.P15_FINAL)
            return [PayoutConfirmed(payout.id, payout.kind, _txids(payout))]
        refused = await self._send_what_is_missing(found, ledger, claim)
        if refused and payout.kind is PayoutKind.RETURN:
            return await self._abandon(found, refused, claim)
        # Of another one nobody has to be told: an escrow that is held has its person already, and an operator's order
        # is about to replace it.
        if refused and is_waited_for:
            return [await self._failure(payout, refused)]
        return []

    async def _abandon(self, payout: Payout, refused: str, claim: Claim) -> list[Event]:
        """Give up a return that the daemon does not take any more, as long as it has no part of it.

        Another return may take its place: it goes to the same receiver, and spends what this one spends.
        """
        there = (await self._daemon.get_transactions(_txids(payout), prune=True)).txs
        # What is only in the pool may vanish, and then the same bytes are taken again.
        if there or await self.is_contested(payout.transactions):
            log.error("payout.stuck", escrow=payout.escrow, payout=payout.id, reason=refused)
            return []
        async with self._store.transaction() as tx:
            await tx.hold_claim(claim)
            await tx.payouts.save(replace(payout, status=PayoutStatus.ABANDONED))
        return [PayoutFailed(HoldReason.PAYOUT_FAILED, refused)]

    async def _follow_lost(
        self, escrow: Escrow, payout: Payout, payouts: tuple[Payout, ...], ledger: Ledger, claim: Claim
    ) -> list[Event]:
        """Tell that a payout which was final is so no more, unless another one is under way: then it is only sent."""
        log.warning("payout.reorged", escrow=payout.escrow, payout=payout.id)
        event = PayoutReorged(payout.id, payout.kind)
        under_way = await self._without_unsigned_returns(payouts, claim)
        if under_way or not is_allowed(escrow, event, Who.SERVICE):
            await self._send_what_is_missing(payout, ledger, claim)
            return []
        return [event]

    async def _without_unsigned_returns(self, payouts: tuple[Payout, ...], claim: Claim) -> list[Payout]:
        """Abandon returns that are not signed, and return the other payouts that are under way.

        Such a return would wait for ever: to the wallets, the outputs of the lost payout are unspent again.
        """
        under_way: list[Payout] = []
        async with self._store.transaction() as tx:
            await tx.hold_claim(claim)
            for payout in payouts:
                if not payout.status.is_open:
                    continue
                attempts = await tx.payouts.attempts(payout.id)
                if payout.kind is not PayoutKind.RETURN or any(each.step in _SIGNED for each in attempts):
                    under_way.append(payout)
                    continue
                for each in attempts:
                    if each.step is not AttemptStep.DISCARDED:
                        await tx.payouts.save_attempt(replace(each, step=AttemptStep.DISCARDED))
                await tx.payouts.save(replace(payout, status=PayoutStatus.ABANDONED))
        return under_way

    async def _send_what_is_missing(self, payout: Payout, ledger: Ledger, claim: Claim) -> str:
        """Send transactions again that are in neither pool nor chain; return why the daemon refused one, if it did."""
        seen = {spend.txid for spend in ledger.spends}
        unseen = [one.txid for one in payout.transactions if one.txid not in seen]
        missed = (await self._daemon.get_transactions(unseen, prune=True)).missed_tx if unseen else ()
        refused = ""
        for txid in missed:
            async with self._store.transaction() as tx:
                raw = await tx.payouts.raw(txid)
            if raw is not None:
                claim.check()
                answer = await self._daemon.send_raw_transaction(raw)
                log.warning("payout.sent_again", payout=payout.id, txid=txid, accepted=answer.accepted)
                if not answer.accepted:
                    refused = f"the daemon does not take transaction {txid} again: {answer.why_not}"
        return refused

    async def _failure(self, payout: Payout, refused: str) -> PayoutFailed:
        async with self._store.transaction() as tx:
            sent = next(
                (each for each in await tx.payouts.attempts(payout.id) if each.step is AttemptStep.SUBMITTED), None
            )
        try:
            if sent is not None:
                await self._check_not_spent_by_others(sent)
        except NothingLeft as error:
            return PayoutFailed(HoldReason.SPENT_OUTSIDE, str(error))
        return PayoutFailed(HoldReason.PAYOUT_FAILED, refused)


# ---------------------------------------------------------------------------------------------------------------------

_SIGNED: Final = frozenset({AttemptStep.SIGNED, AttemptStep.SUBMITTED})


def _with_heights(payout: Payout, ledger: Ledger) -> Payout:
    heights = {spend.txid: spend.height for spend in ledger.spends}
    transactions = tuple(replace(one, height=heights.get(one.txid)) for one in payout.transactions)
    return replace(payout, transactions=transactions)


def _is_lost(payout: Payout, ledger: Ledger) -> bool:
    """Whether a reorganisation took a final payout out of the chain, as far as payouts are followed."""
    deepest = min((one.height or 0) for one in payout.transactions)
    found = _with_heights(payout, ledger).transactions
    return ledger.chain_height - deepest <= FOLLOWED_BLOCKS and any(one.height is None for one in found)


def _depth(one: PayoutTransaction, ledger: Ledger) -> int:
    return 0 if one.height is None else max(0, ledger.chain_height - one.height)


def _txids(paying: Payout | Attempt) -> tuple[str, ...]:
    return tuple(one.txid for one in paying.transactions)
