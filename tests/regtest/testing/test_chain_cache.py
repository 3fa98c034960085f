import asyncio
from pathlib import Path

import pytest

from escrowd.testing import chain_cache
from escrowd.testing.chain_cache import cache_directory, prepared_chain
from escrowd.testing.lab import RegtestLab
from escrowd.testing.left_behind import running_in

COMPLETE = ["data.mdb", "funder", "funder.keys"]


def names_in(directory: Path) -> list[str]:
    """Return what lies in a directory."""
    return sorted(path.name for path in directory.iterdir())


def chains_in(cache: Path) -> list[Path]:
    """Return the chains in a cache, also those that are no more than begun."""
    return [path for path in cache.iterdir() if path.is_dir()]


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a cache of our own, and a recipe that mines no more than it must."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(chain_cache, "BLOCKS", 80)
    return cache_directory()


async def test_prepared_chain_is_made_once(lab: RegtestLab) -> None:
    """The prepared chain is complete in the cache, and nothing is mined when it is there."""
    said: list[str] = []
    chain = await prepared_chain(lab.connections, said.append)
    assert names_in(chain.directory) == COMPLETE
    assert said == []


async def test_two_sessions_make_one_chain(lab: RegtestLab, empty_cache: Path) -> None:
    """Of two that want the prepared chain at the same time one makes it, and says so, and the other waits."""
    said: tuple[list[str], list[str]] = ([], [])
    chains = await asyncio.gather(*(prepared_chain(lab.connections, each.append) for each in said))
    assert chains[0] == chains[1]
    assert names_in(chains[0].directory) == COMPLETE
    assert sorted(bool(each) for each in said) == [False, True]
    assert chains_in(empty_cache) == [chains[0].directory]


async def test_making_that_breaks_off_leaves_nothing(lab: RegtestLab, empty_cache: Path) -> None:
    """A chain whose making broke off is not in the cache, and its processes are gone."""
    begun = asyncio.Event()
    making = asyncio.create_task(prepared_chain(lab.connections, lambda _: begun.set()))
    await begun.wait()
    while not running_in(empty_cache):
        await asyncio.sleep(0.01)
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    assert chains_in(empty_cache) == []
    assert running_in(empty_cache) == ()


def test_cache_is_where_the_user_keeps_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache follows the XDG specification, in which a relative path counts as none."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_directory() == tmp_path / ".cache" / "escrowd" / "regtest"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert cache_directory() == tmp_path / "elsewhere" / "escrowd" / "regtest"
