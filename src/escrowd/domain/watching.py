"""What the watcher of the chain knows and finds, as it is stored.

A *height* of a block counts from 0. A cursor says how many blocks were looked through, so it is the height of the next.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from escrowd.domain.identifiers import EscrowId
from escrowd.domain.outputs import ReceivedOutput, Spend
from escrowd.domain.secret import Secret

#: Blocks whose ids are kept: so deep a reorganisation is followed. A deeper one is for people to judge.
KEPT_BLOCK_IDS: Final = 100


class Lane(StrEnum):
    """How closely an address is watched."""

    #: At every block, and in the pool.
    ACTIVE = "active"
    #: In blocks only, and many blocks at a time: the escrow has ended.
    RESTING = "resting"


@dataclass(frozen=True, slots=True)
class WatchedAddress:
    """An address that is watched for an escrow.

    ``from_height`` is the first block that may hold a payment to it.
    """

    escrow: EscrowId
    address: str
    #: Hex.
    view_key: Secret
    from_height: int
    lane: Lane = Lane.ACTIVE
    #: How many blocks were looked through for this address; ``None`` where it is in step with the common cursor.
    scanned: int | None = None


@dataclass(frozen=True, slots=True)
class BlockId:
    """A block by its height and its id, hex."""

    height: int
    hash: str


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the chain was looked through, and on which chain that was."""

    #: Number of blocks.
    height: int
    #: Time of the last of them, in seconds since 1970.
    time: int
    #: Id of the first block of the chain, hex.
    genesis: str
    #: The last blocks that were looked through, oldest first and without a gap, at most ``KEPT_BLOCK_IDS``.
    block_ids: tuple[BlockId, ...]


@dataclass(frozen=True, slots=True)
class FoundOutput:
    """An output to a watched address."""

    escrow: EscrowId
    output: ReceivedOutput


@dataclass(frozen=True, slots=True)
class FoundSpend:
    """A transaction that spends an output of a watched address."""

    escrow: EscrowId
    spend: Spend


@dataclass(frozen=True, slots=True)
class PoolFindings:
    """Everything in the pool that concerns active addresses, at one moment: what is not in here is not in the pool."""

    outputs: tuple[FoundOutput, ...] = ()
    spends: tuple[FoundSpend, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What one look at chain and pool found. To be stored in this order, as one transaction, or not at all.

    1. ``rollback``: outputs and spends at this height and above are forgotten, and every address's own cursor that is
       above goes back to it.
    2. ``outputs`` and ``spends``, all of them mined, are kept, each in place of what was known of it: an output is
       known by escrow, transaction and index, a spend by escrow, key image and transaction.
    3. ``pool``, where it is not ``None``, takes the place of all outputs and spends that are kept without a height. One
       that is kept with a height stays as it is.
    4. ``cursor`` is kept, where it is not ``None``, and so are the own cursors of addresses in ``scanned``, where
       ``None`` means: in step with the common cursor.

    So storing the same progress again changes nothing. A new tip concerns whoever counts confirmations.
    """

    rollback: int | None = None
    outputs: tuple[FoundOutput, ...] = ()
    spends: tuple[FoundSpend, ...] = ()
    pool: PoolFindings | None = None
    cursor: Cursor | None = None
    scanned: Mapping[EscrowId, int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WatchState:
    """What is kept of the watcher's work. The cursor is ``None`` before the first look."""

    cursor: Cursor | None = None
    addresses: tuple[WatchedAddress, ...] = ()


@dataclass(frozen=True, slots=True)
class NotedKeyImages:
    """Key images that wallets have learned, hex, each with its escrow. ``last`` is what to ask with the next time."""

    last: int = 0
    key_images: tuple[tuple[EscrowId, str], ...] = ()
