"""Transactions of the simulated chain. They are values: what is in one never changes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from escrowd.chain.curve import KEY_BYTES, varint
from escrowd.chain.transaction import parse_signed_transaction

#: Who pays from outside owns its inputs under names that begin with this.
OUTSIDE: Final = "outside"


def digest(*parts: object) -> str:
    """Return 32 bytes, hex, that stand for these parts: what a hash, a key or a key image is here."""
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()


@lru_cache(maxsize=4096)
def key_image_of(key: str) -> str:
    """Return the key image of a one-time key. Each key has one, whoever computes it, and in whichever transaction."""
    return digest("key image", key)


@dataclass(frozen=True, slots=True)
class SimulatedOutput:
    """One output. ``wallet`` is whose it is: the name of a simulated 2-of-3 wallet, or something outside."""

    key: str
    wallet: str
    #: The address that was paid.
    address: str
    amount: int
    account: int = 0
    address_index: int = 0
    payment_id: str | None = None

    @property
    def is_to_primary_address(self) -> bool:
        """Whether it was paid to the address that was given out."""
        return (self.account, self.address_index) == (0, 0)


@dataclass(frozen=True, slots=True)
class SimulatedTransaction:
    """One transaction. Two that share a key image exclude each other."""

    txid: str
    key_images: tuple[str, ...]
    outputs: tuple[SimulatedOutput, ...]
    fee: int
    unlock_time: int = 0
    is_coinbase: bool = False
    #: Ids of the transactions whose outputs it spends, as far as they are of this world.
    sources: tuple[str, ...] = ()
    #: Its bytes, hex, where the service reads them.
    blob: str = ""

    @property
    def raw(self) -> str:
        """Its bytes, hex. The simulated daemon knows a transaction by them."""
        return self.blob or _MAGIC + self.txid


@dataclass(frozen=True, slots=True)
class SimulatedBlock:
    """One block. ``time`` is in seconds since 1970."""

    hash: str
    time: int
    txids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MinedOutput:
    """An output, where it is in the chain."""

    output: SimulatedOutput
    transaction: SimulatedTransaction
    #: Its place in the transaction.
    index: int
    height: int
    block: str
    global_index: int

    def blocks_to_unlock(self, chain_height: int) -> int:
        """Return for how many blocks it is locked by its height (``blocks_to_unlock`` of wallet2)."""
        lock = self.transaction.unlock_time
        until = max(self.height + _SPENDABLE_AGE, lock if lock < _FIRST_UNIX_TIME else 0)
        return max(0, until - chain_height)

    def is_unlocked(self, chain_height: int, now: int) -> bool:
        """Return whether the next block may hold a spend of it (``is_transfer_unlocked`` of wallet2)."""
        if chain_height - self.height < _SPENDABLE_AGE:
            return False
        lock = self.transaction.unlock_time
        return lock <= (chain_height if lock < _FIRST_UNIX_TIME else now)


def txid_of_raw(raw: str) -> str:
    """Return the id of the transaction with these bytes."""
    if raw.startswith(_MAGIC):
        return raw.removeprefix(_MAGIC)
    return parse_signed_transaction(bytes.fromhex(raw)).txid


def signed_blob(unique: str, key_images: Sequence[str], outputs: int, fee: int, unlock_time: int) -> str:
    """Return the bytes, hex, of a transaction in the form of ``cryptonote_basic.h``; ``unique`` stands in its extra.

    Its keys, amounts and signatures mean nothing.
    """
    inputs = b"".join(b"\x02\x00\x01\x00" + bytes.fromhex(each) for each in key_images)
    prefix = b"\x02" + varint(unlock_time) + varint(len(key_images)) + inputs + varint(outputs)
    prefix += (b"\x00\x03" + bytes(KEY_BYTES) + b"\x00") * outputs
    extra = b"\x01" + bytes.fromhex(unique)
    base = b"\x06" + varint(fee) + bytes(8 + KEY_BYTES) * outputs
    return (prefix + varint(len(extra)) + extra + base + b"signatures").hex()


# ---------------------------------------------------------------------------------------------------------------------

#: "sim" in ASCII, hex.
_MAGIC: Final = "73696d"
_SPENDABLE_AGE: Final = 10
_FIRST_UNIX_TIME: Final = 500_000_000
