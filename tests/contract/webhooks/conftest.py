from collections.abc import AsyncIterator

import pytest_asyncio

from escrowd.store.database import Database
from tests.contract.webhooks.house import House


@pytest_asyncio.fixture
async def house(database: Database) -> AsyncIterator[House]:
    """Give everything that delivers webhooks, on SQLite and on PostgreSQL."""
    async with House.open(database) as house:
        yield house
