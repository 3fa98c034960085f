"""Where the watcher looks: one monerod, its chain by blocks and its pool by transactions."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from escrowd.chain.errors import ChainInconsistent, UnreadableBlock
from escrowd.chain.ports import BlockId
from escrowd.chain.reading import Unreadable
from escrowd.chain.scan import Place
from escrowd.chain.transaction import BlockHeader, Transaction, block_version, parse_block, parse_transaction
from escrowd.monero.block_feed import BlockFeed, FetchedBlock, FetchedBlocks
from escrowd.monero.daemon import MoneroDaemon
from escrowd.monero.results_daemon import KeyImageStatus


@dataclass(frozen=True, slots=True)
class Tip:
    """What the daemon says of itself."""

    #: Number of blocks.
    height: int
    #: Id of the last one, hex.
    hash: str
    #: Whether the daemon takes its chain for complete.
    is_synchronized: bool


@dataclass(frozen=True, slots=True)
class SourceBlock:
    """A block with all its transactions, and the place of each in the chain."""

    height: int
    header: BlockHeader
    transactions: tuple[tuple[Transaction, Place], ...]

    @property
    def id(self) -> BlockId:
        """Its height and id."""
        return BlockId(self.height, self.header.id)


@dataclass(frozen=True, slots=True)
class ChainPart:
    """Some blocks in a row, and how long the chain was when they were read."""

    chain_height: int
    blocks: tuple[SourceBlock, ...]
    #: Why the next block is not among them, where it cannot be read.
    unreadable: UnreadableBlock | None = None


@dataclass(frozen=True, slots=True)
class PoolTransaction:
    """A transaction of the pool. ``is_disputed``: another one was seen that spends the same money."""

    transaction: Transaction
    is_disputed: bool


@dataclass(frozen=True, slots=True)
class PoolPart:
    """Some transactions of the pool, and the ids of those that cannot be read, each with what is wrong."""

    transactions: tuple[PoolTransaction, ...]
    unreadable: Mapping[str, str]


class ChainSource:
    """Reads from one monerod. Bytes are taken apart in a thread."""

    def __init__(self, daemon: MoneroDaemon, feed: BlockFeed) -> None:
        self._daemon = daemon
        self._feed = feed

    async def tip(self) -> Tip:
        """Ask how long the chain is, and whether that is all of it."""
        info = await self._daemon.get_info()
        return Tip(info.height, info.top_block_hash, info.synchronized and not info.busy_syncing)

    async def genesis(self) -> str:
        """Return the id of the first block."""
        return await self.block_id(0)

    async def block_id(self, height: int) -> str:
        """Return the id of the block at a height that the chain has."""
        return (await self._daemon.get_block_header_by_height(height)).hash

    async def after(self, block_ids: Sequence[str], passed_over: Collection[str] = ()) -> ChainPart:
        """Return the blocks from the newest of these on that is in the chain, that one included.

        ``block_ids`` go from the newest to the first block of the chain. No blocks come where nothing is new.
        Transactions that are ``passed_over`` are not in the blocks.
        """
        return await asyncio.to_thread(_chain_part, await self._feed.after(block_ids), passed_over)

    async def from_height(self, height: int, passed_over: Collection[str] = ()) -> ChainPart:
        """Return the blocks from this height on, which the chain has and is above 0."""
        return await asyncio.to_thread(_chain_part, await self._feed.from_height(height), passed_over)

    async def pool_ids(self) -> frozenset[str]:
        """Return the ids of all transactions of the pool."""
        return frozenset(await self._daemon.get_transaction_pool_hashes())

    async def pool_transactions(self, txids: Collection[str]) -> PoolPart:
        """Return those of these transactions that are in the pool now."""
        wanted = sorted(txids)
        found: list[PoolTransaction] = []
        unreadable: dict[str, str] = {}
        for first in range(0, len(wanted), _AT_ONCE):
            reply = await self._daemon.get_transactions(wanted[first : first + _AT_ONCE], prune=True)
            for each in (one for one in reply.txs if one.in_pool):
                try:
                    transaction = parse_transaction(each.tx_hash, bytes.fromhex(each.pruned_as_hex or each.as_hex))
                except Unreadable as error:
                    unreadable[each.tx_hash] = str(error)
                else:
                    found.append(PoolTransaction(transaction, each.double_spend_seen))
        return PoolPart(tuple(found), unreadable)

    async def spent_in_blocks(self, key_images: Sequence[str]) -> frozenset[str]:
        """Return those of these key images, hex, that a transaction in a block spends."""
        found: set[str] = set()
        for first in range(0, len(key_images), _IMAGES_AT_ONCE):
            some = key_images[first : first + _IMAGES_AT_ONCE]
            statuses = await self._daemon.is_key_image_spent(some)
            found |= {
                image for image, status in zip(some, statuses, strict=True) if status is KeyImageStatus.SPENT_IN_CHAIN
            }
        return frozenset(found)


# ---------------------------------------------------------------------------------------------------------------------

#: A restricted daemon answers for no more at once (``RESTRICTED_TRANSACTIONS_COUNT``).
_AT_ONCE: Final = 100
#: The same for key images (``RESTRICTED_SPENT_KEY_IMAGES_COUNT`` is 5000).
_IMAGES_AT_ONCE: Final = 1000


def _chain_part(fetched: FetchedBlocks, passed_over: Collection[str]) -> ChainPart:
    """Take blocks apart, up to the first one that cannot be read."""
    blocks: list[SourceBlock] = []
    unreadable = None
    for height, each in enumerate(fetched.blocks, fetched.start_height):
        try:
            blocks.append(_source_block(height, each, passed_over))
        except UnreadableBlock as error:
            unreadable = error
            break
    for before, after in pairwise(blocks):
        if after.header.previous_id != before.header.id:
            raise ChainInconsistent(f"block {after.height} does not follow the one that was given before it")
    return ChainPart(fetched.chain_height, tuple(blocks), unreadable)


def _source_block(height: int, fetched: FetchedBlock, passed_over: Collection[str]) -> SourceBlock:
    try:
        block = parse_block(fetched.blob)
    except Unreadable as error:
        raise UnreadableBlock(height, block_version(fetched.blob), None, str(error)) from error
    if len(block.txids) != len(fetched.transactions):
        raise ChainInconsistent(f"block {height} came with another number of transactions than it has")
    miner_place, *places = (Place(height, indices) for indices in fetched.output_indices)
    transactions = [(block.miner_transaction, miner_place)]
    for txid, blob, place in zip(block.txids, fetched.transactions, places, strict=True):
        if txid in passed_over:
            continue
        try:
            transactions.append((parse_transaction(txid, blob), place))
        except Unreadable as error:
            raise UnreadableBlock(height, block.header.version, txid, str(error)) from error
    return SourceBlock(height, block.header, tuple(transactions))
