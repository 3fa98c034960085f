"""A receiver of webhooks on loopback, which answers well or badly as it is told, and keeps what it was sent."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, Final, TypeAlias

import msgspec
from aiohttp import web
from standardwebhooks import Webhook

from escrowd.domain.secret import Secret

#: What the settings have to allow, so that anything reaches a receiver.
LOOPBACK: Final = (ip_network("127.0.0.0/8"),)


@dataclass(frozen=True, slots=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """The id of the event, as the headers say it."""
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        """What the body says."""
        return msgspec.json.decode(self.body, type=dict[str, Any])

    def is_signed_with(self, secret: Secret) -> bool:
        """Whether the reference library takes the signature. An error where it does not."""
        return bool(Webhook(secret.reveal()).verify(self.body, self.headers)["id"] == self.id)


Reply: TypeAlias = Callable[[Received], Awaitable[int]]


class Receiver:
    """A receiver. ``reply`` decides which status an event is answered with; ``answer`` does everything itself."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.reply: Reply = always(204)
        self.answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] | None = None
        self.arrived = asyncio.Event()
        self.port = 0
        self.host = "127.0.0.1"
        self.scheme = "http"

    @classmethod
    @asynccontextmanager
    async def listening(cls, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator["Receiver"]:
        """Listen until the end of the block."""
        receiver = cls()
        server = web.Server(receiver._handle)
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, 0, ssl_context=tls)
            await site.start()
            receiver.host, receiver.port = runner.addresses[0][:2]
            receiver.scheme = "https" if tls else "http"
            yield receiver
        finally:
            await runner.cleanup()

    def url(self, host: str = "", path: str = "/hook") -> str:
        """Return the URL of this receiver, under another name if one is given."""
        return f"{self.scheme}://{host or self.host}:{self.port}{path}"

    @property
    def ids(self) -> list[str]:
        """The ids of the events that came, in order, with repetitions."""
        return [each.id for each in self.received]

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        received = Received(request.path, headers, await request.read())
        self.received.append(received)
        self.arrived.set()
        if self.answer is not None:
            return await self.answer(request)
        return web.Response(status=await self.reply(received))


def always(status: int) -> Reply:
    """Answer everything with this status."""

    async def reply(_received: Received) -> int:
        return status

    return reply


def in_turn(*statuses: int) -> Reply:
    """Answer with these statuses one after the other, and then always with the last."""
    left = list(statuses)

    async def reply(_received: Received) -> int:
        return left.pop(0) if len(left) > 1 else left[0]

    return reply
