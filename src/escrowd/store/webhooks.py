"""Webhooks in SQL: the endpoints, and the outbox of events on their way to each.

An endpoint is locked before its deliveries. Whoever changes one takes the whole row, and so waits for steps that are
writing events for it, and they for him: a step either sees the change, or its deliveries are seen by who makes it.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, RowMapping, Select, and_, delete, func, insert, not_, select, text, update

from escrowd.domain.conflicts import TooManyWebhooks
from escrowd.domain.escrow.facts import Moment
from escrowd.domain.escrow.history import LogEntry
from escrowd.domain.identifiers import RANDOM_BYTES, EscrowId, Prefix, make_identifier
from escrowd.domain.webhooks import EVENT_TYPES, Backlog, Delivery, DeliveryStatus, Webhook, WebhookStatus
from escrowd.store import schema
from escrowd.store.log_lock import lock_log
from escrowd.store.schema_webhooks import deliveries, webhooks
from escrowd.store.session import Present, Session
from escrowd.store.work import WorkTable

#: The kind of the work rows of deliveries, and what their keys begin with.
WEBHOOK: Final = "webhook"
#: What the outbox has to know of all endpoints, with a shared lock: nobody waits for it but who changes or removes one.
ENDPOINTS: Final = select(webhooks.c.id, webhooks.c.types, webhooks.c.status).with_for_update(read=True, key_share=True)


def webhook_key(webhook: str, escrow: EscrowId) -> str:
    """Name the work row of what one endpoint is told about one escrow."""
    return f"{WEBHOOK}:{webhook}:{escrow}"


class Outbox:
    """Puts events on their way, in the transaction that stores them."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def put(self, events: Sequence[tuple[str, str]], found: Sequence[Sequence[Any]]) -> None:
        """Make a delivery of each event, by id and type, for every endpoint that wants it, and wake who delivers.

        ``found`` is what ``ENDPOINTS`` was answered in this transaction. An endpoint that is switched off gets its
        deliveries, too: they wait for it.
        """
        endpoints = [_Endpoint(*row) for row in found]
        ids = [event for event, kind in events if kind in EVENT_TYPES]
        if not (endpoints and ids):
            return
        log, present = schema.log, await self._session.present()
        stored = (
            select(log.c.cursor, log.c.id, log.c.type, log.c.escrow).where(log.c.id.in_(ids)).order_by(log.c.cursor)
        )
        entries = (await self._session.connection.execute(stored)).mappings().all()
        rows = [
            _new_row(endpoint.id, entry, present)
            for endpoint in endpoints
            for entry in entries
            if endpoint.wants(entry["type"])
        ]
        if rows:
            await self._session.connection.execute(insert(deliveries), rows)
        off = {each.id for each in endpoints if each.status == WebhookStatus.DISABLED}
        for key in {webhook_key(row["webhook"], row["escrow"]) for row in rows if row["webhook"] not in off}:
            await WorkTable(self._session).wake(key)


