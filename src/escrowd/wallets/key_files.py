"""Writes ``.keys`` files of wallets back from their seals. Never a cache: wallet2 makes a new one from the chain.

A cache holds the one-time nonces of a multisig wallet. One that comes back from a backup offers nonces a second time
that have signed already, and two signatures with the same nonces give the key away.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from escrowd.domain.errors import Fault
from escrowd.wallets.errors import WalletError
from escrowd.wallets.making import PASSWORD_SUFFIX

#: How the key file of a wallet is named after the wallet. The cache has the name of the wallet itself.
KEYS_SUFFIX: Final = ".keys"


class KeyFilesRefused(WalletError):
    """Key files cannot be written to the wallet directory. None was."""

    fault = Fault.OPERATOR


class RestoredKeyFiles:
    """Key files that are being written. Use it with ``with``: if the block raises, all that were written go again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._written: list[Path] = []

    def __enter__(self) -> Self:
        """Make the directory, for its owner only. Raises KeyFilesRefused."""
        with _told():
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            for each in self._written:
                each.unlink(missing_ok=True)
        self._written.clear()

    def write(self, filename: str, content: bytes, sealed_password: str) -> bool:
        """Write the key file of a wallet and force it to the medium; return whether it was not there already.

        Its sealed password lies beside it, as beside each wallet that is made.

        Raises:
            KeyFilesRefused: there is another key file, or a cache, of this wallet.

        """
        if Path(filename).name != filename or not filename.strip("."):
            raise KeyFilesRefused(f"'{filename}' is no name of a wallet file")
        cache, path = self._directory / filename, self._directory / f"{filename}{KEYS_SUFFIX}"
        if os.path.lexists(cache):
            raise KeyFilesRefused(
                f"{cache} is the cache of an earlier life of this wallet: it could sign with nonces that were used "
                "already. Restore into an empty wallet directory; caches are made anew"
            )
        with _told():
            if os.path.lexists(path):
                if path.read_bytes() == content:
                    return False
                raise KeyFilesRefused(f"{path} exists and is another file: restore into an empty wallet directory")
            password = self._directory / f"{filename}{PASSWORD_SUFFIX}"
            if not os.path.lexists(password):
                self._write(password, sealed_password.encode("ascii"))
            self._write(path, content)
        return True

    def force(self) -> None:
        """Force the names of what was written to the medium. Raises KeyFilesRefused."""
        with _told():
            descriptor = os.open(self._directory, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _write(self, path: Path, content: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._written.append(path)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)


# ---------------------------------------------------------------------------------------------------------------------


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise KeyFilesRefused(f"the key files could not be written: {error}") from error
