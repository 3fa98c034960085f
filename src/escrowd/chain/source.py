"""Where the watcher looks: one monerod, its chain by blocks and its pool by transactions."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from escrowd.chain.errors import ChainInconsistent
from escrowd.chain.ports import BlockId
from escrowd.chain.scan import Place
from escrowd.chain.transaction import BlockHeader, Transaction, parse_block, parse_transaction
from escrowd.monero.block_feed import BlockFeed, FetchedBlock, FetchedBlocks
from escrowd.monero.daemon import MoneroDaemon


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


@dataclass(frozen=True, slots=True)
class PoolTransaction:
    """A transaction of the pool. ``is_disputed``: another one was seen that spends the same money."""

    transaction: Transaction
    is_disputed: bool


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
        return (await self._daemon.get_block_header_by_height(0)).hash

    async def after(self, block_ids: Sequence[str]) -> ChainPart:
        """Return the blocks from the newest of these on that is in the chain, that one included.

        ``block_ids`` go from the newest to the first block of the chain. No blocks come where nothing is new.
        """
        return await self._parsed(await self._feed.after(block_ids))

    async def from_height(self, height: int) -> ChainPart:
        """Return the blocks from this height on, which the chain has and is above 0."""
        return await self._parsed(await self._feed.from_height(height))

    async def pool_ids(self) -> frozenset[str]:
        """Return the ids of all transactions of the pool."""
        return frozenset(await self._daemon.get_transaction_pool_hashes())

    async def pool_transactions(self, txids: Collection[str]) -> tuple[PoolTransaction, ...]:
        """Return those of these transactions that are in the pool now."""
        wanted = sorted(txids)
        found: list[PoolTransaction] = []
        for first in range(0, len(wanted), _AT_ONCE):
            reply = await self._daemon.get_transactions(wanted[first : first + _AT_ONCE], prune=True)
            found += [
                PoolTransaction(_from_hex(each.tx_hash, each.pruned_as_hex or each.as_hex), each.double_spend_seen)
                for each in reply.txs
                if each.in_pool
            ]
        return tuple(found)

    async def _parsed(self, fetched: FetchedBlocks) -> ChainPart:
        return await asyncio.to_thread(_chain_part, fetched)


# ---------------------------------------------------------------------------------------------------------------------

#: A restricted daemon answers for no more at once (``RESTRICTED_TRANSACTIONS_COUNT``).
_AT_ONCE: Final = 100


def _from_hex(txid: str, text: str) -> Transaction:
    return parse_transaction(txid, bytes.fromhex(text))


def _chain_part(fetched: FetchedBlocks) -> ChainPart:
    blocks = tuple(_source_block(height, each) for height, each in enumerate(fetched.blocks, fetched.start_height))
    for before, after in pairwise(blocks):
        if after.header.previous_id != before.header.id:
            raise ChainInconsistent(f"block {after.height} does not follow the one that was given before it")
    return ChainPart(fetched.chain_height, blocks)


def _source_block(height: int, fetched: FetchedBlock) -> SourceBlock:
    block = parse_block(fetched.blob)
    if len(block.txids) != len(fetched.transactions):
        raise ChainInconsistent(f"block {height} came with another number of transactions than it has")
    others = [parse_transaction(txid, blob) for txid, blob in zip(block.txids, fetched.transactions, strict=True)]
    transactions = (block.miner_transaction, *others)
    places = (Place(height, indices) for indices in fetched.output_indices)
    return SourceBlock(height, block.header, tuple(zip(transactions, places, strict=True)))
