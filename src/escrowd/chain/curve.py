"""Points, scalars and hashes as Monero's wallets compute them, by way of libsodium.

libsodium's scalar multiplication refuses points outside the prime-order group, which Monero takes; so points are first
multiplied by eight, by additions that check no group.

Encodings of points that are not canonical are read as wallets on x86-64 read them. Their ``generate_key_derivation`` is
that of ``external/supercop``, which takes the number modulo the prime of the field, as libsodium's additions do. The
portable one (``ge_frombytes_vartime``), which the daemon has, and wallets on other machines, refuses them. No wallet
writes such a key; where a hostile sender does, wallets on different machines see different things.
"""

from typing import Final

import sha3
from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_core_ed25519_sub,
    crypto_scalarmult_ed25519_base_noclamp,
    crypto_scalarmult_ed25519_noclamp,
)

from escrowd.monero.scalars import GROUP_ORDER

#: Bytes of a point, a scalar or a hash.
KEY_BYTES: Final = 32
#: The neutral element, encoded.
IDENTITY: Final = b"\1" + bytes(31)


def keccak(data: bytes) -> bytes:
    """Return Keccak-256, which is SHA-3 with the padding from before its standard (``cn_fast_hash``)."""
    digest: bytes = sha3.keccak_256(data).digest()
    return digest


def scalar_of(data: bytes) -> bytes:
    """Hash to a scalar (``hash_to_scalar``)."""
    return (int.from_bytes(keccak(data), "little") % GROUP_ORDER).to_bytes(KEY_BYTES, "little")


def varint(number: int) -> bytes:
    """Write a number in groups of seven bits, the lowest first (``write_varint``)."""
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def eight_times(point: bytes) -> bytes | None:
    """Multiply a point by eight; ``None`` where the bytes are no point.

    The result is in the prime-order group, or the neutral element.
    """
    try:
        for _ in range(3):
            point = crypto_core_ed25519_add(point, point)
    except RuntimeError:  # what PyNaCl raises where libsodium finds no point
        return None
    return point


def derivation(view_key: bytes, eightfold: bytes | None) -> bytes:
    """Multiply eight times a transaction's public key by a secret view key (``generate_key_derivation``).

    For bytes that are no point the result is the neutral element, for wallet2 goes on with that one
    (``process_new_transaction``). It is so for a point of small order too, by the mathematics.
    """
    if eightfold is None or eightfold == IDENTITY:
        return IDENTITY
    return crypto_scalarmult_ed25519_noclamp(view_key, eightfold)


def public_key(secret_key: bytes) -> bytes:
    """Multiply the base point. The scalar is not zero."""
    return crypto_scalarmult_ed25519_base_noclamp(secret_key)


def sum_of(left: bytes, right: bytes) -> bytes:
    """Add two points."""
    return crypto_core_ed25519_add(left, right)


def without(point: bytes, subtrahend: bytes) -> bytes | None:
    """Subtract a good point from what may be none; ``None`` where it is none."""
    try:
        return crypto_core_ed25519_sub(point, subtrahend)
    except RuntimeError:  # what PyNaCl raises where libsodium finds no point
        return None


def commitment(mask: bytes, amount: int) -> bytes:
    """Commit to an amount above zero: ``mask * G + amount * H`` (``addKeys2``)."""
    hidden = crypto_scalarmult_ed25519_noclamp(amount.to_bytes(KEY_BYTES, "little"), _H)
    return crypto_core_ed25519_add(public_key(mask), hidden)


# ---------------------------------------------------------------------------------------------------------------------

#: The second base point, of ``rctTypes.h``.
_H: Final = bytes.fromhex("8b655970153799af2aeadc9ff1add0ea6c7251d54154cfa92c173a0dd39c1f94")
