"""What the numbers of an escrow mean, as they are shown."""

import httpx

from escrowd.domain.escrow.status import Status
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.records import Payout, PayoutKind, PayoutStatus
from escrowd.testing.api_house import ApiHouse
from tests.contract.api.visits import give_money, made
from tests.unit.domain.escrow.world import AMOUNT, PATHS


async def test_what_was_paid_out_can_be_spent_again(sqlite_house: ApiHouse, sqlite_client: httpx.AsyncClient) -> None:
    """Of a deposit there is to be spent what no payout has sent: all before it, and nothing afterwards."""
    escrow = await made(sqlite_house, PATHS[Status.PAYING])
    await give_money(sqlite_house, escrow.id, AMOUNT)
    async with sqlite_house.store.reading() as tx:
        (output,) = await tx.ledgers.outputs(escrow.id)
    spendable = {}
    for status in (None, PayoutStatus.SIGNING, PayoutStatus.BROADCAST, PayoutStatus.CONFIRMED, PayoutStatus.ABANDONED):
        if status is not None:
            payout = Payout(
                "pay_1",
                escrow.id,
                PayoutKind.RELEASE,
                status,
                vendor_share=AMOUNT,
                account=0,
                signers=((WalletRole.BUYER, WalletRole.VENDOR),),
                output_keys=(output.key,),
            )
            async with sqlite_house.store.transaction() as tx:
                if status is PayoutStatus.SIGNING:
                    await tx.payouts.add(payout, escrow.version)
                await tx.payouts.save(payout)
        shown = (await sqlite_client.get(f"/v1/escrows/{escrow.id}")).json()
        spendable[status] = int(shown["deposit"]["spendable"])
    assert spendable == {
        None: AMOUNT,
        PayoutStatus.SIGNING: AMOUNT,
        PayoutStatus.BROADCAST: 0,
        PayoutStatus.CONFIRMED: 0,
        PayoutStatus.ABANDONED: AMOUNT,
    }
