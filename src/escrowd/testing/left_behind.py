"""Which processes of a test session still run when none should."""

from pathlib import Path
from typing import Final

import psutil

from escrowd.wallets.running import ProcessIdentity

#: The names of the programs that a lab starts, as the kernel cuts them.
_PROGRAMS: Final = ("monerod", "monero-wallet-rpc"[:15])

_started: Final[set[ProcessIdentity]] = set()


def note(identity: ProcessIdentity) -> None:
    """Remember a process that was started by a lab, also when it will no longer be a child of ours."""
    _started.add(identity)


def left_behind() -> tuple[ProcessIdentity, ...]:
    """Return the Monero processes that this process started, or that are its children, and that still run."""
    noted = {identity for identity in _started if ProcessIdentity.of(identity.pid) == identity}
    children = {
        identity
        for child in psutil.Process().children()
        if _is_monero(child) and (identity := ProcessIdentity.of(child.pid)) is not None
    }
    return tuple(sorted(noted | children, key=lambda identity: identity.pid))


def running_in(directory: Path) -> tuple[ProcessIdentity, ...]:
    """Return those of them whose files are in this directory."""
    return tuple(each for each in left_behind() if any(str(directory) in part for part in _command(each)))


# ---------------------------------------------------------------------------------------------------------------------


def _command(identity: ProcessIdentity) -> list[str]:
    try:
        return psutil.Process(identity.pid).cmdline()
    except psutil.Error:
        return []


def _is_monero(process: psutil.Process) -> bool:
    try:
        return process.name()[:15] in _PROGRAMS
    except psutil.Error:
        return False