class WebhookTable:
    """The endpoints and deliveries of one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    # --- endpoints ---------------------------------------------------------------------------------------------------

    async def add(self, webhook: Webhook, most: int) -> None:
        """Store a new endpoint. It is told of every event that gets its cursor from then on.

        Raises:
            TooManyWebhooks: there are ``most`` already.

        """
        if self._session.dialect == "postgresql":
            # Else two that come at the same time could both find room for the last one.
            await self._session.connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADDING_LOCK})"))
        count = (await self._session.connection.execute(select(func.count()).select_from(webhooks))).scalar_one()
        if count >= most:
            raise TooManyWebhooks(f"there are {count} webhooks, and no more than {most} are kept: remove one first")
        # Events under way asked whom to tell before this endpoint was there: they come first, and wholly.
        await lock_log(self._session)
        await self._session.connection.execute(insert(webhooks).values(**_webhook_columns(webhook)))

    async def find(self, webhook: str, *, for_update: bool = False) -> Webhook | None:
        """Return an endpoint; ``for_update`` keeps all others from changing it until the transaction ends."""
        query = select(webhooks).where(webhooks.c.id == webhook)
        row = (await self._session.connection.execute(query.with_for_update() if for_update else query)).one_or_none()
        return None if row is None else _webhook(row)

    async def all(self) -> tuple[Webhook, ...]:
        """Return all endpoints, the oldest first."""
        rows = await self._session.connection.execute(select(webhooks).order_by(webhooks.c.created_at, webhooks.c.id))
        return tuple(_webhook(row) for row in rows)

    async def save(self, webhook: Webhook) -> None:
        """Store an endpoint anew, which was found for update, or was changed in this transaction."""
        mine = webhooks.c.id == webhook.id
        await self._session.connection.execute(update(webhooks).where(mine).values(**_webhook_columns(webhook)))

    async def remove(self, webhook: str) -> None:
        """Forget an endpoint, which was found for update, and all deliveries to it."""
        await self._session.connection.execute(delete(deliveries).where(deliveries.c.webhook == webhook))
        await self._session.connection.execute(delete(webhooks).where(webhooks.c.id == webhook))
        work = schema.work
        # Not what is under way: it finds nothing left to deliver.
        idle = and_(work.c.key.startswith(f"{WEBHOOK}:{webhook}:"), work.c.owner.is_(None))
        await self._session.connection.execute(delete(work).where(idle))

    async def went_well(self, webhook: str, at: int) -> Webhook | None:
        """Note that an endpoint took something; return it, or ``None`` where it is gone."""
        return await self._note(webhook, last_success_at=at, failing_since=None, failing_from=None)

    async def went_wrong(self, webhook: str, moment: Moment) -> Webhook | None:
        """Note that an endpoint did not take something; return it, or ``None`` where it is gone."""
        since = func.coalesce(webhooks.c.failing_since, moment.utc)
        from_ = func.coalesce(webhooks.c.failing_from, moment.running)
        return await self._note(webhook, failing_since=since, failing_from=from_)

    async def _note(self, webhook: str, **values: object) -> Webhook | None:
        changed = update(webhooks).where(webhooks.c.id == webhook).values(**values).returning(webhooks)
        row = (await self._session.connection.execute(changed)).one_or_none()
        return None if row is None else _webhook(row)

    # --- deliveries --------------------------------------------------------------------------------------------------

    async def next_delivery(self, webhook: str, escrow: EscrowId) -> tuple[Delivery, LogEntry] | None:
        """Return the oldest event of an escrow that an endpoint has not got yet, and how far it has come."""
        head = self._pending(webhook, deliveries.c.escrow == escrow).order_by(deliveries.c.cursor).limit(1)
        row = (await self._session.connection.execute(head)).one_or_none()
        if row is None:
            return None
        entry = (
            await self._session.connection.execute(select(schema.log).where(schema.log.c.cursor == row.cursor))
        ).one()
        return _delivery(row), LogEntry(**entry._mapping)  # noqa: SLF001 - the documented way to a row's names

    async def delivery(self, webhook: str, delivery: str) -> Delivery | None:
        """Return a delivery to an endpoint."""
        query = select(deliveries).where(deliveries.c.id == delivery, deliveries.c.webhook == webhook)
        row = (await self._session.connection.execute(query)).one_or_none()
        return None if row is None else _delivery(row)

    async def save_delivery(self, delivery: Delivery) -> None:
        """Store how far a delivery has come. Where it is gone, nothing happens."""
        mine = deliveries.c.id == delivery.id
        await self._session.connection.execute(update(deliveries).where(mine).values(**_plain(delivery)))

    async def page(
        self, webhook: str, status: DeliveryStatus | None, before: int | None, limit: int
    ) -> tuple[Delivery, ...]:
        """Return deliveries to an endpoint, the newest first, of events with a cursor below ``before``."""
        query = select(deliveries).where(deliveries.c.webhook == webhook).order_by(deliveries.c.cursor.desc())
        if status is not None:
            # Written out, so that SQLite knows that its partial index will do.
            query = query.where(text(f"status = '{status}'"))
        if before is not None:
            query = query.where(deliveries.c.cursor < before)
        return tuple(_delivery(row) for row in await self._session.connection.execute(query.limit(limit)))

    async def due_at_once(self, webhook: str, escrow: EscrowId | None = None, up_to: int | None = None) -> None:
        """Let what waits for an endpoint be tried now: all of it, or that of one escrow up to a cursor."""
        wanted = [deliveries.c.escrow == escrow] if escrow else []
        if up_to is not None:
            wanted.append(deliveries.c.cursor <= up_to)
        waiting = self._pending(webhook, *wanted).subquery()
        found = await self._session.connection.execute(select(waiting.c.escrow).distinct())
        of = [EscrowId(each) for each in found.scalars()]
        await self._session.connection.execute(
            update(deliveries)
            .where(deliveries.c.webhook == webhook, deliveries.c.status == "pending", *wanted)
            .values(next_attempt_at=await self._session.work_now(), failures=0)
        )
        for each in of:
            await WorkTable(self._session).wake(webhook_key(webhook, each))

    async def pending_counts(self) -> Mapping[str, int]:
        """Return how much waits for each endpoint for which anything does."""
        query = (
            select(deliveries.c.webhook, func.count()).where(text("status = 'pending'")).group_by(deliveries.c.webhook)
        )
        return {webhook: count for webhook, count in await self._session.connection.execute(query)}

    async def backlog(self) -> Backlog:
        """Return what has not been delivered yet. The oldest is sought among endpoints that are not switched off."""
        is_off = webhooks.c.status == str(WebhookStatus.DISABLED)
        off = select(func.count()).select_from(webhooks).where(is_off)
        disabled = (await self._session.connection.execute(off)).scalar_one()
        waiting = text("deliveries.status = 'pending'")
        count = select(func.count()).select_from(deliveries).where(waiting)
        pending = (await self._session.connection.execute(count)).scalar_one()
        first = select(func.min(deliveries.c.created_at)).join(webhooks).where(waiting, not_(is_off))
        oldest = (await self._session.connection.execute(first)).scalar_one()
        return Backlog(pending, oldest, disabled, await self._session.now())

    @staticmethod
    def _pending(webhook: str, *conditions: ColumnElement[bool]) -> Select[Any]:
        # The status is written out, so that SQLite knows that its partial index will do.
        return select(deliveries).where(deliveries.c.webhook == webhook, text("status = 'pending'"), *conditions)


# ---------------------------------------------------------------------------------------------------------------------

#: A number of our own for the advisory lock under which endpoints are added.
_ADDING_LOCK: Final = 0x77686B


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """As much of an endpoint as decides whether it is told of an event."""

    id: str
    #: With spaces between; empty for all.
    types: str
    status: str

    def wants(self, kind: str) -> bool:
        return not self.types or kind in self.types.split()


def _new_row(webhook: str, entry: RowMapping, present: Present) -> dict[str, Any]:
    return _plain(
        Delivery(
            id=make_identifier(Prefix.DELIVERY, present.utc, secrets.token_bytes(RANDOM_BYTES)),
            webhook=webhook,
            escrow=EscrowId(entry["escrow"]),
            cursor=entry["cursor"],
            event=entry["id"],
            type=entry["type"],
            created_at=present.utc,
            next_attempt_at=present.work,
        )
    )


def _plain(value: Delivery | Webhook) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def _webhook_columns(webhook: Webhook) -> dict[str, Any]:
    return _plain(webhook) | {"types": " ".join(sorted(webhook.types)), "status": str(webhook.status)}


def _webhook(row: Row[Any]) -> Webhook:
    values = dict(row._mapping)  # noqa: SLF001 - the documented way to a row's names
    return Webhook(**values | {"types": tuple(row.types.split()), "status": WebhookStatus(row.status)})


def _delivery(row: Row[Any]) -> Delivery:
    values = dict(row._mapping)  # noqa: SLF001 - the documented way to a row's names
    return Delivery(**values | {"escrow": EscrowId(row.escrow), "status": DeliveryStatus(row.status)})
