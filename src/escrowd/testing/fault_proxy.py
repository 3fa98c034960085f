"""A proxy in front of one HTTP server that breaks on purpose.

It understands just enough of HTTP to tell a request from a reply, so that a fault strikes at an exact place: before the
server saw the request, or after the server answered it. Challenges for a login (status 401) always pass: the request
behind one has not reached its method yet.
"""

import asyncio
import socket
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from types import TracebackType
from typing import Final, Self

import msgspec

from escrowd.monero.transport import Endpoint
from escrowd.testing.ports import LOOPBACK

#: No HTTP head is longer, in bytes.
LONGEST_HEAD: Final = 64 * 1024


class Fault(StrEnum):
    """What the proxy does to a request."""

    #: Nothing: request and reply go through.
    PASS = "pass"  # noqa: S105 - a word of this proxy, no password
    #: No connection is accepted, and open ones are closed. The server sees nothing.
    REFUSE = "refuse"
    #: The answer is bytes that are no HTTP. The server sees nothing.
    RUBBISH = "rubbish"
    #: The answer is a web page with status 200. The server sees nothing.
    WEB_PAGE = "web_page"
    #: The server does its work, its reply is thrown away and the connection closed.
    DROP_REPLY = "drop_reply"
    #: The server does its work, the first half of its reply comes through, then the connection is closed.
    TRUNCATE = "truncate"
    #: The server does its work, its reply is held until :meth:`FaultProxy.release` or until the fault is another one.
    STALL = "stall"


