"""A client that costs as little as a client can, so that what is measured is the server.

Its requests are bytes that were put together before; it keeps its connection, and reads of an answer no more than
where it ends.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from escrowd.domain.errors import EscrowdError, Fault
from escrowd.testing.ports import LOOPBACK


class UnexpectedAnswer(EscrowdError):
    """The server answered something else than a benchmark can go on with."""

    fault = Fault.OPERATOR


class Connection:
    """One connection that is kept. One request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    @asynccontextmanager
    async def open(cls, port: int) -> AsyncIterator["Connection"]:
        """Connect to a server of this machine."""
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        try:
            yield cls(reader, writer)
        finally:
            writer.close()
            await writer.wait_closed()

    async def ask(self, request: bytes) -> bytes:
        """Send a request and return the body of the answer.

        Raises:
            UnexpectedAnswer: it was no success, or not of a length that was told before.

        """
        self._writer.write(request)
        head = await self._reader.readuntil(_END_OF_HEAD)
        status = head[_STATUS]
        before, _, after = head.lower().partition(b"content-length: ")
        if not before or not after:
            raise UnexpectedAnswer(f"an answer without a length: {head.decode('latin-1')}")
        body = await self._reader.readexactly(int(after[: after.index(b"\r")]))
        if not status.startswith(b"2"):
            raise UnexpectedAnswer(f"status {status.decode('latin-1')}: {body.decode(errors='replace')}")
        return body


def request(method: str, path: str, headers: Mapping[str, str] | None = None, body: object = None) -> bytes:
    """Put a request together, with a body of JSON where one is given."""
    content = b"" if body is None else json.dumps(body).encode()
    fields = {"Host": LOOPBACK, **(headers or {})}
    if content:
        fields |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + content


async def requests_per_second(port: int, connections: int, requests: Sequence[bytes]) -> float:
    """Send all requests over so many connections at once, and return how many were answered in a second."""
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(Connection.open(port)) for _ in range(connections)]
        left = iter(requests)

        async def work(connection: Connection) -> None:
            for each in left:
                await connection.ask(each)

        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for connection in opened:
                group.create_task(work(connection))
        return len(requests) / (time.perf_counter() - started)


# ---------------------------------------------------------------------------------------------------------------------

_END_OF_HEAD: Final = b"\r\n\r\n"
#: Where the status stands in "HTTP/1.1 200 OK".
_STATUS: Final = slice(9, 12)
