"""Checks of what this machine lets the service have: open files, memory, its port."""

import asyncio
import errno
import ipaddress
import resource
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psutil

from escrowd.doctor.check import Check, Surroundings
from escrowd.doctor.findings import Finding, Kind, warning
from escrowd.domain.networks import Network
from escrowd.domain.parties import WalletRole
from escrowd.wallets.settings import BYTES_PER_SESSION, sessions_that_fit_in_memory

OPEN_FILES: Final = Kind(
    "machine.open_files",
    "a process may have {limit} files open, and {sessions} sessions take {needed}",
    "raise the hard limit (LimitNOFILE= of the unit, or ulimit -Hn), or set sessions.most lower",
)
MEMORY: Final = Kind(
    "machine.memory",
    "{sessions} sessions take {needed} MiB, and there are {there} MiB",
    "set sessions.most to {fit} or less, or leave it out: then it is as many as there is room for",
)
PORT_TAKEN: Final = Kind(
    "api.port_taken",
    "another program listens on {host}:{port}, and no service of escrowd runs here",
    "end that program (ss -ltnp names it), or set another api.port",
)
CANNOT_LISTEN: Final = Kind(
    "api.cannot_listen",
    "the API cannot listen at {host}:{port}: {error}",
    "set api.host to an address of this machine (ip address lists them) and api.port to 1024 or more; behind a proxy "
    "on the same machine 127.0.0.1 and 8080 will do",
)
IN_THE_CLEAR: Final = warning(
    "api.in_the_clear",
    "the API listens on {host}, where others reach it, and api.public_url does not begin with https://",
    "put a proxy with TLS before it and set api.public_url, or let it listen on 127.0.0.1; keys and links of parties "
    "are secrets",
)
LOOPBACK_ALLOWED: Final = warning(
    "webhooks.private_allowed",
    "webhooks.allowed_networks has {networks}, so an integrator can make the service send to programs of this machine",
    "allow the networks of your own receivers alone",
)


def service_in(run_directory: Path) -> int | None:
    """Return the process id of the service that owns a run directory, or ``None`` where none does.

    Read from the kernel's table of locks (``/proc/locks``): taking the lock to find out could keep a service from
    starting.
    """
    try:
        node = (run_directory / "owner.lock").stat().st_ino
        locks = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in locks:
        # 1: FLOCK  ADVISORY  WRITE 8431 fe:00:2187412 0 EOF
        fields = line.split()
        if len(fields) >= 6 and fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(node):
            return int(fields[4])
    return None


# ---------------------------------------------------------------------------------------------------------------------

#: Files that the service has open whatever its sessions do: database, API, streams, the daemon.
_FILES_OF_SERVICE: Final = 512
#: Its ``pidfd`` and its connection, for each wallet process.
_FILES_OF_WALLET: Final = 2
_MEBIBYTE: Final = 2**20

_INNER: Final = tuple(map(ipaddress.ip_network, ("127.0.0.0/8", "::1/128", "169.254.0.0/16", "fe80::/10")))


async def _open_files(around: Surroundings) -> Iterable[Finding]:
    sessions = around.settings.model.sessions.most or sessions_that_fit_in_memory()
    needed = _FILES_OF_SERVICE + sessions * len(WalletRole) * _FILES_OF_WALLET
    limit = _hard_limit(service_in(around.settings.run_directory))
    if limit == resource.RLIM_INFINITY or limit >= needed:
        return ()
    return (OPEN_FILES.found(limit=limit, sessions=sessions, needed=needed),)


def _hard_limit(service: int | None) -> int:
    """Return the limit of the service that runs; where none does, or it is not ours to ask, that of this process."""
    try:
        return resource.prlimit(service or 0, resource.RLIMIT_NOFILE)[1]
    except (PermissionError, ProcessLookupError):
        return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


async def _memory(around: Surroundings) -> Iterable[Finding]:
    sessions = around.settings.model.sessions.most
    if sessions is None:
        return ()
    memory = psutil.virtual_memory()
    # What the sessions of a running service take is not available any more, and is theirs all the same.
    there = memory.total if service_in(around.settings.run_directory) else memory.available
    if sessions * BYTES_PER_SESSION <= there:
        return ()
    needed = sessions * BYTES_PER_SESSION // _MEBIBYTE
    fit = there // BYTES_PER_SESSION
    return (MEMORY.found(sessions=sessions, needed=needed, there=there // _MEBIBYTE, fit=fit),)


async def _port(around: Surroundings) -> Iterable[Finding]:
    """Bind the address for a moment, without listening: nobody can connect to it."""
    api = around.settings.model.api
    try:
        places = await asyncio.get_running_loop().getaddrinfo(
            api.host, api.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        return (CANNOT_LISTEN.found(host=api.host, port=api.port, error=error.strerror),)
    family, kind, protocol, _, address = places[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return (CANNOT_LISTEN.found(host=api.host, port=api.port, error=error.strerror),)
        else:
            return ()
    if service_in(around.settings.run_directory) is not None:
        return ()
    return (PORT_TAKEN.found(host=api.host, port=api.port),)


async def _encrypted(around: Surroundings) -> Iterable[Finding]:
    api = around.settings.model.api
    if api.host == "localhost" or (api.public_url or "").startswith("https://"):
        return ()
    try:
        is_inner = ipaddress.ip_address(api.host).is_loopback
    except ValueError:
        is_inner = False
    return () if is_inner else (IN_THE_CLEAR.found(host=api.host),)


async def _receivers(around: Surroundings) -> Iterable[Finding]:
    if around.network is not Network.MAINNET:
        return ()
    allowed = around.settings.model.webhooks.allowed_networks
    inner = [each for each in allowed if any(each.version == one.version and each.overlaps(one) for one in _INNER)]
    return (LOOPBACK_ALLOWED.found(networks=", ".join(map(str, inner))),) if inner else ()


CHECKS: Final = (
    Check("enough files may be open", _open_files, (OPEN_FILES,)),
    Check("the memory is enough for the sessions", _memory, (MEMORY,)),
    Check("the API has its port", _port, (PORT_TAKEN, CANNOT_LISTEN)),
    Check("the API is not reached in the clear", _encrypted, (IN_THE_CLEAR,)),
    Check("webhooks stay outside", _receivers, (LOOPBACK_ALLOWED,)),
)
