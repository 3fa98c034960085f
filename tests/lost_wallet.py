"""A wallet that is gone for good: its process is not there, and its files are not."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path

from escrowd.bootstrap import RunningHouse
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.wallets.process import WalletProcess


class Found(StrEnum):
    """What the service has of the session when it needs the wallets the next time."""

    #: The other two wallets are still open.
    WARM = "warm"
    #: None is open, as after a restart.
    COLD = "cold"


@asynccontextmanager
async def gone(wallets: RunningHouse, escrow: EscrowId, role: WalletRole, found: Found) -> AsyncIterator[None]:
    """Let one wallet of an escrow be gone until the end of the block."""
    await wallets.manager.get_or_create_session(escrow)
    lost = wallets.manager._slots[escrow].open_session.wallets[role]
    if found is Found.COLD:
        await wallets.manager.close_session(escrow)
    else:
        assert isinstance(lost.server, WalletProcess)
        lost.server.running.signal(signal.SIGKILL)
    directory = wallets.pool.program.wallet_directory
    there = [path for path in directory.glob(f"{lost.record.filename}*") if path.is_file()]
    assert there
    for path in there:
        path.rename(_hidden(path))
    try:
        yield
    finally:
        for path in there:
            _hidden(path).rename(path)


def _hidden(path: Path) -> Path:
    return path.with_name(f"gone-{path.name}")
