import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry
from sqlalchemy import select, text, update
from standardwebhooks import WebhookVerificationError

from escrowd.domain.escrow.status import Status
from escrowd.domain.webhooks import DeliveryStatus, WebhookStatus
from escrowd.service.event_view import event_json
from escrowd.service.webhooks.endpoints import Change
from escrowd.service.webhooks.metrics import BacklogWatch, WebhookCollector
from escrowd.service.webhooks.schedule import PAUSES
from escrowd.service.webhooks.sending import Outcome, WebhookSender
from escrowd.store import schema
from escrowd.store.schema import metadata
from escrowd.testing.receiver import Received, always, in_turn
from tests.contract.store.samples import escrow_id, life
from tests.contract.webhooks.house import DAY, House, beginning, until


async def test_event_comes_changed_or_out_of_order(house: House) -> None:
    """Every event of a life comes once, in order, signed, with the bytes that the list of events shows."""
    added = await house.add()
    async with house.working() as courier:
        await house.tell(*life(Status.COMPLETED))
        await house.until_nothing_is_pending()
    told = await house.log()
    assert [(each.id, each.body) for each in house.receiver.received] == [(e.id, event_json(e)) for e in told]
    assert all(each.is_signed_with(added.secret) for each in house.receiver.received)
    assert {each.headers["content-type"] for each in house.receiver.received} == {"application/json"}
    assert (courier.counters.delivered, courier.counters.failed) == (len(told), 0)
    found = await house.deliveries(added.webhook.id)
    assert {(each.status, each.attempts, each.last_status, each.last_error) for each in found} == {
        (DeliveryStatus.DELIVERED, 1, 204, None)
    }
    assert (await house.found(added.webhook.id)).last_success_at == found[-1].delivered_at


async def test_failure_is_passed_by(house: House) -> None:
    """What was not taken is tried again with the same id and bytes, and nothing later of its escrow comes before it."""
    id_ = (await house.add()).webhook.id
    house.receiver.reply = in_turn(500, 503, 200)
    async with house.working():
        await house.tell(*beginning(1))
        await house.until_settled()
        first, second = await house.log()
        assert house.receiver.ids == [first.id]
        waiting = (await house.deliveries(id_))[0]
        assert (waiting.status, waiting.last_error) == (DeliveryStatus.PENDING, "the answer was 500")
        assert (await house.found(id_)).failing_since is not None
        await house.let_pass(PAUSES[0])
        await until(lambda: len(house.receiver.received) == 2)
        await house.until_settled()
        await house.let_pass(PAUSES[1])
        await house.until_nothing_is_pending()
    assert house.receiver.ids == [first.id] * 3 + [second.id]
    assert {each.body for each in house.receiver.received[:3]} == {event_json(first)}
    assert (await house.found(id_)).failing_since is None


async def test_one_escrow_keeps_others_waiting(house: House) -> None:
    """What is refused of one escrow holds up that escrow alone, and new events do not hurry the next try."""

    async def reply(received: Received) -> int:
        return 500 if received.event["escrow"] == escrow_id(1) else 204

    house.receiver.reply = reply
    await house.add()
    async with house.working():
        await house.tell(beginning(1)[0])
        await house.tell(*beginning(2))
        await house.tell(*beginning(3))
        await until(lambda: len(house.receiver.received) >= 5)
        await house.tell(beginning(1)[1])
        await house.until_settled()
    came = [received.event["escrow"] for received in house.receiver.received]
    assert sorted(came) == [escrow_id(1)] + [escrow_id(2)] * 2 + [escrow_id(3)] * 2
    for number in (2, 3):
        ids = [each.id for each in house.receiver.received if each.event["escrow"] == escrow_id(number)]
        assert ids == [each.id for each in await house.log(escrow_id(number))]


