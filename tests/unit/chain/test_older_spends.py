"""Spends in blocks that were scanned before a wallet learned the key image."""

from dataclasses import dataclass, field

import pytest

from escrowd.chain.key_images import KEPT_BLOCKS
from escrowd.chain.watcher import Watcher, WatcherSettings
from escrowd.domain.networks import Network
from escrowd.domain.outputs import Spend
from escrowd.domain.secret import Secret
from escrowd.domain.watching import Lane, WatchedAddress
from escrowd.testing.wallet_sets import wallet_sets
from escrowd.testing.watch_log import MemoryWatchLog
from tests.unit.chain.stub_source import StubSource, chain

IMAGE = bytes(range(32))
#: Height of the block that spends it, and length of the chain.
SPENT_AT, LENGTH = 50, 50 + 3 * KEPT_BLOCKS
KEPT = wallet_sets()[0]
FOUND = (Spend(IMAGE.hex(), f"spender in {SPENT_AT}", SPENT_AT),)


@dataclass
class Watching:
    """A watcher of one address over a chain in which a block spends the image."""

    source: StubSource = field(default_factory=lambda: StubSource(chain(LENGTH), spending={SPENT_AT: (IMAGE,)}))
    log: MemoryWatchLog = field(default_factory=MemoryWatchLog)

    async def begin(self, lane: Lane = Lane.ACTIVE) -> None:
        self.restart()
        await self.watcher.add(WatchedAddress(KEPT.escrow, KEPT.address, Secret(KEPT.secret_view_key), 10))
        await self.look()
        if lane is Lane.RESTING:
            await self.watcher.rest(KEPT.escrow)

    def restart(self) -> None:
        self.watcher = Watcher(self.source, self.log, WatcherSettings(Network.REGTEST))  # type: ignore[arg-type]

    async def look(self) -> None:
        await self.watcher.advance()
        while self.watcher.has_more:
            await self.watcher.advance()

    @property
    def spends(self) -> tuple[Spend, ...]:
        return self.log.spends(KEPT.escrow)


@pytest.mark.parametrize("lane", [Lane.ACTIVE, Lane.RESTING])
async def test_spend_in_an_old_block_is_found_when_its_key_image_is_learned(lane: Lane) -> None:
    """The address catches up with the blocks again, and is in step with the others after it."""
    watching = Watching()
    await watching.begin(lane)
    watching.log.note_key_image(KEPT.escrow, IMAGE.hex())
    await watching.look()
    assert watching.spends == FOUND
    (address,) = watching.log.addresses.values()
    assert address.scanned == (None if lane is Lane.ACTIVE else LENGTH)


async def test_spend_that_was_read_before_a_restart_is_found() -> None:
    """The spends of the last blocks are remembered by one run of the service only."""
    watching = Watching(StubSource(chain(SPENT_AT + 5), spending={SPENT_AT: (IMAGE,)}))
    await watching.begin()
    watching.restart()
    await watching.look()
    watching.log.note_key_image(KEPT.escrow, IMAGE.hex())
    await watching.look()
    assert watching.spends == FOUND


async def test_known_spend_is_not_looked_for_again() -> None:
    """A restart learns all key images anew, and asks the daemon only for those that no known block spends."""
    watching = Watching()
    await watching.begin()
    watching.log.note_key_image(KEPT.escrow, IMAGE.hex())
    await watching.look()
    assert watching.source.images_asked == [IMAGE.hex()]
    watching.restart()
    watching.log.note_key_image(KEPT.escrow, "ff" * 32)
    await watching.look()
    assert watching.source.images_asked == [IMAGE.hex(), "ff" * 32]


async def test_unspent_output_makes_no_address_catch_up() -> None:
    """What the daemon knows no spend of is seen when it is spent."""
    watching = Watching(StubSource(chain(LENGTH)))
    await watching.begin()
    recorded = len(watching.log.progress)
    watching.log.note_key_image(KEPT.escrow, IMAGE.hex())
    await watching.look()
    assert len(watching.log.progress) == recorded
    watching.source.spending[LENGTH] = (IMAGE,)
    watching.source.ids = chain(LENGTH + 1, on=watching.source.ids)
    await watching.look()
    assert [each.height for each in watching.spends] == [LENGTH]


async def test_spend_in_a_block_that_is_still_to_be_read_makes_no_address_catch_up() -> None:
    """After a pause the blocks are read first: they hold the payouts of the time between."""
    watching = Watching(StubSource(chain(LENGTH)))
    await watching.begin()
    watching.log.note_key_image(KEPT.escrow, IMAGE.hex())
    watching.source.spending[LENGTH] = (IMAGE,)
    watching.source.ids = chain(LENGTH + 200, on=watching.source.ids)
    watching.restart()
    await watching.look()
    assert [each.height for each in watching.spends] == [LENGTH]
    assert watching.source.images_asked == []


async def test_spend_in_a_block_that_is_rolled_back_is_not_recorded() -> None:
    """Its key image is learned by the look that finds another branch in place of its block."""
    watching = Watching(StubSource(chain(SPENT_AT + 3), spending={SPENT_AT: (IMAGE,)}))
    await watching.begin()
    watching.log.note_key_image(KEPT.escrow, IMAGE.hex())
    watching.source.ids = chain(SPENT_AT + 4, branch="b", on=watching.source.ids[:SPENT_AT])
    watching.source.spending = {}
    await watching.look()
    assert watching.spends == ()
