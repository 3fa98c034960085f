"""No changed backup is used: each byte of it is what was written, or it is refused before anything is done."""

import gzip
import random
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from escrowd.store.backups.archive import Archive, Spool, file_of, write_archive
from escrowd.store.backups.errors import BackupDamaged, BackupError, BackupUnreadable, OtherVaultKey
from escrowd.store.backups.manifest import Manifest, seal, written
from escrowd.store.backups.restoring import restoration
from escrowd.store.backups.taking import take_backup
from escrowd.store.database import Database
from escrowd.store.errors import WrongSchema
from escrowd.store.migrating import migrate
from escrowd.wallets.vault import KEY_BYTES, Vault
from tests.contract.backups.contents import fill
from tests.contract.conftest import sqlite_url

KEY = bytes(range(KEY_BYTES))
BLOCK = 512


@dataclass(frozen=True)
class Backup:
    """A backup as it was written."""

    path: Path
    manifest: Manifest

    @property
    def whole(self) -> bytes:
        return self.path.read_bytes()

    def lines(self, table: str) -> list[bytes]:
        with Archive(self.path, KEY) as archive:
            return list(archive.lines(next(each for each in self.manifest.tables if each.name == table)))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def backup(tmp_path_factory: pytest.TempPathFactory) -> Backup:
    """Write a backup of a database with something of everything in it."""
    directory = tmp_path_factory.mktemp("backup")
    async with Database(sqlite_url(directory / "escrowd.sqlite")) as database:
        await migrate(database)
        await fill(database, Vault(KEY))
        return Backup(directory / "backup.tar", await take_backup(database, directory / "backup.tar", KEY))


def refused(content: bytes, path: Path, key: bytes = KEY) -> BackupError:
    """Return why a file with this content is refused."""
    path.write_bytes(content)
    with pytest.raises(BackupError) as caught:
        Archive(path, key)
    assert isinstance(caught.value, BackupDamaged | BackupUnreadable | OtherVaultKey)
    return caught.value


def test_changed_byte_is_passed_over(backup: Backup, tmp_path: Path) -> None:
    """A byte that was changed is noticed, wherever it is: in headers, the manifest, the seal, rows or padding."""
    whole, chance = backup.whole, random.Random(1)
    headers = [
        0,
        *(position for position in range(0, len(whole), BLOCK) if whole[position : position + 7] == b"tables/"),
    ]
    positions = {*range(BLOCK), *(each + chance.randrange(BLOCK) for each in headers for _ in range(10))}
    positions |= {chance.randrange(len(whole)) for _ in range(1500)}
    for position in sorted(positions):
        changed = bytearray(whole)
        changed[position] ^= 1 << chance.randrange(8)
        assert str(refused(bytes(changed), tmp_path / "changed.tar")), position
    assert len(positions) > 2000


def test_cut_or_longer_file_is_taken_for_whole(backup: Backup, tmp_path: Path) -> None:
    """A file that was cut off anywhere is refused, and so is one with something behind its end."""
    whole, chance = backup.whole, random.Random(2)
    lengths = {0, 1, BLOCK, len(whole) - 1, len(whole) - BLOCK, len(whole) - 2 * BLOCK}
    for length in sorted(lengths | {chance.randrange(len(whole)) for _ in range(300)}):
        refused(whole[:length], tmp_path / "cut.tar")
    for more in (b"\0", bytes(BLOCK), b"more"):
        assert "end" in str(refused(whole + more, tmp_path / "longer.tar"))


def _flip(rows: list[bytes]) -> list[bytes]:
    return [rows[0].replace(b"buyer", b"venda", 1) if b"buyer" in rows[0] else rows[0][:-2] + b'x"}', *rows[1:]]


@pytest.mark.parametrize("table", ["log", "escrows", "wallets", "payouts", "key_images"])
@pytest.mark.parametrize(
    "change",
    [_flip, lambda rows: rows[1:], lambda rows: [*rows, rows[-1]], lambda rows: rows[::-1] + rows[:0]],
    ids=["changed", "removed", "repeated", "turned round"],
)
def test_table_made_anew_is_believed(
    backup: Backup, tmp_path: Path, table: str, change: Callable[[list[bytes]], list[bytes]]
) -> None:
    """Whoever writes a whole archive anew, with rows and sums of his own, lacks the key for its seal."""
    spools, entries = [], []
    for entry in backup.manifest.tables:
        rows = backup.lines(entry.name)
        spool = Spool(entry.name, tmp_path)
        spool.write(
            change(rows) if entry.name == table and len(rows) > 1 else _flip(rows) if entry.name == table else rows
        )
        entries.append(spool.finish())
        spools.append(spool)
    forged = msgspec.structs.replace(backup.manifest, tables=tuple(entries))
    assert forged != backup.manifest
    write_archive(tmp_path / "forged.tar", forged, spools, bytes(KEY_BYTES))
    for each in spools:
        each.close()
    assert isinstance(refused((tmp_path / "forged.tar").read_bytes(), tmp_path / "copy.tar"), BackupDamaged)


