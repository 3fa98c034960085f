"""What the routes work with. Put together once, by the wiring."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Protocol

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry

from escrowd.api.changes import Changes
from escrowd.api.rates import Doorkeeper, Rates
from escrowd.domain.escrow.terms import DeadlineTerms, Overpayment
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.networks import Network
from escrowd.domain.payouts.fees import FeeRate
from escrowd.service.front.answering import Answering
from escrowd.service.front.callers import Callers
from escrowd.service.front.escrows import EscrowDesk
from escrowd.service.front.ports import FrontStore
from escrowd.service.observing import Observer, nobody_wants_to_know
from escrowd.service.webhooks.endpoints import WebhookEndpoints
from escrowd.wire.sessions import Session, SessionStats


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """What the API has to know of the settings."""

    network: Network
    #: What links of parties begin with, without a slash at the end.
    public_url: str
    #: What holds for escrows whose terms do not say it.
    confirmations: int
    deadlines: DeadlineTerms
    #: How much less than the amount counts as paid, in piconero, and at most what terms may have.
    tolerance: int = 0
    overpayment: Overpayment = Overpayment.RETURN
    most_body_bytes: int = 65_536


class SessionDoor(Protocol):
    """The wallet sessions of this node, as the operator sees them."""

    def all(self) -> tuple[Session, ...]:
        """Return all of them."""
        ...

    def stats(self) -> SessionStats:
        """Return how they do."""
        ...

    async def close(self, escrow: EscrowId) -> None:
        """Save and close the wallets of an escrow as soon as nobody uses them."""
        ...


@dataclass(frozen=True, slots=True)
class ApiParts:
    """Everything behind the routes."""

    settings: ApiSettings
    store: FrontStore
    desk: EscrowDesk
    callers: Callers
    answering: Answering
    changes: Changes
    rates: Rates
    doorkeeper: Doorkeeper
    sessions: SessionDoor
    webhooks: WebhookEndpoints
    metrics: CollectorRegistry
    #: Called when a set of wallets may have been taken out of the stock.
    look_at_stock: Callable[[], None]
    #: Returns what the network asked for lately; ``None`` where that is not known. Commands are judged by the same.
    fee_rate: Callable[[], FeeRate | None]
    #: What has to hold for the service to do its work, by name: what is wrong and what to do, or nothing.
    readiness: Callable[[], Awaitable[Mapping[str, str]]]
    #: What an operator has to know while the service works, a sentence by name.
    warnings: Callable[[], Mapping[str, str]] = dict
    #: Told of each request that was answered.
    observe: Observer = nobody_wants_to_know


async def parts_of(request: Request) -> ApiParts:
    """Return what the routes of this application work with."""
    # Asynchronous although it waits for nothing: FastAPI would send a plain function to a thread, with each request.
    parts: ApiParts = request.app.state.parts
    return parts


Parts = Annotated[ApiParts, Depends(parts_of)]
