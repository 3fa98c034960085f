"""Programs of Monero 0.18.0.0 beside the installed ones, for what newer ones refuse to make."""

import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from escrowd.monero.errors import BadArgument
from escrowd.monero.programs import DIRECTORY_VARIABLE
from escrowd.monero.versions import Release
from escrowd.testing.funder import FUNDER_FILE, FUNDER_PASSWORD
from escrowd.testing.lab import RegtestLab
from escrowd.testing.two_engines import old_wallet_rpc
from tests.engine import installed_release
from tests.regtest.chain.conftest import send


@contextmanager
def old_engine() -> Iterator[None]:
    """Let what is started in the block be of the old engine. Raises ProgramMissing where that is not installed."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(DIRECTORY_VARIABLE, str(old_wallet_rpc().parent))
        yield


def refuses_locks() -> bool:
    """Return whether the installed wallet and daemon refuse to make and to relay locked transactions.

    0.18.0.0 makes them, 0.18.5.3 does not; which release began with it was not established.
    """
    return installed_release() >= Release(0, 18, 5, 3)


async def pay_locked(lab: RegtestLab, recipients: Sequence[tuple[str, int]], unlock_time: int) -> None:
    """Pay money that is locked, from the funder, and mine a block with it.

    Where wallet and daemon refuse that, programs of the old engine do both, as any miner may: the lock is no matter of
    consensus, so that the newer daemon takes the block.
    """
    if not refuses_locks():
        await send(await lab._funder._opened(), recipients, unlock_time)
        await lab.mine(1)
        return
    with pytest.raises(BadArgument, match="unlock time"):
        await send(await lab._funder._opened(), recipients, unlock_time)
    directory = lab.directory / f"old-funder-{secrets.token_hex(4)}"
    directory.mkdir(mode=0o700)
    # Without the cache: no older wallet opens that of a newer one.
    shutil.copyfile(lab.directory / "funder" / f"{FUNDER_FILE}.keys", directory / f"{FUNDER_FILE}.keys")
    await lab.daemon_process.end()
    with old_engine():
        await lab.daemon_process.start()
        process = await lab.start_wallet_process(directory)
    await process.client.open_wallet(FUNDER_FILE, FUNDER_PASSWORD)
    await send(process.client, recipients, unlock_time)
    await lab.mine(1)
    await process.end(0)
    await lab.daemon_process.end()
    await lab.daemon_process.start()
