"""PayoutDesk: carries out orders on the money, and sends late money back. It may be called again at any time.

What it finds stored decides what it does: a payout that was sent is left to who follows it, a signature that is stored
is sent, an attempt that was interrupted is given up, and only where there is nothing of the kind a new one is made.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from escrowd.domain.errors import EscrowdError
from escrowd.domain.escrow.assess import Ledger, is_spendable
from escrowd.domain.escrow.events import Event, PayoutBroadcast, PayoutFailed
from escrowd.domain.escrow.facts import Escrow, HoldReason
from escrowd.domain.escrow.status import Status
from escrowd.domain.identifiers import RANDOM_BYTES, Prefix, make_identifier
from escrowd.domain.outputs import ReceivedOutput, credited_once
from escrowd.domain.payouts.fees import FeeRate
from escrowd.domain.payouts.plan import NotAllThere, PayoutPlan, Uneconomic, plan_payout
from escrowd.domain.payouts.records import Attempt, AttemptStep, Payout, PayoutKind, PayoutStatus
from escrowd.domain.payouts.signers import Pair, signer_pairs
from escrowd.monero.daemon import MoneroDaemon
from escrowd.monero.errors import MultisigRefused, WalletNotOpened
from escrowd.monero.results_signing import Priority
from escrowd.monero.wallet import MoneroClient
from escrowd.service.advance import Task
from escrowd.service.payouts.attempt import (
    Bounds,
    attempt_of,
    interrupted,
    key_images_of,
    sign_payout,
    signed,
)
from escrowd.service.payouts.errors import NothingShared, PayoutError, ProposalRefused, TooManyInputs
from escrowd.service.payouts.journal import ClaimJournal, Sealer, set_purpose
from escrowd.service.payouts.sending import Sending
from escrowd.service.payouts.wallets import Signers, submit
from escrowd.service.ports import Claim, Sessions, Store, Transaction

log = structlog.get_logger()

#: How many proposals in a row may be refused before a person is called.
MOST_REFUSALS = 3


@dataclass(frozen=True, slots=True)
class _Work:
    """A payout to be carried on, with what is known of it."""

    task: Task
    payout: Payout
    attempts: tuple[Attempt, ...]
    ledger: Ledger


class PayoutDesk:
    """Makes payouts out of orders."""

    def __init__(
        self,
        store: Store,
        sessions: Sessions,
        daemon: MoneroDaemon,
        sealer: Sealer,
        randomness: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._daemon = daemon
        self._sealer = sealer
        self._randomness = randomness
        self._sending = Sending(store, daemon)

    async def pay(self, task: Task) -> tuple[Event, ...]:
        """Carry out the order of an escrow, as far as to the daemon's pool.

        Raises:
            EscrowdError: something failed; the next call goes on from what is stored.

        """
        order = task.escrow.order
        if task.escrow.status is not Status.PAYING or order is None:
            return ()
        async with self._store.transaction() as tx:
            await tx.hold_claim(task.claim)
            await self._retire_older(tx, task.escrow, order.version)
            payout = await tx.payouts.of_order(task.escrow.id, order.version)
            if payout is None:
                payout = await self._new(tx, task, order.kind, order.vendor_share, order.version)
        return await self._carry_on(task, payout)

    async def return_late(self, task: Task) -> tuple[Event, ...]:
        """Send money back to the buyer that came late, one account of the wallet at a time. Raises as :meth:`pay`."""
        if not task.escrow.has_ended:
            return ()
        async with self._store.transaction() as tx:
            await tx.hold_claim(task.claim)
            payout = await tx.payouts.of_order(task.escrow.id, task.effect.version)
            if payout is None:
                account = await self._account_with_late_money(tx, task.escrow)
                if account is None or await _under_way(tx, task.escrow):
                    return ()
                payout = await self._new(tx, task, PayoutKind.RETURN, 0, task.effect.version, account)
        return await self._carry_on(task, payout)

    async def follow(self, escrow: Escrow, claim: Claim) -> tuple[Event, ...]:
        """Look after what was sent. See :meth:`escrowd.service.payouts.sending.Sending.follow`."""
        return await self._sending.follow(escrow, claim)

    # --- planning ----------------------------------------------------------------------------------------------------

    async def _new(
        self, tx: Transaction, task: Task, kind: PayoutKind, vendor_share: int, version: int, account: int = 0
    ) -> Payout:
        moment = await tx.clock.now()
        payout = Payout(
            id=make_identifier(Prefix.PAYOUT, moment.utc, self._randomness(RANDOM_BYTES)),
            escrow=task.escrow.id,
            kind=kind,
            status=PayoutStatus.PLANNED,
            vendor_share=vendor_share,
            account=account,
            signers=signer_pairs(task.escrow.order if kind is not PayoutKind.RETURN else None),
            output_keys=(),
        )
        await tx.payouts.add(payout, version)
        return payout

    async def _account_with_late_money(self, tx: Transaction, escrow: Escrow) -> int | None:
        late = spendable_for(PayoutKind.RETURN, await tx.ledgers.ledger(escrow.id), await tx.payouts.all_of(escrow.id))
        return min((each.account for each in late), default=None)

    async def _retire_older(self, tx: Transaction, escrow: Escrow, version: int) -> None:
        """Abandon an older payout that an operator's order replaces, unless it could still be mined.

        Raises:
            PayoutError: it could.

        """
        present = await tx.payouts.of_order(escrow.id, version)
        ledger = await tx.ledgers.ledger(escrow.id)
        for payout in await tx.payouts.all_of(escrow.id):
            if not payout.status.is_open or (present is not None and payout.id == present.id):
                continue
            sent = signed(await tx.payouts.attempts(payout.id))
            if sent is not None and not _is_impossible(sent, ledger):
                raise PayoutError(f"payout {payout.id} is signed and may still be mined")
            await tx.payouts.save(replace(payout, status=PayoutStatus.ABANDONED))

    # --- carrying on -------------------------------------------------------------------------------------------------

    async def _carry_on(self, task: Task, payout: Payout) -> tuple[Event, ...]:
        work = await self._load(task, payout)
        if payout.status is PayoutStatus.CONFIRMED:
            return ()
        if signed(work.attempts) is None:
            try:
                work = await self._sign_with_some_pair(work)
            except (Uneconomic, NotAllThere, TooManyInputs, NothingShared, ProposalRefused) as error:
                return await self._give_up(work, error)
        return await self._send(work)

    async def _load(self, task: Task, payout: Payout) -> _Work:
        """Read what is stored, and give up what was interrupted."""
        async with self._store.transaction() as tx:
            await tx.hold_claim(task.claim)
            attempts = await tx.payouts.attempts(payout.id)
            left = interrupted(attempts)
            if left is not None:
                await tx.payouts.save_attempt(replace(left, step=AttemptStep.DISCARDED))
                attempts = await tx.payouts.attempts(payout.id)
            ledger = await tx.ledgers.ledger(payout.escrow)
            return _Work(task, payout, attempts, ledger)

    async def _sign_with_some_pair(self, work: _Work) -> _Work:
        """Sign with the first pair whose wallets can be had; the choice is made before anything is signed."""
        rate = await self._fee_rate()
        plan = await self._plan(work, rate)
        for position, pair in enumerate(work.payout.signers):
            is_last = position == len(work.payout.signers) - 1
            try:
                return await self._sign(work, plan, pair, rate)
            except WalletNotOpened as error:
                if is_last:
                    raise
                log.warning("payout.signer_missing", payout=work.payout.id, pair=pair, error=str(error))
                work = await self._load(work.task, work.payout)
        raise AssertionError("unreachable: the last pair returns or raises")

    async def _sign(self, work: _Work, plan: PayoutPlan, pair: Pair, rate: FeeRate) -> _Work:
        attempt = attempt_of(work.payout.id, len(work.attempts) + 1, pair)
        journal = ClaimJournal(self._store, work.task.claim, work.payout.escrow, self._sealer)
        bounds = Bounds(rate, key_images_of(work.attempts))
        async with self._sessions.lease(work.payout.escrow, pair) as lease:
            work.task.claim.check()
            attempt, plan = await sign_payout(Signers(lease, pair), plan, attempt, bounds, journal)
            work = await self._note_signed(work, attempt, plan)
            # While the wallets are at hand: the co-signer sends what it has completed.
            await self._submit(work, attempt, lease.wallet(attempt.cosigner))
        return work

    async def _note_signed(self, work: _Work, attempt: Attempt, plan: PayoutPlan) -> _Work:
        payout = replace(
            work.payout,
            status=PayoutStatus.SIGNING,
            output_keys=plan.keys,
            transactions=attempt.transactions,
            residue=plan.residue,
        )
        async with self._store.transaction() as tx:
            await tx.hold_claim(work.task.claim)
            await tx.payouts.save(payout)
        return replace(work, payout=payout, attempts=(*work.attempts, attempt))

    async def _plan(self, work: _Work, rate: FeeRate) -> PayoutPlan:
        """Plan with what can be spent now, and note it: from now on what comes is late."""
        async with self._store.transaction() as tx:
            await tx.hold_claim(work.task.claim)
            others = [each for each in await tx.payouts.all_of(work.payout.escrow) if each.id != work.payout.id]
            spendable = spendable_for(work.payout.kind, work.ledger, others, work.payout.account)
            plan = plan_payout(
                work.task.escrow.terms, work.payout.kind, work.payout.vendor_share, spendable, rate.dust()
            )
            plan.outputs(rate.estimate(len(plan.inputs), len(plan.receivers) + 1))
            await tx.payouts.save(replace(work.payout, status=PayoutStatus.SIGNING, output_keys=plan.keys))
            return plan

    async def _fee_rate(self) -> FeeRate:
        estimate = await self._daemon.get_fee_estimate()
        per_byte = estimate.fees[Priority.NORMAL - 1] if len(estimate.fees) >= Priority.NORMAL else estimate.fee
        return FeeRate(per_byte, estimate.quantization_mask)

    # --- sending -----------------------------------------------------------------------------------------------------

    async def _send(self, work: _Work) -> tuple[Event, ...]:
        attempt = signed(work.attempts)
        if attempt is None:
            raise AssertionError(f"payout {work.payout.id} has no signed attempt")
        if attempt.step is not AttemptStep.SUBMITTED:
            # A crash came between the signature and the answer to its submission: the wallet sends the same bytes.
            async with self._sessions.lease(work.payout.escrow, (attempt.cosigner,)) as lease:
                await self._submit(work, attempt, lease.wallet(attempt.cosigner))
        payout = replace(work.payout, transactions=attempt.transactions)
        async with self._store.transaction() as tx:
            await tx.hold_claim(work.task.claim)
            await tx.payouts.save(replace(payout, status=PayoutStatus.BROADCAST))
        txids = tuple(one.txid for one in attempt.transactions)
        log.info("payout.broadcast", escrow=payout.escrow, payout=payout.id, kind=payout.kind, txids=txids)
        return (PayoutBroadcast(payout.id, payout.kind, txids),)

    async def _submit(self, work: _Work, attempt: Attempt, wallet: MoneroClient) -> None:
        """Send a stored signature, make sure that the daemon has it, and keep its bytes.

        Raises:
            NotSubmitted: the daemon does not have it; it is sent again at the next call.

        """
        work.task.claim.check()
        if not await self._sending.has_all(attempt):
            txset = self._sealer.unseal(attempt.sealed_signed_set, set_purpose(attempt))
            try:
                await submit(wallet, txset)
            except MultisigRefused as error:
                # "Rejected" is what a wallet also says of what the daemon has already. The daemon itself decides below.
                log.warning("payout.submission_refused", payout=attempt.payout, error=error.reason)
        await self._sending.keep(attempt, work.task.claim)

    # --- giving up ---------------------------------------------------------------------------------------------------

    async def _give_up(self, work: _Work, error: EscrowdError) -> tuple[Event, ...]:
        """Decide what a payout that cannot be made means: a few more tries, a residue, or a call for the operator."""
        log.error("payout.refused", escrow=work.payout.escrow, payout=work.payout.id, error=str(error))
        work = await self._load(work.task, work.payout)
        tries = sum(each.step is AttemptStep.DISCARDED for each in work.attempts)
        if isinstance(error, ProposalRefused | NothingShared) and tries < MOST_REFUSALS:
            raise error
        is_return = work.payout.kind is PayoutKind.RETURN
        keys = work.payout.output_keys
        if is_return:
            late = spendable_for(PayoutKind.RETURN, work.ledger, (), work.payout.account)
            keys = tuple(each.key for each in late)
        async with self._store.transaction() as tx:
            await tx.hold_claim(work.task.claim)
            await tx.payouts.save(replace(work.payout, status=PayoutStatus.ABANDONED, output_keys=keys))
        if is_return and isinstance(error, Uneconomic):
            return ()
        return (PayoutFailed(HoldReason.PAYOUT_FAILED, str(error)),)


def spendable_for(
    kind: PayoutKind, ledger: Ledger, others: Sequence[Payout], account: int | None = None
) -> tuple[ReceivedOutput, ...]:
    """Return the outputs that a payout of this kind may spend now, of one account or of all.

    What another payout spends is left out, and for a return also what another one gave up as too little.
    """
    taken: set[str] = set()
    for payout in others:
        if payout.status is not PayoutStatus.ABANDONED or (kind is payout.kind is PayoutKind.RETURN):
            taken.update(payout.output_keys)
    candidates = (each for each in credited_once(ledger.outputs) if each.txid not in ledger.our_txids)
    return tuple(
        each
        for each in candidates
        if each.key not in taken and is_spendable(each, ledger) and (account is None or each.account == account)
    )


# ---------------------------------------------------------------------------------------------------------------------


async def _under_way(tx: Transaction, escrow: Escrow) -> bool:
    return any(each.status.is_open for each in await tx.payouts.all_of(escrow.id))


def _is_impossible(attempt: Attempt, ledger: Ledger) -> bool:
    """Whether a block holds another transaction that spends what this attempt spends."""
    images = {image for one in attempt.transactions for image in one.key_images}
    return any(
        spend.key_image in images and spend.height is not None and spend.txid not in ledger.our_txids
        for spend in ledger.spends
    )
