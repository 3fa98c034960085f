"""A worker in a process of its own, so that it can be stopped, killed and started again while it works.

Its rows are of the kind ``test``. Each step writes down when it begins and ends, waits in between, and stores one line
under the fence of its claim.
"""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from escrowd.service.worker import WorkClaim, Worker, WorkerSettings
from escrowd.store.database import Database
from escrowd.store.node import Node
from escrowd.store.store import SqlStore, SqlWorkQueue
from escrowd.testing.ending import until_told_or_orphaned
from escrowd.wallets.running import RunningProcess

#: The kind of the rows that these processes carry out.
KIND: Final = "test"
#: Seconds in which a process must have started or ended.
PATIENCE: Final = 60.0
_TOLD: Final = "ESCROWD_TEST_WORKER"


class WorkerOrders(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker process does. Times are seconds."""

    url: str
    node: str
    #: Where steps are written down, by all processes of a test.
    steps: str
    #: How long each step takes.
    duration: float = 0.0
    lease: float = 3.0
    poll: float = 0.2
    concurrency: int = 8
    #: How long the process waits for its name at its start.
    name_patience: float = 10.0


class StepLine(msgspec.Struct, frozen=True):
    """One line about a step. ``at`` is nanoseconds of the monotonic clock, which all processes share."""

    what: str
    node: str
    key: str
    fence: int
    at: int


class WorkerProcess:
    """A worker in a process of its own. Enter it with ``async with``; it is killed at the end of the block."""

    def __init__(self, orders: WorkerOrders) -> None:
        self.orders = orders
        self.output = Path(f"{orders.steps}.{orders.node}.{time.monotonic_ns()}.out")
        self._process: RunningProcess | None = None

    async def __aenter__(self) -> Self:
        """Start it, and wait until it works or has ended."""
        told = os.environ | {_TOLD: msgspec.json.encode(self.orders).decode()}
        self._process = RunningProcess.spawn([sys.executable, "-m", __spec__.name], told, self.output)
        deadline = time.monotonic() + PATIENCE
        while self.is_alive and "worker.started" not in self.output.read_text():
            if time.monotonic() > deadline:
                await self.kill()
                raise TimeoutError(self.output.read_text())
            await asyncio.sleep(0.02)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.is_alive

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self._process is not None:
            self._process.signal(number)

    async def ended(self) -> bool:
        """Wait for its end; return whether it came."""
        return self._process is None or await self._process.wait(PATIENCE)

    async def kill(self) -> None:
        """Kill it with ``kill -9``."""
        process, self._process = self._process, None
        if process is not None:
            await process.kill()
            process.close()


def read_steps(path: Path) -> list[StepLine]:
    """Return what all processes wrote down, in the order of time."""
    text = path.read_text() if path.exists() else ""
    return sorted((msgspec.json.decode(line, type=StepLine) for line in text.splitlines()), key=lambda each: each.at)


# ---------------------------------------------------------------------------------------------------------------------


class _Steps:
    def __init__(self, orders: WorkerOrders, store: SqlStore) -> None:
        self._orders = orders
        self._store = store

    async def carry_out(self, claim: WorkClaim) -> float | None:
        self._write("begin", claim)
        try:
            await asyncio.sleep(self._orders.duration)
            claim.check()
            async with self._store.transaction() as tx:
                await tx.hold_claim(claim)
                await tx.payouts.keep_raw(f"{claim.key} {claim.fence}", self._orders.node)
        finally:
            self._write("end", claim)
        return None

    def _write(self, what: str, claim: WorkClaim) -> None:
        line = msgspec.json.encode(StepLine(what, self._orders.node, claim.key, claim.fence, time.monotonic_ns()))
        # One write to a file that is only appended to: lines of several processes do not mix.
        with Path(self._orders.steps).open("ab", buffering=0) as file:
            file.write(line + b"\n")


async def _work(orders: WorkerOrders) -> None:
    ends = asyncio.create_task(until_told_or_orphaned())
    settings = WorkerSettings(
        concurrency=orders.concurrency, lease=orders.lease, poll=orders.poll, first_pause=0.1, longest_pause=1.0
    )
    async with Database(orders.url) as database, Node(database, orders.node, orders.name_patience):
        steps = _Steps(orders, SqlStore(database, orders.node))
        worker = Worker(SqlWorkQueue(database, orders.node), {KIND: steps.carry_out}, settings)
        database.on_wake(worker.wake)
        async with worker:
            await ends


if __name__ == "__main__":
    asyncio.run(_work(msgspec.json.decode(os.environ.pop(_TOLD), type=WorkerOrders)))
