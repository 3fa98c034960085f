"""How several receivers come to their exact amounts, over a wallet whose demands the test chooses."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import cast

import pytest
from typing_extensions import override

from escrowd.domain.escrow.terms import FeeRule, Terms
from escrowd.domain.networks import Network
from escrowd.domain.outputs import ReceivedOutput
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.fees import FeeRate
from escrowd.domain.payouts.plan import PayoutPlan, plan_payout
from escrowd.domain.payouts.records import PaidOutput, PayoutKind
from escrowd.domain.secret import Secret
from escrowd.monero.errors import NotEnoughMoney, Refused, TransferRefused
from escrowd.monero.results_signing import BuiltTransaction
from escrowd.monero.results_wallet import Recipient
from escrowd.service.payouts.errors import ProposalRefused, TooManyInputs
from escrowd.service.payouts.proposing import propose_exact_amounts, propose_less_fee
from escrowd.service.payouts.wallets import Proposal, Signers
from escrowd.service.ports import Lease

XMR = 10**12
RATE = FeeRate(80_000, 10_000)
ASKED = RATE.asked(2, 2)


class StubSigners:
    """Builds what leaves enough for ``charges``, and remembers in which order it was used.

    ``charges`` says what a wallet asks for when so much is left to it; ``None`` is a refusal.
    """

    def __init__(self, plan: PayoutPlan, charges: Callable[[int], int | None]) -> None:
        self._plan = plan
        self._charges = charges
        self.used: list[str] = []

    async def transfer(self, plan: PayoutPlan, outputs: Sequence[PaidOutput]) -> Proposal | None:
        left = plan.total - sum(each.amount for each in outputs)
        fee = self._charges(left)
        self.used.append(f"refused {left}" if fee is None else f"built {left} for {fee}")
        return (
            None
            if fee is None
            else Proposal(Secret(f"set {len(self.used)}"), (fee,), (tuple(map(image_of, plan.keys)),))
        )

    async def export(self) -> tuple[Secret, Secret]:
        self.used.append("exported")
        return Secret(""), Secret("")

    async def import_from_each_other(self, _exported: tuple[Secret, Secret]) -> None:
        self.used.append("imported")


def image_of(key: str) -> str:
    """Return the key image of a made-up one-time key."""
    return f"image of {key}"


def at_least(fee: int) -> Callable[[int], int | None]:
    """Ask for a fee whatever is left, and refuse less."""
    return lambda left: fee if left >= fee else None


async def proposed(charges: Callable[[int], int | None]) -> tuple[Proposal, list[str]]:
    """Let a split of two outputs between two receivers be proposed."""
    terms = Terms(Network.REGTEST, XMR, "to the buyer", "to the vendor")
    outputs = [ReceivedOutput(f"tx {number}", 0, f"key {number}", XMR // 2) for number in range(2)]
    plan = plan_payout(terms, PayoutKind.SPLIT, XMR // 3, outputs)
    stub = StubSigners(plan, charges)
    images = {key: image_of(key) for key in plan.keys}
    proposal, carried_out = await propose_exact_amounts(
        cast("Signers", stub), plan, RATE, images, lambda: stub.used.append("checked")
    )
    assert carried_out == plan
    return proposal, stub.used


async def test_reckoned_fee_costs_a_second_proposal() -> None:
    """Where the wallet asks for what we reckoned, one proposal is enough, and nothing is left over."""
    proposal, used = await proposed(at_least(ASKED))
    assert (proposal.fees, used) == ((ASKED,), [f"built {ASKED} for {ASKED}"])


async def test_smaller_fee_is_not_learned() -> None:
    """Where the wallet asks for less, it is built again, to leave nothing over, with fresh nonces in between."""
    less = ASKED - 10_000
    proposal, used = await proposed(at_least(less))
    assert proposal.fees == (less,)
    assert used == [f"built {ASKED} for {less}", "checked", "exported", "imported", f"built {less} for {less}"]


async def test_much_larger_fee_is_not_learned() -> None:
    """Where the wallet asks for far more, a generous proposal tells how much, and is thrown away."""
    more = ASKED * 17 // 10
    proposal, used = await proposed(at_least(more))
    assert proposal.fees == (more,)
    assert used[-5:] == [f"built {2 * ASKED} for {more}", "checked", "exported", "imported", f"built {more} for {more}"]
    assert all(each.startswith("refused") for each in used[:-5])


async def test_wallet_that_wants_a_little_more_is_not_served() -> None:
    """Where an exact build is refused, the smallest margin that works is taken, and no proposal is thrown away."""
    proposal, used = await proposed(lambda left: ASKED if left >= ASKED * 102 // 100 else None)
    assert proposal.fees == (ASKED,)
    assert [each.split()[0] for each in used] == ["refused", "refused", "built"]


async def test_proposal_with_old_nonces_is_built() -> None:
    """Between any two proposals that were built, and so hold signatures, both signers get fresh nonces."""
    for fee in range(ASKED // 2, 2 * ASKED, ASKED // 10):
        _, used = await proposed(at_least(fee))
        built = [number for number, each in enumerate(used) if each.startswith("built")]
        for first, second in pairwise(built):
            assert used[first:second].count("exported") == used[first:second].count("imported") == 1


class PickySigners(StubSigners):
    """Leaves a small output out, whatever the plan, as long as there are two."""

    @override
    async def transfer(self, plan: PayoutPlan, outputs: Sequence[PaidOutput]) -> Proposal | None:
        proposal = await super().transfer(plan, outputs)
        left = {each.key: each.amount for each in plan.inputs}
        small = [key for key in left if left[key] < ASKED // 2]
        if proposal is None or len(small) < 2:
            return proposal
        spent = [image_of(key) for key in plan.keys if key != small[0]]
        return Proposal(proposal.txset, proposal.fees, (tuple(spent),))


async def test_wallet_that_leaves_something_out_each_time_ends_the_payout() -> None:
    """Where no plan fits what the wallet spends, the small output that it leaves out is spared, at the fee's cost."""
    terms = Terms(Network.REGTEST, XMR, "to the buyer", "to the vendor", fee=FeeRule(100, "to the operator"))
    amounts = [XMR - 10, *(ASKED // 4 + number for number in range(7))]
    outputs = [ReceivedOutput(f"tx {number}", 0, f"key {number}", amount) for number, amount in enumerate(amounts)]
    plan = plan_payout(terms, PayoutKind.RELEASE, XMR, outputs)
    stub = PickySigners(plan, at_least(ASKED))
    images = {image_of(key): key for key in plan.keys}
    proposal, carried_out = await propose_exact_amounts(
        cast("Signers", stub), plan, RATE, {key: image for image, key in images.items()}, lambda: None
    )
    assert [images[image] for image in proposal.key_images[0]] == list(carried_out.keys)
    assert carried_out.receivers == plan.receivers
    assert 0 < carried_out.spared < ASKED


async def test_impossible_build_is_tried_for_ever() -> None:
    """A wallet that never builds, or never again, ends in an error that calls a person."""
    with pytest.raises(TooManyInputs, match="does not pay 2 receivers"):
        await proposed(lambda _left: None)
    answers = iter([ASKED // 2])
    with pytest.raises(TooManyInputs, match="does not build with that"):
        await proposed(lambda _left: next(answers, None))


# --- one receiver bears the fee ---------------------------------------------------------------------------------------


class Building:
    """A proposer's wallet, which notes what it is to build, and builds it or refuses."""

    def __init__(self, refusal: Refused | None = None) -> None:
        self._refusal = refusal
        self.asked: list[tuple[tuple[str, ...], list[int]]] = []

    async def transfer(self, recipients: Sequence[Recipient], **options: object) -> BuiltTransaction:
        subtracted = cast("Sequence[int]", options["subtract_fee_from_outputs"])
        self.asked.append((tuple(each.address for each in recipients), list(subtracted)))
        if self._refusal is not None:
            raise self._refusal
        amount = sum(each.amount for each in recipients)
        return BuiltTransaction(amount=amount, fee=ASKED, weight=1, multisig_txset=Secret("set"))

    def doing(self, _work: object) -> "Building":
        return self


class Lent:
    """A lease on two such wallets."""

    def __init__(self, wallet: Building) -> None:
        self._wallet = wallet

    def wallet(self, _role: WalletRole) -> Building:
        return self._wallet


def signers_of(wallet: Building, plan: PayoutPlan) -> Signers:
    """Return signers whose proposer is this wallet."""
    return Signers(cast("Lease", Lent(wallet)), (WalletRole.BUYER, WalletRole.VENDOR), plan)


def a_split() -> PayoutPlan:
    """Return a split between two receivers."""
    terms = Terms(Network.REGTEST, XMR, "to the buyer", "to the vendor")
    return plan_payout(terms, PayoutKind.SPLIT, XMR // 3, [ReceivedOutput("tx", 0, "key", XMR)])


async def test_bearer_of_the_fee_stands_first_and_alone_bears_it() -> None:
    """wallet2 counts the bearers wrongly unless it is the first one; all that goes in is named (E4)."""
    wallet, plan = Building(), a_split()
    await propose_less_fee(signers_of(wallet, plan), plan, RATE)
    assert wallet.asked == [(("to the buyer", "to the vendor"), [0])]
    assert sum(each.amount for each in plan.outputs_before_fee(ASKED)) == plan.total


@pytest.mark.parametrize(
    "refusal", [TransferRefused("transfer", -16, "tx not possible"), NotEnoughMoney("transfer", -17, "no")]
)
async def test_build_that_the_wallet_refuses_counts_as_a_refused_proposal(refusal: Refused) -> None:
    """It is not tried again without end: after some refusals an operator has to look at it."""
    plan = a_split()
    with pytest.raises(ProposalRefused, match="does not build the payout"):
        await propose_less_fee(signers_of(Building(refusal), plan), plan, RATE)
