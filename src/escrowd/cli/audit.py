"""``escrowd audit``: who did what."""

from pathlib import Path
from typing import Annotated

import typer

from escrowd.cli.opening import opened, run_command
from escrowd.cli.options import ConfigOption, JsonOption
from escrowd.cli.showing.audit import audit_shown, audit_table
from escrowd.cli.showing.paper import write, write_json
from escrowd.domain.access import AuditEntry

audit_app = typer.Typer(no_args_is_help=True, help="Who did what: callers of the API, parties, and these commands.")


@audit_app.callback()
def audit() -> None:
    """Who did what: callers of the API, parties, and these commands."""


@audit_app.command("list")
def list_audit(
    *,
    subject: Annotated[
        str | None, typer.Option("--subject", help="Only what was done to this escrow, key or endpoint, by its id.")
    ] = None,
    after: Annotated[
        int | None, typer.Option("--after", min=0, help="From the entry behind this number on; else the last ones.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many at most.")] = 50,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List who did what, in order."""
    entries = run_command(_entries(config, subject, after, limit))
    if as_json:
        write_json(audit_shown(entries, after or 0))
    else:
        write(audit_table(entries))


# ---------------------------------------------------------------------------------------------------------------------


async def _entries(config: Path | None, subject: str | None, after: int | None, limit: int) -> tuple[AuditEntry, ...]:
    async with opened(config) as work, work.store.reading() as tx:
        if after is None:
            return await tx.audit.latest(limit, subject)
        return await tx.audit.entries(after, limit, subject)
