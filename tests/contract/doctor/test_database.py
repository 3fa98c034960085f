"""What is wrong with the database and with what it holds, brought about for real, on SQLite and on PostgreSQL."""

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import insert, make_url, text

from escrowd.doctor import escrows
from escrowd.domain.escrow.status import Status
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.domain.watching import BlockId, Cursor
from escrowd.store import schema
from escrowd.store.coding import encoded
from escrowd.store.database import Database
from escrowd.store.keys import KeySetTable
from escrowd.store.ledgers import COMMON
from escrowd.store.store import SqlStore
from escrowd.wallets.records import password_purpose
from escrowd.wallets.vault import Vault
from escrowd.wallets.vault_key import key_from_file
from tests.contract.store.samples import escrow_id, first_step, key_set, life, store_steps
from tests.doctor_place import EMPTY_BLOCK, GENESIS, Place, StubDaemon, store_api_key, told

OLDEST = BlockId(900, "90" * 32)


async def run(database: Database, *statements: str) -> None:
    async with database.transaction() as session:
        for each in statements:
            await session.connection.execute(text(each))


async def store_cursor(database: Database, genesis: str = GENESIS, oldest: BlockId = OLDEST) -> None:
    """Store how far the chain was looked through: up to block 902, of which the first is still as it was."""
    cursor = Cursor(903, 0, genesis, (oldest, BlockId(901, "91" * 32), BlockId(902, "92" * 32)))
    values = {"lane": COMMON, "height": cursor.height, "time": cursor.time, "body": encoded(cursor)}
    async with database.transaction() as session:
        await session.connection.execute(insert(schema.cursors).values(values))


async def store_wallets(place: Place, database: Database, vault: Vault) -> Sequence[str]:
    """Store wallets whose passwords this vault has sealed, and return the names of their files."""
    keys = key_set()
    hosted = tuple(
        replace(each, sealed_password=vault.seal(Secret("password"), password_purpose(each.filename)))
        for each in keys.hosted
    )
    async with database.transaction() as session:
        await KeySetTable(session).finish(replace(keys, hosted=hosted), for_stock=False, node="node-1")
    names = [f"{each.filename}.keys" for each in hosted]
    for name in names:
        (place.wallets / name).touch(mode=0o600)
    return names


# --- the database itself ---------------------------------------------------------------------------------------------


async def test_healthy_database_has_faults(place: Place, own_database: Database) -> None:
    """A database that is used and in order has nothing wrong with it, but that a server for tests is not durable."""
    await store_cursor(own_database)
    await store_wallets(place, own_database, Vault(key_from_file(place.key, place.data)))
    await store_api_key(own_database)
    report = await place.report()
    assert {each.code for each in report.findings} <= {"database.not_durable"}
    assert report.left_out == ()


async def test_file_is_readable_by_others(place: Place, own_database: Database) -> None:
    """An SQLite file or journal that others may read is told of; a server guards its own files."""
    check = "the database is private"
    if not own_database.is_sqlite:
        assert await place.look(check) == ()
        return
    path = Path(own_database.url.database or "")
    path.chmod(0o644)
    told(await place.look(check), "database.readable_by_others", mend=f"chmod 600 {path}")


async def test_tables_are_of_an_older_version(place: Place, own_database: Database) -> None:
    """A database without our newest tables is told of, and so is one without any: the next start changes it."""
    for change in ("UPDATE alembic_version SET version_num = '0001'", "DELETE FROM alembic_version"):
        await run(own_database, change)
        finding = told(await place.look("the tables are"), "database.older", mend="make a backup")
        assert finding.severity == "warning"


async def test_tables_are_of_a_newer_version(place: Place, own_database: Database) -> None:
    """A database of a newer version is told of, and what would read its tables is left out."""
    await run(own_database, "UPDATE alembic_version SET version_num = '9999'")
    told(await place.look("the tables are"), "database.newer", mend="newer version")
    assert len((await place.report()).left_out) >= 5


