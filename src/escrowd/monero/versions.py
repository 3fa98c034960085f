"""What a version of Monero can do, what is known to be wrong with it, and which may hold money: one table.

The releases and their RPC versions were read from the tags of monero-project/monero, v0.18.0.0 to v0.18.5.1
(``WALLET_RPC_VERSION_MINOR`` in ``wallet_rpc_server_commands_defs.h``); that of 0.18.5.3 was measured. Several releases
share one RPC version, so a caller that knows only that takes the oldest of them: a capability is never assumed wrongly.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
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


#: The newest release that the whole suite passed on.
NEWEST_TESTED: Final = Release(0, 18, 5, 3)
#: From this release on Monero brings new rules of the chain (FCMP++ and Carrot are planned for it).
UNTESTED_SINCE: Final = Release(0, 19, 0, 0)
#: The newest hard fork whose transactions escrowd can read (``mainnet_hard_forks`` in ``hardforks.cpp``).
NEWEST_FORK: Final = 16


class Override(StrEnum):
    """What an operator may allow on mainnet against the version table, by the name of the setting."""

    #: A release with a known risk to keys.
    UNSAFE_VERSION = "monero.allow_unsafe_version"
    #: A release or a hard fork that is newer than what was tested. The risks differ, so one does not allow the other.
    UNTESTED_VERSION = "monero.allow_untested_version"


@dataclass(frozen=True, slots=True)
class Engine:
    """The Monero that a service runs on. ``None`` for what is not known, such as of a daemon that does not answer."""

    #: Release of monero-wallet-rpc.
    wallet: Release | None = None
    #: Release of monerod.
    daemon: Release | None = None
    #: Hard fork at the end of the daemon's chain.
    fork: int | None = None


@dataclass(frozen=True, slots=True)
class Risk:
    """What is known to be wrong with wallets that lack a capability."""

    lacks: Capability
    #: Whether mainnet is refused for it, or warned of it.
    is_refused: bool
    what: str


@dataclass(frozen=True, slots=True)
class Untested:
    """Something of an engine that is newer than what was tested."""

    #: Whether mainnet is refused for it: a further 0.18 changes no rules of the chain, and is warned of.
    is_refused: bool
    what: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a service may hold money on an engine: a sentence for each objection."""

    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def capabilities(release: Release) -> frozenset[Capability]:
    """Return all that a release can do."""
    return frozenset(capability for capability, since in SINCE.items() if release >= since)


def oldest_release_of(version: RpcVersion) -> Release:
    """Return the oldest release that has this version of the wallet RPC.

    A minor version newer than all we know counts as the newest we know: whether a process of such a release may run at
    all was decided before, by the release of its program (:func:`judge_engine`, :func:`is_of_release`).

    Raises:
        UnknownVersion: the interface is older than Monero 0.18, or has another major version.

    """
    newest = max(OLDEST_RELEASE)
    if version.major == newest.major and version.minor > newest.minor:
        return OLDEST_RELEASE[newest]
    if version not in OLDEST_RELEASE:
        raise UnknownVersion(f"wallet RPC {version} is not one that escrowd knows: it works with Monero 0.18")
    return OLDEST_RELEASE[version]


def is_of_release(version: RpcVersion, program: Release) -> bool:
    """Return whether a wallet process with this version of the RPC can be one of this release of its program.

    The releases with known risks begin with RPC versions of their own, so a process from before an upgrade shows.
    """
    newest = max(OLDEST_RELEASE)
    known = max((rpc for rpc, oldest in OLDEST_RELEASE.items() if oldest <= program), default=None)
    is_newer_than_known = program > OLDEST_RELEASE[newest] and version > newest
    return version == known or is_newer_than_known


def risks(wallet: Release) -> tuple[Risk, ...]:
    """Return what is known to be wrong with wallets of this release when they hold money, worst first."""
    able = capabilities(wallet)
    return tuple(each for each in _RISKS if each.lacks not in able)


def untested(engine: Engine) -> tuple[Untested, ...]:
    """Return what of the engine is newer than anything that escrowd was tested with."""
    newer = [
        Untested(
            release >= UNTESTED_SINCE,
            f"{program} is of Monero {release}, and the newest release that this version of escrowd was tested with is "
            f"{NEWEST_TESTED}",
        )
        for program, release in (("monero-wallet-rpc", engine.wallet), ("monerod", engine.daemon))
        if release is not None and release > NEWEST_TESTED
    ]
    if engine.fork is not None and engine.fork > NEWEST_FORK:
        newer.append(
            Untested(
                is_refused=True,
                what=f"the chain is at hard fork {engine.fork}, and this version of escrowd knows the rules up to hard "
                f"fork {NEWEST_FORK}",
            )
        )
    return tuple(newer)


def judge_engine(engine: Engine, network: Network, allowed: frozenset[Override] = frozenset()) -> Verdict:
    """Decide whether the service may hold money on this engine.

    Only mainnet is refused, and a refusal that the operator allows becomes a warning. On a private chain anything goes;
    on test networks what is untested is warned of.
    """
    if network is Network.REGTEST:
        return Verdict()
    is_real = network is Network.MAINNET
    found = [(Override.UNTESTED_VERSION, each.is_refused and is_real, each.what) for each in untested(engine)]
    if is_real and engine.wallet is not None:
        found += [
            (Override.UNSAFE_VERSION, each.is_refused, f"Monero {engine.wallet}: {each.what}")
            for each in risks(engine.wallet)
        ]
    return Verdict(
        tuple(
            f"{what} ({override} = true allows it)" for override, no, what in found if no and override not in allowed
        ),
        tuple(what for override, no, what in found if not no or override in allowed),
    )


# ---------------------------------------------------------------------------------------------------------------------

_RELEASE: Final = re.compile(r"(?<![\d.])v?(\d+)\.(\d+)\.(\d+)\.(\d+)(?![\d.])")

#: What is wrong where a capability is missing, worst first.
_RISKS: Final = (
    Risk(
        Capability.NONCE_ERASED_BEFORE_RETURN,
        is_refused=True,
        what="a wallet process that dies between signing and saving can sign again with the same nonces, and nonces "
        "used more than once can give the private key away. Use 0.18.5.1 or newer",
    ),
    Risk(
        Capability.PASSES_UNREADABLE_OUTPUTS,
        is_refused=False,
        what="anybody can lock up an escrow for the price of a fee: its wallets stop at a transaction made for that, "
        "and pay nothing out any more. Use 0.18.5.3 or newer",
    ),
    Risk(
        Capability.STALE_DATA_FIXED,
        is_refused=False,
        what="after a refresh that failed a wallet can take old multisig data for fresh. Use 0.18.4.1 or newer",
    ),
)
