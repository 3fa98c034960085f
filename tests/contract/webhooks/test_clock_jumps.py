"""The clock of the database is set back by a day: a delivery is tried again when its pause is over (finding W9)."""

import pytest

from escrowd.service.webhooks.endpoints import Change
from escrowd.service.webhooks.schedule import PAUSES
from escrowd.testing.receiver import Received
from tests.contract.database_clock import DAY, DatabaseClock, beat
from tests.contract.webhooks.house import House, beginning, until


async def refuse(_received: Received) -> int:
    return 500


@pytest.mark.parametrize("jump", [-DAY, DAY])
async def test_retry_of_a_webhook_is_due_after_its_pause(database_clock: DatabaseClock, jump: float) -> None:
    """Also where another event of the escrow wakes its row meanwhile: that does not shorten the pause."""
    async with database_clock.opened() as database, House.open(database) as house:
        await beat(database)
        id_ = (await house.add()).webhook.id
        house.receiver.reply = refuse
        first, second = beginning(1)
        await house.tell(first)
        async with house.working():
            await until(lambda: len(house.receiver.received) == 1)
            await house.until_settled()
            await database_clock.jump(jump)
            await beat(database)
            if jump < 0:
                await house.tell(second)
                await house.until_settled()
                assert len(house.receiver.received) == 1
            await database_clock.pass_time(PAUSES[0] + 1, database)
            await until(lambda: len(house.receiver.received) == 2)
            await house.until_settled()
            waiting, *_ = await house.deliveries(id_)
            assert waiting.attempts == 2


async def test_delivery_that_is_asked_for_anew_is_tried_at_once(database_clock: DatabaseClock) -> None:
    """An endpoint that is switched off and on again gets what waits for it, before the next beat, too."""
    async with database_clock.opened() as database, House.open(database) as house:
        await beat(database)
        id_ = (await house.add()).webhook.id
        house.receiver.reply = refuse
        await house.tell(beginning(1)[0])
        async with house.working():
            await until(lambda: len(house.receiver.received) == 1)
            await house.until_settled()
            await database_clock.jump(-DAY)
            for is_enabled in (False, True):
                async with house.store.transaction() as tx:
                    await house.endpoints.update(tx, id_, Change(enabled=is_enabled))
            await until(lambda: len(house.receiver.received) == 2)
            await house.until_settled()
