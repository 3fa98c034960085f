"""Fixtures for pytest. Load them with ``pytest_plugins = ["escrowd.testing.fixtures"]``."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

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
