"""Everything that delivers webhooks, over a real database and a receiver on loopback."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, Table, select, update

from escrowd.bootstrap.webhooks import handler_of
from escrowd.domain.escrow.history import LogEntry
from escrowd.domain.escrow.machine import Step
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.webhooks import EVENT_TYPES, Delivery, Webhook
from escrowd.service.webhooks.courier import WebhookCourier
from escrowd.service.webhooks.endpoints import WebhookEndpoints, WithSecret
from escrowd.service.webhooks.ports import Sender
from escrowd.service.webhooks.sending import WebhookSender
from escrowd.service.webhooks.settings import WebhookSettings
from escrowd.service.worker import RowHandler, Worker, WorkerSettings
from escrowd.store import schema
from escrowd.store.database import Database
from escrowd.store.schema_webhooks import deliveries, webhooks
from escrowd.store.store import SqlStore, SqlWorkQueue
from escrowd.store.webhooks import WEBHOOK
from escrowd.testing.receiver import LOOPBACK, Receiver
from escrowd.wallets.vault import KEY_BYTES, Vault
from tests.contract.store.samples import first_step, keys_ready, store_steps

PATIENCE: Final = 60.0
QUICK: Final = WorkerSettings(lease=5.0, poll=0.1, first_pause=0.05, longest_pause=0.2, stop_patience=0.2)
SETTINGS: Final = WebhookSettings(allowed_networks=LOOPBACK, timeout=3.0)
DAY: Final = 86400.0


@dataclass
class House:
    """A store, endpoints and a receiver. Time passes when it is told to: what is stored grows older by it."""

    database: Database
    store: SqlStore
    vault: Vault
    endpoints: WebhookEndpoints
    receiver: Receiver
    sender: Sender
    settings: WebhookSettings = SETTINGS

    @classmethod
    @asynccontextmanager
    async def open(cls, database: Database) -> AsyncIterator["House"]:
        vault = Vault(secrets.token_bytes(KEY_BYTES))
        async with Receiver.listening() as receiver, WebhookSender(SETTINGS) as sender:
            store = SqlStore(database, "node")
            yield cls(database, store, vault, WebhookEndpoints(vault, SETTINGS), receiver, sender)

    @asynccontextmanager
    async def working(self, **others: RowHandler) -> AsyncIterator[WebhookCourier]:
        """Deliver until the end of the block."""
        courier = WebhookCourier(self.store, self.sender, self.vault, self.settings, chance=lambda: 0.0)
        handlers = {WEBHOOK: handler_of(courier), **others}
        worker = Worker(SqlWorkQueue(self.database, "node"), handlers, QUICK)
        self.database.on_wake(worker.wake)
        async with worker:
            yield courier

    async def add(self, types: Sequence[str] = (), url: str = "") -> WithSecret:
        async with self.store.transaction() as tx:
            return await self.endpoints.create(tx, url or self.receiver.url(), types)

    async def found(self, webhook: str) -> Webhook:
        async with self.store.reading() as tx:
            return await self.endpoints.get(tx, webhook)

    async def tell(self, *steps: Step) -> None:
        await store_steps(self.store, steps)

    async def log(self, *escrows: EscrowId) -> list[LogEntry]:
        """Return the public entries of escrows, in the order of their cursors."""
        async with self.store.reading() as tx:
            return [
                e for e in await tx.escrows.feed() if e.type in EVENT_TYPES and (e.escrow in escrows or not escrows)
            ]

    async def deliveries(self, webhook: str) -> list[Delivery]:
        """Return the deliveries to an endpoint, the oldest first."""
        async with self.store.reading() as tx:
            return list((await self.endpoints.deliveries(tx, webhook)).items)[::-1]

    async def pending(self) -> int:
        async with self.store.reading() as tx:
            return (await tx.webhooks.backlog()).pending

    async def until_nothing_is_pending(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while await self.pending():
                await asyncio.sleep(0.02)

    async def until_settled(self) -> None:
        """Wait until nobody works, and nothing that waits is due, now or in a moment."""
        work = schema.work
        async with asyncio.timeout(PATIENCE):
            while True:
                async with self.store.reading() as tx:
                    now = (await tx.clock.now()).utc
                async with self.database.reading() as session:
                    query = select(work.c.key).where(
                        work.c.kind == WEBHOOK, work.c.owner.is_not(None) | (work.c.due_at <= now + 500)
                    )
                    if not (await session.connection.execute(query)).all():
                        return
                await asyncio.sleep(0.02)

    async def let_pass(self, seconds: float) -> None:
        """Let time pass: all that is stored of webhooks becomes so much older."""
        by = int(1000 * seconds)
        async with self.database.transaction() as session:
            for column in (*_times(webhooks), *_times(deliveries)):
                await session.connection.execute(update(column.table).values({column.name: column - by}))
            due = schema.work.c.due_at
            await session.connection.execute(update(schema.work).values(due_at=due - by))
        self.database.tell_woken("")


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(PATIENCE):
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            await asyncio.sleep(0.01)


def beginning(number: int) -> list[Step]:
    """Return the steps of an escrow that tell two events: it was created, and it is ready."""
    first = first_step(number)
    return [first, keys_ready(first.after)]


# ---------------------------------------------------------------------------------------------------------------------


def _times(table: Table) -> list[Column[Any]]:
    names = ("_at", "_since", "_from", "_until")
    return [column for column in table.c if column.name.endswith(names) and column.name != "created_at"]
