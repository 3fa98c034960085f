"""Labs whose process was killed: what they left running is ended, what they left on disk is removed."""

import asyncio
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

import psutil
import structlog

from escrowd.testing.wallet_process import PATIENCE
from escrowd.wallets.errors import AlreadyInUse
from escrowd.wallets.registry import Registry
from escrowd.wallets.running import ProcessIdentity, RunningProcess

log = structlog.get_logger()

#: How the names of labs begin, in the system's directory for temporary files.
PREFIX: Final = "escrowd-lab-"
PROGRAMS: Final = ("monerod", "monero-wallet-rpc")
#: A lab younger than this, in seconds, may not have come to own its directory yet.
YOUNG: Final = 60.0


def run_directory(lab_directory: Path) -> Path:
    """Return where a lab keeps the records of its processes. Who owns it owns the lab."""
    return lab_directory / "run"


def daemon_directory(lab_directory: Path) -> Path:
    """Return the data directory of a lab's daemon."""
    return lab_directory / "daemon"


async def end_leftovers(lab_directory: Path) -> None:
    """End every Monero process whose log lies in the lab's directory, whoever started it. The caller owns the lab.

    That covers the wallet processes of a service that ran in the lab and was killed: they are made to outlive it.
    """
    left = processes_in(lab_directory)
    if left:
        log.warning("lab.leftovers", directory=str(lab_directory), processes=[each.pid for each in left])
        await asyncio.gather(*map(_end, left))


def processes_in(lab_directory: Path) -> list[ProcessIdentity]:
    """Return the running Monero processes of this user whose log lies in the lab's directory."""
    mark = f"--log-file={lab_directory}/"
    found = []
    for process in psutil.process_iter(["cmdline", "uids"]):
        arguments, owners = process.info["cmdline"] or [], process.info["uids"]
        # The program is compared too: an editor, or a search, may name the same file.
        is_monero = bool(arguments) and Path(arguments[0]).name in PROGRAMS
        if is_monero and owners.real == os.getuid() and any(each.startswith(mark) for each in arguments):
            identity = ProcessIdentity.of(process.pid)
            found += [] if identity is None else [identity]
    return found


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


async def _end(identity: ProcessIdentity) -> None:
    process = RunningProcess.grip(identity)
    if process is not None:
        await process.end(PATIENCE)
        process.close()


def _perhaps_abandoned() -> list[Path]:
    return [each for each in Path(tempfile.gettempdir()).glob(PREFIX + "*") if _may_be_abandoned(each)]


def _may_be_abandoned(directory: Path) -> bool:
    try:
        found = directory.lstat()
    except FileNotFoundError:
        return False
    # What another user put there could name any process of ours.
    return directory.is_dir() and found.st_uid == os.geteuid() and time.time() - found.st_mtime > YOUNG
