"""What a co-signer refuses to sign, and what it signs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from escrowd.domain.escrow.terms import FeeRule, Terms
from escrowd.domain.networks import Network
from escrowd.domain.outputs import ReceivedOutput
from escrowd.domain.payouts.fees import FeeRate
from escrowd.domain.payouts.plan import PayoutPlan, plan_payout
from escrowd.domain.payouts.records import PayoutKind
from escrowd.monero.results_signing import DescribedSource, DescribedTransaction
from escrowd.monero.results_wallet import Recipient
from escrowd.service.payouts.errors import ProposalRefused
from escrowd.service.payouts.validate import Expected, validate
from escrowd.testing.wallet_sets import wallet_sets

XMR = 10**12
RATE = FeeRate(80_000, 10_000)
BUYER, VENDOR, OPERATOR, ESCROW, STRANGER = (each.address for each in wallet_sets()[:5])
TERMS = Terms(Network.REGTEST, XMR, BUYER, VENDOR, fee=FeeRule(250, OPERATOR))
COMMITMENT = "cd" * 32
PLAIN_EXTRA = "01" + "ab" * 32
DUMMY_PAYMENT_ID = "0209" + "01" + "00" * 8


@dataclass(frozen=True)
class Proposed:
    """A proposal as it comes before the judge."""

    described: tuple[DescribedTransaction, ...]
    key_images: tuple[tuple[str, ...], ...]
    plan: PayoutPlan

    @property
    def expected(self) -> Expected:
        return Expected(
            self.plan,
            ESCROW,
            RATE,
            frozenset(map(image_of, self.plan.keys)),
            describes_sources=any(each.sources for each in self.described),
            may_leave_change=len(self.plan.receivers) > 1,
        )

    def judge(self) -> None:
        validate(self.described, self.key_images, self.expected)


def image_of(key: str) -> str:
    """Return the key image of a made-up one-time key."""
    return key[::-1]


def outputs(*amounts: int) -> list[ReceivedOutput]:
    """Make outputs of an escrow."""
    return [ReceivedOutput(f"{n:064x}", 0, f"{n + 1:064x}", amount, height=5) for n, amount in enumerate(amounts)]


def honest(plan: PayoutPlan, change: int = 0, batches: int = 1, *, sources: bool = False) -> Proposed:
    """Describe what an honest proposer builds for a plan, in so many transactions."""
    parts = [plan.inputs[start::batches] for start in range(batches)]
    fees = [RATE.asked(len(part), len(plan.receivers)) for part in parts]
    paid = plan.outputs(sum(fees) + change, plan.expected_fee(RATE))
    described = []
    for part, fee in zip(parts, fees, strict=True):
        amount_in = sum(each.amount for each in part)
        recipients = tuple(
            Recipient(each.to, each.amount if batches == 1 else amount_in - fee - change) for each in paid
        )
        described.append(
            DescribedTransaction(
                amount_in=amount_in,
                amount_out=amount_in - fee,
                fee=fee,
                unlock_time=0,
                ring_size=16,
                change_amount=change,
                dummy_outputs=int(len(recipients) == 1 and not change),
                extra=PLAIN_EXTRA + DUMMY_PAYMENT_ID if len(recipients) == 1 else PLAIN_EXTRA,
                change_address=ESCROW if change else "",
                recipients=recipients,
                sources=tuple(DescribedSource(each.amount, 7, each.key + COMMITMENT) for each in part if sources),
            )
        )
    images = tuple(tuple(image_of(each.key) for each in part) for part in parts)
    return Proposed(tuple(described), images, plan)


def split(change: int = 0, *, spared: int = 0, sources: bool = False) -> Proposed:
    """Return an honest split among three receivers, out of two outputs; a third one may be spared."""
    there = outputs(XMR // 2, XMR // 2, *([spared] if spared else []))
    plan = plan_payout(TERMS, PayoutKind.SPLIT, 3 * XMR // 4, there)
    return honest(plan.sparing(plan.keys[:2]), change, sources=sources)


def release(batches: int = 1, *, sources: bool = False) -> Proposed:
    """Return an honest release to one receiver, out of four outputs."""
    plan = plan_payout(replace(TERMS, fee=None), PayoutKind.RELEASE, XMR, outputs(*[XMR // 4] * 4))
    return honest(plan, batches=batches, sources=sources)


# --- what is signed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "proposed",
    [
        split(),
        split(sources=True),
        split(change=RATE.asked(2, 3) // 4),
        release(),
        release(sources=True),
        release(batches=2),
        release(batches=4, sources=True),
    ],
)
def test_honest_proposal_is_refused(proposed: Proposed) -> None:
    """What was planned is signed: one transaction or several, with and without sources, with a little change."""
    proposed.judge()


@given(
    amounts=st.lists(st.integers(XMR, 50 * XMR), min_size=1, max_size=8),
    kind=st.sampled_from(PayoutKind),
    share=st.integers(1, 99),
    points=st.integers(0, 5000),
)
def test_honest_proposal_of_any_plan_is_refused(amounts: list[int], kind: PayoutKind, share: int, points: int) -> None:
    """Whatever is planned, the proposal that carries it out to the piconero is signed."""
    terms = replace(TERMS, fee=FeeRule(points, OPERATOR) if points else None)
    plan = plan_payout(terms, kind, sum(amounts) * share // 100, outputs(*amounts))
    honest(plan).judge()
    honest(plan, sources=True).judge()


# --- what is refused -------------------------------------------------------------------------------------------------

Mutation = Callable[[DescribedTransaction], DescribedTransaction]


def changed(**fields: object) -> Mutation:
    return lambda one: msgspec.structs.replace(one, **fields)


def paying(number: int, **fields: object) -> Mutation:
    """Change one recipient, and nothing else."""

    def mutate(one: DescribedTransaction) -> DescribedTransaction:
        recipients = list(one.recipients)
        recipients[number] = msgspec.structs.replace(recipients[number], **fields)
        return msgspec.structs.replace(one, recipients=tuple(recipients))

    return mutate


def moved(amount: int, giver: int, taker: int) -> Mutation:
    """Let one recipient get what another one should."""

    def mutate(one: DescribedTransaction) -> DescribedTransaction:
        amounts = [each.amount for each in one.recipients]
        amounts[giver] -= amount
        amounts[taker] += amount
        recipients = (Recipient(each.address, new) for each, new in zip(one.recipients, amounts, strict=True))
        return msgspec.structs.replace(one, recipients=tuple(recipients))

    return mutate


def raised_fee(by: int, at: int = 0) -> Mutation:
    """Give the network more, at the cost of a recipient; all sums agree."""

    def mutate(one: DescribedTransaction) -> DescribedTransaction:
        poorer = paying(at, amount=one.recipients[at].amount - by)(one)
        return msgspec.structs.replace(poorer, fee=one.fee + by, amount_out=one.amount_out - by)

    return mutate


def with_change(amount: int, address: str, at: int = 0) -> Mutation:
    """Keep something back, at the cost of a recipient; all sums agree."""

    def mutate(one: DescribedTransaction) -> DescribedTransaction:
        poorer = paying(at, amount=one.recipients[at].amount - amount)(one)
        return msgspec.structs.replace(poorer, change_amount=amount, change_address=address)

    return mutate


def with_more(recipient: Recipient) -> Mutation:
    """Pay somebody else, too, at the cost of the first recipient."""

    def mutate(one: DescribedTransaction) -> DescribedTransaction:
        poorer = paying(0, amount=one.recipients[0].amount - recipient.amount)(one)
        return msgspec.structs.replace(poorer, recipients=(*poorer.recipients, recipient))

    return mutate


def spending(amount: int) -> Mutation:
    """Spend more or less, to the good or ill of the first recipient; all sums agree."""

    def mutate(one: DescribedTransaction) -> DescribedTransaction:
        other = paying(0, amount=one.recipients[0].amount + amount)(one)
        return msgspec.structs.replace(other, amount_in=one.amount_in + amount, amount_out=one.amount_out + amount)

    return mutate


def with_sources(change: Callable[[tuple[DescribedSource, ...]], Sequence[DescribedSource]]) -> Mutation:
    return lambda one: msgspec.structs.replace(one, sources=tuple(change(one.sources)))


MUTATIONS: dict[str, tuple[Mutation, str]] = {
    # who gets it
    "a stranger in place of the vendor": (paying(0, address=STRANGER), "it pays"),
    "a stranger in place of the buyer": (paying(1, address=STRANGER), "it pays"),
    "a stranger in place of the operator": (paying(2, address=STRANGER), "it pays"),
    "vendor and buyer swapped": (
        lambda one: msgspec.structs.replace(
            one,
            recipients=(
                Recipient(BUYER, one.recipients[0].amount),
                Recipient(VENDOR, one.recipients[1].amount),
                one.recipients[2],
            ),
        ),
        "it pays",
    ),
    "an address that differs in one letter": (paying(0, address=VENDOR[:-1] + "x"), "it pays"),
    "the escrow itself as recipient": (paying(0, address=ESCROW), "it pays"),
    "one piconero from vendor to buyer": (moved(1, 0, 1), "it pays"),
    "one piconero from buyer to vendor": (moved(1, 1, 0), "it pays"),
    "one piconero from operator to vendor": (moved(1, 2, 0), "it pays"),
    "everything to the vendor": (moved(10**11, 1, 0), "it pays"),
    "a further recipient": (with_more(Recipient(STRANGER, 1)), "it pays"),
    "a recipient left out": (
        lambda one: msgspec.structs.replace(one, recipients=one.recipients[:2]),
        "sums do not agree",
    ),
    "no recipient": (changed(recipients=()), "sums do not agree"),
    "a recipient who gets nothing": (with_more(Recipient(STRANGER, 0)), "pays nothing"),
    "a recipient who gets less than nothing": (
        lambda one: with_more(Recipient(STRANGER, -1))(one),
        "pays nothing",
    ),
    "a recipient twice, the sum too much": (with_more(Recipient(BUYER, 5)), "it pays"),
    # the fee
    "a fee of one piconero more at the operator's cost": (raised_fee(1, at=2), "it pays"),
    "a fee that the vendor bears alone": (raised_fee(1000), "it pays"),
    "a fee that burns the money": (raised_fee(10**11), "its fee is"),
    "a fee of the highest priority": (raised_fee(40 * RATE.asked(2, 3)), "its fee is"),
    "no fee": (raised_fee(-RATE.asked(2, 3)), "pays nothing"),
    "a fee below zero": (raised_fee(-RATE.asked(2, 3) - 1), "pays nothing"),
    "a fee that is not in the sums": (changed(fee=1), "sums do not agree"),
    # change
    "change to a stranger": (with_change(10**6, STRANGER), "foreign address"),
    "change to nobody": (with_change(10**6, ""), "foreign address"),
    "change at the vendor's cost": (with_change(10**6, ESCROW), "it pays"),
    "much change": (with_change(10**11, ESCROW), "would stay behind"),
    "change below zero": (with_change(-1, ESCROW), "foreign address"),
    "change that is not in the sums": (changed(change_amount=5, change_address=ESCROW), "sums do not agree"),
    # what is spent
    "one piconero more is spent": (spending(1), "are planned"),
    "one piconero less is spent": (spending(-1), "are planned"),
    "half of it is spent": (spending(-XMR // 2), "are planned"),
    "more comes out than goes in": (
        lambda one: msgspec.structs.replace(one, amount_in=one.amount_in - 1),
        "are planned",
    ),
    "the sum that comes out is another": (
        lambda one: msgspec.structs.replace(one, amount_out=one.amount_out + 1),
        "sums do not agree",
    ),
    # the form
    "locked until a height": (changed(unlock_time=1_000_000), "locks the money"),
    "locked until a time": (changed(unlock_time=1_900_000_000), "locks the money"),
    "locked for one block": (changed(unlock_time=1), "locks the money"),
    "a payment id": (changed(payment_id="1234567890abcdef"), "payment id"),
    "a long payment id": (changed(payment_id="00" * 31 + "01"), "payment id"),
    "small rings": (changed(ring_size=11), "its rings"),
    "rings of one": (changed(ring_size=1), "its rings"),
    "large rings": (changed(ring_size=17), "its rings"),
    "an output to nobody": (changed(dummy_outputs=1), "outputs to nobody"),
    "many outputs to nobody": (changed(dummy_outputs=9), "outputs to nobody"),
    # the extra field
    "no transaction key": (changed(extra=""), "extra field"),
    "two transaction keys": (changed(extra=PLAIN_EXTRA * 2), "extra field"),
    "a text in the extra field": (changed(extra=PLAIN_EXTRA + "0205" + "00" * 5), "extra field"),
    "an unencrypted payment id": (changed(extra=PLAIN_EXTRA + "0221" + "00" * 33), "extra field"),
    "two nonces": (changed(extra=PLAIN_EXTRA + DUMMY_PAYMENT_ID * 2), "extra field"),
    "padding": (changed(extra=PLAIN_EXTRA + "00" * 20), "extra field"),
    "a field of merge mining": (changed(extra=PLAIN_EXTRA + "0321" + "00" * 33), "extra field"),
    "a field of MinerGate": (changed(extra=PLAIN_EXTRA + "de0400000000"), "extra field"),
    "more additional keys than outputs": (changed(extra=PLAIN_EXTRA + "0409" + "cd" * 32 * 9), "extra field"),
    "fewer additional keys than said": (changed(extra=PLAIN_EXTRA + "0403" + "cd" * 32), "extra field"),
    "a key cut short": (changed(extra=PLAIN_EXTRA[:-2]), "extra field"),
    "no hex": (changed(extra="xx"), "extra field"),
}


def test_fee_beyond_the_expected_one_is_borne_by_the_buyer() -> None:
    """What our estimate of the fee is off by, the buyer of a split bears; the vendor's part stays as it was planned."""
    proposed = split()
    mutate = raised_fee(10**6, at=1)
    validate(tuple(map(mutate, proposed.described)), proposed.key_images, proposed.expected)


