"""Where the programs of Monero are, and of which release each of them is.

All of them lie in one directory: the one that the setting ``monero.directory`` names, else the variable
``ESCROWD_MONERO_DIR``, else the one that ``scripts/install-monero`` makes. The ``PATH`` is not searched: a system
update must not exchange the engine under open wallets.
"""

import os
import subprocess
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Final

from escrowd.domain.errors import EscrowdError, Fault
from escrowd.monero.errors import UnknownVersion
from escrowd.monero.versions import Release

DIRECTORY_VARIABLE: Final = "ESCROWD_MONERO_DIR"
#: Seconds for ``--version``. Programs before 0.18.1 first measure the processor's clock for a second.
VERSION_TIMEOUT: Final = 20.0


class MoneroProgram(StrEnum):
    """The programs that escrowd runs, by the names of their files."""

    DAEMON = "monerod"
    WALLET_RPC = "monero-wallet-rpc"


class ProgramMissing(EscrowdError):
    """A program of Monero is not installed."""

    fault = Fault.OPERATOR


def programs_directory(environment: Mapping[str, str] | None = None) -> Path:
    """Return the directory of the programs where no setting names one.

    That is ``ESCROWD_MONERO_DIR``, else ``escrowd/monero/current`` in the user's data directory (``XDG_DATA_HOME``).
    """
    environment = os.environ if environment is None else environment
    named = environment.get(DIRECTORY_VARIABLE)
    if named:
        return Path(named)
    base = environment.get("XDG_DATA_HOME", "")
    # The specification of XDG: a path that is not absolute counts as not set.
    data = Path(base) if Path(base).is_absolute() else Path.home() / ".local" / "share"
    return data / "escrowd" / "monero" / "current" / "bin"


def find_program(name: MoneroProgram, directory: Path | None = None) -> Path:
    """Return the path of a program, with symbolic links resolved: a new ``current`` changes nothing that runs.

    Raises:
        ProgramMissing: it is not in ``directory``, or may not be executed.

    """
    path = (directory or programs_directory()).absolute() / name
    if not path.is_file():
        raise ProgramMissing(
            f"{path} is missing. 'make setup' installs the pinned Monero; or name the directory of your own "
            f"programs as monero.directory or {DIRECTORY_VARIABLE}"
        )
    if not os.access(path, os.X_OK):
        raise ProgramMissing(f"{path} may not be executed. Run: chmod +x {path}")
    return path.resolve()


def release_of(program: Path) -> Release:
    """Return the release of a program, read from its ``--version`` once for each build.

    Raises:
        UnknownVersion: it does not run, or prints no version of Monero.

    """
    state = program.stat()
    return _release_of(program, state.st_size, state.st_mtime_ns)


# ---------------------------------------------------------------------------------------------------------------------


@cache
def _release_of(program: Path, _size: int, _changed: int) -> Release:
    try:
        answer = subprocess.run(
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=VERSION_TIMEOUT,
            check=False,
            # Without the vault key, which a program that is not Monero's must not get.
            env={name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnknownVersion(f"{program} does not run: {error}") from error
    return Release.parse(answer.stdout.decode("utf-8", "replace"))
