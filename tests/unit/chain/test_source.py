"""What the watcher asks a daemon for."""

from collections.abc import Sequence

import pytest

from escrowd.chain.source import ChainSource
from escrowd.monero.results_daemon import KeyImageStatus

#: A restricted daemon refuses to answer for more key images at once.
MOST_AT_ONCE = 5000


class Restricted:
    """A daemon for which the number of a key image says where it is spent."""

    async def is_key_image_spent(self, key_images: Sequence[str]) -> tuple[KeyImageStatus, ...]:
        assert 0 < len(key_images) <= MOST_AT_ONCE
        return tuple(KeyImageStatus(int(each) % len(KeyImageStatus)) for each in key_images)


@pytest.mark.parametrize("count", [0, 1, 2 * MOST_AT_ONCE + 1])
async def test_spends_in_blocks_are_asked_for_in_parts_that_a_restricted_daemon_answers(count: int) -> None:
    """Of any number of key images those are returned that a block spends, and none that only the pool does."""
    source = ChainSource(Restricted(), None)  # type: ignore[arg-type] # reads no blocks
    images = [str(number) for number in range(count)]
    spent = await source.spent_in_blocks(images)
    assert spent == {each for each in images if int(each) % len(KeyImageStatus) == KeyImageStatus.SPENT_IN_CHAIN}
