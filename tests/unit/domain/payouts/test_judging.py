"""Whether decisions can be carried out: one judge for previews and commands."""

from dataclasses import replace

import pytest

from escrowd.domain.escrow.assess import Account, Ledger
from escrowd.domain.escrow.events import Divided, Event, Refunded, Released, Settled, SplitProposed
from escrowd.domain.escrow.facts import DepositFacts, Escrow, Hold, HoldReason, PayoutOrder
from escrowd.domain.escrow.machine import InvalidShare, step
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.outputs import ReceivedOutput, Spend
from escrowd.domain.payouts.fees import FeeRate
from escrowd.domain.payouts.judging import (
    check_payable,
    plan_decision,
    plan_return,
    residue_of,
    with_facts,
)
from escrowd.domain.payouts.plan import Uneconomic
from escrowd.domain.payouts.records import Payout, PayoutKind, PayoutStatus, PayoutTransaction
from tests.unit.domain.escrow.world import AMOUNT, HALF, HEIGHT, ID, START, output, reached

RATE = FeeRate(per_byte=80_000, mask=10_000)
FEE = RATE.estimate(1, 2)
OUTSIDE = Spend("B", "outside", HEIGHT - 5)


def account(*outputs: ReceivedOutput, spends: tuple[Spend, ...] = (), payouts: tuple[Payout, ...] = ()) -> Account:
    images = {each.key: each.key.upper() for each in outputs}
    return Account(Ledger(HEIGHT, 0, outputs, spends, key_images=images), payouts)


def held(deposit: DepositFacts) -> Escrow:
    hold = Hold(HoldReason.SPENT_OUTSIDE, "a transaction spends the deposit", Status.FUNDED)
    return replace(reached(Status.FUNDED), status=Status.HELD, hold=hold, deposit=deposit)


def decided(escrow: Escrow, event: Event, who: Who, there: Account) -> None:
    check_payable(step(escrow, with_facts(event, escrow, there, RATE), who, START), there, RATE)


def test_order_of_the_operator_pays_what_is_left() -> None:
    """Of 0.6 and 0.4 the 0.4 was spent outside: a release of the 0.6 can be planned, and is not asked for 1.0 (W4)."""
    there = account(output("a", 6 * 10**11), output("b", 4 * 10**11), spends=(OUTSIDE,))
    escrow = held(DepositFacts(AMOUNT, AMOUNT, spent=4 * 10**11))
    released = step(escrow, Released(), Who.OPERATOR, START).after.order
    assert released is not None
    assert released.vendor_share == 6 * 10**11
    plan = plan_decision(escrow, there, released.kind, released.vendor_share, RATE)
    assert (plan.total, [each.key for each in plan.inputs]) == (6 * 10**11, ["a"])


@pytest.mark.parametrize(("event", "who"), [(Released(), Who.BUYER), (Refunded(), Who.VENDOR)])
def test_command_refuses_what_its_preview_refuses_in_the_same_words(event: Event, who: Who) -> None:
    """A deposit below its fee cannot be paid out: the command says so, as the preview does (W10)."""
    there = account(output("a", FEE - 1))
    escrow = replace(reached(Status.FUNDED), deposit=DepositFacts(FEE - 1, FEE - 1))
    with pytest.raises(Uneconomic) as previewed:
        plan_decision(escrow, there, PayoutKind.REFUND, 0, RATE)
    with pytest.raises(Uneconomic) as commanded:
        decided(escrow, event, who, there)
    assert str(commanded.value) == str(previewed.value)


@pytest.mark.parametrize("share", [1, AMOUNT - 1])
@pytest.mark.parametrize(
    ("escrow", "who", "kind"),
    [
        (reached(Status.FUNDED), Who.BUYER, SplitProposed),
        (held(DepositFacts(AMOUNT, AMOUNT)), Who.OPERATOR, Divided),
    ],
    ids=["offer", "order of the operator"],
)
def test_share_that_costs_more_than_it_brings_is_refused(
    escrow: Escrow, who: Who, kind: type[SplitProposed | Divided], share: int
) -> None:
    """An offer or ruling of all but one piconero could never be paid: it is refused, with the least (W11)."""
    there = account(output("a"))
    least = RATE.dust() + 1
    with pytest.raises(InvalidShare, match=f"at least {least}"):
        decided(escrow, kind(share), who, there)
    for possible in (0, least, AMOUNT - least, AMOUNT):
        decided(escrow, kind(possible), who, there)


def test_nothing_is_judged_while_no_fee_is_known() -> None:
    """Before the daemon has named a fee, only the payout itself can find out what it costs."""
    taken = step(reached(Status.FUNDED), Released(), Who.BUYER, START)
    check_payable(taken, account(output("a", 1)), None)
    with pytest.raises(Uneconomic):
        check_payable(taken, account(output("a", 1)), RATE)


@pytest.mark.parametrize(("left", "residue"), [(FEE - 1, FEE - 1), (HALF, 0)])
def test_settlement_gives_up_only_what_is_not_worth_its_fee(left: int, residue: int) -> None:
    """What is left may be given up where paying it out costs as much; anything more is to be paid out first (W7)."""
    escrow, there = held(DepositFacts(left, left)), account(output("a", left))
    assert residue_of(escrow, there, RATE) == residue
    assert with_facts(Settled("the parties agree"), escrow, there, RATE) == Settled("the parties agree", residue)
    assert residue_of(escrow, there, None) == 0


def test_settlement_ends_as_the_last_payout_in_a_block_says() -> None:
    """A release that is in a block makes the end of a settled escrow a completed one, whatever came to be decided."""
    order = PayoutOrder(PayoutKind.RELEASE, AMOUNT, Who.BUYER, 7)
    mined, dead = PayoutTransaction("tx 1", 1, (), ("A",)), PayoutTransaction("tx 2", 1, (), ("A",))
    paid = Payout("pay_1", ID, PayoutKind.RELEASE, PayoutStatus.CONFIRMED, AMOUNT, 0, (), ("a",), (mined,), order=order)
    lost = replace(paid, id="pay_2", kind=PayoutKind.REFUND, status=PayoutStatus.ABANDONED, transactions=(dead,))
    spends = (Spend("A", "tx 1", HEIGHT - 3),)
    there = account(output("a"), spends=spends, payouts=(paid, lost))
    settled = with_facts(Settled("done"), held(DepositFacts(AMOUNT, AMOUNT, spent=AMOUNT)), there, RATE)
    assert settled == Settled("done", 0, order)


def test_late_money_of_any_account_can_be_sent_back() -> None:
    """The first account whose late money is worth its fee is planned, without those that were tried."""
    escrow = reached(Status.COMPLETED)
    there = account(output("a", 1), replace(output("b", HALF), account=1))
    assert plan_return(escrow, there, RATE).account == 1
    with pytest.raises(Uneconomic):
        plan_return(escrow, there, RATE, without={1})
