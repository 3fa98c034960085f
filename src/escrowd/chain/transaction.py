"""Blocks and transactions, read from the bytes that the daemon keeps of them. Signatures are not read.

The form is that of ``cryptonote_basic.h`` and ``rctTypes.h``. Of the RingCT types only those are read that a block can
hold since the hard fork of October 2020 (CLSAG, Bulletproofs+): addresses are not watched from before they were made.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from escrowd.chain.curve import KEY_BYTES, keccak, varint
from escrowd.chain.extra import Extra, parse_extra
from escrowd.chain.reading import Reader, Unreadable

#: The newest block version whose rules are known here, since August 2022 (``mainnet_hard_forks`` in ``hardforks.cpp``).
KNOWN_BLOCK_VERSION: Final = 16


@dataclass(frozen=True, slots=True)
class Output:
    """One output. All keys are encoded points that nobody has checked."""

    #: One-time public key.
    key: bytes
    #: ``None`` for an output without one, as before the hard fork of August 2022.
    view_tag: int | None
    #: Piconero, where everybody can read it: of a miner's reward, and of transactions from before RingCT.
    amount: int
    #: The encrypted amount, 8 bytes, and the commitment to it.
    masked_amount: bytes | None = None
    commitment: bytes | None = None


@dataclass(frozen=True, slots=True)
class Transaction:
    """What there is to see of a transaction without its signatures."""

    #: Hex.
    txid: str
    unlock_time: int
    is_coinbase: bool
    key_images: tuple[bytes, ...]
    outputs: tuple[Output, ...]
    extra: Extra


@dataclass(frozen=True, slots=True)
class BlockHeader:
    """A block without its transactions. Ids are hex."""

    id: str
    previous_id: str
    #: Seconds since 1970, as its miner says.
    time: int
    #: The hard fork whose rules it follows (``major_version``).
    version: int


@dataclass(frozen=True, slots=True)
class Block:
    """A block with what it says of its transactions."""

    header: BlockHeader
    miner_transaction: Transaction
    #: Ids of the others, hex, in order.
    txids: tuple[str, ...]


def parse_transaction(txid: str, blob: bytes) -> Transaction:
    """Read a transaction, with its signatures or without.

    Raises:
        Unreadable: it is none, or of a form that is not known here.

    """
    return _transaction(Reader(blob), txid)


def parse_signed_transaction(blob: bytes) -> Transaction:
    """Read a whole transaction with its signatures, and compute its id from its bytes.

    Raises:
        Unreadable: it is none, or of a form that is not known here.

    """
    reader = Reader(blob)
    prefix = _prefix(reader)
    end_of_prefix = reader.place
    if prefix.version == 1:
        raise Unreadable("a transaction of version 1 is not made any more")
    outputs = _with_amounts(reader, prefix.outputs)
    # calculate_transaction_hash: prefix, base of the signatures, and the part of them that can be pruned.
    parts = blob[:end_of_prefix], blob[end_of_prefix : reader.place], blob[reader.place :]
    txid = keccak(b"".join(keccak(part) for part in parts))
    return Transaction(txid.hex(), prefix.unlock_time, prefix.is_coinbase, prefix.key_images, outputs, prefix.extra)


def block_version(blob: bytes) -> int:
    """Read the version of a block, with which each block begins.

    Raises:
        Unreadable: it is no number.

    """
    return Reader(blob).varint()


def parse_block(blob: bytes) -> Block:
    """Read a block.

    Raises:
        Unreadable: it is none, or of a form that is not known here.

    """
    reader = Reader(blob)
    version = reader.varint()
    reader.varint()
    time = reader.varint()
    previous = reader.take(KEY_BYTES)
    reader.take(_NONCE_BYTES)
    header = blob[: reader.place]
    miner_txid, miner = _miner_transaction(reader)
    hashes = [reader.take(KEY_BYTES) for _ in range(reader.varint())]
    if not reader.is_at_end:
        raise Unreadable("something follows the block")
    hashed = header + _root([miner_txid, *hashes]) + varint(1 + len(hashes))
    identity = keccak(varint(len(hashed)) + hashed)
    return Block(
        BlockHeader(identity.hex(), previous.hex(), time, version), miner, tuple(each.hex() for each in hashes)
    )


# ---------------------------------------------------------------------------------------------------------------------

_NONCE_BYTES: Final = 4
_MASKED_AMOUNT_BYTES: Final = 8
#: ``RCTTypeNull`` and the types with short encrypted amounts, of which each has the same base.
_NO_RINGCT: Final = 0
_SHORT_AMOUNTS: Final = (4, 5, 6)


class _Input(IntEnum):
    """The first byte of an input (``VARIANT_TAG``)."""

    FROM_KEY = 0x02
    FROM_MINING = 0xFF


class _Target(IntEnum):
    """The first byte of what an output pays to (``VARIANT_TAG``)."""

    KEY = 0x02
    TAGGED_KEY = 0x03


@dataclass(frozen=True, slots=True)
class _Prefix:
    version: int
    unlock_time: int
    is_coinbase: bool
    key_images: tuple[bytes, ...]
    outputs: tuple[Output, ...]
    extra: Extra


def _transaction(reader: Reader, txid: str) -> Transaction:
    prefix = _prefix(reader)
    outputs = prefix.outputs if prefix.version == 1 else _with_amounts(reader, prefix.outputs)
    return Transaction(txid, prefix.unlock_time, prefix.is_coinbase, prefix.key_images, outputs, prefix.extra)


def _miner_transaction(reader: Reader) -> tuple[bytes, Transaction]:
    """Read the transaction of a miner, which says its id by its bytes: it has no signatures."""
    start = reader.place
    prefix = _prefix(reader)
    if not prefix.is_coinbase:
        raise Unreadable("the first transaction of a block is no miner's")
    txid = keccak(reader.data[start : reader.place])
    if prefix.version > 1:
        if reader.byte() != _NO_RINGCT:
            raise Unreadable("the transaction of a miner has signatures")
        # calculate_transaction_hash: prefix, base and prunable part, of which the last is not there.
        txid = keccak(txid + keccak(bytes([_NO_RINGCT])) + bytes(KEY_BYTES))
    return txid, Transaction(txid.hex(), prefix.unlock_time, prefix.is_coinbase, (), prefix.outputs, prefix.extra)


def _prefix(reader: Reader) -> _Prefix:
    version = reader.varint()
    if version not in (1, 2):
        raise Unreadable(f"a transaction of version {version} is not known here")
    unlock_time = reader.varint()
    inputs = [_key_image(reader) for _ in range(reader.varint())]
    outputs = tuple(_output(reader) for _ in range(reader.varint()))
    extra = parse_extra(reader.text())
    key_images = tuple(each for each in inputs if each is not None)
    return _Prefix(version, unlock_time, inputs == [None], key_images, outputs, extra)


def _key_image(reader: Reader) -> bytes | None:
    """Read an input and return its key image; ``None`` for new money."""
    match reader.byte():
        case _Input.FROM_MINING:
            reader.varint()  # the height
            return None
        case _Input.FROM_KEY:
            reader.varint()  # the amount
            for _ in range(reader.varint()):
                reader.varint()  # which outputs hide the real one
            return reader.take(KEY_BYTES)
        case tag:
            raise Unreadable(f"an input of kind {tag} is not known here")


def _output(reader: Reader) -> Output:
    amount = reader.varint()
    match reader.byte():
        case _Target.KEY:
            return Output(reader.take(KEY_BYTES), None, amount)
        case _Target.TAGGED_KEY:
            return Output(reader.take(KEY_BYTES), reader.byte(), amount)
        case tag:
            raise Unreadable(f"an output of kind {tag} is not known here")


def _with_amounts(reader: Reader, outputs: tuple[Output, ...]) -> tuple[Output, ...]:
    """Read the RingCT base, and return the outputs with their encrypted amounts."""
    kind = reader.byte()
    if kind == _NO_RINGCT:
        return outputs
    if kind not in _SHORT_AMOUNTS:
        raise Unreadable(f"RingCT of type {kind} is not known here")
    reader.varint()  # the fee
    amounts = [reader.take(_MASKED_AMOUNT_BYTES) for _ in outputs]
    commitments = [reader.take(KEY_BYTES) for _ in outputs]
    return tuple(
        Output(output.key, output.view_tag, output.amount, amount, commitment)
        for output, amount, commitment in zip(outputs, amounts, commitments, strict=True)
    )


def _root(hashes: list[bytes]) -> bytes:
    """Hash the transaction ids of a block to one (``tree_hash``).

    Block 202612 of the main chain has another id than this gives. It was mined in 2014.
    """
    if len(hashes) == 1:
        return hashes[0]
    # The largest power of two below the count: so many are left after the first, incomplete row.
    width = 1 << (len(hashes) - 1).bit_length() - 1
    whole = 2 * width - len(hashes)
    row = hashes[:whole] + _pairs(hashes[whole:])
    while len(row) > 1:
        row = _pairs(row)
    return row[0]


def _pairs(hashes: list[bytes]) -> list[bytes]:
    return [keccak(hashes[place] + hashes[place + 1]) for place in range(0, len(hashes), 2)]
