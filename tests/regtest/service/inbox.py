"""What an integrator does with webhooks: verify, note, answer."""

import asyncio
from dataclasses import dataclass, field

from escrowd.sdk import verify_webhook
from escrowd.testing.receiver import Received
from escrowd.wire.events import Event


@dataclass
class Inbox:
    """What came in, in order. ``refuses`` so many deliveries first, as a receiver does that is being restarted."""

    secret: str
    refuses: int = 0
    bodies: list[bytes] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, received: Received) -> int:
        """Return the status with which a delivery is answered."""
        event = verify_webhook(received.body, received.headers, self.secret)
        if self.refuses:
            self.refuses -= 1
            return 503
        self.bodies.append(received.body)
        self.events.append(event)
        self.came.set()
        return 204

    async def until_it_has(self, type_: str, escrow: str) -> None:
        """Wait until an event of a type came for an escrow."""
        while not any((each.type, each.escrow) == (type_, escrow) for each in self.events):
            self.came.clear()
            await self.came.wait()
