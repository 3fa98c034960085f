from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from escrowd.testing.lab import RegtestLab
from tests.faults.ways_out import Ways
from tests.regtest.payouts.office import Office


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def ways(_nothing_left_behind: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ways]:
    """Real wallets over a chain of their own: these tests take blocks back."""
    directory = tmp_path_factory.mktemp("ways-out")
    async with RegtestLab.start() as lab, Office.open(lab, directory) as office:
        yield Ways(office)
