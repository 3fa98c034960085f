"""W10: an amount that could not pay the network fee of its own payout is refused when the escrow is made."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escrowd.domain.escrow.terms import BASIS_POINTS, LEAST_AMOUNT, TOLERANCE_DIVISOR, FeeRule, Terms
from escrowd.domain.networks import Network
from escrowd.domain.outputs import ReceivedOutput
from escrowd.domain.payouts.fees import FeeRate
from escrowd.domain.payouts.floor import AmountTooSmall, check_amount, expected_fee
from escrowd.domain.payouts.plan import plan_payout
from escrowd.domain.payouts.records import PaidOutput, PayoutKind

BUYER, VENDOR, OPERATOR = "to the buyer", "to the vendor", "to the operator"
TERMS = Terms(Network.REGTEST, 5 * 10**9, refund_address=BUYER, payout_address=VENDOR)
#: What a daemon asks for on a private chain: the fee of W10 is 7.2e9 piconero with it.
DEAR = FeeRate(4_700_000, 10_000)

rates = st.builds(FeeRate, st.integers(1, 10**8), st.sampled_from([1, 10_000]))
fees = st.none() | st.builds(FeeRule, st.integers(1, BASIS_POINTS // 2), st.sampled_from([OPERATOR, VENDOR, BUYER]))


def least_of(terms: Terms, rate: FeeRate, multiple: int) -> int:
    """Return the least amount that the refusal of a smaller one names."""
    with pytest.raises(AmountTooSmall) as refused:
        check_amount(replace(terms, amount=terms.tolerance), rate, multiple)
    found = re.match(r"the amount must be at least (\d+) piconero, not \d+: ", str(refused.value))
    assert found, str(refused.value)
    return int(found[1])


def paid(terms: Terms, kind: PayoutKind, rate: FeeRate) -> tuple[PaidOutput, ...]:
    """Return what a payout of the least deposit pays, at the fee of the largest payout."""
    deposit = ReceivedOutput("tx", 0, "key", terms.least_deposit, account=0, address_index=0)
    share = 0 if kind is PayoutKind.REFUND else terms.least_deposit
    fee = expected_fee(terms, rate)
    return plan_payout(terms, kind, share, [deposit], rate.dust()).outputs(fee, fee)


def test_amount_below_the_fee_of_its_payout_is_refused() -> None:
    """W10: 5e9 piconero with a network fee of 7.2e9. The refusal has amount, least amount, factor and fee."""
    fee = expected_fee(TERMS, DEAR)
    assert 7 * 10**9 < fee < 8 * 10**9
    with pytest.raises(AmountTooSmall) as refused:
        check_amount(TERMS, DEAR, 10)
    assert f"at least {10 * fee} piconero, not {5 * 10**9}" in str(refused.value)
    assert f"10 times a network fee of about {fee} piconero, which a payout to 2 receivers costs" in str(refused.value)


def test_fee_of_the_operator_counts_as_one_receiver_more() -> None:
    """With a fee rule a payout has one output more, so the least amount is larger; not where the address is known."""
    with_fee = replace(TERMS, fee=FeeRule(1000, OPERATOR))
    merged = replace(TERMS, fee=FeeRule(1000, VENDOR))
    assert expected_fee(with_fee, DEAR) == DEAR.estimate(1, 3) > expected_fee(TERMS, DEAR) == DEAR.estimate(1, 2)
    assert least_of(with_fee, DEAR, 10) == 10 * DEAR.estimate(1, 3)
    assert expected_fee(merged, DEAR) == expected_fee(TERMS, DEAR)


def test_fee_of_the_operator_that_is_dust_is_refused() -> None:
    """One basis point of the least amount must be more than it costs to spend; the refusal says so."""
    terms = replace(TERMS, amount=10**13, fee=FeeRule(1, OPERATOR))
    least = least_of(terms, DEAR, 10)
    assert terms.fee is not None
    assert terms.fee.of(least - 1) <= DEAR.dust() < terms.fee.of(least)
    with pytest.raises(AmountTooSmall, match="1 basis points for the operator are more than the"):
        check_amount(terms, DEAR, 10)


@given(rates, fees, st.integers(2, 1000), st.integers(0, 10**12))
def test_least_amount_leaves_each_receiver_more_than_spending_costs(
    rate: FeeRate, fee: FeeRule | None, multiple: int, tolerance: int
) -> None:
    """The named least amount is taken, and one piconero less is not; release and refund of it leave no dust."""
    terms = replace(TERMS, fee=fee, tolerance=tolerance)
    least = least_of(terms, rate, multiple)
    terms = replace(terms, amount=least)
    check_amount(terms, rate, multiple)
    assert least >= multiple * expected_fee(terms, rate)
    with pytest.raises(AmountTooSmall):
        check_amount(replace(terms, amount=least - 1), rate, multiple)
    outputs = (*paid(terms, PayoutKind.RELEASE, rate), *paid(terms, PayoutKind.REFUND, rate))
    assert min(each.amount for each in outputs) > rate.dust()
    assert len({each.to for each in outputs}) == len({BUYER, VENDOR, *([fee.address] if fee else [])})


def test_usual_amounts_are_taken_at_the_rates_of_mainnet() -> None:
    """At 80 000 piconero per byte, four times the lowest of mainnet, a hundredth of a monero is enough."""
    terms = replace(TERMS, amount=10**10, fee=FeeRule(250, OPERATOR), tolerance=10**10 // TOLERANCE_DIVISOR)
    check_amount(terms, FeeRate(80_000, 10_000), 10)
    with pytest.raises(AmountTooSmall):
        check_amount(replace(terms, amount=LEAST_AMOUNT, tolerance=0), FeeRate(80_000, 10_000), 10)
