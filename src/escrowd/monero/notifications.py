"""Notifications of monerod over ZMQ: a hint that there is something to look at, and nothing more.

They are not reliable: 0.18.0.0 publishes no transactions that it relays in stems, and a subscriber that is slow or
comes late misses messages. Nothing that matters may wait for one, so they only wake up who would look soon anyway.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import zmq
import zmq.asyncio


class Notifications:
    """A subscription to new blocks and new transactions of the pool."""

    def __init__(self, socket: zmq.asyncio.Socket) -> None:
        self._socket = socket

    async def wait(self) -> None:
        """Return when something new was announced, all that has arrived together."""
        await self._socket.recv()
        while await self._socket.poll(0):
            await self._socket.recv()


@asynccontextmanager
async def subscribed(address: str) -> AsyncIterator[Notifications]:
    """Subscribe to a monerod that was started with ``--zmq-pub``, such as ``tcp://127.0.0.1:18083``.

    A daemon that is not there, or goes away, is no error: the subscription takes effect when it comes.
    """
    context = zmq.asyncio.Context()
    socket = context.socket(zmq.SUB)
    try:
        socket.setsockopt(zmq.LINGER, 0)
        for topic in _TOPICS:
            socket.setsockopt(zmq.SUBSCRIBE, topic)
        socket.connect(address)
        yield Notifications(socket)
    finally:
        socket.close()
        context.term()


# ---------------------------------------------------------------------------------------------------------------------

_TOPICS: Final = (b"json-minimal-chain_main", b"json-minimal-txpool_add")
