"""The oldest and the newest supported Monero, for tests that need both in one run."""

import os
from pathlib import Path
from typing import Final

from escrowd.monero.programs import (
    DIRECTORY_VARIABLE,
    MoneroProgram,
    ProgramMissing,
    find_program,
    programs_directory,
    release_of,
)
from escrowd.monero.versions import Capability, capabilities

#: Names the directory of the old engine's programs.
OLD_DIRECTORY_VARIABLE: Final = "ESCROWD_TEST_OLD_MONERO_DIR"
#: Its release, as ``scripts/install-monero --old`` names the directory.
OLD_RELEASE: Final = "0.18.0.0"


def old_wallet_rpc() -> Path:
    """Return the path of the old engine's monero-wallet-rpc.

    Raises:
        ProgramMissing: it is not installed; the message has the command that installs it.

    """
    named = os.environ.get(OLD_DIRECTORY_VARIABLE)
    directory = Path(named) if named else _installed().parent.parent / OLD_RELEASE / "bin"
    try:
        return find_program(MoneroProgram.WALLET_RPC, directory)
    except ProgramMissing as error:
        raise ProgramMissing(
            f"{directory} lacks the Monero {OLD_RELEASE} that this test needs besides the newer one: run "
            f"'scripts/install-monero --old', or name its directory in {OLD_DIRECTORY_VARIABLE}"
        ) from error


def new_wallet_rpc() -> Path:
    """Return the path of the newest engine's monero-wallet-rpc: the one under test, unless that is an old one.

    Raises:
        ProgramMissing: it is not installed.

    """
    under_test = find_program(MoneroProgram.WALLET_RPC)
    is_new = Capability.PASSES_UNREADABLE_OUTPUTS in capabilities(release_of(under_test))
    return under_test if is_new else find_program(MoneroProgram.WALLET_RPC, _installed())


# ---------------------------------------------------------------------------------------------------------------------


def _installed() -> Path:
    """Return the directory that ``scripts/install-monero`` makes, whichever one is under test."""
    return programs_directory({**os.environ, DIRECTORY_VARIABLE: ""})
