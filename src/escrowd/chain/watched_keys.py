"""What the scanner knows of one watched address: the secret view key, and which spend keys are its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from escrowd.chain.curve import keccak, public_key, scalar_of, sum_of
from escrowd.chain.ports import WatchedAddress
from escrowd.domain.address import MoneroAddress
from escrowd.domain.errors import EscrowdError
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.networks import Network
from escrowd.domain.secret import Secret
from escrowd.monero.scalars import are_scalars


class WrongViewKey(EscrowdError):
    """The view key is not that of the address. Payments to the address would not be seen."""


@dataclass(frozen=True, slots=True)
class Lookahead:
    """For which subaddresses of a watched address the scanner looks besides. What goes beyond, only a wallet finds.

    Not wider than the table of the escrow's wallets (``LOOKAHEAD`` in :mod:`escrowd.wallets.making`): money that the
    scanner finds and no wallet sees could not be paid out.
    """

    accounts: int = 2
    indices: int = 2


@dataclass(frozen=True, slots=True)
class WatchedKeys:
    """The keys of one watched address. The secret one is not shown."""

    escrow: EscrowId
    view_key: bytes = field(repr=False)
    #: Account and index of each public spend key.
    addresses: Mapping[bytes, tuple[int, int]]

    @classmethod
    def of(cls, watched: WatchedAddress, network: Network, lookahead: Lookahead) -> Self:
        """Compute the keys. That takes some 50 microseconds for each subaddress.

        Raises:
            InvalidAddress: it is no address of this network.
            WrongViewKey: the view key is not that of the address.

        """
        address = MoneroAddress.parse(watched.address, network)
        view_key = _scalar(watched.view_key)
        if public_key(view_key) != address.view_public_key:
            raise WrongViewKey
        return cls(watched.escrow, view_key, _addresses(view_key, address.spend_public_key, lookahead))


# ---------------------------------------------------------------------------------------------------------------------

_INDEX_BYTES: Final = 4


def _scalar(view_key: Secret) -> bytes:
    if not are_scalars(view_key):
        raise WrongViewKey
    number = bytes.fromhex(view_key.reveal())
    if len(number) != len(keccak(b"")) or not any(number):
        raise WrongViewKey
    return number


def _addresses(view_key: bytes, spend_key: bytes, lookahead: Lookahead) -> dict[bytes, tuple[int, int]]:
    indices = [(account, index) for account in range(lookahead.accounts) for index in range(lookahead.indices)]
    return {_spend_key(view_key, spend_key, *each): each for each in {(0, 0): None, **dict.fromkeys(indices)}}


def _spend_key(view_key: bytes, spend_key: bytes, account: int, index: int) -> bytes:
    """Derive the public spend key of a subaddress (``get_subaddress_spend_public_key``)."""
    if (account, index) == (0, 0):
        return spend_key
    place = account.to_bytes(_INDEX_BYTES, "little") + index.to_bytes(_INDEX_BYTES, "little")
    return sum_of(spend_key, public_key(scalar_of(b"SubAddr\0" + view_key + place)))
