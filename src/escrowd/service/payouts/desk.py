"""PayoutDesk: carries out orders on the money, and sends late money back. It may be called again at any time.

What it finds stored decides what it does: a payout that was sent is left to who follows it, a signature that is stored
is sent, an attempt that was interrupted is given up, and only where there is nothing of the kind a new one is made.
"""

import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Final

import structlog

from escrowd.domain.conflicts import LeaseLost
from escrowd.domain.errors import EscrowdError
from escrowd.domain.escrow.assess import Account, Ledger
from escrowd.domain.escrow.events import Event, PayoutBroadcast, PayoutFailed, PayoutReinstated
from escrowd.domain.escrow.facts import Escrow, HoldReason
from escrowd.domain.escrow.status import Status
from escrowd.domain.identifiers import RANDOM_BYTES, Prefix, make_identifier
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.books import Fate, fates_of, to_be_excluded
from escrowd.domain.payouts.fees import FeeRate
from escrowd.domain.payouts.judging import plan_return
from escrowd.domain.payouts.plan import NotAllThere, PayoutPlan, Uneconomic, plan_payout
from escrowd.domain.payouts.records import (
    Attempt,
    AttemptStep,
    Payout,
    PayoutKind,
    PayoutOrder,
    PayoutStatus,
)
from escrowd.domain.payouts.signers import signer_pairs
from escrowd.domain.payouts.spendable import may_come, spendable, unspent
from escrowd.monero.daemon import MoneroDaemon
from escrowd.service.advance import Task
from escrowd.service.chain_gate import ChainSight
from escrowd.service.leasing import lease_first
from escrowd.service.payouts.attempt import (
    Bounds,
    attempt_of,
    interrupted,
    sign_payout,
    signed,
)
from escrowd.service.payouts.errors import (
    BytesMissing,
    NothingLeft,
    NothingShared,
    NotReplaceable,
    NotSubmitted,
    PayoutError,
    PlanOutdated,
    ProposalRefused,
    TooManyInputs,
    WalletBehind,
    WalletNotReady,
    WalletsLost,
)
from escrowd.service.payouts.following import give_up, reinstated, with_heights
from escrowd.service.payouts.journal import ClaimJournal, Sealer
from escrowd.service.payouts.rates import normal_fee_rate
from escrowd.service.payouts.sending import Sending, txids_of
from escrowd.service.payouts.wallets import Signers
from escrowd.service.ports import Sessions, Store, Transaction

log = structlog.get_logger()

#: How many proposals in a row may be refused before a person is called.
MOST_REFUSALS: Final = 3
#: How often in one call a plan is made again, because the signers' wallets turned out to know of more money, or were
#: lost.
MOST_PLANS: Final = 3
#: How often a return is ordered anew, because the daemon does not take what was signed.
MOST_RETURNS: Final = 5


@dataclass(frozen=True, slots=True)
class _Work:
    """A payout to be carried on, with what is known of it."""

    task: Task
    payout: Payout
    attempts: tuple[Attempt, ...]
    ledger: Ledger
    #: Attempts at other decisions, which this one replaces.
    replaced: tuple[Attempt, ...] = ()
    #: So many blocks the signers' wallets can read: all that there are, unless one of them is stuck.
    readable: int = 0
    #: Whose wallets were lost in this call while they signed: pairs without them come first.
    lost: frozenset[WalletRole] = frozenset()

    @property
    def to_be_excluded(self) -> tuple[frozenset[str], ...]:
        """What could still be mined besides. New transactions spend a part of each, so that one is mined at most."""
        return to_be_excluded((*self.replaced, *self.attempts), self.ledger)


