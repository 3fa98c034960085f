"""What is known of an escrow's hosted wallets without opening them."""

from dataclasses import dataclass
from typing import Protocol

from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.wallets.vault import Vault


@dataclass(frozen=True, slots=True)
class WalletRecord:
    """One hosted wallet: its file in the wallet directory, its sealed password, and the address that it must have."""

    escrow: EscrowId
    role: WalletRole
    filename: str
    address: str
    sealed_password: str

    def password(self, vault: Vault) -> Secret:
        """Unseal the password of the wallet file.

        Raises:
            NotUnsealable: the vault key is another one, or the record was changed.

        """
        return vault.unseal(self.sealed_password, password_purpose(self.filename))


class WalletRecords(Protocol):
    """Where the wallet records are kept."""

    async def wallets_of(self, escrow: EscrowId) -> tuple[WalletRecord, ...]:
        """Return the hosted wallets of an escrow, one per hosted role.

        Raises:
            UnknownEscrow: none are recorded.

        """
        ...


def password_purpose(filename: str) -> str:
    """Name what a wallet password is sealed for."""
    return f"password of wallet {filename}"
