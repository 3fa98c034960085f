"""What a version of Monero can do, and what is known to be wrong with it: one table.

The releases and their RPC versions were read from the tags of monero-project/monero, v0.18.0.0 to v0.18.5.1
(``WALLET_RPC_VERSION_MINOR`` in ``wallet_rpc_server_commands_defs.h``); that of 0.18.5.3 was measured. Several releases
share one RPC version, so a caller that knows only that takes the oldest of them: a capability is never assumed wrongly.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple, Self

from typing_extensions import override

from escrowd.domain.networks import Network
from escrowd.monero.errors import UnknownVersion


class RpcVersion(NamedTuple):
    """The version of an RPC interface. The wallet's and the daemon's are counted apart."""

    major: int
    minor: int

    @classmethod
    def unpack(cls, version: int) -> Self:
        """Read the form that ``get_version`` answers with: the major part in the upper 16 bits."""
        return cls(version >> 16, version & 0xFFFF)

    @override
    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


class Release(NamedTuple):
    """A release of Monero, such as 0.18.3.1. Releases are ordered."""

    generation: int
    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Find the release in what ``--version`` prints or in the ``version`` of ``get_info``.

        Raises:
            UnknownVersion: there is none in it. A restricted daemon answers ``get_info`` with an empty version.

        """
        found = _RELEASE.search(text)
        if found is None:
            raise UnknownVersion(f"no Monero version in {text[:80]!r}")
        return cls(*map(int, found.groups()))

    @override
    def __str__(self) -> str:
        return ".".join(map(str, self))


class Capability(StrEnum):
    """What newer releases can do and older ones cannot. ``SINCE`` says which."""

    #: The wallet process takes ``--allow-mismatched-daemon-version``; an older one does not start with it.
    MISMATCHED_DAEMON_FLAG = "mismatched_daemon_flag"
    #: ``transfer`` takes the network fee out of chosen outputs (``subtract_fee_from_outputs``).
    SUBTRACT_FEE = "subtract_fee"
    #: Multisig data is no longer taken for fresh after a refresh that failed (pull request 9911).
    STALE_DATA_FIXED = "stale_data_fixed"
    #: ``set_subaddress_lookahead``: how many unused subaddresses a wallet looks out for.
    SUBADDRESS_LOOKAHEAD = "subaddress_lookahead"
    #: ``describe_transfer`` lists the outputs that are spent (pull request 10380). 0.18.5.0 already does, but names a
    #: wrong member of the ring (mended by pull request 10592).
    DESCRIBE_SOURCES = "describe_sources"
    #: The erasure of used nonces is on disk before ``sign_multisig`` answers (pull request 10754).
    NONCE_ERASED_BEFORE_RETURN = "nonce_erased_before_return"
    #: A wallet reads on after an output whose amount it cannot read. An older one stops at its block permanently, so
    #: anybody can lock up an escrow for the price of a fee. Measured; 0.18.5.1 was not tried and counts as unable.
    PASSES_UNREADABLE_OUTPUTS = "passes_unreadable_outputs"


#: The first release that has each capability.
SINCE: Final[Mapping[Capability, Release]] = MappingProxyType(
    {
        Capability.MISMATCHED_DAEMON_FLAG: Release(0, 18, 1, 1),
        Capability.SUBTRACT_FEE: Release(0, 18, 3, 2),
        Capability.STALE_DATA_FIXED: Release(0, 18, 4, 1),
        Capability.SUBADDRESS_LOOKAHEAD: Release(0, 18, 4, 1),
        Capability.DESCRIBE_SOURCES: Release(0, 18, 5, 1),
        Capability.NONCE_ERASED_BEFORE_RETURN: Release(0, 18, 5, 1),
        Capability.PASSES_UNREADABLE_OUTPUTS: Release(0, 18, 5, 3),
    }
)

#: The oldest release that answers with each version of the wallet RPC.
OLDEST_RELEASE: Final[Mapping[RpcVersion, Release]] = MappingProxyType(
    {
        RpcVersion(1, 25): Release(0, 18, 0, 0),
        RpcVersion(1, 26): Release(0, 18, 1, 2),
        RpcVersion(1, 27): Release(0, 18, 3, 2),
        RpcVersion(1, 28): Release(0, 18, 4, 0),
        RpcVersion(1, 29): Release(0, 18, 4, 1),
        RpcVersion(1, 30): Release(0, 18, 5, 0),
        RpcVersion(1, 31): Release(0, 18, 5, 1),
        RpcVersion(1, 32): Release(0, 18, 5, 3),
    }
)


def capabilities(release: Release) -> frozenset[Capability]:
    """Return all that a release can do."""
    return frozenset(capability for capability, since in SINCE.items() if release >= since)


def oldest_release_of(version: RpcVersion) -> Release:
    """Return the oldest release that has this version of the wallet RPC.

    A minor version newer than all we know counts as the newest we know.

    Raises:
        UnknownVersion: the interface is older than Monero 0.18, or has another major version.

    """
    newest = max(OLDEST_RELEASE)
    if version.major == newest.major and version.minor > newest.minor:
        return OLDEST_RELEASE[newest]
    if version not in OLDEST_RELEASE:
        raise UnknownVersion(f"wallet RPC {version} is not one that escrowd knows: it works with Monero 0.18")
    return OLDEST_RELEASE[version]


def risks(release: Release, network: Network) -> tuple[str, ...]:
    """Return what an operator has to be warned of, a sentence for each, when wallets of this release hold money."""
    if network is not Network.MAINNET:
        return ()
    able = capabilities(release)
    return tuple(f"Monero {release}: {warning}" for capability, warning in _RISKS if capability not in able)


# ---------------------------------------------------------------------------------------------------------------------

_RELEASE: Final = re.compile(r"(?<![\d.])v?(\d+)\.(\d+)\.(\d+)\.(\d+)(?![\d.])")

#: What is wrong where a capability is missing, worst first.
_RISKS: Final = (
    (
        Capability.NONCE_ERASED_BEFORE_RETURN,
        "a wallet process that dies between signing and saving can sign again with the same nonces, and nonces used "
        "more than once can give the private key away. Use 0.18.5.1 or newer.",
    ),
    (
        Capability.PASSES_UNREADABLE_OUTPUTS,
        "anybody can lock up an escrow for the price of a fee: its wallets stop at a transaction made for that, and "
        "pay nothing out any more. Use 0.18.5.3 or newer.",
    ),
    (
        Capability.STALE_DATA_FIXED,
        "after a refresh that failed a wallet can take old multisig data for fresh. Use 0.18.4.1 or newer.",
    ),
)