def test_change_is_refused_where_a_receiver_bears_the_fee() -> None:
    """A wallet that takes the fee out of an output leaves no change; one piconero of it is refused."""
    proposed = split(change=1)
    validate(proposed.described, proposed.key_images, proposed.expected)
    exact = replace(proposed.expected, may_leave_change=False)
    with pytest.raises(ProposalRefused, match=r"1 piconero .* would stay behind"):
        validate(proposed.described, proposed.key_images, exact)


def test_missing_sources_are_refused_where_the_wallet_describes_them() -> None:
    """A co-signer that can name the outputs that are spent has to: no description of them is no agreement (E1)."""
    proposed = split()
    with pytest.raises(ProposalRefused, match="other outputs than planned"):
        validate(proposed.described, proposed.key_images, replace(proposed.expected, describes_sources=True))


def test_sources_of_an_engine_that_names_wrong_ones_are_not_compared() -> None:
    """0.18.5.0 lists sources and names a wrong member of the ring: they are not compared there (E1)."""
    proposed = split(sources=True)
    wrong = tuple(
        msgspec.structs.replace(
            each, sources=tuple(msgspec.structs.replace(one, pubkey="ee" * 64) for one in each.sources)
        )
        for each in proposed.described
    )
    validate(wrong, proposed.key_images, replace(proposed.expected, describes_sources=False))
    with pytest.raises(ProposalRefused, match="other outputs than planned"):
        validate(wrong, proposed.key_images, proposed.expected)


