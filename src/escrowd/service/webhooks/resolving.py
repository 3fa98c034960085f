"""Looks up hosts and hands on only addresses that may be connected to; watches each socket that is opened."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address
from typing import Any, Final, TypeAlias

from aiohttp.abc import AbstractResolver, ResolveResult
from typing_extensions import override

from escrowd.service.webhooks.addresses import Network, may_be_sent_to

#: Returns the addresses of a host, as text. An OSError where there are none.
LookUp: TypeAlias = Callable[[str], Awaitable[Sequence[str]]]


class AddressRefused(OSError):
    """The host has an address that may not be connected to."""


class CheckedResolver(AbstractResolver):
    """Resolves a host for a connector, which connects to nothing else than what it is handed.

    One address that is not allowed is enough to refuse the host: who would mix such with public ones?
    """

    def __init__(self, look_up: LookUp, allowed: Collection[Network], *, encrypted: bool) -> None:
        self._look_up = look_up
        self._allowed = allowed
        self._encrypted = encrypted

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host. Raises AddressRefused, or OSError where there are none."""
        found = await self._look_up(host)
        for each in found:
            check_address(each, self._allowed, encrypted=self._encrypted)
        return [_result(host, port, each) for each in found]

    @override
    async def close(self) -> None:
        """Do nothing: who looks up is ended by who made it."""


def check_address(text: str, allowed: Collection[Network], *, encrypted: bool) -> None:
    """Make sure that an address may be connected to. Raises AddressRefused."""
    if not may_be_sent_to(ip_address(text), allowed, encrypted=encrypted):
        raise AddressRefused(f"{text} may not be sent to")


def checked_socket(
    info: tuple[Any, Any, int, str, tuple[Any, ...]], allowed: Collection[Network], *, encrypted: bool
) -> socket.socket:
    """Make the socket for one connection: the last place where an address is looked at, and the only one for literals.

    Raises:
        AddressRefused: the connection must not be made.

    """
    family, kind, protocol, _, address = info
    check_address(str(address[0]), allowed, encrypted=encrypted)
    return socket.socket(family=family, type=kind, proto=protocol)


class SystemLookUp:
    """Looks up as the system does, in threads of its own: a name server that hangs keeps nobody else waiting."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="webhook look-up")

    async def __call__(self, host: str) -> Sequence[str]:
        """Return the addresses of a host."""
        ask = partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._pool, ask)
        return list(dict.fromkeys(str(each[4][0]) for each in found))

    def close(self) -> None:
        """Take no more; what hangs is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)


# ---------------------------------------------------------------------------------------------------------------------

_NUMERIC: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


def _result(host: str, port: int, address: str) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=_NUMERIC)
