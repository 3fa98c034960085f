from collections.abc import AsyncIterator

import pytest_asyncio

from escrowd.bootstrap.service import RunningService
from escrowd.testing.escrow_house import EscrowHouse
from escrowd.testing.lab import RegtestLab
from tests.escrow_life import EscrowLife


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def chain() -> AsyncIterator[RegtestLab]:
    """Start one private chain for each module: kept wallets are few, and each address is for one escrow of a chain."""
    async with RegtestLab.start() as lab:
        yield lab


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(chain: RegtestLab) -> AsyncIterator[RunningService]:
    """Run one service for each module, whose stock holds all kept wallets but the one that stands for the vendor."""
    house = await EscrowHouse.build(chain, chain.directory / "house", kept=11)
    async with house.open() as service:
        yield service


@pytest_asyncio.fixture(loop_scope="session")
async def life(chain: RegtestLab, running: RunningService) -> EscrowLife:
    """Give an escrow that is still to be made."""
    return EscrowLife(chain, running.orchestrator, running.store)
