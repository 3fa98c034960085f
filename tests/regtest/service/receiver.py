"""A receiver of webhooks, as an integrator would write it: it verifies, notes, and answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from escrowd.sdk import verify_webhook
from escrowd.wire.events import Event


@dataclass
class Receiver:
    """What came in, in order. ``refuses`` so many deliveries first, as a receiver does that is being restarted."""

    url: str = ""
    secret: str = ""
    refuses: int = 0
    bodies: list[bytes] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        event = verify_webhook(body, request.headers, self.secret)
        if self.refuses:
            self.refuses -= 1
            return web.Response(status=503)
        self.bodies.append(body)
        self.events.append(event)
        self.came.set()
        return web.Response(status=204)

    async def until_it_has(self, type_: str, escrow: str) -> None:
        """Wait until an event of a type came for an escrow."""
        while not any((each.type, each.escrow) == (type_, escrow) for each in self.events):
            self.came.clear()
            await self.came.wait()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Listen on a free port of this machine until the end of the block."""
    receiver = Receiver()
    application = web.Application()
    application.router.add_post("/hooks", receiver.take)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hooks"
        yield receiver
    finally:
        await runner.cleanup()
