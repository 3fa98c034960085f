"""Fixtures for pytest. Load them with ``pytest_plugins = ["escrowd.testing.fixtures"]``."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from escrowd.monero.transport import HttpTransport
from escrowd.store.database import is_in_transaction
from escrowd.testing.lab import RegtestLab
from escrowd.testing.left_behind import left_behind


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def lab(_nothing_left_behind: None) -> AsyncIterator[RegtestLab]:
    """One private chain for the whole session. Tests share it: none may count on its height or on an empty pool."""
    async with RegtestLab.start() as lab:
        yield lab


@pytest.fixture
def wallet_dir(tmp_path: Path) -> Path:
    """Give a private directory for wallet files."""
    directory = tmp_path / "wallets"
    directory.mkdir(mode=0o700)
    return directory


@pytest.fixture(scope="session", autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """Fail when a monerod or a monero-wallet-rpc of this session still runs at its end."""
    yield
    if left := left_behind():
        pytest.fail(f"these Monero processes were left behind: {left}", pytrace=False)


@pytest.fixture(autouse=True)
def _no_rpc_in_a_transaction(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test in which a call went to a Monero program inside a database transaction: all others would wait."""
    made: list[str] = []
    calls = (HttpTransport.call, HttpTransport.call_binary)

    def noted(call: Any) -> Any:
        async def note(transport: HttpTransport, method: Any, *arguments: Any) -> Any:
            if is_in_transaction():
                made.append(method.name)
            return await call(transport, method, *arguments)

        return note

    for call in calls:
        monkeypatch.setattr(HttpTransport, call.__name__, noted(call))
    yield
    if made:
        pytest.fail(f"these calls were made inside a database transaction: {made}", pytrace=False)
