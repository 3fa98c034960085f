"""Listens to the stream of events, as a plan: connects again from the last event whenever the connection ends."""

from collections.abc import Generator, Iterable
from typing import Final

from pydantic import ValidationError

from escrowd.sdk.calls import query_of, several
from escrowd.sdk.errors import EscrowClientError
from escrowd.sdk.event_calls import EVENTS
from escrowd.sdk.exchange import is_tried_again
from escrowd.sdk.replies import error_of, unreadable
from escrowd.sdk.retries import Retries
from escrowd.sdk.server_events import ServerEvent, ServerEventReader
from escrowd.sdk.steps import Failure, Give, Listen, Outcome, Pause, Read, Request, Series, Step
from escrowd.wire.events import Event

#: After so many seconds without even a comment, the connection is taken for dead.
SILENCE: Final = 60.0


def stream(retries: Retries, *, after: str | None = None, types: str | Iterable[str] = ()) -> Series[Event]:
    """Listen to the events after a cursor, or all, as they happen, without end; of some types, or all.

    A connection that breaks is made again, from the last event on. Keep the ``cursor`` of each event that was dealt
    with, and begin after it next time.

    >>> for event in client.stream(after=cursor):
    ...     handle(event)
    ...     cursor = event.cursor

    Raises:
        EscrowClientError: the server refuses, or was not reached at any of the tries in a row.

    """
    chosen, last_id, tries = several(types), after or "", 0
    while True:
        reader = ServerEventReader(last_id)
        request = _request(last_id, chosen)
        came = yield Listen(request, SILENCE)
        error = _error(request, came)
        if error is not None and not is_tried_again(came, error):
            raise error
        has_heard = error is None and (yield from _heard(request, came, reader))
        tries = 0 if has_heard else tries + 1
        if tries >= retries.tries:
            raise error or _nothing_said(request)
        last_id = reader.last_id
        yield _pause(retries, tries, error, reader)


# ---------------------------------------------------------------------------------------------------------------------


def _request(last_id: str, types: tuple[str, ...]) -> Request:
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    if last_id:
        headers["Last-Event-ID"] = last_id
    return Request("GET", f"{EVENTS}/stream", query_of(after=last_id, type=types), headers)


def _error(request: Request, came: Outcome) -> EscrowClientError | None:
    kind = came.headers.get("content-type", "").partition(";")[0].strip().lower()
    if came.is_good and kind != "text/event-stream":
        return unreadable(request, came, f"no stream of events, but {kind or 'something without a type'}")
    return error_of(request, came)


def _heard(
    request: Request, opened: Outcome, reader: ServerEventReader
) -> Generator[Step | Give[Event], Outcome, bool]:
    """Give the events of one connection to its end, and return whether there was any life in it."""
    has_heard = False
    while True:
        came = yield Read()
        if came.failure is not None or not came.body:
            return has_heard
        has_heard = True
        events = tuple(_event(request, opened, each) for each in reader.feed(came.body))
        if events:
            yield Give(events)


def _event(request: Request, opened: Outcome, heard: ServerEvent) -> Event:
    try:
        return Event.model_validate_json(heard.data)
    except ValidationError:
        raise unreadable(request, opened, f"an event {heard.type} that is none") from None


def _nothing_said(request: Request) -> EscrowClientError:
    ended = Outcome(failure=Failure("the stream ended each time before anything was said", may_have_arrived=True))
    return error_of(request, ended) or EscrowClientError("the stream ended")


def _pause(retries: Retries, tries: int, error: EscrowClientError | None, reader: ServerEventReader) -> Pause:
    pause = retries.pause(max(tries, 1))
    asked = error.retry_after if error is not None else reader.reconnect_after
    return pause if asked is None else Pause(asked, asked + pause.most)
