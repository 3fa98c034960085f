"""One attempt at a payout, step by step, each stored before the next one is taken.

After a crash nothing of an attempt is used again that was not signed and stored: nonces may have been spent, and a
wallet that was opened again does not know it. The attempt is given up, both signers make fresh nonces, and a new one
begins. What *is* signed and stored is never built again: the same bytes are sent until they are in the chain.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from escrowd.domain.payouts.fees import FeeRate
from escrowd.domain.payouts.plan import PayoutPlan
from escrowd.domain.payouts.records import Attempt, AttemptStep, PaidOutput, PayoutTransaction
from escrowd.domain.payouts.signers import Pair
from escrowd.domain.secret import Secret
from escrowd.monero.results_signing import DescribedTransaction
from escrowd.monero.results_wallet import IncomingTransfer
from escrowd.service.crash_points import CrashPoint, crash_point
from escrowd.service.payouts.errors import NothingShared
from escrowd.service.payouts.validate import validate
from escrowd.service.payouts.wallets import Proposal, Signers, check_spendable

#: From these steps on the signed bytes are there. Before them an attempt that was interrupted is given up.
SIGNED_STEPS: Final = frozenset({AttemptStep.SIGNED, AttemptStep.SUBMITTED})


class Journal(Protocol):
    """Where the steps are stored. Each call is one transaction, under the claim on the escrow."""

    async def save(self, attempt: Attempt) -> None:
        """Store a step of an attempt. Raises LeaseLost."""
        ...

    async def note_key_images(self, found: Sequence[IncomingTransfer]) -> None:
        """Let the watcher look for spends of these outputs. Raises LeaseLost."""
        ...

    def check(self) -> None:
        """Make sure that the claim has not run out, before anything leaves the process. Raises LeaseLost."""
        ...

    def seal(self, txset: Secret, attempt: Attempt) -> str:
        """Seal a transaction set, which can carry nonces."""
        ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an attempt has to keep to."""

    rate: FeeRate
    #: Key images that the attempts before this one would spend, each as a set: one of each must be spent again.
    earlier: tuple[frozenset[str], ...] = ()


async def sign_payout(
    signers: Signers, plan: PayoutPlan, attempt: Attempt, bounds: Bounds, journal: Journal
) -> tuple[Attempt, PayoutPlan]:
    """Carry a fresh attempt from its intent to the stored signature; return it and the plan that it carries out.

    The plan differs from the given one at most in dust that the wallet took along or left behind.

    Raises:
        WalletNotReady, MoneroError, WalletError: something failed; give the attempt up and begin a new one.
        ProposalRefused: the proposal is not what was planned; nothing was signed.
        NothingShared: it would not replace an earlier attempt, but be mined beside it.
        LeaseLost: the claim has run out.

    """
    await journal.save(attempt)
    crash_point(CrashPoint.P1_INTENT)
    found = await _sync(signers, plan, attempt, journal)
    attempt = replace(attempt, step=AttemptStep.IMPORTED)
    await journal.save(attempt)
    proposal, plan = await _propose(signers, plan, found, bounds, journal)
    _check_shared(proposal, bounds.earlier)
    attempt = replace(attempt, step=AttemptStep.PROPOSED, sealed_proposal=journal.seal(proposal.txset, attempt))
    await journal.save(attempt)
    crash_point(CrashPoint.P5_PROPOSED)
    described = await signers.describe(proposal.txset)
    validate(described, plan, await signers.primary_address(), bounds.rate, proposal.key_images)
    attempt = replace(attempt, step=AttemptStep.VALIDATED, transactions=_transactions(described, proposal))
    await journal.save(attempt)
    crash_point(CrashPoint.P6_VALIDATED)
    return await _sign(signers, proposal, attempt, journal), plan


def interrupted(attempts: Sequence[Attempt]) -> Attempt | None:
    """Return the attempt that was left half-way and has to be given up."""
    left = (each for each in attempts if each.step not in SIGNED_STEPS | {AttemptStep.DISCARDED})
    return next(left, None)


def signed(attempts: Sequence[Attempt]) -> Attempt | None:
    """Return the attempt whose bytes are sent until they are in the chain."""
    return next((each for each in attempts if each.step in SIGNED_STEPS), None)


def key_images_of(attempts: Sequence[Attempt]) -> tuple[frozenset[str], ...]:
    """Return what each of the attempts that came so far would spend."""
    images = (frozenset(image for one in each.transactions for image in one.key_images) for each in attempts)
    return tuple(each for each in images if each)


