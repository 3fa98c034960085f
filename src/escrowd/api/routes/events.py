"""Routes of events: pages by cursor, the history of one escrow, and a stream."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query
from pydantic import Field
from starlette.responses import Response, StreamingResponse

from escrowd.api.answers import MEDIA_TYPE
from escrowd.api.asking import CallerOf, GuardedRoute
from escrowd.api.documenting import problems
from escrowd.api.parts import ApiParts, Parts
from escrowd.api.reading import EscrowPath, escrow_id
from escrowd.domain.access import Caller, Scope
from escrowd.domain.escrow.history import LogEntry
from escrowd.domain.escrow.status import PublicEvent
from escrowd.service.event_view import event_json
from escrowd.service.front.escrows import require
from escrowd.wire import events as wire
from escrowd.wire.values import Absent

router = APIRouter(prefix="/v1", tags=["events"], route_class=GuardedRoute)

#: Seconds after which a stream says that it is still there.
KEEP_ALIVE: Final = 15.0
#: Events of one look of a stream.
AT_ONCE: Final = 100
LONGEST_WAIT: Final = 60
#: Cursors count entries of the log.
LARGEST_CURSOR: Final = 2**53
#: A cursor as a stream tells it.
EventId = Annotated[str, Field(pattern="^[0-9]{1,16}$")]


@router.get("/escrows/{escrow}/log", response_model=wire.LogPage, operation_id="get_log", responses=problems(404))
async def get_log(
    escrow: EscrowPath,
    caller: CallerOf,
    parts: Parts,
    *,
    after: Annotated[int, Query(ge=0, le=2**31 - 1, description="The sequence that is known.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="Entries of a page.")] = 100,
) -> Response:
    """Show the history of an escrow, inner events included, each with the hash of the one before. For who sees it."""
    id_ = escrow_id(escrow)
    async with parts.store.reading() as tx:
        await parts.desk.see(tx, caller, id_)
        entries = await tx.escrows.log(id_, after, limit + 1)
    shown = entries[:limit]
    return _page(shown, str(shown[-1].sequence if shown else after), more=len(entries) > limit)


@router.get("/events", response_model=wire.EventPage, operation_id="list_events", responses=problems())
async def list_events(
    caller: CallerOf,
    parts: Parts,
    *,
    after: Annotated[int, Query(ge=0, le=LARGEST_CURSOR, description="The cursor that is known.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="Entries of a page.")] = 100,
    wait: Annotated[int, Query(ge=0, le=LONGEST_WAIT, description="Seconds to wait for one.")] = 0,
    type_: Annotated[list[PublicEvent] | Absent, Query(alias="type", description="Of these types only.")] = None,
) -> Response:
    """Show what happened to all escrows, in order. Go on with `next`: no event is ever put before it.

    A key that was revoked while the request waited gets 401. For keys with `escrows:read` or `admin`.
    """
    require(caller, Scope.ESCROWS_READ, Scope.ADMIN)
    look = partial(_feed, parts, after, limit + 1, _types(type_))
    if wait:
        entries = await parts.changes.look_until(look, bool, wait)
        # It may have waited for a minute: whoever was put out meanwhile is told nothing any more.
        await parts.callers.check_still_good(caller)
    else:
        entries = await look()
    shown = entries[:limit]
    return _page(shown, f'"{shown[-1].cursor if shown else after}"', more=len(entries) > limit)


@router.get(
    "/events/stream",
    operation_id="stream_events",
    response_class=StreamingResponse,
    responses={**problems(), 200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def stream_events(
    caller: CallerOf,
    parts: Parts,
    *,
    after: Annotated[int, Query(ge=0, le=LARGEST_CURSOR, description="The cursor that is known.")] = 0,
    type_: Annotated[list[PublicEvent] | Absent, Query(alias="type", description="Of these types only.")] = None,
    last_event_id: Annotated[
        EventId | Absent, Header(alias="Last-Event-ID", description="Of the last one seen.")
    ] = None,
) -> Response:
    """Stream what happens to all escrows, as server-sent events. Begin again with the id of the last one.

    It ends where its key is revoked. For keys with `escrows:read` or `admin`.
    """
    require(caller, Scope.ESCROWS_READ, Scope.ADMIN)
    begin = int(last_event_id) if last_event_id else after
    stream = _stream(parts, caller, begin, _types(type_))
    # To be refused where too many wait, the first part is made before the answer begins.
    first = await anext(stream)
    return StreamingResponse(_from(first, stream), media_type="text/event-stream")


# ---------------------------------------------------------------------------------------------------------------------


async def _feed(parts: ApiParts, after: int, limit: int, types: frozenset[str]) -> tuple[LogEntry, ...]:
    async with parts.store.reading() as tx:
        return await tx.escrows.feed(after, limit, types)


async def _feed_for(parts: ApiParts, caller: Caller, after: int, types: frozenset[str]) -> tuple[LogEntry, ...] | None:
    """Return what comes next; ``None`` where the key was revoked since the stream began."""
    async with parts.store.reading() as tx:
        is_good = await parts.callers.is_still_good(tx, caller)
        return await tx.escrows.feed(after, AT_ONCE, types) if is_good else None


async def _stream(parts: ApiParts, caller: Caller, after: int, types: frozenset[str]) -> AsyncIterator[str]:
    with parts.changes.watching() as watch:
        yield ": here is what happens\n\n"
        while not watch.is_over:
            # Who goes away ends the stream, and not a question to the database half-way.
            entries = await asyncio.shield(asyncio.ensure_future(_feed_for(parts, caller, after, types)))
            if entries is None:
                return
            for entry in entries:
                after = entry.cursor
                yield f"id: {entry.cursor}\nevent: {entry.type}\ndata: {event_json(entry).decode()}\n\n"
            if len(entries) < AT_ONCE and not await watch.changed(KEEP_ALIVE):
                yield ": still here\n\n"


async def _from(first: str, rest: AsyncIterator[str]) -> AsyncIterator[str]:
    yield first
    async for each in rest:
        yield each


def _types(asked: list[PublicEvent] | None) -> frozenset[str]:
    return frozenset(map(str, asked or PublicEvent))


def _page(entries: tuple[LogEntry, ...], following: str, *, more: bool) -> Response:
    """Put events together as they are stored: what is hashed must not be written anew."""
    items = b",".join(map(event_json, entries)).decode()
    body = f'{{"items":[{items}],"next":{following},"more":{"true" if more else "false"}}}'
    return Response(body, media_type=MEDIA_TYPE)
