"""A prepared private chain, mined once and copied for each lab.

Mining the first blocks takes longer than most tests, and they are the same each time. So they are kept in the user's
cache directory, by the version of monerod and of the recipe. A chain is made in a directory beside its place and moved
there when it is complete: a crash half-way leaves no half chain, and of two test sessions one makes it while the other
waits.
"""

import asyncio
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from escrowd.domain.errors import EscrowdError
from escrowd.monero.programs import MoneroProgram, find_program, release_of
from escrowd.monero.transport import Connections
from escrowd.testing.daemon_process import RegtestDaemon
from escrowd.testing.funder import FUNDER_ADDRESS, FUNDER_FILE, FUNDER_PASSWORD, WORTHLESS_SEED
from escrowd.testing.wallet_process import PATIENCE, start_wallet_process

#: Tells people what takes long, in a few words.
Progress = Callable[[str], None]

#: Part of the key: raise it when the recipe below changes.
RECIPE_VERSION: Final = 1
#: Blocks mined to the funder. A mined output unlocks after 60 blocks, so 100 of them can be spent at once.
BLOCKS: Final = 160
#: Mined with one call. A block takes about 70 ms.
BLOCKS_AT_ONCE: Final = 20

#: Where monerod keeps a private chain, inside its data directory.
_DATABASE: Final = Path("fake", "lmdb", "data.mdb")
_FUNDER_FILES: Final = (FUNDER_FILE, f"{FUNDER_FILE}.keys")


class RecipeFailed(EscrowdError):
    """The chain that was prepared is not what it should be."""


@dataclass(frozen=True, slots=True)
class PreparedChain:
    """A chain and the wallet of its funder, on disk and complete. Nobody opens them here: they are copied."""

    directory: Path

    def copy_to(self, daemon_dir: Path, funder_dir: Path) -> None:
        """Copy the chain into a daemon's data directory and the funder's files into a wallet directory."""
        funder_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in _FUNDER_FILES:
            _copy(self.directory / name, funder_dir / name)
        _copy(self.directory / _DATABASE.name, daemon_dir / _DATABASE)


def has_chain(daemon_dir: Path) -> bool:
    """Return whether a daemon's data directory holds a private chain."""
    return (daemon_dir / _DATABASE).exists()


async def prepared_chain(connections: Connections, progress: Progress | None = None) -> PreparedChain:
    """Return the prepared chain for the installed monerod, made now if it is the first time.

    Raises:
        ProgramMissing: Monero is not installed.
        DaemonNotStarted: monerod could not be started.
        RecipeFailed: the chain could not be prepared.

    """
    release = release_of(find_program(MoneroProgram.DAEMON))
    place = cache_directory() / f"{release}-{RECIPE_VERSION}"
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not place.exists():
        async with _locked(place.with_name(f"{place.name}.lock")):
            if not place.exists():
                await _prepare(place, connections, progress or _silent)
    return PreparedChain(place)


def cache_directory() -> Path:
    """Return where prepared chains are kept."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The specification of XDG: a path that is not absolute counts as none.
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "escrowd" / "regtest"


# ---------------------------------------------------------------------------------------------------------------------


async def _prepare(place: Path, connections: Connections, progress: Progress) -> None:
    # Beside its place, so that the move is within one file system and therefore atomic.
    with tempfile.TemporaryDirectory(prefix="making-", dir=place.parent) as name:
        workshop = Path(name)
        async with RegtestDaemon(workshop / "daemon", connections) as daemon:
            await _mine(daemon, progress)
            progress("reading the first chain into the funder's wallet, once")
            await _restore_funder(daemon, connections, workshop)
        finished = workshop / "finished"
        finished.mkdir(mode=0o700)
        (workshop / "daemon" / _DATABASE).rename(finished / _DATABASE.name)
        for file in _FUNDER_FILES:
            (workshop / "funder" / file).rename(finished / file)
        finished.rename(place)


async def _mine(daemon: RegtestDaemon, progress: Progress) -> None:
    for mined in range(0, BLOCKS, BLOCKS_AT_ONCE):
        progress(f"mining the first chain, once: {mined} of {BLOCKS} blocks")
        await daemon.rpc.generateblocks(BLOCKS_AT_ONCE, FUNDER_ADDRESS)


async def _restore_funder(daemon: RegtestDaemon, connections: Connections, workshop: Path) -> None:
    process = await start_wallet_process(connections, daemon.endpoint, workshop / "funder", workshop / "run")
    try:
        client = process.client
        address = await client.restore_deterministic_wallet(FUNDER_FILE, FUNDER_PASSWORD, WORTHLESS_SEED, 0)
        if address != FUNDER_ADDRESS:
            raise RecipeFailed(f"the funder's seed gives the address {address}")
        await client.refresh()
        balance = await client.get_balance()
        if balance.unlocked_balance <= 0:
            raise RecipeFailed("the funder has no money that can be spent")
        await client.close_wallet()
    finally:
        await process.end(PATIENCE)


@asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[None]:
    """Hold an exclusive lock on a file until the end of the block, or of this process."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                await asyncio.sleep(0.2)
            else:
                break
        yield
    finally:
        os.close(descriptor)


def _copy(source: Path, target: Path) -> None:
    """Copy a file so that it is there whole or not at all."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _draft_of(target) as draft:
        shutil.copyfile(source, draft)


@contextmanager
def _draft_of(target: Path) -> Iterator[Path]:
    """Give a file to write that takes the place of ``target`` at the end of the block."""
    draft = target.with_name(f"{target.name}.{secrets.token_hex(4)}.new")
    try:
        yield draft
        draft.rename(target)
    finally:
        draft.unlink(missing_ok=True)


def _silent(_: str) -> None:
    return None