class PayoutDesk:
    """Makes payouts out of orders."""

    def __init__(
        self,
        store: Store,
        sessions: Sessions,
        daemon: MoneroDaemon,
        sealer: Sealer,
        chain: ChainSight,
        randomness: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._daemon = daemon
        self._sealer = sealer
        self._chain = chain
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
        try:
            standing = await self._standing(task, order)
        except NotReplaceable as error:
            return (PayoutFailed(HoldReason.PAYOUT_FAILED, str(error)),)
        if isinstance(standing, PayoutReinstated):
            return (standing,)
        async with self._store.transaction() as tx:
            await tx.hold_claim(task.claim)
            payout = standing or await tx.payouts.of_order(task.escrow.id, order.version)
            if payout is None:
                payout = await self._new(tx, task, order.kind, order.vendor_share, order.version)
        return await self._carry_on(task, payout)

    async def return_late(self, task: Task) -> tuple[Event, ...]:
        """Send money back to the buyer that came late, one account of the wallet at a time. Raises as :meth:`pay`."""
        if not task.escrow.has_ended:
            return ()
        rate = await normal_fee_rate(self._daemon)
        too_little: set[int] = set()
        for number in range(MOST_RETURNS):
            payout = await self._return(task, task.effect.version + number * _AGAIN, rate, too_little)
            if payout is None:
                return ()
            if payout.status is PayoutStatus.ABANDONED:
                continue
            try:
                return await self._carry_on(task, payout)
            except Uneconomic:
                too_little.add(payout.account)
            except (NothingLeft, NotSubmitted) as error:
                await self._abandon_refused(task, payout, error)
        if too_little:
            return ()
        raise PayoutError(f"{MOST_RETURNS} returns of late money of {task.escrow.id} were refused")

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
            order=task.escrow.order if kind is not PayoutKind.RETURN else None,
        )
        await tx.payouts.add(payout, version)
        return payout

    async def _return(self, task: Task, order: int, rate: FeeRate, too_little: Collection[int]) -> Payout | None:
        """Return the payout of this order on late money, a new one if need be; ``None`` where nothing is to be done."""
        async with self._store.transaction() as tx:
            await tx.hold_claim(task.claim)
            present = await tx.payouts.of_order(task.escrow.id, order)
            if present is not None:
                return present
            account = await _account_worth_returning(tx, task.escrow, rate, too_little)
            if account is None or await _under_way(tx, task.escrow):
                return None
            return await self._new(tx, task, PayoutKind.RETURN, 0, order, account)

    async def _standing(self, task: Task, order: PayoutOrder) -> Payout | PayoutReinstated | None:
        """Give up what is under way for an older decision, or return it where it carries out this one as well.

        Where a block holds all of it, its decision is the one that counts.

        Raises:
            NotReplaceable: it may still be mined, and was decided otherwise.

        """
        async with self._store.reading() as tx:
            ledger = await tx.ledgers.ledger(task.escrow.id)
            present = await tx.payouts.of_order(task.escrow.id, order.version)
            older = [
                (each, signed(await tx.payouts.attempts(each.id)))
                for each in await tx.payouts.all_of(task.escrow.id)
                if each.status.is_open and each != present
            ]
        for payout, sent in older:
            fates = fates_of(payout.transactions, ledger) if sent else ()
            is_ordered = payout.kind is not PayoutKind.RETURN
            if is_ordered and fates and set(fates) == {Fate.MINED}:
                return reinstated(payout, txids_of(payout), task.escrow)
            left = [one for one, fate in zip(payout.transactions, fates, strict=False) if fate is Fate.OPEN]
            if sent is not None and left and await self._sending.is_taken(sent, left, task.claim):
                if not (is_ordered and order.decides_as(payout)):
                    raise NotReplaceable(f"payout {payout.id} is signed and may still be mined: it cannot be replaced")
                return await self._of_this_order(task, payout, order)
            log.warning("payout.replaced", escrow=task.escrow.id, payout=payout.id, order=order.version)
            async with self._store.transaction() as tx:
                await tx.hold_claim(task.claim)
                await give_up(tx, payout)
                if Fate.MINED in fates:
                    await tx.payouts.save(replace(with_heights(payout, ledger), status=PayoutStatus.CONFIRMED))
        return None

    async def _of_this_order(self, task: Task, payout: Payout, order: PayoutOrder) -> Payout:
        """Let a payout that is under way carry out a newer decision, which is the same."""
        payout = replace(payout, order=replace(order, vendor_share=payout.vendor_share))
        async with self._store.transaction() as tx:
            await tx.hold_claim(task.claim)
            await tx.payouts.save(payout)
        return payout

    async def _abandon_refused(self, task: Task, payout: Payout, error: NothingLeft | NotSubmitted) -> None:
        """Abandon a signed return that the daemon does not take, so that what is left goes back by another one.

        The buyer gets either, and never twice, since no output is spent twice.

        Raises:
            NothingLeft, NotSubmitted: the daemon has a part of it, or its pool another spend that may vanish.

        """
        async with self._store.reading() as tx:
            sent = signed(await tx.payouts.attempts(payout.id))
        if sent is not None and (
            await self._sending.has_any(txids_of(sent)) or await self._sending.is_contested(sent.transactions)
        ):
            raise error
        log.warning("payout.abandoned", escrow=payout.escrow, payout=payout.id, error=str(error))
        async with self._store.transaction() as tx:
            await tx.hold_claim(task.claim)
            await tx.payouts.save(replace(payout, status=PayoutStatus.ABANDONED))

    async def _plan(self, work: _Work, rate: FeeRate) -> PayoutPlan:
        """Plan with what can be spent now, and note it: from now on what comes is late.

        Raises:
            WalletNotReady: there is enough, but it needs more blocks.
            NotAllThere, Uneconomic: there is not.

        """
        payout, terms = work.payout, work.task.escrow.terms
        async with self._store.transaction() as tx:
            await tx.hold_claim(work.task.claim)
            others = [each for each in await tx.payouts.all_of(payout.escrow) if each.id != payout.id]
            there = unspent(work.ledger, others)
            there = tuple(each for each in there if each.height is None or each.height < work.readable)
            now = spendable(there, work.ledger, payout.account)
            try:
                plan = plan_payout(terms, payout.kind, payout.vendor_share, now, rate.dust())
                plan.outputs(plan.expected_fee(rate), plan.expected_fee(rate))
            except (NotAllThere, Uneconomic) as error:
                later = may_come(there, payout.account)
                if later > sum(each.amount for each in now) and later >= payout.vendor_share:
                    raise WalletNotReady(f"what is to be paid out needs more blocks: {error}") from error
                raise
            await tx.payouts.save(replace(payout, status=PayoutStatus.SIGNING, output_keys=plan.keys))
            return plan

    # --- carrying on -------------------------------------------------------------------------------------------------

    async def _carry_on(self, task: Task, payout: Payout) -> tuple[Event, ...]:
        if payout.status is PayoutStatus.CONFIRMED:
            return ()
        work = await self._load(task, payout)
        if payout.status is PayoutStatus.ABANDONED and signed(work.attempts) is not None:
            return (PayoutFailed(HoldReason.PAYOUT_FAILED, f"payout {payout.id} was given up"),)
        try:
            if signed(work.attempts) is None:
                work = await self._sign_as_planned(work)
            try:
                return await self._send(work)
            except BytesMissing:
                work = await self._sign_as_planned(await self._without_bytes(work))
                return await self._send(work)
        except (Uneconomic, NotAllThere, TooManyInputs, NothingShared, ProposalRefused) as error:
            return await self._give_up(work, error)
        except (NothingLeft, NotSubmitted) as error:
            if payout.kind is PayoutKind.RETURN:
                raise
            reason = HoldReason.SPENT_OUTSIDE if isinstance(error, NothingLeft) else HoldReason.PAYOUT_FAILED
            return (PayoutFailed(reason, str(error)),)

    async def _load(self, task: Task, payout: Payout, refused: str = "") -> _Work:
        """Read what is stored, and give up what was interrupted, or ``refused``: then it says why."""
        async with self._store.transaction() as tx:
            await tx.hold_claim(task.claim)
            attempts = await tx.payouts.attempts(payout.id)
            left = interrupted(attempts)
            if left is not None:
                await tx.payouts.save_attempt(replace(left, step=AttemptStep.DISCARDED, refused=refused))
                attempts = await tx.payouts.attempts(payout.id)
            replaced = await _replaced(tx, payout)
            ledger = await tx.ledgers.ledger(payout.escrow)
            return _Work(task, payout, attempts, ledger, replaced, ledger.chain_height)

    async def _without_bytes(self, work: _Work) -> _Work:
        """Discard a signed attempt that cannot be sent. The next one spends a part of what it spends (I3)."""
        attempt = signed(work.attempts)
        if attempt is not None:
            log.error("payout.bytes_missing", payout=attempt.payout, attempt=attempt.number)
            async with self._store.transaction() as tx:
                await tx.hold_claim(work.task.claim)
                await tx.payouts.save_attempt(replace(attempt, step=AttemptStep.DISCARDED))
        return await self._load(work.task, work.payout)

    async def _sign_as_planned(self, work: _Work) -> _Work:
        for _ in range(MOST_PLANS - 1):
            try:
                return await self._sign(work)
            except PlanOutdated as error:
                log.warning("payout.plan_outdated", payout=work.payout.id, error=str(error))
                work = replace(await self._load(work.task, work.payout), readable=work.readable, lost=work.lost)
            except WalletsLost as error:
                log.warning("payout.wallets_lost", payout=work.payout.id, error=str(error))
                again = await self._load(work.task, work.payout)
                work = replace(again, readable=work.readable, lost=work.lost | error.roles)
            except WalletBehind as error:
                if not error.is_stuck:
                    raise
                # What came before the block at which it is stuck can be paid out all the same.
                log.error("payout.wallet_stuck", payout=work.payout.id, error=str(error))
                work = replace(await self._load(work.task, work.payout), readable=error.height, lost=work.lost)
        return await self._sign(work)

    async def _sign(self, work: _Work) -> _Work:
        """Plan, sign with the first pair whose wallets can be had, and send."""
        rate = await normal_fee_rate(self._daemon)
        plan = await self._plan(work, rate)
        pairs = sorted(work.payout.signers, key=lambda pair: len(work.lost.intersection(pair)))
        async with lease_first(self._sessions, work.payout.escrow, pairs) as (lease, pair):
            work.task.claim.check()
            attempt = attempt_of(work.payout.id, len(work.attempts) + 1, pair)
            journal = ClaimJournal(self._store, work.task.claim, work.payout, self._sealer, self._chain)
            bounds = Bounds(rate, work.to_be_excluded)
            try:
                outputs, factor = len(work.ledger.outputs), _patience(len(work.attempts))
                signers = Signers(lease, pair, plan, work.readable, outputs, factor)
                attempt = await sign_payout(signers, plan, attempt, bounds, journal)
            except EscrowdError as error:
                if lease.lost and not isinstance(error, LeaseLost):
                    raise WalletsLost(lease.lost, str(error)) from error
                raise
        attempt = await self._sending.submit(attempt, work.task.claim)
        # Its steps have been stored with what is paid, so that is read anew.
        async with self._store.reading() as tx:
            payouts = await tx.payouts.all_of(work.payout.escrow)
        payout = next(each for each in payouts if each.id == work.payout.id)
        return replace(work, payout=payout, attempts=(*work.attempts, attempt))

    async def _send(self, work: _Work) -> tuple[Event, ...]:
        attempt = signed(work.attempts)
        if attempt is None:
            raise AssertionError(f"payout {work.payout.id} has no signed attempt")
        if attempt.step is not AttemptStep.SUBMITTED:
            # A crash came between the signature and the answer to its submission: the same bytes are sent.
            await self._sending.submit(attempt, work.task.claim)
        payout = replace(work.payout, transactions=attempt.transactions)
        async with self._store.transaction() as tx:
            await tx.hold_claim(work.task.claim)
            await tx.payouts.save(replace(payout, status=PayoutStatus.BROADCAST))
        txids = tuple(one.txid for one in attempt.transactions)
        log.info("payout.broadcast", escrow=payout.escrow, payout=payout.id, kind=payout.kind, txids=txids)
        return (PayoutBroadcast(payout.id, payout.kind, txids),)

    # --- giving up ---------------------------------------------------------------------------------------------------

    async def _give_up(self, work: _Work, error: EscrowdError) -> tuple[Event, ...]:
        """Decide what a payout that cannot be made means: a few more tries, a residue, or a call for the operator."""
        log.error("payout.refused", escrow=work.payout.escrow, payout=work.payout.id, error=str(error))
        work = await self._load(work.task, work.payout, refused=str(error))
        refusals = sum(bool(each.refused) for each in work.attempts)
        if isinstance(error, ProposalRefused | NothingShared) and refusals < MOST_REFUSALS:
            raise error
        async with self._store.transaction() as tx:
            await tx.hold_claim(work.task.claim)
            await tx.payouts.save(replace(work.payout, status=PayoutStatus.ABANDONED))
        if work.payout.kind is PayoutKind.RETURN and isinstance(error, Uneconomic):
            raise error
        return (PayoutFailed(HoldReason.PAYOUT_FAILED, str(error)),)