async def test_schedule_is_not_kept(house: House) -> None:
    """An event that is never taken is tried after each pause of the schedule, and never given up."""
    id_ = (await house.add()).webhook.id
    house.settings = replace(house.settings, disable_after=1000 * DAY)
    house.receiver.reply = always(500)
    await house.tell(beginning(1)[0])
    async with house.working():
        for number, pause in enumerate([*PAUSES, PAUSES[-1], PAUSES[-1]], 1):
            await until(lambda number=number: len(house.receiver.received) == number)  # type: ignore[misc]
            await house.until_settled()
            (waiting,) = await house.deliveries(id_)
            assert waiting.next_attempt_at is not None
            assert waiting.last_attempt_at is not None
            assert (waiting.attempts, waiting.next_attempt_at - waiting.last_attempt_at) == (number, 1000 * pause)
            await house.let_pass(pause - 3)
            await house.until_settled()
            assert len(house.receiver.received) == number
            await house.let_pass(3)


class Overtaken:
    """A sender whose claim somebody else takes while it sends, once."""

    def __init__(self, house: House) -> None:
        self._house, self._sender = house, house.sender
        self.times = 0

    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        outcome = await self._sender.send(url, body, headers)
        self.times += 1
        if self.times == 1:
            async with self._house.database.transaction() as session:
                values = {"fence": schema.work.c.fence + 1, "owner": None, "lease_until": 0}
                await session.connection.execute(update(schema.work).values(**values))
        return outcome


async def test_overtaken_try_is_stored(house: House) -> None:
    """Where the claim is lost between answer and commit, nothing is stored, and the event comes again with its id."""
    id_ = (await house.add()).webhook.id
    house.sender = overtaken = Overtaken(house)
    await house.tell(*beginning(1))
    async with house.working():
        await house.until_nothing_is_pending()
    first, second = await house.log()
    assert house.receiver.ids == [first.id, first.id, second.id]
    assert len({each.body for each in house.receiver.received}) == 2
    assert [each.attempts for each in await house.deliveries(id_)] == [1, 1]
    assert overtaken.times == 3


async def test_process_that_ends_in_a_try_loses_it(house: House) -> None:
    """A worker that ends while a receiver hangs leaves the delivery as it was; the next one delivers it."""
    await house.add()
    gone = asyncio.Event()

    async def reply(_received: Received) -> int:
        if not gone.is_set():
            await gone.wait()
        return 204

    house.receiver.reply = reply
    await house.tell(*beginning(1))
    async with house.working():
        await house.receiver.arrived.wait()
    assert await house.pending() == 2
    gone.set()
    async with house.working():
        await house.until_nothing_is_pending()
    first, second = await house.log()
    assert house.receiver.ids == [first.id, first.id, second.id]


# --- switched off ----------------------------------------------------------------------------------------------------


async def test_endpoint_that_is_gone_is_sent_more(house: House) -> None:
    """An endpoint that answers 410 is switched off at once, with the reason, and keeps what it missed."""
    id_ = (await house.add()).webhook.id
    house.receiver.reply = in_turn(410, 204)
    async with house.working():
        await house.tell(*beginning(1))
        await house.until_settled()
        off = await house.found(id_)
        assert (off.status, off.disabled_reason) == (WebhookStatus.DISABLED, "the receiver answered 410 Gone")
        await house.let_pass(30 * DAY)
        await house.tell(*beginning(2))
        await house.until_settled()
        assert len(house.receiver.received) == 1
        async with house.store.transaction() as tx:
            await house.endpoints.update(tx, id_, Change(enabled=True))
        await house.until_nothing_is_pending()
    assert sorted(house.receiver.ids[1:]) == sorted(each.id for each in await house.log())


