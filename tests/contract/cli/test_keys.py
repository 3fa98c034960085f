"""API keys from the command line, and that they open what they should."""

import sqlite3
from pathlib import Path

import httpx
from sqlalchemy import select

from escrowd.domain.access import Scope
from escrowd.service.front.callers import OPERATOR
from escrowd.store import schema_access
from escrowd.store.database import Database
from escrowd.testing.api_house import ApiHouse
from tests.contract.cli.conftest import Commands, Said


async def status_for(house: ApiHouse, key: str) -> int:
    transport = httpx.ASGITransport(app=house.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return (await client.get("/v1/escrows", headers={"Authorization": f"Bearer {key}"})).status_code


async def test_key_of_the_command_line_opens_nothing(commands: Commands) -> None:
    """A key that was made by a command opens the API with its scopes until a command revokes it."""
    made = (await commands.run("keys", "create", "--scope", "escrows:read", "--name", "shop", "--json")).json
    assert (made["name"], made["scopes"], made["revoked_at"]) == ("shop", ["escrows:read"], None)
    async with ApiHouse.open(commands.database_url, vault=commands.vault) as house:
        assert await status_for(house, made["key"]) == 200
    revoked = (await commands.run("keys", "revoke", made["id"], "--json")).json
    assert revoked["revoked_at"] is not None
    async with ApiHouse.open(commands.database_url, vault=commands.vault) as house:
        assert await status_for(house, made["key"]) == 401
    listed = (await commands.run("keys", "list", "--json")).json
    assert listed == {"items": [revoked]}


async def test_making_and_revoking_is_not_noted(commands: Commands) -> None:
    """The audit names who made and who revoked a key, once each, however often it is revoked."""
    made = (await commands.run("keys", "create", "--scope", "arbiter", "--scope", "admin", "--json")).json
    for _ in range(2):
        assert (await commands.run("keys", "revoke", made["id"])).code == 0
    noted = (await commands.run("audit", "list", "--subject", made["id"], "--json")).json["items"]
    assert [(each["caller"], each["action"]) for each in noted] == [
        (OPERATOR.name, "create key for admin, arbiter"),
        (OPERATOR.name, "revoke key"),
    ]
    assert all(each["cause"].startswith("command-") for each in noted)


async def test_key_is_shown_twice(commands: Commands, database: Database) -> None:
    """The text of a key is on standard output once, alone, and in no file, row or message."""
    made = await commands.run(
        "keys", "create", "--scope", "escrows:write", environment={"ESCROWD_LOGS__LEVEL": "debug"}
    )
    assert made.code == 0
    key, secret = made.out.strip(), made.out.strip().partition(".")[2]
    assert made.out == f"{key}\n"
    assert len(secret) == 43
    assert secret not in made.err
    listed = await commands.run("keys", "list")
    assert key.partition(".")[0] in listed.out
    assert secret not in listed.out
    for file in (each for each in commands.directory.rglob("*") if each.is_file()):
        assert secret.encode() not in file.read_bytes(), file
    async with database.reading() as session:
        for table in (schema_access.api_keys, schema_access.audit):
            assert secret not in str((await session.connection.execute(select(table))).all())


async def test_key_without_scope_is_made(commands: Commands) -> None:
    """A key needs scopes that exist, and a name that can be shown; a wrong one changes nothing."""
    none, unknown, ugly = await wrong_keys(commands)
    assert (none.code, unknown.code) == (2, 2)
    assert all(str(each) in unknown.err for each in Scope)
    assert ugly.code == 1
    assert "one line" in ugly.err
    assert (await commands.run("keys", "list", "--json")).json == {"items": []}


async def wrong_keys(commands: Commands) -> list[Said]:
    return [
        *await commands.runs("keys create", "keys create --scope everything"),
        await commands.run("keys", "create", "--scope", "admin", "--name", "\x1b[2J"),
    ]


async def test_key_before_the_first_serve_needs_a_database(commands: Commands, tmp_path: Path) -> None:
    """Where there is no database yet, making a key makes it, private to its owner; nothing else does."""
    directory = tmp_path / "new"
    environment = {"ESCROWD_DATA_DIRECTORY": str(directory), "ESCROWD_VAULT_KEY": commands.key.hex()}
    listed, audit, revoked = await commands.runs(
        "keys list", "audit list", "keys revoke key_x", environment=environment, config=False
    )
    for each in (listed, audit, revoked):
        assert (each.code, each.out) == (1, "")
        assert f"there is no database at {directory / 'escrowd.sqlite'}: is data_directory right?" in each.err
    assert not directory.exists()
    made = await commands.run("keys", "create", "--scope", "admin", environment=environment, config=False)
    assert made.code == 0
    assert (directory / "escrowd.sqlite").stat().st_mode & 0o077 == 0
    async with ApiHouse.open(f"sqlite+aiosqlite:///{directory / 'escrowd.sqlite'}", vault=commands.vault) as house:
        assert await status_for(house, made.out.strip()) == 200


async def test_command_waits_for_ever_for_a_lock(commands: Commands, tmp_path: Path) -> None:
    """A database that another process keeps locked is named after seconds; reading needs no lock."""
    path = tmp_path / "locked" / "escrowd.sqlite"
    environment = {"ESCROWD_DATA_DIRECTORY": str(path.parent), "ESCROWD_VAULT_KEY": commands.key.hex()}
    assert (await commands.run("keys", "create", "--scope", "admin", environment=environment, config=False)).code == 0
    locker = sqlite3.connect(path, isolation_level=None)
    try:
        locker.execute("BEGIN IMMEDIATE")
        refused, listed = await commands.runs(
            "keys create --scope admin", "keys list --json", environment=environment, config=False
        )
    finally:
        locker.close()
    assert (refused.code, refused.out) == (1, "")
    assert "database is locked" in refused.err
    assert len(listed.json["items"]) == 1
