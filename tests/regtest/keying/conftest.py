from pathlib import Path

import pytest

from escrowd.domain.escrow.terms import all_hosted
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.keying import KeySet
from escrowd.service.keying.keyer import Job
from escrowd.testing.keying import KeyingHouse, Workshop, new_escrow_id
from escrowd.testing.lab import RegtestLab
from escrowd.wallets.settings import AtExit, SessionSettings

#: Nothing is left behind.
CLOSING = SessionSettings(max_sessions=4, at_exit=AtExit.CLOSE)


@pytest.fixture
def house(lab: RegtestLab, tmp_path: Path) -> KeyingHouse:
    return KeyingHouse(lab.daemon_endpoint.port, tmp_path / "keying")


@pytest.fixture
def escrow() -> EscrowId:
    return new_escrow_id()


async def hosted_keys(house: KeyingHouse, workshop: Workshop, escrow: EscrowId) -> KeySet:
    """Make three hosted keys."""
    keys = await workshop.keyer.advance(Job(escrow, all_hosted(), house.journal))
    assert isinstance(keys, KeySet)
    return keys
