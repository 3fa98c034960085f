"""``escrowd backup`` and ``escrowd restore``: one file with everything but the vault key, and the way back."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from escrowd.bootstrap import configure_logging
from escrowd.bootstrap.backups import Restored, back_up
from escrowd.bootstrap.backups import restore as restore_backup
from escrowd.cli.serve import ConfigOption
from escrowd.settings.loading import load_settings
from escrowd.store.backups.manifest import Manifest

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write. One that exists is never overwritten.")],
    *,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a backup of everything but the vault key. The service may run meanwhile."""
    configure_logging(level=logging.ERROR, as_json=False)
    settings = load_settings(config)
    manifest = asyncio.run(back_up(settings.database_url, settings.vault(), file))
    _show(_facts_of(manifest) | {"file": str(file), "bytes": file.stat().st_size}, _AFTER_BACKUP, as_json=as_json)


def restore(
    file: Annotated[Path, typer.Argument(help="A file that 'escrowd backup' has written.")],
    *,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    accept_broken_log: Annotated[
        bool, typer.Option("--accept-broken-log", help="Restore histories that do not hold together, too.")
    ] = False,
) -> None:
    """Restore a backup into an empty database and an empty wallet directory. No service may run on them.

    Wallet caches are not restored: wallets make new ones when they are opened first.
    """
    configure_logging(level=logging.ERROR, as_json=False)
    settings = load_settings(config)
    restored = asyncio.run(
        restore_backup(
            settings.database_url,
            settings.vault(),
            settings.wallet_directory,
            file,
            network=settings.model.network,
            accept_broken_log=accept_broken_log,
        )
    )
    _show(_facts_of(restored.manifest) | _facts_of_restored(restored), _AFTER_RESTORE, as_json=as_json)


# ---------------------------------------------------------------------------------------------------------------------

_AFTER_BACKUP: Final = "The vault key is not in it. Keep that elsewhere: without it the backup opens no wallet."
_AFTER_RESTORE: Final = (
    "What happened after the backup was made is not in it. Read docs/backup.md before you start the service: it says "
    "what to tell whom, and what to revoke again."
)


def _facts_of(manifest: Manifest) -> dict[str, object]:
    return {
        "moment": datetime.fromtimestamp(manifest.created_at / 1000, UTC).isoformat(timespec="seconds"),
        "network": manifest.network,
        "blocks": manifest.height,
        "escrows": manifest.escrows,
        "rows": sum(each.rows for each in manifest.tables),
        "escrowd": manifest.escrowd,
        "revision": manifest.revision,
        "dialect": manifest.dialect,
    }


def _facts_of_restored(restored: Restored) -> dict[str, object]:
    return {
        "log_entries": restored.log.entries,
        "log_holds": restored.log.holds,
        "key_files": restored.key_files,
        "woken": restored.second_life.woken,
        "withdrawn": restored.second_life.withdrawn,
    }


def _show(facts: Mapping[str, object], then: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(facts).decode())
        return
    table = Table(show_header=False)
    for name, value in facts.items():
        table.add_row(name.replace("_", " "), _text(value))
    console = Console()
    console.print(table)
    console.print(then)


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {status}" for status, count in sorted(value.items())) or "none"
    return "-" if value is None else str(value)
