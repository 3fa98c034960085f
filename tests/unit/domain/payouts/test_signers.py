"""Who signs a payout."""

from itertools import product

import pytest

from escrowd.domain.escrow.facts import PayoutOrder
from escrowd.domain.escrow.status import Who
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.records import PayoutKind
from escrowd.domain.payouts.signers import signer_pairs

BUYER, VENDOR, ARBITER = WalletRole.BUYER, WalletRole.VENDOR, WalletRole.ARBITER
ORDERED = (PayoutKind.RELEASE, PayoutKind.REFUND, PayoutKind.SPLIT)
DECIDING = (Who.BUYER, Who.VENDOR, Who.ARBITER, Who.OPERATOR, Who.CLOCK)
ORDERS = [None, *(PayoutOrder(kind, 1, by, 7) for kind, by in product(ORDERED, DECIDING))]


@pytest.mark.parametrize("order", ORDERS)
def test_each_payout_can_be_signed_by_any_two(order: PayoutOrder | None) -> None:
    """Every pair of two different signers may sign, each once: any one wallet may be lost."""
    pairs = signer_pairs(order)
    assert sorted(map(sorted, pairs)) == [[ARBITER, BUYER], [ARBITER, VENDOR], [BUYER, VENDOR]]


@pytest.mark.parametrize("by", [Who.BUYER, Who.VENDOR])
@pytest.mark.parametrize("kind", ORDERED)
def test_parties_who_agree_need_no_arbiter(kind: PayoutKind, by: Who) -> None:
    """A payout that the parties agree on is signed by the two of them first."""
    assert set(signer_pairs(PayoutOrder(kind, 1, by, 7))[0]) == {BUYER, VENDOR}


@pytest.mark.parametrize(
    ("kind", "receiver"), [(PayoutKind.RELEASE, VENDOR), (PayoutKind.REFUND, BUYER), (PayoutKind.SPLIT, VENDOR)]
)
@pytest.mark.parametrize("by", [Who.ARBITER, Who.OPERATOR, Who.CLOCK])
def test_arbiter_signs_what_the_parties_did_not_agree_on(kind: PayoutKind, receiver: WalletRole, by: Who) -> None:
    """A ruling, or a period that ended, is carried out by the arbiter and whoever gets the money."""
    assert signer_pairs(PayoutOrder(kind, 1, by, 7))[0] == (ARBITER, receiver)


def test_late_money_is_returned_by_arbiter_and_buyer() -> None:
    """The return of late money needs no word of the vendor."""
    assert signer_pairs(None)[0] == (ARBITER, BUYER)
