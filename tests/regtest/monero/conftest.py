from itertools import count
from typing import Final

import pytest

from escrowd.domain.secret import Secret
from escrowd.monero.wallet import MoneroClient
from escrowd.testing.lab import RegtestLab
from escrowd.wallets.process import WalletProcess

PASSWORD: Final = Secret("password of a test")

_numbers = count(1)


@pytest.fixture(scope="session")
async def process(lab: RegtestLab) -> WalletProcess:
    """Give one wallet process that the tests of this directory share. Each opens the wallet that it wants."""
    return await lab.start_wallet_process()


@pytest.fixture
def client(process: WalletProcess) -> MoneroClient:
    """Give the client of the shared wallet process."""
    return process.client


@pytest.fixture
def name() -> str:
    """Give a name that no wallet file has yet."""
    return f"wallet-{next(_numbers)}"


@pytest.fixture
async def fresh(client: MoneroClient, name: str) -> MoneroClient:
    """Give the shared client with a fresh wallet open, whose file has the name of ``name``."""
    await client.create_wallet(name, PASSWORD)
    return client
