"""``escrowd doctor``: looks at what is around the service, and says how to mend what is wrong."""

import logging
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from escrowd.bootstrap import configure_logging
from escrowd.cli.interruption import run_until_interrupted
from escrowd.cli.serve import ConfigOption
from escrowd.doctor.examine import Report, examine
from escrowd.settings.loading import load_settings


def doctor(
    *,
    config: ConfigOption = None,
    show_settings: Annotated[
        bool, typer.Option("--show-settings", help="Show all settings and where each comes from, and check nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of lines.")] = False,
) -> None:
    """Check what is around the service: one line for each fault and how to mend it; exit 1 where there is one.

    Changes nothing, and takes some seconds. Run it as the user of the service.
    """
    # The finding tells of what went wrong; the log would tell it twice.
    configure_logging(level=logging.CRITICAL, as_json=as_json)
    if show_settings:
        _show_settings(config, as_json=as_json)
        return
    report = run_until_interrupted(examine(config), lambda: None)
    typer.echo(msgspec.json.encode(report).decode() if as_json else _lines(report))
    raise typer.Exit(1 if report.has_faults else 0)


# ---------------------------------------------------------------------------------------------------------------------


def _lines(report: Report) -> str:
    lines = [f"{each.severity} {each.code}: {each.what}. To mend it: {each.mend}." for each in report.findings]
    if report.left_out:
        lines.append(f"{len(report.left_out)} checks need what is named above, and were left out.")
    return "\n".join(lines) or "nothing is wrong"


def _show_settings(config: Path | None, *, as_json: bool) -> None:
    shown = tuple(load_settings(config).shown())
    if as_json:
        typer.echo(msgspec.json.encode(shown).decode())
        return
    # Not cut to the width of a terminal: these lines are looked through with grep.
    name, value = (max(len(getattr(each, column)) for each in shown) for column in ("name", "value"))
    typer.echo("\n".join(f"{each.name:{name}}  {each.value:{value}}  {each.origin}" for each in shown))
