"""The pool of wallet processes: starts, checks, hands out, takes back and stops them.

A process without a wallet costs a second and 3 MiB, so a few are kept in reserve. What is dear is an open wallet, and
that is the business of the sessions; the pool knows only who has which process.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import psutil
import structlog

from escrowd.domain.errors import EscrowdError
from escrowd.monero.errors import MoneroError, NoWalletOpen
from escrowd.wallets.errors import PoolExhausted, ProcessNotStarted
from escrowd.wallets.process import Surroundings, WalletProcess, WalletProgram
from escrowd.wallets.server import AttachedServer, WalletServer

log = structlog.get_logger()

#: Seconds that a process gets to save its wallet and end.
END_PATIENCE: Final = 30.0
#: How many processes start at a time. One of 0.18.0.0 spins for a second by the wall clock, so a handful take no longer
#: than one alone; hundreds would keep each other from answering in time.
STARTS_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class PoolBounds:
    """How many processes to keep in reserve at least, and to run at most; how often to check those in reserve."""

    minimum: int = 3
    maximum: int = 1200
    check_interval: float = 30.0
    #: Seconds in which a process in reserve must answer.
    check_timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class PoolStats:
    """How many processes are in use, in reserve and condemned, and what became of the others."""

    in_use: int
    in_reserve: int
    attached: int
    started: int
    lost: int
    #: Proportional set size of all children together, at the last check of the reserve.
    memory_bytes: int = 0


class WalletPool:
    """Hands out wallet processes, each to one owner at a time. Enter it with ``async with``.

    Mutable state: ``_reserve`` (free, newest last), ``_in_use``, and ``_quarantine`` (attached servers that were
    condemned; they cannot be ended, and may be found well again). They change only between awaits.
    """

    def __init__(
        self,
        program: WalletProgram,
        around: Surroundings,
        bounds: PoolBounds | None = None,
        attached: Sequence[AttachedServer] = (),
    ) -> None:
        self.program = program
        self.around = around
        self.bounds = bounds or PoolBounds()
        self._attached = tuple(attached)
        self._reserve: list[WalletServer] = list(attached)
        self._in_use: set[WalletServer] = set()
        self._quarantine: list[AttachedServer] = []
        self._checking = asyncio.Lock()
        self._check_soon = asyncio.Event()
        self._start_gate = asyncio.Semaphore(STARTS_AT_ONCE)
        self._starting = 0
        self._started = 0
        self._lost = 0
        self._memory_bytes = 0
        self._keeper: asyncio.Task[None] | None = None
        self._start_guard = StartGuard()

    async def __aenter__(self) -> Self:
        self._keeper = asyncio.create_task(self._keep(), name="wallet pool")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the children that nobody uses. Those in use are their owner's to close or to leave."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        idle, self._reserve = self._reserve, []
        await asyncio.gather(*(server.end(END_PATIENCE) for server in idle))

    async def acquire(self) -> WalletServer:
        """Hand out a process that holds no wallet: one from the reserve, or a new one.

        Raises:
            PoolExhausted: the maximum runs already, and all are in use.
            ProcessNotStarted: a new one did not come up.

        """
        while self._reserve:
            server = self._reserve.pop()
            if server.is_trusted:
                self._in_use.add(server)
                return server
            await self._bury(server)
        return await self._start_one()

    async def give_back(self, server: WalletServer) -> None:
        """Take back a process that holds no wallet any more; keep it in reserve if there is room."""
        self._in_use.discard(server)
        server.raise_fence()
        if not server.is_trusted or server.holding is not None:
            await self._bury(server)
        elif isinstance(server, AttachedServer) or len(self._reserve) < self.bounds.minimum:
            self._reserve.append(server)
        else:
            await server.end(END_PATIENCE)

    async def discard(self, server: WalletServer, *, kindly: bool = False) -> None:
        """End a process that is broken; ``kindly`` lets it save the wallet that it holds."""
        self._in_use.discard(server)
        await self._bury(server, END_PATIENCE if kindly else 0)

    def take_over(self, server: WalletServer) -> None:
        """Count an adopted process: in use if it holds a wallet, else in reserve."""
        if server.holding is None:
            self._reserve.append(server)
        else:
            self._in_use.add(server)

    async def leave(self, server: WalletServer) -> None:
        """Leave a process running with the wallet that it holds, for adoption. An attached server gets none left."""
        self._in_use.discard(server)
        if isinstance(server, WalletProcess):
            server.leave()
        else:
            await server.client.close_wallet()

    async def check_reserve(self) -> None:
        """Ask every process in reserve whether it is well; end those that are not, and fill up to the minimum.

        Also looks how much memory all children take.
        """
        async with self._checking:
            for server in tuple(self._reserve):
                # It stays where it is meanwhile; whoever takes it now may keep it.
                if not await self._answers(server) and server in self._reserve:
                    self._reserve.remove(server)
                    await self._bury(server)
            for attached in tuple(self._quarantine):
                if await self._is_clean(attached):
                    self._quarantine.remove(attached)
                    self._reserve.append(attached)
            while len(self._reserve) < self.bounds.minimum and self._running < self.bounds.maximum:
                await self.give_back(await self._start_one())
            children = [each for each in (*self._reserve, *self._in_use) if isinstance(each, WalletProcess)]
            pids = [child.running.identity.pid for child in children]
            # In a thread: the kernel walks the pages of each process, which takes a while for hundreds.
            self._memory_bytes = await asyncio.to_thread(_memory_of, pids)

    def refill_soon(self) -> None:
        """Fill the reserve up to its minimum without waiting for the next check, as after a moment of great need."""
        self._check_soon.set()

    def stats(self) -> PoolStats:
        """Count the processes."""
        return PoolStats(
            in_use=len(self._in_use),
            in_reserve=len(self._reserve),
            attached=len(self._attached),
            started=self._started,
            lost=self._lost,
            memory_bytes=self._memory_bytes,
        )

    @property
    def _running(self) -> int:
        return len(self._in_use) + len(self._reserve) + self._starting

    async def _start_one(self) -> WalletServer:
        if self._running >= self.bounds.maximum:
            raise PoolExhausted(f"all {self.bounds.maximum} wallet processes that may run are in use")
        self._start_guard.check()
        self._starting += 1
        try:
            async with self._start_gate:
                server = await WalletProcess.start(self.program, self.around)
        except ProcessNotStarted:
            self._start_guard.failed()
            raise
        finally:
            self._starting -= 1
        self._start_guard.succeeded()
        self._started += 1
        self._in_use.add(server)
        return server

    async def _bury(self, server: WalletServer, patience: float = 0) -> None:
        self._lost += 1
        log.warning("pool.process_lost", process=server.name, fault=server.fault, alive=server.is_alive)
        if isinstance(server, AttachedServer):
            self._quarantine.append(server)
        await server.end(patience)

    async def _answers(self, server: WalletServer) -> bool:
        """Ask a process in reserve whether it is well."""
        if not server.is_trusted:
            return False
        try:
            async with asyncio.timeout(self.bounds.check_timeout):
                await server.client.get_version()
        except (MoneroError, TimeoutError):
            return False
        return True

    async def _is_clean(self, server: AttachedServer) -> bool:
        """Close whatever is open in a condemned server. Its calls run in order, so an answer means that none runs."""
        try:
            async with asyncio.timeout(self.bounds.check_timeout):
                with suppress(NoWalletOpen):
                    await server.client.close_wallet()
        except (MoneroError, TimeoutError):
            return False
        server.hold(None)
        server.fault = None
        return True

    async def _keep(self) -> None:
        while True:
            try:
                await self.check_reserve()
            except EscrowdError as error:
                log.error("pool.check_failed", error=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(self.bounds.check_interval):
                    await self._check_soon.wait()
            self._check_soon.clear()


class StartGuard:
    """Keeps a program that dies at each start from being started in a tight loop.

    After a failure further starts are refused for a while, twice as long each time, up to half a minute.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._refuse_until = 0.0

    def check(self) -> None:
        """Refuse a start that would come too soon after failed ones.

        Raises:
            ProcessNotStarted: wait, and look into the log.

        """
        wait = self._refuse_until - asyncio.get_running_loop().time()
        if wait > 0:
            raise ProcessNotStarted(
                f"monero-wallet-rpc failed at its last {self._failures} starts; the next try is in {wait:.1f} s"
            )

    def failed(self) -> None:
        """Note a failed start."""
        self._failures += 1
        self._refuse_until = asyncio.get_running_loop().time() + min(30.0, 0.5 * 2.0**self._failures)

    def succeeded(self) -> None:
        """Note a good start."""
        self._failures = 0
        self._refuse_until = 0.0


# ---------------------------------------------------------------------------------------------------------------------


def _memory_of(pids: Sequence[int]) -> int:
    total = 0
    for pid in pids:
        with suppress(psutil.Error):  # it ended meanwhile
            total += psutil.Process(pid).memory_full_info().pss
    return total
