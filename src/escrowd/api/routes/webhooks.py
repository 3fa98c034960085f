"""Routes of webhooks: endpoints, and what is on its way to them."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field
from starlette.responses import Response

from escrowd.api.answers import json_response, respond, said
from escrowd.api.asking import AskedOf, CallerOf, GuardedRoute, body_of
from escrowd.api.documenting import problems
from escrowd.api.parts import Parts
from escrowd.api.reading import delivery_id, webhook_id
from escrowd.api.webhooks_shown import delivery_shown, webhook_shown, with_secret_shown, work_ahead
from escrowd.domain.access import Caller, Scope
from escrowd.domain.webhooks import DeliveryStatus
from escrowd.service.front.answering import Answer
from escrowd.service.front.escrows import require
from escrowd.service.front.ports import FrontTransaction
from escrowd.service.webhooks.endpoints import Change
from escrowd.wire import webhooks as wire
from escrowd.wire.escrows import Nothing
from escrowd.wire.values import WEBHOOK_ID_PATTERN, Absent

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], route_class=GuardedRoute)


#: Their forms are told and not checked: what has another one is simply not there, and answered so.
WebhookPath = Annotated[str, Path(description="Id of the endpoint.", json_schema_extra={"pattern": WEBHOOK_ID_PATTERN})]
DeliveryPath = Annotated[str, Path(description="Id of the delivery.")]
DeliveryState = Literal["pending", "delivered"]
Cursor = Annotated[int, Field(ge=0, le=2**53)]


def _permitted(caller: Caller) -> None:
    require(caller, Scope.ESCROWS_WRITE, Scope.ADMIN)


@router.post(
    "",
    status_code=201,
    response_model=wire.WebhookWithSecret,
    operation_id="create_webhook",
    responses=problems(409, changes=True),
)
async def create_webhook(
    asked: AskedOf, body: Annotated[wire.NewWebhook, Depends(body_of(wire.NewWebhook))], parts: Parts
) -> Response:
    """Have events sent to a URL from now on. The answer has the secret that signs them, this once."""
    _permitted(asked.caller)

    async def act(tx: FrontTransaction) -> Answer:
        made = await parts.webhooks.create(tx, body.url, body.types, body.description)
        await tx.audit.note(asked.caller.name, "create webhook", made.webhook.id)
        return said(with_secret_shown(made), 201)

    return respond(await parts.answering.once(asked, act))


@router.get("", response_model=wire.WebhookList, operation_id="list_webhooks", responses=problems())
async def list_webhooks(caller: CallerOf, parts: Parts) -> Response:
    """List the endpoints, and how much waits for each."""
    _permitted(caller)
    async with parts.store.reading() as tx:
        pending = await tx.webhooks.pending_counts()
        shown = tuple(webhook_shown(each, pending.get(each.id, 0)) for each in await tx.webhooks.all())
    return json_response(wire.WebhookList(items=shown))


@router.get("/{webhook}", response_model=wire.Webhook, operation_id="get_webhook", responses=problems(404))
async def get_webhook(webhook: WebhookPath, caller: CallerOf, parts: Parts) -> Response:
    """Show an endpoint."""
    _permitted(caller)
    id_ = webhook_id(webhook)
    async with parts.store.reading() as tx:
        return json_response(await _shown(tx, parts, id_))


@router.patch(
    "/{webhook}", response_model=wire.Webhook, operation_id="update_webhook", responses=problems(404, changes=True)
)
async def update_webhook(
    webhook: WebhookPath,
    caller: CallerOf,
    body: Annotated[wire.WebhookChange, Depends(body_of(wire.WebhookChange))],
    parts: Parts,
) -> Response:
    """Change an endpoint, or switch it off or on. Switched on, it is sent at once what it has missed."""
    _permitted(caller)
    id_ = webhook_id(webhook)
    async with parts.store.transaction() as tx:
        await parts.webhooks.update(tx, id_, Change(body.url, body.types, body.description, body.enabled))
        await tx.audit.note(caller.name, "update webhook", id_)
        shown = await _shown(tx, parts, id_)
    return json_response(shown)


@router.delete("/{webhook}", status_code=204, operation_id="delete_webhook", responses=problems(404))
async def delete_webhook(webhook: WebhookPath, caller: CallerOf, parts: Parts) -> Response:
    """Forget an endpoint, and what was on its way to it."""
    _permitted(caller)
    id_ = webhook_id(webhook)
    async with parts.store.transaction() as tx:
        await parts.webhooks.delete(tx, id_)
        await tx.audit.note(caller.name, "delete webhook", id_)
    return Response(status_code=204)


@router.post(
    "/{webhook}/rotate-secret",
    response_model=wire.WebhookWithSecret,
    operation_id="rotate_webhook_secret",
    responses=problems(404, changes=True),
)
async def rotate_secret(
    webhook: WebhookPath, asked: AskedOf, body: Annotated[wire.Rotation, Depends(body_of(wire.Rotation))], parts: Parts
) -> Response:
    """Sign with a new secret. The old one signs along for a while, so that receivers can follow."""
    _permitted(asked.caller)
    id_ = webhook_id(webhook)

    async def act(tx: FrontTransaction) -> Answer:
        made = await parts.webhooks.rotate_secret(tx, id_, body.overlap_seconds)
        await tx.audit.note(asked.caller.name, "rotate secret of webhook", id_)
        return said(with_secret_shown(made))

    return respond(await parts.answering.once(asked, act))


@router.get(
    "/{webhook}/deliveries",
    response_model=wire.DeliveryPage,
    operation_id="list_deliveries",
    responses=problems(404),
)
async def list_deliveries(
    webhook: WebhookPath,
    caller: CallerOf,
    parts: Parts,
    *,
    status: Annotated[DeliveryState | Absent, Query(description="These only.")] = None,
    cursor: Annotated[Cursor | Absent, Query(description="'next' of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Deliveries of a page.")] = 20,
) -> Response:
    """List what is on its way to an endpoint or was taken by it, the newest first."""
    _permitted(caller)
    id_ = webhook_id(webhook)
    async with parts.store.reading() as tx:
        page = await parts.webhooks.deliveries(tx, id_, DeliveryStatus(status) if status else None, cursor, limit)
        ahead = await work_ahead(tx.clock)
    following = None if page.next is None else str(page.next)
    return json_response(
        wire.DeliveryPage(items=tuple(delivery_shown(each, ahead) for each in page.items), next=following)
    )


@router.post(
    "/{webhook}/deliveries/{delivery}/redeliver",
    response_model=wire.Delivery,
    operation_id="redeliver",
    responses=problems(404, 409, changes=True),
)
async def redeliver(
    webhook: WebhookPath,
    delivery: DeliveryPath,
    asked: AskedOf,
    _body: Annotated[Nothing, Depends(body_of(Nothing))],
    parts: Parts,
) -> Response:
    """Send an event now, also one that was taken before. It keeps its id."""
    _permitted(asked.caller)
    id_, which = webhook_id(webhook), delivery_id(delivery)

    async def act(tx: FrontTransaction) -> Answer:
        again = await parts.webhooks.redeliver(tx, id_, which)
        await tx.audit.note(asked.caller.name, "redeliver", which)
        return said(delivery_shown(again, await work_ahead(tx.clock)))

    return respond(await parts.answering.once(asked, act))


# ---------------------------------------------------------------------------------------------------------------------


async def _shown(tx: FrontTransaction, parts: Parts, webhook: str) -> wire.Webhook:
    found = await parts.webhooks.get(tx, webhook)
    return webhook_shown(found, (await tx.webhooks.pending_counts()).get(webhook, 0))
