"""What webhooks need of the store, and of who sends."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from escrowd.domain.escrow.facts import Moment
from escrowd.domain.escrow.history import LogEntry
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.webhooks import Backlog, Delivery, DeliveryStatus, Webhook
from escrowd.service.ports import Claim, Clock
from escrowd.service.webhooks.sending import Outcome


class WebhookRows(Protocol):
    """The endpoints, and the deliveries to them."""

    async def add(self, webhook: Webhook, most: int) -> None:
        """Store a new endpoint. Raises TooManyWebhooks where there are ``most`` already."""
        ...

    async def find(self, webhook: str, *, for_update: bool = False) -> Webhook | None:
        """Return an endpoint; ``for_update`` keeps all others from changing it until the transaction ends."""
        ...

    async def all(self) -> tuple[Webhook, ...]:
        """Return all endpoints, the oldest first."""
        ...

    async def save(self, webhook: Webhook) -> None:
        """Store an endpoint anew, which was found for update, or was changed in this transaction."""
        ...

    async def remove(self, webhook: str) -> None:
        """Forget an endpoint, which was found for update, and all deliveries to it."""
        ...

    async def went_well(self, webhook: str, at: int) -> Webhook | None:
        """Note that an endpoint took something; return it, or ``None`` where it is gone."""
        ...

    async def went_wrong(self, webhook: str, moment: Moment) -> Webhook | None:
        """Note that an endpoint did not take something; return it, or ``None`` where it is gone."""
        ...

    async def next_delivery(self, webhook: str, escrow: EscrowId) -> tuple[Delivery, LogEntry] | None:
        """Return the oldest event of an escrow that an endpoint has not got yet, and how far it has come."""
        ...

    async def delivery(self, webhook: str, delivery: str) -> Delivery | None:
        """Return a delivery to an endpoint."""
        ...

    async def save_delivery(self, delivery: Delivery) -> None:
        """Store how far a delivery has come. Where it is gone, nothing happens."""
        ...

    async def page(
        self, webhook: str, status: DeliveryStatus | None, before: int | None, limit: int
    ) -> tuple[Delivery, ...]:
        """Return deliveries to an endpoint, the newest first, of events with a cursor below ``before``."""
        ...

    async def due_at_once(self, webhook: str, escrow: EscrowId | None = None, up_to: int | None = None) -> None:
        """Let what waits for an endpoint be tried now: all of it, or that of one escrow up to a cursor."""
        ...

    async def pending_counts(self) -> Mapping[str, int]:
        """Return how much waits for each endpoint for which anything does."""
        ...

    async def backlog(self) -> Backlog:
        """Return what has not been delivered yet."""
        ...


class WebhookTransaction(Protocol):
    """One database transaction, as webhooks use it."""

    @property
    def webhooks(self) -> WebhookRows: ...  # noqa: D102 - the type says it
    @property
    def clock(self) -> Clock: ...  # noqa: D102

    async def hold_claim(self, claim: Claim) -> None:
        """Tie this transaction to a claim. Raises LeaseLost where somebody else has it by now."""
        ...


class WebhookStore(Protocol):
    """Where webhooks are kept."""

    def transaction(self) -> AbstractAsyncContextManager[WebhookTransaction]:
        """Begin a transaction; it commits at the end of the block, and rolls back where the block raises."""
        ...

    def reading(self) -> AbstractAsyncContextManager[WebhookTransaction]:
        """Look at everything as it is at one moment, without waiting for writers."""
        ...


class Sender(Protocol):
    """Who sends (:class:`escrowd.service.webhooks.sending.WebhookSender`)."""

    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Post a body, and return what came of it, in time."""
        ...
