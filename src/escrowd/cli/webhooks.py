"""``escrowd webhooks``: where events are sent to, and what is on its way."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from escrowd.api.webhooks_shown import delivery_shown, webhook_shown, with_secret_shown, work_ahead
from escrowd.bootstrap.from_settings import webhook_settings_of
from escrowd.cli.opening import Opened, opened, run_command
from escrowd.cli.options import ConfigOption, JsonOption
from escrowd.cli.showing.paper import say, write, write_text
from escrowd.cli.showing.webhooks import delivery_table, webhook_table
from escrowd.domain.webhooks import DeliveryStatus
from escrowd.service.front.callers import OPERATOR
from escrowd.service.webhooks.endpoints import Change, WebhookEndpoints
from escrowd.wire import webhooks as wire

webhooks_app = typer.Typer(no_args_is_help=True, help="Webhooks: where events are sent to, and what is on its way.")

WebhookArgument = Annotated[str, typer.Argument(metavar="WEBHOOK", help="The id of the endpoint: whk_…")]


@webhooks_app.command("list")
def list_webhooks(*, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """List the endpoints, and how much waits for each."""
    found = run_command(_all(config))
    if as_json:
        write_text(wire.WebhookList(items=found).model_dump_json())
    else:
        write(webhook_table(found))


@webhooks_app.command("create")
def create_webhook(
    url: Annotated[str, typer.Argument(help="Where events are sent to.")],
    *,
    types: Annotated[list[str] | None, typer.Option("--type", help="Of these types only. May be repeated.")] = None,
    description: Annotated[str, typer.Option("--description", help="What it is for.")] = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Have events sent to a URL from now on. The secret that signs them is shown this once."""
    _tell_secret(run_command(_create(config, url, types or (), description)), as_json=as_json)


@webhooks_app.command("rotate-secret")
def rotate_secret(
    webhook: WebhookArgument,
    *,
    overlap: Annotated[int, typer.Option("--overlap", help="Seconds for which the old secret signs along.")] = 86400,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Sign with a new secret, which is shown this once; the old one signs along for a while."""
    _tell_secret(run_command(_rotate(config, webhook, overlap)), as_json=as_json)


@webhooks_app.command("enable")
def enable_webhook(webhook: WebhookArgument, *, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Switch an endpoint on. It is sent at once what it has missed."""
    _tell([run_command(_switch(config, webhook, enabled=True))], as_json=as_json)


@webhooks_app.command("disable")
def disable_webhook(webhook: WebhookArgument, *, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Switch an endpoint off. What happens meanwhile is kept for it."""
    _tell([run_command(_switch(config, webhook, enabled=False))], as_json=as_json)


@webhooks_app.command("delete")
def delete_webhook(webhook: WebhookArgument, *, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Forget an endpoint, and what was on its way to it."""
    _tell([run_command(_delete(config, webhook))], as_json=as_json)
    if not as_json:
        say("It is forgotten, with all that was on its way to it.")


@webhooks_app.command("deliveries")
def list_deliveries(
    webhook: WebhookArgument,
    *,
    status: Annotated[DeliveryStatus | None, typer.Option("--status", help="These only.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="How many at most.")] = 20,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List what is on its way to an endpoint or was taken by it, the newest first."""
    found = run_command(_deliveries(config, webhook, status, limit))
    if as_json:
        write_text(wire.DeliveryPage(items=found).model_dump_json())
    else:
        write(delivery_table(found))


@webhooks_app.command("redeliver")
def redeliver(
    webhook: WebhookArgument,
    delivery: Annotated[str, typer.Argument(metavar="DELIVERY", help="The id of the delivery.")],
    *,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Send an event now, also one that was taken before. It keeps its id."""
    again = run_command(_redeliver(config, webhook, delivery))
    if as_json:
        write_text(again.model_dump_json())
    else:
        write(delivery_table([again]))


# ---------------------------------------------------------------------------------------------------------------------


def _tell(webhooks: Sequence[wire.Webhook], *, as_json: bool) -> None:
    if as_json:
        write_text(webhooks[0].model_dump_json())
    else:
        write(webhook_table(webhooks))


def _tell_secret(made: wire.WebhookWithSecret, *, as_json: bool) -> None:
    if as_json:
        write_text(made.model_dump_json())
        return
    write_text(made.secret)
    say(f"With this secret deliveries to {made.url} ({made.id}) are signed. It is shown this once: keep it now.")


def _endpoints(work: Opened) -> WebhookEndpoints:
    return WebhookEndpoints(work.settings.vault(), webhook_settings_of(work.settings))


async def _all(config: Path | None) -> tuple[wire.Webhook, ...]:
    async with opened(config) as work, work.store.reading() as tx:
        pending = await tx.webhooks.pending_counts()
        return tuple(webhook_shown(each, pending.get(each.id, 0)) for each in await tx.webhooks.all())


async def _create(config: Path | None, url: str, types: Sequence[str], description: str) -> wire.WebhookWithSecret:
    async with opened(config) as work, work.store.transaction() as tx:
        made = await _endpoints(work).create(tx, url, types, description)
        await tx.audit.note(OPERATOR.name, "create webhook", made.webhook.id)
        return with_secret_shown(made)


async def _rotate(config: Path | None, webhook: str, overlap: int) -> wire.WebhookWithSecret:
    async with opened(config) as work, work.store.transaction() as tx:
        made = await _endpoints(work).rotate_secret(tx, webhook, overlap)
        await tx.audit.note(OPERATOR.name, "rotate secret of webhook", webhook)
        return with_secret_shown(made)


async def _switch(config: Path | None, webhook: str, *, enabled: bool) -> wire.Webhook:
    async with opened(config) as work, work.store.transaction() as tx:
        changed = await _endpoints(work).update(tx, webhook, Change(enabled=enabled))
        await tx.audit.note(OPERATOR.name, "update webhook", webhook)
        return webhook_shown(changed, (await tx.webhooks.pending_counts()).get(webhook, 0))


async def _delete(config: Path | None, webhook: str) -> wire.Webhook:
    async with opened(config) as work, work.store.transaction() as tx:
        found = await _endpoints(work).get(tx, webhook)
        await _endpoints(work).delete(tx, webhook)
        await tx.audit.note(OPERATOR.name, "delete webhook", webhook)
        return webhook_shown(found, 0)


async def _deliveries(
    config: Path | None, webhook: str, status: DeliveryStatus | None, limit: int
) -> tuple[wire.Delivery, ...]:
    async with opened(config) as work, work.store.reading() as tx:
        page = await _endpoints(work).deliveries(tx, webhook, status, None, limit)
        ahead = await work_ahead(tx.clock)
        return tuple(delivery_shown(each, ahead) for each in page.items)


async def _redeliver(config: Path | None, webhook: str, delivery: str) -> wire.Delivery:
    async with opened(config) as work, work.store.transaction() as tx:
        again = await _endpoints(work).redeliver(tx, webhook, delivery)
        await tx.audit.note(OPERATOR.name, "redeliver", delivery)
        return delivery_shown(again, await work_ahead(tx.clock))
