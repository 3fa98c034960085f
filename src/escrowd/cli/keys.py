"""``escrowd keys``: who may use the API."""

from pathlib import Path
from typing import Annotated

import typer

from escrowd.cli.opening import opened, run_command
from escrowd.cli.options import ConfigOption, JsonOption
from escrowd.cli.showing.keys import ShownKeys, key_shown, key_table, new_key_shown
from escrowd.cli.showing.paper import say, write, write_json, write_text
from escrowd.domain.access import ApiKeyRecord, Scope
from escrowd.service.front.callers import REMEMBERED, NewKey

keys_app = typer.Typer(no_args_is_help=True, help="API keys: make, list and revoke them.")


@keys_app.command("create")
def create_key(
    *,
    scopes: Annotated[list[Scope], typer.Option("--scope", help="What the key opens. May be given more than once.")],
    name: Annotated[str, typer.Option("--name", help="What it is for, to tell keys apart.")] = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Make an API key and print it, this once: only its HMAC is stored. Works before the first serve, too.

    Nothing but the key goes to standard output, so that KEY=$(escrowd keys create --scope escrows:write) takes it.
    """
    made = run_command(_create(config, name, scopes))
    if as_json:
        write_json(new_key_shown(made.record, made.text.reveal()))
        return
    write_text(made.text.reveal())
    opens = ", ".join(sorted(made.record.scopes))
    say(f"This key ({made.record.id}) opens {opens}. It is shown this once: keep it now.")


@keys_app.command("list")
def list_keys(*, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """List all API keys, those that were revoked too."""
    records = run_command(_all(config))
    if as_json:
        write_json(ShownKeys([key_shown(each) for each in records]))
    else:
        write(key_table(records))


@keys_app.command("revoke")
def revoke_key(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The id of the key: key_… up to the point.")],
    *,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Let an API key open nothing any more. A service that runs hears of it within seconds."""
    record = run_command(_revoke(config, key))
    if as_json:
        write_json(key_shown(record))
    else:
        write(key_table([record]))
        say(f"It opens nothing any more; a service that has just seen it believes it for up to {REMEMBERED:g} s.")


# ---------------------------------------------------------------------------------------------------------------------


async def _create(config: Path | None, name: str, scopes: list[Scope]) -> NewKey:
    async with opened(config, may_make=True) as work, work.store.transaction() as tx:
        return await work.callers().create_key(tx, name, scopes)


async def _all(config: Path | None) -> tuple[ApiKeyRecord, ...]:
    async with opened(config) as work, work.store.reading() as tx:
        return await tx.access.keys()


async def _revoke(config: Path | None, key: str) -> ApiKeyRecord:
    async with opened(config) as work, work.store.transaction() as tx:
        return await work.callers().revoke_key(tx, key)
