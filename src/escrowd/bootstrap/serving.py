"""Serves an application over HTTP for as long as a block lasts."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from ipaddress import IPv4Network, IPv6Network
from typing import Final, TypeAlias

import uvicorn
from starlette.types import ASGIApp
from typing_extensions import override

from escrowd.domain.errors import EscrowdError, Fault

Network: TypeAlias = IPv4Network | IPv6Network


class AddressTaken(EscrowdError):
    """The API cannot listen at its address."""

    fault = Fault.OPERATOR


@asynccontextmanager
async def served(
    app: ASGIApp, host: str, port: int, stop_patience: float = 10.0, trusted_proxies: Collection[Network] = ()
) -> AsyncIterator[int]:
    """Serve an application; return the port, which is one that was free where 0 is given.

    At the end of the block nothing new is taken, and requests under way get so many seconds to end. Of requests that
    come from this machine or from ``trusted_proxies`` the address is the one that they name.

    Raises:
        AddressTaken: the address is in use, or none of this machine.

    """
    with _listening(host, port) as listener, _collected_seldom():
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            forwarded_allow_ips=[str(each) for each in (*_THIS_MACHINE, *trusted_proxies)],
            timeout_graceful_shutdown=max(1, round(stop_patience)),
        )
        server = _Server(config)
        serving = asyncio.create_task(server.serve([listener]), name="api")
        try:
            up = asyncio.create_task(server.is_up.wait(), name="api is up")
            await asyncio.wait([serving, up], return_when=asyncio.FIRST_COMPLETED)
            up.cancel()
            if serving.done():
                await serving
            yield int(listener.getsockname()[1])
        finally:
            server.should_exit = True
            await asyncio.gather(serving, return_exceptions=True)


# ---------------------------------------------------------------------------------------------------------------------


#: Where a proxy of this machine calls from.
_THIS_MACHINE: Final = (IPv4Network("127.0.0.0/8"), IPv6Network("::1"))


class _Server(uvicorn.Server):
    """A server that leaves signals to whoever runs it: the service has more to end than this."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()

    @override
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


#: So many more objects than before, in each generation, until the collector looks for cycles. Python's own numbers are
#: for short programs: a request makes more objects than the first of them by itself.
_SELDOM: Final = (20_000, 20, 50)


@contextmanager
def _collected_seldom() -> Iterator[None]:
    """Let the garbage collector leave alone what was there before, and look through the rest less often.

    Half of what is in memory are classes, schemas and routes, which are never garbage: to look through them takes a
    fifth of the time of a request.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio looks at it: else it lets the kernel hold answers back for 40 ms (Nagle).
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise AddressTaken(
                f"the API cannot listen at {host} port {port}: {error.strerror}; set api.host and api.port to others"
            ) from error
        listener.listen(1024)
        yield listener
