"""What stored attempts mean after a crash, and what the signers' wallets have to know."""

from dataclasses import replace

import pytest

from escrowd.domain.escrow.terms import Terms
from escrowd.domain.networks import Network
from escrowd.domain.outputs import ReceivedOutput
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.plan import PayoutPlan, plan_payout
from escrowd.domain.payouts.records import Attempt, AttemptStep, PayoutKind, PayoutTransaction
from escrowd.monero.results_wallet import IncomingTransfer, SubaddressIndex
from escrowd.service.payouts.attempt import attempt_of, interrupted, signed
from escrowd.service.payouts.errors import PlanOutdated, WalletNotReady
from escrowd.service.payouts.wallets import Seen, check_spendable

PAIR = (WalletRole.BUYER, WalletRole.VENDOR)


def attempt(step: AttemptStep, number: int = 1, *transactions: PayoutTransaction) -> Attempt:
    return replace(attempt_of("pay_1", number, PAIR), step=step, transactions=transactions)


@pytest.mark.parametrize("step", AttemptStep)
def test_attempt_is_used_again_after_a_crash(step: AttemptStep) -> None:
    """What is signed and stored is sent again; everything before that is given up, whatever step it came to."""
    stored = (attempt(AttemptStep.DISCARDED), attempt(step, 2))
    is_signed = step in (AttemptStep.SIGNED, AttemptStep.SUBMITTED)
    is_over = is_signed or step is AttemptStep.DISCARDED
    assert signed(stored) == (stored[1] if is_signed else None)
    assert interrupted(stored) == (None if is_over else stored[1])


# --- what the wallets know -------------------------------------------------------------------------------------------


def known(key: str, amount: int, **fields: object) -> IncomingTransfer:
    values: dict[str, object] = {
        "amount": amount,
        "spent": False,
        "global_index": 1,
        "tx_hash": f"tx of {key}",
        "subaddr_index": SubaddressIndex(0, 0),
        "key_image": f"image of {key}",
        "block_height": 10,
        "frozen": False,
        "unlocked": True,
        "pubkey": key,
    }
    return IncomingTransfer(**(values | fields))  # type: ignore[arg-type] # names and types are the test's


def plan() -> PayoutPlan:
    """Plan a refund of one output beside dust."""
    terms = Terms(Network.REGTEST, 10**12, "to the buyer", "to the vendor")
    outputs = [ReceivedOutput("tx 1", 0, "one", 10**12), ReceivedOutput("tx 2", 0, "dust", 5)]
    return plan_payout(terms, PayoutKind.REFUND, 0, outputs, dust=10)


COMPLETE = (known("one", 10**12), known("dust", 5), known("old", 7, spent=True), known("new", 7, unlocked=False))


def test_wallets_that_know_the_plan_are_refused() -> None:
    """Money that is spent, locked, frozen, of another account, or planned to be left out, does not matter."""
    elsewhere = known("far", 9, subaddr_index=SubaddressIndex(1, 0))
    both = (*COMPLETE, elsewhere, known("ice", 9, frozen=True))
    check_spendable(plan(), Seen(both, both, ()))


@pytest.mark.parametrize(
    "wrong",
    [
        (known("dust", 5),),
        (known("one", 10**12 - 1), known("dust", 5)),
        (known("one", 10**12, unlocked=False), known("dust", 5)),
        (known("one", 10**12, spent=True), known("dust", 5)),
        (known("one", 10**12, frozen=True), known("dust", 5)),
        (known("one", 10**12, key_image=""), known("dust", 5)),
    ],
)
def test_signer_who_lacks_an_output_signs(wrong: tuple[IncomingTransfer, ...]) -> None:
    """Both signers know every planned output, with its amount and key image, and can spend it."""
    for seen in (Seen(wrong, COMPLETE, ()), Seen(COMPLETE, wrong, ())):
        with pytest.raises(WalletNotReady):
            check_spendable(plan(), seen)


def test_unplanned_money_is_swept_along() -> None:
    """A sweep would take all that the proposer can spend, so that has to be planned."""
    with pytest.raises(PlanOutdated, match="tx of late"):
        check_spendable(plan(), Seen((*COMPLETE, known("late", 9)), COMPLETE, ()))
