"""What is said of an endpoint while a try is under way counts for more than what comes of that try."""

import asyncio

from sqlalchemy import update

from escrowd.domain.webhooks import DeliveryStatus, WebhookStatus
from escrowd.service.webhooks.endpoints import Change
from escrowd.store.schema_webhooks import deliveries
from escrowd.testing.receiver import Received
from tests.contract.webhooks.house import House, beginning, until


class Slow:
    """Answers the first request with a status when it is told to go on, and all later ones with 204 at once."""

    def __init__(self, status: int) -> None:
        self.goes_on = asyncio.Event()
        self.times = 0
        self._status = status

    async def __call__(self, _received: Received) -> int:
        self.times += 1
        if self.times > 1:
            return 204
        await self.goes_on.wait()
        return self._status


async def one_waits(house: House) -> str:
    """Add an endpoint for which an event waits that failed so often that the next pause is hours; return its id."""
    id_ = (await house.add()).webhook.id
    await house.tell(beginning(1)[0])
    async with house.database.transaction() as session:
        await session.connection.execute(update(deliveries).values(failures=5))
    return id_


async def test_failure_at_the_old_url_holds_up_the_new_one(house: House) -> None:
    """An endpoint that gets another URL is sent at once what it has not got, also when a try at the old one fails."""
    id_ = await one_waits(house)
    house.receiver.reply = slow = Slow(500)
    async with house.working():
        await until(lambda: slow.times == 1)
        async with house.store.transaction() as tx:
            await house.endpoints.update(tx, id_, Change(url=house.receiver.url(path="/new")))
        slow.goes_on.set()
        await house.until_nothing_is_pending()
    assert [each.path for each in house.receiver.received] == ["/hook", "/new"]
    assert (await house.found(id_)).failing_since is None


async def test_old_url_switches_the_new_one_off(house: House) -> None:
    """An endpoint that got another URL stays switched on, whatever the old one answers to a try that was under way."""
    id_ = await one_waits(house)
    house.receiver.reply = slow = Slow(410)
    async with house.working():
        await until(lambda: slow.times == 1)
        async with house.store.transaction() as tx:
            await house.endpoints.update(tx, id_, Change(url=house.receiver.url(path="/new")))
        slow.goes_on.set()
        await house.until_nothing_is_pending()
    assert (await house.found(id_)).status is WebhookStatus.ENABLED


async def test_redelivery_is_put_off_by_the_try_before_it(house: House) -> None:
    """Who asks for an event gets it now, also when a try that was under way fails, and each try is counted."""
    id_ = await one_waits(house)
    house.receiver.reply = slow = Slow(500)
    async with house.working():
        await until(lambda: slow.times == 1)
        (delivery,) = await house.deliveries(id_)
        async with house.store.transaction() as tx:
            await house.endpoints.redeliver(tx, id_, delivery.id)
        slow.goes_on.set()
        await house.until_nothing_is_pending()
    (delivery,) = await house.deliveries(id_)
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.DELIVERED, 2)
