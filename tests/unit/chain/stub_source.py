"""A daemon's chain as the watcher reads it: blocks without transactions, on branches that a test makes."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from escrowd.chain.errors import UnreadableBlock
from escrowd.chain.extra import Extra
from escrowd.chain.scan import Place
from escrowd.chain.source import ChainPart, PoolPart, SourceBlock, Tip
from escrowd.chain.transaction import BlockHeader, Transaction
from escrowd.monero.errors import BlockRefused

#: Ids by height.
Chain = tuple[str, ...]


def chain(length: int, *, branch: str = "a", on: Chain = ()) -> Chain:
    """Return a chain of so many blocks, of which the first ones are those of another chain."""
    own = (hashlib.sha256(f"{branch} {height}".encode()).hexdigest() for height in range(len(on), length))
    return (*on, *own)


@dataclass
class StubSource:
    """Stands for a daemon. It gives few blocks at once."""

    ids: Chain
    at_once: int = 40
    #: By height: the transaction there that cannot be read, and the version of its block.
    unreadable: dict[int, tuple[str, int]] = field(default_factory=dict)
    is_synchronized: bool = True
    pool: Mapping[str, str] = field(default_factory=dict)
    pool_asked: list[str] = field(default_factory=list)
    #: By height: the key images that a transaction there spends.
    spending: dict[int, tuple[bytes, ...]] = field(default_factory=dict)
    images_asked: list[str] = field(default_factory=list)

    async def tip(self) -> Tip:
        return Tip(len(self.ids), self.ids[-1], self.is_synchronized)

    async def genesis(self) -> str:
        return self.ids[0]

    async def block_id(self, height: int) -> str:
        return self.ids[height]

    async def pool_ids(self) -> frozenset[str]:
        return frozenset(self.pool)

    async def pool_transactions(self, txids: Collection[str]) -> PoolPart:
        self.pool_asked += txids
        return PoolPart((), {each: self.pool[each] for each in txids})

    async def spent_in_blocks(self, key_images: Sequence[str]) -> frozenset[str]:
        self.images_asked += key_images
        spent = {image.hex() for height, images in self.spending.items() if height < len(self.ids) for image in images}
        return frozenset(spent.intersection(key_images))

    async def after(self, block_ids: Sequence[str], passed_over: Collection[str] = ()) -> ChainPart:
        if block_ids[-1] != self.ids[0]:
            raise BlockRefused("get_blocks", -2, "another genesis block")
        return self._from(next(self.ids.index(each) for each in block_ids if each in self.ids), passed_over)

    async def from_height(self, height: int, passed_over: Collection[str] = ()) -> ChainPart:
        return self._from(height, passed_over)

    def _from(self, start: int, passed_over: Collection[str]) -> ChainPart:
        blocks: list[SourceBlock] = []
        for height in range(start, min(len(self.ids), start + self.at_once)):
            txid, version = self.unreadable.get(height, ("", 16))
            if txid and txid not in passed_over:
                return ChainPart(
                    len(self.ids), tuple(blocks), UnreadableBlock(height, version, txid, "RingCT of type 7")
                )
            previous = self.ids[height - 1] if height else "00" * 32
            blocks.append(
                SourceBlock(
                    height, BlockHeader(self.ids[height], previous, height, version), self._transactions(height)
                )
            )
        return ChainPart(len(self.ids), tuple(blocks))

    def _transactions(self, height: int) -> tuple[tuple[Transaction, Place], ...]:
        if height not in self.spending:
            return ()
        spender = Transaction(
            f"spender in {height}",
            unlock_time=0,
            is_coinbase=False,
            key_images=self.spending[height],
            outputs=(),
            extra=Extra(),
        )
        return ((spender, Place(height, ())),)
