from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.doctor_place import GENESIS, Place, StubDaemon, make_place, stub_daemon


@pytest_asyncio.fixture
async def daemon() -> AsyncIterator[StubDaemon]:
    """Run a daemon of a regtest chain that answers as the test wants."""
    async with stub_daemon() as daemon:
        daemon.info["nettype"] = "fakechain"
        daemon.blocks = {0: GENESIS, 900: "90" * 32}
        yield daemon


@pytest_asyncio.fixture
async def place(tmp_path: Path, daemon: StubDaemon, own_url: str) -> Place:
    """Give a place in which nothing is wrong, on SQLite and on PostgreSQL."""
    return make_place(tmp_path / "place", daemon.port, network="regtest", database__url=own_url)
