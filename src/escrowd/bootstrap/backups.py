"""Backup, restore and the check of the log, over database, vault and wallet directory."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from escrowd.domain.keying import keys_purpose
from escrowd.domain.networks import Network
from escrowd.store.backups.errors import BackupError
from escrowd.store.backups.manifest import SEAL_PURPOSE, Manifest
from escrowd.store.backups.restoring import Restoration, SealedKeys, restoration
from escrowd.store.backups.second_life import SecondLife
from escrowd.store.backups.taking import take_backup
from escrowd.store.database import Database
from escrowd.store.errors import WrongSchema
from escrowd.store.heads import HEADS_PURPOSE, read_heads, write_heads
from escrowd.store.verifying import LogReport, verify_log
from escrowd.wallets.key_files import RestoredKeyFiles
from escrowd.wallets.vault import Vault


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore has done."""

    manifest: Manifest
    log: LogReport
    second_life: SecondLife
    #: Key files that were written.
    key_files: int


async def back_up(database_url: str, vault: Vault, path: Path) -> Manifest:
    """Write a backup of a database, also of one that a service works on. Raises as ``take_backup``, and WrongSchema."""
    async with _existing(database_url) as database:
        return await take_backup(database, path, vault.derived_key(SEAL_PURPOSE))


async def restore(
    database_url: str,
    vault: Vault,
    wallet_directory: Path,
    path: Path,
    *,
    network: Network | None = None,
    accept_broken_log: bool = False,
) -> Restored:
    """Restore a backup into an empty database and a wallet directory, both or neither.

    The key files are written before the database is committed. If the machine stops in between, the database is empty
    still, and the same call takes the key files that it finds for its own. With ``network``, a backup with escrows of
    another network is refused.

    Raises:
        BackupError: the backup is not to be used, is of another network, or the database is not empty.
        KeyFilesRefused: the wallet directory holds files of the same wallets.
        NotUnsealable: a key file does not open with this vault key.
        WrongSchema: the backup was made by a newer version of the program.
        DatabaseUnavailable: the database did not answer.

    """
    key = vault.derived_key(SEAL_PURPOSE)
    async with Database(database_url) as database:
        with RestoredKeyFiles(wallet_directory) as files:
            async with restoration(database, path, key, accept_broken_log=accept_broken_log) as restored:
                _check_network(restored.manifest, network)
                key_files = await _write_key_files(restored, files, vault)
    return Restored(restored.manifest, restored.log, restored.second_life, key_files)


async def check_log(
    database_url: str, vault: Vault, *, head: Path | None = None, new_head: Path | None = None
) -> LogReport:
    """Look through the histories of all escrows, and compare them with the heads in a file.

    The present heads are written to the file ``new_head``, if all histories hold together.

    Raises:
        HeadsRefused: a file of heads cannot be used or written.
        WrongSchema: there is no database.
        DatabaseUnavailable: it did not answer.

    """
    key = vault.derived_key(HEADS_PURPOSE)
    heads = None if head is None else await asyncio.to_thread(read_heads, head, key)
    async with _existing(database_url) as database:
        report = await verify_log(database, heads)
    if new_head is not None and report.holds:
        await asyncio.to_thread(write_heads, new_head, report.heads, key)
    return report


# ---------------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _existing(url: str) -> AsyncIterator[Database]:
    """Open a database that is there. SQLite would make a file that is not."""
    database = Database(url)
    file = Path(database.url.database or "")
    if database.is_sqlite and not await asyncio.to_thread(file.is_file):
        raise WrongSchema(f"there is no database {file}; is database.url, or data_directory, set as for the service?")
    async with database:
        yield database


def _check_network(manifest: Manifest, network: Network | None) -> None:
    if network is not None and manifest.network not in (None, network):
        raise BackupError(
            f"the escrows of the backup are of {manifest.network}, and the settings are for {network}: "
            "set network to that of the backup"
        )


async def _write_key_files(restored: Restoration, files: RestoredKeyFiles, vault: Vault) -> int:
    written = 0
    async for some in restored.sealed_keys():
        written += await asyncio.to_thread(_write_some, some, files, vault)
    await asyncio.to_thread(files.force)
    return written


def _write_some(some: Sequence[SealedKeys], files: RestoredKeyFiles, vault: Vault) -> int:
    return sum(
        files.write(
            each.filename, vault.unseal_bytes(each.sealed_keys, keys_purpose(each.filename)), each.sealed_password
        )
        for each in some
    )
