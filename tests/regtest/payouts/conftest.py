from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from escrowd.testing.lab import RegtestLab
from tests.regtest.payouts.office import Office


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def own_lab(_nothing_left_behind: None) -> AsyncIterator[RegtestLab]:
    """Start a chain on which nobody else pays to the wallets of these trades: a payout must know all their money."""
    async with RegtestLab.start() as lab:
        yield lab


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def office(own_lab: RegtestLab, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    """Real wallets for all trades of the session."""
    async with Office.open(own_lab, tmp_path_factory.mktemp("payouts")) as office:
        yield office


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def rough(_nothing_left_behind: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    """Real wallets over a chain whose blocks may be taken back, and on which wallets may keep money."""
    directory = tmp_path_factory.mktemp("rough")
    async with RegtestLab.start() as lab, Office.open(lab, directory) as office:
        yield office
