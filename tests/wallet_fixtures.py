import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from escrowd.bootstrap import RunningHouse, open_wallet_house
from escrowd.monero.transport import CallRecord
from escrowd.testing.house import LabHouse
from escrowd.testing.lab import RegtestLab
from escrowd.wallets.running import RunningProcess
from escrowd.wallets.settings import AtExit, SessionSettings

Building = Callable[[int], LabHouse]
Opening = Callable[..., AbstractAsyncContextManager[RunningHouse]]


class Calls:
    """Counts the RPC calls that left this process."""

    def __init__(self) -> None:
        self.methods: Counter[str] = Counter()

    def observe(self, record: CallRecord) -> None:
        self.methods[record.method] += 1

    def since(self, before: Counter[str]) -> Counter[str]:
        return self.methods - before


async def freeze(running: RunningProcess) -> None:
    """Stop a process with SIGSTOP, and return when each of its threads has stopped.

    The signal is taken by one thread; on a busy machine another one may go on for a while.
    """
    running.signal(signal.SIGSTOP)
    threads = Path(f"/proc/{running.identity.pid}/task")
    while any(stat.read_text().rpartition(")")[2].split()[0] != "T" for stat in threads.glob("*/stat")):
        await asyncio.sleep(0.001)


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def build(lab: RegtestLab, tmp_path: Path) -> Building:
    return lambda escrows: LabHouse.build(lab, tmp_path / "house", escrows)


@pytest.fixture
def opened(calls: Calls) -> Opening:
    @asynccontextmanager
    async def make(house: LabHouse, **settings: float | AtExit) -> AsyncIterator[RunningHouse]:
        defaults: dict[str, float | AtExit] = {"max_sessions": 3, "at_exit": AtExit.CLOSE}
        made = SessionSettings(**(defaults | settings))  # type: ignore[arg-type] # names and types are the test's
        async with open_wallet_house(house.house(made), calls.observe) as running:
            yield running
        await asyncio.sleep(0)

    return make
