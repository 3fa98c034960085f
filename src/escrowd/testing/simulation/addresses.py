"""Addresses for simulated wallets and people: real ones, so that whatever checks addresses finds nothing wrong."""

import hashlib
from functools import lru_cache

from nacl.bindings import crypto_core_ed25519_scalar_reduce, crypto_scalarmult_ed25519_base_noclamp

from escrowd.domain.address import MoneroAddress
from escrowd.domain.networks import AddressKind, Network
from escrowd.domain.secret import Secret


@lru_cache(maxsize=1024)
def view_key(name: str) -> Secret:
    """Return the secret view key of whoever has this name, hex."""
    return Secret(_scalar(name, "view").hex())


@lru_cache(maxsize=1024)
def address(name: str) -> str:
    """Return the address of whoever has this name."""
    spend, view = (crypto_scalarmult_ed25519_base_noclamp(_scalar(name, kind)) for kind in ("spend", "view"))
    return MoneroAddress.of_keys(Network.REGTEST, AddressKind.STANDARD, spend, view).text


# ---------------------------------------------------------------------------------------------------------------------


def _scalar(name: str, kind: str) -> bytes:
    return crypto_core_ed25519_scalar_reduce(hashlib.sha512(f"{kind} key of {name}".encode()).digest())
