"""The commands: what they print for people and programs, how they end, and what they need of the settings."""

import asyncio
import sys
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from escrowd.cli import main
from escrowd.domain.escrow.status import Status
from escrowd.store.database import Database
from escrowd.store.migrating import migrate
from escrowd.wallets.vault import Vault
from tests.contract.backups.contents import fill
from tests.contract.conftest import sqlite_url

KEY = bytes(range(32))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write settings for a service of this test, whose vault key is in the environment."""
    monkeypatch.setenv("ESCROWD_VAULT_KEY", KEY.hex())
    path = tmp_path / "escrowd.toml"
    path.write_text(f'network = "regtest"\ndata_directory = "{tmp_path / "first"}"\n')
    return path


async def filled(directory: Path) -> None:
    async with Database(sqlite_url(directory / "escrowd.sqlite")) as database:
        await migrate(database)
        await fill(database, Vault(KEY))


async def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """Run the command line as the installed program does, in a thread without an event loop."""
    monkeypatch.setattr(sys, "argv", ["escrowd", *map(str, arguments)])

    def ended() -> int:
        with pytest.raises(SystemExit) as caught:
            main.run()
        return int(caught.value.code or 0)

    return await asyncio.to_thread(ended)


async def test_drill_by_commands_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], settings: Path, tmp_path: Path
) -> None:
    """Backup, restore and the check of the log work by the commands that an operator types."""
    await filled(tmp_path / "first")
    assert await run(monkeypatch, "backup", tmp_path / "b.tar", "--config", settings, "--json") == 0
    said = msgspec.json.decode(capsys.readouterr().out)
    assert said["escrows"] == dict.fromkeys(map(str, Status), 1)
    assert said["bytes"] == (tmp_path / "b.tar").stat().st_size
    assert await run(monkeypatch, "verify-log", "--config", settings, "--new-head", tmp_path / "heads") == 0
    assert "all hold together" in capsys.readouterr().out
    settings.write_text(f'network = "regtest"\ndata_directory = "{tmp_path / "second"}"\n')
    assert await run(monkeypatch, "restore", tmp_path / "b.tar", "--config", settings, "--json") == 0
    said = msgspec.json.decode(capsys.readouterr().out)
    assert (said["key_files"], said["woken"], said["withdrawn"], said["log_holds"]) == (6, len(Status), 1, True)
    assert len(list((tmp_path / "second" / "wallets").glob("*.keys"))) == 6
    assert await run(monkeypatch, "verify-log", "--config", settings, "--head", tmp_path / "heads", "--json") == 0
    assert msgspec.json.decode(capsys.readouterr().out)["broken"] == []
    assert await run(monkeypatch, "backup", tmp_path / "people.tar", "--config", settings) == 0
    assert "vault key is not in it" in " ".join(capsys.readouterr().out.split())
    assert await run(monkeypatch, "restore", tmp_path / "b.tar", "--config", settings) == 1
    assert "empty one only" in capsys.readouterr().err


async def test_broken_log_ends_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], settings: Path, tmp_path: Path
) -> None:
    """Where a history does not hold together the command says where, and exits 1."""
    await filled(tmp_path / "first")
    async with (
        Database(sqlite_url(tmp_path / "first" / "escrowd.sqlite")) as database,
        database.transaction() as session,
    ):
        await session.connection.execute(text("DROP TRIGGER log_refuses_update"))
        await session.connection.execute(text("UPDATE log SET who = 'arbiter' WHERE sequence = 3"))
    assert await run(monkeypatch, "verify-log", "--config", settings) == 1
    assert "does not follow" in " ".join(capsys.readouterr().out.split())
    assert await run(monkeypatch, "verify-log", "--config", settings, "--json") == 1
    assert {each["sequence"] for each in msgspec.json.decode(capsys.readouterr().out)["broken"]} == {3}


async def test_backup_of_another_network_is_restored(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], settings: Path, tmp_path: Path
) -> None:
    """Escrows of one network are not restored under settings for another one."""
    await filled(tmp_path / "first")
    assert await run(monkeypatch, "backup", tmp_path / "b.tar", "--config", settings) == 0
    settings.write_text(f'network = "stagenet"\ndata_directory = "{tmp_path / "second"}"\n')
    assert await run(monkeypatch, "restore", tmp_path / "b.tar", "--config", settings) == 1
    assert "are of regtest, and the settings are for stagenet" in capsys.readouterr().err
    assert list((tmp_path / "second" / "wallets").iterdir()) == []


async def test_missing_database_is_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], settings: Path, tmp_path: Path
) -> None:
    """Where there is no database, backup and check say so and make none."""
    for command in (["backup", str(tmp_path / "b.tar")], ["verify-log"]):
        assert await run(monkeypatch, *command, "--config", settings) == 1
        assert "there is no database" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["escrowd.toml"]
