import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web

from escrowd.domain.errors import Retry
from escrowd.monero.daemon import MoneroDaemon, daemon_client
from escrowd.monero.errors import OutcomeUnknown, ReplyLost, RubbishReply, Unreachable
from escrowd.monero.transport import Connections, Endpoint
from escrowd.monero.wallet import wallet_client
from escrowd.testing.fault_proxy import Fault, FaultProxy
from escrowd.testing.lab import RegtestLab
from escrowd.testing.ports import LOOPBACK


class CountingServer:
    """Answers the calls of a daemon's ``pop_blocks`` and ``get_transaction_pool_hashes``, and counts them."""

    def __init__(self) -> None:
        self.calls = 0

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one call."""
        await request.read()
        self.calls += 1
        return web.json_response({"status": "OK", "height": self.calls, "tx_hashes": ["ab" * 32] * 100})


@asynccontextmanager
async def served(server: CountingServer) -> AsyncIterator[Endpoint]:
    """Let a server listen on a free port."""
    application = web.Application()
    application.router.add_post("/{path:.*}", server.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, 0)
    await site.start()
    try:
        yield Endpoint(LOOPBACK, runner.addresses[0][1])
    finally:
        await runner.cleanup()


class Scene:
    """A client behind a proxy in front of a server."""

    def __init__(self, server: CountingServer, proxy: FaultProxy, client: MoneroDaemon) -> None:
        self.server, self.proxy, self.client = server, proxy, client


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """Put a proxy between a client and a counting server."""
    server = CountingServer()
    async with served(server) as target, Connections() as connections, FaultProxy(target) as proxy:
        yield Scene(server, proxy, daemon_client(connections, proxy.endpoint))


async def test_passes(scene: Scene) -> None:
    """Without a fault everything goes through, and is counted."""
    assert [await scene.client.pop_blocks(1) for _ in range(3)] == [1, 2, 3]
    assert (scene.proxy.passed, scene.proxy.struck) == (3, 0)


async def test_refuses(scene: Scene) -> None:
    """A refused connection is refused for real, an open one is closed, and the server sees nothing."""
    await scene.client.pop_blocks(1)
    scene.proxy.fault = Fault.REFUSE
    await asyncio.sleep(0.05)
    with pytest.raises(Unreachable):
        await scene.client.pop_blocks(1)
    assert scene.server.calls == 1
    scene.proxy.fault = Fault.PASS
    assert await scene.client.pop_blocks(1) == 2


@pytest.mark.parametrize("fault", [Fault.RUBBISH, Fault.WEB_PAGE])
async def test_answers_rubbish(scene: Scene, fault: Fault) -> None:
    """Rubbish is no reply, and the server sees nothing of the call."""
    scene.proxy.fault = fault
    with pytest.raises((RubbishReply, ReplyLost)):
        await scene.client.get_transaction_pool_hashes()
    assert (scene.server.calls, scene.proxy.passed, scene.proxy.struck) == (0, 0, 1)


@pytest.mark.parametrize("fault", [Fault.DROP_REPLY, Fault.TRUNCATE])
async def test_breaks_the_reply(scene: Scene, fault: Fault) -> None:
    """A reply that is dropped or cut off leaves open what happened, and it did happen."""
    scene.proxy.fault = fault
    with pytest.raises(OutcomeUnknown) as caught:
        await scene.client.pop_blocks(1)
    assert caught.value.retry is Retry.UNKNOWN
    assert (scene.server.calls, scene.proxy.passed, scene.proxy.struck) == (1, 1, 1)


async def test_stalls(scene: Scene) -> None:
    """A held reply comes when it is released, and the server has done its work before."""
    scene.proxy.fault = Fault.STALL
    call = asyncio.create_task(scene.client.pop_blocks(1))
    await scene.proxy.holds()
    await asyncio.sleep(0.05)
    assert (call.done(), scene.server.calls) == (False, 1)
    scene.proxy.release()
    assert await call == 1
    assert await scene.client.pop_blocks(1) == 2


async def test_strikes_one_method_only(scene: Scene) -> None:
    """A fault for one method leaves all others alone."""
    scene.proxy.fault, scene.proxy.only_method = Fault.DROP_REPLY, "/pop_blocks"
    assert len(await scene.client.get_transaction_pool_hashes()) == 100
    with pytest.raises(OutcomeUnknown):
        await scene.client.pop_blocks(1)


async def test_closes_with_a_call_under_way(scene: Scene) -> None:
    """A proxy that closes ends the connections through it."""
    async with served(scene.server) as target, FaultProxy(target, Fault.STALL) as proxy, Connections() as connections:
        call = asyncio.create_task(daemon_client(connections, proxy.endpoint).pop_blocks(1))
        await proxy.holds()
        await proxy.__aexit__(None, None, None)
        with pytest.raises(OutcomeUnknown):
            await call


async def test_leaves_no_socket_open(recwarn: pytest.WarningsRecorder) -> None:
    """A proxy that closes or refuses at any moment of a connection leaves no socket open."""
    server = CountingServer()
    async with served(server) as target:
        for turns in range(24):
            async with FaultProxy(target, Fault.DROP_REPLY) as proxy:
                reader, writer = await asyncio.open_connection(LOOPBACK, proxy.endpoint.port)
                writer.write(b"POST /pop_blocks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
                for _ in range(turns):
                    await asyncio.sleep(0)
                if turns % 2:
                    proxy.fault = Fault.REFUSE
            async with asyncio.timeout(5):
                with suppress(ConnectionError):
                    assert await reader.read() == b""
            writer.close()
            await asyncio.sleep(0)
        gc.collect()
    assert [str(each.message) for each in recwarn if issubclass(each.category, ResourceWarning)] == []


async def test_challenge_for_a_login_passes(lab: RegtestLab) -> None:
    """A fault strikes the call itself, not the challenge for a login before it."""
    process = await lab.start_wallet_process()
    async with FaultProxy(process.endpoint, Fault.DROP_REPLY, "auto_refresh") as proxy, Connections() as connections:
        client = wallet_client(connections, proxy.endpoint)
        assert (await client.get_version()).version > 0
        with pytest.raises(OutcomeUnknown):
            await client.set_auto_refresh(enabled=False)
    assert (proxy.passed, proxy.struck) == (2, 1)
    await process.end(patience=5)