async def test_endpoint_is_hopeless_for_ever(house: House) -> None:
    """After five days without a success an endpoint is switched off; switched on again, it gets all in order."""
    id_ = (await house.add()).webhook.id
    house.receiver.reply = always(500)
    await house.tell(*life(Status.COMPLETED))
    async with house.working():
        for number, days in enumerate([1, 1, 1, 1, 0.9, 0.5], 1):
            await until(lambda number=number: len(house.receiver.received) == number)  # type: ignore[misc]
            await house.until_settled()
            assert (await house.found(id_)).status is WebhookStatus.ENABLED
            await house.let_pass(days * DAY)
        await until(lambda: len(house.receiver.received) == 7)
        await house.until_settled()
        off = await house.found(id_)
        assert off.disabled_reason == "nothing was taken for 5 days; the last try: the answer was 500"
        house.receiver.reply = always(204)
        await house.let_pass(DAY)
        await house.until_settled()
        assert len(house.receiver.received) == 7
        async with house.store.transaction() as tx:
            on = await house.endpoints.update(tx, id_, Change(enabled=True))
        assert (on.status, on.disabled_reason, on.disabled_at, on.failing_since) == ("enabled", None, None, None)
        await house.until_nothing_is_pending()
    assert house.receiver.ids[7:] == [each.id for each in await house.log()]


async def test_outage_of_the_service_is_put_down_to_the_receiver(house: House) -> None:
    """Days in which the service itself was down do not count against an endpoint."""
    id_ = (await house.add()).webhook.id
    house.receiver.reply = always(500)
    await house.tell(beginning(1)[0])
    async with house.working():
        await until(lambda: len(house.receiver.received) == 1)
        await house.until_settled()
    await house.let_pass(30 * DAY)
    async with house.database.transaction() as session:
        # The running clock stood still.
        await session.connection.execute(text("UPDATE webhooks SET failing_from = failing_from + 2592000000"))
    async with house.working():
        await until(lambda: len(house.receiver.received) == 2)
        await house.until_settled()
    assert (await house.found(id_)).status is WebhookStatus.ENABLED


async def test_hanging_endpoint_takes_all_places(house: House) -> None:
    """Of an endpoint that hangs so many tries run at once that half of the places are left for others."""

    async def reply(received: Received) -> int:
        if received.path == "/hangs":
            await asyncio.Event().wait()
        return 204

    house.receiver.reply = reply
    house.settings = replace(house.settings, at_once=4, timeout=60.0)
    hanging = await house.add(url=house.receiver.url(path="/hangs"))
    good = await house.add(url=house.receiver.url(path="/good"))
    async with WebhookSender(house.settings) as house.sender, house.working():
        for number in range(1, 13):
            await house.tell(beginning(number)[0])
        await until(lambda: sum(each.path == "/good" for each in house.receiver.received) == 12)
        assert sum(each.path == "/hangs" for each in house.receiver.received) <= 2
    assert {each.status for each in await house.deliveries(good.webhook.id)} == {DeliveryStatus.DELIVERED}
    assert {each.status for each in await house.deliveries(hanging.webhook.id)} == {DeliveryStatus.PENDING}


# --- sent again ------------------------------------------------------------------------------------------------------


async def test_redelivery_is_another_event(house: House) -> None:
    """A delivered event that is sent again comes with the same id and bytes, as one try more."""
    id_ = (await house.add()).webhook.id
    async with house.working():
        await house.tell(*beginning(1))
        await house.until_nothing_is_pending()
        async with house.store.transaction() as tx:
            await house.endpoints.redeliver(tx, id_, (await house.deliveries(id_))[0].id)
        await until(lambda: len(house.receiver.received) == 3)
        await house.until_nothing_is_pending()
    one, _two, again = house.receiver.received
    assert (again.id, again.body) == (one.id, one.body)
    assert [each.attempts for each in await house.deliveries(id_)] == [2, 1]


async def test_redelivery_waits_for_its_pause(house: House) -> None:
    """An event that waits for its next try is tried at once when asked for, and all before it, in order."""
    id_ = (await house.add()).webhook.id
    house.receiver.reply = in_turn(500, 204)
    async with house.working():
        await house.tell(*beginning(1))
        await house.until_settled()
        async with house.store.transaction() as tx:
            await house.endpoints.redeliver(tx, id_, (await house.deliveries(id_))[1].id)
        await house.until_nothing_is_pending()
    first, second = await house.log()
    assert house.receiver.ids == [first.id, first.id, second.id]


