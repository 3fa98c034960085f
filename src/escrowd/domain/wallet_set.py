"""The finished wallets of an escrow, as far as others than the wallets themselves need to know them."""

from dataclasses import dataclass

from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole


@dataclass(frozen=True, slots=True)
class WalletSet:
    """The address of three ready wallets, and what the watcher needs to look for payments to it."""

    escrow: EscrowId
    address: str
    #: Sealed by the vault; only the watcher opens it.
    sealed_view_key: str
    #: Number of blocks of the chain before the address was known to anybody.
    restore_height: int


@dataclass(frozen=True, slots=True)
class HostedWallet:
    """A wallet that this service keeps: its file, the address that it must have, and its sealed password."""

    escrow: EscrowId
    role: WalletRole
    filename: str
    address: str
    sealed_password: str