# ---------------------------------------------------------------------------------------------------------------------


async def _sync(signers: Signers, plan: PayoutPlan, attempt: Attempt, journal: Journal) -> tuple[IncomingTransfer, ...]:
    """Give both signers fresh nonces and all key images, and make sure that the plan is what they see."""
    journal.check()
    exported = await signers.export()
    await journal.save(replace(attempt, step=AttemptStep.EXPORTED))
    await signers.import_from_each_other(exported)
    found = await signers.spendable(plan.account)
    await journal.note_key_images(found)
    check_spendable(plan, found)
    return found


async def _propose(
    signers: Signers, plan: PayoutPlan, found: Sequence[IncomingTransfer], bounds: Bounds, journal: Journal
) -> tuple[Proposal, PayoutPlan]:
    """Build the payout with the proposer's wallet, and store that wallet before anybody sees the set."""
    if len(plan.receivers) == 1:
        proposal = await signers.sweep(plan)
        plan = _as_swept(plan, proposal, found, bounds.rate)
    else:
        fee = await _learned_fee(signers, plan, bounds.rate, journal)
        proposal = await signers.transfer(plan, plan.outputs(fee))
    await signers.keep_proposal()
    return proposal, plan


def _as_swept(plan: PayoutPlan, proposal: Proposal, found: Sequence[IncomingTransfer], rate: FeeRate) -> PayoutPlan:
    """Return the plan as the wallet carried it out: where dust begins, it may see otherwise than we do."""
    key_of = {each.key_image: each.pubkey for each in found}
    swept = {key_of.get(image, "") for each in proposal.key_images for image in each}
    differing = [each for each in (*plan.inputs, *plan.left_out) if (each.key in swept) != (each in plan.inputs)]
    if any(each.amount > 2 * rate.dust() for each in differing):
        return plan  # the validation says what is wrong
    return plan.spending(swept)


async def _learned_fee(signers: Signers, plan: PayoutPlan, rate: FeeRate, journal: Journal) -> int:
    """Build the payout once to learn its fee, throw that away, and give the signers fresh nonces.

    The first one pays a generous fee, so it has change, and is charged for that output. The second one pays the same
    fee without change: then wallet2 finds all amounts used up, and asks for no more.
    """
    guess = 2 * rate.estimate(len(plan.inputs), len(plan.receivers) + 1)
    trial = await signers.transfer(plan, plan.outputs(guess))
    journal.check()
    await signers.import_from_each_other(await signers.export())
    return sum(trial.fees)


def _check_shared(proposal: Proposal, earlier: Sequence[frozenset[str]]) -> None:
    images = {image for each in proposal.key_images for image in each}
    if not all(images & each for each in earlier):
        raise NothingShared("the new attempt spends nothing that an earlier one spends")


def _transactions(described: Sequence[DescribedTransaction], proposal: Proposal) -> tuple[PayoutTransaction, ...]:
    return tuple(
        PayoutTransaction(
            txid="",
            network_fee=one.fee,
            outputs=tuple(PaidOutput(each.address, each.amount) for each in one.recipients),
            key_images=images,
        )
        for one, images in zip(described, proposal.key_images, strict=True)
    )


async def _sign(signers: Signers, proposal: Proposal, attempt: Attempt, journal: Journal) -> Attempt:
    """Let the co-signer sign. Between the intent and the stored signature lies the only step that is never repeated."""
    attempt = replace(attempt, step=AttemptStep.SIGN_INTENT)
    await journal.save(attempt)
    crash_point(CrashPoint.P7_SIGN_INTENT)
    journal.check()
    txset, txids = await signers.sign(proposal.txset)
    attempt = replace(
        attempt,
        step=AttemptStep.SIGNED,
        sealed_signed_set=journal.seal(txset, attempt),
        transactions=tuple(replace(one, txid=txid) for one, txid in zip(attempt.transactions, txids, strict=True)),
    )
    await journal.save(attempt)
    crash_point(CrashPoint.P10_SIGNED_IN_DB)
    return attempt


def attempt_of(payout: str, number: int, pair: Pair) -> Attempt:
    """Begin an attempt."""
    proposer, cosigner = pair
    return Attempt(payout, number, AttemptStep.INTENT, proposer, cosigner)
