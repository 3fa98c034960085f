"""Addresses of Monero, read strictly: money that is sent to a wrong one does not come back.

The form is that of ``get_account_address_from_str`` in ``cryptonote_basic_impl.cpp`` and ``decode_addr`` in
``src/common/base58.cpp``: a prefix that names network and kind, the public spend key, the public view key, for an
integrated address the payment id, and the first four bytes of the Keccak-256 of all that. The hexadecimal form from
before base58, which that function still reads, is refused here; so are OpenAlias names, which need the network.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

from Crypto.Hash import keccak
from nacl.bindings import crypto_core_ed25519_is_valid_point
from typing_extensions import override

from escrowd.domain import base58
from escrowd.domain.errors import InvalidInput
from escrowd.domain.networks import ADDRESS_PREFIXES, AddressKind, Network, kind_of_prefix, networks_of_prefix

#: Bytes of a payment id inside an integrated address.
PAYMENT_ID_BYTES: Final = 8


class InvalidAddress(InvalidInput):
    """The text is not a Monero address."""


class WrongNetwork(InvalidAddress):
    """The address belongs to another network than the one this service runs on."""


@dataclass(frozen=True, slots=True)
class MoneroAddress:
    """An address that was checked: its form, its checksum, its network and its keys.

    Build one with :meth:`parse` or :meth:`of_keys`, which do the checking. ``str`` gives the text.
    """

    #: The address in base58.
    text: str
    network: Network
    kind: AddressKind
    #: 32 bytes each, points of the prime-order group.
    spend_public_key: bytes
    view_public_key: bytes
    #: 8 bytes in an integrated address, else ``None``.
    payment_id: bytes | None = None

    @classmethod
    def parse(cls, text: str, network: Network) -> Self:
        """Read an address that must be of this network.

        Raises:
            WrongNetwork: it is an address of another network.
            InvalidAddress: it is no address; the message says what is wrong with it.

        """
        kind, spend_public_key, view_public_key, payment_id = _parsed(_of_good_length(text), network)
        return cls(text, network, kind, spend_public_key, view_public_key, payment_id)

    @classmethod
    def of_keys(
        cls,
        network: Network,
        kind: AddressKind,
        spend_public_key: bytes,
        view_public_key: bytes,
        payment_id: bytes | None = None,
    ) -> Self:
        """Make the address of two public keys, and for an integrated address of a payment id of 8 bytes.

        Raises:
            InvalidAddress: a key is not usable, or the payment id does not fit the kind.

        """
        _check_keys(spend_public_key, view_public_key)
        content = spend_public_key + view_public_key + (payment_id or b"")
        if len(content) != _content_bytes(kind):
            raise InvalidAddress(f"{_article(kind)} does not go with a payment id of {len(payment_id or b'')} bytes")
        wrapped = bytes([ADDRESS_PREFIXES[network][kind]]) + content
        text = base58.encode(wrapped + _checksum(wrapped))
        return cls(text, network, kind, spend_public_key, view_public_key, payment_id or None)

    def without_payment_id(self) -> "MoneroAddress":
        """Return the standard address inside an integrated one; any other address is returned as it is."""
        if self.payment_id is None:
            return self
        return MoneroAddress.of_keys(self.network, AddressKind.STANDARD, self.spend_public_key, self.view_public_key)

    @override
    def __str__(self) -> str:
        return self.text


# ---------------------------------------------------------------------------------------------------------------------

_KEY_BYTES: Final = 32
_CHECKSUM_BYTES: Final = 4
#: Characters of a standard address or subaddress, and of an integrated address.
_LENGTHS: Final = (95, 106)


def _of_good_length(text: object) -> str:
    if not isinstance(text, str) or len(text) not in _LENGTHS:
        found = f"{len(text)} characters" if isinstance(text, str) else f"a {type(text).__name__}"
        raise InvalidAddress(
            f"this is no Monero address: it has {_LENGTHS[0]} characters, or {_LENGTHS[1]} with a payment id, "
            f"and this is {found}; check that it was copied whole and without spaces"
        )
    return text


#: The fee address of a site comes with each of its escrows, and to check the points of its keys takes a while.
@lru_cache(maxsize=1024)
def _parsed(text: str, network: Network) -> tuple[AddressKind, bytes, bytes, bytes | None]:
    prefix, content = _unwrapped(text)
    kind = _kind(prefix, network)
    # A checksum that fits proves that software wrote this. Such software may still be wrong, or hostile.
    if len(content) != _content_bytes(kind):
        raise InvalidAddress(f"the length of the address does not fit its beginning, which says {_article(kind)}")
    keys = content[:_KEY_BYTES], content[_KEY_BYTES : 2 * _KEY_BYTES]
    _check_keys(*keys)
    return kind, *keys, content[2 * _KEY_BYTES :] or None


def _unwrapped(text: str) -> tuple[int, bytes]:
    """Check the letters and the checksum of an address, and return its prefix and what follows."""
    try:
        data = base58.decode(text)
    except base58.InvalidBase58 as error:
        raise InvalidAddress(f"this is no Monero address: {error}") from error
    wrapped, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if _checksum(wrapped) != checksum:
        raise InvalidAddress("the checksum of the address does not fit: at least one character is wrong; copy it again")
    # All prefixes in use are below 128, where Monero's variable-length number is the byte itself.
    return wrapped[0], wrapped[1:]


def _kind(prefix: int, network: Network) -> AddressKind:
    kind = kind_of_prefix(network, prefix)
    if kind is not None:
        return kind
    others = networks_of_prefix(prefix)
    if not others:
        raise InvalidAddress(f"an address with the prefix {prefix} is of no network of Monero")
    names = " or ".join(others)
    raise WrongNetwork(f"this is a {names} address, this service runs on {network}: give an address of {network}")


def _check_keys(spend_public_key: bytes, view_public_key: bytes) -> None:
    """Refuse keys that are no points of the prime-order group of Ed25519.

    Monero itself (``crypto::check_key``, by ``ge_frombytes_vartime``) takes every canonical encoding of a point on
    the curve. libsodium's check also refuses points of small order and points with a torsion component. A wallet makes
    its public keys by multiplying the base point, so it never makes such a one, and no wallet can spend what is paid
    to one; with the neutral element as spend key even anybody who knows the view key can. Refusing a payout address
    costs its owner a question, accepting it may cost the money, so here more is refused than Monero does.
    """
    for name, key in (("spend", spend_public_key), ("view", view_public_key)):
        if len(key) != _KEY_BYTES or not crypto_core_ed25519_is_valid_point(key):
            raise InvalidAddress(f"the public {name} key in the address is not a key that a wallet can have made")


def _content_bytes(kind: AddressKind) -> int:
    return 2 * _KEY_BYTES + (PAYMENT_ID_BYTES if kind is AddressKind.INTEGRATED else 0)


def _checksum(data: bytes) -> bytes:
    """Return the first bytes of Keccak-256, which is SHA-3 with the padding from before its standard."""
    return keccak.new(digest_bits=256, data=data).digest()[:_CHECKSUM_BYTES]


def _article(kind: AddressKind) -> str:
    return {
        AddressKind.STANDARD: "a standard address",
        AddressKind.INTEGRATED: "an integrated address",
        AddressKind.SUBADDRESS: "a subaddress",
    }[kind]
