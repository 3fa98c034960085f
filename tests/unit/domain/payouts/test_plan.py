"""The division of a payout, to the piconero."""

from dataclasses import replace

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from escrowd.domain.escrow.terms import BASIS_POINTS, LEAST_RETURN, FeeRule, Overpayment, Terms
from escrowd.domain.networks import Network
from escrowd.domain.outputs import ReceivedOutput
from escrowd.domain.payouts.plan import (
    MOST_INPUTS,
    NotAllThere,
    PayoutPlan,
    Uneconomic,
    is_payable_to_several,
    plan_payout,
)
from escrowd.domain.payouts.records import PaidOutput, PayoutKind

AMOUNT = 10**12
BUYER, VENDOR, OPERATOR = "to the buyer", "to the vendor", "to the operator"
TERMS = Terms(Network.REGTEST, AMOUNT, refund_address=BUYER, payout_address=VENDOR)
WITH_FEE = replace(TERMS, fee=FeeRule(250, OPERATOR))
FEE = 10**9

ORDERED = (PayoutKind.RELEASE, PayoutKind.REFUND, PayoutKind.SPLIT)


def outputs(*amounts: int, account: int = 0) -> list[ReceivedOutput]:
    return [
        ReceivedOutput(f"tx {number}", 0, f"key {number}", amount, account=account, address_index=number % 3)
        for number, amount in enumerate(amounts)
    ]


def paid(plan: PayoutPlan, fee: int = FEE) -> dict[str, int]:
    return {each.to: each.amount for each in plan.outputs(fee, fee)}


# --- who gets what ---------------------------------------------------------------------------------------------------


def test_release_is_borne_by_the_vendor() -> None:
    """The vendor gets the deposit less the fee of the network."""
    assert paid(plan_payout(TERMS, PayoutKind.RELEASE, AMOUNT, outputs(AMOUNT))) == {VENDOR: AMOUNT - FEE}


