"""A backup comes back as it was, from and into either database, and what would be wrong by now is changed."""

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select, text

from escrowd.bootstrap.backups import back_up, restore
from escrowd.domain.escrow.status import Status
from escrowd.domain.keying import StaleAttempt
from escrowd.store import schema
from escrowd.store.backups import taking
from escrowd.store.backups.archive import Spool, write_archive
from escrowd.store.backups.errors import BackupExists, BackupNotWritten, LogBroken, NotEmpty, OtherVaultKey
from escrowd.store.backups.manifest import SEAL_PURPOSE
from escrowd.store.backups.second_life import SKIPPED
from escrowd.store.backups.tables import tables_of
from escrowd.store.database import Database
from escrowd.store.errors import StoreError, WrongSchema
from escrowd.store.keys import KeySetTable
from escrowd.store.migrating import bring_to, head_revision, revision_of
from escrowd.store.store import SqlStore, SqlWorkQueue
from escrowd.store.verifying import verify_log
from escrowd.wallets.errors import NotUnsealable
from escrowd.wallets.key_files import KeyFilesRefused
from escrowd.wallets.records import password_purpose
from escrowd.wallets.vault import KEY_BYTES, Vault
from tests.contract.backups.contents import CHANGED, NODE, SECRETS, VAULT, Original, fill, life_of, rows_of_all
from tests.contract.conftest import sqlite_url
from tests.contract.store.samples import escrow_id, first_step, keys_ready, store_steps


async def scalars(database: Database, query: Any) -> list[Any]:
    async with database.reading() as session:
        return list((await session.connection.execute(query)).scalars())


async def test_backup_comes_back_changed(original: Original, target_url: str, vault: Vault, tmp_path: Path) -> None:
    """From either database into either, every row of every table comes back as it was, and every key file."""
    wallets, before, manifest = tmp_path / "wallets", original.rows, original.manifest
    assert {name for name, rows in before.items() if not rows} == set(), "something of everything"
    restored = await restore(target_url, vault, wallets, original.backup)
    async with Database(target_url) as target:
        after = await rows_of_all(target)
    assert {name: rows for name, rows in after.items() if name not in CHANGED} == {
        name: rows for name, rows in before.items() if name not in CHANGED
    }
    assert {each.name: each.rows for each in manifest.tables} == {name: len(rows) for name, rows in before.items()}
    assert restored.log.holds
    assert (restored.log.escrows, manifest.escrows) == (len(Status), dict.fromkeys(map(str, Status), 1))
    assert (manifest.network, manifest.genesis, manifest.height) == ("regtest", "genesis", 101)
    assert {path.name: path.read_bytes() for path in wallets.glob("*.keys")} == original.contents.key_files
    for path in wallets.glob("*.password"):
        purpose = password_purpose(path.name.removesuffix(".password"))
        assert vault.unseal(path.read_text(), purpose).reveal() == SECRETS[0]
    assert len(list(wallets.iterdir())) == 2 * restored.key_files, "each with its sealed password, and no cache"
    assert {path.stat().st_mode & 0o777 for path in wallets.iterdir()} == {0o600}
    assert wallets.stat().st_mode & 0o777 == 0o700


async def test_second_life_believes_in_the_first(
    of_sqlite: Original, target_url: str, vault: Vault, tmp_path: Path
) -> None:
    """Nobody holds a lease, all escrows are due, no set is in stock, no time has passed, and numbers are new ones."""
    restored = await restore(target_url, vault, tmp_path / "wallets", of_sqlite.backup)
    assert (restored.second_life.woken, restored.second_life.withdrawn) == (len(Status), 1)
    async with Database(target_url) as target:
        work = schema.work.c
        assert set(await scalars(target, select(work.owner))) == {None}
        claimed = await SqlWorkQueue(target, "another node").claim(frozenset(), 100, 60)
        assert {each.key for each in claimed} == {f"escrow:{escrow_id(n)}" for n in range(1, len(Status) + 1)}
        assert max(each.fence for each in claimed) == 2, "higher than that of the first life"
        assert await scalars(target, select(schema.nodes.c.node)) == []
        async with target.transaction() as session:
            with pytest.raises(StaleAttempt):
                await KeySetTable(session).fail(of_sqlite.contents.taken, "it is somebody's")
        async with SqlStore(target, NODE).transaction() as tx:
            assert (await tx.provide()).wallets is None
            assert (await tx.clock.now()).running == 5000
            assert (await tx.clock.beat(counts=True)).running == 5000
        last = max(await scalars(target, select(schema.log.c.cursor)))
        await store_steps(SqlStore(target, NODE), [first_step(70)])
        assert max(await scalars(target, select(schema.log.c.cursor))) == last + SKIPPED + 1
    # What is append-only is so in the restored database, too.
    for statement in ("UPDATE log SET data = '{}'", "DELETE FROM audit"):
        async with Database(target_url) as target:
            with pytest.raises(StoreError, match="append-only"):
                async with target.transaction() as session:
                    await session.connection.execute(text(statement))


