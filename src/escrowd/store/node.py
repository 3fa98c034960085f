"""A process is one node among others: its name is its own, and it hears what other nodes make due.

The name must be exclusive because whoever begins under a name frees what was claimed under it. On SQLite it is a locked
file beside the database; on PostgreSQL a lock of a connection, over which the notifications come, too. Both end with
the process, however it ends.
"""

import asyncio
import fcntl
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import asyncpg  # type: ignore[import-untyped] # its types are in another package
import structlog

from escrowd.store.database import Database
from escrowd.store.errors import NodeNameTaken, StoreError
from escrowd.store.session import driver_of
from escrowd.store.work import CHANNEL

log = structlog.get_logger()

#: Seconds that a name may still be taken by a process that has just ended: the server has to notice it.
PATIENCE: Final = 10.0
#: How often, in seconds, a connection on which nothing is heard is asked whether it is still there.
CHECK_INTERVAL: Final = 10.0
CHECK_TIMEOUT: Final = 5.0
#: The first and the longest pause, in seconds, before a lost connection is made again.
FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 5.0


class Node:
    """Holds a name, and tells the listeners of the database what other nodes make due. Enter it with ``async with``.

    When its connection is lost, work goes on: leases and fences hold without it, and due rows are found by looking.
    """

    def __init__(self, database: Database, name: str, patience: float = PATIENCE) -> None:
        self.name = name
        self._database = database
        self._patience = patience
        self._stack = AsyncExitStack()
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Take the name.

        Raises:
            NodeNameTaken: another process has it.
            DatabaseUnavailable: the database does not answer.

        """
        async with AsyncExitStack() as stack:
            if self._database.is_sqlite:
                stack.callback(os.close, await self._lock_file())
            else:
                self._keeper = await self._keep_connected()
                stack.push_async_callback(self._let_go)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    # --- SQLite ------------------------------------------------------------------------------------------------------

    async def _lock_file(self) -> int:
        path = Path(f"{self._database.url.database}.{_digest(self.name).hex()[:16]}.node")
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = asyncio.get_running_loop().time() + self._patience
        try:
            while not _is_locked(file):
                if asyncio.get_running_loop().time() >= deadline:
                    raise self._taken()
                await asyncio.sleep(FIRST_PAUSE)
        except BaseException:
            os.close(file)
            raise
        return file

    # --- PostgreSQL --------------------------------------------------------------------------------------------------

    async def _keep_connected(self) -> "asyncio.Task[None]":
        """Connect, and return the task that stays connected. What hinders the first connection is raised."""
        connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        keeper = asyncio.create_task(self._stay_connected(connected), name=f"node {self.name}")
        try:
            await asyncio.wait([connected, keeper], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            keeper.cancel()
            raise
        if keeper.done():
            await keeper
        return keeper

    async def _stay_connected(self, connected: "asyncio.Future[None]") -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                async with self._listening() as lost:
                    if not connected.done():
                        connected.set_result(None)
                    pause = FIRST_PAUSE
                    # What was said while nobody listened is looked for.
                    self._database.tell_woken("")
                    await lost.wait()
                log.warning("node.not_connected", node=self.name, error="the connection was lost")
            except StoreError as error:
                if not connected.done():
                    raise
                log.warning("node.not_connected", node=self.name, error=str(error))
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, 2 * pause)

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[asyncio.Event]:
        """Connect, take the name and listen; the event is set when the connection is lost."""
        lost = asyncio.Event()
        async with self._database.connection() as connection:
            driver = driver_of(connection)
            assert isinstance(driver, asyncpg.Connection)  # noqa: S101 - the only driver that a Database takes
            try:
                await self._take_name(driver)
                driver.add_termination_listener(lambda _: lost.set())
                await driver.add_listener(CHANNEL, lambda *heard: self._database.tell_woken(str(heard[-1])))
                checks = asyncio.create_task(_check(driver, lost), name="node check")
                try:
                    yield lost
                finally:
                    checks.cancel()
                    await asyncio.gather(checks, return_exceptions=True)
            finally:
                # Not given back to the pool: lock and listener are the connection's.
                await connection.invalidate()

    async def _take_name(self, driver: asyncpg.Connection) -> None:
        number = int.from_bytes(_digest(self.name)[:8], "big", signed=True)
        deadline = asyncio.get_running_loop().time() + self._patience
        while not await driver.fetchval("SELECT pg_try_advisory_lock($1)", number):
            if asyncio.get_running_loop().time() >= deadline:
                raise self._taken()
            await asyncio.sleep(FIRST_PAUSE)

    async def _let_go(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    def _taken(self) -> NodeNameTaken:
        return NodeNameTaken(
            f"another process works as node '{self.name}' on this database; give this one another name"
        )


# ---------------------------------------------------------------------------------------------------------------------


def _digest(name: str) -> bytes:
    return hashlib.sha256(f"escrowd node {name}".encode()).digest()


def _is_locked(file: int) -> bool:
    """Lock the file for as long as it is open, and return whether that was possible."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _check(driver: asyncpg.Connection, lost: asyncio.Event) -> None:
    """Find out about a connection whose other end went away without a word."""
    while True:
        await asyncio.sleep(CHECK_INTERVAL)
        try:
            await driver.execute("SELECT 1", timeout=CHECK_TIMEOUT)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            lost.set()
            return
