"""What the watcher of the chain knows and finds, as it is stored.

A *height* of a block counts from 0. A cursor says how many blocks were looked through, so it is the height of the next.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from escrowd.domain.identifiers import EscrowId
from escrowd.domain.outputs import ReceivedOutput, Spend
from escrowd.domain.secret import Secret

#: So many of the last block ids are kept without a gap.
DENSE_BLOCK_IDS: Final = 100
#: The gap between two ids below those; it doubles whenever the depth does.
FIRST_GAP: Final = 16


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
    #: Blocks that were scanned, oldest first: the last ``DENSE_BLOCK_IDS``, below them fewer and fewer, and the
    #: first block of the chain.
    block_ids: tuple[BlockId, ...]

    @property
    def is_reaching_genesis(self) -> bool:
        """Whether the ids reach down to the first block. Those that older versions stored do not."""
        return self.block_ids[0].height == 0

    def moved(self, block_ids: Sequence[BlockId], time: int) -> "Cursor":
        """Return the cursor behind further blocks, of which the last one has this time."""
        if not block_ids:
            return self
        return Cursor(block_ids[-1].height + 1, time, self.genesis, thinned((*self.block_ids, *block_ids)))

    def cut(self, height: int, time: int) -> "Cursor":
        """Return the cursor as it was before the block of this height; the last one below it has this time."""
        kept = tuple(each for each in self.block_ids if each.height < height)
        return Cursor(height, time, self.genesis, kept)


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
class AcceptedChain:
    """An operator's decision to follow the chain that holds this block, in place of the one that was watched."""

    block: BlockId
    #: The last block that was scanned when it was decided: the decision is for that chain only.
    instead_of: str


@dataclass(frozen=True, slots=True)
class ChainDecisions:
    """What operators decided about the chain."""

    accepted: tuple[AcceptedChain, ...] = ()
    #: Ids of transactions that cannot be read and are passed over.
    passed_over: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class NotedKeyImages:
    """Key images that wallets have learned, hex, each with its escrow. ``last`` is what to ask with the next time."""

    last: int = 0
    key_images: tuple[tuple[EscrowId, str], ...] = ()
    #: Those of them whose spend in a block is stored.
    spent: frozenset[str] = frozenset()


def thinned(block_ids: Sequence[BlockId]) -> tuple[BlockId, ...]:
    """Return those of these ids, oldest first, that are worth keeping.

    As ``wallet2::get_short_chain_history`` gives them to the daemon: the last ones, then fewer, and the first block.
    The gaps are powers of two and counted from the first block, so an id that is kept at a depth was kept above it.
    """
    top = block_ids[-1].height
    return tuple(each for each in block_ids if _is_kept(each.height, top))


def kept_heights(top: int, below: int) -> tuple[int, ...]:
    """Return heights below one whose ids are worth keeping while ``top`` is the last block, lowest first."""
    return tuple(height for height in range(0, below, FIRST_GAP) if _is_kept(height, top))


# ---------------------------------------------------------------------------------------------------------------------


def _is_kept(height: int, top: int) -> bool:
    return height % _gap(top - height) == 0


def _gap(depth: int) -> int:
    if depth < DENSE_BLOCK_IDS:
        return 1
    return FIRST_GAP << (depth // DENSE_BLOCK_IDS).bit_length() - 1