def test_operator_earns_its_part_of_what_the_vendor_gets() -> None:
    """The operator's fee comes out of the vendor's side, and bears no fee of the network."""
    plan = plan_payout(WITH_FEE, PayoutKind.RELEASE, AMOUNT, outputs(AMOUNT))
    assert paid(plan) == {VENDOR: AMOUNT - AMOUNT // 40 - FEE, OPERATOR: AMOUNT // 40}


@pytest.mark.parametrize("kind", [PayoutKind.REFUND, PayoutKind.RETURN])
def test_refund_and_return_give_the_buyer_everything(kind: PayoutKind) -> None:
    """The buyer gets all that is there, and the operator earns nothing."""
    plan = plan_payout(WITH_FEE, kind, 0, outputs(AMOUNT, 5 * FEE))
    assert paid(plan) == {BUYER: AMOUNT + 4 * FEE}


def test_excess_of_a_release_goes_to_the_buyer_whole() -> None:
    """The buyer gets an excess without a network fee: the vendor is who asked for the payout."""
    plan = plan_payout(TERMS, PayoutKind.RELEASE, AMOUNT, outputs(AMOUNT, LEAST_RETURN))
    assert paid(plan) == {VENDOR: AMOUNT - FEE, BUYER: LEAST_RETURN}


def test_excess_that_is_worth_no_output_stays_with_the_vendor() -> None:
    """An excess so small that its output would cost more is not sent back by itself."""
    plan = plan_payout(TERMS, PayoutKind.RELEASE, AMOUNT, outputs(AMOUNT, LEAST_RETURN - 1))
    assert paid(plan) == {VENDOR: AMOUNT + LEAST_RETURN - 1 - FEE}


def test_sides_of_a_split_bear_the_network_fee_by_their_parts() -> None:
    """Each side pays in proportion; what does not divide evenly is borne by the buyer."""
    plan = plan_payout(TERMS, PayoutKind.SPLIT, AMOUNT // 4, outputs(AMOUNT))
    assert paid(plan, FEE + 1) == {VENDOR: AMOUNT // 4 - FEE // 4, BUYER: 3 * AMOUNT // 4 - 3 * FEE // 4 - 1}


@pytest.mark.parametrize("kind", ORDERED)
def test_share_of_nothing_is_a_refund(kind: PayoutKind) -> None:
    """A division that leaves the vendor nothing has one receiver, and no operator's fee."""
    assert paid(plan_payout(WITH_FEE, kind, 0, outputs(AMOUNT))) == {BUYER: AMOUNT - FEE}


def test_share_of_everything_has_no_part_of_the_buyer() -> None:
    """A division that leaves the buyer nothing makes no output of nothing."""
    assert paid(plan_payout(TERMS, PayoutKind.SPLIT, AMOUNT, outputs(AMOUNT))) == {VENDOR: AMOUNT - FEE}


def test_parts_of_one_address_are_one_output() -> None:
    """Who gets money for several reasons gets it in one output, and bears the network fee if one of them does."""
    same = replace(WITH_FEE, payout_address=BUYER, fee=FeeRule(250, BUYER))
    plan = plan_payout(same, PayoutKind.RELEASE, AMOUNT, outputs(AMOUNT, AMOUNT))
    assert plan.outputs(FEE, FEE) == (PaidOutput(BUYER, 2 * AMOUNT - FEE),)


def test_operator_and_vendor_of_one_address_are_one_output() -> None:
    """An operator who is the vendor earns from itself."""
    own = replace(TERMS, fee=FeeRule(5_000, VENDOR))
    assert paid(plan_payout(own, PayoutKind.RELEASE, AMOUNT, outputs(AMOUNT))) == {VENDOR: AMOUNT - FEE}


# --- what cannot be paid ---------------------------------------------------------------------------------------------


def test_too_little_money_for_the_order_is_refused() -> None:
    """Nobody gets less than was decided because money is missing."""
    with pytest.raises(NotAllThere, match=f"{AMOUNT} piconero .* only {AMOUNT - 1}"):
        plan_payout(TERMS, PayoutKind.RELEASE, AMOUNT, outputs(AMOUNT - 1))


def test_much_dust_does_not_count_as_there() -> None:
    """A deposit of which more than a hundredth is not worth its fee is not what the vendor was to get."""
    dust = AMOUNT // 200
    pieces = outputs(AMOUNT - 2 * dust, dust, dust)
    plan = plan_payout(TERMS, PayoutKind.RELEASE, AMOUNT, pieces, dust=dust)
    assert paid(plan) == {VENDOR: AMOUNT - 2 * dust - FEE}
    assert plan.residue == 2 * dust
    with pytest.raises(NotAllThere):
        plan_payout(TERMS, PayoutKind.RELEASE, AMOUNT, outputs(AMOUNT - 3 * dust, dust, dust, dust), dust=dust)
    with pytest.raises(NotAllThere):
        plan_payout(TERMS, PayoutKind.RELEASE, AMOUNT, pieces[:2], dust=dust)


def test_release_that_leaves_something_out_takes_it_from_the_vendor() -> None:
    """What a wallet leaves out of several receivers' inputs is the buyer's, and never the vendor's side's."""
    plan = plan_payout(WITH_FEE, PayoutKind.RELEASE, AMOUNT, outputs(AMOUNT, 5 * FEE))
    assert paid(plan.spending({"key 0"})) == {VENDOR: AMOUNT - AMOUNT // 40 - FEE, OPERATOR: AMOUNT // 40}
    with pytest.raises(NotAllThere):
        plan.spending({"key 1"})
    divided = plan_payout(WITH_FEE, PayoutKind.SPLIT, AMOUNT // 2, outputs(AMOUNT, FEE)).spending({"key 0"})
    assert [each.gross for each in divided.receivers] == [AMOUNT // 2 - AMOUNT // 80, AMOUNT // 2, AMOUNT // 80]


def test_dust_is_left_out_and_told() -> None:
    """What is worth less than its own fee stays behind, and is told as the residue."""
    plan = plan_payout(TERMS, PayoutKind.REFUND, 0, outputs(AMOUNT, 10, 11), dust=10)
    assert ([each.amount for each in plan.inputs], plan.residue, plan.total) == ([AMOUNT, 11], 10, AMOUNT + 11)


def test_many_small_outputs_do_not_fit_into_a_payout_to_several() -> None:
    """The largest outputs are paid out, as many as fit; the rest stays the buyer's. A sweep takes all."""
    pieces = outputs(*[FEE + number for number in range(MOST_INPUTS)], AMOUNT)
    several = plan_payout(WITH_FEE, PayoutKind.RELEASE, AMOUNT, pieces)
    assert {each.key for each in several.inputs} == {f"key {number}" for number in range(1, MOST_INPUTS + 1)}
    assert [each.key for each in several.left_out] == ["key 0"]
    assert paid(several)[VENDOR] == AMOUNT - AMOUNT // 40 - FEE
    assert sum(paid(several).values()) == several.total - FEE
    assert len(plan_payout(TERMS, PayoutKind.REFUND, 0, pieces).inputs) == len(pieces)


def test_deposit_in_too_many_parts_is_payable() -> None:
    """A deposit is payable to several where the outputs that one transaction holds make up the amount."""
    assert is_payable_to_several([1] * 1000 + [AMOUNT], AMOUNT)
    assert is_payable_to_several([10] * MOST_INPUTS, 10 * MOST_INPUTS)
    assert not is_payable_to_several([10] * 1000, 10 * MOST_INPUTS + 1)
    assert is_payable_to_several([10] * MOST_INPUTS, 10 * MOST_INPUTS + 1)
    assert not is_payable_to_several([10] * (MOST_INPUTS + 1), 10 * MOST_INPUTS + 11)


def test_crumbs_that_the_vendor_may_keep_stop_a_release() -> None:
    """An excess that the vendor keeps is paid along as far as it fits, and never less than what was agreed upon."""
    terms = replace(WITH_FEE, overpayment=Overpayment.KEEP)
    crumbs = [20 * FEE] * (2 * MOST_INPUTS)
    plan = plan_payout(terms, PayoutKind.RELEASE, AMOUNT + sum(crumbs), outputs(AMOUNT, *crumbs))
    assert plan.total == AMOUNT + 20 * FEE * (MOST_INPUTS - 1)
    assert {each.address for each in plan.receivers} == {VENDOR, OPERATOR}
    assert sum(each.gross for each in plan.receivers) == plan.total
    with pytest.raises(NotAllThere):
        plan_payout(terms, PayoutKind.RELEASE, sum(crumbs), outputs(*crumbs[:130]))


def test_spared_outputs_change_who_gets_what() -> None:
    """What is set aside for the network and not spent is borne as its fee is, and nobody else's part changes."""
    plan = plan_payout(WITH_FEE, PayoutKind.RELEASE, AMOUNT, outputs(AMOUNT // 2, AMOUNT // 2, FEE, 10 * FEE))
    spared = plan.sparing({"key 0", "key 1", "key 3"})
    assert (spared.spared, spared.residue, spared.total) == (FEE, FEE, AMOUNT + 10 * FEE)
    assert spared.receivers == plan.receivers
    assert paid(spared, 3 * FEE) == paid(plan, 4 * FEE)
    assert sum(paid(spared, 3 * FEE).values()) == spared.total - 3 * FEE


def test_nothing_but_dust_is_not_paid_out() -> None:
    """Money that is not worth its fee is no payout but a residue."""
    with pytest.raises(Uneconomic):
        plan_payout(TERMS, PayoutKind.RETURN, 0, outputs(10, 10), dust=10)


def test_nothing_at_all_is_not_paid_out() -> None:
    """Without money there is no payout."""
    with pytest.raises(Uneconomic):
        plan_payout(TERMS, PayoutKind.RETURN, 0, [])


@pytest.mark.parametrize("fee", [AMOUNT, AMOUNT + 1])
def test_network_fee_that_takes_everything_is_refused(fee: int) -> None:
    """A fee that leaves a receiver nothing makes no output of nothing and no negative one."""
    plan = plan_payout(TERMS, PayoutKind.REFUND, 0, outputs(AMOUNT))
    with pytest.raises(Uneconomic, match=f"{fee} piconero"):
        plan.outputs(fee, fee)


def test_one_side_that_cannot_bear_its_part_stops_the_payout() -> None:
    """A vendor whose part is smaller than the network fee gets no output of nothing."""
    plan = plan_payout(TERMS, PayoutKind.RELEASE, FEE, outputs(AMOUNT))
    with pytest.raises(Uneconomic):
        plan.outputs(FEE, FEE)


def test_operators_part_of_nothing_makes_no_output() -> None:
    """A fee that rounds down to nothing has no receiver."""
    tiny = replace(TERMS, fee=FeeRule(1, OPERATOR))
    plan = plan_payout(tiny, PayoutKind.SPLIT, BASIS_POINTS - 1, outputs(AMOUNT))
    assert [each.address for each in plan.receivers] == [VENDOR, BUYER]


# --- what goes in ----------------------------------------------------------------------------------------------------


def test_plan_tells_what_it_spends() -> None:
    """The keys and the addresses of a plan are those of its inputs, each address once."""
    plan = plan_payout(TERMS, PayoutKind.RETURN, 0, outputs(AMOUNT, AMOUNT, AMOUNT, 1, AMOUNT, account=4), dust=1)
    assert plan.keys == ("key 0", "key 1", "key 2", "key 4")
    assert (plan.account, plan.address_indices) == (4, (0, 1, 2))


def test_plan_follows_what_a_wallet_took_along_or_left() -> None:
    """Where dust begins, the wallet decides; the one receiver gets exactly what was swept."""
    plan = plan_payout(TERMS, PayoutKind.REFUND, 0, outputs(AMOUNT, 10, 11), dust=10).spending({"key 0", "key 1"})
    assert (plan.total, plan.residue, paid(plan, 0)) == (AMOUNT + 10, 11, {BUYER: AMOUNT + 10})


# --- any numbers -----------------------------------------------------------------------------------------------------

AMOUNTS = st.integers(1, 2**63)


@given(
    amounts=st.lists(AMOUNTS, min_size=1, max_size=12),
    part=st.fractions(0, 1),
    kind=st.sampled_from(ORDERED),
    points=st.none() | st.integers(1, BASIS_POINTS // 2),
    fee=st.integers(0, 2**60),
    same=st.sampled_from([BUYER, VENDOR, OPERATOR]),
)
def test_sums_are_exact_for_any_numbers(
    amounts: list[int], part: float, kind: PayoutKind, points: int | None, fee: int, same: str
) -> None:
    """What goes in is what the receivers and the network get, to the piconero; nobody gets nothing or less."""
    rule = None if points is None else FeeRule(points, same)
    total = sum(amounts)
    plan = plan_payout(replace(TERMS, fee=rule), kind, int(total * part), outputs(*amounts))
    assert sum(each.gross for each in plan.receivers) == plan.total == total
    assert len({each.address for each in plan.receivers}) == len(plan.receivers)
    try:
        made = plan.outputs(fee, fee)
    except Uneconomic:
        reject()
    assert sum(each.amount for each in made) + fee == total
    assert all(each.amount > 0 for each in made)


@given(share=st.integers(1, AMOUNT - 1), fee=st.integers(0, AMOUNT // 100))
def test_no_side_of_a_split_bears_more_than_its_part(share: int, fee: int) -> None:
    """The vendor's part of the network fee is rounded down, and the buyer's is less than one piconero too much."""
    plan = plan_payout(TERMS, PayoutKind.SPLIT, share, outputs(AMOUNT))
    try:
        got = paid(plan, fee)
    except Uneconomic:
        reject()
    assert share - got[VENDOR] == fee * share // AMOUNT
    assert 0 <= (AMOUNT - share - got[BUYER]) * AMOUNT - fee * (AMOUNT - share) < AMOUNT


@given(share=st.integers(1, AMOUNT), excess=st.integers(LEAST_RETURN, AMOUNT), fee=st.integers(0, LEAST_RETURN))
def test_buyer_bears_nothing_of_a_release(share: int, excess: int, fee: int) -> None:
    """However large the network fee, a release gives the buyer the rest whole."""
    plan = plan_payout(TERMS, PayoutKind.RELEASE, share, outputs(share, excess))
    try:
        assert paid(plan, fee)[BUYER] == excess
    except Uneconomic:
        assert share <= fee
