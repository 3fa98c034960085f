"""``escrowd verify-log``: whether the histories of all escrows hold together."""

import asyncio
import logging
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from escrowd.bootstrap import configure_logging
from escrowd.bootstrap.backups import check_log
from escrowd.cli.backup import JsonOption
from escrowd.cli.serve import ConfigOption
from escrowd.settings.loading import load_settings
from escrowd.store.verifying import LogReport


def verify_log(
    *,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    head: Annotated[
        Path | None, typer.Option("--head", help="Compare with the ends of the histories in this file.")
    ] = None,
    new_head: Annotated[
        Path | None, typer.Option("--new-head", help="Write the present ends of the histories to this new file.")
    ] = None,
) -> None:
    """Look through the histories of all escrows; exit 1 where one does not hold together. The service may run."""
    configure_logging(level=logging.ERROR, as_json=False)
    settings = load_settings(config)
    report = asyncio.run(check_log(settings.database_url, settings.vault(), head=head, new_head=new_head))
    if as_json:
        typer.echo(_as_json(report))
    else:
        _show(report)
    raise typer.Exit(0 if report.holds else 1)


# ---------------------------------------------------------------------------------------------------------------------


def _as_json(report: LogReport) -> str:
    shown = {"escrows": report.escrows, "entries": report.entries, "broken": report.broken}
    return msgspec.json.encode(shown).decode()


def _show(report: LogReport) -> None:
    console = Console()
    if report.broken:
        table = Table("escrow", "entry", "what")
        for each in report.broken:
            table.add_row(each.escrow, str(each.sequence), each.what)
        console.print(table)
    console.print(
        f"{report.escrows} escrows with {report.entries} entries: "
        + ("all hold together" if report.holds else f"{len(report.broken)} places do not hold together")
    )