async def test_backup_shows_two_moments(
    own_database: Database,
    own_url: str,
    sqlite_target: str,
    vault: Vault,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While the service stores a step between any two tables, the backup shows the moment at which it began."""
    store, fill, stored = SqlStore(own_database, NODE), taking._fill, 0

    async def fill_while_others_write(*arguments: Any) -> Any:
        nonlocal stored
        stored += 1
        first = first_step(100 + stored)
        await store_steps(store, [first, keys_ready(first.after)])
        return await fill(*arguments)

    await store_steps(store, life_of(1, Status.PAYING))
    before = await rows_of_all(own_database)
    monkeypatch.setattr(taking, "_fill", fill_while_others_write)
    await back_up(own_url, vault, tmp_path / "backup.tar")
    assert stored == len(before)
    restored = await restore(sqlite_target, vault, tmp_path / "wallets", tmp_path / "backup.tar")
    assert restored.log.escrows == 1
    assert restored.log.holds, "escrows and histories are of one moment"
    assert (await verify_log(own_database)).escrows == 1 + stored


async def written_by_an_older_version(original: Original, directory: Path) -> Path:
    """Write a backup as the program wrote it when it had the first schema."""
    key, entries, spools = VAULT.derived_key(SEAL_PURPOSE), [], []
    async with Database(sqlite_url(directory / "older.sqlite")) as older, older.transaction() as session:
        await bring_to(session, "0001")
        tables = await tables_of(session)
    for table in tables:
        spool, names = Spool(str(table.name), directory), table.columns.keys()
        rows = [msgspec.json.decode(line) for line in original.rows[table.name]]
        spool.write([msgspec.json.encode({name: row[name] for name in names}) for row in rows])
        entries.append(spool.finish())
        spools.append(spool)
    manifest = msgspec.structs.replace(original.manifest, revision="0001", tables=tuple(entries))
    write_archive(directory / "older.tar", manifest, spools, key)
    for each in spools:
        each.close()
    return directory / "older.tar"


async def test_old_backup_is_of_no_use_to_a_new_version(
    of_sqlite: Original, target_url: str, vault: Vault, tmp_path: Path
) -> None:
    """A backup of an older schema is restored into the tables of its time, and those are brought up to date."""
    older = await written_by_an_older_version(of_sqlite, tmp_path)
    restored = await restore(target_url, vault, tmp_path / "wallets", older)
    assert (restored.log.holds, restored.log.escrows, restored.key_files) == (True, len(Status), 6)
    async with Database(target_url) as target:
        after = await rows_of_all(target)
        async with target.reading() as session:
            assert await revision_of(session) == head_revision() != "0001"
        await store_steps(SqlStore(target, NODE), [first_step(70)])
        assert (await verify_log(target)).holds
    assert after["escrows"] == of_sqlite.rows["escrows"]
    assert [msgspec.json.decode(row)["hash"] for row in after["log"]] == [
        msgspec.json.decode(row)["hash"] for row in of_sqlite.rows["log"]
    ]
    assert after["api_keys"] == [], "there were none at that time"


# --- what is refused --------------------------------------------------------------------------------------------------


async def test_secret_stands_in_a_backup(original: Original, vault: Vault) -> None:
    """Passwords, view keys, key files and the vault key are in no backup but under seal."""
    backup = original.backup
    assert backup.stat().st_mode & 0o777 == 0o600
    unpacked = backup.read_bytes() + b"".join(line for rows in original.rows.values() for line in rows)
    for secret in (
        *SECRETS,
        vault._key.hex(),
        vault._key.decode("latin-1"),
        vault.derived_key("seal of backups").hex(),
    ):
        assert secret.encode() not in unpacked
    assert hashlib.sha256(vault._key).hexdigest().encode() not in unpacked


async def test_other_vault_key_restores(of_sqlite: Original, sqlite_target: str, vault: Vault, tmp_path: Path) -> None:
    """With another vault key nothing is written, and the error says which key is wanted."""
    with pytest.raises(OtherVaultKey, match="another vault key"):
        await restore(sqlite_target, Vault(bytes(KEY_BYTES)), tmp_path / "wallets", of_sqlite.backup)
    assert list((tmp_path / "wallets").iterdir()) == []
    async with Database(sqlite_target) as target:
        assert await rows_of_all(target) == {}


async def test_database_in_use_is_overwritten(
    of_sqlite: Original, target_url: str, vault: Vault, tmp_path: Path
) -> None:
    """Into a database that holds anything nothing is restored; it stays as it is."""
    await restore(target_url, vault, tmp_path / "wallets", of_sqlite.backup)
    async with Database(target_url) as target:
        before = await rows_of_all(target)
        with pytest.raises(NotEmpty, match="empty one only"):
            await restore(target_url, vault, tmp_path / "wallets", of_sqlite.backup)
        assert await rows_of_all(target) == before
    assert len(list((tmp_path / "wallets").glob("*.keys"))) == 6


@pytest.mark.parametrize(("suffix", "why"), [(".keys", "another file"), ("", "nonces")])
async def test_wallet_of_an_earlier_life_is_used(
    of_sqlite: Original, target_url: str, vault: Vault, tmp_path: Path, suffix: str, why: str
) -> None:
    """Where another key file or a cache of a wallet lies, nothing is restored: no row, no key file."""
    there = tmp_path / "wallets" / f"{of_sqlite.contents.in_stock}-vendor{suffix}"
    there.parent.mkdir()
    there.write_bytes(b"of an earlier life")
    with pytest.raises(KeyFilesRefused, match=why):
        await restore(target_url, vault, there.parent, of_sqlite.backup)
    assert [path.name for path in there.parent.iterdir()] == [there.name]
    assert there.read_bytes() == b"of an earlier life"
    async with Database(target_url) as target:
        assert await rows_of_all(target) == {}


async def test_interrupted_restore_cannot_be_repeated(
    of_sqlite: Original, target_url: str, vault: Vault, tmp_path: Path
) -> None:
    """Key files of a restore that was interrupted before its end are taken for what they are by the next one."""
    name, content = next(iter(of_sqlite.contents.key_files.items()))
    (tmp_path / "wallets").mkdir()
    (tmp_path / "wallets" / name).write_bytes(content)
    restored = await restore(target_url, vault, tmp_path / "wallets", of_sqlite.backup)
    assert restored.key_files == len(of_sqlite.contents.key_files) - 1
    there = {path.name: path.read_bytes() for path in (tmp_path / "wallets").glob("*.keys")}
    assert there == of_sqlite.contents.key_files


async def test_seal_of_another_key_is_restored(
    own_database: Database, own_url: str, sqlite_target: str, vault: Vault, tmp_path: Path
) -> None:
    """Where a key file does not open, nothing at all is restored."""
    await fill(own_database, Vault(bytes(KEY_BYTES)))
    await back_up(own_url, vault, tmp_path / "backup.tar")
    with pytest.raises(NotUnsealable):
        await restore(sqlite_target, vault, tmp_path / "wallets", tmp_path / "backup.tar")
    assert list((tmp_path / "wallets").iterdir()) == []
    async with Database(sqlite_target) as target:
        assert await rows_of_all(target) == {}


async def test_broken_history_comes_back_unnoticed(
    own_database: Database, own_url: str, sqlite_target: str, vault: Vault, tmp_path: Path
) -> None:
    """A history that was broken when the backup was made is restored only by who says so."""
    await store_steps(SqlStore(own_database, NODE), life_of(1, Status.PAYING))
    async with own_database.transaction() as session:
        trigger = "log_refuses_update" if own_database.is_sqlite else "log_refuses_changes ON log"
        await session.connection.execute(text(f"DROP TRIGGER {trigger}"))
        await session.connection.execute(text("UPDATE log SET who = 'arbiter' WHERE sequence = 3"))
    await back_up(own_url, vault, tmp_path / "backup.tar")
    with pytest.raises(LogBroken, match="accept-broken-log"):
        await restore(sqlite_target, vault, tmp_path / "wallets", tmp_path / "backup.tar")
    restored = await restore(
        sqlite_target, vault, tmp_path / "wallets", tmp_path / "backup.tar", accept_broken_log=True
    )
    assert [each.sequence for each in restored.log.broken] == [3]


async def test_backup_is_overwritten(of_sqlite: Original, vault: Vault, tmp_path: Path) -> None:
    """A backup is written under a new name only, and leaves nothing half-written behind."""
    url, backup = of_sqlite.url, tmp_path / "there" / "backup.tar"
    with pytest.raises(BackupNotWritten, match="no directory"):
        await back_up(url, vault, backup)
    backup.parent.mkdir()
    backup.write_bytes(b"precious")
    with pytest.raises(BackupExists, match="never overwritten"):
        await back_up(url, vault, backup)
    assert backup.read_bytes() == b"precious"
    backup.unlink()
    partial = backup.with_name("backup.tar.partial")
    partial.touch()
    with pytest.raises(BackupExists, match="interrupted"):
        await back_up(url, vault, backup)
    partial.unlink()
    await back_up(url, vault, backup)
    assert [path.name for path in backup.parent.iterdir()] == ["backup.tar"]


async def test_backup_of_nothing_is_made(empty_url: str, vault: Vault, tmp_path: Path) -> None:
    """Where there is no database of this version, there is no backup, and no database comes to be."""
    async with Database(empty_url) as database:
        if database.is_sqlite:
            Path(str(database.url.database)).unlink()
    with pytest.raises(WrongSchema):
        await back_up(empty_url, vault, tmp_path / "backup.tar")
    assert [path.name for path in tmp_path.iterdir()] == []


async def test_backup_of_another_revision_is_made(
    own_database: Database, own_url: str, vault: Vault, tmp_path: Path
) -> None:
    """A database of another version is backed up by that version."""
    async with own_database.transaction() as session:
        await session.connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(WrongSchema, match="9999"):
        await back_up(own_url, vault, tmp_path / "backup.tar")
    assert not (tmp_path / "backup.tar").exists()
