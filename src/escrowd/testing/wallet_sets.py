"""Ready 2-of-3 wallets whose keys are public, and therefore worthless.

Making a 2-of-3 wallet takes many seconds, and a test that only wants to use one need not pay them. Kept are the key
files alone: the caches are made again when the wallets are opened. ``python -m escrowd.testing.make_wallet_sets`` makes
the sets anew.
"""

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

import msgspec

from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret

#: The directory with the key files, beside this module, and the file that describes them.
DATA: Final = "wallet_sets"
DESCRIPTION: Final = "sets.json"


class KeptWallet(msgspec.Struct, frozen=True):
    """The wallet of one role: its name for ``open_wallet``, and its password."""

    filename: str
    worthless_password: str

    @property
    def password(self) -> Secret:
        """The password as clients take it."""
        return Secret(self.worthless_password)


class WalletSet(msgspec.Struct, frozen=True):
    """The three wallets of one address. The keys hex; ``restore_height`` is where reading the chain begins."""

    escrow: EscrowId
    address: str
    secret_view_key: str
    restore_height: int
    wallets: dict[WalletRole, KeptWallet]


@cache
def wallet_sets() -> tuple[WalletSet, ...]:
    """Return all kept sets."""
    description = resources.files("escrowd.testing").joinpath(DATA, DESCRIPTION).read_bytes()
    return msgspec.json.decode(description, type=tuple[WalletSet, ...])


def install(wallet_set: WalletSet, wallet_dir: Path, escrow_id: EscrowId | None = None) -> WalletSet:
    """Copy the key files of a kept set into a wallet directory, and return the set as it is there.

    With ``escrow_id`` the files get the names of another escrow, so that few sets serve as the wallets of many.

    Raises:
        FileExistsError: there are such wallets already.

    """
    escrow = escrow_id or wallet_set.escrow
    there = {
        role: KeptWallet(wallet_filename(escrow, role), kept.worthless_password)
        for role, kept in wallet_set.wallets.items()
    }
    data = resources.files("escrowd.testing").joinpath(DATA)
    for role, kept in wallet_set.wallets.items():
        target = wallet_dir / keys_file(there[role].filename)
        target.touch(mode=0o600, exist_ok=False)
        target.write_bytes(data.joinpath(keys_file(kept.filename)).read_bytes())
    return WalletSet(escrow, wallet_set.address, wallet_set.secret_view_key, wallet_set.restore_height, there)


def wallet_filename(escrow: EscrowId, role: WalletRole) -> str:
    """Name the wallet of a role of an escrow."""
    return f"{escrow}-{role}"


def keys_file(filename: str) -> str:
    """Name the file with the keys of a wallet."""
    return f"{filename}.keys"
