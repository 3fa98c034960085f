"""An HTTP server on loopback that answers as a test wants, well or badly."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from escrowd.monero.transport import Endpoint

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """An HTTP server of the test. ``answer`` is what it does with a request; ``bodies`` is what it was sent."""

    def __init__(self) -> None:
        self.answer: Answer = reply_with(result={"height": 7})
        self.bodies: list[bytes] = []
        self.arrived = asyncio.Event()
        self.port = 0

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""
        return Endpoint("127.0.0.1", self.port)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Note the request and answer it."""
        self.bodies.append(await request.read())
        self.arrived.set()
        return await self.answer(request)


def reply_with(**reply: object) -> Answer:
    """Answer with this JSON-RPC reply."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"jsonrpc": "2.0", "id": "0", **reply})

    return answer


def send(body: bytes, status: int = 200) -> Answer:
    """Answer with this body and status."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=body, status=status)

    return answer


async def hang(request: web.Request) -> web.Response:
    """Answer too late."""
    await asyncio.sleep(30)
    return web.Response()


async def break_off(request: web.Request) -> web.StreamResponse:
    """Close the connection in the middle of the reply."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"result": {"height"')
    close(request)
    return response


async def say_nothing(request: web.Request) -> web.Response:
    """Close the connection without a reply."""
    close(request)
    return web.Response()


def close(request: web.Request) -> None:
    """Close the connection of a request."""
    assert request.transport is not None
    request.transport.close()
