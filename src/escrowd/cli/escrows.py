"""``escrowd escrows``: see escrows, and what their operator may say about them."""

from pathlib import Path
from typing import Annotated

import typer

from escrowd.api.showing import link_shown
from escrowd.cli.inspecting import Inspection, inspect
from escrowd.cli.opening import Opened, opened, run_command
from escrowd.cli.options import ConfigOption, EscrowArgument, JsonOption
from escrowd.cli.showing.escrows import escrows_shown, escrows_table, links_table, log_shown, log_table
from escrowd.cli.showing.paper import say, write, write_json
from escrowd.cli.showing.report import report
from escrowd.cli.showing.story import story
from escrowd.domain.access import Party
from escrowd.domain.escrow.facts import EscrowFilter
from escrowd.domain.escrow.history import LogEntry
from escrowd.domain.escrow.status import Status
from escrowd.domain.identifiers import EscrowId, parse_escrow_id
from escrowd.domain.parties import WalletRole
from escrowd.service.front.callers import OPERATOR
from escrowd.service.front.escrows import CallersView
from escrowd.store.store import SqlTransaction
from escrowd.wire.escrows import PartyLinks

escrows_app = typer.Typer(no_args_is_help=True, help="Escrows: see them, and decide about those that need it.")

LimitOption = Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many at most.")]


@escrows_app.command("list")
def list_escrows(
    *,
    statuses: Annotated[
        list[Status] | None, typer.Option("--status", help="Only these. May be given more than once.")
    ] = None,
    reference: Annotated[str | None, typer.Option("--reference", help="Only those of this reference.")] = None,
    before: Annotated[
        str | None, typer.Option("--before", metavar="ESCROW", help="Only those older than this one.")
    ] = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List escrows, the newest first."""
    wanted = EscrowFilter(tuple(statuses or ()), reference)
    views = run_command(_page(config, wanted, before, limit + 1))
    shown, more = views[:limit], len(views) > limit
    if as_json:
        write_json(escrows_shown(shown, more=more))
        return
    write(escrows_table(shown))
    if more:
        say(f"There are more: escrowd escrows list --before {shown[-1].escrow.id}")


@escrows_app.command("show")
def show_escrow(escrow: EscrowArgument, *, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show everything that is known of an escrow, and what the operator may do about it now."""
    found = run_command(_inspection(config, parse_escrow_id(escrow)))
    if as_json:
        write_json(report(found, config))
    else:
        write(story(found, config))


@escrows_app.command("log")
def show_log(
    escrow: EscrowArgument,
    *,
    after: Annotated[int, typer.Option("--after", min=0, help="Only entries with a higher number.")] = 0,
    limit: LimitOption = 1000,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show the history of an escrow, inner events included. Each entry has the hash of the one before it."""
    entries = run_command(_log(config, parse_escrow_id(escrow), after, limit + 1))
    shown, more = entries[:limit], len(entries) > limit
    if as_json:
        write_json(log_shown(shown, more=more))
        return
    write(log_table(shown))
    if more:
        say(f"There is more: escrowd escrows log {escrow} --after {shown[-1].sequence}")


@escrows_app.command("links")
def show_links(
    escrow: EscrowArgument,
    *,
    rotate: Annotated[
        WalletRole | None, typer.Option("--rotate", help="Make the link of this role worthless, and a new one.")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show the links of the parties. Each is a secret of its party: it can do what that role may do."""
    links = run_command(_links(config, parse_escrow_id(escrow), rotate))
    if as_json:
        write_json(links)
    else:
        write(links_table(links.items))


# ---------------------------------------------------------------------------------------------------------------------


async def _page(config: Path | None, wanted: EscrowFilter, before: str | None, limit: int) -> tuple[CallersView, ...]:
    async with opened(config) as work, work.store.reading() as tx:
        place = None
        if before is not None:
            last = await tx.escrows.load(parse_escrow_id(before))
            place = last.created_at, last.id
        return await work.desk.page(tx, OPERATOR, wanted, place, limit)


async def _inspection(config: Path | None, escrow: EscrowId) -> Inspection:
    async with opened(config) as work:
        return await inspect(work, escrow)


async def _log(config: Path | None, escrow: EscrowId, after: int, limit: int) -> tuple[LogEntry, ...]:
    async with opened(config) as work, work.store.reading() as tx:
        await work.desk.see(tx, OPERATOR, escrow)
        return await tx.escrows.log(escrow, after, limit)


async def _links(config: Path | None, escrow: EscrowId, rotate: WalletRole | None) -> PartyLinks:
    async with opened(config) as work:
        if rotate is None:
            async with work.store.reading() as tx:
                return await _links_of(work, tx, escrow)
        async with work.store.transaction() as tx:
            await tx.escrows.load(escrow)
            await work.callers().replace_link(tx, Party(escrow, rotate))
            await tx.audit.note(OPERATOR.name, f"rotate link of the {rotate}", escrow)
            return await _links_of(work, tx, escrow)


async def _links_of(work: Opened, tx: SqlTransaction, escrow: EscrowId) -> PartyLinks:
    await tx.escrows.load(escrow)
    callers, url = work.callers(), work.settings.public_url
    parties = [Party(escrow, role) for role in WalletRole]
    return PartyLinks(items=tuple([link_shown(url, each, await callers.link(tx, each)) for each in parties]))
