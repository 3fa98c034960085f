"""Caches of wallets: what a wallet has read of the chain, and its nonces. One that does not open is replaced.

Without a cache, wallet2 makes a new one from the key file and the chain (``wallet2::load``). The old one is moved to
where no wallet can be opened from, and never comes back: it holds nonces that may have been used since (ADR 0023).
"""

import fcntl
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.monero.errors import Refused

#: Directory, inside the one of the wallets, of files that no wallet is opened from. monero-wallet-rpc refuses a name
#: with a slash in it (``on_open_wallet``).
ASIDE: Final = "aside"

#: Code of a refusal that names no cause (``WALLET_RPC_ERROR_CODE_UNKNOWN_ERROR``).
_UNKNOWN: Final = -1
#: What releases since 0.18.4 add to it where the cause is another file than the cache: a wrong password, a damaged key
#: file (``wallet2::load_keys``). 0.18.0.0 adds nothing.
_OTHER_CAUSES: Final = ("invalid password", "keys buffer")
#: Ending of the copy that wallet2 makes of a cache that it cannot read (``wallet2::load``).
_COPY_SUFFIX: Final = ".unportable"


@dataclass(frozen=True, slots=True)
class RemadeCache:
    """A cache that did not open and was made anew: whose, why, and where the old one lies."""

    escrow: EscrowId
    role: WalletRole
    reason: str
    moved_to: Path


def may_be_the_cache(error: Refused, directory: Path, filename: str) -> bool:
    """Return whether a wallet may have been refused because of its cache.

    It was not where the refusal names another cause, and where another process has the wallet open.
    """
    if error.code != _UNKNOWN or any(cause in error.reason.lower() for cause in _OTHER_CAUSES):
        return False
    return not _is_open_elsewhere(directory / f"{filename}.keys")


def move_cache_aside(directory: Path, filename: str) -> Path | None:
    """Move the cache of a wallet that is not open aside, and return where it is now; ``None`` where there is none.

    Raises:
        OSError: it could not be moved.

    """
    cache, aside = directory / filename, directory / ASIDE
    if not cache.is_file():
        return None
    aside.mkdir(mode=0o700, exist_ok=True)
    place = aside / f"{filename}.cache-{secrets.token_hex(4)}"
    cache.replace(place)
    (directory / f"{filename}{_COPY_SUFFIX}").unlink(missing_ok=True)
    # The new place first: a crash in between leaves the file twice, and never lets the old name come back alone.
    force_names(aside)
    force_names(directory)
    return place


def force_names(directory: Path) -> None:
    """Force the names in a directory to the medium."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# ---------------------------------------------------------------------------------------------------------------------


def _is_open_elsewhere(keys: Path) -> bool:
    """Return whether a process may hold the lock of an open wallet, which lies on its key file (``file_locker``)."""
    try:
        with keys.open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        # Locked, or not to be opened at all: then it is not known, and the cache stays where it is.
        return True
    return False
