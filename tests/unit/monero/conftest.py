from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from escrowd.monero.errors import WALLET_REFUSALS
from escrowd.monero.transport import CallRecord, Connections, HttpTransport
from tests.unit.monero.http_server import Server


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """Run a server on a free loopback port."""
    server = Server()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    yield server
    await runner.cleanup()


@pytest.fixture
def records() -> list[CallRecord]:
    """Collect what the observer of the calls is told."""
    return []


@pytest.fixture
async def connections(records: list[CallRecord]) -> AsyncIterator[Connections]:
    """Open connections that are observed."""
    async with Connections(records.append) as connections:
        yield connections


@pytest.fixture
async def transport(connections: Connections, server: Server) -> HttpTransport:
    """Give a transport to the server as to a wallet process."""
    return HttpTransport(connections, server.endpoint, WALLET_REFUSALS, one_at_a_time=True)
