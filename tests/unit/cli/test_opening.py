import os
from pathlib import Path

import pytest

from escrowd.cli.opening import NoDatabase, NotOurDirectory, opened
from escrowd.cli.running import base_url
from escrowd.settings.errors import InvalidSettings
from escrowd.settings.loading import load_settings
from escrowd.store.database import Database
from escrowd.store.errors import WrongSchema
from escrowd.store.migrating import migrate


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "escrowd.toml"
    file.write_text(f'network = "regtest"\ndata_directory = "{tmp_path / "data"}"\n')
    return file


def database_of(config: Path) -> Path:
    return config.parent / "data" / "escrowd.sqlite"


async def test_settings_that_are_not_there_are_passed_over(tmp_path: Path) -> None:
    """A file of settings that is named and not there is an error that names it."""
    with pytest.raises(InvalidSettings, match=r"nowhere\.toml cannot be read"):
        async with opened(tmp_path / "nowhere.toml"):
            pass


async def test_empty_file_is_taken_for_a_database(config: Path) -> None:
    """A database without tables is one that the service has not made yet, and is made only for who may."""
    database_of(config).parent.mkdir()
    database_of(config).touch()
    with pytest.raises(NoDatabase, match="has no tables yet"):
        async with opened(config):
            pass
    async with opened(config, may_make=True) as work, work.store.reading() as tx:
        assert await tx.access.keys() == ()


async def test_database_of_another_version_is_used(config: Path) -> None:
    """A database of another version is left as it is, also by who may make one."""
    async with Database(f"sqlite+aiosqlite:///{database_of(config)}") as database:
        await migrate(database)
        async with database.transaction() as session:
            await session.connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    for may_make in (False, True):
        with pytest.raises(WrongSchema, match="is at revision 0001"):
            async with opened(config, may_make=may_make):
                pass


async def test_database_is_made_that_the_service_cannot_use(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a directory of another user no database is made: the service could not open it."""
    database_of(config).parent.mkdir()
    owner = database_of(config).parent.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(NotOurDirectory, match=f"belongs to user {owner}"):
        async with opened(config, may_make=True):
            pass
    assert list(database_of(config).parent.iterdir()) == []


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:9000"),
        ("0.0.0.0", "http://127.0.0.1:9000"),  # noqa: S104 - read, and not bound
        ("::", "http://[::1]:9000"),
        ("10.1.2.3", "http://10.1.2.3:9000"),
    ],
)
def test_service_is_looked_for_elsewhere(config: Path, host: str, url: str) -> None:
    """The running service is asked where it listens, by the loopback address if it listens at all of them."""
    assert base_url(load_settings(config, {"api.host": host, "api.port": 9000}, {})) == url


def test_any_free_port_is_taken_for_an_address(config: Path) -> None:
    """Where the settings leave the port open, nobody can say where the service listens."""
    with pytest.raises(InvalidSettings, match="set the port"):
        base_url(load_settings(config, {"api.port": 0}, {}))