async def test_new_url_waits_for_the_old_pause(house: House) -> None:
    """An endpoint with a new URL is tried at once there, and is no longer taken for failing."""
    id_ = (await house.add(url=house.receiver.url(path="/old"))).webhook.id
    house.receiver.reply = in_turn(500, 204)
    async with house.working():
        await house.tell(*beginning(1))
        await house.until_settled()
        async with house.store.transaction() as tx:
            await house.endpoints.update(tx, id_, Change(url=house.receiver.url(path="/new")))
        await house.until_nothing_is_pending()
    assert [each.path for each in house.receiver.received] == ["/old", "/new", "/new"]
    assert (await house.found(id_)).failing_since is None


# --- secrets ---------------------------------------------------------------------------------------------------------


async def test_rotation_leaves_a_gap(house: House) -> None:
    """While both secrets are valid either verifies each delivery; afterwards the new one alone."""
    old = await house.add()
    async with house.store.transaction() as tx:
        new = await house.endpoints.rotate_secret(tx, old.webhook.id, 3600)
    assert old.secret != new.secret
    async with house.working():
        await house.tell(beginning(1)[0])
        await house.until_nothing_is_pending()
        await house.let_pass(3601)
        await house.tell(beginning(1)[1])
        await house.until_nothing_is_pending()
    during, after = house.receiver.received
    assert during.is_signed_with(old.secret)
    assert during.is_signed_with(new.secret)
    assert after.is_signed_with(new.secret)
    with pytest.raises(WebhookVerificationError):
        after.is_signed_with(old.secret)


async def test_secret_is_seen(house: House) -> None:
    """A secret, and what a URL may hold of them, is in no log; a secret is in no row either."""
    with structlog.testing.capture_logs() as logged:
        first = await house.add(url=house.receiver.url(path="/pa55"))
        house.receiver.reply = in_turn(500, 204, 410)
        async with house.working():
            await house.tell(*beginning(1))
            await house.until_settled()
            await house.let_pass(PAUSES[0])
            await house.until_settled()
        async with house.store.transaction() as tx:
            second = await house.endpoints.rotate_secret(tx, first.webhook.id)
    stored: list[Any] = []
    async with house.database.reading() as session:
        for table in metadata.tables.values():
            stored.extend((await session.connection.execute(select(table))).all())
    assert {each["event"] for each in logged} >= {"webhook.failed", "webhook.delivered", "webhook.disabled"}
    for secret in (first.secret, second.secret):
        assert secret.reveal()[6:] not in str(stored) + str(logged) + str(first) + str(second)
    assert "pa55" not in str(logged)


# --- counted ---------------------------------------------------------------------------------------------------------


async def test_backlog_is_not_counted(house: House) -> None:
    """What waits, how old the oldest of it is, what was tried, and who is switched off is counted."""
    id_ = (await house.add()).webhook.id
    metrics = CollectorRegistry()

    def value(name: str, **labels: str) -> float | None:
        return metrics.get_sample_value(f"escrowd_webhook_{name}", labels)

    house.receiver.reply = in_turn(500, 204)
    async with house.working() as courier, BacklogWatch(house.store) as watch:
        metrics.register(WebhookCollector(courier.counters, watch))
        await house.tell(*beginning(1))
        await house.until_settled()
        await watch.look()
        assert (value("pending"), value("disabled")) == (2, 0)
        assert 0 <= (value("oldest_pending_seconds") or 0) < 60
        await house.let_pass(PAUSES[0])
        await house.until_nothing_is_pending()
        async with house.store.transaction() as tx:
            await house.endpoints.update(tx, id_, Change(enabled=False))
        await house.tell(*beginning(2))
        await watch.look()
    assert (value("pending"), value("oldest_pending_seconds"), value("disabled")) == (2, 0, 1)
    outcomes = {outcome: value("deliveries_total", outcome=outcome) for outcome in ("ok", "failed")}
    assert outcomes == {"ok": 2, "failed": 1}