# ---------------------------------------------------------------------------------------------------------------------

#: An order on late money has the version of its effect; each further payout for it so many versions more.
_AGAIN: Final = 10**6


def _patience(attempts: int) -> int:
    """Return by how much the time of wallet calls is multiplied after so many attempts at a payout."""
    return 1 << min(attempts // MOST_PLANS, 6)


async def _replaced(tx: Transaction, payout: Payout) -> tuple[Attempt, ...]:
    """Return the attempts at other decisions on the same money. A return takes what there is: it replaces none."""
    if payout.kind is PayoutKind.RETURN:
        return ()
    others = [
        each
        for each in await tx.payouts.all_of(payout.escrow)
        if each.id != payout.id and each.kind is not PayoutKind.RETURN
    ]
    return tuple([one for each in others for one in await tx.payouts.attempts(each.id)])


async def _account_worth_returning(
    tx: Transaction, escrow: Escrow, rate: FeeRate, without: Collection[int]
) -> int | None:
    """Return the first account, ``without`` some, with late money that is worth more than its way back costs."""
    account = Account(await tx.ledgers.ledger(escrow.id), await tx.payouts.all_of(escrow.id))
    try:
        return plan_return(escrow, account, rate, without).account
    except Uneconomic as error:
        log.info("payout.not_worth_returning", escrow=escrow.id, reason=str(error))
        return None


async def _under_way(tx: Transaction, escrow: Escrow) -> bool:
    return any(each.status.is_open for each in await tx.payouts.all_of(escrow.id))
