"""Blocks and pool transactions that cannot be read (E8)."""

import pytest

from escrowd.chain.errors import UnreadableBlock
from escrowd.chain.source import _chain_part
from escrowd.domain.watching import ChainDecisions
from escrowd.monero.block_feed import FetchedBlock, FetchedBlocks
from tests.unit.chain.stub_source import chain
from tests.unit.chain.test_deep_forks import Watching

TXID = "ab" * 32


async def test_watching_ends_at_the_block_that_cannot_be_read() -> None:
    """The blocks before it are read, nothing at or behind it is, and the error names height, version, transaction."""
    watching = Watching(chain(150))
    await watching.look()
    watching.source.ids = chain(300, on=watching.source.ids)
    watching.source.unreadable[230] = (TXID, 17)
    with pytest.raises(UnreadableBlock) as caught:
        await watching.look()
    assert watching.log.cursor is not None
    assert watching.log.cursor.height == 230
    error = caught.value
    assert (error.height, error.block_version, error.txid, error.is_of_a_newer_fork) == (230, 17, TXID, True)
    for fact in ("block 230", "version 17", TXID, "RingCT of type 7"):
        assert fact in str(error)
    with pytest.raises(UnreadableBlock):
        await watching.restarted().advance()


async def test_transaction_that_is_passed_over_stops_nothing() -> None:
    """Where the operator passes over just that transaction, watching goes on behind it, after a restart too."""
    watching = Watching(chain(150))
    await watching.look()
    watching.source.ids = chain(200, on=watching.source.ids)
    watching.source.unreadable[160] = (TXID, 16)
    watching.log.decided = ChainDecisions(passed_over=frozenset({"cd" * 32}))
    with pytest.raises(UnreadableBlock) as caught:
        await watching.look()
    assert not caught.value.is_of_a_newer_fork
    watching.log.decided = ChainDecisions(passed_over=frozenset({TXID}))
    with pytest.raises(UnreadableBlock):
        await watching.watcher.advance()
    assert (await watching.look()).height == 200
    assert (await watching.restarted().advance()).height == 200


async def test_branch_that_cannot_be_read_takes_nothing_back() -> None:
    """Where the new branch cannot be read to its end, what is known of the old one stays."""
    old = chain(150)
    watching = Watching(old)
    before = await watching.look()
    watching.source.ids = chain(160, branch="b", on=old[:140])
    watching.source.unreadable[150] = (TXID, 16)
    with pytest.raises(UnreadableBlock):
        await watching.watcher.advance()
    assert watching.log.cursor == before


async def test_unreadable_pool_transaction_stops_nothing() -> None:
    """It is counted, fetched once, and forgotten when it leaves the pool."""
    watching = Watching(chain(150))
    watching.source.pool = {TXID: "an output of kind 4"}
    await watching.look()
    watching.source.ids = chain(152, on=watching.source.ids)
    assert (await watching.look()).height == 152
    assert watching.watcher.unreadable_in_pool == 1
    assert watching.source.pool_asked == [TXID]
    watching.source.pool = {}
    await watching.look()
    assert watching.watcher.unreadable_in_pool == 0


def test_block_of_unknown_form_tells_its_version() -> None:
    """Where the block itself cannot be read, its version is, with which each block begins."""
    part = _chain_part(FetchedBlocks(7, 9, (FetchedBlock(bytes([17, 99]), (), ((0,),)),)), ())
    assert part.blocks == ()
    assert part.unreadable is not None
    assert (part.unreadable.height, part.unreadable.block_version, part.unreadable.txid) == (7, 17, None)
