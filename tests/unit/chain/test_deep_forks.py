"""Forks deeper than the ids that are kept without a gap, and chains that are not the one that was watched (E6)."""

from itertools import pairwise

import pytest

from escrowd.chain.errors import DaemonBehind, WrongChain
from escrowd.chain.watcher import Watcher, WatcherSettings
from escrowd.domain.networks import Network
from escrowd.domain.watching import (
    DENSE_BLOCK_IDS,
    AcceptedChain,
    BlockId,
    ChainDecisions,
    Cursor,
    kept_heights,
    thinned,
)
from escrowd.testing.watch_log import MemoryWatchLog
from tests.unit.chain.stub_source import Chain, StubSource, chain

#: As long as the main chain in 2026.
LONG = 3_500_000


class Watching:
    """A watcher over a stub, which can be restarted."""

    def __init__(self, ids: Chain) -> None:
        self.source = StubSource(ids)
        self.log = MemoryWatchLog()
        self.watcher = self.restarted()

    def restarted(self) -> Watcher:
        self.watcher = Watcher(self.source, self.log, WatcherSettings(Network.REGTEST))  # type: ignore[arg-type]
        return self.watcher

    async def look(self) -> Cursor:
        await self.watcher.advance()
        while self.watcher.has_more:
            await self.watcher.advance()
        assert self.log.cursor is not None
        return self.log.cursor


def test_few_ids_reach_down_to_the_first_block() -> None:
    """Of a long chain some two hundred ids are kept, and each gap is at most a sixth of its depth."""
    heights = [*kept_heights(LONG, LONG - DENSE_BLOCK_IDS), *range(LONG - DENSE_BLOCK_IDS + 1, LONG + 1)]
    assert len(heights) < 250
    assert heights[0] == 0
    for lower, upper in pairwise(heights):
        assert upper - lower <= max(1, (LONG - lower) // 6)


def test_id_that_is_needed_later_is_never_dropped() -> None:
    """However the chain grows, the ids that are kept on the way are those that would be kept of all of it."""
    ids: tuple[BlockId, ...] = (BlockId(0, "0"),)
    for first in range(1, 5000, 37):
        ids = thinned((*ids, *(BlockId(height, str(height)) for height in range(first, first + 37))))
    top = ids[-1].height
    assert thinned([BlockId(height, str(height)) for height in range(top + 1)]) == ids
    assert tuple(each.height for each in ids if each.height < top - 99) == kept_heights(top, top - 99)


@pytest.mark.parametrize("depth", [1, 99, 105, 250, 350])
async def test_fork_of_any_depth_is_followed(depth: int) -> None:
    """The watcher finds the common block, rolls back to it or a little below, and reads the new branch, once."""
    old = chain(400)
    watching = Watching(old)
    assert (await watching.look()).height == 400
    recorded = len(watching.log.progress)
    new = watching.source.ids = chain(401, branch="b", on=old[: 400 - depth])
    cursor = await watching.look()
    assert (cursor.height, cursor.block_ids[-1].hash) == (401, new[-1])
    assert all(each.hash == new[each.height] for each in cursor.block_ids)
    progress = watching.log.progress[recorded:]
    assert [each.rollback is not None for each in progress].count(True) == 1
    assert progress[0].rollback is not None
    assert 400 - depth - 32 <= progress[0].rollback <= 400 - depth


async def test_branch_is_recorded_as_a_whole() -> None:
    """No record shows the old branch taken back and the new one read in part: a deposit in both is never gone."""
    old = chain(400)
    watching = Watching(old)
    await watching.look()
    watching.source.ids = chain(420, branch="b", on=old[:150])
    await watching.watcher.advance()
    last = watching.log.progress[-1]
    assert last.rollback is not None
    assert last.cursor is not None
    assert last.cursor.height == 420


async def test_restart_follows_a_deep_fork() -> None:
    """A fork that came while the service was down is followed after the restart."""
    old = chain(400)
    watching = Watching(old)
    await watching.look()
    watching.source.ids = chain(401, branch="b", on=old[:200])
    watching.restarted()
    assert (await watching.look()).height == 401


async def test_cursor_of_an_older_version_gets_its_ids() -> None:
    """A cursor with the last hundred ids only is completed while the chain is still the same."""
    old = chain(400)
    watching = Watching(old)
    watching.log.cursor = Cursor(400, 0, old[0], tuple(BlockId(height, old[height]) for height in range(300, 400)))
    assert (await watching.look()).is_reaching_genesis
    watching.source.ids = chain(401, branch="b", on=old[:200])
    assert (await watching.look()).height == 401


async def test_shorter_chain_that_parts_far_below_is_waited_for() -> None:
    """A daemon with a shorter chain of another branch may have the rest still to read: nothing is recorded."""
    old = chain(400)
    watching = Watching(old)
    await watching.look()
    recorded = len(watching.log.progress)
    for length in (210, 380):
        watching.source.ids = chain(length, branch="b", on=old[:200])
        with pytest.raises(DaemonBehind):
            await watching.watcher.advance()
    assert watching.log.progress[recorded:] == []
    watching.source.ids = chain(400, branch="b", on=old[:200])
    assert (await watching.look()).block_ids[-1].hash == watching.source.ids[-1]


async def test_blocks_that_a_daemon_has_still_to_read_are_no_reorganisation() -> None:
    """A daemon that was set back by some blocks, and says so, takes no deposit back; one that is complete does."""
    old = chain(400)
    watching = Watching(old)
    await watching.look()
    recorded = len(watching.log.progress)
    watching.source.ids, watching.source.is_synchronized = old[:390], False
    with pytest.raises(DaemonBehind):
        await watching.watcher.advance()
    assert watching.log.progress[recorded:] == []
    watching.source.is_synchronized = True
    assert (await watching.look()).height == 390


@pytest.mark.parametrize("on", [0, 1])
async def test_other_chain_is_followed_only_when_accepted(on: int) -> None:
    """Another first block, or only the first one in common: it waits until the operator accepts just that chain."""
    old = chain(400)
    watching = Watching(old)
    await watching.look()
    new = watching.source.ids = chain(500, branch="b", on=old[:on])
    with pytest.raises(WrongChain):
        await watching.watcher.advance()
    decision = AcceptedChain(BlockId(450, new[450]), old[-1])
    for wrong in (
        AcceptedChain(BlockId(450, old[-1]), old[-1]),
        AcceptedChain(BlockId(450, new[450]), new[-1]),
        AcceptedChain(BlockId(600, new[450]), old[-1]),
    ):
        watching.log.decided = ChainDecisions((wrong,))
        with pytest.raises(WrongChain):
            await watching.restarted().advance()
    watching.log.decided = ChainDecisions((decision,))
    with pytest.raises(WrongChain):  # decisions are read when looking fails, and count at the next look
        await watching.watcher.advance()
    cursor = await watching.look()
    assert (cursor.height, cursor.genesis, cursor.block_ids[0].hash) == (500, new[0], new[0])
    assert watching.log.progress[-1].rollback == 1
    watching.source.ids = old
    with pytest.raises(WrongChain):
        await watching.watcher.advance()


async def test_shorter_chain_is_followed_when_accepted() -> None:
    """A chain that stays shorter is followed where the operator accepts it."""
    old = chain(400)
    watching = Watching(old)
    await watching.look()
    new = watching.source.ids = chain(210, branch="b", on=old[:200])
    watching.log.decided = ChainDecisions((AcceptedChain(BlockId(209, new[209]), old[-1]),))
    with pytest.raises(DaemonBehind):
        await watching.watcher.advance()
    assert (await watching.look()).height == 210
