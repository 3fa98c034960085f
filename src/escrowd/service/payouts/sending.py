"""Sent transactions: kept, looked for, sent again while they are in neither pool nor chain, and counted down to final.

Sending the same bytes again is harmless (monerod accepts them in the pool and in the chain alike), so after any doubt
they are sent again. Nothing is ever built anew in their place.
"""

from dataclasses import replace
from typing import Final

import structlog

from escrowd.domain.escrow.assess import Ledger
from escrowd.domain.escrow.events import Event, PayoutConfirmed, PayoutReorged
from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.payouts.records import Attempt, AttemptStep, Payout, PayoutStatus, PayoutTransaction
from escrowd.monero.daemon import MoneroDaemon
from escrowd.service.crash_points import CrashPoint, crash_point
from escrowd.service.payouts.errors import NotSubmitted
from escrowd.service.ports import Claim, Store

log = structlog.get_logger()

#: Blocks after which a payout is followed no more: no chain was ever reorganised so deep.
FOLLOWED_BLOCKS: Final = 720


class Sending:
    """Looks after signed transactions."""

    def __init__(self, store: Store, daemon: MoneroDaemon) -> None:
        self._store = store
        self._daemon = daemon

    async def has_all(self, attempt: Attempt) -> bool:
        """Ask the daemon whether it has all transactions of an attempt, in pool or chain."""
        txids = [one.txid for one in attempt.transactions]
        return not (await self._daemon.get_transactions(txids, prune=True)).missed_tx

    async def keep(self, attempt: Attempt, claim: Claim) -> None:
        """Keep the bytes of sent transactions, so that no wallet is needed to send them again, and note the step.

        Raises:
            NotSubmitted: the daemon does not have all of them.

        """
        txids = [one.txid for one in attempt.transactions]
        found = await self._daemon.get_transactions(txids)
        if found.missed_tx:
            raise NotSubmitted(f"the daemon has not taken transaction {found.missed_tx[0]} of payout {attempt.payout}")
        crash_point(CrashPoint.P13_IN_POOL)
        async with self._store.transaction() as tx:
            await tx.hold_claim(claim)
            for one in found.txs:
                await tx.payouts.keep_raw(one.tx_hash, one.as_hex)
            await tx.payouts.save_attempt(replace(attempt, step=AttemptStep.SUBMITTED))

    async def follow(self, escrow: Escrow, claim: Claim) -> tuple[Event, ...]:
        """Look at the escrow's payouts in pool and chain, send what got lost once more, and return what is new."""
        async with self._store.transaction() as tx:
            ledger = await tx.ledgers.ledger(escrow.id)
            payouts = await tx.payouts.all_of(escrow.id)
        events: list[Event] = []
        for payout in payouts:
            if payout.status is PayoutStatus.BROADCAST:
                events += await self._follow_sent(escrow, payout, ledger, claim)
            elif payout.status is PayoutStatus.CONFIRMED:
                events += await self._follow_final(payout, ledger, claim)
        return tuple(events)

    async def _follow_sent(self, escrow: Escrow, payout: Payout, ledger: Ledger, claim: Claim) -> list[Event]:
        found = _with_heights(payout, ledger)
        if found != payout:
            crash_point(CrashPoint.P14_MINED)
            await self._save(found, claim)
        if all(_depth(one, ledger) >= escrow.terms.confirmations for one in found.transactions):
            crash_point(CrashPoint.P15_FINAL)
            await self._save(replace(found, status=PayoutStatus.CONFIRMED), claim)
            return [PayoutConfirmed(payout.id, payout.kind, _txids(payout))]
        await self._send_what_is_missing(found, ledger, claim)
        return []

    async def _follow_final(self, payout: Payout, ledger: Ledger, claim: Claim) -> list[Event]:
        deepest = min((one.height or 0) for one in payout.transactions)
        if ledger.chain_height - deepest > FOLLOWED_BLOCKS:
            return []
        found = _with_heights(payout, ledger)
        if all(one.height is not None for one in found.transactions):
            return []
        log.warning("payout.reorged", escrow=payout.escrow, payout=payout.id)
        await self._save(replace(found, status=PayoutStatus.BROADCAST), claim)
        return [PayoutReorged(payout.id, payout.kind)]

    async def _send_what_is_missing(self, payout: Payout, ledger: Ledger, claim: Claim) -> None:
        seen = {spend.txid for spend in ledger.spends}
        unseen = [one.txid for one in payout.transactions if one.txid not in seen]
        if not unseen:
            return
        missed = (await self._daemon.get_transactions(unseen, prune=True)).missed_tx
        for txid in missed:
            async with self._store.transaction() as tx:
                raw = await tx.payouts.raw(txid)
            if raw is not None:
                claim.check()
                answer = await self._daemon.send_raw_transaction(raw)
                log.warning("payout.sent_again", payout=payout.id, txid=txid, accepted=answer.accepted)

    async def _save(self, payout: Payout, claim: Claim) -> None:
        async with self._store.transaction() as tx:
            await tx.hold_claim(claim)
            await tx.payouts.save(payout)


# ---------------------------------------------------------------------------------------------------------------------


def _with_heights(payout: Payout, ledger: Ledger) -> Payout:
    heights = {spend.txid: spend.height for spend in ledger.spends}
    transactions = tuple(replace(one, height=heights.get(one.txid)) for one in payout.transactions)
    return replace(payout, transactions=transactions)


def _depth(one: PayoutTransaction, ledger: Ledger) -> int:
    return 0 if one.height is None else max(0, ledger.chain_height - one.height)


def _txids(payout: Payout) -> tuple[str, ...]:
    return tuple(one.txid for one in payout.transactions)
