import asyncio

import pytest
from sqlalchemy import func, select

from escrowd.domain.conflicts import NoSuchWebhook, VersionConflict
from escrowd.domain.escrow.status import Status
from escrowd.domain.webhooks import DeliveryStatus
from escrowd.service.webhooks.endpoints import Change
from escrowd.store import schema
from escrowd.store.schema_webhooks import deliveries
from escrowd.store.webhooks import WEBHOOK
from tests.contract.store.samples import escrow_id, life
from tests.contract.webhooks.house import House, beginning


async def rows(house: House) -> tuple[int, set[str]]:
    """Return the number of deliveries, and the keys of the work rows of webhooks."""
    async with house.database.reading() as session:
        count = (await session.connection.execute(select(func.count()).select_from(deliveries))).scalar_one()
        keys = await session.connection.execute(select(schema.work.c.key).where(schema.work.c.kind == WEBHOOK))
        return count, set(keys.scalars())


async def test_event_is_not_put_on_its_way(house: House) -> None:
    """Each public event of a life becomes one pending delivery to each endpoint that wants it, and inner ones none."""
    everything, few = await house.add(), await house.add(["escrow.funded", "payout.confirmed"])
    await house.tell(*life(Status.COMPLETED))
    told = await house.log()
    found = await house.deliveries(everything.webhook.id)
    assert [(each.cursor, each.event, each.type) for each in found] == [(e.cursor, e.id, e.type) for e in told]
    assert {(each.status, each.attempts, each.escrow) for each in found} == {(DeliveryStatus.PENDING, 0, escrow_id(1))}
    wanted = [each.type for each in await house.deliveries(few.webhook.id)]
    assert wanted == ["escrow.funded", "payout.confirmed"]
    assert (await rows(house))[1] == {f"webhook:{each.webhook.id}:{escrow_id(1)}" for each in (everything, few)}


async def test_event_goes_to_nobody(house: House) -> None:
    """Without endpoints nothing is put on its way, and an endpoint gets nothing of what was before it."""
    await house.tell(*beginning(1))
    assert await rows(house) == (0, set())
    added = await house.add()
    await house.tell(*beginning(2))
    assert {each.escrow for each in await house.deliveries(added.webhook.id)} == {escrow_id(2)}


async def test_rolled_back_step_is_told(house: House) -> None:
    """A step that is not stored leaves no delivery and wakes nobody."""
    await house.add()
    first, second = beginning(1)

    async def fail() -> None:
        async with house.store.transaction() as tx:
            await tx.escrows.add(first)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await rows(house) == (0, set())
    await house.tell(first)
    await house.tell(second)
    with pytest.raises(VersionConflict):
        await house.tell(second)
    assert (await rows(house))[0] == 2


async def test_event_for_a_switched_off_endpoint_is_lost(house: House) -> None:
    """An endpoint that is switched off gets its deliveries; they are due when it is switched on."""
    id_ = (await house.add()).webhook.id
    async with house.store.transaction() as tx:
        await house.endpoints.update(tx, id_, Change(enabled=False))
    await house.tell(*beginning(1))
    assert await rows(house) == (2, set())
    async with house.store.transaction() as tx:
        await house.endpoints.update(tx, id_, Change(enabled=True))
    assert await rows(house) == (2, {f"webhook:{id_}:{escrow_id(1)}"})


async def test_event_of_a_step_under_way_is_lost(house: House) -> None:
    """An endpoint is switched on only after steps under way, so that what they tell is woken, too."""
    id_ = (await house.add()).webhook.id
    async with house.store.transaction() as tx:
        await house.endpoints.update(tx, id_, Change(enabled=False))
    told, may_end = asyncio.Event(), asyncio.Event()

    async def tell() -> None:
        async with house.store.transaction() as tx:
            await tx.escrows.add(beginning(1)[0])
            told.set()
            await may_end.wait()

    async def switch_on() -> None:
        async with house.store.transaction() as tx:
            await house.endpoints.update(tx, id_, Change(enabled=True))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(tell())
        await told.wait()
        switching = tasks.create_task(switch_on())
        await asyncio.sleep(0.3)
        assert not switching.done()
        may_end.set()
    assert await rows(house) == (1, {f"webhook:{id_}:{escrow_id(1)}"})


async def test_new_endpoint_misses_an_event_that_comes_after_it(house: House) -> None:
    """An endpoint that is made comes wholly after steps under way, and is told of all that come after it."""
    under_way, may_end = asyncio.Event(), asyncio.Event()

    async def tell() -> None:
        async with house.store.transaction() as tx:
            await tx.escrows.add(beginning(1)[0])
            under_way.set()
            await may_end.wait()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(tell())
        await under_way.wait()
        adding = tasks.create_task(house.add())
        await asyncio.sleep(0.3)
        assert not adding.done()
        may_end.set()
    async with asyncio.TaskGroup() as tasks, house.store.transaction() as tx:
        second = await house.endpoints.create(tx, house.receiver.url(), [])
        telling = tasks.create_task(house.tell(beginning(2)[0]))
        await asyncio.sleep(0.3)
        assert not telling.done()
    for webhook in (adding.result().webhook.id, second.webhook.id):
        assert [each.escrow for each in await house.deliveries(webhook)] == [escrow_id(2)]


async def test_removal_breaks_a_step_under_way(house: House) -> None:
    """An endpoint that is removed while steps tell it something goes with all that is for it; the steps are stored."""
    id_ = (await house.add()).webhook.id
    told = asyncio.Event()

    async def tell(number: int) -> None:
        async with house.store.transaction() as tx:
            await tx.escrows.add(beginning(number)[0])
            told.set()
            await asyncio.sleep(0.05)

    async def remove() -> None:
        await told.wait()
        async with house.store.transaction() as tx:
            await house.endpoints.delete(tx, id_)

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        for number in range(1, 9):
            tasks.create_task(tell(number))
        tasks.create_task(remove())
    assert await rows(house) == (0, set())
    assert len(await house.log()) == 8
    with pytest.raises(NoSuchWebhook):
        await house.found(id_)


async def test_endpoint_waits_for_a_step(house: House) -> None:
    """Who asks for a delivery anew does not wait for who is changing its escrow, who may next want its endpoint."""
    id_ = (await house.add()).webhook.id
    await house.tell(*beginning(1))
    delivery = (await house.deliveries(id_))[0]
    if house.database.is_sqlite:
        # One writer at a time: there is nobody to wait for.
        async with house.store.transaction() as tx:
            assert (await house.endpoints.redeliver(tx, id_, delivery.id)).status is DeliveryStatus.PENDING
        return
    async with house.store.transaction() as step:
        await step.escrows.load(escrow_id(1), for_update=True)
        async with asyncio.timeout(10), house.store.transaction() as tx:
            assert (await house.endpoints.redeliver(tx, id_, delivery.id)).status is DeliveryStatus.PENDING
