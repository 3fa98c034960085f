"""The networks of Monero, and how an address tells which one it belongs to."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Network(StrEnum):
    """A chain of its own, with money of its own."""

    #: Real money.
    MAINNET = "mainnet"
    #: For users and integrators to try things, with the rules of mainnet.
    STAGENET = "stagenet"
    #: For the developers of Monero: the rules of the future.
    TESTNET = "testnet"
    #: A private chain of one machine, ``monerod --regtest``. Monero's source calls it ``FAKECHAIN``.
    REGTEST = "regtest"


class AddressKind(StrEnum):
    """What an address stands for."""

    #: The primary address of a wallet.
    STANDARD = "standard"
    #: A primary address together with a payment id.
    INTEGRATED = "integrated"
    #: A further address of a wallet, which nobody else can link to the primary one.
    SUBADDRESS = "subaddress"


_MAINNET_PREFIXES: Final = MappingProxyType(
    {AddressKind.STANDARD: 18, AddressKind.INTEGRATED: 19, AddressKind.SUBADDRESS: 42}
)

#: The number an address begins with. From ``CRYPTONOTE_PUBLIC_*_BASE58_PREFIX`` in ``cryptonote_config.h``, whose
#: ``get_config`` gives ``FAKECHAIN`` the prefixes of mainnet: the two cannot be told apart by their addresses.
ADDRESS_PREFIXES: Final[Mapping[Network, Mapping[AddressKind, int]]] = MappingProxyType(
    {
        Network.MAINNET: _MAINNET_PREFIXES,
        Network.STAGENET: MappingProxyType(
            {AddressKind.STANDARD: 24, AddressKind.INTEGRATED: 25, AddressKind.SUBADDRESS: 36}
        ),
        Network.TESTNET: MappingProxyType(
            {AddressKind.STANDARD: 53, AddressKind.INTEGRATED: 54, AddressKind.SUBADDRESS: 63}
        ),
        Network.REGTEST: _MAINNET_PREFIXES,
    }
)


def kind_of_prefix(network: Network, prefix: int) -> AddressKind | None:
    """Return what an address with this prefix is on this network, or ``None`` where it is nothing there."""
    return next((kind for kind, number in ADDRESS_PREFIXES[network].items() if number == prefix), None)


def networks_of_prefix(prefix: int) -> tuple[Network, ...]:
    """Return the networks on which addresses with this prefix exist."""
    return tuple(network for network in Network if kind_of_prefix(network, prefix) is not None)
