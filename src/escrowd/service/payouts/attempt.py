"""One attempt at a payout, step by step, each stored before the next one is taken.

After a crash nothing of an attempt is used again that was not signed and stored: nonces may have been spent, and a
wallet that was opened again does not know it. The attempt is given up, both signers make fresh nonces, and a new one
begins. What *is* signed and stored is never built again: the same bytes are sent until they are in the chain.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from escrowd.domain.payouts.fees import FeeRate
from escrowd.domain.payouts.plan import PayoutPlan
from escrowd.domain.payouts.records import Attempt, AttemptStep, PaidOutput, PayoutTransaction
from escrowd.domain.payouts.signers import Pair
from escrowd.domain.secret import Secret
from escrowd.monero.results_signing import DescribedTransaction
from escrowd.monero.versions import Capability
from escrowd.service.crash_points import CrashPoint, crash_point
from escrowd.service.payouts.errors import NothingShared, ProposalRefused
from escrowd.service.payouts.proposing import propose_exact_amounts, propose_less_fee
from escrowd.service.payouts.validate import Expected, check_signed, validate
from escrowd.service.payouts.wallets import Proposal, Seen, Signers, check_spendable

#: From these steps on the signed bytes are there. Before them an attempt that was interrupted is given up.
SIGNED_STEPS: Final = frozenset({AttemptStep.SIGNED, AttemptStep.SUBMITTED})


@dataclass(frozen=True, slots=True)
class SignedAttempt:
    """An attempt at step ``SIGNED``, and the bytes of its transactions by their ids, hex."""

    attempt: Attempt
    raw_transactions: Mapping[str, str]


class Journal(Protocol):
    """Where the steps are stored. Each call is one transaction, under the claim on the escrow."""

    async def save(self, attempt: Attempt) -> None:
        """Store a step of an attempt. Raises LeaseLost."""
        ...

    async def save_signed(self, signed: SignedAttempt, plan: PayoutPlan, residue: int) -> None:
        """Store a signed attempt and its bytes, and what its payout pays, spends and leaves. Raises LeaseLost."""
        ...

    async def note(self, seen: Seen) -> None:
        """Note outputs that only a wallet finds, and let the watcher look for spends of all. Raises LeaseLost."""
        ...

    def check(self) -> None:
        """Make sure that claim and chain still hold, before a signature is worked on.

        Raises:
            LeaseLost: the claim has run out.
            ChainNotTrusted: the chain is not in sync.

        """
        ...

    def seal(self, txset: Secret, attempt: Attempt) -> str:
        """Seal a transaction set, which can carry nonces."""
        ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an attempt has to keep to."""

    rate: FeeRate
    #: What each transaction before this attempt spends that could still be mined: one key image of each is spent again.
    earlier: tuple[frozenset[str], ...] = ()


async def sign_payout(
    signers: Signers, plan: PayoutPlan, attempt: Attempt, bounds: Bounds, journal: Journal
) -> Attempt:
    """Carry a fresh attempt from its intent to the stored signature, and return it as it is then.

    What is paid differs from the plan at most in dust that the wallet took along or left behind.

    Raises:
        WalletNotReady, MoneroError, WalletError: something failed; give the attempt up and begin a new one.
        PlanOutdated: there is more to pay out than planned; it is noted.
        ProposalRefused: the proposal is not what was planned; nothing was signed.
        NothingShared: it would not replace an earlier attempt, but be mined beside it.
        LeaseLost: the claim has run out.

    """
    await journal.save(attempt)
    crash_point(CrashPoint.P1_INTENT)
    seen = await _sync(signers, plan, attempt, journal)
    attempt = replace(attempt, step=AttemptStep.IMPORTED)
    await journal.save(attempt)
    proposal, plan = await _propose(signers, plan, seen, bounds.rate, journal)
    _check_shared(proposal, bounds.earlier)
    attempt = replace(attempt, step=AttemptStep.PROPOSED, sealed_proposal=journal.seal(proposal.txset, attempt))
    await journal.save(attempt)
    crash_point(CrashPoint.P5_PROPOSED)
    described = await signers.describe(proposal.txset)
    images = frozenset(seen.key_images.get(key, "") for key in plan.keys)
    validate(
        described,
        proposal.key_images,
        Expected(
            plan,
            await signers.primary_address(),
            bounds.rate,
            images,
            describes_sources=Capability.DESCRIBE_SOURCES in signers.cosigner_capabilities,
            may_leave_change=len(plan.receivers) > 1 and Capability.SUBTRACT_FEE not in signers.proposer_capabilities,
        ),
    )
    attempt = replace(attempt, step=AttemptStep.VALIDATED, transactions=_transactions(described, proposal))
    await journal.save(attempt)
    crash_point(CrashPoint.P6_VALIDATED)
    signed_attempt = await _signed(signers, proposal, attempt, journal)
    await journal.save_signed(signed_attempt, plan, plan.residue + sum(one.change_amount for one in described))
    crash_point(CrashPoint.P10_SIGNED_IN_DB)
    return signed_attempt.attempt