async def test_commits_are_not_durable(place: Place, own_database: Database) -> None:
    """A server that may lose commits is told of, by each setting that is off; our SQLite is always durable."""
    found = await place.look("what is committed stays")
    if own_database.is_sqlite:
        assert found == ()
        return
    # The servers of tests run without fsync.
    assert [each.what for each in found if "fsync = off" in each.what]
    name = own_database.url.database
    before = len(found)
    await run(own_database, f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    found = await place.look("what is committed stays")
    assert len(found) == before + 1
    late = [each for each in found if "synchronous_commit = off" in each.what]
    told(late, "database.not_durable", mend="set synchronous_commit = on")


async def test_file_is_damaged(place: Place, own_url: str) -> None:
    """An SQLite file with a page that was overwritten is told of."""
    check = "the database is whole"
    assert await place.look(check) == ()
    url = make_url(own_url)
    if url.get_backend_name() != "sqlite":
        return
    path = Path(url.database or "")
    with closing(sqlite3.connect(path)) as file:
        file.executemany("INSERT INTO nodes VALUES (?, 1)", [(f"node {number}",) for number in range(2000)])
        file.commit()
        (root,) = file.execute("SELECT rootpage FROM sqlite_master WHERE name = 'nodes'").fetchone()
        (size,) = file.execute("PRAGMA page_size").fetchone()
    data = bytearray(path.read_bytes())
    data[(root - 1) * size : (root - 1) * size + 512] = bytes(512)
    path.write_bytes(data)
    told(await place.look(check), "database.damaged", mend="restore the newest backup")


async def test_clocks_differ(place: Place) -> None:
    """Clocks that are more than a minute apart are told of, in both directions."""
    check = "the database has the same time"
    assert await place.look(check) == ()
    for apart in (-90.0, 90.0):
        found = await place.look(check, clock=lambda apart=apart: time.time() + apart)
        told(found, "clock.database", mend="time service")


# --- whose database it is --------------------------------------------------------------------------------------------


async def test_vault_key_is_another_one(place: Place, own_database: Database) -> None:
    """A key that does not open what is stored is told of, by a wallet that it does not open."""
    check = "the vault key opens"
    assert await place.look(check) == ()
    await store_wallets(place, own_database, Vault(bytes(32)))
    finding = told(await place.look(check), "vault.other_key", mend="bring back the key")
    assert WalletRole.BUYER in finding.what or WalletRole.VENDOR in finding.what or WalletRole.ARBITER in finding.what


async def test_salt_of_the_passphrase_is_gone(place: Place, own_database: Database) -> None:
    """A salt that is missing although secrets are stored is told of, and none is made."""
    await store_wallets(place, own_database, Vault(bytes(32)))
    place.key.write_text("a passphrase that is long enough")
    place.write(vault__key_file=None, vault__passphrase_file=str(place.key))
    told(await place.look("the vault key opens"), "vault.salt_missing", mend="from a backup")
    assert not place.key.with_name(f"{place.key.name}.salt").exists()


async def test_chain_begins_with_another_block(place: Place, own_database: Database) -> None:
    """A daemon whose chain has another first block than the one that was looked through is told of."""
    await store_cursor(own_database, genesis="ff" * 32)
    told(await place.look("the chain is the one"), "chain.other_genesis", mend="belongs to the other")


async def test_chain_is_another_one(place: Place, own_database: Database) -> None:
    """A daemon that has another block than the oldest one that is kept is told of."""
    await store_cursor(own_database, oldest=BlockId(900, "ff" * 32))
    told(await place.look("the chain is the one"), "chain.other_blocks", mend="catch up with its peers")


async def test_daemon_has_fewer_blocks(place: Place, own_database: Database, daemon: StubDaemon) -> None:
    """A daemon that has not the blocks that were looked through is told of; one with a reorganised tip is not."""
    await store_cursor(own_database)
    assert await place.look("the chain is the one") == ()
    daemon.info["height"] = 500
    told(await place.look("the chain is the one"), "chain.behind", mend="caught up")


async def test_unreadable_block_is_told_with_height_and_version(
    place: Place, own_database: Database, daemon: StubDaemon
) -> None:
    """The next block is read as the watcher would; one of a form that is not known is told of (E8)."""
    await store_cursor(own_database)
    assert await place.look("the next block") == ()
    daemon.block = bytes([17]) + EMPTY_BLOCK[1:-9] + bytes([99])
    finding = told(await place.look("the next block"), "chain.unreadable", mend="upgrade escrowd")
    assert "block 903 of block version 17" in finding.what


async def test_escrows_are_of_another_network(place: Place, own_database: Database) -> None:
    """A database with escrows of another network is told of."""
    await store_steps(SqlStore(own_database, "node-1"), [first_step()])
    check = "the database is of our network"
    assert await place.look(check) == ()
    place.write(network="stagenet")
    told(await place.look(check), "database.other_network", mend='network = "regtest"')


async def test_wallet_files_are_missing(place: Place, own_database: Database) -> None:
    """A wallet of this node whose keys are not on the disk is told of; those of other nodes are theirs to keep."""
    check = "the wallet files are there"
    names = await store_wallets(place, own_database, Vault(bytes(32)))
    assert await place.look(check) == ()
    for name in names[:2]:
        (place.wallets / name).unlink()
    assert ": 2, " in told(await place.look(check), "wallets.files_missing", mend="escrowd restore").what
    place.write(node="node-2")
    assert await place.look(check) == ()


# --- what waits for somebody -----------------------------------------------------------------------------------------


async def test_held_escrow_is_passed_over(place: Place, own_database: Database) -> None:
    """N11: a held escrow is named with its own reason and with the commands that are possible now."""
    await store_steps(SqlStore(own_database, "node-1"), life(Status.HELD))
    finding = told(await place.look("no escrow is held"), "escrows.held", mend="escrowd escrows show")
    assert "held for wallet_disagrees since it was confirming: the wallet sees nothing" in finding.what
    assert f"then: escrowd escrows resume {escrow_id(1)};" in finding.mend


async def test_held_escrows_that_are_not_listed_are_counted(
    place: Place, own_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many held escrows the oldest are listed, and the others are counted."""
    monkeypatch.setattr(escrows, "LISTED", 0)
    await store_steps(SqlStore(own_database, "node-1"), life(Status.HELD))
    finding = told(
        await place.look("no escrow is held"), "escrows.more_held", mend="escrowd escrows list --status held"
    )
    assert finding.what.endswith(": 1")


async def test_failing_work_is_passed_over(place: Place, own_database: Database) -> None:
    """Work that failed five times or more is told of with its last error, the worst first."""
    async with own_database.transaction() as session:
        rows = [
            {"key": f"escrow:{number}", "kind": "x", "attempt": attempts, "last_error": "no room"}
            for number, attempts in enumerate((4, 5, 9))
        ]
        await session.connection.execute(insert(schema.work), rows)
    finding = told(await place.look("work does not fail"), "work.failing", mend="tried again")
    assert "again: 2;" in finding.what
    assert "escrow:2 failed 9 times" in finding.what
    assert "no room" in finding.what


async def test_stuck_effect_is_passed_over(place: Place, own_database: Database) -> None:
    """An effect that was wanted more than an hour ago and is not done is told of; a fresh one is not."""
    check, store = "effects are carried out", SqlStore(own_database, "node-1")
    fresh = first_step(2)
    now = round(time.time() * 1000)
    await store_steps(store, [replace(fresh, moment=replace(fresh.moment, utc=now))])
    assert await place.look(check) == ()
    await store_steps(store, [first_step()])
    finding = told(await place.look(check), "effects.stuck", mend="service runs")
    assert "carried out: 1," in finding.what
    assert escrow_id(1) in finding.what


async def test_changed_history_is_passed_over(place: Place, own_database: Database) -> None:
    """A history with an entry that does not follow from those before it is told of."""
    check = "histories are as they were"
    await store_steps(SqlStore(own_database, "node-1"), life(Status.FUNDED))
    assert await place.look(check) == ()
    async with own_database.transaction() as session:
        await session.connection.execute(
            text(
                "INSERT INTO log (id, escrow, sequence, version, type, who, at, data, previous_hash, hash) "
                "SELECT 'forged', escrow, sequence + 1, version, type, who, at, data, hash, 'forged' FROM log "
                "ORDER BY sequence DESC LIMIT 1"
            )
        )
    told(await place.look(check), "history.broken", mend="escrowd verify-log")


async def test_api_opens_to_nobody(place: Place, own_database: Database) -> None:
    """Where no key is good, since there is none or all were revoked, that is told of."""
    check = "there is an API key"
    finding = told(await place.look(check), "keys.none", mend="escrowd keys create --scope escrows:read")
    assert finding.severity == "warning"
    await store_api_key(own_database, "key_one")
    assert await place.look(check) == ()
    await run(own_database, "UPDATE api_keys SET revoked_at = 1")
    told(await place.look(check), "keys.none", mend="escrowd keys create")
    await store_api_key(own_database, "key_two")
    assert await place.look(check) == ()
