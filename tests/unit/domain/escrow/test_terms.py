from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escrowd.domain.address import InvalidAddress, WrongNetwork
from escrowd.domain.escrow.terms import (
    BASIS_POINTS,
    DAY,
    LEAST_AMOUNT,
    LONGEST_DEADLINE,
    MOST_CONFIRMATIONS,
    Custody,
    DeadlineTerms,
    FeeRule,
    InvalidTerms,
    Terms,
    all_hosted,
    checked_terms,
)
from escrowd.domain.money import MAX_PICONERO
from escrowd.domain.networks import AddressKind, Network
from escrowd.domain.parties import WalletRole
from tests.unit.domain.test_address import MADE_BY_MONERO

BUYER = MADE_BY_MONERO[Network.MAINNET, AddressKind.SUBADDRESS]
VENDOR = MADE_BY_MONERO[Network.MAINNET, AddressKind.STANDARD]
INTEGRATED = MADE_BY_MONERO[Network.MAINNET, AddressKind.INTEGRATED]
GOOD = Terms(Network.REGTEST, 10**12, BUYER, VENDOR)


@pytest.mark.parametrize(
    "terms",
    [
        GOOD,
        replace(GOOD, amount=LEAST_AMOUNT, tolerance=LEAST_AMOUNT // 10),
        replace(GOOD, amount=MAX_PICONERO, confirmations=MOST_CONFIRMATIONS),
        replace(GOOD, fee=FeeRule(1, BUYER)),
        replace(GOOD, fee=FeeRule(BASIS_POINTS // 2, VENDOR)),
        replace(GOOD, deadlines=DeadlineTerms(60, 60, 60, 60, LONGEST_DEADLINE)),
        replace(GOOD, custody=dict.fromkeys(WalletRole, Custody.OWN)),
    ],
)
def test_terms_that_can_be_kept_are_refused(terms: Terms) -> None:
    """Terms at the very bounds are taken, and are not changed."""
    assert checked_terms(terms) is terms


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (replace(GOOD, amount=LEAST_AMOUNT - 1), f"the amount must be {LEAST_AMOUNT} to"),
        (replace(GOOD, amount=MAX_PICONERO + 1), f"to {MAX_PICONERO} piconero, not {MAX_PICONERO + 1}"),
        (replace(GOOD, tolerance=-1), "the tolerance must be 0 to a tenth of the amount, not -1 piconero"),
        (replace(GOOD, tolerance=10**11 + 1), "the tolerance must be"),
        (replace(GOOD, fee=FeeRule(0, BUYER)), "the fee must be 1 to 5000 basis points, not 0"),
        (replace(GOOD, fee=FeeRule(5001, BUYER)), "the fee must be"),
        (
            replace(GOOD, confirmations=9),
            "confirmations must be 10, before which no output can be spent, to 720, not 9",
        ),
        (replace(GOOD, confirmations=721), "confirmations must be"),
        (replace(GOOD, deadlines=DeadlineTerms(inspection=59)), "a deadline must be at least 60 seconds, not 59"),
        (replace(GOOD, deadlines=DeadlineTerms(ruling=LONGEST_DEADLINE + 1)), "a deadline must be at most"),
        (
            replace(GOOD, custody={WalletRole.BUYER: Custody.HOSTED}),
            "custody must be said for buyer, vendor and arbiter",
        ),
        (replace(GOOD, payout_address=BUYER), "the refund address and the payout address are the same"),
        (replace(GOOD, payout_address=INTEGRATED), "the payout address carries a payment id"),
        (replace(GOOD, refund_address=INTEGRATED), "the refund address carries a payment id"),
        (replace(GOOD, fee=FeeRule(1, INTEGRATED)), "the fee address carries a payment id"),
    ],
)
def test_terms_that_cannot_be_kept_are_taken(terms: Terms, message: str) -> None:
    """Terms that cannot be kept are refused with what is wrong and what would be right."""
    with pytest.raises(InvalidTerms) as refused:
        checked_terms(terms)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "terms",
    [
        replace(GOOD, refund_address="nowhere"),
        replace(GOOD, payout_address=VENDOR[:-1]),
        replace(GOOD, fee=FeeRule(1, "nowhere")),
    ],
)
def test_money_can_be_promised_to_nowhere(terms: Terms) -> None:
    """Every address that money may go to is a whole one."""
    with pytest.raises(InvalidAddress):
        checked_terms(terms)


def test_money_can_be_promised_to_another_network() -> None:
    """Every address that money may go to is one of the escrow's network."""
    with pytest.raises(WrongNetwork):
        checked_terms(replace(GOOD, network=Network.STAGENET))


@given(st.integers(0, MAX_PICONERO), st.integers(1, BASIS_POINTS // 2))
def test_fee_is_rounded_up(vendor_amount: int, basis_points: int) -> None:
    """The fee is the exact part of what the vendor gets, without what is less than a piconero of it."""
    fee = FeeRule(basis_points, BUYER).of(vendor_amount)
    assert fee * BASIS_POINTS <= vendor_amount * basis_points < (fee + 1) * BASIS_POINTS


def test_defaults_are_not_what_is_documented() -> None:
    """Where nothing is said, the keys are hosted, ten blocks are final, and the deadlines are these."""
    assert GOOD.custody == all_hosted() == dict.fromkeys(WalletRole, Custody.HOSTED)
    assert (GOOD.confirmations, GOOD.tolerance, GOOD.fee) == (10, 0, None)
    assert GOOD.deadlines == DeadlineTerms(3600, DAY, 14 * DAY, 3 * DAY, 7 * DAY)
    assert replace(GOOD, tolerance=5).least_deposit == 10**12 - 5
