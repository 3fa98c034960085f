import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from escrowd.domain.identifiers import EscrowId
from escrowd.testing.fakes import FakeOpener, FixedTip, ManualClock
from escrowd.wallets.sessions import WalletSessionManager
from escrowd.wallets.settings import AtExit, SessionSettings

A, B, C = (EscrowId(f"esc_{letter}") for letter in "abc")

Managing = Callable[..., AbstractAsyncContextManager[WalletSessionManager]]


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def opener() -> FakeOpener:
    return FakeOpener()


@pytest.fixture
def managing(opener: FakeOpener, clock: ManualClock) -> Managing:
    @asynccontextmanager
    async def make(**settings: float | AtExit) -> AsyncIterator[WalletSessionManager]:
        defaults: dict[str, float | AtExit] = {"max_sessions": 2, "lease_timeout": 1, "stop_patience": 0.1}
        made = SessionSettings(**(defaults | settings))  # type: ignore[arg-type] # names and types are the test's
        async with WalletSessionManager(opener, FixedTip(), made, clock) as manager:
            yield manager

    return make
