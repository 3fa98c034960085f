from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest_asyncio

from escrowd.domain.access import Scope
from escrowd.testing.api_house import ApiHouse
from tests.contract.api.visits import visit
from tests.contract.conftest import sqlite_copy


@pytest_asyncio.fixture
async def house(database_url: str) -> AsyncIterator[ApiHouse]:
    """Give the API over an empty database, on SQLite and on PostgreSQL."""
    async with ApiHouse.open(database_url) as house:
        yield house


@pytest_asyncio.fixture
async def sqlite_house(sqlite_template: Path, tmp_path: Path) -> AsyncIterator[ApiHouse]:
    """Give the API over an empty SQLite file, for what has nothing to do with the database."""
    async with ApiHouse.open(sqlite_copy(sqlite_template, tmp_path)) as house:
        yield house


@pytest_asyncio.fixture
async def client(house: ApiHouse) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of the API on both databases, with a key that opens everything."""
    async with visit(house, await house.key(tuple(Scope))) as client:
        yield client


@pytest_asyncio.fixture
async def sqlite_client(sqlite_house: ApiHouse) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of the API on SQLite, with a key that opens everything."""
    async with visit(sqlite_house, await sqlite_house.key(tuple(Scope))) as client:
        yield client
