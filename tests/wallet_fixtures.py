import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from escrowd.bootstrap import RunningHouse, open_wallet_house
from escrowd.monero.transport import CallRecord
from escrowd.testing.house import LabHouse
from escrowd.testing.lab import RegtestLab
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
