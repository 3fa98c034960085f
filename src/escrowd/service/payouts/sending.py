"""Sends the stored bytes of signed transactions. Needs no wallet.

Sending the same bytes again is harmless (monerod accepts them in the pool and in the chain alike), so after any doubt
they are sent again. Nothing is built anew in their place, unless an operator decides anew and the daemon refuses them.
"""

from collections.abc import Collection
from dataclasses import replace

import structlog

from escrowd.domain.outputs import ReceivedOutput
from escrowd.domain.payouts.records import Attempt, AttemptStep, Payout, PayoutTransaction
from escrowd.monero.daemon import MoneroDaemon
from escrowd.monero.results_daemon import KeyImageStatus
from escrowd.service.crash_points import CrashPoint, crash_point
from escrowd.service.payouts.errors import BytesMissing, NothingLeft, NotSubmitted
from escrowd.service.ports import Claim, Store

log = structlog.get_logger()


class Sending:
    """Looks after signed transactions."""

    def __init__(self, store: Store, daemon: MoneroDaemon) -> None:
        self._store = store
        self._daemon = daemon

    async def has_any(self, txids: Collection[str]) -> bool:
        """Ask the daemon whether it has one of these transactions, in pool or chain."""
        return bool((await self._daemon.get_transactions(tuple(txids), prune=True)).txs)

    async def is_contested(self, transactions: Collection[PayoutTransaction]) -> bool:
        """Ask the daemon whether its pool holds a transaction that spends what these spend."""
        statuses = await self._daemon.is_key_image_spent([image for one in transactions for image in one.key_images])
        return KeyImageStatus.SPENT_IN_POOL in statuses

    async def is_double_spent(self, lost: ReceivedOutput) -> bool:
        """Ask the daemon whether the chain holds, in place of a lost transaction, one that spends what that spent."""
        # Asked in this order, one that was mined again in between is found.
        statuses = await self._daemon.is_key_image_spent(lost.sources)
        return KeyImageStatus.SPENT_IN_CHAIN in statuses and not await self.has_any([lost.txid])

    async def is_taken(self, attempt: Attempt, transactions: Collection[PayoutTransaction], claim: Claim) -> bool:
        """Send a signature once more, and return whether the daemon has one of these transactions of it, or might.

        It takes none whose rings name outputs that a deep reorganisation has removed: that was seen on mainnet, with
        18 blocks in September 2025. What is contested in the pool may be taken when the pool has forgotten the rival.

        Raises:
            EscrowdError: the outcome is unknown.

        """
        txids = [one.txid for one in transactions]
        if await self.has_any(txids) or await self.is_contested(transactions):
            return True
        try:
            await self.submit(attempt, claim)
        except (NotSubmitted, NothingLeft, BytesMissing) as error:
            log.warning("payout.refused_for_good", payout=attempt.payout, error=str(error))
        # Of a set of several it may have taken one, and refused the next.
        return await self.has_any(txids)

    async def submit(self, attempt: Attempt, claim: Claim) -> Attempt:
        """Send the stored bytes of a signed attempt, and make sure that the daemon has them. Needs no wallet.

        Returns the attempt with its new step, which is stored.

        Raises:
            NothingLeft: another transaction spends the same outputs, and is in the chain.
            NotSubmitted: the daemon does not take it.
            BytesMissing: there is nothing to send; nothing was sent.
            MoneroError: the outcome is unknown; call it again.

        """
        missing = (await self._daemon.get_transactions(txids_of(attempt), prune=True)).missed_tx
        async with self._store.reading() as tx:
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
        found = await self._daemon.get_transactions(txids_of(attempt))
        if found.missed_tx:
            await self.check_not_spent_by_others(attempt)
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

    async def check_not_spent_by_others(self, attempt: Attempt) -> None:
        """Find out whether a block spends what these transactions spend, although it does not hold them.

        Raises:
            NothingLeft: one does.

        """
        images = [image for one in attempt.transactions for image in one.key_images]
        statuses = await self._daemon.is_key_image_spent(images)
        spent = {image for image, each in zip(images, statuses, strict=True) if each is KeyImageStatus.SPENT_IN_CHAIN}
        # Asked in this order, a transaction of ours that was mined in between is found.
        missing = set((await self._daemon.get_transactions(txids_of(attempt), prune=True)).missed_tx)
        for one in attempt.transactions:
            if one.txid in missing and spent.intersection(one.key_images):
                raise NothingLeft(f"another transaction spends what {one.txid} of payout {attempt.payout} spends")

    async def send_missing(self, payout: Payout, txids: Collection[str], claim: Claim) -> str:
        """Send those of these transactions that the daemon does not have; return why it refused one, if it did.

        One whose bytes are not stored is left out.
        """
        missed = (await self._daemon.get_transactions(tuple(txids), prune=True)).missed_tx if txids else ()
        refused = ""
        for txid in missed:
            async with self._store.reading() as tx:
                raw = await tx.payouts.raw(txid)
            if raw is None:
                continue
            claim.check()
            answer = await self._daemon.send_raw_transaction(raw)
            log.warning("payout.sent_again", payout=payout.id, txid=txid, accepted=answer.accepted)
            if not answer.accepted:
                refused = f"the daemon does not take transaction {txid} again: {answer.why_not}"
        return refused


def txids_of(paying: Payout | Attempt) -> tuple[str, ...]:
    """Return the ids of all transactions of a payout or an attempt."""
    return tuple(one.txid for one in paying.transactions)
