"""Labs whose process was killed: what they left running is ended, what they left on disk is removed."""

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

from escrowd.testing.daemon_process import end_leftover_daemon
from escrowd.testing.wallet_process import end_leftover_wallets
from escrowd.wallets.errors import AlreadyInUse
from escrowd.wallets.registry import Registry

#: How the names of labs begin, in the system's directory for temporary files.
PREFIX: Final = "escrowd-lab-"
#: A lab younger than this, in seconds, may not have come to own its directory yet.
YOUNG: Final = 60.0


def run_directory(lab_directory: Path) -> Path:
    """Return where a lab keeps the records of its processes. Who owns it owns the lab."""
    return lab_directory / "run"


def daemon_directory(lab_directory: Path) -> Path:
    """Return the data directory of a lab's daemon."""
    return lab_directory / "daemon"


async def end_leftovers(lab_directory: Path) -> None:
    """End what an earlier lab in this directory left running. The caller owns the directory."""
    await end_leftover_wallets(run_directory(lab_directory))
    await end_leftover_daemon(daemon_directory(lab_directory))


async def remove_abandoned_labs() -> None:
    """End and remove all labs of this user that belong to no living process."""
    for directory in _perhaps_abandoned():
        try:
            with Registry(run_directory(directory)).owned():
                await end_leftovers(directory)
                shutil.rmtree(directory, ignore_errors=True)
        except AlreadyInUse:
            continue


# ---------------------------------------------------------------------------------------------------------------------


def _perhaps_abandoned() -> list[Path]:
    return [each for each in Path(tempfile.gettempdir()).glob(PREFIX + "*") if _may_be_abandoned(each)]


def _may_be_abandoned(directory: Path) -> bool:
    try:
        found = directory.lstat()
    except FileNotFoundError:
        return False
    # What another user put there could name any process of ours.
    return directory.is_dir() and found.st_uid == os.geteuid() and time.time() - found.st_mtime > YOUNG
