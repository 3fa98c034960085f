"""A database that is opened to be read only stays as it is, whoever has used it and however that ended."""

import shutil
from pathlib import Path

import pytest
from sqlalchemy import text

from escrowd.store.database import Database
from escrowd.store.errors import StoreError
from tests.contract.conftest import sqlite_copy, sqlite_url


async def nodes(url: str) -> int:
    async with Database(url, read_only=True) as database, database.reading() as session:
        return int((await session.connection.execute(text("SELECT count(*) FROM nodes"))).scalar_one())


def files(directory: Path) -> dict[str, bytes]:
    # What SQLite shares between processes is memory in the form of a file.
    return {each.name: each.read_bytes() for each in directory.iterdir() if not each.name.endswith("-shm")}


async def test_reader_makes_the_file(tmp_path: Path) -> None:
    """A file that is not there is an error, and is not made."""
    with pytest.raises(StoreError):
        await nodes(sqlite_url(tmp_path / "absent" / "escrowd.sqlite"))
    assert list(tmp_path.iterdir()) == []


async def test_reader_passes_over_what_a_crash_left(sqlite_template: Path, tmp_path: Path) -> None:
    """What was committed before a crash stands in the journal alone: it is read, and stays there."""
    (tmp_path / "before").mkdir()
    url = sqlite_copy(sqlite_template, tmp_path / "before")
    async with Database(url) as database:
        async with database.transaction() as session:
            await session.connection.execute(text("INSERT INTO nodes VALUES ('n', 1)"))
        # As the machine would find them after a power cut.
        shutil.copytree(tmp_path / "before", tmp_path / "after")
    left = files(tmp_path / "after")
    assert len(left["escrowd.sqlite-wal"]) > 0
    assert await nodes(sqlite_url(tmp_path / "after" / "escrowd.sqlite")) == 1
    assert files(tmp_path / "after") == left


async def test_reader_leaves_a_journal(sqlite_template: Path, tmp_path: Path) -> None:
    """Where nobody has the file open there is no journal, and a reader makes none."""
    url = sqlite_copy(sqlite_template, tmp_path)
    assert await nodes(url) == 0
    assert [each.name for each in tmp_path.iterdir()] == ["escrowd.sqlite"]


async def test_reader_writes_all_the_same(own_url: str) -> None:
    """A transaction that writes is refused, and nothing is stored."""
    async with Database(own_url, read_only=True) as database:
        with pytest.raises(StoreError):
            async with database.transaction() as session:
                await session.connection.execute(text("INSERT INTO nodes VALUES ('n', 1)"))
    assert await nodes(own_url) == 0
