"""A sender of payments for tests, honest or not: it builds the bytes of transactions by the rules of Monero."""

from dataclasses import dataclass, field
from typing import Final

from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_scalarmult_ed25519_base_noclamp,
    crypto_scalarmult_ed25519_noclamp,
)

from escrowd.chain.curve import eight_times, keccak, scalar_of, varint
from escrowd.chain.ports import WatchedAddress
from escrowd.chain.watched_keys import Lookahead, WatchedKeys
from escrowd.domain.address import MoneroAddress
from escrowd.domain.networks import Network
from escrowd.domain.secret import Secret
from escrowd.testing.wallet_sets import WalletSet, wallet_sets

H: Final = bytes.fromhex("8b655970153799af2aeadc9ff1add0ea6c7251d54154cfa92c173a0dd39c1f94")
#: A point of order 8, and the same with a sign that its encoding must not have added.
ORDER_8: Final = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
TX_KEY: Final = scalar_of(b"transaction key of a test")


def multiple(point: bytes, scalar: bytes) -> bytes:
    """Multiply a point of the prime-order group."""
    return crypto_scalarmult_ed25519_noclamp(scalar, point)


def base(scalar: bytes) -> bytes:
    """Multiply the base point."""
    return crypto_scalarmult_ed25519_base_noclamp(scalar)


def keys_of(wallet_set: WalletSet, lookahead: Lookahead | None = None) -> WatchedKeys:
    """Return what a watcher knows of a kept set of wallets."""
    watched = WatchedAddress(wallet_set.escrow, wallet_set.address, Secret(wallet_set.secret_view_key), 0)
    return WatchedKeys.of(watched, Network.REGTEST, lookahead or Lookahead())


def receiver(number: int = 0) -> MoneroAddress:
    """Return the address of a kept set of wallets."""
    return MoneroAddress.parse(wallet_sets()[number].address, Network.REGTEST)


def shared(address: MoneroAddress, tx_key: bytes = TX_KEY) -> bytes:
    """Return what sender and receiver share: eight times transaction key times view key."""
    eightfold = eight_times(multiple(address.view_public_key, tx_key))
    assert eightfold is not None
    return eightfold


def one_time_key(derivation: bytes, index: int, spend_key: bytes) -> bytes:
    """Return the public key of an output."""
    return crypto_core_ed25519_add(base(scalar_of(derivation + varint(index))), spend_key)


def view_tag(derivation: bytes, index: int) -> int:
    """Return the first byte that tells the receiver of an output to look twice."""
    return keccak(b"view_tag" + derivation + varint(index))[0]


@dataclass
class Pay:
    """One output, in clear or hidden."""

    derivation: bytes
    spend_key: bytes
    amount: int
    #: Written in place of the right one.
    view_tag: int | None = None
    false_amount: int | None = None


@dataclass
class Draft:
    """A transaction to be written. ``key_images`` are none for a miner's."""

    pays: list[Pay]
    extra: bytes
    key_images: list[bytes] = field(default_factory=lambda: [bytes(range(32))])
    unlock_time: int = 0
    tagged: bool = True
    rct_type: int = 6
    #: Of the block that a miner's transaction is for.
    height: int = 1000

    def blob(self) -> bytes:
        """Write the transaction without its signatures."""
        parts = [varint(2), varint(self.unlock_time), varint(len(self.key_images) or 1)]
        parts += [b"\2" + varint(0) + varint(2) + varint(5) + varint(300) + image for image in self.key_images]
        parts += [] if self.key_images else [b"\xff" + varint(self.height)]
        parts += [varint(len(self.pays)), *map(self._output, range(len(self.pays)), self.pays)]
        parts += [varint(len(self.extra)), self.extra]
        return b"".join([*parts, self._amounts()])

    def _output(self, index: int, pay: Pay) -> bytes:
        amount = varint(0 if self.key_images else pay.amount)
        key = one_time_key(pay.derivation, index, pay.spend_key)
        if not self.tagged:
            return amount + b"\2" + key
        tag = view_tag(pay.derivation, index) if pay.view_tag is None else pay.view_tag
        return amount + b"\3" + key + bytes([tag])

    def _amounts(self) -> bytes:
        if not self.key_images:
            return b"\0"
        masked, committed = b"", b""
        for index, pay in enumerate(self.pays):
            secret = scalar_of(pay.derivation + varint(index))
            mask = keccak(b"amount" + secret)[:8]
            claimed = pay.amount if pay.false_amount is None else pay.false_amount
            masked += (claimed ^ int.from_bytes(mask, "little")).to_bytes(8, "little")
            committed += _commitment(scalar_of(b"commitment_mask" + secret), pay.amount)
        return bytes([self.rct_type]) + varint(123456789) + masked + committed


def public_key_field(tx_key: bytes = TX_KEY) -> bytes:
    """Return the field of an ``extra`` with the public key of the transaction."""
    return b"\1" + base(tx_key)


def nonce_field(nonce: bytes) -> bytes:
    """Return a nonce as a field of an ``extra``."""
    return b"\2" + varint(len(nonce)) + nonce


def additional_field(keys: list[bytes]) -> bytes:
    """Return the field of an ``extra`` with one public key for each output."""
    return b"\4" + varint(len(keys)) + b"".join(keys)


def _commitment(mask: bytes, amount: int) -> bytes:
    if amount == 0:
        return base(mask)
    return crypto_core_ed25519_add(base(mask), multiple(H, amount.to_bytes(32, "little")))
