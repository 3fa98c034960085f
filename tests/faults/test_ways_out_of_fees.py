"""Amounts that are less than they cost: preview and command refuse them in the same words, and nothing is held."""

import pytest

from escrowd.domain.errors import EscrowdError
from escrowd.domain.escrow.events import Disputed, Event, Refunded, Released, Ruled
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.payouts.fees import FeeRate
from escrowd.service.front.preview import Decision, preview
from escrowd.service.orchestrator import EscrowOrchestrator
from escrowd.service.payouts.rates import normal_fee_rate
from tests.faults.ways_out import Books, Ways, books, fees_of
from tests.regtest.payouts.office import AMOUNT, Trade, a_deal

pytestmark = pytest.mark.timeout(600)

#: Less than the network fee of one input and two outputs on the private chain.
LITTLE = 5 * 10**9


def deciding(trade: Trade, rate: FeeRate) -> EscrowOrchestrator:
    return EscrowOrchestrator(trade.store, fee_rate=lambda: rate)


async def refused_alike(trade: Trade, rate: FeeRate, event: Event, who: Who, decision: Decision) -> str:
    """Make sure that preview and command refuse a decision in the same words, and return them."""
    share = event.vendor_share if isinstance(event, Ruled) else None
    before = await trade.escrow()
    with pytest.raises(EscrowdError) as previewed:
        async with trade.store.transaction() as tx:
            await preview(tx, trade.id, decision, share, rate)
    with pytest.raises(EscrowdError) as commanded:
        await deciding(trade, rate).command(trade.id, event, who)
    assert (type(commanded.value), str(commanded.value)) == (type(previewed.value), str(previewed.value))
    assert await trade.escrow() == before
    return str(commanded.value)


async def test_release_below_its_fee_is_refused_and_the_deposit_goes_back_with_more(ways: Ways) -> None:
    """A deposit below its fee stays funded; with more money beside it a refund pays both to the buyer (W10)."""
    more = AMOUNT // 10
    async with ways.trade(a_deal(LITTLE)) as trade:
        rate = await normal_fee_rate(ways.office.daemon)
        assert rate.estimate(1, 2) > LITTLE
        assert (await trade.fund(LITTLE)).status is Status.FUNDED
        refused = await refused_alike(trade, rate, Released(), Who.BUYER, Decision.RELEASE)
        assert str(LITTLE) in refused
        assert await trade.payouts() == ()

        await trade.fund(more)
        await deciding(trade, rate).command(trade.id, Refunded(), Who.VENDOR)
        assert (await trade.advance()).status is Status.PAYING
        assert (await trade.settle()).status is Status.REFUNDED
        (refund,) = await trade.payouts()
        fee = fees_of(refund)
        assert await books(trade) == Books(LITTLE + more, buyer=LITTLE + more - fee, fees=fee)


async def test_ruling_of_a_share_below_its_fee_is_refused_with_the_least(ways: Ways) -> None:
    """A ruling of all but one piconero is refused; one that leaves the buyer the named least is paid (W11)."""
    async with ways.trade() as trade:
        rate = await normal_fee_rate(ways.office.daemon)
        assert (await trade.fund()).status is Status.FUNDED
        await trade.say(Disputed(), Who.BUYER)
        refused = await refused_alike(trade, rate, Ruled(AMOUNT - 1), Who.ARBITER, Decision.RULE)
        least = int(refused.rpartition(" ")[2])
        share = AMOUNT - least
        await refused_alike(trade, rate, Ruled(share + 1), Who.ARBITER, Decision.RULE)
        await refused_alike(trade, rate, Ruled(1), Who.ARBITER, Decision.RULE)

        await deciding(trade, rate).command(trade.id, Ruled(share), Who.ARBITER)
        assert (await trade.advance()).status is Status.PAYING
        assert (await trade.settle()).status is Status.SPLIT
        (split,) = await trade.payouts()
        fee, vendor = fees_of(split), share - rate.estimate(1, 2) * share // AMOUNT
        assert await books(trade) == Books(AMOUNT, vendor=vendor, buyer=AMOUNT - vendor - fee, fees=fee)


async def test_deposit_that_lacks_less_than_the_tolerance_is_paid_out(ways: Ways) -> None:
    """A wallet that cuts at eight decimals pays 3656 piconero too little: the vendor gets what there is (W13)."""
    paid = AMOUNT - 3656
    async with ways.trade(a_deal(tolerance=10_000)) as trade:
        assert (await trade.fund(paid)).status is Status.FUNDED
        await trade.say(Released(), Who.BUYER)
        assert (await trade.advance()).status is Status.PAYING
        assert (await trade.settle()).status is Status.COMPLETED
        fee = fees_of(*await trade.payouts())
        assert await books(trade) == Books(paid, vendor=paid - fee, fees=fee)