def interrupted(attempts: Sequence[Attempt]) -> Attempt | None:
    """Return the attempt that was left half-way and has to be given up."""
    left = (each for each in attempts if each.step not in SIGNED_STEPS | {AttemptStep.DISCARDED})
    return next(left, None)


def signed(attempts: Sequence[Attempt]) -> Attempt | None:
    """Return the attempt whose bytes are sent until they are in the chain."""
    return next((each for each in attempts if each.step in SIGNED_STEPS), None)


# ---------------------------------------------------------------------------------------------------------------------


async def _sync(signers: Signers, plan: PayoutPlan, attempt: Attempt, journal: Journal) -> Seen:
    """Give both signers fresh nonces and all key images, and make sure that the plan is what they see."""
    journal.check()
    exported = await signers.export()
    await journal.save(replace(attempt, step=AttemptStep.EXPORTED))
    await signers.import_from_each_other(exported)
    await signers.rescan_spent()
    seen = await signers.see(plan.account)
    await journal.note(seen)
    check_spendable(plan, seen)
    return seen


async def _propose(
    signers: Signers, plan: PayoutPlan, seen: Seen, rate: FeeRate, journal: Journal
) -> tuple[Proposal, PayoutPlan]:
    """Build the payout with the proposer's wallet, and store that wallet before anybody sees the set."""
    if len(plan.receivers) == 1:
        proposal = await signers.sweep(plan)
        plan = _as_swept(plan, proposal, seen, rate)
    elif Capability.SUBTRACT_FEE in signers.proposer_capabilities:
        proposal = await propose_less_fee(signers, plan, rate)
    else:
        proposal, plan = await propose_exact_amounts(signers, plan, rate, seen.key_images, journal.check)
    await signers.keep_proposal()
    return proposal, plan


def _as_swept(plan: PayoutPlan, proposal: Proposal, seen: Seen, rate: FeeRate) -> PayoutPlan:
    """Return the plan as the wallet carried it out: where dust begins, it may see otherwise than we do."""
    key_of = {image: key for key, image in seen.key_images.items()}
    swept = {key_of.get(image, "") for each in proposal.key_images for image in each}
    differing = [each for each in (*plan.inputs, *plan.left_out) if (each.key in swept) != (each in plan.inputs)]
    if any(each.amount > 2 * rate.dust() for each in differing):
        return plan  # the validation says what is wrong
    return plan.spending(swept)


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


async def _signed(signers: Signers, proposal: Proposal, attempt: Attempt, journal: Journal) -> SignedAttempt:
    """Let the co-signer sign. Between the intent and the stored signature lies the only step that is never repeated.

    Raises:
        ProposalRefused: what was signed is not what was described.

    """
    attempt = replace(attempt, step=AttemptStep.SIGN_INTENT)
    await journal.save(attempt)
    crash_point(CrashPoint.P7_SIGN_INTENT)
    journal.check()
    txset, txids = await signers.sign(proposal.txset)
    if len(set(txids)) != len(attempt.transactions):
        raise ProposalRefused(f"a set of {len(attempt.transactions)} transactions was signed as {len(set(txids))}")
    raw_transactions = await signers.submitted(txset, txids)
    crash_point(CrashPoint.P9_RECORDED)
    check_signed(raw_transactions, txids, [one.key_images for one in attempt.transactions])
    transactions = tuple(replace(one, txid=txid) for one, txid in zip(attempt.transactions, txids, strict=True))
    return SignedAttempt(replace(attempt, step=AttemptStep.SIGNED, transactions=transactions), raw_transactions)


def attempt_of(payout: str, number: int, pair: Pair) -> Attempt:
    """Begin an attempt."""
    proposer, cosigner = pair
    return Attempt(payout, number, AttemptStep.INTENT, proposer, cosigner)
