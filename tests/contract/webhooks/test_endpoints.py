import asyncio

import pytest

from escrowd.domain.conflicts import NoSuchDelivery, NoSuchWebhook, TooManyWebhooks
from escrowd.domain.errors import EscrowdError, Fault
from escrowd.domain.webhooks import EVENT_TYPES, DeliveryStatus
from escrowd.service.webhooks.endpoints import LONGEST_OVERLAP, Change
from escrowd.service.webhooks.errors import UnknownEventType, UnusableOverlap, UnusableUrl, WebhookIsOff
from tests.contract.webhooks.house import House, beginning

NOBODY = "whk_01jd3v9k8z6x5w4t2r1q0p9n8m"


async def change(house: House, webhook: str, change: Change) -> None:
    async with house.store.transaction() as tx:
        await house.endpoints.update(tx, webhook, change)


async def test_endpoint_comes_back_changed(house: House) -> None:
    """An endpoint is read as it was made, and listed in the order of making; what was changed is changed alone."""
    made = [(await house.add(["escrow.funded"])).webhook, (await house.add()).webhook]
    assert [await house.found(each.id) for each in made] == made
    async with house.store.reading() as tx:
        assert list(await tx.webhooks.all()) == sorted(made, key=lambda each: (each.created_at, each.id))
    await change(house, made[0].id, Change(types=["escrow.split", "escrow.held"], description="the shop"))
    after = await house.found(made[0].id)
    assert (after.types, after.description, after.url) == (("escrow.held", "escrow.split"), "the shop", made[0].url)
    await change(house, made[0].id, Change(types=()))
    assert ((await house.found(made[0].id)).types, (await house.found(made[1].id))) == ((), made[1])


async def test_types_count_for_the_past(house: House) -> None:
    """Other types count for events from then on; what was put on its way before stays so."""
    id_ = (await house.add()).webhook.id
    first, second = beginning(1)
    await house.tell(first)
    await change(house, id_, Change(types=["escrow.held"]))
    await house.tell(second)
    assert [each.type for each in await house.deliveries(id_)] == ["escrow.created"]


async def test_removed_endpoint_leaves_something(house: House) -> None:
    """A removed endpoint is gone with its deliveries, and another one keeps its own."""
    gone, stays = (await house.add()).webhook, (await house.add()).webhook
    await house.tell(*beginning(1))
    async with house.store.transaction() as tx:
        await house.endpoints.delete(tx, gone.id)
    assert await house.pending() == 2
    assert len(await house.deliveries(stays.id)) == 2
    async with house.working():
        await house.until_nothing_is_pending()
    assert len(house.receiver.received) == 2


async def test_wrong_is_taken_for_right(house: House) -> None:
    """A wrong URL, type or overlap is refused as the caller's fault, with the reason, and nothing is stored."""
    id_ = (await house.add()).webhook.id
    before = await house.found(id_)
    with pytest.raises(UnusableUrl, match="not public"):
        await house.add(url="https://10.0.0.1/")
    with pytest.raises(UnknownEventType, match=r"'escrow\.payed'; there are .*escrow\.funded"):
        await house.add(["escrow.funded", "escrow.payed"])
    with pytest.raises(UnknownEventType, match="inner"):
        await change(house, id_, Change(types=["inner.Resumed"]))
    with pytest.raises(UnusableUrl):
        await change(house, id_, Change(url="ftp://shop.example/"))
    async with house.store.transaction() as tx:
        for overlap in (-1, LONGEST_OVERLAP + 1):
            with pytest.raises(UnusableOverlap) as refused:
                await house.endpoints.rotate_secret(tx, id_, overlap)
            assert refused.value.fault is Fault.CALLER
        assert await tx.webhooks.all() == (before,)
    assert "escrow.funded" in EVENT_TYPES


async def test_nobody_is_somebody(house: House) -> None:
    """Whatever is asked of an endpoint or a delivery that is not there is answered by that."""
    id_ = (await house.add()).webhook.id
    async with house.store.transaction() as tx:
        ends = house.endpoints
        for call in (
            ends.get(tx, NOBODY),
            ends.update(tx, NOBODY, Change(enabled=False)),
            ends.delete(tx, NOBODY),
            ends.rotate_secret(tx, NOBODY),
            ends.deliveries(tx, NOBODY),
            ends.redeliver(tx, NOBODY, "dlv_1"),
        ):
            with pytest.raises(NoSuchWebhook, match=NOBODY):
                await call
        with pytest.raises(NoSuchDelivery, match="dlv_1"):
            await ends.redeliver(tx, id_, "dlv_1")


async def test_delivery_of_another_endpoint_is_sent(house: House) -> None:
    """A delivery belongs to its endpoint; nothing is sent again to one that is switched off."""
    one, two = (await house.add()).webhook.id, (await house.add()).webhook.id
    await house.tell(*beginning(1))
    delivery = (await house.deliveries(one))[0].id
    async with house.store.transaction() as tx:
        with pytest.raises(NoSuchDelivery):
            await house.endpoints.redeliver(tx, two, delivery)
    await change(house, one, Change(enabled=False))
    async with house.store.transaction() as tx:
        with pytest.raises(
            WebhookIsOff, match=rf"nothing is sent to {one} \(switched off by request\): switch it on first"
        ):
            await house.endpoints.redeliver(tx, one, delivery)


async def test_limit_is_passed_by_two_at_once(house: House) -> None:
    """There are 32 endpoints at most, also when many are added at the same time; removing one makes room."""
    ids = [(await house.add()).webhook.id for _ in range(31)]
    results = await asyncio.gather(*(house.add() for _ in range(4)), return_exceptions=True)
    assert sorted(isinstance(each, TooManyWebhooks) for each in results) == [False, True, True, True]
    assert all(isinstance(each, EscrowdError) and "32" in str(each) for each in results if isinstance(each, Exception))
    async with house.store.transaction() as tx:
        await house.endpoints.delete(tx, ids[0])
    assert (await house.add()).webhook.id


async def test_page_repeats_or_leaves_out(house: House) -> None:
    """Page by page each delivery is seen once, the newest first, all of them or those of one status."""
    id_ = (await house.add()).webhook.id
    for number in (1, 2):
        await house.tell(*beginning(number))
    async with house.working():
        await house.until_nothing_is_pending()
    await house.tell(*beginning(3))
    told = [each.id for each in await house.log()][::-1]

    async def seen(status: DeliveryStatus | None, limit: int) -> list[str]:
        before: int | None = None
        found: list[str] = []
        async with house.store.reading() as tx:
            while True:
                page = await house.endpoints.deliveries(tx, id_, status, before, limit)
                assert 0 < len(page.items) <= limit
                found.extend(each.event for each in page.items)
                if page.next is None:
                    return found
                before = page.next

    for limit in (1, 2, 3, 6, 100):
        assert await seen(None, limit) == told
    assert await seen(DeliveryStatus.PENDING, 1) == told[:2]
    assert await seen(DeliveryStatus.DELIVERED, 3) == told[2:]
    async with house.store.reading() as tx:
        assert dict(await tx.webhooks.pending_counts()) == {id_: 2}
