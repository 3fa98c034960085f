"""Which Monero the tests run on."""

from escrowd.monero.programs import MoneroProgram, find_program, release_of
from escrowd.monero.versions import Capability, Release, capabilities


def installed_release() -> Release:
    """Return the release of the wallets that tests start."""
    return release_of(find_program(MoneroProgram.WALLET_RPC))


def has(capability: Capability) -> bool:
    """Return whether the wallets that tests start have a capability."""
    return capability in capabilities(installed_release())
