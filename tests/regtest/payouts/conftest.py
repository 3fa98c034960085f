from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from escrowd.testing.lab import RegtestLab
from tests.regtest.payouts.office import Office


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def office(lab: RegtestLab, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    """Real wallets for all trades of the session."""
    async with Office.open(lab, tmp_path_factory.mktemp("payouts")) as office:
        yield office