class FaultProxy:
    """Listens on a free loopback port and hands requests on to ``target``. Use it with ``async with``.

    ``fault`` may be set at any time and strikes every request from then on; with ``only_method`` only requests of this
    RPC method, or of this path for a call that is no JSON-RPC (``REFUSE`` strikes connections, so it strikes all).
    """

    def __init__(self, target: Endpoint, fault: Fault = Fault.PASS, only_method: str | None = None) -> None:
        self.only_method = only_method
        #: How many requests the server has answered, challenges for a login not counted.
        self.passed = 0
        #: How many requests were struck by a fault. A test of a fault asserts that there was one.
        self.struck = 0
        self._target = target
        self._fault = fault
        self._released = asyncio.Event()
        self._holding = asyncio.Event()
        self._listener: socket.socket | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._port = 0

    async def __aenter__(self) -> Self:
        self._bind()
        if self._fault is not Fault.REFUSE:
            self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unbind()
        connections = tuple(self._connections)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await asyncio.sleep(0)  # their sockets close in the next turn of the loop

    @property
    def endpoint(self) -> Endpoint:
        """Where the proxy listens, with the login of its target."""
        return replace(self._target, host=LOOPBACK, port=self._port)

    @property
    def fault(self) -> Fault:
        """What the proxy does to requests at the moment."""
        return self._fault

    @fault.setter
    def fault(self, fault: Fault) -> None:
        before, self._fault = self._fault, fault
        if before is Fault.STALL:
            self._released.set()
        if fault is Fault.STALL:
            self._released = asyncio.Event()
            self._holding = asyncio.Event()
        if fault is Fault.REFUSE and before is not Fault.REFUSE:
            self._refuse()
        if before is Fault.REFUSE and fault is not Fault.REFUSE:
            self._listen()

    def release(self) -> None:
        """Let the held replies go, and all further ones pass."""
        self.fault = Fault.PASS

    async def holds(self) -> None:
        """Wait until a reply is being held."""
        await self._holding.wait()

    # --- connections --------------------------------------------------------------------------------------------------

    def _bind(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.settimeout(0)
        listener.bind((LOOPBACK, self._port))
        self._listener, self._port = listener, listener.getsockname()[1]

    def _unbind(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _listen(self) -> None:
        if self._listener is None:
            raise RuntimeError("a FaultProxy is used inside 'async with' only")
        self._listener.listen(128)
        asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    def _refuse(self) -> None:
        for task in self._connections:
            task.cancel()
        # A socket that is bound and does not listen keeps the port ours and refuses connections for real.
        self._unbind()
        self._bind()

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except OSError:
            return  # it has gone again
        connection = _Connection(client)
        task = asyncio.create_task(self._serve(connection))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        # Not in the task itself: one that is cancelled before its first step never comes to it.
        task.add_done_callback(connection.close)

    async def _serve(self, connection: "_Connection") -> None:
        try:
            client, server = await connection.open(self._target)
            while await self._exchange(client, server):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # one side has gone; the other is told by closing it

    # --- one request and its reply ------------------------------------------------------------------------------------

    async def _exchange(self, client: "_Stream", server: "_Stream") -> bool:
        """Hand one request on and its reply back; return whether the connection goes on."""
        request = await _read_message(client.reader)
        fault = self._fault_for(request)
        if fault in _ANSWERS:
            self.struck += 1
            client.writer.write(_ANSWERS[fault])
            await client.writer.drain()
            return False
        server.writer.write(request.head + request.body)
        await server.writer.drain()
        reply = await _read_message(server.reader)
        if reply.is_challenge:
            fault = Fault.PASS
        else:
            self.passed += 1
        return await self._hand_back(reply, fault, client.writer)

    async def _hand_back(self, reply: "_Message", fault: Fault, client: asyncio.StreamWriter) -> bool:
        self.struck += fault is not Fault.PASS
        if fault is Fault.DROP_REPLY:
            return False
        if fault is Fault.STALL:
            released = self._released
            self._holding.set()
            await released.wait()
        whole = reply.head + reply.body
        client.write(whole[: len(reply.head) + len(reply.body) // 2] if fault is Fault.TRUNCATE else whole)
        await client.drain()
        return fault is not Fault.TRUNCATE

    def _fault_for(self, request: "_Message") -> Fault:
        if self.only_method is None or request.method == self.only_method:
            return self._fault
        return Fault.PASS


# ---------------------------------------------------------------------------------------------------------------------

_PAGE: Final = b"<!doctype html><title>Welcome</title><p>It works!"
_ANSWERS: Final = {
    Fault.RUBBISH: b"\x00\x01\x02 220 this is not the protocol that you speak\r\n",
    Fault.WEB_PAGE: b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (len(_PAGE), _PAGE),
}


@dataclass(frozen=True, slots=True)
class _Stream:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@dataclass(slots=True)
class _Connection:
    """A client and, on its behalf, the server."""

    accepted: socket.socket
    client: _Stream | None = None
    server: _Stream | None = None

    async def open(self, target: Endpoint) -> tuple[_Stream, _Stream]:
        self.client = _Stream(*await asyncio.open_connection(sock=self.accepted, limit=LONGEST_HEAD))
        self.server = _Stream(*await asyncio.open_connection(target.host, target.port, limit=LONGEST_HEAD))
        return self.client, self.server

    def close(self, _: object) -> None:
        if self.client is None:
            self.accepted.close()
        for side in (self.client, self.server):
            if side is not None:
                side.writer.close()


@dataclass(frozen=True, slots=True)
class _Message:
    head: bytes
    body: bytes

    @property
    def is_challenge(self) -> bool:
        return self.head.split(b" ", 2)[1] == b"401"

    @property
    def method(self) -> str:
        """The JSON-RPC method of a request, or its path for any other call."""
        with suppress(msgspec.DecodeError):
            return msgspec.json.decode(self.body, type=_Call).method
        return self.head.split(b" ", 2)[1].decode("ascii", "replace")


class _Call(msgspec.Struct):
    method: str


async def _read_message(reader: asyncio.StreamReader) -> _Message:
    """Read one message whose body is as long as its ``Content-Length`` says, as Monero's servers and clients do."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = int(value)
    return _Message(head, await reader.readexactly(length))