@pytest.mark.parametrize("name", MUTATIONS)
def test_manipulated_proposal_is_signed(name: str) -> None:
    """Each field of a proposal is held against the plan, and the refusal says what is wrong."""
    mutate, complaint = MUTATIONS[name]
    proposed = split()
    with pytest.raises(ProposalRefused, match=complaint):
        replace(proposed, described=tuple(map(mutate, proposed.described))).judge()


SOURCES: dict[str, Mutation] = {
    "another output": with_sources(lambda known: [*known[1:], DescribedSource(XMR // 2, 9, "f" * 64)]),
    "an output left out": with_sources(lambda known: known[1:]),
    "an output twice": with_sources(lambda known: [*known, known[0]]),
    "one output in place of two": with_sources(lambda known: [known[0], known[0]]),
}


@pytest.mark.parametrize("name", SOURCES)
def test_described_sources_are_not_looked_at(name: str) -> None:
    """Where the wallet describes what is spent, that is exactly what was planned."""
    proposed = split(sources=True)
    with pytest.raises(ProposalRefused, match="described with other outputs"):
        replace(proposed, described=tuple(map(SOURCES[name], proposed.described))).judge()


def test_foreign_inputs_are_signed() -> None:
    """The key images that the proposer names are those that the co-signer knows of the planned outputs."""
    proposed = split()
    ((first, second),) = proposed.key_images
    for named in [(first, "f" * 64), (first,), (first, second, "f" * 64), (), ("", second)]:
        with pytest.raises(ProposalRefused, match="other outputs than planned"):
            replace(proposed, key_images=(named,)).judge()
    with pytest.raises(ProposalRefused, match="spends an output twice"):
        replace(proposed, key_images=((first, second, second),)).judge()


def test_set_of_wrong_size_is_signed() -> None:
    """A set has as many transactions as told, some and not too many, and only one where several receivers are paid."""
    swept, divided = release(batches=2), split()
    (one,) = divided.described
    for wrong, complaint in [
        (replace(swept, described=()), "the set has 0 transactions"),
        (replace(swept, described=swept.described * 20), "the set has 40 transactions"),
        (replace(swept, key_images=swept.key_images[:1]), "tells the inputs of 1"),
        (replace(divided, described=(one, one), key_images=divided.key_images * 2), "is one transaction, not 2"),
    ]:
        with pytest.raises(ProposalRefused, match=complaint):
            wrong.judge()


def test_second_transaction_of_a_set_is_not_looked_at() -> None:
    """Every transaction of a set is judged, not only the first."""
    proposed = release(batches=3)
    for mutation, complaint in [
        (changed(unlock_time=9), "transaction 3: it locks"),
        (paying(0, address=STRANGER), "it pays"),
        (with_change(10, ESCROW), "transaction 3: it has 1 outputs to nobody"),
        (raised_fee(10**11), "transaction 3: its fee"),
    ]:
        *first, last = proposed.described
        with pytest.raises(ProposalRefused, match=complaint):
            replace(proposed, described=(*first, mutation(last))).judge()


def test_sweep_leaves_change() -> None:
    """A sweep leaves nothing in the escrow: only exact amounts for several receivers excuse a little change."""
    proposed = release()
    (one,) = proposed.described
    kept = msgspec.structs.replace(with_change(10, ESCROW)(one), dummy_outputs=0)
    with pytest.raises(ProposalRefused, match=r"10 piconero .* would stay behind"):
        replace(proposed, described=(kept,)).judge()


@pytest.mark.parametrize("spared", [0, 7, RATE.asked(2, 3) // 2])
def test_change_and_spared_output_are_as_large_as_the_fee(spared: int) -> None:
    """Change and an output that is left out of a payout to several make half of the fee at most, to the piconero."""
    most = RATE.asked(2, 3) // 2 - spared
    split(most, spared=spared).judge()
    with pytest.raises(ProposalRefused, match="would stay behind"):
        split(most + 1, spared=spared).judge()


def test_fee_above_twice_our_estimate_is_paid() -> None:
    """The fee limit is twice our own estimate, to the piconero, also where the plan would bear more."""
    plan = plan_payout(replace(TERMS, fee=None), PayoutKind.REFUND, 0, outputs(XMR))
    limit = 2 * RATE.estimate(1, 2)
    for fee, is_paid in [(limit, True), (limit + 1, False)]:
        (one,) = honest(plan).described
        dear = msgspec.structs.replace(one, fee=fee, amount_out=XMR - fee, recipients=(Recipient(BUYER, XMR - fee),))
        proposed = Proposed((dear,), ((image_of(plan.keys[0]),),), plan)
        if is_paid:
            proposed.judge()
        else:
            with pytest.raises(ProposalRefused, match="the most that we pay"):
                proposed.judge()
