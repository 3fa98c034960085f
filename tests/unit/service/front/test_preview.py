from types import SimpleNamespace
from typing import Any, cast

import pytest

from escrowd.domain.escrow.assess import Account, Ledger, Overview
from escrowd.domain.escrow.events import PayoutFailed
from escrowd.domain.escrow.facts import Escrow, HoldReason
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.outputs import ReceivedOutput
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.fees import FeeRate
from escrowd.domain.payouts.plan import NotAllThere, Uneconomic
from escrowd.domain.payouts.records import Payout, PayoutKind, PayoutStatus
from escrowd.service.front.ports import FrontTransaction
from escrowd.service.front.preview import Decision, preview
from tests.unit.domain.escrow.world import AMOUNT, START, play, reached

RATE = FeeRate(per_byte=20_000, mask=10_000)
DEPOSIT = ReceivedOutput("tx", 0, "key", AMOUNT, height=10)


def held_while_paying() -> Escrow:
    failed = PayoutFailed(HoldReason.PAYOUT_FAILED, "both signers are gone")
    return play([(failed, Who.SERVICE)], reached(Status.PAYING))


def transaction(escrow: Escrow, status: PayoutStatus) -> FrontTransaction:
    """Return what preview asks of a database with one escrow and one payout that spends its deposit."""
    signers = ((WalletRole.BUYER, WalletRole.VENDOR),)
    payout = Payout("pay_1", escrow.id, PayoutKind.RELEASE, status, AMOUNT, 0, signers, (DEPOSIT.key,))
    ledger = Ledger(chain_height=100, chain_time=0, outputs=(DEPOSIT,))

    async def of(_escrows: Any) -> Overview:
        return Overview(START, {escrow.id: (escrow, Account(ledger, (payout,)))})

    async def key_images(_escrow: Any) -> tuple[()]:
        return ()

    return cast(
        "FrontTransaction",
        SimpleNamespace(overview=SimpleNamespace(of=of), ledgers=SimpleNamespace(key_images=key_images)),
    )


@pytest.mark.parametrize("status", [PayoutStatus.PLANNED, PayoutStatus.SIGNING, PayoutStatus.ABANDONED])
async def test_payout_that_gives_way_takes_the_deposit(status: PayoutStatus) -> None:
    """Of an escrow held while it was paid out, the operator's decision divides the whole deposit once more."""
    escrow = held_while_paying()
    shown = await preview(transaction(escrow, status), escrow.id, Decision.REFUND, None, RATE)
    assert shown.total == AMOUNT
    assert [each.to for each in shown.outputs] == [escrow.terms.refund_address]


async def test_deposit_is_promised_twice() -> None:
    """What a payout has spent for good is not there for another one."""
    escrow = held_while_paying()
    with pytest.raises((NotAllThere, Uneconomic)):
        await preview(transaction(escrow, PayoutStatus.CONFIRMED), escrow.id, Decision.REFUND, None, RATE)
