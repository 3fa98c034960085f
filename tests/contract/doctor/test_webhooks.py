"""What is wrong with the webhooks of a service, on SQLite and on PostgreSQL."""

from dataclasses import replace
from typing import Final

from sqlalchemy import update

from escrowd.domain.webhooks import DeliveryStatus, WebhookStatus
from escrowd.service.webhooks.endpoints import Change, WebhookEndpoints
from escrowd.store.database import Database
from escrowd.store.schema_webhooks import deliveries
from escrowd.store.store import SqlStore
from escrowd.wallets.vault import KEY_BYTES, Vault
from tests.contract.store.samples import first_step, store_steps
from tests.doctor_place import Place, told

DAY: Final = 24 * 3_600_000
ENDPOINTS: Final = WebhookEndpoints(Vault(bytes(KEY_BYTES)))
#: A URL may hold a secret of whoever receives.
URL: Final = "https://shop.example/hooks/hunter2"


async def add(database: Database) -> str:
    async with SqlStore(database, "node-1").transaction() as tx:
        return (await ENDPOINTS.create(tx, URL)).webhook.id


async def switch(database: Database, webhook: str, *, on: bool) -> None:
    """Switch an endpoint as a person does."""
    async with SqlStore(database, "node-1").transaction() as tx:
        await ENDPOINTS.update(tx, webhook, Change(enabled=on))


async def give_up(database: Database, webhook: str) -> None:
    """Switch an endpoint off as the courier does."""
    async with SqlStore(database, "node-1").transaction() as tx:
        found = await ENDPOINTS.get(tx, webhook)
        off = replace(found, status=WebhookStatus.DISABLED, disabled_reason="it answered 410", disabled_at=1)
        await tx.webhooks.save(off)


async def grow_older(database: Database, milliseconds: int) -> None:
    """Let what is on its way have happened so much earlier."""
    async with database.transaction() as session:
        older = deliveries.c.created_at - milliseconds
        await session.connection.execute(update(deliveries).values(created_at=older))


async def test_switched_off_webhook_is_passed_over(place: Place, own_database: Database) -> None:
    """A webhook that failures switched off is told of with the reason; one that a person switched off is not."""
    check = "webhooks are switched on"
    by_person, by_failure = await add(own_database), await add(own_database)
    await switch(own_database, by_person, on=False)
    assert await place.look(check) == ()
    await give_up(own_database, by_failure)
    finding = told(await place.look(check), "webhooks.disabled", mend=f"escrowd webhooks enable {by_failure}")
    assert "it answered 410" in finding.what
    assert "hunter2" not in finding.what
    assert finding.severity == "warning"
    await switch(own_database, by_failure, on=True)
    assert await place.look(check) == ()


async def test_late_event_is_passed_over(place: Place, own_database: Database) -> None:
    """An event that waits for more than a day is told of, with the last error, but for a webhook that is off."""
    check, store = "webhooks are told in time", SqlStore(own_database, "node-1")
    late, off = await add(own_database), await add(own_database)
    await switch(own_database, off, on=False)
    await store_steps(store, [first_step(1)])
    await grow_older(own_database, DAY - 60_000)
    assert await place.look(check) == ()
    await grow_older(own_database, 2 * DAY)
    await store_steps(store, [first_step(2)])
    finding = told(await place.look(check), "webhooks.behind", mend=f"escrowd webhooks deliveries {late}")
    assert "71 hours ago; the last try: none yet" in finding.what
    async with store.transaction() as tx:
        fresh, oldest = (await ENDPOINTS.deliveries(tx, late)).items
        await tx.webhooks.save_delivery(replace(oldest, attempts=9, failures=9, last_error="connection refused"))
    finding = told(await place.look(check), "webhooks.behind", mend="its receiver takes")
    assert "the last try: connection refused" in finding.what
    assert "hunter2" not in finding.what
    async with store.transaction() as tx:
        taken = replace(oldest, status=DeliveryStatus.DELIVERED, next_attempt_at=None, delivered_at=1)
        await tx.webhooks.save_delivery(taken)
        assert fresh.status is DeliveryStatus.PENDING
    assert await place.look(check) == ()