def test_manifest_of_another_backup_is_believed(backup: Backup, tmp_path: Path) -> None:
    """A seal is for one manifest: on another one it is refused, and a key's name does not help."""
    whole = backup.whole
    text = written(backup.manifest)
    for changed in (
        msgspec.structs.replace(backup.manifest, created_at=0),
        msgspec.structs.replace(backup.manifest, escrows={}),
        msgspec.structs.replace(backup.manifest, tables=()),
    ):
        other = written(changed)[: len(text)].ljust(len(text), b" ")
        assert isinstance(refused(whole.replace(text, other), tmp_path / "a.tar"), BackupDamaged | BackupUnreadable)
    named = text.replace(backup.manifest.key_name.encode(), b"0" * 16)
    assert isinstance(refused(whole.replace(text, named), tmp_path / "b.tar"), OtherVaultKey)
    assert isinstance(refused(whole, tmp_path / "c.tar", bytes(KEY_BYTES)), OtherVaultKey)


def test_unknown_form_is_guessed(backup: Backup, tmp_path: Path) -> None:
    """A backup of a later form is refused by its number, and what is no backup at all by what it is not."""
    text = written(backup.manifest)
    later = text.replace(b'"format": 1', b'"format": 9')
    content = backup.whole.replace(text, later).replace(seal(text, KEY), seal(later, KEY))
    assert "form 9" in str(refused(content, tmp_path / "later.tar"))
    for other in (b"", b"no backup", gzip.compress(b"no backup"), bytes(10 * BLOCK)):
        assert "no backup of escrowd" in str(refused(other, tmp_path / "other.tar"))
    with pytest.raises(BackupUnreadable, match=r"nowhere\.tar"):
        Archive(tmp_path / "nowhere.tar", KEY)


async def test_damaged_backup_is_restored_in_part(backup: Backup, tmp_path: Path) -> None:
    """Where the last row of the last table is damaged, no table comes to be."""
    path, target = tmp_path / "damaged.tar", sqlite_url(tmp_path / "target.sqlite")
    content = bytearray(backup.whole)
    content[-3 * BLOCK] ^= 1
    path.write_bytes(content)
    async with Database(target) as database:
        with pytest.raises(BackupDamaged):
            async with restoration(database, path, KEY):
                pass
    assert (tmp_path / "target.sqlite").stat().st_size == 0, "not even a schema"


async def test_backup_of_a_newer_version_is_restored(backup: Backup, tmp_path: Path) -> None:
    """A backup with a revision that nobody knows yet is refused, and the error says which version is wanted."""
    spools = []
    for entry in backup.manifest.tables:
        spools.append(Spool(entry.name, tmp_path))
        spools[-1].write(backup.lines(entry.name))
        spools[-1].finish()
    newer = msgspec.structs.replace(backup.manifest, revision="9999", escrowd="9.0")
    write_archive(tmp_path / "newer.tar", newer, spools, KEY)
    for each in spools:
        each.close()
    async with Database(sqlite_url(tmp_path / "target.sqlite")) as database:
        with pytest.raises(WrongSchema, match=r"9\.0"):
            async with restoration(database, tmp_path / "newer.tar", KEY):
                pass


def test_archive_is_no_tar(backup: Backup, tmp_path: Path) -> None:
    """``tar`` lists the archive, and each table is a compressed file of JSON lines."""
    with tarfile.open(backup.path) as archive:
        names = archive.getnames()
        log = archive.extractfile("tables/log.jsonl.gz")
        assert log is not None
        rows = [msgspec.json.decode(line) for line in gzip.decompress(log.read()).splitlines()]
    assert names == ["manifest.json", "manifest.seal", *map(file_of, backup.manifest.tables)]
    assert [row["cursor"] for row in rows] == sorted(row["cursor"] for row in rows)
    assert len(rows) == next(each.rows for each in backup.manifest.tables if each.name == "log")
