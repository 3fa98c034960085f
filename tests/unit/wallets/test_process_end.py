"""The end of a wallet process, cancelled half-way."""

import asyncio
from pathlib import Path

import pytest

from escrowd.domain.secret import Secret
from escrowd.monero.transport import Connections, Endpoint, Login
from escrowd.wallets.process import Surroundings, WalletProcess
from escrowd.wallets.registry import ProcessRecord, Registry
from escrowd.wallets.running import RunningProcess
from escrowd.wallets.vault import KEY_BYTES, Vault

#: Ignores SIGTERM, as a wallet that is busy saving does for a while.
STUBBORN = ["/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"]


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_cancelled_end_keeps_the_record_and_releases_its_grip(tmp_path: Path) -> None:
    """The next start of the service finds the process by its record; nothing of it stays open here."""
    registry = Registry(tmp_path / "run")
    with registry.owned():
        async with Connections() as connections:
            around = Surroundings(connections, Endpoint("127.0.0.1", 1), registry, Vault(bytes(KEY_BYTES)))
            running = RunningProcess.spawn(STUBBORN, {"PATH": "/bin:/usr/bin"}, tmp_path / "out")
            while "ready" not in (tmp_path / "out").read_text():
                assert not await running.wait(0.01)
            descriptors = open_descriptors()
            record = ProcessRecord("wallet-1", 1, "sealed", running.identity)
            registry.write(record)
            process = WalletProcess("wallet-1", Endpoint("127.0.0.1", 1, Login("user", Secret("x"))), running, around)
            ending = asyncio.create_task(process.end(patience=60))
            await asyncio.sleep(0.05)
            ending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await ending
            assert [each.name for each in registry.records()] == ["wallet-1"]
            assert open_descriptors() < descriptors
            again = RunningProcess.grip(running.identity)
            assert again is not None
            await again.kill()
            again.close()
