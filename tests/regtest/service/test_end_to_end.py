"""An integrator's program, whole: the SDK on one side, a webhook receiver on the other, a real chain between."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from escrowd.sdk import AsyncEscrowClient, Forbidden, NotAllowed, verify_chain
from escrowd.testing.receiver import Receiver
from escrowd.testing.wallet_sets import wallet_sets
from escrowd.wire.escrows import CreatedEscrow, Escrow, NewFee, PreviewedPayout
from tests.regtest.service.commands import as_json, line_with, started
from tests.regtest.service.inbox import Inbox

XMR = 10**12
OPERATOR, VENDOR = [each.address for each in wallet_sets()[-2:]]
BUYER = "4Azrimk94DTEBDuCd4a24TLNmiFpaUBwUR6Qq2c2gqf6iMtGkizkxz5UgdGKfyytmGMPbPKvDP8wUc5sFhCgqnQkU6MW1aW"
PATIENCE = 270

RELEASED = [
    "escrow.created", "escrow.ready", "deposit.seen", "deposit.confirmed", "escrow.funded", "escrow.delivered",
    "payout.broadcast", "payout.confirmed", "escrow.completed",
]  # fmt: skip
RULED = [*RELEASED[:6], "escrow.disputed", "escrow.ruled", "payout.broadcast", "payout.confirmed", "escrow.split"]


async def funded(client: AsyncEscrowClient) -> CreatedEscrow:
    """Make an escrow with a fee for the operator of the site, and pay it."""
    made = await client.create_escrow(
        amount=XMR,
        refund_address=BUYER,
        payout_address=VENDOR,
        fee=NewFee(basis_points=250, address=OPERATOR),
        metadata={"order": "7"},
    )
    assert made.deposit.address is not None
    await client.sandbox.fund(made.deposit.address, XMR)
    await client.sandbox.mine(10)
    now = await client.wait(made.id, until="funded")
    assert (now.deposit.spendable, now.deposit.missing, now.custody.operator_can_spend) == (XMR, 0, True)
    return made


async def paid(client: AsyncEscrowClient, inbox: Inbox, escrow: str, status: Any) -> Escrow:
    """Wait until a payout is sent, mine until it is final, and return the escrow at its end."""
    await inbox.until_it_has("payout.broadcast", escrow)
    await client.sandbox.mine(10)
    return await client.wait(escrow, until=status)


def paid_out(escrow: Escrow) -> dict[str, int]:
    assert escrow.payout is not None
    (transaction,) = escrow.payout.transactions
    return {each.to: each.amount for each in transaction.outputs} | {"network": transaction.network_fee}


def assert_paid_as_previewed(escrow: Escrow, previewed: PreviewedPayout, bearer: str) -> None:
    """All but the bearer's part is paid to the piconero; the bearer bears what the fee is off the estimate."""
    paid = paid_out(escrow)
    expected = {each.to: each.amount for each in previewed.outputs} | {"network": previewed.network_fee}
    assert sum(paid.values()) == sum(expected.values()) == XMR
    difference = paid["network"] - expected["network"]
    assert abs(difference) < expected["network"] // 20
    assert paid == expected | {"network": paid["network"], bearer: expected[bearer] - difference}


async def released(client: AsyncEscrowClient, inbox: Inbox) -> str:
    made = await funded(client)
    buyer, vendor, _ = (client.as_party(link.token) for link in made.links)
    with pytest.raises(Forbidden):
        await vendor.release(made.id)
    with pytest.raises(NotAllowed) as refused:
        await buyer.cancel(made.id)
    assert set(refused.value.allowed_actions) == {"release", "dispute", "propose-split"}
    await vendor.deliver(made.id)
    previewed = await buyer.preview(made.id, action="release")
    await buyer.release(made.id)
    now = await paid(client, inbox, made.id, "completed")
    assert_paid_as_previewed(now, previewed, bearer=VENDOR)
    return made.id


async def ruled(client: AsyncEscrowClient, inbox: Inbox) -> str:
    made = await funded(client)
    buyer, vendor, arbiter = (client.as_party(link.token) for link in made.links)
    await vendor.deliver(made.id)
    await buyer.dispute(made.id, reason="it is broken")
    previewed = await arbiter.preview(made.id, action="rule", vendor_share=4 * 10**11)
    await arbiter.rule(made.id, vendor_share=4 * 10**11)
    now = await paid(client, inbox, made.id, "split")
    assert_paid_as_previewed(now, previewed, bearer=BUYER)
    return made.id


@pytest.mark.timeout(PATIENCE + 20)
async def test_integrator_is_paid_as_previewed_and_receives_every_event(lab: object, tmp_path: Path) -> None:
    """Release and ruling pay what was previewed; webhooks tell all of it, in order, with the bytes of the events."""
    arguments = ("sandbox", "--data-dir", str(tmp_path / "box"), "--port", "0", "--json")
    async with asyncio.timeout(PATIENCE), started(*arguments) as sandbox, Receiver.listening() as receiver:
        line = as_json(await line_with(sandbox.stdout, "api_url"))
        async with AsyncEscrowClient(line["api_url"], line["api_key"]) as client:
            inbox = Inbox((await client.webhooks.create(url=receiver.url())).secret, refuses=1)
            receiver.reply = inbox.take
            escrows = [await released(client, inbox), await ruled(client, inbox)]
            for escrow, type_ in zip(escrows, ("escrow.completed", "escrow.split"), strict=True):
                await inbox.until_it_has(type_, escrow)
                assert verify_chain([each async for each in client.log(escrow)]) == ()
        headers = {"Authorization": f"Bearer {line['api_key']}"}
        async with httpx.AsyncClient(base_url=line["api_url"], headers=headers) as plain:
            page = (await plain.get("/v1/events")).text
    told = [[each.type for each in inbox.events if each.escrow == escrow] for escrow in escrows]
    assert told == [RELEASED, RULED]
    assert all(body.decode() in page for body in inbox.bodies)
