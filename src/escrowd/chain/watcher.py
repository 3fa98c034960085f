"""Watches addresses in one pass over the chain, and records what it finds together with how far it came."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from escrowd.chain.block_scan import chunk_of, outputs_in, spends_in
from escrowd.chain.comparing import check_common, check_length, check_rest
from escrowd.chain.errors import ChainInconsistent, DaemonBehind, UnreadableBlock, WrongChain
from escrowd.chain.key_images import KeyImages
from escrowd.chain.pool import Pool
from escrowd.chain.ports import (
    DENSE_BLOCK_IDS,
    BlockId,
    ChainDecisions,
    Cursor,
    FoundOutput,
    FoundSpend,
    Lane,
    PoolFindings,
    Progress,
    WatchedAddress,
    WatchLog,
)
from escrowd.chain.roster import Behind, Roster
from escrowd.chain.scan import Filter, ReferenceFilter
from escrowd.chain.source import ChainPart, ChainSource, SourceBlock, Tip
from escrowd.chain.watched_keys import Lookahead, WatchedKeys
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.networks import Network
from escrowd.domain.outputs import SPENDABLE_AGE, Spend
from escrowd.domain.watching import kept_heights
from escrowd.monero.errors import BlockRefused


@dataclass(frozen=True, slots=True)
class WatcherSettings:
    """How the watcher works."""

    network: Network
    lookahead: Lookahead = field(default_factory=Lookahead)
    #: An archived address is scanned when it is so many blocks behind: about as long as its money is locked anyway
    #: (``CRYPTONOTE_DEFAULT_TX_SPENDABLE_AGE``).
    resting_every: int = SPENDABLE_AGE
    #: Pairs of a transaction's key and an address that are looked at before what was found is recorded: a second or
    #: two of work, which a crash would lose.
    most_pairs: int = 20_000
    #: The same for who is behind or rests: a quarter of a second, for which what is new may have to wait.
    most_pairs_behind: int = 2_500


class Watcher:
    """Watches addresses. One task at a time calls :meth:`advance`; the other methods may be called meanwhile."""

    def __init__(
        self, source: ChainSource, log: WatchLog, settings: WatcherSettings, kernel: Filter | None = None
    ) -> None:
        self._source = source
        self._log = log
        self._settings = settings
        self._kernel = kernel or ReferenceFilter()
        self._roster = Roster()
        self._key_images = KeyImages()
        self._pool = Pool(source, self._kernel, settings.most_pairs)
        self._cursor: Cursor | None = None
        self._tip: Tip | None = None
        self._is_rescanning = False
        self._decisions = ChainDecisions()
        #: Blocks that were fetched and not looked through yet.
        self._ahead: tuple[SourceBlock, ...] = ()
        #: Blocks that were fetched for those who are behind, and that these have not seen yet.
        self._older: tuple[SourceBlock, ...] = ()
        #: Spends from before their key images were known, which are not recorded yet.
        self._late_spends: list[FoundSpend] = []
        self._recorded_pool: PoolFindings | None = None
        self._is_loaded = False
        # What is recorded and what is in memory change together.
        self._writing = asyncio.Lock()

    # --- whom it watches ----------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Take up the work where it was recorded last. Nothing is done where it was loaded already."""
        async with self._writing:
            if self._is_loaded:
                return
            state = await self._log.load()
            self._decisions = await self._log.decisions()
            keys = await asyncio.to_thread(lambda: [self._keys_of(each) for each in state.addresses])
            for address, its_keys in zip(state.addresses, keys, strict=True):
                self._roster.put(address, its_keys)
            self._cursor = state.cursor
            self._is_loaded = True

    async def add(self, address: WatchedAddress) -> None:
        """Watch an address closely from its first block on. Adding it again wakes one that rests.

        Raises:
            InvalidAddress: it is no address of this network.
            WrongViewKey: the view key is not that of the address.

        """
        await self.load()
        keys = await asyncio.to_thread(self._keys_of, address)
        async with self._writing:
            known = self._roster.get(address.escrow)
            if known is not None and known.address == address.address:
                if known.lane is Lane.ACTIVE:
                    return
                address = replace(known, lane=Lane.ACTIVE)
            else:
                address = replace(address, lane=Lane.ACTIVE, scanned=address.from_height)
            await self._log.keep(address)
            self._roster.put(address, keys)

    async def rest(self, escrow: EscrowId) -> None:
        """Go on watching the address of an escrow, but at leisure. Nothing is done where it is not watched."""
        await self.load()
        async with self._writing:
            known = self._roster.get(escrow)
            if known is None or known.lane is Lane.RESTING:
                return
            scanned = known.scanned
            if scanned is None:
                scanned = known.from_height if self._cursor is None else self._cursor.height
            address = replace(known, lane=Lane.RESTING, scanned=scanned)
            await self._log.keep(address)
            self._roster.put(address, self._roster.keys_of(escrow))

    async def remove(self, escrow: EscrowId) -> None:
        """Watch the address of an escrow no more."""
        await self.load()
        async with self._writing:
            await self._log.forget(escrow)
            self._roster.remove(escrow)

    def count(self, lane: Lane) -> int:
        """Count the watched addresses of a lane."""
        return self._roster.count(lane)

    # --- how far it is ------------------------------------------------------------------------------------------------

    @property
    def cursor(self) -> Cursor | None:
        """How far it looked through the chain; ``None`` before the first look."""
        return self._cursor

    @property
    def tip(self) -> Tip | None:
        """What the daemon last told of its chain; ``None`` before the first look."""
        return self._tip

    @property
    def is_rescanning(self) -> bool:
        """Whether the chain has parted from what is recorded, and the blocks that came instead are being read."""
        return self._is_rescanning

    @property
    def unreadable_in_pool(self) -> int:
        """How many transactions of the pool cannot be read."""
        return self._pool.unreadable

    @property
    def has_more(self) -> bool:
        """Whether it knows of work that need not wait for the next block."""
        if self._cursor is None or self._ahead or self._pool.has_more:
            return True
        height = self._cursor.height
        if self._tip is not None and height < self._tip.height:
            return True
        return bool(self._roster.joining(height) or self._roster.behind(height, self._settings.resting_every))

    # --- the work -----------------------------------------------------------------------------------------------------

    async def advance(self) -> Tip:
        """Take one step: look at pool and chain, record what is new, and let who is behind catch up a little.

        Returns what the daemon says of its chain.

        Raises:
            WrongChain: the daemon follows another chain. Nothing was recorded.
            DaemonBehind: the daemon has not read so far. Nothing was recorded.
            UnreadableBlock: the next block cannot be read. Nothing was recorded.
            EscrowdError: the daemon or the log failed; the next call goes on from what was recorded.

        """
        await self.load()
        try:
            return await self._advance()
        except (WrongChain, DaemonBehind, UnreadableBlock):
            # The operator may decide how to go on; the next call goes by it.
            self._decisions = await self._log.decisions()
            raise

    async def _advance(self) -> Tip:
        self._late_spends += self._key_images.learn(await self._log.key_images(self._key_images.last))
        # The pool first: what leaves it after that is in a block that is read below.
        txids = await self._source.pool_ids()
        tip = self._tip = await self._source.tip()
        known = self._cursor or await self._begin(tip)
        cursor = await self._fetch(known, tip)
        rollback = None if cursor is known else cursor.height
        if rollback is not None:
            self._older = ()
            self._key_images.roll_back(rollback)
            self._late_spends = [each for each in self._late_spends if _is_below(each.spend, rollback)]
            txids = await self._source.pool_ids()  # what was in the blocks is there again
        self._is_rescanning = rollback is not None
        await self._look(await self._reaching_genesis(cursor), rollback, txids, tip)
        self._is_rescanning = False
        if self._cursor is not None and self._cursor.height >= tip.height:
            await self._check_older_spends()
        await self._catch_up()
        return tip

    # ------------------------------------------------------------------------------------------------------------------

    def _keys_of(self, address: WatchedAddress) -> WatchedKeys:
        return WatchedKeys.of(address, self._settings.network, self._settings.lookahead)

    async def _begin(self, tip: Tip) -> Cursor:
        """Start a little below the end of the chain. Who was there before catches up with a cursor of its own."""
        genesis = await self._source.genesis()
        if tip.height == 1:
            return Cursor(1, 0, genesis, (BlockId(0, genesis),))
        part = await self._source.from_height(max(1, tip.height - DENSE_BLOCK_IDS), self._decisions.passed_over)
        if not part.blocks:
            raise part.unreadable or ChainInconsistent("no blocks came, and there are some")
        self._ahead = part.blocks
        first = part.blocks[0]
        return Cursor(first.height, 0, genesis, (BlockId(first.height - 1, first.header.previous_id),))

    async def _reaching_genesis(self, cursor: Cursor) -> Cursor:
        """Add ids from below the first one that is known, so that a fork of any depth is found."""
        lowest = cursor.block_ids[0]
        if cursor.is_reaching_genesis:
            return cursor
        heights = kept_heights(cursor.block_ids[-1].height, lowest.height)
        older = [BlockId(height, await self._source.block_id(height)) for height in heights]
        # Where the chain changed meanwhile, they may be of another one: the next look tries again.
        is_ours = older[0].hash == cursor.genesis and await self._source.block_id(lowest.height) == lowest.hash
        return replace(cursor, block_ids=(*older, *cursor.block_ids)) if is_ours else cursor

    async def _fetch(self, cursor: Cursor, tip: Tip) -> Cursor:
        """Have the blocks at hand that follow the cursor, and return it: cut to where the chain parts from it."""
        last = cursor.block_ids[-1].hash
        if self._ahead and self._ahead[0].header.previous_id == last:
            return cursor
        self._ahead = ()
        if tip.hash == last:
            return cursor
        is_accepted = await self._is_accepted(cursor, tip)
        if not is_accepted:
            check_length(cursor, tip.height)
        part = _with_news(await self._after(cursor, is_accepted=is_accepted), cursor.block_ids[-1])
        if not part.blocks:
            return cursor
        common = part.blocks[0].id
        if not is_accepted:
            check_common(cursor, tip.height, common)
            check_rest(cursor, tip, common)
        self._ahead = part.blocks[1:]
        if common not in cursor.block_ids:  # the first block of a chain that was accepted
            cursor = Cursor(cursor.height, cursor.time, common.hash, (common,))
        elif common.height + 1 == cursor.height:
            return cursor
        return cursor.cut(common.height + 1, part.blocks[0].header.time)

    async def _is_accepted(self, cursor: Cursor, tip: Tip) -> bool:
        """Whether the operator accepted the chain of the daemon in place of the one that was watched."""
        for each in self._decisions.accepted:
            if each.instead_of != cursor.block_ids[-1].hash or each.block.height >= tip.height:
                continue
            if await self._source.block_id(each.block.height) == each.block.hash:
                return True
        return False

    async def _after(self, cursor: Cursor, *, is_accepted: bool) -> ChainPart:
        """Return the blocks from the newest one on that the daemon has of those that are known."""
        ids = [each.hash for each in reversed(cursor.block_ids)]
        if not cursor.is_reaching_genesis:
            ids.append(cursor.genesis)
        try:
            return await self._source.after(ids, self._decisions.passed_over)
        except BlockRefused as error:
            genesis = await self._source.genesis()
            if genesis == cursor.genesis:
                raise
            if not is_accepted:
                raise WrongChain(
                    f"the chain of the daemon has another first block, {genesis}, than the one that was watched"
                ) from error
        return await self._source.after([genesis], self._decisions.passed_over)

    async def _look(self, cursor: Cursor, rollback: int | None, txids: Collection[str], tip: Tip) -> None:
        """Look through the next blocks, and through the pool where these are the last ones; record all of it.

        After a rollback those are all blocks to the end of the chain: else a deposit that is in both branches would be
        gone for a moment, and its escrow held.
        """
        addresses, joining = self._roster.in_step(cursor.height), self._roster.joining(cursor.height)
        late_spends = tuple(self._late_spends)
        outputs: list[FoundOutput] = []
        spends = list(late_spends)
        while True:
            chunk = chunk_of(self._ahead, len(addresses), self._settings.most_pairs)
            outputs += await asyncio.to_thread(outputs_in, chunk, addresses, self._kernel, self._pool)
            spends += spends_in(chunk, self._key_images)
            if chunk:
                cursor = cursor.moved([each.id for each in chunk], chunk[-1].header.time)
            self._ahead = self._ahead[len(chunk) :]
            mined = [(transaction, place.height) for block in chunk for transaction, place in block.transactions]
            self._key_images.note(mined, cursor.height)
            if rollback is None or cursor.height >= tip.height:
                break
            if await self._fetch(cursor, tip) is not cursor or not self._ahead:
                raise ChainInconsistent("the chain changed again while the blocks of another branch were read")
        pool = await self._look_at_pool(txids) if cursor.height >= tip.height else None
        await self._record(
            Progress(
                rollback=rollback,
                outputs=tuple(outputs),
                spends=tuple(spends),
                pool=pool,
                cursor=None if cursor == self._cursor else cursor,
                scanned=joining,
            )
        )
        del self._late_spends[: len(late_spends)]

    async def _look_at_pool(self, txids: Collection[str]) -> PoolFindings | None:
        """Return what is in the pool, if that is not what was recorded last."""
        await self._pool.update(txids, self._roster.active())
        findings = self._pool.findings(self._key_images)
        return None if findings == self._recorded_pool or not self._pool.is_known else findings

    async def _check_older_spends(self) -> None:
        """Let an address catch up from its first block where a block spends an output of it, and it is not known which.

        Its key image became known after the blocks were scanned.
        """
        unchecked = dict(self._key_images.unchecked)
        spent = await self._source.spent_in_blocks(tuple(unchecked))
        addresses = [self._roster.get(escrow) for escrow in sorted({unchecked[image] for image in spent})]
        await self._record(Progress(scanned={each.escrow: each.from_height for each in addresses if each is not None}))
        for image in unchecked:
            self._key_images.unchecked.pop(image, None)

    async def _catch_up(self) -> None:
        """Look through some blocks for addresses that have a cursor of their own."""
        behind = None
        if self._cursor is not None and not self._ahead:
            behind = self._roster.behind(self._cursor.height, self._settings.resting_every)
        if behind is None or self._cursor is None:
            return
        blocks = await self._blocks_of(behind, self._cursor)
        chunk = chunk_of(blocks, len(behind.keys), self._settings.most_pairs_behind)
        outputs = await asyncio.to_thread(outputs_in, chunk, behind.keys, self._kernel)
        scanned = behind.start + len(chunk)
        spends = spends_in(chunk, self._key_images)
        await self._record(
            Progress(outputs=outputs, spends=spends, scanned={each.escrow: scanned for each in behind.keys})
        )
        self._older = self._older[len(chunk) :]

    async def _blocks_of(self, behind: Behind, cursor: Cursor) -> tuple[SourceBlock, ...]:
        """Fetch the blocks that are to be caught up with, and see that they are of the chain that is known."""
        if behind.start >= behind.end:
            return ()
        if not self._older or self._older[0].height != behind.start:
            part = await self._source.from_height(behind.start, self._decisions.passed_over)
            if not part.blocks and part.unreadable is not None:
                raise part.unreadable
            self._older = part.blocks
        blocks = tuple(each for each in self._older if each.height < behind.end)
        known = {each.height: each.hash for each in cursor.block_ids}
        if not blocks or blocks[0].height != behind.start:
            raise ChainInconsistent("other blocks came than those that were asked for")
        if any(known.get(each.height, each.header.id) != each.header.id for each in blocks):
            self._older = ()
            raise ChainInconsistent("the chain changed while addresses caught up with it")
        return blocks

    async def _record(self, progress: Progress) -> None:
        """Record progress, and take it over into memory only then. It may be recorded twice, never not at all."""
        async with self._writing:
            # An address may have been put to rest or removed while blocks were looked through for it.
            scanned = {
                escrow: height
                for escrow, height in progress.scanned.items()
                if (known := self._roster.get(escrow)) and (height is not None or known.lane is Lane.ACTIVE)
            }
            progress = replace(progress, scanned=scanned)
            if progress == Progress():
                return
            await self._log.record(progress)
            self._roster.apply(scanned, progress.rollback)
            self._cursor = progress.cursor or self._cursor
            self._recorded_pool = progress.pool or self._recorded_pool


# ---------------------------------------------------------------------------------------------------------------------


def _is_below(spend: Spend, height: int) -> bool:
    return spend.height is not None and spend.height < height


def _with_news(part: ChainPart, last: BlockId) -> ChainPart:
    """Return what came. Raises UnreadableBlock where that is nothing but the last known block, for this reason."""
    if part.unreadable is not None and all(each.id == last for each in part.blocks):
        raise part.unreadable
    return part
